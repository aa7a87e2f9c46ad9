//! What a code for setting up says: `CALLBOX:1;...` with all a board needs, and the `WIFI:...` that phones make, with
//! the network alone. docs/provisioning.md is the page on the format.

use super::fields::{self, FieldError, Fields};
use crate::board::card::import::host_name;
use crate::board::card::report;
use crate::board::card::settings::TEMPLATE;
use crate::board::wifi::network::{self, Key, Network};
use crate::config::Config;

/// A code that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Setup(Setup),
    Wifi(Network),
}

/// Who a board is, where it registers, and how it gets there. Every part is as the daemon takes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Setup {
    pub id: String,
    /// What people read; the ID where there is none.
    pub name: Option<String>,
    /// Without one the board is its own server.
    pub server: Option<SignalingServer>,
    pub network: Option<Network>,
    pub country: Option<[u8; 2]>,
    /// SHA-256 of the secret in the first owner's link. Whoever sees the code is not let in by it.
    pub owner: Option<[u8; 32]>,
}

/// A signaling server elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SignalingServer {
    /// ws:// or wss://
    pub url: String,
    /// Opaque: the server knows what it means.
    pub token: Option<String>,
}

/// Longest token in bytes.
pub const MAX_TOKEN: usize = 512;

/// Why a code is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    #[error("this code is not for a Callbox")]
    NotOurs,
    #[error("this code is of version {0}, this Callbox knows version 1: update it, or make the code anew")]
    Version(String),
    #[error("this code is damaged: {0}")]
    Fields(#[from] FieldError),
    #[error("this code has a field {0:?} that is not known")]
    Unknown(String),
    #[error("this code lacks {0}")]
    Missing(&'static str),
    #[error("this code cannot be used: {0}")]
    Unfit(String),
}

const SCHEME: &str = "CALLBOX:";
const VERSION: &str = "1";
const WIFI: &str = "WIFI:";

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SignalingServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalingServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What it is for, without secrets.
impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Code::Wifi(network) => write!(f, "Wi-Fi {}", network.name()),
            Code::Setup(Setup { id, network: Some(network), .. }) => {
                write!(f, "device {id} and Wi-Fi {}", network.name())
            }
            Code::Setup(Setup { id, network: None, .. }) => write!(f, "device {id}"),
        }
    }
}

impl Code {
    /// Reads what a camera found in a code.
    pub fn parse(text: &str) -> Result<Code, CodeError> {
        let text = text.trim();
        if let Some(rest) = strip(text, SCHEME) {
            let (version, body) = rest.split_once(';').ok_or(FieldError::Unfinished)?;
            return match version {
                VERSION => setup(fields::parse(body)?).map(Code::Setup),
                other => Err(CodeError::Version(other.chars().take(20).collect())),
            };
        }
        let body = strip(text, WIFI).ok_or(CodeError::NotOurs)?;
        // Some makers leave out the second semicolon at the end.
        let fields = match fields::parse(body) {
            Err(FieldError::Unfinished) => fields::parse(&format!("{body};")),
            parsed => parsed,
        };
        wifi(fields?).map(Code::Wifi)
    }
}

impl Setup {
    /// The text of the code, or why these values make none.
    pub fn encode(&self) -> Result<String, CodeError> {
        self.check()?;
        let mut fields = vec![("I", self.id.as_str())];
        fields.extend(self.name.as_deref().map(|name| ("N", name)));
        if let Some(SignalingServer { url, token }) = &self.server {
            fields.push(("U", url));
            fields.extend(token.as_deref().map(|token| ("K", token)));
        }
        if let Some(network) = &self.network {
            let ssid = std::str::from_utf8(network.ssid()).map_err(|_| unfit("the network's name is not text"))?;
            fields.push(("S", ssid));
            match &network.key {
                Key::Open => {}
                Key::Passphrase(password) | Key::Raw(password) => fields.push(("P", password)),
                Key::Sae(_) => return Err(unfit("a password for WPA3 alone does not fit into a code")),
            }
            fields.extend(network.hidden.then_some(("H", "1")));
        }
        let country = self.country.map(|code| String::from_utf8_lossy(&code).into_owned());
        fields.extend(country.as_deref().map(|country| ("C", country)));
        // Digits and capitals take little room in a code.
        let owner = self.owner.map(|hash| hash.iter().map(|byte| format!("{byte:02X}")).collect::<String>());
        fields.extend(owner.as_deref().map(|owner| ("O", owner)));
        let text = format!("{SCHEME}{VERSION};{}", fields::write(&fields));
        // What the other side refuses is not worth printing.
        match Code::parse(&text)? {
            Code::Setup(read) if read == *self => Ok(text),
            Code::Setup(_) | Code::Wifi(_) => Err(unfit("a value has blanks at its ends")),
        }
    }

