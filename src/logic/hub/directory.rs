//! Which line leads to whom: the one thing that the readers of all connections share with the hub. They look up here
//! whom a message is for and hand it over without asking the hub; only the hub's outputs change it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::callers::Callers;
use super::calls::Calls;
use crate::base::lock::lock;
use crate::logic::access::Pass;
use crate::protocol::UserId;

/// `L` is the line to one client.
pub struct Directory<L> {
    /// Several, so that readers seldom touch the same lock, should there ever be several threads of them.
    shards: [RwLock<HashMap<UserId, Entry<L>>>; SHARDS],
    hasher: RandomState,
    /// Who is in a call with whom.
    pub(super) calls: Arc<Mutex<Calls>>,
    callers: Mutex<Callers>,
}

/// Somebody who is on line.
pub struct Entry<L> {
    pub line: L,
    /// Decides who may say what to them.
    pub pass: Arc<Pass>,
}

const SHARDS: usize = 16;

impl<L> Default for Directory<L> {
    fn default() -> Directory<L> {
        Directory {
            shards: Default::default(),
            hasher: RandomState::new(),
            calls: Arc::default(),
            callers: Mutex::default(),
        }
    }
}

impl<L> Directory<L> {
    /// From now on what is for `user`, and may be said to that pass, goes to `line`.
    pub fn enter(&self, user: UserId, pass: Arc<Pass>, line: L) {
        self.write(user.as_str()).insert(user, Entry { line, pass });
    }

    /// Once this returns, nothing for the user is on its way to the line any more: it is there or will not come.
    pub fn remove(&self, user: &UserId) {
        self.write(user.as_str()).remove(user.as_str());
    }

    /// Does something with the line to a user, who stays the line's owner meanwhile. `None`: nobody of that ID is online.
    pub fn with<R>(&self, user: &str, use_it: impl FnOnce(&UserId, &Entry<L>) -> R) -> Option<R> {
        let shard = self.read(user);
        let (user, entry) = shard.get_key_value(user)?;
        Some(use_it(user, entry))
    }

    /// The record of who is in a call with whom.
    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        lock(&self.calls)
    }

    /// How often people have called.
    pub(super) fn callers(&self) -> MutexGuard<'_, Callers> {
        lock(&self.callers)
    }

    fn shard(&self, user: &str) -> &RwLock<HashMap<UserId, Entry<L>>> {
        let number = self.hasher.hash_one(user) as usize % SHARDS;
        // In bounds by the line above.
        &self.shards[number]
    }

    fn read(&self, user: &str) -> RwLockReadGuard<'_, HashMap<UserId, Entry<L>>> {
        self.shard(user).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, user: &str) -> RwLockWriteGuard<'_, HashMap<UserId, Entry<L>>> {
        self.shard(user).write().unwrap_or_else(PoisonError::into_inner)
    }
}
