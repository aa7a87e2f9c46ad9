//! From what the configuration names to what opens it: cameras, microphones, speakers and their synthetic twins.

use std::path::PathBuf;

use crate::config::{Camera as CameraConfig, CameraSource, MicrophoneSource, SpeakerSink};
use crate::media::audio::{self, OpenMicrophone, OpenSpeaker};
use crate::media::camera::{self, CameraError, OpenCamera, Wanted};

/// What `auto` stands for, found anew each time a device is opened. Once a real device was found, its absence is a fault
/// to be waited out and never a reason to show the test picture.
struct Auto<T> {
    find: fn() -> Option<T>,
    seen: bool,
}

enum Found<T> {
    Real(T),
    Twin,
    Missing,
}

impl<T> Auto<T> {
    fn new(find: fn() -> Option<T>) -> Self {
        Auto { find, seen: false }
    }

    fn look(&mut self) -> Found<T> {
        match (self.find)() {
            Some(device) => {
                self.seen = true;
                Found::Real(device)
            }
            None if self.seen => Found::Missing,
            None => Found::Twin,
        }
    }
}

/// `None` where the configuration wants no camera.
pub fn camera(config: &CameraConfig) -> Option<OpenCamera> {
    let wanted = Wanted { width: config.width, height: config.height, fps: config.fps };
    match config.source.clone() {
        CameraSource::Auto => {
            let mut auto = Auto::new(v4l2_first);
            Some(Box::new(move || match auto.look() {
                Found::Real(path) => v4l2_open(&path, wanted),
                Found::Twin => camera::synthetic::open(wanted),
                Found::Missing => Err(CameraError::Missing),
            }))
        }
        CameraSource::Device(path) => Some(Box::new(move || v4l2_open(&path, wanted))),
        CameraSource::File(path) => Some(Box::new(move || camera::file::open(&path, wanted))),
        CameraSource::Synthetic => Some(Box::new(move || camera::synthetic::open(wanted))),
        CameraSource::None => None,
    }
}

/// `None` where the configuration wants no microphone.
pub fn microphone(source: &MicrophoneSource) -> Option<OpenMicrophone> {
    match source.clone() {
        MicrophoneSource::Auto => {
            let mut auto = Auto::new(audio::alsa::first_capture);
            Some(Box::new(move || match auto.look() {
                Found::Real(pcm) => audio::alsa::open_microphone(&pcm),
                Found::Twin => Ok(audio::synthetic::microphone()),
                Found::Missing => Err(audio::AudioError::Missing),
            }))
        }
        MicrophoneSource::Alsa(pcm) => Some(Box::new(move || audio::alsa::open_microphone(&pcm))),
        MicrophoneSource::File(path) => Some(Box::new(move || audio::file::open_microphone(&path))),
        MicrophoneSource::Synthetic => Some(Box::new(|| Ok(audio::synthetic::microphone()))),
        MicrophoneSource::None => None,
    }
}

/// `None` where the configuration wants no speaker.
pub fn speaker(sink: &SpeakerSink) -> Option<OpenSpeaker> {
    match sink.clone() {
        SpeakerSink::Auto => {
            let mut auto = Auto::new(audio::alsa::first_playback);
            Some(Box::new(move || match auto.look() {
                Found::Real(pcm) => audio::alsa::open_speaker(&pcm),
                Found::Twin => Ok(audio::synthetic::speaker()),
                Found::Missing => Err(audio::AudioError::Missing),
            }))
        }
        SpeakerSink::Alsa(pcm) => Some(Box::new(move || audio::alsa::open_speaker(&pcm))),
        SpeakerSink::File(path) => Some(Box::new(move || audio::file::open_speaker(&path))),
        SpeakerSink::Synthetic => Some(Box::new(|| Ok(audio::synthetic::speaker()))),
        SpeakerSink::None => None,
    }
}

/// Logs at start what each `auto` stands for, so that a wrong guess is seen before the first call.
pub fn announce(camera: &CameraConfig, microphone: &MicrophoneSource, speaker: &SpeakerSink) {
    if camera.source == CameraSource::Auto {
        let path = v4l2_first();
        announce_one("camera", path.as_ref().map(|p: &PathBuf| p.display().to_string()), "the synthetic test picture");
    }
    if *microphone == MicrophoneSource::Auto {
        announce_one("microphone", audio::alsa::first_capture(), "a synthetic tone");
    }
    if *speaker == SpeakerSink::Auto {
        announce_one("speaker", audio::alsa::first_playback(), "a synthetic speaker that nobody hears");
    }
}

fn announce_one(what: &str, found: Option<String>, twin: &str) {
    match found {
        Some(device) => log::info!(device = device.as_str(); "{what}: auto takes {device}"),
        None => log::warn!("{what}: auto found none, using {twin} in its place"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_there_is_waited_for() {
        use std::sync::atomic::{AtomicBool, Ordering};
        static PLUGGED: AtomicBool = AtomicBool::new(false);
        let mut auto = Auto::new(|| PLUGGED.load(Ordering::Relaxed).then_some("camera"));
        assert!(matches!(auto.look(), Found::Twin));
        PLUGGED.store(true, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Real("camera")));
        PLUGGED.store(false, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Missing), "never back to the test picture");
    }
}

fn v4l2_first() -> Option<PathBuf> {
    None
}

fn v4l2_open(_: &std::path::Path, _: Wanted) -> Result<Box<dyn camera::Camera>, CameraError> {
    Err(CameraError::Missing)
}
