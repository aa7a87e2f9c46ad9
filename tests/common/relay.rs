//! The plainest signaling server that a call must be possible through: it takes the ID of each `join`, forwards each
//! message with a `targetId` to that ID as it came, byte for byte, and ignores everything else. It answers nothing, and
//! it knows only the five basic types.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

/// Ends, with all its connections, when it is dropped.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    users: Mutex<HashMap<String, mpsc::UnboundedSender<String>>>,
    forwarded: Mutex<Vec<Value>>,
}

impl Relay {
    pub async fn start() -> Relay {
        Relay::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// At a given address, such as that of a relay that was dropped before.
    pub async fn start_at(address: SocketAddr) -> Relay {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Relay { address, state, _tasks: tasks }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Who has joined and is connected, sorted.
    pub fn users(&self) -> Vec<String> {
        let mut users: Vec<_> = self.state.users.lock().unwrap().keys().cloned().collect();
        users.sort();
        users
    }

    /// Everything forwarded so far, in order.
    pub fn forwarded(&self) -> Vec<Value> {
        self.state.forwarded.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Owned here, so that the connections end with the relay.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            let mut joined = None;
            let _ = serve(stream, &state, &mut joined).await;
            if let Some((id, outbox)) = joined {
                // A later connection may have the ID by now.
                let mut users = state.users.lock().unwrap();
                if users.get(&id).is_some_and(|current: &mpsc::UnboundedSender<_>| current.same_channel(&outbox)) {
                    users.remove(&id);
                }
            }
        });
    }
}

type Joined = Option<(String, mpsc::UnboundedSender<String>)>;

async fn serve(
    stream: TcpStream,
    state: &State,
    joined: &mut Joined,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let (outbox, mut inbox) = mpsc::unbounded_channel::<String>();
    loop {
        tokio::select! {
            Some(text) = inbox.recv() => socket.send(Message::text(text)).await?,
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => state.take(text.as_str(), &outbox, joined),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        }
    }
}

impl State {
    fn take(&self, text: &str, outbox: &mpsc::UnboundedSender<String>, joined: &mut Joined) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let field = |name: &str| message[name].as_str().map(str::to_owned);
        match (message["type"].as_str(), field("userId"), field("targetId")) {
            (Some("join"), Some(id), _) => {
                self.users.lock().unwrap().insert(id.clone(), outbox.clone());
                *joined = Some((id, outbox.clone()));
            }
            (Some("offer" | "answer" | "candidate" | "leave"), _, Some(target)) => {
                if let Some(outbox) = self.users.lock().unwrap().get(&target) {
                    let _ = outbox.send(text.to_owned());
                    self.forwarded.lock().unwrap().push(message);
                }
            }
            _ => {}
        }
    }
}
