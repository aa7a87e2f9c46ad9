//! A package into the slot that is not in use, and then on trial.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::syncfs;

use super::{
    STARTS, Slot, State, System, Trial, UpdateError, Updater, clear, make_dir, package, signature, slot, state,
};
use crate::base::durable;

impl<S: System> Updater<S> {
    /// Installs a signed package and waits until it has proved itself. Returns its version; after an error the program is
    /// the one from before.
    pub fn install(&self, deb: &Path) -> Result<String, UpdateError> {
        self.must_have_slots()?;
        let version = self.prepare(deb)?;
        self.system.restart()?;
        self.system.settle()?;
        let state = state::read(&self.paths.state)?;
        match state.trial.is_none() && self.version(state.good) == version {
            true => Ok(version),
            false => Err(UpdateError::NotHealthy {
                version,
                outcome: state.last.unwrap_or_else(|| "callbox-update settle did not come to an end".to_owned()),
            }),
        }
    }

    /// All of [`install`](Self::install) that happens on the disk.
    pub(super) fn prepare(&self, deb: &Path) -> Result<String, UpdateError> {
        let _alone = self.lock()?.ok_or(UpdateError::Busy)?;
        let state = state::read(&self.paths.state)?;
        if let Some(trial) = state.trial {
            return Err(UpdateError::OnTrial { version: self.version(trial.slot) });
        }
        self.sweep()?;
        make_dir(&self.slots_dir()).map_err(UpdateError::file("make", &self.slots_dir()))?;
        let slot = match state.good {
            Slot::Factory | Slot::B => Slot::A,
            Slot::A => Slot::B,
        };
        let staged = self.stage(deb, slot, &state);
        if staged.is_err() {
            // What was written so far helps nobody, and the disk may be full of it.
            self.sweep()?;
        }
        let version = staged?;
        self.put_in_place(slot)?;
        self.change(|state| {
            state.trial = Some(Trial { slot, starts_left: STARTS });
            state.last = None;
            Ok(())
        })?;
        self.system.reached("on trial");
        self.sweep()?;
        Ok(version)
    }

    /// Unpacks what is signed, ours and newer beside `slot`, down to the disk. Returns its version.
    fn stage(&self, deb: &Path, slot: Slot, state: &State) -> Result<String, UpdateError> {
        let keys = signature::keys(&self.paths.keys)?;
        let copy = self.copy();
        let key = signature::copy_signed(deb, &keys, &copy)?;
        self.system.reached("copied");
        // From here on the copy is what a key's owner signed; errors name the file that the person knows.
        let control = package::control(&copy)?;
        if control.name != "callbox" {
            let why = format!("its name is {:?}", control.name);
            return Err(UpdateError::NotOurs { package: deb.into(), why });
        }
        let ours = self.system.architecture()?;
        if control.architecture != ours {
            return Err(UpdateError::OtherArchitecture { package: deb.into(), theirs: control.architecture, ours });
        }
        let ours = self.version(state.good);
        if !package::newer(&control.version, &ours)? {
            return Err(UpdateError::NotNewer { package: deb.into(), theirs: control.version, ours });
        }
        log::info!("{} is signed with {key} and newer than {ours}", control.version);

        let fresh = self.fresh(slot);
        make_dir(&fresh).map_err(UpdateError::file("make", &fresh))?;
        self.system.extract(&copy, &fresh).map_err(|error| match error {
            UpdateError::NotOurs { why, .. } => UpdateError::NotOurs { package: deb.into(), why },
            other => other,
        })?;
        self.system.reached("unpacked");
        slot::describe(&fresh, &control.version).map_err(UpdateError::file("describe", &fresh))?;
        File::open(&fresh)
            .and_then(|dir| syncfs(dir).map_err(io::Error::from))
            .map_err(UpdateError::file("write", &fresh))?;
        self.system.reached("synced");
        Ok(control.version)
    }

    /// Gives the unpacked package its slot's name. Nothing refers to the slot meanwhile.
    fn put_in_place(&self, slot: Slot) -> Result<(), UpdateError> {
        self.change(|state| {
            if state.previous == slot {
                state.previous = Slot::Factory;
            }
            Ok(())
        })?;
        self.system.reached("unreferenced");
        let dir = self.slot_dir(slot);
        clear(&dir).map_err(UpdateError::file("empty", &dir))?;
        self.system.reached("emptied");
        fs::rename(self.fresh(slot), &dir)
            .and_then(|()| durable::sync_directory(&dir))
            .map_err(UpdateError::file("put in place", &dir))?;
        self.system.reached("in place");
        Ok(())
    }

    /// Removes what an install that did not come to its end left behind.
    pub(super) fn sweep(&self) -> Result<(), UpdateError> {
        for slot in [Slot::A, Slot::B] {
            clear(&self.fresh(slot)).map_err(UpdateError::file("remove", &self.fresh(slot)))?;
        }
        durable::remove(&self.copy()).map_err(UpdateError::file("remove", &self.copy()))
    }

    fn copy(&self) -> PathBuf {
        self.paths.state.join("incoming.deb")
    }

    fn fresh(&self, slot: Slot) -> PathBuf {
        self.slots_dir().join(format!("{slot}.new"))
    }
}
