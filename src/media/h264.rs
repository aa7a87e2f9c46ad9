//! The H.264 encoder: constrained baseline for real time, one slice, key pictures only where they are asked for.

use std::time::Instant;

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, QpRange, RateControlMode,
    SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::encoder::{ColorPrimaries, Level as EncoderLevel, MatrixCoefficients, TransferCharacteristics};
use openh264::{OpenH264API, Timestamp};

use super::frame::I420;
use crate::logic::picture::level::Level;
use crate::logic::unit::AccessUnit;

/// Coarsest quantiser (0 to 51): beyond it the picture is mush, and the rate may exceed its target for a moment instead.
const MAX_QP: u8 = 42;
/// Finest quantiser: below it nobody sees a difference (50 dB in the synthetic picture), and bits and time only grow.
const MIN_QP: u8 = 22;

/// The encoder takes no shorter sides, in pixels.
const MIN_SIDE: u32 = 16;

/// What a stream looks like; another one needs another encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// Pixels, even.
    pub width: u32,
    pub height: u32,
    /// Pictures a second.
    pub fps: f64,
    /// Bits per second aimed at.
    pub bit_rate: u32,
    /// What the stream's parameter sets announce.
    pub level: Level,
}

impl Format {
    /// The stream for pictures of a camera: as large and as fast as `limit` allows.
    pub fn for_camera((width, height): (u32, u32), fps: f64, limit: Option<Level>) -> Format {
        let limit = limit.unwrap_or(Level::L5_2);
        let (width, height, fps) = limit.fit(width, height, fps);
        // As many macroblocks as before: the level takes it.
        let (width, height) = (width.max(MIN_SIDE), height.max(MIN_SIDE));
        let bit_rate = bit_rate(width, height, fps).min(limit.max_bit_rate());
        Format { width, height, fps, bit_rate, level: Level::needed(width, height, fps, bit_rate).min(limit) }
    }
}

/// Why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the H.264 encoder failed: {0}")]
    Encoder(#[from] openh264::Error),
    #[error("the encoder made {width}x{height} pictures and got one of {got:?}")]
    Size { width: u32, height: u32, got: (u32, u32) },
}

pub struct H264Encoder {
    encoder: Encoder,
    format: Format,
    start: Instant,
    /// The encoder rejects wishes before its first picture.
    started: bool,
}

impl H264Encoder {
    pub fn new(format: Format) -> Result<Self, EncodeError> {
        let colours = VuiConfig::bt601()
            .color_primaries(ColorPrimaries::Bt709)
            .transfer_characteristics(TransferCharacteristics::Bt709)
            .matrix_coefficients(MatrixCoefficients::Smpte170M);
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .level(encoder_level(format.level))
            .max_frame_rate(FrameRate::from_hz(format.fps as f32))
            .bitrate(BitRate::from_bps(format.bit_rate))
            // Of the modes this one keeps closest to the rate: key pictures stay small in noise, and pictures are left
            // out only when half a second's worth of bits is exceeded. The others need skipping as well, or print
            // warnings on standard error without it.
            .rate_control_mode(RateControlMode::Timestamp)
            .skip_frames(true)
            .qp(QpRange::new(MIN_QP, MAX_QP))
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .complexity(Complexity::Low)
            .num_threads(1)
            .scene_change_detect(false)
            .adaptive_quantization(false)
            // An intercom's camera stands still: this halves time and bits.
            .background_detection(true)
            .vui(colours);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        Ok(H264Encoder { encoder, format, start: Instant::now(), started: false })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Encodes a picture of the format's size; as a key picture if `key`, which the first always is. `None` if the
    /// encoder left it out to keep to the bit rate.
    pub fn encode(&mut self, frame: &I420, captured: Instant, key: bool) -> Result<Option<AccessUnit>, EncodeError> {
        let Format { width, height, .. } = self.format;
        if frame.size() != (width, height) {
            return Err(EncodeError::Size { width, height, got: frame.size() });
        }
        if key && self.started {
            self.encoder.force_intra_frame();
        }
        let time = captured.saturating_duration_since(self.start).as_millis() as u64;
        let stream = self.encoder.encode_at(frame, Timestamp::from_millis(time))?;
        let key = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
            FrameType::Skip | FrameType::Invalid => return Ok(None),
        };
        self.started = true;
        let layers: Vec<_> = (0..stream.num_layers()).filter_map(|layer| stream.layer(layer)).collect();
        let units = layers.iter().flat_map(|layer| (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)));
        Ok(Some(AccessUnit::new(units.map(without_start_code), key, captured, (width, height))))
    }
}

