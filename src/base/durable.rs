//! Files that are written whole or not at all: after a power cut at any moment a name points to the old contents or to
//! the new ones. Knows nothing of ours, so every part may use it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Who may read a file and whose it is. FAT has neither and ignores both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, such as 0o600.
    pub mode: u32,
    /// User and group; those of the process where there are none.
    pub owner: Option<(u32, u32)>,
}

impl Access {
    /// For secrets.
    pub const PRIVATE: Access = Access { mode: 0o600, owner: None };
    pub const PUBLIC: Access = Access { mode: 0o644, owner: None };
}

/// Puts `contents` in the place of the file at `path`, and returns when they are on the disk. After an error the old
/// file is as it was.
pub fn replace(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    let unfinished = beside(path);
    let written = write(&unfinished, contents, access).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // On a full disk the rest of it would stay in the way.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_directory(path)
}

/// [`replace`] where the contents differ, which spares a memory card. Returns whether it wrote.
pub fn replace_if_different(path: &Path, contents: &[u8], access: Access) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(false);
    }
    replace(path, contents, access).map(|()| true)
}

/// Removes a file for good. A missing one is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes what was renamed or removed at `path` outlast a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// Where the contents are gathered. One name for each file, so that what a power cut left behind is found and replaced.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".tmp");
    name.into()
}

fn write(path: &Path, contents: &[u8], access: Access) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode).open(path)?;
    if let Some((user, group)) = access.owner {
        fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(contents)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_file_is_made_and_replaced_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        replace(&path, b"old", Access::PRIVATE).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // What a power cut left behind is no obstacle.
        fs::write(dir.path().join("token.tmp"), "half").unwrap();
        replace(&path, b"new", Access::PUBLIC).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_same_contents_are_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report");
        assert!(replace_if_different(&path, b"a", Access::PUBLIC).unwrap());
        let first = fs::metadata(&path).unwrap().ino();
        assert!(!replace_if_different(&path, b"a", Access::PUBLIC).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        assert!(replace_if_different(&path, b"b", Access::PUBLIC).unwrap());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        fs::write(&path, "old").unwrap();
        // A directory in the place of the unfinished file, and a target that cannot be renamed over.
        fs::create_dir(dir.path().join("kept.tmp")).unwrap();
        assert!(replace(&path, b"new", Access::PUBLIC).is_err());
        fs::remove_dir(dir.path().join("kept.tmp")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let occupied = dir.path().join("occupied");
        fs::create_dir_all(occupied.join("by")).unwrap();
        assert!(replace(&occupied, b"new", Access::PUBLIC).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
