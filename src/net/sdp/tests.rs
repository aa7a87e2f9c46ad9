//! Other people's descriptions, whole, odd and broken, and our answers to them.

use proptest::prelude::*;

use super::*;
use crate::logic::picture::level::Level;

pub(crate) const CHROMIUM: &str = include_str!("../peer/tests/offers/chromium.sdp");
pub(crate) const FIREFOX: &str = include_str!("../peer/tests/offers/firefox.sdp");
pub(crate) const SAFARI: &str = include_str!("../peer/tests/offers/safari.sdp");
pub(crate) const AIORTC: &str = include_str!("../peer/tests/offers/aiortc.sdp");
pub(crate) const LIBDATACHANNEL: &str = include_str!("../peer/tests/offers/libdatachannel.sdp");
pub(crate) const PION: &str = include_str!("../peer/tests/offers/pion.sdp");
pub(crate) const GSTREAMER: &str = include_str!("../peer/tests/offers/gstreamer.sdp");
pub(crate) const WITHOUT_H264: &str = include_str!("../peer/tests/offers/libwebrtc-without-h264.sdp");
pub(crate) const GSTREAMERS_ANSWER: &str = include_str!("../peer/tests/answers/gstreamer.sdp");
pub(crate) const ANSWER_WITHOUT_H264: &str = include_str!("../peer/tests/answers/libwebrtc-without-h264.sdp");

const OFFERS: [&str; 8] = [CHROMIUM, FIREFOX, SAFARI, AIORTC, LIBDATACHANNEL, PION, GSTREAMER, WITHOUT_H264];

fn local() -> Local<'static> {
    Local {
        origin: "- 1 1 IN IP4 0.0.0.0",
        ufrag: "ufrag",
        password: "password",
        fingerprint: "00",
        setup: Setup::Active,
        candidates: vec!["candidate:1 1 udp 1 192.0.2.9 9 typ host".to_owned()],
        voice_ssrc: 1,
        video_ssrc: 2,
        max_message_size: 65_536,
    }
}

fn terms(sdp: &str) -> Result<Terms, SdpError> {
    Terms::of(&Description::read(sdp)?, Kind::Offer, Equipment::default())
}

/// Each section of our answer: medium, 9 or 0, format, direction; and what is bundled.
fn answered(offer: &str) -> Vec<String> {
    let description = Description::read(offer).unwrap();
    let terms = Terms::of(&description, Kind::Offer, Equipment::default()).unwrap();
    let answer = super::answer(&description, &terms, &local());
    let ours = Description::read(&answer).unwrap();
    assert_eq!(ours.sections.len(), description.sections.len(), "{answer}");
    let mids = |read: &Description<'_>| read.sections.iter().map(|s| s.mid.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(mids(&ours), mids(&description));
    for section in ours.sections.iter().filter(|section| ours.bundle.is_some() && !section.rejected) {
        assert!(ours.is_bundled(section), "{answer}");
    }
    for section in ours.sections.iter().filter(|section| section.rejected) {
        assert!(!ours.is_bundled(section), "{answer}");
    }
    let mut written = answer.split("\r\nm=");
    let session = written.next().unwrap_or_default();
    assert!(
        session.contains("\r\na=ice-ufrag:ufrag\r\n") && session.contains("\r\na=fingerprint:sha-256 "),
        "{answer}"
    );
    for declined in written.filter(|section| section.split(' ').nth(1) == Some("0")) {
        assert!(!declined.contains("a=ice-") && !declined.contains("a=fingerprint"), "{declined}");
        assert!(declined.lines().any(|line| line == "a=setup:active"), "{declined}");
    }
    let direction = |section: &Section<'_>| match (section.medium, section.sends, section.receives) {
        (Medium::Application | Medium::Other, ..) => "",
        (_, true, true) => " sendrecv",
        (_, true, false) => " sendonly",
        (_, false, true) => " recvonly",
        (_, false, false) => " inactive",
    };
    let describe = |section: &Section<'_>| match section.rejected {
        true => format!("{} 0", section.name),
        false => format!("{} {}{}", section.name, section.formats.join(" "), direction(section)),
    };
    ours.sections.iter().map(describe).collect()
}

/// A description with these lines in place of the only one that starts with the first of them.
fn with(offer: &str, old: &str, new: &str) -> String {
    assert!(offer.contains(old), "{old}");
    offer.replace(old, new)
}

