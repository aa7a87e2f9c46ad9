//! A session description taken apart (RFC 8866, RFC 9429). What a call does not need is left out, however odd; what it
//! cannot be without is looked for later, where it is known whether it is needed.

use super::{MAX_SECTIONS, SdpError};
use crate::protocol::{MAX_CANDIDATES, MAX_MESSAGE_BYTES};

/// Most SSRCs that are read of one section; an intercom's has two at most.
const MAX_SSRCS: usize = 16;
/// Most kinds of feedback that are read of one format.
const MAX_FEEDBACK: usize = 16;

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    Audio,
    Video,
    /// Data channels.
    Application,
    /// Nothing that a call uses; it is declined.
    Other,
}

/// A description as its writer meant it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description<'a> {
    /// What follows `o=`.
    pub origin: &'a str,
    /// The sections that share one transport (RFC 9143); `None` where no group of that kind is named.
    pub bundle: Option<Vec<&'a str>>,
    pub ice_lite: bool,
    pub sections: Vec<Section<'a>>,
}

/// One `m=` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    pub medium: Medium,
    /// The first, third and further fields of the `m=` line.
    pub name: &'a str,
    pub protocol: &'a str,
    pub formats: Vec<&'a str>,
    /// `None` where the writer names its sections by their order only.
    pub mid: Option<&'a str>,
    /// Port 0, and not because it shares another section's port (RFC 9143, section 6).
    pub rejected: bool,
    /// Its writer will send.
    pub sends: bool,
    /// Its writer will receive.
    pub receives: bool,
    pub transport: Transport<'a>,
    /// `candidate:...`
    pub candidates: Vec<&'a str>,
    /// Of audio and video, those with an `a=rtpmap`, in the writer's order of preference.
    pub codecs: Vec<Codec<'a>>,
    pub ssrcs: Vec<u32>,
    /// The number of the RTP header extension that names the section (RFC 9143, section 15).
    pub mid_extension: Option<u8>,
    pub rtcp_mux: bool,
    pub rtcp_rsize: bool,
    pub sctp_port: Option<u16>,
    pub max_message_size: Option<u32>,
}

/// How a section is reached; what is said for the whole session counts where the section says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport<'a> {
    pub ufrag: Option<&'a str>,
    pub password: Option<&'a str>,
    /// The bytes in hexadecimal of the certificate's SHA-256; other hash functions are left out.
    pub fingerprint: Option<&'a str>,
    pub setup: Option<Setup>,
}

/// Who opens DTLS (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    Active,
    Passive,
    /// Offers only: the other side chooses.
    ActPass,
}

/// One RTP format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec<'a> {
    pub payload_type: u8,
    /// The `a=rtpmap`: `H264/90000`.
    pub name: &'a str,
    /// The `a=fmtp`, if there is one.
    pub parameters: Option<&'a str>,
    /// Each `a=rtcp-fb`: `nack pli`.
    pub feedback: Vec<&'a str>,
}

impl Codec<'_> {
    /// Whether it is of this encoding and clock rate: `opus/48000`.
    pub fn is(&self, encoding: &str) -> bool {
        let mut parts = self.name.split('/');
        let mut wanted = encoding.split('/');
        [(); 2].iter().all(|()| match (parts.next(), wanted.next()) {
            (Some(part), Some(wanted)) => part.eq_ignore_ascii_case(wanted),
            (None, _) | (_, None) => false,
        })
    }
}

