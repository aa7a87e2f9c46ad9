//! From what cameras deliver to [`I420`], BT.601 in limited range.

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Subsamp, YuvImage};
use yuv::{BufferStoreMut, YuvError, YuvPackedImage, YuvPlanarImageMut, uyvy422_to_yuv420, yuyv422_to_yuv420};

use super::frame::{I420, MAX_SIDE, copy_plane};

/// What cameras deliver and [`Converter`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    I420,
    Nv12,
    Yuyv,
    Uyvy,
    Mjpeg,
}

impl PixelFormat {
    /// Every format, cheapest to convert first.
    pub const ALL: [PixelFormat; 5] =
        [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Mjpeg];

    /// V4L2's code of the format.
    pub fn fourcc(self) -> &'static [u8; 4] {
        match self {
            PixelFormat::I420 => b"YU12",
            PixelFormat::Nv12 => b"NV12",
            PixelFormat::Yuyv => b"YUYV",
            PixelFormat::Uyvy => b"UYVY",
            PixelFormat::Mjpeg => b"MJPG",
        }
    }

    pub fn from_fourcc(fourcc: &[u8; 4]) -> Option<PixelFormat> {
        match fourcc {
            // Some drivers say JPEG for the same stream of pictures.
            b"JPEG" => Some(PixelFormat::Mjpeg),
            other => PixelFormat::ALL.into_iter().find(|format| format.fourcc() == other),
        }
    }
}

/// How a camera's buffer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub format: PixelFormat,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// Bytes from one row to the next (of the luma plane, where there are planes). Not used for MJPEG.
    pub stride: u32,
    /// Samples run from 0 to 255, not from 16 to 235 (240). Always so in MJPEG.
    pub full_range: bool,
}

/// Why a buffer is no picture.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the buffer holds {got} bytes, a picture of this format has {needed}")]
    Short { got: usize, needed: usize },
    #[error("the driver marked it as corrupted")]
    Flagged,
    #[error("a picture of {width}x{height} pixels is outside of 2x2 to {MAX_SIDE}x{MAX_SIDE}")]
    Size { width: usize, height: usize },
    #[error("the JPEG picture cannot be read: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    #[error("JPEG pictures in colour space {0:?} are not supported")]
    JpegColour(Colorspace),
    #[error("the picture cannot be converted: {0}")]
    Convert(#[from] YuvError),
}

/// Converts camera buffers to [`I420`]; keeps what JPEG decoding needs between pictures.
#[derive(Default)]
pub struct Converter {
    jpeg: Option<Decompressor>,
    /// The JPEG's planes in its own subsampling.
    decoded: Vec<u8>,
}

impl Converter {
    pub fn new() -> Self {
        Converter::default()
    }

    /// Converts the buffer `source` into `frame`, which takes the picture's size.
    pub fn convert(&mut self, layout: Layout, source: &[u8], frame: &mut I420) -> Result<(), FrameError> {
        let (width, height) = (layout.width as usize, layout.height as usize);
        check_size(width, height)?;
        // Some drivers leave the stride at 0.
        let stride = |bytes: usize| (layout.stride as usize).max((width & !1) * bytes);
        frame.resize(layout.width, layout.height);
        match layout.format {
            PixelFormat::Mjpeg => return self.convert_jpeg(source, frame),
            PixelFormat::I420 => planar(source, stride(1), height, frame)?,
            PixelFormat::Nv12 => semi_planar(source, stride(1), height, frame)?,
            PixelFormat::Yuyv => packed(yuyv422_to_yuv420, source, stride(2), frame)?,
            PixelFormat::Uyvy => packed(uyvy422_to_yuv420, source, stride(2), frame)?,
        }
        if layout.full_range {
            let (y, u, v) = frame.planes_mut();
            y.iter_mut().for_each(|s| *s = limited_luma(*s));
            u.iter_mut().chain(v).for_each(|s| *s = limited_chroma(*s));
        }
        Ok(())
    }

    fn convert_jpeg(&mut self, source: &[u8], frame: &mut I420) -> Result<(), FrameError> {
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => none.insert(Decompressor::new()?),
        };
        let DecompressHeader { width, height, subsamp, colorspace, .. } = jpeg.read_header(source)?;
        check_size(width, height)?;
        if !matches!(colorspace, Colorspace::YCbCr | Colorspace::Gray) {
            return Err(FrameError::JpegColour(colorspace));
        }
        self.decoded.resize(turbojpeg::yuv_pixels_len(width, 1, height, subsamp)?, 0);
        let image = YuvImage { pixels: self.decoded.as_mut_slice(), width, align: 1, height, subsamp };
        let (y_size, uv_size) = (image.y_size(), image.uv_size());
        match jpeg.decompress_to_yuv(source, image) {
            Ok(()) => {}
            // Logitech's C9xx pad between the last scan and the end marker; the picture is whole.
            Err(turbojpeg::Error::TurboJpegError(text)) if text.contains("extraneous bytes before marker 0xd9") => {}
            Err(error) => return Err(error.into()),
        }

