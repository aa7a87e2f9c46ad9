//! The other side as a basic client has it: a bare connection of the WebRTC stack that offers voice both ways, wants to
//! see, and counts what arrives.

use std::sync::Arc;
use std::sync::Mutex as StdMutex;

use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, Registry, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::network::{Network, Through};
use super::*;
use crate::protocol::Candidate;

/// The format that both sides know.
const H264: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
/// SSRC of the browser's voice.
const VOICE: u32 = 4711;

/// What the other side sees.
#[derive(Debug)]
pub(super) enum Seen {
    Candidate(Candidate),
    State(RTCPeerConnectionState),
    Rtp(RtpCodecKind, Packet),
}

pub(super) struct Browser {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) seen: mpsc::UnboundedReceiver<Seen>,
    voice: Arc<TrackLocalStaticRTP>,
    video: Arc<StdMutex<Option<Arc<dyn TrackRemote>>>>,
    channel: Option<Arc<dyn DataChannel>>,
}

struct Eyes {
    seen: mpsc::UnboundedSender<Seen>,
    video: Arc<StdMutex<Option<Arc<dyn TrackRemote>>>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Eyes {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let candidate = event.candidate.to_json().unwrap().candidate;
        let candidate = Candidate { candidate, sdp_mid: None, sdp_m_line_index: Some(0), username_fragment: None };
        let _ = self.seen.send(Seen::Candidate(candidate));
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.seen.send(Seen::State(state));
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = track.kind().await;
        if kind == RtpCodecKind::Video {
            *self.video.lock().unwrap() = Some(track.clone());
        }
        let seen = self.seen.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = seen.send(Seen::Rtp(kind, packet));
                }
            }
        });
    }
}

impl Browser {
    /// A connection with default codecs, a voice track, and the wish to see.
    pub(super) async fn new(wants_video: Option<RTCRtpTransceiverDirection>) -> Browser {
        Browser::behind(Arc::default(), wants_video).await
    }

