//! Who knows what it counts for that somebody shows. The hub asks, and goes on with others until the answer comes.

use std::sync::Arc;

use super::exchange::Shared;
use crate::logic::hub::{ConnId, Input, Shown};
use crate::protocol::UserId;

pub trait Authority: Send + Sync {
    /// Returns at once; the answer is [`Input::Authorised`] or [`Input::Refused`], told to `shared` now or later. It is
    /// given for each question, in time for the connection to join.
    fn authorise(&self, conn: ConnId, user: UserId, shown: Shown, shared: &Arc<Shared>);
}

/// Nothing counts.
pub struct NoAuthority;

impl Authority for NoAuthority {
    fn authorise(&self, conn: ConnId, _: UserId, _: Shown, shared: &Arc<Shared>) {
        shared.tell(Input::Refused(conn, "this server knows nobody"));
    }
}
