//! Voice both ways: [`VoiceSource`] turns the microphone into packets for all peers, [`VoiceSink`] turns the callers'
//! packets into one stream for the speaker. Each owns one thread, which lives as long as the handle and opens its
//! device again after a fault.

mod caller;
mod sink;
mod source;

pub use caller::{CallerStats, CallerVoice};
pub use sink::{CALLERS_MAX, Mix, VoiceSink, VoiceSinkStats};
pub use source::{VoiceSource, VoiceSourceStats};

#[cfg(test)]
mod tests;
