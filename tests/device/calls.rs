//! Taking and placing calls.

use std::time::Duration;

use callbox::device::control::Operation;
use callbox::net::peer::Peer;
use callbox::protocol::{Description, Message, Reason};
use serde_json::Value;

use crate::caller::{Caller, Door, door, ice, soon};
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
    anna.say(&Message::Answer { user_id, target_id: door(), answer, call_id }).await;
    let mut line = anna.talk(peer, events).await;
    line.hears(10).await;

    at_door.order(Operation::Hangup).await.unwrap();
    line.ends().await;
    at_door.until_idle().await;
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
