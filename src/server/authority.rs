//! Who knows what a token counts for. The hub asks, and goes on with others until the answer comes.

use std::sync::Arc;

use super::exchange::Shared;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::Token;

pub trait Authority: Send + Sync {
    /// Returns at once; the answer is [`Input::Authorised`], told to `shared` now or later. It is given for each question,
    /// in time for the connection to join.
    fn authorise(&self, conn: ConnId, token: Token, shared: &Arc<Shared>);
}

/// There are no tokens.
pub struct NoTokens;

impl Authority for NoTokens {
    fn authorise(&self, conn: ConnId, _: Token, shared: &Arc<Shared>) {
        shared.tell(Input::Authorised(conn, Pass::Nobody));
    }
}
