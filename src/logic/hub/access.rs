//! Who is let in, and what becomes of connections and calls when rights end. What the passes decide is `logic::access`'s.

use std::sync::Arc;
use std::time::Instant;

use super::refusal::Refusal;
use super::{ConnId, Hub, Output, Shown, Standing, State};
use crate::base::lock::lock;
use crate::logic::access::{Device, Pass, Person};
use crate::logic::websocket::Frame;
use crate::protocol::{ErrorCode, MAX_UNAUTHORIZED, Message, PeerInfo, Reason, UserId, close};

impl Hub {
    /// A connection wants to join. What it shows is looked at only where nothing else says who it is.
    pub(super) fn asks_in(&mut self, conn: ConnId, peer: PeerInfo, lists: bool, shown: Option<Shown>, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        match (&*connection.pass, shown, connection.state.stranger_since()) {
            (Pass::Nobody, Some(shown), Some(since)) => {
                let user = peer.user_id.clone();
                self.change(conn, State::Authorising { since, peer, lists });
                self.outputs.push_back(Output::Authorise { conn, user, shown });
            }
            (Pass::Nobody | Pass::Anybody | Pass::Device(_) | Pass::Person(_), ..) => {
                self.join(conn, peer, lists, now);
            }
        }
    }

    /// What it counts for that a connection showed. Of one that has gone meanwhile, nothing.
    pub(super) fn authorised(&mut self, conn: ConnId, pass: Pass, now: Instant) {
        let pass = self.shared(pass);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let State::Authorising { since, peer, lists } = &connection.state else { return };
        let (since, peer, lists) = (*since, peer.clone(), *lists);
        // Something may have been found out in another way while it was looked up.
        if *connection.pass == Pass::Nobody {
            connection.pass = pass;
        }
        self.change(conn, State::Stranger { since });
        self.join(conn, peer, lists, now);
    }

    /// What a connection showed counts for nothing, for that reason.
    pub(super) fn refused(&mut self, conn: ConnId, why: &'static str, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let State::Authorising { since, peer, lists } = &connection.state else { return };
        let (since, peer, lists) = (*since, peer.clone(), *lists);
        let is_nobody = *connection.pass == Pass::Nobody;
        self.change(conn, State::Stranger { since });
        match is_nobody {
            true => self.turn_away(conn, Some(why), now),
            // Something has been found out in another way meanwhile.
            false => self.join(conn, peer, lists, now),
        }
    }

    /// The connection may not join like that. A few times it may try anew.
    pub(super) fn turn_away(&mut self, conn: ConnId, why: Option<&'static str>, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.unauthorized += 1;
        let last = connection.unauthorized >= MAX_UNAUTHORIZED;
        let message = match &*connection.pass {
            Pass::Nobody | Pass::Anybody => why.unwrap_or("an invitation or a token is needed to join here").to_owned(),
            Pass::Device(Device { id, .. }) => format!("you may join as the device {id} and as nobody else"),
            Pass::Person(Person { user_id, .. }) => format!("you may join as the person {user_id} and as nobody else"),
        };
        let member = match &connection.state {
            State::Member(id) => Some(Standing { id: id.clone(), pass: connection.pass.clone() }),
            State::Stranger { .. } | State::Authorising { .. } | State::Claiming { .. } => None,
        };
        let refusal = Refusal::new(ErrorCode::Unauthorized, message);
        self.refuse(conn, Refusal { kind: Some("join".to_owned()), ..refusal });
        match last {
            true => self.close(conn, close::UNAUTHORIZED, "an invitation or a token is needed", now),
            false => self.outputs.push_back(Output::Settled { conn, member }),
        }
    }

    /// Something else counts for a connection from now on.
    pub(super) fn pass_changed(&mut self, conn: ConnId, pass: Pass, now: Instant) {
        let pass = self.shared(pass);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let old = std::mem::replace(&mut connection.pass, pass.clone());
        let is_stranger = matches!(connection.state, State::Stranger { .. } | State::Authorising { .. });
        let user = match &connection.state {
            State::Member(user) => Some(user.clone()),
            State::Stranger { .. } | State::Authorising { .. } | State::Claiming { .. } => None,
        };
        if old.counts_as(&pass) {
            if let (Some(user), Pass::Person(person)) = (user, &*pass) {
                self.presence.rename(&user, shown(person), &pass, now);
            }
            return;
        }
        // Who has not joined has nothing to lose by more than nothing.
        if is_stranger && *pass != Pass::Nobody {
            return;
        }
        if let Some(user) = user {
            self.end_calls(&user, &old, &pass);
        }
        let (code, reason) = match *pass {
            Pass::Nobody => (close::ACCESS_ENDED, "your access has ended"),
            Pass::Anybody | Pass::Device(_) | Pass::Person(_) => {
                (close::RIGHTS_CHANGED, "your rights have changed; connect again")
            }
        };
        self.close(conn, code, reason, now);
    }

    /// Ends all calls of a user whose rights are over.
    pub(super) fn revoked(&mut self, user: &UserId) {
        let partners = lock(&self.calls).remove_all(user);
        partners.iter().for_each(|partner| self.end_call(user, partner));
    }

    /// Tells somebody who is here again which calls have ended meanwhile.
    pub(super) fn pay(&mut self, conn: ConnId, user: &UserId) {
        for from in self.owed.take(user) {
            self.outputs.push_back(Output::Send { to: conn, frame: end_of_call(&from, user), presence: false });
        }
    }

    /// All who come as anybody have one pass in common.
    pub(super) fn shared(&self, pass: Pass) -> Arc<Pass> {
        match pass {
            Pass::Anybody => self.anybody.clone(),
            Pass::Nobody | Pass::Device(_) | Pass::Person(_) => Arc::new(pass),
        }
    }

    /// Ends the calls that would not be as they are by what counts for a user now.
    pub(super) fn end_calls(&mut self, user: &UserId, old: &Pass, new: &Pass) {
        let partners = lock(&self.calls).partners(user);
        for partner in partners {
            // Who is off line has no pass to ask, and might have been allowed by the old one only.
            if self.presence.pass_of(&partner).is_none_or(|other| new.takes_from(old, other)) {
                lock(&self.calls).remove(user, &partner);
                self.end_call(user, &partner);
            }
        }
    }

    fn end_call(&mut self, one: &UserId, other: &UserId) {
        for (from, reader) in [(one, other), (other, one)] {
            match self.presence.holder(reader) {
                Some(to) => {
                    self.outputs.push_back(Output::Send { to, frame: end_of_call(from, reader), presence: false });
                }
                None => self.owed.add(reader.clone(), from.clone()),
            }
        }
    }
}

/// The name that others are shown.
pub(super) fn shown(person: &Person) -> String {
    match person.name.trim().is_empty() {
        true => person.user_id.to_string(),
        false => person.name.clone(),
    }
}

/// It names no call: all that the two have with each other is over.
fn end_of_call(from: &UserId, reader: &UserId) -> Frame {
    let (user_id, target_id) = (Some(from.clone()), Some(reader.clone()));
    Frame::text(&Message::Leave { user_id, target_id, reason: Some(Reason::Revoked), call_id: None }.to_text())
}
