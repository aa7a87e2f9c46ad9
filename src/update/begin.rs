//! Before each start of the service: which program it is to be.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use super::{Slot, System, UpdateError, Updater, make_dir, state};

impl<S: System> Updater<S> {
    /// Chooses the program and points `current` to it. Whatever is wrong with the slots, there is a program to run: the
    /// factory's cannot be written.
    pub fn begin(&self) -> Result<Slot, UpdateError> {
        let chosen = self.choose().unwrap_or_else(|error| {
            log::error!("{error}: starting the program the image came with");
            if let UpdateError::State { .. } = error {
                match state::set_aside(&self.paths.state) {
                    Ok(kept) => log::error!("the state file is kept as {}", kept.display()),
                    Err(error) => log::error!("the state file stays where it is: {error}"),
                }
            }
            Slot::Factory
        });
        self.point_to(chosen)
            .map_err(UpdateError::file("point to the program with", &self.paths.run.join("current")))?;
        Ok(chosen)
    }

    fn choose(&self) -> Result<Slot, UpdateError> {
        let state = state::read(&self.paths.state)?;
        let Some(trial) = state.trial else {
            return Ok(self.first_whole(&[state.good, state.previous]));
        };
        let whole = self.whole(trial.slot);
        let counted = self.change(|state| {
            let Some(trial) = &mut state.trial else { return Ok(None) };
            if whole && trial.starts_left > 0 {
                trial.starts_left -= 1;
                return Ok(Some(trial.slot));
            }
            let why = if whole { "was started often and never healthy" } else { "is damaged" };
            let last = format!("{} {why}, back to {}", self.version(trial.slot), self.version(state.good));
            log::error!("{last}");
            state.last = Some(last);
            state.trial = None;
            Ok(None)
        });
        match counted {
            Ok(Some(slot)) => Ok(slot),
            Ok(None) => Ok(self.first_whole(&[state.good, state.previous])),
            // A start that is not counted could go on for ever.
            Err(error) => {
                log::error!("{error}: not starting what is on trial");
                Ok(self.first_whole(&[state.good, state.previous]))
            }
        }
    }

    fn first_whole(&self, slots: &[Slot]) -> Slot {
        slots.iter().copied().find(|slot| self.whole(*slot)).unwrap_or_default()
    }

    /// A service that starts at this moment finds the old link or the new one.
    fn point_to(&self, slot: Slot) -> io::Result<()> {
        make_dir(&self.paths.run)?;
        let unfinished = self.paths.run.join("current.tmp");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        symlink(self.programs(slot), &unfinished)?;
        fs::rename(&unfinished, self.paths.run.join("current"))
    }
}