#[test]
fn every_client_gets_what_it_can_take() {
    let data = "application webrtc-datachannel";
    for (offer, expected) in [
        (CHROMIUM, vec!["audio 111 sendrecv", "video 106 sendonly", data]),
        (FIREFOX, vec!["audio 109 sendrecv", "video 126 sendonly", data]),
        (SAFARI, vec!["audio 111 sendrecv", "video 98 sendonly"]),
        (AIORTC, vec!["audio 96 sendrecv", "video 101 sendonly", data]),
        (LIBDATACHANNEL, vec!["audio 111 sendrecv", "video 102 sendonly", data]),
        (PION, vec!["audio 111 sendrecv", "video 106 sendonly"]),
        (WITHOUT_H264, vec!["audio 111 sendrecv", "video 0", data]),
    ] {
        assert_eq!((check(offer), check_first(offer)), (Ok(()), Ok(())));
        assert_eq!(check(&offer.replace('\n', "\r\n")), Ok(()));
        assert_eq!(answered(offer), expected);
    }
    let bundled = with(GSTREAMER, "a=ice-options:trickle\n", "a=group:BUNDLE video0 audio1\n");
    assert_eq!(answered(&bundled), ["video 96 sendonly", "audio 97 sendrecv"]);
    assert_eq!(terms(&bundled).unwrap().transport, Some(0));
}

#[test]
fn the_answer_keeps_to_what_was_offered() {
    let text = |offer: &str| {
        let description = Description::read(offer).unwrap();
        super::answer(&description, &terms(offer).unwrap(), &local())
    };
    let firefox = text(FIREFOX);
    for line in [
        "a=fmtp:126 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n",
        "a=rtcp-fb:126 nack pli\r\n",
        "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
        "a=ssrc:2 msid:callbox video\r\n",
        "a=group:BUNDLE 0 1 2\r\n",
        "a=setup:active\r\n",
    ] {
        assert!(firefox.contains(line), "{line}{firefox}");
    }
    assert!(!firefox.contains("transport-cc") && !firefox.contains("remb"), "{firefox}");
    assert_eq!(firefox.matches("a=candidate:").count(), 1, "one transport");
    let plain = text(LIBDATACHANNEL);
    assert!(!plain.contains("ccm fir") && !plain.contains("extmap") && !plain.contains("rsize"), "{plain}");
    assert!(plain.contains("profile-level-id=42c01f") && plain.contains("a=mid:picture\r\n"), "{plain}");
    assert!(text(&with(SAFARI, "a=sendrecv", "a=inactive")).contains("m=audio 9"), "on hold, not refused");
}

#[test]
fn rejected_sections_count_for_nothing() {
    let data = "application webrtc-datachannel";
    for rejected in [
        "m=video 0 UDP/TLS/RTP/SAVPF 98\na=mid:1\na=rtpmap:98 H264/90000\n",
        "m=video 0 UDP/TLS/RTP/SAVPF 98\n",
        "m=video 0 UDP/TLS/RTP/SAVPF 0\na=inactive\n",
        "m=video 0 UDP/TLS/RTP/SAVPF 98\na=mid:1\na=sendrecv\na=ice-ufrag:another\na=ice-pwd:anothers\na=rtpmap:98 H264/90000\n",
    ] {
        let audio = SAFARI.split("m=video").next().unwrap();
        let (offer, first) = (format!("{audio}{rejected}"), format!("v=0\na=group:BUNDLE 0\n{rejected}"));
        assert_eq!(answered(&offer), ["audio 111 sendrecv", "video 0"]);
        let first = first + audio.split_once("m=audio").map(|(_, audio)| format!("m=audio{audio}")).unwrap().as_str();
        assert_eq!(answered(&first), ["video 0", "audio 111 sendrecv"]);
        let description = Description::read(&first).unwrap();
        let terms = Terms::of(&description, Kind::Offer, Equipment::default()).unwrap();
        assert_eq!((terms.transport, Remote::of(&description, &terms).unwrap().ufrag), (Some(1), "Vq3L".to_owned()));
    }
    // Port 0 is no refusal where another section's port is meant.
    let shared = CHROMIUM.replacen("m=video 9", "m=video 0", 1).replacen("a=mid:1\n", "a=mid:1\na=bundle-only\n", 1);
    assert_eq!(answered(&shared), ["audio 111 sendrecv", "video 106 sendonly", data]);
}

