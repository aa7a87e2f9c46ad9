//! One connection with its two streams, from start to release.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::Receiver;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit};

use super::events::Events;
use super::gathering;
use super::hearing::Hearing;
use super::incoming::{Handler, Incoming};
use super::outgoing::Outgoing;
use super::relays::Relays;
use super::reports::SentStream;
use super::socket::Traffic;
use super::stack::DataChannels;
use super::{CloseReason, Equipment, PeerError, PeerEvent, PeerSettings, setup};
use crate::base::lock::lock;
use crate::logic::picture::level::Level;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::net::sdp::{self, Kind, NoPicture, OFFERED_VOICE, Remote, Setup, Terms, Unusable};
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
    /// What this side has, and what of it counts for this call.
    owned: Equipment,
    equipment: Mutex<Equipment>,
    relay_only: bool,
    /// One negotiation at a time.
    pub(super) negotiation: AsyncMutex<()>,
    negotiated: Mutex<Option<Negotiated>>,
    agreed: Mutex<Agreed>,
    hearing: Arc<Hearing>,
    candidates: Mutex<Candidates>,
    pub(super) candidates_skipped: AtomicU64,
    released: AtomicBool,
}

/// What outlives the sections of a call: the transport that carries all of them.
#[derive(Clone)]
pub(super) struct Negotiated {
    pub(super) remote: Remote,
    /// Our part in DTLS.
    pub(super) setup: Setup,
    pub(super) data: Option<DataChannels>,
}

