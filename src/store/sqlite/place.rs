//! Where the file is and what lies beside it, and the lock that keeps a file in its place while somebody uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::base::durable;

/// The directory of a household's file.
pub struct Place {
    dir: PathBuf,
}

impl Place {
    pub fn at(dir: &Path) -> io::Result<Place> {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        Ok(Place { dir: dir.to_owned() })
    }

    pub fn file(&self) -> PathBuf {
        self.dir.join("household.db")
    }

    /// Where a file is made ready before it gets its name, so that the name stands for a whole one or for none.
    pub fn unfinished(&self) -> PathBuf {
        self.dir.join("household.db.new")
    }

    /// Removes the file that is in the way, and what SQLite left beside it.
    pub fn clear_unfinished(&self) -> io::Result<()> {
        let file = self.unfinished();
        for suffix in BESIDE.iter().chain(&["-journal", ""]) {
            durable::remove(&with(&file, suffix))?;
        }
        Ok(())
    }

    /// Gives the finished file its name. It must be closed, and in no need of what lies beside it.
    pub fn finish(&self) -> io::Result<()> {
        let (from, to) = (self.unfinished(), self.file());
        keep_private(&from)?;
        self.give(&from)?;
        File::open(&from)?.sync_all()?;
        fs::rename(&from, &to)?;
        durable::sync_directory(&to)
    }

    /// Renames the file and what lies beside it. The file goes first: without it the rest means nothing, but without the
    /// rest it may look whole and be an older one.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let free = (1u64..).map(|number| self.dir.join(format!("household.corrupt-{number}.db")));
        let aside = free.into_iter().find(|path| !taken(path)).ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(self.file(), &aside)?;
        for suffix in BESIDE {
            match fs::rename(with(&self.file(), suffix), with(&aside, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        durable::sync_directory(&aside)?;
        Ok(aside)
    }

    /// Whether a file was ever set aside here, as far as can be seen: it may have happened just before a power cut.
    pub fn has_set_aside(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.dir)? {
            if entry?.file_name().to_string_lossy().starts_with("household.corrupt-") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The file's log of changes, which must not meet another file.
    pub fn clear_beside(&self) -> io::Result<()> {
        BESIDE.iter().try_for_each(|suffix| durable::remove(&with(&self.file(), suffix)))
    }

    /// What root begins here belongs to whoever the directory belongs to, so that the daemon can open it, too.
    fn give(&self, path: &Path) -> io::Result<()> {
        let (dir, file) = (fs::metadata(&self.dir)?, fs::metadata(path)?);
        match (dir.uid(), dir.gid()) == (file.uid(), file.gid()) || file.uid() != 0 {
            true => Ok(()),
            false => chown(path, Some(dir.uid()), Some(dir.gid())),
        }
    }
}

/// Takes away what others may do with a file.
pub fn keep_private(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.permissions().mode() & 0o777 {
        0o600 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(0o600)),
    }
}

pub fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Held by everybody who has the file open, or by one who puts another file in its place. SQLite's own locks are the file's,
/// and go with it when it is renamed.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// `None` while somebody has it alone.
    pub fn together(place: &Place) -> io::Result<Option<Lock>> {
        Lock::with(place, File::try_lock_shared)
    }

    /// `None` while anybody else has it.
    pub fn alone(place: &Place) -> io::Result<Option<Lock>> {
        Lock::with(place, File::try_lock)
    }

    fn with(place: &Place, take: impl Fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<Lock>> {
        let path = place.dir.join("household.lock");
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        place.give(&path)?;
        match take(&file) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// What SQLite keeps beside a file: changes that are not in it yet, and who reads them.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn taken(path: &Path) -> bool {
    let paths = BESIDE.iter().chain(&[""]).map(|suffix| with(path, suffix));
    paths.into_iter().any(|path| fs::symlink_metadata(path).is_ok())
}
