//! Accepts connections and serves HTTP/1.1 on them, each in a task of its own.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

/// HTTP connections at a time, not counting WebSockets. Further ones wait in the kernel's queue.
const MAX_HTTP: usize = 4096;
/// A client that has not got through its handshake, or has not sent its request's head, after this long is cut.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes nothing of what it asked for is cut after this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a connection that could not be accepted: for lack of descriptors the next one could not be either.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long a closed connection still takes what the client had under way.
const LINGER: Duration = Duration::from_secs(1);

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
pub struct Peer(pub SocketAddr);

/// Serves until the tasks are told to stop.
pub async fn serve(listener: TcpListener, entrance: Entrance, tasks: Tasks) {
    let places = std::sync::Arc::new(Semaphore::new(MAX_HTTP));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
            () = tasks.stopped() => return,
        };
        match accepted {
            (Ok(place), Ok((stream, peer))) => {
                let (entrance, connection_tasks) = (entrance.clone(), tasks.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = enter(stream, Peer(peer), entrance) => {}
                        () = connection_tasks.stopped() => {}
                    }
                    drop(place);
                });
            }
            (_, Err(error)) => {
                log::warn!(error:%; "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn enter(stream: TcpStream, peer: Peer, entrance: Entrance) {
    match entrance {
        Entrance::Plain(site) => serve_http(Lingering::new(stream), peer, site).await,
        Entrance::Tls { acceptor, site, plain } => {
            /// First byte of a TLS handshake (RFC 8446, section 5.1); no HTTP method begins with it.
            const HANDSHAKE: u8 = 22;
            let mut first = [0];
            match tokio::time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)).await {
                Ok(Ok(1)) if first == [HANDSHAKE] => {}
                Ok(Ok(1)) => return serve_http(Lingering::new(stream), peer, plain).await,
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            }
            match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(Lingering::new(stream))).await {
                Ok(Ok(stream)) => serve_http(stream, peer, site).await,
                // For one, a browser that does not trust the certificate yet.
                Ok(Err(error)) => log::debug!(error:%; "TLS handshake failed"),
                Err(_) => {}
            }
        }
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, peer: Peer, site: Router) {
    let site = TowerToHyperService::new(site);
    let site = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        site.call(request)
    });
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), site)
        .with_upgrades()
        .await;
    if let Err(error) = result {
        log::debug!(error:%; "HTTP connection ended");
    }
}

/// A connection that, once dropped, still takes what the client had under way: the kernel answers unread data with a
/// reset, which would destroy a close frame or a response before the client has seen it.
pub struct Lingering {
    stream: Option<TcpStream>,
    /// Runs while the client takes nothing, for [`WRITE_TIMEOUT`].
    patience: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    fn new(stream: TcpStream) -> Lingering {
        // Small messages both ways: waiting to fill a segment helps nobody.
        let _ = stream.set_nodelay(true);
        Lingering { stream: Some(stream), patience: None }
    }

    fn write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write(self.stream()?, cx) {
            self.patience = None;
            return Poll::Ready(written);
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let (Some(mut stream), Ok(runtime)) = (self.stream.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let drain = async {
                stream.shutdown().await?;
                let mut waste = [0; 4096];
                while stream.read(&mut waste).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(LINGER, drain).await;
        });
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = Lingering::new(listener.accept().await.unwrap().0);
        let write = async {
            loop {
                if let Err(error) = connection.write_all(&[0; 65_536]).await {
                    return error.kind();
                }
            }
        };
        let end = tokio::time::timeout(2 * WRITE_TIMEOUT, write).await.expect("an end");
        assert_eq!(end, io::ErrorKind::TimedOut);
        drop(client);
    }
}
