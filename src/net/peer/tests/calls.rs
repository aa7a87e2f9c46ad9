//! Whole calls.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::{Audio, Video};
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::{Recvonly, Sendonly, Sendrecv};

use super::browser::Browser;
use super::*;
use crate::logic::picture::level::Level;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::net::peer::CloseReason;

/// SPS, PPS and an IDR slice of `size` bytes.
fn key_frame(size: usize, captured: Instant) -> AccessUnit {
    let slice: Vec<u8> = std::iter::once(0x65).chain((0..size).map(|i| (i % 251) as u8 | 4)).collect();
    AccessUnit::new([&[0x67, 0x42, 0xc0, 0x1f, 1][..], &[0x68, 0xce, 2], &slice], true, captured, (640, 480))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_connect_and_part() {
    let (caller, mut callee) = connected().await;
    caller.peer.close().await;
    let event = next_but_candidates(&mut callee.events).await;
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Remote)), "{event:?}");
    assert!(callee.events.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_arrives_whole_with_its_capture_time() {
    let mut browser = Browser::new(Some(Recvonly)).await;
    let side = browser.call(true).await;
    assert_eq!(side.peer.pictures(), Some(Level::L3_1));

    let captured = Instant::now();
    side.peer.send_video(&key_frame(5000, captured)).await.unwrap();
    let parameters = browser.rtp(Video).await;
    assert_eq!((parameters.payload[0] & 0x1f, parameters.header.marker), (7, false), "the sequence's parameters");
    let picture = browser.rtp(Video).await;
    assert_eq!((picture.payload[0] & 0x1f, picture.header.marker), (8, false), "the picture's parameters");
    let mut slice = 0;
    for index in 2.. {
        let packet = browser.rtp(Video).await;
        assert_eq!(packet.payload[0] & 0x1f, 28, "FU-A");
        assert!(packet.payload.len() <= 1188);
        assert_eq!(packet.header.timestamp, parameters.header.timestamp);
        assert_eq!(packet.header.sequence_number, parameters.header.sequence_number.wrapping_add(index));
        slice += packet.payload.len() - 2;
        if packet.header.marker {
            break;
        }
    }
    assert_eq!(slice, 5000);

    side.peer.send_video(&key_frame(10, captured + Duration::from_millis(40))).await.unwrap();
    let next = browser.rtp(Video).await;
    assert_eq!(next.header.timestamp.wrapping_sub(parameters.header.timestamp), 3600);
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_goes_both_ways() {
    let mut browser = Browser::new(None).await;
    let mut side = browser.call(false).await;
    assert_eq!(side.peer.pictures(), None);
    side.peer.send_video(&key_frame(10, Instant::now())).await.unwrap();

    for position in [0, 960, 2880] {
        let data = Bytes::from_static(b"\xf8voice");
        side.peer.send_voice(&VoicePacket { data, position }).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(browser.rtp(Audio).await);
    }
    let from_first = |i: usize| heard[i].header.timestamp.wrapping_sub(heard[0].header.timestamp);
    assert_eq!((from_first(1), from_first(2)), (960, 2880));
    assert_eq!(heard.iter().map(|p| p.header.marker).collect::<Vec<_>>(), [true, false, true], "a gap is marked");
    assert_eq!(heard[2].payload, Bytes::from_static(b"\xf8voice"));

    for sequence in 0..5 {
        browser.speak(65_533_u16.wrapping_add(sequence), b"\xf8hello").await;
    }
    for sequence in 0..5 {
        match next_but_candidates(&mut side.events).await {
            PeerEvent::Voice(packet) => {
                assert_eq!(packet.sequence, 65_533_u16.wrapping_add(sequence));
                assert_eq!(packet.payload, Bytes::from_static(b"\xf8hello"));
            }
            other => panic!("{other:?}"),
        }
    }
    let stats = side.peer.stats().await;
    assert_eq!((stats.voice.packets_sent, stats.video.packets_sent), (3, 0));
    let pair = stats.pair.unwrap();
    assert_eq!((pair.local.as_str(), pair.packets_sent > 0), ("host", true), "{pair:?}");
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_frame_requests_are_heard() {
    let mut browser = Browser::new(Some(Sendrecv)).await;
    let mut side = browser.call(true).await;
    side.peer.send_video(&key_frame(10, Instant::now())).await.unwrap();
    browser.rtp(Video).await;
    for by_fir in [false, true] {
        browser.ask_for_key_frame(by_fir).await;
        let event = next_but_candidates(&mut side.events).await;
        assert!(matches!(event, PeerEvent::KeyFrameWanted), "{event:?}");
    }
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_goes_both_ways() {
    let (caller, mut callee) = connected().await;
    // The channel opens shortly after the connection.
    let hear = async {
        loop {
            caller.peer.goodbye().await;
            let event = tokio::time::timeout(Duration::from_millis(50), next_but_candidates(&mut callee.events)).await;
            if let Ok(event) = event {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(PATIENCE, hear).await.unwrap();
    assert!(matches!(event, PeerEvent::Goodbye), "{event:?}");

    let mut browser = Browser::new(None).await;
    let mut side = browser.call(true).await;
    browser.say("not JSON").await;
    browser.say(r#"{"type":"chat","text":"hello"}"#).await;
    browser.say(r#"{"type":"goodbye","reason":"hangup"}"#).await;
    let event = next_but_candidates(&mut side.events).await;
    assert!(matches!(event, PeerEvent::Goodbye), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_video_is_declined() {
    for (offered, answered) in [(Sendrecv, "a=sendonly"), (Recvonly, "a=sendonly"), (Sendonly, "a=inactive")] {
        let mut browser = Browser::new(Some(offered)).await;
        let offer = browser.offer(false).await;
        let (peer, answer, _events) = Peer::answer(&loopback(), &offer).await.unwrap();
        let video = answer.split("m=video").nth(1).unwrap();
        assert!(video.contains(answered), "{offered:?}: {answer}");
        let audio = answer.split("m=").nth(1).unwrap();
        assert!(audio.starts_with("audio") && audio.contains("a=sendrecv"), "{answer}");
        assert!(!answer.contains("rtx") && !answer.contains("VP8"), "{answer}");
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_side_goes_without_a_data_channel() {
    let mut browser = Browser::new(None).await;
    let mut side = browser.call(false).await;
    browser.connection.close().await.unwrap();
    let event = next_but_candidates(&mut side.events).await;
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Remote)), "{event:?}");
}
