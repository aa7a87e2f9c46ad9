//! What clients say to each other and to the server.

use serde_json::json;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Probe, World};
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Reader, Step};
use crate::protocol::{MAX_RATE_LIMITED, MESSAGE_BURST, close};

#[test]
fn calls_outlive_connections_and_end_with_leave() {
    let mut world = World::new(9);
    for (conn, id) in [(1, "anna"), (2, "bert"), (3, "carl")] {
        world.join(conn, id);
    }
    world.say(1, json!({"type": "offer", "targetId": "bert", "offer": {"type": "offer", "sdp": ""}}));
    world.say(3, json!({"type": "offer", "targetId": "anna", "offer": {"type": "offer", "sdp": ""}}));
    world.say(1, json!({"type": "leave", "targetId": "carl", "reason": "declined"}));
    world.gone(1);
    world.join(4, "anna");
    world.settle();
    world.heard.clear();
    world.say(4, json!({"type": "leave", "reason": "shutdown"}));
    assert_eq!(world.heard[&ConnId(2)][0]["reason"], "shutdown");
    assert_eq!(world.take(2), ["leave", "presence"]);
    assert_eq!(world.take(3), ["presence"], "this call was over");
}

#[test]
fn a_join_again_renews_what_is_known() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.take(2);
    world.say(1, json!({"type": "join", "userId": "anna"}));
    assert!(world.take(2).is_empty(), "nothing changed");
    world.say(1, json!({"type": "join", "userId": "anna", "name": "Anna", "kind": "device"}));
    world.settle();
    assert_eq!(world.views[&ConnId(2)]["anna"], json!({"userId": "anna", "name": "Anna", "kind": "device"}));
    world.say(1, json!({"type": "join", "userId": "other"}));
    assert_eq!(world.take(1).last().unwrap(), "alreadyJoined");
}

#[test]
fn errors_are_not_answered_with_errors() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.settle();
    world.heard.clear();
    world.say(1, json!({"type": "error", "code": "badSdp", "message": "no", "targetId": "bert"}));
    world.say(1, json!({"type": "error", "code": "badSdp", "message": "no", "targetId": "ghost"}));
    world.say(1, json!({"type": "error", "code": "whatever", "message": "no"}));
    world.say(1, json!({"type": "error"}));
    assert_eq!(world.take(2), ["badSdp"]);
    assert!(world.take(1).is_empty());
}

#[test]
fn a_peer_cannot_speak_as_the_server() {
    let mut world = World::new(9);
    world.join(1, "mallory");
    world.join(2, "bert");
    world.settle();
    world.heard.clear();
    for code in [
        "badMessage",
        "unknownType",
        "badField",
        "notJoined",
        "alreadyJoined",
        "idTaken",
        "unknownTarget",
        "rateLimited",
        "serverFull",
    ] {
        world.say(1, json!({"type": "error", "code": code, "message": "", "targetId": "bert", "inReplyTo": "join"}));
    }
    for forged in [
        json!({"type": "joined", "userId": "bert", "version": 1, "peers": [], "iceServers": [], "targetId": "bert"}),
        json!({"type": "presence", "peer": {"userId": "x", "name": "x", "kind": "person"}, "online": true, "targetId": "bert"}),
        json!({"type": "peers", "offline": ["mallory"], "targetId": "bert"}),
        json!({"type": "pong", "targetId": "bert"}),
    ] {
        world.say(1, forged);
    }
    assert!(world.take(2).is_empty());
    assert_eq!(world.take(1), ["unknownType"; 4]);
    // What is a peer's has its name in it, so that it cannot be taken for the server's.
    for code in ["badSdp", "badCandidate", "unexpectedAnswer", "other", "fromALaterVersion"] {
        world.say(1, json!({"type": "error", "code": code, "message": "", "targetId": "bert", "userId": "anna"}));
    }
    assert!(world.heard[&ConnId(2)].iter().all(|error| error["userId"] == "mallory"));
    assert_eq!(world.take(2), ["badSdp", "badCandidate", "unexpectedAnswer", "other", "fromALaterVersion"]);
}

