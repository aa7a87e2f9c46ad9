//! Who answers for a call, as the wire has it: keys, and what is signed with them. What that proves is `logic::identity`'s.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

/// So many bytes; as text base64url (RFC 4648, section 5) without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoded<const N: usize>(pub [u8; N]);

/// Of Ed25519 (RFC 8032), or r and s of ECDSA one after the other.
pub type Signature = Encoded<64>;
/// Random, and never used again.
pub type Nonce = Encoded<16>;
/// What a server asks a device to sign, random and once for each connection.
pub type Challenge = Encoded<32>;

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// A device's, or a household's.
    Ed25519([u8; 32]),
    /// A browser's: the point without compression (SEC 1, section 2.3.3), as WebCrypto calls "raw".
    P256([u8; 65]),
}

/// What comes with an offer or an answer of those who have a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub key: Key,
    /// The household's word that the key belongs to the sender.
    pub vouch: Signature,
    pub nonce: Nonce,
    /// In answers: of the call. Who offers signs in `proof`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// How a device shows in `join` that it has its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    pub key: Key,
    pub signature: Signature,
    /// What lets the key have the ID for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<super::Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(&'static str);

impl<const N: usize> FromStr for Encoded<N> {
    type Err = InvalidText;

    /// Takes what `Display` writes and nothing else.
    fn from_str(text: &str) -> Result<Encoded<N>, InvalidText> {
        let invalid = InvalidText("not the right number of bytes in base64url");
        // Longer ones are not even decoded.
        if text.len() > N.saturating_mul(2) {
            return Err(invalid);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| invalid)?;
        bytes.try_into().map(Encoded).map_err(|_| invalid)
    }
}

impl<const N: usize> fmt::Display for Encoded<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<const N: usize> fmt::Debug for Encoded<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Key {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Key, InvalidText> {
        let (kind, bytes) = text.split_once(':').ok_or(InvalidText("a key begins with \"ed25519:\" or \"p256:\""))?;
        match kind {
            "ed25519" => Ok(Key::Ed25519(bytes.parse::<Encoded<32>>()?.0)),
            "p256" => Ok(Key::P256(bytes.parse::<Encoded<65>>()?.0)),
            _ => Err(InvalidText("a key begins with \"ed25519:\" or \"p256:\"")),
        }
    }
}

impl Key {
    /// Its bytes as text, where everybody knows of what kind it is.
    pub fn bare(&self) -> String {
        match self {
            Key::Ed25519(bytes) => Encoded(*bytes).to_string(),
            Key::P256(bytes) => Encoded(*bytes).to_string(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Ed25519(_) => write!(f, "ed25519:{}", self.bare()),
            Key::P256(_) => write!(f, "p256:{}", self.bare()),
        }
    }
}

impl<const N: usize> TryFrom<String> for Encoded<N> {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Encoded<N>, InvalidText> {
        text.parse()
    }
}

impl<const N: usize> From<Encoded<N>> for String {
    fn from(encoded: Encoded<N>) -> String {
        encoded.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Key, InvalidText> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_else_is_a_key() {
        let short = "A".repeat(43);
        assert!(format!("ed25519:{short}").parse::<Key>().is_ok());
        for bad in [
            "",
            &short,
            "ed25519:",
            "ed25519:AAAA",
            &format!("rsa:{short}"),
            &format!("p256:{short}"),
            &format!("ed25519:{short}="),
        ] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(short in any::<[u8; 32]>(), x in any::<[u8; 32]>()) {
            let mut long = [4; 65];
            long[1..33].copy_from_slice(&x);
            for key in [Key::Ed25519(short), Key::P256(long)] {
                prop_assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
            }
        }

        #[test]
        fn no_text_breaks_it(text in ".{0,100}") {
            prop_assert!(text.parse::<Key>().is_err());
            prop_assert!(text.parse::<Signature>().is_err());
        }
    }
}
