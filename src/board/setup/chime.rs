//! What a person hears who holds a code into the camera, without a screen to look at.

use crate::media::audio::tone::{self, Note};
use crate::media::audio::{AudioError, BLOCK, Speaker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chime {
    /// The camera is looking.
    Ready,
    /// The code was taken: rising.
    Taken,
    /// A code was read and refused: low.
    Refused,
}

/// -10 dBFS: to be heard across a hall on a small speaker.
const PEAK: f64 = 0.316;
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
        for block in tone::blocks(self.notes(), PEAK) {
            speaker.write(&block)?;
        }
        (0..TAIL).try_for_each(|_| speaker.write(&[0; BLOCK]))
    }
}
