//! Certificates from a public authority: proved in three ways, renewed, kept over restarts, and what the server does when
//! the authority or a hook does not.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use callbox::server::{AcmeSettings, Challenge, Server, ServerSettings, TlsSettings};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{PATIENCE, settings};
use crate::pebble::{Front, LONG, Pebble};
use crate::tls::{connect, shown};
use crate::web::{exchange, get};

const NAME: &str = "door.callbox.example";
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// So short that a test sees a second attempt, and longer than one takes.
const PAUSE: Duration = Duration::from_secs(3);

fn acme(pebble: &Pebble, challenge: Challenge) -> AcmeSettings {
    AcmeSettings {
        names: vec![NAME.to_owned(), format!("www.{NAME}")],
        challenge,
        directory: pebble.directory(),
        contact: Some("anna@callbox.example".to_owned()),
        ca_file: Some(pebble.ca_file()),
        first_pause: PAUSE,
    }
}

/// Where pebble comes to see.
fn serving(pebble: &Pebble, acme: AcmeSettings, state_dir: &Path) -> ServerSettings {
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    ServerSettings {
        listen: at(pebble.tls),
        http_listen: Some(at(pebble.http)),
        names: acme.names.clone(),
        tls: TlsSettings::Acme { state_dir: state_dir.to_owned(), acme },
        certificate_check: Duration::from_millis(50),
        ..settings()
    }
}

