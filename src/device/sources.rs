//! From what the configuration names to what opens it: cameras, microphones, speakers and their synthetic twins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::indicator::Indicator;
use super::studio::{Hardware, Maker};
use crate::config::{Camera as CameraConfig, CameraFormat, CameraSource, Config, MicrophoneSource, SpeakerSink};
use crate::media::audio::{self, AudioError, OpenMicrophone, OpenSpeaker};
use crate::media::camera::v4l2::{self, Opener};
use crate::media::camera::{self, CameraError, OpenCamera, Wanted};
use crate::media::convert::PixelFormat;
use crate::media::led::LEDS;

/// What takes the place of a device that `auto` does not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Its synthetic twin.
    Twin,
    /// Nothing: it is waited for.
    Nothing,
}

/// What `auto` stands for, found anew each time a device is opened. Once a real device was found, its absence is a fault
/// to be waited out and never a reason to show the test picture.
struct Auto<T> {
    find: fn() -> Option<T>,
    waits: AtomicBool,
}

enum Found<T> {
    Real(T),
    Twin,
    Missing,
}

impl<T> Auto<T> {
    fn new(find: fn() -> Option<T>, otherwise: Otherwise) -> Arc<Self> {
        let waits = AtomicBool::new(otherwise == Otherwise::Nothing || find().is_some());
        Arc::new(Auto { find, waits })
    }

    fn look(&self) -> Found<T> {
        match (self.find)() {
            Some(device) => {
                self.waits.store(true, Ordering::Relaxed);
                Found::Real(device)
            }
            None if self.waits.load(Ordering::Relaxed) => Found::Missing,
            None => Found::Twin,
        }
    }
}

/// What the configuration names, as the studio wants it. Looks for devices, which may take as long as a driver likes.
pub fn hardware(config: &Config) -> Hardware {
    announce(config);
    Hardware {
        camera: configured(&config.camera),
        microphone: microphone(&config.microphone),
        speaker: speaker(&config.speaker, Otherwise::Twin),
        indicator: indicator(config),
    }
}

/// What differs by `to` from what `from` names. Looks for devices, too; putting in what it found takes no time. What
/// stays keeps its memory: a camera that was there before is waited for.
pub fn changed(from: &Config, to: &Config) -> impl FnOnce(&mut Hardware) + Send + use<> {
    let camera = (from.camera != to.camera).then(|| configured(&to.camera));
    let microphone = (from.microphone != to.microphone).then(|| microphone(&to.microphone));
    let speaker = (from.speaker != to.speaker).then(|| speaker(&to.speaker, Otherwise::Twin));
    let heard = |config: &Config| config.speaker != SpeakerSink::None;
    let resigned = from.indicator != to.indicator || heard(from) != heard(to);
    let same_led = to.indicator.led.is_some() && from.indicator.led == to.indicator.led;
    let sign = (resigned && !same_led).then(|| indicator(to)).flatten();
    let (wanted, is_heard) = (to.indicator.clone(), heard(to));
    move |hardware| {
        let Hardware { camera: old_camera, microphone: old_microphone, speaker: old_speaker, indicator: old_indicator } =
            hardware;
        if resigned {
            let kept = old_indicator.as_ref().filter(|_| same_led);
            *old_indicator = kept.map_or(sign, |old| old.changed(&wanted, is_heard).map(Arc::new));
        }
        camera.into_iter().for_each(|camera| *old_camera = camera);
        microphone.into_iter().for_each(|microphone| *old_microphone = microphone);
        speaker.into_iter().for_each(|speaker| *old_speaker = speaker);
    }
}

fn indicator(config: &Config) -> Option<Arc<Indicator>> {
    let has_speaker = config.speaker != SpeakerSink::None;
    Indicator::new(&config.indicator, has_speaker, Path::new(LEDS)).map(Arc::new)
}

fn configured(config: &CameraConfig) -> Option<Maker<OpenCamera>> {
    let wanted = Wanted { width: config.width, height: config.height, fps: config.fps };
    camera(&config.source, wanted, config.format, Otherwise::Twin)
}

pub fn camera(
    source: &CameraSource,
    wanted: Wanted,
    format: CameraFormat,
    otherwise: Otherwise,
) -> Option<Maker<OpenCamera>> {
    let opener = Opener::new(wanted, pixels(format));
    Some(match source.clone() {
        CameraSource::Auto => {
            let auto = Auto::new(v4l2::first, otherwise);
            maker(move || match auto.look() {
                Found::Real(path) => opener.open(&path),
                Found::Twin => camera::synthetic::open(wanted),
                Found::Missing => Err(CameraError::Missing),
            })
        }
        CameraSource::Device(path) => maker(move || opener.open(&path)),
        CameraSource::Named(name) => maker(move || opener.open(&v4l2::named(&name)?)),
        CameraSource::File(path) => maker(move || camera::file::open(&path, wanted)),
        CameraSource::Synthetic => maker(move || camera::synthetic::open(wanted)),
        CameraSource::None => return None,
    })
}

fn pixels(format: CameraFormat) -> Option<PixelFormat> {
    match format {
        CameraFormat::Auto => None,
        CameraFormat::Yu12 => Some(PixelFormat::I420),
        CameraFormat::Nv12 => Some(PixelFormat::Nv12),
        CameraFormat::Yuyv => Some(PixelFormat::Yuyv),
        CameraFormat::Uyvy => Some(PixelFormat::Uyvy),
        CameraFormat::Mjpeg => Some(PixelFormat::Mjpeg),
    }
}

fn microphone(source: &MicrophoneSource) -> Option<Maker<OpenMicrophone>> {
    Some(match source.clone() {
        MicrophoneSource::Auto => {
            let auto = Auto::new(audio::alsa::first_capture, Otherwise::Twin);
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

pub fn speaker(sink: &SpeakerSink, otherwise: Otherwise) -> Option<Maker<OpenSpeaker>> {
    Some(match sink.clone() {
        SpeakerSink::Auto => {
            let auto = Auto::new(audio::alsa::first_playback, otherwise);
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
fn announce(config: &Config) {
    if config.camera.source == CameraSource::Auto {
        let path = v4l2::first();
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
        let auto = Auto::new(|| PLUGGED.load(Ordering::Relaxed).then_some("camera"), Otherwise::Twin);
        assert!(matches!(auto.look(), Found::Twin));
        PLUGGED.store(true, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Real("camera")));
        PLUGGED.store(false, Ordering::Relaxed);
        assert!(matches!(auto.look(), Found::Missing), "never back to the test picture");
    }

    #[test]
    fn where_nothing_takes_its_place_a_device_is_waited_for_from_the_start() {
        let auto = Auto::<()>::new(|| None, Otherwise::Nothing);
        assert!(matches!(auto.look(), Found::Missing));
    }

    #[test]
    fn only_what_differs_is_made_anew() {
        let config = |camera: &str, speaker: &str| {
            let text = format!(
                "device.id = \"door\"\ncamera.source = \"{camera}\"\nspeaker.sink = \"{speaker}\"\nmicrophone.source = \"none\""
            );
            Config::from_toml(&text).unwrap()
        };
        let (old, new) = (config("synthetic", "synthetic"), config("none", "synthetic"));
        let mut hardware = hardware(&old);
        let speaker = |hardware: &Hardware| std::ptr::from_ref(&**hardware.speaker.as_ref().unwrap()).addr();
        let before = speaker(&hardware);
        changed(&old, &new)(&mut hardware);
        assert!(hardware.camera.is_none() && hardware.microphone.is_none());
        assert_eq!(speaker(&hardware), before);
    }
}
