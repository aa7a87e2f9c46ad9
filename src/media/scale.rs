//! Pictures made smaller: each pixel becomes the mean of the area it covers. What depends on the sizes alone is worked
//! out once, so that a picture costs no allocation.

use super::frame::I420;

/// Makes pictures of one size into pictures of another, and keeps what it needs for as long as the sizes stay.
#[derive(Debug, Default)]
pub struct Scaler {
    luma: Planes,
    chroma: Planes,
}

impl Scaler {
    /// Draws `from` into `to` at the size that `to` has.
    pub fn scale(&mut self, from: &I420, to: &mut I420) {
        let pixels = |(width, height): (u32, u32)| (width as usize, height as usize);
        let half = |(width, height): (usize, usize)| (width / 2, height / 2);
        let (source, target) = (pixels(from.size()), pixels(to.size()));
        self.luma.fit(source, target);
        self.chroma.fit(half(source), half(target));
        let (y, u, v) = from.planes();
        let (to_y, to_u, to_v) = to.planes_mut();
        self.luma.scale(y, to_y);
        self.chroma.scale(u, to_u);
        self.chroma.scale(v, to_v);
    }
}

/// From planes of one size to planes of another.
#[derive(Debug, Default)]
struct Planes {
    from: (usize, usize),
    to: (usize, usize),
    rows: Axis,
    columns: Axis,
    /// The rows under one row of the target, weighted and added up: 256 times a sample at most, which fits.
    sums: Vec<u16>,
}

impl Planes {
    fn fit(&mut self, from: (usize, usize), to: (usize, usize)) {
        if (self.from, self.to) != (from, to) {
            (self.from, self.to) = (from, to);
            self.columns = Axis::new(from.0, to.0);
            self.rows = Axis::new(from.1, to.1);
            self.sums = vec![0; from.0];
        }
    }

    /// Rows first, which the compiler turns into wide instructions, then columns.
    fn scale(&mut self, from: &[u8], to: &mut [u8]) {
        if self.from == self.to {
            to.copy_from_slice(from);
            return;
        }
        let (width, sums) = (self.from.0, &mut self.sums);
        let rows = self.rows.starts.iter().zip(self.rows.weights.chunks_exact(self.rows.taps.max(1)));
        for (target, (start, weights)) in to.chunks_exact_mut(self.to.0.max(1)).zip(rows) {
            sums.fill(0);
            let sources = from.chunks_exact(width.max(1)).skip(*start as usize);
            for (source, weight) in sources.zip(weights) {
                // No sample has all the weight and more, so neither products nor sums leave 16 bits.
                sums.iter_mut().zip(source).for_each(|(sum, s)| *sum += u16::from(*s) * *weight);
            }
            // A known number of columns under a pixel is a loop less.
            match self.columns.taps {
                2 => self.columns.merge::<2>(sums, target),
                3 => self.columns.merge::<3>(sums, target),
                4 => self.columns.merge::<4>(sums, target),
                _ => self.columns.merge_any(sums, target),
            }
        }
    }
}

/// Which samples of a row or column lie under each one of the target, in weights of 1/256.
#[derive(Debug, Default)]
struct Axis {
    /// The first sample under each one of the target.
    starts: Vec<u32>,
    /// Samples that are looked at for each; those that are not covered have weight 0.
    taps: usize,
    /// `taps` for each one of the target.
    weights: Vec<u16>,
}

impl Axis {
    fn new(from: usize, to: usize) -> Axis {
        let taps = (0..to).map(|at| Cover::new(at, from, to).count()).max().unwrap_or(0).min(from);
        let mut axis = Axis { starts: Vec::with_capacity(to), taps, weights: vec![0; to * taps] };
        for (at, weights) in (0..to).zip(axis.weights.chunks_exact_mut(taps.max(1))) {
            // The last ones begin a little earlier, so that all of them look at as many.
            let start = (at * from / to).min(from - taps);
            axis.starts.push(start as u32);
            for (sample, weight) in Cover::new(at, from, to) {
                weights[sample - start] = weight;
            }
        }
        axis
    }

    fn merge<const TAPS: usize>(&self, sums: &[u16], target: &mut [u8]) {
        let (weights, _) = self.weights.as_chunks::<TAPS>();
        for ((to, start), weights) in target.iter_mut().zip(&self.starts).zip(weights) {
            if let Some(sums) = sums.get(*start as usize..).and_then(|rest| rest.first_chunk::<TAPS>()) {
                *to = mean(sums, weights);
            }
        }
    }

    fn merge_any(&self, sums: &[u16], target: &mut [u8]) {
        let weights = self.weights.chunks_exact(self.taps.max(1));
        for ((to, start), weights) in target.iter_mut().zip(&self.starts).zip(weights) {
            *to = mean(sums.get(*start as usize..).unwrap_or_default(), weights);
        }
    }
}

/// Of sums in 1/256 and weights in 1/256.
fn mean(sums: &[u16], weights: &[u16]) -> u8 {
    let total: u32 = sums.iter().zip(weights).map(|(sum, weight)| u32::from(*sum) * u32::from(*weight)).sum();
    ((total + (1 << 15)) >> 16) as u8
}

/// The samples under sample `at` of `to`, each with its weight; all weights add up to 256.
struct Cover {
    /// In units of 1/to sample, so that all borders are whole numbers.
    start: usize,
    end: usize,
    from: usize,
    to: usize,
    next: usize,
}

