//! What the tests hear: pitch, level, and how much of the sound is one tone.

use std::f64::consts::TAU;

use super::{AudioError, BLOCK, Microphone, RATE};

/// The first `blocks` blocks of a microphone that opens.
pub(crate) fn hear(microphone: Result<Box<dyn Microphone>, AudioError>, blocks: usize) -> Vec<i16> {
    let mut microphone = microphone.unwrap();
    let mut heard = Vec::new();
    for _ in 0..blocks {
        let mut block = [0; BLOCK];
        microphone.read(&mut block).unwrap();
        heard.extend_from_slice(&block);
    }
    heard
}

/// Pitch in hertz by rising zero crossings.
pub(crate) fn pitch(voice: &[i16]) -> f64 {
    let crossings: Vec<f64> = voice
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
        .map(|(i, pair)| i as f64 - f64::from(pair[0]) / (f64::from(pair[1]) - f64::from(pair[0])))
        .collect();
    match (crossings.first(), crossings.last()) {
        (Some(first), Some(last)) if last > first => f64::from(RATE) * (crossings.len() - 1) as f64 / (last - first),
        _ => 0.0,
    }
}

/// Level (RMS) relative to full scale in decibels; a sine at full scale has -3.
pub(crate) fn dbfs(voice: &[i16]) -> f64 {
    10.0 * (energy(voice) / voice.len() as f64 / 32_768f64.powi(2)).log10()
}

/// Share of the energy that is at `hertz` (Goertzel).
pub(crate) fn share_of(voice: &[i16], hertz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hertz / f64::from(RATE)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in voice {
        (s1, s2) = (f64::from(*sample) + coefficient * s1 - s2, s1);
    }
    let power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    power * 2.0 / voice.len() as f64 / energy(voice)
}

/// The median of `measure` over windows of 50 ms: what is typical, whatever gaps a busy machine made.
pub(crate) fn typical(voice: &[i16], measure: impl Fn(&[i16]) -> f64) -> f64 {
    let mut values: Vec<f64> = voice.chunks_exact(RATE as usize / 20).map(measure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn energy(voice: &[i16]) -> f64 {
    voice.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}
