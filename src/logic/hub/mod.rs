//! The signaling server's machine: who is online, who may be told what, which messages go where.
//!
//! It sees connections and text frames and knows no sockets. The contract is that of every machine in `logic/`:
//! [`Hub::handle`] with the time, then [`Hub::poll_output`] until `None`, then sleep until [`Hub::poll_timeout`] and
//! hand in [`Input::Timeout`].
//!
//! A connection is a stranger until it joins under an ID. An ID that somebody else holds can be claimed: the holder is
//! pinged and keeps the ID if it shows life within [`protocol::CLAIM_TIMEOUT`]. The loss of a connection says nothing about its
//! calls, whose media runs past this server: presence ends, the record of calls stays until somebody leaves.

mod bucket;
mod calls;
mod presence;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use self::bucket::{Bucket, Verdict};
use self::calls::Calls;
use self::presence::{Claim, Held};
use self::refusal::Refusal;
use crate::protocol::{
    self, ErrorCode, IceServer, Kind, MAX_MALFORMED, MAX_MESSAGE_BYTES, Message, PeerInfo, UserId, close,
};

/// One WebSocket connection, numbered by the shell and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

#[derive(Clone, Debug)]
pub struct HubSettings {
    /// Handed to everybody who joins.
    pub ice_servers: Vec<IceServer>,
    /// Further connections are told `serverFull`.
    pub max_connections: usize,
}

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    Connected(ConnId),
    /// A text frame of at most [`MAX_MESSAGE_BYTES`].
    Text(ConnId, String),
    /// A ping or pong came in.
    Alive(ConnId),
    /// The connection ended, for whatever reason.
    Gone(ConnId),
    /// The time of [`Hub::poll_timeout`] has come.
    Timeout,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        to: ConnId,
        text: Arc<str>,
    },
    Ping(ConnId),
    /// Close after what was sent before. The hub has forgotten the connection already.
    Close {
        conn: ConnId,
        code: u16,
        reason: &'static str,
    },
}

pub struct Hub {
    settings: HubSettings,
    connections: BTreeMap<ConnId, Connection>,
    /// Everybody lives in one site for now; presence and calls stay within it.
    home: Site,
    /// Grows within one `handle` only, by at most a few messages a connection.
    outputs: VecDeque<Output>,
}

#[derive(Default)]
struct Site {
    members: BTreeMap<UserId, ConnId>,
    claims: BTreeMap<UserId, Claim>,
    calls: Calls,
}

struct Connection {
    state: State,
    bucket: Bucket,
    malformed: u32,
}

enum State {
    Stranger,
    /// Asked for an ID that another connection holds. Basic clients go on without waiting for an answer, so what they
    /// send is held until the claim is settled.
    Claiming {
        wanted: PeerInfo,
        held: Held,
    },
    Member(PeerInfo),
}

impl Hub {
    pub fn new(settings: HubSettings) -> Hub {
        Hub { settings, connections: BTreeMap::new(), home: Site::default(), outputs: VecDeque::new() }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Connected(conn) => self.connected(conn, now),
            Input::Text(conn, text) => {
                // What is said counts first: who leaves has no claim to stand against. (A page that is loaded again
                // joins before the server has read its earlier self's goodbye.)
                self.received(conn, text, now);
                self.shows_life(conn, now);
            }
            Input::Alive(conn) => self.shows_life(conn, now),
            Input::Gone(conn) => self.gone(conn, now),
            Input::Timeout => self.timed_out(now),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.home.claims.values().map(|claim| claim.deadline).min()
    }

    /// For everybody who joins from now on.
    pub fn set_ice_servers(&mut self, servers: Vec<IceServer>) {
        self.settings.ice_servers = servers;
    }

    /// How many IDs are online.
    pub fn online(&self) -> usize {
        self.home.members.len()
    }

