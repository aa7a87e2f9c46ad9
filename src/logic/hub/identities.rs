//! How many connections one identity has: those of a browser, of a program or of a device.

use std::collections::{HashMap, VecDeque};

use super::ConnId;
use crate::logic::access::Pass;
use crate::protocol::{Kind, MAX_CONNECTIONS_EACH, UserId};

/// The open connections of each, oldest first. Whoever comes as anybody, or shows who they are only when joining, is no
/// identity when they connect, and is bounded by the places of their address.
#[derive(Default)]
pub(super) struct Identities(HashMap<(Kind, UserId), VecDeque<ConnId>>);

impl Identities {
    /// Enters a connection. `Some`: there is one too many with it, and this one has to go, the oldest that is no member.
    pub(super) fn enter(&mut self, pass: &Pass, conn: ConnId, is_member: impl Fn(&ConnId) -> bool) -> Option<ConnId> {
        let (kind, id) = pass.holder()?;
        let conns = self.0.entry((kind, id.clone())).or_default();
        conns.push_back(conn);
        // All have one ID, so that one is a member at most.
        let goes = || conns.iter().copied().find(|conn| !is_member(conn));
        if conns.len() > MAX_CONNECTIONS_EACH { goes() } else { None }
    }

    /// `pass`: what it came as.
    pub(super) fn leave(&mut self, pass: &Pass, conn: ConnId) {
        let Some((kind, id)) = pass.holder() else { return };
        let key = (kind, id.clone());
        let Some(conns) = self.0.get_mut(&key) else { return };
        conns.retain(|other| *other != conn);
        if conns.is_empty() {
            self.0.remove(&key);
        }
    }
}
