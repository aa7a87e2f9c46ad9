//! The first owner's link: made when nobody was ever invited, and kept in a file of its own, which nobody else can read,
//! until it is used. The card's report takes it from there.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::durable::{self, Access};
use crate::config::FIRST_LINK;

pub struct FirstLink {
    path: PathBuf,
}

impl FirstLink {
    pub fn at(state_dir: &Path) -> FirstLink {
        FirstLink { path: state_dir.join(FIRST_LINK) }
    }

    pub fn keep(&self, link: &str) -> io::Result<()> {
        durable::replace(&self.path, format!("{link}\n").as_bytes(), Access::PRIVATE)
    }

    /// Another file in the same directory.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// Whether it was made and nobody has used it.
    pub(super) fn is_open(&self) -> bool {
        self.path.exists()
    }

    /// An owner came in, and there is nothing to keep any more.
    pub(super) fn is_used(&self) {
        if self.path.exists()
            && let Err(error) = durable::remove(&self.path)
        {
            log::warn!(error:%; "the first owner's link, which was used, could not be removed");
        }
    }
}
