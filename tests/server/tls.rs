//! HTTPS: the local certificate authority as a client meets it, certificates from files, and the landing page.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callbox::server::{Server, ServerSettings, TlsSettings};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{PATIENCE, settings};
use crate::web::{exchange, get};

fn auto(state_dir: &Path) -> ServerSettings {
    let tls = TlsSettings::Auto { state_dir: state_dir.to_owned(), names: Vec::new() };
    ServerSettings { tls, ..settings() }
}

pub async fn connect(address: SocketAddr, name: &str, roots: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(store).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio::time::timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

pub fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_client_that_trusts_the_local_authority_joins_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(auto(dir.path())).await.unwrap();
    let (address, ca) = (server.local_addr(), server.ca_pem().unwrap());
    assert_eq!(server.page_urls(), [format!("https://{address}/")]);
    for name in ["localhost", "127.0.0.1"] {
        let stream = connect(address, name, &ca).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(format!("wss://{address}/ws"), stream).await.unwrap();
        socket.send(Message::text(json!({"type": "join", "userId": name}).to_string())).await.unwrap();
        let joined = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert!(joined.to_text().unwrap().contains("joined"));
        // Wrapped in TLS, the close code still arrives.
        let _ = socket.send(Message::text("x".repeat(70_000))).await;
        let code = tokio::time::timeout(PATIENCE, async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                    Some(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(code.await.unwrap(), callbox::protocol::close::TOO_BIG);
    }
    assert!(connect(address, "bank.example", &ca).await.is_err());
    // The same state, another server: nobody has to trust anything anew.
    let second = Server::start(auto(dir.path())).await.unwrap();
    assert_eq!(second.ca_fingerprint(), server.ca_fingerprint());
    connect(second.local_addr(), "localhost", &ca).await.unwrap();
}

#[tokio::test]
async fn plain_http_at_the_tls_port_is_sent_to_https() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(auto(dir.path())).await.unwrap();
    let address = server.local_addr();
    let response = get(address, "/x?y=z", "").await;
    assert!(response.starts_with("HTTP/1.1 307 "), "{response}");
    assert!(response.contains(&format!("location: https://{address}/x?y=z\r\n")), "{response}");
}

#[tokio::test]
async fn the_landing_page_hands_out_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let http_listen = Some("127.0.0.1:0".parse().unwrap());
    let server = Server::start(ServerSettings { http_listen, ..auto(dir.path()) }).await.unwrap();
    let http = server.http_addr().unwrap();
    assert_eq!(server.trust_urls(), [format!("http://{http}/")]);
    let page = get(http, "/", "").await;
    assert!(page.contains(&server.ca_fingerprint().unwrap()));
    assert!(page.contains(&format!("https://127.0.0.1:{}/", server.local_addr().port())));
    for word in ["Android", "iPhone", "Windows", "macOS", "Linux", "Firefox", "ca.crt"] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains("<script") && !page.contains("{{"));
    for header in [
        "content-security-policy: default-src 'none'; ",
        "permissions-policy: camera=()",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(header), "{header} is missing in {page}");
    }
    let pem = get(http, "/ca.pem", "").await;
    assert!(pem.ends_with(&server.ca_pem().unwrap()) && !pem.contains("PRIVATE"));
    let der = get(http, "/ca.crt", "").await;
    assert!(der.starts_with("HTTP/1.1 200 ") && der.contains("content-type: application/x-x509-ca-cert\r\n"));
    let evil = "GET / HTTP/1.1\r\nHost: \"><script>\r\nConnection: close\r\n\r\n";
    let response = exchange(TcpStream::connect(http).await.unwrap(), evil).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

/// A certificate for localhost, and the authority that signed it, in PEM.
fn write_pair(dir: &Path) -> String {
    let maker = tempfile::tempdir().unwrap();
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(params, authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    // Renamed into place, key first, as renewing programs do.
    for (name, text) in [("key.pem", key.serialize_pem()), ("cert.pem", certificate.pem())] {
        std::fs::write(maker.path().join(name), text).unwrap();
        std::fs::rename(maker.path().join(name), dir.join(name)).unwrap();
    }
    root.pem()
}

#[tokio::test]
async fn files_are_used_and_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let roots = write_pair(dir.path());
    let tls = TlsSettings::Files { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    let certificate_check = Duration::from_millis(20);
    let server = Server::start(ServerSettings { tls, certificate_check, ..settings() }).await.unwrap();
    let address = server.local_addr();
    assert_eq!(server.ca_pem(), None);
    let in_use = server.shown().unwrap();
    let stream = connect(address, "localhost", &roots).await.unwrap();
    let before = shown(&stream);
    let (mut socket, _) = tokio_tungstenite::client_async(format!("wss://{address}/ws"), stream).await.unwrap();

    // What does not fit together changes nothing, and is said.
    let says = async |words: &str| {
        let wait = async {
            while !in_use.word().unwrap_or_default().contains(words) {
                tokio::time::sleep(certificate_check).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{words}: {:?}", in_use.word()));
    };
    assert_eq!(in_use.word(), None);
    let old_key = std::fs::read_to_string(dir.path().join("key.pem")).unwrap();
    std::fs::write(dir.path().join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    says("cannot be used with").await;
    std::fs::write(dir.path().join("cert.pem"), "garbage").unwrap();
    says("holds no certificate").await;
    std::fs::write(dir.path().join("key.pem"), old_key).unwrap();
    assert_eq!(shown(&connect(address, "localhost", &roots).await.unwrap()), before);

    let roots = write_pair(dir.path());
    let replaced = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(stream) = connect(address, "localhost", &roots).await {
                return shown(&stream);
            }
            tokio::time::sleep(certificate_check).await;
        }
    });
    let replaced = replaced.await.unwrap();
    assert_ne!(replaced, before);
    assert_eq!((in_use.certificate().map(|der| der.to_vec()), in_use.word()), (Some(replaced), None));
    // Who was connected still is.
    socket.send(Message::text(json!({"type": "join", "userId": "anna"}).to_string())).await.unwrap();
    let joined = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(joined.to_text().unwrap().contains("joined"));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write_pair(dir.path());
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("empty.pem"), "").unwrap();
    std::fs::write(path("other.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    for (cert, key, words) in [
        ("absent.pem", "key.pem", ["absent.pem", "cert_file"]),
        ("cert.pem", "absent.pem", ["absent.pem", "key_file"]),
        ("empty.pem", "key.pem", ["empty.pem", "no certificate"]),
        ("cert.pem", "cert.pem", ["cert.pem", "no private key"]),
        ("cert.pem", "other.pem", ["other.pem", "cannot be used with"]),
    ] {
        let tls = TlsSettings::Files { cert: path(cert), key: path(key) };
        let error = Server::start(ServerSettings { tls, ..settings() }).await.err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}
