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
