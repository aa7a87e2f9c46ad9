//! The signaling server's machine: who is online, who may be told what, which messages go where.
//!
//! It knows no sockets and has two halves. A [`Reader`] for each connection reads what the client says and relays it
//! through the [`Directory`], which all share. What changes the directory (joining, leaving, claims on an ID) it hands
//! to the one [`Hub`], and then waits for [`Output::Settled`] before it reads on. The contract is that of every machine
//! in `logic/`: [`Hub::handle`] with the time, then [`Hub::poll_output`] until `None`, carried out in that order, then
//! sleep until [`Hub::poll_timeout`] and hand in [`Input::Timeout`].
//!
//! A connection is a stranger until it joins under an ID. An ID that somebody else holds can be claimed: the holder is
//! pinged and keeps the ID if it shows life within [`CLAIM_TIMEOUT`]. The loss of a connection says nothing
//! about its calls, whose media runs past this server: presence ends, the record of calls stays until somebody leaves.
//!
//! Each connection has a [`Pass`], which the shell finds for it: under which ID it may join, whom it knows of, and whom it
//! may call. A pass that comes to count for something else ends the connection, and what was begun by the old one.

mod access;
mod bucket;
mod callers;
mod calls;
mod claims;
mod directory;
mod gate;
mod identities;
mod owed;
mod permit;
mod presence;
mod refusal;
mod route;
#[cfg(test)]
mod tests;
mod visits;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::calls::Calls;
use self::claims::{Claims, Made};
pub use self::directory::{Directory, Entry};
pub use self::gate::{Admission, Origin, Places, Whose};
use self::identities::Identities;
use self::owed::Owed;
use self::presence::Presence;
use self::refusal::Refusal;
pub use self::route::{Line, Reader, Request, Shown, Standing, Step};
use super::access::Pass;
use super::websocket::Frame;
use crate::base::lock::lock;
use crate::protocol::{CLAIM_TIMEOUT, ErrorCode, IceServer, JOIN_TIMEOUT, Kind, PeerInfo, UserId, close};

