//! How a peer's connection is configured: codecs, feedback, ICE, certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{NackResponderBuilder, Registry, SenderReportBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::certificate::CertificateParams;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use webrtc::error::Error;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::crypto::{self, SignatureScheme};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCCertificate,
    RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::events::Events;
use super::guard::Guard;
use super::hearing::Hearing;
use super::incoming::MAX_TEXT;
use super::relays::is_turn;
use super::reports::{Reports, SentStream};
use super::socket::Traffic;
use super::{PeerError, PeerSettings};
use crate::net::sdp::{H264_FORMAT, OFFERED_VIDEO, OFFERED_VOICE, OPUS_FORMAT, STREAM, VIDEO_FEEDBACK};

/// Packets of each stream that can be sent again, more than a second of pictures at 2 Mbit/s; later repairs come too late.
/// A power of two. They are kept for as long as the call lasts.
const REPEATABLE: u16 = 512;
/// How often unanswered connectivity checks are repeated. The default of 200 ms is most of the wait for a first picture.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Checks per candidate pair: 1.5 s of them.
const MAX_CHECKS: u16 = 150;
/// How long a worse kind of path that works is held back for a better one, where it is ours to choose. The defaults (1 s for
/// paths whose address was learnt from the checks themselves, 2 s for relays) would be waits before the first picture.
const REFLEXIVE_WAIT: Duration = Duration::from_millis(200);
const RELAY_WAIT: Duration = Duration::from_millis(500);
/// The stack takes any datagram for a sign of life, and throws its candidates away when it gives a path up. Whether one is
/// lost is decided by [consent](super::consent), and when a call is given up by its owner.
const NEVER: Duration = Duration::ZERO;
/// Most ICE servers that are asked; each costs sockets and time on every call.
const MAX_ICE_SERVERS: usize = 8;

