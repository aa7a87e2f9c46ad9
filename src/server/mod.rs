//! The signaling server: an axum shell around [`crate::logic::hub`], with the call page beside it.
//!
//! `listen` accepts connections as long as `lobby` has room, `page` and `socket` answer them, `connection` serves one
//! client over its `line`, `exchange` owns the hub, `access` knows who may come in, `tls` looks after the certificate,
//! `landing` tells people how to trust it. All of it runs on a thread of its own, so that a flood of handshakes keeps nothing
//! else in the process waiting.

mod access;
mod addresses;
mod authority;
mod care;
mod complaints;
mod connection;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headers;
mod hosts;
mod landing;
mod line;
mod lingering;
mod listen;
mod lobby;
mod page;
mod proxies;
mod settings;
mod socket;
mod tls;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::base::network::Network;
use crate::protocol::{IceServer, Key, UserId};
use crate::store::StoreError;
use access::{Access, Way};
use complaints::Complaints;
use headers::Headers;
use hosts::Hosts;
use listen::{Entrance, Tasks};
use lobby::Lobby;
use proxies::Proxies;
use socket::Doors;
use tls::{CaInfo, Tls};
use workers::Workers;

pub use access::api::{INVITATION_LIFE, link as invitation_link};
pub use access::household_key;
pub use addresses::outside_urls;
pub use exchange::ServerHandle;
pub use tls::{AcmeSettings, Challenge, Shown, TlsError};

/// Letters and digits of [`Server::pass`]: more than anybody guesses.
const PASS: usize = 32;
/// How long [`Server::shutdown`] waits for clients to take their leave.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where plain HTTP tells people how to trust the local certificate authority.
    pub http_listen: Option<SocketAddr>,
    /// Host names that the page may be open under over plain HTTP, beside this machine's own. In lower case.
    pub names: Vec<String>,
    /// Whose `X-Forwarded-For` says whom a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Sites whose pages may show the call page in a frame, such as `https://dashboard.example.org`.
    pub frame_ancestors: Vec<String>,
    pub tls: TlsSettings,
    pub access: AccessSettings,
    /// Handed to everybody who joins.
    pub ice_servers: Vec<IceServer>,
    /// WebSocket connections; further ones are told `serverFull`.
    pub max_connections: usize,
    /// Sockets beside them: for requests, and for what is being closed.
    pub max_others: usize,
    /// How often certificates are compared with files, names and addresses.
    pub certificate_check: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsSettings {
    #[default]
    Off,
    /// A certificate authority of our own in `state_dir/tls`, with certificates for this machine's names and addresses
    /// and for `names`.
    Auto { state_dir: PathBuf, names: Vec<String> },
    /// A public authority's certificate for the names in `acme`, kept in `state_dir/tls/acme`; for everything else, and until
    /// it is there, that of the authority of our own.
    Acme { state_dir: PathBuf, acme: AcmeSettings },
    /// PEM: the certificate with its chain, and the key.
    Files { cert: PathBuf, key: PathBuf },
}

/// Who comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessSettings {
    /// Whoever reaches the server.
    #[default]
    Open,
    /// Those whom the memory in `state_dir` knows, and `device` with its key, which embeds this server.
    Invited { state_dir: PathBuf, device: Option<(UserId, Key)> },
}

