//! What `callbox check` prints: every key with its effective value and origin, and what is worth a warning.

use std::path::Path;

use super::address::{self, IceUrl};
use super::keys::{self, Form, KEYS};
use super::layers::{Layers, Origin, Value};
use super::surroundings::Surroundings;
use super::{
    Acme, Answer, Button, Challenge, Chime, Config, Group, IcePolicy, Mode, Rings, Serving, SpeakerSink, Tls,
    Unverified, Visits, tls,
};
use crate::protocol::IceServer;

/// Shown in place of a secret.
const HIDDEN: &str = "***";
/// Column of the origins.
const COLUMN: usize = 44;

pub(super) fn effective(config: &Config, layers: &Layers) -> String {
    let mut out = String::new();
    let mut section = "";
    for key in KEYS {
        if keys::LISTS.iter().any(|(list, _)| *list == key.path) && !is_empty(config, key.path) {
            // Tables in a list come last in TOML; they follow below.
            continue;
        }
        if key.section() != section {
            section = key.section();
            out.push_str(&format!("{}[{section}]\n", if out.is_empty() { "" } else { "\n" }));
        }
        let origin = layers.origin(key.path);
        match value(config, key.path) {
            Some(text) => {
                let text = if key.kind == Form::Text { quote(&text) } else { text };
                line(&mut out, &format!("{} = {text}", key.name()), &origin);
            }
            None => line(&mut out, &format!("# {} =", key.name()), &"not set"),
        }
        if key.path == "server.names" {
            out.push_str(refused_names(config));
        }
    }
    let mut table = |list: &str, text: String| {
        out.push('\n');
        line(&mut out, &format!("[[{list}]]"), &layers.origin(list));
        out.push_str(&text);
    };
    config.ice.servers.iter().for_each(|server| table("ice.servers", ice_server(server)));
    let Visits { buttons, groups, steps, .. } = &config.visits;
    for Button { name, rings } in buttons {
        table("button", format!("name = {}\nrings = {}\n", quote(name), names(rings)));
    }
    for Rings { after, people, buttons } in steps {
        let of = if buttons.is_empty() { String::new() } else { format!("buttons = {}\n", names(buttons)) };
        table("rings", format!("people = {}\nafter_seconds = {}\n{of}", names(people), after.as_secs()));
    }
    for Group { name, people } in groups {
        table("group", format!("name = {}\npeople = {}\n", quote(name), names(people)));
    }
    out
}

/// Whether a list of tables has none.
fn is_empty(config: &Config, list: &str) -> bool {
    let Visits { buttons, groups, steps, .. } = &config.visits;
    match list {
        "button" => buttons.is_empty(),
        "rings" => steps.is_empty(),
        "group" => groups.is_empty(),
        _ => config.ice.servers.is_empty(),
    }
}

/// Which pages get no connection, for whoever puts a proxy in front.
fn refused_names(config: &Config) -> &'static str {
    match config.server.tls {
        Tls::Off => {
            "# Refused: pages open under other names than these, localhost, this machine's own, and addresses;\n\
             # behind a proxy that does not pass Host on unchanged, under other names than these.\n"
        }
        Tls::Auto | Tls::Acme(_) | Tls::Files { .. } => {
            "# Refused: behind a proxy that does not pass Host on unchanged, pages open under other names than these.\n"
        }
    }
}

