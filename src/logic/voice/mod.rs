//! Callers' voices on their way to the speaker: put in order, stretched to the sound card's clock, mixed.

pub mod jitter;
pub mod mix;
pub mod stretch;