    pub(super) async fn behind(network: Arc<Network>, wants_video: Option<RTCRtpTransceiverDirection>) -> Browser {
        let (sender, seen) = mpsc::unbounded_channel();
        let video = Arc::new(StdMutex::new(None));
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut engine).unwrap();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(SettingEngineBuilder::new().with_include_loopback_candidate(true).build())
            .with_handler(Arc::new(Eyes { seen: sender, video: video.clone() }))
            .with_runtime(Arc::new(Through(network)))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .unwrap();
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        let voice = track(RtpCodecKind::Audio, "audio/opus", 48_000, 2, "minptime=10;useinbandfec=1");
        connection.add_track(voice.clone()).await.unwrap();
        if let Some(direction) = wants_video {
            let init = Some(RTCRtpTransceiverInit { direction, streams: vec![], send_encodings: vec![] });
            if direction == RTCRtpTransceiverDirection::Recvonly {
                connection.add_transceiver_from_kind(RtpCodecKind::Video, init).await.unwrap();
            } else {
                let camera = track(RtpCodecKind::Video, "video/H264", 90_000, 0, H264);
                connection.add_transceiver_from_track(camera, init).await.unwrap();
            }
        }
        Browser { connection, seen, voice, video, channel: None }
    }

    pub(super) async fn offer(&mut self, with_channel: bool) -> String {
        if with_channel {
            self.channel = Some(self.connection.create_data_channel("callbox", None).await.unwrap());
        }
        let offer = self.connection.create_offer(None).await.unwrap();
        let text = offer.sdp.clone();
        self.connection.set_local_description(offer).await.unwrap();
        text
    }

    pub(super) async fn accept(&self, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).unwrap();
        self.connection.set_remote_description(answer).await.unwrap();
    }

    pub(super) async fn add(&self, candidate: Candidate) {
        let init = RTCIceCandidateInit { candidate: candidate.candidate, ..Default::default() };
        self.connection.add_ice_candidate(init).await.unwrap();
    }

    /// Calls a device, until both are connected.
    pub(super) async fn call(&mut self, with_channel: bool) -> Side {
        self.call_with(&loopback(), with_channel).await
    }

    pub(super) async fn call_with(&mut self, settings: &PeerSettings, with_channel: bool) -> Side {
        let offer = self.offer(with_channel).await;
        let (peer, answer, events) = Peer::answer(settings, &offer).await.unwrap();
        self.accept(&answer).await;
        let mut side = Side { peer, events };
        self.exchange(&mut side).await;
        side
    }

    /// Carries candidates to and fro until both sides are connected.
    pub(super) async fn exchange(&mut self, side: &mut Side) {
        let (mut here, mut there) = (false, false);
        let exchange = async {
            while !here || !there {
                tokio::select! {
                    event = side.events.recv() => match event.unwrap() {
                        PeerEvent::Candidate(Some(candidate)) => self.add(candidate).await,
                        PeerEvent::Connected => there = true,
                        _ => {}
                    },
                    seen = self.seen.recv() => match seen.unwrap() {
                        Seen::Candidate(candidate) => side.peer.add_candidate(Some(&candidate)).await.unwrap(),
                        Seen::State(state) => here |= state == RTCPeerConnectionState::Connected,
                        Seen::Rtp(..) => {}
                    },
                }
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("a connection");
    }

    /// The next RTP packet of a kind.
    pub(super) async fn rtp(&mut self, kind: RtpCodecKind) -> Packet {
        let next = async {
            loop {
                match self.seen.recv().await.expect("packets") {
                    Seen::Rtp(of, packet) if of == kind => return packet,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a packet")
    }

    pub(super) async fn speak(&self, sequence_number: u16, payload: &'static [u8]) {
        let payload_type = 111;
        let timestamp = u32::from(sequence_number) * 960;
        let header = Header { version: 2, payload_type, sequence_number, timestamp, ssrc: VOICE, ..Default::default() };
        self.voice.write_rtp(Packet { header, payload: payload.into() }).await.unwrap();
    }

    pub(super) async fn ask_for_key_frame(&self, by_fir: bool) {
        let media_ssrc = self.track().ssrcs().await[0];
        if by_fir {
            let fir = vec![FirEntry { ssrc: media_ssrc, sequence_number: 1 }];
            self.feed_back(FullIntraRequest { sender_ssrc: 1, media_ssrc, fir }).await;
        } else {
            self.feed_back(PictureLossIndication { sender_ssrc: 1, media_ssrc }).await;
        }
    }

    /// Sends RTCP that concerns the video it receives.
    pub(super) async fn feed_back(&self, packet: impl rtc::rtcp::Packet + 'static) {
        self.track().write_rtcp(vec![Box::new(packet)]).await.unwrap();
    }

    fn track(&self) -> Arc<dyn TrackRemote> {
        self.video.lock().unwrap().clone().expect("a video track")
    }

    pub(super) async fn say(&self, text: &str) {
        let channel = self.channel.as_ref().expect("a channel");
        let say = async {
            // It opens shortly after the connection.
            while channel.send_text(text).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, say).await.expect("an open channel");
    }
}

fn track(kind: RtpCodecKind, mime: &str, clock_rate: u32, channels: u16, fmtp: &str) -> Arc<TrackLocalStaticRTP> {
    let (mime_type, sdp_fmtp_line) = (mime.to_owned(), fmtp.to_owned());
    let ssrc = Some(if kind == RtpCodecKind::Audio { VOICE } else { VOICE + 1 });
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc, ..Default::default() },
        codec: RTCRtpCodec { mime_type, clock_rate, channels, sdp_fmtp_line, rtcp_feedback: vec![] },
        ..Default::default()
    };
    let name = kind.to_string();
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new("browser".into(), name.clone(), name, kind, vec![coding])))
}
