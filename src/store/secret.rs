//! Secrets that let somebody in, and what is remembered of them. They are long enough to be hashed once: 256 random bits
//! are not guessed, however fast that is tried.

use std::fmt;
use std::io;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::base::bytes;

/// What is remembered of a secret: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// 32 random bytes; as text 43 characters of base64url (RFC 4648, section 5) without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Fails where the kernel gives no randomness.
    pub fn random() -> io::Result<Secret> {
        bytes::random().map(Secret)
    }

    /// For links and cookies. Whoever reads it is let in.
    pub fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// For keys that are made of it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }
}

impl Hash {
    pub(super) fn of(bytes: &[u8]) -> Hash {
        Hash(bytes::sha256(bytes))
    }
}

/// A text that is no secret. It is not repeated: it may be one that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 43 letters, digits, '-' and '_'")]
pub struct InvalidSecret;

impl FromStr for Secret {
    type Err = InvalidSecret;

    /// Takes what [`Secret::text`] writes and nothing else, so that there is one text for each secret.
    fn from_str(text: &str) -> Result<Secret, InvalidSecret> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidSecret)?;
        bytes.try_into().map(Secret).map_err(|_| InvalidSecret)
    }
}

/// A log or a message must not let anybody in.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Shown in part: enough to tell two apart.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "Hash({a:02x}{b:02x}{c:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_base64url() {
        assert_eq!(Secret([0; 32]).text(), "A".repeat(43));
        assert_eq!(Secret([255; 32]).text(), format!("{}8", "_".repeat(42)));
        let counting = Secret(std::array::from_fn(|at| at as u8));
        assert_eq!(counting.text(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        assert_ne!(Secret::random().unwrap(), Secret::random().unwrap());
    }

    #[test]
    fn nothing_else_is_a_secret() {
        let long = "A".repeat(44);
        // The last one has bits that belong to no byte.
        for bad in ["", "A", &long, &long[..42], &format!("{}+", &long[..42]), &format!("{}B", &long[..42])] {
            assert_eq!(bad.parse::<Secret>(), Err(InvalidSecret), "{bad}");
        }
        assert_eq!(format!("{}ä", &long[..41]).parse::<Secret>(), Err(InvalidSecret));
    }

    #[test]
    fn it_is_hashed_and_not_shown() {
        let secret = Secret([0; 32]);
        // sha256sum of 32 zero bytes
        assert!(secret.hash().0.starts_with(&[0x66, 0x68, 0x7a, 0xad]), "{:?}", secret.hash());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(format!("{:?}", secret.hash()), "Hash(66687a..)");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(Secret(bytes).text().parse::<Secret>().unwrap(), Secret(bytes));
        }
    }
}
