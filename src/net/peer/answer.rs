//! Offers and answers: which sections of a call are taken, in which direction, with which codec.

use std::sync::Arc;

use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpTransceiver};

use super::PeerError;
use super::connection::{Agreed, Connection};
use super::incoming::CHANNEL;
use crate::net::sdp::{self, Medium, Section};

impl Connection {
    /// Applies an offer, first or further, and answers it: the caller hears us and we hear the caller; the caller sees us;
    /// video from the caller is declined. An offer that cannot be used leaves a running call as it was.
    pub(super) async fn answer(&self, offer: &str) -> Result<String, PeerError> {
        let _one = self.negotiation.lock().await;
        let sections = sdp::sections(offer);
        match self.apply(offer, &sections).await {
            Ok(answer) => {
                self.settle(&sections).await?;
                Ok(answer)
            }
            Err(error) => {
                if let Ok(rollback) = RTCSessionDescription::rollback(None) {
                    let _ = self.connection.set_remote_description(rollback).await;
                }
                Err(refused(error))
            }
        }
    }

    async fn apply(&self, offer: &str, sections: &[Section<'_>]) -> webrtc::error::Result<String> {
        self.connection.set_remote_description(RTCSessionDescription::offer(offer.to_owned())?).await?;
        for kind in [Medium::Audio, Medium::Video] {
            // Of several sections of a kind the first gets our track; the others are not used.
            for (index, section) in sections.iter().filter(|section| section.kind == kind).enumerate() {
                self.take(section, index == 0).await?;
            }
        }
        let answer = self.connection.create_answer(None).await?;
        let text = answer.sdp.clone();
        self.connection.set_local_description(answer).await?;
        Ok(text)
    }

    pub(super) async fn offer(&self) -> Result<String, PeerError> {
        let _one = self.negotiation.lock().await;
        for (kind, codec_kind, outgoing) in
            [(Medium::Audio, RtpCodecKind::Audio, &self.voice), (Medium::Video, RtpCodecKind::Video, &self.video)]
        {
            let (send, receive) = self.able(kind);
            let init = RTCRtpTransceiverInit {
                direction: direction(send, receive),
                streams: Vec::new(),
                send_encodings: Vec::new(),
            };
            if send {
                let track: Arc<dyn TrackLocal> = outgoing.lock().await.track.clone();
                self.connection.add_transceiver_from_track(track, Some(init)).await?;
            } else if receive {
                self.connection.add_transceiver_from_kind(codec_kind, Some(init)).await?;
            }
        }
        let channel = self.connection.create_data_channel(CHANNEL, None).await?;
        self.incoming.spawn(self.incoming.clone().serve(channel));
        let offer = self.connection.create_offer(None).await?;
        let text = offer.sdp.clone();
        self.connection.set_local_description(offer).await?;
        Ok(text)
    }

    pub(super) async fn accept_answer(&self, answer: &str) -> Result<(), PeerError> {
        let _one = self.negotiation.lock().await;
        let description = RTCSessionDescription::answer(answer.to_owned()).map_err(refused)?;
        self.connection.set_remote_description(description).await.map_err(refused)?;
        self.settle(&sdp::sections(answer)).await
    }

    /// Prepares the answer to one offered section.
    async fn take(&self, section: &Section<'_>, first: bool) -> webrtc::error::Result<()> {
        let Some(transceiver) = self.transceiver(section).await else { return Ok(()) };
        let wanted = first && section.has_our_codec;
        let (able_to_send, able_to_receive) = self.able(section.kind);
        let send = wanted && section.receives && able_to_send;
        let receive = wanted && section.sends && able_to_receive;
        if send && transceiver.sender().await?.is_none() {
            let outgoing = if section.kind == Medium::Audio { &self.voice } else { &self.video };
            let track: Arc<dyn TrackLocal> = outgoing.lock().await.track.clone();
            self.connection.add_track(track).await?;
        }
        // After the track: adding one makes a section send and receive.
        transceiver.set_direction(direction(send, receive)).await
    }

    /// Whether there is something to send of a kind, and something to play it on. There is no screen.
    fn able(&self, kind: Medium) -> (bool, bool) {
        match kind {
            Medium::Audio => (self.equipment.microphone, self.equipment.speaker),
            Medium::Video => (self.equipment.camera, false),
            Medium::Application => (false, false),
        }
    }

    async fn transceiver(&self, section: &Section<'_>) -> Option<Arc<dyn RtpTransceiver>> {
        for transceiver in self.connection.get_transceivers().await {
            if matches!(transceiver.mid().await, Ok(Some(mid)) if mid == section.mid) {
                return Some(transceiver);
            }
        }
        None
    }

    /// Reads what was negotiated: the other side's sections say what it takes, our senders by which payload type.
    async fn settle(&self, sections: &[Section<'_>]) -> Result<(), PeerError> {
        let takes = |kind| sections.iter().any(|s| s.kind == kind && s.receives && s.has_our_codec);
        let mut agreed = Agreed::default();
        for sender in self.connection.get_senders().await {
            let kind = sender.track().kind().await;
            let codecs = sender.get_parameters().await?.rtp_parameters.codecs;
            let Some(codec) = codecs.first() else { continue };
            if kind == RtpCodecKind::Audio && takes(Medium::Audio) {
                agreed.voice = Some(codec.payload_type);
            } else if kind == RtpCodecKind::Video && takes(Medium::Video) {
                let level = sdp::profile_level_id(&codec.rtp_codec.sdp_fmtp_line).unwrap_or("42e01f");
                agreed.video = Some((codec.payload_type, level.to_ascii_lowercase()));
            }
        }
        self.agree(agreed);
        self.described().await;
        Ok(())
    }
}

fn direction(send: bool, receive: bool) -> RTCRtpTransceiverDirection {
    match (send, receive) {
        (true, true) => RTCRtpTransceiverDirection::Sendrecv,
        (true, false) => RTCRtpTransceiverDirection::Sendonly,
        (false, true) => RTCRtpTransceiverDirection::Recvonly,
        (false, false) => RTCRtpTransceiverDirection::Inactive,
    }
}

fn refused(error: webrtc::error::Error) -> PeerError {
    PeerError::Negotiation(error.to_string())
}
