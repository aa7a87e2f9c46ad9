//! Cameras behind Video4Linux (the kernel's userspace API guide, "Video for Linux API"): memory-mapped streaming,
//! single-planar.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::Serialize;
use v4l::buffer::{Flags as BufferFlags, Metadata, Type};
use v4l::capability::Flags as Capability;
use v4l::format::{Colorspace, Quantization};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

use super::{Camera, CameraError, Wanted};
use crate::media::convert::{Converter, FrameError, Layout, PixelFormat};
use crate::media::frame::I420;
use clock::Clock;
use modes::{Intervals, Mode, Sizes};

mod clock;
mod modes;
mod names;

/// One buffer being converted, one being filled, and two for when this thread is late; older pictures are skipped.
const BUFFERS: u32 = 4;
/// A camera that sends nothing for this long has failed.
const SILENCE: Duration = Duration::from_secs(2);
/// So many broken pictures in a row are a failure; single ones are usual on USB and skipped.
const MAX_BROKEN: u32 = 30;
/// Least time between two messages about broken pictures.
const BROKEN_LOGGED: Duration = Duration::from_secs(10);
/// Most modes tried when the driver answers with another format than asked for.
const MAX_TRIES: usize = 8;
/// poll(2)'s POLLIN: a buffer is filled.
const POLLIN: i16 = 1;

