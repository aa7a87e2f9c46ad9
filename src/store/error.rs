//! Why something is not remembered, told to whoever asked for it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::{InvalidName, Timestamp};
use crate::protocol::UserId;

/// Why the memory does not do what it was asked to. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("there is a {what} called {name:?} already; choose another name")]
    NameTaken { name: String, what: &'static str },
    #[error("nobody is called {name:?}{}", meant(.close))]
    NobodyCalled { name: String, close: Option<String> },
    #[error("{which:?} is nobody's name and no ID of a session or an invitation{}", meant(.close))]
    NothingCalled { which: String, close: Option<String> },
    #[error("{name:?} is a program, and programs are not invited; choose another name, or revoke it first")]
    IsProgram { name: String },
    #[error(
        "{name:?} is the last owner: nobody could invite people any more; make somebody else an owner first, or force it"
    )]
    LastOwner { name: String },
    #[error("an invitation that nobody may use is none; allow one use at least")]
    NoUses,
    #[error("a person whose time ends before it begins would never count; choose a later end")]
    EmptyWindow,
    #[error("the ID {device} belongs to somebody's browser; give the device another one")]
    IdTaken { device: UserId },
    #[error(
        "{name:?} is revoked, but traces of it stay in the file while another process reads it; erase it again later"
    )]
    TracesLeft { name: String },
    #[error("{} exists already, and a backup replaces nothing; choose another file", path.display())]
    BackupExists { path: PathBuf },
    #[error("cannot write the backup {}: {error}", path.display())]
    BackupFile { path: PathBuf, error: io::Error },
    /// Such as a full disk.
    #[error("cannot read or write what the server remembers: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Why an invitation lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum Redemption {
    #[error("there is no such invitation: it was revoked, or never made")]
    Unknown,
    #[error("this invitation counts later")]
    NotYet(Timestamp),
    #[error("this invitation has expired; ask for another one")]
    Expired,
    #[error("this invitation was used already; ask for another one")]
    UsedUp,
    #[error(transparent)]
    Failed(#[from] MemoryError),
}

/// Why a pairing secret gives a device nothing. It stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum PairingRefused {
    #[error("there is no such pairing for this device: it was used already, replaced, or never made")]
    Unknown,
    #[error("the time for pairing this device is over; begin again")]
    Expired,
    #[error("this ID belongs to another key; forget the device first")]
    Taken,
    #[error(transparent)]
    Failed(#[from] MemoryError),
}

fn meant(close: &Option<String>) -> String {
    close.as_ref().map(|close| format!("; did you mean {close:?}?")).unwrap_or_default()
}
