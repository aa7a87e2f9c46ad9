//! Which of the packets that arrive are the caller's voice, and the receiver reports about them (RFC 3550, section 6.4.2).
//! By mid where the packet has one, else by payload type (RFC 9143, section 9.2): many clients declare no SSRC, others
//! change it during the call.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rtc::interceptor::{
    Interceptor, Packet, ReceiverReportBuilder, ReceiverReportInterceptor, StreamInfo, TaggedPacket,
};
use rtc::rtp::Header;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use crate::base::lock::lock;
use crate::logic::unit::ReceivedVoice;
use crate::net::sdp::Marks;

/// How long a stream must have been silent before another SSRC takes its place: two that talk at once would be noise.
const SILENCE: Duration = Duration::from_millis(100);

/// What was agreed of the voice that comes in; nothing is heard before.
#[derive(Default)]
pub(super) struct Hearing(Mutex<Agreed>);

#[derive(Default)]
struct Agreed {
    /// The one that the other side named, and the one that we offered.
    payload_types: Vec<u8>,
    marks: Marks,
}

impl Hearing {
    pub(super) fn agree(&self, payload_types: Vec<u8>, marks: Marks) {
        *lock(&self.0) = Agreed { payload_types, marks };
    }

    fn is_voice(&self, header: &Header) -> bool {
        let Agreed { payload_types, marks } = &*lock(&self.0);
        let named = marks.mid.as_ref().and_then(|(id, mid)| Some(header.get_extension(*id)? == mid.as_bytes()));
        payload_types.contains(&header.payload_type) && named.unwrap_or(!marks.foreign.contains(&header.ssrc))
    }
}

/// Sorts one peer's packets.
pub(super) struct Ear {
    /// SSRC of the voice, and when it was heard last.
    heard: Option<(u32, Instant)>,
    reports: ReceiverReportInterceptor,
}

impl Ear {
    pub(super) fn new() -> Ear {
        Ear { heard: None, reports: ReceiverReportBuilder::new().build() }
    }

    /// The caller's voice in a packet, if that is what it carries.
    pub(super) fn hear(&mut self, hearing: &Hearing, arrived: TaggedPacket) -> Result<Option<ReceivedVoice>, Error> {
        let Packet::Rtp(packet) = &arrived.message.packet else { return Ok(None) };
        if !hearing.is_voice(&packet.header) || !self.follow(packet.header.ssrc, arrived.now) {
            return Ok(None);
        }
        let voice = ReceivedVoice {
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            payload: packet.payload.clone(),
        };
        self.reports.handle_read(arrived)?;
        while self.reports.poll_read().is_some() {}
        Ok(Some(voice).filter(|voice| !voice.payload.is_empty()))
    }

    /// Reads sender reports, which receiver reports refer to, and gives the packet back.
    pub(super) fn read(&mut self, arrived: TaggedPacket) -> Result<Option<TaggedPacket>, Error> {
        self.reports.handle_read(arrived)?;
        Ok(self.reports.poll_read())
    }

    fn follow(&mut self, ssrc: u32, now: Instant) -> bool {
        match self.heard {
            Some((known, _)) if known == ssrc => {}
            Some((_, last)) if now.saturating_duration_since(last) < SILENCE => return false,
            old => {
                let stream = |ssrc| StreamInfo { ssrc, clock_rate: 48_000, ..StreamInfo::default() };
                if let Some((old, _)) = old {
                    self.reports.unbind_remote_stream(&stream(old));
                }
                self.reports.bind_remote_stream(&stream(ssrc));
            }
        }
        self.heard = Some((ssrc, now));
        true
    }

    pub(super) fn report(&mut self) -> Option<TaggedPacket> {
        self.reports.poll_write()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.reports.handle_timeout(now)
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        self.reports.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rtc::interceptor::AttributedPacket;
    use rtc::shared::TransportContext;

    use super::*;

    fn packet(ssrc: u32, payload_type: u8, mid: Option<&'static str>, now: Instant) -> TaggedPacket {
        let mut header = Header { version: 2, ssrc, payload_type, ..Header::default() };
        if let Some(mid) = mid {
            header.set_extension(4, Bytes::from_static(mid.as_bytes())).unwrap();
        }
        let packet = Packet::Rtp(rtc::rtp::Packet { header, payload: Bytes::from_static(b"voice") });
        TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
    }

    #[test]
    fn voice_is_known_by_mid_and_else_by_payload_type() {
        let (hearing, now) = (Hearing::default(), Instant::now());
        let hears = |ssrc, payload_type, mid| {
            Ear::new().hear(&hearing, packet(ssrc, payload_type, mid, now)).unwrap().is_some()
        };
        assert!(!hears(7, 96, None), "nothing was agreed");
        hearing.agree(vec![96], Marks { mid: Some((4, "voice".to_owned())), foreign: vec![9] });
        assert!(hears(7, 96, None) && hears(8, 96, None), "whatever its SSRC");
        assert!(!hears(7, 97, None), "another format");
        assert!(!hears(9, 96, None), "an SSRC of another section");
        assert!(hears(9, 96, Some("voice")) && !hears(7, 96, Some("music")), "the mid is the better mark");
    }

    #[test]
    fn one_stream_at_a_time_is_heard_and_reported() {
        let (hearing, start) = (Hearing::default(), Instant::now());
        hearing.agree(vec![96], Marks::default());
        let mut ear = Ear::new();
        let mut hears = |ssrc, after: u64| {
            let packet = packet(ssrc, 96, None, start + Duration::from_millis(after));
            ear.hear(&hearing, packet).unwrap().is_some()
        };
        assert_eq!(
            [hears(1, 0), hears(2, 10), hears(1, 20), hears(2, 119), hears(2, 120)],
            [true, false, true, false, true]
        );
        let due = ear.poll_timeout().expect("a report");
        ear.handle_timeout(due).unwrap();
        let Some(Packet::Rtcp(reports)) = ear.report().map(|tagged| tagged.message.packet) else { panic!("a report") };
        assert_eq!(reports[0].destination_ssrc(), [2]);
        assert!(ear.report().is_none(), "nothing of the stream that ended");
    }
}
