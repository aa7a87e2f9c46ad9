//! What is lost with a connection to the server is said again, and what comes twice is taken once.

use super::*;

fn sent(outputs: &[Output]) -> Vec<&'static str> {
    let kind = |output: &Output| match output {
        Output::Send(Message::Offer { .. }) => Some("offer"),
        Output::Send(Message::Answer { .. }) => Some("answer"),
        Output::Send(Message::Candidate { .. }) => Some("candidate"),
        Output::Send(Message::Ringing { .. }) => Some("ringing"),
        Output::Send(Message::Leave { .. }) => Some("leave"),
        Output::Send(Message::Error { .. }) => Some("error"),
        _ => None,
    };
    outputs.iter().filter_map(kind).collect()
}

fn reconnect(door: &mut Door) -> Vec<Output> {
    assert!(door.tell(Input::SignalingDown).is_empty());
    door.tell(Input::SignalingUp)
}

fn dial(door: &mut Door, user: &str, call_id: &str) -> CallKey {
    let key = key_of(&door.tell(Input::Dial { user: id(user), call_id: call_id.into() }));
    door.tell(Input::Offered { key, sdp: "ours".into() });
    key
}

#[test]
fn an_offer_is_repeated_until_it_is_answered() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = dial(&mut door, "anna", "c1");
    door.tell(Input::Found { key, candidate: candidate("a") });
    let again = reconnect(&mut door);
    assert_eq!(sent(&again), ["offer", "candidate"]);
    assert!(matches!(&again[0], Output::Send(Message::Offer { offer, call_id, kind: Some(Kind::Device), .. })
        if offer.sdp == "ours" && call_id.as_deref() == Some("c1")));
    assert!(
        door.tell(Input::UnknownTarget { user: id("anna"), call_id: Some("c1".into()) }).is_empty(),
        "who was there when the server went may be on the way back"
    );
    assert_eq!(sent(&door.tell(Input::Online { user: id("anna") })), ["offer", "candidate"]);
    assert!(door.tell(Input::Online { user: id("ben") }).is_empty());

    door.tell(Input::Ringing { from: id("anna"), call_id: Some("c1".into()) });
    assert_eq!(sent(&reconnect(&mut door)), ["offer", "candidate"], "the answer may be what was lost");
    door.tell(answer("anna", Some("c1"), "1"));
    assert_eq!(sent(&reconnect(&mut door)), ["candidate"]);
    door.tell(Input::Connected { key });
    assert!(reconnect(&mut door).is_empty(), "media flows: everything has arrived");
}

#[test]
fn nothing_is_said_into_a_void_and_all_of_it_once_there_is_a_server() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    door.tell(Input::SignalingDown);
    for input in [
        Input::Answered { key, sdp: "answer".into() },
        Input::Found { key, candidate: candidate("a") },
        Input::Found { key, candidate: None },
    ] {
        assert!(door.tell(input).is_empty());
    }
    assert_eq!(sent(&door.tell(Input::SignalingUp)), ["answer", "candidate", "candidate"]);
    door.tell(Input::Connected { key });
    door.tell(Input::SignalingDown);
    assert_eq!(sent(&door.tell(Input::HangUp)), [""; 0]);
    let outputs = door.tell(Input::SignalingUp);
    assert_eq!((sent(&outputs), left_with(&outputs)), (vec!["leave"], Some(Reason::Hangup)));
}

#[test]
fn the_same_offer_again_has_the_same_answer_again() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    assert!(door.tell(offer("anna", Some("c1"), "1")).is_empty(), "the answer is being made");
    let first = door.tell(Input::Answered { key, sdp: "answer".into() });
    assert_eq!(door.tell(offer("anna", Some("c1"), "1")), first);
    door.tell(Input::Connected { key });
    assert_eq!(door.tell(offer("anna", Some("c1"), "1")), first);

    let renegotiate = door.tell(further("anna", Some("c1"), "1", 2));
    assert!(matches!(&renegotiate[..], [Output::Renegotiate { .. }]));
    assert!(door.tell(further("anna", Some("c1"), "1", 2)).is_empty());
    let second = door.tell(Input::Answered { key, sdp: "other answer".into() });
    assert_eq!(door.tell(further("anna", Some("c1"), "1", 2)), second);
    assert!(door.tell(offer("anna", Some("c1"), "1")).is_empty(), "what comes late changes nothing back");
    assert!(door.tell(further("anna", Some("c1"), "1", 1)).is_empty(), "by its version, though it was never seen");
    assert_eq!(sent(&reconnect(&mut door)), ["answer"], "no media tells that a later answer has arrived");
    door.wait(RING_TIMEOUT);
    assert!(reconnect(&mut door).is_empty(), "nobody waits for an answer that long");
}

#[test]
fn a_refusal_is_repeated_as_well() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = key_of(&door.tell(offer("anna", Some("c1"), "1")));
    door.tell(Input::Answered { key, sdp: "answer".into() });
    door.tell(Input::Connected { key });
    door.tell(further("anna", Some("c1"), "1", 2));
    let refused = door.tell(Input::Refused { key, code: ErrorCode::BadSdp, detail: "no".into() });
    assert_eq!(sent(&refused), ["error"]);
    assert_eq!(door.tell(further("anna", Some("c1"), "1", 2)), refused);
}

