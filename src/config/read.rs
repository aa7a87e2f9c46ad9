//! From layers to [`Config`]: every key is read once, and everything that is wrong is collected before giving up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::address::{self, IceUrl, MAX_TURN_USERNAME};
use super::error::{ConfigError, Problem};
use super::keys;
use super::layers::{Entry, Layers, Node, Origin, Value, unknown};
use super::surroundings::{MIN_CONNECTIONS, Surroundings};
use super::values;
use super::{
    Access, Answer, Calls, Camera, CameraFormat, CameraSource, Chime, Config, Control, Ice, IcePolicy, Identity,
    Indicator, MicrophoneSource, Mode, Serving, Signaling, SpeakerSink, State, Unverified,
};
use crate::protocol::{IceServer, Rights};

/// `problems` are those that the layers had already.
pub(super) fn config(
    layers: &Layers,
    problems: Vec<Problem>,
    surroundings: &Surroundings,
) -> Result<Config, ConfigError> {
    let mut reader = Reader { layers, surroundings, problems };
    let config = reader.config();
    ConfigError::check(reader.problems)?;
    Ok(config)
}

pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    surroundings: &'a Surroundings,
    problems: Vec<Problem>,
}

/// One of a list of tables, and where it stands.
pub(super) type Table = (Origin, Vec<Entry>);

/// Why a value is refused, where there is more to say than what is allowed.
pub(super) type Refusal = Option<String>;

