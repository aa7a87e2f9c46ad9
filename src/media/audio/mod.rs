//! Microphones and speakers. Every one of them speaks 48 kHz mono in blocks of 10 ms, and has a clock.

pub mod alsa;
pub mod file;
pub mod synthetic;
pub mod tone;

#[cfg(test)]
pub(crate) mod measure;
mod pace;

use std::path::PathBuf;

use super::opus::OpusError;
use file::WavError;

/// Samples a second.
pub const RATE: u32 = 48_000;
/// Samples of a block: 10 ms.
pub const BLOCK: usize = 480;

pub trait Microphone: Send {
    /// For logs: which device, at which settings.
    fn describe(&self) -> String;

    /// Blocks until the next 10 ms are recorded; about a second at most, then an error.
    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError>;

    /// Samples that were lost (overruns) since the last call.
    fn take_lost(&mut self) -> u64 {
        0
    }

    /// Overruns since the device was opened.
    fn xruns(&self) -> u64 {
        0
    }
}

pub trait Speaker: Send {
    /// For logs: which device, at which settings.
    fn describe(&self) -> String;

    /// Blocks until the device has room for the next 10 ms; about a second at most, then an error.
    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError>;

    /// Underruns since the device was opened.
    fn xruns(&self) -> u64 {
        0
    }
}

/// Opens the microphone, and opens it again after it failed.
pub type OpenMicrophone = Box<dyn FnMut() -> Result<Box<dyn Microphone>, AudioError> + Send>;
/// Opens the speaker, and opens it again after it failed.
pub type OpenSpeaker = Box<dyn FnMut() -> Result<Box<dyn Speaker>, AudioError> + Send>;

#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("no sound card is plugged in")]
    Missing,
    #[error("ALSA device {pcm:?}: {detail}; `callbox devices` lists what there is")]
    NotFound { pcm: String, detail: String },
    #[error("ALSA device {pcm:?} is in use by another program")]
    Busy { pcm: String },
    #[error("ALSA device {pcm:?}: no right to open it; add this user to the group \"audio\"")]
    Forbidden { pcm: String },
    #[error("ALSA device {pcm:?} cannot {what}: {detail}")]
    Unfit { pcm: String, what: &'static str, detail: String },
    #[error("ALSA device {pcm:?} was unplugged")]
    Unplugged { pcm: String },
    #[error("ALSA device {pcm:?} does not move")]
    Stalled { pcm: String },
    #[error("ALSA device {pcm:?}: {detail}")]
    Failed { pcm: String, detail: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: hound::Error },
    #[error("{}: {source}", path.display())]
    Unread { path: PathBuf, source: WavError },
    #[error("{} holds no sound", path.display())]
    EmptyFile { path: PathBuf },
    #[error("{}: cannot convert {rate} Hz to 48000 Hz: {detail}", path.display())]
    Rate { path: PathBuf, rate: u32, detail: String },
    #[error("{} is {found}; only 48000 Hz, 1 channel, 16-bit integers can be appended to: move it away", path.display())]
    OtherFormat { path: PathBuf, found: String },
    #[error(transparent)]
    Codec(#[from] OpusError),
}
