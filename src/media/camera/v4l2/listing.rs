//! The cameras there are, and what they say they can do.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use v4l::capability::Flags as Capability;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::{Device, FourCC, Fraction};

use super::modes::{Intervals, Sizes, rounded};
use super::names;
use crate::media::camera::CameraError;
use crate::media::convert::PixelFormat;

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
pub(super) fn formats(device: &Device) -> Vec<PixelFormat> {
    let offered = Capture::enum_formats(device).unwrap_or_default();
    let mut formats: Vec<_> = offered.iter().filter_map(|f| PixelFormat::from_fourcc(&f.fourcc.repr)).collect();
    formats.sort();
    formats.dedup();
    formats
}

pub(super) fn sizes(device: &Device, format: PixelFormat) -> Vec<Sizes> {
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

pub(super) fn intervals(device: &Device, format: PixelFormat, width: u32, height: u32) -> Vec<Intervals> {
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

pub(super) fn captures(capabilities: Capability) -> bool {
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
