//! Inviting people, and what becomes of it.

use std::time::Duration;

use super::*;
use crate::store::memory::{INVITATION_KEPT, MAX_SESSIONS, SEEN_STEP, SESSION_IDLE};

#[test]
fn a_new_name_makes_a_member_with_the_usual_rights() {
    let (_dir, mut memory) = memory();
    assert!(memory.is_empty().unwrap());
    let invited = memory.invite(&invite(" Anna "), hash(1), NOW).unwrap();
    assert!(invited.new && !invited.changed);
    assert!(!memory.is_empty().unwrap());
    let anna = memory.person("ANNA").unwrap().unwrap();
    assert_eq!((anna.name.as_str(), anna.role, anna.id), ("Anna", Role::Member, invited.person));
    assert_eq!(anna.grants, Grants::everywhere(Role::Member.usual_rights()));
    assert_eq!(anna.invitations[0].id, invited.invitation);
    assert!(anna.invitations[0].id.chars().all(|c| matches!(c, 'a'..='z' | '2'..='7')));
    assert_eq!(anna.invitations[0].id.len(), 8);
    memory.revoke("anna", false).unwrap();
    assert!(!memory.is_empty().unwrap(), "somebody was invited once");
}

#[test]
fn for_somebody_known_what_is_given_replaces_what_was() {
    let (_dir, mut memory) = memory();
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    let again = memory.invite(&invite("anna"), hash(2), NOW).unwrap();
    assert!(!again.new && !again.changed);
    let guest = Invite { role: Some(Role::Guest), until: Some(at(9)), ..invite("anna") };
    assert!(memory.invite(&guest, hash(3), NOW).unwrap().changed);
    let anna = memory.person("anna").unwrap().unwrap();
    // The door was a member's, and nobody gave it to the guest.
    assert_eq!((anna.role, anna.until), (Role::Guest, Some(at(9))));
    assert_eq!(anna.grants, Grants::everywhere(Role::Guest.usual_rights()));
    assert_eq!((anna.name.as_str(), anna.invitations.len()), ("Anna", 3));
    let own = Grants::only_at([id("door")], Rights::of(&[Right::View]));
    memory.invite(&Invite { grants: Some(own.clone()), ..invite("anna") }, hash(4), NOW).unwrap();
    memory.invite(&Invite { role: Some(Role::Member), ..invite("anna") }, hash(5), NOW).unwrap();
    assert_eq!(memory.person("anna").unwrap().unwrap().grants, own);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_dir, mut memory) = memory();
    let version = memory.version();
    for (invite, error) in [
        (invite("an\u{200b}na"), "invisible"),
        (Invite { uses: 0, ..invite("anna") }, "one use"),
        (Invite { from: Some(at(5)), until: Some(at(5)), ..invite("anna") }, "never count"),
    ] {
        let found = memory.invite(&invite, hash(1), NOW).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
    assert!(memory.is_empty().unwrap());
    memory.invite(&owner("Anna"), hash(1), NOW).unwrap();
    let guest = Invite { role: Some(Role::Guest), ..invite("anna") };
    assert!(matches!(memory.invite(&guest, hash(2), NOW), Err(MemoryError::LastOwner { .. })));
    assert_eq!(memory.version(), version + 1);
}

#[test]
fn an_invitation_is_used_as_often_as_it_says() {
    let (_dir, mut memory) = memory();
    memory.invite(&Invite { uses: 2, ..invite("Aunt Mae") }, hash(1), NOW).unwrap();
    let key = [4; 65];
    let first = memory.redeem(hash(1), " Firefox\n", hash(10), Some(&key), NOW).unwrap();
    let second = memory.redeem(hash(1), "Chromium", hash(11), None, NOW).unwrap();
    assert_eq!((first.user_id.as_str(), second.user_id.as_str()), ("aunt-mae", "aunt-mae-2"));
    assert!(matches!(memory.redeem(hash(1), "", hash(12), None, NOW), Err(Redemption::UsedUp)));
    assert!(matches!(memory.redeem(hash(2), "", hash(12), None, NOW), Err(Redemption::Unknown)));
    let login = memory.session(hash(10), NOW).unwrap().unwrap();
    assert_eq!((login.session.label.as_str(), login.session.key.as_deref()), ("Firefox", Some(&key[..])));
    assert_eq!(login.person.name, "Aunt Mae");
    assert!(login.person.sessions.is_empty());
    assert_eq!(memory.session(hash(12), NOW).unwrap(), None);
    // What fails takes nothing of it.
    memory.invite(&invite("Aunt Mae"), hash(3), NOW).unwrap();
    assert!(matches!(memory.redeem(hash(3), "", hash(10), None, NOW), Err(Redemption::Failed(_))));
    assert_eq!(memory.person("aunt mae").unwrap().unwrap().invitations[1].uses_left, 1);
}

