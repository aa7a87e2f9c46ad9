//! What a call comes to under a description of the other side: which sections carry it, over which transport, in which
//! directions and formats. The other side may add, pause and take away sections as often as it likes (RFC 3264, section
//! 8), so this is decided anew for each description.

use super::SdpError;
use super::h264::{self, NoPicture, PictureFormat, Presumed};
use super::read::{Description, Medium, Section, Transport};

/// What this side has. A section whose device is missing on both ends of it carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equipment {
    pub camera: bool,
    pub microphone: bool,
    pub speaker: bool,
}

impl Default for Equipment {
    fn default() -> Equipment {
        Equipment { camera: true, microphone: true, speaker: true }
    }
}

impl Equipment {
    pub const NONE: Equipment = Equipment { camera: false, microphone: false, speaker: false };

    /// What of this the other has too.
    #[must_use]
    pub fn within(self, other: Equipment) -> Equipment {
        Equipment {
            camera: self.camera && other.camera,
            microphone: self.microphone && other.microphone,
            speaker: self.speaker && other.speaker,
        }
    }
}

/// Which side wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Offer,
    /// To an offer of ours.
    Answer,
}

/// The terms of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub voice: Option<Voice>,
    pub video: Option<Video>,
    /// The section of the data channel.
    pub data: Option<usize>,
    /// The section whose transport all of them use.
    pub transport: Option<usize>,
}

/// Voice; Opus is the only format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Index of its section.
    pub section: usize,
    pub payload_type: u8,
    pub sends: bool,
    pub receives: bool,
    /// How the other side marks its packets besides the payload type.
    pub marks: Marks,
}

/// What tells one section's packets from another's (RFC 9143, section 9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Number and value of the header extension that names the section.
    pub mid: Option<(u8, String)>,
    /// SSRCs that belong to other sections.
    pub foreign: Vec<u32>,
}

/// Pictures, which only go out: there is no screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// Index of its section.
    pub section: usize,
    /// The other side would see something here, and there is a camera.
    pub wanted: bool,
    /// Or why the other side is refused the section.
    pub format: Result<PictureFormat, NoPicture>,
}

impl Terms {
    /// Finds them. What cannot be served is left out of them, unless it is the call.
    pub fn of(description: &Description<'_>, kind: Kind, equipment: Equipment) -> Result<Terms, SdpError> {
        if !description.sections.iter().any(|s| matches!(s.medium, Medium::Audio | Medium::Video)) {
            return Err(SdpError::NoMedia);
        }
        let presumed = if kind == Kind::Answer { Presumed::AsOffered } else { Presumed::ByTheStandard };
        let on_one_transport = one_transport(description, presumed)?;
        let best = |medium: Medium| {
            let all = description.sections.iter().enumerate();
            let live = all.filter(|(index, section)| section.medium == medium && on_one_transport(*index, section));
            // One that carries something before one on hold, one whose formats we know before one without.
            live.min_by_key(|(_, section)| (!is_ours(section, presumed), !section.sends && !section.receives))
        };
        let voice = best(Medium::Audio).and_then(|(index, section)| {
            let payload_type = section.codecs.iter().find(|codec| codec.is(OPUS))?.payload_type;
            Some(Voice {
                section: index,
                payload_type,
                sends: section.receives && equipment.microphone,
                receives: section.sends && equipment.speaker,
                marks: Marks::of(description, index, section),
            })
        });
        let video = best(Medium::Video).map(|(index, section)| {
            let wanted = section.receives && equipment.camera;
            Video { section: index, wanted, format: h264::choose(section, presumed) }
        });
        let video = match video {
            Some(video) if video.format.is_ok() => Some(video),
            other => match left_out(description, presumed, equipment) {
                Some(better @ Video { format: Err(NoPicture::NotBundled), .. }) => Some(better),
                worse => other.or(worse),
            },
        };
        let video = video.or_else(|| match kind {
            Kind::Answer => declined(description, equipment),
            Kind::Offer => None,
        });
        let data = best(Medium::Application).map(|(index, _)| index);
        let mut terms = Terms { voice, video, data, transport: None };
        terms.transport = terms.first_of_transport(description);
        Ok(terms)
    }

    /// The same without the data channel.
    pub fn without_data(mut self, description: &Description<'_>) -> Terms {
        self.data = None;
        self.transport = self.first_of_transport(description);
        self
    }

    /// How pictures go to the other side, where they do.
    pub fn pictures(&self) -> Option<&PictureFormat> {
        self.video.as_ref().filter(|video| video.wanted)?.format.as_ref().ok()
    }

    /// Why there are none, where the other side wants them.
    pub fn no_picture(&self) -> Option<NoPicture> {
        self.video.as_ref().filter(|video| video.wanted)?.format.as_ref().err().copied()
    }

    /// Whether the section is part of the call, be it on hold. The others are declined.
    pub fn takes(&self, index: usize) -> bool {
        let voice = self.voice.as_ref().map(|voice| voice.section);
        let video = self.video.as_ref().filter(|video| video.format.is_ok()).map(|video| video.section);
        [voice, video, self.data].contains(&Some(index))
    }

