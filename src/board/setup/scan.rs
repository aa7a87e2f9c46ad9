//! Setting up by a code in front of the camera: looks for it, says by sound how it goes, and writes what it says where
//! the next import finds it.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::chime::Chime;
use super::code::{Code, CodeError, Setup, SignalingServer};
use super::look::Look;
use crate::base::durable::{self, Access};
use crate::base::text;
use crate::board::card::import::{daemon_may_read, said, state_directory};
use crate::board::card::settings;
use crate::board::wifi::network::Network;
use crate::board::{Places, SETTINGS, TOKEN, WIFI, wifi};
use crate::config::{CameraSource, SpeakerSink};
use crate::media::audio::{self, OpenSpeaker, Speaker};
use crate::media::camera::{self, Camera, CameraError, OpenCamera, Wanted};
use crate::media::frame::I420;

/// Enough for a code that fills a third of the picture, and cheap to read.
const WANTED: Wanted = Wanted { width: 800, height: 600, fps: 10 };
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two ticks that say: hold the code up.
const TICK_EVERY: Duration = Duration::from_secs(4);
/// Before a camera is opened again.
const RETRY: Duration = Duration::from_secs(1);
/// A refused code is complained about once for as long as it is held up; out of sight for this long, it is shown anew.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("no code was shown within {} s", .0.as_secs())]
    NothingShown(Duration),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("{file} cannot be written to the {place}: {reason}")]
    Store { file: &'static str, place: &'static str, reason: String },
    #[error("the network's name cannot be written into {WIFI}: it is not text")]
    Name,
}

/// What to look with, and how to be heard.
pub struct Scanner {
    pub camera: OpenCamera,
    /// Without one the console alone says how it goes.
    pub speaker: Option<OpenSpeaker>,
    pub within: Duration,
}

impl Scanner {
    /// For what the configuration names. The test picture shows no codes, so `Auto` waits for a real camera.
    pub fn new(source: &CameraSource, sink: &SpeakerSink, within: Duration) -> Scanner {
        let source = source.clone();
        let camera: OpenCamera = Box::new(move || match &source {
            CameraSource::Auto => camera::v4l2::open(&camera::v4l2::first().ok_or(CameraError::Missing)?, WANTED),
            CameraSource::Device(path) => camera::v4l2::open(path, WANTED),
            CameraSource::Named(name) => camera::v4l2::open(&camera::v4l2::named(name)?, WANTED),
            CameraSource::File(path) => camera::file::open(path, WANTED),
            CameraSource::Synthetic => camera::synthetic::open(WANTED),
            CameraSource::None => Err(CameraError::Missing),
        });
        let speaker: Option<OpenSpeaker> = match sink.clone() {
            SpeakerSink::Auto => Some(Box::new(|| {
                audio::alsa::open_speaker(&audio::alsa::first_playback().ok_or(audio::AudioError::Missing)?)
            })),
            SpeakerSink::Alsa(pcm) => Some(Box::new(move || audio::alsa::open_speaker(&pcm))),
            SpeakerSink::File(path) => Some(Box::new(move || audio::file::open_speaker(&path))),
            SpeakerSink::Synthetic | SpeakerSink::None => None,
        };
        Scanner { camera, speaker, within }
    }

    /// Of the settings in force.
    pub fn in_force(places: &Places, within: Duration) -> Scanner {
        match settings::load(&places.state) {
            Ok(loaded) => Scanner::new(&loaded.config.camera.source, &loaded.config.speaker, within),
            Err(_) => Scanner::new(&CameraSource::Auto, &SpeakerSink::Auto, within),
        }
    }

    /// Looks until a code is taken or the time is over; `tell` gets lines for the console. The camera and the speaker
    /// are closed when this returns.
    pub fn run(self, places: &Places, tell: &mut dyn FnMut(&str)) -> Result<(), ScanError> {
        let end = Instant::now() + self.within;
        let mut eye = Eye { open: self.camera, camera: None, failed: String::new() };
        let mut voice = Voice { open: self.speaker };
        let (mut look, mut frame) = (Look::default(), I420::default());
        let (mut looked, mut ticked): (Option<Instant>, Option<Instant>) = (None, None);
        let mut refused: Option<(String, Instant)> = None;
        let over = |at: Option<Instant>, pause: Duration| at.is_none_or(|at| at.elapsed() >= pause);
        while Instant::now() < end {
            if !eye.see(&mut frame, tell) {
                thread::sleep(RETRY.min(end.saturating_duration_since(Instant::now())));
                continue;
            }
            if over(ticked, TICK_EVERY) {
                voice.play(Chime::Ready);
                ticked = Some(Instant::now());
            }
            if !over(looked, LOOK_EVERY) {
                continue;
            }
            looked = Some(Instant::now());
            for text in look.read(&frame) {
                if let Some((known, seen)) = &mut refused
                    && *known == text
                    && seen.elapsed() < FORGET_AFTER
                {
                    *seen = Instant::now();
                    continue;
                }
                match Code::parse(&text).map_err(ScanError::from).and_then(|code| take(&code, places)) {
                    Ok(taken) => {
                        drop(eye);
                        tell(&taken);
                        voice.play(Chime::Taken);
                        return Ok(());
                    }
                    Err(error) => {
                        tell(&error.to_string());
                        voice.play(Chime::Refused);
                        refused = Some((text, Instant::now()));
                    }
                }
            }
        }
        Err(ScanError::NothingShown(self.within))
    }
}

