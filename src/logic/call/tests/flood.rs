//! What strangers who send as much as the server lets them can do to others.

use super::super::TURNS;
use super::super::speech::{HEARD_BURST, HEARD_PAUSE, SAID_BURST, SAID_PAUSE, TALKING_PAUSE};
use super::*;
use crate::protocol::{MESSAGE_BURST, MESSAGE_RATE};

/// A door whose connections answer at once, and what it said since the start.
struct Flooded {
    door: Door,
    said: u32,
}

impl Flooded {
    fn new(policy: AnswerPolicy, max_calls: usize) -> Flooded {
        Flooded { door: Door::new(policy, max_calls), said: 0 }
    }

    /// What the door says, if it listens.
    fn hear(&mut self, from: &str, input: Input) -> Vec<Output> {
        if !self.door.calls.hears(&id(from), self.door.now) {
            return Vec::new();
        }
        let mut outputs = self.door.tell(input);
        for output in outputs.clone() {
            if let Output::Answer { key, .. } = output {
                outputs.extend(self.door.tell(Input::Answered { key, sdp: "answer".into() }));
                for n in 0..5 {
                    let candidate = candidate(&n.to_string());
                    outputs.extend(self.door.tell(Input::Found { key, candidate }));
                }
            }
        }
        self.said += outputs.iter().map(|output| u32::from(matches!(output, Output::Send(_)))).sum::<u32>();
        outputs
    }

    /// `count` messages of `input` a second, for half a minute. An honest caller calls every three seconds, and gets
    /// through `honest` times.
    fn flood(&mut self, a_second: u32, mut input: impl FnMut(u32) -> (&'static str, Input)) -> u32 {
        let (seconds, mut honest) = (30, 0);
        for n in 0..seconds * a_second {
            self.door.wait(Duration::from_secs(1) / a_second);
            let (from, input) = input(n);
            self.hear(from, input);
            if n % (3 * a_second) == a_second {
                let call = format!("honest {n}");
                let outputs = self.hear("honest", offer("honest", Some(&call), &call));
                honest += u32::from(outputs.iter().any(|o| matches!(o, Output::Send(Message::Answer { .. }))));
                self.hear("honest", leave("honest", Some(&call), true));
            }
        }
        assert!(self.said <= MESSAGE_BURST + seconds * MESSAGE_RATE, "{} messages", self.said);
        honest
    }
}

#[test]
fn one_stranger_neither_makes_us_say_too_much_nor_keeps_others_out() {
    let mut flooded = Flooded::new(AnswerPolicy::Auto, 4);
    let fresh = |n: u32| ("mallory", offer("mallory", Some(&format!("c{n}")), &n.to_string()));
    assert_eq!(flooded.flood(48, fresh), 10);
    assert!(flooded.said < 400, "{} messages", flooded.said);

    let mut flooded = Flooded::new(AnswerPolicy::Auto, 4);
    assert_eq!(flooded.flood(48, |_| ("mallory", offer("mallory", Some("c1"), "1"))), 10);
    let mut flooded = Flooded::new(AnswerPolicy::Auto, 4);
    let bad = |_| Input::BadOffer { from: id("mallory"), call_id: None, code: ErrorCode::BadSdp, detail: "bad".into() };
    assert_eq!(flooded.flood(48, |n| ("mallory", bad(n))), 10);
    let mut flooded = Flooded::new(AnswerPolicy::Auto, 4);
    let malformed = || Input::Malformed { from: id("mallory"), kind: "candidate".into(), detail: "bad".into() };
    assert_eq!(flooded.flood(48, |_| ("mallory", malformed())), 10);
}

#[test]
fn refusals_leave_room_for_what_calls_need() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let bad = Input::BadOffer { from: id("mallory"), call_id: None, code: ErrorCode::BadSdp, detail: "bad".into() };
    let said: u32 = (0..1000).map(|_| u32::try_from(door.tell(bad.clone()).len()).unwrap()).sum();
    assert!(said < MESSAGE_BURST, "{said} messages");
    let key = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    assert_eq!(door.tell(Input::Answered { key, sdp: "answer".into() }).len(), 1);
}

