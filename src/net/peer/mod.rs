//! The media session with one other side: negotiation, ICE, DTLS, RTP both ways, the data channel. This module is the only
//! place that names the crates `webrtc` and `rtc`; docs/architecture.md lists what is worked around in them.

mod answer;
mod connection;
mod consent;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gathering;
mod guard;
mod hearing;
mod incoming;
mod known;
mod outgoing;
mod relays;
mod repairs;
mod reports;
mod setup;
mod socket;
mod stack;
mod stats;
mod stun;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc::Receiver;

use super::sdp::{NoPicture, SdpError};
use crate::logic::picture::level::Level;
use crate::logic::unit::{AccessUnit, ReceivedVoice, VoicePacket};
use crate::protocol::{Candidate, ErrorCode, IceServer};

pub use super::sdp::Equipment;
pub use consent::Liveness;
pub use stats::{PairStats, PeerStats, SocketStats, StreamStats};

/// Log targets of the WebRTC stack that warn on every healthy call; loggers keep them at `error`.
pub const QUIET_TARGETS: &[&str] = &["rtc_ice", "rtc_sctp", "rtc_dtls", "rtc_mdns", "rtc", "webrtc"];

/// Those of them whose errors, too, are only what the other side sent: how most stacks end a call is one to it. What comes
/// of it we hear as the connection's state.
pub const SILENT_TARGETS: &[&str] = &["rtc_sctp"];

/// How connections are looked for, and what there is to send over them.
#[derive(Clone, Debug, Default)]
pub struct PeerSettings {
    /// STUN and TURN servers. TURN goes over UDP only; other URLs are skipped with a warning.
    pub servers: Vec<IceServer>,
    /// Nothing but relayed connections.
    pub relay_only: bool,
    /// Local addresses to use; empty: those of all interfaces but loopback.
    pub bind: Vec<IpAddr>,
    /// Use loopback beside all interfaces: callers may be on this machine, and it may have no network at all.
    pub loopback: bool,
    /// Resolve the `.local` names that browsers put in place of their addresses.
    pub mdns: bool,
    pub equipment: Equipment,
    pub liveness: Liveness,
}

/// What a peer tells its owner.
#[derive(Debug)]
pub enum PeerEvent {
    /// Found here, for the other side; `None` is the end of them.
    Candidate(Option<Candidate>),
    /// The first connectivity check has come or was answered, which takes the passwords that the descriptions brought: the
    /// other side is there and wants this call. Once, before `Connected`.
    Reached,
    /// ICE and DTLS are up: media may be sent.
    Connected,
    /// No connectivity check has been answered for some seconds; it may come back (then `Connected` follows).
    Disconnected,
    /// The other side cannot decode and needs a key frame.
    KeyFrameWanted,
    Voice(ReceivedVoice),
    /// The other side hung up, over the data channel.
    Goodbye,
    /// Over. The last event.
    Closed(CloseReason),
}

/// Why a peer is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// [`Peer::close`], or the peer was dropped.
    Local,
    /// The other side closed the connection.
    Remote,
    /// It broke here, or cannot come to be; the text says how.
    Failed(String),
}

/// Why something could not be done with a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("cannot use the other side's session description: {0}")]
    Sdp(#[from] SdpError),
    #[error("cannot use the other side's session description: {0}")]
    Negotiation(String),
    #[error("cannot use the other side's candidate: {0}")]
    Candidate(String),
    #[error("ICE policy \"relay\" needs a turn: server over UDP and none is configured: add one under [[ice.servers]]")]
    NoRelay,
    #[error("the call is over")]
    Closed,
    #[error("the media connection broke on something it received")]
    Broken,
    #[error("the WebRTC stack: {0}")]
    Stack(String),
}

impl From<webrtc::error::Error> for PeerError {
    fn from(error: webrtc::error::Error) -> PeerError {
        PeerError::Stack(error.to_string())
    }
}

impl PeerError {
    /// The code of the other side's mistake, where it is one.
    pub fn blame(&self) -> Option<ErrorCode> {
        match self {
            PeerError::Sdp(_) | PeerError::Negotiation(_) => Some(ErrorCode::BadSdp),
            PeerError::Candidate(_) => Some(ErrorCode::BadCandidate),
            PeerError::NoRelay | PeerError::Closed | PeerError::Broken | PeerError::Stack(_) => None,
        }
    }
}

