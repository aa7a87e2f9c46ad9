//! Figures of one peer.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rtc::statistics::report::{RTCStatsReport, RTCStatsReportEntry};
use serde::Serialize;
use webrtc::peer_connection::StatsSelector;

use super::connection::Connection;
use super::reports::SentStream;

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStats {
    /// The way the media goes; none before the connection is up.
    pub pair: Option<PairStats>,
    pub video: StreamStats,
    pub voice: StreamStats,
    /// Packets of the other side's voice that were dropped because they were not read.
    pub voice_dropped: u64,
    /// Candidates of the other side that are of no use here.
    pub candidates_skipped: u64,
    pub socket: SocketStats,
}

/// The sockets that the media goes over.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketStats {
    /// Datagrams that came and were dropped by the kernel, as nobody read them in time.
    pub dropped: u64,
    /// Nothing is sent, as the other side has not answered for too long.
    pub muted: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairStats {
    /// `host`, `srflx`, `prflx` or `relay`.
    pub local: String,
    pub remote: String,
    pub round_trip_ms: f64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
}

/// What was sent of one stream, and what the other side reported of it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStats {
    pub packets_sent: u64,
    /// Payload only.
    pub bytes_sent: u64,
    /// On request of the other side, besides the former.
    pub packets_retransmitted: u64,
    pub packets_lost: u32,
    /// Since the report before the last, 0 to 1.
    pub fraction_lost: f64,
    pub jitter_ms: f64,
}

impl Connection {
    pub(super) async fn stats(&self) -> PeerStats {
        let report = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        let [video, voice] = &self.streams;
        PeerStats {
            pair: pair(&report),
            video: video.stats(),
            voice: voice.stats(),
            voice_dropped: self.incoming.events.voice_dropped(),
            socket: SocketStats { dropped: self.incoming.traffic.dropped(), muted: self.incoming.traffic.is_muted() },
            candidates_skipped: self.candidates_skipped.load(Ordering::Relaxed),
        }
    }
}

impl SentStream {
    fn stats(&self) -> StreamStats {
        StreamStats {
            packets_sent: self.packets.load(Ordering::Relaxed),
            bytes_sent: self.bytes.load(Ordering::Relaxed),
            packets_retransmitted: self.retransmitted.load(Ordering::Relaxed),
            packets_lost: self.lost.load(Ordering::Relaxed),
            fraction_lost: f64::from(self.fraction_lost.load(Ordering::Relaxed)) / 256.0,
            jitter_ms: f64::from(self.jitter.load(Ordering::Relaxed)) * 1000.0 / f64::from(self.clock_rate),
        }
    }
}

fn pair(report: &RTCStatsReport) -> Option<PairStats> {
    let Some(RTCStatsReportEntry::IceCandidatePair(pair)) = report.get(&report.transport()?.selected_candidate_pair_id)
    else {
        return None;
    };
    // Candidates are listed under a prefix that the pair's references to them lack. Those that were learnt from
    // connectivity checks are not listed.
    let kind = |prefix: &str, id: &str| match report.get(&format!("{prefix}_{id}")) {
        Some(RTCStatsReportEntry::LocalCandidate(candidate) | RTCStatsReportEntry::RemoteCandidate(candidate)) => {
            candidate.candidate_type.to_string()
        }
        _ => "prflx".to_owned(),
    };
    Some(PairStats {
        local: kind("RTCLocalIceCandidate", &pair.local_candidate_id),
        remote: kind("RTCRemoteIceCandidate", &pair.remote_candidate_id),
        round_trip_ms: pair.current_round_trip_time * 1000.0,
        bytes_sent: pair.bytes_sent,
        bytes_received: pair.bytes_received,
        packets_sent: pair.packets_sent,
        packets_received: pair.packets_received,
    })
}
