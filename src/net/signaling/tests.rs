use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::client::{Connect, JOIN_PATIENCE, PONG_TIMEOUT};
use super::*;
use crate::net::trust::{Trust, client_config};
use crate::protocol::{Challenge, ErrorCode, KEEPALIVE};

const PATIENCE: Duration = Duration::from_secs(20);

fn join() -> Message {
    let user_id = "door".parse().unwrap();
    Message::Join { user_id, name: None, kind: Default::default(), accepts: Vec::new(), token: None, credential: None }
}

fn settings(url: String) -> SignalingSettings {
    SignalingSettings {
        url,
        address: None,
        token: None,
        tls: client_config(&Trust::System).unwrap(),
        join: join(),
        signer: None,
        pairing: None,
    }
}

async fn event(events: &mut mpsc::Receiver<SignalingEvent>) -> SignalingEvent {
    timeout(PATIENCE, events.recv()).await.expect("an event in time").expect("the client lives")
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> String {
    loop {
        let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
        if let Frame::Text(text) = frame {
            return text.to_string();
        }
    }
}

fn leave(to: &str) -> Message {
    Message::Leave { user_id: None, target_id: Some(to.parse().unwrap()), reason: None, call_id: None }
}

/// A client that is up, and the server's end of its connection.
async fn connected() -> (Signaling, mpsc::Receiver<SignalingEvent>, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (signaling, mut events) = Signaling::start(settings(url)).unwrap();
    let socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
    assert!(matches!(event(&mut events).await, SignalingEvent::Up));
    (signaling, events, socket)
}

#[tokio::test]
async fn registers_again_after_the_server_went_away_and_sends_what_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let (signaling, mut events) = Signaling::start(settings(url)).unwrap();

    let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
    assert!(text(&mut socket).await.contains("\"join\""));
    assert!(matches!(event(&mut events).await, SignalingEvent::Up));
    socket.close(None).await.unwrap();
    assert!(matches!(event(&mut events).await, SignalingEvent::Down { error: SignalingError::Closed(_), .. }));

    signaling.send(leave("anna"));
    let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
    assert!(text(&mut socket).await.contains("\"join\""), "join comes before anything that waited");
    assert!(text(&mut socket).await.contains("anna"));
    assert!(matches!(event(&mut events).await, SignalingEvent::Up));

    signaling.shutdown().await;
    assert_eq!(text(&mut socket).await, r#"{"type":"leave","userId":"door"}"#);
}

#[tokio::test]
async fn passes_on_messages_and_names_who_sent_rubbish() {
    let (signaling, mut events, mut socket) = connected().await;
    for frame in [
        Frame::binary(vec![1, 2, 0xff]),
        Frame::text(r#"{"type":"offer","userId":"anna","targetId":"door"}"#),
        Frame::text("rubbish"),
        // What Node's ws makes of a text that is forwarded as it came.
        Frame::binary(leave("door").to_text()),
    ] {
        socket.send(frame).await.unwrap();
    }
    assert!(matches!(event(&mut events).await,
        SignalingEvent::Malformed { from: Some(from), error: ParseError::BadField { .. } } if from.as_str() == "anna"));
    assert!(matches!(event(&mut events).await, SignalingEvent::Malformed { from: None, .. }));
    assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Leave { .. })));
    assert_eq!(signaling.unreadable(), 3);
}

