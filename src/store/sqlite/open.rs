//! Opening the file: what is there is looked at before anything relies on it, and mended where it can be.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::place::{Lock, Place, keep_private};
use super::{Fact, Opened, Sqlite, migrate, revoke};

/// How long others may write, or put a file in its place, before this gives up.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Why the household's file cannot be opened, or no backup put in its place.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{} was written by a newer version of Callbox: its format is {found}, and this version knows those up to {known}. \
         Install the newer version again, or restore a backup that an older one made",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("{} {what}, but another process has it open. Stop the server and try again", path.display())]
    InUse { path: PathBuf, what: &'static str },
    #[error("{} is no backup that can be used: {why}. The household's file is as it was", path.display())]
    Backup { path: PathBuf, why: String },
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot read or write {}: {error}", path.display())]
    Database { path: PathBuf, error: rusqlite::Error },
}

/// What there is at a path.
pub enum State {
    Missing,
    /// In no condition to be used, and why.
    Damaged(String),
    /// Written by an older version.
    Older(Connection),
    Whole(Connection),
}

pub fn open(dir: &Path, migrations: &[&str]) -> Result<Opened, StoreError> {
    let place = Place::at(dir).map_err(at(dir))?;
    let path = place.file();
    let deadline = Instant::now() + PATIENCE;
    let mut set_aside = None;
    loop {
        let mut what = "is being replaced";
        if let Some(lock) = Lock::together(&place).map_err(at(dir))? {
            what = match look(&path, migrations)? {
                State::Whole(connection) => {
                    let memory = begin(&path, connection, lock).map_err(|error| database(&path, error))?;
                    return Ok(Opened { memory, set_aside });
                }
                State::Missing => "is gone",
                State::Damaged(_) => "is damaged",
                State::Older(_) => "was written by an older version and has to be converted",
            };
        }
        // Two processes may come here at once; whoever is second looks again and finds it done.
        if let Some(_lock) = Lock::alone(&place).map_err(at(dir))? {
            set_aside = mend(&place, migrations)?.or(set_aside);
        } else if Instant::now() > deadline {
            return Err(StoreError::InUse { path, what });
        } else {
            thread::sleep(PAUSE);
        }
    }
}

/// What is at the path, in a connection that is ready for use where it is whole.
pub fn look(path: &Path, migrations: &[&str]) -> Result<State, StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
        Err(error) => return Err(at(path)(error)),
        // To SQLite that is a new database; but ours get their name when they are whole.
        Ok(metadata) if metadata.len() == 0 => return Ok(State::Damaged("it is empty".to_owned())),
        Ok(_) => {}
    }
    match examine(path, migrations) {
        Ok(Finding::State(state)) => Ok(state),
        Ok(Finding::Newer(found)) => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: migrate::newest(migrations) })
        }
        Err(error) if is_damage(&error) => Ok(State::Damaged(error.to_string())),
        Err(error) => Err(database(path, error)),
    }
}

pub fn database(path: &Path, error: rusqlite::Error) -> StoreError {
    StoreError::Database { path: path.to_owned(), error }
}

pub fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::File { path: path.to_owned(), error }
}

/// Makes a whole file of what is there; where that is damaged, it is set aside.
fn mend(place: &Place, migrations: &[&str]) -> Result<Option<PathBuf>, StoreError> {
    let path = place.file();
    match look(&path, migrations)? {
        State::Whole(_) => Ok(None),
        State::Older(mut connection) => {
            migrate::migrate(&mut connection, migrations).map_err(|error| database(&path, error))?;
            Ok(None)
        }
        State::Missing => make(place, migrations).map(|()| None),
        State::Damaged(why) => {
            let aside = place.set_aside().map_err(at(&path))?;
            log::error!(file:% = path.display(), kept_as:% = aside.display(), why; "the household's file is damaged");
            make(place, migrations)?;
            Ok(Some(aside))
        }
    }
}

/// Begins an empty file.
fn make(place: &Place, migrations: &[&str]) -> Result<(), StoreError> {
    let path = place.unfinished();
    place.clear_unfinished().map_err(at(&path))?;
    let set_aside = place.has_set_aside().map_err(at(&path))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(at(&path))?;
    let made = connect(&path).and_then(|mut connection| {
        migrate::migrate(&mut connection, migrations)?;
        if set_aside { Fact::SetAside.note(&connection) } else { Ok(()) }
    });
    made.map_err(|error| database(&path, error))?;
    // Whoever deleted the file may have left its log.
    place.clear_beside().and_then(|()| place.finish()).map_err(at(&path))
}

enum Finding {
    State(State),
    Newer(u32),
}

fn examine(path: &Path, migrations: &[&str]) -> rusqlite::Result<Finding> {
    let connection = connect(path)?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = migrate::version(&connection)?;
    if id != migrate::APPLICATION_ID || version == 0 {
        return Ok(Finding::State(State::Damaged("it is not a household's file".to_owned())));
    }
    if version > migrate::newest(migrations) {
        return Ok(Finding::Newer(version));
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(Finding::State(match check.as_str() {
        "ok" if version < migrate::newest(migrations) => State::Older(connection),
        "ok" => State::Whole(connection),
        _ => State::Damaged(check),
    }))
}

/// A connection with everything set that a file does not remember by itself.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten, and no copy of it gets into a file elsewhere.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The log stays where it is: what the file system takes back the bare disk still shows, and somebody may be erased later.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn begin(path: &Path, connection: Connection, lock: Lock) -> rusqlite::Result<Sqlite> {
    // Readers and a writer do not wait for each other.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    if let Err(error) = keep_private(path) {
        log::warn!(file:% = path.display(), error:%; "others may read the household's file");
    }
    if Fact::Traces.holds(&connection)? && !revoke::clean(&connection)? {
        log::warn!("traces of somebody who was erased are still in the household's file");
    }
    let mut memory = Sqlite { connection, version: 0, _lock: lock };
    super::Memory::version(&mut memory);
    Ok(memory)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
