//! One Wi-Fi network, as anybody may write it down: nothing here can be a network that does not exist.

/// A network to join.
#[derive(Clone, PartialEq, Eq)]
pub struct Network {
    ssid: Vec<u8>,
    pub key: Key,
    /// Does not announce its name.
    pub hidden: bool,
}

/// How to get in.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    Open,
    /// 8 to 63 bytes (IEEE 802.11, annex J): WPA2, and WPA3 where both sides can.
    Passphrase(String),
    /// WPA3 alone takes a password of any length.
    Sae(String),
    /// 256 bits that were made from passphrase and name: WPA2 only.
    Raw(String),
}

/// Longest network name in bytes (IEEE 802.11, 9.4.2.2).
pub const MAX_SSID: usize = 32;

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Key::Open => "Open",
            Key::Passphrase(_) => "Passphrase(..)",
            Key::Sae(_) => "Sae(..)",
            Key::Raw(_) => "Raw(..)",
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("ssid", &self.name()).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Network {
    /// Or what is wrong with the name, in words.
    pub fn new(ssid: Vec<u8>, key: Key, hidden: bool) -> Result<Network, String> {
        match ssid.len() {
            0 => Err("the network has no name".to_owned()),
            1..=MAX_SSID => Ok(Network { ssid, key, hidden }),
            bytes => Err(format!("the network's name has {bytes} bytes; no network has more than {MAX_SSID}")),
        }
    }

    pub fn ssid(&self) -> &[u8] {
        &self.ssid
    }

    /// For people.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.ssid).into_owned()
    }
}

impl Key {
    /// A password as people know it; 64 hexadecimal digits are a raw key. An empty one is an open network.
    pub fn from_password(password: &str) -> Result<Key, String> {
        if password.chars().any(char::is_control) {
            return Err("the password holds a control character".to_owned());
        }
        match password.len() {
            0 => Ok(Key::Open),
            8..=63 => Ok(Key::Passphrase(password.to_owned())),
            64 if password.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(Key::Raw(password.to_ascii_lowercase())),
            64 => Err("the password has 64 characters; then all must be 0-9 and a-f, else 63 is the most".to_owned()),
            n @ 1..=7 => Err(format!("the password has {n} characters; a Wi-Fi password has at least 8")),
            n => Err(format!("the password has {n} characters; a Wi-Fi password has at most 63")),
        }
    }

    /// A password for WPA3 alone.
    pub fn from_sae_password(password: &str) -> Result<Key, String> {
        match password.len() {
            0 => Err("the password is missing".to_owned()),
            1..=128 if !password.chars().any(char::is_control) => Ok(Key::Sae(password.to_owned())),
            _ => Err("the password is longer than 128 characters or holds a control character".to_owned()),
        }
    }
}

/// A country code (ISO 3166-1), which sets the channels and the power that are allowed there.
pub fn country(text: &str) -> Result<[u8; 2], String> {
    match text.as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            match [a.to_ascii_uppercase(), b.to_ascii_uppercase()] {
                [b'U', b'K'] => Ok(*b"GB"),
                code => Ok(code),
            }
        }
        _ => Err(format!("{text:?} is no country code; two letters such as DE, FR, GB or US")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_keys_or_say_why_not() {
        assert_eq!(Key::from_password(""), Ok(Key::Open));
        assert_eq!(Key::from_password("12345678"), Ok(Key::Passphrase("12345678".into())));
        assert_eq!(Key::from_password(&"A".repeat(64)), Ok(Key::Raw("a".repeat(64))));
        for (password, why) in [
            ("1234567".to_owned(), "7 characters"),
            ("x".repeat(64), "64 characters"),
            ("x".repeat(65), "at most 63"),
            ("12345\t678".to_owned(), "control"),
        ] {
            assert!(Key::from_password(&password).unwrap_err().contains(why), "{password}");
        }
        assert_eq!(Key::from_sae_password("abc"), Ok(Key::Sae("abc".into())));
        assert!(Key::from_sae_password("").is_err() && Key::from_sae_password(&"x".repeat(129)).is_err());
    }

    #[test]
    fn names_and_countries_have_bounds() {
        assert!(Network::new(Vec::new(), Key::Open, false).is_err());
        assert!(Network::new(vec![b'x'; 33], Key::Open, false).unwrap_err().contains("33 bytes"));
        assert_eq!((country("de"), country("UK")), (Ok(*b"DE"), Ok(*b"GB")));
        assert!(country("Germany").is_err() && country("1A").is_err());
    }

    #[test]
    fn secrets_do_not_reach_logs() {
        let network = Network::new(b"Home".to_vec(), Key::Passphrase("hunter22".into()), false).unwrap();
        assert!(!format!("{network:?}").contains("hunter22"));
    }
}