    /// How many of them are of that kind.
    pub fn online_as(&self, kind: Kind) -> usize {
        let is = |c: &&Connection| matches!(&c.state, State::Member(peer) if peer.kind == kind);
        self.connections.values().filter(is).count()
    }

    fn connected(&mut self, conn: ConnId, now: Instant) {
        if self.connections.len() < self.settings.max_connections {
            let connection = Connection { state: State::Stranger, bucket: Bucket::new(now), malformed: 0 };
            self.connections.insert(conn, connection);
            return;
        }
        self.tell(conn, &Refusal::new(ErrorCode::ServerFull, "the server is full; try again later").into_message());
        self.outputs.push_back(Output::Close { conn, code: close::TRY_LATER, reason: "server full" });
    }

    fn received(&mut self, conn: ConnId, text: String, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.bucket.take(now) {
            Verdict::Accept => {}
            Verdict::Refuse => {
                let message = format!("more than {} messages a second", protocol::MESSAGE_RATE);
                return self.refuse(conn, Refusal::new(ErrorCode::RateLimited, message));
            }
            Verdict::Abuse => return self.close(conn, close::POLICY, "too many messages", now),
        }
        if let State::Claiming { held, .. } = &mut connection.state {
            if !held.push(text) {
                self.refuse(conn, Refusal::new(ErrorCode::RateLimited, "too many messages while the ID is claimed"));
            }
            return;
        }
        self.read(conn, &text, now);
    }

    fn read(&mut self, conn: ConnId, text: &str, now: Instant) {
        let result = match protocol::parse(text) {
            Ok((message, value)) => self.obey(conn, message, value, now),
            Err(error) => Err(error.into()),
        };
        let Err(refusal) = result else { return };
        let malformed = match refusal.code {
            ErrorCode::BadMessage | ErrorCode::BadField => 1,
            ErrorCode::UnknownType
            | ErrorCode::NotJoined
            | ErrorCode::AlreadyJoined
            | ErrorCode::IdTaken
            | ErrorCode::UnknownTarget
            | ErrorCode::RateLimited
            | ErrorCode::ServerFull
            | ErrorCode::BadSdp
            | ErrorCode::BadCandidate
            | ErrorCode::UnexpectedAnswer
            | ErrorCode::Other => 0,
        };
        self.refuse(conn, refusal);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.malformed += malformed;
        if connection.malformed > MAX_MALFORMED {
            self.close(conn, close::POLICY, "too many malformed messages", now);
        }
    }

