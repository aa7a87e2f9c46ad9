//! From camera to encoded pictures: one thread captures and converts, one encodes. Between them is a single slot, so
//! that the encoder always takes the newest picture and raw pictures never queue.
//!
//! Errors end neither thread. The camera is opened again with growing pauses, and meanwhile the viewer reads in the
//! picture what is missing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::camera::{CameraError, OpenCamera};
use super::frame::I420;
use super::pulse::Pulse;
use super::supervise::{Stop, Worker};
use crate::base::lock::lock;
use crate::logic::health::Progress;
use crate::logic::picture::level::Level;
use crate::logic::unit::AccessUnit;

mod encoding;

/// Runs capture and encoding from [`start`](VideoSource::start) until it is dropped, which waits for both threads: as
/// long as the camera takes for a picture, two seconds if it hangs.
pub struct VideoSource {
    shared: Arc<Shared>,
    camera: Worker,
    encoder: Option<JoinHandle<()>>,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoStats {
    /// The open camera; `None` while there is none.
    pub camera: Option<String>,
    /// Why there is no camera.
    pub fault: Option<String>,
    /// Width and height of the encoded pictures.
    pub size: Option<(u32, u32)>,
    /// Pictures a second that the encoder is set up for.
    pub fps: f64,
    /// Bits per second that the encoder aims at.
    pub bit_rate: u32,
    pub captured: u64,
    /// Encoded pictures, the notice and repeated key pictures included.
    pub encoded: u64,
    pub key_frames: u64,
    /// Bytes of all encoded pictures.
    pub bytes: u64,
    /// Pictures the camera itself threw away: broken ones, and those that came too late.
    pub discarded: u64,
    /// Captured pictures that a newer one replaced before the encoder came to them.
    pub dropped: u64,
    /// Captured pictures left out to keep to the viewers' rate.
    pub thinned: u64,
    /// Pictures that the encoder left out to keep to the bit rate.
    pub skipped: u64,
    /// Times the camera was opened, and times an encoder was set up.
    pub camera_starts: u64,
    pub encoder_starts: u64,
    /// Time spent encoding, in microseconds.
    pub encoding_us: u64,
}

impl VideoSource {
    /// Starts both threads. `open` is called on the camera's thread, again after each error; `sink` gets each access
    /// unit on the encoder's thread and must not block.
    pub fn start(mut open: OpenCamera, mut sink: Box<dyn FnMut(AccessUnit) + Send>) -> VideoSource {
        let shared = Arc::new(Shared::default());
        let (camera, faulty, encoder) = (shared.clone(), shared.clone(), shared.clone());
        let turn = move |stop: &Stop| {
            // Drivers' quirks make the V4L2 crate panic: that is one more way to lose the camera.
            let turn = catch_unwind(AssertUnwindSafe(|| capture(&camera, stop, &mut open)));
            turn.unwrap_or(Err(CameraError::Panicked))
        };
        let encode = move || encoding::run(&encoder, &mut *sink);
        let encoder = thread::Builder::new().name("encoder".to_owned()).spawn(encode);
        if let Err(error) = &encoder {
            log::error!(error:%; "no thread can be started to encode: there will be no picture");
        }
        VideoSource {
            camera: Worker::start("camera", turn, move |fault| faulty.lose_camera(fault)),
            encoder: encoder.ok(),
            shared,
        }
    }

    /// A viewer needs a picture to start at. Requests that come together are served together.
    pub fn request_key_frame(&self) {
        self.shared.lock().key_wanted = true;
        self.shared.wake.notify_all();
    }

    /// Keeps size and rate within what all viewers can take; `None`: as the camera delivers.
    pub fn limit(&self, level: Option<Level>) {
        self.shared.lock().limit = level;
    }

    pub fn stats(&self) -> VideoStats {
        self.shared.lock().stats.clone()
    }

