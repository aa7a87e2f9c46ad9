//! A device's word on a visit finds those whom it rings, and nobody else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use super::access::{device, member, person};
use crate::logic::access::{Grants, Pass, Reach, Right, Rights, Role, reach};
use crate::logic::hub::{ConnId, Origin};
use crate::protocol::{VISIT_BURST, VISIT_PAUSE};

fn visit(rings: &[&str]) -> Value {
    json!({"type": "visit", "visit": {"id": "v1", "state": "ringing", "bell": "Front", "rings": rings, "seconds": 0}})
}

impl World {
    /// A device's word has come to somebody.
    pub(super) fn check_ring(&self, device: &str, to: ConnId) {
        let from = &self.passes[&self.holders[device]];
        assert!(!matches!(from, Pass::Person(_)), "{device} is none");
        assert_eq!(reach(from, &self.passes[&to]), Reach::Calls, "{device} may not ring {to:?}");
        assert_ne!(self.names[&to], device);
    }

    fn rung(&mut self, among: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        among.filter(|conn| self.take(*conn).contains(&"visit".to_owned())).collect()
    }
}

#[test]
fn everyone_is_rung_who_may_be_and_by_name_those_who_are_meant() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.join_as(2, &member("anna"));
    world.join_as(3, &member("ben"));
    world.join_as(4, &person("guest", Role::Guest, Grants::everywhere(Rights::of(&[Right::View, Right::Talk]))));
    let (gate, door) = ("gate".parse().unwrap(), "door".parse().unwrap());
    world.join_as(5, &person("bell", Role::Guest, Grants::only_at([door], Rights::of(&[Right::Ring]))));
    world.join_as(6, &person("other", Role::Guest, Grants::only_at([gate], Rights::of(&[Right::Ring]))));
    world.join_as(7, &device("gate"));
    for conn in 1..=7 {
        world.take(conn);
    }
    world.say(1, visit(&["everyone"]));
    assert_eq!(world.rung(1..=7), [2, 3, 5]);
    world.say(1, visit(&["ANNA'S name", "bell", "guest", "gate", "nobody"]));
    assert_eq!(world.rung(1..=7), [2, 5]);
    world.say(1, visit(&[]));
    assert!(world.rung(1..=7).is_empty());
    // The device may go on: nothing waits for an answer.
    world.say(1, json!({"type": "ping"}));
    assert_eq!(world.take(1), ["pong"]);
}

#[test]
fn a_device_that_rings_without_end_is_slowed_down() {
    let mut world = World::new(9);
    world.join_as(1, &device("door"));
    world.join_as(2, &member("anna"));
    world.take(1);
    world.take(2);
    for _ in 0..VISIT_BURST + 10 {
        world.say(1, visit(&["everyone"]));
    }
    assert_eq!(world.take(2).len(), VISIT_BURST as usize);
    assert_eq!(world.take(1), vec!["rateLimited"; 10]);
    // As fast as eight bells ring, for ever.
    for _ in 0..100 {
        world.pass(VISIT_PAUSE);
        world.say(1, visit(&["everyone"]));
    }
    assert_eq!((world.take(2).len(), world.take(1).len()), (100, 0));
}

#[test]
fn people_have_no_visitors() {
    let mut world = World::new(9);
    world.join_as(1, &member("anna"));
    world.join_as(2, &member("ben"));
    world.take(2);
    world.say(1, visit(&["everyone"]));
    let error = world.heard[&ConnId(1)].last().unwrap();
    assert_eq!((&error["code"], &error["inReplyTo"]), (&json!("forbidden"), &json!("visit")));
    assert!(world.rung(2..=2).is_empty());
}

#[test]
fn where_everybody_may_come_those_are_rung_who_are_people() {
    let mut world = World::new(9);
    world.connect_with(1, Origin::Local, Pass::Anybody);
    world.say(1, json!({"type": "join", "userId": "door", "kind": "device"}));
    world.join(2, "anna");
    world.join(3, "ben");
    world.connect_with(4, Origin::Local, Pass::Anybody);
    world.say(4, json!({"type": "join", "userId": "gate", "kind": "device"}));
    for conn in 1..=4 {
        world.take(conn);
    }
    world.say(1, visit(&["everyone"]));
    assert_eq!(world.rung(1..=4), [2, 3]);
    world.say(1, visit(&["ben"]));
    assert_eq!(world.rung(1..=4), [3]);
    world.say(2, visit(&["ben"]));
    assert!(world.rung(2..=4).is_empty());
}

proptest! {
    /// `World` checks each word that comes to somebody; here it is that nobody is forgotten.
    #[test]
    fn whoever_may_be_rung_is(rights in prop::collection::vec(0_u8..32, 1..8)) {
        let mut world = World::new(20);
        world.join_as(1, &device("door"));
        let mut meant = Vec::new();
        for (n, bits) in rights.iter().enumerate() {
            let rights = Right::ALL.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, right)| right);
            let rights: Vec<_> = rights.collect();
            let conn = 2 + n as u64;
            world.join_as(conn, &person(&format!("p{n}"), Role::Guest, Grants::everywhere(Rights::of(&rights))));
            if rights.contains(&Right::Ring) {
                meant.push(conn);
            }
        }
        for conn in 1..10 {
            world.take(conn);
        }
        world.say(1, visit(&["everyone"]));
        prop_assert_eq!(world.rung(1..=10), meant);
    }
}
