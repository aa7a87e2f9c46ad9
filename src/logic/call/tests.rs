mod flood;
mod pair;
mod places;
mod repeats;

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::protocol::{CONNECT_TIMEOUT, MAX_CANDIDATES, RING_TIMEOUT};

fn id(name: &str) -> UserId {
    name.parse().unwrap()
}

/// A device called "door" and the clock on its wall.
struct Door {
    calls: Calls,
    now: Instant,
}

impl Door {
    fn new(policy: AnswerPolicy, max_calls: usize) -> Self {
        let mut door = Door { calls: Calls::new(id("door"), policy, max_calls), now: Instant::now() };
        assert!(door.tell(Input::SignalingUp).is_empty());
        door
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.calls.handle(input, self.now);
        self.drain()
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.calls.handle_timeout(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.calls.poll_output()).collect()
    }

    fn states(&self) -> Vec<(String, &'static str)> {
        self.calls.list().into_iter().map(|c| (c.user.to_string(), c.state)).collect()
    }
}

fn offer(from: &str, call_id: Option<&str>, session: &str) -> Input {
    Input::Offer {
        from: id(from),
        call_id: call_id.map(str::to_owned),
        sdp: format!("offer {session}"),
        origin: origin(session, 1),
        kind: Kind::Person,
    }
}

/// A later offer of the same session.
fn further(from: &str, call_id: Option<&str>, session: &str, version: u64) -> Input {
    Input::Offer {
        from: id(from),
        call_id: call_id.map(str::to_owned),
        sdp: format!("offer {session}.{version}"),
        origin: origin(session, version),
        kind: Kind::Person,
    }
}

fn origin(session: &str, version: u64) -> Origin {
    Origin { session: Some(session.to_owned()), version: Some(version) }
}

fn answer(from: &str, call_id: Option<&str>, session: &str) -> Input {
    Input::Answer {
        from: id(from),
        call_id: call_id.map(str::to_owned),
        sdp: format!("answer {session}"),
        origin: origin(session, 1),
    }
}

fn leave(from: &str, call_id: Option<&str>, to_us: bool) -> Input {
    Input::Leave { from: id(from), call_id: call_id.map(str::to_owned), reason: None, to_us }
}

fn candidate(line: &str) -> Option<Candidate> {
    Some(Candidate { candidate: line.into(), sdp_mid: None, sdp_m_line_index: Some(0), username_fragment: None })
}

fn found(from: &str, line: &str) -> Input {
    Input::Candidate { from: id(from), call_id: None, candidate: candidate(line) }
}

fn key_of(outputs: &[Output]) -> CallKey {
    let key = outputs.iter().find_map(|o| match o {
        Output::Answer { key, .. } | Output::Offer { key } => Some(*key),
        _ => None,
    });
    key.unwrap_or_else(|| panic!("no connection asked for in {outputs:?}"))
}

/// The reason of the `leave` sent to a user.
fn left_with(outputs: &[Output]) -> Option<Reason> {
    outputs.iter().find_map(|o| match o {
        Output::Send(Message::Leave { reason, user_id, .. }) => {
            assert_eq!(user_id.as_ref(), Some(&id("door")), "every message carries our own ID");
            *reason
        }
        _ => None,
    })
}

fn closed(outputs: &[Output]) -> Option<(CallKey, bool)> {
    outputs.iter().find_map(|o| match o {
        Output::Close { key, goodbye } => Some((*key, *goodbye)),
        _ => None,
    })
}

#[test]
fn picks_up_and_hangs_up() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    let outputs = door.tell(Input::Answered { key, sdp: "answer".into() });
    assert!(matches!(&outputs[..],
        [Output::Send(Message::Answer { target_id, call_id, answer, .. })]
        if *target_id == id("anna") && call_id.as_deref() == Some("c1") && answer.sdp == "answer"));
    door.tell(Input::Connected { key });
    assert_eq!(door.states(), [("anna".into(), "connected")]);
    assert_eq!(door.calls.poll_timeout(), None);
    let outputs = door.tell(leave("anna", Some("c1"), true));
    assert_eq!(closed(&outputs), Some((key, false)), "who left needs no goodbye");
    assert_eq!(left_with(&outputs), None);
    assert!(door.states().is_empty());
}

