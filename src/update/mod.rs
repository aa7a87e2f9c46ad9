//! Updates of the program on an image whose root cannot be written: two slots on the state partition beside the factory's
//! program, a signed package into the one that is not in use, and a trial that must become healthy before it counts.
//!
//! A power cut at any moment leaves the old program or the new one: a slot is filled under another name and renamed when
//! it is on the disk, and nothing refers to it before the state file does, which is replaced as a whole.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod begin;
mod error;
mod install;
mod package;
mod settle;
mod signature;
mod slot;
mod state;
mod system;
#[cfg(test)]
mod tests;

pub use error::UpdateError;
pub use settle::Settled;
pub use slot::Slot;
pub use state::{State, Trial};
pub use system::{Debian, FileId, Running, System};

/// How often a program on trial is started before it is given up.
pub const STARTS: u32 = 3;
/// How long a program on trial has to become healthy.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How long it has to stay healthy.
pub const STEADY: Duration = Duration::from_secs(5);

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The slots and the state file; on the state partition.
    pub state: PathBuf,
    /// Has the link to the chosen program; gone with a reboot.
    pub run: PathBuf,
    /// The factory's programs.
    pub factory: PathBuf,
    /// Directories with the public keys, `*.pub`, that packages may be signed with.
    pub keys: Vec<PathBuf>,
    /// The drop-in that makes the service run the chosen program, in any of these places.
    pub drop_ins: Vec<PathBuf>,
}

impl Default for Paths {
    fn default() -> Paths {
        let drop_in = |dir: &str| Path::new(dir).join("systemd/system/callbox.service.d/slots.conf");
        Paths {
            state: "/var/lib/callbox-update".into(),
            run: "/run/callbox-update".into(),
            factory: "/usr/bin".into(),
            // The last is on the FAT partition: whoever has the card in a computer may write all of it anyway.
            keys: ["/etc/callbox/update-keys", "/usr/share/callbox/update-keys", "/boot/firmware/update-keys"]
                .map(PathBuf::from)
                .into(),
            drop_ins: ["/etc", "/usr/lib", "/lib"].map(drop_in).into(),
        }
    }
}

/// One device's updates. Every method may be called by several processes at once.
pub struct Updater<S> {
    paths: Paths,
    system: S,
}

impl<S: System> Updater<S> {
    pub fn new(paths: Paths, system: S) -> Updater<S> {
        Updater { paths, system }
    }

    /// What runs, what is on trial, and how the last update went.
    pub fn status(&self) -> Result<Status, UpdateError> {
        self.must_have_slots()?;
        let state = state::read(&self.paths.state)?;
        Ok(Status {
            good: (state.good, self.version(state.good)),
            previous: (state.previous, self.version(state.previous)),
            trial: state.trial.map(|trial| (trial, self.version(trial.slot))),
            last: state.last,
        })
    }

    /// Gives up a trial; without one, goes back to the program before this one. Returns what runs now.
    pub fn rollback(&self) -> Result<(Slot, String), UpdateError> {
        self.must_have_slots()?;
        let _alone = self.lock()?.ok_or(UpdateError::Busy)?;
        let to = self.change(|state| {
            if state.trial.take().is_none() {
                if state.good == Slot::Factory {
                    return Err(UpdateError::NothingBefore);
                }
                let before = std::mem::take(&mut state.previous);
                state.good = if self.whole(before) { before } else { Slot::Factory };
            }
            state.last = Some(format!("went back to {} by hand", self.version(state.good)));
            Ok(state.good)
        })?;
        self.system.reached("went back");
        self.system.restart()?;
        Ok((to, self.version(to)))
    }

    /// Plain Debian systems update with apt, and nothing would ever start what is put into a slot there.
    fn must_have_slots(&self) -> Result<(), UpdateError> {
        match self.paths.drop_ins.iter().any(|file| file.exists()) {
            true => Ok(()),
            false => Err(UpdateError::NoSlots),
        }
    }

    /// The version of the package that a slot holds, for people.
    fn version(&self, slot: Slot) -> String {
        let known = match slot {
            Slot::Factory => self.system.factory_version().ok(),
            Slot::A | Slot::B => slot::version(&self.slot_dir(slot)),
        };
        known.unwrap_or_else(|| "unknown".to_owned())
    }

    fn whole(&self, slot: Slot) -> bool {
        match slot {
            Slot::Factory => true,
            Slot::A | Slot::B => slot::check(&self.slot_dir(slot))
                .inspect_err(|error| log::warn!("slot {slot} cannot be used: {error}"))
                .is_ok(),
        }
    }

    fn slots_dir(&self) -> PathBuf {
        self.paths.state.join("slots")
    }

    fn slot_dir(&self, slot: Slot) -> PathBuf {
        self.slots_dir().join(slot.to_string())
    }

    /// Where a slot's programs are.
    fn programs(&self, slot: Slot) -> PathBuf {
        match slot {
            Slot::Factory => self.paths.factory.clone(),
            Slot::A | Slot::B => self.slot_dir(slot).join(slot::PROGRAMS),
        }
    }

    /// Held by whoever installs, settles or goes back; `None` while somebody else does.
    fn lock(&self) -> Result<Option<Lock>, UpdateError> {
        let file = self.lock_file("update.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.io("lock", "update.lock")(error)),
        }
    }

    /// Reads the state, has it changed, and writes it, with nobody else doing so in between. The lock is another one than
    /// [`lock`](Self::lock)'s: the service starts while somebody waits for it to become healthy.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, UpdateError>) -> Result<T, UpdateError> {
        let file = self.lock_file("state.lock")?;
        file.lock().map_err(self.io("lock", "state.lock"))?;
        let _held = Lock(file);
        let old = state::read(&self.paths.state)?;
        let mut state = old.clone();
        let value = change(&mut state)?;
        if state != old {
            state::write(&self.paths.state, &state)?;
        }
        Ok(value)
    }

    fn lock_file(&self, name: &str) -> Result<File, UpdateError> {
        make_dir(&self.paths.state).map_err(UpdateError::file("make", &self.paths.state))?;
        let path = self.paths.state.join(name);
        OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(self.io("open", name))
    }

    /// Names a file of the state directory in an error.
    fn io(&self, what: &'static str, name: &str) -> impl FnOnce(io::Error) -> UpdateError + use<S> {
        UpdateError::file(what, &self.paths.state.join(name))
    }
}

/// A locked file. Closing it alone would leave the lock to a child process that is just being started.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            log::warn!("a lock is not released: {error}");
        }
    }
}

/// What `callbox-update status` prints. Each slot comes with its version.
#[derive(Debug)]
pub struct Status {
    pub good: (Slot, String),
    pub previous: (Slot, String),
    pub trial: Option<(Trial, String)>,
    pub last: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "in use    {} ({})", self.good.1, self.good.0)?;
        if self.good.0 != Slot::Factory {
            writeln!(f, "before    {} ({})", self.previous.1, self.previous.0)?;
        }
        if let Some((trial, version)) = &self.trial {
            writeln!(f, "on trial  {version} ({}), starts left: {}", trial.slot, trial.starts_left)?;
        }
        if let Some(last) = &self.last {
            writeln!(f, "last      {last}")?;
        }
        Ok(())
    }
}

/// The daemon is another user and has to reach its program, whatever the umask of the unit or the person is.
fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Removes a directory with what it holds. A missing one is no error.
fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