#[test]
fn a_repeated_offer_rings_on_and_a_repeated_one_of_a_call_that_is_over_does_not() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    assert_eq!(sent(&door.tell(offer("anna", Some("c1"), "1"))), ["ringing"]);
    let again = door.tell(offer("anna", Some("c1"), "1"));
    assert_eq!((sent(&again), again.len()), (vec!["ringing"], 1));
    assert_eq!(sent(&reconnect(&mut door)), ["ringing"]);

    door.tell(Input::HangUp);
    let again = door.tell(offer("anna", Some("c1"), "1"));
    assert_eq!((sent(&again), left_with(&again), again.len()), (vec!["leave"], Some(Reason::Declined), 1));
    assert_eq!(left_with(&reconnect(&mut door)), Some(Reason::Declined), "the first one may be lost");
    assert_eq!(sent(&door.tell(offer("anna", Some("c2"), "2"))), ["ringing"], "another call is another call");
    door.tell(leave("anna", Some("c2"), true));
    assert!(door.tell(offer("anna", Some("c2"), "2")).is_empty(), "who left is not to be rung for");
    door.tell(leave("anna", Some("c3"), true));
    assert!(door.tell(offer("anna", Some("c3"), "3")).is_empty(), "the word that it is over came first");
}

#[test]
fn a_change_that_crosses_the_end_of_its_call_does_not_ring_again() {
    for policy in [AnswerPolicy::Ring, AnswerPolicy::Auto] {
        let mut door = Door::new(policy, 4);
        door.tell(offer("anna", Some("c1"), "1"));
        door.tell(Input::HangUp);
        door.wait(RING_TIMEOUT - Duration::from_millis(1));
        let late = door.tell(further("anna", Some("c1"), "1", 2));
        assert_eq!((sent(&late), late.len()), (vec!["leave"], 1));
        assert!(door.states().is_empty());
        door.wait(Duration::from_millis(1));
        door.tell(further("anna", Some("c1"), "1", 3));
        assert_eq!(door.states().len(), 1, "after a minute it is a call like any other");
    }
}

#[test]
fn a_basic_client_is_not_told_twice_that_a_call_is_over() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    door.tell(offer("anna", None, "1"));
    assert_eq!(sent(&door.tell(Input::HangUp)), ["leave"]);
    assert!(reconnect(&mut door).is_empty(), "it would be the end of a call begun since");
}

#[test]
fn candidates_that_come_again_are_taken_once_and_do_not_count() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    door.tell(offer("anna", None, "1"));
    for _ in 0..3 {
        for n in 0..MAX_CANDIDATES / 2 {
            door.tell(found("anna", &n.to_string()));
        }
    }
    assert!(door.tell(found("anna", "0")).is_empty());
    assert_eq!(door.tell(found("anna", "new")).len(), 1);
}

#[test]
fn whoever_dialled_and_yields_picks_up_without_ringing() {
    let mut door = Door::new(AnswerPolicy::Ring, 1);
    let ours = dial(&mut door, "anna", "c1");
    let outputs = door.tell(offer("anna", Some("c2"), "1"));
    let theirs = key_of(&outputs);
    assert_eq!(closed(&outputs), Some((ours, false)));
    assert!(outputs.iter().any(|o| matches!(o, Output::Report { key, event: Event::Yielded { to }, .. }
        if *key == ours && *to == theirs)));
    assert!(!outputs.iter().any(|o| matches!(o, Output::Report { event: Event::Ended { .. }, .. })));
    assert_eq!(door.states(), [("anna".into(), "connecting")]);
    let late = door.tell(answer("anna", Some("c1"), "1"));
    assert_eq!(left_with(&late), Some(Reason::Replaced), "an answer to the call that is no more");
}

#[test]
fn calling_somebody_who_rings_is_picking_up() {
    let mut door = Door::new(AnswerPolicy::Ring, 4);
    door.tell(offer("anna", Some("c1"), "1"));
    let outputs = door.tell(Input::Dial { user: id("anna"), call_id: "c2".into() });
    assert!(matches!(&outputs[..], [Output::Answer { .. }]));
    assert_eq!(door.states(), [("anna".into(), "connecting")]);
}

#[test]
fn a_device_whose_offer_stands_repeats_it_to_whoever_may_have_missed_it() {
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    dial(&mut door, "gate", "c1");
    let theirs = Input::Offer {
        from: id("gate"),
        call_id: Some("c2".into()),
        sdp: "theirs".into(),
        origin: origin("9", 1),
        kind: Kind::Device,
    };
    assert_eq!(sent(&door.tell(theirs)), ["offer"]);
    assert_eq!(door.states(), [("gate".into(), "calling")]);
}

#[test]
fn a_peer_that_cannot_take_our_offer_ends_the_attempt_with_its_words() {
    let rejected = |call: &str, code| Input::Rejected {
        from: id("anna"),
        call_id: Some(call.into()),
        code,
        detail: "no audio".into(),
    };
    let mut door = Door::new(AnswerPolicy::Auto, 4);
    let key = dial(&mut door, "anna", "c1");
    assert!(door.tell(rejected("c0", ErrorCode::BadSdp)).is_empty());
    assert!(door.tell(rejected("c1", ErrorCode::BadCandidate)).is_empty());
    let outputs = door.tell(rejected("c1", ErrorCode::BadSdp));
    let Some(Output::Report { event: Event::Ended { code, why }, .. }) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!((*code, closed(&outputs)), (ErrorCode::BadSdp.into(), Some((key, true))));
    assert!(why.contains("no audio"), "{why}");

    let key = key_of(&door.tell(offer("anna", Some("c2"), "1")));
    door.tell(Input::Connected { key });
    assert!(door.tell(rejected("c2", ErrorCode::BadSdp)).is_empty(), "the call that talks goes on");
}