/// A camera as `callbox devices` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraInfo {
    pub path: PathBuf,
    /// udev's links to it, which stay when the number in `path` changes: by serial number, then by socket.
    pub links: Vec<PathBuf>,
    /// What the driver calls it.
    pub name: String,
    /// The formats that can be used here, cheapest to convert first.
    pub formats: Vec<FormatInfo>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FormatInfo {
    /// V4L2's code, e.g. `YUYV`.
    pub fourcc: String,
    pub sizes: Vec<SizeInfo>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeInfo {
    pub width: u32,
    pub height: u32,
    /// Pictures a second, highest first. Empty if the driver does not say.
    pub fps: Vec<f64>,
}

/// Opens the camera at `path` (a device node or a link to one) in the mode nearest to `wanted`.
pub fn open(path: &Path, wanted: Wanted) -> Result<Box<dyn Camera>, CameraError> {
    let device = Device::with_path(path).map_err(|source| CameraError::open(path, source))?;
    let refused = |source| CameraError::Refused { path: path.to_owned(), source };
    let not_a_camera = || CameraError::NotACamera { path: path.to_owned() };
    let capabilities = device.query_caps().map_err(|_| not_a_camera())?;
    if !captures(capabilities.capabilities) {
        return Err(not_a_camera());
    }
    for mode in modes::ranked(offered(&device, wanted), wanted).into_iter().take(MAX_TRIES) {
        let format = device.set_format(&Format::new(mode.width, mode.height, FourCC::new(mode.format.fourcc())));
        let format = format.map_err(refused)?;
        // Some drivers put in another format without a word.
        if PixelFormat::from_fourcc(&format.fourcc.repr) != Some(mode.format) {
            continue;
        }
        // Always set: the driver may have kept what the last program asked for.
        let interval = Fraction::new(mode.interval.0, mode.interval.1);
        let set = device.set_params(&Parameters::new(interval)).map(|set| set.interval);
        let fps = match set {
            Ok(Fraction { numerator: numerator @ 1.., denominator: denominator @ 1.. }) => {
                f64::from(denominator) / f64::from(numerator)
            }
            Ok(_) | Err(_) => mode.fps(),
        };
        if (format.width, format.height) != (wanted.width, wanted.height) || fps < f64::from(wanted.fps) * 0.9 {
            let (width, height) = (format.width, format.height);
            let asked = format!("{}x{} at {}", wanted.width, wanted.height, wanted.fps);
            log::warn!(camera:% = path.display(), asked, width, height, fps; "the camera's nearest mode is used");
        }
        let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(refused)?;
        stream.set_timeout(SILENCE);
        return Ok(Box::new(V4l2 {
            path: path.to_owned(),
            name: capabilities.card,
            stream,
            layout: layout(mode.format, &format),
            fps,
            converter: Converter::new(),
            clock: Clock::default(),
            opened: Instant::now(),
            broken: 0,
            stale: 0,
            logged: None,
        }));
    }
    Err(CameraError::NoFormat { path: path.to_owned() })
}

/// Every camera with the modes it offers, sorted by device number.
pub fn list() -> Vec<CameraInfo> {
    nodes().into_iter().filter_map(|path| catch_unwind(|| describe(path)).ok().flatten()).collect()
}

/// The camera with the lowest device number that can be used here.
pub fn first() -> Option<PathBuf> {
    nodes().into_iter().find(|path| usable(path).is_some())
}

/// The one camera that the driver calls so, or that has this in its name.
pub fn named(name: &str) -> Result<PathBuf, CameraError> {
    let cameras = nodes().into_iter().filter_map(|path| usable(&path).map(|card| (path, card)));
    names::pick(name, cameras.collect())
}

/// What the driver calls the camera, if it can be used here.
fn usable(path: &Path) -> Option<String> {
    let card = || {
        let device = Device::with_path(path).ok()?;
        let capabilities = device.query_caps().ok()?;
        let found = captures(capabilities.capabilities) && !formats(&device).is_empty();
        found.then_some(capabilities.card)
    };
    catch_unwind(card).ok().flatten()
}

struct V4l2 {
    path: PathBuf,
    name: String,
    stream: Stream<'static>,
    layout: Layout,
    fps: f64,
    converter: Converter,
    clock: Clock,
    opened: Instant,
    /// Broken pictures, and pictures that a newer one had already followed.
    broken: u64,
    stale: u64,
    /// When broken pictures were logged last, and how many there had been.
    logged: Option<(Instant, u64)>,
}

impl Camera for V4l2 {
    fn describe(&self) -> String {
        let fourcc = String::from_utf8_lossy(self.layout.format.fourcc());
        let ((width, height), fps) = (self.size(), rounded(self.fps));
        format!("{} ({}), {fourcc} {width}x{height} at {fps} fps", self.name, self.path.display())
    }

    fn size(&self) -> (u32, u32) {
        (self.layout.width & !1, self.layout.height & !1)
    }

    fn fps(&self) -> f64 {
        self.fps
    }

    fn discarded(&self) -> u64 {
        self.broken + self.stale
    }

    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
        let start = Instant::now();
        let handle = self.stream.handle();
        let (mut broken, mut stale) = (0, 0);
        loop {
            let (buffer, meta) = match CaptureStream::next(&mut self.stream) {
                Ok(next) => next,
                Err(source) => return Err(failure(&self.path, source)),
            };
            // A newer picture is there already: this thread was late, and the viewers want the present.
            if stale < BUFFERS && matches!(handle.poll(POLLIN, 0), Ok(1..)) {
                stale += 1;
                self.stale += 1;
                continue;
            }
            let captured = captured(&mut self.clock, meta);
            match convert(&mut self.converter, self.layout, buffer, meta, frame) {
                Ok(()) => {
                    self.log_broken();
                    return Ok(captured);
                }
                Err(source) => {
                    broken += 1;
                    self.broken += 1;
                    log::debug!(camera:% = self.path.display(), error:% = source; "a broken picture is left out");
                    if broken >= MAX_BROKEN || start.elapsed() > SILENCE {
                        return Err(CameraError::Broken { path: self.path.clone(), count: broken, source });
                    }
                }
            }
        }
    }
}

impl V4l2 {
    fn log_broken(&mut self) {
        let (at, before) = self.logged.unwrap_or((self.opened, 0));
        if self.broken > before && at.elapsed() >= BROKEN_LOGGED {
            let (pictures, seconds) = (self.broken - before, at.elapsed().as_secs());
            log::warn!(camera:% = self.path.display(), pictures, seconds; "the camera sent broken pictures");
            self.logged = Some((Instant::now(), self.broken));
        }
    }
}

