//! How a file of an older version becomes one of this version: one script for each version, in order, each in a transaction
//! of its own. A new version is a script at the end of the list, and a file in tests/ that the version before it wrote.

use rusqlite::{Connection, Result, TransactionBehavior};

/// What was once in a release is never changed: there are files that went through it.
pub const MIGRATIONS: &[&str] = &[include_str!("migrations/001.sql")];

/// Marks a SQLite file as a household ("Cbox"), whatever it is called.
pub const APPLICATION_ID: i32 = 0x4362_6f78;

/// The version that a list of scripts leads to.
pub fn newest(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

pub fn version(connection: &Connection) -> Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    // A script may have to make a table anew, and rows that point to it must not go with the old one.
    connection.pragma_update(None, "foreign_keys", false)?;
    for (script, makes) in migrations.iter().zip(1u32..) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&transaction)? >= makes {
            continue;
        }
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", makes)?;
        transaction.commit()?;
        log::info!(version = makes; "the household's file has a new format");
    }
    connection.pragma_update(None, "foreign_keys", true)
}
