//! Bad input and bad clients: each gets its defined answer and disturbs nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use callbox::protocol::{MAX_MALFORMED, MAX_MESSAGE_BYTES, MAX_RATE_LIMITED, MESSAGE_BURST, close};
use callbox::server::{Server, ServerError, ServerSettings};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::{Client, PATIENCE, settings, start};

async fn pair(address: SocketAddr) -> (Client, Client) {
    let mut anna = Client::join(address, "anna").await;
    let bert = Client::join(address, "bert").await;
    anna.hear("presence").await;
    (anna, bert)
}

#[tokio::test]
async fn malformed_messages_are_answered_and_the_connection_stays() {
    let server = start().await;
    let (mut anna, mut bert) = pair(server.local_addr()).await;
    let long = "x".repeat(65);
    let deep = "[".repeat(10_000);
    for (text, code) in [
        ("", "badMessage"),
        ("{", "badMessage"),
        ("null", "badMessage"),
        ("[]", "badMessage"),
        (deep.as_str(), "badMessage"),
        (r#"{"type": ["offer"]}"#, "badMessage"),
        (r#"{"type": "dance"}"#, "unknownType"),
        (r#"{"type": "joined", "userId": "x", "version": 1, "peers": [], "iceServers": []}"#, "unknownType"),
        (r#"{"type": "offer"}"#, "badField"),
        (r#"{"type": "offer", "targetId": 7, "offer": {"type": "offer", "sdp": ""}}"#, "badField"),
        (r#"{"type": "offer", "targetId": "bert", "offer": "v=0"}"#, "badField"),
        (r#"{"type": "offer", "targetId": "bert", "offer": {"type": "offer", "sdp": 7}}"#, "badField"),
        (
            r#"{"type": "candidate", "targetId": "bert", "candidate": {"candidate": "x", "sdpMLineIndex": -1}}"#,
            "badField",
        ),
        (r#"{"type": "ringing", "targetId": "anna"}"#, "badField"),
        (r#"{"type": "join", "userId": "somebody else"}"#, "alreadyJoined"),
        (&format!(r#"{{"type": "leave", "targetId": "{long}"}}"#), "badField"),
    ] {
        anna.say_text(text).await;
        let answer = anna.next().await;
        assert!(answer["type"] == "error" && answer["code"] == code, "{text}: {answer}");
    }
    anna.is_well().await;
    bert.is_well().await;
}

#[tokio::test]
async fn an_unknown_target_is_named() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    anna.say(json!({"type": "candidate", "targetId": "ghost", "candidate": null, "callId": "c7"})).await;
    let error = anna.next().await;
    assert_eq!(error["code"], "unknownTarget");
    assert_eq!(
        (&error["targetId"], &error["inReplyTo"], &error["callId"]),
        (&json!("ghost"), &json!("candidate"), &json!("c7"))
    );
}

#[tokio::test]
async fn a_stranger_can_only_join() {
    let server = start().await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    let mut stranger = Client::connect(server.local_addr()).await;
    stranger.say(json!({"type": "leave", "userId": "bert", "targetId": "bert"})).await;
    assert_eq!(stranger.next().await["code"], "notJoined");
    bert.is_well().await;
}

#[tokio::test]
async fn what_is_no_short_text_frame_closes_the_connection() {
    let server = start().await;
    let (mut anna, mut bert) = pair(server.local_addr()).await;
    let long = format!(r#"{{"type":"leave","targetId":"bert","x":"{}"}}"#, "x".repeat(65 * 1024));
    for (message, code) in [
        (Message::Binary(vec![0; 10].into()), close::UNSUPPORTED),
        (Message::text(long), close::TOO_BIG),
        (Message::text("x".repeat(2 * 1024 * 1024)), close::TOO_BIG),
    ] {
        let mut client = Client::connect(server.local_addr()).await;
        // The server may close before it has all.
        let _ = client.socket.send(message).await;
        assert_eq!(client.close_code().await, code);
    }
    anna.is_well().await;
    bert.is_well().await;
}

#[tokio::test]
async fn the_longest_message_passes() {
    let server = start().await;
    let (mut anna, mut bert) = pair(server.local_addr()).await;
    let frame =
        |n: usize| json!({"type": "leave", "targetId": "bert", "userId": "anna", "x": "x".repeat(n)}).to_string();
    let room = MAX_MESSAGE_BYTES - frame(0).len();
    anna.say_text(&frame(room)).await;
    assert_eq!(bert.next().await["x"].as_str().unwrap().len(), room);
    // As long, but without the sender's ID, which the server adds.
    let text = json!({"type": "leave", "targetId": "bert", "x": "x".repeat(room + 10)}).to_string();
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    anna.say_text(&text).await;
    assert_eq!(anna.next().await["code"], "badField");
    bert.is_well().await;
}

#[tokio::test]
async fn broken_frames_close_with_their_codes() {
    let server = start().await;
    for (bytes, code) in [
        // Text frame, masked with zeroes, whose payload is no UTF-8.
        ([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28].as_slice(), close::INVALID),
        // Not masked.
        ([0x81, 0x02, b'h', b'i'].as_slice(), close::PROTOCOL),
        // A frame header that announces 2^62 bytes.
        ([0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(), close::TOO_BIG),
    ] {
        let mut client = Client::connect(server.local_addr()).await;
        client.socket.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(client.close_code().await, code, "{bytes:x?}");
    }
}

#[tokio::test]
async fn malformed_messages_without_end_close_the_connection() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    for _ in 0..=MAX_MALFORMED {
        anna.say_text("{").await;
    }
    assert_eq!(anna.close_code().await, close::POLICY);
}

#[tokio::test]
async fn a_flood_is_dropped_and_then_cut() {
    let server = start().await;
    let (anna, mut bert) = pair(server.local_addr()).await;
    let (mut sink, mut stream) = anna.socket.split();
    let (go_on, told) = tokio::sync::oneshot::channel();
    let flood = tokio::spawn(async move {
        let text = json!({"type": "ringing", "targetId": "bert"}).to_string();
        for _ in 0..MESSAGE_BURST + MAX_RATE_LIMITED / 2 {
            sink.send(Message::text(text.as_str())).await.unwrap();
        }
        // What waits for somebody who is cut is dropped, the warnings too.
        told.await.unwrap();
        // Far more than is let through while it is being sent.
        for _ in 0..20 * (MESSAGE_BURST + MAX_RATE_LIMITED) {
            if sink.send(Message::text(text.as_str())).await.is_err() {
                break;
            }
        }
    });
    let mut go_on = Some(go_on);
    let code = tokio::time::timeout(PATIENCE, async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) if text.as_str().contains("rateLimited") => {
                    go_on.take().map(|go_on| go_on.send(()));
                }
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(code.await.unwrap(), close::POLICY);
    assert!(go_on.is_none(), "warned before");
    flood.abort();
    let mut rings = 0;
    let offline = loop {
        let message = bert.next().await;
        match message["type"].as_str() {
            Some("ringing") => rings += 1,
            _ => break message,
        }
    };
    assert_eq!(offline["online"], false);
    // One of the burst was for `join`.
    assert!((MESSAGE_BURST - 1..2 * MESSAGE_BURST).contains(&rings), "{rings}");
    bert.is_well().await;
}

#[tokio::test]
async fn a_full_server_says_so() {
    let mut settings = settings();
    settings.max_connections = 2;
    let server = Server::start(settings).await.unwrap();
    let (mut anna, bert) = pair(server.local_addr()).await;
    let mut third = Client::connect(server.local_addr()).await;
    assert_eq!(third.next().await["code"], "serverFull");
    assert_eq!(third.close_code().await, close::TRY_LATER);
    anna.is_well().await;
    bert.close().await;
    anna.hear("presence").await;
    Client::join(server.local_addr(), "third").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_the_others_go_on() {
    let server = start().await;
    let address = server.local_addr();
    let slow = Client::join(address, "slow").await;
    let mut watcher = Client::join(address, "watcher").await;
    // Several senders, as each is limited in its rate; about 190 messages of 60 kB are far beyond what the kernel buffers.
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..3 {
        senders.spawn(async move {
            let mut sender = Client::join(address, &format!("sender {n}")).await;
            let message = json!({"type": "ringing", "targetId": "slow", "x": "x".repeat(60_000)});
            for _ in 0..190 {
                sender.say(message.clone()).await;
            }
            sender
        });
    }
    // Too slow is who takes nothing for a while, not whose queue is long.
    let gone = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let Some(Ok(Message::Text(text))) = watcher.socket.next().await else { continue };
            let message: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
            if message["peer"]["userId"] == "slow" && message["online"] == false {
                return;
            }
        }
    });
    gone.await.expect("the slow client goes off line");
    let mut senders = senders.join_all().await;
    senders[0].say(json!({"type": "ringing", "targetId": "watcher"})).await;
    watcher.hear("ringing").await;
    drop(slow);
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let server = start().await;
    let mut settings = settings();
    settings.listen = server.local_addr();
    let error = Server::start(settings).await.err().unwrap();
    assert!(matches!(error, ServerError::InUse { .. }));
    let text = error.to_string();
    assert!(text.contains(&server.local_addr().to_string()) && text.contains("[server] listen"), "{text}");
}

#[tokio::test]
async fn a_stranger_is_sent_away_and_makes_room_before() {
    let mut settings = settings();
    settings.max_connections = 2;
    let server = Server::start(settings).await.unwrap();
    let mut anna = Client::join(server.local_addr(), "anna").await;
    let mut stranger = Client::connect(server.local_addr()).await;
    let mut second = Client::connect(server.local_addr()).await;
    assert_eq!(stranger.next().await["code"], "serverFull");
    assert_eq!(stranger.close_code().await, close::TRY_LATER);
    assert_eq!(second.close_code().await, close::POLICY, "it never joins");
    anna.is_well().await;
}

#[tokio::test]
async fn sockets_that_ask_for_nothing_make_way() {
    let settings = ServerSettings { max_connections: 4, max_others: 16, ..settings() };
    let server = Server::start(settings).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..30 {
        idle.push(tokio::net::TcpStream::connect(server.local_addr()).await.unwrap());
    }
    // Without making way they would stay for ten seconds each time.
    let join = Client::join(server.local_addr(), "anna");
    let mut anna = tokio::time::timeout(Duration::from_secs(8), join).await.expect("a place");
    anna.is_well().await;
}

#[tokio::test]
async fn the_devices_own_place_is_kept() {
    let mut settings = settings();
    settings.max_connections = 1;
    let server = Server::start(settings).await.unwrap();
    let _anna = Client::join(server.local_addr(), "anna").await;
    let pass = |pass: &str| format!("Bearer {pass}");
    let (_door, joined) = join_with(server.local_addr(), "door", "authorization", &pass(&server.pass())).await;
    assert_eq!(joined["type"], "joined");
    let (_, guess) = join_with(server.local_addr(), "door", "authorization", &pass("guessed")).await;
    assert_eq!(guess["code"], "serverFull");
}

#[tokio::test]
async fn behind_a_trusted_proxy_everybody_has_a_share() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(ServerSettings { max_connections: 8, trusted_proxies, ..settings() }).await.unwrap();
    let join = async |id, client| join_with(server.local_addr(), id, "x-forwarded-for", client).await;
    let mut members = Vec::new();
    for (id, client, answer) in [
        ("a", "192.0.2.7", "joined"),
        ("b", "198.51.100.1, 192.0.2.7", "joined"),
        ("c", "198.51.100.2, 192.0.2.7", "error"),
        ("d", "192.0.2.8", "joined"),
    ] {
        let (member, first) = join(id, client).await;
        assert_eq!(first["type"], answer, "{client}");
        members.push(member);
    }
}

/// A client whose request has this header, and the first answer to its `join`.
async fn join_with(address: SocketAddr, id: &str, header: &'static str, value: &str) -> (Client, serde_json::Value) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert(header, value.parse().unwrap());
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut client = Client { socket };
    // Whoever is refused may have been already.
    let _ = client.socket.send(Message::text(json!({"type": "join", "userId": id}).to_string())).await;
    let answer = client.next().await;
    (client, answer)
}
