//! H.264 levels (ITU-T H.264, table A-1): what a decoder that announced a `profile-level-id` can take, and the largest
//! picture and rate within it.

use std::fmt;

use Level::*;

/// A level, in the order of what decoders can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    L1,
    L1b,
    L1_1,
    L1_2,
    L1_3,
    L2,
    L2_1,
    L2_2,
    L3,
    L3_1,
    L3_2,
    L4,
    L4_1,
    L4_2,
    L5,
    L5_1,
    L5_2,
}

/// Below this rate movement falls apart: a level that is too small for both costs size before it costs more rate.
const SMOOTH: f64 = 15.0;

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Level; 17] =
        [L1, L1b, L1_1, L1_2, L1_3, L2, L2_1, L2_2, L3, L3_1, L3_2, L4, L4_1, L4_2, L5, L5_1, L5_2];

    /// Reads the six hexadecimal digits of SDP's `profile-level-id` (RFC 6184, section 8.1). Levels between known ones
    /// count as the lower, levels above 5.2 as 5.2.
    pub fn from_profile_level_id(text: &str) -> Option<Level> {
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, profile, constraints, level] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let constraint_set3 = constraints & 0x10 != 0;
        // Baseline, Main and Extended write 1b as 1.1 with constraint_set3, the others as 9.
        if level == 9 || (level == 11 && constraint_set3 && [66, 77, 88].contains(&profile)) {
            return Some(L1b);
        }
        Level::ALL.into_iter().rev().find(|l| *l != L1b && l.idc() <= level)
    }

    /// `level_idc`: ten times the level's number.
    pub fn idc(self) -> u8 {
        match self {
            L1 => 10,
            L1b => 9,
            L1_1 => 11,
            L1_2 => 12,
            L1_3 => 13,
            L2 => 20,
            L2_1 => 21,
            L2_2 => 22,
            L3 => 30,
            L3_1 => 31,
            L3_2 => 32,
            L4 => 40,
            L4_1 => 41,
            L4_2 => 42,
            L5 => 50,
            L5_1 => 51,
            L5_2 => 52,
        }
    }

    /// Most macroblocks (16x16 pixels) in a picture.
    pub fn max_macroblocks(self) -> u32 {
        self.limits().1
    }

    /// Most macroblocks a second.
    pub fn max_macroblock_rate(self) -> u32 {
        self.limits().0
    }

    /// Highest bit rate in bits per second (baseline and main profile).
    pub fn max_bit_rate(self) -> u32 {
        self.limits().2 * 1000
    }

    /// Whether a stream of this size (pixels) and rate (pictures a second) keeps within the level.
    pub fn takes(self, width: u32, height: u32, fps: f64) -> bool {
        let macroblocks = macroblocks(width, height);
        self.takes_size(width, height, self.max_macroblocks())
            // Drivers report 30000/1001 or 30.0003: a thousandth more is the same rate.
            && f64::from(macroblocks) * fps <= f64::from(self.max_macroblock_rate()) * 1.001
    }

    /// The lowest level for such a stream; 5.2 if none is high enough.
    pub fn needed(width: u32, height: u32, fps: f64, bit_rate: u32) -> Level {
        let enough = |l: &Level| *l != L1b && l.takes(width, height, fps) && bit_rate <= l.max_bit_rate();
        Level::ALL.into_iter().find(enough).unwrap_or(L5_2)
    }

    /// The largest even size of the same shape and the highest rate that the level allows, neither above what was asked.
    pub fn fit(self, width: u32, height: u32, fps: f64) -> (u32, u32, f64) {
        let (width, height) = ((width & !1).max(2), (height & !1).max(2));
        let smooth = fps.clamp(1.0, SMOOTH);
        let most = self.max_macroblocks().min((f64::from(self.max_macroblock_rate()) / smooth) as u32);
        let shrunk = |w: u32| (w, (((u64::from(height) * u64::from(w) / u64::from(width)) as u32) & !1).max(2));
        let (w, h) = (1..=width / 2)
            .rev()
            .map(|half| shrunk(half * 2))
            .find(|&(w, h)| self.takes_size(w, h, most))
            .unwrap_or((2, 2));
        let fastest = f64::from(self.max_macroblock_rate()) / f64::from(macroblocks(w, h));
        (w, h, if fps <= fastest * 1.001 { fps } else { fastest })
    }

    fn takes_size(self, width: u32, height: u32, most: u32) -> bool {
        // A side has at most sqrt(8 * MaxFS) macroblocks.
        let longest = width.max(height).div_ceil(16);
        macroblocks(width, height) <= most && longest * longest <= 8 * self.max_macroblocks()
    }

    /// MaxMBPS, MaxFS and MaxBR (in 1000 bits per second).
    fn limits(self) -> (u32, u32, u32) {
        match self {
            L1 => (1_485, 99, 64),
            L1b => (1_485, 99, 128),
            L1_1 => (3_000, 396, 192),
            L1_2 => (6_000, 396, 384),
            L1_3 => (11_880, 396, 768),
            L2 => (11_880, 396, 2_000),
            L2_1 => (19_800, 792, 4_000),
            L2_2 => (20_250, 1_620, 4_000),
            L3 => (40_500, 1_620, 10_000),
            L3_1 => (108_000, 3_600, 14_000),
            L3_2 => (216_000, 5_120, 20_000),
            L4 => (245_760, 8_192, 20_000),
            L4_1 => (245_760, 8_192, 50_000),
            L4_2 => (522_240, 8_704, 50_000),
            L5 => (589_824, 22_080, 135_000),
            L5_1 => (983_040, 36_864, 240_000),
            L5_2 => (2_073_600, 36_864, 240_000),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            L1b => f.write_str("1b"),
            level => write!(f, "{}.{}", level.idc() / 10, level.idc() % 10),
        }
    }
}

