//! The device's side of signaling: a WebSocket client that reconnects for as long as it lives and registers again each
//! time. Works with any plain relay; nothing here waits for an answer to `join`.

mod client;
mod endpoint;
mod listen;
mod proving;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use self::client::Client;
use self::endpoint::Endpoint;
use self::proving::Proving;
use crate::logic::identity::SigningKey;
use crate::protocol::{Message, ParseError, PeerError, ServerError, Token, UserId};

/// Messages waiting to be sent. When full, the newest is dropped and counted: the network is down or the server does
/// not read, and calls give up by their own time-outs.
const OUTGOING: usize = 256;
/// Messages from the server waiting for the device. When full, reading stops and TCP holds the server back.
const INCOMING: usize = 64;
/// Questions waiting for an answer; when full, whoever asks waits, and takes that for an answer too.
const QUESTIONS: usize = 4;

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
    /// Signs it where the server wants to know who we are.
    pub signer: Option<Arc<SigningKey>>,
    /// What the key shows where it is not known yet.
    pub pairing: Option<Token>,
}

#[derive(Debug)]
pub enum SignalingEvent {
    /// Connected and registered; with a plain relay, `join` was sent and not refused.
    Up,
    /// Anything but an `error`. What only the server says (`joined`, `presence`, `peers`) was said by it.
    Message(Message),
    /// The server did not accept something of ours.
    ServerError(ServerError),
    /// A peer did not accept something of ours, or claims so.
    PeerError(PeerError),
    /// Something that is not for us to understand, and from whom if it says so.
    Malformed { from: Option<UserId>, error: ParseError },
    /// The connection is lost or was not made; the next try comes after `retry_in`.
    Down { error: SignalingError, retry_in: Duration },
}

#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    #[error("{0} is not a ws:// or wss:// URL")]
    BadUrl(String),
    #[error("the token cannot be sent in an HTTP header")]
    BadToken,
    #[error("cannot reach {address}: {error}")]
    Unreachable { address: String, error: std::io::Error },
    #[error("no answer from {address} within {} s", within.as_secs())]
    NoAnswer { address: String, within: Duration },
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    WebSocket(String),
    #[error("the server closed the connection: {0}")]
    Closed(String),
    #[error("the server has been silent for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the server refused us: {0}")]
    Refused(String),
    #[error(
        "the server does not let us join: {0}. 'callbox pair' there prints what [signaling] token_file has to hold"
    )]
    Unauthorized(String),
}

impl SignalingError {
    /// For logs: a word that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            SignalingError::BadUrl(_) => "badUrl",
            SignalingError::BadToken => "badToken",
            SignalingError::Unreachable { .. } => "unreachable",
            SignalingError::NoAnswer { .. } => "noAnswer",
            SignalingError::Tls(_) => "tls",
            SignalingError::WebSocket(_) => "webSocket",
            SignalingError::Closed(_) => "closed",
            SignalingError::Silent(_) => "silent",
            SignalingError::Refused(_) => "refused",
            SignalingError::Unauthorized(_) => "unauthorized",
        }
    }
}

/// Handle of the client. Dropping it cuts the connection; [`Signaling::shutdown`] takes leave first.
pub struct Signaling {
    outgoing: mpsc::Sender<(Instant, Message)>,
    questions: Questions,
    dropped: AtomicU64,
    unreadable: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Each is answered by the client's task, at once whatever it is busy with, as long as it runs.
pub type Questions = mpsc::Sender<oneshot::Sender<()>>;

impl Signaling {
    /// Starts to connect. The events end when the handle is gone.
    pub fn start(settings: SignalingSettings) -> Result<(Signaling, mpsc::Receiver<SignalingEvent>), SignalingError> {
        let SignalingSettings { url, address, token, tls, join, signer, pairing } = settings;
        let endpoint = Endpoint::new(&url, address, token.as_deref(), tls)?;
        let (outgoing, from_device) = mpsc::channel(OUTGOING);
        let (to_device, events) = mpsc::channel(INCOMING);
        let unreadable = Arc::new(AtomicU64::new(0));
        let proving = signer.map(|signer| Proving { signer, pairing, host: endpoint.name() });
        let client = Client { endpoint, join, proving, from_device, to_device, unreadable: unreadable.clone() };
        let (questions, asked) = mpsc::channel(QUESTIONS);
        // Every wait of the client is bounded, so a task that still gets its turns is one that works.
        let task = tokio::spawn(async {
            tokio::select! {
                () = client.run() => {}
                () = answer(asked) => {}
            }
        });
        Ok((Signaling { outgoing, questions, dropped: AtomicU64::new(0), unreadable, task }, events))
    }

    pub fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// Messages and frames of the server that could not be understood since the start.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
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

/// Never ends.
async fn answer(mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(reply) = asked.recv().await {
        // Whoever asked may have stopped waiting.
        _ = reply.send(());
    }
    std::future::pending().await
}
