//! The signaling server's machine: who is online, who may be told what, which messages go where.
//!
//! It sees connections and text frames and knows no sockets. The contract is that of every machine in `logic/`:
//! [`Hub::handle`] with the time, then [`Hub::poll_output`] until `None`, then sleep until [`Hub::poll_timeout`] and
//! hand in [`Input::Timeout`].
//!
//! A connection is a stranger until it joins under an ID. An ID that somebody else holds can be claimed: the holder is
//! pinged and keeps the ID if it shows life within [`CLAIM_TIMEOUT`]. The loss of a connection says nothing about its
//! calls, whose media runs past this server: presence ends, the record of calls stays until somebody leaves.

mod bucket;
mod calls;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use self::bucket::{Bucket, Verdict};
use self::calls::Calls;
use crate::protocol::{
    self, CLAIM_TIMEOUT, ErrorCode, IceServer, Kind, MAX_MALFORMED, MAX_MESSAGE_BYTES, Message, ParseError, PeerInfo,
    UserId, close,
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
    /// The running claim on a member's ID.
    claims: BTreeMap<UserId, Claim>,
    calls: Calls,
}

struct Claim {
    by: ConnId,
    deadline: Instant,
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

/// Messages of a claiming connection, at most [`Held::MESSAGES`] and [`Held::BYTES`]; what does not fit is refused.
#[derive(Default)]
struct Held {
    messages: Vec<String>,
    bytes: usize,
}

/// Why a message is refused: becomes an `error` to its sender.
struct Refusal {
    code: ErrorCode,
    message: String,
    kind: Option<String>,
    target: Option<UserId>,
    call_id: Option<String>,
}

impl Hub {
    pub fn new(settings: HubSettings) -> Hub {
        Hub { settings, connections: BTreeMap::new(), home: Site::default(), outputs: VecDeque::new() }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Connected(conn) => self.connected(conn, now),
            Input::Text(conn, text) => {
                self.shows_life(conn, now);
                self.received(conn, text, now);
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

    /// How many IDs are online.
    pub fn online(&self) -> usize {
        self.home.members.len()
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
            (Message::Join { user_id, name, kind: sort }, member) => {
                self.join(conn, peer_info(user_id, name, sort), member, now)
            }
            (Message::Joined { .. } | Message::Presence { .. }, _) => {
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

    fn join(&mut self, conn: ConnId, info: PeerInfo, member: Option<UserId>, now: Instant) -> Result<(), Refusal> {
        let refusal = |code, message: String| Refusal { kind: Some("join".to_owned()), ..Refusal::new(code, message) };
        if let Some(current) = member {
            if current != info.user_id {
                let message = format!("this connection has joined as {current}; leave first");
                return Err(refusal(ErrorCode::AlreadyJoined, message));
            }
            self.admit(conn, info);
            return Ok(());
        }
        let Some(&holder) = self.home.members.get(&info.user_id) else {
            self.admit(conn, info);
            return Ok(());
        };
        // The holder has been pinged if a claim is running: a further claimant takes the first one's place in it, since
        // a client that comes back twice in a row is more likely than two that are after one ID.
        let earlier = match self.home.claims.get_mut(&info.user_id) {
            Some(claim) => Some(std::mem::replace(&mut claim.by, conn)),
            None => {
                let claim = Claim { by: conn, deadline: now + CLAIM_TIMEOUT };
                self.home.claims.insert(info.user_id.clone(), claim);
                self.outputs.push_back(Output::Ping(holder));
                None
            }
        };
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.state = State::Claiming { wanted: info, held: Held::default() };
        }
        if let Some(earlier) = earlier {
            self.claim_lost(earlier, now);
        }
        Ok(())
    }

    /// Makes the connection a member, or renews what is known of one, and tells everybody. Peers that do not fit into
    /// `joined` follow as `presence`.
    fn admit(&mut self, conn: ConnId, info: PeerInfo) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let changed = connection.member() != Some(&info);
        connection.state = State::Member(info.clone());
        self.home.members.insert(info.user_id.clone(), conn);

        let mut peers = Vec::new();
        let joined = |peers| Message::Joined {
            user_id: info.user_id.clone(),
            version: protocol::VERSION,
            peers,
            ice_servers: self.settings.ice_servers.clone(),
        };
        let mut room = MAX_MESSAGE_BYTES.saturating_sub(joined(Vec::new()).to_text().len());
        let mut further = Vec::new();
        for other in self.home.members.keys().filter(|id| **id != info.user_id) {
            let Some(peer) = self.home.info(other, &self.connections) else { continue };
            let length = serde_json::to_string(peer).map_or(usize::MAX, |text| text.len() + 1);
            match room.checked_sub(length) {
                Some(left) => {
                    room = left;
                    peers.push(peer.clone());
                }
                None => further.push(Message::Presence { peer: peer.clone(), online: true }),
            }
        }
        let joined = joined(peers);
        self.tell(conn, &joined);
        for message in further {
            self.tell(conn, &message);
        }
        if changed {
            self.announce(info, true);
        }
    }

    /// Takes a member off line; who waits for the ID gets it.
    fn go_offline(&mut self, info: PeerInfo, now: Instant) {
        self.home.members.remove(&info.user_id);
        let claim = self.home.claims.remove(&info.user_id);
        if let Some(claim) = claim {
            return self.claim_won(claim.by, now);
        }
        let members = &self.home.members;
        self.home.calls.forget_offline(&info.user_id, |id| members.contains_key(id));
        self.announce(info, false);
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

    fn shows_life(&mut self, conn: ConnId, now: Instant) {
        let Some(info) = self.connections.get(&conn).and_then(Connection::member) else { return };
        if let Some(claim) = self.home.claims.remove(&info.user_id) {
            self.claim_lost(claim.by, now);
        }
    }

    fn timed_out(&mut self, now: Instant) {
        let due = self.home.claims.iter().filter(|(_, claim)| claim.deadline <= now);
        for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            // Losing its connection hands the holder's ID to the claimant.
            if let Some(&holder) = self.home.members.get(&id) {
                self.close(holder, close::REPLACED, "another connection took this ID", now);
            }
        }
    }

    fn claim_won(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match std::mem::replace(&mut connection.state, State::Stranger) {
            State::Claiming { wanted, held } => {
                self.admit(conn, wanted);
                self.read_held(conn, held, now);
            }
            other @ (State::Stranger | State::Member(_)) => connection.state = other,
        }
    }

    fn claim_lost(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match std::mem::replace(&mut connection.state, State::Stranger) {
            State::Claiming { wanted, held } => {
                let message = format!("{} is online already", wanted.user_id);
                let refusal = Refusal::new(ErrorCode::IdTaken, message);
                self.refuse(conn, Refusal { kind: Some("join".to_owned()), ..refusal });
                self.read_held(conn, held, now);
            }
            other @ (State::Stranger | State::Member(_)) => connection.state = other,
        }
    }

    fn read_held(&mut self, conn: ConnId, held: Held, now: Instant) {
        for text in held.messages {
            match self.connections.get_mut(&conn) {
                // A held `join` can start the next claim.
                Some(Connection { state: State::Claiming { held, .. }, .. }) => {
                    held.push(text);
                }
                Some(Connection { state: State::Stranger | State::Member(_), .. }) => self.read(conn, &text, now),
                None => return,
            }
        }
    }

    fn drop_claim(&mut self, conn: ConnId, id: &UserId) {
        if self.home.claims.get(id).is_some_and(|claim| claim.by == conn) {
            self.home.claims.remove(id);
        }
    }

    fn announce(&mut self, peer: PeerInfo, online: bool) {
        let id = peer.user_id.clone();
        let text: Arc<str> = Message::Presence { peer, online }.to_text().into();
        let others = self.home.members.iter().filter(|(other, _)| **other != id);
        self.outputs.extend(others.map(|(_, &to)| Output::Send { to, text: text.clone() }));
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

impl Held {
    const MESSAGES: usize = 32;
    const BYTES: usize = 2 * MAX_MESSAGE_BYTES;

    fn push(&mut self, text: String) -> bool {
        let fits = self.messages.len() < Self::MESSAGES && self.bytes + text.len() <= Self::BYTES;
        if fits {
            self.bytes += text.len();
            self.messages.push(text);
        }
        fits
    }
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), kind: None, target: None, call_id: None }
    }

    fn into_message(self) -> Message {
        Message::Error {
            code: self.code,
            message: self.message,
            user_id: None,
            target_id: self.target,
            in_reply_to: self.kind,
            call_id: self.call_id,
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Refusal {
        let kind = error.kind().map(str::to_owned);
        Refusal { kind, ..Refusal::new(error.code(), error.to_string()) }
    }
}

fn peer_info(user_id: UserId, name: Option<String>, kind: Kind) -> PeerInfo {
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| user_id.to_string());
    PeerInfo { user_id, name, kind }
}
