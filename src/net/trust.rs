//! Whom the device's TLS client believes: the system's authorities, one that it was given by hand, or its own server.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
    /// Servers that these authorities vouch for, and nobody else; `name` is for error messages.
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
        Trust::Authority { name, pem } => builder.with_root_certificates(roots(name, pem)?),
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

fn roots(name: &str, pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let unusable = |detail: String| TrustError::Unusable { name: name.to_owned(), detail };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("no CERTIFICATE section in it".into()));
    }
    Ok(roots)
}

/// Accepts one certificate, whatever it says; the handshake still proves that the other side has its key.
struct ThisCertificate {
    shown: Arc<dyn Fn() -> Option<CertificateDer<'static>> + Send + Sync>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ThisCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match (self.shown)() {
            Some(shown) if shown == *end_entity => Ok(ServerCertVerified::assertion()),
            Some(_) | None => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for ThisCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThisCertificate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_file_is_no_certificate() {
        let trust = Trust::Authority { name: "/etc/callbox/ca.pem".to_owned(), pem: b"hello".to_vec() };
        let error = client_config(&trust).unwrap_err().to_string();
        assert!(error.contains("/etc/callbox/ca.pem") && error.contains("CERTIFICATE"), "{error}");
    }

    #[test]
    fn one_certificate_is_accepted_and_no_other() {
        let (ours, other) = (CertificateDer::from(vec![1]), CertificateDer::from(vec![2]));
        let verifier = |shown: Option<CertificateDer<'static>>| ThisCertificate {
            shown: Arc::new(move || shown.clone()),
            provider: Arc::new(ring::default_provider()),
        };
        let accepts = |verifier: ThisCertificate, shown: &CertificateDer<'_>| {
            let name = ServerName::try_from("localhost").unwrap();
            verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).is_ok()
        };
        assert!(accepts(verifier(Some(ours.clone())), &ours));
        assert!(!accepts(verifier(Some(ours.clone())), &other));
        assert!(!accepts(verifier(None), &ours));
    }
}
