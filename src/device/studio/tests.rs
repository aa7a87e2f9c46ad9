//! Devices that take their time: who comes meanwhile does not wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::*;
use crate::base::latch::{Gate, Latch};
use crate::logic::picture::level::Level;
use crate::logic::unit::ReceivedVoice;
use crate::media::audio::{AudioError, BLOCK, Microphone, Speaker, synthetic};
use crate::media::camera::{self, Camera, CameraError, Wanted};
use crate::media::frame::I420;

/// Far more than anything here takes.
const BOUND: Duration = Duration::from_secs(20);

/// A synthetic device that waits at a gate when it is closed, and counts itself while it is open.
struct Slow<T: ?Sized> {
    gate: Gate,
    open: Arc<AtomicUsize>,
    device: Box<T>,
}

impl<T: ?Sized> Slow<T> {
    fn new(gate: &Gate, open: &Arc<AtomicUsize>, device: Box<T>) -> Slow<T> {
        assert_eq!(open.fetch_add(1, Ordering::SeqCst), 0, "one is open at a time");
        Slow { gate: gate.clone(), open: open.clone(), device }
    }
}

impl<T: ?Sized> Drop for Slow<T> {
    fn drop(&mut self) {
        self.gate.pass();
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Camera for Slow<dyn Camera> {
    fn describe(&self) -> String {
        self.device.describe()
    }

    fn size(&self) -> (u32, u32) {
        self.device.size()
    }

    fn fps(&self) -> f64 {
        self.device.fps()
    }

    fn next_frame(&mut self, frame: &mut I420) -> Result<Instant, CameraError> {
        self.device.next_frame(frame)
    }
}

impl Microphone for Slow<dyn Microphone> {
    fn describe(&self) -> String {
        self.device.describe()
    }

    fn read(&mut self, block: &mut [i16; BLOCK]) -> Result<(), AudioError> {
        self.device.read(block)
    }
}

struct SlowSpeaker {
    slow: Slow<dyn Speaker>,
    heard: Sender<[i16; BLOCK]>,
}

impl Speaker for SlowSpeaker {
    fn describe(&self) -> String {
        self.slow.device.describe()
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        let _ = self.heard.send(*block);
        self.slow.device.write(block)
    }
}

/// Devices that close when the gate lets them; and what the speaker plays.
fn hardware(gate: Gate) -> (Hardware, Receiver<[i16; BLOCK]>) {
    let (heard, ear) = channel();
    let opened: [Arc<AtomicUsize>; 3] = Default::default();
    let [camera, microphone, speaker] = opened.map(|open| (open, gate.clone()));
    let hardware = Hardware {
        camera: Some(Box::new(move || {
            let (open, gate) = camera.clone();
            Box::new(move || {
                let device = camera::synthetic::open(Wanted { width: 64, height: 64, fps: 30 })?;
                Ok(Box::new(Slow::new(&gate, &open, device)))
            })
        })),
        microphone: Some(Box::new(move || {
            let (open, gate) = microphone.clone();
            Box::new(move || Ok(Box::new(Slow::new(&gate, &open, synthetic::microphone()))))
        })),
        speaker: Some(Box::new(move || {
            let ((open, gate), heard) = (speaker.clone(), heard.clone());
            Box::new(move || {
                let slow = Slow::new(&gate, &open, synthetic::speaker());
                Ok(Box::new(SlowSpeaker { slow, heard: heard.clone() }))
            })
        })),
        indicator: None,
    };
    (hardware, ear)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(BOUND, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {BOUND:?}"))
}

async fn picture(watcher: &mut Watcher) -> AccessUnit {
    loop {
        if let Next::Item(unit) = soon("a picture", watcher.next()).await {
            return unit;
        }
    }
}

/// A runtime of one thread: whatever waits in it stands still.
#[tokio::test]
async fn the_next_call_is_let_in_while_the_last_ones_devices_are_closing() {
    let latch = Latch::shut();
    let (hardware, ear) = hardware(latch.gate());
    let studio = latch.before(Studio::new(hardware));
    let first = studio.enter(Viewing::Level(Level::L4));
    let (mut watcher, mut voice) = (first.watch(), first.listen());
    assert!(picture(&mut watcher).await.key);
    soon("a packet", voice.recv()).await.unwrap();
    let last = {
        drop(first);
        Instant::now()
    };

    let second = studio.enter(Viewing::Level(Level::L3));
    let (mut watcher, mut voice) = (second.watch(), second.listen());
    let caller = second.speak().expect("a place in the mix");
    second.request_key_frame();
    second.set_viewing(Viewing::Level(Level::L4));
    let stats = studio.stats();
    assert!(stats.video.is_none() && stats.microphone.is_none() && stats.speaker.is_none(), "all are closing");
    let closing: Vec<_> = studio.progress();
    assert!(closing.len() == 3 && closing.iter().all(|(_, progress)| matches!(progress, Progress::Working(_))));
    assert!(watcher.wants_key(), "nothing of the last call is shown");

    studio.open();
    let unit = picture(&mut watcher).await;
    assert!(unit.key && unit.captured > last);
    assert_eq!(soon("a packet", voice.recv()).await.unwrap().position, 0, "a stream of its own");
    while ear.try_recv().is_ok() {}
    let mut encoder = crate::media::opus::VoiceEncoder::new().unwrap();
    let tone: [i16; 960] = std::array::from_fn(|i| if i / 50 % 2 == 0 { 8_000 } else { -8_000 });
    let begin = Instant::now();
    for sequence in 0.. {
        assert!(begin.elapsed() < BOUND, "the caller is not heard");
        let payload = encoder.encode(&tone).unwrap();
        caller.push(ReceivedVoice { sequence, timestamp: u32::from(sequence) * 960, payload });
        tokio::time::sleep(Duration::from_millis(20)).await;
        if ear.try_iter().any(|block| block.iter().any(|sample| sample.unsigned_abs() > 1_000)) {
            break;
        }
    }
    drop(second);
    soon("everything closed", studio.closed()).await;
}

#[tokio::test]
async fn who_leaves_before_the_devices_are_closed_opens_nothing() {
    let latch = Latch::shut();
    let (hardware, _ear) = hardware(latch.gate());
    let studio = latch.before(Studio::new(hardware));
    let mut watcher = {
        let first = studio.enter(Viewing::Level(Level::L4));
        let mut watcher = first.watch();
        picture(&mut watcher).await;
        watcher
    };
    drop(studio.enter(Viewing::Level(Level::L4)));
    assert_eq!(studio.progress().len(), 3);
    studio.open();
    soon("everything closed", studio.closed()).await;
    assert!(studio.stats().video.is_none());
    assert!(timeout(Duration::from_millis(1), watcher.next()).await.is_err() || watcher.wants_key());
}

#[tokio::test]
async fn changed_devices_count_from_the_next_time_they_are_switched_on() {
    let studio = Studio::new(Hardware::default());
    let guest = studio.enter(Viewing::Level(Level::L4));
    assert!(guest.speak().is_none());
    drop(guest);
    soon("everything closed", studio.closed()).await;
    let latch = Latch::shut();
    let (new, _ear) = hardware(latch.gate());
    let studio = latch.before(studio);
    studio.change_hardware(|| |hardware: &mut Hardware| *hardware = new).await;
    let guest = studio.enter(Viewing::Level(Level::L4));
    assert!(guest.speak().is_some());
    assert!(picture(&mut guest.watch()).await.key);
    studio.change_hardware(|| |hardware: &mut Hardware| hardware.camera = None).await;
    assert!(studio.stats().video.is_some(), "it stays on for the call");
}

#[tokio::test]
async fn a_reload_that_waits_for_a_driver_holds_up_nobody() {
    let latch = Latch::shut();
    let (gate, closes) = (latch.gate(), Latch::shut());
    let (hardware, _ear) = hardware(closes.gate());
    closes.open();
    let studio = Studio::new(hardware);
    let guest = studio.enter(Viewing::Level(Level::L4));
    let mut reload = std::pin::pin!(studio.change_hardware(move || {
        gate.pass();
        |hardware: &mut Hardware| hardware.camera = None
    }));
    // The runtime has this one thread, and the driver does not answer.
    assert!(timeout(Duration::from_millis(10), &mut reload).await.is_err());
    assert!(studio.stats().video.is_some() && studio.progress().len() > 3);
    guest.request_key_frame();
    drop(guest);
    soon("everything closed", studio.closed()).await;
    let guest = studio.enter(Viewing::Level(Level::L4));
    picture(&mut guest.watch()).await;
    drop(guest);
    soon("everything closed", studio.closed()).await;
    latch.open();
    soon("the reload", reload).await;
    let _guest = studio.enter(Viewing::Level(Level::L4));
    assert!(studio.stats().video.is_none(), "now it counts");
}
