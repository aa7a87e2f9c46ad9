//! The one camera, microphone and speaker that all calls share: on with the first call, off with the last. Pictures and
//! voice are encoded once, whoever watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::base::lock::lock;
use crate::logic::health::Progress;
use crate::logic::picture::fanout::{Cursor, Fanout, Next};
use crate::logic::picture::level::Level;
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::media::audio::{OpenMicrophone, OpenSpeaker};
use crate::media::camera::OpenCamera;
use crate::media::pulse::Pulse;
use crate::media::video::{VideoSource, VideoStats};
use crate::media::voice::{CallerVoice, VoiceSink, VoiceSinkStats, VoiceSource, VoiceSourceStats};

/// Voice packets a slow peer may fall behind by, 20 ms each; beyond it the oldest are dropped and counted.
const VOICE_BACKLOG: usize = 10;

/// Makes a new opener each time the studio is switched on.
pub type Maker<T> = Box<dyn Fn() -> T + Send + Sync>;

/// The devices there are; `None` where the configuration wants none.
pub struct Hardware {
    pub camera: Option<Maker<OpenCamera>>,
    pub microphone: Option<Maker<OpenMicrophone>>,
    pub speaker: Option<Maker<OpenSpeaker>>,
}

pub struct Studio {
    hardware: Mutex<Hardware>,
    /// Held over switching on and off, so that a device is closed before it is opened again.
    switch: tokio::sync::Mutex<()>,
    floor: Mutex<Floor>,
    /// Of whoever closes devices, which waits for their threads.
    closing: Pulse,
    pictures: Arc<Pictures>,
    voice: broadcast::Sender<VoicePacket>,
}

#[derive(Default)]
struct Floor {
    next_guest: u64,
    guests: HashMap<u64, Viewing>,
    video: Option<Arc<VideoSource>>,
    microphone: Option<VoiceSource>,
    speaker: Option<VoiceSink>,
}

/// What a guest takes of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewing {
    /// Not negotiated yet; the camera warms up.
    Undecided,
    Level(Level),
    Nothing,
}

struct Pictures {
    fanout: Mutex<Fanout<AccessUnit>>,
    /// Counts the pictures, to wake whoever waits for one.
    count: watch::Sender<u64>,
}

/// What runs, for `callbox status`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StudioStats {
    pub video: Option<VideoStats>,
    pub microphone: Option<VoiceSourceStats>,
    pub speaker: Option<VoiceSinkStats>,
}

impl Studio {
    pub fn new(hardware: Hardware) -> Arc<Studio> {
        Arc::new(Studio {
            hardware: Mutex::new(hardware),
            closing: Pulse::resting(),
            switch: Default::default(),
            floor: Default::default(),
            pictures: Arc::new(Pictures { fanout: Mutex::new(Fanout::new()), count: watch::Sender::new(0) }),
            voice: broadcast::Sender::new(VOICE_BACKLOG),
        })
    }

    /// Each device counts from the next time it is switched on.
    pub fn change_hardware(&self, change: impl FnOnce(&mut Hardware)) {
        change(&mut self.hardware());
    }

    /// Joins the calls that share the devices, switching them on where this is the first.
    pub async fn enter(self: &Arc<Self>, viewing: Viewing) -> Guest {
        let _switch = self.switch.lock().await;
        let id = {
            let mut floor = self.floor();
            floor.next_guest += 1;
            let id = floor.next_guest;
            floor.guests.insert(id, viewing);
            let hardware = self.hardware();
            if floor.microphone.is_none() {
                floor.microphone = hardware.microphone.as_ref().map(|open| {
                    let voice = self.voice.clone();
                    // Nobody listening is no error.
                    VoiceSource::start(open(), Box::new(move |packet| drop(voice.send(packet))))
                });
            }
            if floor.speaker.is_none() {
                floor.speaker = hardware.speaker.as_ref().map(|open| VoiceSink::start(open()));
            }
            id
        };
        self.set_camera();
        Guest { studio: self.clone(), id }
    }

    pub fn stats(&self) -> StudioStats {
        let floor = self.floor();
        StudioStats {
            video: floor.video.as_ref().map(|v| v.stats()),
            microphone: floor.microphone.as_ref().map(VoiceSource::stats),
            speaker: floor.speaker.as_ref().map(VoiceSink::stats),
        }
    }

    /// Of every thread that works for the calls.
    pub fn progress(&self) -> Vec<(&'static str, Progress)> {
        let floor = self.floor();
        let mut all = vec![("closing of devices", self.closing.progress())];
        all.extend(floor.video.iter().flat_map(|video| video.progress()));
        all.extend(floor.microphone.iter().map(|microphone| ("microphone", microphone.progress())));
        all.extend(floor.speaker.iter().map(|speaker| ("speaker", speaker.progress())));
        all
    }

