//! The values that pass between capture and network: encoded pictures and encoded voice.

use std::time::Instant;

use bytes::Bytes;

/// One encoded H.264 picture: Annex B NAL units (start codes included), parameter sets in front of each key frame.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    pub data: Bytes,
    /// An IDR picture: a decoder can start here.
    pub key: bool,
    /// When the picture was captured; RTP timestamps (90 kHz) follow it.
    pub captured: Instant,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

/// One encoded Opus packet of [`VoicePacket::SAMPLES`] samples.
#[derive(Clone, Debug)]
pub struct VoicePacket {
    pub data: Bytes,
    /// Position of the packet's first sample in the microphone's stream, at 48 kHz. Grows by [`VoicePacket::SAMPLES`]
    /// a packet, by more where capture lost something; RTP timestamps follow it.
    pub position: u64,
}

impl VoicePacket {
    /// 20 ms at 48 kHz.
    pub const SAMPLES: u64 = 960;
}

/// One Opus packet as it came from the network (RFC 7587), in any order.
#[derive(Clone, Debug)]
pub struct ReceivedVoice {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// The Opus packet without RTP header and padding. Empty payloads are dropped before they get here.
    pub payload: Bytes,
}
