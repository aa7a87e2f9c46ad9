//! What outlives the process: the account, the certificate with its key, and the last attempt that failed. One directory
//! for each certificate authority, so that a trial at another one costs nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{AccountCredentials, CertificateIdentifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::super::TlsError;
use super::super::facts::Facts;
use super::super::store::{Readers, Store};
use super::schedule::{Attempt, Life};

/// In JSON; whoever has it can order certificates in this account's name.
const ACCOUNT: &str = "account.json";
/// The key, the certificate, and those that lead to the authority.
const CERTIFICATE: &str = "certificate.pem";
const ATTEMPT: &str = "attempt.json";

/// Longest name of a directory.
const MAX_DIR: usize = 150;

/// A certificate of the authority, with what it says.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certified: Arc<CertifiedKey>,
    pub names: BTreeSet<String>,
    pub life: Life,
    /// What it is called when it is asked about (RFC 9773, section 4.1).
    pub id: Option<CertificateIdentifier<'static>>,
}

impl Issued {
    /// From the key and the chain in PEM; `Err` says what is wrong with them.
    pub fn read(pem: &str) -> Result<Issued, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("its certificates cannot be read: {error}"))?;
        let leaf = chain.first().ok_or("no certificate is in it")?;
        let facts = Facts::of(leaf).ok_or("its certificate is not X.509")?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("its key: {error}"))?;
        let life = Life { not_before: facts.not_before, not_after: facts.not_after };
        let id = CertificateIdentifier::try_from(leaf).map(CertificateIdentifier::into_owned).ok();
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())?;
        Ok(Issued { certified: Arc::new(certified), names: facts.names, life, id })
    }

    pub fn holds(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

/// [`Attempt`], and what it was an attempt at.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// Seconds since 1970.
    at: u64,
    pause_seconds: u64,
    failures: u32,
    told: bool,
    /// With other settings everything begins anew.
    settings: String,
}

#[derive(Clone)]
pub struct Shelf {
    store: Store,
}

impl Shelf {
    /// In `dir`, for the authority with this directory URL.
    pub fn open(dir: &Path, directory: &str) -> Result<Shelf, TlsError> {
        let name = directory.strip_prefix("https://").unwrap_or(directory);
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let name: String = name.trim_start_matches('.').chars().map(plain).take(MAX_DIR).collect();
        Ok(Shelf { store: Store::open(&dir.join(name))? })
    }

    pub fn account(&self) -> Result<Option<AccountCredentials>, TlsError> {
        let Some(text) = self.store.read(ACCOUNT)? else { return Ok(None) };
        let credentials = serde_json::from_str(&text);
        if credentials.is_err() {
            log::warn!(file:% = self.store.path(ACCOUNT).display(); "the account at the certificate authority cannot be read; another is made");
            self.store.set_aside(ACCOUNT);
        }
        Ok(credentials.ok())
    }

    pub fn keep_account(&self, credentials: &AccountCredentials) -> Result<(), TlsError> {
        let text = serde_json::to_string(credentials).map_err(|error| TlsError::Make(error.to_string()))?;
        self.store.write(ACCOUNT, &text, Readers::Owner)
    }

    /// The authority does not know it.
    pub fn forget_account(&self) {
        self.store.set_aside(ACCOUNT);
    }

    pub fn certificate(&self) -> Result<Option<Issued>, TlsError> {
        let Some(text) = self.store.read(CERTIFICATE)? else { return Ok(None) };
        match Issued::read(&text) {
            Ok(issued) => Ok(Some(issued)),
            Err(why) => {
                log::warn!(file:% = self.store.path(CERTIFICATE).display(), why; "the stored certificate cannot be used; another is ordered");
                self.store.set_aside(CERTIFICATE);
                Ok(None)
            }
        }
    }

    pub fn keep_certificate(&self, pem: &str) -> Result<(), TlsError> {
        self.store.write(CERTIFICATE, pem, Readers::Owner)
    }

    /// The last attempt that failed with these settings. One that cannot be read is none.
    pub fn attempt(&self, settings: &str) -> Result<Option<Attempt>, TlsError> {
        let Some(text) = self.store.read(ATTEMPT)? else { return Ok(None) };
        let record = serde_json::from_str::<Record>(&text).ok().filter(|record| record.settings == settings);
        Ok(record.and_then(|record| {
            Some(Attempt {
                at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(record.at))?,
                pause: Duration::from_secs(record.pause_seconds),
                failures: record.failures,
                told: record.told,
            })
        }))
    }

    /// `None`: nothing failed.
    pub fn keep_attempt(&self, attempt: Option<Attempt>, settings: &str) -> Result<(), TlsError> {
        let Some(Attempt { at, pause, failures, told }) = attempt else { return self.store.remove(ATTEMPT) };
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let record = Record { at, pause_seconds: pause.as_secs(), failures, told, settings: settings.to_owned() };
        let text = serde_json::to_string(&record).map_err(|error| TlsError::Make(error.to_string()))?;
        self.store.write(ATTEMPT, &text, Readers::Owner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const URL: &str = "https://acme.example:14000/directory?x=../..";

    #[test]
    fn each_authority_has_a_directory_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        Shelf::open(dir.path(), URL).unwrap();
        Shelf::open(dir.path(), "https://../../x").unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["_.._x", "acme.example_14000_directory_x_.._.."]);
    }

    #[test]
    fn an_attempt_is_remembered_with_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), URL).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let attempt = Attempt { at, pause: Duration::from_secs(600), failures: 2, told: true };
        shelf.keep_attempt(Some(attempt), "door.example by dns-01").unwrap();
        assert_eq!(shelf.attempt("door.example by dns-01").unwrap(), Some(attempt));
        assert_eq!(shelf.attempt("door.example by http-01").unwrap(), None);
        shelf.keep_attempt(None, "").unwrap();
        assert_eq!(shelf.attempt("door.example by dns-01").unwrap(), None);
        fs::write(shelf.store.path(ATTEMPT), "{").unwrap();
        assert_eq!(shelf.attempt("").unwrap(), None);
    }

    #[test]
    fn a_certificate_is_read_with_its_key_and_names_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path(), URL).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["door.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        shelf.keep_certificate(&format!("{}{certificate}", key.serialize_pem())).unwrap();
        let issued = shelf.certificate().unwrap().unwrap();
        assert!(issued.holds(&["door.example".to_owned()]) && !issued.holds(&["gate.example".to_owned()]));
        let mode = fs::metadata(shelf.store.path(CERTIFICATE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for broken in ["", &certificate, &format!("{other}{certificate}"), &other] {
            shelf.keep_certificate(broken).unwrap();
            assert!(shelf.certificate().unwrap().is_none());
            assert_eq!(fs::read_to_string(shelf.store.path("certificate.pem.broken")).unwrap(), broken);
        }
    }
}