impl Cover {
    fn new(at: usize, from: usize, to: usize) -> Cover {
        Cover { start: at * from, end: (at + 1) * from, from, to, next: at * from / to }
    }
}

impl Iterator for Cover {
    type Item = (usize, u16);

    fn next(&mut self) -> Option<(usize, u16)> {
        let sample = self.next;
        if sample * self.to >= self.end {
            return None;
        }
        self.next += 1;
        // What lies before a border is rounded, and not the weights, whose errors would add up.
        let before =
            |border: usize| ((border.clamp(self.start, self.end) - self.start) * 256 + self.from / 2) / self.from;
        Some((sample, (before((sample + 1) * self.to) - before(sample * self.to)) as u16))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scaled(from: &I420, width: u32, height: u32) -> I420 {
        let mut to = I420::new(width, height);
        Scaler::default().scale(from, &mut to);
        to
    }

    #[test]
    fn half_size_is_the_mean_of_four() {
        let mut from = I420::new(4, 4);
        from.planes_mut().0.copy_from_slice(&[10, 20, 200, 200, 30, 40, 200, 200, 0, 0, 0, 0, 0, 0, 255, 255]);
        assert_eq!(scaled(&from, 2, 2).planes().0, [25, 200, 0, 128]);
    }

    #[test]
    fn two_thirds_weigh_what_is_half_covered_by_half() {
        let mut from = I420::new(6, 2);
        from.planes_mut().0.copy_from_slice(&[0, 90, 180, 240, 240, 240, 0, 90, 180, 240, 240, 240]);
        assert_eq!(scaled(&from, 4, 2).planes().0[..4], [30, 150, 240, 240]);
    }

    #[test]
    fn one_scaler_serves_sizes_that_change_and_pictures_made_larger() {
        let mut from = I420::new(64, 48);
        from.planes_mut().0.iter_mut().enumerate().for_each(|(i, s)| *s = (i % 64 * 3) as u8);
        let mut scaler = Scaler::default();
        for (width, height) in [(32, 24), (20, 30), (64, 48), (2, 2), (130, 100), (32, 24)] {
            let mut to = I420::new(width, height);
            scaler.scale(&from, &mut to);
            assert_eq!(to, scaled(&from, width, height), "{width}x{height}");
        }
    }

    #[test]
    fn the_same_sizes_again_allocate_nothing() {
        let (from, mut to) = (I420::new(96, 54), I420::new(64, 36));
        let mut scaler = Scaler::default();
        scaler.scale(&from, &mut to);
        let places = |scaler: &Scaler| {
            [&scaler.luma, &scaler.chroma]
                .map(|p| (p.sums.as_ptr(), p.rows.weights.as_ptr(), p.columns.starts.as_ptr()))
        };
        let before = places(&scaler);
        scaler.scale(&from, &mut to);
        assert_eq!(places(&scaler), before);
    }

    proptest! {
        #[test]
        fn weights_cover_everything_once(from in 1usize..500, to in 1usize..500) {
            let axis = Axis::new(from, to);
            for (start, weights) in axis.starts.iter().zip(axis.weights.chunks_exact(axis.taps)) {
                prop_assert_eq!(weights.iter().sum::<u16>(), 256);
                prop_assert!(*start as usize + axis.taps <= from);
            }
            prop_assert_eq!(axis.starts.len(), to);
        }

        #[test]
        fn one_colour_stays_that_colour(w in 2u32..80, h in 2u32..80, tw in 2u32..80, th in 2u32..80, y: u8) {
            let mut from = I420::new(w, h);
            from.fill(y, 77, 201);
            let to = scaled(&from, tw, th);
            let (ys, us, vs) = to.planes();
            prop_assert!(ys.iter().all(|s| *s == y), "{ys:?}");
            prop_assert!(us.iter().all(|s| *s == 77) && vs.iter().all(|s| *s == 201));
        }

        /// Against the definition, in floating point.
        #[test]
        fn every_pixel_is_the_mean_of_its_area(w in 1usize..30, h in 1usize..30, tw in 1usize..30, th in 1usize..30, seed: u64) {
            let (tw, th) = (tw.min(w), th.min(h));
            let mut random = fastrand::Rng::with_seed(seed);
            let from: Vec<u8> = (0..w * h).map(|_| random.u8(..)).collect();
            let mut to = vec![0; tw * th];
            let mut planes = Planes::default();
            planes.fit((w, h), (tw, th));
            planes.scale(&from, &mut to);
            let share = |at: usize, from: usize, to: usize, sample: usize| {
                let (start, end) = (at as f64 * from as f64 / to as f64, (at + 1) as f64 * from as f64 / to as f64);
                (end.min(sample as f64 + 1.0) - start.max(sample as f64)).max(0.0) * to as f64 / from as f64
            };
            for (i, got) in to.iter().enumerate() {
                let (x, y) = (i % tw, i / tw);
                let mean: f64 = (0..w * h).map(|s| f64::from(from[s]) * share(x, w, tw, s % w) * share(y, h, th, s / w)).sum();
                // Each weight is off by 1/256 at most, for each sample looked at.
                let off = 1.0 + 0.5 * (planes.columns.taps + planes.rows.taps) as f64;
                prop_assert!((f64::from(*got) - mean).abs() <= off, "{got} is not {mean}");
            }
        }
    }
}
