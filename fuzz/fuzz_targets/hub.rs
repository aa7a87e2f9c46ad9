//! Any clients of the signaling server, with any passes that change at any time: whatever they say, nobody hears anything
//! under a false name or from somebody who may not say it to them, and nothing is told to a connection that is over.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbox::logic::access::{Device, Grants, Pass, Person, Reach, Right, Rights, Role, reach};
use callbox::logic::hub::{ConnId, Directory, Hub, HubSettings, Input, Line, Origin, Output, Reader, Step};
use callbox::logic::websocket::Frame;
use callbox::protocol::{MAX_MESSAGE_BYTES, parse};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const IDS: [&str; 5] = ["anna", "ben", "door", "gate", "nobody"];
/// Clients at a time.
const CONNS: u64 = 8;

/// One client's line: who said what to it.
#[derive(Clone)]
struct Wire(ConnId, Arc<Mutex<Vec<(ConnId, Frame)>>>);

impl Line for Wire {
    fn relay(&self, frame: Frame) -> bool {
        self.1.lock().unwrap().push((self.0, frame));
        true
    }
}

struct Client {
    reader: Reader,
    asking: bool,
    pass: Pass,
    name: Option<String>,
}

struct World {
    hub: Hub,
    directory: Directory<Wire>,
    relayed: Arc<Mutex<Vec<(ConnId, Frame)>>>,
    now: Instant,
    next: u64,
    clients: BTreeMap<ConnId, Client>,
    closed: BTreeSet<ConnId>,
}

fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn pass(input: &mut Unstructured) -> Result<Pass> {
    let name = IDS[input.int_in_range(0..=3)?];
    Ok(match input.int_in_range(0..=4)? {
        0 => Pass::Nobody,
        1 => Pass::Anybody,
        2 => Pass::Device(Device { id: id(name), vouch: None }),
        _ => {
            let rights: Vec<Right> = Right::ALL.into_iter().filter(|_| input.ratio(1, 2).unwrap_or(false)).collect();
            let grants = match input.arbitrary()? {
                true => Grants::everywhere(Rights::of(&rights)),
                false => Grants::only_at([id("door")], Rights::of(&rights)),
            };
            let role = [Role::Owner, Role::Member, Role::Guest][input.int_in_range(0..=2)?];
            Pass::Person(Person { user_id: id(name), name: name.to_uppercase(), role, grants, vouch: None })
        }
    })
}