impl Reader<'_> {
    fn config(&mut self) -> Config {
        let surroundings = self.surroundings;
        let id = self.text("device.id", values::id).unwrap_or_else(|| surroundings.device_id());
        let name = self.text("device.name", values::name).unwrap_or_else(|| id.to_string());
        let server = self.server();
        let access = self.access(&server);
        let surroundings = self.surroundings;
        let key = self.get("device.key_file", |node| values::secret(node, surroundings));
        Config {
            device: Identity { id, name, key },
            signaling: self.signaling(),
            server,
            access,
            camera: self.camera(),
            microphone: self.microphone(),
            speaker: self.speaker(),
            indicator: Indicator {
                led: self.text("indicator.led", values::file_name),
                chime: self.word("indicator.chime", &Chime::WORDS).unwrap_or_default(),
                required: self.get("indicator.required", boolean).unwrap_or(false),
            },
            ice: self.ice(),
            visits: self.visits(),
            calls: Calls {
                answer: self
                    .word("calls.answer", &[("auto", Answer::Auto), ("ring", Answer::Ring)])
                    .unwrap_or(Answer::Auto),
                max_calls: self.number("calls.max_calls", |n| values::number_up_to(n, 1, 16)),
            },
            control: Control { socket: self.path("control.socket").unwrap_or_else(|| surroundings.control_socket()) },
            state: State { dir: self.path("state.dir").unwrap_or_else(|| surroundings.state_dir()) },
            log: self.text("log.level", |text| text.parse().ok()).unwrap_or(log::LevelFilter::Info),
        }
    }

    fn signaling(&mut self) -> Signaling {
        let surroundings = self.surroundings;
        let token = self.get("signaling.token_file", |node| values::secret(node, surroundings));
        Signaling {
            url: self.text("signaling.url", address::signaling_url),
            token,
            ca_file: self.get("signaling.ca_file", values::readable_file),
        }
    }

    fn server(&mut self) -> Serving {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = self.text("server.listen", address::listen).unwrap_or(nowhere);
        let http_listen = self.text("server.http_listen", address::listen);
        if http_listen.is_some_and(|http| http == listen && http.port() != 0) {
            self.refuse("server.http_listen", "must be another address or port than server.listen");
        }
        let names = self.get("server.names", |node| {
            let Value::List(items) = &node.value else { return Err(None) };
            let name = |text: &str| address::is_host_name(text).then(|| text.to_ascii_lowercase());
            items.iter().map(|item| item.value.as_text().and_then(name).ok_or(None)).collect()
        });
        let trusted_proxies = self.get("server.trusted_proxies", |node| {
            let Value::List(items) = &node.value else { return Err(None) };
            items.iter().map(|item| item.value.as_text().and_then(|text| text.parse().ok()).ok_or(None)).collect()
        });
        let (max_connections, max_others) = self.surroundings.connections(
            match self.number("server.max_connections", |n| values::number_up_to(n, MIN_CONNECTIONS, 1_000_000)) {
                0 => None,
                number => Some(number),
            },
        );
        let names: Vec<String> = names.unwrap_or_default();
        let tls = self.tls(&listen, http_listen, &names);
        let trusted_proxies = trusted_proxies.unwrap_or_default();
        let frame_ancestors = self.get("server.frame_ancestors", |node| {
            let Value::List(items) = &node.value else { return Err(None) };
            items.iter().map(|item| item.value.as_text().and_then(address::site).ok_or(None)).collect()
        });
        let frame_ancestors = frame_ancestors.unwrap_or_default();
        Serving { listen, http_listen, names, trusted_proxies, frame_ancestors, max_connections, max_others, tls }
    }

    /// Behind a proxy, too, others come than those at this machine.
    fn access(&mut self, server: &Serving) -> Access {
        let alone =
            address::is_loopback(&server.listen) && server.names.is_empty() && server.trusted_proxies.is_empty();
        let usual = if alone { Mode::Open } else { Mode::Invited };
        let mode = self.word("access.mode", &[("invited", Mode::Invited), ("open", Mode::Open)]).unwrap_or(usual);
        let rights = self.get("access.rights", |node| {
            let Value::List(items) = &node.value else { return Err(None) };
            let right = |item: &Node| item.value.as_text().and_then(|text| text.parse::<Rights>().ok());
            items.iter().map(|item| right(item).ok_or(None)).collect::<Result<Vec<_>, _>>()
        });
        let all = |rights: Vec<Rights>| rights.into_iter().flat_map(Rights::iter).collect::<Vec<_>>().into();
        let unverified =
            self.word("access.unverified", &[("allow", Unverified::Allow), ("refuse", Unverified::Refuse)]);
        Access { mode, rights: rights.map_or(Rights::ALL, all), unverified }
    }

    fn camera(&mut self) -> Camera {
        let source = self.get("camera.source", |node| {
            Ok(match CameraSource::parse(node.value.as_text().ok_or(None)?).ok_or(None)? {
                CameraSource::File(path) => CameraSource::File(node.origin.resolve(&path)),
                other => other,
            })
        });
        let format =
            self.get("camera.format", |node| CameraFormat::parse(node.value.as_text().ok_or(None)?).ok_or(None));
        Camera {
            source: source.unwrap_or(CameraSource::Auto),
            width: self.number("camera.width", |n| values::pixels(n, 3840)),
            height: self.number("camera.height", |n| values::pixels(n, 2160)),
            fps: self.number("camera.fps", |n| values::number_up_to(n, 1, 120)),
            format: format.unwrap_or(CameraFormat::Auto),
        }
    }

    fn microphone(&mut self) -> MicrophoneSource {
        let source = self.get("microphone.source", |node| {
            Ok(match MicrophoneSource::parse(node.value.as_text().ok_or(None)?).ok_or(None)? {
                MicrophoneSource::File(path) => MicrophoneSource::File(node.origin.resolve(&path)),
                other => other,
            })
        });
        source.unwrap_or(MicrophoneSource::Auto)
    }

    fn speaker(&mut self) -> SpeakerSink {
        let sink = self.get("speaker.sink", |node| {
            Ok(match SpeakerSink::parse(node.value.as_text().ok_or(None)?).ok_or(None)? {
                SpeakerSink::File(path) => SpeakerSink::File(node.origin.resolve(&path)),
                other => other,
            })
        });
        sink.unwrap_or(SpeakerSink::Auto)
    }

    fn ice(&mut self) -> Ice {
        let bind = self.get("ice.bind", |node| {
            let Value::List(items) = &node.value else { return Err(None) };
            items
                .iter()
                .map(|item| item.value.as_text().and_then(|text| text.parse::<IpAddr>().ok()).ok_or(None))
                .collect()
        });
        Ice {
            servers: self.ice_servers(),
            policy: self
                .word("ice.policy", &[("all", IcePolicy::All), ("relay", IcePolicy::Relay)])
                .unwrap_or(IcePolicy::All),
            bind: bind.unwrap_or_default(),
            mdns: self.get("ice.mdns", boolean).unwrap_or(true),
        }
    }

    fn ice_servers(&mut self) -> Vec<IceServer> {
        let tables = self.tables("ice.servers");
        tables.iter().filter_map(|(origin, entries)| self.ice_server(origin, entries)).collect()
    }

    /// The entries of a list of tables, without those that have a key which nobody knows.
    pub(super) fn tables(&mut self, path: &str) -> Vec<Table> {
        let layers = self.layers;
        let Some(node) = layers.get(path) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.refuse_node(path, node, None);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(entries) if self.knows(path, entries) => {
                    tables.push((item.origin.clone(), entries.clone()));
                }
                Value::Table(_) => {}
                _ => self.refuse_node(path, item, None),
            }
        }
        tables
    }

    fn knows(&mut self, list: &str, entries: &[Entry]) -> bool {
        let mut known = true;
        for entry in entries {
            let path = format!("{list}.{}", entry.name);
            if keys::find(&path).is_none() {
                self.problems.push(Problem { origin: entry.node.origin.clone(), message: unknown(&path) });
                known = false;
            }
        }
        known
    }

    /// One key of such an entry, by its whole path.
    pub(super) fn entry<T>(
        &mut self,
        path: &str,
        entries: &[Entry],
        parse: impl FnOnce(&Node) -> Result<T, Refusal>,
    ) -> Option<T> {
        let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
        let node = entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node)?;
        self.parse(path, node, parse)
    }

    /// Such an entry lacks a key, unless it is there and has been refused.
    pub(super) fn missing(&mut self, origin: &Origin, entries: &[Entry], path: &str, such_as: &str) {
        let (list, name) = path.rsplit_once('.').unwrap_or(("", path));
        if entries.iter().all(|entry| entry.name != name) {
            self.fail(origin, format!("{list}: {name} is missing, such as {such_as}"));
        }
    }

    pub(super) fn fail(&mut self, origin: &Origin, message: impl Into<String>) {
        self.problems.push(Problem { origin: origin.clone(), message: message.into() });
    }

    fn ice_server(&mut self, origin: &Origin, entries: &[Entry]) -> Option<IceServer> {
        let find = |name: &str| entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node);
        let urls = self.entry("ice.servers.urls", entries, ice_urls);
        let username = self.entry("ice.servers.username", entries, turn_username);
        let credential = self.entry("ice.servers.credential", entries, some_text);
        let surroundings = self.surroundings;
        let file = self.entry("ice.servers.credential_file", entries, |node| values::secret(node, surroundings));
        let file = file.map(|token| token.secret);
        if let (Some(node), true) = (find("credential_file"), find("credential").is_some()) {
            self.fail(&node.origin, "ice.servers.credential_file: credential is there too; one of the two must go");
        }
        let secret = find("credential_file").or(find("credential"));
        match &urls {
            None if find("urls").is_none() => {
                self.fail(origin, "ice.servers: urls is missing, such as urls = [\"stun:stun.example.org:3478\"]");
            }
            None => {}
            Some((_, true)) if find("username").is_none() || secret.is_none() => {
                self.fail(
                    origin,
                    "ice.servers: a turn: or turns: address needs username, and credential or credential_file",
                );
            }
            Some((_, true)) => {}
            Some((_, false)) => {
                if let Some(node) = find("username").or(secret) {
                    self.fail(
                        &node.origin,
                        "ice.servers: username and credential are for turn: and turns: addresses only",
                    );
                }
            }
        }
        Some(IceServer { urls: urls?.0, username, credential: credential.or(file) })
    }

    /// Reads a key; `None` where nothing is written, or what is written is refused, which is then a problem.
    pub(super) fn get<T>(&mut self, path: &str, parse: impl FnOnce(&Node) -> Result<T, Refusal>) -> Option<T> {
        let layers = self.layers;
        layers.get(path).and_then(|node| self.parse(path, node, parse))
    }

    fn parse<T>(&mut self, path: &str, node: &Node, parse: impl FnOnce(&Node) -> Result<T, Refusal>) -> Option<T> {
        parse(node).map_err(|why| self.refuse_node(path, node, why)).ok()
    }

    pub(super) fn text<T>(&mut self, path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.get(path, |node| text(node, parse))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, path: &str, words: &[(&str, T)]) -> Option<T> {
        self.text(path, |text| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
    }

    /// 0, which no key allows, stands where the load fails.
    pub(super) fn number(&mut self, path: &str, check: impl FnOnce(i64) -> Option<u32>) -> u32 {
        let parse = |node: &Node| if let Value::Integer(n) = node.value { check(n).ok_or(None) } else { Err(None) };
        self.get(path, parse).unwrap_or(0)
    }

    pub(super) fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.get(path, |node| some_text(node).map(|text| node.origin.resolve(Path::new(&text))))
    }

    /// A value that is right by itself but not beside the others.
    pub(super) fn refuse(&mut self, path: &str, why: &str) {
        let value = self.layers.get(path).map(|node| format!(" = {}", node.value)).unwrap_or_default();
        let message = format!("{path}{value}: {why}");
        self.problems.push(Problem { origin: self.layers.origin(path), message });
    }

    pub(super) fn has_refused(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.message.starts_with(path))
    }

    fn refuse_node(&mut self, path: &str, node: &Node, why: Refusal) {
        let allowed = keys::find(path).map_or("something else", |key| key.allowed);
        let why = why.map(|why| format!("{why}; ")).unwrap_or_default();
        // A credential of the wrong type is still nobody's to read.
        let value = if path.ends_with(".credential") { String::new() } else { format!(" = {}", node.value) };
        let message = format!("{path}{value}: {why}must be {allowed}");
        self.problems.push(Problem { origin: node.origin.clone(), message });
    }
}