    /// Of both threads. A camera's turn takes as long as opening it, or one picture; between two tries it rests.
    pub fn progress(&self) -> [(&'static str, Progress); 2] {
        [("camera", self.camera.progress()), ("encoder", self.shared.encoder.progress())]
    }
}

impl Drop for VideoSource {
    fn drop(&mut self) {
        self.camera.stop();
        self.shared.lock().stopping = true;
        self.shared.wake.notify_all();
        if let Some(encoder) = self.encoder.take() {
            // A panic was logged when it happened.
            let _ = encoder.join();
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something in the state changed that a thread may wait for.
    wake: Condvar,
    encoder: Pulse,
}

#[derive(Default)]
struct State {
    stopping: bool,
    key_wanted: bool,
    limit: Option<Level>,
    /// The newest picture that the encoder has not taken; a newer one replaces it.
    slot: Option<Picture>,
    /// What was encoded last, while the encoder waits for something to do.
    last: Option<Picture>,
    /// A buffer to reuse.
    spare: Option<I420>,
    stats: VideoStats,
}

impl State {
    /// Puts in the newest picture, and returns a buffer for the next. Two buffers go round where the encoder is done with
    /// one picture before the next is there; a third one helps where it is not.
    fn deliver(&mut self, picture: Picture) -> I420 {
        if let Some(old) = self.slot.replace(picture) {
            self.stats.dropped += 1;
            return old.frame;
        }
        match self.last.take() {
            Some(last) => {
                self.spare = None;
                last.frame
            }
            None => self.spare.take().unwrap_or_default(),
        }
    }

    /// The newest picture, for the encoder; what it encoded before is replaced by it.
    fn take(&mut self) -> Option<Picture> {
        let picture = self.slot.take()?;
        if let Some(last) = self.last.take() {
            self.spare = Some(last.frame);
        }
        Some(picture)
    }
}

struct Picture {
    frame: I420,
    captured: Instant,
    /// When it was ready to be encoded.
    arrived: Instant,
    /// The camera's rate, pictures a second.
    fps: f64,
}

impl Picture {
    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.fps.clamp(1.0, 1000.0))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid between any two statements that could panic.
        lock(&self.state)
    }

    fn lose_camera(&self, fault: &str) {
        let mut state = self.lock();
        state.stats.camera = None;
        state.stats.fault = Some(fault.to_owned());
        drop(state);
        self.wake.notify_all();
    }

