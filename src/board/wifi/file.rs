//! `wifi.txt`: networks as people write them down, in whatever editor. Forgiving about capitals, signs, quotation marks
//! and line ends, and what of that could have been meant otherwise is said; strict about what would not work in the air.

use super::network::{self, Key, Network};
use crate::base::unseen::is_unseen;

/// What a file of networks says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wifi {
    pub networks: Vec<Network>,
    pub country: Option<[u8; 2]>,
    pub problems: Vec<Mistake>,
    /// What was read in one of two ways.
    pub notes: Vec<Mistake>,
}

/// Something in a file that cannot be used, or that its writer should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    pub what: String,
}

/// More networks than anybody has.
const MAX_NETWORKS: usize = 32;

/// Reads decoded text. An unfilled template has no network and no mistake.
pub fn read(text: &str) -> Wifi {
    let mut reader = Reader::default();
    for (i, line) in text.lines().enumerate() {
        reader.line(i + 1, line);
    }
    reader.finish_network();
    reader.wifi
}

#[derive(Default)]
struct Reader {
    wifi: Wifi,
    open: Option<Draft>,
    /// Between `network={` and `}`, where quotation marks are no part of anything.
    pasted: bool,
}

/// A network whose lines are still being read.
#[derive(Default)]
struct Draft {
    line: usize,
    ssid: String,
    password: Option<(usize, String)>,
    hidden: bool,
    faulty: bool,
}

impl Reader {
    fn line(&mut self, number: usize, whole: &str) {
        let line = trimmed(whole);
        self.pasted &= !line.starts_with('}');
        if line.is_empty() || line.starts_with(['#', ';', '}']) || line.starts_with("//") {
            return;
        }
        // People paste from wpa_supplicant.conf.
        if line.replace(' ', "") == "network={" {
            self.pasted = true;
            return self.finish_network();
        }
        let Some((key, value)) = whole.split_once(['=', ':']) else {
            let what = format!("{line:?} is not understood; a line is such as: ssid = My network");
            return self.mistake(number, what);
        };
        let (written, value) = (value, unquoted(trimmed(value)));
        match trimmed(key).trim_matches(QUOTES).to_lowercase().replace(['-', '_', ' '], "").as_str() {
            "ssid" | "name" | "network" | "networkname" | "wifi" | "wlan" => {
                self.finish_network();
                self.note_marks(number, "name", written);
                self.open = Some(Draft { line: number, ssid: value.to_owned(), ..Draft::default() });
            }
            "password" | "passphrase" | "pass" | "psk" | "key" | "wifipassword" => match &mut self.open {
                Some(Draft { password: Some(_), faulty, .. }) => {
                    *faulty = true;
                    self.mistake(number, "a second password for one network; each network begins with ssid".to_owned());
                }
                Some(draft) => {
                    draft.password = Some((number, value.to_owned()));
                    self.note_marks(number, "password", written);
                }
                None if value.is_empty() => {}
                None => {
                    self.mistake(number, "a password before any ssid; write the network's name above it".to_owned())
                }
            },
            "hidden" | "scanssid" => match (value.to_lowercase().as_str(), &mut self.open) {
                ("yes" | "true" | "1", Some(draft)) => draft.hidden = true,
                ("no" | "false" | "0" | "", _) => {}
                _ => self.mistake(number, format!("hidden = {value}: write yes or no, below the network's ssid")),
            },
            "country" | "countrycode" => match network::country(value) {
                Ok(code) => self.wifi.country = Some(code),
                Err(_) if value.is_empty() => {}
                Err(what) => self.mistake(number, what),
            },
            // From wpa_supplicant.conf; the password says it too.
            "keymgmt" | "ctrlinterface" | "updateconfig" | "priority" | "proto" => {}
            _ => {
                let what = format!("{:?} is not known; there is ssid, password, hidden and country", trimmed(key));
                self.mistake(number, what);
            }
        }
    }

