//! The device's own key, which it makes itself and never gives away, and the household's, which it learns when it is paired.
//! Both are files in the state directory, for root and the daemon alone.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::durable::{self, Access};
use crate::base::text;
use crate::config::Config;
use crate::logic::identity::SigningKey;
use crate::protocol::{Encoded, Key, Pairing, Token};

/// The seed of the device's key (RFC 8032, section 5.1.5), in base64url.
pub const DEVICE_KEY: &str = "device.key";
/// The server that the device was paired with, and the key of its household: a line each.
pub const PAIRED: &str = "paired";
const MAX_BYTES: u64 = 4096;

pub struct Keys {
    pub signer: Arc<SigningKey>,
    /// Of the household at the server elsewhere.
    pub household: Option<Key>,
    /// To be shown with the key.
    pub pairing: Option<Token>,
    /// For servers that want one in the header.
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the device's key cannot be kept in {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("the system gives no random numbers for the device's key")]
    Random,
    #[error("{}: this is not the whole of what 'callbox pair' has printed", file.display())]
    Pairing { file: PathBuf },
}

impl Keys {
    /// Reads what there is, and makes what there is not.
    pub fn load(config: &Config) -> Result<Keys, KeyError> {
        let dir = &config.state.dir;
        let mut keys = Keys { signer: Arc::new(own(dir)?), household: None, pairing: None, token: None };
        let paired = dir.join(PAIRED);
        let Some(url) = &config.signaling.url else { return Ok(keys) };
        match &config.signaling.token {
            Some(token) if Pairing::is_meant_by(&token.secret) => {
                let pairing = token.secret.parse::<Pairing>();
                let Pairing { secret, household } =
                    pairing.map_err(|_| KeyError::Pairing { file: token.file.clone() })?;
                (keys.pairing, keys.household) = (Some(secret), Some(household));
                let note = format!("{url}\n{household}\n");
                if let Err(error) = durable::replace_if_different(&paired, note.as_bytes(), Access::PRIVATE) {
                    log::warn!(path:% = paired.display(), error:%; "the household's key cannot be kept");
                }
            }
            Some(token) => keys.token = Some(token.secret.clone()),
            None => {}
        }
        if keys.household.is_none() {
            keys.household = household_of(&paired, url);
        }
        Ok(keys)
    }
}

/// The key of the household that the device was paired with, if that is at this server.
fn household_of(paired: &Path, url: &str) -> Option<Key> {
    let text = text::read(paired, MAX_BYTES).ok()?;
    let (at, key) = text.trim().split_once('\n')?;
    (at == url).then(|| key.parse().ok()).flatten()
}

fn own(dir: &Path) -> Result<SigningKey, KeyError> {
    let path = dir.join(DEVICE_KEY);
    let fail = |error| KeyError::File { path: path.clone(), error };
    match text::read(&path, MAX_BYTES) {
        Ok(text) => match text.trim().parse().ok().and_then(|Encoded(seed)| SigningKey::of_seed(&seed)) {
            Some(key) => return Ok(key),
            None => {
                let aside = path.with_extension("key.damaged");
                log::error!(
                    path:% = path.display(), aside:% = aside.display();
                    "the device's key is damaged and is set aside: it gets a new one, and has to be paired anew with a server elsewhere"
                );
                fs::rename(&path, aside).map_err(fail)?;
            }
        },
        Err(text::TextError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(io::Error::other(error.to_string()))),
    }
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    durable::replace(&path, format!("{}\n", Encoded(seed)).as_bytes(), Access::PRIVATE).map_err(fail)?;
    SigningKey::of_seed(&seed).ok_or(KeyError::Random)
}
