//! The certificates in use: where they come from, and how fresher ones take their place without a connection noticing.
//! `own` has the local authority's, `files` a person's, `acme` a public authority's; `faces` says which a handshake shows.

mod acme;
mod authority;
mod clock;
mod faces;
mod facts;
mod files;
pub(super) mod names;
mod own;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::TlsSettings;
use acme::Acme;
pub use acme::{AcmeSettings, Challenge, is_visit};
pub(super) use clock::Present;
use faces::Faces;
pub use faces::Shown;
use files::Files;
use own::Own;

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
    #[error("{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----). Check [server.tls.acme] ca_file")]
    NoAuthority { path: PathBuf },
    #[error("cannot keep certificates in {path}: {error}. Give [state] dir a directory that Callbox may write")]
    Store { path: PathBuf, error: io::Error },
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

pub struct Tls {
    acceptor: TlsAcceptor,
    faces: Arc<Faces>,
    source: Source,
    acme: Option<Acme>,
}

/// The public side of the local certificate authority.
#[derive(Clone, Debug)]
pub struct CaInfo {
    pub der: Vec<u8>,
    pub pem: String,
    /// SHA-256, colon-separated.
    pub fingerprint: String,
}

/// Where the usual certificate comes from.
enum Source {
    Own(Box<Own>),
    Files(Files),
}

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
        let own = |state_dir: &PathBuf, names: &[String]| {
            let (own, certified) = Own::open(&state_dir.join("tls"), listen, names)?;
            Ok::<_, TlsError>((Source::Own(Box::new(own)), certified))
        };
        let (source, certified, acme) = match settings {
            TlsSettings::Off => return Ok(None),
            TlsSettings::Auto { state_dir, names } => {
                let (source, certified) = own(state_dir, names)?;
                (source, certified, None)
            }
            TlsSettings::Acme { state_dir, acme } => {
                // For this machine's own names only: those of the public are for the public authority to vouch for.
                let (source, certified) = own(state_dir, &[])?;
                (source, certified, Some(Acme::open(acme, &state_dir.join("tls/acme"))?))
            }
            TlsSettings::Files { cert, key } => {
                let (files, certified) = Files::open(cert, key)?;
                (Source::Files(files), certified, None)
            }
        };
        let answers = acme.as_ref().map(Acme::answers).unwrap_or_default();
        let faces = Arc::new(Faces::new(certified, answers));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Make(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(faces.clone());
        config.alpn_protocols = acme.as_ref().map(Acme::protocols).unwrap_or_default();
        let tls = Tls { acceptor: TlsAcceptor::from(Arc::new(config)), faces, source, acme };
        tls.show();
        Ok(Some(tls))
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// The local authority.
    pub fn ca(&self) -> Option<CaInfo> {
        match &self.source {
            Source::Own(own) => Some(own.ca()),
            Source::Files(_) => None,
        }
    }

    /// Tells at any later time which certificate is in use.
    pub fn shown(&self) -> Shown {
        Shown(self.faces.clone())
    }

    /// What the ports that speak plain HTTP must answer, whoever asks.
    pub fn plain(&self) -> Option<Router> {
        self.acme.as_ref().map(|acme| acme.answers().router())
    }

    /// Looks again and again whether the certificates still serve, and replaces them where they do not.
    pub async fn keep_fresh(mut self, every: Duration) {
        loop {
            if let Some(acme) = &mut self.acme {
                acme.turn(Present::now()).await;
            }
            self.show();
            tokio::time::sleep(every).await;
            // Files and interfaces are read in there.
            let looked = tokio::task::spawn_blocking(move || {
                let fresh = self.source.look();
                (self, fresh)
            });
            let Ok((tls, fresh)) = looked.await else { return };
            self = tls;
            match fresh {
                Some(Ok(certified)) => {
                    self.faces.set_usual(certified);
                    self.faces.set_word(None);
                    log::info!("certificate replaced");
                }
                Some(Err(error)) => {
                    log::warn!(error:%; "the certificate is out of date and stays in use");
                    self.faces.set_word(Some(format!("out of date, and in use: {error}")));
                }
                None => {}
            }
        }
    }

    /// Shows what the public authority has issued.
    fn show(&self) {
        if let Some(acme) = &self.acme {
            let now = Present::now();
            self.faces.set_public(acme.certificate(now));
            self.faces.set_word(Some(acme.describe(now)));
        }
    }
}

impl Source {
    fn look(&mut self) -> Option<Result<Arc<CertifiedKey>, TlsError>> {
        match self {
            Source::Own(own) => own.look(),
            Source::Files(files) => files.look(),
        }
    }
}
