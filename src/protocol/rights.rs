//! What a person may do with a device, and what they are to the household: the words for it, as the wire and files have
//! them. What follows from them is decided in `logic::access`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::UserId;

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

/// Reads a list that a later version has written: what it knows and we do not is left out.
pub(super) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rights>, D::Error> {
    let words = Option::<Vec<String>>::deserialize(deserializer)?;
    let is_said = |words: &[String], right: Right| words.iter().any(|word| word == right.name());
    let known =
        |words: Vec<String>| -> Vec<_> { Right::ALL.into_iter().filter(|right| is_said(&words, *right)).collect() };
    Ok(words.map(|words| known(words).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
