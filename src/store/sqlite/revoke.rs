//! Taking back: people, sessions and invitations, and the traces that a name leaves in the file.

use rusqlite::{Connection, ErrorCode};

use super::{Fact, people};
use crate::store::memory::{PersonRecord, Revoked};
use crate::store::{MemoryError, name};

/// A name goes before an ID of the same letters.
pub fn revoke(connection: &Connection, which: &str, force: bool) -> Result<Revoked, MemoryError> {
    if let Some(person) = people::by_name(connection, which)? {
        return remove(connection, person, force).map(Revoked::Person);
    }
    let id = name::folded(which);
    if let Some(session) = people::sessions_where(connection, "id = ?1", [&id])?.pop() {
        let person = people::by_id(connection, session.person)?.ok_or_else(orphan)?;
        if person.program {
            let program = people::by_name(connection, &person.name)?.ok_or_else(orphan)?;
            return remove(connection, program, force).map(Revoked::Person);
        }
        connection.execute("DELETE FROM sessions WHERE id = ?1", [&id])?;
        return Ok(Revoked::Session { person: person.name, session });
    }
    if let Some(invitation) = people::invitations_where(connection, "id = ?1", [&id])?.pop() {
        let person = people::by_id(connection, invitation.person)?.ok_or_else(orphan)?;
        connection.execute("DELETE FROM invitations WHERE id = ?1", [&id])?;
        return Ok(Revoked::Invitation { person: person.name, invitation });
    }
    let known = people::texts(
        connection,
        "SELECT name FROM people UNION ALL SELECT id FROM sessions UNION ALL SELECT id FROM invitations",
    )?;
    let close = name::nearest(which, known.iter().map(String::as_str)).map(str::to_owned);
    Err(MemoryError::NothingCalled { which: which.to_owned(), close })
}

/// Removes a person; [`clean`] has to follow.
pub fn erase(connection: &Connection, name: &str, force: bool) -> Result<PersonRecord, MemoryError> {
    let Some(person) = people::by_name(connection, name)? else {
        return Err(people::nobody_called(connection, name)?);
    };
    let erased = remove(connection, person, force)?;
    Fact::Traces.note(connection)?;
    Ok(erased)
}

/// Writes the file anew, so that nothing is left of what was deleted: neither in it nor in its log, and neither in what
/// the file system takes back of the two, where the bare disk would still show it. False where others keep it from being
/// done; then it is done when the file is opened the next time.
pub fn clean(connection: &Connection) -> rusqlite::Result<bool> {
    match overwrite(connection) {
        Ok(true) => Fact::Traces.clear(connection).map(|()| true),
        Ok(false) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deleted rows are overwritten anyway, but when rows move from page to page copies of them may stay in the gaps.
fn overwrite(connection: &Connection) -> rusqlite::Result<bool> {
    connection.execute_batch("DROP TABLE IF EXISTS filler")?;
    let former = number(connection, "page_count")?;
    if !checkpoint(connection, "RESTART")? {
        return Ok(false);
    }
    connection.execute_batch("VACUUM; CREATE TABLE filler (zeroes BLOB); INSERT INTO filler VALUES (x'')")?;
    // Reaches over what the file held behind its new end.
    let (page, pages) = (number(connection, "page_size")?, number(connection, "page_count")?);
    fill(connection, page * (former - pages).max(0))?;
    if !checkpoint(connection, "RESTART")? {
        return Ok(false);
    }
    // The log begins anew, and this over all that it has held.
    fill(connection, log_length(connection)?)?;
    if !checkpoint(connection, "TRUNCATE")? {
        return Ok(false);
    }
    connection.execute_batch("DROP TABLE filler; VACUUM")?;
    checkpoint(connection, "RESTART")
}

fn fill(connection: &Connection, bytes: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE filler SET zeroes = zeroblob(?1)", [bytes]).map(drop)
}

/// False where a reader keeps it from being done.
fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, bool>(0).map(|busy| !busy))
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// In bytes.
fn log_length(connection: &Connection) -> rusqlite::Result<i64> {
    let log = connection.path().map(|path| format!("{path}-wal"));
    let length = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |found| found.len());
    i64::try_from(length).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))
}

fn remove(connection: &Connection, person: PersonRecord, force: bool) -> Result<PersonRecord, MemoryError> {
    if !force {
        people::keep_an_owner(connection, &person)?;
    }
    // Sessions and invitations go with it.
    connection.execute("DELETE FROM people WHERE id = ?1", [person.id.0])?;
    Ok(person)
}

/// The file keeps that from happening.
fn orphan() -> MemoryError {
    MemoryError::Failed("a row belongs to nobody".into())
}
