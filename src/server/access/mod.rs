//! Who comes in: everybody, or those whom the household has invited. What a browser or a program shows becomes a
//! [`Pass`], by which the hub goes from then on; what a pass is worth later, `watch` looks after.

mod agent;
pub mod api;
mod attempts;
mod cookie;
mod devices;
mod first;
mod household;
mod provisioned;
mod tokens;
mod watch;

use std::io;
use std::sync::Arc;

use axum::http::header::{self, HeaderMap};

pub use self::cookie::Way;
pub use self::devices::Asked;
pub use self::first::FirstLink;
pub use self::household::{Household, Silent};
pub use self::watch::{Visit, watch};
use super::authority::{Authority, NoAuthority};
use super::exchange::Shared;
use super::{AccessSettings, ServerError, ServerSettings};
use crate::base::task::apart;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Origin};
use crate::logic::identity::SigningKey;
use crate::protocol::Key;
use crate::store::{Keeper, Memory, MemoryError, Opened, Secret, Sqlite};

/// Who comes in at this server.
#[derive(Clone)]
pub enum Access {
    /// Whoever reaches it.
    Open,
    Invited(Arc<Household>),
}

/// What somebody has shown with a request.
pub enum Shown {
    /// Nothing: a stranger, or somebody who will show a token when joining.
    Nothing,
    /// What counts for nothing. The answer has waited long enough; `slow`: it was one try too many.
    Wrong { slow: bool },
    /// Something, of which nobody can tell now what it is worth.
    Unknown,
    /// A session that counts.
    Session(Visit),
}

/// Lets in whom the settings say. Also returns the first owner's link, if nobody was ever invited.
pub async fn open(settings: &ServerSettings) -> Result<(Access, Option<String>), ServerError> {
    let AccessSettings::Invited { state_dir, device } = &settings.access else { return Ok((Access::Open, None)) };
    let dir = state_dir.clone();
    let opened = apart("memory", move || Sqlite::open(&dir)).await;
    let Some(opened) = opened else { return Err(ServerError::Keeper(io::Error::other("it was not opened"))) };
    let Opened { memory, set_aside } = opened?;
    if let Some(path) = set_aside {
        log::error!(
            path:% = path.display();
            "what the server remembered of people was damaged and is set aside: nobody comes in until somebody is invited \
             anew (callbox invite --role owner), or a backup is put back (callbox restore)"
        );
    }
    let keeper = Keeper::start(Box::new(memory)).map_err(ServerError::Keeper)?;
    let household = Household::new(keeper, device.clone(), state_dir, settings.names.clone()).await?;
    let base = super::outside_urls(settings).into_iter().next().unwrap_or_default();
    // A server without an owner serves nobody, but the owner may come by a shell as well.
    let first = household.first_owner(&base).await.unwrap_or(None);
    Ok((Access::Invited(Arc::new(household)), first))
}

/// What the household is known by.
pub fn household_key(memory: &mut dyn Memory) -> Result<Key, MemoryError> {
    signing_key(memory).map(|key| key.public())
}

/// What vouches for the household's keys; it is made where there is none yet.
fn signing_key(memory: &mut dyn Memory) -> Result<SigningKey, MemoryError> {
    let unusable = || MemoryError::Failed("the household's key cannot be made".into());
    let fresh = Secret::random().map_err(|error| MemoryError::Failed(error.into()))?;
    let seed = memory.household_seed(fresh.bytes())?;
    SigningKey::of_seed(&seed).ok_or_else(unusable)
}

impl Access {
    /// What the request shows, in its cookie or as a token. An answer to what is wrong once too often comes late.
    pub async fn shown(&self, way: Way, headers: &HeaderMap, origin: Origin) -> Shown {
        let Access::Invited(household) = self else { return Shown::Nothing };
        let Some(secret) = bearer(headers).or_else(|| way.read(headers)) else { return Shown::Nothing };
        match household.visit(secret).await {
            Ok(Some(visit)) => Shown::Session(visit),
            Err(Silent) => Shown::Unknown,
            Ok(None) => match household.failed(origin) {
                Some(wait) => {
                    tokio::time::sleep(wait).await;
                    Shown::Wrong { slow: true }
                }
                None => Shown::Wrong { slow: false },
            },
        }
    }

    /// Somebody is here on those grounds, which are looked at once more: they may have changed since.
    pub async fn enter(&self, conn: ConnId, visit: Option<Visit>, asked: Option<Asked>, shared: &Shared) {
        let Access::Invited(household) = self else { return };
        if let Some(asked) = asked {
            household.challenges.ask(conn, asked);
        }
        household.visits.come(conn, visit.clone());
        let Some(visit) = visit else { return };
        if let Ok(looked) = household.look(vec![visit.session.clone()]).await {
            watch::review(&household.visits, shared, Some(conn), &visit, looked.into_iter().next().flatten());
        }
    }

    pub fn leave(&self, conn: ConnId) {
        if let Access::Invited(household) = self {
            household.visits.leave(conn);
            household.challenges.take(conn);
            household.present_devices.leave(conn);
        }
    }

    /// Who knows tokens.
    pub fn authority(&self) -> Box<dyn Authority> {
        match self {
            Access::Open => Box::new(NoAuthority),
            Access::Invited(household) => Box::new(tokens::Tokens(household.clone())),
        }
    }

    /// What somebody is asked to sign who shows nothing, and calls this server by that name.
    pub fn ask(&self, host: &str) -> Option<Asked> {
        match self {
            Access::Open => None,
            Access::Invited(_) => Asked::of(host),
        }
    }

    /// What vouches for keys here, if anything does.
    pub fn household_key(&self) -> Option<Key> {
        match self {
            Access::Open => None,
            Access::Invited(household) => Some(household.key()),
        }
    }

    /// What the device has that embeds this server.
    pub fn own_pass(&self) -> Pass {
        match self {
            Access::Open => Pass::Anybody,
            Access::Invited(household) => household.own_pass(),
        }
    }

    /// What those may do who show nothing.
    pub fn of_strangers(&self) -> Pass {
        match self {
            Access::Open => Pass::Anybody,
            Access::Invited(_) => Pass::Nobody,
        }
    }
}

/// The token of a program (RFC 6750).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