/// What is sent, as last negotiated.
#[derive(Clone, Default)]
struct Agreed {
    /// The level that the other side's decoder takes.
    pictures: Option<Level>,
    no_picture: Option<NoPicture>,
    voice: bool,
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
        let hearing = Arc::new(Hearing::default());
        let connection =
            setup::connection(settings, servers, events, traffic, streams.clone(), hearing.clone(), handler).await?;
        incoming.spawn(incoming.clone().watch(Arc::downgrade(&connection), settings.liveness));
        let [video, voice] = &streams;
        let video = Outgoing::new(RtpCodecKind::Video, video.clone());
        let voice = Outgoing::new(RtpCodecKind::Audio, voice.clone());
        setup::add_tracks(&connection, [voice.track.clone(), video.track.clone()]).await?;
        let connection = Connection {
            connection,
            incoming,
            video: AsyncMutex::new(video),
            voice: AsyncMutex::new(voice),
            streams,
            owned: settings.equipment,
            equipment: Mutex::new(settings.equipment),
            relay_only: settings.relay_only,
            negotiation: AsyncMutex::new(()),
            negotiated: Mutex::default(),
            agreed: Mutex::default(),
            hearing,
            candidates: Mutex::default(),
            candidates_skipped: AtomicU64::new(0),
            released: AtomicBool::new(false),
        };
        Ok((connection, receiver))
    }

    pub(super) fn equipment(&self) -> Equipment {
        *lock(&self.equipment)
    }

    /// From the next description on this is what counts, as far as this side has it.
    pub(super) fn confine(&self, to: Equipment) {
        *lock(&self.equipment) = self.owned.within(to);
    }

    pub(super) fn negotiated(&self) -> Option<Negotiated> {
        lock(&self.negotiated).clone()
    }

    /// From now on these terms count. `kind` of the description in which the other side accepted them.
    pub(super) fn agree(&self, negotiated: Negotiated, terms: &Terms, kind: Kind) {
        *lock(&self.negotiated) = Some(negotiated);
        let [video, voice] = &self.streams;
        if let Some(format) = terms.pictures() {
            video.payload_type.store(format.payload_type, Ordering::Relaxed);
        }
        match &terms.voice {
            Some(agreed) => {
                voice.payload_type.store(agreed.payload_type, Ordering::Relaxed);
                let mut expected = vec![agreed.payload_type];
                // Whoever answers sends what was offered under the number that we gave it.
                expected.extend((kind == Kind::Answer).then_some(OFFERED_VOICE));
                expected.retain(|_| agreed.receives);
                self.hearing.agree(expected, agreed.marks.clone());
            }
            None => self.hearing.agree(Vec::new(), Default::default()),
        }
        *lock(&self.agreed) = Agreed {
            pictures: terms.pictures().map(|format| format.level),
            no_picture: terms.no_picture(),
            voice: terms.voice.as_ref().is_some_and(|voice| voice.sends),
        };
    }

    fn agreed(&self) -> Agreed {
        lock(&self.agreed).clone()
    }

    pub(super) fn pictures(&self) -> Option<Level> {
        self.agreed().pictures
    }

    pub(super) fn no_picture(&self) -> Option<NoPicture> {
        self.agreed().no_picture
    }

    /// The description with the candidates that are there at once.
    pub(super) async fn with_candidates(&self, sdp: String) -> String {
        // Where everything is relayed they tell of no address of their own.
        let expected = if self.relay_only { 0 } else { self.incoming.traffic.addresses() };
        let found = self.incoming.gathering.take(expected).await;
        let written = gathering::write(&sdp, self.incoming.section(), &found.candidates);
        if written.is_none() {
            found.candidates.into_iter().for_each(|one| self.incoming.events.tell(PeerEvent::Candidate(Some(one))));
        }
        if found.complete {
            self.incoming.events.tell(PeerEvent::Candidate(None));
        }
        written.unwrap_or(sdp)
    }

    pub(super) async fn send_video(&self, unit: &AccessUnit) -> Result<(), PeerError> {
        match self.agreed().pictures {
            _ if self.incoming.events.is_closed() => Err(PeerError::Closed),
            _ if self.incoming.traffic.is_muted() => Ok(()),
            Some(_) => self.video.lock().await.send_video(unit).await,
            None => Ok(()),
        }
    }

    pub(super) async fn send_voice(&self, packet: &VoicePacket) -> Result<(), PeerError> {
        match self.agreed().voice {
            _ if self.incoming.events.is_closed() => Err(PeerError::Closed),
            _ if self.incoming.traffic.is_muted() => Ok(()),
            true => self.voice.lock().await.send_voice(packet).await,
            false => Ok(()),
        }
    }

    pub(super) async fn add_candidate(&self, candidate: &Candidate) -> Result<(), PeerError> {
        if candidate.candidate.trim().is_empty() {
            return Ok(());
        }
        match sdp::usable(&candidate.candidate) {
            Ok(plain) => self.add_usable(plain).await,
            Err(Unusable::Unsupported) => {
                self.candidates_skipped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(Unusable::Malformed) => {
                Err(PeerError::Candidate("it is not of the form candidate:FOUNDATION COMPONENT udp ...".to_owned()))
            }
        }
    }

    async fn add_usable(&self, candidate: String) -> Result<(), PeerError> {
        let candidate = RTCIceCandidateInit { candidate, ..Default::default() };
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

    /// The other side's description is set: its candidates and early ones go in, and a fresh count begins. One that cannot be
    /// used costs itself alone.
    pub(super) async fn described(&self, candidates: Vec<&str>) {
        let mut all: Vec<String> = Vec::new();
        for candidate in candidates {
            match sdp::usable(candidate) {
                Ok(plain) if !all.contains(&plain) => all.push(plain),
                Ok(_) => {}
                Err(_) => _ = self.candidates_skipped.fetch_add(1, Ordering::Relaxed),
            }
        }
        let all: Vec<RTCIceCandidateInit> = {
            let mut known = self.candidates();
            known.described = true;
            let written = all.into_iter().map(|candidate| RTCIceCandidateInit { candidate, ..Default::default() });
            let all = written.chain(std::mem::take(&mut known.early)).take(MAX_CANDIDATES).collect::<Vec<_>>();
            known.taken = all.len();
            all
        };
        for candidate in all {
            if let Err(error) = self.connection.add_ice_candidate(candidate).await {
                self.candidates_skipped.fetch_add(1, Ordering::Relaxed);
                log::debug!(error:% = error; "a candidate could not be used");
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
