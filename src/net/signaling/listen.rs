//! What a frame means to the device, and who said it. A plain relay passes on whatever a peer writes, so what only a
//! server says counts only where no peer can have said it: relays route by `targetId`, and a peer's word carries ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_tungstenite::tungstenite::{self, Message as Frame};

use super::endpoint::socket_error;
use super::{SignalingError, SignalingEvent};
use crate::protocol::{Complaint, ErrorCode, Message, ServerError, UserId, parse};

/// One connection's.
pub(super) struct Listener {
    me: Option<UserId>,
    /// Nothing was said on this connection yet.
    first: bool,
    /// The server answered our `join`.
    joined: bool,
    unread: u64,
    /// Those of all connections.
    unreadable: Arc<AtomicU64>,
}

impl Listener {
    pub(super) fn new(me: Option<UserId>, unreadable: Arc<AtomicU64>) -> Listener {
        Listener { me, first: true, joined: false, unread: 0, unreadable }
    }

    pub(super) fn take(
        &mut self,
        frame: Option<tungstenite::Result<Frame>>,
    ) -> Result<Option<SignalingEvent>, SignalingError> {
        match frame {
            Some(Ok(Frame::Text(text))) => self.understand(&text),
            // Relays that forward what came as a buffer make binary frames of text.
            Some(Ok(Frame::Binary(bytes))) => match str::from_utf8(&bytes) {
                Ok(text) => self.understand(text),
                Err(_) => {
                    self.count("a binary frame that is not UTF-8 text");
                    Ok(None)
                }
            },
            Some(Ok(Frame::Close(Some(close)))) => {
                Err(SignalingError::Closed(format!("{} {}", close.code, close.reason).trim_end().to_owned()))
            }
            Some(Ok(Frame::Close(None))) | None => Err(SignalingError::Closed("no reason given".into())),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(None),
            Some(Err(error)) => Err(socket_error(error)),
        }
    }

    fn understand(&mut self, text: &str) -> Result<Option<SignalingEvent>, SignalingError> {
        let parsed = parse(text);
        let pong = matches!(parsed, Ok((Message::Pong { .. }, _)));
        let first = self.first && !pong;
        self.first &= pong;
        let (message, value) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.count(&error.to_string());
                return Ok(Some(SignalingEvent::Malformed { from: sender(text), error }));
            }
        };
        let relayed = value.get("targetId").is_some_and(|target| !target.is_null());
        match message {
            Message::Joined { user_id, .. } if relayed || !first || Some(&user_id) != self.me.as_ref() => {
                log::debug!("a \"joined\" that answers no \"join\" of ours was ignored");
                Ok(None)
            }
            message @ Message::Joined { .. } => {
                self.joined = true;
                Ok(Some(SignalingEvent::Message(message)))
            }
            Message::Presence { .. } | Message::Peers { .. } if relayed || !self.joined => {
                log::debug!("word of who is online that is not the server's was ignored");
                Ok(None)
            }
            message => match Complaint::of(&message, self.me.as_ref()) {
                Some(Complaint::Server(error)) if self.ends_registration(&error) => {
                    Err(match error.code == ErrorCode::Unauthorized {
                        true => SignalingError::Unauthorized(error.message),
                        false => SignalingError::Refused(error.message),
                    })
                }
                Some(Complaint::Server(error)) => Ok(Some(SignalingEvent::ServerError(error))),
                Some(Complaint::Peer(error)) => Ok(Some(SignalingEvent::PeerError(error))),
                None => Ok(Some(SignalingEvent::Message(message))),
            },
        }
    }

    /// Whether the server says, in place of `joined`, that it does not take us.
    fn ends_registration(&self, error: &ServerError) -> bool {
        let refused = matches!(error.code, ErrorCode::IdTaken | ErrorCode::ServerFull);
        !self.joined && (refused || error.in_reply_to.as_deref() == Some("join"))
    }

    /// Anybody can send any number of these: the first one is told, the others are counted.
    fn count(&mut self, what: &str) {
        self.unread += 1;
        self.unreadable.fetch_add(1, Ordering::Relaxed);
        if self.unread == 1 {
            log::warn!(
                "the signaling server sent what is not understood here and was dropped: {what}; more of it is only counted"
            );
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.unread > 1 {
            log::info!(dropped = self.unread; "the signaling connection that ended brought {} messages that were not understood", self.unread);
        }
    }
}

/// The sender that a message names which could not be read otherwise.
fn sender(text: &str) -> Option<UserId> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("userId")?.as_str()?.parse().ok()
}
