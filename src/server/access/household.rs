//! The household as the server asks for it: sessions that come in, invitations that are redeemed, and what an owner changes.
//! The memory itself is in [`crate::store`], on a thread of its own.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

use super::api::link;
use super::attempts::Attempts;
use super::watch::{Visit, Visits};
use crate::logic::access::{Pass, Person, Role};
use crate::logic::hub::Origin;
use crate::protocol::UserId;
use crate::server::tls::Present;
use crate::store::{Invite, Keeper, Login, Memory, MemoryError, Redemption, Secret, Timestamp};

pub struct Household {
    keeper: Keeper,
    /// The device that this server is part of.
    device: Option<UserId>,
    attempts: Attempts,
    pub(super) visits: Visits,
    pub(super) first: super::FirstLink,
}

/// Why the household cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's memory does not answer")]
pub struct Silent;

impl Silent {
    /// Whoever asked is not told more; the person who runs the server is.
    pub(super) fn because(error: impl Display) -> Silent {
        log::error!(error:%; "the server's memory fails");
        Silent
    }
}

/// The present, and whether the clock can be believed.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub time: Timestamp,
    believed: bool,
}

impl Now {
    pub fn read() -> Now {
        let (time, believed) = match Present::now() {
            Present::Known(time) => (time, true),
            Present::Unknown { at_least } => (at_least, false),
        };
        Now { time: Timestamp::from(time), believed }
    }

    /// Where the clock is wrong, nobody can tell whether a time has come, so nobody comes in who has one.
    fn admits(self, login: &Login) -> bool {
        self.believed || (login.person.from.is_none() && login.person.until.is_none())
    }
}

impl Household {
    /// Lets the device in whose own server this is, and those whom the memory knows.
    pub fn new(keeper: Keeper, device: Option<UserId>, state_dir: &Path) -> Household {
        Household {
            keeper,
            device,
            attempts: Attempts::default(),
            visits: Visits::default(),
            first: super::FirstLink::at(state_dir),
        }
    }

    /// The link that makes the first owner, where nobody was ever invited.
    pub(super) async fn first_owner(&self, base: &str) -> Result<Option<String>, Silent> {
        let secret = Secret::random().map_err(Silent::because)?;
        let (now, hash) = (Now::read().time, secret.hash());
        let made = self.ask(move |memory| match memory.is_empty()? {
            true => memory.invite(&first_owner(), hash, now).map(|_| true),
            false => Ok(false),
        });
        if !made.await?.map_err(Silent::because)? {
            return Ok(None);
        }
        let link = link(base, &secret);
        if let Err(error) = self.first.keep(&link) {
            log::warn!(error:%; "the first owner's link cannot be kept for the card's report");
        }
        Ok(Some(link))
    }

    /// What the device has that embeds this server.
    pub fn own_pass(&self) -> Pass {
        self.device.clone().map_or(Pass::Nobody, Pass::Device)
    }

    /// A wrong try. `Some`: how long its answer has to wait.
    pub fn failed(&self, origin: Origin) -> Option<Duration> {
        self.attempts.failed(origin, Instant::now())
    }

    /// What a session's secret is worth now. `None`: nothing.
    pub async fn visit(&self, secret: &str) -> Result<Option<Visit>, Silent> {
        let Ok(secret) = secret.parse::<Secret>() else { return Ok(None) };
        let (now, hash) = (Now::read(), secret.hash());
        let login = self.ask(move |memory| memory.session(hash, now.time)).await?.map_err(Silent::because)?;
        Ok(login.filter(|login| now.admits(login)).map(|login| Visit::of(&login)))
    }

    /// What sessions that came in earlier are worth now, each by its ID.
    pub(super) async fn look(&self, sessions: Vec<String>) -> Result<Vec<Option<Visit>>, Silent> {
        let now = Now::read();
        let visit = move |login: Option<Login>| login.filter(|login| now.admits(login)).map(|login| Visit::of(&login));
        let looked = self.ask(move |memory| {
            sessions.iter().map(|id| memory.look(id, now.time).map(visit)).collect::<Result<_, MemoryError>>()
        });
        looked.await?.map_err(Silent::because)
    }

    /// Notes that these are still here, so that who stays for months does not count as gone.
    pub(super) async fn seen(&self, sessions: Vec<String>) -> Result<(), Silent> {
        let now = Now::read();
        if !now.believed {
            return Ok(());
        }
        let noted = self.ask(move |memory| sessions.iter().try_for_each(|id| memory.seen(id, now.time)));
        noted.await?.map_err(Silent::because)
    }

    /// Exchanges an invitation for a session, whose secret goes into the browser's cookie.
    pub async fn redeem(&self, secret: &str, label: String) -> Result<Result<Secret, Redemption>, Silent> {
        let Ok(invitation) = secret.parse::<Secret>() else { return Ok(Err(Redemption::Unknown)) };
        let session = Secret::random().map_err(Silent::because)?;
        let (now, hash) = (Now::read().time, session.hash());
        let redeemed = self.ask(move |memory| {
            let redeemed = memory.redeem(invitation.hash(), &label, hash, None, now)?;
            let login = memory.look(&redeemed.session, now)?;
            Ok((redeemed, login.is_some_and(|login| login.person.role == Role::Owner)))
        });
        match redeemed.await? {
            Ok((redeemed, is_owner)) => {
                if is_owner {
                    self.first.is_used();
                }
                log::info!(session = redeemed.session.as_str(), user:% = redeemed.user_id; "an invitation was used");
                Ok(Ok(session))
            }
            Err(Redemption::Failed(error)) => Err(Silent::because(error)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Does something with the memory, on its thread.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Memory) -> R + Send + 'static,
    ) -> Result<R, Silent> {
        self.keeper.ask(question).await.map_err(Silent::because)
    }

    /// Counts up with each change of who may what.
    pub(super) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.keeper.changes()
    }
}

/// Waits for as long as it takes that somebody opens the link.
fn first_owner() -> Invite {
    Invite {
        name: "Owner".to_owned(),
        role: Some(Role::Owner),
        grants: None,
        from: None,
        until: None,
        uses: 1,
        expires: None,
    }
}

impl Visit {
    fn of(login: &Login) -> Visit {
        Visit {
            session: login.session.id.clone(),
            pass: Pass::Person(Person {
                user_id: login.session.user_id.clone(),
                name: login.person.name.clone(),
                role: login.person.role,
                grants: login.person.grants.clone(),
            }),
            until: login.person.until,
        }
    }
}
