//! Every key there is: the one list that reading, `callbox check`, the environment and the documents' tests go by.

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Section and name, such as "server.tls.mode".
    pub path: &'static str,
    pub kind: Form,
    /// Completes "must be ...".
    pub allowed: &'static str,
    pub default: Preset,
    /// Whether a running daemon goes by a new value when it is told to reload.
    pub live: bool,
}

/// How a value is written; in the environment text is taken as it stands, everything else is TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Integer,
    Boolean,
    List,
}

/// What holds where nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This value, written in TOML.
    Value(&'static str),
    /// What the words say.
    Computed(&'static str),
    /// Nothing: the feature is off.
    Unset,
}

impl Key {
    /// The section, such as "server.tls".
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that overrides the key.
    pub fn variable(&self) -> String {
        format!("CALLBOX_{}", self.path.to_uppercase().replace('.', "__"))
    }
}

const fn key(path: &'static str, kind: Form, allowed: &'static str, default: Preset) -> Key {
    Key { path, kind, allowed, default, live: false }
}

impl Key {
    const fn live(self) -> Key {
        Key { live: true, ..self }
    }
}

use Form::{Boolean, Integer, List, Text};
use Preset::{Computed, Unset, Value};

const FILE: &str = "the path of a file that can be read";
const SECRET: &str = r#"the path of a file that can be read, or "credential:NAME""#;
const SOUND: &str = r#""auto", "alsa:PCM", "file:PATH.wav", "synthetic" or "none""#;

/// All keys, section by section, in the order of docs/config.md and of `callbox check`.
pub const KEYS: &[Key] = &[
    key("button", List, "a list of tables with name and rings", Value("[]")).live(),
    key("rings", List, "a list of tables with people, after_seconds and buttons", Value("[]")).live(),
    key("group", List, "a list of tables with name and people", Value("[]")).live(),
    key(
        "device.id",
        Text,
        "1 to 63 letters, digits, '-', '_' or '.'",
        Computed("the host name, reduced to a-z, 0-9 and '-'"),
    ),
    key("device.name", Text, "1 to 128 bytes of text without control characters", Computed("device.id")),
    key("device.key_file", Text, SECRET, Unset),
    key("signaling.url", Text, "an address that starts with ws:// or wss://", Unset),
    key("signaling.token_file", Text, SECRET, Unset),
    key("signaling.ca_file", Text, FILE, Unset),
    key("server.listen", Text, "an IP address and a port, such as 127.0.0.1:8080", Value(r#""127.0.0.1:8080""#)),
    key("server.http_listen", Text, "an IP address and a port, such as 0.0.0.0:8081", Unset),
    key("server.names", List, r#"a list of host names without port, such as ["door.example.org"]"#, Value("[]")),
    key(
        "server.trusted_proxies",
        List,
        r#"a list of addresses or networks, such as ["127.0.0.1", "10.0.0.0/8"]"#,
        Value("[]"),
    ),
    key("server.frame_ancestors", List, r#"a list of sites, such as ["https://dashboard.example.org"]"#, Value("[]")),
    key(
        "server.max_connections",
        Integer,
        "a number from 64 to 1000000",
        Computed("half of the limit of open files, at most one for each 128 kB of memory, from 64 to 20000"),
    ),
    key(
        "server.tls.mode",
        Text,
        r#""auto", "acme", "files" or "off""#,
        Computed(r#""off" where server.listen is loopback, else "auto""#),
    ),
    key("server.tls.cert_file", Text, FILE, Unset),
    key("server.tls.key_file", Text, FILE, Unset),
    key(
        "server.tls.acme.challenge",
        Text,
        r#""http-01", "tls-alpn-01" or "dns-01""#,
        Computed(r#""http-01" with mode = "acme""#),
    ),
    key("server.tls.acme.hook", Text, "the path of a program", Unset),
    key(
        "server.tls.acme.directory",
        Text,
        "an address that starts with https://",
        Computed(r#"Let's Encrypt's with mode = "acme""#),
    ),
    key("server.tls.acme.ca_file", Text, FILE, Unset),
    key("server.tls.acme.contact", Text, "an e-mail address", Unset),
    key(
        "access.mode",
        Text,
        r#""invited" or "open""#,
        Computed(
            r#""open" where server.listen is loopback and neither server.names nor server.trusted_proxies is set, else "invited""#,
        ),
    ),
    key(
        "access.rights",
        List,
        r#"a list of "view", "talk", "ring", "open" and "manage""#,
        Value(r#"["view", "talk", "ring", "open", "manage"]"#),
    )
    .live(),
    key(
        "access.unverified",
        Text,
        r#""allow" or "refuse""#,
        Computed(r#""refuse" where the server lets in those who are invited, else "allow""#),
    )
    .live(),
    key(
        "camera.source",
        Text,
        r#""auto", "/dev/videoN", "/dev/v4l/...", "name:NAME", "file:PATH.y4m", "synthetic" or "none""#,
        Value(r#""auto""#),
    )
    .live(),
    key("camera.width", Integer, "an even number of pixels from 16 to 3840", Value("1280")).live(),
    key("camera.height", Integer, "an even number of pixels from 16 to 2160", Value("720")).live(),
    key("camera.fps", Integer, "a number of frames a second from 1 to 120", Value("30")).live(),
    key("camera.format", Text, r#""auto", "yuyv", "uyvy", "nv12", "yu12" or "mjpeg""#, Value(r#""auto""#)).live(),
    key("microphone.source", Text, SOUND, Value(r#""auto""#)).live(),
    key("speaker.sink", Text, SOUND, Value(r#""auto""#)).live(),
    key("indicator.led", Text, "the name of an LED in /sys/class/leds", Unset).live(),
    key("indicator.chime", Text, r#""none", "soft" or "before""#, Value(r#""none""#)).live(),
    key("indicator.required", Boolean, "true or false", Value("false")).live(),
    key("ice.servers", List, "a list of tables with urls, username, and credential or credential_file", Value("[]"))
        .live(),
    key("ice.policy", Text, r#""all" or "relay""#, Value(r#""all""#)).live(),
    key("ice.bind", List, r#"a list of IP addresses of this machine, such as ["192.168.1.5"]"#, Value("[]")).live(),
    key("ice.mdns", Boolean, "true or false", Value("true")).live(),
    key("calls.answer", Text, r#""auto" or "ring""#, Value(r#""auto""#)).live(),
    key("calls.max_calls", Integer, "a number from 1 to 16", Value("8")).live(),
    key("visits.ring_seconds", Integer, "a number of seconds from 5 to 300", Value("60")).live(),
    key(
        "control.socket",
        Text,
        "a path",
        Computed("/run/callbox/callbox.sock; for ordinary users $XDG_RUNTIME_DIR/callbox.sock"),
    ),
    key("state.dir", Text, "a path", Computed("/var/lib/callbox; for ordinary users ~/.local/state/callbox")),
    key("log.level", Text, r#""off", "error", "warn", "info", "debug" or "trace""#, Value(r#""info""#)).live(),
];

/// Keys of former versions, and what to write instead.
pub const GONE: &[(&str, &str)] = &[(
    "server.insecure",
    "this key is gone. Nobody comes in without an invitation now, on any address (docs/access.md): take the line out. Or \
     write [access] mode = \"open\" where everybody who reaches the page may call, as before",
)];

/// The keys of one entry of `ice.servers`.
pub const ICE_SERVER_KEYS: &[Key] = &[
    key(
        "ice.servers.urls",
        List,
        "a list of addresses that start with stun:, turn: or turns:, such as [\"turn:turn.example.org:3478\"]",
        Unset,
    ),
    key("ice.servers.username", Text, "text, for turn: and turns: only", Unset),
    key("ice.servers.credential", Text, "text, for turn: and turns: only", Unset),
    key("ice.servers.credential_file", Text, SECRET, Unset),
];

const NAMES: &str = r#"a name, or a list of 1 to 64 names of people, IDs or groups; "everyone" is everybody"#;

/// The keys of one entry of `button`.
pub const BUTTON_KEYS: &[Key] = &[
    key("button.name", Text, "1 to 128 bytes of text without control characters", Unset),
    key("button.rings", List, NAMES, Value(r#"["everyone"]"#)),
];

/// The keys of one entry of `rings`.
pub const RINGS_KEYS: &[Key] = &[
    key("rings.people", List, NAMES, Unset),
    key("rings.after_seconds", Integer, "a number of seconds from 0 to 300", Value("0")),
    key("rings.buttons", List, "a name, or a list of names of buttons", Computed("all of them")),
];

/// The keys of one entry of `group`.
pub const GROUP_KEYS: &[Key] = &[
    key("group.name", Text, "1 to 128 bytes of text without control characters", Unset),
    key("group.people", List, "a name, or a list of 1 to 64 names of people or IDs", Unset),
];

/// The keys whose values are lists of tables, and what each of these has.
pub const LISTS: &[(&str, &[Key])] =
    &[("ice.servers", ICE_SERVER_KEYS), ("button", BUTTON_KEYS), ("rings", RINGS_KEYS), ("group", GROUP_KEYS)];

fn in_lists() -> impl Iterator<Item = &'static Key> {
    LISTS.iter().flat_map(|(_, keys)| *keys)
}

/// The key of that path, entries of lists included.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().chain(in_lists()).find(|key| key.path == path)
}

/// Whether a path is a table that holds keys, such as "server" or "server.tls".
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.section() == path || key.section().starts_with(&format!("{path}.")))
}

/// What may stand in a section: the names of its keys and of the sections below it. "" is the top of the file.
pub fn names_in(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    let keys = LISTS.iter().find(|(list, _)| *list == section).map_or(KEYS, |(_, keys)| *keys);
    for key in keys {
        let inner = match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = inner.map(|rest| rest.split_once('.').map_or(rest, |(name, _)| name));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The known path that somebody who wrote `path` most likely meant.
pub fn nearest(path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let sibling = names_in(section)
        .into_iter()
        .map(|known| {
            (distance(name, known), if section.is_empty() { known.to_owned() } else { format!("{section}.{known}") })
        })
        .filter(|(distance, known)| close(*distance, known.rsplit('.').next().unwrap_or(known)));
    let elsewhere = KEYS
        .iter()
        .chain(in_lists())
        .map(|key| (distance(path, key.path).min(1 + distance(name, key.name())), key))
        .filter(|(distance, key)| close(*distance, key.name()))
        .map(|(distance, key)| (distance + 1, key.path.to_owned()));
    sibling.chain(elsewhere).min_by_key(|(distance, _)| *distance).map(|(_, path)| path)
}

/// About one slip in three characters.
fn close(distance: usize, known: &str) -> bool {
    distance <= 1 + known.len() / 4
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // A key of absurd length is near nothing; the bound keeps the table small.
    for (i, x) in a.chars().take(100).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_a_person_means() {
        for (written, meant) in [
            ("camera.widht", Some("camera.width")),
            ("camera.frame_rate", None),
            ("camrea", Some("camera")),
            ("width", Some("camera.width")),
            ("server.port", None),
            ("server.tls.cert", None),
            ("server.tls.certfile", Some("server.tls.cert_file")),
            ("server.cert_file", Some("server.tls.cert_file")),
            ("tls", None),
            ("ice.server", Some("ice.servers")),
            ("ice.servers.url", Some("ice.servers.urls")),
            ("ice.servers.user_name", Some("ice.servers.username")),
            ("calls.maxcalls", Some("calls.max_calls")),
        ] {
            assert_eq!(nearest(written).as_deref(), meant, "{written}");
        }
    }

    #[test]
    fn sections_list_their_names() {
        assert_eq!(
            names_in("server"),
            ["listen", "http_listen", "names", "trusted_proxies", "frame_ancestors", "max_connections", "tls"]
        );
        assert_eq!(names_in("server.tls"), ["mode", "cert_file", "key_file", "acme"]);
        assert_eq!(names_in("ice.servers"), ["urls", "username", "credential", "credential_file"]);
        assert!(names_in("").contains(&"log"));
        assert!(is_section("server") && is_section("server.tls") && !is_section("ser") && !is_section("camera.width"));
    }
}