/// The certificate that a client which trusts pebble alone is shown for the name, once there is one other than `old`.
async fn obtained(server: &Server, pebble: &Pebble, old: Option<&[u8]>) -> Vec<u8> {
    let root = pebble.root().await;
    let wait = async {
        loop {
            if let Ok(stream) = connect(server.local_addr(), NAME, &root).await
                && Some(shown(&stream).as_slice()) != old
            {
                return shown(&stream);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(LONG, wait).await {
        Ok(certificate) => certificate,
        Err(_) => panic!("no certificate in time: {:?}", word(server)),
    }
}

fn word(server: &Server) -> String {
    server.shown().unwrap().word().unwrap()
}

/// Waits until the server says this of its certificate.
async fn says(server: &Server, words: &[&str]) -> String {
    let wait = async {
        while !words.iter().all(|part| word(server).contains(part)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "{words:?} is not in: {}", word(server));
    word(server)
}

fn account(dir: &Path) -> String {
    let authority = std::fs::read_dir(dir.join("tls/acme")).unwrap().next().unwrap().unwrap();
    std::fs::read_to_string(authority.path().join("account.json")).unwrap()
}

#[tokio::test]
async fn a_text_over_http_proves_the_names_and_nobody_is_disturbed() {
    let (pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let server = Server::start(serving(&pebble, acme(&pebble, Challenge::Http01), dir.path())).await.unwrap();
    let address = server.local_addr();
    let local = server.ca_pem().unwrap();
    // At once, and whatever becomes of the authority, our own vouches for this machine.
    let stream = connect(address, "localhost", &local).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("wss://{address}/ws"), stream).await.unwrap();
    obtained(&server, &pebble, None).await;
    socket.send(Message::text(json!({"type": "join", "userId": "anna"}).to_string())).await.unwrap();
    let joined = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(joined.to_text().unwrap().contains("joined"));
    connect(address, "localhost", &local).await.unwrap();

    let root = pebble.root().await;
    connect(address, &format!("www.{NAME}"), &root).await.unwrap();
    let text = says(&server, &[NAME, "from 127.0.0.1:", "until 20"]).await;
    assert!(!text.contains("tried again"), "{text}");
    assert_eq!(server.page_urls()[0], format!("https://{NAME}:{}/", address.port()));
    assert!(server.trust_urls().is_empty() && server.ca_fingerprint().is_none());

    // Only TLS from now on, and only for the names that everybody's browser believes.
    let ask = async |name: &str, roots: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}:{}\r\nConnection: close\r\n\r\n", address.port());
        exchange(connect(address, name, roots).await.unwrap(), &request).await
    };
    assert!(ask(NAME, &root).await.contains("strict-transport-security: max-age=31536000\r\n"));
    assert!(!ask("localhost", &local).await.contains("strict-transport-security"));

    // The port where the authority came leads the others to where they want to go.
    let http = server.http_addr().unwrap();
    let request = format!("GET /x HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    let response = exchange(tokio::net::TcpStream::connect(http).await.unwrap(), &request).await;
    assert!(response.contains(&format!("location: https://{NAME}:{}/x\r\n", address.port())), "{response}");
    assert!(get(http, "/", "").await.contains("ca.crt"), "who comes by an address is told of our own authority");
    let nothing = get(http, "/.well-known/acme-challenge/x", "").await;
    assert!(nothing.starts_with("HTTP/1.1 404 "), "{nothing}");
}

#[tokio::test]
async fn a_handshake_proves_the_names() {
    let (pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let settings = serving(&pebble, acme(&pebble, Challenge::TlsAlpn01), dir.path());
    let server = Server::start(ServerSettings { http_listen: None, ..settings }).await.unwrap();
    obtained(&server, &pebble, None).await;
}

#[tokio::test]
async fn a_record_in_the_dns_proves_the_names_and_is_cleared() {
    let (pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let hook = pebble.hook(dir.path(), "");
    let settings = serving(&pebble, acme(&pebble, Challenge::Dns01 { hook }), dir.path());
    // Nobody reaches this one.
    let settings = ServerSettings { listen: ([127, 0, 0, 1], 0).into(), http_listen: None, ..settings };
    let server = Server::start(settings).await.unwrap();
    obtained(&server, &pebble, None).await;
    let log = std::fs::read_to_string(dir.path().join("hook.log")).unwrap();
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable();
    let record = format!("_acme-challenge.{NAME}");
    let expected = ["clear", "set"].map(|act| [format!("{act} {record}"), format!("{act} _acme-challenge.www.{NAME}")]);
    assert_eq!(lines, expected.concat());
}

#[tokio::test]
async fn it_is_renewed_in_time_with_the_same_account() {
    // Two thirds of this are over in six seconds.
    let (pebble, dir) = (Pebble::started(Duration::from_secs(9)), tempfile::tempdir().unwrap());
    let server = Server::start(serving(&pebble, acme(&pebble, Challenge::Http01), dir.path())).await.unwrap();
    let first = obtained(&server, &pebble, None).await;
    let made = account(dir.path());
    let second = obtained(&server, &pebble, Some(&first)).await;
    assert_ne!(first, second);
    assert_eq!(account(dir.path()), made);
}

#[tokio::test]
async fn the_authority_may_have_it_renewed_earlier() {
    // By itself it would be renewed after 80 seconds.
    let (pebble, dir) = (Pebble::started(Duration::from_secs(120)), tempfile::tempdir().unwrap());
    let front = Front::of(&pebble, &[("renewalInfo", "/ari")], |path| match path.starts_with("/ari/") {
        true => {
            let window = json!({ "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z" });
            (200, "Retry-After: 21600\r\n".to_owned(), json!({ "suggestedWindow": window }).to_string())
        }
        false => (404, String::new(), String::new()),
    });
    let front = front.await;
    let acme = AcmeSettings {
        directory: front.directory(),
        ca_file: Some(front.ca_file(&pebble)),
        ..acme(&pebble, Challenge::Http01)
    };
    let server = Server::start(serving(&pebble, acme, dir.path())).await.unwrap();
    let first = obtained(&server, &pebble, None).await;
    obtained(&server, &pebble, Some(&first)).await;
    assert!(front.asked("/ari/") >= 1);
}

#[tokio::test]
async fn a_restart_needs_no_authority_and_makes_no_account() {
    let (mut pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let settings = serving(&pebble, acme(&pebble, Challenge::Http01), dir.path());
    let server = Server::start(settings.clone()).await.unwrap();
    let first = obtained(&server, &pebble, None).await;
    let (made, root) = (account(dir.path()), pebble.root().await);
    server.shutdown().await;

    pebble.stop();
    let server = Server::start(settings.clone()).await.unwrap();
    assert_eq!(shown(&connect(server.local_addr(), NAME, &root).await.unwrap()), first);
    server.shutdown().await;

    // For one more name, with an authority that has forgotten everybody.
    pebble.start();
    let TlsSettings::Acme { acme, .. } = &settings.tls else { unreachable!() };
    let mut more = acme.clone();
    more.names.push(format!("gate.{NAME}"));
    let server = Server::start(serving(&pebble, more, dir.path())).await.unwrap();
    obtained(&server, &pebble, Some(&first)).await;
    assert_ne!(account(dir.path()), made);
}

#[tokio::test]
async fn an_authority_that_is_away_keeps_nobody_waiting() {
    let (mut pebble, dir) = (Pebble::new(YEAR), tempfile::tempdir().unwrap());
    let server = Server::start(serving(&pebble, acme(&pebble, Challenge::Http01), dir.path())).await.unwrap();
    connect(server.local_addr(), "127.0.0.1", &server.ca_pem().unwrap()).await.unwrap();
    says(&server, &["this machine's own authority's", "none from 127.0.0.1:", "refused", "tried again in"]).await;
    pebble.start();
    obtained(&server, &pebble, None).await;
}

#[tokio::test]
async fn a_hook_that_fails_is_quoted_and_tried_again_in_peace() {
    let (pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let hook = pebble.hook(dir.path(), "echo 'the zone is read-only' >&2; exit 7");
    let settings = serving(&pebble, acme(&pebble, Challenge::Dns01 { hook }), dir.path());
    let server = Server::start(settings).await.unwrap();
    says(&server, &["hook set _acme-challenge.", "exit code 7: the zone is read-only", "tried again in"]).await;
    let tries = || {
        let log = std::fs::read_to_string(dir.path().join("hook.log")).unwrap();
        log.lines().filter(|line| line.starts_with("set ")).count()
    };
    assert_eq!(tries(), 1);
    pebble.hook(dir.path(), "");
    obtained(&server, &pebble, None).await;
    assert_eq!(tries(), 3, "one more attempt for two names");
}

#[tokio::test]
async fn an_authority_that_says_when_is_left_alone_until_then() {
    let (pebble, dir) = (Pebble::started(YEAR), tempfile::tempdir().unwrap());
    let front = Front::of(&pebble, &[("newOrder", "/order")], |_| {
        let problem = json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many" });
        (429, "Retry-After: 36000\r\nReplay-Nonce: none\r\n".to_owned(), problem.to_string())
    });
    let front = front.await;
    let acme = AcmeSettings {
        directory: front.directory(),
        ca_file: Some(front.ca_file(&pebble)),
        ..acme(&pebble, Challenge::Http01)
    };
    let settings = serving(&pebble, acme, dir.path());
    let server = Server::start(settings.clone()).await.unwrap();
    says(&server, &["too many (rateLimited)", "tried again in"]).await;
    assert!(word(&server).ends_with("tried again in 10 h") || word(&server).ends_with("tried again in 9 h"));
    server.shutdown().await;
    // A restart does not make it forget.
    let asked = front.asked("/");
    let server = Server::start(settings).await.unwrap();
    tokio::time::sleep(PAUSE * 2).await;
    assert_eq!((front.asked("/order"), front.asked("/")), (1, asked), "{}", word(&server));
}
