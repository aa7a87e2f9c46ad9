//! The runtime of one peer's connection: tokio's, with two differences. The end of the connection's task, by a panic or
//! otherwise, becomes an event instead of silence. And while the connection is being made its task sleeps but briefly.
//! Its sockets are [ours](super::socket).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

use super::CloseReason;
use super::events::Events;
use super::socket::Traffic;
use crate::base::lock::lock;

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Longest sleep of the connection's task while it connects, from the first datagram on. The stack sends what its own events gave rise to (the DTLS
/// ClientHello after ICE, the last flight before "connected") only when something else wakes it, which costs 20 to 200 ms
/// on the way to a picture.
const HURRY: Duration = Duration::from_millis(1);
/// How long that goes on for a connection that does not come up, and for one that did.
const HURRY_LIMIT: Duration = Duration::from_secs(10);
const HURRY_ON: Duration = Duration::from_millis(500);

pub(super) struct Guard {
    events: Arc<Events>,
    traffic: Arc<Traffic>,
    started: Instant,
    making: Arc<Mutex<Making>>,
}

/// Whether the connection is still being made. What ends until then was an attempt, and the next one has the same owner.
#[derive(Default)]
enum Making {
    #[default]
    Going,
    Ended(CloseReason),
    Made,
}

impl Guard {
    pub(super) fn new(events: Arc<Events>, traffic: Arc<Traffic>) -> Guard {
        Guard { events, traffic, started: Instant::now(), making: Arc::default() }
    }

    /// The connection was made: from now on its owner hears of its end, and at once if it has ended already.
    pub(super) fn made(&self) {
        let mut making = lock(&self.making);
        if let Making::Ended(reason) = std::mem::replace(&mut *making, Making::Made) {
            self.events.close(reason);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

impl Runtime for Guard {
    /// The connection spawns its driver and nothing else (it is given no TCP addresses and no TCP candidates).
    fn spawn(&self, future: Task<'static, ()>) -> Box<dyn JoinHandle> {
        let (events, making) = (self.events.clone(), self.making.clone());
        TokioRuntime.spawn(Box::pin(async move {
            let reason = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(()) => CloseReason::Failed("the media connection ended".to_owned()),
                Err(_) => CloseReason::Failed("the media connection broke on something it received".to_owned()),
            };
            let mut making = lock(&making);
            match *making {
                Making::Made => events.close(reason),
                Making::Going | Making::Ended(_) => *making = Making::Ended(reason),
            }
        }))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.traffic.wrap(socket)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Task<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("{remote}: media goes over UDP only")))
        })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Task<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) })
    }

    fn sleep(&self, duration: Duration) -> Task<'static, ()> {
        let hurry = match self.events.connected_since() {
            Some(connected) => connected.elapsed() < HURRY_ON,
            None => self.traffic.has_arrived() && self.started.elapsed() < HURRY_LIMIT,
        };
        TokioRuntime.sleep(if hurry { duration.min(HURRY) } else { duration })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
