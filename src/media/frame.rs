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

#[cfg(test)]
mod tests {
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
}