#[test]
fn answers_with_less_than_we_offered_are_understood() {
    let accepted = |answer: &str| {
        let description = Description::read(answer).unwrap();
        Terms::of(&description, Kind::Answer, Equipment::default()).unwrap()
    };
    let sound_only = accepted(ANSWER_WITHOUT_H264);
    assert_eq!((sound_only.pictures(), sound_only.no_picture()), (None, Some(NoPicture::Declined)));
    assert!(sound_only.voice.as_ref().is_some_and(|voice| voice.sends && voice.receives) && sound_only.data == Some(2));
    let remote = Remote::of(&Description::read(ANSWER_WITHOUT_H264).unwrap(), &sound_only).unwrap();
    assert_eq!(remote.ufrag, "Zp0s");

    let whole = accepted(GSTREAMERS_ANSWER);
    assert_eq!(whole.pictures().map(|format| (format.payload_type, format.level)), Some((102, Level::L3_1)));
    let voice = whole.voice.unwrap();
    assert!(voice.sends && !voice.receives);
    let bare = with(GSTREAMERS_ANSWER, "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1\n", "");
    assert!(accepted(&bare).pictures().is_some());
    let apart = with(GSTREAMERS_ANSWER, "a=group:BUNDLE 0 1 2\n", "");
    let apart = Description::read(&apart).unwrap();
    assert_eq!(Terms::of(&apart, Kind::Answer, Equipment::default()), Err(SdpError::NoBundle));
}

#[test]
fn one_section_needs_no_group_and_several_do() {
    assert_eq!(check(GSTREAMER), Err(SdpError::NoBundle));
    assert!(SdpError::NoBundle.to_string().contains("BUNDLE is required"));
    let (head, audio) = GSTREAMER.split_once("m=audio").unwrap();
    let (session, video) = head.split_once("m=video").unwrap();
    assert_eq!(answered(&format!("{session}m=audio{audio}")), ["audio 97 sendrecv"]);
    assert_eq!(answered(&format!("{session}m=video{video}")), ["video 96 sendonly"]);
    let without = |mid: &str| with(&format!("{session}m=audio{audio}"), "a=mid:audio1\n", mid);
    assert_eq!(answered(&without("")), ["audio 97 sendrecv"]);

    // What could not be used anyway, and the data channel, are no reason to refuse the rest.
    let vp8 = with(GSTREAMER, "H264/90000", "VP8/90000");
    assert_eq!(answered(&vp8), ["video 0", "audio 97 sendrecv"]);
    assert_eq!(terms(&vp8).unwrap().no_picture(), Some(NoPicture::NoH264));
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\na=ice-ufrag:xxxx\na=ice-pwd:yyyy\n";
    assert_eq!(answered(&format!("{session}m=audio{audio}{data}")), ["audio 97 sendrecv", "application 0"]);
    // A group that leaves one out is a wish to have it elsewhere.
    let partly = with(CHROMIUM, "BUNDLE 0 1 2", "BUNDLE 0 2");
    assert_eq!(answered(&partly), ["audio 111 sendrecv", "video 0", "application webrtc-datachannel"]);
    assert_eq!(terms(&partly).unwrap().no_picture(), Some(NoPicture::NotBundled));
    let foreign = partly.replace("H264/90000", "H265/90000");
    assert_eq!(
        terms(&foreign).unwrap().no_picture(),
        Some(NoPicture::NoH264),
        "it would be of no use in the group either"
    );
    let alone = with(CHROMIUM, "BUNDLE 0 1 2", "BUNDLE 0");
    assert_eq!(answered(&alone), ["audio 111 sendrecv", "video 0", "application 0"]);
    assert_eq!(terms(&alone).unwrap().no_picture(), Some(NoPicture::NotBundled));
    for group in ["BUNDLE 1 2", "BUNDLE 2", "BUNDLE"] {
        assert_eq!(check(&with(CHROMIUM, "BUNDLE 0 1 2", group)), Err(SdpError::NoBundle), "{group}");
    }
    let data_only = format!("{session}a=group:BUNDLE d\nm=audio{audio}{data}");
    assert_eq!(answered(&data_only), ["audio 97 sendrecv", "application 0"]);
}

