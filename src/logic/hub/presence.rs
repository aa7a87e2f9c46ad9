//! Who holds which ID: joining, claims on an ID that another connection holds, and telling everybody.

use std::sync::Arc;
use std::time::Instant;

use super::refusal::Refusal;
use super::{ConnId, Connection, Hub, Output, State};
use crate::protocol::{self, CLAIM_TIMEOUT, ErrorCode, MAX_MESSAGE_BYTES, Message, PeerInfo, UserId, close};

/// A running claim on a member's ID.
pub(super) struct Claim {
    by: ConnId,
    pub(super) deadline: Instant,
}

/// Messages of a claiming connection, at most [`Held::MESSAGES`] and [`Held::BYTES`]; what does not fit is refused.
#[derive(Default)]
pub(super) struct Held {
    messages: Vec<String>,
    bytes: usize,
}

impl Hub {
    pub(super) fn join(
        &mut self,
        conn: ConnId,
        info: PeerInfo,
        member: Option<UserId>,
        now: Instant,
    ) -> Result<(), Refusal> {
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
    pub(super) fn go_offline(&mut self, info: PeerInfo, now: Instant) {
        self.home.members.remove(&info.user_id);
        let claim = self.home.claims.remove(&info.user_id);
        if let Some(claim) = claim {
            return self.claim_won(claim.by, now);
        }
        let members = &self.home.members;
        self.home.calls.forget_offline(&info.user_id, |id| members.contains_key(id));
        self.announce(info, false);
    }

    pub(super) fn shows_life(&mut self, conn: ConnId, now: Instant) {
        let Some(info) = self.connections.get(&conn).and_then(Connection::member) else { return };
        if let Some(claim) = self.home.claims.remove(&info.user_id) {
            self.claim_lost(claim.by, now);
        }
    }

    pub(super) fn timed_out(&mut self, now: Instant) {
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

    pub(super) fn drop_claim(&mut self, conn: ConnId, id: &UserId) {
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
}

impl Held {
    const MESSAGES: usize = 32;
    const BYTES: usize = 2 * MAX_MESSAGE_BYTES;

    pub(super) fn push(&mut self, text: String) -> bool {
        let fits = self.messages.len() < Self::MESSAGES && self.bytes + text.len() <= Self::BYTES;
        if fits {
            self.bytes += text.len();
            self.messages.push(text);
        }
        fits
    }
}
