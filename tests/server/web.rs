//! Plain HTTP: the page's files, their headers, and who may open a WebSocket.

use std::net::SocketAddr;

use callbox::server::{Server, ServerSettings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, PATIENCE, start};

/// One request; the whole response as text.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    let mut response = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await.unwrap();
        // A TLS server that just closes is fine here: the responses carry their lengths.
        let _ = stream.read_to_end(&mut response).await;
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("a response in time");
    String::from_utf8_lossy(&response).into_owned()
}

pub async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    exchange(stream, &request).await
}

#[tokio::test]
async fn the_page_comes_with_strict_headers_and_a_tag() {
    let server = start().await;
    let response = get(server.local_addr(), "/", "").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "cache-control: no-cache\r\n",
        "x-content-type-options: nosniff\r\n",
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'\r\n",
        "permissions-policy: camera=(self), microphone=(self)",
        "cross-origin-opener-policy: same-origin\r\n",
        "cross-origin-resource-policy: same-origin\r\n",
        "referrer-policy: no-referrer\r\n",
    ] {
        assert!(response.contains(header), "{header} is missing in {response}");
    }
    assert!(!response.contains("unsafe-") && !response.contains("strict-transport-security"), "{response}");
    let tag = response.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = get(server.local_addr(), "/index.html", &format!("If-None-Match: {tag}\r\n")).await;
    assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
}

#[tokio::test]
async fn nobody_frames_the_page_but_who_is_named() {
    let frame_ancestors = vec!["https://dashboard.example.org".to_owned(), "http://192.0.2.7:8123".to_owned()];
    let settings = ServerSettings { frame_ancestors, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
    let server = Server::start(settings).await.unwrap();
    let response = get(server.local_addr(), "/", "").await;
    let policy = "; frame-ancestors https://dashboard.example.org http://192.0.2.7:8123\r\n";
    assert!(response.contains(policy), "{response}");
}

#[tokio::test]
async fn what_is_somebodys_own_is_stored_nowhere() {
    let server = start().await;
    let response = get(server.local_addr(), "/api/me", "").await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("cache-control: no-store\r\n"), "{response}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = start().await;
    for path in
        ["/nothing", "/../Cargo.toml", "/..%2fCargo.toml", "//etc/passwd", "/%00", "/index.html/x", "/src/main.rs"]
    {
        let response = get(server.local_addr(), path, "").await;
        assert!(response.starts_with("HTTP/1.1 404 ") || response.starts_with("HTTP/1.1 400 "), "{path}: {response}");
    }
    assert!(get(server.local_addr(), "/healthz", "").await.ends_with("ok\n"));
    assert!(get(server.local_addr(), "/ws", "").await.starts_with("HTTP/1.1 426 "));
}

#[tokio::test]
async fn only_our_own_page_and_programs_may_connect() {
    let server = start().await;
    let address = server.local_addr();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (origin, status) in [
        (format!("http://{address}"), "101"),
        ("http://evil.example".to_owned(), "403"),
        (format!("http://{}", address.ip()), "403"),
        ("null".to_owned(), "403"),
    ] {
        for path in ["/", "/ws"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{upgrade}Origin: {origin}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut head = [0; 12];
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&head), format!("HTTP/1.1 {status}"), "{origin}{path}");
        }
    }
}

#[tokio::test]
async fn a_name_that_a_stranger_gave_our_address_is_refused() {
    let names = vec!["door.example.org".to_owned()];
    let settings = ServerSettings { names, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
    let server = Server::start(settings).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (host, status) in [("localhost", "101"), ("door.example.org", "101"), ("rebound.example", "403")] {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let request = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{upgrade}Origin: http://{host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&head), format!("HTTP/1.1 {status}"), "{host}");
    }
}

/// Behind a proxy the page hears nothing of why its WebSocket was refused, so it asks in plain HTTP.
#[tokio::test]
async fn a_page_that_asks_is_told_why_it_is_refused() {
    let names = vec!["door.example.org".to_owned()];
    let settings = ServerSettings { names, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
    let server = Server::start(settings).await.unwrap();
    let address = server.local_addr();
    for (host, page, status, code) in [
        ("rebound.example", "http://rebound.example/", 403, "badHost"),
        ("127.0.0.1:8080", "https://elsewhere.example/", 403, "badOrigin"),
        ("localhost", "http://localhost/", 426, "notAWebSocket"),
        ("127.0.0.1:8080", "https://door.example.org/", 426, "notAWebSocket"),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let response = exchange(stream, &format!("{head}Accept: application/json\r\nReferer: {page}\r\n\r\n")).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{page}: {response}");
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], code, "{page}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    // Who does not ask for JSON reads plain words.
    assert!(get(address, "/ws", "").await.ends_with("this address speaks WebSocket\n"));
}

#[tokio::test]
async fn a_page_that_asks_is_told_of_a_full_server() {
    let settings = ServerSettings { max_connections: 1, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
    let server = Server::start(settings).await.unwrap();
    let _anna = Client::join(server.local_addr(), "anna").await;
    let full = tokio::time::timeout(PATIENCE, async {
        loop {
            // The hub says so a moment after it is so.
            let response = get(server.local_addr(), "/ws", "Accept: application/json\r\n").await;
            if response.starts_with("HTTP/1.1 503 ") {
                return response;
            }
        }
    });
    assert!(full.await.unwrap().contains("\"serverFull\""));
}

#[tokio::test]
async fn a_listed_name_is_served_behind_a_proxy_that_calls_the_server_otherwise() {
    let names = vec!["door.example.org".to_owned()];
    let settings = ServerSettings { names, ..ServerSettings::new("127.0.0.1:0".parse().unwrap()) };
    let server = Server::start(settings).await.unwrap();
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (origin, status) in [("https://door.example.org", "101"), ("https://other.example.org", "403")] {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let request = format!("GET /ws HTTP/1.1\r\nHost: backend:8080\r\n{upgrade}Origin: {origin}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&head), format!("HTTP/1.1 {status}"), "{origin}");
    }
}