impl<'a> Description<'a> {
    /// Reads a description. Whatever comes out is bounded, and fit to be written again.
    pub fn read(sdp: &'a str) -> Result<Description<'a>, SdpError> {
        if sdp.len() > MAX_MESSAGE_BYTES {
            return Err(SdpError::TooLong(sdp.len()));
        }
        if lines(sdp).next() != Some("v=0") {
            return Err(SdpError::NotSdp);
        }
        let mut description = Description::default();
        let mut session = Lines::default();
        let mut reading: Option<(Section<'a>, Lines<'a>)> = None;
        for (number, line) in lines(sdp).enumerate() {
            // Some clients end in an empty line. What is no line of a description says nothing.
            let Some((key, value)) = split(line) else { continue };
            if key == 'm' {
                description.finish(reading.take(), &session)?;
                let section = Section::read(value).ok_or(SdpError::BadLine(number + 1))?;
                reading = Some((section, Lines::default()));
                continue;
            }
            match &mut reading {
                Some((_, lines)) => lines.read(key, value),
                None => {
                    session.read(key, value);
                    match (key, value) {
                        ('o', origin) => description.origin = origin,
                        ('a', "ice-lite") => description.ice_lite = true,
                        ('a', value) if description.bundle.is_none() => {
                            let group = value.strip_prefix("group:BUNDLE");
                            description.bundle = group.map(|mids| mids.split_ascii_whitespace().collect());
                        }
                        _ => {}
                    }
                }
            }
        }
        description.finish(reading, &session)?;
        Ok(description)
    }

    fn finish(&mut self, read: Option<(Section<'a>, Lines<'a>)>, session: &Lines<'a>) -> Result<(), SdpError> {
        let Some((section, lines)) = read else { return Ok(()) };
        if self.sections.len() == MAX_SECTIONS {
            return Err(SdpError::TooManySections);
        }
        let section = section.with(lines, session);
        let same = |other: &Section<'_>| other.mid == section.mid && !other.rejected;
        if section.mid.is_some() && !section.rejected && self.sections.iter().any(same) {
            return Err(SdpError::SameMid);
        }
        self.sections.push(section);
        Ok(())
    }

    /// Whether the section belongs to the group that shares a transport.
    pub fn is_bundled(&self, section: &Section<'_>) -> bool {
        match (&self.bundle, section.mid) {
            (Some(group), Some(mid)) => group.contains(&mid),
            (None, _) | (_, None) => false,
        }
    }
}

impl<'a> Section<'a> {
    /// The value of an `m=` line.
    fn read(line: &'a str) -> Option<Section<'a>> {
        let mut fields = line.split_ascii_whitespace();
        let (name, port, protocol) = (fields.next()?, fields.next()?, fields.next()?);
        let port = port.split('/').next().and_then(|port| port.parse::<u16>().ok())?;
        let formats: Vec<&str> = fields.collect();
        let words = [name, protocol].into_iter().chain(formats.iter().copied());
        if formats.is_empty() || !words.clone().all(is_token) {
            return None;
        }
        let medium = match name {
            "audio" if protocol.contains("RTP/") => Medium::Audio,
            "video" if protocol.contains("RTP/") => Medium::Video,
            "application" if formats == ["webrtc-datachannel"] => Medium::Application,
            _ => Medium::Other,
        };
        Some(Section {
            medium,
            name,
            protocol,
            formats,
            mid: None,
            rejected: port == 0,
            sends: true,
            receives: true,
            transport: Transport::default(),
            candidates: Vec::new(),
            codecs: Vec::new(),
            ssrcs: Vec::new(),
            mid_extension: None,
            rtcp_mux: false,
            rtcp_rsize: false,
            sctp_port: None,
            max_message_size: None,
        })
    }

    fn with(self, own: Lines<'a>, session: &Lines<'a>) -> Section<'a> {
        let rejected = self.rejected && !own.bundle_only;
        let (sends, receives) = match own.direction.or(session.direction) {
            _ if rejected => (false, false),
            Some(both) => both,
            None => (true, true),
        };
        Section {
            mid: own.mid,
            rejected,
            sends,
            receives,
            codecs: own.codecs(&self.formats),
            transport: Transport {
                ufrag: own.transport.ufrag.or(session.transport.ufrag),
                password: own.transport.password.or(session.transport.password),
                fingerprint: own.transport.fingerprint.or(session.transport.fingerprint),
                setup: own.transport.setup.or(session.transport.setup),
            },
            candidates: own.candidates,
            ssrcs: own.ssrcs,
            mid_extension: own.mid_extension.or(session.mid_extension),
            rtcp_mux: own.rtcp_mux || session.rtcp_mux,
            rtcp_rsize: own.rtcp_rsize || session.rtcp_rsize,
            sctp_port: own.sctp_port,
            max_message_size: own.max_message_size,
            ..self
        }
    }
}

/// What the lines of a section, or those before the first one, say.
#[derive(Default)]
struct Lines<'a> {
    mid: Option<&'a str>,
    bundle_only: bool,
    direction: Option<(bool, bool)>,
    transport: Transport<'a>,
    candidates: Vec<&'a str>,
    maps: Vec<(u8, &'a str)>,
    parameters: Vec<(u8, &'a str)>,
    /// `None`: for every format.
    feedback: Vec<(Option<u8>, &'a str)>,
    ssrcs: Vec<u32>,
    mid_extension: Option<u8>,
    rtcp_mux: bool,
    rtcp_rsize: bool,
    sctp_port: Option<u16>,
    max_message_size: Option<u32>,
}

impl<'a> Lines<'a> {
    fn read(&mut self, key: char, value: &'a str) {
        if key != 'a' {
            return;
        }
        let (name, rest) = value.split_once(':').unwrap_or((value, ""));
        match name {
            "mid" if is_token(rest) => self.mid = self.mid.or(Some(rest)),
            "bundle-only" => self.bundle_only = true,
            "sendrecv" => self.direction = self.direction.or(Some((true, true))),
            "sendonly" => self.direction = self.direction.or(Some((true, false))),
            "recvonly" => self.direction = self.direction.or(Some((false, true))),
            "inactive" => self.direction = self.direction.or(Some((false, false))),
            "ice-ufrag" if is_token(rest) => self.transport.ufrag = self.transport.ufrag.or(Some(rest)),
            "ice-pwd" if is_token(rest) => self.transport.password = self.transport.password.or(Some(rest)),
            "fingerprint" => self.transport.fingerprint = self.transport.fingerprint.or(sha_256(rest)),
            "setup" => self.transport.setup = self.transport.setup.or(Setup::read(rest)),
            "candidate" if self.candidates.len() < MAX_CANDIDATES => self.candidates.push(value),
            "rtpmap" => push_format(&mut self.maps, rest),
            "fmtp" => push_format(&mut self.parameters, rest),
            "rtcp-fb" => self.read_feedback(rest),
            "ssrc" => {
                let ssrc = rest.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                if let Some(ssrc) = ssrc.filter(|_| self.ssrcs.len() < MAX_SSRCS)
                    && !self.ssrcs.contains(&ssrc)
                {
                    self.ssrcs.push(ssrc);
                }
            }
            "extmap" => {
                let mut fields = rest.split_ascii_whitespace();
                let number = fields.next().and_then(|number| number.split('/').next()?.parse().ok());
                if fields.next() == Some(MID_EXTENSION) {
                    self.mid_extension = self.mid_extension.or(number.filter(|number| *number > 0));
                }
            }
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "sctp-port" => self.sctp_port = self.sctp_port.or(rest.parse().ok()),
            "max-message-size" => self.max_message_size = self.max_message_size.or(rest.parse().ok()),
            _ => {}
        }
    }

    fn read_feedback(&mut self, value: &'a str) {
        let Some((format, kind)) = value.split_once(' ') else { return };
        let of = if format == "*" { None } else { format.parse().ok() };
        let known = self.feedback.iter().filter(|(other, _)| *other == of).count();
        if (format == "*" || of.is_some()) && known < MAX_FEEDBACK {
            self.feedback.push((of, kind.trim()));
        }
    }

    /// In the order of the `m=` line.
    fn codecs(&self, formats: &[&'a str]) -> Vec<Codec<'a>> {
        let mut codecs: Vec<Codec<'a>> = Vec::new();
        for payload_type in formats.iter().filter_map(|format| format.parse::<u8>().ok()) {
            let of = |list: &[(u8, &'a str)]| list.iter().find(|(of, _)| *of == payload_type).map(|(_, value)| *value);
            let Some(name) = of(&self.maps) else { continue };
            if codecs.iter().any(|codec| codec.payload_type == payload_type) {
                continue;
            }
            let feedback = self.feedback.iter().filter(|(of, _)| of.is_none_or(|of| of == payload_type));
            let feedback = feedback.map(|(_, kind)| *kind).collect();
            codecs.push(Codec { payload_type, name, parameters: of(&self.parameters), feedback });
        }
        codecs
    }
}

/// What names a section in the header of an RTP packet.
pub(super) const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

impl Setup {
    fn read(value: &str) -> Option<Setup> {
        match value {
            "active" => Some(Setup::Active),
            "passive" => Some(Setup::Passive),
            "actpass" => Some(Setup::ActPass),
            _ => None,
        }
    }
}

/// `FORMAT VALUE`. There are 128 formats; what is said of others, or of one again, is left out.
fn push_format<'a>(list: &mut Vec<(u8, &'a str)>, value: &'a str) {
    let Some((format, value)) = value.split_once(' ') else { return };
    if let Some(format) = format.parse().ok().filter(|format| *format < 128)
        && !list.iter().any(|(of, _)| *of == format)
    {
        list.push((format, value.trim()));
    }
}

/// The bytes of `sha-256 AB:CD:...`.
fn sha_256(value: &str) -> Option<&str> {
    let (hash, bytes) = value.split_once(' ')?;
    let is_byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
    let whole = bytes.split(':').count() == 32 && bytes.split(':').all(is_byte);
    (hash.eq_ignore_ascii_case("sha-256") && whole).then_some(bytes)
}

/// Fit to be repeated in a description of ours.
fn is_token(word: &str) -> bool {
    !word.is_empty() && word.len() <= 256 && word.bytes().all(|b| b.is_ascii_graphic())
}

/// Lines end in CRLF, or in LF from lenient writers.
pub(super) fn lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.strip_suffix('\n').unwrap_or(sdp).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// `x=...`
fn split(line: &str) -> Option<(char, &str)> {
    let (key, value) = line.split_once('=')?;
    let mut key = key.chars();
    match (key.next(), key.next()) {
        (Some(letter), None) if letter.is_ascii_lowercase() => Some((letter, value)),
        _ => None,
    }
}
