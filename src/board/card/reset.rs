//! Back to the state in which the card was written: people, keys, networks, and what the journal said, for whoever gives the
//! board away or has lost it to somebody. Asked for by a file on the card, or by `callbox reset`; done at the next start,
//! before anything else of ours runs.
//!
//! The request goes last. A cut of the power in between leaves a board that begins anew with it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::import::{files, said};
use super::report::Report;
use super::settings::{self, TEMPLATE, WIFI_TEMPLATE};
use crate::base::durable::{self, Access};
use crate::base::erase::{self, Swept};
use crate::base::text::{self, with_crlf};
use crate::board::{CODE_REQUEST, Places, REPORT, RESET_DONE, RESET_REQUEST, SETTINGS, WIFI};
use crate::config::household_in_use;

/// On the card beside what this program reads: what lets somebody in, and what a code has put aside.
const OTHERS_ON_CARD: [&str; 4] = ["ssh_authorized_keys", "callbox-before-scan.toml", CODE_REQUEST, REPORT];
const CARD: &str = "the boot partition of the card";
const STORAGE: &str = "the board's own storage";

/// Asks for it at the next start. The request is in root's own directory.
pub fn ask(places: &Places) -> io::Result<()> {
    durable::replace(&places.state.join(RESET_REQUEST), b"", Access::PRIVATE)
}

/// Whether something asks for it.
pub fn is_asked(places: &Places) -> bool {
    !requests(places).is_empty()
}

/// Does what was asked for, and reports it until the next start. What cannot be done is a problem in the report, and is tried
/// again at the next start, where the request is still there.
pub fn reset(places: &Places, report: &mut Report) {
    let requests = requests(places);
    let done = places.run.join(RESET_DONE);
    if requests.is_empty() {
        if let Ok(text) = fs::read_to_string(done) {
            report.fact("Reset", text.trim_end());
        }
        return;
    }
    if is_running(places) {
        return report.kept("The board is asked to forget everything, and does so at its next start.");
    }
    // Else it would forget everything at every start.
    let removable = |request: &PathBuf| OpenOptions::new().append(true).open(request).and_then(|file| file.sync_all());
    if let Err(error) = requests.iter().try_for_each(removable) {
        let what = format!("the board is asked to forget everything, and could not note that it has: {}", said(&error));
        return report.problem(CARD, what, "remove the file callbox-reset, or write the card anew");
    }
    let erased = erase_all(places, report).and_then(|words| {
        requests.iter().try_for_each(|request| durable::remove(request)).map_err(|error| (CARD, error))?;
        Ok(words)
    });
    match erased {
        Ok(words) => {
            log::warn!("this board has forgotten its people, keys and networks, as it was asked to");
            if let Err(error) = durable::replace(&done, words.as_bytes(), Access::PUBLIC) {
                log::debug!(error:%; "only this report tells of the reset");
            }
            report.fact("Reset", words);
        }
        Err((place, error)) => {
            let what = format!("the board was to forget everything, and did not get to the end: {}", said(&error));
            report.problem(place, what, "start the board again; if this stays, write the card anew");
        }
    }
}

fn requests(places: &Places) -> Vec<PathBuf> {
    let on_card = files(&places.boot).unwrap_or_default().into_iter();
    let asks = |name: &str| name.strip_suffix(".txt").unwrap_or(name) == RESET_REQUEST;
    let by_command = places.state.join(RESET_REQUEST);
    on_card
        .filter(|(name, path)| asks(name) && path.is_file())
        .map(|(_, path)| path)
        .chain(fs::symlink_metadata(&by_command).is_ok_and(|found| found.is_file()).then_some(by_command))
        .collect()
}

/// Imports happen beside a running daemon, too.
fn is_running(places: &Places) -> bool {
    household_in_use(&places.daemon) || UnixStream::connect(places.root.join("run/callbox/callbox.sock")).is_ok()
}

fn erase_all(places: &Places, report: &mut Report) -> Result<String, (&'static str, io::Error)> {
    let storage = |error: io::Error| (STORAGE, error);
    let card = |error: io::Error| (CARD, error);
    let below = |path: &str| places.root.join(path);
    for dir in [places.daemon.clone(), places.run.clone(), below("var/log/journal"), below("var/lib/callbox-state/ssh")]
    {
        erase::contents(&dir).map_err(storage)?;
    }
    // Made anew: by this import, and at the next start.
    for file in ["etc/hostname", "var/lib/callbox-state/machine-id"] {
        erase::file(&below(file)).map_err(storage)?;
    }
    for entry in fs::read_dir(&places.state).map_err(storage)? {
        let entry = entry.map_err(storage)?;
        if entry.file_name() != RESET_REQUEST {
            erase::all(&entry.path()).map_err(storage)?;
        }
    }
    on_card(&places.boot).map_err(card)?;
    let mut swept = Vec::new();
    for (what, dir) in [("storage", &places.state), ("card", &places.boot)] {
        match erase::free_space(dir, places.free_space) {
            Ok(done) => swept.push(format!("{what}: {}", in_words(done))),
            Err(error) => report.note(what, &format!("its free space could not be overwritten: {}", said(&error))),
        }
    }
    Ok(format!("done as asked; this board knows nobody and no network. Free space overwritten, {}", swept.join("; ")))
}

/// What people wrote there is overwritten, and the card holds what it was written with.
fn on_card(boot: &Path) -> io::Result<()> {
    let mut named = Vec::new();
    for (name, path) in files(boot)? {
        let bare = name.strip_suffix(".txt").unwrap_or(&name);
        if bare == SETTINGS {
            // Secrets beside it.
            let text = text::read(&path, text::MAX_BYTES).unwrap_or_default();
            named.extend(settings::files_beside(&text).into_iter().map(|name| boot.join(name)));
        }
        let ours = [SETTINGS, WIFI].contains(&bare) || [SETTINGS, WIFI].contains(&name.as_str());
        let other = OTHERS_ON_CARD.iter().any(|other| [bare, name.as_str()].contains(other));
        if ours || other || name.ends_with(".nmconnection") {
            named.push(path);
        }
    }
    named.iter().try_for_each(|path| erase::file(path))?;
    for (name, template) in [(SETTINGS, TEMPLATE), (WIFI, WIFI_TEMPLATE)] {
        durable::replace(&boot.join(name), with_crlf(template).as_bytes(), Access::PUBLIC)?;
    }
    Ok(())
}

fn in_words(swept: Swept) -> String {
    let size = swept.bytes >> 20;
    match swept {
        Swept { whole: true, .. } => format!("all {size} MB"),
        Swept { discarded: true, .. } => format!("{size} MB, and the disk was told that it may forget the rest"),
        Swept { .. } => format!("{size} MB of it"),
    }
}
