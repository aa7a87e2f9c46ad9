//! What stands between the stack and the network: it hears the caller's voice, key-frame requests and loss reports, and sets
//! payload types and the clocks in our sender reports right.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::events::Events;
use super::hearing::{Ear, Hearing};
use super::repairs::Repairs;

/// One stream that we send: what it counted, what the other side reported, and the clock of its RTP timestamps.
pub(super) struct SentStream {
    pub(super) ssrc: u32,
    /// RTP ticks a second.
    pub(super) clock_rate: u32,
    /// RTP timestamp at the peer's epoch.
    first_timestamp: u32,
    epoch: Instant,
    /// The number of its format on the other side.
    pub(super) payload_type: AtomicU8,
    /// How much later than the epoch the stream's position 0 was captured, in nanoseconds.
    shift: AtomicI64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) retransmitted: AtomicU64,
    pub(super) lost: AtomicU32,
    /// In 1/256 (RFC 3550, section 6.4.1).
    pub(super) fraction_lost: AtomicU32,
    /// In RTP ticks.
    pub(super) jitter: AtomicU32,
}

impl SentStream {
    pub(super) fn new(clock_rate: u32, epoch: Instant) -> SentStream {
        SentStream {
            // 0 would do as well for RFC 3550, but is an invalid SSRC to some receivers.
            ssrc: fastrand::u32(1..),
            clock_rate,
            first_timestamp: fastrand::u32(..),
            epoch,
            payload_type: AtomicU8::new(0),
            shift: AtomicI64::new(0),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            retransmitted: AtomicU64::new(0),
            lost: AtomicU32::new(0),
            fraction_lost: AtomicU32::new(0),
            jitter: AtomicU32::new(0),
        }
    }

    /// The RTP timestamp of what was captured at this time. Times before the epoch are fine: timestamps wrap.
    pub(super) fn timestamp_at(&self, captured: Instant) -> u32 {
        let since = signed_nanos(captured, self.epoch) - i128::from(self.shift.load(Ordering::Relaxed));
        let ticks = (since * i128::from(self.clock_rate)).div_euclid(1_000_000_000);
        self.first_timestamp.wrapping_add(ticks.rem_euclid(1 << 32) as u32)
    }

    /// The RTP timestamp of a position counted in ticks.
    pub(super) fn timestamp_of(&self, position: u64) -> u32 {
        self.first_timestamp.wrapping_add(position as u32)
    }

    /// Notes that the sound up to `position` had been captured by `now`. The least delay seen says when position 0 was
    /// captured; it may grow by 100 microseconds a packet, so that a sound card's clock that runs slow is followed.
    pub(super) fn follow(&self, position: u64, now: Instant) {
        let length = i128::from(position) * 1_000_000_000 / i128::from(self.clock_rate);
        let shift = i64::try_from(signed_nanos(now, self.epoch) - length).unwrap_or_default();
        let known = self.shift.load(Ordering::Relaxed);
        let next = if self.packets.load(Ordering::Relaxed) == 0 { shift } else { shift.min(known + 100_000) };
        self.shift.store(next, Ordering::Relaxed);
    }

    fn note(&self, report: &ReceptionReport) {
        self.lost.store(report.total_lost, Ordering::Relaxed);
        self.fraction_lost.store(u32::from(report.fraction_lost), Ordering::Relaxed);
        self.jitter.store(report.jitter, Ordering::Relaxed);
    }
}

fn signed_nanos(later: Instant, earlier: Instant) -> i128 {
    let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match later.checked_duration_since(earlier) {
        Some(after) => nanos(after),
        None => -nanos(earlier.duration_since(later)),
    }
}

/// Sits closest to the network. Inbound it tells the owner of PLI (RFC 4585, section 6.3.1) and FIR (RFC 5104, section
/// 4.3.1), notes what reception reports say, and bounds what is asked for again; outbound it counts retransmissions and moves the RTP time in sender reports from "when it was
/// written" to "when it was captured", which is what browsers synchronise lips by. RTP that comes in goes no further.
pub(super) struct Reports {
    events: Arc<Events>,
    streams: [Arc<SentStream>; 2],
    repairs: Repairs,
    hearing: Arc<Hearing>,
    ear: Ear,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Reports {
    pub(super) fn new(events: Arc<Events>, streams: [Arc<SentStream>; 2], hearing: Arc<Hearing>) -> Reports {
        let repairs = Repairs::new(Instant::now());
        let (inbound, outbound) = (VecDeque::new(), VecDeque::new());
        Reports { events, streams, repairs, hearing, ear: Ear::new(), inbound, outbound }
    }

    fn stream(&self, ssrc: u32) -> Option<&SentStream> {
        self.streams.iter().find(|stream| stream.ssrc == ssrc).map(Arc::as_ref)
    }

    fn read(&self, packet: &dyn rtc::rtcp::Packet) {
        let packet = packet.as_any();
        if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.events.key_frame_wanted();
        }
        let reports = match (packet.downcast_ref::<ReceiverReport>(), packet.downcast_ref::<SenderReport>()) {
            (Some(report), _) => &report.reports,
            (None, Some(report)) => &report.reports,
            (None, None) => return,
        };
        for report in reports {
            if let Some(stream) = self.stream(report.ssrc) {
                stream.note(report);
            }
        }
    }

    fn with_capture_time(&self, packet: Box<dyn rtc::rtcp::Packet>, now: Instant) -> Box<dyn rtc::rtcp::Packet> {
        let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else { return packet };
        let Some(stream) = self.stream(report.ssrc) else { return packet };
        Box::new(SenderReport { rtp_time: stream.timestamp_at(now), ..report.clone() })
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Reports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut arrived: TaggedPacket) -> Result<(), Error> {
        let Packet::Rtcp(packets) = &mut arrived.message.packet else {
            if let Some(voice) = self.ear.hear(&self.hearing, arrived)? {
                self.events.voice(voice);
            }
            return Ok(());
        };
        {
            for packet in packets {
                self.read(packet.as_ref());
                let request = packet.as_any().downcast_ref::<TransportLayerNack>();
                if let Some(rest) = request.and_then(|request| self.repairs.cut(request, arrived.now)) {
                    *packet = Box::new(rest);
                }
            }
        }
        self.inbound.extend(self.ear.read(arrived)?);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        let again = packet.message.has(&Attribute::Retransmission);
        match &mut packet.message.packet {
            Packet::Rtcp(packets) => {
                let taken = std::mem::take(packets);
                *packets = taken.into_iter().map(|report| self.with_capture_time(report, packet.now)).collect();
            }
            Packet::Rtp(media) => {
                if let Some(stream) = self.stream(media.header.ssrc) {
                    media.header.payload_type = stream.payload_type.load(Ordering::Relaxed);
                    stream.retransmitted.fetch_add(u64::from(again), Ordering::Relaxed);
                }
            }
            _ => {}
        }
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front().or_else(|| self.ear.report())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.ear.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.ear.poll_timeout()
    }
}

impl Interceptor for Reports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
