//! Many random clients.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use crate::logic::hub::ConnId;
use crate::protocol::{CLAIM_TIMEOUT, JOIN_TIMEOUT};

#[derive(Clone, Debug)]
enum Act {
    Connect(u64),
    Gone(u64),
    Join(u64, usize, usize),
    Message(u64, &'static str, usize, usize),
    LeaveAll(u64),
    Garbage(u64, usize),
    Alive(u64),
    Pass(u64),
}

const IDS: [&str; 5] = ["anna", "bert", "carl", "door", "ghost"];
const GARBAGE: [&str; 4] = ["", "{}", r#"{"type":"dance"}"#, r#"{"type":"offer","targetId":7}"#];

fn act() -> impl Strategy<Value = Act> {
    let conn = 0..12_u64;
    let id = 0..IDS.len();
    let kinds = prop::sample::select(vec!["offer", "answer", "candidate", "ringing", "leave", "error"]);
    prop_oneof![
        3 => conn.clone().prop_map(Act::Connect),
        1 => conn.clone().prop_map(Act::Gone),
        4 => (conn.clone(), id.clone(), 0..3_usize).prop_map(|(conn, id, name)| Act::Join(conn, id, name)),
        8 => (conn.clone(), kinds, id.clone(), id).prop_map(|(conn, kind, to, forged)| Act::Message(conn, kind, to, forged)),
        1 => conn.clone().prop_map(Act::LeaveAll),
        1 => (conn.clone(), 0..GARBAGE.len()).prop_map(|(conn, n)| Act::Garbage(conn, n)),
        2 => conn.prop_map(Act::Alive),
        2 => (0..3000_u64).prop_map(Act::Pass),
    ]
}

fn take(world: &mut World, act: Act) {
    match act {
        Act::Connect(conn) | Act::Gone(conn) | Act::Join(conn, ..) if !world.open.contains(&ConnId(conn)) => {
            // The shell never uses a number twice; here one that was used is as good as silent.
            let used = world.closed.iter().any(|(id, _)| id.0 == conn) || world.names.contains_key(&ConnId(conn));
            if !used {
                world.connect(conn);
            }
        }
        Act::Connect(_) => {}
        Act::Gone(conn) => world.gone(conn),
        Act::Join(conn, id, name) => {
            let accepts = if conn % 2 == 0 { json!(["peers"]) } else { json!([]) };
            world.say(
                conn,
                json!({"type": "join", "userId": IDS[id], "name": (["", "A", "B"][name]), "accepts": accepts}),
            );
        }
        Act::Message(conn, kind, to, forged) => {
            let mut message = json!({"type": kind, "targetId": IDS[to], "userId": IDS[forged]});
            match kind {
                "offer" | "answer" => message[kind] = json!({"type": kind, "sdp": "v=0"}),
                "candidate" => message[kind] = Value::Null,
                "error" => (message["code"], message["message"]) = ("badSdp".into(), "".into()),
                _ => {}
            }
            world.say(conn, message);
        }
        Act::LeaveAll(conn) => world.say(conn, json!({"type": "leave"})),
        Act::Garbage(conn, n) => world.text(ConnId(conn), GARBAGE[n]),
        Act::Alive(conn) => world.pong(conn),
        Act::Pass(millis) => world.pass(Duration::from_millis(millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `World::hears` asserts that nothing reaches anyone but its target and that no sender is forged; here, that all
    /// who are left agree on who is online.
    #[test]
    fn random_clients_hear_only_what_is_theirs_and_agree(acts in prop::collection::vec(act(), 1..150)) {
        let mut world = World::new(10);
        for act in acts {
            take(&mut world, act);
        }
        // A `join` that waited can begin a claim when the one before is settled; and strangers go.
        world.pass(CLAIM_TIMEOUT * 150 + JOIN_TIMEOUT);
        prop_assert_eq!(world.hub.poll_timeout(), None);
        // Room for the one who looks.
        let crowd: Vec<_> = world.open.iter().map(|conn| conn.0).collect();
        if let Some(conn) = crowd.first() {
            world.gone(*conn);
        }
        world.join(99, "observer");
        world.settle();
        let mut online = world.views[&ConnId(99)].clone();
        prop_assert_eq!(world.hub.online(), online.len() + 1);
        online.insert("observer".into(), json!({"userId": "observer", "name": "observer", "kind": "person"}));
        for id in online.keys() {
            let mut view = online.clone();
            view.remove(id);
            prop_assert_eq!(&world.views[&world.holders[id]], &view, "{}'s view", id);
        }
    }
}