#[tokio::test]
async fn takes_the_servers_refusal_of_its_id_for_a_failed_connection() {
    for refusal in [
        r#"{"type":"error","code":"idTaken","message":"taken"}"#,
        r#"{"type":"error","code":"badField","message":"no such ID","inReplyTo":"join"}"#,
    ] {
        let (_signaling, mut events, mut socket) = connected().await;
        socket.send(Frame::text(refusal)).await.unwrap();
        assert!(matches!(event(&mut events).await, SignalingEvent::Down { error: SignalingError::Refused(_), .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_was_never_registered() {
    let (_outgoing, mut events, wires) = client();
    for _ in 0..3 {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        wires.send(ours).await.unwrap();
        let mut server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        server.next().await.unwrap().unwrap();
        server.send(Frame::text(r#"{"type":"error","code":"idTaken","message":"taken"}"#)).await.unwrap();
        assert!(matches!(events.recv().await, Some(SignalingEvent::Down { error: SignalingError::Refused(_), .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn is_registered_when_the_server_says_so_or_somebody_calls_or_nobody_objects() {
    let (_outgoing, mut events, wires) = client();
    let joined = r#"{"type":"joined","userId":"door","version":1,"peers":[],"iceServers":[]}"#.to_owned();
    for (text, wait) in
        [(Some(joined), Duration::ZERO), (Some(leave("door").to_text()), Duration::ZERO), (None, JOIN_PATIENCE)]
    {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        wires.send(ours).await.unwrap();
        let mut server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        server.next().await.unwrap().unwrap();
        let start = Instant::now();
        if let Some(text) = &text {
            server.send(Frame::text(text.clone())).await.unwrap();
        }
        assert!(matches!(events.recv().await, Some(SignalingEvent::Up)));
        assert_eq!(start.elapsed(), wait);
        if text.is_some() {
            assert!(matches!(events.recv().await, Some(SignalingEvent::Message(_))));
        }
        drop(server);
        assert!(matches!(events.recv().await, Some(SignalingEvent::Down { .. })));
    }
}

/// Over a plain relay, which passes on whatever has our ID in `targetId`.
#[tokio::test]
async fn no_peer_can_speak_for_the_server() {
    let (_signaling, mut events, mut socket) = connected().await;
    let joined = r#""userId":"door","version":1,"peers":[],"iceServers":[{"urls":["turn:evil.example"]}]"#;
    let presence = r#""peer":{"userId":"anna","name":"Anna","kind":"device"},"online":true"#;
    for text in [
        format!(r#"{{"type":"joined","targetId":"door",{joined}}}"#),
        format!(r#"{{"type":"presence","targetId":"door",{presence}}}"#),
        // The relay itself would not say so before a "joined".
        format!(r#"{{"type":"presence",{presence}}}"#),
        // Too late to be the answer to our join.
        format!(r#"{{"type":"joined",{joined}}}"#),
        r#"{"type":"peers","targetId":"door","online":[]}"#.to_owned(),
        r#"{"type":"error","code":"idTaken","message":"x","inReplyTo":"join","targetId":"door"}"#.to_owned(),
        r#"{"type":"error","code":"serverFull","message":"x","inReplyTo":"join","userId":"anna"}"#.to_owned(),
        leave("door").to_text(),
    ] {
        socket.send(Frame::text(text)).await.unwrap();
    }
    for code in [ErrorCode::IdTaken, ErrorCode::ServerFull] {
        let SignalingEvent::PeerError(error) = event(&mut events).await else { panic!("no peer's error") };
        assert_eq!(error.code, code);
    }
    assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Leave { .. })));
}

#[tokio::test]
async fn the_servers_own_word_counts() {
    let (_signaling, mut events, mut socket) = connected().await;
    for text in [
        r#"{"type":"pong"}"#,
        r#"{"type":"joined","userId":"door","version":1,"peers":[],"iceServers":[]}"#,
        r#"{"type":"peers","online":[{"userId":"anna","name":"Anna","kind":"person"}]}"#,
        r#"{"type":"error","code":"unknownTarget","message":"x","targetId":"ben","inReplyTo":"offer"}"#,
    ] {
        socket.send(Frame::text(text)).await.unwrap();
    }
    assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Pong { .. })));
    assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Joined { .. })));
    assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Peers { .. })));
    assert!(matches!(event(&mut events).await, SignalingEvent::ServerError(_)));
}

#[tokio::test]
async fn refuses_urls_that_are_not_for_websockets() {
    for url in ["http://a/", "door", "ws:///ws", ""] {
        assert!(matches!(Signaling::start(settings(url.into())), Err(SignalingError::BadUrl(_))), "{url}");
    }
}

#[tokio::test]
async fn says_so_when_the_scheme_does_not_fit_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A TLS server's answer to HTTP, and an HTTP server's to TLS, begin so.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
        }
    });
    let (_signaling, mut events) = Signaling::start(settings(format!("wss://{address}/"))).unwrap();
    let SignalingEvent::Down { error, .. } = event(&mut events).await else { panic!("never down") };
    assert!(matches!(error, SignalingError::Tls(_)) && error.to_string().contains("ws://"), "{error}");
}

/// Connections that stay within the test, so that its clock is the only one.
struct Wires(mpsc::Receiver<DuplexStream>);

impl Connect for Wires {
    type Io = DuplexStream;

    async fn connect(&mut self) -> Result<(WebSocketStream<DuplexStream>, Option<Challenge>), SignalingError> {
        let wire = self.0.recv().await.expect("a further connection");
        Ok((WebSocketStream::from_raw_socket(wire, Role::Client, None).await, None))
    }
}

/// The device's ends, and where the server's ends of further connections come from.
fn client() -> (mpsc::Sender<(Instant, Message)>, mpsc::Receiver<SignalingEvent>, mpsc::Sender<DuplexStream>) {
    let (wires, endpoint) = mpsc::channel(4);
    let (outgoing, from_device) = mpsc::channel(OUTGOING);
    let (to_device, events) = mpsc::channel(INCOMING);
    let client = Client {
        endpoint: Wires(endpoint),
        join: join(),
        proving: None,
        from_device,
        to_device,
        unreadable: Arc::default(),
    };
    tokio::spawn(client.run());
    (outgoing, events, wires)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_without_a_word_is_noticed() {
    let (outgoing, mut events, wires) = client();
    let (ours, _dead) = tokio::io::duplex(1 << 20);
    wires.send(ours).await.unwrap();
    assert!(matches!(events.recv().await, Some(SignalingEvent::Up)));
    let up = Instant::now();
    assert!(matches!(events.recv().await, Some(SignalingEvent::Down { error: SignalingError::Silent(_), .. })));
    assert_eq!(up.elapsed() + JOIN_PATIENCE, KEEPALIVE + PONG_TIMEOUT, "with nothing to say");

    let (ours, _dead) = tokio::io::duplex(1 << 20);
    wires.send(ours).await.unwrap();
    assert!(matches!(events.recv().await, Some(SignalingEvent::Up)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let said = Instant::now();
    outgoing.send((said, leave("anna"))).await.unwrap();
    assert!(matches!(events.recv().await, Some(SignalingEvent::Down { error: SignalingError::Silent(_), .. })));
    assert_eq!(said.elapsed(), PONG_TIMEOUT, "what is said has to be said again soon");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_answers_pings_is_alive() {
    let (outgoing, mut events, wires) = client();
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    wires.send(ours).await.unwrap();
    let mut server = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    let pings = tokio::spawn(async move {
        let mut pings = 0;
        while let Some(Ok(frame)) = server.next().await {
            pings += u32::from(frame.is_ping());
        }
        pings
    });
    assert!(matches!(events.recv().await, Some(SignalingEvent::Up)));
    let hour = Duration::from_secs(3600);
    assert!(timeout(hour, events.recv()).await.is_err(), "nothing happens");
    drop((outgoing, events, wires));
    let expected = u32::try_from(hour.as_secs() / KEEPALIVE.as_secs()).unwrap();
    assert!((expected - 1..=expected).contains(&pings.await.unwrap()));
}