pub(super) fn warnings(config: &Config, layers: &Layers, surroundings: &Surroundings) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, text: String| {
        warnings.push(match layers.origin(key) {
            Origin::Default => format!("{key}: {text}"),
            origin => format!("{origin}: {key}: {text}"),
        });
    };
    let server = &config.server;
    if !address::is_loopback(&server.listen) {
        if config.access.mode == Mode::Open {
            warn("access.mode", format!("whoever reaches {} can call, unasked and without a name", server.listen));
        }
        if server.tls == Tls::Off {
            let text = "without HTTPS browsers on other machines get no microphone, and whoever listens on the way comes in \
                        with what they hear";
            warn("server.tls.mode", text.to_owned());
        }
    }
    match &server.tls {
        Tls::Auto => {}
        Tls::Acme(acme) => acme_warnings(acme, server, &mut warn),
        Tls::Files { .. } | Tls::Off if server.http_listen.is_some() => {
            let text = "the page there explains a certificate that only [server.tls] mode = \"auto\" makes".to_owned();
            warn("server.http_listen", text);
        }
        Tls::Files { .. } | Tls::Off => {}
    }
    if let (Some(Value::Integer(asked)), Some(files)) =
        (layers.get("server.max_connections").map(|node| &node.value), surroundings.open_files)
        && *asked > i64::from(server.max_connections)
    {
        let text = format!(
            "{asked} clients are more than the limit of open files allows, which is {files}: {} are served. Raise \
             LimitNOFILE= in the unit, or ulimit -Hn",
            server.max_connections
        );
        warn("server.max_connections", text);
    }
    if let Some(url) = &config.signaling.url
        && url.to_ascii_lowercase().starts_with("ws:")
        && !address::is_local_url(url)
    {
        warn("signaling.url", "ws:// is not encrypted; wss:// is".to_owned());
    }
    let indicator = &config.indicator;
    if indicator.chime != Chime::None && config.speaker == SpeakerSink::None {
        warn("indicator.chime", "without a speaker nobody hears it".to_owned());
    }
    if indicator.required && indicator.led.is_none() && indicator.chime != Chime::Before {
        warn(
            "indicator.required",
            "neither an LED nor a chime before answering is set, so nothing is required".to_owned(),
        );
    }
    for url in config.ice.servers.iter().flat_map(|server| &server.urls) {
        if address::ice_url(url) == Ok(IceUrl::Turn { udp: false }) {
            warn("ice.servers", format!("{url}: the device reaches TURN over UDP only; browsers will use this one"));
        }
    }
    let relayed =
        |server: &IceServer| server.urls.iter().any(|url| address::ice_url(url) == Ok(IceUrl::Turn { udp: true }));
    if config.ice.policy == IcePolicy::Relay && !config.ice.servers.iter().any(relayed) {
        warn("ice.policy", "no turn: address over UDP is given, so no call will connect".to_owned());
    }
    warnings
}

/// What a public authority will not come to, or not vouch for.
fn acme_warnings(acme: &Acme, server: &Serving, warn: &mut impl FnMut(&str, String)) {
    let comes_to = |port: u16, key: &str, has: u16| {
        format!(
            "the certificate authority comes to port {port} of each name: the router has to pass it on to port {has} here, \
             or {key} has port {port}"
        )
    };
    match (&acme.challenge, server.http_listen) {
        (Challenge::Http01, Some(http)) if http.port() != 80 => {
            warn("server.http_listen", comes_to(80, "server.http_listen", http.port()));
        }
        (Challenge::TlsAlpn01, _) if server.listen.port() != 443 => {
            warn("server.listen", comes_to(443, "server.listen", server.listen.port()));
        }
        (Challenge::Http01 | Challenge::TlsAlpn01 | Challenge::Dns01 { .. }, _) => {}
    }
    if acme.directory == tls::DIRECTORY {
        for name in server.names.iter().filter(|name| !tls::is_public(name)) {
            warn(
                "server.names",
                format!("{name}: no public certificate authority vouches for such a name, and for none beside it"),
            );
        }
    }
}

fn line(out: &mut String, text: &str, origin: &dyn std::fmt::Display) {
    out.push_str(&format!("{text:<COLUMN$}  # {origin}\n"));
}

