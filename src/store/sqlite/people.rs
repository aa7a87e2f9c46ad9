//! The household's people and programs in the file: inviting them, renaming them, telling who there is.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::{Fact, fresh_id, sessions};
use crate::logic::access::{Grants, Role};
use crate::store::memory::{
    INVITATION_KEPT, InvitationRecord, Invite, Invited, PersonId, PersonRecord, Redeemed, SessionRecord,
};
use crate::store::{Hash, MemoryError, Timestamp, name};

pub fn invite(connection: &Connection, invite: &Invite, secret: Hash, now: Timestamp) -> Result<Invited, MemoryError> {
    let name = &name::checked(&invite.name)?;
    if invite.uses == 0 {
        return Err(MemoryError::NoUses);
    }
    let before = one(connection, "folded = ?1", [name::folded(name)])?;
    let after = match &before {
        Some(known) => {
            let role = invite.role.unwrap_or(known.role);
            let had_the_usual = known.grants == Grants::everywhere(known.role.usual_rights());
            let given = if had_the_usual { Grants::everywhere(role.usual_rights()) } else { known.grants.clone() };
            PersonRecord {
                role,
                grants: invite.grants.clone().unwrap_or(given),
                from: invite.from.or(known.from),
                until: invite.until.or(known.until),
                ..known.clone()
            }
        }
        None => {
            let role = invite.role.unwrap_or(Role::Member);
            let grants = invite.grants.clone().unwrap_or_else(|| Grants::everywhere(role.usual_rights()));
            new_person(name, role, grants, now, |person| (person.from, person.until) = (invite.from, invite.until))
        }
    };
    if let Some(known) = before.as_ref().filter(|known| known.program) {
        return Err(MemoryError::IsProgram { name: known.name.clone() });
    }
    if matches!((after.from, after.until), (Some(from), Some(until)) if until <= from) {
        return Err(MemoryError::EmptyWindow);
    }
    let changed = before.as_ref().is_some_and(|before| *before != after);
    let person = match &before {
        None => insert(connection, &after)?,
        Some(before) => {
            if after.role != Role::Owner || after.until.is_some() {
                keep_an_owner(connection, before)?;
            }
            update(connection, &after)?;
            after.id
        }
    };
    Fact::Invited.note(connection)?;
    forget_old(connection, now)?;
    let invitation = fresh_id(connection)?;
    connection.execute(
        "INSERT INTO invitations (id, secret, person, uses_left, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (&invitation, secret.0, person.0, invite.uses, now.0, invite.expires.map(|time| time.0)),
    )?;
    Ok(Invited { person, changed, new: before.is_none(), invitation })
}

/// Drops invitations that nobody asks about any more.
fn forget_old(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "DELETE FROM invitations WHERE created < ?1 AND (uses_left = 0 OR expires < ?1)";
    connection.execute(sql, [now.before(INVITATION_KEPT).0]).map(drop)
}

pub fn add_token(
    connection: &Connection,
    name: &str,
    grants: &Grants,
    until: Option<Timestamp>,
    secret: Hash,
    now: Timestamp,
) -> Result<Redeemed, MemoryError> {
    let name = &name::checked(name)?;
    ensure_free(connection, name)?;
    // A guest, so that it is not there for the household's people as one of them.
    let program = new_person(name, Role::Guest, grants.clone(), now, |program| {
        (program.program, program.until) = (true, until);
    });
    let person = insert(connection, &program)?;
    sessions::add(connection, (person, name), ("", secret, None), now)
}

/// Fails where `person` is the only owner.
pub fn keep_an_owner(connection: &Connection, person: &PersonRecord) -> Result<(), MemoryError> {
    let others: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM people WHERE role = 'owner' AND counts_until IS NULL AND id <> ?1)",
        [person.id.0],
        |row| row.get(0),
    )?;
    match person.role {
        Role::Owner if !others => Err(MemoryError::LastOwner { name: person.name.clone() }),
        Role::Owner | Role::Member | Role::Guest => Ok(()),
    }
}

pub fn rename(connection: &Connection, old: &str, new: &str) -> Result<(), MemoryError> {
    let name = &name::checked(new)?;
    let Some(person) = one(connection, "folded = ?1", [name::folded(old)])? else {
        return Err(nobody_called(connection, old)?);
    };
    // Another case of the same name is free.
    if name::folded(name) != name::folded(&person.name) {
        ensure_free(connection, name)?;
    }
    update(connection, &PersonRecord { name: name.to_owned(), ..person })
}

pub fn nobody_called(connection: &Connection, name: &str) -> rusqlite::Result<MemoryError> {
    let names = texts(connection, "SELECT name FROM people ORDER BY id")?;
    let close = name::nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
    Ok(MemoryError::NobodyCalled { name: name.to_owned(), close })
}