fn failure(path: &Path, source: io::Error) -> CameraError {
    match source.kind() {
        io::ErrorKind::TimedOut => CameraError::Silent { path: path.to_owned(), seconds: SILENCE.as_secs() },
        _ => CameraError::Failed { path: path.to_owned(), source },
    }
}

fn convert(
    converter: &mut Converter,
    layout: Layout,
    buffer: &[u8],
    meta: &Metadata,
    frame: &mut I420,
) -> Result<(), FrameError> {
    if meta.flags.contains(BufferFlags::ERROR) {
        return Err(FrameError::Flagged);
    }
    let filled = match meta.bytesused as usize {
        0 => buffer,
        used => buffer.get(..used).unwrap_or(buffer),
    };
    converter.convert(layout, filled, frame)
}

fn captured(clock: &mut Clock, meta: &Metadata) -> Instant {
    let monotonic = (meta.flags & BufferFlags::TIMESTAMP_MASK) == BufferFlags::TIMESTAMP_MONOTONIC;
    let (seconds, micros) = (u64::try_from(meta.timestamp.sec), u32::try_from(meta.timestamp.usec));
    match (monotonic, seconds, micros) {
        (true, Ok(seconds), Ok(micros @ 0..1_000_000)) => {
            clock.map(Duration::new(seconds, micros * 1000), Instant::now())
        }
        _ => Instant::now(),
    }
}

fn layout(format: PixelFormat, set: &Format) -> Layout {
    let full = |by_default: bool| match set.quantization {
        Quantization::FullRange => true,
        Quantization::LimitedRange => false,
        Quantization::Default => by_default,
    };
    let full_range = full(matches!(set.colorspace, Colorspace::JPEG));
    Layout { format, width: set.width, height: set.height, stride: set.stride, full_range }
}

/// Every mode the device offers in a usable format, at the size and interval nearest to `wanted` where it offers ranges.
fn offered(device: &Device, wanted: Wanted) -> Vec<Mode> {
    let mut modes = Vec::new();
    for format in formats(device) {
        for (width, height) in sizes(device, format).iter().map(|sizes| sizes.nearest(wanted.width, wanted.height)) {
            let intervals = intervals(device, format, width, height);
            let nearest = intervals.iter().map(|interval| interval.nearest(wanted.fps));
            let mode = |interval| Mode { format, width, height, interval };
            modes.extend(nearest.map(mode));
            if intervals.is_empty() {
                modes.push(mode((1, wanted.fps.max(1))));
            }
        }
    }
    modes
}

fn describe(path: PathBuf) -> Option<CameraInfo> {
    let device = Device::with_path(&path).ok()?;
    let capabilities = device.query_caps().ok()?;
    if !captures(capabilities.capabilities) {
        return None;
    }
    let size = |format, (width, height)| {
        let intervals = intervals(&device, format, width, height);
        let mut fps: Vec<f64> = intervals.iter().flat_map(Intervals::rates).map(rounded).collect();
        fps.sort_by(|a, b| b.total_cmp(a));
        fps.dedup();
        SizeInfo { width, height, fps }
    };
    let formats = formats(&device).into_iter().map(|format| {
        let sizes =
            sizes(&device, format).iter().flat_map(Sizes::examples).map(|pixels| size(format, pixels)).collect();
        FormatInfo { fourcc: String::from_utf8_lossy(format.fourcc()).into_owned(), sizes }
    });
    Some(CameraInfo { name: capabilities.card, formats: formats.collect(), links: names::links(&path), path })
}

/// The device's formats that can be used here, cheapest to convert first.
fn formats(device: &Device) -> Vec<PixelFormat> {
    let offered = Capture::enum_formats(device).unwrap_or_default();
    let mut formats: Vec<_> = offered.iter().filter_map(|f| PixelFormat::from_fourcc(&f.fourcc.repr)).collect();
    formats.sort();
    formats.dedup();
    formats
}