struct Eye {
    open: OpenCamera,
    camera: Option<Box<dyn Camera>>,
    /// What was said last, so that it is said once.
    failed: String,
}

impl Eye {
    /// Waits for the next picture. A camera that fails is opened anew the next time.
    fn see(&mut self, frame: &mut I420, tell: &mut dyn FnMut(&str)) -> bool {
        let opened = match self.camera.take() {
            Some(camera) => Ok(camera),
            None => (self.open)().inspect(|camera| tell(&format!("looking for a code with {}", camera.describe()))),
        };
        let seen = opened.and_then(|mut camera| camera.next_frame(frame).map(|_| camera));
        match seen {
            Ok(camera) => {
                self.camera = Some(camera);
                self.failed.clear();
                true
            }
            Err(error) => {
                let error = error.to_string();
                if self.failed != error {
                    tell(&error);
                    self.failed = error;
                }
                false
            }
        }
    }
}

struct Voice {
    open: Option<OpenSpeaker>,
}

impl Voice {
    /// Opened for each chime: nobody else can use many a card meanwhile.
    fn play(&mut self, chime: Chime) {
        let Some(open) = &mut self.open else { return };
        let played = open().and_then(|mut speaker: Box<dyn Speaker>| chime.play(&mut *speaker));
        if let Err(error) = played {
            log::debug!(error:%; "no sound says how the scan goes");
        }
    }
}

/// Writes what a code says to where the import reads it. Returns what was written, in words.
fn take(code: &Code, places: &Places) -> Result<String, ScanError> {
    match code {
        Code::Wifi(network) => {
            join(network, None, places)?;
            Ok(format!("Wi-Fi {} is written to {WIFI}", network.name()))
        }
        Code::Setup(setup) => {
            let token_file = places.state.join(TOKEN);
            if let Some(SignalingServer { token: Some(token), .. }) = &setup.server {
                let access = daemon_may_read(&places.root);
                state_directory(&places.state, access)
                    .and_then(|()| durable::replace_if_different(&token_file, token.as_bytes(), access).map(|_| ()))
                    .map_err(|error| store(TOKEN, "board's storage", &error))?;
            }
            if let Some(network) = &setup.network {
                join(network, setup.country, places)?;
            }
            // Last, so that a cut before it leaves a board that asks for its code again.
            configure(setup, &token_file, places)?;
            let wifi = setup.network.as_ref().map(|network| format!(" and Wi-Fi {}", network.name()));
            Ok(format!("device {}{} is written to the card", setup.id, wifi.unwrap_or_default()))
        }
    }
}

fn join(network: &Network, country: Option<[u8; 2]>, places: &Places) -> Result<(), ScanError> {
    let text = wifi::write(network, country).ok_or(ScanError::Name)?;
    put(places, WIFI, &format!("# Written from a code that was shown to the camera.\n{text}"))
}

fn configure(setup: &Setup, token_file: &Path, places: &Places) -> Result<(), ScanError> {
    let present = fs::read_to_string(places.boot.join(SETTINGS)).unwrap_or_default();
    if !present.is_empty() && settings::edited(&present) {
        put(places, "callbox-before-scan.toml", &present)?;
    }
    put(places, SETTINGS, &setup.settings(&token_file.to_string_lossy()))
}

/// Onto the card, with line ends for any editor.
fn put(places: &Places, name: &'static str, contents: &str) -> Result<(), ScanError> {
    let contents = text::with_crlf(contents);
    durable::replace_if_different(&places.boot.join(name), contents.as_bytes(), Access::PRIVATE)
        .map(|_| ())
        .map_err(|error| store(name, "card", &error))
}

fn store(file: &'static str, place: &'static str, error: &std::io::Error) -> ScanError {
    ScanError::Store { file, place, reason: said(error) }
}

#[cfg(test)]
mod tests;