#[test]
fn rings_until_somebody_picks_up() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    let outputs = door.tell(offer("anna", None, "1"));
    assert!(outputs.iter().any(|o| matches!(o, Output::Send(Message::Ringing { .. }))));
    door.tell(found("anna", "a"));
    assert_eq!(door.states(), [("anna".into(), "ringing")]);
    let outputs = door.tell(Input::PickUp);
    let key = key_of(&outputs);
    assert_eq!(outputs[1], Output::AddCandidate { key, candidate: candidate("a") });
    assert!(door.tell(Input::PickUp).is_empty(), "there is nothing left to pick up");
}

#[test]
fn an_offer_changes_a_call_once_that_was_picked_up() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    let has_begun = |door: &Door, call: &str| door.calls.has_begun(&id("anna"), &Some(call.into()), &origin("1", 2));
    assert!(!has_begun(&door, "c1"));
    door.tell(offer("anna", Some("c1"), "1"));
    assert!(!has_begun(&door, "c1"), "it takes the place of the one that rings");
    door.tell(Input::PickUp);
    assert!(has_begun(&door, "c1") && !has_begun(&door, "c2"));
    door.tell(Input::HangUp);
    door.tell(Input::Dial { user: id("anna"), call_id: "c3".into() });
    assert!(!has_begun(&door, "c3"), "both call");
}

#[test]
fn nobody_picks_up() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    door.tell(offer("anna", None, "1"));
    assert!(door.wait(RING_TIMEOUT - Duration::from_secs(1)).is_empty());
    assert_eq!(left_with(&door.wait(Duration::from_secs(1))), Some(Reason::NoAnswer));
}

#[test]
fn declines_what_rings_and_hangs_up_what_talks() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    door.tell(offer("anna", None, "1"));
    assert_eq!(left_with(&door.tell(Input::HangUp)), Some(Reason::Declined));
    door.tell(offer("anna", None, "1"));
    let key = key_of(&door.tell(Input::PickUp));
    door.tell(Input::Connected { key });
    let outputs = door.tell(Input::HangUp);
    assert_eq!((left_with(&outputs), closed(&outputs)), (Some(Reason::Hangup), Some((key, true))));
}

#[test]
fn says_what_is_known_of_a_connection_that_did_not_come_up_or_back() {
    let why = |outputs: &[Output]| match outputs.last() {
        Some(Output::Report { event: Event::Ended { why, .. }, .. }) => why.clone(),
        other => panic!("{other:?}"),
    };
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    door.tell(offer("anna", None, "1"));
    assert!(why(&door.wait(CONNECT_TIMEOUT)).contains("TURN"));
    let key = key_of(&door.tell(offer("anna", None, "2")));
    door.tell(Input::Reached { key });
    assert!(!why(&door.wait(CONNECT_TIMEOUT)).contains("TURN"), "there was a path");
    let key = key_of(&door.tell(offer("anna", None, "3")));
    door.tell(Input::Connected { key });
    door.tell(Input::Disconnected { key });
    assert!(door.wait(RECOVERY_TIMEOUT - Duration::from_millis(1)).is_empty(), "all of the time that was promised");
    let why = why(&door.wait(Duration::from_millis(1)));
    assert!(why.contains("did not come back") && !why.contains("TURN"), "{why}");
}

#[test]
fn gives_up_on_media_that_does_not_come_up_or_back() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    door.tell(offer("anna", None, "1"));
    assert_eq!(left_with(&door.wait(CONNECT_TIMEOUT)), Some(Reason::Failed));

    let key = key_of(&door.tell(offer("anna", None, "2")));
    door.tell(Input::Connected { key });
    door.tell(Input::Disconnected { key });
    assert_eq!(door.states(), [("anna".into(), "recovering")]);
    door.wait(RECOVERY_TIMEOUT / 2);
    door.tell(Input::Connected { key });
    assert!(door.wait(RECOVERY_TIMEOUT).is_empty(), "it came back");
    door.tell(Input::Disconnected { key });
    assert_eq!(left_with(&door.wait(RECOVERY_TIMEOUT)), Some(Reason::Failed));
}

