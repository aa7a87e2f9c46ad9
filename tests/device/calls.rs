//! Taking and placing calls.

use std::time::Duration;

use callbox::device::control::Operation;
use callbox::net::peer::Peer;
use callbox::protocol::{Description, Message, Reason};
use serde_json::Value;

use crate::caller::{Caller, Door, door, ice, offer_from, soon};
use crate::relay::Relay;

#[tokio::test(flavor = "multi_thread")]
async fn takes_a_call_through_a_plain_relay_and_returns_to_idle() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "").await;
    assert!(door.status().await["media"]["microphone"].is_null(), "nothing runs while nobody calls");

    let mut anna = Caller::join(&relay.url(), "anna").await;
    let mut line = anna.call().await;
    line.hears(20).await;
    let status = door.until("connected", |s| s["calls"][0]["state"] == "connected").await;
    assert_eq!((&status["calls"][0]["user"], &status["calls"][0]["direction"]), (&"anna".into(), &"incoming".into()));

    let leave = anna.leave();
    anna.say(&leave).await;
    line.ends().await;
    door.until_idle().await;
    door.close().await;
    let from_door: Vec<_> = relay.forwarded().into_iter().filter(|m| m["targetId"] == "anna").collect();
    assert!(from_door.iter().any(|m| m["type"] == "answer") && from_door.iter().any(|m| m["type"] == "candidate"));
    assert!(from_door.iter().all(|m| m["userId"] == "door"), "each message names its sender: {from_door:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_closes_without_a_word_has_hung_up() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "").await;
    let mut anna = Caller::join(&relay.url(), "anna").await;
    let mut line = anna.call().await;
    line.hears(5).await;
    line.close().await;
    door.until_idle().await;
    door.close().await;
    let forwarded = relay.forwarded();
    assert!(
        !forwarded.iter().any(|m| m["type"] == "leave"),
        "nothing failed, and who is gone is told nothing: {forwarded:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_four_callers_and_the_operator_hangs_up_on_all() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "calls = { max_calls = 4 }").await;
    let mut lines = Vec::new();
    for name in ["anna", "ben", "carl", "dora"] {
        let mut caller = Caller::join(&relay.url(), name).await;
        let line = caller.call().await;
        lines.push((caller, line));
    }
    let mut eve = Caller::join(&relay.url(), "eve").await;
    let (_peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    let offer = eve.offer(sdp);
    eve.say(&offer).await;
    assert_eq!(eve.hear_leave().await, Some(Reason::Busy));

    assert_eq!(door.order(Operation::Hangup).await.unwrap()["ended"], 4);
    for (caller, line) in &mut lines {
        assert_eq!(caller.hear_leave().await, Some(Reason::Hangup));
        line.ends().await;
    }
    door.until_idle().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_a_call_and_is_answered() {
    let relay = Relay::start().await;
    let at_door = Door::open(&relay.url(), "").await;
    let mut anna = Caller::join(&relay.url(), "anna").await;
    soon("anna's arrival", async {
        while !relay.users().contains(&"anna".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    let placed = at_door.order(Operation::Call { user: anna.me.clone() }).await.unwrap();
    assert_eq!(placed["state"], "calling");
    let again = at_door.order(Operation::Call { user: anna.me.clone() }).await.unwrap_err();
    assert!(again.contains("already"), "{again}");

    let (sdp, call_id) = anna
        .hear("an offer", |m| match m {
            Message::Offer { user_id, offer, call_id, .. } => {
                assert_eq!(user_id, Some(door()));
                Some((offer.sdp, call_id))
            }
            _ => None,
        })
        .await;
    let status = at_door.status().await;
    assert_eq!(status["calls"][0]["state"], "calling");
    assert_eq!(status["media"]["microphone"], Value::Null, "nobody listens in before the call is answered");

    let (peer, sdp, events) = Peer::answer(&ice(), &sdp).await.unwrap();
    let answer = Description { kind: "answer".into(), sdp };
    let user_id = Some(anna.me.clone());
    anna.say(&Message::Answer { user_id, target_id: door(), answer, call_id, rights: None, identity: None }).await;
    let mut line = anna.talk(peer, events).await;
    line.hears(10).await;

    at_door.order(Operation::Hangup).await.unwrap();
    line.ends().await;
    at_door.until_idle().await;
    at_door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_call_each_other_end_up_in_one_call() {
    let relay = Relay::start().await;
    let ring = "calls = { answer = \"ring\" }";
    let (alpha, door) = (Door::begin("alpha", &relay.url(), ring).await, Door::open(&relay.url(), ring).await);
    alpha.until("registered", |s| s["signaling"]["registration"]["state"] == "registered").await;
    let call = |user: &str| Operation::Call { user: user.parse().unwrap() };
    for placed in <[_; 2]>::from(tokio::join!(alpha.order(call("door")), door.order(call("alpha")))) {
        // Where the other one's offer came before the order, the order picked up.
        placed.unwrap();
    }
    let mut names = Vec::new();
    for side in [&alpha, &door] {
        let status = side.until("connected", |s| s["calls"][0]["state"] == "connected").await;
        assert_eq!(status["calls"].as_array().unwrap().len(), 1, "{status:#}");
        names.push(status["calls"][0]["call"].clone());
    }
    assert_eq!(names[0], names[1], "both are in the same call");
    alpha.close().await;
    door.until_idle().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_calls_while_the_person_calls_picks_up() {
    let relay = Relay::start().await;
    let at_door = Door::open(&relay.url(), "calls = { answer = \"ring\" }").await;
    let mut anna = Caller::join(&relay.url(), "anna").await;
    while !relay.users().contains(&"anna".to_owned()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let person = async {
        anna.hear("the door's offer", |m| matches!(m, Message::Offer { .. }).then_some(())).await;
        anna.call().await
    };
    let (placed, mut line) = tokio::join!(at_door.order(Operation::Call { user: "anna".parse().unwrap() }), person);
    assert_eq!(placed.unwrap()["ok"], true);
    line.hears(5).await;
    let status = at_door.status().await;
    assert_eq!((&status["calls"][0]["state"], &status["calls"][1]), (&"connected".into(), &Value::Null), "{status:#}");
    at_door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_offer_with_the_same_call_id_changes_the_call_whatever_its_session_is() {
    let relay = Relay::start().await;
    let at_door = Door::open(&relay.url(), "").await;
    let mut anna = Caller::join(&relay.url(), "anna").await;
    let (peer, sdp, events) = Peer::offer(&ice()).await.unwrap();
    let offer = |sdp: &str| offer_from("anna", sdp.to_owned(), Some("c1"));
    let answer = |m| match m {
        Message::Answer { answer, .. } => Some(answer.sdp),
        Message::Leave { reason, .. } => panic!("the door left: {reason:?}"),
        _ => None,
    };
    anna.say(&offer(&sdp)).await;
    let first = anna.hear("an answer", answer).await;
    peer.accept_answer(&first).await.unwrap();
    let mut line = anna.talk(peer, events).await;
    let call = at_door.status().await["calls"][0]["call"].clone();

    // The same once more is no news: the same answer, and no other negotiation.
    anna.say(&offer(&sdp)).await;
    assert_eq!(anna.hear("the same answer", answer).await, first);
    let session = callbox::net::sdp::session_id(&sdp).unwrap();
    anna.say(&offer(&sdp.replacen(session, "4711", 1))).await;
    assert_ne!(anna.hear("another answer", answer).await, first);
    line.hears(20).await;
    let status = at_door.status().await;
    assert_eq!((&status["calls"][0]["call"], &status["calls"][1]), (&call, &Value::Null), "{status:#}");
    at_door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rings_until_the_operator_answers() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "calls = { answer = \"ring\" }").await;
    assert!(door.order(Operation::Answer).await.unwrap_err().contains("nobody"));
    let mut anna = Caller::join(&relay.url(), "anna").await;
    let (peer, sdp, events) = Peer::offer(&ice()).await.unwrap();
    let offer = anna.offer(sdp);
    anna.say(&offer).await;
    door.until("ringing", |s| s["calls"][0]["state"] == "ringing").await;
    assert!(door.status().await["media"]["microphone"].is_null(), "nobody listens in before the call is answered");

    door.order(Operation::Answer).await.unwrap();
    let answer = anna
        .hear("an answer", |m| match m {
            Message::Answer { answer, .. } => Some(answer.sdp),
            _ => None,
        })
        .await;
    peer.accept_answer(&answer).await.unwrap();
    // Kept to the end: a caller whose connection closes first would be told that the call failed.
    let mut line = anna.talk(peer, events).await;
    line.hears(5).await;
    door.close().await;
    assert_eq!(anna.hear_leave().await, Some(Reason::Shutdown), "the ending program takes its leave");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_call_outlives_the_relay_and_the_device_registers_again() {
    let relay = Relay::start().await;
    let address = relay.address();
    let door = Door::open(&relay.url(), "").await;
    let mut anna = Caller::join(&relay.url(), "anna").await;
    let mut line = anna.call().await;
    drop(relay);
    door.until("lost", |s| s["signaling"]["registration"]["state"] == "lost").await;
    line.hears(50).await;
    let relay = Relay::start_at(address).await;
    door.until("registered", |s| s["signaling"]["registration"]["state"] == "registered").await;
    line.hears(50).await;
    let mut ben = Caller::join(&relay.url(), "ben").await;
    ben.call().await.hears(5).await;
    line.hears(5).await;
    door.close().await;
}
