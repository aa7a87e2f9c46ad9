//! Who may do what with which device. Rights are a person's; whoever connects does so under a [`Pass`], which says what
//! counts at that moment.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::protocol::{Kind, UserId};

/// One thing that a person may do with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Right {
    /// See and hear what is in front of it.
    View,
    /// Be heard there.
    Talk,
    /// Be called by it.
    Ring,
    /// Open the door.
    Open,
    /// Change its settings.
    Manage,
}

impl Right {
    pub const ALL: [Right; 5] = [Right::View, Right::Talk, Right::Ring, Right::Open, Right::Manage];

    pub fn name(self) -> &'static str {
        match self {
            Right::View => "view",
            Right::Talk => "talk",
            Right::Ring => "ring",
            Right::Open => "open",
            Right::Manage => "manage",
        }
    }
}

/// A set of rights; as text "view,talk", in JSON a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Right>", into = "Vec<Right>")]
pub struct Rights(u8);

impl Rights {
    pub const NONE: Rights = Rights(0);
    pub const ALL: Rights = Rights(0b1_1111);

    pub const fn of(rights: &[Right]) -> Rights {
        let (mut set, mut at) = (0, 0);
        while at < rights.len() {
            set |= 1 << rights[at] as u8;
            at += 1;
        }
        Rights(set)
    }

    pub fn has(self, right: Right) -> bool {
        self.0 & 1 << right as u8 != 0
    }

    /// Whether there is one of those at least.
    pub fn has_any(self, of: Rights) -> bool {
        self.0 & of.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self == Rights::NONE
    }

    /// What both have.
    #[must_use]
    pub fn within(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl From<Vec<Right>> for Rights {
    fn from(rights: Vec<Right>) -> Rights {
        Rights::of(&rights)
    }
}

impl From<Rights> for Vec<Right> {
    fn from(rights: Rights) -> Vec<Right> {
        rights.iter().collect()
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Right::name).collect::<Vec<_>>().join(","))
    }
}

/// Why a text is no set of rights, or no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {allowed}, not {found:?}")]
pub struct Unknown {
    pub allowed: &'static str,
    pub found: String,
}

impl FromStr for Rights {
    type Err = Unknown;

    /// An empty text is the empty set.
    fn from_str(text: &str) -> Result<Rights, Unknown> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let rights: Result<Vec<_>, _> = words
            .map(|word| {
                let found = Right::ALL.into_iter().find(|right| right.name() == word);
                found.ok_or(Unknown { allowed: "some of view, talk, ring, open, manage", found: word.to_owned() })
            })
            .collect();
        rights.map(Rights::from)
    }
}

/// What somebody is to the household.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// May everything, and invites.
    Owner,
    /// Lives here: is there for the others, on every device unless it is said otherwise.
    Member,
    /// Sees devices, and not who lives here.
    Guest,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Member => "member",
            Role::Guest => "guest",
        }
    }

    /// What somebody invited as such may do, unless it is said otherwise.
    pub fn usual_rights(self) -> Rights {
        match self {
            Role::Owner => Rights::ALL,
            Role::Member => Rights::of(&[Right::View, Right::Talk, Right::Ring, Right::Open]),
            Role::Guest => Rights::of(&[Right::View, Right::Talk]),
        }
    }
}

impl FromStr for Role {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Role, Unknown> {
        let all = [Role::Owner, Role::Member, Role::Guest];
        let found = all.into_iter().find(|role| role.name() == text);
        found.ok_or(Unknown { allowed: "owner, member or guest", found: text.to_owned() })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A person's rights by device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grants {
    /// On every device that is not named in `at`.
    pub everywhere: Rights,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<UserId, Rights>,
}

impl Grants {
    pub fn everywhere(rights: Rights) -> Grants {
        Grants { everywhere: rights, at: BTreeMap::new() }
    }

