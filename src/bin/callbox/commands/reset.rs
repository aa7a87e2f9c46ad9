//! `callbox reset`: as if it had never run. On a board from the image the start does it, before anything else is there; on
//! other machines it is done here, while no daemon runs.

use std::fs;
use std::io::{BufRead, ErrorKind, IsTerminal, Write, stdin};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use callbox::base::erase::{self, Swept};
use callbox::config::{Config, household_in_use, is_ours};

use super::system;
use crate::cli::Reset;
use crate::outcome::{Failure, print};

pub fn reset(wanted: Reset) -> Result<(), Failure> {
    #[cfg(feature = "board")]
    if let Some(places) = board(&wanted.root) {
        return at_the_next_start(&wanted, &places);
    }
    let loaded = Config::look(wanted.config.file())?;
    let dir = system::state_dir(&loaded);
    if household_in_use(dir) || UnixStream::connect(system::socket(&loaded)).is_ok() {
        let stop = "systemctl stop callbox callbox-server";
        return Err(anyhow!("Callbox is running: stop it ({stop}), and try again. Nothing was erased").into());
    }
    let what = format!("all that Callbox keeps in {}: people, keys, certificates", dir.display());
    confirm(wanted.yes, &what)?;
    let others = erase_ours(dir).map_err(|error| refused(error, dir))?;
    let limit = wanted.free_space.saturating_mul(1 << 20);
    let swept = erase::free_space(dir, limit).with_context(|| {
        format!("what Callbox kept is erased, but the free space around {} could not be overwritten", dir.display())
    })?;
    let mut text = format!("Erased: {what}.\n{}", in_words(swept));
    if !others.is_empty() {
        text.push_str(&format!("Not Callbox's, and still there: {}\n", others.join(", ")));
    }
    text.push_str(
        "The next start is a first start. Your configuration is as it was. The system's journal still has what Callbox said;\n\
         journalctl --rotate --vacuum-time=1s empties it, for all services.\n",
    );
    print(text.as_bytes())
}

#[cfg(feature = "board")]
fn board(root: &Path) -> Option<callbox::board::Places> {
    let places = callbox::board::Places::below(root);
    (places.state.is_dir() && places.boot.is_dir()).then_some(places)
}

#[cfg(feature = "board")]
fn at_the_next_start(wanted: &Reset, places: &callbox::board::Places) -> Result<(), Failure> {
    let what = "people, keys, networks, settings on the card, and the journal of this board";
    confirm(wanted.yes, what)?;
    callbox::board::ask_for_reset(places).map_err(|error| refused(error, &places.state))?;
    print(b"It will forget all of that at its next start: reboot\n")
}

fn confirm(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        bail!("this erases {what}; there is no terminal to ask on: add --yes. Nothing was erased");
    }
    eprint!("This erases {what}. Nothing brings it back.\nType \"reset\" to go on: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    match line.trim() {
        "reset" => Ok(()),
        _ => bail!("nothing was erased"),
    }
}

/// Returns what is there and not ours.
fn erase_ours(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut others = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(others),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_name().to_string_lossy() {
            name if is_ours(&name) => erase::all(&entry.path())?,
            name => others.push(name.into_owned()),
        }
    }
    others.sort();
    Ok(others)
}

fn refused(error: std::io::Error, path: &Path) -> Failure {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let error = anyhow!(error).context(format!("{} cannot be erased", path.display()));
    match denied {
        true => error.context("be root, or the user that Callbox runs as").into(),
        false => error.into(),
    }
}

fn in_words(swept: Swept) -> String {
    let Swept { bytes, whole, discarded } = swept;
    let size = bytes >> 20;
    match (whole, discarded) {
        (true, _) => format!("The free space beside it was overwritten: {size} MiB, which is all.\n"),
        (false, true) => format!("{size} MiB of free space were overwritten; the disk may forget the rest.\n"),
        (false, false) => format!("{size} MiB of free space were overwritten, and not the rest: --free-space.\n"),
    }
}
