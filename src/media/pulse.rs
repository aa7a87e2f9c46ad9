//! A thread's signs of life, for whoever watches over it from outside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::logic::health::Progress;

/// Works from the start; a thread that never got to run is stuck too.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    resting: AtomicBool,
}

impl Pulse {
    pub fn resting() -> Pulse {
        Pulse { beats: AtomicU64::new(0), resting: AtomicBool::new(true) }
    }

    /// One more turn begins.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.resting.store(false, Ordering::Relaxed);
    }

    /// Nothing to do before the next [`beat`](Pulse::beat).
    pub fn rest(&self) {
        self.resting.store(true, Ordering::Relaxed);
    }

    pub fn progress(&self) -> Progress {
        match self.resting.load(Ordering::Relaxed) {
            true => Progress::Resting,
            false => Progress::Working(self.beats.load(Ordering::Relaxed)),
        }
    }
}
