//! Cameras, sound cards and codecs: blocking threads; no tokio, no network.

pub mod audio;
pub mod opus;
pub mod voice;
