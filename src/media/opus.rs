//! The Opus codec (RFC 6716) as calls use it: 48 kHz, mono inside, 20 ms out, anything in.

use ::opus::{Application, Bitrate, Channels, Decoder, Encoder, Signal};
use bytes::Bytes;

use crate::logic::unit::VoicePacket;

/// Samples of a packet that [`VoiceEncoder`] makes: 20 ms.
pub const PACKET: usize = VoicePacket::SAMPLES as usize;
/// Samples of the longest packet there is: 120 ms.
pub const PACKET_MAX: usize = 5_760;

const RATE: u32 = 48_000;
const BITS_PER_SECOND: i32 = 32_000;
/// The loss that the in-band redundancy is made for.
const EXPECTED_LOSS_PERCENT: i32 = 10;
/// No packet of 20 ms at our rate comes near it.
const BYTES_MAX: usize = 1_275;

#[derive(Debug, thiserror::Error)]
#[error("Opus {what}: {source}")]
pub struct OpusError {
    what: &'static str,
    source: ::opus::Error,
}

impl OpusError {
    fn on(what: &'static str) -> impl Fn(::opus::Error) -> OpusError {
        move |source| OpusError { what, source }
    }
}

/// Encodes voice with in-band redundancy: each packet also holds the one before it in a rougher form.
pub struct VoiceEncoder {
    inner: Encoder,
    packet: [u8; BYTES_MAX],
}

impl VoiceEncoder {
    pub fn new() -> Result<VoiceEncoder, OpusError> {
        let set_up = || {
            let mut inner = Encoder::new(RATE, Channels::Mono, Application::Voip)?;
            inner.set_bitrate(Bitrate::Bits(BITS_PER_SECOND))?;
            // The coder for music, which it would pick for a tone, has no redundancy.
            inner.set_signal(Signal::Voice)?;
            inner.set_inband_fec(true)?;
            inner.set_packet_loss_perc(EXPECTED_LOSS_PERCENT)?;
            inner.set_dtx(false)?;
            Ok(inner)
        };
        let inner = set_up().map_err(OpusError::on("encoder set-up"))?;
        Ok(VoiceEncoder { inner, packet: [0; BYTES_MAX] })
    }

    pub fn encode(&mut self, voice: &[i16; PACKET]) -> Result<Bytes, OpusError> {
        let length = self.inner.encode(voice, &mut self.packet).map_err(OpusError::on("encoder"))?;
        Ok(Bytes::copy_from_slice(&self.packet[..length.min(BYTES_MAX)]))
    }
}

/// Decodes one sender's packets of any length and channel count to mono. What it returns lives until the next call.
pub struct VoiceDecoder {
    inner: Decoder,
    voice: Box<[i16; PACKET_MAX]>,
}

impl VoiceDecoder {
    pub fn new() -> Result<VoiceDecoder, OpusError> {
        let inner = Decoder::new(RATE, Channels::Mono).map_err(OpusError::on("decoder set-up"))?;
        Ok(VoiceDecoder { inner, voice: Box::new([0; PACKET_MAX]) })
    }

    pub fn decode(&mut self, packet: &[u8]) -> Result<&[i16], OpusError> {
        self.run(packet, PACKET_MAX, false)
    }

    /// The `samples` (a multiple of 2.5 ms) in front of `next`, from the redundancy in it or by concealment.
    pub fn recover(&mut self, next: &[u8], samples: usize) -> Result<&[i16], OpusError> {
        self.run(next, samples, true)
    }

    /// Makes up `samples` (a multiple of 2.5 ms) that never came.
    pub fn conceal(&mut self, samples: usize) -> Result<&[i16], OpusError> {
        self.run(&[], samples, false)
    }

    fn run(&mut self, packet: &[u8], samples: usize, redundancy: bool) -> Result<&[i16], OpusError> {
        let room = &mut self.voice[..samples.min(PACKET_MAX)];
        let length = self.inner.decode(packet, room, redundancy).map_err(OpusError::on("decoder"))?;
        Ok(&self.voice[..length.min(PACKET_MAX)])
    }
}

/// Duration of a packet in samples; `None` for what is no Opus packet.
pub fn samples(packet: &[u8]) -> Option<u32> {
    // libopus itself checks every length in the packet only when it decodes it.
    let samples = ::opus::packet::get_nb_samples(packet, RATE).ok()?;
    u32::try_from(samples).ok().filter(|samples| (1..=PACKET_MAX as u32).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(packet: usize) -> [i16; PACKET] {
        std::array::from_fn(|i| {
            let t = (packet * PACKET + i) as f32 / RATE as f32;
            ((t * 440.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16
        })
    }

    fn level(voice: &[i16]) -> f64 {
        (voice.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / voice.len() as f64).sqrt()
    }

    #[test]
    fn a_lost_packet_comes_back_from_the_next_one() {
        let (mut encoder, mut decoder) = (VoiceEncoder::new().unwrap(), VoiceDecoder::new().unwrap());
        let packets: Vec<Bytes> = (0..60).map(|i| encoder.encode(&tone(i)).unwrap()).collect();
        let bytes: usize = packets.iter().map(Bytes::len).sum();
        assert!((2_000..=6_000).contains(&bytes), "60 packets, 1.2 s: {bytes} bytes");
        // Redundancy is for speech only, and a tone that lasts is no speech to the encoder.
        for packet in &packets[..15] {
            assert_eq!(samples(packet), Some(PACKET as u32));
            assert_eq!(decoder.decode(packet).unwrap().len(), PACKET);
        }
        let recovered = level(decoder.recover(&packets[16], PACKET).unwrap());
        assert!((5_000.0..6_500.0).contains(&recovered), "{recovered}");
        let decoded = level(decoder.decode(&packets[16]).unwrap());
        assert!((5_000.0..6_500.0).contains(&decoded), "{decoded}");
        assert_eq!(decoder.conceal(480).unwrap().len(), 480);
    }

    #[test]
    fn stereo_and_every_length_become_mono() {
        for milliseconds in [10, 20, 40, 60] {
            let length = 48 * milliseconds;
            let mut encoder = Encoder::new(RATE, Channels::Stereo, Application::Audio).unwrap();
            let packet = encoder.encode_vec(&vec![1_000; length * 2], 4_000).unwrap();
            assert_eq!(samples(&packet), Some(length as u32));
            let mut decoder = VoiceDecoder::new().unwrap();
            assert_eq!(decoder.decode(&packet).unwrap().len(), length);
        }
    }

    #[test]
    fn garbage_is_an_error_and_not_an_end() {
        assert_eq!(samples(&[]), None);
        let mut random = fastrand::Rng::with_seed(7);
        let (mut encoder, mut decoder) = (VoiceEncoder::new().unwrap(), VoiceDecoder::new().unwrap());
        for _ in 0..2_000 {
            let garbage: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            if samples(&garbage).is_some() {
                let _ = decoder.decode(&garbage).map(<[i16]>::len);
                let _ = decoder.recover(&garbage, PACKET).map(<[i16]>::len);
            }
        }
        let good = encoder.encode(&tone(0)).unwrap();
        assert_eq!(decoder.decode(&good).unwrap().len(), PACKET);
    }
}
