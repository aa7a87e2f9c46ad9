//! The device's own key, which it makes itself and never gives away, and the household's, which it learns when it is paired.
//! Both are files in the state directory, for root and the daemon alone.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::bytes;
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
    #[error("{}: a device's key is 43 characters of base64url, as in {DEVICE_KEY} in the state directory", file.display())]
    Unusable { file: PathBuf },
    #[error(
        "{}: it cannot be read whose household this device belongs to; remove the file and pair the device anew", path.display()
    )]
    Paired { path: PathBuf },
    #[error("the system gives no random numbers for the device's key")]
    Random,
    #[error("{}: this is not the whole of what 'callbox pair' has printed", file.display())]
    Pairing { file: PathBuf },
}

impl Keys {
    /// Reads what there is, and makes what there is not.
    pub fn load(config: &Config) -> Result<Keys, KeyError> {
        let mut keys = Keys { signer: Arc::new(own(config)?), household: None, pairing: None, token: None };
        let Some(url) = &config.signaling.url else { return Ok(keys) };
        let paired = config.state.dir.join(PAIRED);
        match (&config.signaling.token, pairing(config)?) {
            (_, Some(Pairing { secret, household })) => {
                (keys.pairing, keys.household) = (Some(secret), Some(household));
                let note = format!("{url}\n{household}\n");
                if let Err(error) = durable::replace_if_different(&paired, note.as_bytes(), Access::PRIVATE) {
                    log::warn!(path:% = paired.display(), error:%; "the household's key cannot be kept");
                }
            }
            (Some(token), None) => keys.token = Some(token.secret.clone()),
            (None, None) => {}
        }
        if keys.household.is_none() {
            keys.household = household_of(&paired, url)?;
        }
        Ok(keys)
    }
}

/// What 'callbox pair' has printed, where that is the token.
fn pairing(config: &Config) -> Result<Option<Pairing>, KeyError> {
    match &config.signaling.token {
        Some(token) if Pairing::is_meant_by(&token.secret) => {
            let pairing = token.secret.parse();
            pairing.map(Some).map_err(|_| KeyError::Pairing { file: token.file.clone() })
        }
        Some(_) | None => Ok(None),
    }
}

