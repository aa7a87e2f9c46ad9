//! What strangers may send, and what becomes of it: a defined answer, and nobody else's call disturbed.

use std::net::SocketAddr;

use callbox::logic::call::PROVING;
use callbox::net::peer::Peer;
use callbox::net::sdp;
use callbox::protocol::{Description, ErrorCode, IceServer, MAX_CANDIDATES, Message, Reason};
use callbox::server::{Server, ServerSettings};

use crate::caller::{Caller, Door, at_callbox, door, ice, soon};
use crate::relay::Relay;

#[tokio::test(flavor = "multi_thread")]
async fn refuses_descriptions_that_cannot_be_used_without_disturbing_a_call() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let mut line = anna.call().await;

    let (_peer, good, _events) = Peer::offer(&ice()).await.unwrap();
    let session = good.split("m=").next().unwrap().to_owned();
    let audio = format!("m={}", good.split("m=").find(|m| m.starts_with("audio")).unwrap());
    let video = format!("m={}", good.split("m=").find(|m| m.starts_with("video")).unwrap());
    let bad = [
        String::new(),
        "rubbish".to_owned(),
        "v=0\r\n".to_owned(),
        session.clone(),
        format!("{session}{}", audio.repeat(100)),
        format!("{session}{audio}{}", video.repeat(2)),
        good.replace("a=group:BUNDLE", "a=group:LS"),
        good.replace("opus", "speex").replace("H264", "H265"),
        good.replace("a=fingerprint", "a=nothing"),
        good.replace("a=ice-ufrag", "a=nothing"),
    ];
    for (n, sdp) in bad.into_iter().enumerate() {
        let mut stranger = Caller::join(&server.url, &format!("stranger-{n}")).await;
        let offer = stranger.offer(sdp);
        stranger.say(&offer).await;
        assert_eq!(stranger.hear_error().await, ErrorCode::BadSdp, "offer {n}");
        assert_eq!(stranger.hear_leave().await, Some(Reason::Failed), "offer {n}");
    }
    let offer = anna.offer("rubbish".into());
    anna.say(&offer).await;
    assert_eq!(anna.hear_error().await, ErrorCode::BadSdp, "a bad second offer");
    line.hears(20).await;
    let status = door.status().await;
    assert_eq!(status["calls"].as_array().unwrap().len(), 1, "{status:#}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_no_offer_and_garbage_candidates_are_refused() {
    let server = at_callbox().await;
    let at_door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let mut line = anna.call().await;

    let mut ben = Caller::join(&server.url, "ben").await;
    for (caller, what) in [(&mut ben, "out of the blue"), (&mut anna, "in a call")] {
        let answer = Description { kind: "answer".into(), sdp: "v=0\r\n".into() };
        let user_id = Some(caller.me.clone());
        caller
            .say(&Message::Answer { user_id, target_id: door(), answer, call_id: None, rights: None, identity: None })
            .await;
        assert_eq!(caller.hear_error().await, ErrorCode::UnexpectedAnswer, "{what}");
    }
    for line in ["candidate:", "rubbish", "candidate:1 1 udp 99999999999 300.0.0.1 70000 typ nowhere", "\u{0}"] {
        let candidate = anna.candidate(line);
        anna.say(&candidate).await;
        assert_eq!(anna.hear_error().await, ErrorCode::BadCandidate, "{line:?}");
    }
    line.hears(20).await;
    at_door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn misformed_messages_are_answered_and_unknown_ones_ignored() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    for text in [
        r#"{"type":"offer","userId":"anna","targetId":"door","offer":"v=0"}"#,
        r#"{"type":"offer","userId":"anna","targetId":"door"}"#,
        r#"{"type":"candidate","userId":"anna","targetId":"door","candidate":7}"#,
        r#"{"type":"answer","userId":"anna","targetId":"door","answer":{"type":"answer"}}"#,
    ] {
        anna.say_raw(text).await;
        assert_eq!(anna.hear_error().await, ErrorCode::BadField, "{text}");
    }
    // Neither of these has an answer; the call that follows shows that they did no harm.
    anna.say_raw(r#"{"type":"leave","userId":"anna","targetId":"door","reason":7}"#).await;
    assert_eq!(anna.hear_error().await, ErrorCode::BadField);
    anna.call().await.hears(5).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_may_come_before_the_offer_in_any_number() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    for n in 0..MAX_CANDIDATES / 2 {
        let candidate = anna.candidate(&format!("candidate:{n} 1 udp 1 127.0.0.1 {} typ host", 40_000 + n));
        anna.say(&candidate).await;
    }
    anna.call().await.hears(5).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_offer_of_another_session_replaces_the_call_and_of_the_same_session_changes_it() {
    let server = at_callbox().await;
    let door = Door::open(&server.url, "").await;
    let mut anna = Caller::join(&server.url, "anna").await;
    let mut first = anna.call().await;
    let mut second = anna.call().await;
    first.ends().await;
    second.hears(10).await;
    let status = door.status().await;
    assert_eq!(status["calls"].as_array().unwrap().len(), 1, "{status:#}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_calls_again_and_again_disturbs_nobody() {
    let relay = Relay::start().await;
    let door = Door::open(&relay.url(), "").await;
    let mut line = Caller::join(&relay.url(), "anna").await.call().await;
    let mut ben = Caller::join(&relay.url(), "ben").await;
    let (_peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    let session = sdp::session_id(&sdp).unwrap();
    for n in 0..300 {
        let offer = ben.offer(sdp.replacen(session, &n.to_string(), 1));
        ben.say(&offer).await;
    }
    let failed = |m| matches!(m, Message::Leave { reason: Some(Reason::Failed), .. }).then_some(());
    ben.hear("a call that fails", failed).await;
    line.hears(20).await;
    Caller::join(&relay.url(), "carl").await.call_until_answered().await.hears(5).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ice_servers_are_taken_anew_with_each_registration() {
    let listening = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let start = async |address: SocketAddr, stun: SocketAddr| {
        let server = IceServer { urls: vec![format!("stun:{stun}")], username: None, credential: None };
        let settings = ServerSettings { ice_servers: vec![server], ..ServerSettings::new(address) };
        Server::start(settings).await.unwrap()
    };
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let first = start("127.0.0.1:0".parse().unwrap(), nowhere).await;
    let address = first.local_addr();
    let url = format!("ws://{address}/ws");
    let door = Door::open(&url, "").await;
    first.shutdown().await;
    door.until("lost", |s| s["signaling"]["registration"]["state"] == "lost").await;
    let _second = start(address, listening.local_addr().unwrap()).await;
    door.until("registered again", |s| s["signaling"]["registration"]["state"] == "registered").await;

    let mut anna = Caller::join(&url, "anna").await;
    let (_peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    let offer = anna.offer(sdp);
    anna.say(&offer).await;
    let mut request = [0; 256];
    let length = soon("a STUN request", listening.recv(&mut request)).await.unwrap();
    assert!(length >= 20 && request[..2] == [0, 1], "a binding request (RFC 8489)");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mere_offers_open_no_device_and_keep_nobody_out() {
    let relay = Relay::start().await;
    let at_door = Door::open(&relay.url(), "calls = { max_calls = 2 }").await;
    let mut strangers = Vec::new();
    for name in ["s1", "s2", "s3"] {
        let mut stranger = Caller::join(&relay.url(), name).await;
        // Its connection never hears of the answer, so that it answers no check either.
        let (peer, sdp, events) = Peer::offer(&ice()).await.unwrap();
        let offer = stranger.offer(sdp);
        stranger.say(&offer).await;
        stranger.hear("an answer", |m| matches!(m, Message::Answer { .. }).then_some(())).await;
        strangers.push((stranger, peer, events));
        // Within this time it would not make way yet, and whoever comes next would hear "busy".
        tokio::time::sleep(PROVING).await;
    }
    let status = at_door.status().await;
    let media = &status["media"];
    assert!(media["video"].is_null() && media["microphone"].is_null() && media["speaker"].is_null(), "{status:#}");
    assert_eq!(strangers[0].0.hear_leave().await, Some(Reason::Busy), "the oldest made way");

    let mut anna = Caller::join(&relay.url(), "anna").await;
    let mut line = anna.call().await;
    line.hears(5).await;
    let status = at_door.until("its media", |s| !s["media"]["microphone"].is_null()).await;
    assert_eq!(status["calls"].as_array().unwrap().len(), 2, "{status:#}");
    let mut ben = Caller::join(&relay.url(), "ben").await;
    ben.call().await.hears(5).await;
    at_door.close().await;
}
