//! Session descriptions (RFC 8866): what another side's offer or answer means for a call, and what is said in reply. The
//! WebRTC stack sees neither (`net/peer/stack.rs`), so that it is here where other people's clients are understood. Pure
//! and total: any text gives a verdict, none a panic.

mod candidate;
mod h264;
mod read;
mod terms;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use crate::protocol::MAX_MESSAGE_BYTES;

pub use candidate::{Unusable, usable};
pub use h264::{LEAST_LEVEL, NoPicture, PictureFormat};
pub use read::{Codec, Description, Medium, Section, Setup, Transport};
pub use terms::{Equipment, Kind, Marks, Remote, Terms, Video, Voice};
pub use write::{Local, OFFERED_VIDEO, OFFERED_VOICE, OPUS_FORMAT, STREAM, VIDEO_FEEDBACK, answer, offer};

/// What is offered of H.264, for whoever has to name it to the stack.
pub const H264_FORMAT: &str = h264::OFFERED;
/// Most sections of any kind. A call has three; others are declined, and those that were taken away in a long call keep
/// their place.
pub const MAX_SECTIONS: usize = 32;

/// Why a description is refused. The text is for the person at the other end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the description has {0} bytes, at most {MAX_MESSAGE_BYTES} are read")]
    TooLong(usize),
    #[error("the description does not start with v=0")]
    NotSdp,
    #[error("line {0} of the description cannot be read")]
    BadLine(usize),
    #[error("the description has no audio and no video section")]
    NoMedia,
    #[error("the description has more than {MAX_SECTIONS} sections")]
    TooManySections,
    #[error("two sections of the description have the same a=mid")]
    SameMid,
    #[error(
        "BUNDLE is required: the description has sections for audio and video and no a=group:BUNDLE that lets them share \
         a transport (bundle policy \"max-bundle\")"
    )]
    NoBundle,
    #[error("the description has no a={0}, which a WebRTC call cannot be without")]
    Missing(&'static str),
    #[error("nothing in the description can be sent or played here: voice is Opus, pictures are H.264")]
    NothingInCommon,
    #[error("the description has another certificate fingerprint than the call began with: that takes a new call")]
    OtherCertificate,
}

/// Whether an offer, first or further, can be answered at all.
pub fn check(offer: &str) -> Result<(), SdpError> {
    checked(offer).map(drop)
}

/// Whether a call can begin with an offer: there is something in it to send or to play.
pub fn check_first(offer: &str) -> Result<(), SdpError> {
    if checked(offer)?.is_empty() { Err(SdpError::NothingInCommon) } else { Ok(()) }
}

fn checked(offer: &str) -> Result<Terms, SdpError> {
    let description = Description::read(offer)?;
    let terms = Terms::of(&description, Kind::Offer, Equipment::default())?;
    // A further offer may take everything away, the transport as well.
    if terms.transport.is_some() {
        Remote::of(&description, &terms)?;
    }
    Ok(terms)
}

/// The session's name in the `o=` line (RFC 8866, section 5.2: the session ID; not the version). It tells calls of one
/// pair apart where nothing else does.
pub fn session_id(sdp: &str) -> Option<&str> {
    read::lines(sdp).find_map(|line| line.strip_prefix("o=")?.split(' ').nth(1)).filter(|id| !id.is_empty())
}

/// The version in the `o=` line, which grows with each description of a session.
pub fn session_version(sdp: &str) -> Option<u64> {
    read::lines(sdp).find_map(|line| line.strip_prefix("o=")?.split(' ').nth(2))?.parse().ok()
}
