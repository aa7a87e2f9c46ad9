//! Opening a camera in the mode that comes nearest to what is wanted and that its bus has room for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use v4l::buffer::Type;
use v4l::format::{Colorspace, Quantization};
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as Streaming};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, Format, FourCC, Fraction};

use super::clock::Clock;
use super::lessons::{self, Fault, Lessons, Refusal};
use super::listing::{captures, formats, intervals, sizes};
use super::modes::{self, Mode};
use super::{BUFFERS, SILENCE, V4l2};
use crate::base::lock::lock;
use crate::media::camera::{Camera, CameraError, Wanted};
use crate::media::convert::{Converter, Layout, PixelFormat};
use crate::media::frame::MAX_SIDE;

/// Drivers have no more (VIDEO_MAX_FRAME).
const MAX_BUFFERS: usize = 32;

/// Opens cameras, and remembers of the last one which modes its bus had no room for. Clones share what they remember.
#[derive(Clone)]
pub struct Opener {
    wanted: Wanted,
    format: Option<PixelFormat>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
pub(super) struct Memory {
    camera: PathBuf,
    pub(super) lessons: Lessons,
}

impl Opener {
    /// For pictures that come nearest to `wanted`; in this format, or in the one that suits best.
    pub fn new(wanted: Wanted, format: Option<PixelFormat>) -> Opener {
        Opener { wanted, format, memory: Arc::default() }
    }

    /// Opens the camera at `path` (a device node or a link to one), and starts it.
    pub fn open(&self, path: &Path) -> Result<Box<dyn Camera>, CameraError> {
        let device = Device::with_path(path).map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY) => CameraError::Busy { path: path.to_owned() },
            Some(_) | None => CameraError::open(path, source),
        })?;
        let not_a_camera = || CameraError::NotACamera { path: path.to_owned() };
        let capabilities = device.query_caps().map_err(|_| not_a_camera())?;
        if !captures(capabilities.capabilities) {
            return Err(not_a_camera());
        }
        let mut modes = modes::ranked(offered(&device, self.wanted), self.wanted);
        modes.retain(|mode| self.format.is_none_or(|format| mode.format == format));
        // Why it is not the best mode.
        let mut refused = None;
        let (mode, running) = {
            let mut memory = lock(&self.memory);
            if memory.camera != path {
                *memory = Memory { camera: path.to_owned(), lessons: Lessons::default() };
            }
            let started = memory.lessons.start(&modes, Instant::now(), |mode| {
                begin(&device, mode).inspect_err(|refusal| {
                    if let Refusal::Error(error) = refusal {
                        log::debug!(camera:% = path.display(), error:%; "the camera does not start with {mode}");
                        refused.get_or_insert_with(|| lessons::why_not(&mode, error));
                    }
                })
            });
            started.map_err(|fault| self.fault(path, &device, fault))?
        };
        if let Some(reason) = refused {
            log::warn!(camera:% = path.display(), reason; "{reason}; {mode} is used");
        }
        let Running { stream, format, fps } = running;
        let wanted = self.wanted;
        if (format.width, format.height) != (wanted.width, wanted.height) || fps < f64::from(wanted.fps) * 0.9 {
            let (width, height) = (format.width, format.height);
            let asked = format!("{}x{} at {}", wanted.width, wanted.height, wanted.fps);
            log::warn!(camera:% = path.display(), asked, width, height, fps; "the camera's nearest mode is used");
        }
        Ok(Box::new(V4l2 {
            path: path.to_owned(),
            name: capabilities.card,
            stream: Some(stream),
            mode,
            memory: self.memory.clone(),
            layout: layout(mode.format, &format),
            fps,
            converter: Converter::new(),
            clock: Clock::default(),
            opened: Instant::now(),
            whole: 0,
            broken: 0,
            stale: 0,
            logged: None,
        }))
    }

    fn fault(&self, path: &Path, device: &Device, fault: Fault) -> CameraError {
        let path = path.to_owned();
        match (fault, self.format) {
            (Fault::NoMode, None) => CameraError::NoFormat { path },
            (Fault::NoMode, Some(format)) => {
                let word = |format: &PixelFormat| String::from_utf8_lossy(format.fourcc()).into_owned();
                let there = formats(device).iter().map(word).collect::<Vec<_>>().join(", ");
                CameraError::NotInFormat { path, format: word(&format), there }
            }
            (Fault::Busy, _) => CameraError::Busy { path },
            (Fault::Gone, _) => CameraError::Unplugged { path },
            (Fault::NoRoom(source), _) => CameraError::NoRoom { path, source },
            (Fault::Failed(source), _) => CameraError::Refused { path, source },
        }
    }
}

struct Running {
    stream: Stream<'static>,
    /// As the driver took it.
    format: Format,
    fps: f64,
}

/// Sets a mode and starts streaming in it.
fn begin(device: &Device, mode: Mode) -> Result<Running, Refusal> {
    let format = device.set_format(&Format::new(mode.width, mode.height, FourCC::new(mode.format.fourcc())));
    let format = format.map_err(Refusal::Error)?;
    // Some drivers put in another format without a word; sizes they change are taken as they are.
    let sides = 2..=MAX_SIDE;
    if PixelFormat::from_fourcc(&format.fourcc.repr) != Some(mode.format)
        || !sides.contains(&format.width)
        || !sides.contains(&format.height)
    {
        return Err(Refusal::OtherFormat);
    }
    // Always set: the driver may have kept what the last program asked for.
    let interval = Fraction::new(mode.interval.0, mode.interval.1);
    let fps = match device.set_params(&Parameters::new(interval)).map(|set| set.interval) {
        Ok(Fraction { numerator: numerator @ 1.., denominator: denominator @ 1.. }) => {
            f64::from(denominator) / f64::from(numerator)
        }
        Ok(_) | Err(_) => mode.fps(),
    };
    let mut stream = Stream::with_buffers(device, Type::VideoCapture, BUFFERS).map_err(Refusal::Error)?;
    stream.set_timeout(SILENCE);
    // The crate would start with the first picture, when it is too late for another mode. It queues the first buffer
    // itself whenever it is asked for a picture; how many there are the driver alone knows.
    let _ = (1..MAX_BUFFERS).try_for_each(|index| CaptureStream::queue(&mut stream, index));
    match Streaming::start(&mut stream) {
        Ok(()) => Ok(Running { stream, format, fps }),
        Err(error) => {
            release(stream);
            Err(Refusal::Error(error))
        }
    }
}

/// Stops a stream and frees its buffers, without which no other mode can be set. The crate panics where the driver does
/// not even stop.
pub(super) fn release(stream: Stream<'static>) {
    if catch_unwind(AssertUnwindSafe(|| drop(stream))).is_err() {
        log::warn!("a camera's driver did not stop");
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

/// Every mode the device offers in a usable format; where it offers ranges, those nearest to `wanted` and some smaller.
fn offered(device: &Device, wanted: Wanted) -> Vec<Mode> {
    let mut modes = Vec::new();
    for format in formats(device) {
        for (width, height) in sizes(device, format).iter().flat_map(|sizes| sizes.near(wanted.width, wanted.height)) {
            let intervals = intervals(device, format, width, height);
            let near = intervals.iter().flat_map(|interval| interval.near(wanted.fps));
            let mode = |interval| Mode { format, width, height, interval };
            modes.extend(near.map(mode));
            if intervals.is_empty() {
                modes.extend([wanted.fps, wanted.fps / 2].map(|fps| mode((1, fps.max(1)))));
            }
        }
    }
    modes
}
