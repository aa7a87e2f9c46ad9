//! What lies in the state directory. Every part writes its own there; whoever has to find all of it, or a part of another
//! one's, finds the names here.

use std::fs::File;
use std::path::Path;

/// While there is no owner: the link that makes one. The server keeps it, and a card's report shows it.
pub const FIRST_LINK: &str = "first-link";
/// From a setup code to the next start: what is remembered of the secret in the link of whoever made the code, as 64
/// hexadecimal digits.
pub const FIRST_OWNER: &str = "first-owner";
/// From the moment on at which the appliance counts as being in service.
pub const COMMISSIONED: &str = "commissioned";
/// Held by whoever has the server's memory open; `store` takes it.
const HOUSEHOLD_LOCK: &str = "household.lock";

/// All that Callbox keeps there, or has kept. While it is written, and where it is broken, it is called that and a dot more.
const NAMES: [&str; 8] = [FIRST_LINK, FIRST_OWNER, COMMISSIONED, "tls", "acme", "device.key", "paired", "board"];
const UNFINISHED: [&str; 3] = ["", ".tmp", ".broken"];
/// The server's memory, and what lies beside it, begins like one of these.
const HOUSEHOLD: [&str; 3] = ["household.db", HOUSEHOLD_LOCK, "household.corrupt-"];

/// Whether a file or a directory of that name in the state directory is ours.
pub fn is_ours(name: &str) -> bool {
    let named = |ours: &&str| name.strip_prefix(*ours).is_some_and(|rest| UNFINISHED.contains(&rest));
    HOUSEHOLD.iter().any(|beginning| name.starts_with(beginning)) || NAMES.iter().any(named)
}

/// Whether somebody uses the server's memory in that directory.
pub fn household_in_use(dir: &Path) -> bool {
    let lock = File::open(dir.join(HOUSEHOLD_LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_told_from_others() {
        for ours in ["household.db", "household.corrupt-1.db-wal", "first-link", "first-link.tmp", "tls", "device.key"]
        {
            assert!(is_ours(ours), "{ours}");
        }
        for other in ["", "household", "household.txt", "letter.txt", ".ssh", "tls-of-others", "device.txt"] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn a_lock_that_is_held_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!household_in_use(dir.path()));
        let lock = File::create(dir.path().join(HOUSEHOLD_LOCK)).unwrap();
        assert!(!household_in_use(dir.path()));
        lock.lock_shared().unwrap();
        assert!(household_in_use(dir.path()));
    }
}
