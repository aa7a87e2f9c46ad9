//! A place with a configuration, and what is said of it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use callbox::config::{Config, ConfigError, Loaded, Surroundings};

/// A directory with `callbox.toml` and whatever a test puts beside it.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub surroundings: Surroundings,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), surroundings: Surroundings::bare() }
    }

    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// One that can be run, as far as its mode goes.
    pub fn program(&self, name: &str) -> PathBuf {
        let path = self.file(name, "");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn variable(mut self, name: &str, value: &str) -> Place {
        self.surroundings.variables.push((name.into(), value.into()));
        self
    }

    pub fn load(&self, text: &str) -> Result<Loaded, ConfigError> {
        Config::load_in(Some(&self.file("callbox.toml", text)), &self.surroundings)
    }

    /// The error's lines, the directory left out.
    pub fn errors(&self, text: &str) -> String {
        let error = self.load(text).expect_err(text).to_string();
        error.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

pub fn errors(text: &str) -> String {
    Place::new().errors(text)
}