        frame.resize(width as u32, height as u32);
        let (columns, rows) = (width & !1, height & !1);
        let (y, u, v) = frame.planes_mut();
        let luma_len = y_size.0 * y_size.1;
        let (luma, chroma) = self.decoded.split_at(luma_len.min(self.decoded.len()));
        for (to, from) in y.chunks_exact_mut(columns).zip(luma.chunks_exact(y_size.0)) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = limited_luma(*from));
        }
        if subsamp == Subsamp::Gray {
            u.fill(128);
            v.fill(128);
            return Ok(());
        }
        let (cb, cr) = chroma.split_at((uv_size.0 * uv_size.1).min(chroma.len()));
        for (from, to) in [(cb, u), (cr, v)] {
            jpeg_chroma(from, uv_size, subsamp, to, (columns / 2, rows / 2));
        }
        Ok(())
    }
}

fn check_size(width: usize, height: usize) -> Result<(), FrameError> {
    let sides = 2..=MAX_SIDE as usize;
    if sides.contains(&width) && sides.contains(&height) { Ok(()) } else { Err(FrameError::Size { width, height }) }
}

/// 0..=255 to 16..=235.
fn limited_luma(sample: u8) -> u8 {
    ((u16::from(sample) * 220 + 128) >> 8) as u8 + 16
}

/// 0..=255 to 16..=240; 128 stays.
fn limited_chroma(sample: u8) -> u8 {
    ((u16::from(sample) * 225) >> 8) as u8 + 16
}

fn mean(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

type Unpack = fn(&mut YuvPlanarImageMut<u8>, &YuvPackedImage<u8>) -> Result<(), YuvError>;

fn packed(unpack: Unpack, source: &[u8], stride: usize, frame: &mut I420) -> Result<(), FrameError> {
    let (width, height) = frame.size();
    let needed = stride * height as usize;
    let rows = source.get(..needed).ok_or(FrameError::Short { got: source.len(), needed })?;
    let image = YuvPackedImage { yuy: rows, yuy_stride: stride as u32, width, height };
    let (y, u, v) = frame.planes_mut();
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width / 2,
        width,
        height,
    };
    Ok(unpack(&mut planar, &image)?)
}

fn planar(source: &[u8], stride: usize, rows: usize, frame: &mut I420) -> Result<(), FrameError> {
    let (luma, chroma) = (stride * rows, stride.div_ceil(2) * rows.div_ceil(2));
    let needed = luma + 2 * chroma;
    let source = source.get(..needed).ok_or(FrameError::Short { got: source.len(), needed })?;
    let width = frame.size().0 as usize;
    let (y, u, v) = frame.planes_mut();
    copy_plane(&source[..luma], stride, y, width);
    copy_plane(&source[luma..luma + chroma], stride.div_ceil(2), u, width / 2);
    copy_plane(&source[luma + chroma..], stride.div_ceil(2), v, width / 2);
    Ok(())
}

fn semi_planar(source: &[u8], stride: usize, rows: usize, frame: &mut I420) -> Result<(), FrameError> {
    let luma = stride * rows;
    let needed = luma + stride * rows.div_ceil(2);
    let source = source.get(..needed).ok_or(FrameError::Short { got: source.len(), needed })?;
    let width = frame.size().0 as usize;
    let (y, u, v) = frame.planes_mut();
    copy_plane(&source[..luma], stride, y, width);
    let targets = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
    for ((u, v), pairs) in targets.zip(source[luma..].chunks_exact(stride.max(1))) {
        for ((u, v), pair) in u.iter_mut().zip(v).zip(pairs.chunks_exact(2)) {
            *u = pair[0];
            *v = pair[1];
        }
    }
    Ok(())
}

