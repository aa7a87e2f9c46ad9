//! Which of the modes that a camera offers comes nearest to what is wanted. Pure, so that any camera can be tried.

use std::fmt;

use crate::media::camera::Wanted;
use crate::media::convert::PixelFormat;
use crate::media::frame::MAX_SIDE;

/// A format, a size in pixels, and an interval between pictures as a fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    pub format: PixelFormat,
    pub width: u32,
    pub height: u32,
    pub interval: (u32, u32),
}

impl Mode {
    /// Pictures a second.
    pub fn fps(&self) -> f64 {
        fps(self.interval)
    }

    /// Pixels a second.
    pub fn pixel_rate(&self) -> f64 {
        f64::from(self.width) * f64::from(self.height) * self.fps()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fourcc = String::from_utf8_lossy(self.format.fourcc());
        write!(f, "{fourcc} {}x{} at {} fps", self.width, self.height, rounded(self.fps()))
    }
}

/// The sizes of one entry of the driver's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    One(u32, u32),
    /// Smallest, largest and step.
    Range {
        width: (u32, u32, u32),
        height: (u32, u32, u32),
    },
    /// The driver has no list.
    Unknown,
}

/// The intervals of one entry of the driver's list, in fractions of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Intervals {
    One((u32, u32)),
    Range { shortest: (u32, u32), longest: (u32, u32) },
}

impl Sizes {
    /// The size nearest to this one.
    pub fn nearest(&self, wanted_width: u32, wanted_height: u32) -> (u32, u32) {
        match *self {
            Sizes::One(width, height) => (width, height),
            Sizes::Range { width, height } => (on_grid(width, wanted_width), on_grid(height, wanted_height)),
            Sizes::Unknown => (wanted_width, wanted_height),
        }
    }

    /// The size nearest to this one, and of a range smaller ones too, for a bus that has no room for it.
    pub fn near(&self, width: u32, height: u32) -> Vec<(u32, u32)> {
        let mut sizes = [1, 2, 4].map(|part| self.nearest((width / part) & !1, (height / part) & !1)).to_vec();
        sizes.dedup();
        sizes
    }

    /// The sizes to show a person; of a range, the usual ones within it.
    pub fn examples(&self) -> Vec<(u32, u32)> {
        const USUAL: [(u32, u32); 5] = [(320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)];
        match *self {
            Sizes::One(width, height) => vec![(width, height)],
            Sizes::Range { .. } => USUAL.into_iter().filter(|&(w, h)| self.nearest(w, h) == (w, h)).collect(),
            Sizes::Unknown => Vec::new(),
        }
    }
}

impl Intervals {
    /// The interval nearest to this rate.
    pub fn nearest(&self, wanted_fps: u32) -> (u32, u32) {
        let wanted = (1, wanted_fps.max(1));
        match *self {
            Intervals::One(interval) => interval,
            Intervals::Range { shortest, .. } if fps(shortest) <= fps(wanted) => shortest,
            Intervals::Range { longest, .. } if fps(longest) >= fps(wanted) => longest,
            Intervals::Range { .. } => wanted,
        }
    }

    /// The interval nearest to this rate, and of a range a slower one too.
    pub fn near(&self, wanted_fps: u32) -> Vec<(u32, u32)> {
        let mut intervals = [1, 2].map(|part| self.nearest(wanted_fps / part)).to_vec();
        intervals.dedup();
        intervals
    }

    /// The rates to show a person, pictures a second.
    pub fn rates(&self) -> Vec<f64> {
        match *self {
            Intervals::One(interval) => vec![fps(interval)],
            Intervals::Range { shortest, longest } => vec![fps(shortest), fps(longest)],
        }
    }

    /// Whether these are intervals at all: some drivers list 0/0.
    pub fn is_sane(&self) -> bool {
        self.rates().iter().all(|rate| rate.is_finite() && *rate > 0.0)
    }
}

