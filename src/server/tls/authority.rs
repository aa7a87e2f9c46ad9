//! The local certificate authority, made on first start: people trust it once, and it signs certificates for whatever
//! names and addresses the machine has later. In its directory: `ca.pem` (its key and certificate, mode 0600), `ca.crt`
//! (its certificate, for everybody), `server.pem` (the certificate in use and its key, mode 0600).
//!
//! A clock can say anything, and a board's often does: no clock makes an authority unusable. One that is past its time
//! stays in use with a warning until a person removes it.
//!
//! It is good for names of local networks only (RFC 5280, section 4.2.1.10), so that whoever steals the board's key
//! cannot pass for a bank on phones that trust it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::clock::{self, Present};
use super::facts::Facts;
use super::store::{Readers, Store};
use super::{CaInfo, TlsError, names};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// From now on; its beginning is that of all plausible time, so that it is good whatever the clock says later.
const CA_LIFE: Duration = DAY.saturating_mul(3650);
/// How long before its end an authority is warned of.
const CA_LAST: Duration = DAY.saturating_mul(365);
/// Apple refuses more than 398 days in general, and 825 days below authorities that a person added.
const LEAF_LIFE: Duration = DAY.saturating_mul(397);

/// What a certificate may be for besides this machine's own names: the names of local networks.
const LOCAL_DOMAINS: [&str; 6] = ["localhost", "local", "lan", "home", "home.arpa", "internal"];

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

const CA: &str = "ca.pem";
const CA_PUBLIC: &str = "ca.crt";
const LEAF: &str = "server.pem";

pub struct Authority {
    store: Store,
    issuer: Issuer<'static, KeyPair>,
    certificate: Facts,
    info: CaInfo,
}

/// A certificate in use.
pub struct Leaf {
    pub certified: Arc<CertifiedKey>,
    facts: Facts,
}