#[test]
fn keeps_candidates_that_overtake_their_offer_for_a_while() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    for n in 0..2 * MAX_CANDIDATES {
        door.tell(found("anna", &n.to_string()));
    }
    let outputs = door.tell(offer("anna", Some("c1"), "1"));
    let passed = outputs.iter().filter(|o| matches!(o, Output::AddCandidate { .. })).count();
    assert_eq!(passed, MAX_CANDIDATES);
    assert!(door.tell(found("anna", "one more")).is_empty(), "the bound holds over the whole call");

    door.tell(found("ben", "a"));
    door.wait(EARLY_CANDIDATES_TIMEOUT);
    let outputs = door.tell(offer("ben", None, "2"));
    assert!(!outputs.iter().any(|o| matches!(o, Output::AddCandidate { .. })), "too old: {outputs:?}");
}

#[test]
fn a_call_we_placed_is_renegotiated_by_the_callee_and_each_round_may_bring_its_candidates() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(Input::Dial { user: id("anna"), call_id: "c1".into() }));
    door.tell(answer("anna", Some("c1"), "1"));
    door.tell(Input::Connected { key });
    for version in 2..5 {
        for n in 0..MAX_CANDIDATES {
            assert_eq!(door.tell(found("anna", &n.to_string())).len(), 1);
        }
        assert!(door.tell(found("anna", "one more")).is_empty());
        let sdp = format!("offer 1.{version}");
        assert_eq!(door.tell(further("anna", Some("c1"), "1", version)), [Output::Renegotiate { key, sdp }]);
    }
}

#[test]
fn a_second_offer_renegotiates_within_its_call_and_replaces_across_calls() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let first = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    // Some clients write a new session ID into each offer, and some no call ID.
    for (call_id, session, version) in [(Some("c1"), "1", 2), (Some("c1"), "7", 1), (None, "7", 2)] {
        let sdp = format!("offer {session}.{version}");
        let outputs = door.tell(further("anna", call_id, session, version));
        assert_eq!(outputs, [Output::Renegotiate { key: first, sdp }]);
    }

    let outputs = door.tell(offer("anna", Some("c2"), "2"));
    assert_eq!(closed(&outputs), Some((first, true)));
    assert_eq!(left_with(&outputs), Some(Reason::Replaced));
    assert_ne!(key_of(&outputs), first);

    let outputs = door.tell(offer("anna", None, "3"));
    assert_eq!(left_with(&outputs), None, "a basic client would take it for its new call");
    assert_eq!(door.states().len(), 1);
}

#[test]
fn what_belongs_to_another_call_changes_nothing() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", Some("c2"), "1")));
    assert!(door.tell(leave("anna", Some("c1"), true)).is_empty());
    assert!(door.tell(leave("ben", None, true)).is_empty());
    door.tell(leave("anna", Some("c2"), true));
    for stale in [Input::Connected { key }, Input::Goodbye { key }, Input::Answered { key, sdp: String::new() }] {
        assert!(door.tell(stale).is_empty());
    }
}

#[test]
fn word_that_somebody_went_offline_ends_only_calls_without_media() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", None, "1")));
    door.tell(Input::Connected { key });
    assert!(door.tell(leave("anna", None, false)).is_empty());
    let pending = key_of(&door.tell(offer("ben", None, "1")));
    assert_eq!(closed(&door.tell(leave("ben", None, false))), Some((pending, false)));
}

