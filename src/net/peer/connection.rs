//! One connection with its two streams, from start to release.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::Receiver;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit};

use super::events::Events;
use super::gathering;
use super::incoming::{Handler, Incoming};
use super::outgoing::Outgoing;
use super::relays::Relays;
use super::reports::SentStream;
use super::socket::Traffic;
use super::{CloseReason, Equipment, PeerError, PeerEvent, PeerSettings, setup};
use crate::base::lock::lock;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::protocol::{Candidate, MAX_CANDIDATES};

/// Closing takes about a millisecond; what takes longer than this is left to the runtime.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a goodbye may wait for its way out.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);

pub(super) struct Connection {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) incoming: Arc<Incoming>,
    pub(super) video: AsyncMutex<Outgoing>,
    pub(super) voice: AsyncMutex<Outgoing>,
    pub(super) streams: [Arc<SentStream>; 2],
    pub(super) equipment: Equipment,
    /// One negotiation at a time.
    pub(super) negotiation: AsyncMutex<()>,
    agreed: Mutex<Agreed>,
    candidates: Mutex<Candidates>,
    released: AtomicBool,
}

/// What may be sent, as last negotiated.
#[derive(Clone, Default)]
pub(super) struct Agreed {
    /// Payload type and `profile-level-id`.
    pub(super) video: Option<(u8, String)>,
    /// Payload type.
    pub(super) voice: Option<u8>,
}

#[derive(Default)]
struct Candidates {
    taken: usize,
    /// Before the other side's description. At most [`MAX_CANDIDATES`].
    early: Vec<RTCIceCandidateInit>,
    described: bool,
}

impl Connection {
    pub(super) async fn start(settings: &PeerSettings) -> Result<(Connection, Receiver<PeerEvent>), PeerError> {
        let (events, receiver) = Events::new();
        let events = Arc::new(events);
        let servers = setup::ice_servers(settings);
        let relays = Relays::new(&servers, settings.relay_only);
        let traffic = Arc::new(Traffic::default());
        let incoming = Arc::new(Incoming::new(events.clone(), relays, traffic.clone()));
        let epoch = Instant::now();
        let streams = [Arc::new(SentStream::new(90_000, epoch)), Arc::new(SentStream::new(48_000, epoch))];
        let handler = Arc::new(Handler(incoming.clone()));
        let connection = setup::connection(settings, servers, events, traffic, streams.clone(), handler).await?;
        incoming.spawn(incoming.clone().watch(Arc::downgrade(&connection), settings.liveness));
        let [video, voice] = &streams;
        let connection = Connection {
            connection,
            incoming,
            video: AsyncMutex::new(Outgoing::new(RtpCodecKind::Video, video.clone())),
            voice: AsyncMutex::new(Outgoing::new(RtpCodecKind::Audio, voice.clone())),
            streams,
            equipment: settings.equipment,
            negotiation: AsyncMutex::new(()),
            agreed: Mutex::default(),
            candidates: Mutex::default(),
            released: AtomicBool::new(false),
        };
        Ok((connection, receiver))
    }

    pub(super) fn agree(&self, agreed: Agreed) {
        *lock(&self.agreed) = agreed;
    }

    fn agreed(&self) -> Agreed {
        lock(&self.agreed).clone()
    }

    pub(super) fn video_level(&self) -> Option<String> {
        self.agreed().video.map(|(_, level)| level)
    }

    /// The description with the candidates that are there at once.
    pub(super) async fn with_candidates(&self, sdp: String) -> String {
        let found = self.incoming.gathering.take(self.incoming.traffic.sockets()).await;
        let written = gathering::write(&sdp, &found.candidates);
        if written.is_none() {
            found.candidates.into_iter().for_each(|one| self.incoming.events.tell(PeerEvent::Candidate(Some(one))));
        }
        if found.complete {
            self.incoming.events.tell(PeerEvent::Candidate(None));
        }
        written.unwrap_or(sdp)
    }

    pub(super) async fn send_video(&self, unit: &AccessUnit) -> Result<(), PeerError> {
        match self.agreed().video {
            _ if self.incoming.events.is_closed() => Err(PeerError::Closed),
            _ if self.incoming.traffic.is_muted() => Ok(()),
            Some((payload_type, _)) => self.video.lock().await.send_video(unit, payload_type).await,
            None => Ok(()),
        }
    }

    pub(super) async fn send_voice(&self, packet: &VoicePacket) -> Result<(), PeerError> {
        match self.agreed().voice {
            _ if self.incoming.events.is_closed() => Err(PeerError::Closed),
            _ if self.incoming.traffic.is_muted() => Ok(()),
            Some(payload_type) => self.voice.lock().await.send_voice(packet, payload_type).await,
            None => Ok(()),
        }
    }

    pub(super) async fn add_candidate(&self, candidate: &Candidate) -> Result<(), PeerError> {
        // The network type decides what is done with it: no TCP connections on behalf of others.
        if !candidate.candidate.split(' ').nth(2).is_some_and(|protocol| protocol.eq_ignore_ascii_case("udp")) {
            return match candidate.candidate.trim() {
                "" => Ok(()),
                text if text.to_ascii_lowercase().contains(" tcp ") => Ok(()),
                _ => {
                    Err(PeerError::Candidate("it is not of the form candidate:FOUNDATION COMPONENT udp ...".to_owned()))
                }
            };
        }
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.sdp_mid.clone(),
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment.clone(),
            url: None,
        };
        {
            let mut candidates = self.candidates();
            candidates.taken += 1;
            if candidates.taken > MAX_CANDIDATES {
                return Ok(());
            }
            if !candidates.described {
                candidates.early.push(candidate);
                return Ok(());
            }
        }
        self.connection.add_ice_candidate(candidate).await.map_err(|error| PeerError::Candidate(error.to_string()))
    }

    /// The other side's description is set: early candidates go in, and a fresh count begins.
    pub(super) async fn described(&self) {
        let early = {
            let mut candidates = self.candidates();
            candidates.described = true;
            candidates.taken = candidates.early.len();
            std::mem::take(&mut candidates.early)
        };
        for candidate in early {
            if let Err(error) = self.connection.add_ice_candidate(candidate).await {
                log::warn!(error:% = error; "an early candidate could not be used");
            }
        }
    }

    fn candidates(&self) -> std::sync::MutexGuard<'_, Candidates> {
        lock(&self.candidates)
    }

    pub(super) async fn goodbye(&self) {
        if let Some(channel) = self.incoming.channel() {
            let text = r#"{"type":"goodbye","reason":"hangup"}"#;
            let _ = tokio::time::timeout(GOODBYE_TIMEOUT, channel.send_text(text)).await;
        }
    }

    pub(super) fn fail(&self, reason: &str) {
        self.incoming.events.close(CloseReason::Failed(reason.to_owned()));
    }

    pub(super) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub(super) async fn close(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        self.incoming.events.close(CloseReason::Local);
        self.incoming.release();
        match tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!(error:% = error; "a call's connection did not close cleanly"),
            Err(_) => log::warn!("a call's connection took more than 2 seconds to close"),
        }
    }
}
