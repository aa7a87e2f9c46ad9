//! What somebody who has been let in may not overdo: calls, and connections.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::access::{device, member, message};
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Origin};
use crate::protocol::{
    CALL_BURST, CALL_PAUSE, JOIN_TIMEOUT, MAX_CONNECTIONS_EACH, MESSAGE_RATE, OFFERS_OF_A_CALL, close,
};

fn offer(to: &str, call: Option<&str>) -> Value {
    let mut offer = message("offer", to);
    if let Some(call) = call {
        offer["callId"] = call.into();
    }
    offer
}

/// The household's anna under an ID of another of her browsers.
fn anna_at(browser: &str) -> Pass {
    let Pass::Person(mut person) = member(browser) else { unreachable!() };
    person.name = "Anna".to_owned();
    Pass::Person(person)
}

impl World {
    /// How many of so many offers arrive at `to`, each in a call of its own or all in that one. Slow enough for messages.
    fn calls(&mut self, from: u64, to: (u64, &str), call: Option<&str>, offers: u32) -> u32 {
        self.take(to.0);
        for n in 0..offers {
            let own = format!("call {n} of {from} at {:?}", self.now);
            // In both ways that texts are read.
            let mut offer = offer(to.1, Some(call.unwrap_or(&own)));
            if n % 2 == 1 {
                offer["offer"]["sdp"] = "v=0\r\n".into();
                offer["unknown"] = json!({"a": [1]});
            }
            self.say(from, offer);
            self.pass(Duration::from_secs(1) / MESSAGE_RATE);
        }
        self.take(to.0).iter().filter(|kind| *kind == "offer").count() as u32
    }
}

fn household() -> World {
    let mut world = World::new(99);
    world.join_as(1, &anna_at("anna"));
    world.join_as(2, &anna_at("anna-2"));
    world.join_as(3, &member("ben"));
    world.join_as(4, &device("door"));
    world.settle();
    world.heard.clear();
    world
}

#[test]
fn a_person_calls_so_often_and_no_more_in_all_browsers_together() {
    let mut world = household();
    assert_eq!(world.calls(1, (4, "door"), None, 7), 7);
    assert_eq!(world.calls(2, (4, "door"), None, 7), CALL_BURST - 7);
    let refusal = world.heard[&ConnId(2)].last().unwrap();
    let refused = |key: &str| refusal[key].as_str().unwrap();
    assert_eq!((refused("code"), refused("inReplyTo"), refused("targetId")), ("rateLimited", "offer", "door"));
    assert!(refused("message").contains("every 6 seconds") && refused("callId").starts_with("call "), "{refusal}");
    // Others are not slowed down, nor is anna called less.
    assert_eq!(world.calls(3, (4, "door"), None, CALL_BURST), CALL_BURST);
    assert_eq!(
        world.calls(4, (1, "anna"), None, 3 * CALL_BURST),
        3 * CALL_BURST,
        "a device rings for whoever is there"
    );
    // Another connection changes nothing, and patience does.
    world.gone(1);
    world.join_as(9, &anna_at("anna"));
    assert_eq!(world.calls(9, (4, "door"), None, 1), 0);
    world.pass(CALL_PAUSE);
    assert_eq!(world.calls(9, (4, "door"), None, 3), 1);
    world.pass(CALL_PAUSE * 1000);
    assert_eq!(world.calls(9, (4, "door"), None, 99), CALL_BURST);
}

#[test]
fn what_goes_on_with_a_call_is_cheap_and_not_free() {
    let mut world = household();
    let of_one = world.calls(1, (4, "door"), Some("c1"), 2 * CALL_BURST * OFFERS_OF_A_CALL);
    let most = 1 + (CALL_BURST - 1) * OFFERS_OF_A_CALL;
    // A little grows back meanwhile.
    assert!((most..=most + 10).contains(&of_one), "{of_one} of {most}");
    // Who names no call begins one each time, also after the other has declined.
    let mut world = household();
    for _ in 0..2 * CALL_BURST {
        world.say(1, offer("door", None));
        world.say(4, message("leave", "anna"));
    }
    let offers = world.take(4).iter().filter(|kind| *kind == "offer").count();
    assert_eq!(offers as u32, CALL_BURST);
    // The other side of a call may offer as well, and answers cost nothing.
    let mut world = household();
    for _ in 0..3 * CALL_BURST {
        world.say(1, message("answer", "door"));
    }
    assert_eq!(world.calls(1, (4, "door"), None, 1), 1);
}

#[test]
fn where_anybody_may_come_there_is_nobody_to_count_for() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "door");
    assert_eq!(world.calls(1, (2, "door"), None, 3 * CALL_BURST), 3 * CALL_BURST);
}

#[test]
fn an_identity_has_so_many_connections() {
    let mut world = World::new(99);
    world.join_as(1, &member("anna"));
    world.join_as(2, &member("ben"));
    let most = MAX_CONNECTIONS_EACH as u64;
    for conn in 11..11 + 3 * most {
        world.connect_with(conn, Origin::Local, member("anna"));
        world.pass(Duration::from_millis(1));
    }
    // The member stays, and the newest strangers do.
    let expected: Vec<_> = (11..11 + 2 * most + 1).map(|conn| (ConnId(conn), close::POLICY)).collect();
    assert_eq!(world.closed, expected);
    assert!(world.open.contains(&ConnId(1)) && world.open.contains(&ConnId(2)));
    // One of them may be the browser that comes back.
    let last = 10 + 3 * most;
    world.say(last, json!({"type": "join", "userId": "anna"}));
    assert_eq!(world.closed.last(), Some(&(ConnId(1), close::REPLACED)));
    // Those who go make room, however they go.
    world.pass(JOIN_TIMEOUT);
    let closed = world.closed.len();
    for conn in 100..100 + most - 1 {
        world.connect_with(conn, Origin::Local, member("anna"));
    }
    assert_eq!(world.closed.len(), closed);
    // Strangers of no name are bounded by their address.
    for conn in 200..200 + 3 * most {
        world.connect_with(conn, Origin::Local, Pass::Nobody);
    }
    assert_eq!(world.closed.len(), closed);
}
