//! Where pictures come from: V4L2 devices, Y4M files, and a synthetic twin that needs neither.

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{io, thread};

use super::convert::FrameError;
use super::frame::I420;

pub mod file;
pub mod stamp;
pub mod synthetic;
pub mod v4l2;

/// The size (pixels) and rate (pictures a second) asked for; a camera that cannot do it comes as close as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
}

/// An open camera.
pub trait Camera: Send {
    /// Device, format, size and rate, for logs.
    fn describe(&self) -> String;
    /// Width and height of the pictures in pixels.
    fn size(&self) -> (u32, u32);
    /// Pictures a second, as far as the camera says.
    fn fps(&self) -> f64;
    /// Pictures that were thrown away since it was opened: broken ones, and those that came too late.
    fn discarded(&self) -> u64 {
        0
    }
    /// Waits for the next picture, at most about two seconds, and writes it into `frame`, which takes its size.
    /// Returns when it was captured. After an error the camera has to be opened again.
    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError>;
}

/// Opens the camera anew each time it is called: at the start, and after each error.
pub type OpenCamera = Box<dyn FnMut() -> Result<Box<dyn Camera>, CameraError> + Send>;

/// Why there are no pictures.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    #[error("no camera is plugged in")]
    Missing,
    #[error("cannot open camera {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is not a camera that streams: choose another device (callbox devices lists them)", path.display())]
    NotACamera { path: PathBuf },
    #[error("camera {} does not deliver {format}, it has {there}: change [camera] format", path.display())]
    NotInFormat { path: PathBuf, format: String, there: String },
    #[error("camera {} is in use by another program", path.display())]
    Busy { path: PathBuf },
    #[error("camera {} was unplugged", path.display())]
    Unplugged { path: PathBuf },
    #[error(
        "there is no room for camera {}, not even for small pictures ({source}): give it another USB port, or unplug \
         what shares its bus",
        path.display()
    )]
    NoRoom { path: PathBuf, source: io::Error },
    #[error("camera {} offers none of the formats YU12, NV12, YUYV, UYVY and MJPG", path.display())]
    NoFormat { path: PathBuf },
    #[error("camera {} refused its settings: {source}", path.display())]
    Refused { path: PathBuf, source: io::Error },
    #[error("no picture came from camera {} for {seconds} s", path.display())]
    Silent { path: PathBuf, seconds: u64 },
    #[error("camera {} failed: {source}", path.display())]
    Failed { path: PathBuf, source: io::Error },
    #[error("camera {} sent {count} broken pictures in a row, the last one because {source}", path.display())]
    Broken { path: PathBuf, count: u32, source: FrameError },
    #[error("the camera's driver answered in a way that cannot be handled")]
    Panicked,
    #[error("no camera is called {name:?}: there is {there}")]
    NoneOfThatName { name: String, there: String },
    #[error("several cameras are called {name:?}: {found}; name one by its path in /dev/v4l/by-path")]
    SeveralOfThatName { name: String, found: String },
    #[error("cannot read video file {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
}

impl CameraError {
    fn open(path: &Path, source: io::Error) -> CameraError {
        CameraError::Open { path: path.to_owned(), source }
    }
}

/// Absolute deadlines at a fixed rate, for sources without a clock of their own.
#[derive(Debug)]
struct Ticks {
    start: Instant,
    /// Pictures a second.
    fps: f64,
    /// Number of the next tick.
    next: u64,
}

impl Ticks {
    fn new(fps: f64) -> Self {
        Ticks { start: Instant::now(), fps, next: 0 }
    }

    /// Sleeps until the next tick and returns its number. Ticks that went by while nobody waited are left out.
    fn wait(&mut self) -> u64 {
        let elapsed = self.start.elapsed().as_secs_f64() * self.fps;
        // Half a tick late still counts as on time.
        self.next = self.next.max((elapsed - 0.5).max(0.0) as u64);
        let deadline = self.start + std::time::Duration::from_secs_f64(self.next as f64 / self.fps);
        thread::sleep(deadline.saturating_duration_since(Instant::now()));
        self.next += 1;
        self.next - 1
    }
}