/// The usable ones of `modes`, the best first: near to the wanted size and rate, and cheap to convert where that is
/// equal. A rate that is missed weighs a little more than a size, since movement matters most in a call.
pub fn ranked(mut modes: Vec<Mode>, wanted: Wanted) -> Vec<Mode> {
    let sides = 2..=MAX_SIDE;
    modes.retain(|mode| sides.contains(&mode.width) && sides.contains(&mode.height) && mode.interval.0 > 0);
    modes.sort_by(|a, b| cost(a, wanted).total_cmp(&cost(b, wanted)));
    modes
}

fn cost(mode: &Mode, wanted: Wanted) -> f64 {
    let ratio = |got: f64, wanted: f64| (got / wanted.max(1.0)).ln();
    let width = ratio(mode.width.into(), wanted.width.into());
    let height = ratio(mode.height.into(), wanted.height.into());
    let rate = ratio(mode.fps(), wanted.fps.into());
    // 29.97 is as good as 30; more than was asked for costs only power.
    let rate = if rate < 0.0 { (-rate - 0.005).max(0.0) * 1.2 } else { rate * 0.02 };
    let format = match mode.format {
        PixelFormat::I420 => 0.0,
        PixelFormat::Nv12 => 0.001,
        PixelFormat::Yuyv => 0.002,
        PixelFormat::Uyvy => 0.003,
        PixelFormat::Mjpeg => 0.05,
    };
    width.abs() + height.abs() + rate + format
}

/// Bytes a second of a raw mode: what it asks of the bus.
pub fn weight(mode: &Mode) -> f64 {
    let bytes = match mode.format {
        PixelFormat::I420 | PixelFormat::Nv12 => 1.5,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 2.0,
        // Less than any of them.
        PixelFormat::Mjpeg => 0.0,
    };
    mode.pixel_rate() * bytes
}

/// To a thousandth, for people.
pub fn rounded(fps: f64) -> f64 {
    (fps * 1000.0).round() / 1000.0
}

fn fps((numerator, denominator): (u32, u32)) -> f64 {
    f64::from(denominator) / f64::from(numerator)
}

/// The value nearest to `wanted` among `min`, `min + step`, ... up to `max`.
fn on_grid((min, max, step): (u32, u32, u32), wanted: u32) -> u32 {
    let (step, max) = (step.max(1), max.max(min));
    let steps = (wanted.clamp(min, max) - min + step / 2) / step;
    min + steps.min((max - min) / step) * step
}

#[cfg(test)]
mod tests {
    use PixelFormat::{Mjpeg, Nv12, Yuyv};
    use proptest::prelude::*;

    use super::*;

    const HD: Wanted = Wanted { width: 1280, height: 720, fps: 30 };

    fn best(modes: &[(PixelFormat, u32, u32, u32)], wanted: Wanted) -> (PixelFormat, u32, u32, u32) {
        let modes =
            modes.iter().map(|&(format, width, height, fps)| Mode { format, width, height, interval: (1, fps) });
        let best = ranked(modes.collect(), wanted)[0];
        (best.format, best.width, best.height, best.interval.1)
    }

    /// What a common USB camera offers: raw pictures only where USB 2 has room for them.
    const USB: [(PixelFormat, u32, u32, u32); 8] = [
        (Yuyv, 640, 480, 30),
        (Yuyv, 640, 480, 15),
        (Yuyv, 1280, 720, 10),
        (Yuyv, 1920, 1080, 5),
        (Mjpeg, 640, 480, 30),
        (Mjpeg, 1280, 720, 60),
        (Mjpeg, 1280, 720, 30),
        (Mjpeg, 1920, 1080, 30),
    ];

