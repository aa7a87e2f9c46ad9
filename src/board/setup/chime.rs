//! What a person hears who holds a code into the camera, without a screen to look at.

use std::f64::consts::TAU;

use crate::media::audio::{AudioError, BLOCK, RATE, Speaker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chime {
    /// The camera is looking.
    Ready,
    /// The code was taken: rising.
    Taken,
    /// A code was read and refused: low.
    Refused,
}

/// Pitch in hertz and length in blocks of 10 ms.
type Note = (f64, usize);

/// -10 dBFS: to be heard across a hall on a small speaker.
const PEAK: f64 = 0.316 * 32_767.0;
/// Samples in which a note grows and fades, so that it does not click.
const RAMP: usize = RATE as usize / 200;
/// Blocks of silence that push the last note out of the card's buffer.
const TAIL: usize = 25;

impl Chime {
    fn notes(self) -> &'static [Note] {
        match self {
            Chime::Ready => &[(1000.0, 4)],
            Chime::Taken => &[(523.25, 12), (659.26, 12), (783.99, 24)],
            Chime::Refused => &[(196.0, 40)],
        }
    }

    /// Plays it to its end.
    pub fn play(self, speaker: &mut dyn Speaker) -> Result<(), AudioError> {
        for &(pitch, blocks) in self.notes() {
            let length = blocks * BLOCK;
            for start in (0..length).step_by(BLOCK) {
                let sample = |i: usize| {
                    let at = start + i;
                    let ramp = (at.min(length - at) as f64 / RAMP as f64).min(1.0);
                    ((TAU * pitch * at as f64 / f64::from(RATE)).sin() * PEAK * ramp) as i16
                };
                speaker.write(&std::array::from_fn(sample))?;
            }
        }
        (0..TAIL).try_for_each(|_| speaker.write(&[0; BLOCK]))
    }
}
