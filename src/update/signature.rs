//! Signatures by minisign. Nothing looks into a package before its signature is found to be one of a known key, and what
//! is looked into then is a copy of our own: the file's owner may have changed it meanwhile.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use minisign_verify::{Error, PublicKey, Signature};

use super::UpdateError;
use crate::base::text::{self, TextError};

/// Size of a package in bytes at most; ours has a tenth.
const MAX_PACKAGE: u64 = 64 << 20;
/// Size of a key or signature file in bytes at most; minisign's have 120 and 400.
const MAX_TEXT: u64 = 4096;

/// A key with the name of its file.
pub struct Key {
    name: String,
    key: PublicKey,
}

/// All keys in the directories. One that cannot be read is said in the log and left out.
pub fn keys(dirs: &[PathBuf]) -> Result<Vec<Key>, UpdateError> {
    let mut keys = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "pub") {
                match read_text(&path).map_err(Error::from).and_then(|text| PublicKey::decode(&text)) {
                    Ok(key) => keys.push(Key { name: entry.file_name().to_string_lossy().into_owned(), key }),
                    Err(error) => log::warn!("the key {} cannot be used: {error}", path.display()),
                }
            }
        }
    }
    match keys.is_empty() {
        true => Err(UpdateError::NoKeys { dirs: names(dirs.iter().map(|dir| dir.display().to_string())) }),
        false => Ok(keys),
    }
}

/// Copies `package` to `copy` and returns the name of the key that signed exactly what the copy holds.
pub fn copy_signed(package: &Path, keys: &[Key], copy: &Path) -> Result<String, UpdateError> {
    let beside = signature_path(package);
    let text = match read_text(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A package that is not there would be called unsigned.
            File::open(package).map_err(UpdateError::file("read", package))?;
            return Err(UpdateError::Unsigned { package: package.into(), signature: beside });
        }
        other => other.map_err(UpdateError::file("read", &beside))?,
    };
    let bad = || UpdateError::BadSignature { signature: beside.clone() };
    let signature = Signature::decode(&text).map_err(|_| bad())?;
    let mut matching = Vec::new();
    for key in keys {
        match key.key.verify_stream(&signature) {
            Ok(verifier) => matching.push((key, verifier)),
            Err(Error::UnexpectedKeyId) => {}
            Err(_) => return Err(bad()),
        }
    }
    if matching.is_empty() {
        let known = names(keys.iter().map(|key| key.name.clone()));
        return Err(UpdateError::WrongKey { package: package.into(), known });
    }

    let mut from = File::open(package).map_err(UpdateError::file("read", package))?.take(MAX_PACKAGE + 1);
    let mut to = File::create(copy).map_err(UpdateError::file("write", copy))?;
    let mut block = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut block).map_err(UpdateError::file("read", package))?;
        if length == 0 {
            break;
        }
        to.write_all(&block[..length]).map_err(UpdateError::file("write", copy))?;
        matching.iter_mut().for_each(|(_, verifier)| verifier.update(&block[..length]));
    }
    if from.limit() == 0 {
        return Err(UpdateError::TooLarge { package: package.into(), most: MAX_PACKAGE >> 20 });
    }
    for (key, mut verifier) in matching {
        if verifier.finalize().is_ok() {
            return Ok(key.name.clone());
        }
    }
    Err(UpdateError::Changed { package: package.into() })
}

/// minisign's own choice of name.
fn signature_path(package: &Path) -> PathBuf {
    let mut name = OsString::from(package);
    name.push(".minisig");
    name.into()
}

fn read_text(path: &Path) -> io::Result<String> {
    text::read(path, MAX_TEXT).map_err(|error| match error {
        TextError::Io(error) => error,
        other @ (TextError::TooLong(_) | TextError::NotText(_)) => io::Error::other(other),
    })
}

fn names(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
