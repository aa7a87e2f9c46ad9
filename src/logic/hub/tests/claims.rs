//! Who gets an ID, to the millisecond.

use std::time::Duration;

use serde_json::json;

use super::World;
use crate::logic::hub::ConnId;
use crate::protocol::{CLAIM_TIMEOUT, close};

#[test]
fn a_claim_waits_for_a_sign_of_life_and_no_longer() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "anna");
    assert_eq!(world.pinged, [ConnId(1)]);
    world.pass(CLAIM_TIMEOUT - Duration::from_millis(1));
    assert!(world.take(2).is_empty());
    world.pong(1);
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
        assert_eq!(world.hub.claims.poll_timeout(), None);
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
    world.pong(2);
    // They lay in the socket, so that nothing had to be refused for want of room.
    assert_eq!(world.take(3)[1..], ["notJoined"; 40]);
    assert!(world.take(5).is_empty());
}

/// Each of them wants an ID that the next one is after, and has its next wish in the socket already: one that loses its
/// claim makes the next one lose, down to the last.
#[test]
fn a_chain_of_claims_is_no_recursion() {
    const LINKS: u64 = 499;
    let chain = || {
        let mut world = World::new(2 * LINKS as usize + 9);
        for n in 0..=LINKS {
            world.join(n, &format!("id {n}"));
        }
        for n in 0..LINKS {
            let claimant = LINKS + 1 + n;
            world.join(claimant, &format!("id {n}"));
            world.say(claimant, json!({"type": "join", "userId": format!("id {}", n + 1)}));
        }
        assert!(world.pinged.len() as u64 >= LINKS);
        world.join(2 * LINKS + 1, "id 0");
        let lost = (LINKS + 1..=2 * LINKS).filter(|conn| world.heard[&ConnId(*conn)].len() == 1).count();
        assert_eq!(lost as u64, LINKS, "each has lost its first claim, to the one before it");
        world.pass(CLAIM_TIMEOUT);
        assert_eq!(world.hub.online() as u64, LINKS + 1);
    };
    let small = std::thread::Builder::new().stack_size(256 * 1024).spawn(chain).unwrap();
    small.join().unwrap();
}
