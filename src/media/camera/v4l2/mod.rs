//! Cameras behind Video4Linux (the kernel's userspace API guide, "Video for Linux API"): memory-mapped streaming,
//! single-planar.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use v4l::buffer::{Flags as BufferFlags, Metadata};
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;

use super::{Camera, CameraError};
use crate::base::lock::lock;
use crate::media::convert::{Converter, FrameError, Layout, PixelFormat};
use crate::media::frame::I420;
use clock::Clock;
use modes::{Mode, rounded};
use open::{Memory, release};

pub use listing::{CameraInfo, FormatInfo, SizeInfo, first, list, named};
pub use open::Opener;

mod clock;
mod lessons;
mod listing;
mod modes;
mod names;
mod open;

/// One buffer being converted, one being filled, and two for when this thread is late; older pictures are skipped.
const BUFFERS: u32 = 4;
/// A camera that sends nothing for this long has failed.
const SILENCE: Duration = Duration::from_secs(2);
/// So many broken pictures in a row are a failure; single ones are usual on USB and skipped.
const MAX_BROKEN: u32 = 30;
/// Least time between two messages about broken pictures.
const BROKEN_LOGGED: Duration = Duration::from_secs(10);
/// A mode that has shown so many pictures is not to blame for what comes then.
const WORKED: u64 = 30;
/// poll(2)'s POLLIN: a buffer is filled.
const POLLIN: i16 = 1;

struct V4l2 {
    path: PathBuf,
    name: String,
    /// `None` when it is about to be dropped.
    stream: Option<Stream<'static>>,
    mode: Mode,
    memory: Arc<Mutex<Memory>>,
    layout: Layout,
    fps: f64,
    converter: Converter,
    clock: Clock,
    opened: Instant,
    /// Pictures that could be shown.
    whole: u64,
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
        let (mut broken, mut stale) = (0, 0);
        loop {
            let Some(stream) = &mut self.stream else { return Err(CameraError::Missing) };
            let handle = stream.handle();
            let (buffer, meta) = match CaptureStream::next(stream) {
                Ok(next) => next,
                // Woken for nothing. The crate's buffer is queued, so the next one that is filled goes back unseen.
                Err(error) if passes(&error) && start.elapsed() < SILENCE => {
                    let Some(stream) = &mut self.stream else { continue };
                    match CaptureStream::dequeue(stream) {
                        Ok(_) => continue,
                        Err(error) => return Err(self.failed(error)),
                    }
                }
                Err(error) => return Err(self.failed(error)),
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
                    self.whole += 1;
                    self.log_broken();
                    return Ok(captured);
                }
                Err(source) => {
                    broken += 1;
                    self.broken += 1;
                    log::debug!(camera:% = self.path.display(), error:% = source; "a broken picture is left out");
                    if broken >= MAX_BROKEN || start.elapsed() > SILENCE {
                        self.learn(None);
                        return Err(CameraError::Broken { path: self.path.clone(), count: broken, source });
                    }
                }
            }
        }
    }
}

impl Drop for V4l2 {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            release(stream);
        }
    }
}

impl V4l2 {
    fn failed(&self, error: io::Error) -> CameraError {
        self.learn(Some(&error));
        failure(&self.path, error)
    }

    /// For when the camera is opened again.
    fn learn(&self, error: Option<&io::Error>) {
        lock(&self.memory).lessons.failed(self.mode, error, self.whole >= WORKED, Instant::now());
    }

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
    let path = path.to_owned();
    match (source.kind(), source.raw_os_error()) {
        // The crate's own, when poll(2) waited in vain.
        (io::ErrorKind::TimedOut, None) => CameraError::Silent { path, seconds: SILENCE.as_secs() },
        (_, Some(libc::ENODEV)) => CameraError::Unplugged { path },
        (_, Some(libc::ENOSPC)) => CameraError::NoRoom { path, source },
        (_, _) => CameraError::Failed { path, source },
    }
}

/// Whether an error means nothing.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
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
        // Some drivers never say; but a JPEG without its length would be the one before.
        0 if layout.format == PixelFormat::Mjpeg => &[],
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

#[cfg(test)]
mod tests {
    use v4l::timestamp::Timestamp;

    use super::*;
    use crate::media::camera::Wanted;

    const WANTED: Wanted = Wanted { width: 640, height: 480, fps: 30 };

    #[test]
    fn says_what_is_wrong_with_a_path() {
        let opener = Opener::new(WANTED, None);
        let message = |path: &str| opener.open(Path::new(path)).err().expect(path).to_string();
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
