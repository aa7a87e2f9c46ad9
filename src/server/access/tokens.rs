//! What comes with `join`: tokens, from clients that cannot set a header, and what devices have signed.

use std::sync::Arc;

use super::household::Silent;
use super::{Household, devices};
use crate::logic::hub::{ConnId, Input, Shown};
use crate::protocol::{Token, UserId};
use crate::server::authority::Authority;
use crate::server::exchange::Shared;

pub struct Tokens(pub Arc<Household>);

impl Authority for Tokens {
    fn authorise(&self, conn: ConnId, user: UserId, shown: Shown, shared: &Arc<Shared>) {
        let (household, shared) = (self.0.clone(), shared.clone());
        match shown {
            Shown::Token(token) => drop(tokio::spawn(look_up(household, conn, token, shared))),
            Shown::Credential(credential) => {
                drop(tokio::spawn(devices::authorise(household, conn, user, credential, shared)));
            }
        }
    }
}

async fn look_up(household: Arc<Household>, conn: ConnId, token: Token, shared: Arc<Shared>) {
    let known = match household.visit(token.secret()).await {
        Ok(Some(visit)) => {
            household.visits.enter(conn, visit.clone());
            // It may have been taken back in between.
            match household.look(vec![visit.session.clone()]).await.map(|looked| looked.into_iter().next().flatten()) {
                Ok(Some(is)) => Input::Authorised(conn, is.pass),
                Ok(None) => Input::Refused(conn, "the token counts for nothing here"),
                Err(Silent) => Input::Refused(conn, "the server's memory does not answer"),
            }
        }
        // How often one connection may try, the hub says, and how often an address may connect, the lobby.
        Ok(None) => Input::Refused(conn, "the token counts for nothing here"),
        Err(Silent) => Input::Refused(conn, "the server's memory does not answer"),
    };
    shared.tell(known);
}
