//! Whole copies of the file: one made while others write, one put in its place.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::migrate;
use super::open::{State, StoreError, at, database, look};
use super::place::{Lock, Place, with};
use crate::base::durable::{self, Access};
use crate::store::MemoryError;

pub fn backup(from: &Connection, path: &Path) -> Result<(), MemoryError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => MemoryError::BackupExists { path: path.to_owned() },
        _ => MemoryError::BackupFile { path: path.to_owned(), error },
    };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let copied = copy(from, path).map_err(io::Error::other).and_then(|()| durable::sync_directory(path));
    copied.map_err(|error| {
        // Half a backup looks like one.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

pub fn restore(dir: &Path, from: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let place = Place::at(dir).map_err(at(dir))?;
    let (path, unfinished) = (place.file(), place.unfinished());
    let Some(_lock) = Lock::alone(&place).map_err(at(dir))? else {
        return Err(StoreError::InUse { path, what: "is to be replaced" });
    };
    let unusable = |why: String| StoreError::Backup { path: from.to_owned(), why };
    if fs::metadata(with(from, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(unusable("it is a household's file in use, and its newest changes are in another one".to_owned()));
    }
    place.clear_unfinished().map_err(at(&unfinished))?;
    let contents = fs::read(from).map_err(at(from))?;
    durable::replace(&unfinished, &contents, Access::PRIVATE).map_err(at(&unfinished))?;
    let checked = match look(&unfinished, migrations) {
        Ok(State::Whole(connection) | State::Older(connection)) => settle(connection, migrations),
        Ok(State::Damaged(why)) => Err(why.into()),
        Ok(State::Missing) => Err("it was gone before it was read".into()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = checked {
        let _ = place.clear_unfinished();
        return Err(match error.downcast::<StoreError>().map(|error| *error) {
            // The file that it speaks of was a copy.
            Ok(StoreError::Newer { found, known, .. }) => StoreError::Newer { path: from.to_owned(), found, known },
            Ok(error) => error,
            Err(why) => unusable(why.to_string()),
        });
    }
    retire(&place, migrations)?;
    place.finish().map_err(at(&path))
}

type Failure = Box<dyn Error + Send + Sync>;

fn copy(from: &Connection, path: &Path) -> Result<(), Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut to = Connection::open_with_flags(path, flags)?;
    // All pages in one step, as they are at one moment.
    let step = Backup::new(from, &mut to)?.step(-1)?;
    if step != StepResult::Done {
        return Err("the household's file is busy; try again".into());
    }
    Ok(alone(&to)?)
}

/// The last word on a backup, and everything it has to say in one file.
fn settle(mut connection: Connection, migrations: &[&str]) -> Result<(), Failure> {
    migrate::migrate(&mut connection, migrations)?;
    let check: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(check.into());
    }
    if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err("it has rows that belong to nobody".into());
    }
    Ok(alone(&connection)?)
}

/// No log beside the file.
fn alone(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
}

/// Leaves the present file without a log, since SQLite would take it for that of the next file. A damaged one is set aside.
fn retire(place: &Place, migrations: &[&str]) -> Result<(), StoreError> {
    let path = place.file();
    match look(&path, migrations) {
        Ok(State::Whole(connection) | State::Older(connection)) => {
            alone(&connection).map_err(|error| database(&path, error))?;
        }
        Ok(State::Damaged(_)) | Err(StoreError::Newer { .. }) => {
            place.set_aside().map_err(at(&path))?;
        }
        Ok(State::Missing) => {}
        Err(error) => return Err(error),
    }
    place.clear_beside().map_err(at(&path))
}