#[test]
fn nobody_counts_outside_their_time() {
    let (_dir, mut memory) = memory();
    let visit = Invite { from: Some(at(10)), until: Some(at(20)), uses: 9, expires: Some(at(15)), ..invite("Ben") };
    memory.invite(&visit, hash(1), NOW).unwrap();
    assert!(
        matches!(memory.redeem(hash(1), "", hash(2), None, at(9)), Err(Redemption::NotYet(from)) if from == at(10))
    );
    let session = memory.redeem(hash(1), "", hash(2), None, at(10)).unwrap().session;
    memory.redeem(hash(1), "", hash(3), None, at(14)).unwrap();
    assert!(matches!(memory.redeem(hash(1), "", hash(4), None, at(15)), Err(Redemption::Expired)));
    for (time, counts) in [(9, false), (10, true), (19, true), (20, false), (10, true)] {
        assert_eq!(memory.session(hash(2), at(time)).unwrap().is_some(), counts, "{time}");
        assert_eq!(memory.look(&session, at(time)).unwrap().is_some(), counts, "{time}");
    }
    memory.invite(&invite("Ben"), hash(5), NOW).unwrap();
    assert!(matches!(memory.redeem(hash(5), "", hash(6), None, at(20)), Err(Redemption::Expired)));
}

#[test]
fn one_session_too_many_drops_the_one_seen_longest_ago() {
    let (_dir, mut memory) = memory();
    memory.invite(&Invite { uses: 99, ..invite("Anna") }, hash(0), NOW).unwrap();
    for number in 1..=u64::from(MAX_SESSIONS) {
        memory.redeem(hash(0), "", hash(number), None, at(number as i64)).unwrap();
    }
    memory.session(hash(1), at(7200)).unwrap().unwrap();
    memory.redeem(hash(0), "", hash(99), None, at(7300)).unwrap();
    assert!(memory.session(hash(1), at(7300)).unwrap().is_some());
    assert!(memory.session(hash(2), at(7300)).unwrap().is_none());
    assert_eq!(memory.person("anna").unwrap().unwrap().sessions.len(), MAX_SESSIONS as usize);
}

#[test]
fn it_is_noted_once_an_hour_that_a_session_was_seen() {
    let (_dir, mut memory) = memory();
    let session = with_session(&mut memory, &invite("Anna"), 1).session;
    let version = memory.version();
    let seen = |memory: &Sqlite| memory.person("anna").unwrap().unwrap().sessions[0].last_seen;
    let hour = SEEN_STEP.as_secs() as i64;
    for (time, noted) in [(hour - 1, 0), (hour, hour), (2 * hour - 1, hour), (-9 * hour, hour), (2 * hour, 2 * hour)] {
        memory.session(hash(2), at(time)).unwrap().unwrap();
        assert_eq!(seen(&memory), at(noted));
    }
    memory.look(&session, at(9 * hour)).unwrap().unwrap();
    assert_eq!(seen(&memory), at(2 * hour));
    memory.seen(&session, at(9 * hour)).unwrap();
    assert_eq!(seen(&memory), at(9 * hour));
    assert_eq!(memory.version(), version, "being seen is no change");
}

#[test]
fn who_was_not_seen_for_half_a_year_is_forgotten_but_no_program() {
    let (_dir, mut memory) = memory();
    let session = with_session(&mut memory, &invite("Anna"), 1).session;
    let rights = Grants::only_at([id("door")], Rights::of(&[Right::Open]));
    let program = memory.add_token("garage", &rights, None, hash(3), NOW).unwrap();
    assert_eq!(program.user_id, id("garage"));
    let late = NOW.plus(SESSION_IDLE);
    let just = NOW.plus(SESSION_IDLE - Duration::from_secs(1));
    assert!(memory.look(&session, just).unwrap().is_some());
    assert!(memory.look(&session, late).unwrap().is_none());
    assert!(memory.session(hash(2), late).unwrap().is_none());
    assert!(memory.session(hash(2), NOW).unwrap().is_none(), "the row is gone");
    let login = memory.session(hash(3), late).unwrap().unwrap();
    assert!(login.person.program);
    assert_eq!((login.person.grants, login.person.role), (rights, Role::Guest));
}

