//! How long a connection lives, and what it takes to be one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Video;
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::Recvonly;

use super::browser::{Browser, Seen};
use super::network::Network;
use super::*;
use crate::logic::unit::AccessUnit;
use crate::net::peer::Liveness;
use crate::net::peer::stun::{BINDING_REQUEST, BINDING_SUCCESS, USE_CANDIDATE, has_attribute, kind};

/// A short life, so that nobody waits for its end.
fn mortal() -> PeerSettings {
    let liveness = Liveness {
        check_every: Duration::from_millis(20),
        lost_after: Duration::from_millis(500),
        mute_after: Duration::from_millis(1500),
    };
    PeerSettings { liveness, ..loopback() }
}

fn picture(content: u8) -> AccessUnit {
    AccessUnit::new([&[0x65, content][..]], true, Instant::now(), (16, 16))
}

async fn until(events: &mut Receiver<PeerEvent>, mut wanted: impl FnMut(&PeerEvent) -> bool) {
    let wait = async {
        loop {
            match events.recv().await {
                Some(event) if wanted(&event) => return,
                Some(PeerEvent::Closed(reason)) => panic!("{reason:?}"),
                Some(_) => {}
                None => panic!("the events ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the event");
}

async fn until_muted(peer: &Peer) {
    let muted = async {
        while !peer.stats().await.socket.muted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, muted).await.expect("silence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_answers_keep_a_connection_and_without_them_nothing_is_sent() {
    let network = Arc::new(Network::default());
    let mut browser = Browser::behind(network.clone(), Some(Recvonly)).await;
    let mut side = browser.call_with(&mortal(), true).await;
    // The program has stopped; its library goes on sending, and the microphone is still open.
    network.loses(|datagram| kind(datagram) == Some(BINDING_SUCCESS));
    let speaks = async {
        for sequence in 0.. {
            browser.speak(sequence, b"\xf8hello").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let dies = async {
        until(&mut side.events, |event| matches!(event, PeerEvent::Disconnected)).await;
        let voice = async { until(&mut side.events, |_| false).await };
        tokio::select! { () = voice => {}, () = until_muted(&side.peer) => {} }
    };
    tokio::select! { () = speaks => {}, () = dies => {} }
    for _ in 0..5 {
        side.peer.send_video(&picture(7)).await.unwrap();
    }
    network.loses(|_| false);
    until(&mut side.events, |event| matches!(event, PeerEvent::Connected)).await;
    side.peer.send_video(&picture(8)).await.unwrap();
    assert_eq!(browser.rtp(Video).await.payload[..], [0x65, 8], "the first picture that was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_long_it_was_silent_a_connection_comes_back_by_a_restart() {
    let network = Arc::new(Network::default());
    let mut browser = Browser::behind(network.clone(), Some(Recvonly)).await;
    let mut side = browser.call_with(&mortal(), false).await;
    network.loses(|_| true);
    until(&mut side.events, |event| matches!(event, PeerEvent::Disconnected)).await;
    until_muted(&side.peer).await;
    network.loses(|_| false);
    browser.connection.restart_ice().await.unwrap();
    let offer = browser.offer(false).await;
    browser.accept(&side.peer.renegotiate(&offer).await.unwrap()).await;
    until(&mut side.events, |event| matches!(event, PeerEvent::Connected)).await;
    side.peer.send_video(&picture(9)).await.unwrap();
    assert_eq!(browser.rtp(Video).await.payload[..], [0x65, 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nomination_that_comes_before_the_answer_to_our_check_counts() {
    let network = Arc::new(Network::default());
    let mut browser = Browser::behind(network.clone(), None).await;
    // It nominates once, and answers nothing before.
    let nominated = AtomicBool::new(false);
    network.loses(move |datagram| match kind(datagram) {
        Some(BINDING_REQUEST) if has_attribute(datagram, USE_CANDIDATE) => nominated.swap(true, Ordering::Relaxed),
        Some(BINDING_SUCCESS) => !nominated.load(Ordering::Relaxed),
        _ => false,
    });
    let side = browser.call(false).await;
    assert!(side.peer.stats().await.pair.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_addresses_are_known_before_our_checks_come() {
    // The stack that the browser is made of holds a path back for a second whose address it learns from a check.
    const HELD_BACK: Duration = Duration::from_secs(1);
    for tries in 1.. {
        let mut browser = Browser::new(None).await;
        let offer = browser.offer(false).await;
        let (peer, answer, events) = Peer::answer(&loopback(), &offer).await.unwrap();
        assert!(answer.contains("\r\na=candidate:"), "{answer}");
        let begin = Instant::now();
        browser.accept(&answer).await;
        let mut side = Side { peer, events };
        let connect = async {
            loop {
                tokio::select! {
                    // Nothing but what the answer says reaches the browser.
                    event = side.events.recv() => if let Some(PeerEvent::Connected) = event { return },
                    seen = browser.seen.recv() => if let Some(Seen::Candidate(candidate)) = seen {
                        side.peer.add_candidate(Some(&candidate)).await.unwrap();
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, connect).await.expect("a connection");
        if begin.elapsed() < HELD_BACK {
            return;
        }
        assert!(tries < 10, "it takes {:?} each time", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_answers_a_check_is_told_of_before_the_connection_is_up() {
    let (mut caller, mut callee) = described().await;
    for side in [&mut caller, &mut callee] {
        let mut reached = false;
        let connected = until(&mut side.events, |event| {
            reached |= matches!(event, PeerEvent::Reached);
            matches!(event, PeerEvent::Connected)
        });
        connected.await;
        assert!(reached);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_neither_checks_nor_answers_reaches_nobody() {
    let network = Arc::new(Network::default());
    network.loses(|datagram| kind(datagram).is_some());
    let mut browser = Browser::behind(network.clone(), None).await;
    let offer = browser.offer(false).await;
    let (peer, answer, mut events) = Peer::answer(&loopback(), &offer).await.unwrap();
    browser.accept(&answer).await;
    let checked = async {
        while network.lost() < 5 {
            let seen = tokio::time::timeout(Duration::from_millis(5), browser.seen.recv()).await;
            if let Ok(Some(Seen::Candidate(candidate))) = seen {
                peer.add_candidate(Some(&candidate)).await.unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, checked).await.expect("checks");
    while let Ok(event) = events.try_recv() {
        assert!(matches!(event, PeerEvent::Candidate(_)), "{event:?}");
    }
    network.loses(|_| false);
    until(&mut events, |event| matches!(event, PeerEvent::Reached)).await;
}