/// The value in TOML, text still without its quotes; `None` where the key is unset.
pub(super) fn value(config: &Config, path: &str) -> Option<String> {
    let path_text = |path: &Path| path.display().to_string();
    let tls_file = |certificate: bool| match &config.server.tls {
        Tls::Files { cert_file, key_file } => Some(path_text(if certificate { cert_file } else { key_file })),
        Tls::Auto | Tls::Acme(_) | Tls::Off => None,
    };
    let acme = match &config.server.tls {
        Tls::Acme(acme) => Some(acme),
        Tls::Auto | Tls::Files { .. } | Tls::Off => None,
    };
    match path {
        "device.id" => Some(config.device.id.to_string()),
        "device.name" => Some(config.device.name.clone()),
        "device.key_file" => config.device.key.as_ref().map(|key| path_text(&key.file)),
        "signaling.url" => config.signaling.url.clone(),
        "signaling.token_file" => config.signaling.token.as_ref().map(|token| path_text(&token.file)),
        "signaling.ca_file" => config.signaling.ca_file.as_deref().map(path_text),
        "server.listen" => Some(config.server.listen.to_string()),
        "server.http_listen" => config.server.http_listen.map(|listen| listen.to_string()),
        "server.names" => Some(list(config.server.names.iter().cloned())),
        "server.trusted_proxies" => Some(list(config.server.trusted_proxies.iter().map(ToString::to_string))),
        "server.frame_ancestors" => Some(list(config.server.frame_ancestors.iter().cloned())),
        "server.max_connections" => Some(config.server.max_connections.to_string()),
        "server.tls.mode" => Some(
            match config.server.tls {
                Tls::Off => "off",
                Tls::Auto => "auto",
                Tls::Acme(_) => "acme",
                Tls::Files { .. } => "files",
            }
            .to_owned(),
        ),
        "server.tls.cert_file" => tls_file(true),
        "server.tls.key_file" => tls_file(false),
        "server.tls.acme.challenge" => acme.map(|acme| acme.challenge.name().to_owned()),
        "server.tls.acme.hook" => acme.and_then(|acme| match &acme.challenge {
            Challenge::Dns01 { hook } => Some(path_text(hook)),
            Challenge::Http01 | Challenge::TlsAlpn01 => None,
        }),
        "server.tls.acme.directory" => acme.map(|acme| acme.directory.clone()),
        "server.tls.acme.ca_file" => acme.and_then(|acme| acme.ca_file.as_deref()).map(path_text),
        "server.tls.acme.contact" => acme.and_then(|acme| acme.contact.clone()),
        "access.mode" => Some(if config.access.mode == Mode::Invited { "invited" } else { "open" }.to_owned()),
        "access.rights" => Some(list(config.access.rights.iter().map(|right| right.name().to_owned()))),
        "access.unverified" => config.access.unverified.map(|unverified| {
            match unverified {
                Unverified::Allow => "allow",
                Unverified::Refuse => "refuse",
            }
            .to_owned()
        }),
        "camera.source" => Some(config.camera.source.to_string()),
        "camera.width" => Some(config.camera.width.to_string()),
        "camera.height" => Some(config.camera.height.to_string()),
        "camera.fps" => Some(config.camera.fps.to_string()),
        "camera.format" => Some(config.camera.format.to_string()),
        "microphone.source" => Some(config.microphone.to_string()),
        "speaker.sink" => Some(config.speaker.to_string()),
        "indicator.led" => config.indicator.led.clone(),
        "indicator.chime" => {
            let named = Chime::WORDS.iter().find(|(_, chime)| *chime == config.indicator.chime);
            named.map(|(word, _)| (*word).to_owned())
        }
        "indicator.required" => Some(config.indicator.required.to_string()),
        "ice.servers" | "button" | "rings" | "group" => Some("[]".to_owned()),
        "visits.ring_seconds" => Some(config.visits.ring_time.as_secs().to_string()),
        "ice.policy" => Some(if config.ice.policy == IcePolicy::All { "all" } else { "relay" }.to_owned()),
        "ice.bind" => Some(list(config.ice.bind.iter().map(ToString::to_string))),
        "ice.mdns" => Some(config.ice.mdns.to_string()),
        "calls.answer" => Some(if config.calls.answer == Answer::Auto { "auto" } else { "ring" }.to_owned()),
        "calls.max_calls" => Some(config.calls.max_calls.to_string()),
        "control.socket" => Some(path_text(&config.control.socket)),
        "state.dir" => Some(path_text(&config.state.dir)),
        "log.level" => Some(config.log.to_string().to_lowercase()),
        _ => None,
    }
}

fn ice_server(server: &IceServer) -> String {
    let mut out = format!("urls = {}\n", list(server.urls.iter().cloned()));
    if let Some(username) = &server.username {
        out.push_str(&format!("username = {}\n", quote(username)));
    }
    if server.credential.is_some() {
        out.push_str(&format!("credential = {}\n", quote(HIDDEN)));
    }
    out
}

fn names(names: &[String]) -> String {
    list(names.iter().cloned())
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(|item| quote(&item)).collect::<Vec<_>>().join(", "))
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