/// One connection to one other side. Dropping it closes it in the background; [`Peer::close`] waits.
pub struct Peer {
    connection: Arc<connection::Connection>,
}

impl Peer {
    /// Takes a call: applies the offer and returns our answer. Candidates follow as events.
    pub async fn answer(
        settings: &PeerSettings,
        offer_sdp: &str,
    ) -> Result<(Peer, String, Receiver<PeerEvent>), PeerError> {
        super::sdp::check_first(offer_sdp)?;
        let (peer, events) = Peer::start(settings).await?;
        let answer = peer.guarded(peer.connection.answer(offer_sdp)).await?;
        let answer = peer.connection.with_candidates(answer).await;
        Ok((peer, answer, events))
    }

    /// Places a call: returns our offer of voice both ways and video from here, as far as there is equipment for it, and of
    /// the data channel.
    pub async fn offer(settings: &PeerSettings) -> Result<(Peer, String, Receiver<PeerEvent>), PeerError> {
        let (peer, events) = Peer::start(settings).await?;
        let offer = peer.guarded(peer.connection.offer()).await?;
        let offer = peer.connection.with_candidates(offer).await;
        Ok((peer, offer, events))
    }

    /// The answer to our offer. It ends the call if it cannot be used.
    pub async fn accept_answer(&self, sdp: &str) -> Result<(), PeerError> {
        self.guarded(self.connection.accept_answer(sdp)).await
    }

    /// A further offer of the same session (tracks added or removed, ICE restart); returns our answer.
    pub async fn renegotiate(&self, offer_sdp: &str) -> Result<String, PeerError> {
        self.guarded(self.connection.answer(offer_sdp)).await
    }

    /// Whether an offer takes away the section that carries the transport, and the transport with it: Chromium does both,
    /// and begins anew under the same ICE password. Others keep it for the rest, with the candidates that it has.
    pub fn is_left_by(&self, offer: &str) -> bool {
        self.connection.is_left_by(offer)
    }

    /// Confines the next descriptions to what the other side may have of this one's equipment.
    pub fn confine(&self, to: Equipment) {
        self.connection.confine(to);
    }

    /// A candidate of the other side. Those that come before its description are kept; those beyond
    /// [`crate::protocol::MAX_CANDIDATES`] are ignored.
    pub async fn add_candidate(&self, candidate: Option<&Candidate>) -> Result<(), PeerError> {
        match candidate {
            Some(candidate) => self.guarded(self.connection.add_candidate(candidate)).await,
            None => Ok(()),
        }
    }

    /// The level that the other side's decoder takes; `None`: it gets no pictures.
    pub fn pictures(&self) -> Option<Level> {
        self.connection.pictures()
    }

    /// Why the other side gets no pictures although it wants them.
    pub fn no_picture(&self) -> Option<NoPicture> {
        self.connection.no_picture()
    }

    /// Sends one picture, timestamped by its capture time. Waits while the connection cannot take more. Does nothing
    /// where the other side takes no video.
    pub async fn send_video(&self, unit: &AccessUnit) -> Result<(), PeerError> {
        self.connection.send_video(unit).await
    }

    /// Sends one packet of voice. Does nothing where the other side does not listen.
    pub async fn send_voice(&self, packet: &VoicePacket) -> Result<(), PeerError> {
        self.connection.send_voice(packet).await
    }

    pub async fn stats(&self) -> PeerStats {
        self.connection.stats().await
    }

    /// Tells the other side over the data channel that we hang up; best effort, bounded.
    pub async fn goodbye(&self) {
        self.connection.goodbye().await;
    }

    /// Ends the connection; within 2 seconds nothing of it is left.
    pub async fn close(self) {
        self.connection.close().await;
    }

    async fn start(settings: &PeerSettings) -> Result<(Peer, Receiver<PeerEvent>), PeerError> {
        let (connection, events) = connection::Connection::start(settings).await?;
        Ok((Peer { connection: Arc::new(connection) }, events))
    }

    /// Runs what reads foreign text, and keeps a panic in it from going further than this peer.
    async fn guarded<T>(&self, work: impl Future<Output = Result<T, PeerError>>) -> Result<T, PeerError> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => result,
            Err(_) => {
                self.connection.fail("the media connection broke on something it received");
                Err(PeerError::Broken)
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let connection = self.connection.clone();
        if !connection.is_released()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { connection.close().await });
        }
    }
}
