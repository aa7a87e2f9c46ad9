//! The memory as one SQLite file, `household.db` in the state directory. The command line opens it beside the daemon, so
//! nothing is remembered outside of it, and every change is one transaction.

mod copies;
mod devices;
mod migrate;
mod open;
mod people;
mod place;
mod revoke;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use self::place::Lock;
use super::memory::{
    Claim, DeviceRecord, Invite, Invited, Login, Memory, PersonRecord, Redeemed, Revoked, SessionRecord,
};
use super::{Hash, MemoryError, PairingRefused, Redemption, Timestamp};
use crate::logic::access::Grants;
use crate::protocol::UserId;

pub use self::open::StoreError;

/// An open `household.db`. Any number may be open at once, in any number of processes.
pub struct Sqlite {
    connection: Connection,
    /// The last known number of changes.
    version: i64,
    /// Nobody puts another file in the place of this one while it is open. After the connection, so that it goes last.
    _lock: Lock,
}

/// So that the file alone is all there is while nobody has it open.
impl Drop for Sqlite {
    fn drop(&mut self) {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = moved {
            log::debug!(error:%; "changes stay in the log of the household's file");
        }
    }
}

/// What [`Sqlite::open`] found or made.
pub struct Opened {
    pub memory: Sqlite,
    /// Where the damaged file is now that was there, which makes this memory an empty one.
    pub set_aside: Option<PathBuf>,
}

impl Sqlite {
    /// Opens the household's file in that directory, or begins one. A damaged one is kept under another name for a person to
    /// look at; one that cannot be read at all is an error, as is one that a newer version wrote.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        open::open(dir, migrate::MIGRATIONS)
    }

    /// Puts a backup in the place of the household's file, once it has proved sound. It must be open nowhere. What was
    /// revoked since the backup was made counts again.
    pub fn restore(dir: &Path, from: &Path) -> Result<(), StoreError> {
        copies::restore(dir, from, migrate::MIGRATIONS)
    }

    /// One transaction that changes something, and counts as that.
    fn change<R, E: From<rusqlite::Error>>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.execute("UPDATE facts SET value = value + 1 WHERE name = 'changes'", [])?;
        transaction.commit()?;
        Ok(result)
    }
}

/// Rows that are there once a thing has happened.
#[derive(Clone, Copy)]
enum Fact {
    /// Somebody was invited.
    Invited,
    /// This memory was begun after another was damaged.
    SetAside,
    /// Somebody was erased, and the file was not cleaned yet.
    Traces,
}

impl Fact {
    fn name(self) -> &'static str {
        match self {
            Fact::Invited => "invited",
            Fact::SetAside => "set_aside",
            Fact::Traces => "traces",
        }
    }

    fn holds(self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.query_row("SELECT EXISTS (SELECT 1 FROM facts WHERE name = ?1)", [self.name()], |row| row.get(0))
    }

    fn note(self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("INSERT OR IGNORE INTO facts (name, value) VALUES (?1, 1)", [self.name()]).map(drop)
    }

    fn clear(self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("DELETE FROM facts WHERE name = ?1", [self.name()]).map(drop)
    }
}

/// Takes an ID for ever; false where it was somebody's before. IDs that differ in case only are one: people would take one
/// for the other.
fn take_id(connection: &Connection, id: &str, device: bool) -> rusqlite::Result<bool> {
    let hash = id_hash(connection, id)?;
    let inserted =
        connection.execute("INSERT OR IGNORE INTO taken_ids (hash, device) VALUES (?1, ?2)", (hash, device))?;
    Ok(inserted == 1)
}

/// Whether a session has or had that ID.
fn was_a_session_s(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let hash = id_hash(connection, id)?;
    let device = connection.query_row("SELECT device FROM taken_ids WHERE hash = ?1", [hash], |row| row.get(0));
    Ok(device.optional()?.is_some_and(|device: bool| !device))
}

fn id_hash(connection: &Connection, id: &str) -> rusqlite::Result<[u8; 32]> {
    let mut salted: Vec<u8> =
        connection.query_row("SELECT value FROM facts WHERE name = 'salt'", [], |row| row.get(0))?;
    salted.extend(id.to_lowercase().bytes());
    Ok(Hash::of(&salted).0)
}

/// A public ID that no session and no invitation has, and that is nobody's name.
fn fresh_id(connection: &Connection) -> rusqlite::Result<String> {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    loop {
        let id: String = (0..8).filter_map(|_| fastrand::choice(ALPHABET)).map(|c| char::from(*c)).collect();
        let taken: bool = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1)
                 OR EXISTS (SELECT 1 FROM invitations WHERE id = ?1)
                 OR EXISTS (SELECT 1 FROM people WHERE folded = ?1)",
            [&id],
            |row| row.get(0),
        )?;
        if !taken {
            return Ok(id);
        }
    }
}

impl From<rusqlite::Error> for MemoryError {
    fn from(error: rusqlite::Error) -> MemoryError {
        MemoryError::Failed(error.into())
    }
}

impl From<rusqlite::Error> for Redemption {
    fn from(error: rusqlite::Error) -> Redemption {
        MemoryError::from(error).into()
    }
}

impl From<rusqlite::Error> for PairingRefused {
    fn from(error: rusqlite::Error) -> PairingRefused {
        MemoryError::from(error).into()
    }
}

impl Memory for Sqlite {
    fn is_empty(&self) -> Result<bool, MemoryError> {
        Ok(!Fact::Invited.holds(&self.connection)? && !self.was_set_aside()?)
    }

    fn was_set_aside(&self) -> Result<bool, MemoryError> {
        Ok(Fact::SetAside.holds(&self.connection)?)
    }

