//! Who somebody is: the ID under which messages find their way.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MAX_ID_BYTES;
use crate::base::unseen::is_unseen;

/// Who somebody is at the signaling server: 1 to [`MAX_ID_BYTES`] bytes, no spaces at the ends, and no characters that
/// nobody sees: with those one could pass for another. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(Arc<str>);

impl UserId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let hidden = |c: char| c.is_control() || is_unseen(c);
        match text.trim() == text && (1..=MAX_ID_BYTES).contains(&text.len()) && !text.contains(hidden) {
            true => Ok(UserId(text.into())),
            false => Err(InvalidId),
        }
    }
}

/// IDs are looked up by what a message says, without a copy of it.
impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
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
        id.as_str().to_owned()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ID has 1 to 64 bytes, no control or invisible characters, and no spaces at its ends")]
pub struct InvalidId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_no_other() {
        for good in ["anna", "Aunt Mae", "Haustür", "玄関", "door-2.hall", "🔔"] {
            assert_eq!(good.parse::<UserId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " anna",
            "anna\n",
            "an\u{200b}na",
            "anna\u{200d}",
            "\u{202e}anna",
            "anna\u{2066}",
            "an\u{ad}na",
            "\u{feff}anna",
            "anna\u{3164}",
            "anna\u{2028}x",
            "anna\u{34f}",
            "anna\u{e0020}",
        ] {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidId), "{bad:?}");
        }
    }
}
