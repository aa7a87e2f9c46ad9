//! Which of the H.264 formats in a description takes our pictures (RFC 6184, section 8). The encoder writes constrained
//! baseline, the part of H.264 that decoders of all common profiles share.

use std::fmt;

use super::read::{Codec, Section};
use crate::logic::picture::level::Level;

/// The least level that is served. The encoder is held to the lowest level among those who watch, and below this one
/// nobody would see much.
pub const LEAST_LEVEL: Level = Level::L3;

/// What we offer: constrained baseline, level 3.1 (1280x720 at 30), in fragments.
pub const OFFERED: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// How pictures go to one other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureFormat {
    pub payload_type: u8,
    /// Most that the decoder takes.
    pub level: Level,
    /// The `a=fmtp` of an answer that takes this format; the profile is the offer's, as RFC 6184 wants it.
    pub parameters: String,
    /// The offer's `a=rtcp-fb` of it.
    pub feedback: Vec<String>,
}

/// Why another side that wants pictures gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPicture {
    /// No format of it is H.264 that our encoder writes.
    NoH264,
    /// It takes whole NAL units only, and ours are longer than packets.
    SingleNalUnits,
    /// It decodes less than [`LEAST_LEVEL`].
    LowLevel(Level),
    /// Its section is outside the group that shares the voice's transport.
    NotBundled,
    /// It said no to the pictures that we offered.
    Declined,
}

impl fmt::Display for NoPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPicture::NoH264 => f.write_str("the browser has no H.264"),
            NoPicture::SingleNalUnits => {
                f.write_str("the other side takes H.264 in single NAL units only (packetization-mode 0)")
            }
            NoPicture::LowLevel(level) => {
                write!(f, "the other side decodes H.264 up to level {level} only, and pictures need {LEAST_LEVEL}")
            }
            NoPicture::NotBundled => f.write_str(
                "the other side's a=group:BUNDLE leaves out the picture's section (bundle policy \"max-bundle\")",
            ),
            NoPicture::Declined => {
                f.write_str("the other side declined the picture; a browser without H.264 does that")
            }
        }
    }
}

/// What is presumed where a format does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presumed {
    /// Baseline, level 1, single NAL units (RFC 6184, section 8.1).
    ByTheStandard,
    /// In an answer: what we offered. Some clients leave out of it what is as we said.
    AsOffered,
}

/// The best of a section's formats: those in fragments of a sufficient level first, then by how close the profile is to
/// what is sent, then in the writer's order.
pub fn choose(section: &Section<'_>, presumed: Presumed) -> Result<PictureFormat, NoPicture> {
    let formats = section.codecs.iter().filter_map(|codec| Format::read(codec, presumed));
    let Some(best) = formats.min_by_key(|format| (!format.fragments, format.level < LEAST_LEVEL, format.distance))
    else {
        return Err(NoPicture::NoH264);
    };
    match best {
        Format { fragments: false, .. } => Err(NoPicture::SingleNalUnits),
        Format { level, .. } if level < LEAST_LEVEL => Err(NoPicture::LowLevel(level)),
        Format { codec, level, .. } => Ok(PictureFormat {
            payload_type: codec.payload_type,
            level,
            parameters: answer(codec.parameters.unwrap_or_default()),
            feedback: codec.feedback.iter().map(|kind| (*kind).to_owned()).collect(),
        }),
    }
}

/// One format that a constrained baseline stream suits.
struct Format<'a> {
    codec: &'a Codec<'a>,
    /// packetization-mode 1.
    fragments: bool,
    level: Level,
    /// Of the decoder's profile from what we send.
    distance: u8,
}

impl<'a> Format<'a> {
    fn read(codec: &'a Codec<'a>, presumed: Presumed) -> Option<Format<'a>> {
        if !codec.is("H264/90000") {
            return None;
        }
        let of = |name: &str| parameter(codec.parameters.unwrap_or_default(), name);
        let ours = |name: &str| if presumed == Presumed::AsOffered { parameter(OFFERED, name) } else { None };
        let profile = of("profile-level-id").or(ours("profile-level-id")).unwrap_or("42000a");
        let mode = of("packetization-mode").or(ours("packetization-mode")).unwrap_or("0");
        if mode != "0" && mode != "1" {
            return None;
        }
        let level = Level::from_profile_level_id(profile)?;
        Some(Format { codec, fragments: mode == "1", level, distance: distance(profile)? })
    }
}

/// How far a decoder's profile is from constrained baseline; `None`: it does not take it. A stream with what baseline and
/// main have in common suits all but the intra-only profiles (RFC 6184, table 5; H.264, annex A.2).
fn distance(profile_level_id: &str) -> Option<u8> {
    let [_, profile, constraints, _] = u32::from_str_radix(profile_level_id, 16).ok()?.to_be_bytes();
    let set = |bit: u8| constraints & (0x80 >> bit) != 0;
    match profile {
        66 if set(1) => Some(0),
        66 => Some(1),
        77 if set(0) => Some(0),
        88 if set(0) && set(1) => Some(0),
        77 | 88 => Some(2),
        100 => Some(3),
        110 | 122 | 244 if !set(3) => Some(4),
        _ => None,
    }
}

