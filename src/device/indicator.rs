//! The sign to those in front of the device that they are seen and heard from now on: an LED, a chime, or both. When it is
//! given, `logic/studio` decides. Blocking: each begin and each end has a thread of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;

use crate::base::lock::lock;
use crate::config::{self, Chime};
use crate::media::audio::BLOCK;
use crate::media::audio::tone::{self, Note};
use crate::media::led::{Led, LedError};
use crate::media::voice::Mix;

#[cfg(test)]
mod tests;

/// Quiet: -20 dBFS, and a third of a second.
const NOTES: [Note; 2] = [(659.26, 12), (880.0, 20)];
const PEAK: f64 = 0.1;
/// Blocks of silence that push the last note out of the sound card's buffer.
const TAIL: usize = 5;
/// A speaker that has not played the chime by then does not play.
const PLAYED_WITHIN: Duration = Duration::from_secs(3);

pub struct Indicator {
    led: Option<Arc<Led>>,
    chime: Chime,
    required: bool,
    /// Why it did not work the last time.
    problem: Mutex<Option<String>>,
}

/// For `callbox status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndicatorStats {
    /// Whether those in front of the device are told just now.
    pub shown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub required: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Led(#[from] LedError),
    #[error("the chime was not played: the speaker does not take it")]
    Chime,
}

impl Indicator {
    /// `None` where the configuration wants no sign. Takes the LED, which is dark from then on.
    pub fn new(config: &config::Indicator, has_speaker: bool, leds: &Path) -> Option<Indicator> {
        let led = config.led.as_ref().map(|name| Arc::new(Led::new(leds, name)));
        let indicator = Indicator::with(led, config, has_speaker)?;
        let dark = indicator.led.as_ref().map_or(Ok(()), |led| led.darken());
        indicator.note(dark.map_err(Failure::from));
        Some(indicator)
    }

    /// By another configuration, with the same LED, which stays taken.
    pub fn changed(&self, config: &config::Indicator, has_speaker: bool) -> Option<Indicator> {
        Indicator::with(self.led.clone(), config, has_speaker)
    }

    fn with(led: Option<Arc<Led>>, config: &config::Indicator, has_speaker: bool) -> Option<Indicator> {
        // What cannot be heard is no sign.
        let chime = if has_speaker || config.required { config.chime } else { Chime::None };
        let something = led.is_some() || chime != Chime::None;
        something.then(|| Indicator { led, chime, required: config.required, problem: Mutex::new(None) })
    }

    /// Gives the sign. Returns whether the devices may be opened.
    pub fn begin(&self, mix: &Mix) -> bool {
        let lit = self.led.as_ref().map_or(Ok(()), |led| led.light()).map_err(Failure::from);
        // Both are tried: one sign is better than none.
        let heard = self.play(mix);
        self.note(lit.and(heard))
    }

    /// Takes it back.
    pub fn end(&self, mix: &Mix) {
        mix.silence();
        self.note(self.led.as_ref().map_or(Ok(()), |led| led.darken()).map_err(Failure::from));
    }

    pub fn stats(&self, shown: bool) -> IndicatorStats {
        let problem = lock(&self.problem).clone();
        IndicatorStats { shown, problem, required: self.required }
    }

    fn play(&self, mix: &Mix) -> Result<(), Failure> {
        let notes = || tone::blocks(&NOTES, PEAK);
        match self.chime {
            Chime::None => Ok(()),
            Chime::Soft => {
                drop(mix.play(notes().collect()));
                Ok(())
            }
            Chime::Before => {
                let played = mix.play(notes().chain([[0; BLOCK]; TAIL]).collect());
                played.recv_timeout(PLAYED_WITHIN).map_err(|_| {
                    mix.silence();
                    Failure::Chime
                })
            }
        }
    }

    /// Says what is wrong once. Returns whether the devices may be opened nevertheless.
    fn note(&self, outcome: Result<(), Failure>) -> bool {
        let problem = outcome.err().map(|failure| failure.to_string());
        let mut known = lock(&self.problem);
        if let Some(problem) = &problem
            && known.as_ref() != Some(problem)
        {
            match self.required {
                true => {
                    log::error!("{problem}. Nobody is seen or heard without the sign, as [indicator] required says")
                }
                false => log::warn!("{problem}. Calls go on without the sign"),
            }
        }
        *known = problem;
        known.is_none() || !self.required
    }
}
