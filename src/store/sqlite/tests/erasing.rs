//! Taking back, renaming, and leaving no trace.

use std::fs;

use super::*;

#[test]
fn a_person_goes_with_all_that_is_theirs() {
    let (_dir, mut memory) = memory();
    with_session(&mut memory, &Invite { uses: 2, ..invite("Anna") }, 1);
    assert!(matches!(memory.revoke(" ANNA", false).unwrap(), Revoked::Person(anna) if anna.sessions.len() == 1));
    assert!(memory.session(hash(2), NOW).unwrap().is_none());
    assert!(matches!(memory.redeem(hash(1), "", hash(3), None, NOW), Err(Redemption::Unknown)));
    // Whoever comes back is another user to all that remember the first.
    assert_eq!(with_session(&mut memory, &invite("anna"), 10).user_id, id("anna-2"));
}

#[test]
fn an_id_takes_back_only_what_it_names() {
    let (_dir, mut memory) = memory();
    let kept = with_session(&mut memory, &Invite { uses: 2, ..invite("Anna") }, 1);
    let gone = memory.redeem(hash(1), "", hash(3), None, NOW).unwrap().session;
    let invitation = memory.person("anna").unwrap().unwrap().invitations[0].id.clone();
    assert!(matches!(memory.revoke(&gone, false).unwrap(),
        Revoked::Session { person, session } if person == "Anna" && session.id == gone));
    assert!(matches!(memory.revoke(&invitation, false).unwrap(), Revoked::Invitation { .. }));
    assert!(memory.session(hash(3), NOW).unwrap().is_none());
    assert!(memory.look(&kept.session, NOW).unwrap().is_some());
    assert!(memory.revoke(&gone, false).is_err());
}

#[test]
fn a_slip_names_what_there_is() {
    let (_dir, mut memory) = memory();
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    for error in [
        memory.revoke("Ana", false).unwrap_err(),
        memory.erase("Ana", false).unwrap_err(),
        memory.rename("Ana", "Eve").unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("did you mean \"Anna\"?"), "{error}");
    }
    assert!(!memory.revoke("Christine", false).unwrap_err().to_string().contains("Anna"));
}

#[test]
fn the_last_owner_stays_unless_it_is_forced() {
    let (_dir, mut memory) = memory();
    memory.invite(&owner("Anna"), hash(1), NOW).unwrap();
    memory.invite(&owner("Ben"), hash(2), NOW).unwrap();
    memory.revoke("Ben", false).unwrap();
    assert!(matches!(memory.revoke("Anna", false), Err(MemoryError::LastOwner { .. })));
    assert!(matches!(memory.erase("Anna", false), Err(MemoryError::LastOwner { .. })));
    memory.revoke("Anna", true).unwrap();
    assert!(memory.people().unwrap().is_empty());
    assert!(!memory.is_empty().unwrap());
}

#[test]
fn another_name_is_the_same_person() {
    let (_dir, mut memory) = memory();
    let session = with_session(&mut memory, &invite("Anna"), 1);
    memory.invite(&invite("Ben"), hash(9), NOW).unwrap();
    assert!(matches!(memory.rename("anna", "BEN"), Err(MemoryError::NameTaken { .. })));
    assert!(matches!(memory.rename("anna", "\n"), Err(MemoryError::Name(_))));
    memory.rename("anna", "ANNA").unwrap();
    memory.rename("anna", "Hannah").unwrap();
    let login = memory.session(hash(2), NOW).unwrap().unwrap();
    assert_eq!((login.person.name.as_str(), login.session.user_id), ("Hannah", session.user_id));
    assert_eq!(memory.person("anna").unwrap(), None);
}

#[test]
fn nothing_is_left_of_an_erased_name() {
    let (dir, mut memory) = memory();
    let holds = |name: &str| {
        fs::read_dir(dir.path()).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap().to_ascii_lowercase();
            bytes.windows(name.len()).any(|window| window == name.as_bytes())
        })
    };
    // Pages split and merge around the rows.
    for number in 0..120 {
        with_session(&mut memory, &invite(&format!("Wilhelmina {number}")), 10 * number + 1000);
    }
    memory.rename("Wilhelmina 3", "Wilhelmina the Third").unwrap();
    let other = open(dir.path());
    assert!(holds("wilhelmina") && holds("wilhelmina-7"));
    for person in other.people().unwrap() {
        if person.id.0 % 2 == 0 {
            memory.revoke(&person.name, false).unwrap();
        } else {
            memory.erase(&person.name, false).unwrap();
        }
    }
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    memory.erase("Anna", false).unwrap();
    assert!(!holds("wilhelmina") && !holds("anna"));
    assert!(other.people().unwrap().is_empty());
    // Neither is the ID given again.
    assert_eq!(with_session(&mut memory, &invite("Wilhelmina 7"), 5000).user_id, id("wilhelmina-7-2"));
}

#[test]
fn traces_that_a_reader_kept_go_when_the_file_is_opened_again() {
    let (dir, mut memory) = memory();
    memory.invite(&invite("Wilhelmina"), hash(1), NOW).unwrap();
    memory.change(|transaction| revoke::erase(transaction, "wilhelmina", false)).unwrap();
    assert!(Fact::Traces.holds(&memory.connection).unwrap());
    drop(memory);
    let memory = open(dir.path());
    assert!(!Fact::Traces.holds(&memory.connection).unwrap());
    // A reader that does not let go, and nobody waits for it here.
    let reader = open(dir.path());
    reader.connection.execute_batch("BEGIN; SELECT count(*) FROM people").unwrap();
    memory.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(!revoke::clean(&memory.connection).unwrap());
    reader.connection.execute_batch("COMMIT").unwrap();
    assert!(revoke::clean(&memory.connection).unwrap());
}