    fn finish_network(&mut self) {
        let Some(Draft { line, ssid, password, hidden, faulty }) = self.open.take() else { return };
        let (at, password) = password.unwrap_or((line, String::new()));
        if faulty || (ssid.is_empty() && password.is_empty()) {
            return;
        }
        if ssid.is_empty() {
            return self.mistake(line, "ssid is empty; write the name of your network behind it".to_owned());
        }
        if self.wifi.networks.len() == MAX_NETWORKS {
            return self.mistake(line, format!("only the first {MAX_NETWORKS} networks are used"));
        }
        let key = match Key::from_password(&password) {
            Ok(key) => key,
            Err(what) => return self.mistake(at, format!("{ssid}: {what}")),
        };
        match Network::new(ssid.into_bytes(), key, hidden) {
            Ok(network) => self.wifi.networks.push(network),
            Err(what) => self.mistake(line, what),
        }
    }

    /// Tells of quotation marks that may have been meant as part of a value, or not, and of what nobody sees.
    fn note_marks(&mut self, line: usize, what: &str, written: &str) {
        let (with_ends, written) = (written.trim(), trimmed(written));
        let value = unquoted(written);
        if written.len() < with_ends.len() && !value.is_empty() {
            self.note(line, format!("characters that nobody sees were taken off the ends of the {what}"));
        }
        if let Some(unseen) = value.chars().find(|c| is_unseen(*c) && is_left_over(*c)) {
            let code = u32::from(unseen);
            self.note(line, format!("the {what} holds a character that nobody sees (U+{code:04X}), which counts"));
        }
        match value {
            value if value.len() < written.len() && (self.pasted || value.is_empty()) => {}
            value if value.len() < written.len() => self.note(
                line,
                format!("the quotation marks around the {what} were taken off; if they belong to it, write them twice"),
            ),
            value if value.starts_with(QUOTES) || value.ends_with(QUOTES) => {
                self.note(line, format!("the quotation marks of the {what} are no pair, so they count as part of it"));
            }
            _ => {}
        }
    }

    fn note(&mut self, line: usize, what: String) {
        self.wifi.notes.push(Mistake { line, what });
    }

    fn mistake(&mut self, line: usize, what: String) {
        self.wifi.problems.push(Mistake { line, what });
    }
}

/// Pairs of quotation marks: straight ones, and those that word processors put in their place in one language or another.
const PAIRS: [(char, char); 14] = [
    ('"', '"'),
    ('\'', '\''),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{201e}', '\u{201d}'),
    ('\u{201d}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201a}', '\u{2018}'),
    ('\u{201a}', '\u{2019}'),
    ('\u{2019}', '\u{2019}'),
    ('«', '»'),
    ('»', '«'),
    ('‹', '›'),
    ('›', '‹'),
];

/// Each mark of them.
const QUOTES: [char; 12] =
    ['"', '\'', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{201a}', '«', '»', '‹', '›'];

/// A text without blanks, and without what copying leaves at its ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(is_left_over)
}

/// Variation selectors and tags are the end of an emoji, which names of networks have.
fn is_left_over(c: char) -> bool {
    c.is_whitespace() || is_unseen(c) && !matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}')
}

/// The text between a pair of quotation marks, where it stands in one.
fn unquoted(value: &str) -> &str {
    let inner = |(first, last): &(char, char)| value.strip_prefix(*first).and_then(|rest| rest.strip_suffix(*last));
    PAIRS.iter().find_map(inner).unwrap_or(value)
}

/// So that it is read back as it is.
fn quoted(value: &str) -> String {
    let as_it_is = trimmed(value) == value && !value.starts_with(QUOTES) && !value.ends_with(QUOTES);
    if as_it_is { value.to_owned() } else { format!("\"{value}\"") }
}

