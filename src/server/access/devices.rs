//! Devices show that they have their key. What they sign was made for their connection alone and names the server that they
//! mean, so that it is worth nothing anywhere else and no second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ring::rand::{SecureRandom, SystemRandom};

use super::Household;
use super::household::{Now, Silent};
use crate::base::lock::lock;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::{Challenge, Credential, Encoded, Key, UserId};
use crate::server::exchange::Shared;
use crate::store::secret::InvalidSecret;
use crate::store::{Memory, MemoryError, PairingRefused, Secret, Timestamp};

/// What a connection may sign.
#[derive(Clone, Debug)]
pub struct Asked {
    pub challenge: Challenge,
    /// The name by which the client called this server.
    pub host: String,
}

impl Asked {
    /// `None`: the kernel gives no randomness.
    pub fn of(host: &str) -> Option<Asked> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Asked { challenge: Encoded(bytes), host: host.to_owned() })
    }
}

/// What was asked on each connection and not answered yet.
#[derive(Default)]
pub struct Challenges(Mutex<HashMap<ConnId, Asked>>);

impl Challenges {
    pub fn ask(&self, conn: ConnId, asked: Asked) {
        lock(&self.0).insert(conn, asked);
    }

    pub fn take(&self, conn: ConnId) -> Option<Asked> {
        lock(&self.0).remove(&conn)
    }
}

const NOT_ASKED: &str = "each connection is asked to sign once: connect again";
const BAD_SIGNATURE: &str = "the signature does not fit; if a proxy stands in between, let it pass Host on unchanged";
const NOT_A_DEVICES: &str = "a device has a key of Ed25519";
const UNKNOWN: &str = "this server does not know the device: 'callbox pair' there prints what it has to show once";
const OTHER_KEY: &str = "this ID belongs to a device with another key: 'callbox unpair' on the server frees it";
const BAD_PAIRING: &str =
    "the pairing token is not one for this ID, or was used: 'callbox pair' on the server prints another";
const LATE_PAIRING: &str = "the pairing token's time is over: 'callbox pair' on the server prints another";
const SILENT: &str = "the server's memory does not answer";

/// Finds out what a device's signature is worth and tells the hub.
pub async fn authorise(
    household: Arc<Household>,
    conn: ConnId,
    user: UserId,
    credential: Credential,
    shared: Arc<Shared>,
) {
    shared.tell(match admit(&household, conn, &user, credential).await {
        Ok(pass) => Input::Authorised(conn, pass),
        Err(why) => Input::Refused(conn, why),
    });
}

async fn admit(
    household: &Household,
    conn: ConnId,
    user: &UserId,
    credential: Credential,
) -> Result<Pass, &'static str> {
    let Credential { key, signature, pairing } = credential;
    let asked = household.challenges.take(conn).ok_or(NOT_ASKED)?;
    let Key::Ed25519(bytes) = key else { return Err(NOT_A_DEVICES) };
    if !key.joins(&asked.host, user, &asked.challenge, &signature) {
        return Err(BAD_SIGNATURE);
    }
    let pairing = pairing.map(|token| token.secret().parse::<Secret>());
    let (device, now) = (user.clone(), Now::read().time);
    let known = household.ask(move |memory| know(memory, &device, &bytes, pairing, now)).await;
    match known.map_err(|Silent| SILENT)? {
        Ok(()) => Ok(household.device_pass(user, &key)),
        Err(Unknown::Refused(why)) => {
            if why == OTHER_KEY {
                household.strangers.note(user, Now::read().time);
            }
            log::warn!(device = user.as_str(); "a device may not join: {why}");
            Err(why)
        }
        Err(Unknown::Failed(error)) => {
            let _: Silent = Silent::because(error);
            Err(SILENT)
        }
    }
}

enum Unknown {
    Refused(&'static str),
    Failed(MemoryError),
}

impl From<MemoryError> for Unknown {
    fn from(error: MemoryError) -> Unknown {
        Unknown::Failed(error)
    }
}

/// Whether the key may have the ID. A pairing is used up only where it is needed.
fn know(
    memory: &mut dyn Memory,
    device: &UserId,
    key: &[u8; 32],
    pairing: Option<Result<Secret, InvalidSecret>>,
    now: Timestamp,
) -> Result<(), Unknown> {
    let known = memory.device_key(device)?;
    if known == Some(*key) {
        return Ok(());
    }
    if known.is_some() {
        return Err(Unknown::Refused(OTHER_KEY));
    }
    let secret = pairing.ok_or(Unknown::Refused(UNKNOWN))?.map_err(|_| Unknown::Refused(BAD_PAIRING))?;
    match memory.pair(secret.hash(), device, key, now) {
        Ok(()) => {
            log::info!(device = device.as_str(); "a device was paired");
            Ok(())
        }
        Err(PairingRefused::Unknown) => Err(Unknown::Refused(BAD_PAIRING)),
        Err(PairingRefused::Expired) => Err(Unknown::Refused(LATE_PAIRING)),
        Err(PairingRefused::Taken) => Err(Unknown::Refused(OTHER_KEY)),
        Err(PairingRefused::Failed(error)) => Err(Unknown::Failed(error)),
    }
}

/// Devices that came with another key than the one their ID belongs to, for the owners to hear of.
#[derive(Default)]
pub struct Strangers(Mutex<HashMap<UserId, (Timestamp, u32)>>);

/// IDs that are remembered so; further ones only stand in the log.
const MOST_STRANGERS: usize = 64;

impl Strangers {
    fn note(&self, device: &UserId, now: Timestamp) {
        let mut seen = lock(&self.0);
        if seen.len() < MOST_STRANGERS || seen.contains_key(device) {
            let (last, count) = seen.entry(device.clone()).or_insert((now, 0));
            (*last, *count) = (now, count.saturating_add(1));
        }
    }

    /// When that ID was last asked for with another key, and how often since this server's start.
    pub fn seen(&self, device: &UserId) -> Option<(Timestamp, u32)> {
        lock(&self.0).get(device).copied()
    }
}
