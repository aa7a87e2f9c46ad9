//! What a session description (RFC 8866) has to look like before it reaches the parser of the WebRTC stack, and the few
//! facts that calls are told apart and answered by. Pure and total: any text gives a verdict, none a panic.

use crate::protocol::{MAX_CANDIDATES, MAX_MESSAGE_BYTES};

/// Most sections of audio and video together; an intercom's call has one of each.
pub const MAX_MEDIA_SECTIONS: usize = 2;

/// Why a description is refused. The text is for the person at the other end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the description has {0} bytes, at most {MAX_MESSAGE_BYTES} are read")]
    TooLong(usize),
    #[error("the description does not start with v=0")]
    NotSdp,
    #[error("line {0} of the description is not of the form x=...")]
    BadLine(usize),
    #[error("the description has no audio and no video section")]
    NoMedia,
    #[error("the description has {0} audio and video sections, at most {MAX_MEDIA_SECTIONS} are taken")]
    TooManySections(usize),
    #[error("the description has more than one data channel section")]
    TooManyDataSections,
    #[error("a section of {0:?} is not understood: audio, video and application are")]
    UnknownSection(String),
    #[error("section {0} has no a=mid")]
    NoMid(usize),
    #[error("simulcast (a=rid, a=simulcast) is not supported")]
    Simulcast,
    #[error("the description has more than {MAX_CANDIDATES} candidates")]
    TooManyCandidates,
    #[error("the description has no a={0}, which a WebRTC call cannot be without")]
    Missing(&'static str),
}

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Audio,
    Video,
    /// Data channels.
    Application,
}

/// One `m=` section of a description, as far as answering needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    pub kind: Medium,
    pub mid: &'a str,
    /// Its writer will send.
    pub sends: bool,
    /// Its writer will receive.
    pub receives: bool,
    /// It names Opus (audio), or H.264 in constrained baseline profile with packetization-mode 1 (video).
    pub has_our_codec: bool,
}

/// Checks limits and form. Whoever passes may still be refused by the parser, but neither bloats nor breaks it.
pub fn check(sdp: &str) -> Result<(), SdpError> {
    if sdp.len() > MAX_MESSAGE_BYTES {
        return Err(SdpError::TooLong(sdp.len()));
    }
    if lines(sdp).next() != Some("v=0") {
        return Err(SdpError::NotSdp);
    }
    let (mut media, mut data, mut candidates) = (0, 0, 0);
    for (number, line) in lines(sdp).enumerate() {
        let mut characters = line.chars();
        if !characters.next().is_some_and(|c| c.is_ascii_lowercase()) || characters.next() != Some('=') {
            return Err(SdpError::BadLine(number + 1));
        }
        if let Some(section) = line.strip_prefix("m=") {
            match section_kind(section) {
                Ok(Medium::Audio | Medium::Video) => media += 1,
                Ok(Medium::Application) => data += 1,
                Err(name) => return Err(SdpError::UnknownSection(name.chars().take(20).collect())),
            }
        }
        match attribute(line) {
            Some(("rid" | "simulcast", _)) => return Err(SdpError::Simulcast),
            Some(("candidate", _)) => candidates += 1,
            Some(_) | None => {}
        }
    }
    match (media, data) {
        (0, _) => return Err(SdpError::NoMedia),
        (media, _) if media > MAX_MEDIA_SECTIONS => return Err(SdpError::TooManySections(media)),
        (_, data) if data > 1 => return Err(SdpError::TooManyDataSections),
        (_, _) => {}
    }
    if candidates > MAX_CANDIDATES {
        return Err(SdpError::TooManyCandidates);
    }
    for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        if !lines(sdp).filter_map(attribute).any(|(key, value)| key == name && !value.is_empty()) {
            return Err(SdpError::Missing(name));
        }
    }
    match sections(sdp).iter().position(|section| section.mid.is_empty()) {
        Some(index) => Err(SdpError::NoMid(index)),
        None => Ok(()),
    }
}

/// The session's name in the `o=` line: a further offer with the same one belongs to the same call, another one starts
/// a new call (RFC 8866, section 5.2: user name, ID, network and address type and address; not the version).
pub fn session_id(sdp: &str) -> Option<&str> {
    lines(sdp).find_map(|line| line.strip_prefix("o=")?.split(' ').nth(1)).filter(|id| !id.is_empty())
}

/// The version in the `o=` line, which grows with each description of a session.
pub fn session_version(sdp: &str) -> Option<u64> {
    lines(sdp).find_map(|line| line.strip_prefix("o=")?.split(' ').nth(2))?.parse().ok()
}

