//! What happens to a file that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn household(dir: &Path) -> Vec<u8> {
    let mut memory = open(dir);
    for number in 0..60 {
        with_session(&mut memory, &owner(&format!("Person {number}")), number * 10);
    }
    drop(memory);
    fs::read(dir.join("household.db")).unwrap()
}

#[test]
fn a_damaged_file_is_kept_and_opens_no_house() {
    let sound = household(tempfile::tempdir().unwrap().path());
    let mut zeros = sound.clone();
    zeros[8192..20480].fill(0);
    let mut foreign = sound.clone();
    foreign[68..72].fill(0);
    for (what, bytes) in [
        ("cut", &sound[..sound.len() / 2]),
        ("cut within the header", &sound[..50]),
        ("cut to nothing", &[]),
        ("zeros in the middle", &zeros),
        ("nothing but zeros", &vec![0; sound.len()]),
        ("another program's", &foreign),
        ("a text", &b"Dear diary, today I learnt what a database is. ".repeat(100)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("household.db"), bytes).unwrap();
        let opened = Sqlite::open(dir.path()).unwrap();
        let aside = dir.path().join("household.corrupt-1.db");
        assert_eq!(opened.set_aside.as_ref(), Some(&aside), "{what}");
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{what}");
        assert!(opened.memory.people().unwrap().is_empty());
        assert!(!opened.memory.is_empty().unwrap() && opened.memory.was_set_aside().unwrap(), "{what}");
        drop(opened);
        let again = open(dir.path());
        assert!(!again.is_empty().unwrap() && again.was_set_aside().unwrap(), "{what}");
    }
}

#[test]
fn each_damaged_file_has_a_name_of_its_own_and_its_log() {
    let dir = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        for (suffix, text) in [("", "no database"), ("-wal", "log"), ("-shm", "readers")] {
            fs::write(dir.path().join(format!("household.db{suffix}")), text).unwrap();
        }
        Sqlite::open(dir.path()).unwrap().set_aside.unwrap();
        let log = dir.path().join(format!("household.corrupt-{number}.db-wal"));
        assert!(!log.exists() || fs::read(log).unwrap() == b"log");
        assert!(dir.path().join(format!("household.corrupt-{number}.db")).exists());
    }
}

#[test]
fn a_power_cut_between_setting_aside_and_beginning_anew_opens_no_house() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("household.corrupt-1.db"), "no database").unwrap();
    fs::write(dir.path().join("household.db.new"), "half").unwrap();
    let memory = open(dir.path());
    assert!(!memory.is_empty().unwrap() && memory.was_set_aside().unwrap());
}

#[test]
fn a_file_that_others_use_is_not_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    household(dir.path());
    let _user = open(dir.path());
    fs::write(dir.path().join("household.db"), "no database").unwrap();
    let error = Sqlite::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn what_cannot_be_read_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("household.db")).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Database { .. } | StoreError::File { .. })));
    assert!(dir.path().join("household.db").is_dir());
    // A file where the directory should be.
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Sqlite::open(&file), Err(StoreError::File { .. })));
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let (dir, mut memory) = memory();
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    for name in ["household.db", "household.db-wal", "household.db-shm", "household.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    drop(memory);
    fs::set_permissions(dir.path().join("household.db"), fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(dir.path()));
    assert_eq!(mode("household.db"), 0o600);
}