    #[test]
    fn raw_where_it_reaches_the_rate_else_mjpeg() {
        assert_eq!(best(&USB, HD), (Mjpeg, 1280, 720, 30));
        assert_eq!(best(&USB, Wanted { width: 640, height: 480, fps: 30 }), (Yuyv, 640, 480, 30));
        assert_eq!(best(&USB, Wanted { width: 640, height: 480, fps: 15 }), (Yuyv, 640, 480, 15));
        assert_eq!(best(&USB, Wanted { width: 1280, height: 720, fps: 10 }), (Yuyv, 1280, 720, 10));
        assert_eq!(best(&USB, Wanted { width: 1920, height: 1080, fps: 30 }), (Mjpeg, 1920, 1080, 30));
    }

    #[test]
    fn the_nearest_size_where_the_wanted_one_is_missing() {
        assert_eq!(best(&USB, Wanted { width: 1024, height: 768, fps: 30 }), (Mjpeg, 1280, 720, 30));
        assert_eq!(best(&USB, Wanted { width: 320, height: 240, fps: 30 }), (Yuyv, 640, 480, 30));
        let raw = &USB[..4];
        assert_eq!(best(raw, HD), (Yuyv, 640, 480, 30), "ten pictures a second are too few");
        assert_eq!(best(&[(Yuyv, 640, 480, 30), (Nv12, 1280, 720, 15)], HD), (Nv12, 1280, 720, 15));
    }

    #[test]
    fn ranges_are_met_on_their_grid() {
        let sizes = Sizes::Range { width: (48, 1920, 16), height: (32, 1080, 8) };
        assert_eq!(sizes.nearest(1280, 720), (1280, 720));
        assert_eq!(sizes.nearest(1290, 5000), (1296, 1080));
        assert_eq!(sizes.nearest(0, 0), (48, 32));
        assert_eq!(sizes.examples(), [(320, 240), (640, 480), (1280, 720), (1920, 1080)]);
        let intervals = Intervals::Range { shortest: (1, 60), longest: (1, 5) };
        assert_eq!([1, 30, 100].map(|fps| intervals.nearest(fps)), [(1, 5), (1, 30), (1, 60)]);
        assert_eq!(
            [30, 8, 1].map(|fps| intervals.near(fps)),
            [vec![(1, 30), (1, 15)], vec![(1, 8), (1, 5)], vec![(1, 5)]]
        );
        assert_eq!(sizes.near(1280, 720), [(1280, 720), (640, 360), (320, 184)]);
        assert_eq!(Sizes::One(640, 480).near(1280, 720), [(640, 480)]);
        assert_eq!(Sizes::Unknown.near(640, 480), [(640, 480), (320, 240), (160, 120)]);
        assert!(!Intervals::One((0, 0)).is_sane() && !Intervals::One((1, 0)).is_sane());
    }

    proptest! {
        #[test]
        fn a_mode_that_is_exactly_as_wanted_comes_first(
            others in prop::collection::vec((0usize..4, 2u32..4000, 2u32..4000, 1u32..120), 0..20),
            width in 2u32..=MAX_SIDE, height in 2u32..=MAX_SIDE, fps in 1u32..120,
        ) {
            let wanted = Wanted { width, height, fps };
            let raw = |&(f, width, height, fps): &_| Mode { format: PixelFormat::ALL[f], width, height, interval: (1, fps) };
            let mut modes: Vec<Mode> = others.iter().map(raw).collect();
            modes.push(Mode { format: PixelFormat::I420, width, height, interval: (1, fps) });
            let best = ranked(modes, wanted)[0];
            prop_assert_eq!((best.width, best.height), (width, height));
            prop_assert!(best.fps() >= f64::from(fps) * 0.99);
        }

        #[test]
        fn nearest_sizes_are_on_the_grid(min in 0u32..500, span in 0u32..4000, step in 0u32..64, wanted: u32) {
            let got = on_grid((min, min + span, step), wanted);
            prop_assert!((min..=min + span).contains(&got) && (got - min).is_multiple_of(step.max(1)));
        }
    }
}
