//! Voice both ways: [`VoiceSource`] turns the microphone into packets for all peers, [`VoiceSink`] turns the callers'
//! packets into one stream for the speaker. Each owns one thread, which lives as long as the handle and opens its
//! device again after a fault.

mod caller;
mod sink;
mod source;
mod supervise;

pub use caller::{CallerStats, CallerVoice};
pub use sink::{CALLERS_MAX, VoiceSink, VoiceSinkStats};
pub use source::{VoiceSource, VoiceSourceStats};

/// A thread that panicked is reported by its supervisor; what it left behind is still the best there is.

#[cfg(test)]
mod tests;
