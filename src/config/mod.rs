//! The configuration: a TOML file with the environment laid over it, read into types that cannot hold an impossible
//! value. Whatever is wrong is reported with file and line (or the variable), the key, and what is allowed there.
//! docs/config.md is the reference for people, docs/callbox.example.toml the commented example; tests hold both to
//! [`keys::KEYS`].

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::network::Network;
use crate::base::text::{self, TextError};
use crate::protocol::{IceServer, Rights, UserId};

mod address;
mod changes;
mod error;
mod kept;
pub mod keys;
mod layers;
mod read;
mod report;
mod source;
mod surroundings;
mod tls;
mod values;
mod visits;

pub use address::is_host_name;
pub use error::{ConfigError, Problem};
pub use kept::{COMMISSIONED, FIRST_LINK, FIRST_OWNER, household_in_use, is_ours};
pub use layers::Origin;
pub use source::{CameraFormat, CameraSource, MicrophoneSource, SpeakerSink};
pub use surroundings::Surroundings;

/// Read when no file is named. It may be missing: then everything has its default.
pub const DEFAULT_FILE: &str = "/etc/callbox/callbox.toml";

/// The whole configuration. Paths are as they will be opened: relative ones in the file are taken from its directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub device: Identity,
    pub signaling: Signaling,
    pub server: Serving,
    pub access: Access,
    pub camera: Camera,
    pub microphone: MicrophoneSource,
    pub speaker: SpeakerSink,
    pub indicator: Indicator,
    pub ice: Ice,
    pub visits: Visits,
    pub calls: Calls,
    pub control: Control,
    pub state: State,
    pub log: log::LevelFilter,
}

/// `[device]`: who this device is at the signaling server.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub id: UserId,
    /// What people read.
    pub name: String,
    /// The seed of the device's key, where it is not kept in the state directory.
    pub key: Option<Token>,
}

/// `[signaling]`: a signaling server elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Signaling {
    /// `ws://` or `wss://`; without it the device embeds a server of its own.
    pub url: Option<String>,
    pub token: Option<Token>,
    /// PEM certificates to trust instead of the system's roots.
    pub ca_file: Option<PathBuf>,
}

/// What `token_file` held.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub secret: String,
    /// `credential:NAME` where it is systemd's.
    pub file: PathBuf,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("file", &self.file).finish_non_exhaustive()
    }
}

/// `[server]`: the signaling server, embedded or alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    pub listen: SocketAddr,
    /// Where the plain-HTTP page that explains the certificate is served.
    pub http_listen: Option<SocketAddr>,
    /// Names that browsers reach the server by, beside those of this machine. In lower case.
    pub names: Vec<String>,
    /// Proxies whose word counts on whom a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Sites whose pages may show ours in a frame.
    pub frame_ancestors: Vec<String>,
    /// Clients at a time.
    pub max_connections: u32,
    /// Sockets of the server beside them: what the limit of open files leaves.
    pub max_others: u32,
    pub tls: Tls,
}

/// `[server.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// A local certificate authority, kept in the state directory.
    Auto,
    /// A public authority, by ACME.
    Acme(Acme),
    /// PEM files.
    Files {
        cert_file: PathBuf,
        key_file: PathBuf,
    },
}

/// `[server.tls.acme]`. The names are `server.names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    pub challenge: Challenge,
    /// URL of the authority's directory, https:// only.
    pub directory: String,
    /// PEM certificates to trust instead of the system's roots when talking to it.
    pub ca_file: Option<PathBuf>,
    /// An e-mail address.
    pub contact: Option<String>,
}

/// How the authority sees that the names are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    Http01,
    TlsAlpn01,
    /// `hook` sets a record in the DNS.
    Dns01 {
        hook: PathBuf,
    },
}

impl Challenge {
    pub fn name(&self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
            Challenge::Dns01 { .. } => "dns-01",
        }
    }
}

/// `[access]`: who may come in, and what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// At the server.
    pub mode: Mode,
    /// With this device, at most: whatever the server says, nobody has more.
    pub rights: Rights,
    /// Of those who do not show who they are; refused where there is a household unless it is said.
    pub unverified: Option<Unverified>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    Allow,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those whom the household has invited.
    Invited,
    /// Whoever reaches it.
    Open,
}

/// `[camera]`. Width and height are even; what the camera cannot do falls to the nearest it can.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    pub source: CameraSource,
    pub width: u32,
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    pub format: CameraFormat,
}

/// `[indicator]`: how those in front of the device see and hear that they are seen and heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indicator {
    /// A name in /sys/class/leds.
    pub led: Option<String>,
    pub chime: Chime,
    /// Whether nothing is captured where the sign fails.
    pub required: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chime {
    #[default]
    None,
    /// When camera and microphone are switched on.
    Soft,
    /// To its end before they are.
    Before,
}

