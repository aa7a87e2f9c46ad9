//! The signaling server: an axum shell around [`crate::logic::hub`], with the call page beside it.
//!
//! `listen` accepts connections, `page` and `socket` answer them, `switchboard` owns the hub.

mod listen;
mod page;
mod settings;
mod socket;
mod switchboard;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::protocol::IceServer;
use listen::Tasks;
use switchboard::Switchboard;

/// How long [`Server::shutdown`] waits for clients to take their leave.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where plain HTTP tells people how to trust the local certificate authority.
    pub http_listen: Option<SocketAddr>,
    pub tls: TlsSettings,
    /// Handed to everybody who joins.
    pub ice_servers: Vec<IceServer>,
    /// WebSocket connections; further ones are told `serverFull`.
    pub max_connections: usize,
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
    /// PEM: the certificate with its chain, and the key.
    Files { cert: PathBuf, key: PathBuf },
}

impl ServerSettings {
    /// Plain HTTP at `listen`, no ICE servers, the usual limits.
    pub fn new(listen: SocketAddr) -> ServerSettings {
        ServerSettings {
            listen,
            http_listen: None,
            tls: TlsSettings::Off,
            ice_servers: Vec::new(),
            max_connections: 1000,
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
}

/// A running server. Dropped, it ends without telling its clients; [`Server::shutdown`] tells them.
pub struct Server {
    address: SocketAddr,
    /// Dropped or changed: everything ends.
    stop: watch::Sender<()>,
    /// Closed once every task of this server is over.
    tasks_over: mpsc::Receiver<()>,
}

impl Server {
    pub async fn start(settings: ServerSettings) -> Result<Server, ServerError> {
        let listener = bind(settings.listen, "listen").await?;
        let address = listener.local_addr().unwrap_or(settings.listen);

        let (stop, stopped) = watch::channel(());
        let (over, tasks_over) = mpsc::channel(1);
        let tasks = Tasks::new(stopped, over);
        let switchboard = Switchboard::start(&settings, &tasks);
        let site = page::router(socket::Doors { switchboard, tasks: tasks.clone() });
        tasks.spawn(listen::serve(listener, site, tasks.clone()));
        log::info!(address:%, tls = "off"; "signaling server listens");
        Ok(Server { address, stop, tasks_over })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Addresses of the page for a person to open, the best one first.
    pub fn page_urls(&self) -> Vec<String> {
        let hosts = match self.address.ip() {
            ip if ip.is_unspecified() => own_hosts(ip),
            ip => vec![host(ip)],
        };
        hosts.iter().map(|host| format!("http://{host}:{}/", self.address.port())).collect()
    }

    /// SHA-256 of the local certificate authority, colon-separated.
    pub fn ca_fingerprint(&self) -> Option<String> {
        None
    }

    /// The local certificate authority in PEM, for the device's own client.
    pub fn ca_pem(&self) -> Option<String> {
        None
    }

    /// Closes all connections (code 1001), and returns when they are closed or a few seconds have passed.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.tasks_over.recv()).await.is_err() {
            log::warn!("some clients did not take their leave in time");
        }
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ServerError::InUse { address, key },
        io::ErrorKind::PermissionDenied => ServerError::Forbidden { address, key },
        io::ErrorKind::AddrNotAvailable => ServerError::NoSuchAddress { address, key },
        _ => ServerError::Listen { address, key, error },
    })
}

/// Names and addresses under which others reach a server that listens everywhere.
fn own_hosts(wildcard: IpAddr) -> Vec<String> {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    let local = (!name.is_empty() && !name.contains('.')).then(|| format!("{name}.local"));
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = addresses
        .iter()
        .filter(|i| !i.is_loopback() && !i.is_link_local())
        .map(|i| i.ip())
        .filter(|ip| ip.is_ipv4() || wildcard.is_ipv6())
        .map(host);
    local.into_iter().chain(addresses).chain(["localhost".to_owned()]).collect()
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