    /// These rights on these devices, and none elsewhere.
    pub fn only_at(devices: impl IntoIterator<Item = UserId>, rights: Rights) -> Grants {
        Grants { everywhere: Rights::NONE, at: devices.into_iter().map(|device| (device, rights)).collect() }
    }

    pub fn at(&self, device: &UserId) -> Rights {
        self.at.get(device).copied().unwrap_or(self.everywhere)
    }
}

/// What somebody showed when connecting comes to: who it is, and what counts for it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing was shown where something has to be.
    Nobody,
    /// Everybody may come, under the ID they choose, and do everything.
    Anybody,
    /// A device, under its own ID.
    Device(UserId),
    Person(Person),
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
}

impl Person {
    pub fn rights_at(&self, device: &UserId) -> Rights {
        match self.role {
            Role::Owner => Rights::ALL,
            Role::Member | Role::Guest => self.grants.at(device),
        }
    }

    fn lives_here(&self) -> bool {
        matches!(self.role, Role::Owner | Role::Member)
    }
}

/// What one may say to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        (Pass::Person(person), Pass::Device(device)) => reach_by(person.rights_at(device), CALLS),
        (Pass::Device(device), Pass::Person(person)) => reach_by(person.rights_at(device), Rights::of(&[Right::Ring])),
        (Pass::Person(a), Pass::Person(b)) if a.lives_here() && b.lives_here() => Reach::Calls,
        (Pass::Person(_), Pass::Person(_)) => Reach::Unseen,
    }
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
            (Pass::Person(person), Pass::Device(device)) => person.rights_at(device),
            (Pass::Person(_) | Pass::Anybody | Pass::Device(_), _) => Rights::ALL,
        }
    }

    /// Whether somebody may join under that ID and as that kind.
    pub fn admits(&self, user_id: &UserId, kind: Kind) -> bool {
        match self {
            Pass::Nobody => false,
            Pass::Anybody => true,
            Pass::Device(own) => own == user_id && kind == Kind::Device,
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
        Pass::Person(Person { user_id: id("anna"), name: "Anna".to_owned(), role, grants })
    }

    #[test]
    fn rights_are_written_as_they_are_read() {
        for text in ["", "view", "view,talk", "view,talk,ring,open,manage"] {
            assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        }
        assert_eq!(" talk, view,".parse::<Rights>().unwrap(), Rights::of(&[Right::View, Right::Talk]));
        let error = "view,fly".parse::<Rights>().unwrap_err().to_string();
        assert!(error.contains("manage") && error.contains("\"fly\""), "{error}");
        let json = serde_json::to_string(&Rights::ALL).unwrap();
        assert_eq!(json, r#"["view","talk","ring","open","manage"]"#);
        assert_eq!(serde_json::from_str::<Rights>(&json).unwrap(), Rights::ALL);
    }

    #[test]
    fn what_is_said_of_a_device_goes_before_what_is_said_of_all() {
        let mut grants = Grants::everywhere(Rights::of(&[Right::View]));
        grants.at.insert(id("cellar"), Rights::NONE);
        assert_eq!(grants.at(&id("door")), Rights::of(&[Right::View]));
        assert_eq!(grants.at(&id("cellar")), Rights::NONE);
        // An owner shuts nobody out of their own house, themselves least of all.
        assert_eq!(person(Role::Owner, grants.clone()).rights_at(&Pass::Device(id("cellar"))), Rights::ALL);
        assert_eq!(person(Role::Member, grants).rights_at(&Pass::Device(id("cellar"))), Rights::NONE);
    }

    #[test]
    fn who_may_call_whom() {
        let door = Pass::Device(id("door"));
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
            (&guest(&[Right::View]), &Pass::Device(id("cellar")), Reach::Unseen),
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
        assert!(Pass::Device(id("door")).admits(&id("door"), Kind::Device));
        assert!(!Pass::Device(id("door")).admits(&id("door"), Kind::Person));
    }
}