    fn obey(&mut self, conn: ConnId, message: Message, value: Value, now: Instant) -> Result<(), Refusal> {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let member = self.connections.get(&conn).and_then(Connection::member).map(|info| info.user_id.clone());
        match (message, member) {
            (Message::Join { user_id, name, kind: sort, accepts: _ }, member) => {
                self.join(conn, peer_info(user_id, name, sort), member, now)
            }
            (Message::Ping { nonce }, _) => {
                self.tell(conn, &Message::Pong { nonce });
                Ok(())
            }
            (Message::Joined { .. } | Message::Presence { .. } | Message::Peers { .. } | Message::Pong { .. }, _) => {
                let message = format!("only the server sends {kind:?}");
                Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::UnknownType, message) })
            }
            // An error is never answered with an error: two programs could go on for ever.
            (Message::Error { .. }, None) | (Message::Error { target_id: None, .. }, Some(_)) => Ok(()),
            (Message::Error { target_id: Some(target), .. }, Some(from)) => {
                match self.home.members.contains_key(&target) {
                    true => self.relay(&from, &target, value, kind, None),
                    false => Ok(()),
                }
            }
            (
                Message::Offer { .. }
                | Message::Answer { .. }
                | Message::Candidate { .. }
                | Message::Ringing { .. }
                | Message::Leave { .. },
                None,
            ) => Err(Refusal { kind: Some(kind), ..Refusal::new(ErrorCode::NotJoined, "join first") }),
            (
                Message::Offer { target_id: target, call_id, .. } | Message::Answer { target_id: target, call_id, .. },
                Some(from),
            ) => {
                self.relay(&from, &target, value, kind, call_id)?;
                self.home.calls.add(&from, &target);
                Ok(())
            }
            (
                Message::Candidate { target_id: target, call_id, .. }
                | Message::Ringing { target_id: target, call_id, .. },
                Some(from),
            ) => self.relay(&from, &target, value, kind, call_id),
            (Message::Leave { target_id: Some(target), call_id, .. }, Some(from)) => {
                self.home.calls.remove(&from, &target);
                self.relay(&from, &target, value, kind, call_id)
            }
            (Message::Leave { target_id: None, .. }, Some(from)) => {
                self.leave_all(conn, from, value, now);
                Ok(())
            }
        }
    }

    fn leave_all(&mut self, conn: ConnId, from: UserId, value: Value, now: Instant) {
        for partner in self.home.calls.remove_all(&from) {
            if self.home.members.contains_key(&partner) {
                // Refused only if the partner's ID makes the text too long, and then its media tells the partner.
                let _ = self.relay(&from, &partner, value.clone(), "leave".to_owned(), None);
            }
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match std::mem::replace(&mut connection.state, State::Stranger) {
            State::Member(info) => self.go_offline(info, now),
            State::Stranger | State::Claiming { .. } => {}
        }
    }

    /// Forwards the JSON object as it came, with the sender's true ID in it.
    fn relay(
        &mut self,
        from: &UserId,
        target: &UserId,
        mut value: Value,
        kind: String,
        call_id: Option<String>,
    ) -> Result<(), Refusal> {
        let refusal = |code, message: String| Refusal {
            kind: Some(kind),
            target: Some(target.clone()),
            call_id,
            ..Refusal::new(code, message)
        };
        if from == target {
            return Err(refusal(ErrorCode::BadField, "targetId is your own ID".to_owned()));
        }
        let Some(&to) = self.home.members.get(target) else {
            return Err(refusal(ErrorCode::UnknownTarget, format!("{target} is not online")));
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("userId".to_owned(), Value::from(from.as_str()));
            object.insert("targetId".to_owned(), Value::from(target.as_str()));
        }
        let text = value.to_string();
        if text.len() > MAX_MESSAGE_BYTES {
            let message = format!("with the sender's ID the message has more than {MAX_MESSAGE_BYTES} bytes");
            return Err(refusal(ErrorCode::BadField, message));
        }
        self.outputs.push_back(Output::Send { to, text: text.into() });
        Ok(())
    }

    fn gone(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        match connection.state {
            State::Stranger => {}
            State::Claiming { wanted, .. } => self.drop_claim(conn, &wanted.user_id),
            State::Member(info) => self.go_offline(info, now),
        }
    }

    fn close(&mut self, conn: ConnId, code: u16, reason: &'static str, now: Instant) {
        self.outputs.push_back(Output::Close { conn, code, reason });
        self.gone(conn, now);
    }

    fn refuse(&mut self, conn: ConnId, refusal: Refusal) {
        self.tell(conn, &refusal.into_message());
    }

    fn tell(&mut self, conn: ConnId, message: &Message) {
        self.outputs.push_back(Output::Send { to: conn, text: message.to_text().into() });
    }
}

impl Site {
    fn info<'a>(&self, id: &UserId, connections: &'a BTreeMap<ConnId, Connection>) -> Option<&'a PeerInfo> {
        connections.get(self.members.get(id)?)?.member()
    }
}

impl Connection {
    fn member(&self) -> Option<&PeerInfo> {
        match &self.state {
            State::Member(info) => Some(info),
            State::Stranger | State::Claiming { .. } => None,
        }
    }
}

fn peer_info(user_id: UserId, name: Option<String>, kind: Kind) -> PeerInfo {
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| user_id.to_string());
    PeerInfo { user_id, name, kind }
}