pub(super) fn text<T>(node: &Node, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Refusal> {
    node.value.as_text().and_then(parse).ok_or(None)
}

fn boolean(node: &Node) -> Result<bool, Refusal> {
    if let Value::Boolean(yes) = node.value { Ok(yes) } else { Err(None) }
}

fn some_text(node: &Node) -> Result<String, Refusal> {
    node.value.as_text().filter(|text| !text.is_empty()).map(str::to_owned).ok_or(None)
}

fn turn_username(node: &Node) -> Result<String, Refusal> {
    match some_text(node)? {
        name if name.len() <= MAX_TURN_USERNAME => Ok(name),
        name => Err(Some(format!("it has {} bytes, and browsers take {MAX_TURN_USERNAME} at most", name.len()))),
    }
}

/// The addresses, and whether one of them is a TURN server. A single address needs no brackets.
fn ice_urls(node: &Node) -> Result<(Vec<String>, bool), Refusal> {
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items.as_slice(),
        Value::Text(_) => std::slice::from_ref(node),
        _ => return Err(None),
    };
    let mut urls = Vec::new();
    let mut turn = false;
    for item in items {
        let text = item.value.as_text().ok_or_else(|| Some(format!("{} is no address", item.value)))?;
        let url = address::ice_url(text).map_err(|why| Some(format!("{text:?} is no such address: {why}")))?;
        turn |= matches!(url, IceUrl::Turn { .. });
        urls.push(address::with_small_scheme(text));
    }
    Ok((urls, turn))
}
