//! Sections of other clients' descriptions that come without what browsers say of them, and that come and go, at a
//! connection that carries media.

use std::time::Instant;

use bytes::Bytes;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::{Audio, Video};
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::Recvonly;

use super::browser::Browser;
use super::*;
use crate::logic::picture::level::Level;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::net::peer::{CloseReason, PeerError};

fn without(sdp: &str, starts: &[&str]) -> String {
    let kept = sdp.lines().filter(|line| !starts.iter().any(|start| line.starts_with(start)));
    kept.map(|line| format!("{line}\r\n")).collect()
}

fn picture() -> AccessUnit {
    AccessUnit::new([&[0x65, 1, 2, 3][..]], true, Instant::now(), (16, 16))
}

/// Calls with a changed offer, until both are connected.
async fn call(browser: &mut Browser, change: impl Fn(&str) -> String) -> (Side, String) {
    let offer = change(&browser.offer(true).await);
    let (peer, answer, events) = Peer::answer(&loopback(), &offer).await.unwrap();
    browser.accept(&answer).await;
    let mut side = Side { peer, events };
    browser.exchange(&mut side).await;
    (side, offer)
}

async fn is_heard(browser: &Browser, side: &mut Side, from: u16) {
    let payload = b"\xf8hello";
    browser.speak(from, payload).await;
    match next_but_candidates(&mut side.events).await {
        PeerEvent::Voice(packet) => assert_eq!((packet.sequence, &packet.payload[..]), (from, &payload[..])),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voice_is_heard_whose_ssrc_was_not_declared_or_is_another() {
    let undeclared = |offer: &str| without(offer, &["a=ssrc", "a=msid"]);
    let another = |offer: &str| offer.replace("a=ssrc:4711 ", "a=ssrc:1174 ");
    let changes: [&dyn Fn(&str) -> String; 2] = [&undeclared, &another];
    for change in changes {
        let mut browser = Browser::new(Some(Recvonly)).await;
        let (mut side, offer) = call(&mut browser, change).await;
        assert!(!offer.contains("ssrc:4711"), "{offer}");
        is_heard(&browser, &mut side, 7).await;
        side.peer.send_voice(&VoicePacket { data: Bytes::from_static(b"\xf8voice"), position: 0 }).await.unwrap();
        assert_eq!(browser.rtp(Audio).await.payload, Bytes::from_static(b"\xf8voice"));
        side.peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sections_are_paused_taken_away_and_added_during_the_call() {
    let mut browser = Browser::new(Some(Recvonly)).await;
    let (mut side, offer) = call(&mut browser, str::to_owned).await;
    let (head, rest) = offer.split_once("m=video").unwrap();
    let (video, data) = rest.split_once("m=application").unwrap();
    let media = |answer: &str| {
        let lines = answer.lines().filter_map(|line| line.strip_prefix("m="));
        lines.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let all = ["audio 9", "video 9", "application 9"];

    let held = format!("{head}m=video{}m=application{data}", video.replace("a=recvonly", "a=inactive"));
    assert_eq!(media(&side.peer.renegotiate(&held).await.unwrap()), all);
    assert_eq!(side.peer.pictures(), None);
    side.peer.send_video(&picture()).await.unwrap();
    assert_eq!(side.peer.stats().await.video.packets_sent, 0, "nothing is sent on hold");

    assert_eq!(media(&side.peer.renegotiate(&offer).await.unwrap()), all);
    assert_eq!(side.peer.pictures(), Some(Level::L3_1));
    side.peer.send_video(&picture()).await.unwrap();
    browser.rtp(Video).await;

    let fewer = head.replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    let stopped = format!("{fewer}m=video 0{}m=application{data}", video.strip_prefix(" 9").unwrap());
    let bare = format!("{fewer}m=video 0 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\nm=application{data}");
    for (sequence, gone) in [(1, &stopped), (2, &bare)] {
        let answer = side.peer.renegotiate(gone).await.unwrap();
        assert_eq!(media(&answer), ["audio 9", "video 0", "application 9"]);
        assert_eq!(side.peer.pictures(), None);
        is_heard(&browser, &mut side, sequence).await;
    }

    let added = format!("{bare}m=video{}", video.replace("a=mid:1", "a=mid:3")).replace("BUNDLE 0 2", "BUNDLE 0 2 3");
    let answer = side.peer.renegotiate(&added).await.unwrap();
    assert_eq!(media(&answer), ["audio 9", "video 0", "application 9", "video 9"]);
    side.peer.send_video(&picture()).await.unwrap();
    browser.rtp(Video).await;

    let nothing = ["audio", "video", "application"];
    let nothing =
        nothing.iter().fold(offer.clone(), |sdp, kind| sdp.replace(&format!("m={kind} 9"), &format!("m={kind} 0")));
    assert_eq!(media(&side.peer.renegotiate(&nothing).await.unwrap()), ["audio 0", "video 0", "application 0"]);
    let answer = side.peer.renegotiate(&offer).await.unwrap();
    assert_eq!(media(&answer), ["audio 9", "video 9", "application 0"], "SCTP does not come back");
    is_heard(&browser, &mut side, 3).await;
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_channel_that_comes_later_is_declined() {
    let chromium = crate::net::sdp::tests::CHROMIUM;
    let (media, data) = chromium.split_once("m=application").unwrap();
    let (peer, answer, _events) = Peer::answer(&loopback(), media).await.unwrap();
    assert!(!answer.contains("m=application"), "{answer}");
    // Also where its section would give the transport.
    for group in ["BUNDLE 0 1 2", "BUNDLE 2 1 0"] {
        let added = format!("{}m=application{data}", media.replace("BUNDLE 0 1 2", group));
        let answer = peer.renegotiate(&added).await.unwrap();
        assert!(answer.contains("m=application 0 ") && answer.contains("m=audio 9 "), "{answer}");
    }
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_close_of_a_transport_that_was_left_is_no_hanging_up() {
    for stops_the_first in [true, false] {
        let mut browser = Browser::new(Some(Recvonly)).await;
        let (mut side, offer) = call(&mut browser, str::to_owned).await;
        let (old, new) = if stops_the_first { ("m=audio", "BUNDLE 1 2") } else { ("m=video", "BUNDLE 0 2") };
        let fewer = offer.replace(&format!("{old} 9"), &format!("{old} 0")).replace("BUNDLE 0 1 2", new);
        assert_ne!(fewer, offer);
        side.peer.renegotiate(&fewer).await.unwrap();
        browser.connection.close().await.unwrap();
        match next_but_candidates(&mut side.events).await {
            PeerEvent::Closed(CloseReason::Failed(why)) => assert!(stops_the_first && why.contains("section"), "{why}"),
            PeerEvent::Closed(CloseReason::Remote) => assert!(!stops_the_first),
            other => panic!("{other:?}"),
        }
        side.peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_is_left_where_its_candidates_stay_behind() {
    let chromium = crate::net::sdp::tests::CHROMIUM;
    let (peer, _answer, _events) = Peer::answer(&loopback(), chromium).await.unwrap();
    let candidate = "a=candidate:1 1 udp 1 192.0.2.5 9 typ host\n";
    let in_section =
        |sdp: &str, mid: &str| sdp.replace(&format!("a=mid:{mid}\n"), &format!("a=mid:{mid}\n{candidate}"));
    let stopped = chromium.replace("m=audio 9", "m=audio 0").replace("BUNDLE 0 1 2", "BUNDLE 1 2");
    assert!(peer.is_left_by(&in_section(&stopped, "0")));
    assert!(!peer.is_left_by(&in_section(&stopped, "1")), "the others go on with it");
    assert!(!peer.is_left_by(&stopped), "nobody knows");
    assert!(!peer.is_left_by(&in_section(chromium, "0")));
    let other = chromium.replace("m=video 9", "m=video 0").replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    assert!(!peer.is_left_by(&in_section(&other, "1")), "another section");
    let stranger = in_section(&stopped, "0").replace("3F:6A:", "6A:3F:");
    assert!(!peer.is_left_by(&stranger), "a call keeps its certificate");
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_called_may_negotiate_again() {
    let (caller, offer, _events) = Peer::offer(&loopback()).await.unwrap();
    let (_callee, answer, _callee_events) = Peer::answer(&loopback(), &offer).await.unwrap();
    caller.accept_answer(&answer).await.unwrap();
    assert!(answer.contains("a=setup:active"));
    let further = answer.replace("a=setup:active", "a=setup:actpass").replace("a=recvonly", "a=inactive");
    let answer = caller.renegotiate(&further).await.unwrap();
    // Who opened DTLS stays the one who opened it.
    assert_eq!((answer.matches("a=setup:passive").count(), answer.matches("a=setup:").count()), (4, 4), "{answer}");
    assert_eq!(caller.pictures(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_is_another_call() {
    let mut browser = Browser::new(None).await;
    let (side, offer) = call(&mut browser, str::to_owned).await;
    let fingerprint = offer.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 ")).unwrap();
    let stranger = offer.replace(fingerprint, &fingerprint.chars().rev().collect::<String>());
    let error = side.peer.renegotiate(&stranger).await.unwrap_err();
    assert!(matches!(&error, PeerError::Sdp(_)) && error.to_string().contains("fingerprint"), "{error}");
    side.peer.renegotiate(&offer).await.unwrap();
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_cannot_be_used_costs_itself_alone() {
    let odd = "a=candidate:2441 1 udp 659136 fe80::54a9:d238:b2ee:ceb%21 60720 typ host generation 0\r\n\
               a=candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active\r\na=candidate:é\r\n";
    let mut browser = Browser::new(None).await;
    let (mut side, _) =
        call(&mut browser, |offer| offer.replace("a=rtcp-mux\r\n", &format!("a=rtcp-mux\r\n{odd}"))).await;
    is_heard(&browser, &mut side, 1).await;
    assert_eq!(side.peer.stats().await.candidates_skipped, 3);
    side.peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_candidates_name_their_section_and_lead_somewhere() {
    let everywhere = PeerSettings { loopback: true, ..PeerSettings::default() };
    let (_peer, ours, _events) = Peer::offer(&everywhere).await.unwrap();
    let offer = crate::net::sdp::tests::LIBDATACHANNEL;
    let rejected_first = offer.replace("m=audio 9", "m=audio 0").replace("BUNDLE voice picture", "BUNDLE picture");
    let (_peer, answer, _events) = Peer::answer(&everywhere, offer).await.unwrap();
    let (_peer, second, _events) = Peer::answer(&everywhere, &rejected_first).await.unwrap();
    let grouped_otherwise = offer.replace("BUNDLE voice picture", "BUNDLE picture voice");
    assert_ne!(grouped_otherwise, offer);
    let (_peer, third, _events) = Peer::answer(&everywhere, &grouped_otherwise).await.unwrap();
    for (description, mid) in [(&ours, "0"), (&answer, "voice"), (&second, "picture"), (&third, "picture")] {
        let mut found = 0;
        for section in description.split("\r\nm=").skip(1) {
            for line in section.lines().filter(|line| line.starts_with("a=candidate:")) {
                assert!(section.contains(&format!("\r\na=mid:{mid}\r\n")), "{description}");
                let address = line.split(' ').nth(4).unwrap().parse::<IpAddr>().unwrap();
                assert!(!address.is_unspecified(), "{line}");
                found += 1;
            }
        }
        assert!(found > 0, "{description}");
    }
}
