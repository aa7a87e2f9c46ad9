//! What the certificate authority finds when it comes to see whether the names are ours: a text at a path of plain HTTP
//! (http-01, RFC 8555, section 8.3), or a certificate in a TLS handshake of its own kind (tls-alpn-01, RFC 8737).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

/// The protocol that such a handshake asks for, and nothing else (RFC 8737, section 4).
pub const ALPN: &[u8] = b"acme-tls/1";

/// While an order is under way, one answer for each of its names.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<RwLock<Given>>);

#[derive(Debug, Default)]
struct Given {
    /// By the token in the path.
    texts: HashMap<String, String>,
    /// By the name.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Answers {
    /// Answers http-01.
    pub fn put_text(&self, token: &str, text: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).texts.insert(token.to_owned(), text.to_owned());
    }

    /// Answers tls-alpn-01. `digest` has 32 bytes.
    pub fn put_certificate(&self, name: &str, digest: &[u8; 32]) -> Result<(), String> {
        let certified = certificate(name, digest).map_err(|error| error.to_string())?;
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .certificates
            .insert(name.to_owned(), Arc::new(certified));
        Ok(())
    }

    /// The order is over.
    pub fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Given::default();
    }

    /// Whether a client comes from an authority.
    pub fn concern(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|mut offered| offered.next() == Some(ALPN) && offered.next().is_none())
    }

    /// For such a client; `None` ends the handshake.
    pub fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).certificates.get(name?).cloned()
    }

    /// For the port that speaks plain HTTP.
    pub fn router(&self) -> Router {
        Router::new().route("/.well-known/acme-challenge/{token}", get(text)).with_state(self.clone())
    }
}

async fn text(State(answers): State<Answers>, Path(token): Path<String>) -> Response {
    let given = answers.0.read().unwrap_or_else(PoisonError::into_inner).texts.get(&token).cloned();
    match given {
        Some(text) => ([(header::CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "there is nothing at this address\n").into_response(),
    }
}

fn certificate(name: &str, digest: &[u8; 32]) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    // Not by `from_der`, which reads the certificate first and stumbles at the extension.
    let key = default_provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_while_an_order_is_under_way() {
        let answers = Answers::default();
        answers.put_certificate("door.example", &[7; 32]).unwrap();
        let certified = answers.certificate(Some("door.example")).unwrap();
        // The digest in the extension that RFC 8737, section 3, wants to be critical.
        let expected =
            [&[0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20][..], &[7; 32]];
        let (der, expected) = (certified.cert[0].to_vec(), expected.concat());
        assert!(der.windows(expected.len()).any(|part| part == expected));
        assert!(answers.certificate(Some("gate.example")).is_none() && answers.certificate(None).is_none());
        answers.clear();
        assert!(answers.certificate(Some("door.example")).is_none());
    }
}
