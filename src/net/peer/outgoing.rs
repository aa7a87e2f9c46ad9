//! Pictures and voice into RTP packets: each peer has its own SSRCs, sequence numbers and timestamps (RFC 3550).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::reports::SentStream;
use super::{PeerError, setup};
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::net::sdp::{OFFERED_VIDEO, OFFERED_VOICE};

/// One stream on its way out.
pub(super) struct Outgoing {
    pub(super) stream: Arc<SentStream>,
    pub(super) track: Arc<TrackLocalStaticRTP>,
    payload_type: u8,
    next_sequence: u16,
    /// The next packet starts a stretch of talk (RFC 7587, section 4.1), or is the first after a gap.
    next_position: Option<u64>,
}

impl Outgoing {
    pub(super) fn new(kind: RtpCodecKind, stream: Arc<SentStream>) -> Outgoing {
        Outgoing {
            track: setup::track(kind, &stream),
            payload_type: if kind == RtpCodecKind::Video { OFFERED_VIDEO } else { OFFERED_VOICE },
            stream,
            next_sequence: fastrand::u16(..),
            next_position: None,
        }
    }

    pub(super) async fn send_video(&mut self, unit: &AccessUnit) -> Result<(), PeerError> {
        let timestamp = self.stream.timestamp_at(unit.captured);
        let last = unit.payloads().len().saturating_sub(1);
        for (index, payload) in unit.payloads().iter().enumerate() {
            self.send(payload.clone(), timestamp, index == last).await?;
        }
        Ok(())
    }

    pub(super) async fn send_voice(&mut self, packet: &VoicePacket) -> Result<(), PeerError> {
        let timestamp = self.stream.timestamp_of(packet.position);
        let after = packet.position + VoicePacket::SAMPLES;
        let marker = self.next_position.replace(after) != Some(packet.position);
        self.stream.follow(after, Instant::now());
        self.send(packet.data.clone(), timestamp, marker).await
    }

    async fn send(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Result<(), PeerError> {
        let header = Header {
            version: 2,
            marker,
            // The one that the stack knows; `reports` puts the agreed one in its place.
            payload_type: self.payload_type,
            sequence_number: self.next_sequence,
            timestamp,
            ssrc: self.stream.ssrc,
            ..Default::default()
        };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.stream.packets.fetch_add(1, Ordering::Relaxed);
        self.stream.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        // An error means that the connection's task has ended, which its owner hears as an event.
        self.track.write_rtp(Packet { header, payload }).await.map_err(|_| PeerError::Closed)
    }
}
