//! Random households against a model that is too simple to be wrong.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["Anna", "Ben", "Cleo"];

#[derive(Clone, Debug)]
enum Step {
    Invite { name: usize, uses: u32, from: Option<i64>, until: Option<i64>, expires: Option<i64> },
    Redeem { invitation: usize },
    Show { session: usize },
    RevokePerson { name: usize },
    RevokeSession { session: usize },
    Reopen,
    Wait { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let time = || proptest::option::of(0i64..40);
    prop_oneof![
        3 => (0..3usize, 1..4u32, time(), time(), time())
            .prop_map(|(name, uses, from, until, expires)| Step::Invite { name, uses, from, until, expires }),
        6 => (0..12usize).prop_map(|invitation| Step::Redeem { invitation }),
        4 => (0..20usize).prop_map(|session| Step::Show { session }),
        1 => (0..3usize).prop_map(|name| Step::RevokePerson { name }),
        1 => (0..20usize).prop_map(|session| Step::RevokeSession { session }),
        1 => Just(Step::Reopen),
        2 => (1..10i64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

#[derive(Default)]
struct Model {
    /// Their time.
    people: HashMap<usize, (Option<i64>, Option<i64>)>,
    /// Whose it is, uses left, end.
    invitations: Vec<Option<(usize, u32, Option<i64>)>>,
    /// Whose it is, and its ID.
    sessions: Vec<(Option<usize>, String)>,
}

impl Model {
    fn counts(&self, person: usize, now: i64) -> bool {
        self.people
            .get(&person)
            .is_some_and(|(from, until)| from.is_none_or(|from| now >= from) && until.is_none_or(|until| now < until))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_in_who_should_not(steps in proptest::collection::vec(step(), 1..40)) {
        let (dir, mut memory) = memory();
        let (mut model, mut now, mut ids) = (Model::default(), 0, HashSet::new());
        for step in steps {
            match step {
                Step::Invite { name, uses, from, until, expires } => {
                    let secret = hash(1000 + model.invitations.len() as u64);
                    let times = [from, until, expires].map(|time| time.map(at));
                    let invite = Invite { from: times[0], until: times[1], expires: times[2], uses, ..invite(NAMES[name]) };
                    let before = model.people.get(&name).copied().unwrap_or_default();
                    let after = (from.or(before.0), until.or(before.1));
                    let sound = !matches!(after, (Some(from), Some(until)) if until <= from);
                    prop_assert_eq!(memory.invite(&invite, secret, at(now)).is_ok(), sound);
                    model.invitations.push(sound.then_some((name, uses, expires)));
                    if sound {
                        model.people.insert(name, after);
                    }
                }
                Step::Redeem { invitation } => {
                    let session = hash(5000 + model.sessions.len() as u64);
                    let redeemed = memory.redeem(hash(1000 + invitation as u64), "", session, None, at(now));
                    let known = model.invitations.get(invitation).copied().flatten();
                    let good = known.filter(|(person, uses, expires)| {
                        *uses > 0 && expires.is_none_or(|end| now < end) && model.counts(*person, now)
                    });
                    prop_assert_eq!(redeemed.is_ok(), good.is_some(), "{:?}", redeemed);
                    if let (Ok(redeemed), Some((person, uses, expires))) = (redeemed, good) {
                        prop_assert!(ids.insert(redeemed.user_id), "an ID was given twice");
                        model.invitations[invitation] = Some((person, uses - 1, expires));
                        model.sessions.push((Some(person), redeemed.session));
                    }
                }
                Step::Show { session } => {
                    let known = model.sessions.get(session);
                    let counts = known.is_some_and(|(person, _)| person.is_some_and(|person| model.counts(person, now)));
                    prop_assert_eq!(memory.session(hash(5000 + session as u64), at(now)).unwrap().is_some(), counts);
                    if let Some((_, id)) = known {
                        prop_assert_eq!(memory.look(id, at(now)).unwrap().is_some(), counts);
                    }
                }
                Step::RevokePerson { name } => {
                    prop_assert_eq!(memory.revoke(NAMES[name], false).is_ok(), model.people.remove(&name).is_some());
                    model.sessions.iter_mut().filter(|(person, _)| *person == Some(name)).for_each(|gone| gone.0 = None);
                    for invitation in model.invitations.iter_mut().filter(|of| of.is_some_and(|(of, ..)| of == name)) {
                        *invitation = None;
                    }
                }
                Step::RevokeSession { session } => {
                    if let Some((person, id)) = model.sessions.get_mut(session) {
                        prop_assert_eq!(memory.revoke(id, false).is_ok(), person.take().is_some());
                    }
                }
                Step::Reopen => {
                    drop(memory);
                    memory = open(dir.path());
                }
                Step::Wait { seconds } => now += seconds,
            }
        }
        prop_assert_eq!(memory.people().unwrap().len(), model.people.len());
        let sessions = memory.people().unwrap().iter().map(|person| person.sessions.len()).sum::<usize>();
        prop_assert_eq!(sessions, model.sessions.iter().filter(|(person, _)| person.is_some()).count());
    }
}
