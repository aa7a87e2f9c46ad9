//! A certificate that every browser trusts, from an authority that speaks ACME (RFC 8555), such as Let's Encrypt. `schedule`
//! says when there is what to do, `order` does it, `answers` and `hook` prove that the names are ours, `client` carries the
//! requests, `shelf` keeps what has to outlive the process.

mod answers;
mod client;
mod hook;
mod order;
mod schedule;
mod shelf;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use instant_acme::{Account, NewAccount};
use tokio::time::timeout;

use super::TlsError;
use super::clock::Present;
use answers::ALPN;
pub use answers::Answers;
use client::{Client, Heard};
use order::{Failure, Wanted};
use schedule::{Fault, Schedule, Step, Window};
pub use shelf::Issued;
use shelf::Shelf;

/// Of a whole attempt; an hour of hooks that take their time would be one that hangs.
const ATTEMPT: Duration = Duration::from_secs(3600);

/// Where certificates come from, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// DNS names, in lower case; at least one.
    pub names: Vec<String>,
    pub challenge: Challenge,
    /// The authority: the URL of its directory, https:// only.
    pub directory: String,
    /// An e-mail address, for what the authority has to say to people.
    pub contact: Option<String>,
    /// Authorities in PEM to believe, in place of the system's, when talking to it.
    pub ca_file: Option<PathBuf>,
    /// The pause after the first attempt that the authority counts as failed; it doubles with each.
    pub first_pause: Duration,
}

impl AcmeSettings {
    pub const FIRST_PAUSE: Duration = Duration::from_secs(300);

    /// What a failure depends on.
    fn summary(&self) -> String {
        let by = match &self.challenge {
            Challenge::Http01 => "http-01".to_owned(),
            Challenge::TlsAlpn01 => "tls-alpn-01".to_owned(),
            Challenge::Dns01 { hook } => format!("dns-01, {}", hook.display()),
        };
        format!("{} by {by}", self.names.join(" "))
    }

    /// The authority, for people.
    fn authority(&self) -> &str {
        let rest = self.directory.strip_prefix("https://").unwrap_or(&self.directory);
        rest.split('/').next().unwrap_or(rest)
    }
}

/// How we prove that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The authority fetches a text at port 80 of the name.
    Http01,
    /// It shakes hands at port 443 of the name.
    TlsAlpn01,
    /// It looks up a record that `hook` sets, so that nobody need reach us.
    Dns01 { hook: PathBuf },
}

pub struct Acme {
    settings: AcmeSettings,
    shelf: Shelf,
    client: Client,
    heard: Heard,
    answers: Answers,
    schedule: Schedule,
    account: Option<Account>,
    issued: Option<Issued>,
    /// What the last attempt failed for.
    trouble: Option<String>,
}

/// Whether a handshake was one of the authority's looks at us, after which nothing is said (RFC 8737, section 4).
pub fn is_visit(protocol: Option<&[u8]>) -> bool {
    protocol == Some(ALPN)
}

impl Acme {
    /// Looks at the disk and not at the network. `dir` is the directory for all authorities.
    pub fn open(settings: &AcmeSettings, dir: &Path) -> Result<Acme, TlsError> {
        let shelf = Shelf::open(dir, &settings.directory)?;
        let issued = shelf.certificate()?;
        let last = shelf.attempt(&settings.summary())?;
        let life = issued.as_ref().filter(|issued| issued.holds(&settings.names)).map(|issued| issued.life);
        let heard = Heard::default();
        Ok(Acme {
            client: Client::new(settings.ca_file.as_deref(), heard.clone())?,
            schedule: Schedule::new(settings.first_pause, life, last, fastrand::f64()),
            settings: settings.clone(),
            shelf,
            heard,
            answers: Answers::default(),
            account: None,
            issued,
            trouble: None,
        })
    }

    pub fn answers(&self) -> Answers {
        self.answers.clone()
    }

    /// The protocols of the TLS port, if they must be named: then only these will do.
    pub fn protocols(&self) -> Vec<Vec<u8>> {
        match self.settings.challenge {
            Challenge::TlsAlpn01 => vec![b"http/1.1".to_vec(), ALPN.to_vec()],
            Challenge::Http01 | Challenge::Dns01 { .. } => Vec::new(),
        }
    }

    /// The certificate to show; none that has run out, where the time is known.
    pub fn certificate(&self, now: Present) -> Option<&Issued> {
        self.issued.as_ref().filter(|issued| match now {
            Present::Known(now) => now < issued.life.not_after,
            Present::Unknown { .. } => true,
        })
    }

    /// Does what it is time for, which may take minutes.
    pub async fn turn(&mut self, now: Present) {
        match self.schedule.step(now) {
            Step::Wait => {}
            Step::Ask => self.ask().await,
            Step::Order => self.order().await,
        }
    }

    async fn ask(&mut self) {
        let Some(id) = self.issued.as_ref().and_then(|issued| issued.id.clone()) else {
            return self.schedule.looked(SystemTime::now(), None, None);
        };
        let asked = async { self.account().await?.renewal_info(&id).await.map_err(|error| order::words(&error)) };
        let (window, again) = match asked.await {
            Ok((info, again)) => {
                let (start, end) = (info.suggested_window.start.into(), info.suggested_window.end.into());
                log::debug!(explanation = info.explanation_url; "the certificate authority says when to renew");
                (Some(Window { start, end }), Some(again))
            }
            Err(error) => {
                log::debug!(error; "the certificate authority does not say when to renew");
                (None, None)
            }
        };
        self.schedule.looked(SystemTime::now(), window, again);
    }

