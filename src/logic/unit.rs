//! The values that pass between capture and network: encoded pictures and encoded voice.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

/// Longest RTP payload in bytes. With headers and encryption (RTP 12, SRTP 16, UDP 8, IPv6 40, TURN 4) it stays below
/// 1280, which every IPv6 path carries.
pub const MAX_PAYLOAD: usize = 1188;

/// One encoded H.264 picture, parameter sets in front of each key frame, as the payloads of its RTP packets. They are
/// made once, whoever watches; cloning shares them.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    payloads: Arc<[Bytes]>,
    /// An IDR picture: a decoder can start here.
    pub key: bool,
    /// When the picture was captured; RTP timestamps (90 kHz) follow it.
    pub captured: Instant,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

impl AccessUnit {
    /// From NAL units without start codes, in decoding order. Delimiters and filler stay behind (RFC 6184, section 5.2).
    pub fn new<'a>(
        nal_units: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
        key: bool,
        captured: Instant,
        size: (u32, u32),
    ) -> AccessUnit {
        let sent = nal_units.into_iter().filter(|unit| unit.first().is_some_and(|header| is_sent(*header)));
        AccessUnit { payloads: packetize(sent), key, captured, size }
    }

    /// Single NAL units, and fragments (FU-A) of those that are longer than [`MAX_PAYLOAD`]: packetization mode 1, and
    /// mode 0 as well where nothing had to be fragmented. The last one ends the picture.
    pub fn payloads(&self) -> &[Bytes] {
        &self.payloads
    }

    /// Bytes of all payloads.
    pub fn bytes(&self) -> usize {
        self.payloads.iter().map(Bytes::len).sum()
    }

    /// The picture as a byte stream for a decoder (Annex B of ITU-T H.264), which is
    /// how programs beside the network look at it.
    pub fn annex_b(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        for payload in self.payloads() {
            match &payload[..] {
                [indicator, header, rest @ ..] if indicator & 0x1f == FU_A => {
                    if header & START != 0 {
                        stream.extend([0, 0, 0, 1, indicator & 0xe0 | header & 0x1f]);
                    }
                    stream.extend(rest);
                }
                whole => {
                    stream.extend([0, 0, 0, 1]);
                    stream.extend(whole);
                }
            }
        }
        stream
    }
}

const FU_A: u8 = 28;
const FU_HEADERS: usize = 2;
const START: u8 = 0x80;
const END: u8 = 0x40;

fn is_sent(header: u8) -> bool {
    // 9 and 12 mean something in a byte stream only; 0 and 24 to 31 are no NAL units.
    matches!(header & 0x1f, 1..=8 | 10 | 11 | 13..=23)
}

/// All payloads lie in one block of memory.
fn packetize<'a>(units: impl Iterator<Item = &'a [u8]> + Clone) -> Arc<[Bytes]> {
    let fragments = |unit: &[u8]| (unit.len() - 1).div_ceil(MAX_PAYLOAD - FU_HEADERS);
    let room = |unit: &[u8]| match unit.len() {
        length @ ..=MAX_PAYLOAD => length,
        length => length - 1 + FU_HEADERS * fragments(unit),
    };
    let mut block = Vec::with_capacity(units.clone().map(room).sum());
    let mut ends = Vec::new();
    for unit in units {
        match unit {
            [header, rest @ ..] if unit.len() > MAX_PAYLOAD => {
                let last = fragments(unit) - 1;
                for (number, fragment) in rest.chunks(MAX_PAYLOAD - FU_HEADERS).enumerate() {
                    let start = if number == 0 { START } else { 0 };
                    let end = if number == last { END } else { 0 };
                    block.extend([header & 0xe0 | FU_A, start | end | header & 0x1f]);
                    block.extend(fragment);
                    ends.push(block.len());
                }
            }
            whole => {
                block.extend(whole);
                ends.push(block.len());
            }
        }
    }
    let block = Bytes::from(block);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| block.slice(start..*end)).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(nal_units: &[&[u8]]) -> AccessUnit {
        AccessUnit::new(nal_units.iter().copied(), true, Instant::now(), (16, 16))
    }

    #[test]
    fn long_units_are_fragmented_and_short_ones_sent_as_they_are() {
        let mut picture = vec![7; 1 + 2 * (MAX_PAYLOAD - 2) + 5];
        picture[0] = 0x65;
        let unit = unit(&[&[0x67, 1], &[0x68, 2], &picture]);
        let lengths: Vec<_> = unit.payloads().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [2, 2, MAX_PAYLOAD, MAX_PAYLOAD, 2 + 5]);
        let headers: Vec<_> = unit.payloads()[2..].iter().map(|payload| [payload[0], payload[1]]).collect();
        // NRI 3 and type 28; then start, middle and end of a unit of type 5.
        assert_eq!(headers, [[0x7c, 0x85], [0x7c, 0x05], [0x7c, 0x45]]);
        assert_eq!(unit.bytes(), lengths.iter().sum::<usize>());
    }

    #[test]
    fn a_unit_that_just_fits_is_whole() {
        for (length, payloads) in
            [(MAX_PAYLOAD, 1), (MAX_PAYLOAD + 1, 2), (2 * MAX_PAYLOAD - 3, 2), (2 * MAX_PAYLOAD - 2, 3)]
        {
            assert_eq!(unit(&[&vec![0x41; length]]).payloads().len(), payloads, "{length}");
        }
    }

    #[test]
    fn viewers_share_the_same_bytes() {
        let first = unit(&[&[0x67, 1], &[0x65; 5000]]);
        let second = first.clone();
        let places = |unit: &AccessUnit| unit.payloads().iter().map(|payload| payload.as_ptr()).collect::<Vec<_>>();
        assert_eq!(places(&first), places(&second));
        let ends = first.payloads().windows(2).all(|pair| pair[0].as_ptr_range().end == pair[1].as_ptr());
        assert!(ends, "one block");
    }

    #[test]
    fn what_means_nothing_in_packets_is_left_out() {
        let unit = unit(&[&[9, 0x10], &[], &[0x65, 1], &[12, 0xff], &[0], &[28, 0x85, 3]]);
        assert_eq!(unit.payloads(), [&[0x65, 1][..]]);
    }

    proptest! {
        #[test]
        fn what_is_put_together_again_is_the_same(
            units in prop::collection::vec((1u8..=8, prop::collection::vec(any::<u8>(), 0..4000)), 0..6),
        ) {
            let units: Vec<Vec<u8>> = units.into_iter().map(|(kind, rest)| [&[0x60 | kind][..], &rest].concat()).collect();
            let unit = unit(&units.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert!(unit.payloads().iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.len())));
            let stream: Vec<u8> = units.iter().flat_map(|unit| [&[0, 0, 0, 1], &unit[..]].concat()).collect();
            prop_assert_eq!(unit.annex_b(), stream);
        }
    }
}