    /// Not `PRAGMA data_version`, which says nothing of what this connection wrote and also moves with `last_seen`. The
    /// row costs as little to read.
    fn version(&mut self) -> i64 {
        let read = self.connection.query_row("SELECT value FROM facts WHERE name = 'changes'", [], |row| row.get(0));
        match read {
            Ok(version) => self.version = version,
            Err(error) => log::debug!(error:%; "the number of changes cannot be read"),
        }
        self.version
    }

    fn invite(&mut self, invite: &Invite, secret: Hash, now: Timestamp) -> Result<Invited, MemoryError> {
        self.change(|transaction| people::invite(transaction, invite, secret, now))
    }

    fn redeem(
        &mut self,
        secret: Hash,
        label: &str,
        session: Hash,
        key: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Redeemed, Redemption> {
        self.change(|transaction| sessions::redeem(transaction, secret, (label, session, key), now))
    }

    fn session(&mut self, secret: Hash, now: Timestamp) -> Result<Option<Login>, MemoryError> {
        let Some(mut login) = sessions::by_secret(&self.connection, secret)? else { return Ok(None) };
        if sessions::is_idle(&login, now) {
            self.change(|transaction| sessions::forget_idle(transaction, &login.session))?;
            return Ok(None);
        }
        if !login.person.counts_at(now) {
            return Ok(None);
        }
        self.note_seen(&mut login.session, now);
        Ok(Some(login))
    }

    fn look(&self, session: &str, now: Timestamp) -> Result<Option<Login>, MemoryError> {
        let login = sessions::by_id(&self.connection, session)?;
        Ok(login.filter(|login| !sessions::is_idle(login, now) && login.person.counts_at(now)))
    }

    fn seen(&mut self, session: &str, now: Timestamp) -> Result<(), MemoryError> {
        if let Some(mut login) = self.look(session, now)? {
            self.note_seen(&mut login.session, now);
        }
        Ok(())
    }

    fn set_key(&mut self, session: &str, key: &[u8]) -> Result<bool, MemoryError> {
        self.change(|transaction| Ok(sessions::set_key(transaction, session, key)?))
    }

    fn add_token(
        &mut self,
        name: &str,
        grants: &Grants,
        until: Option<Timestamp>,
        secret: Hash,
        now: Timestamp,
    ) -> Result<Redeemed, MemoryError> {
        self.change(|transaction| people::add_token(transaction, name, grants, until, secret, now))
    }

    fn people(&self) -> Result<Vec<PersonRecord>, MemoryError> {
        Ok(people::all(&self.connection)?)
    }

    fn person(&self, name: &str) -> Result<Option<PersonRecord>, MemoryError> {
        let transaction = self.connection.unchecked_transaction()?;
        Ok(people::by_name(&transaction, name)?)
    }

    fn revoke(&mut self, which: &str, force: bool) -> Result<Revoked, MemoryError> {
        self.change(|transaction| revoke::revoke(transaction, which, force))
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), MemoryError> {
        self.change(|transaction| people::rename(transaction, old, new))
    }

    fn erase(&mut self, name: &str, force: bool) -> Result<PersonRecord, MemoryError> {
        let erased = self.change(|transaction| revoke::erase(transaction, name, force))?;
        match revoke::clean(&self.connection) {
            Ok(true) => Ok(erased),
            Ok(false) => Err(MemoryError::TracesLeft { name: erased.name }),
            Err(error) => Err(error.into()),
        }
    }

    fn claim(&mut self, device: &UserId, key: &[u8; 32], now: Timestamp) -> Result<Claim, MemoryError> {
        // A device does this whenever it connects, and a card is spared the write.
        match devices::key(&self.connection, device)? {
            Some(known) if known == *key => Ok(Claim::Known),
            Some(_) => Ok(Claim::Refused),
            None => self.change(|transaction| Ok(devices::claim(transaction, device, key, now)?)),
        }
    }

    fn device_key(&self, device: &UserId) -> Result<Option<[u8; 32]>, MemoryError> {
        Ok(devices::key(&self.connection, device)?)
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>, MemoryError> {
        Ok(devices::all(&self.connection)?)
    }

    fn forget_device(&mut self, device: &UserId) -> Result<bool, MemoryError> {
        self.change(|transaction| Ok(devices::forget(transaction, device)?))
    }

    fn add_pairing(&mut self, device: &UserId, secret: Hash, until: Timestamp) -> Result<(), MemoryError> {
        self.change(|transaction| devices::add_pairing(transaction, device, secret, until))
    }

    fn pair(&mut self, secret: Hash, device: &UserId, key: &[u8; 32], now: Timestamp) -> Result<(), PairingRefused> {
        self.change(|transaction| devices::pair(transaction, secret, device, key, now))
    }

    fn household_seed(&mut self, fresh: &[u8; 32]) -> Result<[u8; 32], MemoryError> {
        let read = "SELECT value FROM facts WHERE name = 'household_seed'";
        let kept = self.connection.query_row(read, [], |row| row.get(0)).optional()?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        self.change(|transaction| {
            let keep = "INSERT OR IGNORE INTO facts (name, value) VALUES ('household_seed', ?1)";
            transaction.execute(keep, [fresh])?;
            // Another process may have been quicker.
            Ok(transaction.query_row(read, [], |row| row.get(0))?)
        })
    }

    fn backup(&self, path: &Path) -> Result<(), MemoryError> {
        copies::backup(&self.connection, path)
    }
}

impl Sqlite {
    /// On a full disk people still get in, so it is not an error.
    fn note_seen(&self, session: &mut SessionRecord, now: Timestamp) {
        match sessions::note_seen(&self.connection, session, now) {
            Ok(()) => {}
            Err(error) => log::warn!(session = session.id, error:%; "cannot note that a session was seen"),
        }
    }
}
