//! The device's side of signaling: a WebSocket client that reconnects for as long as it lives and registers again each
//! time. Works with any plain relay; nothing here waits for an answer to `join`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::logic::backoff::Backoff;
use crate::protocol::{ErrorCode, KEEPALIVE, MAX_MESSAGE_BYTES, Message, ParseError, UserId, parse};

/// Messages waiting to be sent. When full, the newest is dropped and counted: the network is down or the server does
/// not read, and calls give up by their own time-outs.
const OUTGOING: usize = 256;
/// Messages from the server waiting for the device. When full, reading stops and TCP holds the server back.
const INCOMING: usize = 64;
/// Questions waiting for an answer; when full, whoever asks waits, and takes that for an answer too.
const QUESTIONS: usize = 4;
/// What waited longer than this for a connection is not worth sending any more.
const STALE: Duration = Duration::from_secs(10);
/// Connecting, TLS and the WebSocket handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One message may take this long to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that lasted this long has proven itself: the next failure starts with short delays again.
const PROVEN: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

pub struct SignalingSettings {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Connect here instead of to the URL's host, which still names the server in TLS and HTTP.
    pub address: Option<SocketAddr>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    pub tls: Arc<rustls::ClientConfig>,
    /// The `join` that registers us.
    pub join: Message,
}

#[derive(Debug)]
pub enum SignalingEvent {
    /// Connected, and `join` was sent.
    Up,
    Message(Message),
    /// Something that is not for us to understand, and from whom if it says so.
    Malformed {
        from: Option<UserId>,
        error: ParseError,
    },
    /// The connection is lost or was not made; the next try comes after `retry_in`.
    Down {
        error: SignalingError,
        retry_in: Duration,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    #[error("{0} is not a ws:// or wss:// URL")]
    BadUrl(String),
    #[error("the token cannot be sent in an HTTP header")]
    BadToken,
    #[error("cannot reach {address}: {error}")]
    Unreachable { address: String, error: std::io::Error },
    #[error("no answer from {0} within {CONNECT_TIMEOUT:?}")]
    NoAnswer(String),
    #[error("{0}")]
    WebSocket(String),
    #[error("the server closed the connection: {0}")]
    Closed(String),
    #[error("the server has been silent for {0:?}")]
    Silent(Duration),
    #[error("the server refused us: {0}")]
    Refused(String),
}

impl SignalingError {
    /// For logs: a word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            SignalingError::BadUrl(_) => "badUrl",
            SignalingError::BadToken => "badToken",
            SignalingError::Unreachable { .. } => "unreachable",
            SignalingError::NoAnswer(_) => "noAnswer",
            SignalingError::WebSocket(_) => "webSocket",
            SignalingError::Closed(_) => "closed",
            SignalingError::Silent(_) => "silent",
            SignalingError::Refused(_) => "refused",
        }
    }
}

/// Handle of the client. Dropping it cuts the connection; [`Signaling::shutdown`] takes leave first.
pub struct Signaling {
    outgoing: mpsc::Sender<(Instant, Message)>,
    questions: Questions,
    dropped: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Each is answered by the client's task, at once whatever it is busy with, as long as it runs.
pub type Questions = mpsc::Sender<oneshot::Sender<()>>;

impl Signaling {
    /// Starts to connect. The events end when the handle is gone.
    pub fn start(settings: SignalingSettings) -> Result<(Signaling, mpsc::Receiver<SignalingEvent>), SignalingError> {
        let request = request(&settings)?;
        let address = address(&settings, &request)?;
        let (outgoing, from_device) = mpsc::channel(OUTGOING);
        let (to_device, events) = mpsc::channel(INCOMING);
        let client = Client { settings, request, address, from_device, to_device };
        let (questions, asked) = mpsc::channel(QUESTIONS);
        // Every wait of the client is bounded, so a task that still gets its turns is one that works.
        let task = tokio::spawn(async {
            tokio::select! {
                () = client.run() => {}
                () = answer(asked) => {}
            }
        });
        Ok((Signaling { outgoing, questions, dropped: Arc::default(), task }, events))
    }

    pub fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// Sends at once, or as soon as there is a connection again. Never blocks.
    pub fn send(&self, message: Message) {
        if self.outgoing.try_send((Instant::now(), message)).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                log::warn!(dropped; "signaling messages were dropped: too many wait to be sent");
            }
        }
    }

    /// Sends what waits, leaves, and closes the connection; bounded in time.
    pub async fn shutdown(mut self) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.outgoing, closed));
        if timeout(Duration::from_secs(2), &mut self.task).await.is_err() {
            log::debug!("signaling did not end in time");
        }
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Client {
    settings: SignalingSettings,
    request: Request,
    address: String,
    from_device: mpsc::Receiver<(Instant, Message)>,
    to_device: mpsc::Sender<SignalingEvent>,
}