/// The key of the household that the device was paired with, wherever the server is now: whoever moves a server by its name
/// opens no door.
fn household_of(paired: &Path, url: &str) -> Result<Option<Key>, KeyError> {
    let unusable = || KeyError::Paired { path: paired.into() };
    let text = match text::read(paired, MAX_BYTES) {
        Ok(text) => text,
        Err(text::TextError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(unusable()),
    };
    let (at, key) = text.trim().split_once('\n').ok_or_else(unusable)?;
    let key = key.parse().map_err(|_| unusable())?;
    if at != url {
        log::warn!(
            path:% = paired.display();
            "this device belongs to the household of {at}, and takes calls of those only for whom that one vouches; if it has \
             another now, remove the file and pair the device anew"
        );
    }
    Ok(Some(key))
}

/// The device's key. One that cannot be kept does for a device that is known by nothing else.
fn own(config: &Config) -> Result<SigningKey, KeyError> {
    if let Some(key) = &config.device.key {
        let unusable = || KeyError::Unusable { file: key.file.clone() };
        return of_text(&key.secret).ok_or_else(unusable);
    }
    match kept(&config.state.dir) {
        Err(error) if pairing(config)?.is_none() => {
            log::warn!("{error}; until the next start it has another one");
            SigningKey::of_seed(&fresh()?).ok_or(KeyError::Random)
        }
        kept => kept,
    }
}

fn of_text(text: &str) -> Option<SigningKey> {
    let Encoded(seed) = text.trim().parse().ok()?;
    SigningKey::of_seed(&seed)
}

fn fresh() -> Result<[u8; 32], KeyError> {
    bytes::random().map_err(|_| KeyError::Random)
}

/// The one in the state directory, which is made where there is none.
fn kept(dir: &Path) -> Result<SigningKey, KeyError> {
    let path = dir.join(DEVICE_KEY);
    let fail = |error| KeyError::File { path: path.clone(), error };
    match text::read(&path, MAX_BYTES) {
        Ok(text) => match of_text(&text) {
            Some(key) => return Ok(key),
            None => {
                let aside = path.with_extension("key.damaged");
                log::error!(
                    path:% = path.display(), aside:% = aside.display();
                    "the device's key is damaged and is set aside: it gets a new one, and has to be paired anew with a server \
                     elsewhere"
                );
                fs::rename(&path, aside).map_err(fail)?;
            }
        },
        Err(text::TextError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(text::TextError::Io(error)) => return Err(fail(error)),
        Err(error) => return Err(fail(io::Error::other(error.to_string()))),
    }
    let seed = fresh()?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    durable::replace(&path, format!("{}\n", Encoded(seed)).as_bytes(), Access::PRIVATE).map_err(fail)?;
    SigningKey::of_seed(&seed).ok_or(KeyError::Random)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(dir: &Path, more: &str) -> Config {
        Config::from_toml(&format!("state.dir = '{}'\n{more}", dir.display())).unwrap()
    }

    #[test]
    fn the_key_stays_and_is_for_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let keys = Keys::load(&config(&state, "")).unwrap();
        assert_eq!(Keys::load(&config(&state, "")).unwrap().signer.public(), keys.signer.public());
        let file = state.join(DEVICE_KEY);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "half of a k").unwrap();
        assert_ne!(Keys::load(&config(&state, "")).unwrap().signer.public(), keys.signer.public());
        assert_eq!(fs::read_to_string(state.join("device.key.damaged")).unwrap(), "half of a k");
    }

    #[test]
    fn a_key_may_come_from_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let more = format!("device.key_file = '{}'", file.display());
        fs::write(&file, format!("{}\n", Encoded([7; 32]))).unwrap();
        let expected = SigningKey::of_seed(&[7; 32]).unwrap().public();
        assert_eq!(Keys::load(&config(dir.path(), &more)).unwrap().signer.public(), expected);
        fs::write(&file, "no key").unwrap();
        let error = Keys::load(&config(dir.path(), &more)).err().unwrap().to_string();
        assert!(error.contains("43") && !error.contains("no key"), "{error}");
    }

    #[test]
    fn the_household_s_key_outlives_the_pairing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let url = "signaling.url = 'wss://door.example/ws'";
        let paired = format!("{url}\nsignaling.token_file = '{}'", file.display());
        let (secret, household) = (Encoded([1u8; 32]).to_string(), Key::Ed25519([2; 32]));
        let pairing = Pairing { secret: Token::try_from(secret).unwrap(), household };
        fs::write(&file, pairing.text()).unwrap();
        let keys = Keys::load(&config(dir.path(), &paired)).unwrap();
        assert_eq!((keys.household, keys.pairing, keys.token), (Some(household), Some(pairing.secret.clone()), None));
        let later = Keys::load(&config(dir.path(), url)).unwrap();
        assert_eq!((later.household, later.pairing), (Some(household), None));
        let elsewhere = Keys::load(&config(dir.path(), "signaling.url = 'wss://other.example/ws'")).unwrap();
        assert_eq!(elsewhere.household, Some(household), "another spelling opens nothing");
        let kept = fs::read(dir.path().join(PAIRED)).unwrap();
        fs::write(dir.path().join(PAIRED), "half").unwrap();
        assert!(matches!(Keys::load(&config(dir.path(), url)), Err(KeyError::Paired { .. })));
        fs::write(dir.path().join(PAIRED), kept).unwrap();
        fs::write(&file, &pairing.text()[..60]).unwrap();
        let error = Keys::load(&config(dir.path(), &paired)).err().unwrap().to_string();
        assert!(error.contains("callbox pair") && error.contains("token"), "{error}");
        fs::write(&file, "another kind of token").unwrap();
        let keys = Keys::load(&config(dir.path(), &paired)).unwrap();
        assert_eq!(keys.token.as_deref(), Some("another kind of token"));
    }
}
