//! Why an update was refused or failed, for the person at the terminal.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(
        "this system has no update slots, those are for the Callbox image. Here: apt install ./callbox_VERSION_ARCH.deb"
    )]
    NoSlots,
    #[error("another callbox-update is at work: wait for it, it takes four minutes at most")]
    Busy,
    #[error("{version} is on trial: wait for callbox-update settle, or give it up with callbox-update rollback")]
    OnTrial { version: String },
    #[error("this is the program the image came with, there is none before it")]
    NothingBefore,

    #[error("no public key in {dirs}: put the signer's .pub file there")]
    NoKeys { dirs: String },
    #[error("{package} is not signed: there is no {signature} beside it")]
    Unsigned { package: PathBuf, signature: PathBuf },
    #[error("{signature} is no signature of minisign, or damaged: fetch it again")]
    BadSignature { signature: PathBuf },
    #[error("{package} is signed with a key that this device does not know (known: {known})")]
    WrongKey { package: PathBuf, known: String },
    #[error("{package} is not what was signed, it was cut short, damaged or changed: fetch it and its .minisig again")]
    Changed { package: PathBuf },
    #[error("{package} has more than {most} MB, too much for a package of Callbox")]
    TooLarge { package: PathBuf, most: u64 },

    #[error("{package} is no package of Callbox: {why}")]
    NotOurs { package: PathBuf, why: String },
    #[error("{package} is for {theirs}, this system is {ours}")]
    OtherArchitecture { package: PathBuf, theirs: String, ours: String },
    #[error("{package} has {theirs}, which is not newer than {ours} in use. To go back: callbox-update rollback")]
    NotNewer { package: PathBuf, theirs: String, ours: String },
    #[error("the state partition is full, nothing was changed: remove files below {dir} or /var/lib/callbox")]
    Full { dir: PathBuf },

    #[error("{version} was not healthy in time and is not used: {outcome}. journalctl -u callbox tells what it said")]
    NotHealthy { version: String, outcome: String },
    #[error("cannot {what} {path}: {error}")]
    File { what: &'static str, path: PathBuf, error: io::Error },
    #[error("the state file {path} makes no sense: {why}")]
    State { path: PathBuf, why: String },
    #[error("{command} failed: {why}")]
    Command { command: String, why: String },
}

impl UpdateError {
    /// For `map_err`: what was done to which file. A full disk is said in its own words.
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UpdateError + use<> {
        let path = path.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UpdateError::Full { dir: path },
            _ => UpdateError::File { what, path, error },
        }
    }
}