/// The sections in order; those of kinds that [`check`] refuses are left out.
pub fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut session_direction = None;
    let starts = lines(sdp).enumerate().filter(|(_, line)| line.starts_with("m=")).map(|(index, _)| index);
    let starts: Vec<usize> = starts.collect();
    let all: Vec<&str> = lines(sdp).collect();
    for line in all.iter().take(starts.first().copied().unwrap_or(all.len())) {
        session_direction = direction(line).or(session_direction);
    }
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(all.len());
        let Some((first, body)) = all.get(*start..end).and_then(<[&str]>::split_first) else { continue };
        let Ok(kind) = section_kind(first.trim_start_matches("m=")) else { continue };
        let mid = body.iter().filter_map(|line| attribute(line)).find(|(key, _)| *key == "mid");
        let (sends, receives) = match body.iter().find_map(|line| direction(line)).or(session_direction) {
            _ if is_rejected(first, body) => (false, false),
            Some(both) => both,
            None => (true, true),
        };
        sections.push(Section {
            kind,
            mid: mid.map_or("", |(_, value)| value),
            sends,
            receives,
            has_our_codec: match kind {
                Medium::Audio => payload_types(body, "opus/48000").next().is_some(),
                Medium::Video => payload_types(body, "h264/90000").any(|payload| is_our_h264(body, payload)),
                Medium::Application => false,
            },
        });
    }
    sections
}

/// The `profile-level-id` in an `a=fmtp` value (RFC 6184, section 8.1): six hexadecimal digits.
pub fn profile_level_id(fmtp: &str) -> Option<&str> {
    parameter(fmtp, "profile-level-id").filter(|id| id.len() == 6 && id.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Lines end in CRLF, or in LF from lenient writers.
fn lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.strip_suffix('\n').unwrap_or(sdp).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// `a=key:value`, or `a=key` with an empty value.
fn attribute(line: &str) -> Option<(&str, &str)> {
    let attribute = line.strip_prefix("a=")?;
    Some(attribute.split_once(':').unwrap_or((attribute, "")))
}

fn section_kind(section: &str) -> Result<Medium, &str> {
    match section.split(' ').next().unwrap_or_default() {
        "audio" => Ok(Medium::Audio),
        "video" => Ok(Medium::Video),
        "application" => Ok(Medium::Application),
        other => Err(other),
    }
}

/// Whether the writer (sends, receives).
fn direction(line: &str) -> Option<(bool, bool)> {
    match line {
        "a=sendrecv" => Some((true, true)),
        "a=sendonly" => Some((true, false)),
        "a=recvonly" => Some((false, true)),
        "a=inactive" => Some((false, false)),
        _ => None,
    }
}

/// Port 0 means refused, unless the section shares the port of another one (RFC 9143, section 6).
fn is_rejected(first: &str, body: &[&str]) -> bool {
    first.split(' ').nth(1) == Some("0") && !body.contains(&"a=bundle-only")
}

/// Payload types whose `a=rtpmap` names this codec (lower case, with the clock rate).
fn payload_types<'a>(body: &[&'a str], codec: &str) -> impl Iterator<Item = &'a str> {
    body.iter().filter_map(|line| attribute(line)).filter_map(move |(key, value)| {
        let (payload, map) = value.split_once(' ')?;
        (key == "rtpmap" && map.to_ascii_lowercase().starts_with(codec)).then_some(payload)
    })
}