/// The device let go of its handle.
struct Finished;

impl Client {
    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            let mut up_since = None;
            let error = match self.session(&mut up_since).await {
                Ok(Finished) => return,
                Err(error) => error,
            };
            let refused = matches!(error, SignalingError::Refused(_));
            if !refused && up_since.is_some_and(|t: Instant| t.elapsed() >= PROVEN) {
                backoff.reset();
            }
            let retry_in = backoff.next(fastrand::f64());
            let event = SignalingEvent::Down { error, retry_in };
            if self.to_device.send(event).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = self.to_device.closed() => return,
            }
        }
    }

    /// One connection, from its start to its end.
    async fn session(&mut self, up_since: &mut Option<Instant>) -> Result<Finished, SignalingError> {
        let connect = timeout(CONNECT_TIMEOUT, self.connect());
        let mut socket = connect.await.map_err(|_| SignalingError::NoAnswer(self.address.clone()))??;
        write(&mut socket, Frame::text(self.settings.join.to_text())).await?;
        *up_since = Some(Instant::now());
        if self.to_device.send(SignalingEvent::Up).await.is_err() {
            return Ok(Finished);
        }

        let mut joined = false;
        let mut heard = Instant::now();
        let mut keepalive = interval(KEEPALIVE);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.from_device.recv() => match message {
                    Some((at, message)) if at.elapsed() < STALE => {
                        write(&mut socket, Frame::text(message.to_text())).await?;
                    }
                    Some(_) => {}
                    None => return self.leave(socket).await,
                },
                frame = socket.next() => {
                    heard = Instant::now();
                    let Some(event) = read(frame)? else { continue };
                    if let SignalingEvent::Message(message) = &event {
                        joined |= matches!(message, Message::Joined { .. });
                        refused(message, joined)?;
                    }
                    if self.to_device.send(event).await.is_err() {
                        return Ok(Finished);
                    }
                }
                _ = keepalive.tick() => {
                    let silence = heard.elapsed();
                    if silence > 2 * KEEPALIVE {
                        return Err(SignalingError::Silent(silence));
                    }
                    write(&mut socket, Frame::Ping(Default::default())).await?;
                }
            }
        }
    }

    async fn connect(&self) -> Result<Socket, SignalingError> {
        let unreachable = |error| SignalingError::Unreachable { address: self.address.clone(), error };
        let stream = match self.settings.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(&self.address).await,
        }
        .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MAX_MESSAGE_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let tls = Connector::Rustls(self.settings.tls.clone());
        let (socket, _) = client_async_tls_with_config(self.request.clone(), stream, Some(config), Some(tls))
            .await
            .map_err(handshake_error)?;
        Ok(socket)
    }

    async fn leave(&self, mut socket: Socket) -> Result<Finished, SignalingError> {
        let user_id = match &self.settings.join {
            Message::Join { user_id, .. } => Some(user_id.clone()),
            _ => None,
        };
        let leave = Message::Leave { user_id, target_id: None, reason: None, call_id: None };
        write(&mut socket, Frame::text(leave.to_text())).await?;
        socket.close(None).await.map_err(socket_error)?;
        Ok(Finished)
    }
}

/// Never ends.
async fn answer(mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(reply) = asked.recv().await {
        // Whoever asked may have stopped waiting.
        _ = reply.send(());
    }
    std::future::pending().await
}

fn request(settings: &SignalingSettings) -> Result<Request, SignalingError> {
    let url = settings.url.as_str();
    let mut request = url.into_client_request().map_err(|_| SignalingError::BadUrl(url.to_owned()))?;
    if let Some(token) = &settings.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| SignalingError::BadToken)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// `host:port` of the URL.
fn address(settings: &SignalingSettings, request: &Request) -> Result<String, SignalingError> {
    let uri = request.uri();
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), Some("ws" | "wss")) => port,
        (None, Some("ws")) => 80,
        (None, Some("wss")) => 443,
        _ => return Err(SignalingError::BadUrl(settings.url.clone())),
    };
    let host = uri.host().ok_or_else(|| SignalingError::BadUrl(settings.url.clone()))?;
    Ok(format!("{host}:{port}"))
}

