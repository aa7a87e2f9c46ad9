//! Who gets one of the places, and who makes way.

use super::*;

#[test]
fn is_busy_beyond_its_limit_and_free_again_afterwards() {
    let mut door = Door::new(AnswerPolicy::Auto, 1);
    let key = key_of(&door.tell(offer("anna", None, "1")));
    door.tell(Input::Reached { key });
    assert_eq!(left_with(&door.tell(offer("ben", None, "2"))), Some(Reason::Busy));
    assert_eq!(door.states(), [("anna".into(), "connecting")]);
    door.tell(leave("anna", None, true));
    key_of(&door.tell(offer("ben", None, "2")));
}

#[test]
fn mere_offers_hold_few_places_and_make_way() {
    let mut door = Door::new(AnswerPolicy::Auto, 8);
    let keys: Vec<_> = ["a", "b", "c"].map(|name| key_of(&door.tell(offer(name, None, "1")))).into();
    assert_eq!(left_with(&door.tell(offer("d", None, "1"))), Some(Reason::Busy), "they may yet prove themselves");
    door.wait(PROVING);
    let outputs = door.tell(offer("d", None, "1"));
    assert_eq!((closed(&outputs), left_with(&outputs)), (Some((keys[0], true)), Some(Reason::Busy)), "the oldest goes");
    assert_eq!(door.states().len(), MAX_UNPROVED);
    // Who has answered a check stays.
    door.tell(Input::Reached { key: keys[1] });
    assert_eq!(closed(&door.tell(offer("e", None, "1"))), None);
    assert_eq!(closed(&door.tell(offer("f", None, "1"))), Some((keys[2], true)));
    let names: Vec<_> = door.states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "d", "e", "f"]);

    // They fill free places only, and nobody is kept out by them.
    let mut door = Door::new(AnswerPolicy::Auto, 2);
    let first = key_of(&door.tell(offer("a", None, "1")));
    door.tell(Input::Reached { key: first });
    let second = key_of(&door.tell(offer("b", None, "1")));
    assert!(!door.calls.is_full());
    door.wait(PROVING);
    assert_eq!(closed(&door.tell(offer("c", None, "1"))), Some((second, true)));
    let outputs = door.tell(Input::Dial { user: id("d"), call_id: "c1".into() });
    assert!(matches!(closed(&outputs), Some((_, true))), "{outputs:?}");
    assert!(door.calls.is_full());
    assert_eq!(left_with(&door.tell(offer("e", None, "1"))), Some(Reason::Busy));
}

#[test]
fn a_call_that_rings_makes_way_after_a_while_and_one_that_was_picked_up_stays() {
    let mut door = Door::new(AnswerPolicy::Ring, 8);
    for name in ["a", "b", "c"] {
        door.tell(offer(name, None, "1"));
    }
    assert_eq!(left_with(&door.tell(offer("anna", None, "1"))), Some(Reason::Busy), "somebody may be on their way");
    door.wait(RINGING);
    let outputs = door.tell(offer("anna", None, "1"));
    assert!(outputs.iter().any(|o| matches!(o, Output::Send(Message::Ringing { .. }))), "{outputs:?}");
    assert_eq!(left_with(&outputs), Some(Reason::Busy), "the oldest goes");
    key_of(&door.tell(Input::Dial { user: id("anna"), call_id: "c1".into() }));
    door.wait(RINGING);
    door.tell(offer("d", None, "1"));
    let names: Vec<_> = door.states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "c", "anna", "d"]);

    // Nor does the operator wait for strangers.
    let mut door = Door::new(AnswerPolicy::Ring, 1);
    door.tell(offer("a", None, "1"));
    key_of(&door.tell(Input::Dial { user: id("anna"), call_id: "c1".into() }));
    assert_eq!(door.states(), [("anna".into(), "calling")]);
}

#[test]
fn a_call_that_somebody_picked_up_is_no_mere_offer() {
    let mut door = Door::new(AnswerPolicy::Ring, 8);
    for name in ["a", "b", "c", "d"] {
        door.tell(offer(name, None, "1"));
        key_of(&door.tell(Input::PickUp));
    }
    assert_eq!(door.states().len(), 4);
}