    /// The template with these values in it; the token is in a file of its own.
    pub fn settings(&self, token_file: &str) -> String {
        let mut text = TEMPLATE.to_owned();
        let mut set = |line: &str, key: &str, value: &str| {
            let value = toml::Value::from(value).to_string();
            text = text.replacen(line, &format!("{key} = {value}"), 1);
        };
        set("#id = \"front-door\"", "id", &self.id);
        if let Some(name) = &self.name {
            set("#name = \"Front door\"", "name", name);
        }
        if let Some(SignalingServer { url, token }) = &self.server {
            set("#url = \"wss://call.example.org/ws\"", "url", url);
            if token.is_some() {
                set("#token_file = \"token.txt\"", "token_file", token_file);
            }
        }
        text
    }

    /// Where browsers in its network will find the board; `None` where it is not its own server.
    pub fn page(&self) -> Option<String> {
        let config = Config::from_toml(&self.settings("")).ok().filter(|_| self.server.is_none())?;
        report::page(&config, &host_name(&self.id))
    }

    /// Whether the daemon takes it, by the daemon's own rules.
    fn check(&self) -> Result<(), CodeError> {
        let tokenless =
            Setup { server: self.server.clone().map(|s| SignalingServer { token: None, ..s }), ..self.clone() };
        if let Err(error) = Config::from_toml(&tokenless.settings("")) {
            let first = error.problems().first().map(|problem| problem.message.clone()).unwrap_or_default();
            return Err(CodeError::Unfit(first));
        }
        match self.server.as_ref().and_then(|server| server.token.as_deref()) {
            Some(token) if token.trim() != token || token.is_empty() || token.len() > MAX_TOKEN => {
                Err(CodeError::Unfit(format!("the token must be 1 to {MAX_TOKEN} bytes without blanks at its ends")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn setup(fields: Fields) -> Result<Setup, CodeError> {
    let (mut id, mut name, mut url, mut token) = (None, None, None, None);
    let (mut ssid, mut password, mut hidden, mut country, mut owner) = (None, None, false, None, None);
    for (key, value) in fields {
        match key.as_str() {
            "I" => id = Some(value),
            "N" => name = Some(value),
            "U" => url = Some(value),
            "K" => token = Some(value),
            "S" => ssid = Some(value),
            "P" => password = Some(value),
            "H" if value == "1" => hidden = true,
            "H" => return Err(unfit("H must be 1")),
            "C" => country = Some(network::country(&value).map_err(CodeError::Unfit)?),
            "O" => owner = Some(hash(&value).ok_or_else(|| unfit("O must be 64 hexadecimal digits"))?),
            _ => return Err(CodeError::Unknown(key)),
        }
    }
    let server = match (url, token) {
        (Some(url), token) => Some(SignalingServer { url, token }),
        (None, Some(_)) => return Err(CodeError::Missing("the server (U) that its token is for")),
        (None, None) => None,
    };
    if server.is_some() && owner.is_some() {
        return Err(unfit("an owner (O) is for a board without a server elsewhere (U)"));
    }
    let network = match (ssid, password, hidden) {
        (Some(ssid), password, hidden) => {
            let key = Key::from_password(&password.unwrap_or_default()).map_err(CodeError::Unfit)?;
            Some(Network::new(ssid.into_bytes(), key, hidden).map_err(CodeError::Unfit)?)
        }
        (None, None, false) => None,
        (None, _, _) => return Err(CodeError::Missing("the network's name (S)")),
    };
    let setup = Setup { id: id.ok_or(CodeError::Missing("the device ID (I)"))?, name, server, network, country, owner };
    setup.check().map(|()| setup)
}

/// Fields that only some phones write are left alone.
fn wifi(fields: Fields) -> Result<Network, CodeError> {
    let get = |key: &str| fields.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let password = get("P").unwrap_or_default();
    let key = match get("T").unwrap_or("nopass").to_ascii_uppercase().as_str() {
        "NOPASS" | "" => Key::Open,
        "WPA" | "WPA2" | "WPA3" | "SAE" => match Key::from_password(password).map_err(CodeError::Unfit)? {
            Key::Open => return Err(CodeError::Missing("the password (P)")),
            key => key,
        },
        "WEP" => return Err(unfit("WEP is not supported; it protects nothing")),
        other => return Err(CodeError::Unfit(format!("networks of the kind {other:?} are not supported"))),
    };
    let hidden = get("H").is_some_and(|hidden| hidden.eq_ignore_ascii_case("true"));
    let ssid = get("S").ok_or(CodeError::Missing("the network's name (S)"))?;
    Network::new(ssid.as_bytes().to_vec(), key, hidden).map_err(CodeError::Unfit)
}

fn hash(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn unfit(why: &str) -> CodeError {
    CodeError::Unfit(why.to_owned())
}

fn strip<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str =
        r"CALLBOX:1;I:front-door;N:Front door;U:wss\://call.example.org/ws;K:s3\;cret;S:Home;P:pass\\word;H:1;C:DE;;";

    #[test]
    fn a_full_code_and_the_least_one() {
        let Code::Setup(setup) = Code::parse(FULL).unwrap() else { panic!() };
        assert_eq!((setup.id.as_str(), setup.name.as_deref()), ("front-door", Some("Front door")));
        let server = setup.server.as_ref().unwrap();
        assert_eq!((server.url.as_str(), server.token.as_deref()), ("wss://call.example.org/ws", Some("s3;cret")));
        let network = setup.network.as_ref().unwrap();
        assert_eq!((network.name().as_str(), network.hidden), ("Home", true));
        assert_eq!(network.key, Key::Passphrase(r"pass\word".into()));
        assert_eq!(setup.country, Some(*b"DE"));
        assert_eq!(setup.encode().unwrap(), FULL);
        assert!(!format!("{setup:?}").contains("s3;cret"));
        let Code::Setup(least) = Code::parse("callbox:1;I:door;;").unwrap() else { panic!() };
        assert_eq!((least.server, least.network, least.name), (None, None, None));
    }

    #[test]
    fn the_settings_are_the_template_with_the_values_in_it() {
        let Code::Setup(setup) = Code::parse(FULL).unwrap() else { panic!() };
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "s3;cret").unwrap();
        let config = Config::from_toml(&setup.settings(token.to_str().unwrap())).unwrap();
        assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("front-door", "Front door"));
        assert_eq!(config.signaling.url.as_deref(), Some("wss://call.example.org/ws"));
        assert_eq!(config.signaling.token.unwrap().secret, "s3;cret");
        // Nothing in a value becomes a setting.
        let nasty = Setup { name: Some("a\"\ninsecure = false #".into()), ..setup };
        assert!(nasty.encode().is_err());
    }

    #[test]
    fn what_phones_make_is_a_network() {
        let key = |text: &str| match Code::parse(text) {
            Ok(Code::Wifi(network)) => Ok((network.name(), network.key, network.hidden)),
            other => Err(format!("{other:?}")),
        };
        let home = |key, hidden| Ok(("Home".to_owned(), key, hidden));
        let secret = || Key::Passphrase("a;b:c\\d8".into());
        assert_eq!(key(r"WIFI:T:WPA;S:Home;P:a\;b\:c\\d8;;"), home(secret(), false));
        assert_eq!(key(r"WIFI:S:Home;T:SAE;P:a\;b\:c\\d8;H:true;;"), home(secret(), true));
        assert_eq!(key(r"wifi:S:Home;T:WPA;R:1;P:a\;b\:c\\d8;"), home(secret(), false));
        assert_eq!(key("WIFI:T:nopass;S:Home;;"), home(Key::Open, false));
        for bad in ["WIFI:T:WEP;S:Home;P:12345;;", "WIFI:T:WPA;S:Home;;", "WIFI:T:WPA2-EAP;S:Home;;", "WIFI:P:x;;"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_says_why() {
        for (text, why) in [
            ("https://example.org/", "not for a Callbox"),
            ("", "not for a Callbox"),
            ("CALLBOX:2;I:door;;", "version 2"),
            ("CALLBOX:1", "damaged"),
            ("CALLBOX:1;I:door", "damaged"),
            ("CALLBOX:1;I:door;I:door;;", "twice"),
            ("CALLBOX:1;I:door;X:1;;", "\"X\""),
            ("CALLBOX:1;N:Door;;", "device ID"),
            ("CALLBOX:1;I:front door;;", "device.id"),
            ("CALLBOX:1;I:door;U:http://x;;", "signaling.url"),
            ("CALLBOX:1;I:door;K:secret;;", "server"),
            ("CALLBOX:1;I:door;U:wss://x;K: ;;", "token"),
            ("CALLBOX:1;I:door;P:12345678;;", "network's name"),
            ("CALLBOX:1;I:door;S:Home;P:short;;", "5 characters"),
            ("CALLBOX:1;I:door;H:yes;;", "H must be 1"),
            ("CALLBOX:1;I:door;C:Germany;;", "country"),
            ("CALLBOX:1;I:door;O:12AB;;", "64 hexadecimal"),
            (&format!("CALLBOX:1;I:door;O:{};;", "+1".repeat(32)), "64 hexadecimal"),
            (&format!("CALLBOX:1;I:door;U:wss\\://x;O:{};;", "AB".repeat(32)), "without a server"),
        ] {
            let error = Code::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// A camera of 640x480 reads up to 77 modules a side at the distance of an arm.
    #[test]
    fn with_an_owner_it_is_still_easy_to_read() {
        let network = Network::new(b"FRITZ!Box 7590 QX".to_vec(), Key::from_password(&"7".repeat(20)).unwrap(), false);
        let setup = Setup {
            id: "front-door".into(),
            name: Some("Front door of the Smiths".into()),
            server: None,
            network: Some(network.unwrap()),
            country: Some(*b"DE"),
            owner: Some([0xa5; 32]),
        };
        let width = crate::base::qr::Drawing::new(&setup.encode().unwrap()).unwrap().width();
        assert!(width <= 57, "{width} modules");
        assert_eq!(setup.page().as_deref(), Some("https://front-door.local:8443/"));
    }

    fn any_setup() -> impl Strategy<Value = Setup> {
        let network = ("[^\\p{C}]{1,8}", prop_oneof![Just(String::new()), "[ -~]{8,63}"], any::<bool>());
        let network = network.prop_map(|(ssid, password, hidden)| {
            Network::new(ssid.into_bytes(), Key::from_password(&password).unwrap(), hidden).unwrap()
        });
        let server = ("wss://[a-z]{1,9}(:[1-9][0-9]{0,3})?(/[a-z;:,]{0,9})?", prop::option::of("[!-~]{1,40}"))
            .prop_map(|(url, token)| SignalingServer { url, token });
        (
            "[a-zA-Z0-9._-]{1,63}",
            prop::option::of(
                "[^\\p{C}\\p{Z}]([^\\p{C}]{0,20}[^\\p{C}\\p{Z}])?"
                    .prop_filter("seen", |name| !name.contains(crate::base::unseen::is_unseen)),
            ),
            prop::option::of(server),
            prop::option::of(network),
            prop::option::of(prop::sample::select(vec![*b"DE", *b"FR", *b"US"])),
            any::<Option<[u8; 32]>>(),
        )
            .prop_map(|(id, name, server, network, country, owner)| {
                let owner = owner.filter(|_| server.is_none());
                Setup { id, name, server, network, country, owner }
            })
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(setup in any_setup()) {
            let text = setup.encode().unwrap();
            prop_assert_eq!(Code::parse(&text).unwrap(), Code::Setup(setup));
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>(), cut in 0..FULL.len()) {
            for text in [text.clone(), format!("CALLBOX:1;{text}"), format!("WIFI:{text}"), FULL[..cut].to_owned()] {
                let _ = Code::parse(&text);
            }
        }
    }
}
