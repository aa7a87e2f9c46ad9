//! A network between a browser and the device that loses what it is told to.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

/// It can lose what the browser sends.
#[derive(Default)]
pub(super) struct Network(Mutex<Rule>);

type Loses = Box<dyn FnMut(&[u8]) -> bool + Send>;

#[derive(Default)]
struct Rule {
    loses: Option<Loses>,
    lost: usize,
}

impl Network {
    /// From now on these datagrams are lost.
    pub(super) fn loses(&self, rule: impl FnMut(&[u8]) -> bool + Send + 'static) {
        self.0.lock().unwrap().loses = Some(Box::new(rule));
    }

    /// How many have been lost.
    pub(super) fn lost(&self) -> usize {
        self.0.lock().unwrap().lost
    }

    fn takes(&self, datagram: &[u8]) -> bool {
        let mut rule = self.0.lock().unwrap();
        let lost = rule.loses.as_mut().is_some_and(|loses| loses(datagram));
        rule.lost += usize::from(lost);
        !lost
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime of a connection behind a [`Network`].
#[derive(Debug)]
pub(super) struct Through(pub(super) Arc<Network>);

impl Runtime for Through {
    fn spawn(&self, future: Task<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket { socket: TokioRuntime.wrap_udp_socket(socket)?, network: self.0.clone() }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Task<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Task<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Task<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

#[derive(Debug)]
struct Socket {
    socket: Arc<dyn AsyncUdpSocket>,
    network: Arc<Network>,
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        match self.network.takes(transmit.contents) {
            true => self.socket.poll_send(cx, transmit),
            false => Poll::Ready(Ok(transmit.contents.len())),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, buffers, meta)
    }
}
