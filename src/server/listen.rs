//! Accepts connections and serves HTTP/1.1 on them, each in a task of its own.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::lingering::Lingering;
use super::lobby::{Guest, Lobby, Place};
use super::proxies::Proxies;
use super::tls;
use crate::logic::hub::Origin;

/// A client that has not got through its handshake, or has not sent its next request's head, after this long is cut.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request. Browsers' have a few kilobytes, and so much memory each connection may cost.
const MAX_HEAD: usize = 16 * 1024;
/// After this long a connection's request is its last one,
const LAST_REQUEST: Duration = Duration::from_secs(60);
/// and the client has so long to take the answer.
const LAST_ANSWER: Duration = Duration::from_secs(240);
/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). Whom it has no room for comes
/// again only after a second, so that a server that everybody returns to at once needs much of it.
const BACKLOG: u32 = 4096;
/// Pause after a connection that could not be accepted: for lack of descriptors the next one could not be either.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The server's tasks: told to stop together, and counted by the sender each holds.
#[derive(Clone)]
pub struct Tasks {
    stopped: watch::Receiver<()>,
    over: mpsc::Sender<()>,
}

impl Tasks {
    pub fn new(stopped: watch::Receiver<()>, over: mpsc::Sender<()>) -> Tasks {
        Tasks { stopped, over }
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        tokio::spawn(async move {
            task.await;
            drop(over);
        });
    }

    /// Waits until the server is told to end.
    pub fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopped = self.stopped.clone();
        async move { _ = stopped.changed().await }
    }
}

/// What is behind a port.
#[derive(Clone)]
pub enum Entrance {
    Plain(Router),
    /// `plain` answers those who speak plain HTTP here: browsers do when people type no `https://`.
    Tls {
        acceptor: TlsAcceptor,
        site: Router,
        plain: Router,
    },
}

/// Whom a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    address: IpAddr,
    /// Whether that is an address of this machine.
    here: bool,
}

impl Peer {
    fn of(stream: &TcpStream, address: SocketAddr) -> Peer {
        let address = address.ip().to_canonical();
        let here = stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == address);
        Peer { address, here }
    }

    /// On another machine.
    #[cfg(any(test, fuzzing))]
    pub fn at(address: IpAddr) -> Peer {
        Peer { address, here: false }
    }

    pub fn address(self) -> IpAddr {
        self.address
    }

    pub fn origin(self) -> Origin {
        if self.here { Origin::Local } else { Origin::of(self.address) }
    }
}

