//! The hub in virtual time: claims to the millisecond, and many random clients whose every message is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ConnId, Hub, HubSettings, Input, Output};
use crate::protocol::{CLAIM_TIMEOUT, MAX_MESSAGE_BYTES, MESSAGE_BURST, close};

/// A hub, its clock, and what its outputs have told each connection.
struct World {
    hub: Hub,
    now: Instant,
    open: BTreeSet<ConnId>,
    closed: Vec<(ConnId, u16)>,
    pinged: Vec<ConnId>,
    heard: BTreeMap<ConnId, Vec<Value>>,
    /// The ID that `joined` told each connection last.
    names: BTreeMap<ConnId, String>,
    /// The connection that was told last that an ID is its own.
    holders: BTreeMap<String, ConnId>,
    /// Who is online, as each connection has to think.
    views: BTreeMap<ConnId, BTreeMap<String, Value>>,
}

impl World {
    fn new(max_connections: usize) -> World {
        World {
            hub: Hub::new(HubSettings { ice_servers: Vec::new(), max_connections }),
            now: Instant::now(),
            open: BTreeSet::new(),
            closed: Vec::new(),
            pinged: Vec::new(),
            heard: BTreeMap::new(),
            names: BTreeMap::new(),
            holders: BTreeMap::new(),
            views: BTreeMap::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        self.hub.handle(input, self.now);
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { to, text } => self.hears(to, &text),
                Output::Ping(conn) => {
                    assert!(self.open.contains(&conn));
                    self.pinged.push(conn);
                }
                Output::Close { conn, code, .. } => {
                    assert!(self.open.remove(&conn), "{conn:?} is closed twice");
                    self.closed.push((conn, code));
                }
            }
        }
    }

    fn hears(&mut self, to: ConnId, text: &str) {
        assert!(self.open.contains(&to), "{to:?} is closed and told {text}");
        assert!(text.len() <= MAX_MESSAGE_BYTES);
        let message: Value = serde_json::from_str(text).unwrap();
        let text_of = |value: &Value| value.as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "joined" => {
                let id = text_of(&message["userId"]);
                let peers = message["peers"].as_array().unwrap();
                self.views.insert(to, peers.iter().map(|p| (text_of(&p["userId"]), p.clone())).collect());
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
            "error" if message.get("userId").is_none() => {}
            // Whatever else comes is from another client, which wrote into it who it truly is.
            _ => {
                let from = ConnId(message["conn"].as_u64().unwrap());
                assert_eq!(self.names.get(&from), Some(&text_of(&message["userId"])), "forged: {message}");
                let target = text_of(&message["targetId"]);
                assert_eq!(self.holders.get(&target), Some(&to), "not for {to:?}: {message}");
                assert_eq!(self.names.get(&to), Some(&target));
            }
        }
        self.heard.entry(to).or_default().push(message);
    }

    fn connect(&mut self, conn: u64) {
        self.open.insert(ConnId(conn));
        self.feed(Input::Connected(ConnId(conn)));
    }

    fn say(&mut self, conn: u64, mut message: Value) {
        message["conn"] = conn.into();
        self.feed(Input::Text(ConnId(conn), message.to_string()));
    }

    fn join(&mut self, conn: u64, id: &str) {
        self.connect(conn);
        self.say(conn, json!({"type": "join", "userId": id}));
    }

    fn gone(&mut self, conn: u64) {
        self.open.remove(&ConnId(conn));
        self.feed(Input::Gone(ConnId(conn)));
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

    /// Takes the types and codes of what a connection has heard since it was asked last.
    fn take(&mut self, conn: u64) -> Vec<String> {
        let heard = self.heard.remove(&ConnId(conn)).unwrap_or_default();
        heard.iter().map(|m| m["code"].as_str().or(m["type"].as_str()).unwrap().to_owned()).collect()
    }
}

