//! Who is online, and how everybody comes to know it.
//!
//! Each member's JSON is kept once. Changes are numbered, each member having the number of its latest one only, and each
//! client is remembered by the number up to which it knows them: so what it has to be told is always the difference, and
//! a client that reads slowly is told less, not more. No client has more than one frame of presence waiting, and the
//! list for a joiner is made piece by piece as it is read.
//!
//! Each is told of those only whom they may know of by both passes. Who comes back under a pass that counts for something
//! else is another one in this: some who knew them may not know them now, and hear that they went.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::route::json;
use super::{ConnId, Output};
use crate::logic::access::{Pass, Reach, know_each_other, reach};
use crate::logic::websocket::Frame;
use crate::protocol::{
    self, EVERYONE, Kind, MAX_MESSAGE_BYTES, MAX_SINGLE_PRESENCE, PEERS_PAUSE, PeerInfo, UserId, You,
};

/// Bytes of one frame of a list, about.
const CHUNK: usize = 16 * 1024;
/// Bytes of what a joiner is told of themselves. Beyond, which takes hundreds of devices that each have rights of their
/// own, nothing is said of it: the server holds to it all the same.
const MAX_STANDING: usize = 32 * 1024;
/// Departures that are remembered for those who have not heard of them. A client that takes lists and has still not heard
/// of an older one is cut; the others, who in a crowd are told nothing, hear of that one all the same.
const MAX_DEPARTED: usize = 4096;

#[derive(Default)]
pub(super) struct Presence {
    members: BTreeMap<UserId, Entry>,
    /// The members by their latest change.
    changes: BTreeMap<u64, UserId>,
    /// Who has gone, by the number of that change.
    departed: BTreeMap<u64, Departed>,
    /// The latest of these by ID.
    departures: HashMap<UserId, u64>,
    /// The number of the latest change.
    latest: u64,
    devices: usize,
    /// Members that take lists, and those that do not.
    listeners: Audience,
    basic: Audience,
    /// When everybody was told last, and when that is due again.
    told: Option<Instant>,
    due: Option<Instant>,
}

struct Entry {
    conn: ConnId,
    kind: Kind,
    json: Arc<str>,
    pass: Arc<Pass>,
    /// Since which change the ID is on line, for those who have not heard of absences in between, and its latest one.
    came: u64,
    change: u64,
}

struct Departed {
    id: UserId,
    json: Arc<str>,
    pass: Arc<Pass>,
    came: u64,
    /// Since then the ID has been on line under another pass.
    returned: bool,
}

type Audience = BTreeMap<ConnId, View>;

/// What one client knows.
struct View {
    me: UserId,
    pass: Arc<Pass>,
    /// All changes up to this one, but for the rest of the list.
    known: u64,
    /// The list of members has been told up to here.
    list: List,
    /// A frame of presence has not left yet.
    waiting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum List {
    From(Bound<UserId>),
    Complete,
}

impl Presence {
    pub(super) fn online(&self) -> usize {
        self.members.len()
    }

    pub(super) fn kind_of(&self, id: &UserId) -> Option<Kind> {
        self.members.get(id).map(|entry| entry.kind)
    }

    /// Those of `rings` whom that device may ring.
    pub(super) fn rung(&self, device: &UserId, pass: &Pass, rings: &[String]) -> Vec<ConnId> {
        let everyone = rings.iter().any(|name| name == EVERYONE);
        let names: Vec<_> = rings.iter().map(|name| name.to_lowercase()).collect();
        let is_meant = |id: &UserId, other: &Pass| {
            let name = if let Pass::Person(person) = other { person.name.to_lowercase() } else { String::new() };
            everyone || rings.iter().any(|rung| rung == id.as_str()) || names.contains(&name)
        };
        let people = self.members.iter().filter(|(id, entry)| entry.kind == Kind::Person && *id != device);
        let rung = people.filter(|(id, entry)| reach(pass, &entry.pass) == Reach::Calls && is_meant(id, &entry.pass));
        rung.map(|(_, entry)| entry.conn).collect()
    }

    pub(super) fn online_as(&self, kind: Kind) -> usize {
        match kind {
            Kind::Device => self.devices,
            Kind::Person => self.members.len() - self.devices,
        }
    }

    pub(super) fn holder(&self, id: &UserId) -> Option<ConnId> {
        self.members.get(id).map(|entry| entry.conn)
    }

    /// The pass of whoever is on line under that ID.
    pub(super) fn pass_of(&self, id: &UserId) -> Option<&Arc<Pass>> {
        self.members.get(id).map(|entry| &entry.pass)
    }

