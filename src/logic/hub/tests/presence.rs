//! Who is told of whom, and in how many frames.

use serde_json::json;

use super::World;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::{MAX_SINGLE_PRESENCE, MESSAGE_BURST, PEERS_PAUSE};

/// Joins `count` clients that take lists, so many in each pause.
fn crowd(world: &mut World, count: u64, at_once: u64) {
    for n in 0..count {
        world.connect(n);
        let name = "\u{1f514}".repeat(32);
        world.say(n, json!({"type": "join", "userId": format!("{n:060}"), "name": name, "accepts": ["peers"]}));
        if n % at_once == at_once - 1 {
            world.pass(PEERS_PAUSE);
        }
    }
}

#[test]
fn a_crowd_is_told_in_messages_that_fit() {
    let mut world = World::new(1000);
    crowd(&mut world, 200, 50);
    world.join_with_lists(999, "last");
    let kinds = world.take(999);
    assert_eq!(world.views[&ConnId(999)].len(), 200);
    assert!(kinds.len() > 1 && kinds[0] == "joined" && kinds[1..].iter().all(|kind| kind == "peers"), "{kinds:?}");
    for n in 0..200 {
        assert_eq!(world.views[&ConnId(n)].len(), 200, "{n}");
    }
    world.connect(1000);
    for _ in 0..=MESSAGE_BURST {
        world.say(1000, json!({"type": "leave", "targetId": "x"}));
    }
    assert_eq!(world.take(1000).last().unwrap(), "rateLimited");
}

/// One by one, 300 joins would be 45,000 frames.
#[test]
fn a_storm_of_joins_is_told_in_few_frames() {
    let mut world = World::new(1000);
    crowd(&mut world, 300, 100);
    world.settle();
    // Three rounds, of which each client hears those after its own join; lists in pieces beside them.
    assert!(world.presence.0 <= 300 * 8, "{:?}", world.presence);
    for n in 0..300 {
        assert_eq!(world.views[&ConnId(n)].len(), 299, "{n}");
    }
    // And the same when they go.
    world.presence = (0, 0);
    for n in 1..300 {
        world.gone(n);
    }
    world.settle();
    assert!(world.views[&ConnId(0)].is_empty());
    assert!(world.presence.0 <= 2 * 300, "{:?}", world.presence);
}

#[test]
fn clients_without_lists_hear_of_each_other_while_they_are_few() {
    let mut world = World::new(1000);
    let few = MAX_SINGLE_PRESENCE as u64;
    for n in 0..few {
        world.join(n, &format!("{n:03}"));
    }
    world.settle();
    assert_eq!(world.views[&ConnId(0)].len(), MAX_SINGLE_PRESENCE - 1);
    world.presence = (0, 0);
    for n in few..300 {
        world.join(n, &format!("{n:03}"));
    }
    world.settle();
    assert_eq!(world.presence.0, 0);
    assert!(world.views[&ConnId(299)].is_empty());
    // Whom they call by ID, they reach.
    world.say(299, json!({"type": "ringing", "targetId": "000"}));
    assert_eq!(world.take(0).last().unwrap(), "ringing");
    // Few again, they are told what they have missed.
    for n in 1..280 {
        world.gone(n);
    }
    world.settle();
    let left: Vec<_> = ["000"].into_iter().map(str::to_owned).chain((280..299).map(|n| n.to_string())).collect();
    assert_eq!(world.views[&ConnId(299)].keys().cloned().collect::<Vec<_>>(), left);
    assert_eq!(world.views[&ConnId(0)].len(), 20);
}

/// More departures than are remembered, while the clients without lists are told nothing.
#[test]
fn nobody_who_left_during_a_crowd_stays_on_line_for_clients_without_lists() {
    let mut world = World::new(10_000);
    world.join(1000, "before");
    world.join(1001, "gone");
    world.settle();
    assert!(world.views[&ConnId(1000)].contains_key("gone"));
    for n in 0..=MAX_SINGLE_PRESENCE as u64 {
        world.join(n, &format!("{n:03}"));
    }
    world.gone(1001);
    world.settle();
    // Nor who came back for a while.
    world.join(1002, "gone");
    world.settle();
    world.gone(1002);
    world.settle();
    let heard = world.heard[&ConnId(1000)].len();
    for n in 2000..7000 {
        world.join(n, &format!("{n}"));
        world.gone(n);
        world.pass(PEERS_PAUSE);
    }
    assert!(!world.views[&ConnId(1000)].contains_key("gone"));
    assert!(world.heard[&ConnId(1000)].len() <= heard + 1, "of those it never knew it need not hear");
    for n in 0..90 {
        world.gone(n);
    }
    world.settle();
    let left: Vec<_> = (90..=MAX_SINGLE_PRESENCE).map(|n| format!("{n:03}")).collect();
    assert_eq!(world.views[&ConnId(1000)].keys().cloned().collect::<Vec<_>>(), left);
    assert!(world.closed.is_empty());
}

#[test]
fn a_client_that_reads_slowly_is_told_less_and_not_later_than_it_can() {
    let mut world = World::new(1000);
    world.join_with_lists(1000, "slow");
    world.settle();
    world.slow.insert(ConnId(1000), 0);
    for n in 0..200 {
        world.join_with_lists(n, &format!("{n:03}"));
        world.pass(PEERS_PAUSE);
        if n >= 100 {
            world.gone(n - 100);
        }
    }
    assert_eq!(world.slow[&ConnId(1000)], 1, "one frame waits, whatever happens");
    world.slow.clear();
    world.heard.clear();
    world.feed(Input::Took(ConnId(1000)));
    assert!(world.take(1000).len() <= 2);
    assert_eq!(world.views[&ConnId(1000)].len(), 100);
}

/// The rest of its list goes off line before it is made, and so does somebody who stood in the part that was sent.
#[test]
fn a_joiner_whose_rest_of_the_list_is_empty_hears_what_has_changed() {
    let mut world = World::new(1000);
    crowd(&mut world, 300, 100);
    world.settle();
    world.slow.insert(ConnId(999), 0);
    world.join_with_lists(999, "zz");
    for n in 5..300 {
        world.gone(n);
    }
    world.gone(0);
    world.pass(PEERS_PAUSE);
    world.slow.clear();
    world.feed(Input::Took(ConnId(999)));
    world.settle();
    let seen: Vec<_> = world.views[&ConnId(999)].keys().cloned().collect();
    assert_eq!(seen, (1..5).map(|n| format!("{n:060}")).collect::<Vec<_>>());
}
