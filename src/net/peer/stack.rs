//! What the WebRTC stack is told in place of the other side's descriptions. It knows one session that never changes but
//! for its transport: voice and pictures go out, and a data channel comes when the other side has one. Which of that
//! happens, in which of the other side's sections and formats, is agreed in `net/sdp`; what arrives is sorted by
//! [`super::hearing`]. So the stack's own notions of rejected, paused and added sections, of BUNDLE, of formats and of
//! packets without a declared SSRC are never asked for.

use crate::net::sdp::{H264_FORMAT, Kind, OFFERED_VIDEO, OFFERED_VOICE, OPUS_FORMAT, Remote, Setup, VIDEO_FEEDBACK};

/// SCTP's port and the longest message on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataChannels {
    pub(super) port: u16,
    pub(super) max_message_size: u32,
}

/// The other side's description, as far as the stack is concerned. `setup` is the other side's.
pub(super) fn description(kind: Kind, remote: &Remote, setup: Setup, data: Option<DataChannels>) -> String {
    let setup = match (kind, setup) {
        (_, Setup::Active) => "active",
        (_, Setup::Passive) => "passive",
        (Kind::Offer, Setup::ActPass) => "actpass",
        (Kind::Answer, Setup::ActPass) => "active",
    };
    let Remote { ufrag, password, fingerprint, ice_lite } = remote;
    let section = |media: &str, mid: usize, more: &str| {
        format!(
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=setup:{setup}\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\n\
             a=ice-pwd:{password}\r\na=fingerprint:sha-256 {fingerprint}\r\n{more}"
        )
    };
    let (voice, video) = (OFFERED_VOICE, OFFERED_VIDEO);
    let feedback = VIDEO_FEEDBACK.map(|kind| format!("a=rtcp-fb:{video} {kind}\r\n")).concat();
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1{}\r\n{}",
        if data.is_some() { " 2" } else { "" },
        if *ice_lite { "a=ice-lite\r\n" } else { "" },
    );
    let rtp = "a=recvonly\r\na=rtcp-mux\r\n";
    let opus = format!("{rtp}a=rtpmap:{voice} opus/48000/2\r\na=fmtp:{voice} {OPUS_FORMAT}\r\n");
    text += &section(&format!("audio 9 UDP/TLS/RTP/SAVPF {voice}"), 0, &opus);
    let h264 = format!("{rtp}a=rtpmap:{video} H264/90000\r\n{feedback}a=fmtp:{video} {H264_FORMAT}\r\n");
    text += &section(&format!("video 9 UDP/TLS/RTP/SAVPF {video}"), 1, &h264);
    if let Some(DataChannels { port, max_message_size }) = data {
        let sctp = format!("a=sctp-port:{port}\r\na=max-message-size:{max_message_size}\r\n");
        text += &section("application 9 UDP/DTLS/SCTP webrtc-datachannel", 2, &sctp);
    }
    text
}
