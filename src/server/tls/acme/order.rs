//! One order (RFC 8555, section 7.4): proves to the certificate authority that the names are ours, and returns with a
//! certificate for them.

use std::path::Path;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder,
    Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::Challenge;
use super::answers::Answers;
use super::hook::{self, Act};
use super::shelf::Issued;
use crate::base::unseen::without_unseen;

/// How often the authority is asked whether it has come to see, and how long it may take.
const POLLS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(180));
/// Most characters of what the authority says that are passed on to people.
const MAX_WORDS: usize = 300;

/// What is ordered, and how it is proved.
pub struct Wanted<'a> {
    pub names: &'a [String],
    pub challenge: &'a Challenge,
    pub answers: &'a Answers,
    /// The certificate whose place it takes, where the authority wants to know (RFC 9773, section 5).
    pub replaces: Option<&'a CertificateIdentifier<'static>>,
}

/// Why there is no certificate.
pub enum Failure {
    /// The authority does not know the account.
    NoAccount,
    /// In words.
    Other(String),
}

/// Returns it with its key in PEM as well.
pub async fn obtain(account: &Account, wanted: &Wanted<'_>) -> Result<(Issued, String), Failure> {
    let mut order = begin(account, wanted).await.map_err(|error| match &error {
        Error::Api(problem) if kind(problem) == "accountDoesNotExist" => Failure::NoAccount,
        error => Failure::Other(words(error)),
    })?;
    let mut records = Vec::new();
    let proved = prove(&mut order, wanted, &mut records).await;
    wanted.answers.clear();
    for (hook, name, value) in records {
        if let Err(error) = hook::run(hook, Act::Clear, &name, &value).await {
            log::warn!(error; "a record is left in the DNS");
        }
    }
    proved.map_err(Failure::Other)?;
    finish(&mut order, wanted.names).await.map_err(Failure::Other)
}

async fn begin(account: &Account, wanted: &Wanted<'_>) -> Result<Order, Error> {
    let identifiers: Vec<_> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    if let Some(id) = wanted.replaces {
        let replacing = account.new_order(&NewOrder::new(&identifiers).replaces(id.clone())).await;
        match replacing {
            Ok(order) => return Ok(order),
            Err(Error::Api(problem)) if ["rateLimited", "accountDoesNotExist"].contains(&kind(&problem)) => {
                return Err(Error::Api(problem));
            }
            // It was replaced already, or is not the authority's.
            Err(error) => log::debug!(error = words(&error); "an order that names its predecessor is refused"),
        }
    }
    account.new_order(&NewOrder::new(&identifiers)).await
}

/// A record in the DNS: who clears it, its name and its value.
type Record<'a> = (&'a Path, String, String);

/// Puts the answers where the authority looks for them, and waits until it has looked.
async fn prove<'a>(order: &mut Order, wanted: &Wanted<'a>, records: &mut Vec<Record<'a>>) -> Result<(), String> {
    let kind = match wanted.challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Dns01 { .. } => ChallengeType::Dns01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| words(&error))?;
        match authorization.status {
            // From an earlier order.
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated => return Err("an authorization is over before it began".to_owned()),
        }
        let name = authorization.identifier().to_string();
        if !wanted.names.contains(&name) {
            return Err(format!("it wants to see {}, which was not asked for", plain(&name)));
        }
        let offered = authorization.challenge(kind.clone());
        let mut challenge = offered.ok_or_else(|| format!("it does not offer this challenge for {name}"))?;
        answer(&challenge, &name, wanted, records).await?;
        challenge.set_ready().await.map_err(|error| words(&error))?;
    }
    match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(OrderStatus::Invalid | OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Valid) => {
            Err(what_it_saw(order).await.unwrap_or_else(|| "it does not say why".to_owned()))
        }
        Err(error) => Err(what_it_saw(order).await.unwrap_or_else(|| words(&error))),
    }
}

async fn answer<'a>(
    challenge: &ChallengeHandle<'_>,
    name: &str,
    wanted: &Wanted<'a>,
    records: &mut Vec<Record<'a>>,
) -> Result<(), String> {
    let authorization = challenge.key_authorization();
    match wanted.challenge {
        Challenge::Http01 => wanted.answers.put_text(&challenge.token, authorization.as_str()),
        Challenge::TlsAlpn01 => {
            let digest = authorization.digest();
            let digest = digest.as_ref().try_into().map_err(|_| "a digest has another length".to_owned())?;
            wanted.answers.put_certificate(name, digest)?;
        }
        Challenge::Dns01 { hook } => {
            let (record, value) = (format!("_acme-challenge.{name}"), authorization.dns_value());
            // Before it is set: a hook that fails may have got half way.
            records.push((hook, record.clone(), value.clone()));
            hook::run(hook, Act::Set, &record, &value).await?;
        }
    }
    Ok(())
}

/// Why names were not found to be ours.
async fn what_it_saw(order: &mut Order) -> Option<String> {
    let mut seen = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        seen.extend(errors.map(|problem| format!("{name}: {}", told(problem))));
    }
    (!seen.is_empty()).then(|| seen.join("; "))
}

/// With a key that no certificate had before.
async fn finish(order: &mut Order, names: &[String]) -> Result<(Issued, String), String> {
    let request = || {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate()?;
        Ok((params.serialize_request(&key)?, key))
    };
    let (request, key) = request().map_err(|error: rcgen::Error| error.to_string())?;
    order.finalize_csr(request.der()).await.map_err(|error| words(&error))?;
    let chain = order.poll_certificate(&POLLS).await.map_err(|error| words(&error))?;
    let pem = format!("{}{chain}", key.serialize_pem());
    let issued = Issued::read(&pem).map_err(|why| format!("what it issued cannot be used: {why}"))?;
    match issued.holds(names) {
        true => Ok((issued, pem)),
        false => Err("its certificate lacks some of the names".to_owned()),
    }
}

/// The last part of a problem's type, such as "rateLimited" (RFC 8555, section 6.7).
fn kind(problem: &Problem) -> &str {
    problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default()
}

/// An error for people.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(problem) => told(problem),
        // "API error: ..." would be the crate's.
        error => plain(&error.to_string()),
    }
}

fn told(problem: &Problem) -> String {
    let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let detail: Vec<_> = problem.detail.as_deref().into_iter().chain(parts).collect();
    plain(&match (detail.join("; "), kind(problem)) {
        (detail, "") => detail,
        (detail, kind) => format!("{detail} ({kind})"),
    })
}

/// Others wrote it: on one line, seen, and of bounded length.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect();
    without_unseen(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_authority_says_is_passed_on_plainly() {
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:ietf:params:acme:error:unauthorized", "detail": "no\n\u001b[31m such \u202ename"}"#,
        )
        .unwrap();
        assert_eq!(kind(&problem), "unauthorized");
        assert_eq!(words(&Error::Api(problem)), "no  [31m such name (unauthorized)");
        let long: Problem = serde_json::from_str(&format!(r#"{{"detail": "{}"}}"#, "x".repeat(10_000))).unwrap();
        assert_eq!(words(&Error::Api(long)).len(), MAX_WORDS);
        let bare: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!(words(&Error::Api(bare)), "");
    }
}
