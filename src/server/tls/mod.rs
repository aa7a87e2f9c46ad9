//! The certificate in use: where it comes from, and how a fresher one takes its place without a connection noticing.

mod authority;
mod clock;
mod facts;
pub(super) mod names;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::TlsSettings;
use crate::base::text;
use authority::{Authority, Leaf};
pub(super) use clock::Present;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {error}. Check [server.tls] {key}")]
    Read { path: PathBuf, key: &'static str, error: io::Error },
    #[error("{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----). Check [server.tls] cert_file")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no private key in PEM (-----BEGIN PRIVATE KEY-----). Check [server.tls] key_file")]
    NoKey { path: PathBuf },
    #[error("the key in {key} cannot be used with the certificate in {cert}: {error}. Check [server.tls]")]
    Unusable { cert: PathBuf, key: PathBuf, error: rustls::Error },
    #[error("cannot keep certificates in {path}: {error}. Give [state] dir a directory that Callbox may write")]
    Store { path: PathBuf, error: io::Error },
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    source: Source,
}

/// The public side of the local certificate authority.
#[derive(Clone, Debug)]
pub struct CaInfo {
    pub der: Vec<u8>,
    pub pem: String,
    /// SHA-256, colon-separated.
    pub fingerprint: String,
}

enum Source {
    Own { authority: Box<Authority>, listen: IpAddr, names: Vec<String>, leaf: Leaf },
    Files { cert: PathBuf, key: PathBuf, seen: [Stamp; 2] },
}

/// Tells whether a file has changed.
type Stamp = Option<(SystemTime, u64)>;

/// Which certificate is in use.
#[derive(Clone, Debug)]
pub struct Shown(Arc<Current>);

impl Shown {
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.0.current().cert.first().cloned()
    }
}

/// What the next handshake shows.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// Names and addresses under which others reach a server that listens at a wildcard address, the best one first, as
/// in a URL.
pub fn own_hosts(wildcard: IpAddr) -> Vec<String> {
    let local = names::dns_names(&[]).into_iter().find(|name| name.ends_with(".local"));
    let addresses = names::addresses(wildcard).into_iter().map(super::addresses::host);
    local.into_iter().chain(addresses).chain(["localhost".to_owned()]).collect()
}

impl Tls {
    /// `None` where TLS is off. `listen` tells which of the machine's addresses the certificate must hold.
    pub fn open(settings: &TlsSettings, listen: IpAddr) -> Result<Option<Tls>, TlsError> {
        let (source, certified) = match settings {
            TlsSettings::Off => return Ok(None),
            TlsSettings::Auto { state_dir, names } => {
                let now = Present::now();
                let authority = Authority::open(&state_dir.join("tls"), names, now)?;
                let leaf = authority.leaf(&names::needed(listen, names), now)?;
                let certified = leaf.certified.clone();
                (Source::Own { authority: Box::new(authority), listen, names: names.clone(), leaf }, certified)
            }
            TlsSettings::Files { cert, key } => {
                let seen = [stamp(cert), stamp(key)];
                let certified = read_pair(cert, key)?;
                (Source::Files { cert: cert.clone(), key: key.clone(), seen }, certified)
            }
        };
        let current = Arc::new(Current(RwLock::new(certified)));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Make(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        Ok(Some(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), current, source }))
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    pub fn ca(&self) -> Option<CaInfo> {
        match &self.source {
            Source::Own { authority, .. } => Some(authority.info()),
            Source::Files { .. } => None,
        }
    }

    /// Tells at any later time which certificate is in use.
    pub fn shown(&self) -> Shown {
        Shown(self.current.clone())
    }

    /// Looks again and again whether the certificate still serves, and replaces it where it does not.
    pub async fn keep_fresh(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            // Files and interfaces are read in there.
            let checked = tokio::task::spawn_blocking(move || {
                self.refresh();
                self
            });
            match checked.await {
                Ok(tls) => self = tls,
                Err(_) => return,
            }
        }
    }

    fn refresh(&mut self) {
        let fresh = match &mut self.source {
            Source::Own { authority, listen, names, leaf } => {
                let now = Present::now();
                let needed = names::needed(*listen, names);
                if leaf.serves(&needed, authority, now) {
                    return;
                }
                authority.renew(&needed, Some(leaf), now).map(|fresh| {
                    *leaf = fresh;
                    leaf.certified.clone()
                })
            }
            Source::Files { cert, key, seen } => {
                let now = [stamp(cert), stamp(key)];
                if *seen == now {
                    return;
                }
                // A failure is told once a change, not once a look.
                *seen = now;
                read_pair(cert, key)
            }
        };
        match fresh {
            Ok(certified) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
                log::info!("certificate replaced");
            }
            Err(error) => log::warn!(error:%; "the certificate is out of date and stays in use"),
        }
    }
}

impl Current {
    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read_pair(cert: &PathBuf, key: &PathBuf) -> Result<Arc<CertifiedKey>, TlsError> {
    let read = |path: &PathBuf, key| {
        std::fs::read(path).map(text::utf8_where_text).map_err(|error| TlsError::Read {
            path: path.clone(),
            key,
            error,
        })
    };
    let (cert_pem, key_pem) = (read(cert, "cert_file")?, read(key, "key_file")?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate { path: cert.clone() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: cert.clone() });
    }
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::NoKey { path: key.clone() })?;
    match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(error) => Err(TlsError::Unusable { cert: cert.clone(), key: key.clone(), error }),
    }
}
