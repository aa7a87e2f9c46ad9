//! Devices in the file: which key has which ID, and the secrets that let a key have one.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{people, take_id, was_a_session_s};
use crate::protocol::UserId;
use crate::store::memory::{Claim, DeviceRecord};
use crate::store::{Hash, MemoryError, PairingRefused, Timestamp};

pub fn claim(connection: &Connection, id: &UserId, shown: &[u8; 32], now: Timestamp) -> rusqlite::Result<Claim> {
    match key(connection, id)? {
        Some(known) if known == *shown => return Ok(Claim::Known),
        Some(_) => return Ok(Claim::Refused),
        None if was_a_session_s(connection, id.as_str())? => return Ok(Claim::Refused),
        None => {}
    }
    take_id(connection, id.as_str(), true)?;
    let sql = "INSERT INTO devices (id, key, claimed) VALUES (?1, ?2, ?3)";
    connection.execute(sql, (id.as_str(), shown, now.0))?;
    Ok(Claim::New)
}

pub fn key(connection: &Connection, id: &UserId) -> rusqlite::Result<Option<[u8; 32]>> {
    connection.query_row("SELECT key FROM devices WHERE id = ?1", [id.as_str()], |row| row.get(0)).optional()
}

pub fn all(connection: &Connection) -> rusqlite::Result<Vec<DeviceRecord>> {
    let device = |row: &Row<'_>| {
        Ok(DeviceRecord {
            device: people::parsed(row, "id", |text| text.parse())?,
            key: row.get("key")?,
            claimed: Timestamp(row.get("claimed")?),
        })
    };
    connection.prepare("SELECT id, key, claimed FROM devices ORDER BY id")?.query_map([], device)?.collect()
}

pub fn forget(connection: &Connection, id: &UserId) -> rusqlite::Result<bool> {
    let device = connection.execute("DELETE FROM devices WHERE id = ?1", [id.as_str()])?;
    let pairing = connection.execute("DELETE FROM pairings WHERE device = ?1", [id.as_str()])?;
    Ok(device + pairing > 0)
}

pub fn add_pairing(
    connection: &Connection,
    device: &UserId,
    secret: Hash,
    until: Timestamp,
) -> Result<(), MemoryError> {
    if was_a_session_s(connection, device.as_str())? {
        return Err(MemoryError::IdTaken { device: device.clone() });
    }
    // Nobody's browser gets the ID before the device has it.
    take_id(connection, device.as_str(), true)?;
    let sql = "INSERT OR REPLACE INTO pairings (device, secret, expires) VALUES (?1, ?2, ?3)";
    connection.execute(sql, (device.as_str(), secret.0, until.0))?;
    Ok(())
}

pub fn pair(
    connection: &Connection,
    secret: Hash,
    device: &UserId,
    key: &[u8; 32],
    now: Timestamp,
) -> Result<(), PairingRefused> {
    let sql = "SELECT expires FROM pairings WHERE device = ?1 AND secret = ?2";
    let expires = connection.query_row(sql, (device.as_str(), secret.0), |row| row.get(0)).optional()?;
    if now >= expires.map(Timestamp).ok_or(PairingRefused::Unknown)? {
        return Err(PairingRefused::Expired);
    }
    match claim(connection, device, key, now)? {
        Claim::Refused => return Err(PairingRefused::Taken),
        Claim::New | Claim::Known => {}
    }
    connection.execute("DELETE FROM pairings WHERE device = ?1", [device.as_str()])?;
    Ok(())
}
