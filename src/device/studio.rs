//! The one camera, microphone and speaker that all calls share: on with the first call, off with the last. Pictures and
//! voice are encoded once, whoever watches. What is on when, `logic/studio` decides; here it is done, and nobody waits
//! for it: a device is closed by a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use serde::Serialize;
use tokio::sync::{broadcast, watch};

use super::indicator::{Indicator, IndicatorStats};
use crate::base::lock::lock;
use crate::base::task::apart;
use crate::logic::health::Progress;
use crate::logic::picture::fanout::{Cursor, Fanout, Next};
use crate::logic::studio::{Action, Floor, GuestId, Part};
use crate::logic::unit::{AccessUnit, VoicePacket};
use crate::media::audio::{OpenMicrophone, OpenSpeaker};
use crate::media::camera::OpenCamera;
use crate::media::video::{VideoSource, VideoStats};
use crate::media::voice::{CallerVoice, Mix, VoiceSink, VoiceSinkStats, VoiceSource, VoiceSourceStats};

pub use crate::logic::studio::Viewing;

#[cfg(test)]
mod tests;

/// Voice packets a slow peer may fall behind by, 20 ms each; beyond it the oldest are dropped and counted.
const VOICE_BACKLOG: usize = 10;

/// Makes a new opener each time the studio is switched on. Quick: whatever takes time, the opener does.
pub type Maker<T> = Box<dyn Fn() -> T + Send + Sync>;

/// The devices there are; `None` where the configuration wants none.
#[derive(Default)]
pub struct Hardware {
    pub camera: Option<Maker<OpenCamera>>,
    pub microphone: Option<Maker<OpenMicrophone>>,
    pub speaker: Option<Maker<OpenSpeaker>>,
    /// The sign to those in front of them.
    pub indicator: Option<Arc<Indicator>>,
}

pub struct Studio {
    /// Never held over anything that waits.
    state: Mutex<State>,
    pictures: Arc<Pictures>,
    voice: broadcast::Sender<VoicePacket>,
    /// Callers are in it whether or not the speaker is on.
    mix: Mix,
    /// Whether all devices are closed.
    off: watch::Sender<bool>,
}

struct State {
    floor: Floor,
    hardware: Hardware,
    camera: Option<On<VideoSource>>,
    microphone: Option<On<VoiceSource>>,
    speaker: Option<VoiceSink>,
    /// The sign that is given.
    sign: Option<Arc<Indicator>>,
}

/// A source that is on. What it still delivers while it closes belongs to calls that are over.
struct On<T> {
    source: T,
    live: Arc<Mutex<bool>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator: Option<IndicatorStats>,
}

impl Studio {
    pub fn new(hardware: Hardware) -> Arc<Studio> {
        let floor = Floor::default();
        let mut state = State { floor, hardware, camera: None, microphone: None, speaker: None, sign: None };
        state.equip();
        Arc::new(Studio {
            state: Mutex::new(state),
            pictures: Arc::new(Pictures { fanout: Mutex::new(Fanout::new()), count: watch::Sender::new(0) }),
            voice: broadcast::Sender::new(VOICE_BACKLOG),
            mix: Mix::default(),
            off: watch::Sender::new(true),
        })
    }

