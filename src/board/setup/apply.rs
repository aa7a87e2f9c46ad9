//! Root's part of setting up by a code: takes the text that the scan has left, reads it again, and writes what it says where
//! the next import finds it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::code::{Code, CodeError, Setup, SignalingServer};
use crate::base::durable::{self, Access};
use crate::base::text::{self, TextError};
use crate::board::card::import::{asks_for_code, daemon_may_read, said};
use crate::board::card::{settings, storage};
use crate::board::wifi::network::Network;
use crate::board::{Places, SETTINGS, TOKEN, WIFI, wifi};
use crate::config::FIRST_OWNER;

/// Longest file with a code in bytes; a code is shorter.
const MAX_BYTES: u64 = 4096;

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the code cannot be read: {0}")]
    Unreadable(#[from] TextError),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("{file} cannot be written to the {place}: {reason}")]
    Store { file: &'static str, place: &'static str, reason: String },
    #[error("the network's name cannot be written into {WIFI}: it is not text")]
    Name,
}

/// Writes what the code in the file `found` says. Returns what it was for. Whoever wrote the file is not trusted: it is no
/// link, no device, and short.
pub fn apply(found: &Path, places: &Places) -> Result<Code, ApplyError> {
    let code = Code::parse(&read(found)?)?;
    put_down(&code, places)?;
    // Asked for once. One that cannot be removed is in the report.
    for (_, path) in asks_for_code(&places.boot) {
        let _ = durable::remove(&path);
    }
    Ok(code)
}

fn read(found: &Path) -> Result<String, TextError> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(found)?;
    if !file.metadata()?.is_file() {
        return Err(TextError::Io(io::Error::other("it is not a file")));
    }
    text::read_from(file, MAX_BYTES)
}

fn put_down(code: &Code, places: &Places) -> Result<(), ApplyError> {
    match code {
        Code::Wifi(network) => join(network, None, places),
        Code::Setup(setup) => {
            let token_file = places.state.join(TOKEN);
            if let Some(SignalingServer { token: Some(token), .. }) = &setup.server {
                let access = daemon_may_read(&places.root);
                storage::directory(&places.state, access)
                    .and_then(|()| durable::replace_if_different(&token_file, token.as_bytes(), access).map(|_| ()))
                    .map_err(|error| store(TOKEN, "board's storage", &error))?;
            }
            if let Some(hash) = &setup.owner {
                first_owner(hash, places).map_err(|error| store(FIRST_OWNER, "board's storage", &error))?;
            }
            if let Some(network) = &setup.network {
                join(network, setup.country, places)?;
            }
            // Last, so that a cut before it leaves a board that asks for its code again.
            configure(setup, &token_file, places)
        }
    }
}

/// For the daemon's next start, which finds out whether there is an owner already.
fn first_owner(hash: &[u8; 32], places: &Places) -> io::Result<()> {
    fs::create_dir_all(&places.daemon)?;
    // Whoever has the directory is the daemon, and no link of its making is followed.
    let dir = fs::metadata(&places.daemon)?;
    let access = Access { owner: Some((dir.uid(), dir.gid())), ..Access::PRIVATE };
    let digits = data_encoding::HEXLOWER.encode(hash);
    durable::replace(&places.daemon.join(FIRST_OWNER), digits.as_bytes(), access)
}

fn join(network: &Network, country: Option<[u8; 2]>, places: &Places) -> Result<(), ApplyError> {
    let text = wifi::write(network, country).ok_or(ApplyError::Name)?;
    put(places, WIFI, &format!("# Written from a code that was shown to the camera.\n{text}"))
}

fn configure(setup: &Setup, token_file: &Path, places: &Places) -> Result<(), ApplyError> {
    let present = text::read(&places.boot.join(SETTINGS), text::MAX_BYTES).unwrap_or_default();
    if !present.is_empty() && settings::edited(&present) {
        put(places, "callbox-before-scan.toml", &present)?;
    }
    put(places, SETTINGS, &setup.settings(&token_file.to_string_lossy()))
}

/// Onto the card, with line ends for any editor.
fn put(places: &Places, name: &'static str, contents: &str) -> Result<(), ApplyError> {
    let contents = text::with_crlf(contents);
    durable::replace_if_different(&places.boot.join(name), contents.as_bytes(), Access::PRIVATE)
        .map(|_| ())
        .map_err(|error| store(name, "card", &error))
}

fn store(file: &'static str, place: &'static str, error: &std::io::Error) -> ApplyError {
    ApplyError::Store { file, place, reason: said(error) }
}
