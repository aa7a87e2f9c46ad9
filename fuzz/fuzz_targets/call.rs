//! Anything that others say to a device and its connections do, at any time: it has no more calls than it takes, each
//! connection that it asks for it lets go of once, and it comes to rest.
#![no_main]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use callbox::logic::call::{AnswerPolicy, CallKey, Calls, Event, Input, Origin, Output};
use callbox::protocol::{Candidate, ErrorCode, Kind, Reason, UserId};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const USERS: [&str; 3] = ["anna", "ben", "zoe"];
/// Calls at a time; those that ring or come up are counted beside them.
const MOST: usize = 3;

struct Device {
    calls: Calls,
    now: Instant,
    /// All there ever were, and those with a connection.
    keys: Vec<CallKey>,
    open: BTreeSet<CallKey>,
    closed: BTreeSet<CallKey>,
    ended: BTreeSet<CallKey>,
}

impl Device {
    fn drain(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.calls.poll_output() else { return };
            match output {
                Output::Answer { key, .. } | Output::Offer { key } => {
                    assert!(!self.closed.contains(&key), "{key} comes back");
                    self.open.insert(key);
                }
                Output::Renegotiate { key, .. }
                | Output::AcceptAnswer { key, .. }
                | Output::AddCandidate { key, .. } => {
                    assert!(self.open.contains(&key), "{key} has no connection");
                }
                Output::Close { key, .. } => {
                    self.open.remove(&key);
                    self.closed.insert(key);
                }
                Output::Send(message) => assert!(!message.to_text().is_empty()),
                Output::Report { key, event, .. } => {
                    if let Event::Ended { .. } = event {
                        assert!(self.ended.insert(key), "{key} ends twice");
                    }
                    if !self.keys.contains(&key) {
                        self.keys.push(key);
                    }
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn turn(&mut self, input: &mut Unstructured) -> Result<()> {
        let user: UserId = USERS[input.int_in_range(0..=2)?].parse().unwrap();
        let call_id = [None, Some("c1"), Some("c2"), Some("c3")][input.int_in_range(0..=3)?].map(str::to_owned);
        let sdp = ["v=0", "v=1"][input.int_in_range(0..=1)?].to_owned();
        let version = input.int_in_range(0..=2)?;
        let origin = Origin { session: Some("1".to_owned()), version: Some(version) };
        let candidate = (version > 0).then(|| Candidate {
            candidate: format!("candidate:{version}"),
            sdp_mid: None,
            sdp_m_line_index: None,
            username_fragment: None,
        });
        let nth = input.int_in_range(0..=7)?;
        let recent = self.keys.iter().rev().nth(nth).copied();
        let (from, detail) = (user.clone(), String::new());
        let reasons = [None, Some(Reason::Declined), Some(Reason::Hangup), Some(Reason::Busy)];
        let told = match (input.int_in_range(0..=27)?, recent) {
            (0, _) => Input::SignalingUp,
            (1, _) => Input::SignalingDown,
            (2, _) => Input::Online { user },
            (3..=5, _) => Input::Offer { from, call_id, sdp, origin, kind: Kind::Person },
            (6, _) => Input::BadOffer { from, call_id, code: ErrorCode::BadSdp, detail },
            (7, _) => Input::Answer { from, call_id, sdp, origin },
            (8, _) => Input::Candidate { from, call_id, candidate },
            (9, _) => Input::Ringing { from, call_id },
            (10, _) => Input::Leave { from, call_id, reason: reasons[nth % 4], to_us: version > 0 },
            (11, _) => Input::Rejected { from, call_id, code: ErrorCode::BadSdp, detail },
            (12, _) => Input::UnknownTarget { user, call_id },
            (13, _) => Input::Forbidden { user, call_id },
            (14 | 15, _) => Input::Dial { user, call_id: format!("own {}", self.keys.len()) },
            (16, _) => Input::PickUp,
            (17, _) => Input::HangUp,
            (18, Some(key)) => Input::Offered { key, sdp },
            (19, Some(key)) => Input::Answered { key, sdp },
            (20, Some(key)) => Input::Found { key, candidate },
            (21, Some(key)) => Input::Reached { key },
            (22, Some(key)) => Input::Connected { key },
            (23, Some(key)) => Input::Disconnected { key },
            (24, Some(key)) => Input::Goodbye { key },
            (25, Some(key)) => Input::Closed { key, detail, blame: None },
            (26, Some(key)) => Input::Unverified { key, detail: "no" },
            _ => return self.wait(Duration::from_millis(input.int_in_range(0..=40_000)?)),
        };
        self.calls.handle(told, self.now);
        self.drain();
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<()> {
        let until = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.calls.poll_timeout().filter(|due| *due <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(due);
            self.calls.handle_timeout(self.now);
            self.drain();
        }
        panic!("its time-outs do not end");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let policy = if bytes.len() % 2 == 0 { AnswerPolicy::Auto } else { AnswerPolicy::Ring };
    let calls = Calls::new("door".parse().unwrap(), policy, MOST);
    let mut device = Device {
        calls,
        now: Instant::now(),
        keys: Vec::new(),
        open: BTreeSet::new(),
        closed: BTreeSet::new(),
        ended: BTreeSet::new(),
    };
    device.calls.handle(Input::SignalingUp, device.now);
    device.drain();
    while !input.is_empty() && device.turn(&mut input).is_ok() {
        let list = device.calls.list();
        assert!(list.len() <= 2 * MOST + 8, "{} calls", list.len());
        assert!(list.iter().all(|call| !device.ended.contains(&call.key)), "one has ended and is still there");
    }
    device.calls.handle(Input::Shutdown, device.now);
    device.drain();
    assert!(device.calls.list().is_empty());
});
