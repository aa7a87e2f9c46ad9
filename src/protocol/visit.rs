//! Somebody at a door: what the device tells those whom it rings, and what they say to it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{MAX_NAME_BYTES, MAX_RUNG, MAX_VISIT_ID_BYTES, UserId};
use crate::base::unseen::without_unseen;

/// In `rings` of a [`Visit`]: whoever may be rung by that device.
pub const EVERYONE: &str = "everyone";

/// Which visit: 1 to [`MAX_VISIT_ID_BYTES`] of a-z, 0-9 and '-'. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VisitId(Arc<str>);

impl VisitId {
    /// A number that nobody has given out before, as text.
    pub fn of(number: u64) -> VisitId {
        VisitId(format!("{number:016x}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VisitId {
    type Error = InvalidVisit;

    fn try_from(text: String) -> Result<Self, InvalidVisit> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        match (1..=MAX_VISIT_ID_BYTES).contains(&text.len()) && text.bytes().all(fits) {
            true => Ok(VisitId(text.into())),
            false => Err(InvalidVisit),
        }
    }
}

impl From<VisitId> for String {
    fn from(id: VisitId) -> String {
        id.as_str().to_owned()
    }
}

impl fmt::Display for VisitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a visit's ID has 1 to 32 of a-z, 0-9 and '-'")]
pub struct InvalidVisit;

/// How a visit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VisitState {
    /// Whoever is meant is rung.
    Ringing,
    /// Somebody has answered: `by`.
    Answered,
    /// All who were rung have declined.
    Declined,
    /// Whoever rang takes it back.
    Cancelled,
    /// Nobody came in time.
    Unanswered,
    /// It is over, for a reason that this version does not know, or so long that nothing is known of it.
    #[serde(other)]
    Over,
}

/// The device's word on a visit, which it repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    pub id: VisitId,
    pub state: VisitState,
    /// Goes up with each change, so that what comes late can be told from what is new.
    #[serde(default)]
    pub number: u32,
    /// What the bell is called.
    #[serde(deserialize_with = "short")]
    pub bell: String,
    /// Who is rung: names of people, IDs, or [`EVERYONE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub rings: Vec<String>,
    /// People who are rung no more, since they have declined.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "few")]
    pub declined: Vec<String>,
    /// Who has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Answerer>,
    /// How long ago the bell was rung.
    pub seconds: u32,
}

/// Who has answered, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answerer {
    pub user_id: UserId,
    #[serde(deserialize_with = "short")]
    pub name: String,
}

/// What somebody does who was rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Doing {
    /// Their phone rings.
    Rings,
    /// They see who is there, and are not heard.
    Looks,
    /// They talk, if nobody was quicker.
    Answers,
    /// They do not come.
    Declines,
}

/// What an offer is for, where it belongs to a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attendance {
    pub id: VisitId,
    pub does: Doing,
}

fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = without_unseen(&String::deserialize(deserializer)?);
    match text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control) {
        true => Ok(text),
        false => Err(serde::de::Error::custom("a name has at most 128 bytes and no control characters")),
    }
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.len() <= MAX_RUNG && names.iter().all(|name| name.len() <= MAX_NAME_BYTES) {
        true => Ok(names),
        false => Err(serde::de::Error::custom("at most 64 names of at most 128 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_visit_says_is_bounded() {
        let read = |more: &str| {
            serde_json::from_str::<Visit>(&format!(
                r#"{{"id":"v1","state":"ringing","bell":"Front","seconds":2{more}}}"#
            ))
        };
        let visit = read("").unwrap();
        assert_eq!((visit.state, visit.rings.len(), visit.by), (VisitState::Ringing, 0, None));
        assert!(read(r#","rings":["everyone"],"by":{"userId":"anna","name":"Anna"},"mood":1"#).is_ok());
        let many = serde_json::to_string(&vec!["x"; MAX_RUNG + 1]).unwrap();
        assert!(read(&format!(r#","rings":{many}"#)).is_err());
        assert!(read(&format!(r#","declined":["{}"]"#, "x".repeat(MAX_NAME_BYTES + 1))).is_err());
        let over = r#"{"id":"v1","state":"eaten","bell":"","seconds":0}"#;
        assert_eq!(serde_json::from_str::<Visit>(over).unwrap().state, VisitState::Over);
        for bad in ["", "V1", "a b", "ä", &"a".repeat(MAX_VISIT_ID_BYTES + 1)] {
            assert_eq!(VisitId::try_from(bad.to_owned()), Err(InvalidVisit), "{bad:?}");
        }
        assert_eq!(VisitId::of(7).as_str(), "0000000000000007");
    }
}
