//! The camera that needs no device: a ball over a soft gradient, a clock, and the [stamp] in every
//! picture, at the exact rate asked for.

use std::f64::consts::TAU;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Camera, CameraError, Ticks, Wanted, stamp};
use crate::media::frame::{I420, MAX_SIDE};
use crate::media::lettering;

/// The smallest side the stamp and the clock can be read at.
const MIN_SIDE: u32 = 64;
/// Highest rate, pictures a second.
const MAX_FPS: u32 = 120;

pub fn open(wanted: Wanted) -> Result<Box<dyn Camera>, CameraError> {
    let side = |pixels: u32| pixels.clamp(MIN_SIDE, MAX_SIDE);
    let background = Background::new(I420::new(side(wanted.width), side(wanted.height)).size());
    Ok(Box::new(Synthetic { background, ticks: Ticks::new(f64::from(wanted.fps.clamp(1, MAX_FPS))) }))
}

struct Synthetic {
    background: Background,
    ticks: Ticks,
}

impl Camera for Synthetic {
    fn describe(&self) -> String {
        let (width, height) = self.size();
        format!("synthetic camera, {width}x{height} at {} fps", self.fps())
    }

    fn size(&self) -> (u32, u32) {
        self.background.size
    }

    fn fps(&self) -> f64 {
        self.ticks.fps
    }

    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
        let number = self.ticks.wait();
        self.background.draw(frame);
        draw_ball(frame, number as f64 / self.ticks.fps);
        draw_clock(frame, SystemTime::now());
        let captured = Instant::now();
        stamp::draw(frame, number as u16, SystemTime::now());
        Ok(captured)
    }
}

/// Dusk: from a dark blue above to a warm light below, a little brighter in the middle.
struct Background {
    size: (u32, u32),
    luma: Vec<u8>,
    /// Of each row of the other planes, which have one colour from side to side.
    chroma: Vec<(u8, u8)>,
}

impl Background {
    /// The sides are even.
    fn new(size: (u32, u32)) -> Background {
        let (width, height) = (size.0 as usize, size.1 as usize);
        let middle: Vec<f32> = (0..width).map(|column| 1.0 - (column as f32 / width as f32 - 0.5).abs()).collect();
        let row = |row: usize| {
            let down = 90.0 * row as f32 / height as f32 + 25.0;
            middle.iter().map(move |middle| (40.0 + down * middle) as u8)
        };
        let colour = |row: usize| {
            let down = row as f64 / (height / 2) as f64;
            ((152.0 - 44.0 * down) as u8, (118.0 + 34.0 * down) as u8)
        };
        Background { size, luma: (0..height).flat_map(row).collect(), chroma: (0..height / 2).map(colour).collect() }
    }

    fn draw(&self, frame: &mut I420) {
        frame.resize(self.size.0, self.size.1);
        let half = self.size.0 as usize / 2;
        let (y, u, v) = frame.planes_mut();
        y.copy_from_slice(&self.luma);
        let rows = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half)).zip(&self.chroma);
        for ((u, v), colour) in rows {
            u.fill(colour.0);
            v.fill(colour.1);
        }
    }
}

/// A ball that swings through the picture once in four seconds.
fn draw_ball(frame: &mut I420, seconds: f64) {
    let (width, height) = frame.size();
    let (w, h) = (f64::from(width), f64::from(height));
    let radius = h.min(w) / 10.0;
    let angle = seconds * TAU / 4.0;
    let (x, y) = (w * (0.5 + 0.38 * angle.sin()), h * (0.55 + 0.2 * (2.0 * angle).cos()));
    let (ys, us, vs) = frame.planes_mut();
    // Lit from above: brighter towards the top left of the disc.
    disc(ys, width as usize, (x, y), radius, |dx, dy| (195.0 - 45.0 * (dx + dy)) as u8);
    let half = (x / 2.0, y / 2.0);
    disc(us, width as usize / 2, half, radius / 2.0, |_, _| 90);
    disc(vs, width as usize / 2, half, radius / 2.0, |_, _| 170);
}

/// Fills a disc; `shade` gets the offset from the middle in radii.
fn disc(plane: &mut [u8], stride: usize, (x, y): (f64, f64), radius: f64, shade: impl Fn(f64, f64) -> u8) {
    let rows = (y - radius).max(0.0) as usize..=(y + radius).max(0.0) as usize;
    for (row, line) in plane.chunks_exact_mut(stride).enumerate().skip(*rows.start()).take(rows.count()) {
        let dy = (row as f64 - y) / radius;
        let half = (1.0 - dy * dy).max(0.0).sqrt() * radius;
        let (left, right) = ((x - half).max(0.0) as usize, ((x + half).max(0.0) as usize).min(stride));
        for (column, sample) in line.iter_mut().enumerate().take(right).skip(left) {
            *sample = shade((column as f64 - x) / radius, dy);
        }
    }
}

/// The time of day (UTC) to hundredths, bottom left.
fn draw_clock(frame: &mut I420, now: SystemTime) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, hundredths) = (since.as_secs(), since.subsec_millis() / 10);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    let clock = format!("{hour:02}:{minute:02}:{:02}.{hundredths:02} UTC", seconds % 60);
    let dot = (frame.size().1 as usize / 160).max(1);
    let bottom = frame.size().1 as usize - 10 * dot;
    lettering::draw(frame, &clock, (2 * dot, bottom), dot, 220);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keeps_its_rate_and_counts_its_pictures() {
        let mut camera = open(Wanted { width: 320, height: 240, fps: 100 }).unwrap();
        let mut frame = I420::default();
        let mut previous: Option<(u16, u64)> = None;
        let start = Instant::now();
        for _ in 0..30 {
            let captured = camera.next_frame(&mut frame).unwrap();
            assert!(captured <= Instant::now());
            let (counter, time) = stamp::read(&frame).unwrap();
            if let Some((before, then)) = previous {
                assert!(counter > before && time >= then);
            }
            previous = Some((counter, time));
        }
        let (counter, time) = previous.unwrap();
        // The counter follows the clock, however late the machine was with single pictures.
        assert!(start.elapsed() >= Duration::from_millis(280) && counter >= 29);
        let ticks = start.elapsed().as_secs_f64() * 100.0;
        assert!(f64::from(counter) <= ticks + 1.0, "{counter} after {ticks} ticks");
        assert!(stamp::units(SystemTime::now()) - time < 10_000);
    }

    #[test]
    fn impossible_wishes_become_possible() {
        let camera = open(Wanted { width: 0, height: 99_999, fps: 0 }).unwrap();
        assert_eq!((camera.size(), camera.fps()), ((64, 3840), 1.0));
    }
}
