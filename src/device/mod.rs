//! The appliance: camera, microphone and speaker, registered at a signaling server, taking and placing calls.

mod allowed;
mod bells;
mod commission;
pub mod control;
mod handle;
mod indicator;
mod keys;
mod news;
mod session;
pub(crate) mod sources;
mod studio;
mod switchboard;

use std::net::SocketAddr;
#[cfg(feature = "server")]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
#[cfg(feature = "server")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::control::{Control, ControlError, Order};
use self::handle::Request;
pub use self::handle::{Ailment, Checkup, Handle};
pub use self::keys::{DEVICE_KEY, PAIRED};
use self::keys::{KeyError, Keys};
use self::studio::{Hardware, Studio};
use self::switchboard::{Settings, Switchboard, Word};
use crate::base::text;
use crate::config::{self, Answer, CameraSource, Config, IcePolicy, MicrophoneSource, SpeakerSink};
use crate::logic::call::AnswerPolicy;
use crate::logic::identity::Unverified;
use crate::logic::ring::Plan;
use crate::net::peer::{Equipment, Liveness, PeerSettings};
use crate::net::signaling::{Signaling, SignalingError, SignalingEvent, SignalingSettings};
use crate::net::trust::{Trust, TrustError, client_config};
use crate::protocol::{Key, Kind, Message, Rights, accepts};
#[cfg(feature = "server")]
use crate::server::{Server, ServerError, ServerSettings};

/// How long the ending program waits for its devices.
const CLOSING: Duration = Duration::from_secs(3);