    /// Waits for a change of the state, at most until `deadline`.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Option<Instant>) -> MutexGuard<'a, State> {
        match deadline {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Sleeps unless the source is dropped meanwhile. `false`: it was.
    fn pause(&self, length: Duration) -> bool {
        let deadline = Instant::now() + length;
        let mut state = self.lock();
        while !state.stopping && Instant::now() < deadline {
            state = self.wait(state, Some(deadline));
        }
        !state.stopping
    }
}

/// One turn of the camera's thread: opens it, and captures until it fails or a stop is requested.
fn capture(shared: &Shared, stop: &Stop, open: &mut OpenCamera) -> Result<(), CameraError> {
    let mut camera = open()?;
    let fps = camera.fps();
    log::info!(camera = camera.describe().as_str(); "camera opened");
    {
        let mut state = shared.lock();
        state.stats.camera = Some(camera.describe());
        state.stats.camera_starts += 1;
    }
    let mut frame = I420::default();
    let mut discarded = 0;
    while !stop.requested() {
        let captured = camera.next_frame(&mut frame)?;
        let arrived = Instant::now();
        let mut state = shared.lock();
        state.stats.fault = None;
        state.stats.captured += 1;
        state.stats.discarded += camera.discarded() - discarded;
        discarded = camera.discarded();
        frame = state.deliver(Picture { frame, captured, arrived, fps });
        drop(state);
        shared.wake.notify_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;
    use crate::base::latch::Latch;
    use crate::media::camera::{Camera, Wanted, stamp, synthetic};
    use crate::media::frame::copy_plane;

    /// Long enough for any machine; nothing waits this long unless something is wrong.
    const BOUND: Duration = Duration::from_secs(20);

    fn camera(width: u32, height: u32, fps: u32) -> OpenCamera {
        Box::new(move || synthetic::open(Wanted { width, height, fps }))
    }

    fn start(open: OpenCamera) -> (VideoSource, Receiver<AccessUnit>) {
        let (send, receive) = channel();
        (VideoSource::start(open, Box::new(move |unit| drop(send.send(unit)))), receive)
    }

    fn counter(decoder: &mut Decoder, unit: &AccessUnit) -> u16 {
        let picture = decoder.decode(&unit.annex_b()).unwrap().expect("a picture for each access unit");
        let mut frame = I420::new(unit.size.0, unit.size.1);
        copy_plane(picture.y(), picture.strides().0, frame.planes_mut().0, unit.size.0 as usize);
        stamp::read(&frame).expect("a stamp").0
    }

    #[test]
    fn two_buffers_go_round_and_a_third_where_the_encoder_is_late() {
        let picture = |frame| Picture { frame, captured: Instant::now(), arrived: Instant::now(), fps: 30.0 };
        let place = |frame: &I420| frame.planes().0.as_ptr();
        let (one, two) = (I420::new(16, 16), I420::new(16, 16));
        let (first, second) = (place(&one), place(&two));
        // The encoder waits, and has encoded the first one.
        let mut state = State { last: Some(picture(one)), ..State::default() };
        let mut next = state.deliver(picture(two));
        assert_eq!(place(&next), first);
        for turn in 0..4 {
            let encoded = state.take().unwrap();
            state.last = Some(encoded);
            next = state.deliver(picture(next));
            assert_eq!(place(&next), if turn % 2 == 0 { second } else { first });
        }
        // It is still at work when the next one comes, and again.
        let at_work = state.take().unwrap();
        let third = state.deliver(picture(next));
        assert_eq!(third, I420::default());
        assert_eq!(state.stats.dropped, 0);
        let newest = state.deliver(picture(third));
        assert_eq!((state.stats.dropped, place(&newest)), (1, first));
        state.last = Some(at_work);
        assert!(state.take().is_some() && state.spare.is_some());
    }

    #[test]
    fn every_picture_can_be_decoded_and_times_grow() {
        let (source, units) = start(camera(320, 240, 60));
        let mut decoder = Decoder::new().unwrap();
        let mut before: Option<(u16, Instant)> = None;
        for _ in 0..20 {
            let unit = units.recv_timeout(BOUND).unwrap();
            assert_eq!((unit.key, unit.size), (before.is_none(), (320, 240)));
            let counter = counter(&mut decoder, &unit);
            assert!(before.is_none_or(|(number, time)| counter > number && unit.captured > time));
            before = Some((counter, unit.captured));
        }
        let stats = source.stats();
        assert!(stats.encoded >= 20 && stats.bytes > 0 && stats.captured >= stats.encoded);
        assert_eq!((stats.encoder_starts, stats.camera_starts, stats.size), (1, 1, Some((320, 240))));
        let begin = Instant::now();
        drop(source);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_request_is_answered_from_the_picture_at_hand() {
        let (source, units) = start(camera(320, 240, 1));
        let mut decoder = Decoder::new().unwrap();
        let first = units.recv_timeout(BOUND).unwrap();
        for _ in 0..50 {
            source.request_key_frame();
        }
        let again = units.recv_timeout(BOUND).unwrap();
        assert!(first.key && again.key && again.captured > first.captured);
        assert_eq!(counter(&mut decoder, &first), counter(&mut decoder, &again));
        // The fifty requests made one key picture, and the stream goes on.
        let next = units.recv_timeout(BOUND).unwrap();
        assert!(!next.key && next.captured > again.captured);
        assert_eq!(source.stats().key_frames, 2);
    }

    #[test]
    fn keeps_within_what_viewers_take() {
        let (source, units) = start(camera(1280, 720, 30));
        assert_eq!(units.recv_timeout(BOUND).unwrap().size, (1280, 720));
        source.limit(Some(Level::L1_3));
        let smaller = loop {
            let unit = units.recv_timeout(BOUND).unwrap();
            if unit.size != (1280, 720) {
                break unit;
            }
        };
        assert!(smaller.key && Level::L1_3.takes(smaller.size.0, smaller.size.1, source.stats().fps));
        assert!(counter(&mut Decoder::new().unwrap(), &smaller) > 0);
    }

    #[test]
    fn says_in_the_picture_what_is_missing_and_recovers() {
        let mut attempts = 0;
        let (source, units) = start(Box::new(move || {
            attempts += 1;
            match attempts {
                1 => Err(CameraError::Silent { path: "/dev/video9".into(), seconds: 2 }),
                2 => panic!("as a driver crate might"),
                _ => synthetic::open(Wanted { width: 640, height: 480, fps: 30 }),
            }
        }));
        let notice = units.recv_timeout(BOUND).unwrap();
        assert!(notice.key && notice.size == (640, 480));
        let fault = source.stats().fault.unwrap();
        assert!(fault.contains("/dev/video9"), "{fault}");
        let mut decoder = Decoder::new().unwrap();
        decoder.decode(&notice.annex_b()).unwrap();
        while source.stats().camera_starts == 0 {
            decoder.decode(&units.recv_timeout(BOUND).unwrap().annex_b()).unwrap();
        }
        let unit = loop {
            let unit = units.recv_timeout(BOUND).unwrap();
            if source.stats().fault.is_none() {
                break unit;
            }
        };
        assert_eq!(unit.size, (640, 480));
        assert!(source.stats().camera.unwrap().contains("synthetic"));
    }

    #[test]
    fn a_camera_that_is_away_rests_and_one_that_hangs_works_without_end() {
        let (away, _units) = start(Box::new(|| Err(CameraError::Missing)));
        let until = |wanted: &dyn Fn(Progress) -> bool, source: &VideoSource| {
            let begin = Instant::now();
            while !wanted(source.progress()[0].1) {
                assert!(begin.elapsed() < BOUND, "{:?}", source.progress());
                thread::sleep(Duration::from_millis(1));
            }
        };
        until(&|camera| camera == Progress::Resting, &away);
        drop(away);

        let latch = Latch::shut();
        let gate = latch.gate();
        let (hangs, _units) = start(Box::new(move || {
            gate.pass();
            Err(CameraError::Missing)
        }));
        let hangs = latch.before(hangs);
        let turn = Progress::Working(1);
        until(&|camera| camera == turn, &hangs);
        // The encoder rests as soon as it has come to see that there is nothing to do.
        let begin = Instant::now();
        while hangs.progress()[1].1 != Progress::Resting {
            assert!(begin.elapsed() < BOUND, "{:?}", hangs.progress());
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(50));
        assert_eq!(hangs.progress()[0].1, turn, "it is one turn without end");
        hangs.open();
        until(&|camera| camera == Progress::Resting, &hangs);
    }

    /// Delivers a few pictures, then fails.
    struct Unplugged(Box<dyn Camera>, u32);

    impl Camera for Unplugged {
        fn describe(&self) -> String {
            self.0.describe()
        }

        fn size(&self) -> (u32, u32) {
            self.0.size()
        }

        fn fps(&self) -> f64 {
            self.0.fps()
        }

        fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
            self.1 = self.1.checked_sub(1).ok_or(CameraError::Silent { path: "/dev/video9".into(), seconds: 2 })?;
            self.0.next_frame(frame)
        }
    }

    #[test]
    fn an_unplugged_camera_is_opened_again_while_pictures_go_on() {
        let (source, units) = start(Box::new(|| {
            let camera = synthetic::open(Wanted { width: 320, height: 240, fps: 30 })?;
            Ok(Box::new(Unplugged(camera, 5)))
        }));
        let mut before: Option<Instant> = None;
        while source.stats().camera_starts < 3 {
            let unit = units.recv_timeout(BOUND).unwrap();
            assert!(unit.size == (320, 240) && before.is_none_or(|time| unit.captured > time));
            before = Some(unit.captured);
        }
    }

    #[test]
    fn a_panic_while_encoding_does_not_end_the_stream() {
        let (send, units) = channel();
        let mut count = 0;
        let source = VideoSource::start(
            camera(320, 240, 30),
            Box::new(move |unit| {
                count += 1;
                assert!(count != 2, "as a codec might");
                drop(send.send(unit));
            }),
        );
        assert!(units.recv_timeout(BOUND).unwrap().key);
        assert!(units.recv_timeout(BOUND).unwrap().key, "a new encoder starts with a key picture");
        assert_eq!(source.stats().encoder_starts, 2);
    }
}
