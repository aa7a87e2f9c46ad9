//! Who may do what with which device. Rights are a person's; whoever connects does so under a [`Pass`], which says what
//! counts at that moment.

pub use crate::protocol::{Grants, Right, Rights, Role, Unknown};
use crate::protocol::{Kind, Signature, UserId};

impl Role {
    /// What somebody invited as such may do, unless it is said otherwise.
    pub fn usual_rights(self) -> Rights {
        match self {
            Role::Owner => Rights::ALL,
            Role::Member => Rights::of(&[Right::View, Right::Talk, Right::Ring, Right::Open]),
            Role::Guest => Rights::of(&[Right::View, Right::Talk]),
        }
    }
}

/// What somebody showed when connecting comes to: who it is, and what counts for it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing was shown where something has to be.
    Nobody,
    /// Everybody may come, under the ID they choose, and do everything.
    Anybody,
    Device(Device),
    Person(Person),
}

/// A device of the household.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub id: UserId,
    /// The household's word for its key.
    pub vouch: Option<Signature>,
}

/// Somebody of the household, in one of their browsers or programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The ID of this browser: no other has it.
    pub user_id: UserId,
    /// How the household calls this person.
    pub name: String,
    pub role: Role,
    pub grants: Grants,
    /// The household's word for this browser's key, where it has one.
    pub vouch: Option<Signature>,
}

impl Person {
    pub fn rights_at(&self, device: &UserId) -> Rights {
        match self.role {
            Role::Owner => Rights::ALL,
            Role::Member | Role::Guest => self.grants.at(device),
        }
    }

    /// What they may do where, as they are told themselves: without the devices that they do not know of.
    pub fn standing(&self) -> Grants {
        match self.role {
            Role::Owner => Grants::everywhere(Rights::ALL),
            Role::Member | Role::Guest => {
                let known = self.grants.at.iter().filter(|(_, rights)| !rights.is_empty());
                Grants {
                    everywhere: self.grants.everywhere,
                    at: known.map(|(id, rights)| (id.clone(), *rights)).collect(),
                }
            }
        }
    }

    fn lives_here(&self) -> bool {
        matches!(self.role, Role::Owner | Role::Member)
    }
}

/// What one may say to another; more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Not even that the other is there.
    Unseen,
    /// One knows of the other, and may go on with a call that the other began.
    Seen,
    /// May call.
    Calls,
}

/// Whoever has one of these knows of the device.
const TAKES_PART: Rights = Rights::ALL;
/// What makes a call worth beginning.
const CALLS: Rights = Rights::of(&[Right::View, Right::Talk]);

/// What `from` may say to `to`.
pub fn reach(from: &Pass, to: &Pass) -> Reach {
    match (from, to) {
        (Pass::Nobody, _) | (_, Pass::Nobody) => Reach::Unseen,
        (Pass::Anybody, _) | (_, Pass::Anybody) | (Pass::Device(_), Pass::Device(_)) => Reach::Calls,
        (Pass::Person(person), Pass::Device(device)) => reach_by(person.rights_at(&device.id), CALLS),
        (Pass::Device(device), Pass::Person(person)) => {
            reach_by(person.rights_at(&device.id), Rights::of(&[Right::Ring]))
        }
        (Pass::Person(a), Pass::Person(b)) if a.lives_here() && b.lives_here() => Reach::Calls,
        (Pass::Person(_), Pass::Person(_)) => Reach::Unseen,
    }
}

/// Whether one of the two may know of the other, and so both do.
pub fn know_each_other(a: &Pass, b: &Pass) -> bool {
    reach(a, b) > Reach::Unseen || reach(b, a) > Reach::Unseen
}

fn reach_by(rights: Rights, calls: Rights) -> Reach {
    if rights.has_any(calls) {
        Reach::Calls
    } else if rights.has_any(TAKES_PART) {
        Reach::Seen
    } else {
        Reach::Unseen
    }
}

impl Pass {
    /// What the one who is there under this pass may do with the one under `device`; everything, where `device` is none.
    pub fn rights_at(&self, device: &Pass) -> Rights {
        match (self, device) {
            (Pass::Nobody, _) => Rights::NONE,
            (Pass::Person(person), Pass::Device(device)) => person.rights_at(&device.id),
            (Pass::Person(_) | Pass::Anybody | Pass::Device(_), _) => Rights::ALL,
        }
    }

    /// What its holder is told of the household's word for their key.
    pub fn vouch(&self) -> Option<Signature> {
        match self {
            Pass::Nobody | Pass::Anybody => None,
            Pass::Device(device) => device.vouch,
            Pass::Person(person) => person.vouch,
        }
    }

    /// Whose pass it is, where it is not everybody's: two connections with the same one are the same somebody's.
    pub fn holder(&self) -> Option<(Kind, &UserId)> {
        match self {
            Pass::Nobody | Pass::Anybody => None,
            Pass::Device(device) => Some((Kind::Device, &device.id)),
            Pass::Person(person) => Some((Kind::Person, &person.user_id)),
        }
    }

    /// Whether the same counts under both: they differ in a person's name at most.
    pub fn counts_as(&self, other: &Pass) -> bool {
        match (self, other) {
            (Pass::Person(a), Pass::Person(b)) => (&a.user_id, a.role, &a.grants) == (&b.user_id, b.role, &b.grants),
            (Pass::Nobody | Pass::Anybody | Pass::Device(_) | Pass::Person(_), _) => self == other,
        }
    }