async fn write(socket: &mut Socket, frame: Frame) -> Result<(), SignalingError> {
    match timeout(WRITE_TIMEOUT, socket.send(frame)).await {
        Ok(sent) => sent.map_err(socket_error),
        Err(_) => Err(SignalingError::Silent(WRITE_TIMEOUT)),
    }
}

/// What a frame means to the device, if anything.
fn read(frame: Option<tungstenite::Result<Frame>>) -> Result<Option<SignalingEvent>, SignalingError> {
    let text = match frame {
        Some(Ok(Frame::Text(text))) => text,
        Some(Ok(Frame::Close(Some(close)))) => {
            return Err(SignalingError::Closed(format!("{} {}", close.code, close.reason).trim_end().to_owned()));
        }
        Some(Ok(Frame::Close(None))) | None => return Err(SignalingError::Closed("no reason given".into())),
        Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => return Ok(None),
        Some(Err(error)) => return Err(socket_error(error)),
    };
    Ok(Some(match parse(&text) {
        Ok((message, _)) => SignalingEvent::Message(message),
        Err(error) => SignalingEvent::Malformed { from: sender(&text), error },
    }))
}

/// The sender that a message names which could not be read otherwise.
fn sender(text: &str) -> Option<UserId> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("userId")?.as_str()?.parse().ok()
}

/// The server's own word, in place of `joined`, that we cannot have our ID now.
fn refused(message: &Message, joined: bool) -> Result<(), SignalingError> {
    match message {
        Message::Error { code: ErrorCode::IdTaken | ErrorCode::ServerFull, message, user_id: None, .. } if !joined => {
            Err(SignalingError::Refused(message.clone()))
        }
        _ => Ok(()),
    }
}

fn handshake_error(error: tungstenite::Error) -> SignalingError {
    SignalingError::WebSocket(match error {
        tungstenite::Error::Http(response) => match response.status().as_u16() {
            401 | 403 => format!("the server does not let us in ({}): check the token", response.status()),
            404 => "there is no signaling server at this path (404)".to_owned(),
            _ => format!("the server answered {}", response.status()),
        },
        tungstenite::Error::Io(error) => format!("the handshake failed: {error}"),
        other => other.to_string(),
    })
}

fn socket_error(error: tungstenite::Error) -> SignalingError {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            SignalingError::Closed("no reason given".into())
        }
        other => SignalingError::WebSocket(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;
    use crate::net::trust::{Trust, client_config};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn settings(url: String) -> SignalingSettings {
        let join = Message::Join {
            user_id: "door".parse().unwrap(),
            name: None,
            kind: Default::default(),
            accepts: Vec::new(),
        };
        SignalingSettings { url, address: None, token: None, tls: client_config(&Trust::System).unwrap(), join }
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (_signaling, mut events) = Signaling::start(settings(url)).unwrap();
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        assert!(matches!(event(&mut events).await, SignalingEvent::Up));
        for frame in [
            Frame::binary(vec![1, 2, 3]),
            Frame::text(r#"{"type":"offer","userId":"anna","targetId":"door"}"#),
            Frame::text("rubbish"),
            Frame::text(leave("door").to_text()),
        ] {
            socket.send(frame).await.unwrap();
        }
        assert!(matches!(event(&mut events).await,
            SignalingEvent::Malformed { from: Some(from), error: ParseError::BadField { .. } } if from.as_str() == "anna"));
        assert!(matches!(event(&mut events).await, SignalingEvent::Malformed { from: None, .. }));
        assert!(matches!(event(&mut events).await, SignalingEvent::Message(Message::Leave { .. })));
    }

    #[tokio::test]
    async fn takes_the_servers_refusal_of_its_id_for_a_failed_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (_signaling, mut events) = Signaling::start(settings(url)).unwrap();
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        assert!(matches!(event(&mut events).await, SignalingEvent::Up));
        socket.send(Frame::text(r#"{"type":"error","code":"idTaken","message":"taken"}"#)).await.unwrap();
        assert!(matches!(event(&mut events).await, SignalingEvent::Down { error: SignalingError::Refused(_), .. }));
    }

    #[tokio::test]
    async fn refuses_urls_that_are_not_for_websockets() {
        for url in ["http://a/", "door", "ws:///ws", ""] {
            assert!(matches!(Signaling::start(settings(url.into())), Err(SignalingError::BadUrl(_))), "{url}");
        }
    }
}
