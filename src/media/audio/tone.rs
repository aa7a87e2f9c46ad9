//! Notes for people, made as they are played.

use std::f64::consts::TAU;

use super::{BLOCK, RATE};

/// Pitch in hertz and length in blocks of 10 ms.
pub type Note = (f64, usize);

/// Samples in which a note grows and fades, so that it does not click.
const RAMP: usize = RATE as usize / 200;

/// The notes one after the other, in blocks. `peak` is a share of full scale.
pub fn blocks(notes: &[Note], peak: f64) -> impl Iterator<Item = [i16; BLOCK]> {
    notes.iter().flat_map(move |&(pitch, blocks)| {
        let length = blocks * BLOCK;
        (0..length).step_by(BLOCK).map(move |start| {
            std::array::from_fn(|i| {
                let at = start + i;
                let ramp = (at.min(length - at) as f64 / RAMP as f64).min(1.0);
                ((TAU * pitch * at as f64 / f64::from(RATE)).sin() * peak * 32_767.0 * ramp) as i16
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::audio::measure;

    #[test]
    fn a_note_has_its_pitch_length_and_level_and_begins_and_ends_in_silence() {
        let heard: Vec<i16> = blocks(&[(660.0, 20), (880.0, 10)], 0.1).flatten().collect();
        assert_eq!(heard.len(), 30 * BLOCK);
        let (first, second) = heard.split_at(20 * BLOCK);
        for (note, pitch) in [(first, 660.0), (second, 880.0)] {
            assert!((measure::pitch(note) - pitch).abs() < 5.0, "{}", measure::pitch(note));
            assert!(note[0].unsigned_abs() < 20 && note[note.len() - 1].unsigned_abs() < 200);
            assert!((3_000..3_300).contains(&note.iter().map(|sample| sample.unsigned_abs()).max().unwrap()));
        }
    }
}
