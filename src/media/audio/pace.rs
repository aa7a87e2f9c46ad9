//! Real time for devices that have no clock of their own.

use std::thread;
use std::time::{Duration, Instant};

/// Duration of one block.
pub const BLOCK_TIME: Duration = Duration::from_millis(10);

/// Lets one block through every 10 ms, by absolute deadlines: what one block is late, the next ones make good.
pub struct Metronome {
    next: Instant,
}

impl Metronome {
    /// Being further behind than this (a suspended machine) is not made good.
    const BEHIND_MAX: Duration = Duration::from_millis(200);

    pub fn start() -> Metronome {
        Metronome { next: Instant::now() }
    }

    /// Returns when the next block is due.
    pub fn wait(&mut self) {
        let now = Instant::now();
        self.next += BLOCK_TIME;
        if now > self.next + Self::BEHIND_MAX {
            self.next = now;
        }
        thread::sleep(self.next.saturating_duration_since(now));
    }
}

/// Watches a device that should have a clock. A sound card may run some parts in a million fast; a device that takes
/// blocks as fast as they come (ALSA's `null`, or `file` upon it) gets a [`Metronome`].
pub struct Governor {
    /// How far ahead of real time the device's buffer lets it be.
    lead_max: Duration,
    since: Instant,
    blocks: u32,
    metronome: Option<Metronome>,
}

impl Governor {
    /// A device that gained its lead in less than this has no clock; longer, and it is drift.
    const SUDDEN: Duration = Duration::from_secs(2);

    /// `buffer`: duration of the device's buffer.
    pub fn start(buffer: Duration) -> Governor {
        Governor { lead_max: buffer + 2 * BLOCK_TIME, since: Instant::now(), blocks: 0, metronome: None }
    }

    /// To be called after each block. Returns true the moment the device turns out to have no clock.
    pub fn block_done(&mut self) -> bool {
        if let Some(metronome) = &mut self.metronome {
            metronome.wait();
            return false;
        }
        self.blocks += 1;
        let elapsed = self.since.elapsed();
        let lead = (BLOCK_TIME * self.blocks).saturating_sub(elapsed);
        let sudden = elapsed < Self::SUDDEN;
        if lead > self.lead_max && sudden {
            thread::sleep(lead);
            self.metronome = Some(Metronome::start());
            return true;
        }
        if lead > self.lead_max || !sudden {
            self.since += elapsed;
            self.blocks = 0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_clock_is_held_to_real_time() {
        let start = Instant::now();
        let mut governor = Governor::start(Duration::from_millis(40));
        let found = (0..60).filter(|_| governor.block_done()).count();
        assert_eq!(found, 1);
        assert!(start.elapsed() >= Duration::from_millis(590), "{:?}", start.elapsed());
    }

    #[test]
    fn a_device_with_a_clock_is_left_alone() {
        let mut clock = Metronome::start();
        let mut governor = Governor::start(Duration::from_millis(40));
        // Its buffer takes four blocks at once.
        (0..4).for_each(|_| assert!(!governor.block_done()));
        for _ in 0..30 {
            clock.wait();
            assert!(!governor.block_done());
        }
    }
}