    /// Each device counts from the next time it is switched on. `make` may wait for drivers, which holds up nobody else;
    /// what it returns puts in what it made.
    pub async fn change_hardware<C>(&self, make: impl FnOnce() -> C + Send + 'static)
    where
        C: FnOnce(&mut Hardware) + Send + 'static,
    {
        match apart("hardware", make).await {
            Some(change) => {
                let mut state = self.state();
                change(&mut state.hardware);
                state.equip();
            }
            None => log::error!("the devices could not be looked for: they stay as they were"),
        }
    }

    /// Joins the calls that share the devices, switching them on where this is the first. Never waits.
    pub fn enter(self: &Arc<Self>, viewing: Viewing) -> Guest {
        let mut state = self.state();
        let id = state.floor.enter(viewing);
        self.act(&mut state);
        Guest { studio: self.clone(), id }
    }

    /// Returns when every device is closed, which a driver may put off for ever.
    pub async fn closed(&self) {
        // The sender lives as long as we do.
        drop(self.off.subscribe().wait_for(|off| *off).await);
    }

    pub fn stats(&self) -> StudioStats {
        let state = self.state();
        StudioStats {
            video: state.camera.as_ref().map(|camera| camera.source.stats()),
            microphone: state.microphone.as_ref().map(|microphone| microphone.source.stats()),
            speaker: state.speaker.as_ref().map(VoiceSink::stats),
            indicator: state.indicator().map(|indicator| indicator.stats(state.floor.is_signed())),
        }
    }

    /// Of every thread that works for the calls, and of those that close devices.
    pub fn progress(&self) -> Vec<(&'static str, Progress)> {
        let state = self.state();
        let mut all: Vec<_> = state.floor.progress().collect();
        all.extend(state.camera.iter().flat_map(|camera| camera.source.progress()));
        all.extend(state.microphone.iter().map(|microphone| ("microphone", microphone.source.progress())));
        all.extend(state.speaker.iter().map(|speaker| ("speaker", speaker.progress())));
        all
    }

    /// Does what the floor asks for.
    fn act(self: &Arc<Self>, state: &mut State) {
        while let Some(action) = state.floor.poll_action() {
            match action {
                Action::Open(part) => self.open(part, state),
                Action::Close(part) => match part {
                    Part::Camera => {
                        let camera = state.camera.take().map(On::end);
                        // Nothing of this stream is shown to whoever comes next.
                        lock(&self.pictures.fanout).clear();
                        self.close(part, camera, state);
                    }
                    Part::Microphone => {
                        let microphone = state.microphone.take().map(On::end);
                        self.close(part, microphone, state);
                    }
                    Part::Speaker => {
                        let speaker = state.speaker.take();
                        self.close(part, speaker, state);
                    }
                },
                Action::Sign => self.sign(state),
                Action::Unsign => self.unsign(state),
                Action::Limit(level) => {
                    if let Some(camera) = &state.camera {
                        camera.source.limit(level);
                    }
                }
            }
        }
        let off = state.floor.is_off();
        self.off.send_if_modified(|told| std::mem::replace(told, off) != off);
    }

    fn open(&self, part: Part, state: &mut State) {
        let hardware = &state.hardware;
        match part {
            Part::Camera => {
                state.camera = hardware.camera.as_ref().map(|open| {
                    let pictures = self.pictures.clone();
                    On::start(move |unit| pictures.push(unit), |sink| VideoSource::start(open(), sink))
                });
            }
            Part::Microphone => {
                state.microphone = hardware.microphone.as_ref().map(|open| {
                    let voice = self.voice.clone();
                    // Nobody listening is no error.
                    On::start(move |packet| drop(voice.send(packet)), |sink| VoiceSource::start(open(), sink))
                });
            }
            Part::Speaker => {
                state.speaker = hardware.speaker.as_ref().map(|open| VoiceSink::start(open(), &self.mix));
            }
        }
    }

    /// Drops `device`, which waits for its threads, in a thread of its own.
    fn close<T: Send + 'static>(self: &Arc<Self>, part: Part, device: T, state: &mut State) {
        let studio = self.clone();
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| drop(device))).is_err() {
                log::error!("a device's thread ended in a panic");
            }
            let mut state = studio.state();
            state.floor.closed(part);
            studio.act(&mut state);
        };
        if let Err(error) = thread::Builder::new().name("closing".to_owned()).spawn(work) {
            // The device was dropped with the work that could not begin.
            log::error!(error:%; "no thread can be started to close a device: it was waited for");
            state.floor.closed(part);
        }
    }

    fn sign(self: &Arc<Self>, state: &mut State) {
        state.sign = state.hardware.indicator.clone();
        let Some(indicator) = state.sign.clone() else { return state.floor.signed(true) };
        let studio = self.clone();
        let work = move || {
            let may_open = indicator.begin(&studio.mix);
            let mut state = studio.state();
            state.floor.signed(may_open);
            studio.act(&mut state);
        };
        if let Err(error) = thread::Builder::new().name("indicator".to_owned()).spawn(work) {
            log::error!(error:%; "no thread can be started to give the sign: nobody is seen or heard");
            state.floor.signed(false);
        }
    }

    fn unsign(self: &Arc<Self>, state: &mut State) {
        let Some(indicator) = state.sign.take() else { return state.floor.unsigned() };
        let studio = self.clone();
        let work = move || {
            indicator.end(&studio.mix);
            // One that a reload has replaced gives its LED back here.
            drop(indicator);
            let mut state = studio.state();
            state.floor.unsigned();
            studio.act(&mut state);
        };
        if let Err(error) = thread::Builder::new().name("indicator".to_owned()).spawn(work) {
            log::error!(error:%; "no thread can be started to take the sign back: it stays");
            state.floor.unsigned();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// The sign that is given, else that of the next call.
    fn indicator(&self) -> Option<&Arc<Indicator>> {
        self.sign.as_ref().or(self.hardware.indicator.as_ref())
    }

    fn equip(&mut self) {
        let Hardware { camera, microphone, speaker, indicator } = &self.hardware;
        self.floor.indicate(indicator.is_some());
        self.floor.equip(Part::Camera, camera.is_some());
        self.floor.equip(Part::Microphone, microphone.is_some());
        self.floor.equip(Part::Speaker, speaker.is_some());
    }
}

impl<T> On<T> {
    fn start<P>(deliver: impl Fn(P) + Send + 'static, start: impl FnOnce(Box<dyn FnMut(P) + Send>) -> T) -> On<T> {
        let live = Arc::new(Mutex::new(true));
        let seen = live.clone();
        let sink = move |piece| {
            // Held meanwhile, so that nothing comes after the end.
            let live = lock(&seen);
            if *live {
                deliver(piece);
            }
        };
        On { source: start(Box::new(sink)), live }
    }

    /// Nothing is delivered any more.
    fn end(self) -> T {
        *lock(&self.live) = false;
        self.source
    }
}

impl Pictures {
    fn push(&self, unit: AccessUnit) {
        let key = unit.key;
        lock(&self.fanout).push(unit, key);
        self.count.send_modify(|count| *count += 1);
    }
}

/// One call's place in the studio; dropping it gives the place up.
pub struct Guest {
    studio: Arc<Studio>,
    id: GuestId,
}

impl Guest {
    pub fn set_viewing(&self, viewing: Viewing) {
        let mut state = self.studio.state();
        state.floor.view(self.id, viewing);
        self.studio.act(&mut state);
    }

    pub fn request_key_frame(&self) {
        // A camera that is opened again begins with one.
        if let Some(camera) = &self.studio.state().camera {
            camera.source.request_key_frame();
        }
    }

    /// The pictures from now on, starting with a key picture: a fresh one if there is one, else one has to be asked for.
    pub fn watch(&self) -> Watcher {
        let pictures = self.studio.pictures.clone();
        let count = pictures.count.subscribe();
        let cursor = lock(&pictures.fanout).subscribe();
        Watcher { pictures, count, cursor }
    }

    /// The device's voice from now on.
    pub fn listen(&self) -> broadcast::Receiver<VoicePacket> {
        self.studio.voice.subscribe()
    }

    /// A place for the caller's voice in the mix; `None` without a speaker.
    pub fn speak(&self) -> Option<CallerVoice> {
        let state = self.studio.state();
        let there = state.hardware.speaker.is_some() || state.speaker.is_some();
        there.then(|| self.studio.mix.add_caller())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut state = self.studio.state();
        state.floor.leave(self.id);
        self.studio.act(&mut state);
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