/// Listens, as soon as an earlier server at this address has ended.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until the tasks are told to stop.
pub async fn serve(listener: TcpListener, entrance: Entrance, lobby: Arc<Lobby>, proxies: Arc<Proxies>, tasks: Tasks) {
    loop {
        let (place, accepted) = tokio::select! {
            accepted = async { (lobby.place().await, listener.accept().await) } => accepted,
            () = tasks.stopped() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer::of(&stream, address);
                let (guest, leave) = lobby.enter(proxies.origin_of(peer), Instant::now());
                let (entrance, connection_tasks) = (entrance.clone(), tasks.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = enter(stream, place, peer, guest, entrance) => {}
                        _ = leave => {}
                        () = connection_tasks.stopped() => {}
                    }
                });
            }
            Err(error) => {
                log::warn!(error:%; "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn enter(stream: TcpStream, place: Place, peer: Peer, guest: Guest, entrance: Entrance) {
    let mut stream = Lingering::new(stream, place);
    match entrance {
        Entrance::Plain(site) => serve_http(stream, peer, guest, site).await,
        Entrance::Tls { acceptor, site, plain } => {
            /// First byte of a TLS handshake (RFC 8446, section 5.1); no HTTP method begins with it.
            const HANDSHAKE: u8 = 22;
            let mut first = [0];
            match timeout(HEAD_TIMEOUT, stream.peek(&mut first)).await {
                Ok(Ok(1)) if first == [HANDSHAKE] => {}
                Ok(Ok(1)) => return serve_http(stream, peer, guest, plain).await,
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            }
            match timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) if tls::is_visit(stream.get_ref().1.alpn_protocol()) => {}
                Ok(Ok(stream)) => serve_http(stream, peer, guest, site).await,
                // For one, a browser that does not trust the certificate yet.
                Ok(Err(error)) => log::debug!(error:%; "TLS handshake failed"),
                Err(_) => {}
            }
        }
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    guest: Guest,
    site: Router,
) {
    let site = TowerToHyperService::new(site);
    let site = service_fn(move |mut request: Request<Incoming>| {
        guest.asks();
        request.extensions_mut().insert(peer);
        site.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), site)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = match timeout(LAST_REQUEST, connection.as_mut()).await {
        Ok(result) => Ok(result),
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, connection).await
        }
    };
    if let Ok(Err(error)) = result {
        log::debug!(error:%; "HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A connection of HTTP, and what resolves once it has ended.
    fn connect() -> (DuplexStream, impl Future<Output = ()>) {
        let (client, stream) = duplex(10_000);
        let (guest, leave) = Arc::new(Lobby::new(1, 4, Arc::default())).enter(Origin::Local, Instant::now());
        let site = Router::new().route("/", get(async || "ok\n"));
        tokio::spawn(serve_http(stream, Peer::at([192, 0, 2, 7].into()), guest, site));
        (client, async { _ = leave.await })
    }

    /// Whether a request was answered.
    async fn ask(client: &mut DuplexStream) -> bool {
        let asked = client.write_all(b"GET / HTTP/1.1\r\nHost: door\r\n\r\n").await.is_ok();
        asked && client.read(&mut [0; 1000]).await.is_ok_and(|length| length > 0)
    }

    #[tokio::test]
    async fn many_may_come_before_the_first_is_accepted() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let come = (0..400.min(allowed)).map(|_| TcpStream::connect(address));
        let came = tokio::time::timeout(Duration::from_secs(60), futures_util::future::join_all(come)).await.unwrap();
        assert!(came.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_request_end_a_connection() {
        for said in ["", "GET / HTTP/1.1\r\nHost: do"] {
            let (mut client, ended) = connect();
            assert!(ask(&mut client).await);
            client.write_all(said.as_bytes()).await.unwrap();
            timeout(HEAD_TIMEOUT + Duration::from_secs(1), ended).await.expect(said);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_no_end_is_not_kept() {
        for (length, status) in [(MAX_HEAD / 2, "200"), (MAX_HEAD, "431")] {
            let (mut client, _ended) = connect();
            let head = format!("GET / HTTP/1.1\r\nHost: door\r\nX: {}", "x".repeat(length));
            let more = if status == "200" { "\r\n\r\n" } else { "" };
            client.write_all(format!("{head}{more}").as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            timeout(HEAD_TIMEOUT / 2, client.read_exact(&mut answer)).await.expect("at once").unwrap();
            assert_eq!(answer[9..], *status.as_bytes());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_goes_on_asking_has_its_last_request() {
        let (mut client, ended) = connect();
        let began = tokio::time::Instant::now();
        while ask(&mut client).await {
            assert!(began.elapsed() <= LAST_REQUEST, "it goes on");
            sleep(HEAD_TIMEOUT - Duration::from_secs(1)).await;
        }
        assert!(began.elapsed() >= LAST_REQUEST);
        timeout(HEAD_TIMEOUT, ended).await.expect("its place is free");
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_task_only() {
        let (stop, stopped) = watch::channel(());
        let (over, mut all_over) = mpsc::channel(1);
        let tasks = Tasks::new(stopped, over);
        let bystander = tasks.clone();
        tasks.spawn(async move { bystander.stopped().await });
        tasks.spawn(async { panic!("on purpose") });
        tokio::task::yield_now().await;
        assert!(matches!(all_over.try_recv(), Err(mpsc::error::TryRecvError::Empty)), "the other task goes on");
        drop(stop);
        drop(tasks);
        assert_eq!(all_over.recv().await, None);
    }
}