fn macroblocks(width: u32, height: u32) -> u32 {
    width.div_ceil(16).saturating_mul(height.div_ceil(16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_browsers_offer() {
        assert_eq!(Level::from_profile_level_id("42e01f"), Some(L3_1));
        assert_eq!(Level::from_profile_level_id("42E034"), Some(L5_2));
        assert_eq!(Level::from_profile_level_id("42001e"), Some(L3));
        assert_eq!(Level::from_profile_level_id("42f00b"), Some(L1b));
        assert_eq!(Level::from_profile_level_id("42e00b"), Some(L1_1));
        assert_eq!(Level::from_profile_level_id("640c1f"), Some(L3_1));
        assert_eq!(Level::from_profile_level_id("42e019"), Some(L2_2));
        assert_eq!(Level::from_profile_level_id("42e0ff"), Some(L5_2));
        for text in ["", "42e01", "42e01f0", "42e01g", "42e000", "+2e01f", "ééé"] {
            assert_eq!(Level::from_profile_level_id(text), None, "{text}");
        }
    }

    #[test]
    fn hd_fits_exactly() {
        assert_eq!(L3_1.fit(1280, 720, 30.0), (1280, 720, 30.0));
        assert_eq!(L3_1.fit(1280, 720, 60.0), (1280, 720, 30.0));
        assert_eq!(L3_1.fit(1920, 1080, 30.0), (1280, 720, 30.0));
        assert_eq!(L4.fit(1920, 1080, 30.0), (1920, 1080, 30.0));
        assert_eq!(L3_1.fit(640, 480, 60.0), (640, 480, 60.0));
        assert_eq!(L3_1.fit(1280, 720, 30000.0 / 1001.0).2, 30000.0 / 1001.0);
    }

    #[test]
    fn a_low_level_costs_size_before_smoothness() {
        let (width, height, fps) = L1_1.fit(1280, 720, 30.0);
        assert!(fps >= SMOOTH, "{width}x{height} at {fps}");
        assert!(width >= 200, "{width}x{height} at {fps}");
    }

    #[test]
    fn knows_the_level_a_stream_needs() {
        assert_eq!(Level::needed(1280, 720, 30.0, 2_000_000), L3_1);
        assert_eq!(Level::needed(640, 480, 30.0, 900_000), L3);
        assert_eq!(Level::needed(320, 240, 15.0, 300_000), L1_2);
        assert_eq!(Level::needed(320, 240, 15.0, 15_000_000), L3_2);
        assert_eq!((L3_1.to_string(), L1b.to_string()), ("3.1".into(), "1b".into()));
    }

    #[test]
    fn levels_are_in_order() {
        assert!(Level::ALL.is_sorted());
        assert!(L1b < L1_1 && L3_1.min(L4) == L3_1);
    }

    proptest! {
        #[test]
        fn what_fits_is_within_the_level(
            level in prop::sample::select(Level::ALL.to_vec()),
            width in 0u32..5000, height in 0u32..5000, fps in 0.5f64..240.0,
        ) {
            let (w, h, rate) = level.fit(width, height, fps);
            prop_assert!(level.takes(w, h, rate), "{w}x{h} at {rate}");
            prop_assert!(w % 2 == 0 && h % 2 == 0 && w >= 2 && h >= 2);
            prop_assert!(w <= width.max(2) && h <= height.max(2) && rate <= fps && rate > 0.0);
            // Nothing is given away that the level takes as it is.
            if level.takes(width & !1, height & !1, fps) && width > 1 && height > 1 {
                prop_assert_eq!((w, h, rate), (width & !1, height & !1, fps));
            }
        }
    }
}