#[test]
fn dials_and_is_answered() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(Input::Dial { user: id("anna"), call_id: "c1".into() }));
    assert!(door.tell(Input::Dial { user: id("anna"), call_id: "c2".into() }).is_empty(), "one call per user");
    let outputs = door.tell(Input::Offered { key, sdp: "offer".into() });
    assert!(matches!(&outputs[..], [Output::Send(Message::Offer { user_id: Some(me), .. })] if *me == id("door")));
    let ringing = Input::Ringing { from: id("anna"), call_id: Some("c1".into()) };
    assert!(matches!(&door.tell(ringing)[..], [Output::Report { event: Event::RingBack, .. }]));
    let accepted = door.tell(answer("anna", Some("c1"), "1"));
    assert_eq!(accepted, [Output::AcceptAnswer { key, sdp: "answer 1".into() }]);
    assert!(door.tell(answer("anna", Some("c1"), "1")).is_empty(), "the same answer once more is no news");
    let outputs = door.tell(answer("anna", Some("c1"), "2"));
    assert!(matches!(&outputs[..], [Output::Send(Message::Error { code: ErrorCode::UnexpectedAnswer, .. })]));
    assert_eq!(door.states(), [("anna".into(), "connecting")], "a stray answer disturbs nothing");
}

#[test]
fn a_call_to_nobody_ends_with_a_word_to_the_operator() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    door.tell(Input::Dial { user: id("nobody"), call_id: "c1".into() });
    let unknown = |user, call: &str| Input::UnknownTarget { user: id(user), call_id: Some(call.to_owned()) };
    assert!(door.tell(unknown("nobody", "c0")).is_empty(), "an earlier call's last words");
    let outputs = door.tell(unknown("nobody", "c1"));
    let Some(Output::Report { call, event: Event::Ended { code, why }, .. }) = outputs.last() else {
        panic!("{outputs:?}")
    };
    assert_eq!((call.as_str(), code.to_string().as_str()), ("c1", "unknownTarget"));
    assert!(why.contains("online"), "{why}");
    let key = key_of(&door.tell(offer("anna", None, "1")));
    door.tell(Input::Connected { key });
    assert!(door.tell(unknown("anna", "c1")).is_empty(), "live media outlives signaling");
    // Whom it may not call, it may still talk to.
    let forbidden = |user| Input::Forbidden { user: id(user), call_id: None };
    assert!(door.tell(forbidden("anna")).is_empty());
    door.tell(Input::Dial { user: id("ben"), call_id: "c2".into() });
    assert!(matches!(door.tell(forbidden("ben")).last(), Some(Output::Report { event: Event::Ended { code, .. }, .. })
        if code.to_string() == "forbidden"));
}

#[test]
fn glare_yields_to_people_and_settles_between_devices() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let ours = key_of(&door.tell(Input::Dial { user: id("anna"), call_id: "c1".into() }));
    let outputs = door.tell(offer("anna", Some("c2"), "1"));
    assert_eq!(closed(&outputs), Some((ours, false)));
    assert_ne!(key_of(&outputs), ours);

    for (other, they_win) in [("alpha", true), ("gate", false)] {
        door.tell(Input::Dial { user: id(other), call_id: "c3".into() });
        let Input::Offer { from, call_id, sdp, origin, .. } = offer(other, Some("c4"), "1") else { unreachable!() };
        let outputs = door.tell(Input::Offer { from, call_id, sdp, origin, kind: Kind::Device });
        assert_eq!(closed(&outputs).is_some(), they_win, "{other}");
    }
}

#[test]
fn a_bad_offer_is_refused_without_disturbing_the_call_that_is() {
    let bad = || Input::BadOffer { from: id("anna"), call_id: None, code: ErrorCode::BadSdp, detail: "empty".into() };
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let outputs = door.tell(bad());
    assert!(matches!(&outputs[0], Output::Send(Message::Error { code: ErrorCode::BadSdp, .. })));
    assert_eq!(left_with(&outputs), Some(Reason::Failed), "a relay that drops errors still passes this on");
    door.tell(offer("anna", None, "1"));
    assert_eq!(left_with(&door.tell(bad())), None);
    assert_eq!(door.states().len(), 1);
}

