//! Tokens that come with `join`, from clients that cannot set a header.

use std::sync::Arc;

use super::Household;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::Token;
use crate::server::authority::Authority;
use crate::server::exchange::Shared;

pub struct Tokens(pub Arc<Household>);

impl Authority for Tokens {
    fn authorise(&self, conn: ConnId, token: Token, shared: &Arc<Shared>) {
        let (household, shared) = (self.0.clone(), shared.clone());
        tokio::spawn(async move {
            let pass = match household.visit(token.secret()).await {
                Ok(Some(visit)) => {
                    let pass = visit.pass.clone();
                    household.visits.enter(conn, visit);
                    pass
                }
                // How often one connection may try, the hub says, and how often an address may connect, the lobby.
                Ok(None) | Err(_) => Pass::Nobody,
            };
            shared.tell(Input::Authorised(conn, pass));
        });
    }
}
