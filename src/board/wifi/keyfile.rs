//! NetworkManager's keyfiles (nm-settings-keyfile(5)), as far as they describe one Wi-Fi network with a password.

use super::file::{Mistake, Wifi};
use super::network::{Key, Network};

/// Reads decoded text. A connection that is no Wi-Fi is left out without a word.
pub fn read(text: &str) -> Wifi {
    match Keyfile::parse(text).and_then(|file| file.network()) {
        Ok(networks) => Wifi { networks: networks.into_iter().collect(), ..Wifi::default() },
        Err(mistake) => Wifi { problems: vec![mistake], ..Wifi::default() },
    }
}

struct Keyfile<'a> {
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    line: usize,
    section: &'a str,
    key: &'a str,
    value: &'a str,
}

impl<'a> Keyfile<'a> {
    fn parse(text: &'a str) -> Result<Self, Mistake> {
        let mut entries = Vec::new();
        let mut section = "";
        for (i, line) in text.lines().enumerate() {
            let (number, line) = (i + 1, line.trim());
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
            } else if let Some((key, value)) = line.split_once('=') {
                entries.push(Entry { line: number, section, key: key.trim(), value: value.trim_start() });
            } else {
                let what = format!("{line:?} is not understood; a keyfile has [sections] and key=value");
                return Err(Mistake { line: number, what });
            }
        }
        Ok(Keyfile { entries })
    }

    fn network(&self) -> Result<Option<Network>, Mistake> {
        // The older names of the sections are still written.
        let wifi = |key| self.get(&["wifi", "802-11-wireless"], key);
        let security = |key| self.get(&["wifi-security", "802-11-wireless-security"], key);
        let kind = self.get(&["connection"], "type").map_or("wifi", |entry| entry.value);
        if !["wifi", "802-11-wireless"].contains(&kind) {
            return Ok(None);
        }
        let missing = |what: &str| Mistake { line: 1, what: what.to_owned() };
        let ssid = wifi("ssid").ok_or_else(|| missing("ssid is missing in [wifi]"))?;
        let hidden = wifi("hidden").is_some_and(|entry| ["true", "yes", "1"].contains(&entry.value));
        let psk = || {
            let psk = security("psk").ok_or_else(|| missing("psk, the password, is missing in [wifi-security]"))?;
            let value = unescape(psk.value);
            let password =
                value.and_then(|v| String::from_utf8(v).ok()).ok_or_else(|| psk.mistake("it is not text".into()))?;
            Ok((psk, password))
        };
        let key = match security("key-mgmt") {
            None => Key::Open,
            Some(entry) => match entry.value {
                "none" if security("wep-key0").is_some() => {
                    return Err(entry.mistake("WEP is not supported; it protects nothing".into()));
                }
                "none" => Key::Open,
                "wpa-psk" => match psk()? {
                    (psk, password) if password.is_empty() => return Err(psk.mistake("the password is empty".into())),
                    (psk, password) => Key::from_password(&password).map_err(|what| psk.mistake(what))?,
                },
                "sae" => psk().and_then(|(psk, p)| Key::from_sae_password(&p).map_err(|what| psk.mistake(what)))?,
                other => {
                    return Err(entry.mistake(format!("key-mgmt={other} is not supported; wpa-psk, sae and none are")));
                }
            },
        };
        let name = bytes(ssid.value).ok_or_else(|| ssid.mistake("the ssid is not written as keyfiles do".into()))?;
        Network::new(name, key, hidden).map(Some).map_err(|what| ssid.mistake(what))
    }

    fn get(&self, sections: &[&str], key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| sections.contains(&entry.section) && entry.key == key)
    }
}

impl Entry<'_> {
    fn mistake(&self, what: String) -> Mistake {
        Mistake { line: self.line, what }
    }
}

/// A name is text, or its bytes as decimal numbers with semicolons: `72;111;109;101;`.
fn bytes(value: &str) -> Option<Vec<u8>> {
    let list: Option<Vec<u8>> = value
        .strip_suffix(';')
        .map(|list| list.split(';'))
        .and_then(|numbers| numbers.map(|number| number.trim().parse().ok()).collect());
    list.or_else(|| unescape(value))
}

/// GLib's key files: `\s` blank, `\n`, `\t`, `\r`, `\\`; lists escape `;` too.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                's' => ' ',
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | ';') => c,
                _ => return None,
            },
            c => c,
        });
    }
    Some(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `nmcli` writes it.
    fn file(ssid: &str, security: &str) -> String {
        format!(
            "[connection]\nid=Home\nuuid=27afa607\ntype=wifi\ninterface-name=wlan0\n\n[wifi]\nmode=infrastructure\n\
             ssid={ssid}\n\n{security}\n\n[ipv4]\nmethod=auto\n"
        )
    }

    #[test]
    fn the_three_kinds_of_network() {
        let network = |security: &str| {
            let wifi = read(&file("Home net", security));
            assert_eq!(wifi.problems, []);
            (wifi.networks[0].name(), wifi.networks[0].key.clone())
        };
        let home = |key| ("Home net".to_owned(), key);
        let psk = "[wifi-security]\nauth-alg=open\nkey-mgmt=wpa-psk\npsk=pass\\\\word";
        assert_eq!(network(psk), home(Key::Passphrase("pass\\word".into())));
        assert_eq!(network("[wifi-security]\nkey-mgmt=sae\npsk=abc"), home(Key::Sae("abc".into())));
        assert_eq!(network("[wifi-security]\nkey-mgmt=none"), home(Key::Open));
        assert_eq!(network(""), home(Key::Open));
        assert_eq!(read(&file("72;105;195;164;", "")).networks[0].name(), "Hiä");
        assert_eq!(read(&file("a\\sb\\;", "")).networks[0].name(), "a b;");
        let old = "[802-11-wireless]\nssid=Old\nhidden=true\n";
        assert!(read(old).networks[0].hidden);
        assert_eq!(read("[connection]\ntype=ethernet\n"), Wifi::default());
    }

    #[test]
    fn what_cannot_be_joined_is_said_with_its_line() {
        for (text, line, what) in [
            (file("x", "[wifi-security]\nkey-mgmt=wpa-eap"), 12, "key-mgmt=wpa-eap"),
            (file("x", "[wifi-security]\nkey-mgmt=wpa-psk\npsk=short"), 13, "5 characters"),
            (file("x", "[wifi-security]\nkey-mgmt=wpa-psk"), 1, "psk, the password, is missing"),
            (file("x", "[wifi-security]\nkey-mgmt=none\nwep-key0=12345"), 12, "WEP"),
            (file("", ""), 9, "no name"),
            ("[wifi]\nmode=ap\n".to_owned(), 1, "ssid is missing"),
            ("[wifi]\nwhat\n".to_owned(), 2, "not understood"),
        ] {
            let wifi = read(&text);
            assert_eq!((wifi.networks.len(), wifi.problems.len()), (0, 1), "{text}");
            assert_eq!(wifi.problems[0].line, line, "{text}: {:?}", wifi.problems);
            assert!(wifi.problems[0].what.contains(what), "{:?}", wifi.problems);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _ = read(&text);
        }
    }
}
