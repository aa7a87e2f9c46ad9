//! Backups, and what they are good for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn backup(name: &str) -> (tempfile::TempDir, PathBuf) {
    let (dir, mut memory) = memory();
    with_session(&mut memory, &owner(name), 1);
    let path = dir.path().join("backup");
    memory.backup(&path).unwrap();
    (dir, path)
}

#[test]
fn a_backup_is_one_whole_private_file_and_replaces_nothing() {
    let (dir, mut memory) = memory();
    with_session(&mut memory, &owner("Anna"), 1);
    let path = dir.path().join("backup");
    memory.backup(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    assert!(matches!(memory.backup(&path), Err(MemoryError::BackupExists { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(matches!(memory.backup(&dir.path().join("no/such")), Err(MemoryError::BackupFile { .. })));
    let beside = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(beside.filter(|name| name.starts_with("backup")).count(), 1);
}

#[test]
fn a_backup_takes_the_place_of_the_file() {
    let (_kept, path) = backup("Anna");
    let dir = tempfile::tempdir().unwrap();
    let mut present = open(dir.path());
    with_session(&mut present, &owner("Ben"), 10);
    // As after a crash: the log is there, and must not meet the other file.
    let log = fs::read(dir.path().join("household.db-wal")).unwrap();
    assert!(!log.is_empty());
    let error = Sqlite::restore(dir.path(), &path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(present);
    fs::write(dir.path().join("household.db-wal"), &log).unwrap();
    Sqlite::restore(dir.path(), &path).unwrap();
    let mut memory = open(dir.path());
    assert_eq!(memory.people().unwrap().iter().map(|person| &*person.name).collect::<Vec<_>>(), ["Anna"]);
    assert!(memory.session(hash(2), NOW).unwrap().is_some());
    assert!(!memory.is_empty().unwrap());
    assert!(!dir.path().join("household.db.new").exists());
    let file = fs::metadata(dir.path().join("household.db")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_backup_helps_where_the_file_is_damaged_or_gone() {
    let (_kept, path) = backup("Anna");
    let dir = tempfile::tempdir().unwrap();
    Sqlite::restore(dir.path(), &path).unwrap();
    assert_eq!(open(dir.path()).people().unwrap().len(), 1);
    fs::write(dir.path().join("household.db"), "no database").unwrap();
    Sqlite::restore(dir.path(), &path).unwrap();
    assert_eq!(open(dir.path()).people().unwrap().len(), 1);
    assert!(dir.path().join("household.corrupt-1.db").exists());
}

#[test]
fn what_is_no_backup_changes_nothing() {
    let (kept, path) = backup("Anna");
    let dir = tempfile::tempdir().unwrap();
    with_session(&mut open(dir.path()), &owner("Ben"), 10);
    let mut newer = fs::read(&path).unwrap();
    newer[60..64].copy_from_slice(&999u32.to_be_bytes());
    let sound = fs::read(&path).unwrap();
    for (bytes, message) in [
        (&b"a text"[..], "no backup"),
        (&sound[..sound.len() - 5000], "no backup"),
        (&[], "it is empty"),
        (&newer, "its format is 999"),
    ] {
        let bad = kept.path().join("bad");
        fs::write(&bad, bytes).unwrap();
        let error = Sqlite::restore(dir.path(), &bad).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("/bad"), "{error}");
        assert_eq!(open(dir.path()).people().unwrap()[0].name, "Ben");
        assert!(!dir.path().join("household.db.new").exists());
    }
    assert!(matches!(Sqlite::restore(dir.path(), &kept.path().join("none")), Err(StoreError::File { .. })));
    // A file in use is not all of itself.
    let used = tempfile::tempdir().unwrap();
    let mut memory = open(used.path());
    with_session(&mut memory, &owner("Cleo"), 20);
    assert!(Sqlite::restore(dir.path(), &used.path().join("household.db")).is_err());
}