/// Each new offer replaces the call before it, or comes after its end, and must not make a fresh one of it. Who is told that
/// all is busy calls again half a second later.
#[test]
fn three_strangers_who_call_without_end_leave_an_honest_caller_the_time_to_connect() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    for leaves in [false, true] {
        let mut door = Door::new(AnswerPolicy::Auto, 4);
        let mut connected = 0;
        for round in 0..20 {
            let mut admitted = None;
            for n in 0..4 * 45 {
                door.wait(Duration::from_secs(1) / 45);
                let (name, call) = (NAMES[n % 3], format!("{round} {n}"));
                if door.calls.hears(&id(name), door.now) {
                    if leaves {
                        door.tell(leave(name, None, true));
                    }
                    door.tell(offer(name, Some(&call), &call));
                }
                if n >= 70 && n % 22 == 4 && admitted.is_none() {
                    let outputs = door.tell(offer("honest", Some(&call), &call));
                    admitted = (left_with(&outputs) != Some(Reason::Busy) || closed(&outputs).is_some())
                        .then(|| (key_of(&outputs), n));
                }
                // The other side's candidates came, and a check was answered.
                if let Some((key, since)) = admitted
                    && n == since + 55
                {
                    let there = door.states().iter().any(|(name, _)| name == "honest");
                    connected += u32::from(there);
                    door.tell(Input::Reached { key });
                }
            }
            door.tell(leave("honest", None, true));
        }
        assert_eq!(connected, 20, "leaves: {leaves}");
    }
}

/// They call anew once a second, as often as they are heard; she presses every two seconds for up to a minute.
#[test]
fn strangers_who_ring_without_end_leave_a_person_the_time_to_be_picked_up() {
    for (strangers, max_calls) in [(1, 1), (3, 1), (3, 2), (3, 8), (12, 8)] {
        let mut door = Door::new(AnswerPolicy::Ring, max_calls);
        let mut rung = [0; 4];
        for second in 0..400_u32 {
            for n in 0..strangers {
                let (name, call) = (format!("stranger {n}"), format!("{second} {n}"));
                door.tell(leave(&name, None, true));
                door.tell(offer(&name, Some(&call), &call));
            }
            assert!(door.states().len() <= MAX_UNPROVED.min(max_calls));
            let rings = |door: &Door| door.states().iter().any(|(name, _)| name == "anna");
            match second % 100 {
                60.. => drop(door.tell(leave("anna", None, true))),
                n if n % 2 == 0 && !rings(&door) => {
                    let call = second.to_string();
                    door.tell(offer("anna", Some(&call), &call));
                }
                _ => {}
            }
            rung[second as usize / 100] += u32::from(rings(&door));
            door.wait(Duration::from_secs(1));
        }
        assert!(rung.iter().all(|seconds| *seconds >= 10), "{strangers} strangers, {max_calls} calls: {rung:?}");
    }
}

#[test]
fn leaves_of_calls_that_never_were_do_not_make_us_forget_others() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    door.tell(offer("anna", Some("c1"), "1"));
    door.tell(Input::HangUp);
    for n in 0..200 {
        door.tell(leave(&format!("mallory {}", n % 9), Some(&n.to_string()), true));
    }
    assert_eq!(left_with(&door.tell(offer("anna", Some("c1"), "1"))), Some(Reason::Declined));
}

#[test]
fn candidates_without_a_call_do_not_keep_out_those_of_others() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    for n in 0..50 {
        door.tell(found(&format!("mallory {n}"), "x"));
        door.wait(Duration::from_millis(1));
    }
    door.tell(found("anna", "a"));
    let outputs = door.tell(offer("anna", Some("c1"), "1"));
    assert!(outputs.iter().any(|output| matches!(output, Output::AddCandidate { .. })));
}

#[test]
fn the_document_names_the_allowances() {
    let document = include_str!("../../../../docs/protocol.md").replace("\n ", "");
    let a_second = |pause: Duration| Duration::from_secs(1).as_nanos() / pause.as_nanos();
    for sentence in [
        format!("{HEARD_BURST} offers, answers, `ringing` and messages it cannot read at once"),
        format!("and one a second after that, {} while the two are in a call", a_second(TALKING_PAUSE)),
        format!("{SAID_BURST} messages at once and {} a second after that", a_second(SAID_PAUSE)),
        format!("free places only, {MAX_UNPROVED} at most"),
        format!("after {} s, or after {} s of ringing", PROVING.as_secs_f64(), RINGING.as_secs()),
        format!("once in {TURNS} times as long"),
    ] {
        assert!(document.contains(&sentence), "{sentence}");
    }
    assert_eq!(a_second(HEARD_PAUSE), 1);
}
