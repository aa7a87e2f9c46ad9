//! Devices show that they have their key. What they sign was made for their connection alone and names the server that they
//! mean, so that it is worth nothing anywhere else and no second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Household;
use super::household::{Now, Silent};
use crate::base::bytes;
use crate::base::lock::lock;
use crate::base::seldom::Seldom;
use crate::logic::access::Pass;
use crate::logic::hub::{ConnId, Input};
use crate::protocol::{Challenge, Credential, Encoded, Key, UserId};
use crate::server::exchange::Shared;
use crate::server::hosts::is_ours;
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
        Some(Asked { challenge: Encoded(bytes::random().ok()?), host: host.to_owned() })
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
const OTHER_SERVER: &str =
    "this server does not go by the name in the device's [signaling] url: add that to the server's [server] names";
/// The same whatever it is, so that nobody learns which IDs there are.
const UNKNOWN: &str = "this server does not know a device of that ID by that key: 'callbox pair ID' there prints what it has to \
                       show once, and 'callbox unpair ID' before that frees an ID that had another key";
const LATE_PAIRING: &str = "the pairing token's time is over: 'callbox pair' on the server prints another";
const SILENT: &str = "the server's memory does not answer";

/// The log has a line of refusals once in so long.
const LOG_PAUSE: Duration = Duration::from_secs(10);

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
    let Key::Ed25519(bytes) = key else { return Err(BAD_SIGNATURE) };
    if !key.joins(&asked.host, user, &asked.challenge, &signature) {
        return Err(BAD_SIGNATURE);
    }
    if !is_ours(&asked.host, &household.names) {
        return Err(OTHER_SERVER);
    }
    let pairing = pairing.and_then(|token| token.secret().parse::<Secret>().ok());
    let (device, now) = (user.clone(), Now::read().time);
    let known = household.ask(move |memory| know(memory, &device, &bytes, pairing, now)).await;
    let why = match known.map_err(|Silent| SILENT)? {
        Ok(()) => {
            let pass = household.device_pass(user, &key);
            household.present_devices.enter(conn, user.clone(), bytes);
            return Ok(pass);
        }
        Err(Unknown::Late) => LATE_PAIRING,
        Err(Unknown::OtherKey) => {
            household.strangers.note(user, Now::read().time);
            UNKNOWN
        }
        Err(Unknown::Never) => UNKNOWN,
        Err(Unknown::Failed(error)) => {
            let _: Silent = Silent::because(error);
            SILENT
        }
    };
    if let Some(further) = lock(&household.strangers.told).due(Instant::now()) {
        log::warn!(device = user.as_str(), further; "a device may not join as {user}: {why}");
    }
    Err(why)
}

enum Unknown {
    Never,
    OtherKey,
    Late,
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
    pairing: Option<Secret>,
    now: Timestamp,
) -> Result<(), Unknown> {
    match memory.device_key(device)? {
        Some(known) if known == *key => return Ok(()),
        Some(_) => return Err(Unknown::OtherKey),
        None => {}
    }
    match memory.pair(pairing.ok_or(Unknown::Never)?.hash(), device, key, now) {
        Ok(()) => {
            log::info!(device = device.as_str(); "a device was paired");
            Ok(())
        }
        Err(PairingRefused::Unknown) => Err(Unknown::Never),
        Err(PairingRefused::Expired) => Err(Unknown::Late),
        Err(PairingRefused::Taken) => Err(Unknown::OtherKey),
        Err(PairingRefused::Failed(error)) => Err(Unknown::Failed(error)),
    }
}

/// Devices that have come in by their key, so that one whose ID is freed goes.
#[derive(Default)]
pub struct PresentDevices(Mutex<HashMap<ConnId, (UserId, [u8; 32])>>);

impl PresentDevices {
    fn enter(&self, conn: ConnId, device: UserId, key: [u8; 32]) {
        lock(&self.0).insert(conn, (device, key));
    }

    pub fn leave(&self, conn: ConnId) {
        lock(&self.0).remove(&conn);
    }
}

/// The memory has changed: devices whose ID is theirs no longer go.
pub async fn review(household: &Household, shared: &Shared) -> Result<(), Silent> {
    let present: Vec<_> = lock(&household.present_devices.0).iter().map(|(conn, who)| (*conn, who.clone())).collect();
    if present.is_empty() {
        return Ok(());
    }
    let gone = household.ask(move |memory| {
        let mut gone = Vec::new();
        for (conn, (device, key)) in present {
            if memory.device_key(&device)? != Some(key) {
                gone.push(conn);
            }
        }
        Ok::<_, MemoryError>(gone)
    });
    for conn in gone.await?.map_err(Silent::because)? {
        household.present_devices.leave(conn);
        shared.tell(Input::PassChanged(conn, Pass::Nobody));
    }
    Ok(())
}

/// Devices that came with another key than the one their ID belongs to, for the owners to hear of.
pub struct Strangers {
    seen: Mutex<HashMap<UserId, (Timestamp, u32)>>,
    /// Anybody can send any number of these.
    told: Mutex<Seldom>,
}

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers { seen: Mutex::default(), told: Mutex::new(Seldom::every(LOG_PAUSE)) }
    }
}

/// IDs that are remembered so; further ones only stand in the log.
const MOST_STRANGERS: usize = 64;

impl Strangers {
    fn note(&self, device: &UserId, now: Timestamp) {
        let mut seen = lock(&self.seen);
        if seen.len() < MOST_STRANGERS || seen.contains_key(device) {
            let (last, count) = seen.entry(device.clone()).or_insert((now, 0));
            (*last, *count) = (now, count.saturating_add(1));
        }
    }

    /// When that ID was last asked for with another key, and how often since this server's start.
    pub fn seen(&self, device: &UserId) -> Option<(Timestamp, u32)> {
        lock(&self.seen).get(device).copied()
    }
}
