//! Our own descriptions. They are written here and not by the WebRTC stack, so that each section of the other side gets
//! the answer that is meant for it, whatever has become of its fellows.

use std::fmt::Write;

use super::h264::OFFERED;
use super::read::{Description, Medium, Section, Setup};
use super::terms::{Equipment, Terms};

/// Audio and video share a stream name, so that browsers play them in sync.
pub const STREAM: &str = "callbox";
/// The payload types that we offer.
pub const OFFERED_VOICE: u8 = 111;
pub const OFFERED_VIDEO: u8 = 102;
pub const OPUS_FORMAT: &str = "minptime=10;useinbandfec=1";
/// Feedback that is acted on.
pub const VIDEO_FEEDBACK: [&str; 3] = ["nack", "nack pli", "ccm fir"];

/// What stands in each of our descriptions.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// What follows `o=`.
    pub origin: &'a str,
    pub ufrag: &'a str,
    pub password: &'a str,
    /// See [`super::Transport::fingerprint`].
    pub fingerprint: &'a str,
    pub setup: Setup,
    /// Those found so far, `candidate:...` each.
    pub candidates: Vec<String>,
    pub voice_ssrc: u32,
    pub video_ssrc: u32,
    pub max_message_size: u32,
}

/// The answer to an offer under these terms: each section in its place (RFC 3264, section 6).
pub fn answer(offer: &Description<'_>, terms: &Terms, local: &Local<'_>) -> String {
    let taken: Vec<&str> = match &offer.bundle {
        Some(group) => {
            let is_taken = |mid: &&&str| {
                let mut sections = offer.sections.iter().enumerate();
                sections.any(|(index, section)| section.mid == Some(**mid) && terms.takes(index))
            };
            group.iter().filter(is_taken).copied().collect()
        }
        None => Vec::new(),
    };
    let mut text = start(local, &taken);
    for (index, section) in offer.sections.iter().enumerate() {
        if !terms.takes(index) {
            decline(&mut text, section, local.setup);
            continue;
        }
        let first = terms.transport == Some(index);
        match (section.medium, &terms.voice, &terms.video) {
            (Medium::Audio, Some(voice), _) => {
                media_line(&mut text, section, &voice.payload_type.to_string());
                transport(&mut text, section.mid, local, first);
                stream(&mut text, voice.sends, voice.receives, "voice", local.voice_ssrc);
                rtcp(&mut text, section.rtcp_mux, section.rtcp_rsize);
                if let (true, Some((number, _))) = (voice.receives, &voice.marks.mid) {
                    line(&mut text, format_args!("a=extmap:{number} {}", super::read::MID_EXTENSION));
                }
                opus(&mut text, voice.payload_type);
            }
            (Medium::Video, _, Some(video)) => {
                let Ok(format) = &video.format else { continue };
                media_line(&mut text, section, &format.payload_type.to_string());
                transport(&mut text, section.mid, local, first);
                stream(&mut text, video.wanted, false, "video", local.video_ssrc);
                rtcp(&mut text, section.rtcp_mux, section.rtcp_rsize);
                let feedback = VIDEO_FEEDBACK.into_iter().filter(|kind| format.feedback.iter().any(|of| of == kind));
                h264(&mut text, format.payload_type, feedback, &format.parameters);
            }
            (Medium::Application, ..) => {
                media_line(&mut text, section, "webrtc-datachannel");
                transport(&mut text, section.mid, local, first);
                data(&mut text, local);
            }
            (Medium::Audio | Medium::Video | Medium::Other, ..) => {}
        }
    }
    text
}

/// Our offer: voice both ways and video from here, as far as there is equipment for it, and the data channel.
pub fn offer(equipment: Equipment, local: &Local<'_>) -> String {
    let Equipment { camera, microphone, speaker } = equipment;
    let kinds = [("audio", microphone || speaker), ("video", camera), ("application", true)];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect();
    let mids: Vec<String> = (0..kinds.len()).map(|index| index.to_string()).collect();
    let mut text = start(local, &mids.iter().map(String::as_str).collect::<Vec<_>>());
    for (index, (kind, mid)) in kinds.into_iter().zip(&mids).enumerate() {
        let (protocol, format) = match kind {
            "audio" => ("UDP/TLS/RTP/SAVPF", OFFERED_VOICE.to_string()),
            "video" => ("UDP/TLS/RTP/SAVPF", OFFERED_VIDEO.to_string()),
            _ => ("UDP/DTLS/SCTP", "webrtc-datachannel".to_owned()),
        };
        line(&mut text, format_args!("m={kind} 9 {protocol} {format}\r\nc=IN IP4 0.0.0.0"));
        transport(&mut text, Some(mid), local, index == 0);
        match kind {
            "audio" => {
                stream(&mut text, microphone, speaker, "voice", local.voice_ssrc);
                rtcp(&mut text, true, true);
                opus(&mut text, OFFERED_VOICE);
            }
            "video" => {
                stream(&mut text, true, false, "video", local.video_ssrc);
                rtcp(&mut text, true, true);
                h264(&mut text, OFFERED_VIDEO, VIDEO_FEEDBACK.into_iter(), OFFERED);
            }
            _ => data(&mut text, local),
        }
    }
    text
}

