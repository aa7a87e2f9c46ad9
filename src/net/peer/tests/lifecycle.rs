//! What happens around the media: candidates at odd times, further negotiations, ends of all kinds, and what remains.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Video;
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::Recvonly;
use webrtc::rtp_transceiver::RTCRtpTransceiverInit;

use super::browser::Browser;
use super::*;
use crate::logic::unit::{AccessUnit, ReceivedVoice};
use crate::net::peer::events::Events;
use crate::net::peer::guard::Guard;
use crate::net::peer::incoming::is_closed;
use crate::net::peer::{CloseReason, PeerError};
use crate::protocol::{Candidate, IceServer, MAX_CANDIDATES};

fn candidate(text: &str) -> Candidate {
    Candidate { candidate: text.to_owned(), sdp_mid: None, sdp_m_line_index: Some(0), username_fragment: None }
}

fn picture() -> AccessUnit {
    AccessUnit::new([&[0x65, 1, 2, 3][..]], true, Instant::now(), (16, 16))
}

fn ufrag(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_may_come_before_the_answer() {
    let (caller, offer, mut caller_events) = Peer::offer(&loopback()).await.unwrap();
    let (callee, answer, _callee_events) = Peer::answer(&loopback(), &offer).await.unwrap();
    let (early, answer): (Vec<_>, Vec<_>) = answer.lines().partition(|line| line.starts_with("a=candidate:"));
    assert!(!early.is_empty());
    for line in early {
        caller.add_candidate(Some(&candidate(line.trim_start_matches("a=")))).await.unwrap();
    }
    caller.accept_answer(&(answer.join("\r\n") + "\r\n")).await.unwrap();
    let event = next_but_candidates(&mut caller_events).await;
    assert!(matches!(event, PeerEvent::Connected), "{event:?}");
    callee.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_candidates_disturb_nothing() {
    let (mut caller, mut callee) = described().await;
    for text in
        ["nonsense", "candidate:", "candidate:1 1 udp 1 127.0.0.1 99999 typ host", "candidate:1 1 udp é é é é é"]
    {
        let error = callee.peer.add_candidate(Some(&candidate(text))).await.unwrap_err();
        assert!(matches!(error, PeerError::Candidate(_)), "{text}: {error}");
    }
    for text in ["", "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype passive"] {
        callee.peer.add_candidate(Some(&candidate(text))).await.unwrap();
    }
    callee.peer.add_candidate(None).await.unwrap();
    let (a, b) = tokio::join!(next(&mut caller.events, &callee.peer), next(&mut callee.events, &caller.peer));
    assert!(matches!((&a, &b), (PeerEvent::Connected, PeerEvent::Connected)), "{a:?} {b:?}");
    for port in 1..=2 * MAX_CANDIDATES {
        let text = format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host");
        callee.peer.add_candidate(Some(&candidate(&text))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gains_video_and_survives_an_ice_restart() {
    let mut browser = Browser::new(None).await;
    let mut side = browser.call(false).await;
    assert_eq!(side.peer.pictures(), None);

    let init = RTCRtpTransceiverInit { direction: Recvonly, streams: vec![], send_encodings: vec![] };
    browser.connection.add_transceiver_from_kind(Video, Some(init)).await.unwrap();
    let offer = browser.offer(false).await;
    let before = side.peer.renegotiate(&offer).await.unwrap();
    browser.accept(&before).await;
    assert!(side.peer.pictures().is_some());
    side.peer.send_video(&picture()).await.unwrap();
    browser.rtp(Video).await;

    browser.connection.restart_ice().await.unwrap();
    let offer = browser.offer(false).await;
    let after = side.peer.renegotiate(&offer).await.unwrap();
    assert_ne!(ufrag(&before), ufrag(&after));
    browser.accept(&after).await;
    // What was sent before the new path is up is lost, as it is on any network.
    let arrives = async {
        loop {
            side.peer.send_video(&picture()).await.unwrap();
            if let Ok(packet) = tokio::time::timeout(Duration::from_millis(20), browser.rtp(Video)).await {
                return packet;
            }
        }
    };
    tokio::time::timeout(PATIENCE, arrives).await.expect("a picture after the restart");
    while let Ok(event) = side.events.try_recv() {
        assert!(!matches!(event, PeerEvent::Closed(_) | PeerEvent::Connected), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_nobody_asked_for_is_an_error() {
    let (caller, callee) = connected().await;
    let (_, answer, _events) = Peer::answer(&loopback(), &Peer::offer(&loopback()).await.unwrap().1).await.unwrap();
    for side in [&caller, &callee] {
        assert!(side.peer.accept_answer(&answer).await.is_err());
    }
    let mut events = callee.events;
    caller.peer.close().await;
    assert!(matches!(next_but_candidates(&mut events).await, PeerEvent::Closed(CloseReason::Remote)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_foreign_data_channels_say_is_taken_and_thrown_away() {
    let mut browser = Browser::new(None).await;
    let mut side = browser.call(true).await;
    browser.say("first").await;
    let foreign = browser.connection.create_data_channel("files", None).await.unwrap();
    let said = async {
        // Twice what the stack keeps for a reader.
        for _ in 0..2 * 256 {
            while foreign.send_text(r#"{"type":"goodbye"}"#).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("a way for all of it");
    assert!(tokio::time::timeout(Duration::from_millis(200), next_but_candidates(&mut side.events)).await.is_err());
    browser.say(r#"{"type":"goodbye"}"#).await;
    let event = next_but_candidates(&mut side.events).await;
    assert!(matches!(event, PeerEvent::Goodbye), "{event:?}");
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_data_channels_than_a_call_has_end_it() {
    let mut browser = Browser::new(None).await;
    let mut side = browser.call(true).await;
    let mut channels = Vec::new();
    for number in 0..20 {
        channels.push(browser.connection.create_data_channel(&number.to_string(), None).await.unwrap());
    }
    match next_but_candidates(&mut side.events).await {
        PeerEvent::Closed(CloseReason::Failed(why)) => assert_eq!(why, "more data channels than a call has"),
        other => panic!("{other:?}"),
    }
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_peer_closes() {
    let (caller, mut callee) = connected().await;
    let Side { peer, mut events } = caller;
    drop(peer);
    assert!(matches!(next_but_candidates(&mut events).await, PeerEvent::Closed(CloseReason::Local)));
    assert!(matches!(next_but_candidates(&mut callee.events).await, PeerEvent::Closed(CloseReason::Remote)));
    let error = callee.peer.send_video(&picture()).await.unwrap_err();
    assert_eq!(error, PeerError::Closed);
}

#[tokio::test]
async fn a_panic_in_the_connections_task_is_the_end_of_that_peer() {
    use webrtc::runtime::Runtime;
    let (events, mut receiver) = Events::new();
    let guard = Guard::new(events.into(), Default::default());
    guard.made();
    guard.spawn(Box::pin(async { panic!("on purpose") }));
    let event = receiver.recv().await.unwrap();
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Failed(_))), "{event:?}");
    assert!(receiver.recv().await.is_none());
}

#[tokio::test]
async fn an_attempt_that_came_to_nothing_does_not_end_the_peer() {
    use webrtc::runtime::Runtime;
    let (events, mut receiver) = Events::new();
    let events = std::sync::Arc::new(events);
    let attempt = Guard::new(events.clone(), Default::default());
    attempt.spawn(Box::pin(async {}));
    tokio::task::yield_now().await;
    assert!(!events.is_closed());
    // Had it been made all the same, its end would not be lost.
    attempt.made();
    let event = receiver.recv().await.unwrap();
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Failed(_))), "{event:?}");
}

#[tokio::test]
async fn a_panic_while_reading_a_description_is_an_error() {
    let (peer, _, mut events) = Peer::offer(&loopback()).await.unwrap();
    let broken: Result<(), PeerError> = peer.guarded(async { panic!("on purpose") }).await;
    assert_eq!(broken, Err(PeerError::Broken));
    let event = next_but_candidates(&mut events).await;
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Failed(_))), "{event:?}");
}

#[tokio::test]
async fn unread_voice_does_not_hold_up_the_news() {
    let (events, mut receiver) = Events::new();
    for sequence in 0..1000 {
        events.voice(ReceivedVoice { sequence, timestamp: 0, payload: Bytes::from_static(b"x") });
        events.key_frame_wanted();
    }
    assert!(events.voice_dropped() > 900);
    events.tell(PeerEvent::Goodbye);
    events.close(CloseReason::Remote);
    events.close(CloseReason::Local);
    let mut heard = Vec::new();
    while let Some(event) = receiver.recv().await {
        heard.push(event);
    }
    let [.., goodbye, closed] = &heard[..] else { panic!("{heard:?}") };
    assert!(matches!(goodbye, PeerEvent::Goodbye) && matches!(closed, PeerEvent::Closed(CloseReason::Remote)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_ice_servers_are_skipped_and_a_relay_is_insisted_on() {
    let server = |url: &str| IceServer {
        urls: vec![url.to_owned()],
        username: Some("anna".to_owned()),
        credential: Some("secret".to_owned()),
    };
    let unusable = ["turns:127.0.0.1:5349", "turn:127.0.0.1:3478?transport=tcp", "http://127.0.0.1", "stun:", ""];
    let mut settings = PeerSettings { servers: unusable.map(server).to_vec(), ..loopback() };
    let (peer, offer, mut events) = Peer::offer(&settings).await.unwrap();
    assert!(offer.contains("m=video"));
    let gathered = async { while !matches!(events.recv().await, Some(PeerEvent::Candidate(None))) {} };
    tokio::time::timeout(PATIENCE, gathered).await.expect("the end of the candidates");
    peer.close().await;

    settings.relay_only = true;
    assert_eq!(Peer::offer(&settings).await.err(), Some(PeerError::NoRelay));
}

#[test]
fn nothing_is_left_of_forty_calls() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let calls = |count: usize| async move {
        for _ in 0..count {
            let (caller, callee) = connected().await;
            let started = Instant::now();
            caller.peer.close().await;
            callee.peer.close().await;
            assert!(started.elapsed() < Duration::from_secs(2));
        }
    };
    // The first calls also open what stays open: the runtime's own descriptors.
    runtime.block_on(calls(3));
    let (tasks, files) = (runtime.metrics().num_alive_tasks(), descriptors());
    runtime.block_on(calls(40));
    // Other tests of this process have descriptors too; a socket left by each peer would be 80.
    let all_gone = || runtime.metrics().num_alive_tasks() <= tasks && descriptors() < files + 40;
    let deadline = Instant::now() + PATIENCE;
    while !all_gone() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = (runtime.metrics().num_alive_tasks(), descriptors());
    assert!(all_gone(), "tasks and descriptors: {tasks} and {files} before, {left:?} after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_moment_of_coming_up_looks_like_the_end() {
    for _ in 0..8 {
        let (mut caller, mut callee) = described().await;
        let watch = |side: &Side| {
            let connection = side.peer.connection.connection.clone();
            async move {
                let agreed = async || match connection.sctp().await {
                    Some(sctp) => matches!(sctp.max_channels().await, Ok(Some(_))),
                    None => false,
                };
                while !agreed().await {
                    assert!(!is_closed(&*connection, true).await);
                    tokio::task::yield_now().await;
                }
            }
        };
        let watches = [tokio::spawn(watch(&caller)), tokio::spawn(watch(&callee))];
        let (a, b) = tokio::join!(next(&mut caller.events, &callee.peer), next(&mut callee.events, &caller.peer));
        assert!(matches!((&a, &b), (PeerEvent::Connected, PeerEvent::Connected)), "{a:?} {b:?}");
        for watch in watches {
            tokio::time::timeout(PATIENCE, watch).await.expect("an association").unwrap();
        }
    }
}
