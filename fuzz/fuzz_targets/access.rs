//! Any text where a secret, a key, a pairing, an ID or rights should stand: never a panic, and what was read is written back.
#![no_main]

use callbox::protocol::{Encoded, Grants, Key, Pairing, Rights, Role, Token, UserId};
use callbox::store::Secret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(encoded) = text.parse::<Encoded<32>>() {
        assert_eq!(encoded.to_string(), text, "there is one way to write it");
    }
    if let Ok(pairing) = text.parse::<Pairing>() {
        assert!(Pairing::is_meant_by(text));
        assert_eq!(pairing.text(), text);
        assert!(!format!("{pairing:?}").contains(pairing.secret.secret()));
    }
    if let Ok(token) = Token::try_from(text.to_owned()) {
        assert_eq!(token.secret(), text);
    }
    if let Ok(secret) = text.parse::<Secret>() {
        assert_eq!(secret.text(), text);
    }
    if let Ok(id) = text.parse::<UserId>() {
        assert!(!id.as_str().is_empty() && !id.as_str().contains(char::is_control));
    }
    _ = text.parse::<Role>();
    if let Ok(rights) = serde_json::from_str::<Rights>(text) {
        let written = serde_json::to_string(&rights).unwrap();
        assert_eq!(serde_json::from_str::<Rights>(&written).unwrap(), rights);
    }
    if let Ok(grants) = serde_json::from_str::<Grants>(text) {
        let written = serde_json::to_string(&grants).unwrap();
        assert_eq!(serde_json::from_str::<Grants>(&written).unwrap(), grants);
    }
});
