//! What the household's file promises, in virtual time.

mod copies;
mod damage;
mod devices;
mod erasing;
mod inviting;
mod migrations;
mod random;
mod sharing;

use std::path::Path;

use super::*;
use crate::logic::access::{Right, Rights, Role};
use crate::store::Secret;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

fn hash(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn id(text: &str) -> UserId {
    text.parse().unwrap()
}

fn open(dir: &Path) -> Sqlite {
    let opened = Sqlite::open(dir).unwrap();
    assert_eq!(opened.set_aside, None);
    opened.memory
}

fn memory() -> (tempfile::TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let memory = open(dir.path());
    (dir, memory)
}

fn invite(name: &str) -> Invite {
    Invite { name: name.to_owned(), role: None, grants: None, from: None, until: None, uses: 1, expires: None }
}

fn owner(name: &str) -> Invite {
    Invite { role: Some(Role::Owner), ..invite(name) }
}

/// A person with one browser, whose secrets are `hash(number)` and `hash(number + 1)`.
fn with_session(memory: &mut Sqlite, invite: &Invite, number: u64) -> Redeemed {
    memory.invite(invite, hash(number), NOW).unwrap();
    memory.redeem(hash(number), "Firefox", hash(number + 1), None, NOW).unwrap()
}
