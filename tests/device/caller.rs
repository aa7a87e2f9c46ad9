//! A device under test, and somebody who calls it with a WebSocket and a peer connection.

use std::path::PathBuf;
use std::time::Duration;

use callbox::config::Config;
use callbox::device::control::{self, Operation};
use callbox::device::{Device, DeviceError, Handle};
use callbox::logic::unit::VoicePacket;
use callbox::net::peer::{Peer, PeerEvent, PeerSettings};
use callbox::protocol::{Attendance, ErrorCode, Message, Reason, UserId, parse};
use callbox::server::{Server, ServerSettings};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {PATIENCE:?}"))
}

/// A device called "door".
pub struct Door {
    folder: TempDir,
    pub config: Config,
    pub handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), DeviceError>>,
}

impl Door {
    pub async fn open(signaling: &str, more: &str) -> Door {
        let door = Door::begin("door", signaling, more).await;
        door.until("registered", |s| s["signaling"]["registration"]["state"] == "registered").await;
        door
    }

    /// One that shows this to the server.
    pub async fn paired(signaling: &str, token: &str, more: &str) -> Door {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        let more = format!("signaling.token_file = '{}'\n{more}", file.display());
        let door = Door::begin_in(folder, "door", signaling, &more).await;
        door.until("registered", |s| s["signaling"]["registration"]["state"] == "registered").await;
        door
    }

    /// One that need not have registered yet.
    pub async fn begin(id: &str, signaling: &str, more: &str) -> Door {
        Door::begin_in(tempfile::tempdir().unwrap(), id, signaling, more).await
    }

    async fn begin_in(folder: TempDir, id: &str, signaling: &str, more: &str) -> Door {
        let text = format!(
            r#"
            device = {{ id = "{id}" }}
            signaling.url = "{signaling}"
            camera = {{ source = "synthetic", width = 320, height = 240, fps = 15 }}
            microphone = {{ source = "synthetic" }}
            speaker = {{ sink = "synthetic" }}
            ice = {{ bind = ["127.0.0.1"], mdns = false }}
            control = {{ socket = "{0}/callbox.sock" }}
            state = {{ dir = "{0}" }}
            {more}
            "#,
            folder.path().display()
        );
        let config = Config::from_toml(&text).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let device = soon("the device's start", Device::start(&config, false)).await.unwrap();
        let handle = device.handle();
        let task = tokio::spawn(device.run(async { drop(stopped.await) }));
        Door { folder, config, handle, stop: Some(stop), task }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("callbox.sock")
    }

    pub async fn order(&self, command: Operation) -> Result<Value, String> {
        Door::order_at(self.socket(), command).await
    }

    /// For orders whose answer takes its time.
    pub async fn order_at(socket: PathBuf, command: Operation) -> Result<Value, String> {
        control::request(&socket, &command).await.map_err(|e| e.to_string())
    }

    pub async fn status(&self) -> Value {
        self.order(Operation::Status).await.unwrap()
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let poll = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, poll).await {
            Ok(status) => status,
            Err(_) => panic!("never {what}: {:#}", self.status().await),
        }
    }

    pub async fn until_idle(&self) {
        let idle = |s: &Value| s["calls"].as_array().unwrap().is_empty() && s["media"]["video"].is_null();
        self.until("idle", idle).await;
    }

    pub async fn close(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon("the device's end", &mut self.task).await.unwrap().unwrap();
    }
}

/// An offer to the door, as whoever has that ID writes it.
pub fn offer_from(user: &str, sdp: String, call: Option<&str>) -> Message {
    let mut offer = Message::offer(door(), sdp, None, call.map(str::to_owned));
    if let Message::Offer { user_id, .. } = &mut offer {
        *user_id = Some(user.parse().unwrap());
    }
    offer
}

/// Somebody at the same relay.
pub struct Caller {
    pub me: UserId,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The visit that its calls are made for.
    pub because: Option<Attendance>,
}

impl Caller {
    pub async fn join(url: &str, name: &str) -> Caller {
        Caller::join_showing(url, name, None).await
    }

    /// Somebody with a session at the server.
    pub async fn join_with(url: &str, name: &str, token: &str) -> Caller {
        Caller::join_showing(url, name, Some(token)).await
    }

    async fn join_showing(url: &str, name: &str, token: Option<&str>) -> Caller {
        let me: UserId = name.parse().unwrap();
        let (socket, _) = soon("a connection", connect_async(url)).await.unwrap();
        let mut caller = Caller { me: me.clone(), socket, because: None };
        caller
            .say(&Message::Join {
                user_id: me,
                name: None,
                kind: Default::default(),
                accepts: Vec::new(),
                token: token.map(|token| token.to_owned().try_into().unwrap()),
                credential: None,
            })
            .await;
        caller
    }

    pub async fn say(&mut self, message: &Message) {
        self.say_raw(&message.to_text()).await;
    }

    pub async fn say_raw(&mut self, text: &str) {
        self.socket.send(Frame::text(text)).await.unwrap();
    }

    /// The next message that `wanted` takes something from.
    pub async fn hear<T>(&mut self, what: &str, mut wanted: impl FnMut(Message) -> Option<T>) -> T {
        let listen = async {
            loop {
                let frame = self.socket.next().await.expect("the relay goes on").unwrap();
                if let Frame::Text(text) = frame
                    && let Ok((message, _)) = parse(&text)
                    && let Some(found) = wanted(message)
                {
                    return found;
                }
            }
        };
        soon(what, listen).await
    }

