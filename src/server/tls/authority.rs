//! The local certificate authority, made on first start: people trust it once, and it signs certificates for whatever
//! names and addresses the machine has later. In its directory: `ca.pem` (its key and certificate, mode 0600), `ca.crt`
//! (its certificate, for everybody), `server.pem` (the certificate in use and its key, mode 0600).
//!
//! It is good for names of local networks only (RFC 5280, section 4.2.1.10), so that whoever steals the board's key
//! cannot pass for a bank on phones that trust it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::facts::Facts;
use super::store::{Readers, Store};
use super::{CaInfo, TlsError, names};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFE: Duration = DAY.saturating_mul(3650);
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
    pub fn open(dir: &Path, extra: &[String], now: SystemTime) -> Result<Authority, TlsError> {
        let store = Store::open(dir)?;
        let unusable = |why: &str| TlsError::Make(why.to_owned());
        let mut text = match store.read(CA)? {
            Some(text) => text,
            None => make_ca(&store, extra, now)?,
        };
        if let Err(why) = read_ca(&text, now) {
            log::warn!(file:% = store.path(CA).display(), why; "the local certificate authority cannot be used and is made anew: every phone and computer has to trust it again");
            store.set_aside(CA);
            text = make_ca(&store, extra, now)?;
        }
        let (key, der) = read_ca(&text, now).map_err(unusable)?;
        let certificate = Facts::of(&der).ok_or_else(|| unusable("not X.509"))?;
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
    pub fn leaf(&self, needed: &BTreeSet<String>, now: SystemTime) -> Result<Leaf, TlsError> {
        let Some(text) = self.store.read(LEAF)? else { return self.renew(needed, now) };
        match read_leaf(&text) {
            Some(leaf) if leaf.serves(needed, self, now) => Ok(leaf),
            Some(_) => self.renew(needed, now),
            None => {
                log::warn!(file:% = self.store.path(LEAF).display(); "the stored certificate cannot be read and is made anew");
                self.renew(needed, now)
            }
        }
    }

    pub fn renew(&self, needed: &BTreeSet<String>, now: SystemTime) -> Result<Leaf, TlsError> {
        let (names, refused): (Vec<_>, Vec<_>) = needed.iter().cloned().partition(|name| self.permits(name));
        if !refused.is_empty() {
            log::warn!(names = refused.join(" "), file:% = self.store.path(CA).display(); "the local certificate authority was not made for these names: remove the file to have a new one made, which everybody has to trust again");
        }
        let not_before = now - DAY;
        let not_after = (not_before + LEAF_LIFE).min(self.certificate.not_after);
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
}

impl Leaf {
    /// Whether it holds every name it can, comes from this authority, and has a third of its life before it.
    pub fn serves(&self, needed: &BTreeSet<String>, authority: &Authority, now: SystemTime) -> bool {
        let Facts { not_before, not_after, names, issuer_key_id, .. } = &self.facts;
        let life = not_after.duration_since(*not_before).unwrap_or_default();
        let left = not_after.duration_since(now).unwrap_or_default();
        // One that ends with its authority cannot be bettered.
        let fresh = left > life / 3 || (*not_after == authority.certificate.not_after && !left.is_zero());
        fresh
            && *not_before <= now
            && *issuer_key_id == authority.certificate.key_id
            && needed.iter().all(|name| names.contains(name) || !authority.permits(name))
    }
}

/// Returns the text of [`CA`].
fn make_ca(store: &Store, extra: &[String], now: SystemTime) -> Result<String, TlsError> {
    let host = names::host_name();
    let domains = LOCAL_DOMAINS.map(str::to_owned).into_iter().chain(names::dns_names(extra));
    let domains: BTreeSet<_> = domains.collect();
    let mut params = CertificateParams::default();
    params.not_before = (now - DAY).into();
    params.not_after = (now + CA_LIFE).into();
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
fn read_ca(text: &str, now: SystemTime) -> Result<(KeyPair, CertificateDer<'static>), &'static str> {
    let (key, der) = read_pem(text).ok_or("it does not hold a key and a certificate in PEM")?;
    let key = KeyPair::try_from(&key).map_err(|_| "its key is of an unknown kind")?;
    let facts = Facts::of(&der).ok_or("its certificate is not X.509")?;
    match () {
        () if !facts.is_ca => Err("its certificate is not an authority's"),
        () if facts.public_key != key.public_key_raw() => Err("key and certificate do not belong together"),
        () if facts.not_after <= now => Err("it has expired"),
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
