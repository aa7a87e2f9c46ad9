//! Certificates and keys on disk: written whole or not at all, and a file that cannot be used is kept for a person to
//! look at.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::TlsError;
use crate::base::durable::{self, Access};
use crate::base::text;

#[derive(Clone)]
pub struct Store {
    dir: PathBuf,
}

/// Who may read a file.
#[derive(Clone, Copy)]
pub enum Readers {
    /// Mode 0600: a private key is in it.
    Owner,
    All,
}

impl Store {
    pub fn open(dir: &Path) -> Result<Store, TlsError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
        made.map_err(|error| TlsError::Store { path: dir.to_owned(), error })?;
        Ok(Store { dir: dir.to_owned() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `None` where there is no such file. What is not UTF-8 comes back as something that is not PEM.
    pub fn read(&self, name: &str) -> Result<Option<String>, TlsError> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&text::utf8_where_text(bytes)).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TlsError::Store { path: self.path(name), error }),
        }
    }

    /// Survives a power cut at any moment: the name points to the old text or to the new one.
    pub fn write(&self, name: &str, text: &str, readers: Readers) -> Result<(), TlsError> {
        let path = self.path(name);
        let access = match readers {
            Readers::Owner => Access::PRIVATE,
            Readers::All => Access::PUBLIC,
        };
        durable::replace(&path, text.as_bytes(), access).map_err(|error| TlsError::Store { path, error })
    }

    /// A missing file is no error.
    pub fn remove(&self, name: &str) -> Result<(), TlsError> {
        let path = self.path(name);
        durable::remove(&path).map_err(|error| TlsError::Store { path, error })
    }

    /// Renames a file that cannot be used.
    pub fn set_aside(&self, name: &str) {
        let aside = self.path(&format!("{name}.broken"));
        if let Err(error) = fs::rename(self.path(name), &aside) {
            log::warn!(file:% = self.path(name).display(), error:%; "cannot set the broken file aside");
        }
    }
}