impl ServerSettings {
    /// Plain HTTP at `listen`, open, no ICE servers, the usual limits.
    pub fn new(listen: SocketAddr) -> ServerSettings {
        ServerSettings {
            listen,
            http_listen: None,
            names: Vec::new(),
            trusted_proxies: Vec::new(),
            frame_ancestors: Vec::new(),
            tls: TlsSettings::Off,
            access: AccessSettings::Open,
            ice_servers: Vec::new(),
            max_connections: 1000,
            max_others: 1000,
            certificate_check: Duration::from_secs(60),
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "cannot listen on {address}: address already in use. Another program, perhaps another Callbox, has this port: \
         stop it or choose another [server] {key}"
    )]
    InUse { address: SocketAddr, key: &'static str },
    #[error(
        "cannot listen on {address}: permission denied. Ports below 1024 are for root or CAP_NET_BIND_SERVICE: choose \
         a higher port in [server] {key}"
    )]
    Forbidden { address: SocketAddr, key: &'static str },
    #[error("cannot listen on {address}: this machine has no such address. Correct [server] {key}")]
    NoSuchAddress { address: SocketAddr, key: &'static str },
    #[error("cannot listen on {address}: {error}. Check [server] {key}")]
    Listen { address: SocketAddr, key: &'static str, error: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Memory(#[from] StoreError),
    #[error("the thread of the server's memory does not start: {0}")]
    Keeper(io::Error),
    #[error("the signaling server's thread does not start: {0}")]
    Workers(io::Error),
}

/// A running server. Dropped, it ends without telling its clients; [`Server::shutdown`] tells them.
pub struct Server {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    scheme: &'static str,
    ca: Option<CaInfo>,
    /// Names that a public authority vouches for, or will.
    public: Vec<String>,
    shown: Option<Shown>,
    /// The first owner's link, if it was made now.
    first: Option<String>,
    household: Option<Key>,
    handle: ServerHandle,
    pass: Arc<str>,
    /// Dropped or changed: everything ends.
    stop: watch::Sender<()>,
    /// Closed once every task of this server is over.
    tasks_over: mpsc::Receiver<()>,
    /// Last, since the others are used on them.
    _workers: Workers,
}

impl Server {
    pub async fn start(settings: ServerSettings) -> Result<Server, ServerError> {
        let workers = Workers::start().map_err(ServerError::Workers)?;
        let begun = workers.handle().spawn(Server::begin(settings, workers));
        begun.await.map_err(|error| ServerError::Workers(io::Error::other(error)))?
    }

    async fn begin(settings: ServerSettings, workers: Workers) -> Result<Server, ServerError> {
        let listener = bind(settings.listen, "listen")?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        let http = match settings.http_listen {
            Some(at) => Some(bind(at, "http_listen")?),
            None => None,
        };
        let http_address = http.as_ref().and_then(|http| http.local_addr().ok());
        let tls = Tls::open(&settings.tls, address.ip())?;
        let ca = tls.as_ref().and_then(Tls::ca);
        let shown = tls.as_ref().map(Tls::shown);
        let public = match &settings.tls {
            TlsSettings::Acme { acme, .. } => acme.names.clone(),
            TlsSettings::Off | TlsSettings::Auto { .. } | TlsSettings::Files { .. } => Vec::new(),
        };
        let answers = tls.as_ref().and_then(Tls::plain).unwrap_or_default();
        let scheme = if tls.is_some() { "https" } else { "http" };

        let (access, first) = access::open(&settings).await?;

        let (stop, stopped) = watch::channel(());
        let (over, tasks_over) = mpsc::channel(1);
        let tasks = Tasks::new(stopped, over);
        let complaints = Arc::new(Complaints::default());
        let (shared, handle) = exchange::start(&settings, access.authority(), complaints.clone(), &tasks);
        let proxies = Arc::new(Proxies::new(&settings.trusted_proxies));
        let pass: Arc<str> = std::iter::repeat_with(fastrand::alphanumeric).take(PASS).collect::<String>().into();
        let doors = Doors {
            shared: shared.clone(),
            tasks: tasks.clone(),
            hosts: Arc::new(match &tls {
                Some(_) => Hosts::proved(&settings.names),
                None => Hosts::known(&settings.names),
            }),
            proxies: proxies.clone(),
            complaints: complaints.clone(),
            pass: pass.clone(),
            access: access.clone(),
            way: if tls.is_some() { Way::Tls } else { Way::Plain },
        };
        let site = page::router(doors, Headers::new(&settings.frame_ancestors, shown.clone()));
        let household = access.household_key();
        if let Access::Invited(household) = access {
            tasks.spawn(access::watch(household, shared, tasks.clone()));
        }
        let entrance = match &tls {
            Some(tls) => Entrance::Tls {
                acceptor: tls.acceptor(),
                site,
                plain: answers.clone().merge(landing::redirect(scheme, None)),
            },
            None => Entrance::Plain(site),
        };
        // One more for the device that embeds this server.
        let lobby = Arc::new(Lobby::new(settings.max_connections + 1, settings.max_others, complaints));
        tasks.spawn(listen::serve(listener, entrance, lobby.clone(), proxies.clone(), tasks.clone()));
        if let Some(http) = http {
            let port = address.port();
            let router = match &ca {
                Some(ca) => landing::router(ca.clone(), port, public.clone()),
                None => landing::redirect(scheme, Some(port)),
            };
            let router = answers.merge(router);
            tasks.spawn(listen::serve(http, Entrance::Plain(router), lobby, proxies, tasks.clone()));
        }
        if let Some(tls) = tls {
            let (tasks, every) = (tasks.clone(), settings.certificate_check);
            tasks.clone().spawn(async move {
                tokio::select! {
                    () = tls.keep_fresh(every) => {}
                    () = tasks.stopped() => {}
                }
            });
        }
        log::info!(address:%, scheme; "signaling server listens");
        Ok(Server {
            address,
            http_address,
            scheme,
            ca,
            public,
            shown,
            first,
            household,
            handle,
            pass,
            stop,
            tasks_over,
            _workers: workers,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// What the device that embeds this server sends as its token, to have the place that is kept for it.
    pub fn pass(&self) -> String {
        self.pass.as_ref().to_owned()
    }

    /// Where the landing page is.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Addresses of the page for a person to open, the best one first.
    pub fn page_urls(&self) -> Vec<String> {
        let named = self.public.iter().map(|name| addresses::named(self.scheme, name, self.address.port()));
        named.chain(addresses::urls(self.scheme, self.address)).collect()
    }

    /// What vouches for keys here; `None` where everybody may come in.
    pub fn household_key(&self) -> Option<Key> {
        self.household
    }

    /// The link that makes the first owner, where this start made it: for the terminal, and never for a log.
    pub fn first_link(&self) -> Option<String> {
        self.first.clone()
    }

    /// Addresses of the page that says how to trust the local certificate authority, the best one first; none where browsers
    /// trust another.
    pub fn trust_urls(&self) -> Vec<String> {
        match (self.http_address, &self.ca) {
            (Some(address), Some(_)) if self.public.is_empty() => addresses::urls("http", address),
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) | (None, None) => Vec::new(),
        }
    }

    /// SHA-256 of the local certificate authority, colon-separated, where people have to trust it.
    pub fn ca_fingerprint(&self) -> Option<String> {
        self.ca.as_ref().filter(|_| self.public.is_empty()).map(|ca| ca.fingerprint.clone())
    }

    /// The local certificate authority in PEM, for the device's own client.
    pub fn ca_pem(&self) -> Option<String> {
        self.ca.as_ref().map(|ca| ca.pem.clone())
    }

    /// Tells at any time which certificate is in use; `None` where TLS is off.
    pub fn shown(&self) -> Option<Shown> {
        self.shown.clone()
    }

    /// Closes all connections (code 1001), and returns when they are closed or a few seconds have passed.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.tasks_over.recv()).await.is_err() {
            log::warn!("some clients did not take their leave in time");
        }
    }
}

fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, ServerError> {
    listen::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ServerError::InUse { address, key },
        io::ErrorKind::PermissionDenied => ServerError::Forbidden { address, key },
        io::ErrorKind::AddrNotAvailable => ServerError::NoSuchAddress { address, key },
        _ => ServerError::Listen { address, key, error },
    })
}
