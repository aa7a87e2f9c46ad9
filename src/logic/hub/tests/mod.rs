//! The hub and its readers in virtual time: a world in which every message that anybody hears is checked, and by subject
//! what happens in it.

mod access;
mod bounds;
mod claims;
mod gate;
mod household;
mod presence;
mod random;
mod route;
mod visits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ConnId, Directory, Hub, HubSettings, Input, Line, Origin, Output, Reader, Shown, Step, Whose};
use crate::logic::access::Pass;
use crate::logic::websocket::Frame;
use crate::protocol::MAX_MESSAGE_BYTES;

/// A hub with its readers, their clock, and what was told to each connection.
struct World {
    hub: Hub,
    directory: Directory<Probe>,
    relayed: Relayed,
    now: Instant,
    open: BTreeSet<ConnId>,
    readers: BTreeMap<ConnId, Client>,
    /// Who may go on after an answer of the hub.
    awake: VecDeque<ConnId>,
    closed: Vec<(ConnId, u16)>,
    full: Vec<Whose>,
    pinged: Vec<ConnId>,
    heard: BTreeMap<ConnId, Vec<Value>>,
    /// The ID that `joined` told each connection last.
    names: BTreeMap<ConnId, String>,
    /// What counts for each connection.
    passes: BTreeMap<ConnId, Pass>,
    tokens: BTreeMap<String, Pass>,
    /// Everything that ever counted for an ID.
    ever: BTreeMap<String, Vec<Pass>>,
    /// Pairs that may be in a call, in both orders.
    calls: BTreeSet<(String, String)>,
    /// The connection that was told last that an ID is its own.
    holders: BTreeMap<String, ConnId>,
    /// Who is online, as each connection has to think.
    views: BTreeMap<ConnId, BTreeMap<String, Value>>,
    /// Connections that do not read, and how many frames of presence wait for each.
    slow: BTreeMap<ConnId, usize>,
    /// Frames of presence so far, and their bytes.
    presence: (usize, usize),
}

/// A connection as its task sees it.
struct Client {
    reader: Reader,
    /// The hub was asked something and has not answered.
    asking: bool,
    /// What was said meanwhile lies in the socket.
    unread: VecDeque<String>,
    /// The hub waits for a sign of life.
    asked: bool,
}

type Relayed = Arc<Mutex<Vec<(ConnId, Frame)>>>;

struct Probe {
    conn: ConnId,
    relayed: Relayed,
    /// Takes no more frames.
    full: bool,
}

impl Line for Probe {
    fn relay(&self, frame: Frame) -> bool {
        if !self.full {
            self.relayed.lock().unwrap().push((self.conn, frame));
        }
        !self.full
    }
}

impl World {
    fn new(max_connections: usize) -> World {
        let directory = Directory::default();
        World {
            hub: Hub::new(&HubSettings { ice_servers: Vec::new(), max_connections }, &directory),
            directory,
            relayed: Relayed::default(),
            now: Instant::now(),
            open: BTreeSet::new(),
            readers: BTreeMap::new(),
            awake: VecDeque::new(),
            closed: Vec::new(),
            full: Vec::new(),
            pinged: Vec::new(),
            heard: BTreeMap::new(),
            names: BTreeMap::new(),
            passes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            ever: BTreeMap::new(),
            calls: BTreeSet::new(),
            holders: BTreeMap::new(),
            views: BTreeMap::new(),
            slow: BTreeMap::new(),
            presence: (0, 0),
        }
    }

    fn feed(&mut self, input: Input) {
        self.hand_in(input);
        while let Some(conn) = self.awake.pop_front() {
            while let Some(client) = self.readers.get_mut(&conn).filter(|client| !client.asking)
                && let Some(text) = client.unread.pop_front()
            {
                self.read(conn, &text);
            }
        }
    }