/// As [`read`] reads it back.
pub fn write(network: &Network, country: Option<[u8; 2]>) -> Option<String> {
    let ssid = std::str::from_utf8(network.ssid()).ok().filter(|ssid| !ssid.chars().any(char::is_control))?;
    let password = match &network.key {
        Key::Open => "",
        Key::Passphrase(password) | Key::Raw(password) => password,
        Key::Sae(_) => return None,
    };
    let hidden = if network.hidden { "hidden = yes\n" } else { "" };
    let country = country.map(|[a, b]| format!("country = {}{}\n", char::from(a), char::from(b))).unwrap_or_default();
    Some(format!("ssid = {}\npassword = {}\n{hidden}{country}", quoted(ssid), quoted(password)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(wifi: &Wifi) -> Vec<(String, Key)> {
        wifi.networks.iter().map(|network| (network.name(), network.key.clone())).collect()
    }

    fn secret(text: &str) -> Key {
        Key::Passphrase(text.to_owned())
    }

    #[test]
    fn people_write_it_in_many_ways() {
        for text in [
            "ssid = My Net\npassword = secret 123",
            "SSID: My Net\r\nPassword: secret 123\r\n",
            "  ssid=\"My Net\"  \n  psk=\"secret 123\"",
            "# home\nname = 'My Net'\n\npass: 'secret 123'\n; end",
            "Wi-Fi: My Net\nWi-Fi password: secret 123",
            "network={\n\tssid=\"My Net\"\n\tkey_mgmt=WPA-PSK\n\tpsk=\"secret 123\"\n}",
            "ssid = “My Net”\npassword = „secret 123“",
        ] {
            let wifi = read(text);
            assert_eq!(names(&wifi), [("My Net".to_owned(), secret("secret 123"))], "{text}");
            assert_eq!(wifi.problems, [], "{text}");
        }
    }

    #[test]
    fn signs_in_passwords_are_left_alone() {
        for password in ["a=b:c#d;e", "\"half quoted", "'it''s me", "with // slashes", "pass # word"] {
            assert_eq!(read(&format!("ssid=x\npassword={password}")).networks[0].key, secret(password), "{password}");
        }
    }

    #[test]
    fn several_networks_and_a_country() {
        let wifi = read("country: de\nssid=A\npassword=12345678\nhidden=yes\n\nssid=B\npassword=\nssid=C\n");
        let expected = [("A".to_owned(), secret("12345678")), ("B".to_owned(), Key::Open), ("C".to_owned(), Key::Open)];
        assert_eq!(names(&wifi), expected);
        assert_eq!((wifi.country, wifi.networks[0].hidden, wifi.problems), (Some(*b"DE"), true, Vec::new()));
    }

    #[test]
    fn the_template_is_no_network_and_no_mistake() {
        let template = include_str!("../../../image/boot/wifi.txt");
        assert_eq!(read(template), Wifi::default());
        assert_eq!(read(""), Wifi::default());
        // Filled in as it asks for.
        let filled = template.replace("\nssid =", "\nssid = Home").replace("\npassword =", "\npassword = 12345678");
        let wifi = read(&filled.replace("\ncountry =", "\ncountry = DE"));
        assert_eq!(names(&wifi), [("Home".to_owned(), secret("12345678"))]);
        assert_eq!((wifi.country, wifi.problems, wifi.notes), (Some(*b"DE"), Vec::new(), Vec::new()));
    }

    #[test]
    fn only_a_pair_of_marks_is_taken_off_and_the_writer_is_told() {
        let taken = "were taken off";
        let kept = "no pair";
        for (written, password, note) in [
            ("abcdefgh", "abcdefgh", ""),
            ("\"abcdefgh\"", "abcdefgh", taken),
            ("'abcdefgh'", "abcdefgh", taken),
            ("“abcdefgh”", "abcdefgh", taken),
            ("„abcdefgh“", "abcdefgh", taken),
            ("‘abcdefgh’", "abcdefgh", taken),
            ("«abcdefgh»", "abcdefgh", taken),
            ("»abcdefgh«", "abcdefgh", taken),
            ("\"\"abcdefgh\"\"", "\"abcdefgh\"", taken),
            ("\"abcdefgh'", "\"abcdefgh'", kept),
            ("“abcdefgh\"", "“abcdefgh\"", kept),
            ("”abcdefgh“", "”abcdefgh“", kept),
            ("«abcdefgh«", "«abcdefgh«", kept),
            ("abcdefgh\"", "abcdefgh\"", kept),
            ("'abcdefgh", "'abcdefgh", kept),
            ("abc\"defgh", "abc\"defgh", ""),
        ] {
            let wifi = read(&format!("ssid = x\npassword = {written}"));
            assert_eq!(wifi.networks[0].key, secret(password), "{written}");
            assert_eq!(wifi.notes.len(), usize::from(!note.is_empty()), "{written}: {:?}", wifi.notes);
            assert!(wifi.notes.iter().all(|n| n.line == 2 && n.what.contains(note) && n.what.contains("password")));
            // A name is read by the same rules.
            let wifi = read(&format!("ssid = {written}\npassword = 12345678"));
            assert_eq!(wifi.networks[0].name(), password, "{written}");
            assert!(wifi.notes.iter().all(|n| n.line == 1 && n.what.contains(note) && n.what.contains("name")));
        }
        // A lone mark is none around nothing.
        assert_eq!(read("ssid = \"\npassword = 12345678").networks[0].name(), "\"");
        let pasted = read("network={\n ssid=\"x\"\n psk=\"12345678\"\n}\nssid=\"y\"");
        assert_eq!(pasted.notes.iter().map(|note| note.line).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn what_nobody_sees_is_taken_off_the_ends_and_the_writer_is_told() {
        for (written, password, note) in [
            ("12345678\u{200b}", "12345678", "taken off"),
            ("\u{200e}\u{feff} 12345678 \u{202c}", "12345678", "taken off"),
            ("\"12345678\u{200b}\"\u{200b}", "12345678\u{200b}", "U+200B"),
            ("1234\u{ad}5678", "1234\u{ad}5678", "U+00AD"),
            ("12345678\u{a0}", "12345678", ""),
        ] {
            let wifi =
                read(&format!("\u{feff}ssid\u{200b} = Home ❤\u{fe0f}\u{200b}\r\n password = {written}\n\u{200b}\n"));
            assert_eq!(names(&wifi), [("Home ❤\u{fe0f}".to_owned(), secret(password))], "{written:?}");
            assert_eq!(wifi.problems, [], "{written:?}");
            let told = |line| wifi.notes.iter().any(|n| n.line == line && n.what.contains(note));
            assert!(wifi.notes[0].what.contains("taken off the ends of the name") && (note.is_empty() || told(2)));
            assert_eq!(wifi.notes.iter().any(|n| n.line == 2), !note.is_empty(), "{:?}", wifi.notes);
        }
        assert_eq!(read("\u{200b}# ssid = A\nssid =\u{200b}\n"), Wifi::default());
    }

    #[test]
    fn mistakes_have_a_line_and_leave_the_other_networks() {
        let long = "x".repeat(33);
        for (text, line, what) in [
            ("hello", 1, "not understood"),
            ("\npassword = 12345678", 2, "before any ssid"),
            ("ssid = A\npassword = short", 2, "A: the password has 5 characters"),
            ("ssid =\npassword = 12345678", 1, "ssid is empty"),
            ("ssid = A\npassword = 12345678\npassword = 23456789", 3, "second password"),
            ("ssid = A\ncountry = Germany", 2, "no country code"),
            ("chanel = 3", 1, "\"chanel\" is not known"),
            ("ssid = A\nhidden = maybe", 2, "yes or no"),
            (&format!("ssid = {long}"), 1, "33 bytes"),
        ] {
            let wifi = read(&format!("{text}\nssid = Good\npassword = 12345678"));
            assert_eq!(wifi.problems.len(), 1, "{text}: {wifi:?}");
            assert_eq!(wifi.problems[0].line, line, "{text}");
            assert!(wifi.problems[0].what.contains(what), "{text}: {:?}", wifi.problems);
            assert!(wifi.networks.iter().any(|network| network.name() == "Good"));
        }
        assert_eq!(read(&"ssid=x\n".repeat(40)).networks.len(), MAX_NETWORKS);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            ssid in "[^\\p{C}]{1,8}",
            password in prop_oneof![Just(String::new()), "[ -~]{8,63}", "[0-9a-f]{64}"],
            hidden: bool,
        ) {
            let key = Key::from_password(&password).unwrap();
            let network = Network::new(ssid.into_bytes(), key, hidden).unwrap();
            let text = write(&network, Some(*b"FR")).unwrap();
            let wifi = read(&crate::base::text::with_crlf(&text));
            let notes = wifi.notes.clone();
            prop_assert_eq!(wifi, Wifi { networks: vec![network], country: Some(*b"FR"), problems: Vec::new(), notes });
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            for mistake in read(&text).problems {
                prop_assert!((1..=text.lines().count()).contains(&mistake.line));
            }
        }
    }
}