impl Chime {
    const WORDS: [(&str, Chime); 3] = [("none", Chime::None), ("soft", Chime::Soft), ("before", Chime::Before)];
}

/// `[ice]`: how media find their way.
#[derive(Clone, Debug, PartialEq)]
pub struct Ice {
    /// Handed to the callers' browsers too; `credential_file` is already read.
    pub servers: Vec<IceServer>,
    pub policy: IcePolicy,
    /// Local addresses to use; empty means all.
    pub bind: Vec<IpAddr>,
    /// Resolve the `.local` names that browsers put in place of their addresses.
    pub mdns: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcePolicy {
    All,
    /// Only through a TURN server.
    Relay,
}

/// `[calls]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    pub answer: Answer,
    /// Calls at a time; further callers hear "busy".
    pub max_calls: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every call is answered at once.
    Auto,
    /// A call rings until `callbox answer`.
    Ring,
}

/// `[[button]]`, `[[rings]]`, `[[group]]` and `[visits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Visits {
    /// None are written down: there is one bell, which rings everyone.
    pub buttons: Vec<Button>,
    pub groups: Vec<Group>,
    pub steps: Vec<Rings>,
    /// How long a bell rings.
    pub ring_time: Duration,
}

/// A bell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    pub name: String,
    /// Whom it rings at once: people, IDs, groups, or everyone.
    pub rings: Vec<String>,
}

/// Whom bells ring later, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rings {
    pub after: Duration,
    pub people: Vec<String>,
    /// All where there are none.
    pub buttons: Vec<String>,
}

/// People under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub people: Vec<String>,
}

impl Visits {
    /// Those whom names mean: groups are taken apart.
    pub fn people<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        names
            .iter()
            .flat_map(|name| match self.groups.iter().find(|group| visits::same(&group.name, name)) {
                Some(group) => group.people.as_slice(),
                None => std::slice::from_ref(name),
            })
            .map(String::as_str)
    }
}

impl Rings {
    /// Whether they are that button's.
    pub fn is_of(&self, button: &str) -> bool {
        self.buttons.is_empty() || self.buttons.iter().any(|name| visits::same(name, button))
    }
}

/// `[control]`: the socket that `callbox status`, `call`, `answer` and `hangup` speak to.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    pub socket: PathBuf,
}

/// `[state]`: what outlives the process, such as the local certificate authority.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub dir: PathBuf,
}

/// A configuration together with where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is allowed but worth a word to the person who starts Callbox.
    pub warnings: Vec<String>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    layers: layers::Layers,
}

impl Config {
    /// Whether signaling stays on this machine, so that callers are on it too.
    pub fn is_local(&self) -> bool {
        match &self.signaling.url {
            Some(url) => address::is_local_url(url),
            None => self.server.listen.ip().is_loopback(),
        }
    }

    /// Reads `file`, or [`DEFAULT_FILE`] where there is one, and lays this process's environment over it.
    pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
        Config::load_in(file, &Surroundings::of_process())
    }

    /// [`Config::load`] for those who look at the daemon's configuration and are not given its credentials.
    pub fn look(file: Option<&Path>) -> Result<Loaded, ConfigError> {
        Config::load_in(file, &Surroundings { credentials_needed: false, ..Surroundings::of_process() })
    }

    /// [`Config::load`] with the surroundings given.
    pub fn load_in(file: Option<&Path>, surroundings: &Surroundings) -> Result<Loaded, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match text::read(path, text::MAX_BYTES) {
            Ok(text) => Some(text),
            Err(TextError::Io(error)) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ConfigError::unreadable(path, &error)),
        };
        Loaded::from_parts(text.as_deref().map(|text| (path, text)), surroundings)
    }

    /// Reads the text of a file, for tests: nothing of the environment, a host named "callbox".
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let named = Some((Path::new("callbox.toml"), text));
        Loaded::from_parts(named, &Surroundings::bare()).map(|loaded| loaded.config)
    }
}

impl Loaded {
    fn from_parts(file: Option<(&Path, &str)>, surroundings: &Surroundings) -> Result<Loaded, ConfigError> {
        let (layers, problems) = layers::Layers::gather(file, &surroundings.variables);
        let config = read::config(&layers, problems, surroundings)?;
        let warnings = report::warnings(&config, &layers, surroundings);
        Ok(Loaded { config, warnings, file: file.map(|(path, _)| path.to_owned()), layers })
    }

    /// Where the value of a key came from, such as "camera.width".
    pub fn origin(&self, key: &str) -> Origin {
        self.layers.origin(key)
    }

    /// The whole configuration as TOML, each key with its origin; secrets are not shown.
    pub fn effective(&self) -> String {
        report::effective(&self.config, &self.layers)
    }
}
