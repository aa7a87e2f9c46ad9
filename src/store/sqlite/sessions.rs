//! Sessions in the file: how one comes of an invitation, and when one counts.

use rusqlite::{Connection, Params};

use super::{fresh_id, people, take_id};
use crate::protocol::UserId;
use crate::store::memory::{Login, MAX_SESSIONS, PersonId, Redeemed, SEEN_STEP, SESSION_IDLE, SessionRecord};
use crate::store::{Hash, MemoryError, Redemption, Timestamp, name};

/// What a session is made of: what the browser calls itself, the secret it shows, its key.
pub type Begun<'a> = (&'a str, Hash, Option<&'a [u8]>);

pub fn redeem(connection: &Connection, secret: Hash, begun: Begun<'_>, now: Timestamp) -> Result<Redeemed, Redemption> {
    let invitation = people::invitations_where(connection, "secret = ?1", [secret.0])?.pop();
    let invitation = invitation.ok_or(Redemption::Unknown)?;
    let person = people::by_id(connection, invitation.person)?.ok_or(Redemption::Unknown)?;
    let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    // What never changes again is said first.
    if invitation.uses_left == 0 {
        return Err(Redemption::UsedUp);
    }
    if is_over(invitation.expires) || is_over(person.until) {
        return Err(Redemption::Expired);
    }
    if let Some(from) = person.from.filter(|from| now < *from) {
        return Err(Redemption::NotYet(from));
    }
    connection.execute("UPDATE invitations SET uses_left = uses_left - 1 WHERE id = ?1", [&invitation.id])?;
    make_room(connection, person.id)?;
    Ok(add(connection, (person.id, &person.name), begun, now)?)
}

/// A session under an ID that comes from the person's name.
pub fn add(
    connection: &Connection,
    (person, name): (PersonId, &str),
    (label, secret, key): Begun<'_>,
    now: Timestamp,
) -> Result<Redeemed, MemoryError> {
    let session = fresh_id(connection)?;
    let user_id = fresh_user_id(connection, name)?;
    connection.execute(
        "INSERT INTO sessions (id, secret, person, user_id, label, created, last_seen, key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
        (&session, secret.0, person.0, user_id.as_str(), name::label(label), now.0, key),
    )?;
    Ok(Redeemed { person, session, user_id })
}

pub fn by_secret(connection: &Connection, secret: Hash) -> rusqlite::Result<Option<Login>> {
    login(connection, "secret = ?1", [secret.0])
}

pub fn by_id(connection: &Connection, id: &str) -> rusqlite::Result<Option<Login>> {
    login(connection, "id = ?1", [id])
}

pub fn is_idle(login: &Login, now: Timestamp) -> bool {
    !login.person.program && now.since(login.session.last_seen) >= SESSION_IDLE
}

/// Unless it was seen meanwhile.
pub fn forget_idle(connection: &Connection, session: &SessionRecord) -> Result<(), MemoryError> {
    let sql = "DELETE FROM sessions WHERE id = ?1 AND last_seen = ?2";
    connection.execute(sql, (&session.id, session.last_seen.0))?;
    Ok(())
}

/// Never goes back: a board without a battery begins in 1970, and nobody must be idle because of that.
pub fn note_seen(connection: &Connection, session: &mut SessionRecord, now: Timestamp) -> rusqlite::Result<()> {
    if now.since(session.last_seen) < SEEN_STEP {
        return Ok(());
    }
    session.last_seen = now;
    let sql = "UPDATE sessions SET last_seen = ?2 WHERE id = ?1 AND last_seen < ?2";
    connection.execute(sql, (&session.id, now.0)).map(drop)
}

pub fn set_key(connection: &Connection, id: &str, key: &[u8]) -> rusqlite::Result<bool> {
    Ok(connection.execute("UPDATE sessions SET key = ?2 WHERE id = ?1", (id, key))? == 1)
}

fn login(connection: &Connection, condition: &str, values: impl Params) -> rusqlite::Result<Option<Login>> {
    // Both rows as they were at one moment.
    let transaction = connection.unchecked_transaction()?;
    let Some(session) = people::sessions_where(&transaction, condition, values)?.pop() else { return Ok(None) };
    let person = people::by_id(&transaction, session.person)?;
    Ok(person.map(|person| Login { session, person }))
}

/// Drops those that were seen longest ago, so that one more is not too many.
fn make_room(connection: &Connection, person: PersonId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM sessions WHERE id IN (
                   SELECT id FROM sessions WHERE person = ?1 ORDER BY last_seen DESC, created DESC, rowid DESC
                   LIMIT -1 OFFSET ?2)";
    connection.execute(sql, (person.0, MAX_SESSIONS - 1)).map(drop)
}

fn fresh_user_id(connection: &Connection, name: &str) -> Result<UserId, MemoryError> {
    for id in name::user_ids(name) {
        if take_id(connection, &id, false)? {
            return UserId::try_from(id).map_err(|error| MemoryError::Failed(error.into()));
        }
    }
    Err(MemoryError::Failed("every ID of that name was used".into()))
}