    async fn order(&mut self) {
        let (authority, names) = (self.settings.authority().to_owned(), self.settings.names.join(" "));
        self.heard.forget();
        // Its directory may have changed since.
        self.account = None;
        let result = timeout(ATTEMPT, self.attempt()).await.unwrap_or_else(|_| {
            self.answers.clear();
            Err(format!("it was not over within {} min", ATTEMPT.as_secs() / 60))
        });
        let now = SystemTime::now();
        match result {
            Ok((issued, pem)) => {
                self.schedule.obtained(now, issued.life, fastrand::f64());
                (self.issued, self.trouble) = (Some(issued), None);
                log::info!(authority, names, until = day(self.until()); "certificate obtained");
                // What was noted of this attempt stays then, so that many starts do not make many orders.
                let settings = self.settings.summary();
                let kept = self.on_disk(move |shelf| {
                    shelf.keep_certificate(&pem)?;
                    shelf.keep_attempt(None, &settings)
                });
                if let Err(error) = kept.await {
                    log::warn!(error; "the certificate is in use and not kept: the next start orders another");
                }
            }
            Err(error) => {
                let fault = if self.heard.anything() { Fault::Refused } else { Fault::Unreached };
                let attempt = self.schedule.after_failure(now, fault, self.heard.retry_after(), fastrand::f64());
                self.schedule.failed(attempt);
                let again = span(attempt.pause);
                log::warn!(authority, names, error; "no certificate was obtained; tried again in {again}");
                self.trouble = Some(error);
                if fault == Fault::Refused {
                    self.note(attempt).await;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<(Issued, String), String> {
        match self.order_once().await {
            Ok(done) => Ok(done),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::NoAccount) => {
                log::warn!(authority = self.settings.authority(); "the certificate authority does not know our account; another is made");
                self.account = None;
                let forgotten = self.on_disk(|shelf| {
                    shelf.forget_account();
                    Ok(())
                });
                forgotten.await?;
                match self.order_once().await {
                    Ok(done) => Ok(done),
                    Err(Failure::Other(error)) => Err(error),
                    Err(Failure::NoAccount) => Err("it does not know the account it has just made".to_owned()),
                }
            }
        }
    }

    async fn order_once(&mut self) -> Result<(Issued, String), Failure> {
        let account = self.account().await.map_err(Failure::Other)?;
        // A start in the middle of an order is not to begin another at once; and what cannot even be noted could not be kept.
        let attempt = self.schedule.after_failure(SystemTime::now(), Fault::Refused, None, 0.0);
        let settings = self.settings.summary();
        let noted = self.on_disk(move |shelf| shelf.keep_attempt(Some(attempt), &settings));
        noted.await.map_err(Failure::Other)?;
        let wanted = Wanted {
            names: &self.settings.names,
            challenge: &self.settings.challenge,
            answers: &self.answers,
            replaces: self.issued.as_ref().and_then(|issued| issued.id.as_ref()),
        };
        order::obtain(&account, &wanted).await
    }

    async fn note(&self, attempt: schedule::Attempt) {
        let settings = self.settings.summary();
        if let Err(error) = self.on_disk(move |shelf| shelf.keep_attempt(Some(attempt), &settings)).await {
            log::debug!(error; "a failed attempt is not remembered over a restart");
        }
    }

    /// The account at the authority: the stored one, or a new one.
    async fn account(&mut self) -> Result<Account, String> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let stored = self.on_disk(|shelf| shelf.account()).await?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = match stored {
            Some(credentials) => builder.from_credentials(credentials).await.map_err(|error| order::words(&error))?,
            None => {
                let contact = self.settings.contact.as_ref().map(|address| format!("mailto:{address}"));
                let contact: Vec<_> = contact.as_deref().into_iter().collect();
                let account =
                    NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
                let made = builder.create(&account, self.settings.directory.clone(), None).await;
                let (account, credentials) = made.map_err(|error| order::words(&error))?;
                self.on_disk(move |shelf| shelf.keep_account(&credentials)).await?;
                log::info!(authority = self.settings.authority(); "account made at the certificate authority");
                account
            }
        };
        self.account = Some(account.clone());
        Ok(account)
    }

    /// A disk may take a second, and everybody's messages would wait.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, TlsError> + Send + 'static,
    ) -> Result<T, String> {
        let shelf = self.shelf.clone();
        let done = tokio::task::spawn_blocking(move || work(&shelf).map_err(|error| error.to_string())).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn until(&self) -> SystemTime {
        self.issued.as_ref().map_or(SystemTime::UNIX_EPOCH, |issued| issued.life.not_after)
    }

    /// Where things stand, in one line for people.
    pub fn describe(&self, now: Present) -> String {
        let (authority, names) = (self.settings.authority(), self.settings.names.join(" "));
        let mut text = match self.certificate(now) {
            Some(issued) => {
                let names = issued.names.iter().cloned().collect::<Vec<_>>().join(" ");
                format!("{names}, from {authority}, until {}", day(issued.life.not_after))
            }
            None => format!("this machine's own authority's; none from {authority} for {names} yet"),
        };
        if let Some(trouble) = &self.trouble {
            text.push_str(&format!(": {trouble}"));
        }
        match now {
            Present::Known(now) => {
                if let Some(end) = self.schedule.pause_ends(now).filter(|_| self.trouble.is_some()) {
                    let pause = span(end.duration_since(now).unwrap_or_default());
                    text.push_str(&format!("; tried again in {pause}"));
                }
            }
            Present::Unknown { .. } => text.push_str("; waits until the clock is right"),
        }
        text
    }
}

/// A day as people write it, in UTC.
fn day(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// A length of time, roughly.
fn span(length: Duration) -> String {
    match length.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
