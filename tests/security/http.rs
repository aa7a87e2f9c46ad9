//! What a client can do to HTTP and to WebSocket's framing: paths, headers and hosts that are not what they seem, requests
//! that never end, frames that never do, compression that nobody agreed on.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::home::Home;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_but_the_page() {
    let home = Home::start("").await;
    let secret = "/../state/household.db";
    for path in [
        secret,
        "/..%2fstate%2fhousehold.db",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/....//....//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/%00index.html",
        "/index.html%00.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/callbox.toml",
        "/.git/config",
        "/api/../state/household.db",
        "/tsconfig.json",
        "/app.js/..",
        "/%",
        "/%zz",
    ] {
        let answer = home.get(path, &[]).await;
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.contains("root:") && !answer.body.contains("SQLite"), "{path}");
    }
    // A whole address in place of a path, as for a proxy, names nobody else.
    let answer = home.get("http://evil.example/index.html", &[]).await;
    assert!(!answer.body.contains("evil"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_sent_becomes_a_header() {
    let home = Home::start("").await;
    let owner = home.enter(&["Olga", "--role", "owner"]).await;
    for path in ["/%0d%0aSet-Cookie:%20callbox=evil", "/x%0d%0a%0d%0a<script>", "/api/me?x=%0d%0aX-Evil:%201"] {
        let answer = home.get(path, &[("Cookie", &owner.cookie)]).await;
        let head = answer.head.to_lowercase();
        assert!(!head.contains("evil") && !answer.body.contains("<script>"), "{path}: {answer:?}");
    }
    // A name goes into an answer's body, and nowhere else.
    let own = format!("http://{}", home.address);
    let headers = [("Cookie", owner.cookie.as_str()), ("Origin", own.as_str())];
    for name in ["Eve\r\nX-Evil: 1", "Eve\0", "Eve\nMallory"] {
        let answer = home.post("/api/invite", &json!({ "name": name, "base": format!("{own}/") }), &headers).await;
        assert!((400..500).contains(&answer.status) && !answer.head.contains("X-Evil"), "{name:?}: {answer:?}");
    }
    // Two lengths, or a length and pieces: what comes after the request is no second one of somebody's.
    for head in ["Content-Length: 2\r\nContent-Length: 60", "Content-Length: 2\r\nTransfer-Encoding: chunked"] {
        let smuggled = "GET /api/people HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!(
            "POST /api/leave HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{head}\r\n\r\n{{}}{smuggled}",
            home.address
        );
        let answer = home.raw(request.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.head.matches("HTTP/1.1").count() + answer.body.matches("HTTP/1.1").count(), 1, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_ours_gets_no_page_of_its_own_in() {
    let home = Home::start("").await;
    let anna = home.enter(&["Anna"]).await;
    for host in
        ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "localhost.evil.example", "[::1].evil.example"]
    {
        let origin = format!("http://{host}");
        let rebound = [("Host", host), ("Origin", &origin), ("Cookie", &anna.cookie)];
        assert_eq!(home.connect(&rebound).await.err(), Some(403), "{host}");
        assert_eq!(home.get("/api/me", &rebound).await.status, 403, "{host}");
        let answer = home.post("/api/redeem", &json!({ "secret": "x" }), &rebound).await;
        assert_eq!(answer.status, 403, "{host}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_before_it_is_there() {
    let home = Home::start("").await;
    let megabyte = "x".repeat(1 << 20);
    for head in [format!("X-Long: {megabyte}"), format!("Cookie: callbox={megabyte}"), "X-Many: 1\r\n".repeat(10_000)] {
        let request = format!("GET /api/me HTTP/1.1\r\nHost: {}\r\n{head}\r\n\r\n", home.address);
        assert!([0, 400, 431].contains(&sent_at(&home, request.as_bytes()).await), "{}", &head[..20]);
    }
    let request = format!("GET /{megabyte} HTTP/1.1\r\nHost: {}\r\n\r\n", home.address);
    assert!([0, 400, 414, 431].contains(&sent_at(&home, request.as_bytes()).await));
    let request = format!(
        "POST /api/redeem HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\"{megabyte}\"",
        home.address,
        megabyte.len() + 2
    );
    assert!([0, 400, 413].contains(&sent_at(&home, request.as_bytes()).await));
    assert_eq!(home.get("/healthz", &[]).await.status, 200);
}

/// The status with which this is answered; 0: the connection ended without an answer, as it does when bytes that nobody
/// read are still on their way.
async fn sent_at(home: &Home, bytes: &[u8]) -> u16 {
    let exchange = async {
        let mut stream = TcpStream::connect(home.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    };
    timeout(Duration::from_secs(20), exchange).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_are_ended() {
    const DRIPS: usize = 300;
    let home = Home::start("").await;
    let began = Instant::now();
    let mut drips = JoinSet::new();
    for drip in 0..DRIPS {
        let address = home.address;
        drips.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let begin = match drip % 3 {
                0 => "GET /api/me HTTP/1.1\r\nHost: x\r\n",
                1 => "G",
                _ => "",
            };
            // A line each half second keeps a server busy that waits for the next one.
            let _ = stream.write_all(begin.as_bytes()).await;
            let mut answer = [0; 256];
            loop {
                match timeout(Duration::from_millis(500), stream.read(&mut answer)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(_)) => {}
                    Err(_) if drip % 3 == 2 => {}
                    Err(_) => _ = stream.write_all(b"X: y\r\n").await,
                }
            }
        });
    }
    // Meanwhile somebody comes in.
    let asked = Instant::now();
    assert_eq!(home.get("/healthz", &[]).await.status, 200);
    println!("answered beside {DRIPS} slow ones after {:?}", asked.elapsed());
    let ended = timeout(Duration::from_secs(30), async { while drips.join_next().await.is_some() {} });
    ended.await.expect("they are all sent away");
    println!("all were sent away after {:?}", began.elapsed());
}

/// A frame of a client, masked with zeroes. `head`: FIN, RSV and opcode.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[head, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_end_end_the_connection() {
    let home = Home::start("").await;
    let anna = home.enter(&["Anna"]).await;
    let mut witness = home.join(&anna).await;
    for (first, next, code) in [
        // A text in pieces of a few bytes, in empty ones, with pings in between; continuations of nothing.
        (frame(0x01, b"{"), frame(0x00, &[b'x'; 100]), vec![1008, 1009]),
        (frame(0x01, b"{"), frame(0x00, b""), vec![1008]),
        (frame(0x01, b"{"), [frame(0x89, b"x"), frame(0x00, b"y")].concat(), vec![1008]),
        (frame(0x00, b"x"), frame(0x00, b"x"), vec![1002]),
        (frame(0x89, b""), frame(0x8a, b""), vec![1008]),
    ] {
        let mut client = home.connect(&[]).await.unwrap();
        let _ = client.write(&first).await;
        let mut written = 0;
        while written < 20_000 && client.write(&next.repeat(50)).await.is_ok() {
            written += 50;
        }
        let closed = client.closed().await;
        assert!(code.contains(&closed) || closed == 1006, "{first:x?}: {closed}");
    }
    witness.say(json!({ "type": "ping", "nonce": "1" })).await;
    witness.hear("pong").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_compressed_to() {
    let home = Home::start("").await;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n\r\n",
        home.address
    );
    let mut stream = TcpStream::connect(home.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
    }
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-extensions"), "{head}");
    // Compressed all the same: a few bytes that would be a gigabyte are an error, and never unpacked.
    let mut client = home.connect(&[]).await.unwrap();
    client.write(&frame(0xc1, &[0xec, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08])).await.unwrap();
    assert_eq!(client.closed().await, 1002);
}