/// A connection that has not negotiated anything yet.
pub(super) async fn connection(
    settings: &PeerSettings,
    servers: Vec<RTCIceServer>,
    events: Arc<Events>,
    traffic: Arc<Traffic>,
    streams: [Arc<SentStream>; 2],
    hearing: Arc<Hearing>,
    handler: Arc<dyn PeerConnectionEventHandler>,
) -> Result<Arc<dyn PeerConnection>, PeerError> {
    if settings.relay_only && !servers.iter().flat_map(|server| &server.urls).any(|url| is_turn(url)) {
        return Err(PeerError::NoRelay);
    }
    let policy = if settings.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    let mut mdns = settings.mdns;
    loop {
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(servers.clone())
            .with_ice_transport_policy(policy)
            .with_certificates(vec![certificate()?])
            .build();
        let (engine, registry) = media(&events, &streams, &hearing)?;
        let guard = Arc::new(Guard::new(events.clone(), traffic.clone()));
        let built = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(setting_engine(settings, mdns).build())
            .with_handler(handler.clone())
            .with_runtime(guard.clone())
            .with_udp_addrs(addresses(settings))
            .build()
            .await;
        match built {
            Ok(connection) => {
                guard.made();
                return Ok(Arc::new(connection));
            }
            Err(error) if mdns => {
                log::warn!(error:% = error; "no multicast DNS here: browsers that hide their address may not connect");
                mdns = false;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The stack's two senders, voice first, whatever will become of them.
pub(super) async fn add_tracks(
    connection: &Arc<dyn PeerConnection>,
    tracks: [Arc<TrackLocalStaticRTP>; 2],
) -> Result<(), PeerError> {
    for track in tracks {
        let direction = RTCRtpTransceiverDirection::Sendonly;
        let init = RTCRtpTransceiverInit { direction, streams: Vec::new(), send_encodings: Vec::new() };
        connection.add_transceiver_from_track(track, Some(init)).await?;
    }
    Ok(())
}

fn setting_engine(settings: &PeerSettings, mdns: bool) -> SettingEngineBuilder {
    use rtc::ice::mdns::MulticastDnsMode::{Disabled, QueryOnly};
    SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
        .with_ice_timeouts(Some(NEVER), Some(NEVER), Some(settings.liveness.check_every))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(REFLEXIVE_WAIT))
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_TEXT as u32))
        .with_relay_acceptance_min_wait(Some(if settings.relay_only { Duration::ZERO } else { RELAY_WAIT }))
        .with_multicast_dns_mode(if mdns { QueryOnly } else { Disabled })
        .with_include_loopback_candidate(settings.loopback || settings.bind.iter().any(IpAddr::is_loopback))
}

fn addresses(settings: &PeerSettings) -> Vec<SocketAddr> {
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let chosen = if settings.bind.is_empty() { &all[..] } else { &settings.bind };
    chosen.iter().map(|address| SocketAddr::new(*address, 0)).collect()
}

/// The servers the stack can use. TURN over TCP or TLS is not among them: it would be waited for until the call fails.
pub(super) fn ice_servers(settings: &PeerSettings) -> Vec<RTCIceServer> {
    let mut usable = Vec::new();
    for server in &settings.servers {
        for url in &server.urls {
            let one = RTCIceServer {
                urls: vec![url.clone()],
                username: server.username.clone().unwrap_or_default(),
                credential: server.credential.clone().unwrap_or_default(),
            };
            let lower = url.to_ascii_lowercase();
            let refused = match one.urls() {
                _ if lower.starts_with("turns:") || lower.contains("transport=tcp") => {
                    Some("TURN over TCP or TLS is not supported, only over UDP".to_owned())
                }
                _ if !lower.starts_with("stun:") && !lower.starts_with("turn:") => {
                    Some("only stun: and turn: are supported".to_owned())
                }
                Err(error) => Some(error.to_string()),
                Ok(_) if usable.len() == MAX_ICE_SERVERS => Some(format!("more than {MAX_ICE_SERVERS} servers")),
                Ok(_) => None,
            };
            match refused {
                Some(reason) => log::warn!(url = url.as_str(), reason = reason.as_str(); "ICE server skipped"),
                None => usable.push(one),
            }
        }
    }
    usable
}

/// Codecs and the interceptors of RTP and RTCP. Bandwidth estimation has its place here: its feedback is registered with
/// the engine and its interceptors go into the registry.
fn media(
    events: &Arc<Events>,
    streams: &[Arc<SentStream>; 2],
    hearing: &Arc<Hearing>,
) -> webrtc::error::Result<(MediaEngine, Registry)> {
    let mut engine = MediaEngine::default();
    let (h264, opus) = ((h264(), OFFERED_VIDEO), (opus(), OFFERED_VOICE));
    for ((rtp_codec, payload_type), kind) in [(h264, RtpCodecKind::Video), (opus, RtpCodecKind::Audio)] {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    let registry = Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(REPEATABLE).build())
        .with(Slot::SenderReport, SenderReportBuilder::new().build())
        .with(Slot::from(500), Reports::new(events.clone(), streams.clone(), hearing.clone()));
    Ok((engine, registry))
}

/// The track that carries a stream; it belongs to one connection.
pub(super) fn track(kind: RtpCodecKind, stream: &SentStream) -> Arc<TrackLocalStaticRTP> {
    let (name, codec) = match kind {
        RtpCodecKind::Video => ("video", h264()),
        _ => ("voice", opus()),
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(stream.ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        STREAM.to_owned(),
        name.to_owned(),
        name.to_owned(),
        kind,
        vec![coding],
    )))
}

fn h264() -> RTCRtpCodec {
    let feedback = VIDEO_FEEDBACK.map(|kind| {
        let (typ, parameter) = kind.split_once(' ').unwrap_or((kind, ""));
        RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }
    });
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: H264_FORMAT.to_owned(),
        rtcp_feedback: feedback.to_vec(),
    }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: OPUS_FORMAT.to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// A certificate of its own for each connection: a fingerprint means this one connection.
fn certificate() -> webrtc::error::Result<RTCCertificate> {
    let other = |error: &dyn std::fmt::Display| Error::Other(error.to_string());
    let provider = crypto::default_provider().map_err(|e| other(&e))?;
    let parameters = CertificateParams::new(vec!["callbox".to_owned()]).map_err(|e| other(&e))?;
    RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, parameters)
}
