//! Whom the device's TLS client believes: the system's roots, and authorities it was given by hand.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{name} holds no usable PEM certificate: {detail}")]
    Unusable { name: String, detail: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub system_roots: bool,
    /// Further authorities: a name for error messages, and PEM.
    pub authorities: Vec<(String, Vec<u8>)>,
}

/// A TLS client that believes `trust`.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    if trust.system_roots {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            log::debug!("a system certificate was skipped: {error}");
        }
        roots.add_parsable_certificates(system.certs);
    }
    for (name, pem) in &trust.authorities {
        let unusable = |detail: String| TrustError::Unusable { name: name.clone(), detail };
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
            roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
            found = true;
        }
        if !found {
            return Err(unusable("no CERTIFICATE section in it".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_file_is_no_certificate() {
        let authorities = vec![("/etc/callbox/ca.pem".to_owned(), b"hello".to_vec())];
        let error = client_config(&Trust { system_roots: false, authorities }).unwrap_err().to_string();
        assert!(error.contains("/etc/callbox/ca.pem") && error.contains("CERTIFICATE"), "{error}");
    }
}
