//! The task behind the handle: one connection after the other.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use super::endpoint::socket_error;
use super::listen::Listener;
use super::proving::Proving;
use super::{SignalingError, SignalingEvent};
use crate::logic::backoff::Backoff;
use crate::protocol::{Challenge, KEEPALIVE, Message, UserId};

/// What waited longer than this for a connection is not worth sending any more.
const STALE: Duration = Duration::from_secs(10);
/// One message may take this long to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that was asked for a sign of life and gives none for this long is gone: long enough for an uplink that a call
/// fills, or that is out for some seconds.
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(10);
/// After a silence of this length the server is asked along with the next message: what is said to a dead connection is
/// to be said again soon.
const FRESH: Duration = Duration::from_secs(2);
/// A server that does not say within this time whether it took our `join` is a plain relay, which never does.
pub(super) const JOIN_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that lasted this long has proven itself: the next failure starts with short delays again.
const PROVEN: Duration = Duration::from_secs(10);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Where connections come from; tests have their own.
pub(super) trait Connect {
    type Io: AsyncRead + AsyncWrite + Unpin + Send;

    /// Bounded in time. With what the server asks us to sign, if it does.
    fn connect(&mut self) -> impl Future<Output = Connected<Self::Io>> + Send;
}

type Connected<Io> = Result<(WebSocketStream<Io>, Option<Challenge>), SignalingError>;

pub(super) struct Client<C> {
    pub(super) endpoint: C,
    pub(super) join: Message,
    /// What signs where a server wants to know who we are.
    pub(super) proving: Option<Proving>,
    pub(super) from_device: mpsc::Receiver<(Instant, Message)>,
    pub(super) to_device: mpsc::Sender<SignalingEvent>,
    pub(super) unreadable: Arc<AtomicU64>,
}

/// The device let go of its handle.
struct Finished;

impl<C: Connect> Client<C> {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            let mut up_since = None;
            let error = match self.session(&mut up_since).await {
                Ok(Finished) => return,
                Err(error) => error,
            };
            let refused = matches!(error, SignalingError::Refused(_) | SignalingError::Unauthorized(_));
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
        let (mut socket, challenge) = self.endpoint.connect().await?;
        let join = challenge.and_then(|challenge| self.proving.as_ref()?.join(&self.join, &challenge));
        write(&mut socket, Frame::text(join.as_ref().unwrap_or(&self.join).to_text())).await?;
        *up_since = Some(Instant::now());
        let patience = Instant::now() + JOIN_PATIENCE;
        let mut up = false;

        let mut listener = Listener::new(self.me(), self.unreadable.clone());
        let mut heard = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            let due = asked.map_or(heard + KEEPALIVE, |asked| asked + PONG_TIMEOUT);
            let frame = tokio::select! {
                message = self.from_device.recv() => {
                    match message {
                        Some((at, message)) if at.elapsed() < STALE => {
                            write(&mut socket, Frame::text(message.to_text())).await?;
                        }
                        Some(_) => continue,
                        None => return self.leave(socket).await,
                    }
                    if asked.is_none() && heard.elapsed() > FRESH {
                        ask(&mut socket, &mut asked).await?;
                    }
                    continue;
                }
                frame = socket.next() => frame,
                () = sleep_until(patience), if !up => {
                    up = true;
                    if self.to_device.send(SignalingEvent::Up).await.is_err() {
                        return Ok(Finished);
                    }
                    continue;
                }
                () = sleep_until(due) => match (asked, socket.next().now_or_never()) {
                    // It was this task that did not get its turn.
                    (_, Some(frame)) => frame,
                    (Some(_), None) => return Err(SignalingError::Silent(heard.elapsed())),
                    (None, None) => {
                        ask(&mut socket, &mut asked).await?;
                        continue;
                    }
                }
            };
            (heard, asked) = (Instant::now(), None);
            let Some(event) = listener.take(frame)? else { continue };
            let up_now = !up && shows_registration(&event);
            up |= up_now;
            for event in up_now.then_some(SignalingEvent::Up).into_iter().chain([event]) {
                if self.to_device.send(event).await.is_err() {
                    return Ok(Finished);
                }
            }
        }
    }

    async fn leave(&self, mut socket: WebSocketStream<C::Io>) -> Result<Finished, SignalingError> {
        let leave = Message::Leave { user_id: self.me(), target_id: None, reason: None, call_id: None };
        write(&mut socket, Frame::text(leave.to_text())).await?;
        socket.close(None).await.map_err(socket_error)?;
        Ok(Finished)
    }

    fn me(&self) -> Option<UserId> {
        match &self.join {
            Message::Join { user_id, .. } => Some(user_id.clone()),
            _ => None,
        }
    }
}

/// Whether the server has taken our `join`: it says so, or passes on what others say to us.
fn shows_registration(event: &SignalingEvent) -> bool {
    matches!(event, SignalingEvent::Message(message) if !matches!(message, Message::Pong { .. }))
}

/// Every WebSocket server answers a ping.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    asked: &mut Option<Instant>,
) -> Result<(), SignalingError> {
    *asked = Some(Instant::now());
    write(socket, Frame::Ping(tungstenite::Bytes::new())).await
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    frame: Frame,
) -> Result<(), SignalingError> {
    match timeout(WRITE_TIMEOUT, socket.send(frame)).await {
        Ok(sent) => sent.map_err(socket_error),
        Err(_) => Err(SignalingError::Silent(WRITE_TIMEOUT)),
    }
}