#[test]
fn a_ping_is_answered_whether_joined_or_not() {
    let mut world = World::new(9);
    world.connect(1);
    world.say(1, json!({"type": "ping", "nonce": "7"}));
    assert_eq!(world.heard[&ConnId(1)], [json!({"type": "pong", "nonce": "7"})]);
    world.say(1, json!({"type": "join", "userId": "anna"}));
    world.say(1, json!({"type": "ping"}));
    assert_eq!(world.take(1), ["pong", "joined", "pong"]);
}

/// The sender's text as it was, but for whom it is from.
#[test]
fn what_is_relayed_is_relayed_to_the_byte() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.settle();
    let relays = |world: &mut World, text: &str| {
        let client = world.readers.get_mut(&ConnId(1)).unwrap();
        let step = client.reader.read(text, &world.directory, world.now);
        assert!(matches!(step, Step::Done), "{text}: {step:?}");
        let relayed = std::mem::take(&mut *world.relayed.lock().unwrap());
        let [(ConnId(2), frame)] = &relayed[..] else { panic!("{relayed:?}") };
        String::from_utf8(frame.payload().to_vec()).unwrap()
    };
    for text in [
        r#"{"userId" : "anna", "x":[1e2, 1.50,-0, {"b":"\u00fC\/","a":{ }}] ,"type":"candidate","targetId":"bert","candidate":null }"#,
        r#"{"type":"offer","userId":"anna","targetId":"bert","offer":{"type":"offer","sdp":"v=0\r\no=- 1\r\n","z":0.10},"kind":"person","callId":"c1"}"#,
        "\t{\"type\":\"leave\",\r\n\"targetId\":\"bert\",\"userId\":\"anna\",\"reason\":\"eaten\"}\n",
    ] {
        assert_eq!(relays(&mut world, text), text);
    }
    for (said, heard) in [
        (
            r#"{"type":"ringing", "userId":"mallory", "targetId":"b\u0065rt", "x": 1e2}"#,
            r#"{"type":"ringing", "userId":"anna", "targetId":"b\u0065rt", "x": 1e2}"#,
        ),
        (
            r#"{"type":"answer","userId":null,"targetId":"bert","answer":{"type":"answer","sdp":""}}"#,
            r#"{"type":"answer","userId":"anna","targetId":"bert","answer":{"type":"answer","sdp":""}}"#,
        ),
        (r#" { "type":"ringing","targetId":"bert"}"#, r#" {"userId":"anna", "type":"ringing","targetId":"bert"}"#),
        // Said twice, the last one counts, and nobody can take the first one for it.
        (
            r#"{"type":"ringing","userId":"anna","targetId":"bert","userId":"mallory"}"#,
            r#"{"targetId":"bert","type":"ringing","userId":"anna"}"#,
        ),
        (
            r#"{"type":"ringing","us\u0065rId":"mallory","targetId":"bert"}"#,
            r#"{"targetId":"bert","type":"ringing","userId":"anna"}"#,
        ),
    ] {
        assert_eq!(relays(&mut world, said), heard);
    }
}

#[test]
fn a_sender_hears_of_a_reader_that_takes_no_more() {
    let mut world = World::new(9);
    world.join(1, "anna");
    world.join(2, "bert");
    world.take(1);
    let full = Probe { conn: ConnId(2), relayed: world.relayed.clone(), full: true };
    world.directory.enter("bert".parse().unwrap(), Arc::new(Pass::Anybody), full);
    world.say(1, json!({"type": "ringing", "targetId": "bert", "callId": "c7"}));
    let error = world.heard[&ConnId(1)].last().unwrap();
    assert_eq!(
        (&error["code"], &error["targetId"], &error["callId"]),
        (&json!("rateLimited"), &json!("bert"), &json!("c7"))
    );
}

#[test]
fn frames_without_a_text_are_bounded_too() {
    let start = Instant::now();
    let mut reader = Reader::new(start);
    let answered = (0..MESSAGE_BURST).filter(|_| reader.heed(start) == Ok(true)).count();
    assert_eq!(answered as u32, MESSAGE_BURST);
    assert!((0..MAX_RATE_LIMITED).all(|_| reader.heed(start) == Ok(false)));
    assert!(matches!(reader.heed(start), Err((close::POLICY, _))));
    // Fifteen seconds apart, as programs ping, nobody minds.
    let mut reader = Reader::new(start);
    assert!((0..1000).all(|n| reader.heed(start + Duration::from_secs(15) * n) == Ok(true)));
}
