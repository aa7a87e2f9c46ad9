//! Several processes with one file.

use std::thread;

use super::*;

#[test]
fn two_see_what_the_other_changed() {
    let (dir, mut daemon) = memory();
    let mut command = open(dir.path());
    let before = daemon.version();
    command.invite(&invite("Anna"), hash(1), NOW).unwrap();
    assert_ne!(daemon.version(), before);
    daemon.redeem(hash(1), "", hash(2), None, NOW).unwrap();
    assert!(matches!(command.redeem(hash(1), "", hash(3), None, NOW), Err(Redemption::UsedUp)));
    let before = daemon.version();
    command.session(hash(2), at(9000)).unwrap().unwrap();
    assert_eq!(daemon.version(), before, "being seen is no change");
    command.revoke("Anna", false).unwrap();
    assert_ne!(daemon.version(), before);
    assert_eq!(daemon.session(hash(2), NOW).unwrap(), None);
}

#[test]
fn an_invitation_is_used_once_however_many_try() {
    let (dir, mut memory) = memory();
    memory.invite(&Invite { uses: 3, ..invite("Anna") }, hash(1), NOW).unwrap();
    let tries = (0..4).map(|user| {
        let mut memory = open(dir.path());
        thread::spawn(move || {
            let tries = (0..4).map(|number| memory.redeem(hash(1), "", hash(100 + 10 * user + number), None, NOW));
            tries.filter(|redeemed| redeemed.is_ok()).count()
        })
    });
    let threads: Vec<_> = tries.collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 3);
    assert_eq!(memory.person("anna").unwrap().unwrap().sessions.len(), 3);
}

#[test]
fn a_file_is_begun_once_however_many_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..6)
        .map(|number| {
            let dir = dir.path().to_owned();
            thread::spawn(move || {
                let mut memory = open(&dir);
                memory.invite(&invite(&format!("Person {number}")), hash(number), NOW).unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(open(dir.path()).people().unwrap().len(), 6);
}