#[test]
fn programs_and_people_share_names_but_nothing_else() {
    let (_dir, mut memory) = memory();
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    let none = Grants::default();
    assert!(matches!(memory.add_token("ANNA", &none, None, hash(2), NOW), Err(MemoryError::NameTaken { .. })));
    let token = memory.add_token("garage", &none, Some(at(5)), hash(2), NOW).unwrap();
    assert!(matches!(memory.invite(&invite("Garage"), hash(3), NOW), Err(MemoryError::IsProgram { .. })));
    assert!(memory.session(hash(2), at(5)).unwrap().is_none());
    assert!(matches!(memory.revoke(&token.session, false).unwrap(), Revoked::Person(garage) if garage.program));
    assert_eq!(memory.people().unwrap().len(), 1);
}

#[test]
fn people_are_listed_with_what_is_theirs() {
    let (_dir, mut memory) = memory();
    for (number, name) in [(10, "Anna"), (20, "Ben"), (30, "Cleo")] {
        with_session(&mut memory, &invite(name), number);
    }
    memory.revoke("Ben", false).unwrap();
    let people = memory.people().unwrap();
    assert_eq!(people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>(), ["Anna", "Cleo"]);
    assert!(people.iter().all(|person| person.sessions.len() == 1 && person.invitations.len() == 1));
    assert_eq!(memory.person("Cleo").unwrap().as_ref(), Some(&people[1]));
    let back = memory.invite(&invite("Ben"), hash(40), NOW).unwrap();
    assert!(back.person > people[1].id, "a number is never used again");
}

#[test]
fn secrets_of_the_right_kind_fit() {
    let (_dir, mut memory) = memory();
    let (link, cookie) = (Secret::random().unwrap(), Secret::random().unwrap());
    memory.invite(&invite("Anna"), link.hash(), NOW).unwrap();
    memory.redeem(link.text().parse::<Secret>().unwrap().hash(), "", cookie.hash(), None, NOW).unwrap();
    assert!(memory.session(cookie.hash(), NOW).unwrap().is_some());
}

#[test]
fn old_invitations_go_when_nobody_asks_about_them_any_more() {
    let (_dir, mut memory) = memory();
    memory
        .invite(&Invite { expires: Some(NOW.plus(Duration::from_secs(24 * 60 * 60))), ..invite("Late") }, hash(1), NOW)
        .unwrap();
    memory.invite(&invite("Used"), hash(2), NOW).unwrap();
    memory.redeem(hash(2), "", hash(20), None, NOW).unwrap();
    memory.invite(&Invite { expires: None, ..invite("Open") }, hash(3), NOW).unwrap();
    let left =
        |memory: &Sqlite| memory.people().unwrap().iter().map(|person| person.invitations.len()).collect::<Vec<_>>();
    memory.invite(&invite("Anna"), hash(4), NOW.plus(INVITATION_KEPT)).unwrap();
    assert_eq!(left(&memory), [1, 1, 1, 1]);
    let later = NOW.plus(INVITATION_KEPT + 2 * Duration::from_secs(24 * 60 * 60));
    memory.invite(&invite("Ben"), hash(5), later).unwrap();
    assert_eq!(left(&memory), [0, 0, 1, 1, 1]);
    assert!(matches!(memory.redeem(hash(1), "", hash(21), None, later), Err(Redemption::Unknown)));
}

#[test]
fn a_session_gets_another_key() {
    let (_dir, mut memory) = memory();
    memory.invite(&invite("Anna"), hash(1), NOW).unwrap();
    let session = memory.redeem(hash(1), "", hash(2), Some(&[4; 65]), NOW).unwrap().session;
    let version = memory.version();
    assert!(memory.set_key(&session, &[5; 65]).unwrap());
    assert_eq!(memory.look(&session, NOW).unwrap().unwrap().session.key, Some(vec![5; 65]));
    assert_eq!(memory.version(), version + 1);
    assert!(!memory.set_key("nobodyss", &[6; 65]).unwrap());
}