#[test]
fn a_claim_waits_for_a_sign_of_life_and_no_longer() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "anna");
    assert_eq!(world.pinged, [ConnId(1)]);
    world.pass(CLAIM_TIMEOUT - Duration::from_millis(1));
    assert!(world.take(2).is_empty());
    world.feed(Input::Alive(ConnId(1)));
    assert_eq!(world.take(2), ["idTaken"]);
    // The next claim finds nobody.
    world.say(2, json!({"type": "join", "userId": "anna"}));
    world.pass(CLAIM_TIMEOUT - Duration::from_millis(1));
    assert!(world.closed.is_empty() && world.take(2).is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed, [(ConnId(1), close::REPLACED)]);
    assert_eq!(world.take(2), ["joined"]);
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn an_id_that_becomes_free_goes_to_the_claimant_at_once() {
    for leave in [true, false] {
        let mut world = World::new(9);
        world.join(1, "anna");
        world.join(3, "bert");
        world.join(2, "anna");
        world.take(3);
        match leave {
            true => world.say(1, json!({"type": "leave"})),
            false => world.gone(1),
        }
        assert_eq!(world.take(2), ["joined"]);
        assert_eq!(world.take(3), ["presence"]);
        assert_eq!(world.hub.poll_timeout(), None);
    }
}

#[test]
fn the_latest_claimant_counts_and_a_claimant_may_give_up() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "anna");
    world.pass(CLAIM_TIMEOUT / 2);
    world.join(3, "anna");
    assert_eq!(world.take(2), ["idTaken"]);
    world.pass(CLAIM_TIMEOUT / 2);
    assert_eq!(world.take(3), ["joined"]);
    world.join(4, "anna");
    world.gone(4);
    world.pass(CLAIM_TIMEOUT);
    assert_eq!(world.closed, [(ConnId(1), close::REPLACED)]);
}

#[test]
fn what_a_claimant_says_waits_for_the_claim() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(5, "bert");
    world.join(2, "anna");
    world.say(2, json!({"type": "ringing", "targetId": "bert"}));
    world.take(5);
    world.pass(CLAIM_TIMEOUT);
    assert_eq!(world.take(5), ["presence", "ringing"]);
    world.join(3, "anna");
    for _ in 0..40 {
        world.say(3, json!({"type": "ringing", "targetId": "bert"}));
    }
    world.feed(Input::Alive(ConnId(2)));
    let heard = world.take(3);
    assert_eq!(heard.iter().filter(|code| *code == "rateLimited").count(), 8);
    assert_eq!(heard.iter().filter(|code| *code == "notJoined").count(), 32);
    assert!(world.take(5).is_empty());
}

#[test]
fn calls_outlive_connections_and_end_with_leave() {
    let mut world = World::new(9);
    for (conn, id) in [(1, "anna"), (2, "bert"), (3, "carl")] {
        world.join(conn, id);
    }
    world.say(1, json!({"type": "offer", "targetId": "bert", "offer": {"type": "offer", "sdp": ""}}));
    world.say(3, json!({"type": "offer", "targetId": "anna", "offer": {"type": "offer", "sdp": ""}}));
    world.say(1, json!({"type": "leave", "targetId": "carl", "reason": "declined"}));
    world.gone(1);
    world.join(4, "anna");
    world.heard.clear();
    world.say(4, json!({"type": "leave", "reason": "shutdown"}));
    assert_eq!(world.heard[&ConnId(2)][0]["reason"], "shutdown");
    assert_eq!(world.take(2), ["leave", "presence"]);
    assert_eq!(world.take(3), ["presence"], "this call was over");
}

#[test]
fn a_join_again_renews_what_is_known() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.take(2);
    world.say(1, json!({"type": "join", "userId": "anna"}));
    assert!(world.take(2).is_empty(), "nothing changed");
    world.say(1, json!({"type": "join", "userId": "anna", "name": "Anna", "kind": "device"}));
    assert_eq!(world.views[&ConnId(2)]["anna"], json!({"userId": "anna", "name": "Anna", "kind": "device"}));
    world.say(1, json!({"type": "join", "userId": "other"}));
    assert_eq!(world.take(1).last().unwrap(), "alreadyJoined");
}

#[test]
fn errors_are_not_answered_with_errors() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.heard.clear();
    world.say(1, json!({"type": "error", "code": "badSdp", "message": "no", "targetId": "bert"}));
    world.say(1, json!({"type": "error", "code": "badSdp", "message": "no", "targetId": "ghost"}));
    world.say(1, json!({"type": "error", "code": "whatever", "message": "no"}));
    assert_eq!(world.take(2), ["badSdp"]);
    assert!(world.take(1).is_empty());
}

