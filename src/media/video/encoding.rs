//! The encoder's half of the [pipeline](super): which picture is encoded when, at what size, and as what kind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::{Picture, Shared};
use crate::logic::picture::level::Level;
use crate::logic::picture::pace::{KeyFrames, Thinning};
use crate::logic::unit::AccessUnit;
use crate::media::frame::I420;
use crate::media::h264::{EncodeError, Format, H264Encoder};
use crate::media::lettering;
use crate::media::scale::Scaler;

/// Pause after the encoder failed or its thread panicked.
const ENCODER_PAUSE: Duration = Duration::from_millis(500);
/// Pictures a second while there is no camera.
const NOTICE_FPS: f64 = 2.0;
/// Size of the notice where no camera has said another.
const NOTICE_SIZE: (u32, u32) = (640, 480);
/// Least time between the capture times of two access units: 90 ticks of RTP's clock.
const TIME_STEP: Duration = Duration::from_millis(1);
/// Between two messages about pictures that the encoder was too slow for, and the share of the pictures from which on it is
/// one: a busy moment costs a picture anywhere.
const DROPS_LOGGED: Duration = Duration::from_secs(10);
const DROPS_WORTH_A_WORD: f64 = 0.05;

/// The encoder's thread.
pub(super) fn run(shared: &Shared, sink: &mut dyn FnMut(AccessUnit)) {
    let mut encoding = Encoding::default();
    let mut told = String::new();
    loop {
        let fault = match catch_unwind(AssertUnwindSafe(|| encoding.run(shared, sink))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        // What goes wrong with every picture is reported once.
        let level = if fault == told { log::Level::Debug } else { log::Level::Error };
        log::log!(level, error = fault.as_str(); "a picture could not be encoded; the encoder is set up again");
        told = fault;
        encoding.encoder = None;
        shared.encoder.rest();
        if !shared.pause(ENCODER_PAUSE) {
            return;
        }
    }
}

/// What the encoder's thread keeps between pictures.
#[derive(Default)]
struct Encoding {
    encoder: Option<H264Encoder>,
    keys: KeyFrames,
    thinning: Thinning,
    /// The newest picture: what a request for a key picture is answered with between two pictures of the camera.
    last: Option<Picture>,
    /// The newest picture made smaller.
    scaled: I420,
    scaler: Scaler,
    /// Capture time of the last access unit; it has to grow, since RTP timestamps follow it.
    told: Option<Instant>,
    /// When the notice is due again while there is no camera.
    notice_due: Option<Instant>,
    drops: Drops,
}

enum Work {
    New(Picture),
    /// The last picture once more.
    Again,
    /// There is no camera, and this is why.
    Notice(String),
}

impl Encoding {
    /// Encodes until the source is dropped.
    fn run(&mut self, shared: &Shared, sink: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        loop {
            shared.encoder.rest();
            let Some((work, limit)) = self.wait(shared) else { return Ok(()) };
            shared.encoder.beat();
            let captured = match work {
                Work::New(picture) => {
                    let captured = picture.captured;
                    if !self.take(shared, picture, limit) {
                        continue;
                    }
                    captured
                }
                // Captured now, if the camera lags behind its rate: the viewers would take it for network delay.
                Work::Again => Instant::now() - self.last.as_ref().map_or(Duration::ZERO, Picture::interval),
                Work::Notice(fault) => {
                    self.draw_notice(&fault);
                    Instant::now()
                }
            };
            self.encode(shared, limit, captured, sink)?;
        }
    }

    /// Waits for something to encode; `None` when the source is dropped.
    fn wait(&mut self, shared: &Shared) -> Option<(Work, Option<Level>)> {
        let mut state = shared.lock();
        // The camera may have its buffer as soon as it has a newer picture.
        state.last = self.last.take();
        loop {
            if state.stopping {
                return None;
            }
            let now = Instant::now();
            if std::mem::take(&mut state.key_wanted) {
                self.keys.request();
            }
            if let Some(picture) = state.take() {
                self.notice_due = None;
                return Some((Work::New(picture), state.limit));
            }
            if let Some(fault) = &state.stats.fault
                && self.notice_due.is_none_or(|due| due <= now)
            {
                self.notice_due = Some(now + Duration::from_secs_f64(1.0 / NOTICE_FPS));
                let work = Work::Notice(fault.clone());
                self.last = state.last.take();
                return Some((work, state.limit));
            }
            let again = state.last.as_ref().and_then(|last| self.keys.repeat_at(now, last.arrived, last.interval()));
            if again.is_some_and(|due| due <= now) {
                self.last = state.last.take();
                return Some((Work::Again, state.limit));
            }
            state = shared.wait(state, [again, self.notice_due].into_iter().flatten().min());
        }
    }

    /// Makes `picture` the newest one. `false`: it is left out to keep to the viewers' rate.
    fn take(&mut self, shared: &Shared, picture: Picture, limit: Option<Level>) -> bool {
        let to = Format::for_camera(picture.frame.size(), picture.fps, limit).fps;
        let keeps = self.thinning.keeps(picture.captured, picture.fps, to);
        self.last = Some(picture);
        let mut state = shared.lock();
        state.stats.thinned += u64::from(!keeps);
        let worth = self.drops.count(state.stats.dropped, state.stats.captured, Instant::now());
        drop(state);
        if let Some((dropped, captured)) = worth {
            log::warn!(pictures = dropped, of = captured; "the encoder is too slow for the camera");
        }
        keeps
    }

    fn draw_notice(&mut self, fault: &str) {
        let mut frame = self.last.take().map_or_else(|| I420::new(NOTICE_SIZE.0, NOTICE_SIZE.1), |last| last.frame);
        lettering::draw_notice(&mut frame, "NO PICTURE FROM THE CAMERA", fault);
        let now = Instant::now();
        self.last = Some(Picture { frame, captured: now, arrived: now, fps: NOTICE_FPS });
    }

    /// Encodes the newest picture as captured at `captured`.
    fn encode(
        &mut self,
        shared: &Shared,
        limit: Option<Level>,
        captured: Instant,
        sink: &mut dyn FnMut(AccessUnit),
    ) -> Result<(), EncodeError> {
        let Some(picture) = &self.last else { return Ok(()) };
        let start = Instant::now();
        let format = Format::for_camera(picture.frame.size(), picture.fps, limit);
        let encoder = match &mut self.encoder {
            Some(encoder) if encoder.format() == format => encoder,
            other => {
                set_up(shared, format);
                other.insert(H264Encoder::new(format)?)
            }
        };
        let frame = if picture.frame.size() == (format.width, format.height) {
            &picture.frame
        } else {
            self.scaled.resize(format.width, format.height);
            self.scaler.scale(&picture.frame, &mut self.scaled);
            &self.scaled
        };
        let captured = self.told.map_or(captured, |told| captured.max(told + TIME_STEP));
        let unit = encoder.encode(frame, captured, self.keys.due(start))?;
        let mut state = shared.lock();
        state.stats.encoding_us += start.elapsed().as_micros() as u64;
        let Some(unit) = unit else {
            state.stats.skipped += 1;
            self.keys.skipped(start);
            return Ok(());
        };
        state.stats.encoded += 1;
        state.stats.key_frames += u64::from(unit.key);
        state.stats.bytes += unit.bytes() as u64;
        drop(state);
        self.told = Some(captured);
        if unit.key {
            self.keys.sent(start);
        }
        sink(unit);
        Ok(())
    }
}

/// Pictures that the encoder did not come to, of those captured, since a time.
#[derive(Default)]
struct Drops(Option<(Instant, u64, u64)>);

impl Drops {
    /// Takes the totals. Returns how many were dropped of how many, where that is worth a message.
    fn count(&mut self, dropped: u64, captured: u64, now: Instant) -> Option<(u64, u64)> {
        let (since, dropped_before, captured_before) = *self.0.get_or_insert((now, dropped, captured));
        if now.saturating_duration_since(since) < DROPS_LOGGED {
            return None;
        }
        self.0 = Some((now, dropped, captured));
        let (dropped, captured) = (dropped - dropped_before, captured - captured_before);
        (dropped as f64 > captured as f64 * DROPS_WORTH_A_WORD).then_some((dropped, captured))
    }
}

fn set_up(shared: &Shared, format: Format) {
    let Format { width, height, fps, bit_rate, level } = format;
    log::info!(width, height, fps, bit_rate, level:%; "video encoder set up");
    let mut state = shared.lock();
    state.stats.encoder_starts += 1;
    state.stats.size = Some((width, height));
    (state.stats.fps, state.stats.bit_rate) = (fps, bit_rate);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_in_ten_seconds_is_no_slow_encoder() {
        let start = Instant::now();
        let mut drops = Drops::default();
        let mut count =
            |seconds, dropped, captured| drops.count(dropped, captured, start + Duration::from_secs(seconds));
        assert_eq!(count(0, 0, 0), None);
        assert_eq!(count(10, 1, 300), None, "a busy moment");
        assert_eq!(count(15, 90, 450), None, "not before the time");
        assert_eq!(count(20, 101, 600), Some((100, 300)));
        assert_eq!(count(30, 101, 900), None, "it has caught up");
    }
}
