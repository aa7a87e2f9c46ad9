//! Offers and answers as other clients word them, whole and broken, at a real connection.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::logic::picture::level::Level;
use crate::net::peer::{Equipment, PeerError};
use crate::net::sdp::NoPicture;
use crate::net::sdp::tests::{
    AIORTC, ANSWER_WITHOUT_H264, CHROMIUM, FIREFOX, GSTREAMER, GSTREAMERS_ANSWER, LIBDATACHANNEL, PION, SAFARI,
    WITHOUT_H264,
};

/// How many broken offers are tried; each costs a few milliseconds.
const BROKEN: usize = 400;

/// The files have plain line ends, the wire has others.
fn wire(offer: &str) -> String {
    offer.replace('\n', "\r\n")
}

fn section<'a>(sdp: &'a str, kind: &str) -> &'a str {
    sdp.split("\r\nm=").find(|section| section.starts_with(kind)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_is_answered() {
    for (offer, payload_type, data) in [
        (CHROMIUM, 106, true),
        (FIREFOX, 126, true),
        (SAFARI, 98, false),
        (AIORTC, 101, true),
        (LIBDATACHANNEL, 102, true),
        (PION, 106, false),
    ] {
        let (peer, answer, _events) = Peer::answer(&loopback(), &wire(offer)).await.unwrap();
        let (audio, video) = (section(&answer, "audio"), section(&answer, "video"));
        assert!(audio.contains("opus/48000/2") && audio.contains("a=sendrecv"), "{answer}");
        assert!(video.starts_with(&format!("video 9 UDP/TLS/RTP/SAVPF {payload_type}\r\n")), "{answer}");
        assert!(video.contains("a=sendonly") && video.contains("packetization-mode=1"), "{answer}");
        assert!(video.contains(&format!("a=rtcp-fb:{payload_type} nack pli")), "{answer}");
        assert!(!video.contains("transport-cc") && !video.contains("remb"), "{answer}");
        assert_eq!(answer.contains("m=application 9"), data, "{answer}");
        assert_eq!(peer.pictures(), Some(Level::L3_1));
        assert_eq!(audio.matches("cname:").next(), video.matches("cname:").next());
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_our_video_codec_there_is_only_sound() {
    let other_profiles =
        CHROMIUM.replace("profile-level-id=", "profile-level-id=53").replace("001f", "1f").replace("e01f", "1f");
    let low = CHROMIUM.replace("01f", "00d");
    for (offer, why) in [
        (WITHOUT_H264, NoPicture::NoH264),
        (&other_profiles, NoPicture::NoH264),
        (&low, NoPicture::LowLevel(Level::L1_3)),
    ] {
        let (peer, answer, _events) = Peer::answer(&loopback(), &wire(offer)).await.unwrap();
        assert!(section(&answer, "video").starts_with("video 0 "), "{answer}");
        assert!(section(&answer, "audio").contains("a=sendrecv"), "{answer}");
        assert_eq!((peer.pictures(), peer.no_picture()), (None, Some(why)));
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_with_less_than_was_offered_are_taken() {
    for (answer, pictures, why) in
        [(ANSWER_WITHOUT_H264, None, Some(NoPicture::Declined)), (GSTREAMERS_ANSWER, Some(Level::L3_1), None)]
    {
        let (peer, _, _events) = Peer::offer(&loopback()).await.unwrap();
        peer.accept_answer(&wire(answer)).await.unwrap();
        assert_eq!((peer.pictures(), peer.no_picture()), (pictures, why));
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_no_equipment_for_is_declined_and_not_offered() {
    let all = Equipment::default();
    let without = [
        (Equipment { camera: false, ..all }, "a=sendrecv", "a=inactive"),
        (Equipment { microphone: false, ..all }, "a=recvonly", "a=sendonly"),
        (Equipment { speaker: false, ..all }, "a=sendonly", "a=sendonly"),
        (Equipment { microphone: false, speaker: false, ..all }, "a=inactive", "a=sendonly"),
    ];
    for (equipment, audio, video) in without {
        let settings = PeerSettings { equipment, ..loopback() };
        let (peer, answer, _events) = Peer::answer(&settings, &wire(CHROMIUM)).await.unwrap();
        for (kind, wanted) in [("audio", audio), ("video", video)] {
            assert!(section(&answer, kind).contains(wanted), "{equipment:?}: {answer}");
        }
        peer.close().await;

        let (peer, offer, _events) = Peer::offer(&settings).await.unwrap();
        for (kind, wanted) in [("audio", audio), ("video", video)] {
            let section = section(&offer, kind);
            assert!(if wanted == "a=inactive" { section.is_empty() } else { section.contains(wanted) }, "{offer}");
        }
        peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_offer_is_an_error_that_says_why() {
    let nothing = CHROMIUM.replace("opus", "speex").replace("H264", "H265");
    for (offer, told) in [
        (String::new(), "v=0"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(), "no audio"),
        (wire(GSTREAMER), "BUNDLE is required"),
        (nothing, "Opus"),
    ] {
        let error = Peer::answer(&loopback(), &offer).await.err().expect("an error");
        assert!(matches!(error, PeerError::Sdp(_)) && error.to_string().contains(told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_broken_offer_gets_further_than_an_error() {
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let breaks = (0_usize..5, proptest::collection::vec((0_usize..7, 0_usize..10_000, 0_usize..10_000), 1..4));
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..BROKEN {
        let (which, steps) = breaks.new_tree(&mut runner).unwrap().current();
        let mut lines: Vec<String> =
            [CHROMIUM, FIREFOX, SAFARI, AIORTC, LIBDATACHANNEL][which].lines().map(str::to_owned).collect();
        for (how, at, other) in steps {
            break_one(&mut lines, how, at, other);
        }
        let offer = lines.join("\r\n") + "\r\n";
        match tokio::time::timeout(PATIENCE, Peer::answer(&loopback(), &offer)).await.expect("a verdict") {
            Ok((peer, _, _events)) => {
                answered += 1;
                peer.close().await;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{answered} answered, {refused} refused");
    assert!(answered > BROKEN / 10 && refused > BROKEN / 10, "{answered} answered, {refused} refused");
    let (peer, _, _events) = Peer::answer(&loopback(), &wire(CHROMIUM)).await.unwrap();
    peer.close().await;
}

/// What a line of an offer may turn into on a bad day.
const ODD: &[&str] = &[
    "a=rtpmap:",
    "a=rtpmap:96",
    "a=rtpmap:x H264/90000",
    "a=rtpmap:106 H264",
    "a=rtpmap:106 /",
    "a=fmtp:106",
    "a=fmtp:106 profile-level-id=é",
    "a=fmtp:106 profile-level-id=4",
    "a=fmtp:97 apt=",
    "a=fmtp:97 apt=999",
    "a=ssrc:",
    "a=ssrc:-1 cname:x",
    "a=ssrc:1 msid:",
    "a=ssrc-group:",
    "a=ssrc-group:FID",
    "a=ssrc-group:FID 1 2 3",
    "a=extmap:",
    "a=extmap:0 urn:x",
    "a=extmap:99999 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:4/both x y z",
    "a=mid:",
    "a=mid:0",
    "a=mid:é",
    "a=group:BUNDLE",
    "a=group:",
    "a=msid:",
    "a=msid: x",
    "a=setup:",
    "a=setup:passive",
    "a=setup:holdconn",
    "a=fingerprint:",
    "a=fingerprint:sha-256",
    "a=fingerprint:sha-256 zz",
    "a=fingerprint:md5 00",
    "a=ice-ufrag:",
    "a=ice-pwd:x",
    "a=ice-lite",
    "a=ice-options:",
    "a=candidate:",
    "a=candidate:1 1 udp",
    "a=candidate:1 1 udp 99999999999 127.0.0.1 9 typ host",
    "a=candidate:1 1 udp 1 é 9 typ host",
    "a=candidate:1 1 udp 1 127.0.0.1 99999 typ host",
    "a=candidate:1 1 udp 1 127.0.0.1 9 typ",
    "a=sctp-port:",
    "a=sctp-port:99999",
    "a=max-message-size:-1",
    "a=rtcp-fb:",
    "a=rtcp-fb:* nack",
    "a=rtcp-fb:106",
    "a=sendrecv:x",
    "a=inactive",
    "a=bundle-only",
    "m=audio",
    "m=audio 9",
    "m=video x UDP/TLS/RTP/SAVPF 96",
    "m=video 9 RTP/AVP",
    "m=video 9/0 UDP/TLS/RTP/SAVPF 300",
    "m=application 9 UDP/DTLS/SCTP",
    "c=",
    "c=IN IP4",
    "c=IN IP6 é/1/2",
    "t=",
    "t=x y",
    "o=",
    "o=- 1",
    "s=",
    "b=",
    "b=AS:x",
    "k=clear:x",
    "z=1 2",
    "r=1",
    "v=1",
    "a=",
    "x=y",
    "",
];

fn break_one(lines: &mut Vec<String>, how: usize, at: usize, other: usize) {
    if lines.is_empty() {
        return;
    }
    let (at, length) = (at % lines.len(), lines.len());
    match how {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other % length, lines[at].clone()),
        2 => lines.swap(at, other % length),
        3 => lines[at] = ODD[other % ODD.len()].to_owned(),
        4 => lines.insert(at, ODD[other % ODD.len()].to_owned()),
        5 => lines.truncate(at + 1),
        _ => {
            let line = lines[at].clone();
            let middle = other % (line.len() + 1);
            lines[at] = line.get(..middle).unwrap_or_default().to_owned();
        }
    }
}
