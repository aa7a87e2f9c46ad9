//! `callbox pair` and `unpair`: which devices elsewhere may join the household's server.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use callbox::config::Config;
use callbox::protocol::{Pairing, Token};
use callbox::server::household_key;
use callbox::store::{Memory, Secret, Timestamp};

use super::household::open;
use super::moments::{after, shown};
use crate::cli::{Pair, Unpair};
use crate::outcome::{Failure, print};

/// How long a pairing can be used where nobody says.
const PAIRING_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// `callbox pair`.
pub fn pair(wanted: Pair) -> Result<(), Failure> {
    let loaded = Config::look(wanted.config.file())?;
    let mut memory = open(&loaded)?;
    let now = Timestamp::from(SystemTime::now());
    let Some(device) = wanted.device else {
        let devices = memory.devices().map_err(anyhow::Error::new)?;
        let line =
            |device: &callbox::store::DeviceRecord| format!("{}  since {}\n", device.device, shown(device.claimed));
        return match devices.is_empty() {
            true => print(b"No device has joined yet: callbox pair ID\n"),
            false => print(devices.iter().map(line).collect::<String>().as_bytes()),
        };
    };
    if memory.device_key(&device).map_err(anyhow::Error::new)?.is_some() {
        return Err(anyhow!("{device} belongs to a device already; 'callbox unpair {device}' frees it").into());
    }
    let until = match wanted.span.as_deref() {
        Some(span) => after(now, span)?,
        None => now.plus(PAIRING_LIFE),
    };
    let secret = Secret::random().context("no secret can be made")?;
    memory.add_pairing(&device, secret.hash(), until).map_err(anyhow::Error::new)?;
    let household = household_key(&mut memory).map_err(anyhow::Error::new)?;
    let secret = Token::try_from(secret.text()).context("no token can be made")?;
    eprintln!(
        "The device {device} shows this once, until {}: put it into the file that its [signaling] token_file names.",
        shown(until)
    );
    print(format!("{}\n", Pairing { secret, household }.text()).as_bytes())
}

/// `callbox unpair`.
pub fn unpair(wanted: Unpair) -> Result<(), Failure> {
    let mut memory = open(&Config::look(wanted.config.file())?)?;
    match memory.forget_device(&wanted.device).map_err(anyhow::Error::new)? {
        true => print(format!("{} is free for another device.\n", wanted.device).as_bytes()),
        false => Err(anyhow!("no device called {} has joined or is expected", wanted.device).into()),
    }
}
