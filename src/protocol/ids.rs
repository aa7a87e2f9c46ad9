//! Who somebody is: the ID under which messages find their way.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::MAX_ID_BYTES;

/// Who somebody is at the signaling server: 1 to [`MAX_ID_BYTES`] bytes, no control characters, no spaces at the ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl UserId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        match text.trim() == text && (1..=MAX_ID_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
            true => Ok(UserId(text)),
            false => Err(InvalidId),
        }
    }
}

impl std::str::FromStr for UserId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.to_owned().try_into()
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> String {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ID has 1 to 64 bytes, no control characters, and no spaces at its ends")]
pub struct InvalidId;
