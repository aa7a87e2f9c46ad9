//! What 'callbox pair' prints and a device elsewhere is given: it lets the device's key have an ID once, and says by which key
//! the household is known.

use std::fmt;
use std::str::FromStr;

use super::{Encoded, InvalidToken, Key, Token};

/// As text "pair.SECRET.KEY". The secret is a secret, so that nothing prints it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Pairing {
    /// 32 random bytes in base64url.
    pub secret: Token,
    pub household: Key,
}

/// How every one begins.
const MARK: &str = "pair.";

impl Pairing {
    /// Whether a text claims to be one, rather than a token of another kind.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(MARK)
    }

    /// For whoever is to have it.
    pub fn text(&self) -> String {
        format!("{MARK}{}.{}", self.secret.secret(), self.household.bare())
    }
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pairing(…)")
    }
}

impl FromStr for Pairing {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Pairing, InvalidToken> {
        let (secret, household) = text.strip_prefix(MARK).and_then(|rest| rest.split_once('.')).ok_or(InvalidToken)?;
        let Encoded(key) = household.parse::<Encoded<32>>().map_err(|_| InvalidToken)?;
        secret.parse::<Encoded<32>>().map_err(|_| InvalidToken)?;
        Ok(Pairing { secret: Token::try_from(secret.to_owned())?, household: Key::Ed25519(key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_and_nothing_else() {
        let secret = Encoded([7u8; 32]).to_string();
        let text = format!("pair.{secret}.{}", Encoded([9u8; 32]));
        let pairing: Pairing = text.parse().unwrap();
        assert_eq!((pairing.text(), pairing.household), (text.clone(), Key::Ed25519([9; 32])));
        assert!(!format!("{pairing:?}").contains(&secret));
        for bad in [secret.as_str(), "pair.", &text[..text.len() - 1], &format!("{text}A"), &format!("pair.x.{secret}")]
        {
            assert!(bad.parse::<Pairing>().is_err(), "{bad}");
        }
    }
}
