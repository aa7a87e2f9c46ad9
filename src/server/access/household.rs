//! The household as the server asks for it: sessions that come in, invitations that are redeemed, and what an owner changes.
//! The memory itself is in [`crate::store`], on a thread of its own.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::api::link;
use super::attempts::Attempts;
use super::devices::{Challenges, PresentDevices, Strangers};
use super::watch::{Visit, Visits};
use crate::base::lock::lock;
use crate::logic::access::{Device, Pass, Person, Role};
use crate::logic::allowance::Allowance;
use crate::logic::hub::Origin;
use crate::logic::identity::SigningKey;
use crate::protocol::{Key, Kind, UserId};
use crate::server::ServerError;
use crate::server::tls::Present;
use crate::store::{Claim, Invite, Keeper, Login, Memory, MemoryError, Redemption, Secret, Timestamp};

/// Keys that browsers have made anew, all of them together: each is a write to the disk. A few at once,
const RENEWALS: u32 = 30;
/// and one more each
const RENEWAL: Duration = Duration::from_secs(2);

pub struct Household {
    keeper: Keeper,
    /// Vouches for the keys of devices and browsers.
    key: Arc<SigningKey>,
    /// The device that this server is part of, and its key.
    device: Option<(UserId, Key)>,
    attempts: Attempts,
    renewals: Mutex<Allowance>,
    pub(super) visits: Visits,
    pub(super) challenges: Challenges,
    pub(super) strangers: Strangers,
    pub(super) present_devices: PresentDevices,
    /// By which this server goes, beside those of this machine.
    pub(super) names: Vec<String>,
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
    pub async fn new(
        keeper: Keeper,
        device: Option<(UserId, Key)>,
        state_dir: &Path,
        names: Vec<String>,
    ) -> Result<Household, ServerError> {
        let own = device.clone();
        let now = Now::read().time;
        let key = keeper.ask(move |memory| {
            if let Some((id, Key::Ed25519(key))) = own {
                claim(memory, &id, &key, now)?;
            }
            super::signing_key(memory)
        });
        let failed = |error: &dyn Display| ServerError::Keeper(io::Error::other(error.to_string()));
        let key = key.await.map_err(|gone| failed(&gone))?.map_err(|error| failed(&error))?;
        Ok(Household {
            keeper,
            key: Arc::new(key),
            device,
            attempts: Attempts::default(),
            renewals: Mutex::default(),
            visits: Visits::default(),
            challenges: Challenges::default(),
            strangers: Strangers::default(),
            present_devices: PresentDevices::default(),
            names,
            first: super::FirstLink::at(state_dir),
        })
    }

    /// What vouches for the household's devices and browsers; it is in every invitation.
    pub fn key(&self) -> Key {
        self.key.public()
    }

    /// The link that makes the first owner, where nobody was ever invited.
    pub(super) async fn first_owner(&self, base: &str) -> Result<Option<String>, Silent> {
        if self.is_owned_by_code().await? {
            return Ok(None);
        }
        let secret = Secret::random().map_err(Silent::because)?;
        let (now, hash) = (Now::read().time, secret.hash());
        let made = self.ask(move |memory| match memory.is_empty()? {
            true => memory.invite(&first_owner(), hash, now).map(|_| true),
            false => Ok(false),
        });
        if !made.await?.map_err(Silent::because)? {
            return Ok(None);
        }
        let link = link(base, &secret, Some(&self.key()));
        if let Err(error) = self.first.keep(&link) {
            log::warn!(error:%; "the first owner's link cannot be kept for the card's report");
        }
        Ok(Some(link))
    }

    /// What the device has that embeds this server.
    pub fn own_pass(&self) -> Pass {
        self.device.as_ref().map_or(Pass::Nobody, |(id, key)| self.device_pass(id, key))
    }

    /// What a device has that has shown its key.
    pub(super) fn device_pass(&self, id: &UserId, key: &Key) -> Pass {
        Pass::Device(Device { id: id.clone(), vouch: Some(self.key.vouch(Kind::Device, id, key)) })
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
        Ok(login.filter(|login| now.admits(login)).map(|login| Visit::of(&login, &self.key)))
    }

    /// What sessions that came in earlier are worth now, each by its ID.
    pub(super) async fn look(&self, sessions: Vec<String>) -> Result<Vec<Option<Visit>>, Silent> {
        let (now, key) = (Now::read(), self.key.clone());
        let visit =
            move |login: Option<Login>| login.filter(|login| now.admits(login)).map(|login| Visit::of(&login, &key));
        let looked = self.ask(move |memory| {
            sessions.iter().map(|id| memory.look(id, now.time).map(&visit)).collect::<Result<_, MemoryError>>()
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
    pub async fn redeem(
        &self,
        secret: &str,
        label: String,
        key: Option<[u8; 65]>,
    ) -> Result<Result<Secret, Redemption>, Silent> {
        let Ok(invitation) = secret.parse::<Secret>() else { return Ok(Err(Redemption::Unknown)) };
        let session = Secret::random().map_err(Silent::because)?;
        let (now, hash) = (Now::read().time, session.hash());
        let redeemed = self.ask(move |memory| {
            let redeemed =
                memory.redeem(invitation.hash(), &label, hash, key.as_ref().map(|key| key.as_slice()), now)?;
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

    /// A browser has another key than before, as far as it may have one now. `None`: it has to wait.
    pub(super) async fn renew_key(&self, session: &str, key: [u8; 65]) -> Result<Option<Visit>, Silent> {
        if !lock(&self.renewals).take(RENEWAL, RENEWAL * RENEWALS, Instant::now()) {
            return Ok(None);
        }
        let (now, id, household) = (Now::read().time, session.to_owned(), self.key.clone());
        let login = self.ask(move |memory| {
            memory.set_key(&id, &key)?;
            memory.look(&id, now)
        });
        let login = login.await?.map_err(Silent::because)?;
        log::info!(session; "a browser has a new key");
        Ok(login.map(|login| Visit::of(&login, &household)))
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
pub(super) fn first_owner() -> Invite {
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

/// The server's own device has its ID, whoever had it before: whoever starts the server decides that.
fn claim(memory: &mut dyn Memory, device: &UserId, key: &[u8; 32], now: Timestamp) -> Result<(), MemoryError> {
    if memory.claim(device, key, now)? == Claim::Refused && memory.forget_device(device)? {
        log::warn!(device = device.as_str(); "this device has another key than before, and keeps its ID");
        memory.claim(device, key, now)?;
    }
    Ok(())
}

impl Visit {
    fn of(login: &Login, household: &SigningKey) -> Visit {
        let user = &login.session.user_id;
        let key = login.session.key.as_deref().and_then(|key| key.try_into().ok().map(Key::P256));
        Visit {
            session: login.session.id.clone(),
            key: key.map(Box::new),
            pass: Pass::Person(Person {
                user_id: user.clone(),
                name: login.person.name.clone(),
                role: login.person.role,
                grants: login.person.grants.clone(),
                vouch: key.map(|key| household.vouch(Kind::Person, user, &key)),
            }),
            until: login.person.until,
        }
    }
}