    /// Enters a member, or what has changed of one.
    pub(super) fn enter(&mut self, peer: &PeerInfo, pass: &Arc<Pass>, conn: ConnId, now: Instant) {
        let id = &peer.user_id;
        let json: Arc<str> = serde_json::to_string(peer).unwrap_or_default().into();
        if let Some(entry) = self.members.get(id) {
            if entry.conn == conn && entry.json == json && entry.pass == *pass {
                return;
            }
            if !entry.pass.counts_as(pass) {
                self.take_out(id);
            }
        }
        let known_since = self.returns(id, pass);
        self.latest += 1;
        let came = self.members.get(id).map(|old| old.came).or(known_since).unwrap_or(self.latest);
        let entry = Entry { conn, kind: peer.kind, json, pass: pass.clone(), came, change: self.latest };
        self.devices += usize::from(peer.kind == Kind::Device);
        if let Some(old) = self.members.insert(id.clone(), entry) {
            self.devices -= usize::from(old.kind == Kind::Device);
            self.changes.remove(&old.change);
        }
        self.changes.insert(self.latest, id.clone());
        self.tell_soon(now);
    }

    /// Gives a member that is on line another name, under a pass that counts for the same.
    pub(super) fn rename(&mut self, id: &UserId, name: String, pass: &Arc<Pass>, now: Instant) {
        let Some(entry) = self.members.get(id) else { return };
        let (conn, peer) = (entry.conn, PeerInfo { user_id: id.clone(), name, kind: entry.kind });
        self.enter(&peer, pass, conn, now);
    }

    /// Takes a member off the list. Returns those who have missed so much that they cannot be told any more.
    pub(super) fn depart(&mut self, id: &UserId, now: Instant, outputs: &mut VecDeque<Output>) -> Vec<ConnId> {
        if !self.take_out(id) {
            return Vec::new();
        }
        self.tell_soon(now);
        let mut missed = Vec::new();
        while self.departed.len() > MAX_DEPARTED
            && let Some((forgotten, departed)) = self.departed.pop_first()
        {
            self.forget_departure(forgotten, &departed.id);
            // Those who were there before the crowd are few, and so are those whom they know.
            let knows = |view: &View| (departed.came..forgotten).contains(&view.known) && view.list.is_begun();
            let frame = presence(&departed.json, false);
            let told = self.basic.iter().filter(|(_, view)| knows(view) && self.hears_of_end(&view.pass, &departed));
            outputs.extend(told.map(|(&to, _)| Output::Send { to, frame: frame.clone(), presence: false }));
            missed.extend(self.listeners.iter().filter(|(_, view)| view.known < forgotten).map(|(conn, _)| *conn));
        }
        missed
    }

    /// Makes a departure of a member. Whether there was one.
    fn take_out(&mut self, id: &UserId) -> bool {
        let Some(Entry { kind, json, pass, came, change, .. }) = self.members.remove(id) else { return false };
        self.devices -= usize::from(kind == Kind::Device);
        self.changes.remove(&change);
        self.latest += 1;
        self.departed.insert(self.latest, Departed { id: id.clone(), json, pass, came, returned: false });
        self.departures.insert(id.clone(), self.latest);
        true
    }

    /// Somebody comes under that pass. If they have gone before and it counts for the same, nobody has to hear of that:
    /// since when they are known.
    fn returns(&mut self, id: &UserId, pass: &Pass) -> Option<u64> {
        let change = *self.departures.get(id)?;
        let departed = self.departed.get_mut(&change)?;
        if !departed.pass.counts_as(pass) {
            departed.returned = true;
            return None;
        }
        self.departures.remove(id);
        self.departed.remove(&change).map(|departed| departed.came)
    }

    fn forget_departure(&mut self, change: u64, id: &UserId) {
        if self.departures.get(id) == Some(&change) {
            self.departures.remove(id);
        }
    }

    /// Whether somebody who has heard of this one must hear now that it has gone. `false` for who may not know that it was
    /// there, and for who is told that it is.
    fn hears_of_end(&self, viewer: &Pass, departed: &Departed) -> bool {
        let is_back = || self.members.get(&departed.id).is_some_and(|entry| may_know(viewer, &entry.pass));
        may_know(viewer, &departed.pass) && !(departed.returned && is_back())
    }