pub fn texts(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

pub fn all(connection: &Connection) -> rusqlite::Result<Vec<PersonRecord>> {
    // All three tables as they were at one moment.
    let transaction = connection.unchecked_transaction()?;
    let mut people = select(&transaction, "TRUE", [])?;
    let place = |people: &[PersonRecord], id| people.binary_search_by_key(&id, |person: &PersonRecord| person.id);
    for session in sessions_where(&transaction, "TRUE", [])? {
        let at = place(&people, session.person).ok();
        if let Some(person) = at.and_then(|at| people.get_mut(at)) {
            person.sessions.push(session);
        }
    }
    for invitation in invitations_where(&transaction, "TRUE", [])? {
        let at = place(&people, invitation.person).ok();
        if let Some(person) = at.and_then(|at| people.get_mut(at)) {
            person.invitations.push(invitation);
        }
    }
    Ok(people)
}

/// To be called in a transaction, so that all of it is of one moment.
pub fn by_name(connection: &Connection, name: &str) -> rusqlite::Result<Option<PersonRecord>> {
    let Some(mut person) = one(connection, "folded = ?1", [name::folded(name)])? else { return Ok(None) };
    person.sessions = sessions_where(connection, "person = ?1", [person.id.0])?;
    person.invitations = invitations_where(connection, "person = ?1", [person.id.0])?;
    Ok(Some(person))
}

/// Without sessions and invitations.
pub fn by_id(connection: &Connection, id: PersonId) -> rusqlite::Result<Option<PersonRecord>> {
    one(connection, "id = ?1", [id.0])
}

pub fn sessions_where(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<SessionRecord>> {
    let sql = format!(
        "SELECT id, person, user_id, label, created, last_seen, key FROM sessions WHERE {condition} ORDER BY created, rowid"
    );
    let session = |row: &Row<'_>| {
        Ok(SessionRecord {
            id: row.get("id")?,
            person: PersonId(row.get("person")?),
            user_id: parsed(row, "user_id", |text| text.parse())?,
            label: row.get("label")?,
            created: Timestamp(row.get("created")?),
            last_seen: Timestamp(row.get("last_seen")?),
            key: row.get("key")?,
        })
    };
    connection.prepare(&sql)?.query_map(values, session)?.collect()
}

pub fn invitations_where(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<InvitationRecord>> {
    let sql = format!(
        "SELECT id, person, uses_left, created, expires FROM invitations WHERE {condition} ORDER BY created, rowid"
    );
    let invitation = |row: &Row<'_>| {
        Ok(InvitationRecord {
            id: row.get("id")?,
            person: PersonId(row.get("person")?),
            uses_left: row.get("uses_left")?,
            created: Timestamp(row.get("created")?),
            expires: row.get::<_, Option<i64>>("expires")?.map(Timestamp),
        })
    };
    connection.prepare(&sql)?.query_map(values, invitation)?.collect()
}

/// A text of the row as what it stands for.
pub fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let failed = |error: E| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into());
    parse(&text).map_err(failed)
}

fn new_person(
    name: &str,
    role: Role,
    grants: Grants,
    now: Timestamp,
    and: impl FnOnce(&mut PersonRecord),
) -> PersonRecord {
    let mut person = PersonRecord {
        // The table gives the number.
        id: PersonId(0),
        name: name.to_owned(),
        role,
        grants,
        from: None,
        until: None,
        program: false,
        created: now,
        sessions: Vec::new(),
        invitations: Vec::new(),
    };
    and(&mut person);
    person
}

fn ensure_free(connection: &Connection, name: &str) -> Result<(), MemoryError> {
    match one(connection, "folded = ?1", [name::folded(name)])? {
        None => Ok(()),
        Some(other) => {
            let what = if other.program { "program" } else { "person" };
            Err(MemoryError::NameTaken { name: other.name, what })
        }
    }
}

fn insert(connection: &Connection, person: &PersonRecord) -> Result<PersonId, MemoryError> {
    let sql = "INSERT INTO people (name, folded, role, grants, counts_from, counts_until, program, created)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = (
        &person.name,
        name::folded(&person.name),
        person.role.name(),
        json(&person.grants)?,
        person.from.map(|time| time.0),
        person.until.map(|time| time.0),
        person.program,
        person.created.0,
    );
    connection.execute(sql, values)?;
    Ok(PersonId(connection.last_insert_rowid()))
}

fn update(connection: &Connection, person: &PersonRecord) -> Result<(), MemoryError> {
    let sql = "UPDATE people SET name = ?2, folded = ?3, role = ?4, grants = ?5, counts_from = ?6, counts_until = ?7
               WHERE id = ?1";
    let values = (
        person.id.0,
        &person.name,
        name::folded(&person.name),
        person.role.name(),
        json(&person.grants)?,
        person.from.map(|time| time.0),
        person.until.map(|time| time.0),
    );
    connection.execute(sql, values)?;
    Ok(())
}

fn json(grants: &Grants) -> Result<String, MemoryError> {
    serde_json::to_string(grants).map_err(|error| MemoryError::Failed(error.into()))
}

/// Without sessions and invitations.
fn one(connection: &Connection, condition: &str, values: impl Params) -> rusqlite::Result<Option<PersonRecord>> {
    connection.query_row(&people_sql(condition), values, person).optional()
}

fn select(connection: &Connection, condition: &str, values: impl Params) -> rusqlite::Result<Vec<PersonRecord>> {
    connection.prepare(&people_sql(condition))?.query_map(values, person)?.collect()
}

fn people_sql(condition: &str) -> String {
    format!(
        "SELECT id, name, role, grants, counts_from, counts_until, program, created FROM people
         WHERE {condition} ORDER BY id"
    )
}

fn person(row: &Row<'_>) -> rusqlite::Result<PersonRecord> {
    Ok(PersonRecord {
        id: PersonId(row.get("id")?),
        name: row.get("name")?,
        role: parsed(row, "role", |text| text.parse())?,
        grants: parsed(row, "grants", |text| serde_json::from_str(text))?,
        from: row.get::<_, Option<i64>>("counts_from")?.map(Timestamp),
        until: row.get::<_, Option<i64>>("counts_until")?.map(Timestamp),
        program: row.get("program")?,
        created: Timestamp(row.get("created")?),
        sessions: Vec::new(),
        invitations: Vec::new(),
    })
}