/// Profile and mode as they were offered. What the other side may do with what it receives from us is its own business,
/// so that nothing else is repeated.
fn answer(offered: &str) -> String {
    let names = ["level-asymmetry-allowed", "packetization-mode", "profile-level-id"];
    let said = names.iter().filter_map(|name| Some(format!("{name}={}", parameter(offered, name)?)));
    said.collect::<Vec<_>>().join(";")
}

/// A parameter of an `a=fmtp` value; names are case-insensitive (RFC 8866, section 6.15 leaves it to the format, whose
/// registration follows MIME).
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let pairs = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sdp::read::Description;

    /// The choice among formats given as `PAYLOAD PARAMETERS`.
    fn among(formats: &[&str], presumed: Presumed) -> Result<(u8, Level, String), NoPicture> {
        let numbers: Vec<&str> = formats.iter().filter_map(|format| format.split(' ').next()).collect();
        let mut sdp = format!("v=0\nm=video 9 UDP/TLS/RTP/SAVPF {}\n", numbers.join(" "));
        for format in formats {
            let (number, parameters) = format.split_once(' ').unwrap_or((format, ""));
            sdp += &format!("a=rtpmap:{number} h264/90000\n");
            if !parameters.is_empty() {
                sdp += &format!("a=fmtp:{number} {parameters}\n");
            }
        }
        let description = Description::read(&sdp).unwrap();
        choose(&description.sections[0], presumed).map(|found| (found.payload_type, found.level, found.parameters))
    }

    fn one(parameters: &str) -> Result<(u8, Level, String), NoPicture> {
        among(&[&format!("96 {parameters}")], Presumed::ByTheStandard)
    }

    #[test]
    fn every_decoder_of_constrained_baseline_is_served_under_its_own_profile() {
        for id in [
            "42e01f", "42E01F", "42c01f", "42801f", "42001f", "4d001f", "4d401f", "4d801f", "58c01f", "64001f",
            "640c1f", "7a001f",
        ] {
            let offered = format!("packetization-mode=1;profile-level-id={id}");
            assert_eq!(one(&offered), Ok((96, Level::L3_1, offered.clone())));
        }
        for id in ["6e101f", "2c101f", "f4101f", "53001f", "42e01x", "42e0"] {
            assert_eq!(one(&format!("packetization-mode=1;profile-level-id={id}")), Err(NoPicture::NoH264), "{id}");
        }
        let spaced = one("profile-level-id=42e034; Packetization-Mode=1 ; level-asymmetry-allowed=1");
        let answer = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034";
        assert_eq!(spaced, Ok((96, Level::L5_2, answer.to_owned())));
    }

    #[test]
    fn what_is_not_said_is_what_the_standard_presumes_or_what_we_offered() {
        assert_eq!(one(""), Err(NoPicture::SingleNalUnits));
        assert_eq!(one("packetization-mode=1"), Err(NoPicture::LowLevel(Level::L1)));
        assert_eq!(one("profile-level-id=42e01f"), Err(NoPicture::SingleNalUnits));
        assert_eq!(one("profile-level-id=42e01f;packetization-mode=2"), Err(NoPicture::NoH264));
        let answered = |format: &str| among(&[format], Presumed::AsOffered).map(|(number, level, _)| (number, level));
        for format in
            ["102", "102 level-asymmetry-allowed=1", "102 packetization-mode=1", "102 profile-level-id=42e01f"]
        {
            assert_eq!(answered(format), Ok((102, Level::L3_1)), "{format}");
        }
        assert_eq!(answered("102 packetization-mode=0"), Err(NoPicture::SingleNalUnits));
        assert_eq!(answered("102 profile-level-id=42e00d"), Err(NoPicture::LowLevel(Level::L1_3)));
    }

    #[test]
    fn the_best_of_several_is_taken() {
        let choice = |formats: &[&str]| among(formats, Presumed::ByTheStandard).map(|(number, ..)| number);
        let high = "96 packetization-mode=1;profile-level-id=640c1f";
        let ours = "98 packetization-mode=1;profile-level-id=42e01f";
        let low = "100 packetization-mode=1;profile-level-id=42e00d";
        let whole = "102 profile-level-id=42e01f";
        let main = "104 packetization-mode=1;profile-level-id=4d001f";
        assert_eq!(choice(&[high, whole, low, ours]), Ok(98));
        assert_eq!(choice(&[low, whole, high]), Ok(96), "a level that suffices before a profile that is closer");
        assert_eq!(choice(&[high, main]), Ok(104));
        assert_eq!(choice(&[whole, low]), Err(NoPicture::LowLevel(Level::L1_3)));
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(NoPicture::NoH264.to_string(), "the browser has no H.264");
        let low = NoPicture::LowLevel(Level::L1_3).to_string();
        assert!(low.contains("1.3") && low.contains("3.0"), "{low}");
    }
}