fn start(local: &Local<'_>, group: &[&str]) -> String {
    let mut text = String::with_capacity(2048);
    line(&mut text, format_args!("v=0\r\no={}\r\ns=-\r\nt=0 0", local.origin));
    if !group.is_empty() {
        line(&mut text, format_args!("a=group:BUNDLE {}", group.join(" ")));
    }
    line(&mut text, format_args!("a=msid-semantic: WMS {STREAM}"));
    // For the sections that say nothing, which are those declined: webrtcbin 1.22 misses it in them.
    reached(&mut text, local);
    text
}

/// Port 9 stands for an address that candidates give.
fn media_line(text: &mut String, section: &Section<'_>, format: &str) {
    line(text, format_args!("m={} 9 {} {format}\r\nc=IN IP4 0.0.0.0", section.name, section.protocol));
}

fn decline(text: &mut String, section: &Section<'_>, setup: Setup) {
    let format = section.formats.first().copied().unwrap_or("0");
    line(text, format_args!("m={} 0 {} {format}\r\nc=IN IP4 0.0.0.0", section.name, section.protocol));
    if let Some(mid) = section.mid {
        line(text, format_args!("a=mid:{mid}"));
    }
    if section.name == "audio" || section.name == "video" {
        line(text, format_args!("a=inactive"));
    }
    // No ICE lines: the session has them. But webrtcbin 1.22 looks for this one in each section.
    line(text, format_args!("a=setup:{}", setup_name(setup)));
}

fn transport(text: &mut String, mid: Option<&str>, local: &Local<'_>, first: bool) {
    if let Some(mid) = mid {
        line(text, format_args!("a=mid:{mid}"));
    }
    reached(text, local);
    for candidate in local.candidates.iter().filter(|_| first) {
        line(text, format_args!("a={candidate}"));
    }
}

fn reached(text: &mut String, local: &Local<'_>) {
    let setup = setup_name(local.setup);
    line(text, format_args!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle", local.ufrag, local.password));
    line(text, format_args!("a=fingerprint:sha-256 {}\r\na=setup:{setup}", local.fingerprint));
}

fn setup_name(setup: Setup) -> &'static str {
    match setup {
        Setup::Active => "active",
        Setup::Passive => "passive",
        Setup::ActPass => "actpass",
    }
}

fn stream(text: &mut String, sends: bool, receives: bool, name: &str, ssrc: u32) {
    let direction = match (sends, receives) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    };
    line(text, format_args!("a={direction}"));
    if sends {
        line(text, format_args!("a=msid:{STREAM} {name}\r\na=ssrc:{ssrc} cname:{STREAM}"));
        line(text, format_args!("a=ssrc:{ssrc} msid:{STREAM} {name}"));
    }
}

fn rtcp(text: &mut String, mux: bool, reduced_size: bool) {
    if mux {
        line(text, format_args!("a=rtcp-mux"));
    }
    if reduced_size {
        line(text, format_args!("a=rtcp-rsize"));
    }
}

fn opus(text: &mut String, payload_type: u8) {
    line(text, format_args!("a=rtpmap:{payload_type} opus/48000/2\r\na=fmtp:{payload_type} {OPUS_FORMAT}"));
}

fn h264<'a>(text: &mut String, payload_type: u8, feedback: impl Iterator<Item = &'a str>, parameters: &str) {
    line(text, format_args!("a=rtpmap:{payload_type} H264/90000"));
    for kind in feedback {
        line(text, format_args!("a=rtcp-fb:{payload_type} {kind}"));
    }
    if !parameters.is_empty() {
        line(text, format_args!("a=fmtp:{payload_type} {parameters}"));
    }
}

fn data(text: &mut String, local: &Local<'_>) {
    line(text, format_args!("a=sctp-port:5000\r\na=max-message-size:{}", local.max_message_size));
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = write!(text, "{what}\r\n");
}