#[test]
fn sections_come_and_go() {
    let data = "application webrtc-datachannel";
    let hold = FIREFOX.replace("a=recvonly", "a=inactive");
    assert_eq!(answered(&hold), ["audio 109 sendrecv", "video 126 inactive", data]);
    assert_eq!(terms(&hold).unwrap().pictures(), None);
    let stopped = with(FIREFOX, "m=video 9", "m=video 0").replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    assert_eq!(answered(&stopped), ["audio 109 sendrecv", "video 0", data]);
    let (_, video) = FIREFOX.split_once("m=video").unwrap();
    let video = video.split("m=application").next().unwrap().replace("a=mid:1", "a=mid:7");
    let added = format!("{}m=video{video}", stopped.replace("BUNDLE 0 2", "BUNDLE 0 2 7"));
    assert_eq!(answered(&added), ["audio 109 sendrecv", "video 0", data, "video 126 sendonly"]);
    // Beside one on hold, the one that is to carry something.
    let beside = format!("{}m=video{video}", hold.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 7"));
    assert_eq!(answered(&beside), ["audio 109 sendrecv", "video 0", data, "video 126 sendonly"]);
    for (direction, ours) in [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")] {
        let one_way = SAFARI.replacen("a=sendrecv", &format!("a={direction}"), 1);
        assert_eq!(answered(&one_way)[0], format!("audio 111 {ours}"));
    }
    let nothing = stopped.replace("m=audio 9", "m=audio 0").replace("m=application 9", "m=application 0");
    assert_eq!(check(&nothing), Ok(()), "all of it may be taken away");
    assert_eq!(check_first(&nothing), Err(SdpError::NothingInCommon), "but no call begins so");
    assert_eq!(answered(&nothing), ["audio 0", "video 0", "application 0"]);
}

#[test]
fn the_session_s_direction_counts_where_a_section_has_none() {
    let of = |lines: &str| {
        let sdp = format!("v=0\na=inactive\nm=audio {lines}\nm=video 9 x y\na=sendonly\n");
        Description::read(&sdp).unwrap().sections.first().map(|section| (section.sends, section.receives))
    };
    assert_eq!(of("9 x 1"), Some((false, false)));
    assert_eq!(of("9 x 1\na=recvonly"), Some((false, true)));
    assert_eq!(of("0 x 1\na=sendrecv"), Some((false, false)));
    assert_eq!(of("0 x 1\na=sendrecv\na=bundle-only"), Some((true, true)));
}

#[test]
fn what_is_not_needed_is_left_out_however_odd() {
    let zone = "a=candidate:2441 1 udp 659136 fe80::54a9:d238:b2ee:ceb%21 60720 typ host generation 0\n";
    let simulcast = "a=rid:hi send\na=rid:é\na=simulcast:send hi;lo\n";
    let odd = "a=candidate:\na=rtpmap:x\na=rtcp-fb:\na=ssrc:-1 x\na=ssrc-group:\na=extmap:0\na=fingerprint:md5 00\na=setup:x\n\
               a=sctp-port:99999\na=\nb=\nk=x\nz=\na=unheard-of:é\n";
    let many = "a=candidate:1 1 udp 1 192.0.2.5 9 typ host\n".repeat(200) + &"a=ssrc:9 cname:x\n".repeat(200);
    for more in [zone, simulcast, odd, &many] {
        let (head, tail) = SAFARI.split_once("a=mid:0\n").unwrap();
        assert_eq!(
            answered(&format!("{head}{more}a=mid:0\n{tail}")),
            ["audio 111 sendrecv", "video 98 sendonly"],
            "{more}"
        );
    }
    for (end, replaced) in [("\n", "\n"), ("\r\n\r\n", "\r\n"), ("", "\r\n \r\nA=b\r\nwords\r\n\r\n")] {
        let offer = format!("{}{end}", SAFARI.replace('\n', replaced));
        assert_eq!(answered(&offer), ["audio 111 sendrecv", "video 98 sendonly"], "{offer}");
    }
    let text = "m=text 9 RTP/AVP 98\na=mid:5\nm=application 9 TCP/BFCP *\na=mid:6\n";
    let another = "m=audio 9 UDP/TLS/RTP/SAVPF 8\na=mid:7\na=rtpmap:8 PCMA/8000\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:8\na=rtpmap:111 opus/48000/2\n";
    let more = format!("{}{text}{another}", with(SAFARI, "BUNDLE 0 1", "BUNDLE 0 1 5 6 7 8"));
    let rest = ["audio 111 sendrecv", "video 98 sendonly", "text 0", "application 0", "audio 0", "audio 0"];
    assert_eq!(answered(&more), rest);
}

#[test]
fn the_voice_of_other_sections_is_known_by_its_marks() {
    let of = |offer: &str| terms(offer).unwrap().voice.unwrap().marks;
    assert_eq!(of(FIREFOX), Marks { mid: Some((3, "0".to_owned())), foreign: vec![998_877_665] });
    assert_eq!(of(LIBDATACHANNEL), Marks::default());
}

#[test]
fn tells_sessions_apart() {
    assert_eq!(session_id(CHROMIUM), Some("5731904462218730145"));
    assert_eq!(session_id(FIREFOX), Some("7120934466120983312"));
    assert_eq!(session_version("v=0\r\no=- 5731904462218730145 7 IN IP4 127.0.0.1\r\n"), Some(7));
    assert_eq!(session_version("v=0\r\no=- 1 latest IN IP4 127.0.0.1\r\n"), None);
    for none in ["", "v=0", "o=", "o=-", "o=- ", "a=o=- 1 1"] {
        assert_eq!(session_id(none), None, "{none}");
    }
}

#[test]
fn refuses_with_the_reason() {
    let more = |lines: &str| check(&format!("{SAFARI}{lines}\n"));
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\n";
    assert_eq!(more(section.repeat(98).trim()), Err(SdpError::TooManySections));
    assert_eq!(more("m=video 9 UDP/TLS/RTP/SAVPF"), Err(SdpError::BadLine(80)));
    assert_eq!(more("m=video é UDP/TLS/RTP/SAVPF 96"), Err(SdpError::BadLine(80)));
    assert_eq!(more("m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:0"), Err(SdpError::SameMid));
    assert_eq!(more(&"a=x\n".repeat(MAX_MESSAGE_BYTES / 4)), Err(SdpError::TooLong(SAFARI.len() + 65_537)));
    assert_eq!(check(""), Err(SdpError::NotSdp));
    assert_eq!(check("v=1\n"), Err(SdpError::NotSdp));
    assert_eq!(check("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"), Err(SdpError::NoMedia));
    for (name, missing) in [("ice-ufrag", "ice-ufrag"), ("ice-pwd", "ice-pwd"), ("fingerprint", "fingerprint:sha-256")]
    {
        let without = SAFARI.replace(&format!("a={name}:"), "a=x:");
        assert_eq!(check(&without), Err(SdpError::Missing(missing)));
    }
    let foreign = with(SAFARI, "opus/48000", "PCMU/8000").replace("H264/90000", "VP8/90000");
    assert_eq!((check(&foreign), check_first(&foreign)), (Ok(()), Err(SdpError::NothingInCommon)));
    let silent = with(SAFARI, "opus/48000", "PCMU/8000");
    assert_eq!(check_first(&silent), Ok(()), "a picture is something");
    assert_eq!(check(&SAFARI.replace("sha-256", "sha-1")), Err(SdpError::Missing("fingerprint:sha-256")));
}

#[test]
fn our_offer_names_what_there_is() {
    let offered = |equipment| {
        let text = super::offer(equipment, &Local { setup: Setup::ActPass, ..local() });
        let read = Description::read(&text).unwrap();
        assert_eq!(check(&text.replace("sha-256 00", &format!("sha-256 {}00", "00:".repeat(31)))), Ok(()), "{text}");
        assert_eq!(read.bundle.as_ref().map(Vec::len), Some(read.sections.len()));
        read.sections.iter().map(|s| (s.medium, s.sends, s.receives)).collect::<Vec<_>>()
    };
    let all = Equipment::default();
    let data = (Medium::Application, true, true);
    assert_eq!(offered(all), [(Medium::Audio, true, true), (Medium::Video, true, false), data]);
    let blind = Equipment { camera: false, speaker: false, ..all };
    assert_eq!(offered(blind), [(Medium::Audio, true, false), data]);
    let dumb = Equipment { microphone: false, speaker: false, ..all };
    assert_eq!(offered(dumb), [(Medium::Video, true, false), data]);
}

proptest! {
    #[test]
    fn any_text_gets_a_verdict(text in r"(v=0\r?\n)?([a-z]=(audio|mid:|rtpmap:|fmtp:|candidate)?[^\n]{0,20}\r?\n|\PC{0,9})*") {
        let _ = (check(&text), session_id(&text), usable(&text));
    }

    #[test]
    fn whatever_is_inserted_into_an_offer(
        which in 0_usize..8, at in 0_usize..6000, what in r"\PC{0,12}|\r|\n|\r\nm=|a=mid:|a=ssrc:1 x\n",
    ) {
        let mut offer = OFFERS[which].to_owned();
        let mut at = at.min(offer.len());
        while !offer.is_char_boundary(at) {
            at -= 1;
        }
        offer.insert_str(at, &what);
        if let Ok(description) = Description::read(&offer)
            && let Ok(terms) = Terms::of(&description, Kind::Offer, Equipment::default())
        {
            let answer = super::answer(&description, &terms, &local());
            let ours = Description::read(&answer);
            prop_assert_eq!(ours.map(|ours| ours.sections.len()), Ok(description.sections.len()));
        }
    }
}
