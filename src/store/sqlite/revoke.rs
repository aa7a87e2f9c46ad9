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

/// Writes the file anew and empties its log, so that nothing is left of what was deleted. False where others keep it from
/// being done; then it is done when the file is opened the next time.
pub fn clean(connection: &Connection) -> rusqlite::Result<bool> {
    // Deleted rows are overwritten anyway, but when rows move from page to page copies of them may stay in the gaps.
    let done = connection.execute_batch("VACUUM").and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0).map(|busy| !busy))
    });
    match done {
        Ok(true) => Fact::Traces.clear(connection).map(|()| true),
        Ok(false) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error),
    }
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
