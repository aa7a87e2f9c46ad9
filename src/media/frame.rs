//! A raw picture as the encoder takes it: I420, BT.601, limited range.

use openh264::formats::YUVSource;

/// Longest side of a picture in pixels; the encoder takes no more.
pub const MAX_SIDE: u32 = 3840;

/// A planar 4:2:0 picture of 8 bits a sample, planes without padding. Width and height are even and at least 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I420 {
    width: usize,
    height: usize,
    /// Y, U and V one after the other.
    data: Vec<u8>,
}

impl I420 {
    /// A black picture. Odd sizes lose their last column or row.
    pub fn new(width: u32, height: u32) -> Self {
        let mut frame = I420::default();
        frame.resize(width, height);
        frame.fill(16, 128, 128);
        frame
    }

    /// Makes the picture this large (even, at least 2x2); what it showed is lost unless the size stays.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = (width.clamp(2, MAX_SIDE) & !1) as usize;
        self.height = (height.clamp(2, MAX_SIDE) & !1) as usize;
        self.data.resize(self.width * self.height * 3 / 2, 128);
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    /// One colour all over.
    pub fn fill(&mut self, y: u8, u: u8, v: u8) {
        let (ys, us, vs) = self.planes_mut();
        ys.fill(y);
        us.fill(u);
        vs.fill(v);
    }

    /// The planes Y, U and V; rows are `width`, `width / 2` and `width / 2` long.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let (y, chroma) = self.data.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        (y, u, v)
    }

    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (y, chroma) = self.data.split_at_mut(self.width * self.height);
        let half = chroma.len() / 2;
        let (u, v) = chroma.split_at_mut(half);
        (y, u, v)
    }

    /// Copies another picture, size included.
    pub fn copy_from(&mut self, other: &I420) {
        self.width = other.width;
        self.height = other.height;
        self.data.clone_from(&other.data);
    }

    /// Draws this picture into `target` at the target's size: each pixel becomes the mean of the area it covers, so
    /// this is for making pictures smaller.
    pub fn scale_into(&self, target: &mut I420) {
        let (from, to) = ((self.width, self.height), (target.width, target.height));
        let half = |(w, h): (usize, usize)| (w / 2, h / 2);
        let (y, u, v) = self.planes();
        let (ty, tu, tv) = target.planes_mut();
        scale_plane(y, from, ty, to);
        scale_plane(u, half(from), tu, half(to));
        scale_plane(v, half(from), tv, half(to));
    }
}

impl YUVSource for I420 {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        self.planes().0
    }

    fn u(&self) -> &[u8] {
        self.planes().1
    }

    fn v(&self) -> &[u8] {
        self.planes().2
    }
}

/// Copies as many columns and rows as the target has; `stride` and `width` are the row lengths.
pub(crate) fn copy_plane(source: &[u8], stride: usize, target: &mut [u8], width: usize) {
    if stride == width {
        let len = target.len().min(source.len());
        target[..len].copy_from_slice(&source[..len]);
        return;
    }
    for (to, from) in target.chunks_exact_mut(width).zip(source.chunks(stride.max(1))) {
        let len = to.len().min(from.len());
        to[..len].copy_from_slice(&from[..len]);
    }
}

/// Area means by weights in 1/256 pixel: rows first, which the compiler turns into wide instructions, then columns.
fn scale_plane(from: &[u8], (fw, fh): (usize, usize), to: &mut [u8], (tw, th): (usize, usize)) {
    if (fw, fh) == (tw, th) {
        to.copy_from_slice(from);
        return;
    }
    let columns: Vec<Vec<(usize, u32)>> = (0..tw).map(|column| cover(column, fw, tw)).collect();
    let mut sums = vec![0u32; fw];
    for (number, target) in to.chunks_exact_mut(tw).enumerate() {
        sums.fill(0);
        for (row, weight) in cover(number, fh, th) {
            let Some(source) = from.chunks_exact(fw).nth(row) else { continue };
            sums.iter_mut().zip(source).for_each(|(sum, s)| *sum += u32::from(*s) * weight);
        }
        for (to, parts) in target.iter_mut().zip(&columns) {
            let total: u32 = parts.iter().map(|(column, weight)| (sums[*column] >> 4) * weight).sum();
            *to = ((total + (1 << 11)) >> 12).min(255) as u8;
        }
    }
}

/// The source pixels under pixel `at` of `to`, with weights that add up to 256.
fn cover(at: usize, from: usize, to: usize) -> Vec<(usize, u32)> {
    // In units of 1/to source pixel, so that all borders are whole numbers.
    let (start, end) = (at * from, (at + 1) * from);
    let mut parts: Vec<(usize, u32)> = Vec::with_capacity((end - start) / to + 2);
    let mut left = 256;
    for pixel in start / to..end.div_ceil(to) {
        let covered = end.min((pixel + 1) * to) - start.max(pixel * to);
        let weight = ((covered * 256 + from / 2) / from).min(left);
        left -= weight;
        parts.push((pixel, weight as u32));
    }
    if let Some(last) = parts.last_mut() {
        last.1 += left as u32;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_even_and_bounded() {
        assert_eq!(I420::new(641, 479).size(), (640, 478));
        assert_eq!(I420::new(0, 1).size(), (2, 2));
        assert_eq!(I420::new(100_000, 10).size(), (MAX_SIDE, 10));
        let frame = I420::new(6, 4);
        let (y, u, v) = frame.planes();
        assert_eq!((y.len(), u.len(), v.len()), (24, 6, 6));
    }

    #[test]
    fn half_size_is_the_mean_of_four() {
        let mut from = I420::new(4, 4);
        from.planes_mut().0.copy_from_slice(&[10, 20, 200, 200, 30, 40, 200, 200, 0, 0, 0, 0, 0, 0, 255, 255]);
        let mut to = I420::new(2, 2);
        from.scale_into(&mut to);
        assert_eq!(to.planes().0, [25, 200, 0, 128]);
    }

    proptest! {
        #[test]
        fn weights_cover_everything_once(from in 1usize..500, at in 0usize..500, to in 1usize..500) {
            let (to, at) = (to.min(from), at % to.min(from));
            let parts = cover(at, from, to);
            prop_assert_eq!(parts.iter().map(|p| p.1).sum::<u32>(), 256);
            prop_assert!(parts.iter().all(|p| p.0 < from));
        }

        #[test]
        fn one_colour_stays_that_colour(w in 2u32..80, h in 2u32..80, tw in 2u32..80, th in 2u32..80, y: u8) {
            let mut from = I420::new(w, h);
            from.fill(y, 77, 201);
            let mut to = I420::new(tw, th);
            from.scale_into(&mut to);
            let (ys, us, vs) = to.planes();
            prop_assert!(ys.iter().all(|s| s.abs_diff(y) <= 1), "{ys:?}");
            prop_assert!(us.iter().all(|s| s.abs_diff(77) <= 1) && vs.iter().all(|s| s.abs_diff(201) <= 1));
        }
    }
}