    /// Starts the camera if anybody may watch, and holds it to what all of them can take. The `switch` is held.
    fn set_camera(&self) {
        let mut floor = self.floor();
        if !floor.watched() {
            return;
        }
        if floor.video.is_none() {
            floor.video = self.hardware().camera.as_ref().map(|open| {
                let pictures = self.pictures.clone();
                Arc::new(VideoSource::start(open(), Box::new(move |unit| pictures.push(unit))))
            });
        }
        if let Some(video) = &floor.video {
            video.limit(floor.level());
        }
    }

    /// Ends what nobody uses any more. Ending waits for the devices' threads.
    async fn tidy(self: Arc<Self>) {
        let _switch = self.switch.lock().await;
        let idle = {
            let mut floor = self.floor();
            let empty = floor.guests.is_empty();
            let video = if floor.watched() { None } else { floor.video.take() };
            let microphone = if empty { floor.microphone.take() } else { None };
            let speaker = if empty { floor.speaker.take() } else { None };
            if video.is_none()
                && let Some(video) = &floor.video
            {
                video.limit(floor.level());
            }
            (video, microphone, speaker)
        };
        let stream_ends = idle.0.is_some();
        self.closing.beat();
        if tokio::task::spawn_blocking(move || drop(idle)).await.is_err() {
            log::error!("a capture thread ended in a panic");
        }
        self.closing.rest();
        // Not before the encoder has put in what it had under way.
        if stream_ends {
            self.pictures.clear();
        }
    }

    /// Taken after [`Studio::floor`], where both are.
    fn hardware(&self) -> MutexGuard<'_, Hardware> {
        lock(&self.hardware)
    }

    fn floor(&self) -> MutexGuard<'_, Floor> {
        lock(&self.floor)
    }
}

impl Floor {
    fn watched(&self) -> bool {
        self.guests.values().any(|v| *v != Viewing::Nothing)
    }

    /// The lowest level among the viewers.
    fn level(&self) -> Option<Level> {
        let level = |v: &Viewing| match v {
            Viewing::Level(level) => Some(*level),
            Viewing::Undecided | Viewing::Nothing => None,
        };
        self.guests.values().filter_map(level).min()
    }
}

impl Pictures {
    fn push(&self, unit: AccessUnit) {
        let key = unit.key;
        lock(&self.fanout).push(unit, key);
        self.count.send_modify(|count| *count += 1);
    }

    /// Another stream begins: nothing of the last one is shown to whoever comes next.
    fn clear(&self) {
        lock(&self.fanout).clear();
    }
}

/// One call's place in the studio; dropping it gives the place up.
pub struct Guest {
    studio: Arc<Studio>,
    id: u64,
}

impl Guest {
    pub fn set_viewing(&self, viewing: Viewing) {
        self.studio.floor().guests.insert(self.id, viewing);
        let studio = self.studio.clone();
        tokio::spawn(async move {
            let switch = studio.switch.lock().await;
            studio.set_camera();
            drop(switch);
            studio.tidy().await;
        });
    }

    pub fn request_key_frame(&self) {
        let video = self.studio.floor().video.clone();
        if let Some(video) = video {
            video.request_key_frame();
        }
    }

    /// The pictures from now on, starting with a key picture: a fresh one if there is one, else one made for us.
    pub fn watch(&self) -> Watcher {
        let pictures = self.studio.pictures.clone();
        let count = pictures.count.subscribe();
        let cursor = lock(&pictures.fanout).subscribe();
        if cursor.wants_key() {
            self.request_key_frame();
        }
        Watcher { pictures, count, cursor }
    }

    /// The device's voice from now on.
    pub fn listen(&self) -> broadcast::Receiver<VoicePacket> {
        self.studio.voice.subscribe()
    }

    /// A place for the caller's voice in the mix; `None` without a speaker.
    pub fn speak(&self) -> Option<CallerVoice> {
        self.studio.floor().speaker.as_ref().map(VoiceSink::add_caller)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.studio.floor().guests.remove(&self.id);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(self.studio.clone().tidy())),
            Err(_) => log::debug!("the last call ended with the program"),
        }
    }
}

/// One viewer's place in the stream of pictures.
pub struct Watcher {
    pictures: Arc<Pictures>,
    count: watch::Receiver<u64>,
    cursor: Cursor,
}

impl Watcher {
    /// Whether nothing comes before the next key picture.
    pub fn wants_key(&self) -> bool {
        self.cursor.wants_key()
    }

    /// The next picture, or word that some were lost. Cancelling loses nothing.
    pub async fn next(&mut self) -> Next<AccessUnit> {
        loop {
            self.count.mark_unchanged();
            let next = lock(&self.pictures.fanout).next(&mut self.cursor);
            match next {
                // The sender lives as long as we hold the pictures.
                Next::Empty => drop(self.count.changed().await),
                Next::Item(_) | Next::Lagged { .. } => return next,
            }
        }
    }
}