    /// The `joined` for a member that was entered, which from now on is told of changes.
    pub(super) fn welcome(
        &mut self,
        conn: ConnId,
        me: &UserId,
        pass: &Arc<Pass>,
        lists: bool,
        ice_servers: &str,
    ) -> Frame {
        self.forget(conn);
        let head =
            format!(r#"{{"type":"joined","userId":{},"version":{},"peers":["#, json(me.as_str()), protocol::VERSION);
        let tail = format!(r#"],"iceServers":{ice_servers}{}}}"#, standing(pass));
        let room = MAX_MESSAGE_BYTES.saturating_sub(head.len() + tail.len());
        let room = if lists { room.min(CHUNK) } else { room };
        let (peers, list) = match lists || !self.is_crowd() {
            true => self.list(&List::From(Bound::Unbounded), me, pass, room),
            false => (Vec::new(), List::From(Bound::Unbounded)),
        };
        let frame = Frame::text(&format!("{head}{}{tail}", peers.join(",")));
        let view = View { me: me.clone(), pass: pass.clone(), known: self.latest, list, waiting: true };
        if lists { &mut self.listeners } else { &mut self.basic }.insert(conn, view);
        frame
    }

    /// Tells a client nothing any more.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.listeners.remove(&conn);
        self.basic.remove(&conn);
    }

    /// A frame of presence has left for a client, which may be told more.
    pub(super) fn took(&mut self, conn: ConnId, now: Instant, outputs: &mut VecDeque<Output>) {
        let lists = self.listeners.contains_key(&conn);
        let audience = if lists { &mut self.listeners } else { &mut self.basic };
        let Some(view) = audience.get_mut(&conn) else { return };
        view.waiting = false;
        let behind = view.known < self.latest;
        if view.list != List::Complete && (lists || !self.is_crowd()) {
            self.tell_list(conn, lists, outputs);
        }
        // Where nothing was left of the list, no frame is under way whose leaving would be told.
        let waiting =
            [&self.listeners, &self.basic].iter().any(|views| views.get(&conn).is_some_and(|view| view.waiting));
        if behind && !waiting {
            self.tell_soon(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Tells everybody what is new, if it is time.
    pub(super) fn tell(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        (self.told, self.due) = (Some(now), None);
        self.tell_audience(true, now, outputs);
        if !self.is_crowd() {
            self.tell_audience(false, now, outputs);
        }
        if self.departed.is_empty() {
            return;
        }
        let views = self.listeners.values().chain(self.basic.values());
        let known_to_all = views.map(|view| view.known).min().unwrap_or(self.latest);
        let unknown = self.departed.split_off(&(known_to_all + 1));
        for (change, departed) in std::mem::replace(&mut self.departed, unknown) {
            self.forget_departure(change, &departed.id);
        }
    }

    fn tell_audience(&mut self, lists: bool, now: Instant, outputs: &mut VecDeque<Output>) {
        // Nearly everybody knows the same, so a frame is made once for all who may know everybody.
        let mut made: HashMap<u64, (Vec<Frame>, u64)> = HashMap::new();
        let mut more = false;
        let mut unlisted = Vec::new();
        let audience = if lists { &mut self.listeners } else { &mut self.basic };
        let mut audience = std::mem::take(audience);
        for (&conn, view) in &mut audience {
            if view.waiting {
                continue;
            }
            if view.list != List::Complete {
                unlisted.push(conn);
                continue;
            }
            if view.known == self.latest {
                continue;
            }
            let own;
            let (frames, known) = match *view.pass {
                Pass::Anybody => {
                    made.entry(view.known).or_insert_with(|| self.difference(view.known, &Pass::Anybody, lists))
                }
                Pass::Nobody | Pass::Device(_) | Pass::Person(_) => {
                    own = self.difference(view.known, &view.pass, lists);
                    &own
                }
            };
            view.known = *known;
            view.waiting = send(conn, frames, outputs);
            more |= !view.waiting && view.known < self.latest;
        }
        *if lists { &mut self.listeners } else { &mut self.basic } = audience;
        for conn in unlisted {
            self.tell_list(conn, lists, outputs);
            let views = if lists { &self.listeners } else { &self.basic };
            more |= views.get(&conn).is_some_and(|view| !view.waiting && view.known < self.latest);
        }
        if more {
            self.tell_soon(now);
        }
    }

    /// Frames that tell what has changed since `known`, and the number up to which they do: one list, or single ones.
    fn difference(&self, known: u64, viewer: &Pass, lists: bool) -> (Vec<Frame>, u64) {
        let since = (Bound::Excluded(known), Bound::Unbounded);
        let mut came = self.changes.range(since).peekable();
        let mut went = self.departed.range(since).peekable();
        let (mut online, mut offline, mut single) = (Vec::new(), Vec::new(), Vec::new());
        let (mut known, mut length) = (known, 0);
        while length < CHUNK {
            let first = match (came.peek(), went.peek()) {
                (Some((a, _)), Some((b, _))) => a < b,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let json = if first {
                let Some((&change, id)) = came.next() else { break };
                known = change;
                let Some(entry) = self.members.get(id).filter(|entry| may_know(viewer, &entry.pass)) else { continue };
                online.push(&*entry.json);
                &entry.json
            } else {
                let Some((&change, departed)) = went.next() else { break };
                known = change;
                if !self.hears_of_end(viewer, departed) {
                    continue;
                }
                offline.push(json(departed.id.as_str()));
                &departed.json
            };
            length += json.len() + 1;
            if !lists {
                single.push(presence(json, first));
            }
        }
        match lists {
            true => (peers(&online, &offline), known),
            false => (single, known),
        }
    }

    /// The next piece of the list for a client that has not had all of it.
    fn tell_list(&mut self, conn: ConnId, lists: bool, outputs: &mut VecDeque<Output>) {
        let audience = if lists { &self.listeners } else { &self.basic };
        let Some(view) = audience.get(&conn) else { return };
        let (members, list) = self.list(&view.list, &view.me, &view.pass, CHUNK);
        let frames = match lists {
            true => peers(&members, &[]),
            false => members.iter().map(|json| presence(json, true)).collect(),
        };
        let waiting = send(conn, &frames, outputs);
        let audience = if lists { &mut self.listeners } else { &mut self.basic };
        if let Some(view) = audience.get_mut(&conn) {
            (view.list, view.waiting) = (list, waiting);
        }
    }

    /// The JSON of members, sorted by ID, that fit into so many bytes with a comma each, and where the list goes on.
    fn list(&self, from: &List, me: &UserId, viewer: &Pass, room: usize) -> (Vec<&str>, List) {
        let List::From(from) = from else { return (Vec::new(), List::Complete) };
        let (mut members, mut room) = (Vec::new(), room);
        let others = self.members.range((from.clone(), Bound::Unbounded)).filter(|(id, _)| *id != me);
        for (id, entry) in others.filter(|(_, entry)| may_know(viewer, &entry.pass)) {
            match room.checked_sub(entry.json.len() + 1) {
                Some(left) => room = left,
                None => return (members, List::From(Bound::Included(id.clone()))),
            }
            members.push(&*entry.json);
        }
        (members, List::Complete)
    }

    /// Whether there are so many that single messages about each would drown those who take no lists.
    fn is_crowd(&self) -> bool {
        self.members.len() > MAX_SINGLE_PRESENCE
    }

    /// Something has changed: at once after a quiet time, and otherwise together with what else changes meanwhile.
    fn tell_soon(&mut self, now: Instant) {
        let next = self.told.map_or(now, |told| now.max(told + PEERS_PAUSE));
        self.due.get_or_insert(next);
    }
}

impl List {
    fn is_begun(&self) -> bool {
        *self != List::From(Bound::Unbounded)
    }
}

/// Nobody is on line as [`Pass::Nobody`], so whoever comes as anybody may know of all.
fn may_know(viewer: &Pass, other: &Pass) -> bool {
    matches!(viewer, Pass::Anybody) || know_each_other(viewer, other)
}

/// What `joined` says of the joiner.
fn standing(pass: &Pass) -> String {
    let vouch = pass.vouch().map_or(String::new(), |vouch| format!(r#","vouch":"{vouch}""#));
    let Pass::Person(person) = pass else { return vouch };
    let you = You { name: person.name.clone(), role: person.role, rights: person.standing() };
    // Text and lists only: there is nothing in it that JSON cannot say.
    let json = serde_json::to_string(&you).unwrap_or_default();
    match json.len() <= MAX_STANDING {
        true => format!(r#"{vouch},"you":{json}"#),
        false => vouch,
    }
}

fn presence(json: &str, online: bool) -> Frame {
    Frame::text(&format!(r#"{{"type":"presence","peer":{json},"online":{online}}}"#))
}

/// Sends the frames and says whether there were any.
fn send(to: ConnId, frames: &[Frame], outputs: &mut VecDeque<Output>) -> bool {
    let last = frames.len().saturating_sub(1);
    let each = frames.iter().enumerate();
    outputs.extend(each.map(|(n, frame)| Output::Send { to, frame: frame.clone(), presence: n == last }));
    !frames.is_empty()
}

/// One `peers`, or none where there is nothing to say.
fn peers(online: &[&str], offline: &[String]) -> Vec<Frame> {
    let online = (!online.is_empty()).then(|| format!(r#","online":[{}]"#, online.join(",")));
    let offline = (!offline.is_empty()).then(|| format!(r#","offline":[{}]"#, offline.join(",")));
    if online.is_none() && offline.is_none() {
        return Vec::new();
    }
    let text = format!(r#"{{"type":"peers"{}{}}}"#, online.unwrap_or_default(), offline.unwrap_or_default());
    vec![Frame::text(&text)]
}
