//! From what the configuration names to what opens it: cameras, microphones, speakers and their synthetic twins.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::studio::{Hardware, Maker};
use crate::config::{Camera as CameraConfig, CameraSource, Config, MicrophoneSource, SpeakerSink};
use crate::media::audio::{self, AudioError, OpenMicrophone, OpenSpeaker};
use crate::media::camera::{self, CameraError, OpenCamera, Wanted};

/// What `auto` stands for, found anew each time a device is opened. Once a real device was found, its absence is a fault
/// to be waited out and never a reason to show the test picture.
struct Auto<T> {
    find: fn() -> Option<T>,
    seen: AtomicBool,
}

enum Found<T> {
    Real(T),
    Twin,
    Missing,
}

impl<T> Auto<T> {
    fn new(find: fn() -> Option<T>) -> Arc<Self> {
        let seen = AtomicBool::new(find().is_some());
        Arc::new(Auto { find, seen })
    }

    fn look(&self) -> Found<T> {
        match (self.find)() {
            Some(device) => {
                self.seen.store(true, Ordering::Relaxed);
                Found::Real(device)
            }
            None if self.seen.load(Ordering::Relaxed) => Found::Missing,
            None => Found::Twin,
        }
    }
}

/// What the configuration names, as the studio wants it.
pub fn hardware(config: &Config) -> Hardware {
    Hardware {
        camera: camera(&config.camera),
        microphone: microphone(&config.microphone),
        speaker: speaker(&config.speaker),
    }
}

pub fn camera(config: &CameraConfig) -> Option<Maker<OpenCamera>> {
    let wanted = Wanted { width: config.width, height: config.height, fps: config.fps };
    Some(match config.source.clone() {
        CameraSource::Auto => {
            let auto = Auto::new(camera::v4l2::first);
            maker(move || match auto.look() {
                Found::Real(path) => camera::v4l2::open(&path, wanted),
                Found::Twin => camera::synthetic::open(wanted),
                Found::Missing => Err(CameraError::Missing),
            })
        }
        CameraSource::Device(path) => maker(move || camera::v4l2::open(&path, wanted)),
        CameraSource::Named(name) => maker(move || camera::v4l2::open(&camera::v4l2::named(&name)?, wanted)),
        CameraSource::File(path) => maker(move || camera::file::open(&path, wanted)),
        CameraSource::Synthetic => maker(move || camera::synthetic::open(wanted)),
        CameraSource::None => return None,
    })
}

pub fn microphone(source: &MicrophoneSource) -> Option<Maker<OpenMicrophone>> {
    Some(match source.clone() {
        MicrophoneSource::Auto => {
            let auto = Auto::new(audio::alsa::first_capture);
            maker(move || match auto.look() {
                Found::Real(pcm) => audio::alsa::open_microphone(&pcm),
                Found::Twin => Ok(audio::synthetic::microphone()),
                Found::Missing => Err(AudioError::Missing),
            })
        }
        MicrophoneSource::Alsa(pcm) => maker(move || audio::alsa::open_microphone(&pcm)),
        MicrophoneSource::File(path) => maker(move || audio::file::open_microphone(&path)),
        MicrophoneSource::Synthetic => maker(|| Ok(audio::synthetic::microphone())),
        MicrophoneSource::None => return None,
    })
}

pub fn speaker(sink: &SpeakerSink) -> Option<Maker<OpenSpeaker>> {
    Some(match sink.clone() {
        SpeakerSink::Auto => {
            let auto = Auto::new(audio::alsa::first_playback);
            maker(move || match auto.look() {
                Found::Real(pcm) => audio::alsa::open_speaker(&pcm),
                Found::Twin => Ok(audio::synthetic::speaker()),
                Found::Missing => Err(AudioError::Missing),
            })
        }
        SpeakerSink::Alsa(pcm) => maker(move || audio::alsa::open_speaker(&pcm)),
        SpeakerSink::File(path) => maker(move || audio::file::open_speaker(&path)),
        SpeakerSink::Synthetic => maker(|| Ok(audio::synthetic::speaker())),
        SpeakerSink::None => return None,
    })
}

/// Every opener does the same, however often one is made.
fn maker<T: 'static>(open: impl Fn() -> T + Clone + Send + Sync + 'static) -> Maker<Box<dyn FnMut() -> T + Send>> {
    Box::new(move || Box::new(open.clone()))
}

/// Logs at start what each `auto` stands for, so that a wrong guess is seen before the first call.
pub fn announce(config: &Config) {
    if config.camera.source == CameraSource::Auto {
        let path = camera::v4l2::first();
        announce_one("camera", path.as_ref().map(|p: &PathBuf| p.display().to_string()), "the synthetic test picture");
    }
    if config.microphone == MicrophoneSource::Auto {
        announce_one("microphone", audio::alsa::first_capture(), "a synthetic tone");
    }
    if config.speaker == SpeakerSink::Auto {
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
        static PLUGGED: AtomicBool = AtomicBool::new(false);
        let auto = Auto::new(|| PLUGGED.load(Ordering::Relaxed).then_some("camera"));
        assert!(matches!(auto.look(), Found::Twin));
        PLUGGED.store(true, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Real("camera")));
        PLUGGED.store(false, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Missing), "never back to the test picture");
    }
}
