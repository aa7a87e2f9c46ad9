//! Looks for a code in front of the camera, says by sound how it goes, and leaves the text of the first that can be used
//! in a file. What strangers hold up is decoded here, and drivers are read: this needs no rights but to the devices. What
//! a code does to the board is `apply`'s.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::chime::Chime;
use super::code::Code;
use super::look::Look;
use crate::base::durable::{self, Access};
use crate::board::Places;
use crate::board::card::settings;
use crate::config::{CameraFormat, CameraSource, SpeakerSink};
use crate::device::sources::{self, Otherwise};
use crate::media::audio::{OpenSpeaker, Speaker};
use crate::media::camera::{Camera, CameraError, OpenCamera, Wanted};
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
        let camera = sources::camera(source, WANTED, CameraFormat::Auto, Otherwise::Nothing);
        let speaker = match sink {
            SpeakerSink::Synthetic => None,
            sink => sources::speaker(sink, Otherwise::Nothing),
        };
        let camera = camera.map_or_else(|| -> OpenCamera { Box::new(|| Err(CameraError::Missing)) }, |make| make());
        let speaker = speaker.map(|make| make());
        Scanner { camera, speaker, within }
    }

    /// Of the settings in force.
    pub fn in_force(places: &Places, within: Duration) -> Scanner {
        match settings::load(&places.state) {
            Ok(loaded) => Scanner::new(&loaded.config.camera.source, &loaded.config.speaker, within),
            Err(_) => Scanner::new(&CameraSource::Auto, &SpeakerSink::Auto, within),
        }
    }

    /// Looks until the text of a code is in the file `found`, or the time is over; `tell` gets lines for the console. The
    /// camera and the speaker are closed when this returns.
    pub fn run(self, found: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), ScanError> {
        // What an earlier look has left is nobody's code any more. Where it cannot go, no new one can come.
        let _ = durable::remove(found);
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
                match keep(&text, found) {
                    Ok(code) => {
                        drop(eye);
                        tell(&format!("a code for {code} was shown"));
                        voice.play(Chime::Taken);
                        return Ok(());
                    }
                    Err(why) => {
                        tell(&why);
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

/// Leaves the text of a code that can be used. Returns what it is for, or why it was not taken.
fn keep(text: &str, found: &Path) -> Result<Code, String> {
    let code = Code::parse(text).map_err(|error| error.to_string())?;
    durable::replace(found, text.as_bytes(), Access::PRIVATE)
        .map_err(|error| format!("{} cannot be written: {error}", found.display()))?;
    Ok(code)
}

#[cfg(test)]
mod tests;