/// Brings a JPEG's chroma plane to half the picture's size both ways, and to limited range.
fn jpeg_chroma(from: &[u8], (stride, rows): (usize, usize), sampling: Subsamp, to: &mut [u8], (w, h): (usize, usize)) {
    let row = |number: usize| from.chunks_exact(stride).nth(number.min(rows - 1)).unwrap_or(&[]);
    for (number, target) in to.chunks_exact_mut(w).take(h).enumerate() {
        match sampling {
            Subsamp::Sub2x2 => {
                target.iter_mut().zip(row(number)).for_each(|(to, s)| *to = limited_chroma(*s));
            }
            Subsamp::Sub2x1 => {
                let pairs = row(2 * number).iter().zip(row(2 * number + 1));
                target.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = limited_chroma(mean(*a, *b)));
            }
            Subsamp::None => {
                let pairs = row(2 * number).chunks_exact(2).zip(row(2 * number + 1).chunks_exact(2));
                for (to, (a, b)) in target.iter_mut().zip(pairs) {
                    *to = limited_chroma(mean(mean(a[0], a[1]), mean(b[0], b[1])));
                }
            }
            // Seldom seen: the nearest sample will do.
            _ => {
                let source = row(number * rows / h);
                for (column, to) in target.iter_mut().enumerate() {
                    *to = source.get(column * stride / w).map_or(128, |s| limited_chroma(*s));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use turbojpeg::{Compressor, Image, PixelFormat as JpegPixels};

    use super::*;

    const RAW: [PixelFormat; 4] = [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Uyvy];

    /// A picture in `format` with rows padded by `pad` bytes, made pixel by pixel: the slow and obvious way.
    fn buffer(
        format: PixelFormat,
        (w, h): (usize, usize),
        pad: usize,
        at: impl Fn(usize, usize) -> [u8; 3],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut row = |samples: Vec<u8>, pad: usize| {
            bytes.extend(samples);
            bytes.extend(vec![0xee; pad]);
        };
        let luma = |y: usize| (0..w).map(|x| at(x, y)[0]).collect::<Vec<_>>();
        let chroma = |y: usize, which: usize| (0..w / 2).map(|x| at(2 * x, y)[which]).collect::<Vec<_>>();
        match format {
            PixelFormat::I420 => {
                (0..h).for_each(|y| row(luma(y), pad));
                (0..h / 2).for_each(|y| row(chroma(2 * y, 1), pad / 2));
                (0..h / 2).for_each(|y| row(chroma(2 * y, 2), pad / 2));
            }
            PixelFormat::Nv12 => {
                (0..h).for_each(|y| row(luma(y), pad));
                for y in 0..h / 2 {
                    row((0..w).map(|x| at(x & !1, 2 * y)[1 + x % 2]).collect(), pad);
                }
            }
            PixelFormat::Yuyv | PixelFormat::Uyvy => {
                for y in 0..h {
                    let pair = |x: usize| {
                        let [[y0, u, v], [y1, ..]] = [at(x, y), at(x + 1, y)];
                        if format == PixelFormat::Yuyv { [y0, u, y1, v] } else { [u, y0, v, y1] }
                    };
                    row((0..w).step_by(2).flat_map(pair).collect(), pad);
                }
            }
            PixelFormat::Mjpeg => unreachable!(),
        }
        bytes
    }

    fn layout(format: PixelFormat, (width, height): (usize, usize), pad: usize) -> Layout {
        let bytes = if matches!(format, PixelFormat::Yuyv | PixelFormat::Uyvy) { 2 } else { 1 };
        let stride = (width * bytes + pad) as u32;
        Layout { format, width: width as u32, height: height as u32, stride, full_range: false }
    }

    #[test]
    fn all_raw_formats_become_the_same_picture() {
        // The colour changes only every four rows, so that it does not matter how rows are merged.
        let at = |x: usize, y: usize| [(x * 3 + y * 7) as u8, (40 + x / 2 + y / 4) as u8, (200 - x / 2 - y / 4) as u8];
        let size = (70, 20);
        let mut converter = Converter::new();
        for pad in [0, 6] {
            for format in RAW {
                let mut frame = I420::default();
                converter.convert(layout(format, size, pad), &buffer(format, size, pad, at), &mut frame).unwrap();
                let (y, u, v) = frame.planes();
                for row in 0..20 {
                    for column in 0..70 {
                        let expected = at(column & !1, row & !1);
                        assert_eq!(y[row * 70 + column], at(column, row)[0], "{format:?} {column},{row}");
                        let chroma = row / 2 * 35 + column / 2;
                        assert_eq!((u[chroma], v[chroma]), (expected[1], expected[2]), "{format:?} {column},{row}");
                    }
                }
            }
        }
    }

    #[test]
    fn full_range_becomes_limited() {
        for (full, limited) in
            [([0, 0, 0], (16, 16, 16)), ([255, 255, 255], (235, 240, 240)), ([128; 3], (126, 128, 128))]
        {
            for format in RAW {
                let (mut frame, size) = (I420::default(), (64, 4));
                let layout = Layout { full_range: true, ..layout(format, size, 0) };
                Converter::new().convert(layout, &buffer(format, size, 0, |_, _| full), &mut frame).unwrap();
                let (y, u, v) = frame.planes();
                assert_eq!((y[100], u[50], v[50]), limited, "{format:?}");
            }
        }
    }

    fn jpeg((width, height): (usize, usize), subsamp: Subsamp) -> Vec<u8> {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(95).unwrap();
        compressor.set_subsamp(subsamp).unwrap();
        // Left half red, right half blue.
        let pixel = |i: usize| if i % width < width / 2 { [255, 0, 0] } else { [0, 0, 255] };
        let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
        let image = Image { pixels: &pixels[..], width, pitch: width * 3, height, format: JpegPixels::RGB };
        compressor.compress_to_vec(image).unwrap()
    }

    const MJPEG: Layout = Layout { format: PixelFormat::Mjpeg, width: 64, height: 48, stride: 0, full_range: false };

    #[test]
    fn jpegs_of_any_subsampling_show_the_same() {
        let all = [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1, Subsamp::Sub1x4];
        let mut converter = Converter::new();
        for subsamp in all {
            for size in [(64, 48), (66, 50), (65, 49)] {
                let mut frame = I420::default();
                converter.convert(MJPEG, &jpeg(size, subsamp), &mut frame).unwrap();
                assert_eq!(frame.size(), (size.0 as u32 & !1, size.1 as u32 & !1));
                let (y, u, v) = frame.planes();
                let (width, half) = (frame.size().0 as usize, frame.size().0 as usize / 2);
                let at = |x: usize, row: usize| {
                    let chroma = row / 2 * half + x / 2;
                    [y[row * width + x], u[chroma], v[chroma]]
                };
                // BT.601: red is 81, 90, 240 and blue 41, 240, 110.
                for (x, row, expected) in [(6, 4, [81, 90, 240]), (58, 44, [41, 240, 110])] {
                    let close = at(x, row).iter().zip(expected).all(|(got, want)| got.abs_diff(want) <= 3);
                    assert!(close, "{subsamp:?} {size:?}: {:?} is not {expected:?}", at(x, row));
                }
            }
        }
    }

    #[test]
    fn grey_jpegs_have_no_colour() {
        let mut frame = I420::default();
        Converter::new().convert(MJPEG, &jpeg((64, 48), Subsamp::Gray), &mut frame).unwrap();
        assert!(frame.planes().1.iter().chain(frame.planes().2).all(|s| *s == 128));
    }

    #[test]
    fn padding_before_the_end_marker_is_no_error_but_truncation_is() {
        let (mut frame, mut converter) = (I420::default(), Converter::new());
        let whole = jpeg((64, 48), Subsamp::Sub2x1);
        let (picture, end) = whole.split_at(whole.len() - 2);
        let padded = [picture, &[0; 12], end].concat();
        converter.convert(MJPEG, &padded, &mut frame).unwrap();
        let truncated = &whole[..whole.len() / 2];
        assert!(matches!(converter.convert(MJPEG, truncated, &mut frame), Err(FrameError::Jpeg(_))));
        converter.convert(MJPEG, &whole, &mut frame).unwrap();
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let (mut frame, mut converter) = (I420::default(), Converter::new());
        for (width, height) in [(0, 0), (1, 2), (2, 100_000)] {
            let layout = Layout { width, height, ..MJPEG };
            assert!(matches!(converter.convert(layout, &[], &mut frame), Err(FrameError::Size { .. })));
        }
    }

    proptest! {
        #[test]
        fn no_buffer_makes_it_panic(
            format in prop::sample::select(PixelFormat::ALL.to_vec()),
            width in 0u32..100, height in 0u32..100, stride in 0u32..300, full_range: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let layout = Layout { format, width, height, stride, full_range };
            let mut frame = I420::default();
            if Converter::new().convert(layout, &bytes, &mut frame).is_ok() && format != PixelFormat::Mjpeg {
                prop_assert_eq!(frame.size(), (width & !1, height & !1));
            }
        }

        #[test]
        fn no_damaged_jpeg_makes_it_panic(at in 0usize..600, value: u8) {
            let mut bytes = jpeg((64, 48), Subsamp::Sub2x1);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Converter::new().convert(MJPEG, &bytes, &mut I420::default());
        }
    }
}
