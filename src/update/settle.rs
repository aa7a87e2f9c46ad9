//! A trial's end: the program has become healthy and is kept, or the one from before comes back.

use std::time::Duration;

use super::{FileId, PATIENCE, STEADY, Slot, System, UpdateError, Updater, state};

/// How often the daemon is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// How it ended, with the version.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is on trial.
    Nothing,
    /// Somebody else waits for it already.
    Elsewhere,
    /// It was healthy and is in use now.
    Kept(String),
    /// It was not, and what is in use is the one from before.
    GivenUp(String),
}

impl<S: System> Updater<S> {
    /// Waits for the program on trial to become healthy: it runs from its slot, is registered, and stays so.
    pub fn settle(&self) -> Result<Settled, UpdateError> {
        self.must_have_slots()?;
        let Some(_alone) = self.lock()? else { return Ok(Settled::Elsewhere) };
        let state = state::read(&self.paths.state)?;
        let Some(trial) = state.trial else {
            self.sweep()?;
            return Ok(Settled::Nothing);
        };
        let version = self.version(trial.slot);
        log::info!("{version} is on trial in slot {}", trial.slot);
        let start = self.system.now();
        let mut healthy_since = None;
        loop {
            if state::read(&self.paths.state)?.trial.is_none_or(|now| now.slot != trial.slot) {
                // The service has used up its starts.
                return Ok(Settled::GivenUp(version));
            }
            let now = self.system.now();
            healthy_since = self.healthy(trial.slot).then(|| healthy_since.unwrap_or(now));
            if healthy_since.is_some_and(|since| now - since >= STEADY) {
                self.keep(trial.slot, &version)?;
                return Ok(Settled::Kept(version));
            }
            if now - start >= PATIENCE {
                self.give_up(&version)?;
                return Ok(Settled::GivenUp(version));
            }
            self.system.sleep(PAUSE);
        }
    }

    fn healthy(&self, slot: Slot) -> bool {
        let program = FileId::of(&self.programs(slot).join("callbox"));
        self.system.running().is_some_and(|running| running.registered && Some(running.program) == program)
    }

    fn keep(&self, slot: Slot, version: &str) -> Result<(), UpdateError> {
        self.change(|state| {
            state.previous = std::mem::replace(&mut state.good, slot);
            state.trial = None;
            state.last = Some(format!("{version} was healthy and is in use"));
            Ok(())
        })?;
        self.system.reached("kept");
        log::info!("{version} is healthy and in use");
        Ok(())
    }

    fn give_up(&self, version: &str) -> Result<(), UpdateError> {
        self.change(|state| {
            let minutes = PATIENCE.as_secs() / 60;
            let last =
                format!("{version} was not healthy within {minutes} minutes, back to {}", self.version(state.good));
            log::error!("{last}");
            state.last = Some(last);
            state.trial = None;
            Ok(())
        })?;
        self.system.reached("given up");
        self.system.restart()
    }
}