/// A NAL unit as it is, without the zeros and the one that a byte stream has in front of it.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|byte| **byte == 0).count();
    match unit.get(zeros..) {
        Some([1, rest @ ..]) if zeros >= 2 => rest,
        Some(_) | None => unit,
    }
}

/// Bits per second for a size and rate: 2 Mbit/s at 1280x720 and 30 pictures a second, 0.9 Mbit/s at 640x480, by the
/// power law through these two.
fn bit_rate(width: u32, height: u32, fps: f64) -> u32 {
    let pixels = f64::from(width) * f64::from(height) * fps / (1280.0 * 720.0 * 30.0);
    (2_000_000.0 * pixels.powf(0.727)).clamp(50_000.0, 8_000_000.0) as u32
}

fn encoder_level(level: Level) -> EncoderLevel {
    match level {
        Level::L1 => EncoderLevel::Level_1_0,
        Level::L1b => EncoderLevel::Level_1_B,
        Level::L1_1 => EncoderLevel::Level_1_1,
        Level::L1_2 => EncoderLevel::Level_1_2,
        Level::L1_3 => EncoderLevel::Level_1_3,
        Level::L2 => EncoderLevel::Level_2_0,
        Level::L2_1 => EncoderLevel::Level_2_1,
        Level::L2_2 => EncoderLevel::Level_2_2,
        Level::L3 => EncoderLevel::Level_3_0,
        Level::L3_1 => EncoderLevel::Level_3_1,
        Level::L3_2 => EncoderLevel::Level_3_2,
        Level::L4 => EncoderLevel::Level_4_0,
        Level::L4_1 => EncoderLevel::Level_4_1,
        Level::L4_2 => EncoderLevel::Level_4_2,
        Level::L5 => EncoderLevel::Level_5_0,
        Level::L5_1 => EncoderLevel::Level_5_1,
        Level::L5_2 => EncoderLevel::Level_5_2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;
    use crate::media::camera::{Wanted, stamp, synthetic};
    use crate::media::scale::Scaler;

    fn nal_types(unit: &AccessUnit) -> Vec<u8> {
        let stream = unit.annex_b();
        stream.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1f).collect()
    }

    fn picture(width: u32, height: u32) -> I420 {
        let mut frame = I420::default();
        synthetic::open(Wanted { width, height, fps: 30 }).unwrap().next_frame(&mut frame).unwrap();
        frame
    }

    #[test]
    fn stamps_survive_encoding() {
        for (width, height) in [(1280, 720), (640, 480), (320, 240)] {
            let format = Format::for_camera((width, height), 30.0, None);
            let (mut encoder, mut decoder) = (H264Encoder::new(format).unwrap(), Decoder::new().unwrap());
            let mut frame = picture(width, height);
            for counter in 0..20u16 {
                let now = SystemTime::now();
                stamp::draw(&mut frame, counter, now);
                let unit = encoder.encode(&frame, Instant::now(), counter == 9).unwrap().unwrap();
                assert_eq!(unit.key, counter == 0 || counter == 9);
                let parameter_sets = if unit.key { vec![7, 8, 5] } else { vec![1] };
                assert_eq!(nal_types(&unit), parameter_sets);
                let decoded = decoder.decode(&unit.annex_b()).unwrap().expect("a picture at once");
                let mut seen = I420::new(width, height);
                let stride = decoded.strides().0;
                let (y, _, _) = seen.planes_mut();
                crate::media::frame::copy_plane(decoded.y(), stride, y, width as usize);
                assert_eq!(stamp::read(&seen), Some((counter, stamp::units(now))));
            }
        }
    }

    #[test]
    fn announces_constrained_baseline_within_the_limit() {
        let limits = [None, Some(Level::L3_1), Some(Level::L4), Some(Level::L3), Some(Level::L2), Some(Level::L1_1)];
        for limit in limits {
            for size in [(1920, 1080), (1280, 720), (640, 480)] {
                let format = Format::for_camera(size, 30.0, limit);
                let mut encoder = H264Encoder::new(format).unwrap();
                let frame = I420::new(format.width, format.height);
                let unit = encoder.encode(&frame, Instant::now(), false).unwrap().unwrap();
                let sps = unit.payloads().iter().find(|payload| payload[0] == 0x67).unwrap();
                let [profile, constraints, level] = sps[1..4] else { unreachable!() };
                assert_eq!((profile, constraints & 0x40), (66, 0x40), "{format:?}");
                assert_eq!(level, format.level.idc(), "{format:?}");
                assert!(limit.is_none_or(|limit| format.level <= limit), "{format:?}");
            }
        }
    }

    #[test]
    fn keeps_to_its_bit_rate_without_leaving_pictures_out() {
        let format = Format::for_camera((640, 480), 30.0, None);
        assert!((850_000..950_000).contains(&format.bit_rate));
        let mut encoder = H264Encoder::new(format).unwrap();
        let mut frame = picture(640, 480);
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let mut bytes = 0;
        for number in 0..90u32 {
            // A noisy sensor: every sample trembles by up to 4.
            let mut noisy = frame.clone();
            noisy.planes_mut().0.iter_mut().for_each(|s| *s = s.saturating_add(random.u8(0..5)));
            let captured = start + Duration::from_secs(1) * number / 30;
            let unit = encoder.encode(&noisy, captured, false).unwrap().expect("no picture is left out");
            bytes += unit.bytes();
            frame.planes_mut().0.rotate_right(1);
        }
        let rate = bytes as f64 * 8.0 / 3.0;
        assert!(rate < 1.3 * f64::from(format.bit_rate), "{rate}");
    }

    #[test]
    fn rates_follow_size_and_level() {
        let hd = Format::for_camera((1280, 720), 30.0, Some(Level::L3_1));
        assert_eq!((hd.bit_rate, hd.level), (2_000_000, Level::L3_1));
        let tiny = Format::for_camera((1280, 720), 30.0, Some(Level::L1_1));
        assert!(tiny.bit_rate <= Level::L1_1.max_bit_rate() && tiny.width < 352);
    }

    #[test]
    fn any_shape_of_picture_becomes_one_that_can_be_encoded() {
        for size in [(2, 2), (16, 2), (2, 480), (3840, 16), (3840, 2160), (2160, 3840)] {
            for limit in [None, Some(Level::L3_1), Some(Level::L1)] {
                let format = Format::for_camera(size, 30.0, limit);
                let mut frame = I420::new(format.width, format.height);
                Scaler::default().scale(&I420::new(size.0, size.1), &mut frame);
                let unit = H264Encoder::new(format).unwrap().encode(&frame, Instant::now(), true).unwrap();
                assert!(unit.is_some_and(|unit| unit.key), "{size:?} {limit:?}");
            }
        }
    }

    #[test]
    fn a_picture_of_another_size_is_an_error() {
        let mut encoder = H264Encoder::new(Format::for_camera((640, 480), 30.0, None)).unwrap();
        let result = encoder.encode(&I420::new(320, 240), Instant::now(), false);
        assert!(matches!(result, Err(EncodeError::Size { .. })));
    }
}