fn sizes(device: &Device, format: PixelFormat) -> Vec<Sizes> {
    let offered = Capture::enum_framesizes(device, FourCC::new(format.fourcc())).unwrap_or_default();
    if offered.is_empty() {
        return vec![Sizes::Unknown];
    }
    offered
        .into_iter()
        .map(|offer| match offer.size {
            FrameSizeEnum::Discrete(size) => Sizes::One(size.width, size.height),
            FrameSizeEnum::Stepwise(s) => Sizes::Range {
                width: (s.min_width, s.max_width, s.step_width),
                height: (s.min_height, s.max_height, s.step_height),
            },
        })
        .collect()
}

fn intervals(device: &Device, format: PixelFormat, width: u32, height: u32) -> Vec<Intervals> {
    let offered = Capture::enum_frameintervals(device, FourCC::new(format.fourcc()), width, height);
    let pair = |fraction: &Fraction| (fraction.numerator, fraction.denominator);
    let offered = offered.unwrap_or_default();
    let intervals = offered.iter().map(|offer| match &offer.interval {
        FrameIntervalEnum::Discrete(interval) => Intervals::One(pair(interval)),
        FrameIntervalEnum::Stepwise(range) => {
            Intervals::Range { shortest: pair(&range.min), longest: pair(&range.max) }
        }
    });
    intervals.filter(Intervals::is_sane).collect()
}

fn captures(capabilities: Capability) -> bool {
    capabilities.contains(Capability::VIDEO_CAPTURE | Capability::STREAMING)
}

/// /dev/video*, sorted by number.
fn nodes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
        Some((number, entry.path()))
    });
    let mut nodes: Vec<_> = numbered.collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

/// To a thousandth, for people.
fn rounded(fps: f64) -> f64 {
    (fps * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use v4l::timestamp::Timestamp;

    use super::*;

    const WANTED: Wanted = Wanted { width: 640, height: 480, fps: 30 };

    #[test]
    fn says_what_is_wrong_with_a_path() {
        let message = |path: &str| open(Path::new(path), WANTED).err().expect(path).to_string();
        assert!(message("/dev/no-such-camera").starts_with("cannot open camera /dev/no-such-camera"));
        assert!(message("/dev/null").contains("not a camera"));
    }

    #[test]
    fn lists_what_there_is() {
        let cameras = list();
        assert!(cameras.is_sorted_by_key(|camera| camera.path.as_os_str().len()));
        assert_eq!(first().is_some(), cameras.iter().any(|camera| !camera.formats.is_empty()));
    }

    #[test]
    fn buffers_that_are_marked_or_short_are_broken() {
        let mut converter = Converter::new();
        let layout = Layout { format: PixelFormat::Yuyv, width: 4, height: 2, stride: 8, full_range: false };
        let mut frame = I420::default();
        let mut convert = |meta| super::convert(&mut converter, layout, &[90; 16], &meta, &mut frame);
        let whole = Metadata { bytesused: 16, ..Metadata::default() };
        assert!(convert(whole).is_ok());
        assert!(convert(Metadata { bytesused: 0, ..whole }).is_ok());
        assert!(convert(Metadata { bytesused: 99, ..whole }).is_ok());
        assert!(matches!(convert(Metadata { bytesused: 15, ..whole }), Err(FrameError::Short { got: 15, needed: 16 })));
        assert!(matches!(convert(Metadata { flags: BufferFlags::ERROR, ..whole }), Err(FrameError::Flagged)));
    }

    #[test]
    fn only_sound_monotonic_times_are_believed() {
        let mut clock = Clock::default();
        let meta = |flags, sec, usec| Metadata { flags, timestamp: Timestamp { sec, usec }, ..Metadata::default() };
        let before = Instant::now();
        captured(&mut clock, &meta(BufferFlags::TIMESTAMP_UNKNOWN, 5, 0));
        captured(&mut clock, &meta(BufferFlags::TIMESTAMP_MONOTONIC, -5, 0));
        captured(&mut clock, &meta(BufferFlags::TIMESTAMP_MONOTONIC, 5, 2_000_000));
        let first = captured(&mut clock, &meta(BufferFlags::TIMESTAMP_MONOTONIC, 5, 0));
        let same = captured(&mut clock, &meta(BufferFlags::TIMESTAMP_MONOTONIC, 5, 0));
        assert!(first >= before && same == first);
    }
}
