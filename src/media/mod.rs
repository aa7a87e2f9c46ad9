//! Cameras, sound cards and codecs: blocking threads; no tokio, no network.

pub mod audio;
pub mod camera;
pub mod convert;
pub mod frame;
pub mod h264;
pub mod led;
mod lettering;
pub mod opus;
pub mod pulse;
pub mod scale;
mod supervise;
pub mod video;
pub mod voice;
