//! Who answers for a call. A household's own key vouches for the keys of its devices and browsers; both sides of a call sign
//! the fingerprints under which their media connection is encrypted (RFC 8122), so that nobody between them can put other
//! ones there. The texts that are signed are those of docs/protocol.md, and the page's `identity.js` has the same.

mod exchange;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use ring::signature::{self, ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

pub use self::exchange::{Exchange, Heard, PROOF_TIMEOUT, Unverified};
use crate::protocol::{Challenge, Encoded, Key, Kind, Nonce, Signature, UserId};

/// A key pair of Ed25519. It is never shown.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Of 32 random bytes, which are all that has to be kept. `None` only if they are no seed, which any 32 bytes are.
    pub fn of_seed(seed: &[u8; 32]) -> Option<SigningKey> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(SigningKey)
    }

    pub fn public(&self) -> Key {
        let mut key = [0; 32];
        key.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        Key::Ed25519(key)
    }

    fn sign(&self, text: &str) -> Signature {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(self.0.sign(text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
        Encoded(bytes)
    }

    /// As a household's key: this key belongs to that user.
    pub fn vouch(&self, kind: Kind, user: &UserId, key: &Key) -> Signature {
        self.sign(&vouch(kind, user, key))
    }

    /// As a device's key: we are at the server that goes by `host`, and want to join as `user`.
    pub fn sign_join(&self, host: &str, user: &UserId, challenge: &Challenge) -> Signature {
        self.sign(&join(host, user, challenge))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl Key {
    fn has_signed(&self, text: &str, signature: &Signature) -> bool {
        let (algorithm, key): (&dyn signature::VerificationAlgorithm, &[u8]) = match self {
            Key::Ed25519(key) => (&ED25519, key),
            Key::P256(key) => (&ECDSA_P256_SHA256_FIXED, key),
        };
        UnparsedPublicKey::new(algorithm, key).verify(text.as_bytes(), &signature.0).is_ok()
    }

    /// As a household's key. IDs are given once, to a device or to a person, so that either will do.
    pub fn vouches_for(&self, user: &UserId, key: &Key, vouch_of_it: &Signature) -> bool {
        [Kind::Device, Kind::Person].into_iter().any(|kind| self.has_signed(&vouch(kind, user, key), vouch_of_it))
    }

    /// As a device's key: whether it has signed that it wants to join as `user`.
    pub fn joins(&self, host: &str, user: &UserId, challenge: &Challenge, signature: &Signature) -> bool {
        self.has_signed(&join(host, user, challenge), signature)
    }
}

fn vouch(kind: Kind, user: &UserId, key: &Key) -> String {
    let kind = match kind {
        Kind::Device => "device",
        Kind::Person => "person",
    };
    format!("callbox vouch 1\n{kind}\n{user}\n{key}\n")
}

fn join(host: &str, user: &UserId, challenge: &Challenge) -> String {
    format!("callbox join 1\n{}\n{user}\n{challenge}\n", host.to_ascii_lowercase())
}

/// Which side of a call somebody is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Offers,
    Answers,
}

/// One side of what is signed of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Half {
    user: UserId,
    fingerprints: String,
    nonce: Nonce,
}

/// What `side` signs.
fn signed(side: Side, call_id: Option<&str>, offer: &Half, answer: &Half) -> String {
    let side = match side {
        Side::Offers => "offer",
        Side::Answers => "answer",
    };
    format!(
        "callbox call 1\n{side}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
        call_id.unwrap_or_default(),
        offer.user,
        answer.user,
        offer.fingerprints,
        answer.fingerprints,
        offer.nonce,
        answer.nonce,
    )
}

/// All fingerprints of a description, in an order of their own. Some browsers read names in whatever case and blanks around
/// them: a line that only they see would be a connection that nobody has checked.
fn fingerprints(sdp: &str) -> String {
    let sorted: BTreeSet<String> = sdp
        .split(['\n', '\r'])
        .filter_map(fingerprint)
        .map(|value| match value.split_once(' ') {
            Some((hash, value)) => format!("{} {}", hash.to_ascii_lowercase(), value.trim().to_ascii_uppercase()),
            None => value.to_ascii_lowercase(),
        })
        .collect();
    sorted.into_iter().collect::<Vec<_>>().join(",")
}

/// The value of a line that says one.
fn fingerprint(line: &str) -> Option<&str> {
    let (letter, attribute) = line.split_once('=')?;
    let (name, value) = attribute.split_once(':')?;
    let is_one = letter.trim().eq_ignore_ascii_case("a") && name.trim().eq_ignore_ascii_case("fingerprint");
    is_one.then_some(value.trim())
}
