//! `state.toml`: which slot is in use, which is on trial. Its replacement is the moment at which anything changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Slot, UpdateError};
use crate::base::durable::{self, Access};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Has been healthy. Runs when nothing is on trial.
    pub good: Slot,
    /// What ran before `good`, for going back by hand.
    #[serde(default)]
    pub previous: Slot,
    /// How the last update went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub slot: Slot,
    pub starts_left: u32,
}

/// The state of a device; one that was never updated has no file.
pub fn read(dir: &Path) -> Result<State, UpdateError> {
    let path = file(dir);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        other => other.map_err(UpdateError::file("read", &path))?,
    };
    let parsed = str::from_utf8(&bytes).map_err(|error| error.to_string());
    parsed
        .and_then(|text| toml::from_str(text).map_err(|error| error.message().to_owned()))
        .map_err(|why| UpdateError::State { path, why })
}

pub fn write(dir: &Path, state: &State) -> Result<(), UpdateError> {
    let path = file(dir);
    let text =
        toml::to_string(state).map_err(|error| UpdateError::State { path: path.clone(), why: error.to_string() })?;
    durable::replace(&path, text.as_bytes(), Access::PUBLIC).map_err(UpdateError::file("write", &path))
}

/// Keeps a file that makes no sense for a person to look at.
pub fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let kept = dir.join("state.toml.broken");
    fs::rename(file(dir), &kept)?;
    durable::sync_directory(&kept)?;
    Ok(kept)
}

fn file(dir: &Path) -> PathBuf {
    dir.join("state.toml")
}