/// One connection, numbered by the shell; the number is never used again.
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
    Connected(ConnId, Origin, Pass),
    /// A [`Reader`] cannot answer this itself, and waits.
    Asked(ConnId, Request),
    /// The answer to [`Output::Authorise`]: what was shown counts for this.
    Authorised(ConnId, Pass),
    /// The same: it counts for nothing, for this reason.
    Refused(ConnId, &'static str),
    /// From now on this counts for a connection; [`Pass::Nobody`]: nothing any more.
    PassChanged(ConnId, Pass),
    /// What counted for this user does so no more, whether there is a connection or not: their calls end.
    Revoked(UserId),
    /// Something came in after [`Output::Ping`], or was said before that and only now read.
    Alive(ConnId),
    /// A frame of presence is on its way.
    Took(ConnId),
    /// The connection ended, for whatever reason.
    Gone(ConnId),
    /// The time of [`Hub::poll_timeout`] has come.
    Timeout,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// With `presence`, hand in [`Input::Took`] once the frame has been written.
    Send { to: ConnId, frame: Frame, presence: bool },
    /// Ask for a sign of life, and hand in [`Input::Alive`] at the next one.
    Ping(ConnId),
    /// Find out what it counts for that somebody shows who wants to join as `user`, and hand in [`Input::Authorised`] or
    /// [`Input::Refused`].
    Authorise { conn: ConnId, user: UserId, shown: Shown },
    /// Enter the user in the directory with the line of this connection.
    Enter { user: UserId, pass: Arc<Pass>, conn: ConnId },
    /// Take the user out of the directory.
    Remove { user: UserId },
    /// The answer to [`Input::Asked`]: whose connection it is now.
    Settled { conn: ConnId, member: Option<Standing> },
    /// These places are all taken: a newcomer is refused, or a stranger makes way for it.
    Full(Whose),
    /// Close after what was sent before. The hub has forgotten the connection already.
    Close { conn: ConnId, code: u16, reason: &'static str },
}

pub struct Hub {
    /// JSON, as `joined` has it.
    ice_servers: String,
    connections: HashMap<ConnId, Connection>,
    places: Places,
    identities: Identities,
    /// Everybody lives in one site for now; presence and calls stay within it.
    presence: Presence,
    claims: Claims,
    calls: Arc<Mutex<Calls>>,
    owed: Owed,
    /// What all have in common who come as anybody, so that it is looked at in one place.
    anybody: Arc<Pass>,
    /// Grows within one `handle` only, by at most a few messages a connection.
    outputs: VecDeque<Output>,
}

struct Connection {
    origin: Origin,
    /// What counted for it when it connected.
    came_as: Arc<Pass>,
    pass: Arc<Pass>,
    /// How often it was told `unauthorized`.
    unauthorized: u32,
    state: State,
}

enum State {
    Stranger {
        since: Instant,
    },
    /// Showed something, and waits for what it counts for.
    Authorising {
        since: Instant,
        peer: PeerInfo,
        lists: bool,
    },
    /// Asked for an ID that another connection holds, and waits.
    Claiming {
        since: Instant,
        /// What counts instead of that while it waits.
        counted: Instant,
        peer: PeerInfo,
        lists: bool,
    },
    Member(UserId),
}

impl Hub {
    pub fn new<L>(settings: &HubSettings, directory: &Directory<L>) -> Hub {
        Hub {
            ice_servers: as_json(&settings.ice_servers),
            connections: HashMap::new(),
            places: Places::new(settings.max_connections),
            identities: Identities::default(),
            presence: Presence::default(),
            claims: Claims::default(),
            calls: directory.calls.clone(),
            owed: Owed::default(),
            anybody: Arc::new(Pass::Anybody),
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Connected(conn, origin, pass) => self.connected(conn, origin, pass, now),
            Input::Asked(conn, Request::Join { peer, lists, shown }) => self.asks_in(conn, peer, lists, shown, now),
            Input::Asked(conn, Request::Leave(text)) => self.leave(conn, &text, now),
            Input::Asked(conn, Request::Visit(visit)) => self.visit(conn, visit),
            Input::Authorised(conn, pass) => self.authorised(conn, pass, now),
            Input::Refused(conn, why) => self.refused(conn, why, now),
            Input::PassChanged(conn, pass) => self.pass_changed(conn, pass, now),
            Input::Revoked(user) => self.revoked(&user),
            Input::Alive(conn) => self.shows_life(conn),
            Input::Took(conn) => self.presence.took(conn, now, &mut self.outputs),
            Input::Gone(conn) => self.gone(conn, now),
            Input::Timeout => self.timed_out(now),
        }
        self.presence.tell(now, &mut self.outputs);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.claims.poll_timeout(), self.places.poll_timeout(), self.presence.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// For everybody who joins from now on.
    pub fn set_ice_servers(&mut self, servers: &[IceServer]) {
        self.ice_servers = as_json(servers);
    }

    /// How many IDs are online.
    pub fn online(&self) -> usize {
        self.presence.online()
    }

    /// How many of them are of that kind.
    pub fn online_as(&self, kind: Kind) -> usize {
        self.presence.online_as(kind)
    }

    /// Whether a newcomer from an address that has its share to itself would be refused.
    pub fn is_full(&self) -> bool {
        matches!(self.places.admit(Origin::Local), Admission::Taken { stranger: None, .. })
    }

    fn connected(&mut self, conn: ConnId, origin: Origin, pass: Pass, now: Instant) {
        match self.places.admit(origin) {
            Admission::Free => {}
            Admission::Taken { whose, stranger: Some(stranger) } => {
                self.outputs.push_back(Output::Full(whose));
                self.say_full(stranger);
                self.close(stranger, close::TRY_LATER, "server full", now);
            }
            Admission::Taken { whose, stranger: None } => {
                self.outputs.push_back(Output::Full(whose));
                self.say_full(conn);
                return self.outputs.push_back(Output::Close { conn, code: close::TRY_LATER, reason: "server full" });
            }
        }
        self.places.take(conn, origin, now);
        let (pass, state) = (self.shared(pass), State::Stranger { since: now });
        let connection = Connection { origin, came_as: pass.clone(), pass: pass.clone(), unauthorized: 0, state };
        self.connections.insert(conn, connection);
        let is_member =
            |conn: &ConnId| matches!(self.connections.get(conn), Some(Connection { state: State::Member(_), .. }));
        if let Some(goes) = self.identities.enter(&pass, conn, is_member) {
            self.close(goes, close::POLICY, "too many connections of one browser, program or device", now);
        }
    }

    fn say_full(&mut self, conn: ConnId) {
        self.refuse(conn, Refusal::new(ErrorCode::ServerFull, "the server is full; try again later"));
    }

    fn join(&mut self, conn: ConnId, peer: PeerInfo, lists: bool, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let renews = matches!(&connection.state, State::Member(id) if *id == peer.user_id);
        // Nobody may know of an ID that they cannot have.
        if !connection.pass.admits(&peer.user_id, peer.kind) {
            return self.turn_away(conn, None, now);
        }
        match self.presence.holder(&peer.user_id) {
            Some(holder) if !renews => self.claim(conn, holder, peer, lists, now),
            Some(_) | None => self.admit(conn, peer, lists, now),
        }
    }

    fn claim(&mut self, conn: ConnId, holder: ConnId, peer: PeerInfo, lists: bool, now: Instant) {
        let made = self.claims.make(&peer.user_id, conn, now);
        let whose = |conn| self.connections.get(conn).and_then(|connection| connection.pass.holder());
        // The same somebody, once more: they know best which of the two they want.
        let is_theirs = whose(&conn).is_some() && whose(&conn) == whose(&holder);
        let since = self.connections.get(&conn).and_then(|claimant| claimant.state.stranger_since()).unwrap_or(now);
        // Its time to join does not end before the claim does.
        let counted = now.checked_sub(JOIN_TIMEOUT.saturating_sub(CLAIM_TIMEOUT)).map_or(now, |late| late.max(since));
        self.change(conn, State::Claiming { since, counted, peer, lists });
        match made {
            Made::First if is_theirs => {}
            Made::First => self.outputs.push_back(Output::Ping(holder)),
            Made::InPlaceOf(earlier) => self.claim_lost(earlier),
        }
        if is_theirs {
            self.replace(holder, now);
        }
    }

    /// Makes the connection a member, or renews what is known of one. It hears `joined` before anything that is for it.
    fn admit(&mut self, conn: ConnId, mut peer: PeerInfo, lists: bool, now: Instant) {
        let Some(pass) = self.connections.get(&conn).map(|connection| connection.pass.clone()) else { return };
        if let Pass::Person(person) = &*pass {
            peer.name = access::shown(person);
        }
        let before = self.presence.pass_of(&peer.user_id).cloned();
        self.presence.enter(&peer, &pass, conn, now);
        let user = peer.user_id;
        let frame = self.presence.welcome(conn, &user, &pass, lists, &self.ice_servers);
        self.change(conn, State::Member(user.clone()));
        self.outputs.extend([
            Output::Send { to: conn, frame, presence: true },
            Output::Enter { user: user.clone(), pass: pass.clone(), conn },
            Output::Settled { conn, member: Some(Standing { id: user.clone(), pass: pass.clone() }) },
        ]);
        self.pay(conn, &user);
        // Who took over from a connection with other rights may have been quicker than the word that they have changed.
        if let Some(before) = before.filter(|before| !before.counts_as(&pass)) {
            self.end_calls(&user, &before, &pass);
        }
    }

    fn leave(&mut self, conn: ConnId, text: &str, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let State::Member(user) = &connection.state else {
            return self.outputs.push_back(Output::Settled { conn, member: None });
        };
        let user = user.clone();
        let partners = lock(&self.calls).remove_all(&user);
        for partner in partners {
            let Some(to) = self.presence.holder(&partner) else { continue };
            // Not sent only if the partner's ID makes the text too long, and then its media tells the partner.
            if let Ok(value) = serde_json::from_str(text)
                && let Some(frame) = route::addressed(value, &user, &partner, None)
            {
                self.outputs.push_back(Output::Send { to, frame, presence: false });
            }
        }
        self.change(conn, State::Stranger { since: now });
        self.go_offline(conn, &user, now);
        self.outputs.push_back(Output::Settled { conn, member: None });
    }

    /// Takes a member off line; who waits for the ID gets it.
    fn go_offline(&mut self, conn: ConnId, user: &UserId, now: Instant) {
        self.presence.forget(conn);
        if let Some(claimant) = self.claims.end(user) {
            return self.claim_won(claimant, now);
        }
        self.outputs.push_back(Output::Remove { user: user.clone() });
        let missed = self.presence.depart(user, now, &mut self.outputs);
        let presence = &self.presence;
        lock(&self.calls).forget_offline(user, |id| presence.holder(id).is_some());
        for conn in missed {
            // It goes off line by what the shell says of its end, so that departures do not follow from departures.
            self.presence.forget(conn);
            let reason = "you have not read for too long who is online";
            self.outputs.push_back(Output::Close { conn, code: close::TOO_SLOW, reason });
        }
    }

    fn shows_life(&mut self, conn: ConnId) {
        let Some(Connection { state: State::Member(user), .. }) = self.connections.get(&conn) else { return };
        if let Some(claimant) = self.claims.end(user) {
            self.claim_lost(claimant);
        }
    }

    fn timed_out(&mut self, now: Instant) {
        while let Some(id) = self.claims.due(now) {
            if let Some(holder) = self.presence.holder(&id) {
                self.replace(holder, now);
            }
            self.claims.end(&id);
        }
        while let Some(stranger) = self.places.overdue(now) {
            self.close(stranger, close::POLICY, "join first", now);
        }
    }

    /// Losing its connection hands the holder's ID to the claimant.
    fn replace(&mut self, holder: ConnId, now: Instant) {
        self.close(holder, close::REPLACED, "another connection took this ID", now);
    }

    fn claim_won(&mut self, conn: ConnId, now: Instant) {
        match self.connections.get(&conn) {
            Some(Connection { state: State::Claiming { peer, lists, .. }, .. }) => {
                let (peer, lists) = (peer.clone(), *lists);
                self.admit(conn, peer, lists, now);
            }
            Some(Connection {
                state: State::Stranger { .. } | State::Authorising { .. } | State::Member(_), ..
            })
            | None => {}
        }
    }

    fn claim_lost(&mut self, conn: ConnId) {
        let Some(Connection { state: State::Claiming { peer, since, .. }, .. }) = self.connections.get(&conn) else {
            return;
        };
        let since = *since;
        let refusal = Refusal::new(ErrorCode::IdTaken, format!("{} is online already", peer.user_id));
        self.refuse(conn, Refusal { kind: Some("join".to_owned()), ..refusal });
        self.change(conn, State::Stranger { since });
        self.outputs.push_back(Output::Settled { conn, member: None });
    }

    fn gone(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.places.free(conn, connection.origin, connection.state.stranger_since());
        self.identities.leave(&connection.came_as, conn);
        match connection.state {
            State::Stranger { .. } | State::Authorising { .. } => {}
            State::Claiming { peer, .. } => self.claims.drop_of(conn, &peer.user_id),
            State::Member(user) => self.go_offline(conn, &user, now),
        }
    }

    /// Closes after whoever takes the connection's ID has it, so that nothing for the ID is lost in between.
    fn close(&mut self, conn: ConnId, code: u16, reason: &'static str, now: Instant) {
        self.gone(conn, now);
        self.outputs.push_back(Output::Close { conn, code, reason });
    }

    fn change(&mut self, conn: ConnId, state: State) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (was, is) = (connection.state.stranger_since(), state.stranger_since());
        connection.state = state;
        self.places.set_stranger(conn, connection.origin, was, is);
    }

    fn refuse(&mut self, conn: ConnId, refusal: Refusal) {
        self.outputs.push_back(Output::Send { to: conn, frame: refusal.frame(), presence: false });
    }
}

impl State {
    fn stranger_since(&self) -> Option<Instant> {
        match self {
            State::Stranger { since } | State::Authorising { since, .. } | State::Claiming { counted: since, .. } => {
                Some(*since)
            }
            State::Member(_) => None,
        }
    }
}

fn as_json(servers: &[IceServer]) -> String {
    // Strings only: there is nothing in it that JSON cannot say.
    serde_json::to_string(servers).unwrap_or_else(|_| "[]".to_owned())
}
