//! Packets to speaker: the sound card is the clock. For each block it takes, each caller gives one, and the mix is
//! played. With no speaker the callers' jitter buffers overflow in silence, and skip what is old when it is back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::vec;

use serde::Serialize;

use super::caller::{Caller, CallerStats, CallerVoice};
use crate::base::lock::lock;
use crate::logic::health::Progress;
use crate::logic::voice::mix::Mixer;
use crate::media::audio::{AudioError, BLOCK, OpenSpeaker};
use crate::media::supervise::{Stop, Worker};

/// Most callers in the mix; further ones are not heard.
pub const CALLERS_MAX: usize = 16;

/// Plays the callers' voices as long as it lives, silence included.
pub struct VoiceSink {
    callers: Arc<Callers>,
    stats: Arc<Mutex<Played>>,
    worker: Worker,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceSinkStats {
    /// The speaker; `None` while there is none.
    pub device: Option<String>,
    /// Blocks of 10 ms played.
    pub blocks: u64,
    /// Underruns of all speakers so far.
    pub xruns: u64,
    /// Times the speaker was opened after the first.
    pub reopened: u64,
    pub callers: Vec<CallerStats>,
}

/// Everybody who is heard where a [`VoiceSink`] plays it, and kept for it where none does.
#[derive(Clone, Default)]
pub struct Mix(Arc<Callers>);

impl Mix {
    /// Puts a caller into the mix. Beyond [`CALLERS_MAX`] the handle works, and its voice is not heard.
    pub fn add_caller(&self) -> CallerVoice {
        let caller = Arc::new(Caller::new());
        if !self.0.add(&caller) {
            log::warn!(callers = CALLERS_MAX; "too many callers to mix: this one is not heard");
        }
        CallerVoice::new(caller, Arc::downgrade(&self.0))
    }

    /// Plays these blocks over the voices, from the next one that the speaker takes, in place of what was played so before.
    /// The receiver hears when the last one was taken; where none does, [`Mix::silence`] takes it back.
    pub fn play(&self, blocks: Vec<[i16; BLOCK]>) -> Receiver<()> {
        let (ended, end) = channel();
        *lock(&self.0.chime) = Some(Chime { blocks: blocks.into_iter(), ended });
        end
    }

    /// Plays no more of it.
    pub fn silence(&self) {
        *lock(&self.0.chime) = None;
    }
}

/// What is played to those in front of the speaker.
struct Chime {
    blocks: vec::IntoIter<[i16; BLOCK]>,
    ended: Sender<()>,
}

impl VoiceSink {
    pub fn start(open: OpenSpeaker, mix: &Mix) -> VoiceSink {
        let (callers, stats) = (mix.0.clone(), Arc::<Mutex<Played>>::default());
        let mut playback = Playback { open, callers: callers.clone(), stats: stats.clone(), opened: false };
        VoiceSink { callers, stats, worker: Worker::start("speaker", move |stop| playback.turn(stop), |_| {}) }
    }

    /// Of its thread.
    pub fn progress(&self) -> Progress {
        self.worker.progress()
    }

    pub fn stats(&self) -> VoiceSinkStats {
        let Played { device, blocks, xruns, reopened } = lock(&self.stats).clone();
        let callers = self.callers.all().iter().map(|caller| caller.stats()).collect();
        VoiceSinkStats { device, blocks, xruns, reopened, callers }
    }
}

/// Everybody in the mix.
#[derive(Default)]
pub(super) struct Callers {
    all: Mutex<Vec<Arc<Caller>>>,
    chime: Mutex<Option<Chime>>,
}

impl Callers {
    fn add(&self, caller: &Arc<Caller>) -> bool {
        let mut callers = lock(&self.all);
        if callers.len() >= CALLERS_MAX {
            return false;
        }
        callers.push(caller.clone());
        true
    }

    pub(super) fn remove(&self, caller: &Arc<Caller>) {
        lock(&self.all).retain(|other| !Arc::ptr_eq(other, caller));
    }

    fn all(&self) -> Vec<Arc<Caller>> {
        lock(&self.all).clone()
    }

    /// Its next 10 ms.
    fn chime(&self) -> Option<[i16; BLOCK]> {
        let mut chime = lock(&self.chime);
        let next = chime.as_mut()?.blocks.next();
        if next.is_none()
            && let Some(chime) = chime.take()
        {
            // Nobody need have waited for it.
            let _ = chime.ended.send(());
        }
        next
    }
}

#[derive(Clone, Default)]
struct Played {
    device: Option<String>,
    blocks: u64,
    xruns: u64,
    reopened: u64,
}

struct Playback {
    open: OpenSpeaker,
    callers: Arc<Callers>,
    stats: Arc<Mutex<Played>>,
    opened: bool,
}

impl Playback {
    fn turn(&mut self, stop: &Stop) -> Result<(), AudioError> {
        lock(&self.stats).device = None;
        let mut speaker = (self.open)()?;
        let device = speaker.describe();
        log::info!(speaker = device.as_str(); "speaker opened");
        let xruns_before = {
            let mut stats = lock(&self.stats);
            stats.device = Some(device);
            stats.reopened += u64::from(self.opened);
            stats.xruns
        };
        self.opened = true;
        self.callers.all().iter().for_each(|caller| caller.reset());
        let mut mixer = Mixer::<BLOCK>::default();
        while !stop.requested() {
            let now = Instant::now();
            for caller in self.callers.all() {
                if let Some(voice) = caller.next_block(now) {
                    mixer.add(&voice);
                }
            }
            if let Some(chime) = self.callers.chime() {
                mixer.add(&chime);
            }
            let written = speaker.write(&mixer.take());
            let mut stats = lock(&self.stats);
            stats.xruns = xruns_before + speaker.xruns();
            if let Err(error) = written {
                stats.device = None;
                return Err(error);
            }
            stats.blocks += 1;
        }
        Ok(())
    }
}