    fn hand_in(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.hub.handle(input, self.now);
            while let Some(output) = self.hub.poll_output() {
                self.carry_out(output, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
        match output {
            Output::Send { to, frame, presence } => {
                let kind = self.hears(to, &frame);
                if ["presence", "peers"].contains(&kind.as_str()) {
                    self.presence = (self.presence.0 + 1, self.presence.1 + frame.bytes().len());
                }
                match self.slow.get_mut(&to) {
                    Some(waiting) => *waiting += usize::from(presence),
                    None if presence => inputs.push_back(Input::Took(to)),
                    None => {}
                }
            }
            Output::Ping(conn) => {
                assert!(self.open.contains(&conn));
                self.pinged.push(conn);
                self.readers.get_mut(&conn).unwrap().asked = true;
            }
            Output::Authorise { conn, shown, .. } => {
                let Shown::Token(token) = shown else { panic!("{shown:?}") };
                let pass = self.tokens.get(token.secret()).cloned();
                self.passes.insert(conn, pass.clone().unwrap_or(Pass::Nobody));
                inputs.push_back(match pass {
                    Some(pass) => Input::Authorised(conn, pass),
                    None => Input::Refused(conn, "no token"),
                });
            }
            Output::Enter { user, pass, conn } => {
                assert_eq!(self.passes.get(&conn), Some(&*pass));
                self.ever.entry(user.to_string()).or_default().push((*pass).clone());
                assert_eq!(self.names.get(&conn).map(String::as_str), Some(user.as_str()), "not joined yet");
                self.directory.enter(user, pass, Probe { conn, relayed: self.relayed.clone(), full: false });
            }
            Output::Remove { user } => self.directory.remove(&user),
            Output::Settled { conn, member } => {
                let client = self.readers.get_mut(&conn).unwrap();
                assert!(client.asking, "an answer without a question");
                client.asking = false;
                client.reader.settled(member);
                self.awake.push_back(conn);
            }
            Output::Full(whose) => self.full.push(whose),
            Output::Close { conn, code, .. } => {
                assert!(self.open.remove(&conn), "{conn:?} is closed twice");
                self.readers.remove(&conn);
                self.closed.push((conn, code));
            }
        }
    }

    /// A text from a client; it waits where the client's reader does.
    fn text(&mut self, conn: ConnId, text: &str) {
        match self.readers.get_mut(&conn) {
            Some(client) if client.asking => client.unread.push_back(text.to_owned()),
            Some(_) => {
                self.read(conn, text);
                self.alive(conn);
                self.awake.push_back(conn);
                self.feed(Input::Timeout);
            }
            None => {}
        }
    }

    fn read(&mut self, conn: ConnId, text: &str) {
        let client = self.readers.get_mut(&conn).unwrap();
        let step = client.reader.read(text, &self.directory, self.now);
        let relayed = std::mem::take(&mut *self.relayed.lock().unwrap());
        for (to, frame) in relayed {
            self.hears(to, &frame);
        }
        match step {
            Step::Done => {}
            Step::Answer(frame) => drop(self.hears(conn, &frame)),
            Step::Ask(request) => {
                self.readers.get_mut(&conn).unwrap().asking = true;
                self.hand_in(Input::Asked(conn, request));
            }
            Step::Close { last, code, .. } => {
                last.into_iter().for_each(|frame| drop(self.hears(conn, &frame)));
                self.closed.push((conn, code));
                self.end(conn);
            }
        }
    }

    fn alive(&mut self, conn: ConnId) {
        if self.readers.get_mut(&conn).is_some_and(|client| std::mem::take(&mut client.asked)) {
            self.hand_in(Input::Alive(conn));
        }
    }

    fn hears(&mut self, to: ConnId, frame: &Frame) -> String {
        let text = std::str::from_utf8(frame.payload()).unwrap();
        assert!(self.open.contains(&to), "{to:?} is closed and told {text}");
        assert!(text.len() <= MAX_MESSAGE_BYTES);
        let message: Value = serde_json::from_str(text).unwrap();
        let text_of = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = text_of(&message["type"]);
        match kind.as_str() {
            "joined" => {
                let id = text_of(&message["userId"]);
                let peers = message["peers"].as_array().unwrap();
                let ids: Vec<_> = peers.iter().map(|p| text_of(&p["userId"])).collect();
                assert!(ids.is_sorted() && !ids.contains(&id), "{ids:?}");
                self.views.insert(to, ids.into_iter().zip(peers.iter().cloned()).collect());
                self.holders.insert(id.clone(), to);
                self.names.insert(to, id);
            }
            "presence" => {
                let (peer, view) = (&message["peer"], self.views.entry(to).or_default());
                match message["online"].as_bool().unwrap() {
                    true => drop(view.insert(text_of(&peer["userId"]), peer.clone())),
                    false => drop(view.remove(peer["userId"].as_str().unwrap())),
                }
            }
            "peers" => {
                crate::protocol::parse(text).unwrap();
                let view = self.views.entry(to).or_default();
                for peer in message["online"].as_array().into_iter().flatten() {
                    view.insert(text_of(&peer["userId"]), peer.clone());
                }
                for id in message["offline"].as_array().into_iter().flatten() {
                    view.remove(id.as_str().unwrap());
                }
            }
            "error" if message.get("userId").is_none() => {}
            // Said by the server in a partner's name.
            "leave" if message.get("conn").is_none() => {
                let (from, target) = (text_of(&message["userId"]), text_of(&message["targetId"]));
                assert_eq!((&message["reason"], self.names.get(&to)), (&json!("revoked"), Some(&target)));
                self.calls.remove(&(from.clone(), target.clone()));
                self.calls.remove(&(target, from));
            }
            "pong" => {}
            // To all whom it rings.
            "visit" if message.get("targetId").is_none() => self.check_ring(&text_of(&message["userId"]), to),
            // Whatever else comes is from another client, which wrote into it who it truly is.
            _ => {
                let from = ConnId(message["conn"].as_u64().unwrap());
                assert_eq!(self.names.get(&from), Some(&text_of(&message["userId"])), "forged: {message}");
                let target = text_of(&message["targetId"]);
                assert_eq!(self.holders.get(&target), Some(&to), "not for {to:?}: {message}");
                assert_eq!(self.names.get(&to), Some(&target));
                self.check_permit(from, to, &message);
            }
        }
        self.check_presence(to, &message);
        self.heard.entry(to).or_default().push(message);
        kind
    }

    fn connect(&mut self, conn: u64) {
        self.connect_from(conn, Origin::Local);
    }

    fn connect_from(&mut self, conn: u64, origin: Origin) {
        self.connect_with(conn, origin, Pass::Anybody);
    }

    fn connect_with(&mut self, conn: u64, origin: Origin, pass: Pass) {
        let conn = ConnId(conn);
        self.passes.insert(conn, pass.clone());
        self.open.insert(conn);
        let reader = Reader::new(self.now);
        self.readers.insert(conn, Client { reader, asking: false, unread: VecDeque::new(), asked: false });
        self.feed(Input::Connected(conn, origin, pass));
    }

    fn say(&mut self, conn: u64, mut message: Value) {
        message["conn"] = conn.into();
        self.text(ConnId(conn), &message.to_string());
    }

    fn join(&mut self, conn: u64, id: &str) {
        self.connect(conn);
        self.say(conn, json!({"type": "join", "userId": id}));
    }

    /// As a client that takes lists.
    fn join_with_lists(&mut self, conn: u64, id: &str) {
        self.connect(conn);
        self.say(conn, json!({"type": "join", "userId": id, "accepts": ["peers", "something else"]}));
    }

    /// A sign of life that says nothing.
    fn pong(&mut self, conn: u64) {
        self.alive(ConnId(conn));
        self.feed(Input::Timeout);
    }

    fn gone(&mut self, conn: u64) {
        self.end(ConnId(conn));
    }

    fn end(&mut self, conn: ConnId) {
        self.open.remove(&conn);
        self.readers.remove(&conn);
        self.feed(Input::Gone(conn));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(timeout) = self.hub.poll_timeout().filter(|timeout| *timeout <= until) {
            self.now = self.now.max(timeout);
            self.feed(Input::Timeout);
            assert_ne!(self.hub.poll_timeout(), Some(timeout), "the hub does not come to rest");
        }
        self.now = until;
    }

    /// Long enough for all presence to be told.
    fn settle(&mut self) {
        while let Some(due) = self.hub.presence.poll_timeout() {
            self.pass(due.saturating_duration_since(self.now));
        }
    }

    /// Takes the types and codes of what a connection has heard since it was asked last.
    fn take(&mut self, conn: u64) -> Vec<String> {
        self.settle();
        let heard = self.heard.remove(&ConnId(conn)).unwrap_or_default();
        heard.iter().map(|m| m["code"].as_str().or(m["type"].as_str()).unwrap().to_owned()).collect()
    }
}
