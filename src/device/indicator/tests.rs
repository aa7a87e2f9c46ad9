//! What those in front of the device see and hear, and when.

use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::time::timeout;

use super::*;
use crate::device::studio::{Hardware, Maker, Studio, Viewing};
use crate::logic::picture::level::Level;
use crate::media::audio::{AudioError, OpenMicrophone, OpenSpeaker, Speaker, synthetic};
use crate::media::camera::{self, OpenCamera, Wanted};

/// Far more than anything here takes.
const BOUND: Duration = Duration::from_secs(20);

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Camera { lit: bool },
    Microphone { lit: bool },
    Heard,
}

struct Door {
    leds: tempfile::TempDir,
    events: Receiver<Event>,
    studio: Arc<Studio>,
}

impl Door {
    fn with(config: &config::Indicator) -> Door {
        let leds = tempfile::tempdir().unwrap();
        fs::create_dir(leds.path().join("sign")).unwrap();
        for (name, value) in [("trigger", "none [heartbeat]"), ("brightness", "0"), ("max_brightness", "1")] {
            fs::write(leds.path().join("sign").join(name), value).unwrap();
        }
        let (tell, events) = channel();
        let lit = {
            let brightness = leds.path().join("sign/brightness");
            move || fs::read_to_string(&brightness).is_ok_and(|shown| shown == "1")
        };
        let camera: Maker<OpenCamera> = {
            let (tell, lit) = (tell.clone(), lit.clone());
            Box::new(move || {
                let (tell, lit) = (tell.clone(), lit.clone());
                Box::new(move || {
                    let _ = tell.send(Event::Camera { lit: lit() });
                    camera::synthetic::open(Wanted { width: 64, height: 64, fps: 30 })
                })
            })
        };
        let microphone: Maker<OpenMicrophone> = {
            let tell = tell.clone();
            Box::new(move || {
                let (tell, lit) = (tell.clone(), lit.clone());
                Box::new(move || {
                    let _ = tell.send(Event::Microphone { lit: lit() });
                    Ok(synthetic::microphone())
                })
            })
        };
        let speaker: Maker<OpenSpeaker> = Box::new(move || {
            let tell = tell.clone();
            Box::new(move || Ok(Box::new(Ear { tell: tell.clone(), clock: synthetic::speaker() })))
        });
        let indicator = Indicator::new(config, true, leds.path()).map(Arc::new);
        let hardware =
            Hardware { camera: Some(camera), microphone: Some(microphone), speaker: Some(speaker), indicator };
        Door { leds, events, studio: Studio::new(hardware) }
    }

    fn led(&self) -> (String, bool) {
        let read = |name: &str| fs::read_to_string(self.leds.path().join("sign").join(name)).unwrap();
        (read("trigger"), read("brightness") == "1")
    }

    /// The next two captures, and how many blocks of sound were heard before each.
    fn captures(&self) -> Vec<(Event, usize)> {
        let mut heard = 0;
        let mut captures = Vec::new();
        while captures.len() < 2 {
            match self.events.recv_timeout(BOUND).expect("camera and microphone are opened") {
                Event::Heard => heard += 1,
                capture => captures.push((capture, heard)),
            }
        }
        captures
    }
}

/// Tells of each block that is no silence.
struct Ear {
    tell: Sender<Event>,
    clock: Box<dyn Speaker>,
}

impl Speaker for Ear {
    fn describe(&self) -> String {
        "ear".to_owned()
    }

    fn write(&mut self, block: &[i16; BLOCK]) -> Result<(), AudioError> {
        if block.iter().any(|sample| *sample != 0) {
            let _ = self.tell.send(Event::Heard);
        }
        self.clock.write(block)
    }
}

fn led(name: &str, required: bool) -> config::Indicator {
    config::Indicator { led: Some(name.to_owned()), required, ..config::Indicator::default() }
}

const NOTES_BLOCKS: usize = NOTES[0].1 + NOTES[1].1;

#[tokio::test]
async fn the_led_is_lit_before_anything_is_captured_and_dark_when_all_is_closed() {
    let door = Door::with(&led("sign", true));
    assert_eq!(door.led(), ("none".to_owned(), false), "it is nobody else's from the start");
    for _ in 0..2 {
        let guest = door.studio.enter(Viewing::Level(Level::L4));
        for (event, _) in door.captures() {
            assert!(matches!(event, Event::Camera { lit: true } | Event::Microphone { lit: true }), "{event:?}");
        }
        assert!(door.studio.stats().indicator.unwrap().shown);
        drop(guest);
        timeout(BOUND, door.studio.closed()).await.unwrap();
        assert_eq!(door.led(), ("none".to_owned(), false));
    }
    let Door { leds, studio, .. } = door;
    studio.change_hardware(|| |hardware: &mut Hardware| *hardware = Hardware::default()).await;
    assert_eq!(fs::read_to_string(leds.path().join("sign/trigger")).unwrap(), "heartbeat");
}

#[test]
fn a_chime_before_is_over_when_the_camera_is_opened_and_a_soft_one_holds_up_nothing() {
    let before = config::Indicator { chime: Chime::Before, ..config::Indicator::default() };
    let door = Door::with(&before);
    let guest = door.studio.enter(Viewing::Level(Level::L4));
    for (event, heard) in door.captures() {
        assert_eq!(heard, NOTES_BLOCKS, "{event:?}");
    }
    // Who joins later does not start it again.
    let _second = door.studio.enter(Viewing::Level(Level::L4));
    drop(guest);
    let door = Door::with(&config::Indicator { chime: Chime::Soft, ..before });
    let _guest = door.studio.enter(Viewing::Level(Level::L4));
    let mut heard = 0;
    while heard < NOTES_BLOCKS {
        heard += usize::from(door.events.recv_timeout(BOUND).expect("it is played") == Event::Heard);
    }
}

#[tokio::test]
async fn without_its_led_a_device_captures_unless_the_sign_is_required() {
    let door = Door::with(&led("missing", false));
    let problem = |door: &Door| door.studio.stats().indicator.unwrap().problem.unwrap_or_default();
    assert!(problem(&door).contains("LED missing cannot be set"), "{}", problem(&door));
    let _guest = door.studio.enter(Viewing::Level(Level::L4));
    assert_eq!(door.captures().len(), 2);

    let door = Door::with(&led("missing", true));
    let guest = door.studio.enter(Viewing::Level(Level::L4));
    assert!(guest.speak().is_some(), "the caller is heard");
    drop(guest);
    timeout(BOUND, door.studio.closed()).await.unwrap();
    assert!(door.events.try_recv().is_err() && problem(&door).contains("LED missing"));
    // Plugged in: the next call has it.
    fs::rename(door.leds.path().join("sign"), door.leds.path().join("missing")).unwrap();
    let _guest = door.studio.enter(Viewing::Level(Level::L4));
    assert_eq!(door.captures().len(), 2, "the sign is there");
    assert_eq!(problem(&door), "");
}

#[test]
fn a_speaker_that_does_not_play_is_no_sign() {
    let config = config::Indicator { chime: Chime::Before, required: true, led: None };
    let indicator = Indicator::new(&config, true, Path::new("/nonexistent")).unwrap();
    assert!(!indicator.begin(&Mix::default()), "nothing plays this mix");
    assert!(indicator.stats(false).problem.unwrap().contains("the chime was not played"));
    let forgiving = config::Indicator { required: false, ..config };
    assert!(Indicator::new(&forgiving, true, Path::new("/nonexistent")).unwrap().begin(&Mix::default()));
    assert!(Indicator::new(&forgiving, false, Path::new("/nonexistent")).is_none(), "there is nothing to play it");
}
