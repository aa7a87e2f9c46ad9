//! A microphone that hears a tone and a speaker that swallows, both in real time: the twins of a sound card.

use std::f64::consts::TAU;

use super::pace::Metronome;
use super::{AudioError, BLOCK, Microphone, RATE, Speaker};

const HERTZ: u32 = 440;
/// -12 dBFS.
const PEAK: f64 = 0.251 * 32_767.0;

/// A sine of 440 Hz at -12 dBFS.
pub fn microphone() -> Box<dyn Microphone> {
    Box::new(Tone { metronome: Metronome::start(), sample: 0 })
}

/// Plays nothing, at the speed of a sound card.
pub fn speaker() -> Box<dyn Speaker> {
    Box::new(Swallow { metronome: Metronome::start() })
}

struct Tone {
    metronome: Metronome,
    /// Position within a second, which holds a whole number of periods.
    sample: u32,
}

impl Microphone for Tone {
    fn describe(&self) -> String {
        format!("synthetic tone of {HERTZ} Hz")
    }

    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        self.metronome.wait();
        for sample in block {
            let phase = f64::from(self.sample * HERTZ % RATE) / f64::from(RATE);
            *sample = ((phase * TAU).sin() * PEAK) as i16;
            self.sample = (self.sample + 1) % RATE;
        }
        Ok(())
    }
}

struct Swallow {
    metronome: Metronome,
}

impl Speaker for Swallow {
    fn describe(&self) -> String {
        "synthetic speaker".to_owned()
    }

    fn write(&mut self, _: &[i16; BLOCK]) -> Result<(), AudioError> {
        self.metronome.wait();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::media::audio::measure;

    #[test]
    fn the_tone_has_its_pitch_and_level_and_no_seams() {
        let start = Instant::now();
        let mut microphone = microphone();
        let mut heard = Vec::new();
        for _ in 0..30 {
            let mut block = [0; BLOCK];
            microphone.read(&mut block).unwrap();
            heard.extend_from_slice(&block);
        }
        assert!(start.elapsed() >= Duration::from_millis(290));
        assert!((measure::pitch(&heard) - 440.0).abs() < 2.0, "{}", measure::pitch(&heard));
        assert!((measure::dbfs(&heard) + 15.0).abs() < 0.2, "{}", measure::dbfs(&heard));
        assert!(measure::share_of(&heard, 440.0) > 0.999);
    }
}