#[test]
fn a_crowd_is_told_in_messages_that_fit() {
    let mut world = World::new(1000);
    for n in 0..300 {
        let join = json!({"type": "join", "userId": format!("{n:060}"), "name": "\u{1f514}".repeat(32)});
        world.hub.handle(Input::Connected(ConnId(n)), world.now);
        world.hub.handle(Input::Text(ConnId(n), join.to_string()), world.now);
        // Nobody listens: only what the last one is told matters.
        while world.hub.poll_output().is_some() {}
    }
    world.open.extend((0..300).map(ConnId));
    world.join(999, "last");
    assert_eq!(world.views[&ConnId(999)].len(), 300);
    assert!(world.take(999).len() > 1, "one message does not hold them all");
    world.connect(1000);
    for _ in 0..=MESSAGE_BURST {
        world.say(1000, json!({"type": "leave", "targetId": "x"}));
    }
    assert_eq!(world.take(1000).last().unwrap(), "rateLimited");
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u64),
    Gone(u64),
    Join(u64, usize, usize),
    Message(u64, &'static str, usize, usize),
    LeaveAll(u64),
    Garbage(u64, usize),
    Alive(u64),
    Pass(u64),
}

const IDS: [&str; 5] = ["anna", "bert", "carl", "door", "ghost"];
const GARBAGE: [&str; 4] = ["", "{}", r#"{"type":"dance"}"#, r#"{"type":"offer","targetId":7}"#];

fn step() -> impl Strategy<Value = Step> {
    let conn = 0..12_u64;
    let id = 0..IDS.len();
    let kinds = prop::sample::select(vec!["offer", "answer", "candidate", "ringing", "leave", "error"]);
    prop_oneof![
        3 => conn.clone().prop_map(Step::Connect),
        1 => conn.clone().prop_map(Step::Gone),
        4 => (conn.clone(), id.clone(), 0..3_usize).prop_map(|(conn, id, name)| Step::Join(conn, id, name)),
        8 => (conn.clone(), kinds, id.clone(), id).prop_map(|(conn, kind, to, forged)| Step::Message(conn, kind, to, forged)),
        1 => conn.clone().prop_map(Step::LeaveAll),
        1 => (conn.clone(), 0..GARBAGE.len()).prop_map(|(conn, n)| Step::Garbage(conn, n)),
        2 => conn.prop_map(Step::Alive),
        2 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Connect(conn) | Step::Gone(conn) | Step::Join(conn, ..) if !world.open.contains(&ConnId(conn)) => {
            // The shell never uses a number twice; here one that was used is as good as silent.
            let used = world.closed.iter().any(|(id, _)| id.0 == conn) || world.names.contains_key(&ConnId(conn));
            if !used {
                world.connect(conn);
            }
        }
        Step::Connect(_) => {}
        Step::Gone(conn) => world.gone(conn),
        Step::Join(conn, id, name) => {
            world.say(conn, json!({"type": "join", "userId": IDS[id], "name": (["", "A", "B"][name])}));
        }
        Step::Message(conn, kind, to, forged) => {
            let mut message = json!({"type": kind, "targetId": IDS[to], "userId": IDS[forged]});
            match kind {
                "offer" | "answer" => message[kind] = json!({"type": kind, "sdp": "v=0"}),
                "candidate" => message[kind] = Value::Null,
                "error" => (message["code"], message["message"]) = ("badSdp".into(), "".into()),
                _ => {}
            }
            world.say(conn, message);
        }
        Step::LeaveAll(conn) => world.say(conn, json!({"type": "leave"})),
        Step::Garbage(conn, n) => world.feed(Input::Text(ConnId(conn), GARBAGE[n].to_owned())),
        Step::Alive(conn) => world.feed(Input::Alive(ConnId(conn))),
        Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `World::hears` asserts that nothing reaches anyone but its target and that no sender is forged; here, that all
    /// who are left agree on who is online.
    #[test]
    fn random_clients_hear_only_what_is_theirs_and_agree(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new(10);
        for step in steps {
            take(&mut world, step);
        }
        // A held `join` can begin a claim when the one before is settled.
        world.pass(CLAIM_TIMEOUT * 150);
        prop_assert_eq!(world.hub.poll_timeout(), None);
        // Room for the one who looks.
        let crowd: Vec<_> = world.open.iter().map(|conn| conn.0).collect();
        if let Some(conn) = crowd.first() {
            world.gone(*conn);
        }
        world.join(99, "observer");
        let mut online = world.views[&ConnId(99)].clone();
        prop_assert_eq!(world.hub.online(), online.len() + 1);
        online.insert("observer".into(), json!({"userId": "observer", "name": "observer", "kind": "person"}));
        for id in online.keys() {
            let mut view = online.clone();
            view.remove(id);
            prop_assert_eq!(&world.views[&world.holders[id]], &view, "{}'s view", id);
        }
    }
}