    /// Whether there is anything at all that could be sent or received, now or after a hold.
    pub fn is_empty(&self) -> bool {
        self.voice.is_none() && self.video.as_ref().is_none_or(|video| video.format.is_err())
    }

    /// The sections in the order in which the other side groups them; the first gives the transport (RFC 9143, section
    /// 7.2). One that says how it is reached comes before one that leaves that to others.
    fn first_of_transport(&self, description: &Description<'_>) -> Option<usize> {
        let place = |section: &Section<'_>| {
            let group = description.bundle.iter().flatten();
            group.enumerate().find(|(_, mid)| section.mid == Some(**mid)).map_or(usize::MAX, |(place, _)| place)
        };
        let taken = description.sections.iter().enumerate().filter(|(index, _)| self.takes(*index));
        let silent = |section: &Section<'_>| section.transport.ufrag.is_none() || section.transport.password.is_none();
        taken.min_by_key(|(index, section)| (silent(section), place(section), *index)).map(|(index, _)| index)
    }
}

pub(super) const OPUS: &str = "opus/48000";

/// Which of the sections that are not rejected one transport can carry. One section needs no group, the data channel is no
/// loss, and of a picture outside the voice's group it is said why it is missing.
fn one_transport<'a>(
    description: &'a Description<'a>,
    presumed: Presumed,
) -> Result<impl Fn(usize, &Section<'_>) -> bool + 'a, SdpError> {
    let live = || description.sections.iter().enumerate().filter(|(_, section)| !section.rejected);
    let ours = || live().filter(|(_, section)| is_ours(section, presumed));
    let (first, second) = (ours().next().map(|(index, _)| index), ours().nth(1));
    let mut inside = ours().filter(|(_, section)| description.is_bundled(section)).peekable();
    // A group of others only is none for us.
    let grouped = inside.peek().is_some() || first.is_none() && live().any(|(_, s)| description.is_bundled(s));
    let voice_is_left_out = ours().any(|(_, section)| section.medium == Medium::Audio)
        && !inside.any(|(_, section)| section.medium == Medium::Audio);
    if second.is_some() && (!grouped || voice_is_left_out) {
        return Err(SdpError::NoBundle);
    }
    Ok(move |index: usize, section: &Section<'_>| match first {
        _ if section.rejected => false,
        _ if grouped => description.is_bundled(section),
        Some(first) => index == first || section.medium == Medium::Video && !is_ours(section, presumed),
        None => true,
    })
}

/// Audio or video in a format that we know.
fn is_ours(section: &Section<'_>, presumed: Presumed) -> bool {
    match section.medium {
        Medium::Audio => section.codecs.iter().any(|codec| codec.is(OPUS)),
        Medium::Video => h264::choose(section, presumed).is_ok(),
        Medium::Application | Medium::Other => false,
    }
}

/// A video section outside the group that others are in, first of all one that could be served, were it inside.
fn left_out(description: &Description<'_>, presumed: Presumed, equipment: Equipment) -> Option<Video> {
    let live = || description.sections.iter().enumerate().filter(|(_, section)| !section.rejected);
    live().find(|(_, section)| is_ours(section, presumed) && description.is_bundled(section))?;
    let outside = live().filter(|(_, s)| s.medium == Medium::Video && !description.is_bundled(s));
    let (index, section) = outside.min_by_key(|(_, section)| !is_ours(section, presumed))?;
    let why = h264::choose(section, presumed).err().unwrap_or(NoPicture::NotBundled);
    Some(Video { section: index, wanted: section.receives && equipment.camera, format: Err(why) })
}

/// The video section of an answer that says no.
fn declined(description: &Description<'_>, equipment: Equipment) -> Option<Video> {
    let section = description.sections.iter().position(|s| s.name == "video" && s.rejected)?;
    Some(Video { section, wanted: equipment.camera, format: Err(NoPicture::Declined) })
}

impl Marks {
    fn of(description: &Description<'_>, index: usize, section: &Section<'_>) -> Marks {
        let others = description.sections.iter().enumerate().filter(|(other, _)| *other != index);
        let ssrcs = others.flat_map(|(_, section)| &section.ssrcs).copied();
        Marks {
            mid: section.mid_extension.zip(section.mid.map(str::to_owned)),
            foreign: ssrcs.filter(|ssrc| !section.ssrcs.contains(ssrc)).collect(),
        }
    }
}

/// How the other side is reached, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub ufrag: String,
    pub password: String,
    /// See [`Transport::fingerprint`].
    pub fingerprint: String,
    pub ice_lite: bool,
}

impl Remote {
    /// Reads it from the section that gives the transport.
    pub fn of(description: &Description<'_>, terms: &Terms) -> Result<Remote, SdpError> {
        let none = Transport::default();
        let section = terms.transport.and_then(|index| description.sections.get(index));
        let transport = section.map_or(&none, |section| &section.transport);
        let text = |value: Option<&str>, name| value.map(str::to_owned).ok_or(SdpError::Missing(name));
        Ok(Remote {
            ufrag: text(transport.ufrag, "ice-ufrag")?,
            password: text(transport.password, "ice-pwd")?,
            fingerprint: text(transport.fingerprint, "fingerprint:sha-256")?,
            ice_lite: description.ice_lite,
        })
    }
}
