//! A slot: the unpacked package, and beside it `slot.toml` with the version and the program's hash, so that a slot which
//! a failing card has eaten into is not started.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::base::durable::{self, Access};

/// Where a package has its programs.
pub const PROGRAMS: &str = "usr/bin";
/// The program that the service runs.
pub const PROGRAM: &str = "usr/bin/callbox";

const MANIFEST: &str = "slot.toml";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// What the image came with.
    #[default]
    Factory,
    A,
    B,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Slot::Factory => "factory",
            Slot::A => "a",
            Slot::B => "b",
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: String,
    sha256: String,
}

/// Writes down what the slot at `dir` holds.
pub fn describe(dir: &Path, version: &str) -> io::Result<()> {
    let manifest = Manifest { version: version.to_owned(), sha256: sha256(&dir.join(PROGRAM))? };
    let text = toml::to_string(&manifest).map_err(io::Error::other)?;
    durable::replace(&dir.join(MANIFEST), text.as_bytes(), Access::PUBLIC)
}

/// Whether the program is the one that was installed. Reading it costs a start nothing: it is about to be loaded.
pub fn check(dir: &Path) -> io::Result<()> {
    let manifest = manifest(dir)?;
    match sha256(&dir.join(PROGRAM))? == manifest.sha256 {
        true => Ok(()),
        false => Err(io::Error::other("its program is damaged")),
    }
}

/// The package's version.
pub fn version(dir: &Path) -> Option<String> {
    manifest(dir).ok().map(|manifest| manifest.version)
}

fn manifest(dir: &Path) -> io::Result<Manifest> {
    toml::from_str(&fs::read_to_string(dir.join(MANIFEST))?)
        .map_err(|error| io::Error::other(format!("{MANIFEST}: {}", error.message())))
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; 64 * 1024];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => context.update(&block[..length]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
