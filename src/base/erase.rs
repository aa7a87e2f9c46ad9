//! Takes files away so that the bare disk does not show them afterwards: what they hold is overwritten where it lies, and
//! then what earlier versions of them have left in the free space.
//!
//! This is what a file system lets a program do. Flash may keep old copies of its own, out of everybody's reach but that of
//! whoever unsolders the chips; file systems that never write in place (btrfs, f2fs, ZFS) are left with the free space.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::durable;

/// Directories within each other; deeper ones are an error, and no program of ours makes them.
const MAX_DEPTH: usize = 16;
/// What is written at a time.
const PIECE: usize = 1 << 20;
/// Blocks of a file system are no larger: the rest of the last one is overwritten too.
const BLOCK: u64 = 4096;
/// Holds the free space for as long as it is overwritten.
const FILLER: &str = "callbox-erasing.tmp";

/// Overwrites a file and removes it. Of a link, and of a file that has other names too, only this name goes: whoever may
/// write in the directory could have put it there to have something else overwritten. A missing one is no error.
pub fn file(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_file() && found.nlink() == 1 {
        overwrite(path)?;
    }
    durable::remove(path)
}

/// Erases whatever is in a directory, which stays. A missing one is no error.
pub fn contents(dir: &Path) -> io::Result<()> {
    erase_below(dir, MAX_DEPTH)
}

/// Erases a file, or a directory with whatever is in it.
pub fn all(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            contents(path)?;
            fs::remove_dir(path)?;
            durable::sync_directory(path)
        }
        Ok(_) | Err(_) => file(path),
    }
}

/// How often it is tried whether there is room still.
const ROUNDS: usize = 3;

/// How far the free space was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    pub bytes: u64,
    /// Whether there was no more.
    pub whole: bool,
    /// Whether the disk was told that it may forget the rest.
    pub discarded: bool,
}

/// Overwrites the free space of the file system that `dir` is on, up to `limit` bytes, and frees it again. The disk is then
/// asked to forget all that is free, which memory cards and solid-state disks can.
pub fn free_space(dir: &Path, limit: u64) -> io::Result<Swept> {
    let path = dir.join(FILLER);
    // One that a power cut left behind.
    durable::remove(&path)?;
    let filled = fill(&path, limit);
    let removed = durable::remove(&path);
    let (bytes, whole) = filled?;
    removed?;
    Ok(Swept { bytes, whole, discarded: limit > 0 && discard(dir) })
}

fn erase_below(dir: &Path, depth: usize) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true if depth == 0 => return Err(io::Error::other("directories within each other without an end")),
            true => {
                erase_below(&entry.path(), depth - 1)?;
                fs::remove_dir(entry.path())?;
            }
            false => file(&entry.path())?,
        }
    }
    File::open(dir)?.sync_all()
}

/// With zeroes up to the end of the last block, on the disk when this returns.
fn overwrite(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let length = file.metadata()?.len().next_multiple_of(BLOCK);
    zeroes(&file, length)?;
    file.sync_all()
}

/// Returns how much there was room for, and whether that was all.
fn fill(path: &Path, limit: u64) -> io::Result<(u64, bool)> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut bytes, mut whole) = (0, false);
    // What was removed is free only once that is on the disk, and a file system holds back some room until then.
    file.sync_all()?;
    for _ in 0..ROUNDS {
        while bytes < limit {
            match zeroes(&file, limit.min(bytes + PIECE as u64) - bytes) {
                Ok(()) => bytes += PIECE as u64,
                Err(error)
                    if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge]
                        .contains(&error.kind()) =>
                {
                    whole = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        // A full disk may say so only now; then there is nothing left to overwrite either.
        match file.sync_all() {
            Err(error) if error.kind() != ErrorKind::StorageFull => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if !whole {
            break;
        }
    }
    Ok((bytes.min(limit), whole))
}

fn zeroes(mut file: &File, length: u64) -> io::Result<()> {
    let piece = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
    let mut left = length;
    while left > 0 {
        let now = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
        let written = file.write(piece.get(..now).unwrap_or_default())?;
        left -= written as u64;
    }
    Ok(())
}

/// By fstrim(8), since the request is a system call without a safe face. Disks that cannot are many, and it is no error.
fn discard(dir: &Path) -> bool {
    let asked =
        Command::new("fstrim").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::os::unix::fs::symlink;

    use super::*;

    /// Sees what a file holds after its name is gone.
    fn held(path: &Path) -> File {
        File::open(path).unwrap()
    }

    fn bytes(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_there_is_overwritten_and_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("deep/er/two"));
        fs::create_dir_all(two.parent().unwrap()).unwrap();
        fs::write(&one, "secret".repeat(1000)).unwrap();
        fs::write(&two, vec![7; PIECE + 5]).unwrap();
        let held = [held(&one), held(&two)];
        contents(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        for (file, least) in held.into_iter().zip([6000, PIECE + 5]) {
            let bytes = bytes(file);
            assert!(
                bytes.len() >= least
                    && (bytes.len() as u64).is_multiple_of(BLOCK)
                    && bytes.iter().all(|byte| *byte == 0)
            );
        }
        contents(&dir.path().join("missing")).unwrap();
        all(&dir.path().join("missing")).unwrap();
    }

    #[test]
    fn what_has_other_names_is_not_overwritten() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shadow = other.path().join("shadow");
        fs::write(&shadow, "root's").unwrap();
        symlink(&shadow, dir.path().join("link")).unwrap();
        symlink(other.path(), dir.path().join("links")).unwrap();
        fs::hard_link(&shadow, dir.path().join("hard")).unwrap();
        all(dir.path()).unwrap();
        assert!(!dir.path().exists());
        assert_eq!(fs::read_to_string(shadow).unwrap(), "root's");
    }

    #[test]
    fn the_free_space_is_taken_up_to_its_limit_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILLER), "left by a power cut").unwrap();
        for limit in [0, 5, PIECE as u64 + 5] {
            let swept = free_space(dir.path(), limit).unwrap();
            assert_eq!((swept.bytes, swept.whole), (limit, false));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
