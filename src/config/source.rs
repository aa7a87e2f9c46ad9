//! Where pictures and sound come from and go to, as the configuration writes it.

use std::fmt;
use std::path::PathBuf;

/// `[camera] source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraSource {
    /// The first camera that can capture; the synthetic one where there is none.
    Auto,
    /// A V4L2 device node, or a link to one such as those in /dev/v4l/by-id.
    Device(PathBuf),
    /// The V4L2 camera of this name, under whichever number it is.
    Named(String),
    /// A Y4M clip, looped in real time.
    File(PathBuf),
    Synthetic,
    /// The device sends no picture.
    None,
}

/// `[camera] format`: what a V4L2 camera delivers its pictures in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraFormat {
    /// The one that comes nearest to size and rate and that the camera's bus has room for.
    Auto,
    Yuyv,
    Uyvy,
    Nv12,
    Yu12,
    Mjpeg,
}

/// `[microphone] source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MicrophoneSource {
    /// The first sound card that can record; the synthetic tone where there is none.
    Auto,
    /// An ALSA PCM, such as "plughw:1,0".
    Alsa(String),
    /// A WAV file, looped in real time.
    File(PathBuf),
    Synthetic,
    /// The device sends no sound.
    None,
}

/// `[speaker] sink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeakerSink {
    /// The first sound card that can play; the synthetic speaker where there is none.
    Auto,
    /// An ALSA PCM, such as "plughw:1,0".
    Alsa(String),
    /// A WAV file to be written.
    File(PathBuf),
    /// Swallows the sound in real time.
    Synthetic,
    /// The callers' voices are not decoded.
    None,
}

impl CameraSource {
    /// `None` where the text is no source.
    pub fn parse(text: &str) -> Option<CameraSource> {
        Some(match text {
            "auto" => CameraSource::Auto,
            "synthetic" => CameraSource::Synthetic,
            "none" => CameraSource::None,
            _ if text.starts_with("/dev/") => CameraSource::Device(text.into()),
            _ => match text.split_once(':')? {
                ("file", path) if !path.is_empty() => CameraSource::File(path.into()),
                ("name", name) if !name.trim().is_empty() && !name.chars().any(char::is_control) => {
                    CameraSource::Named(name.trim().to_owned())
                }
                _ => return None,
            },
        })
    }
}

impl CameraFormat {
    const NAMES: [(&str, CameraFormat); 7] = [
        ("auto", CameraFormat::Auto),
        ("yuyv", CameraFormat::Yuyv),
        ("uyvy", CameraFormat::Uyvy),
        ("nv12", CameraFormat::Nv12),
        ("yu12", CameraFormat::Yu12),
        ("mjpeg", CameraFormat::Mjpeg),
        // As V4L2 and `callbox devices` write it.
        ("mjpg", CameraFormat::Mjpeg),
    ];

    /// `None` where the text is no format. Capitals do not count.
    pub(super) fn parse(text: &str) -> Option<CameraFormat> {
        let named = CameraFormat::NAMES.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        named.map(|(_, format)| format)
    }
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = CameraFormat::NAMES.into_iter().find(|(_, format)| format == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl MicrophoneSource {
    /// `None` where the text is no source.
    pub(super) fn parse(text: &str) -> Option<MicrophoneSource> {
        Some(match Sound::parse(text)? {
            Sound::Auto => MicrophoneSource::Auto,
            Sound::Alsa(pcm) => MicrophoneSource::Alsa(pcm),
            Sound::File(path) => MicrophoneSource::File(path),
            Sound::Synthetic => MicrophoneSource::Synthetic,
            Sound::None => MicrophoneSource::None,
        })
    }
}

impl SpeakerSink {
    /// `None` where the text is no sink.
    pub fn parse(text: &str) -> Option<SpeakerSink> {
        Some(match Sound::parse(text)? {
            Sound::Auto => SpeakerSink::Auto,
            Sound::Alsa(pcm) => SpeakerSink::Alsa(pcm),
            Sound::File(path) => SpeakerSink::File(path),
            Sound::Synthetic => SpeakerSink::Synthetic,
            Sound::None => SpeakerSink::None,
        })
    }
}

/// The notation that microphone and speaker share.
enum Sound {
    Auto,
    Alsa(String),
    File(PathBuf),
    Synthetic,
    None,
}

impl Sound {
    fn parse(text: &str) -> Option<Sound> {
        match text {
            "auto" => return Some(Sound::Auto),
            "synthetic" => return Some(Sound::Synthetic),
            "none" => return Some(Sound::None),
            _ => {}
        }
        let (scheme, rest) = text.split_once(':')?;
        match scheme {
            "alsa" if !rest.is_empty() && !rest.chars().any(char::is_control) => Some(Sound::Alsa(rest.to_owned())),
            "file" if rest.to_ascii_lowercase().ends_with(".wav") => Some(Sound::File(rest.into())),
            _ => None,
        }
    }
}

impl fmt::Display for CameraSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CameraSource::Auto => f.write_str("auto"),
            CameraSource::Device(path) => write!(f, "{}", path.display()),
            CameraSource::Named(name) => write!(f, "name:{name}"),
            CameraSource::File(path) => write!(f, "file:{}", path.display()),
            CameraSource::Synthetic => f.write_str("synthetic"),
            CameraSource::None => f.write_str("none"),
        }
    }
}

impl fmt::Display for MicrophoneSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MicrophoneSource::Auto => f.write_str("auto"),
            MicrophoneSource::Alsa(pcm) => write!(f, "alsa:{pcm}"),
            MicrophoneSource::File(path) => write!(f, "file:{}", path.display()),
            MicrophoneSource::Synthetic => f.write_str("synthetic"),
            MicrophoneSource::None => f.write_str("none"),
        }
    }
}

impl fmt::Display for SpeakerSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeakerSink::Auto => f.write_str("auto"),
            SpeakerSink::Alsa(pcm) => write!(f, "alsa:{pcm}"),
            SpeakerSink::File(path) => write!(f, "file:{}", path.display()),
            SpeakerSink::Synthetic => f.write_str("synthetic"),
            SpeakerSink::None => f.write_str("none"),
        }
    }
}