fn message(input: &mut Unstructured) -> Result<String> {
    let (kind, to, from) =
        (input.int_in_range(0..=8)?, IDS[input.int_in_range(0..=4)?], IDS[input.int_in_range(0..=4)?]);
    let call = format!("c{}", input.int_in_range(0..=2)?);
    Ok(match kind {
        0 => format!(r#"{{"type":"join","userId":"{to}","kind":"person"}}"#),
        1 => format!(r#"{{"type":"join","userId":"{to}","kind":"device","accepts":["peers"]}}"#),
        2 => format!(
            r#"{{"type":"offer","targetId":"{to}","userId":"{from}","callId":"{call}","offer":{{"type":"offer","sdp":"v=0"}}}}"#
        ),
        3 => format!(
            r#"{{"type":"answer","targetId":"{to}","answer":{{"type":"answer","sdp":"v=0"}},"rights":["open"]}}"#
        ),
        4 => format!(r#"{{"type":"candidate","targetId":"{to}","candidate":null,"userId":"{from}"}}"#),
        5 => format!(r#"{{"type":"leave","targetId":"{to}","reason":"declined"}}"#),
        6 => r#"{"type":"leave"}"#.to_owned(),
        7 => format!(r#"{{"type":"error","code":"badSdp","message":"","targetId":"{to}","userId":"{from}"}}"#),
        _ => input.arbitrary::<&str>()?.to_owned(),
    })
}

impl World {
    fn hand_in(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.hub.handle(input, self.now);
            while let Some(output) = self.hub.poll_output() {
                match output {
                    Output::Send { to, frame, presence } => {
                        self.hears(to, &frame);
                        if presence {
                            inputs.push_back(Input::Took(to));
                        }
                    }
                    Output::Ping(conn) => assert!(self.clients.contains_key(&conn)),
                    Output::Authorise { conn, .. } => inputs.push_back(Input::Refused(conn, "no")),
                    Output::Enter { user, pass, conn } => {
                        self.directory.enter(user, pass, Wire(conn, self.relayed.clone()));
                    }
                    Output::Remove { user } => self.directory.remove(&user),
                    Output::Settled { conn, member } => {
                        let client = self.clients.get_mut(&conn).expect("settled and gone");
                        assert!(std::mem::take(&mut client.asking), "an answer without a question");
                        client.name = member.as_ref().map(|member| member.id.to_string());
                        client.reader.settled(member);
                    }
                    Output::Full(_) => {}
                    Output::Close { conn, .. } => {
                        self.clients.remove(&conn);
                        assert!(self.closed.insert(conn), "closed twice");
                    }
                }
            }
        }
    }

    fn hears(&self, to: ConnId, frame: &Frame) {
        assert!(self.clients.contains_key(&to), "{to:?} is over");
        assert!(frame.payload().len() <= MAX_MESSAGE_BYTES);
        parse(std::str::from_utf8(frame.payload()).unwrap()).expect("what the server says can be read");
    }

    /// What one client's text has brought to others.
    fn delivered(&mut self, from: ConnId) {
        for (to, frame) in std::mem::take(&mut *self.relayed.lock().unwrap()) {
            self.hears(to, &frame);
            let said: Value = serde_json::from_slice(frame.payload()).unwrap();
            let (sender, reader) = (&self.clients[&from], &self.clients[&to]);
            assert_eq!(said["userId"].as_str(), sender.name.as_deref(), "forged: {said}");
            let reached = reach(&sender.pass, &reader.pass);
            match said["type"].as_str() {
                Some("offer") => assert_eq!(reached, Reach::Calls, "{said}"),
                // The end of a call is told, whatever has become of the rights to it.
                Some("leave") => {}
                _ => assert!(reached > Reach::Unseen, "{said}"),
            }
            if let (Pass::Person(person), Pass::Device(device), Some("offer" | "answer")) =
                (&sender.pass, &reader.pass, said["type"].as_str())
            {
                let rights = serde_json::to_value(person.rights_at(&device.id)).unwrap();
                assert_eq!(said["rights"], rights, "only the server says what somebody may");
            }
        }
    }

    fn reads(&mut self, conn: ConnId, text: &str) {
        let Some(client) = self.clients.get_mut(&conn).filter(|client| !client.asking) else { return };
        let step = client.reader.read(text, &self.directory, self.now);
        self.delivered(conn);
        match step {
            Step::Done => {}
            Step::Answer(frame) => self.hears(conn, &frame),
            Step::Ask(request) => {
                self.clients.get_mut(&conn).unwrap().asking = true;
                self.hand_in(Input::Asked(conn, request));
            }
            Step::Close { .. } => {
                self.clients.remove(&conn);
                self.hand_in(Input::Gone(conn));
            }
        }
    }

    fn turn(&mut self, input: &mut Unstructured) -> Result<()> {
        let what = input.int_in_range(0..=15)?;
        let nth = input.int_in_range(0..=CONNS - 1)? as usize;
        let conn = self.clients.keys().nth(nth).copied();
        match (what, conn) {
            (0..=2, None) | (0, Some(_)) => {
                let (conn, pass) = (ConnId(self.next), pass(input)?);
                self.next += 1;
                let reader = Reader::new(self.now);
                self.clients.insert(conn, Client { reader, asking: false, pass: pass.clone(), name: None });
                let origin = [Origin::Local, Origin::of([192, 0, 2, 7].into())][usize::from(nth % 2 == 0)];
                self.hand_in(Input::Connected(conn, origin, pass));
            }
            (1..=9, Some(conn)) => self.reads(conn, &message(input)?),
            (10, Some(conn)) => {
                self.clients.remove(&conn);
                self.hand_in(Input::Gone(conn));
            }
            (11, Some(conn)) => self.hand_in(Input::Alive(conn)),
            (12, Some(conn)) => {
                // The shell asks for the pass of the same somebody.
                let changed = pass(input)?;
                let client = self.clients.get_mut(&conn).unwrap();
                if changed == Pass::Nobody || changed.holder() == client.pass.holder() {
                    client.pass = changed.clone();
                    self.hand_in(Input::PassChanged(conn, changed));
                }
            }
            (13, _) => self.hand_in(Input::Revoked(id(IDS[nth % 4]))),
            _ => {
                let until = self.now + Duration::from_millis(input.int_in_range(0..=4000)?);
                for _ in 0..1000 {
                    let Some(due) = self.hub.poll_timeout().filter(|due| *due <= until) else { break };
                    self.now = self.now.max(due);
                    self.hand_in(Input::Timeout);
                    assert_ne!(self.hub.poll_timeout(), Some(due), "the hub does not come to rest");
                }
                self.now = until;
            }
        }
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let directory = Directory::default();
    let hub = Hub::new(&HubSettings { ice_servers: Vec::new(), max_connections: 6 }, &directory);
    let mut world = World {
        hub,
        directory,
        relayed: Arc::default(),
        now: Instant::now(),
        next: 0,
        clients: BTreeMap::new(),
        closed: BTreeSet::new(),
    };
    let mut input = Unstructured::new(bytes);
    while !input.is_empty() && world.turn(&mut input).is_ok() {}
});