    /// Whether the one under `old` could do something with the one under `other`, or the other way round, that is over
    /// with `self` in its place.
    pub fn takes_from(&self, old: &Pass, other: &Pass) -> bool {
        let both = |pass: &Pass| (pass.rights_at(other), other.rights_at(pass));
        let ((before, theirs_before), (after, theirs_after)) = (both(old), both(self));
        reach(self, other) < reach(old, other)
            || reach(other, self) < reach(other, old)
            || before.within(after) != before
            || theirs_before.within(theirs_after) != theirs_before
    }

    /// Whether somebody may join under that ID and as that kind.
    pub fn admits(&self, user_id: &UserId, kind: Kind) -> bool {
        match self {
            Pass::Nobody => false,
            Pass::Anybody => true,
            Pass::Device(own) => own.id == *user_id && kind == Kind::Device,
            Pass::Person(person) => person.user_id == *user_id && kind == Kind::Person,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> UserId {
        text.parse().unwrap()
    }

    fn person(role: Role, grants: Grants) -> Pass {
        Pass::Person(Person { user_id: id("anna"), name: "Anna".to_owned(), role, grants, vouch: None })
    }

    fn device(name: &str) -> Pass {
        Pass::Device(Device { id: id(name), vouch: None })
    }

    #[test]
    fn what_is_said_of_a_device_goes_before_what_is_said_of_all() {
        let mut grants = Grants::everywhere(Rights::of(&[Right::View]));
        grants.at.insert(id("cellar"), Rights::NONE);
        assert_eq!(grants.at(&id("door")), Rights::of(&[Right::View]));
        assert_eq!(grants.at(&id("cellar")), Rights::NONE);
        // An owner shuts nobody out of their own house, themselves least of all.
        assert_eq!(person(Role::Owner, grants.clone()).rights_at(&device("cellar")), Rights::ALL);
        assert_eq!(person(Role::Member, grants).rights_at(&device("cellar")), Rights::NONE);
    }

    #[test]
    fn who_may_call_whom() {
        let door = device("door");
        let guest = |rights: &[Right]| person(Role::Guest, Grants::only_at([id("door")], Rights::of(rights)));
        let member = person(Role::Member, Grants::everywhere(Role::Member.usual_rights()));
        for (from, to, reached) in [
            (&Pass::Nobody, &door, Reach::Unseen),
            (&door, &Pass::Nobody, Reach::Unseen),
            (&Pass::Anybody, &door, Reach::Calls),
            (&door, &door, Reach::Calls),
            (&member, &door, Reach::Calls),
            (&door, &member, Reach::Calls),
            (&member, &member, Reach::Calls),
            (&guest(&[Right::View]), &door, Reach::Calls),
            (&guest(&[Right::Talk]), &door, Reach::Calls),
            (&guest(&[Right::Ring]), &door, Reach::Seen),
            (&door, &guest(&[Right::Ring]), Reach::Calls),
            (&door, &guest(&[Right::View]), Reach::Seen),
            (&guest(&[]), &door, Reach::Unseen),
            (&guest(&[Right::View]), &device("cellar"), Reach::Unseen),
            (&guest(&Right::ALL), &member, Reach::Unseen),
            (&member, &guest(&Right::ALL), Reach::Unseen),
        ] {
            assert_eq!(reach(from, to), reached, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn nobody_joins_as_somebody_else() {
        let anna = person(Role::Owner, Grants::default());
        assert!(anna.admits(&id("anna"), Kind::Person));
        assert!(!anna.admits(&id("ben"), Kind::Person));
        assert!(!anna.admits(&id("anna"), Kind::Device));
        assert!(!Pass::Nobody.admits(&id("anna"), Kind::Person));
        assert!(device("door").admits(&id("door"), Kind::Device));
        assert!(!device("door").admits(&id("door"), Kind::Person));
    }

    #[test]
    fn what_a_change_takes_away() {
        let door = device("door");
        let guest = |rights: &[Right]| person(Role::Guest, Grants::everywhere(Rights::of(rights)));
        let all = guest(&Right::ALL);
        for (old, new, other, takes) in [
            (&all, &all, &door, false),
            (&guest(&[Right::View]), &all, &door, false),
            (&all, &guest(&[Right::View, Right::Talk, Right::Ring, Right::Open]), &door, true),
            (&all, &guest(&[]), &door, true),
            (&all, &Pass::Nobody, &door, true),
            (&door, &Pass::Nobody, &all, true),
            (&Pass::Anybody, &all, &door, false),
            (&Pass::Anybody, &guest(&[Right::View]), &door, true),
            (&person(Role::Member, Grants::default()), &guest(&[]), &person(Role::Owner, Grants::default()), true),
            (&person(Role::Member, Grants::default()), &guest(&[]), &door, false),
        ] {
            assert_eq!(new.takes_from(old, other), takes, "{old:?} to {new:?}, at {other:?}");
        }
        let mut renamed = all.clone();
        let Pass::Person(person) = &mut renamed else { unreachable!() };
        person.name = "Anna B.".to_owned();
        assert!(renamed.counts_as(&all) && !door.counts_as(&all) && !guest(&[]).counts_as(&all));
    }

    #[test]
    fn nobody_is_told_of_a_device_that_is_not_for_them() {
        let mut grants = Grants::everywhere(Rights::of(&[Right::View]));
        grants.at.insert(id("cellar"), Rights::NONE);
        grants.at.insert(id("door"), Rights::ALL);
        let Pass::Person(mut anna) = person(Role::Member, grants) else { unreachable!() };
        assert_eq!(anna.standing().at.into_keys().collect::<Vec<_>>(), [id("door")]);
        anna.role = Role::Owner;
        assert_eq!(anna.standing(), Grants::everywhere(Rights::ALL));
    }
}
