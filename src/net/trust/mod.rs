//! Whom the device's TLS client believes: the system's authorities, one that it was given by hand, or its own server.

#[cfg(all(test, feature = "server"))]
mod tests;
mod verify;
mod words;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use self::verify::{NamedFile, ThisCertificate};
pub use self::words::explain;

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{name} holds no usable PEM certificate: {detail}")]
    Unusable { name: String, detail: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Whom to believe.
#[derive(Clone)]
pub enum Trust {
    /// Servers that the system's authorities vouch for.
    System,
    /// Servers that these authorities vouch for or that show one of these certificates, and nobody else; `name` is for
    /// error messages.
    Authority { name: String, pem: Vec<u8> },
    /// Whoever holds the key of the certificate that this returns at the time. For a server in the same process, whose
    /// certificate is what a person put there: made for other names, by an authority unknown here, or by itself.
    Certificate(Arc<dyn Fn() -> Option<CertificateDer<'static>> + Send + Sync>),
}

/// A TLS client that believes `trust`.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::Authority { name, pem } => {
            let named = certificates(name, pem)?;
            let roots = Arc::new(roots(name, &named)?);
            let authorities = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| TrustError::Unusable { name: name.clone(), detail: error.to_string() })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NamedFile::new(authorities, named)))
        }
        Trust::Certificate(shown) => {
            let verifier = Arc::new(ThisCertificate { shown: shown.clone(), provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        log::debug!("a system certificate was skipped: {error}");
    }
    roots.add_parsable_certificates(system.certs);
    roots
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unusable = |detail: String| TrustError::Unusable { name: name.to_owned(), detail };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates
        .map_err(|error| unusable(format!("what is between its BEGIN and END lines is damaged ({error})")))?;
    match certificates.is_empty() {
        true => Err(unusable("no CERTIFICATE section in it".into())),
        false => Ok(certificates),
    }
}

fn roots(name: &str, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| TrustError::Unusable {
            name: name.to_owned(),
            detail: format!("certificate {} in it is no X.509 certificate of version 3", index + 1),
        })?;
    }
    Ok(roots)
}