/// Constrained baseline (profile 42, constraint set 1: `42e0`) with fragmentation (packetization-mode 1).
fn is_our_h264(body: &[&str], payload: &str) -> bool {
    body.iter().filter_map(|line| attribute(line)).any(|(key, value)| {
        let Some((of, fmtp)) = value.split_once(' ') else { return false };
        key == "fmtp"
            && of == payload
            && parameter(fmtp, "packetization-mode") == Some("1")
            && profile_level_id(fmtp).is_some_and(|id| id.to_ascii_lowercase().starts_with("42e0"))
    })
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHROMIUM: &str = include_str!("peer/tests/offers/chromium.sdp");
    const FIREFOX: &str = include_str!("peer/tests/offers/firefox.sdp");
    const SAFARI: &str = include_str!("peer/tests/offers/safari.sdp");

    #[test]
    fn takes_what_browsers_offer() {
        for offer in [CHROMIUM, FIREFOX, SAFARI] {
            assert_eq!(check(offer), Ok(()));
            assert_eq!(check(&offer.replace('\n', "\r\n")), Ok(()));
            let sections = sections(offer);
            let kinds: Vec<Medium> = sections.iter().map(|section| section.kind).collect();
            assert!([Medium::Audio, Medium::Video, Medium::Application].starts_with(&kinds), "{kinds:?}");
            assert!(sections.iter().take(2).all(|section| section.has_our_codec && section.receives));
        }
        let video = |offer| sections(offer)[1].clone();
        assert!(video(CHROMIUM).sends && !video(FIREFOX).sends && !video(SAFARI).sends);
        assert_eq!(video(SAFARI).mid, "1");
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
        let with = |lines: &str| check(&format!("{SAFARI}{lines}\n"));
        let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:9\n";
        let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:8\n";
        assert_eq!(with(&section.repeat(98)), Err(SdpError::BadLine(276)), "an empty line");
        assert_eq!(with(section.repeat(98).trim()), Err(SdpError::TooManySections(100)));
        assert_eq!(with(data.repeat(2).trim()), Err(SdpError::TooManyDataSections));
        assert_eq!(with("a=rid:1 recv"), Err(SdpError::Simulcast));
        assert_eq!(with("a=simulcast:send 1;2"), Err(SdpError::Simulcast));
        assert_eq!(with("a=candidate:x\n".repeat(51).trim()), Err(SdpError::TooManyCandidates));
        assert_eq!(with("m=text 9 x y"), Err(SdpError::UnknownSection("text".to_owned())));
        assert_eq!(with("A=b"), Err(SdpError::BadLine(80)));
        assert_eq!(with(&"a=x\n".repeat(MAX_MESSAGE_BYTES / 4)), Err(SdpError::TooLong(SAFARI.len() + 65_537)));
        assert_eq!(check(""), Err(SdpError::NotSdp));
        assert_eq!(check("v=1\n"), Err(SdpError::NotSdp));
        assert_eq!(check("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"), Err(SdpError::NoMedia));
        for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
            let without = SAFARI.replace(&format!("a={name}:"), "a=x:");
            assert_eq!(check(&without), Err(SdpError::Missing(name)));
        }
        assert_eq!(check(&SAFARI.replace("a=mid:1", "a=x")), Err(SdpError::NoMid(1)));
    }

    #[test]
    fn reads_directions_and_refusals() {
        let of = |lines: &str| {
            let sdp = format!("v=0\na=inactive\nm=audio {lines}\nm=video 9 x\na=sendonly\n");
            sections(&sdp).first().map(|section| (section.sends, section.receives))
        };
        assert_eq!(of("9 x 1"), Some((false, false)), "the session's direction");
        assert_eq!(of("9 x 1\na=recvonly"), Some((false, true)));
        assert_eq!(of("0 x 1\na=sendrecv"), Some((false, false)));
        assert_eq!(of("0 x 1\na=sendrecv\na=bundle-only"), Some((true, true)));
    }

    #[test]
    fn knows_our_h264() {
        let ours = |fmtp: &str| {
            let sdp = format!("m=video 9 x 96\na=rtpmap:96 H264/90000\na=fmtp:{fmtp}");
            sections(&sdp)[0].has_our_codec
        };
        assert!(ours("96 packetization-mode=1;profile-level-id=42E034"));
        assert!(ours("96 profile-level-id=42e01f; packetization-mode=1"));
        for other in ["97 packetization-mode=1;profile-level-id=42e01f", "96 profile-level-id=42e01f", "96", ""] {
            assert!(!ours(other), "{other}");
        }
        assert!(!ours("96 packetization-mode=1;profile-level-id=640c1f"));
        assert_eq!(profile_level_id("a=1;profile-level-id=42e01f"), Some("42e01f"));
        assert_eq!(profile_level_id("profile-level-id=42e0"), None);
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(text in r"(v=0\r?\n)?([a-z]=(audio|mid:|rtpmap:|fmtp:|candidate)?[^\n]{0,20}\r?\n|\PC{0,9})*") {
            let _ = (check(&text), session_id(&text), sections(&text), profile_level_id(&text));
        }

        #[test]
        fn whatever_is_inserted_into_an_offer(at in 0_usize..3000, what in r"\PC{0,12}|\r|\n|m=|a=mid:") {
            let mut offer = SAFARI.to_owned();
            let at = at.min(offer.len());
            offer.insert_str(at, &what);
            let _ = (check(&offer), session_id(&offer), sections(&offer));
        }
    }
}