    pub async fn hear_error(&mut self) -> ErrorCode {
        self.hear("an error", |m| match m {
            Message::Error { code, .. } => Some(code),
            _ => None,
        })
        .await
    }

    pub async fn hear_leave(&mut self) -> Option<Reason> {
        self.hear("a leave", |m| match m {
            Message::Leave { reason, .. } => Some(reason),
            _ => None,
        })
        .await
    }

    pub fn offer(&self, sdp: String) -> Message {
        let mut offer = offer_from(self.me.as_str(), sdp, None);
        if let Message::Offer { visit, .. } = &mut offer {
            *visit = self.because.clone();
        }
        offer
    }

    pub fn candidate(&self, line: &str) -> Message {
        let candidate = callbox::protocol::Candidate {
            candidate: line.into(),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        Message::Candidate {
            user_id: Some(self.me.clone()),
            target_id: door(),
            candidate: Some(candidate),
            call_id: None,
        }
    }

    pub fn leave(&self) -> Message {
        Message::Leave { user_id: Some(self.me.clone()), target_id: Some(door()), reason: None, call_id: None }
    }

    /// Calls the door and waits until voice from there arrives.
    pub async fn call(&mut self) -> Line {
        self.try_call().await.expect("the door answers")
    }

    /// Calls again for as long as the door is too busy with calls that have just ended.
    pub async fn call_until_answered(&mut self) -> Line {
        let again = async {
            loop {
                if let Some(line) = self.try_call().await {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("an answer", again).await
    }

    /// `None` when the door says that the call failed.
    async fn try_call(&mut self) -> Option<Line> {
        let (peer, sdp, events) = Peer::offer(&ice()).await.unwrap();
        let offer = self.offer(sdp);
        self.say(&offer).await;
        let answer = self
            .hear("an answer", |m| match m {
                Message::Answer { answer, .. } => Some(Some(answer.sdp)),
                Message::Leave { reason: Some(Reason::Failed), .. } => Some(None),
                _ => None,
            })
            .await?;
        peer.accept_answer(&answer).await.unwrap();
        Some(self.talk(peer, events).await)
    }

    /// Exchanges candidates until voice arrives.
    pub async fn talk(&mut self, peer: Peer, mut events: Receiver<PeerEvent>) -> Line {
        let talk = async {
            loop {
                tokio::select! {
                    event = events.recv() => match event.expect("the call goes on") {
                        PeerEvent::Candidate(candidate) => {
                            let (user_id, call_id) = (Some(self.me.clone()), None);
                            self.say(&Message::Candidate { user_id, target_id: door(), candidate, call_id }).await;
                        }
                        PeerEvent::Voice(_) => break,
                        PeerEvent::Closed(reason) => panic!("the call ended: {reason:?}"),
                        _ => {}
                    },
                    frame = self.socket.next() => {
                        if let Frame::Text(text) = frame.expect("the relay goes on").unwrap()
                            && let Ok((Message::Candidate { candidate, .. }, _)) = parse(&text)
                        {
                            peer.add_candidate(candidate.as_ref()).await.unwrap();
                        }
                    }
                }
            }
        };
        soon("voice from the door", talk).await;
        Line { peer, events }
    }
}

/// A call that talks.
pub struct Line {
    peer: Peer,
    events: Receiver<PeerEvent>,
}

impl Line {
    /// Waits until `count` more packets of the door's voice have come.
    pub async fn hears(&mut self, count: usize) {
        for _ in 0..count {
            let voice = async {
                loop {
                    match self.events.recv().await.expect("the call goes on") {
                        PeerEvent::Voice(_) => return,
                        PeerEvent::Closed(reason) => panic!("the call ended: {reason:?}"),
                        _ => {}
                    }
                }
            };
            soon("voice from the door", voice).await;
        }
    }

    /// Sends so many packets of voice.
    pub async fn speaks(&self, count: u64) {
        for n in 0..count {
            // Silence (RFC 6716, section 3.1): 20 ms in one frame.
            let packet = VoicePacket { data: vec![0xf8, 0xff, 0xfe].into(), position: n * VoicePacket::SAMPLES };
            self.peer.send_voice(&packet).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes the connection and says nothing.
    pub async fn close(self) {
        self.peer.close().await;
    }

    /// Waits until the door says goodbye or closes the connection. Both are datagrams and may be lost; then it answers no more.
    pub async fn ends(&mut self) {
        let end = async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, PeerEvent::Goodbye | PeerEvent::Closed(_) | PeerEvent::Disconnected) {
                    return;
                }
            }
        };
        soon("the end of the call", end).await;
    }
}

/// Callbox's own server, which passes peers' errors on.
pub struct AtCallbox {
    pub url: String,
    _server: Server,
}

pub async fn at_callbox() -> AtCallbox {
    let server = Server::start(ServerSettings::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    AtCallbox { url: format!("ws://{}/ws", server.local_addr()), _server: server }
}

pub fn ice() -> PeerSettings {
    PeerSettings { bind: vec!["127.0.0.1".parse().unwrap()], ..PeerSettings::default() }
}

pub fn door() -> UserId {
    "door".parse().unwrap()
}
