//! The directory in which root keeps what is in force. It lies beside the daemon's own and not in it: whoever has taken the
//! daemon over could otherwise put links there, and root would follow them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, openat};

use crate::base::durable::{self, Access};
use crate::base::text::MAX_BYTES;
use crate::board::{Places, SETTINGS, SUPPLICANT};

/// Directories within each other that are taken over at most.
const MAX_DEPTH: usize = 8;

/// Makes root's directory that the daemon can read. What else has its name goes.
pub fn directory(dir: &Path, access: Access) -> io::Result<()> {
    fs::create_dir_all(dir.parent().unwrap_or(Path::new("/")))?;
    if fs::symlink_metadata(dir).is_ok_and(|found| !found.is_dir()) {
        durable::remove(dir)?;
    }
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let opened = open(dir)?;
    if let Some((user, group)) = access.owner {
        fchown(&opened, Some(user), Some(group))?;
    }
    opened.set_permissions(Permissions::from_mode(0o750))
}

/// Moves what an earlier version kept in the daemon's directory, once. Only what is root's own there, and no other's to
/// write, is taken.
pub fn take_over(places: &Places, access: Access) -> io::Result<()> {
    let (from, to) = (places.former_state(), &places.state);
    if to.join(SETTINGS).exists() {
        return Ok(());
    }
    let old = match open(&from) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A link or a file of that name is none of ours.
        Err(error) if [Some(libc::ELOOP), Some(libc::ENOTDIR)].contains(&error.raw_os_error()) => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_ours(&old)? {
        return Ok(());
    }
    let mut found = Vec::new();
    gather(&old, Path::new(""), MAX_DEPTH, &mut found)?;
    // The settings last: with them it is done.
    found.sort_by_key(|(name, _)| name == Path::new(SETTINGS));
    for (name, contents) in found {
        let path = to.join(&name);
        let (contents, access) = match name.to_str() {
            Some(SUPPLICANT) => (contents, Access::PRIVATE),
            Some(SETTINGS) => (moved(places, &String::from_utf8_lossy(&contents)).into_bytes(), access),
            _ => (contents, access),
        };
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        durable::replace(&path, &contents, access)?;
    }
    fs::remove_dir_all(&from)?;
    durable::sync_directory(&from)
}

/// Settings in which an earlier version has named its own files.
pub fn moved(places: &Places, settings: &str) -> String {
    let dir = |path: &Path| format!("{}/", path.display());
    settings.replace(&dir(&places.former_state()), &dir(&places.state))
}

fn open(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(dir)
}

/// Whether nobody but this process' user can have written it.
fn is_ours(file: &File) -> io::Result<bool> {
    let (found, me) = (file.metadata()?, fs::metadata("/proc/self")?);
    let one_name = found.is_dir() || found.nlink() == 1;
    Ok(found.uid() == me.uid() && found.mode() & 0o022 == 0 && one_name)
}

fn gather(dir: &File, below: &Path, depth: usize, found: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // What cannot be opened so, such as a link, is left behind.
        let Ok(opened) = openat(dir, name, flags, Mode::empty()) else { continue };
        let opened = File::from(opened);
        if !is_ours(&opened)? {
            continue;
        }
        let path = below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let metadata = opened.metadata()?;
        if metadata.is_dir() && depth > 0 {
            gather(&opened, &path, depth - 1, found)?;
        } else if metadata.is_file() && metadata.len() <= MAX_BYTES {
            let mut contents = Vec::new();
            opened.take(MAX_BYTES).read_to_end(&mut contents)?;
            found.push((path, contents));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Board {
        _dir: tempfile::TempDir,
        places: Places,
    }

    impl Board {
        /// With what an earlier version left.
        fn new() -> Board {
            let dir = tempfile::tempdir().unwrap();
            let places = Places::below(dir.path());
            let old = places.former_state();
            fs::create_dir_all(old.join("keys")).unwrap();
            let token = old.join("token");
            let settings = format!("[signaling]\ntoken_file = {token:?}\n");
            for (name, contents) in
                [(SETTINGS, settings.as_str()), ("token", "s3cret"), ("keys/ca.pem", "pem"), (SUPPLICANT, "network={}")]
            {
                fs::write(old.join(name), contents).unwrap();
                fs::set_permissions(old.join(name), Permissions::from_mode(0o640)).unwrap();
            }
            for dir in [old.clone(), old.join("keys")] {
                fs::set_permissions(dir, Permissions::from_mode(0o750)).unwrap();
            }
            Board { _dir: dir, places }
        }

        fn take_over(&self) {
            let access = Access { mode: 0o640, owner: None };
            directory(&self.places.state, access).unwrap();
            take_over(&self.places, access).unwrap();
        }

        fn holds(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.places.state.join(name)).ok()
        }
    }

    #[test]
    fn what_an_earlier_version_kept_moves_once() {
        let board = Board::new();
        board.take_over();
        assert_eq!(
            (board.holds("token").as_deref(), board.holds("keys/ca.pem").as_deref()),
            (Some("s3cret"), Some("pem"))
        );
        let token = format!("token_file = {:?}", board.places.state.join("token"));
        assert!(board.holds(SETTINGS).unwrap().contains(&token));
        let mode = |name: &str| fs::metadata(board.places.state.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(SUPPLICANT), mode("token"), mode("")), (0o600, 0o640, 0o750));
        assert!(!board.places.former_state().exists());
        // What appears there later is nobody's.
        fs::create_dir(board.places.former_state()).unwrap();
        fs::write(board.places.former_state().join("token"), "forged").unwrap();
        board.take_over();
        assert_eq!(board.holds("token").as_deref(), Some("s3cret"));
    }

    #[test]
    fn no_link_of_the_daemon_s_is_followed() {
        let board = Board::new();
        let (old, secret) = (board.places.former_state(), board.places.root.join("shadow"));
        fs::write(&secret, "root's").unwrap();
        fs::remove_file(old.join("token")).unwrap();
        symlink(&secret, old.join("token")).unwrap();
        symlink("/etc", old.join("etc")).unwrap();
        fs::hard_link(&secret, old.join("hard")).unwrap();
        fs::write(old.join("loose"), "anybody's").unwrap();
        fs::set_permissions(old.join("loose"), Permissions::from_mode(0o666)).unwrap();
        board.take_over();
        for name in ["token", "etc", "etc/passwd", "hard", "loose"] {
            assert_eq!(board.holds(name), None, "{name}");
        }
        assert_eq!(fs::read_to_string(secret).unwrap(), "root's");

        // The whole directory as a link, to where root's own files are.
        let board = Board::new();
        let elsewhere = board.places.root.join("elsewhere");
        fs::rename(board.places.former_state(), &elsewhere).unwrap();
        symlink(&elsewhere, board.places.former_state()).unwrap();
        board.take_over();
        assert_eq!(board.holds(SETTINGS), None);
        assert!(elsewhere.join(SETTINGS).exists());
        // And in the place of root's.
        fs::remove_dir_all(&board.places.state).unwrap();
        symlink(&elsewhere, &board.places.state).unwrap();
        directory(&board.places.state, Access { mode: 0o640, owner: None }).unwrap();
        assert!(fs::symlink_metadata(&board.places.state).unwrap().is_dir());
        assert_eq!(fs::read_dir(&board.places.state).unwrap().count(), 0);
    }
}
