//! Who may be connected, and how often anybody may join.

use std::time::Duration;

use serde_json::json;

use super::World;
use crate::logic::hub::{ConnId, Origin, Whose};
use crate::protocol::{CLAIM_TIMEOUT, JOIN_BURST, JOIN_PAUSE, JOIN_TIMEOUT, close};

#[test]
fn strangers_are_closed_after_a_while() {
    let mut world = World::new(9);
    world.connect(1);
    world.connect_from(2, Origin::Own);
    world.join(3, "anna");
    world.pass(JOIN_TIMEOUT - Duration::from_millis(1));
    assert!(world.closed.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed, [(ConnId(1), close::POLICY)]);
    // Who leaves is a stranger again.
    world.say(3, json!({"type": "leave"}));
    world.pass(JOIN_TIMEOUT);
    assert_eq!(world.closed[1..], [(ConnId(3), close::POLICY)]);
}

#[test]
fn the_oldest_stranger_makes_room_and_members_do_not() {
    let mut world = World::new(3);
    world.join(1, "anna");
    world.connect(2);
    world.pass(Duration::from_millis(1));
    world.connect(3);
    world.connect(4);
    assert_eq!(world.closed, [(ConnId(2), close::TRY_LATER)]);
    assert_eq!(world.take(2), ["serverFull"]);
    world.say(3, json!({"type": "join", "userId": "bert"}));
    world.say(4, json!({"type": "join", "userId": "carl"}));
    assert!(world.hub.is_full());
    world.connect(5);
    assert_eq!(world.closed[1..], [(ConnId(5), close::TRY_LATER)]);
    assert_eq!(world.take(5), ["serverFull"]);
    // The device's own place is kept.
    world.connect_from(6, Origin::Own);
    world.say(6, json!({"type": "join", "userId": "door"}));
    assert_eq!(world.take(6), ["joined"]);
    world.gone(6);
    world.connect(7);
    assert_eq!(world.closed[2..], [(ConnId(7), close::TRY_LATER)], "it is nobody else's");
    assert_eq!(world.full, [Whose::All; 3]);
}

#[test]
fn one_address_cannot_take_all_places() {
    let mut world = World::new(8);
    let (hog, other) = (Origin::of("192.0.2.7".parse().unwrap()), Origin::of("192.0.2.8".parse().unwrap()));
    for conn in 1..=2 {
        world.connect_from(conn, hog);
        world.say(conn, json!({"type": "join", "userId": format!("hog {conn}")}));
    }
    world.connect_from(3, hog);
    assert_eq!(world.closed, [(ConnId(3), close::TRY_LATER)]);
    assert_eq!(world.full, [Whose::Share("192.0.2.7".parse().unwrap())]);
    world.connect_from(4, other);
    world.connect(5);
    assert_eq!(world.closed.len(), 1);
}

#[test]
fn who_claims_again_and_again_is_a_stranger_all_the_while() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.connect(2);
    let mut claims = 0;
    while world.closed.is_empty() {
        world.say(2, json!({"type": "join", "userId": "anna"}));
        world.pong(1);
        claims += 1;
        assert!(claims < JOIN_BURST, "it stays");
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.closed, [(ConnId(2), close::POLICY)]);
    assert_eq!(claims, JOIN_TIMEOUT.as_secs() as u32);
    // A claim that is under way is decided first, however late it came.
    world.connect(3);
    world.pass(JOIN_TIMEOUT - Duration::from_millis(1));
    world.say(3, json!({"type": "join", "userId": "anna"}));
    world.pass(CLAIM_TIMEOUT);
    assert_eq!(world.closed[1..], [(ConnId(1), close::REPLACED)]);
    assert_eq!(world.take(3), ["joined"]);
}

#[test]
fn joining_again_and_again_is_bounded() {
    let mut world = World::new(9);
    world.join_with_lists(1, "anna");
    world.join_with_lists(2, "bert");
    world.take(2);
    for n in 0..100 {
        world.say(1, json!({"type": "join", "userId": "anna", "name": format!("Anna {n}")}));
    }
    let heard = world.take(1);
    let allowed = JOIN_BURST as usize - 1;
    assert_eq!(heard.iter().filter(|kind| *kind == "rateLimited").count(), 100 - allowed);
    assert!(world.take(2).len() <= 2, "renames are told together");
    assert_eq!(world.views[&ConnId(2)]["anna"]["name"], format!("Anna {}", allowed - 1));
    world.pass(JOIN_PAUSE);
    world.say(1, json!({"type": "join", "userId": "anna", "name": "Anna"}));
    assert_eq!(world.take(1), ["joined"]);
}