/// Why the appliance does not start.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[cfg(feature = "server")]
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("[signaling] url: {0}")]
    Signaling(#[from] SignalingError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{key} {}: {error}", path.display())]
    Certificates { key: &'static str, path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the signaling server has ended by itself, which is a fault in Callbox: nobody can call any more")]
    Ended,
    #[cfg(not(feature = "server"))]
    #[error("this Callbox was built without a server of its own: set [signaling] url")]
    NoServer,
}

/// What a person wants to know once the appliance is up.
#[derive(Clone)]
pub struct Ready {
    pub name: String,
    /// The server that the device registers at.
    pub signaling: String,
    /// Addresses of the call page; empty where another machine serves it.
    pub pages: Vec<String>,
    /// Addresses of the page that says how to trust the local certificate authority.
    pub trust_pages: Vec<String>,
    /// SHA-256 fingerprint of the local certificate authority, if the embedded server has one.
    pub fingerprint: Option<String>,
    /// Makes the first owner of whoever opens it: for the terminal, and never for a log.
    pub first_link: Option<String>,
}

/// A running appliance.
pub struct Device {
    switchboard: Switchboard,
    signals: mpsc::Receiver<SignalingEvent>,
    orders: mpsc::Receiver<Order>,
    requests: mpsc::Receiver<Request>,
    handle: Handle,
    home: Home,
    control: Control,
}

impl Device {
    /// Returns once the appliance can be reached. `debug_hooks`: `callbox debug-block` is obeyed.
    pub async fn start(config: &Config, debug_hooks: bool) -> Result<Device, DeviceError> {
        let started = Instant::now();
        let (control, orders) = Control::listen(&config.control.socket).await?;
        let keys = Keys::load(config)?;
        let home = Home::find(config, &keys).await?;

        let settings = SignalingSettings {
            url: home.url.clone(),
            address: home.address,
            token: home.pass.clone().or(keys.token),
            tls: client_config(&home.trust)?,
            join: Message::Join {
                user_id: config.device.id.clone(),
                name: Some(config.device.name.clone()),
                kind: Kind::Device,
                accepts: vec![accepts::PEERS.to_owned()],
                // The connection shows it.
                token: None,
                credential: None,
            },
            signer: Some(keys.signer.clone()),
            pairing: keys.pairing,
        };
        let (signaling, signals) = Signaling::start(settings)?;
        let about = json!({
            "id": config.device.id,
            "name": config.device.name,
            "version": env!("CARGO_PKG_VERSION"),
            "signaling": { "url": home.url },
            "pages": home.ready.pages,
        });
        let settings = Settings {
            me: config.device.id.clone(),
            signer: keys.signer,
            household: home.household.or(keys.household),
            url: home.url.clone(),
            about,
            certificate: home.certificate(),
            debug_hooks,
        };
        let studio = Studio::new(Hardware::default());
        let named = config.clone();
        let find = move || {
            let found = sources::hardware(&named);
            move |hardware: &mut Hardware| *hardware = found
        };
        studio.change_hardware(find).await;
        let questions = signaling.questions();
        let switchboard = Switchboard::new(settings, Terms::from(config), signaling, studio.clone(), started);
        let (switch, requests) = mpsc::channel(handle::REQUESTS);
        tokio::spawn(commission::remember(
            config.state.dir.clone(),
            switchboard.watch_standing(),
            commission::reachable,
        ));
        let handle = Handle {
            switchboard: switch,
            signaling: questions,
            studio,
            status: switchboard.watch_status(),
            #[cfg(feature = "server")]
            server: home.server.as_ref().map(Server::handle),
        };
        Ok(Device { switchboard, signals, orders, requests, handle, home, control })
    }

    pub fn ready(&self) -> &Ready {
        &self.home.ready
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes and places calls until `shutdown` resolves, or until the embedded server has ended, which is an error.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), DeviceError> {
        let Device { switchboard, signals, orders, requests, home, control, handle } = self;
        let mut result = Ok(());
        let end = async {
            tokio::select! {
                () = shutdown => {}
                () = home.ended() => result = Err(DeviceError::Ended),
            }
        };
        switchboard.run(signals, orders, requests, end).await;
        // A recording is not whole before its file is closed.
        if timeout(CLOSING, handle.studio.closed()).await.is_err() {
            log::warn!("a device does not close: the program ends without it");
        }
        // An LED is given back as it was found.
        handle.studio.change_hardware(|| |hardware: &mut Hardware| *hardware = Hardware::default()).await;
        home.close().await;
        drop((control, handle));
        result
    }
}

/// What of the configuration counts for the calls to come, and may change while the appliance runs.
pub(crate) struct Terms {
    policy: AnswerPolicy,
    max_calls: usize,
    peer: PeerSettings,
    /// What anybody may do here at most.
    rights: Rights,
    /// Of those who do not show who they are; `None`: refused where there is a household to ask.
    unverified: Option<Unverified>,
    bells: Vec<Arc<Plan>>,
}

impl From<&Config> for Terms {
    fn from(config: &Config) -> Terms {
        Terms {
            policy: match config.calls.answer {
                Answer::Auto => AnswerPolicy::Auto,
                Answer::Ring => AnswerPolicy::Ring,
            },
            max_calls: config.calls.max_calls as usize,
            rights: config.access.rights,
            bells: bells::plans(config),
            unverified: config.access.unverified.map(|unverified| match unverified {
                config::Unverified::Allow => Unverified::Allow,
                config::Unverified::Refuse => Unverified::Refuse,
            }),
            peer: PeerSettings {
                servers: config.ice.servers.clone(),
                relay_only: config.ice.policy == IcePolicy::Relay,
                bind: config.ice.bind.clone(),
                loopback: config.is_local(),
                mdns: config.ice.mdns,
                equipment: Equipment {
                    camera: config.camera.source != CameraSource::None,
                    microphone: config.microphone != MicrophoneSource::None,
                    speaker: config.speaker != SpeakerSink::None,
                },
                liveness: Liveness::default(),
            },
        }
    }
}

/// The signaling server that the device belongs to: another machine's, or its own.
struct Home {
    url: String,
    /// Where to connect, if not to the URL's host.
    address: Option<SocketAddr>,
    trust: Trust,
    /// What keeps the device's own place at its own server.
    pass: Option<String>,
    /// What vouches for keys at the device's own server.
    household: Option<Key>,
    ready: Ready,
    #[cfg(feature = "server")]
    server: Option<Server>,
}

impl Home {
    async fn find(config: &Config, keys: &Keys) -> Result<Home, DeviceError> {
        let name = config.device.name.clone();
        match &config.signaling.url {
            Some(url) => {
                let trust = match &config.signaling.ca_file {
                    Some(path) => read_authority(path, "[signaling] ca_file")?,
                    None => Trust::System,
                };
                Ok(Home {
                    url: url.clone(),
                    address: None,
                    trust,
                    pass: None,
                    household: None,
                    ready: Ready {
                        name,
                        signaling: url.clone(),
                        pages: Vec::new(),
                        trust_pages: Vec::new(),
                        fingerprint: None,
                        first_link: None,
                    },
                    #[cfg(feature = "server")]
                    server: None,
                })
            }
            None => Home::embed(config, keys, name).await,
        }
    }

    #[cfg(feature = "server")]
    async fn embed(config: &Config, keys: &Keys, name: String) -> Result<Home, DeviceError> {
        let server = Server::start(ServerSettings::embedded(config, keys.signer.public())).await?;
        let address = loopback(server.local_addr());
        let over_tls = format!("wss://localhost:{}/ws", address.port());
        let (url, trust) = match (server.ca_pem(), server.shown()) {
            (Some(pem), _) => {
                let name = "the local certificate authority".to_owned();
                (over_tls, Trust::Authority { name, pem: pem.into_bytes() })
            }
            (None, Some(shown)) => (over_tls, Trust::Certificate(Arc::new(move || shown.certificate()))),
            (None, None) => (format!("ws://{address}/ws"), Trust::System),
        };
        Ok(Home {
            ready: Ready {
                name,
                signaling: url.clone(),
                pages: server.page_urls(),
                trust_pages: server.trust_urls(),
                fingerprint: server.ca_fingerprint(),
                first_link: server.first_link(),
            },
            url,
            address: Some(address),
            trust,
            pass: Some(server.pass()),
            household: server.household_key(),
            server: Some(server),
        })
    }

    #[cfg(not(feature = "server"))]
    async fn embed(_: &Config, _: &Keys, _: String) -> Result<Home, DeviceError> {
        Err(DeviceError::NoServer)
    }

    /// What there is to say of the server's certificate, if the server is the device's own.
    fn certificate(&self) -> Word {
        #[cfg(feature = "server")]
        if let Some(shown) = self.server.as_ref().and_then(Server::shown) {
            return Box::new(move || shown.word());
        }
        Box::new(|| None)
    }

    /// For ever where another machine has the server.
    async fn ended(&self) {
        #[cfg(feature = "server")]
        if let Some(server) = &self.server {
            return server.handle().ended().await;
        }
        std::future::pending().await
    }

    async fn close(self) {
        #[cfg(feature = "server")]
        if let Some(server) = self.server {
            server.shutdown().await;
        }
    }
}

fn read_authority(path: &Path, key: &'static str) -> Result<Trust, DeviceError> {
    match std::fs::read(path) {
        Ok(pem) => {
            let pem = text::utf8_where_text(pem);
            Ok(Trust::Authority { name: format!("{key} {}", path.display()), pem })
        }
        Err(error) => Err(DeviceError::Certificates { key, path: path.into(), error }),
    }
}

/// Where a server that listens at `address` is reached from this machine.
#[cfg(feature = "server")]
fn loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