#[test]
fn a_connection_that_fails_ends_its_call_alone() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", None, "1")));
    door.tell(offer("ben", None, "1"));
    let outputs = door.tell(Input::Closed { key, detail: "boom".into(), blame: Some(ErrorCode::BadSdp) });
    assert!(matches!(&outputs[0], Output::Send(Message::Error { code: ErrorCode::BadSdp, .. })));
    assert_eq!(left_with(&outputs), Some(Reason::Failed));
    assert_eq!(door.states(), [("ben".into(), "connecting")]);
}

fn any_input() -> impl Strategy<Value = Input> {
    let user = prop::sample::select(vec!["anna", "ben", "carl", "alpha"]);
    let call_id = prop::option::of(prop::sample::select(vec!["c1", "c2"]));
    (0..23u8, user, call_id, 0..3u8, 1..12u64, any::<bool>()).prop_map(|(which, user, call_id, session, key, flag)| {
        let (from, call_id, key) = (id(user), call_id.map(str::to_owned), CallKey(key));
        let (sdp, origin) = (session.to_string(), origin(&session.to_string(), 1));
        let kind = if flag { Kind::Device } else { Kind::Person };
        match which {
            0..=2 => Input::Offer { from, call_id, sdp, origin, kind },
            3 => Input::BadOffer { from, call_id, code: ErrorCode::BadSdp, detail: sdp },
            4 => Input::Answer { from, call_id, sdp, origin },
            5 => Input::Candidate { from, call_id, candidate: flag.then(|| candidate("x")).flatten() },
            6 => Input::Ringing { from, call_id },
            7 => Input::Leave { from, call_id, reason: Some(Reason::Hangup), to_us: flag },
            8 => Input::UnknownTarget { user: from, call_id },
            9 => Input::Dial { user: from, call_id: "c9".into() },
            10 => Input::PickUp,
            11 => Input::HangUp,
            12 => Input::Connected { key },
            13 => Input::Disconnected { key },
            14 => Input::Goodbye { key },
            15 => Input::Answered { key, sdp },
            16 => Input::Offered { key, sdp },
            17 => Input::SignalingDown,
            18 => Input::SignalingUp,
            19 => Input::Online { user: from },
            20 => Input::Rejected { from, call_id, code: ErrorCode::BadSdp, detail: sdp },
            21 => Input::Reached { key },
            22 => Input::Forbidden { user: from, call_id },
            _ => Input::Closed { key, detail: sdp, blame: None },
        }
    })
}

proptest! {
    /// Whatever arrives in whatever order: never more calls than allowed, each connection asked for once and let go of
    /// once, and nothing about it afterwards.
    #[test]
    fn every_connection_is_closed_exactly_once(
        inputs in prop::collection::vec((any_input(), 0..40u64), 0..120),
        ring in any::<bool>(),
    ) {
        let mut door = Door::new(if ring { AnswerPolicy::Ring } else { AnswerPolicy::Auto }, 3);
        let (mut open, mut seen) = (HashSet::new(), HashSet::new());
        let mut check = |outputs: Vec<Output>| {
            for output in outputs {
                match output {
                    Output::Answer { key, .. } | Output::Offer { key } => {
                        assert!(seen.insert(key) && open.insert(key), "{key:?} asked for twice");
                    }
                    Output::Renegotiate { key, .. }
                    | Output::AcceptAnswer { key, .. }
                    | Output::AddCandidate { key, .. } => assert!(open.contains(&key), "{key:?} is not open"),
                    Output::Close { key, .. } => assert!(open.remove(&key) || !seen.contains(&key)),
                    Output::Send(_) | Output::Report { .. } => {}
                }
            }
            open.len()
        };
        for (input, seconds) in inputs {
            check(door.wait(Duration::from_secs(seconds)));
            check(door.tell(input));
            prop_assert!(door.calls.list().len() <= 3);
        }
        prop_assert_eq!(check(door.tell(Input::Shutdown)), 0);
        prop_assert!(door.calls.list().is_empty());
    }
}
