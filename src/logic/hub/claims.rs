//! Running claims: connections that want an ID which another one holds, until the holder shows life or its time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::ConnId;
use crate::protocol::{CLAIM_TIMEOUT, UserId};

#[derive(Default)]
pub(super) struct Claims {
    by_id: BTreeMap<UserId, Claim>,
    deadlines: BTreeSet<(Instant, UserId)>,
}

struct Claim {
    by: ConnId,
    deadline: Instant,
}

/// What a claim that was made has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// The holder has to be asked for a sign of life.
    First,
    /// The holder has been asked. This claimant has lost its place: a client that comes back twice in a row is more
    /// likely than two that are after one ID.
    InPlaceOf(ConnId),
}

impl Claims {
    pub(super) fn make(&mut self, id: &UserId, by: ConnId, now: Instant) -> Made {
        if let Some(claim) = self.by_id.get_mut(id) {
            return Made::InPlaceOf(std::mem::replace(&mut claim.by, by));
        }
        let deadline = now + CLAIM_TIMEOUT;
        self.by_id.insert(id.clone(), Claim { by, deadline });
        self.deadlines.insert((deadline, id.clone()));
        Made::First
    }

    /// Ends the claim on an ID and names the claimant.
    pub(super) fn end(&mut self, id: &UserId) -> Option<ConnId> {
        let Claim { by, deadline } = self.by_id.remove(id)?;
        self.deadlines.remove(&(deadline, id.clone()));
        Some(by)
    }

    /// The claimant gives up.
    pub(super) fn drop_of(&mut self, conn: ConnId, id: &UserId) {
        if self.by_id.get(id).is_some_and(|claim| claim.by == conn) {
            self.end(id);
        }
    }

    /// An ID whose holder has shown no life in time.
    pub(super) fn due(&self, now: Instant) -> Option<UserId> {
        let (deadline, id) = self.deadlines.first()?;
        (*deadline <= now).then(|| id.clone())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}
