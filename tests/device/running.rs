//! What the process around a running device asks of it: how it is, and to go by another configuration.

use std::time::Duration;

use callbox::config::{Answer, Config, SpeakerSink};
use callbox::device::control::Operation;
use callbox::net::peer::Peer;
use callbox::protocol::{Message, Reason};
use serde_json::Value;

use crate::caller::{Caller, Door, at_callbox, ice, soon};
use crate::relay::Relay;

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_counts_for_the_next_call_and_leaves_this_one_alone() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let mut line = anna.call().await;
    let speaker = |s: &Value| s["media"]["speaker"]["device"].as_str().unwrap_or_default().to_owned();
    door.until("a speaker", |s| speaker(s).contains("synthetic")).await;

    let mut new: Config = door.config.clone();
    new.calls.answer = Answer::Ring;
    new.calls.max_calls = 2;
    new.speaker = SpeakerSink::File(door.socket().with_file_name("heard.wav"));
    door.handle.apply(&door.config, &new).await;
    let mut ben = Caller::join(&server.url, "ben").await;
    let (_peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    let offer = ben.offer(sdp.clone());
    ben.say(&offer).await;
    ben.hear("ringing", |m| matches!(m, Message::Ringing { .. }).then_some(())).await;
    let mut carl = Caller::join(&server.url, "carl").await;
    let offer = carl.offer(sdp);
    carl.say(&offer).await;
    assert_eq!(carl.hear_leave().await, Some(Reason::Busy));
    line.hears(20).await;
    assert!(speaker(&door.status().await).contains("synthetic"), "the speaker stays on");

    door.order(Operation::Hangup).await.unwrap();
    door.until_idle().await;
    new.calls.answer = Answer::Auto;
    door.handle.apply(&door.config, &new).await;
    let mut line = Caller::join(&server.url, "dora").await.call().await;
    line.hears(5).await;
    door.until("another speaker", |s| speaker(s).contains("heard.wav")).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_call_is_remembered() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "").await;
    let mark = door.config.state.dir.join(callbox::config::COMMISSIONED);
    let mut anna = Caller::join(&relay.url(), "anna").await;
    let mut line = anna.call().await;
    line.hears(5).await;
    assert!(!mark.exists(), "not before it is over");
    let leave = anna.leave();
    anna.say(&leave).await;
    line.ends().await;
    soon("the mark", async {
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_well_idle_in_a_call_and_while_its_speaker_is_away() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "").await;
    let mut checkup = door.handle.checkup();
    checkup.examine().await.unwrap();
    let mut status = door.handle.status();
    assert_eq!(*status.borrow(), format!("registered at {}, no call", relay.url()));

    let mut away = door.config.clone();
    away.speaker = SpeakerSink::Alsa("hw:77".into());
    door.handle.apply(&door.config, &away).await;
    let mut line = Caller::join(&relay.url(), "anna").await.call().await;
    line.hears(20).await;
    assert!(door.status().await["media"]["speaker"]["device"].is_null());
    checkup.examine().await.unwrap();
    soon("the status", status.wait_for(|text| text.ends_with(", 1 call"))).await.unwrap();

    let handle = door.handle.clone();
    door.close().await;
    assert!(handle.checkup().examine().await.is_err(), "who has ended does not answer");
}