impl Authority {
    /// Takes the one in `dir`, or makes one. One that cannot be used is set aside with a warning: people then have to
    /// trust its successor.
    pub fn open(dir: &Path, extra: &[String], now: Present) -> Result<Authority, TlsError> {
        let store = Store::open(dir)?;
        let unusable = |why: &str| TlsError::Make(why.to_owned());
        let mut text = match store.read(CA)? {
            Some(text) => text,
            None => make_ca(&store, extra, now)?,
        };
        if let Err(why) = read_ca(&text) {
            log::warn!(file:% = store.path(CA).display(), why; "the local certificate authority cannot be used and is made anew: every phone and computer has to trust it again");
            store.set_aside(CA);
            text = make_ca(&store, extra, now)?;
        }
        let (key, der) = read_ca(&text).map_err(unusable)?;
        let certificate = Facts::of(&der).ok_or_else(|| unusable("not X.509"))?;
        warn_of_time(&store, &certificate, now);
        let pem = text.split_inclusive('\n').skip_while(|line| !line.starts_with(CERTIFICATE)).collect::<String>();
        if store.read(CA_PUBLIC)?.as_deref() != Some(&pem) {
            store.write(CA_PUBLIC, &pem, Readers::All)?;
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        let fingerprint: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let info = CaInfo { der: der.to_vec(), pem, fingerprint: fingerprint.join(":") };
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(made)?;
        Ok(Authority { store, issuer, certificate, info })
    }

    pub fn info(&self) -> CaInfo {
        self.info.clone()
    }

    /// The stored certificate if it serves, or else a fresh one.
    pub fn leaf(&self, needed: &BTreeSet<String>, now: Present) -> Result<Leaf, TlsError> {
        let Some(text) = self.store.read(LEAF)? else { return self.renew(needed, None, now) };
        match read_leaf(&text) {
            Some(leaf) if leaf.serves(needed, self, now) => Ok(leaf),
            Some(leaf) => self.renew(needed, Some(&leaf), now),
            None => {
                log::warn!(file:% = self.store.path(LEAF).display(); "the stored certificate cannot be read and is made anew");
                self.renew(needed, None, now)
            }
        }
    }

    /// `old` is the one whose place it takes.
    pub fn renew(&self, needed: &BTreeSet<String>, old: Option<&Leaf>, now: Present) -> Result<Leaf, TlsError> {
        let (names, refused): (Vec<_>, Vec<_>) = needed.iter().cloned().partition(|name| self.permits(name));
        if !refused.is_empty() {
            log::warn!(names = refused.join(" "), file:% = self.store.path(CA).display(); "the local certificate authority was not made for these names: remove the file to have a new one made, which everybody has to trust again");
        }
        let begin = match (now, old) {
            (Present::Known(now), _) => now - DAY,
            // The old one was made when it was at least that late.
            (Present::Unknown { at_least }, Some(old)) if self.issued(old) => {
                (at_least - DAY).max(old.facts.not_before)
            }
            (Present::Unknown { at_least }, _) => at_least - DAY,
        };
        // With an authority whose time is over there is nothing better than its last days.
        let not_before = begin.min(self.certificate.not_after - LEAF_LIFE);
        let not_after = not_before + LEAF_LIFE;
        let mut params = CertificateParams::new(names).map_err(made)?;
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        params.distinguished_name = common_name("Callbox");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(made)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(made)?;
        let text = format!("{}{}", key.serialize_pem(), certificate.pem());
        // On a full disk it serves as well as any; whoever trusts the authority does not notice.
        if let Err(error) = self.store.write(LEAF, &text, Readers::Owner) {
            log::warn!(error:%; "the certificate is in use and not kept: the next start makes another");
        }
        let leaf = read_leaf(&text).ok_or_else(|| TlsError::Make("it cannot be read back".into()))?;
        log::info!(names = leaf.facts.names.iter().cloned().collect::<Vec<_>>().join(" "); "certificate made");
        Ok(leaf)
    }

    /// Addresses are not limited: those that a home uses cannot be told from others since IPv6.
    fn permits(&self, name: &str) -> bool {
        let permitted = &self.certificate.permitted;
        let below = |domain: &String| name == domain || name.strip_suffix(domain).is_some_and(|n| n.ends_with('.'));
        permitted.is_empty() || name.parse::<std::net::IpAddr>().is_ok() || permitted.iter().any(below)
    }

    fn issued(&self, leaf: &Leaf) -> bool {
        leaf.facts.issuer_key_id == self.certificate.key_id
    }
}

impl Leaf {
    /// Whether it holds every name it can, comes from this authority, and has a third of its life before it. Where nobody
    /// knows the time, whether it has one is for the clients to say.
    pub fn serves(&self, needed: &BTreeSet<String>, authority: &Authority, now: Present) -> bool {
        let Facts { not_before, not_after, names, .. } = &self.facts;
        let timely = match now {
            Present::Known(now) => {
                let life = not_after.duration_since(*not_before).unwrap_or_default();
                let left = not_after.duration_since(now).unwrap_or_default();
                // One that ends with its authority cannot be bettered.
                let last = *not_after == authority.certificate.not_after;
                *not_before <= now && (left > life / 3 || last)
            }
            Present::Unknown { at_least } => *not_after > at_least,
        };
        timely && authority.issued(self) && needed.iter().all(|name| names.contains(name) || !authority.permits(name))
    }
}

/// An authority out of its time is no use to anybody, and yet only a person may replace it: the clock may be wrong, and
/// everybody would have to trust its successor.
fn warn_of_time(store: &Store, certificate: &Facts, now: Present) {
    let Present::Known(now) = now else { return };
    let file = store.path(CA);
    let remedy = "if the clock is right, remove the file and start again to have a new one made, which every phone and computer has to trust";
    if now < certificate.not_before {
        log::warn!(file:% = file.display(); "the local certificate authority is not valid yet, so browsers refuse it: {remedy}");
    } else if now > certificate.not_after {
        log::warn!(file:% = file.display(); "the time of the local certificate authority is over, so browsers refuse it: {remedy}");
    } else if now + CA_LAST > certificate.not_after {
        let days = certificate.not_after.duration_since(now).unwrap_or_default().as_secs() / DAY.as_secs();
        log::warn!(file:% = file.display(), days; "the time of the local certificate authority ends in {days} days: {remedy}");
    }
}

/// Returns the text of [`CA`].
fn make_ca(store: &Store, extra: &[String], now: Present) -> Result<String, TlsError> {
    let host = names::host_name();
    let domains = LOCAL_DOMAINS.map(str::to_owned).into_iter().chain(names::dns_names(extra));
    let domains: BTreeSet<_> = domains.collect();
    let mut params = CertificateParams::default();
    params.not_before = (clock::first() - DAY).into();
    params.not_after = (now.best_guess() + CA_LIFE).into();
    // A common name has at most 64 characters.
    let host: String = host.chars().take(40).collect();
    params.distinguished_name = common_name(&format!("Callbox local CA ({host})"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: domains.into_iter().map(GeneralSubtree::DnsName).collect(),
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    let text = format!("{}{}", key.serialize_pem(), certificate.pem());
    store.write(CA, &text, Readers::Owner)?;
    log::info!(file:% = store.path(CA).display(); "local certificate authority made");
    Ok(text)
}

/// `Err` says why it cannot be used.
fn read_ca(text: &str) -> Result<(KeyPair, CertificateDer<'static>), &'static str> {
    let (key, der) = read_pem(text).ok_or("it does not hold a key and a certificate in PEM")?;
    let key = KeyPair::try_from(&key).map_err(|_| "its key is of an unknown kind")?;
    let facts = Facts::of(&der).ok_or("its certificate is not X.509")?;
    match () {
        () if !facts.is_ca => Err("its certificate is not an authority's"),
        () if facts.public_key != key.public_key_raw() => Err("key and certificate do not belong together"),
        () => Ok((key, der)),
    }
}

fn read_leaf(text: &str) -> Option<Leaf> {
    let (key, der) = read_pem(text)?;
    let facts = Facts::of(&der)?;
    let certified = CertifiedKey::from_der(vec![der], key, &default_provider()).ok()?;
    Some(Leaf { certified: Arc::new(certified), facts })
}

fn read_pem(text: &str) -> Option<(PrivateKeyDer<'static>, CertificateDer<'static>)> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    Some((key, CertificateDer::from_pem_slice(text.as_bytes()).ok()?))
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn made(error: rcgen::Error) -> TlsError {
    TlsError::Make(error.to_string())
}
