//! RTCP: what the other side reports and asks for, and the clocks it synchronises by.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp::Header;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Video;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::Recvonly;

use super::browser::Browser;
use super::*;
use crate::logic::unit::AccessUnit;
use crate::net::peer::events::Events;
use crate::net::peer::hearing::Hearing;
use crate::net::peer::repairs::REPAIRS;
use crate::net::peer::reports::{Reports, SentStream};
use crate::net::sdp::Marks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_packet_is_sent_again_and_losses_are_counted() {
    let mut browser = Browser::new(Some(Recvonly)).await;
    let side = browser.call(false).await;
    let unit = AccessUnit::new([&[0x65, 1, 2, 3][..]], true, Instant::now(), (16, 16));
    side.peer.send_video(&unit).await.unwrap();
    let first = browser.rtp(Video).await;

    let media_ssrc = first.header.ssrc;
    let nacks = vec![NackPair { packet_id: first.header.sequence_number, lost_packets: 0 }];
    browser.feed_back(TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks }).await;
    let report =
        ReceptionReport { ssrc: media_ssrc, fraction_lost: 64, total_lost: 7, jitter: 90, ..Default::default() };
    browser.feed_back(ReceiverReport { ssrc: 1, reports: vec![report], ..Default::default() }).await;
    let counted = async {
        loop {
            let video = side.peer.stats().await.video;
            if (video.packets_lost, video.fraction_lost, video.jitter_ms) == (7, 0.25, 1.0)
                && video.packets_retransmitted == 1
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("the report's figures");
}

#[test]
fn nobody_has_more_sent_again_than_the_uplink_can_bear() {
    let epoch = Instant::now();
    let streams = [Arc::new(SentStream::new(90_000, epoch)), Arc::new(SentStream::new(48_000, epoch))];
    let mut reports = Reports::new(Arc::new(Events::new().0), streams, Arc::default());
    let mut passed = |pairs, lost_packets, now| {
        let nacks = vec![NackPair { packet_id: 7, lost_packets }; pairs];
        let request = TransportLayerNack { sender_ssrc: 1, media_ssrc: 2, nacks };
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(request)]));
        reports.handle_read(TaggedPacket { now, transport: TransportContext::default(), message }).unwrap();
        let Some(Packet::Rtcp(packets)) = reports.poll_read().map(|read| read.message.packet) else { panic!("RTCP") };
        let request = packets[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
        request.nacks.iter().map(|pair| pair.packet_list().len() as u32).sum::<u32>()
    };
    let later = epoch + Duration::from_secs(60);
    assert_eq!(passed(20, 1, later), 40, "what a lossy network asks for");
    let flood = (0..50).map(|_| passed(300, 0xffff, later)).sum::<u32>();
    assert!(flood < REPAIRS, "{flood}");
    let next = (1..=1000).map(|ms| passed(300, 0xffff, later + Duration::from_millis(ms))).sum::<u32>();
    assert!((REPAIRS / 2..=REPAIRS).contains(&next), "{next} in the second after it");
}

#[test]
fn voice_is_taken_from_the_wire_and_reported_and_ours_goes_out_under_the_number_agreed() {
    let now = Instant::now();
    let streams = [Arc::new(SentStream::new(90_000, now)), Arc::new(SentStream::new(48_000, now))];
    streams[0].payload_type.store(35, Ordering::Relaxed);
    let hearing = Arc::new(Hearing::default());
    hearing.agree(vec![96], Marks::default());
    let (events, mut receiver) = Events::new();
    let mut reports = Reports::new(Arc::new(events), streams.clone(), hearing);
    let rtp = |ssrc, payload_type, payload: &'static [u8]| {
        let header = Header { version: 2, ssrc, payload_type, sequence_number: 5, ..Default::default() };
        let packet = Packet::Rtp(rtc::rtp::Packet { header, payload: payload.into() });
        TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
    };
    for (payload_type, payload) in [(97, &b"pictures"[..]), (96, &b""[..]), (96, &b"voice"[..])] {
        reports.handle_read(rtp(77, payload_type, payload)).unwrap();
    }
    assert!(reports.poll_read().is_none(), "nothing is left for the stack");
    let event = receiver.try_recv().unwrap();
    assert!(
        matches!(&event, PeerEvent::Voice(voice) if voice.sequence == 5 && &voice.payload[..] == b"voice"),
        "{event:?}"
    );
    assert!(receiver.try_recv().is_err());

    let due = reports.poll_timeout().expect("a report");
    reports.handle_timeout(due).unwrap();
    let Some(Packet::Rtcp(packets)) = reports.poll_write().map(|out| out.message.packet) else { panic!("RTCP") };
    assert_eq!(packets[0].as_any().downcast_ref::<ReceiverReport>().unwrap().reports[0].ssrc, 77);

    reports.handle_write(rtp(streams[0].ssrc, 102, b"picture")).unwrap();
    let Some(Packet::Rtp(packet)) = reports.poll_write().map(|out| out.message.packet) else { panic!("RTP") };
    assert_eq!(packet.header.payload_type, 35);
}

#[test]
fn timestamps_follow_the_capture_clock() {
    let epoch = Instant::now();
    let video = SentStream::new(90_000, epoch);
    let first = video.timestamp_at(epoch);
    assert_eq!(video.timestamp_at(epoch + Duration::from_millis(40)).wrapping_sub(first), 3600);
    assert_eq!(video.timestamp_at(epoch - Duration::from_millis(40)).wrapping_sub(first), 3600_u32.wrapping_neg());
    // Days later the timestamp has wrapped several times.
    let days = 1_u64 << 20;
    assert_eq!(video.timestamp_at(epoch + Duration::from_secs(days)).wrapping_sub(first), (days * 90_000) as u32);
}

/// A sender report as the stack writes it, through our interceptor.
fn reported(streams: [Arc<SentStream>; 2], ssrc: u32, now: Instant) -> u32 {
    let mut reports = Reports::new(Arc::new(Events::new().0), streams, Arc::default());
    let report = SenderReport { ssrc, rtp_time: 12_345, ..Default::default() };
    let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)]));
    reports.handle_write(TaggedPacket { now, transport: TransportContext::default(), message }).unwrap();
    let Some(Packet::Rtcp(packets)) = reports.poll_write().map(|out| out.message.packet) else { panic!("RTCP") };
    packets[0].as_any().downcast_ref::<SenderReport>().unwrap().rtp_time
}

#[test]
fn sender_reports_pair_the_clock_with_capture_times() {
    let epoch = Instant::now();
    let [video, voice] = [Arc::new(SentStream::new(90_000, epoch)), Arc::new(SentStream::new(48_000, epoch))];
    let report = |ssrc, now| reported([video.clone(), voice.clone()], ssrc, now);
    let at = |millis| epoch + Duration::from_millis(millis);
    assert_eq!(report(video.ssrc, at(500)), video.timestamp_at(at(500)));
    assert_eq!(report(1 ^ video.ssrc, at(500)), 12_345, "not ours");

    // The microphone started 300 ms after the epoch; packets of 20 ms are written up to 15 ms late.
    for packet in 0..100 {
        let late = [15, 4, 0, 9][packet as usize % 4];
        voice.follow((packet + 1) * 960, at(300 + (packet + 1) * 20 + late));
        voice.packets.fetch_add(1, Ordering::Relaxed);
    }
    let position = report(voice.ssrc, at(3300)).wrapping_sub(voice.timestamp_of(0));
    assert!((143_900..=144_000).contains(&position), "{position} samples of 3 s");
}
