//! Calls that are over, for as long as the other side may not know: an offer that comes late or once more must not ring
//! again, and a `leave` that was lost is said again.

use std::collections::VecDeque;
use std::time::Instant;

use super::state::UNSURE;
use crate::protocol::{Reason, UserId};

/// Most calls that are remembered; the oldest one of whoever has most is forgotten, and an offer of it that comes yet again
/// rings once more.
const MAX_ENDED: usize = 32;
/// Most of one user, as `leave`s cost nothing; the oldest is forgotten.
const MAX_ENDED_EACH: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) user: UserId,
    pub(super) call_id: Option<String>,
    /// What we told them.
    pub(super) told: Option<Reason>,
    /// When that was said; `None`: not yet, for want of signaling.
    pub(super) said: Option<Instant>,
    pub(super) at: Instant,
}

impl Ended {
    pub(super) fn remember(&mut self, entry: Entry) {
        let of = |user: &UserId| self.0.iter().filter(|entry| entry.user == *user).count();
        let full = self.0.len() >= MAX_ENDED;
        let user = match of(&entry.user) >= MAX_ENDED_EACH {
            true => Some(entry.user.clone()),
            // Of several that have as many, the one whose entry is oldest.
            false if full => self.0.iter().rev().max_by_key(|entry| of(&entry.user)).map(|entry| entry.user.clone()),
            false => None,
        };
        if let Some(oldest) = user.and_then(|user| self.0.iter().position(|entry| entry.user == user)) {
            self.0.remove(oldest);
        }
        self.0.push_back(entry);
    }

    /// The ended call that a late message belongs to. Its ID alone decides, as a further offer may
    /// have been under way when it ended. Without a call ID none can be told from a new one.
    pub(super) fn find(&self, user: &UserId, call_id: Option<&str>, now: Instant) -> Option<&Entry> {
        let fits = |entry: &&Entry| {
            entry.user == *user
                && call_id.is_some()
                && entry.call_id.as_deref() == call_id
                && now.saturating_duration_since(entry.at) < UNSURE
        };
        self.0.iter().rev().find(fits)
    }

    /// What may not have been heard of our leaving, and is to be said now. `user`: to them alone.
    pub(super) fn unheard(&mut self, user: Option<&UserId>, now: Instant) -> Vec<(UserId, Option<String>, Reason)> {
        self.0.retain(|entry| now.saturating_duration_since(entry.at) < UNSURE);
        let mut unheard = Vec::new();
        for entry in self.0.iter_mut().filter(|entry| user.is_none_or(|user| *user == entry.user)) {
            let Some(reason) = entry.told else { continue };
            // Without a call ID the other side would take it for the end of whatever call it has by now.
            if entry.said.is_none() || entry.call_id.is_some() {
                entry.said = Some(now);
                unheard.push((entry.user.clone(), entry.call_id.clone(), reason));
            }
        }
        unheard
    }
}
