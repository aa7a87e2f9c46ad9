//! The sockets of one connection: what the stack itself does not see or get right of its datagrams.
//!
//! - A socket's receive buffer is made large enough for a burst, and what the kernel drops all the same is counted.
//! - A nomination that comes before our own check of the path was answered is neither answered nor remembered by the stack
//!   (RFC 8445, section 7.3.1.5, wants both); the caller then waits until it repeats it, 50 ms in a browser and up to a
//!   second elsewhere. It is handed to the stack again after the answer.
//! - Checks go wherever the other side's candidates point, unasked and often (a hundred a second on each path), so what
//!   goes out of them altogether is limited.
//! - DTLS and media are taken from the other side only, see `known`.
//! - Once the other side's consent has expired, nothing but checks goes out (RFC 7675).
//!
//! What goes by way of a TURN server counts like what goes straight there.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime, Transmit};

use super::known::Known;
use super::stun::{self, BINDING_REQUEST, BINDING_SUCCESS, Path, USE_CANDIDATE};
use crate::base::lock::lock;

/// What a socket may hold for us, in bytes, as far as the kernel allows (`net.core.rmem_max`): two seconds of a call's
/// packets, counted as the kernel does, with what it keeps beside each.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Nominations that wait for an answer; a caller has a few paths. Of more than this the oldest is forgotten.
const MAX_NOMINATIONS: usize = 8;
/// Longest datagram with a nomination that is kept: it has a dozen attributes.
const MAX_NOMINATION: usize = 548;
/// Connectivity checks of a connection that go out at once, and so many more after each pause. They come in lots, since the
/// stack asks in the same order each time and single ones would all go to the first path. What is beyond is not sent; the
/// stack repeats it. Callers with few paths come up within the first ones, and a connection that is up has one a second.
const CHECKS: u32 = 150;
const MORE_CHECKS: u32 = 25;
const CHECK_PAUSE: Duration = Duration::from_millis(500);
/// Requests of the other side that were not followed by one of ours to the same place. Of more the oldest is forgotten.
const MAX_ASKED: usize = 32;
/// Receptions in a row that were all strangers', before others get their turn.
const MAX_SIFTED: usize = 64;
/// Sockets of multicast DNS, which hear the whole neighbourhood, are not ours to count.
const MDNS_PORT: u16 = 5353;

/// What all sockets of a connection have in common.
#[derive(Default)]
pub(super) struct Traffic {
    arrived: AtomicBool,
    arrival: Notify,
    muted: AtomicBool,
    checks: Mutex<Checks>,
    /// Inodes, by which the kernel lists sockets. A connection's addresses bound it.
    sockets: Mutex<Vec<u64>>,
    /// Sockets that a candidate will tell of: those that have an address.
    addresses: AtomicUsize,
}

impl Traffic {
    /// Takes a fresh socket into use.
    pub(super) fn wrap(self: &Arc<Self>, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        if local.port() == MDNS_PORT {
            return TokioRuntime.wrap_udp_socket(socket);
        }
        if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER) {
            log::debug!(error:%; "a socket's receive buffer could not be set");
        }
        lock(&self.sockets).extend(inode(&socket));
        self.addresses.fetch_add(usize::from(!local.ip().is_unspecified()), Ordering::Relaxed);
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Socket { socket, traffic: self.clone(), nominations: Mutex::default(), known: Mutex::default() }))
    }

    /// Whether anything has come in at all.
    pub(super) fn has_arrived(&self) -> bool {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Resolves when what may be a check or an answer to one has come in since the last call.
    pub(super) async fn arrival(&self) {
        self.arrival.notified().await;
    }

    /// Whether nothing but checks may go out.
    pub(super) fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    pub(super) fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// How many candidates the sockets stand for, without any server's help.
    pub(super) fn addresses(&self) -> usize {
        self.addresses.load(Ordering::Relaxed)
    }

    /// Datagrams that the kernel dropped because a socket's buffer was full.
    pub(super) fn dropped(&self) -> u64 {
        let sockets = lock(&self.sockets).clone();
        let listed = |path: &str| std::fs::read_to_string(path).map_or(0, |table| dropped(&table, &sockets));
        listed("/proc/self/net/udp") + listed("/proc/self/net/udp6")
    }
}

/// Reads proc_net_udp's table: the inode is the tenth column and the drops are the thirteenth.
fn dropped(table: &str, sockets: &[u64]) -> u64 {
    let row = |line: &str| {
        let mut columns = line.split_ascii_whitespace().skip(9);
        let inode: u64 = columns.next()?.parse().ok()?;
        let drops: u64 = columns.nth(2)?.parse().ok()?;
        sockets.contains(&inode).then_some(drops)
    };
    table.lines().filter_map(row).sum()
}

fn inode(socket: &UdpSocket) -> Option<u64> {
    let file = std::fs::File::from(OwnedFd::from(socket.try_clone().ok()?));
    Some(file.metadata().ok()?.ino())
}

struct Socket {
    socket: Arc<dyn AsyncUdpSocket>,
    traffic: Arc<Traffic>,
    nominations: Mutex<Nominations>,
    known: Mutex<Known>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let (path, message) = stun::unwrapped(transmit.destination, transmit.contents);
        if self.traffic.is_muted() && !stun::is_stun(message) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        match stun::kind(message) {
            Some(BINDING_REQUEST) if !lock(&self.traffic.checks).may_go(path, Instant::now()) => {
                return Poll::Ready(Ok(transmit.contents.len()));
            }
            Some(BINDING_SUCCESS) => lock(&self.nominations).answered_by_us(message),
            Some(_) | None => {}
        }
        let sent = self.socket.poll_send(cx, transmit);
        if stun::kind(message) == Some(BINDING_REQUEST) {
            match sent.is_pending() {
                true => lock(&self.traffic.checks).comes_again(),
                false => lock(&self.known).asks(path, message),
            }
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut())
            && let Some(Nomination { path, datagram, .. }) = lock(&self.nominations).due()
            && let Some(place) = buffer.get_mut(..datagram.len())
        {
            place.copy_from_slice(&datagram);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (path.address(), datagram.len(), datagram.len());
            return Poll::Ready(Ok(1));
        }
        // The stack reads one at a time.
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        for _ in 0..MAX_SIFTED {
            let received = self.socket.poll_recv(cx, std::slice::from_mut(buffer), std::slice::from_mut(meta));
            match received {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => return received,
            }
            self.traffic.arrived.store(true, Ordering::Relaxed);
            for datagram in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                self.looks_at(meta.addr, datagram);
            }
            if lock(&self.known).sift(buffer, meta) {
                return Poll::Ready(Ok(1));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

impl Socket {
    /// Takes note of what has come in.
    fn looks_at(&self, from: SocketAddr, datagram: &[u8]) {
        let (path, message) = stun::unwrapped(from, datagram);
        if stun::is_stun(message) {
            self.traffic.arrival.notify_one();
        }
        match stun::kind(message) {
            Some(BINDING_REQUEST) => {
                lock(&self.traffic.checks).asked(path);
                lock(&self.nominations).asked(path, message, datagram);
            }
            Some(BINDING_SUCCESS) => {
                lock(&self.nominations).answered(path);
                lock(&self.known).answers(path, message);
            }
            Some(_) | None => {}
        }
    }
}

/// How many of our checks may still go out.
#[derive(Default)]
struct Checks {
    /// Of the present lot, and when it began.
    left: u32,
    since: Option<Instant>,
    asked: VecDeque<Path>,
}

impl Checks {
    /// A request has come, and one of ours may go back: that makes nothing more of what somebody sent.
    fn asked(&mut self, from: Path) {
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(from);
    }

    fn may_go(&mut self, to: Path, now: Instant) -> bool {
        if let Some(at) = self.asked.iter().position(|from| *from == to) {
            self.asked.remove(at);
            return true;
        }
        let since = *self.since.get_or_insert_with(|| {
            self.left = CHECKS;
            now
        });
        let lots = now.saturating_duration_since(since).as_millis() / CHECK_PAUSE.as_millis();
        if lots > 0 {
            let more = u32::try_from(lots).unwrap_or(u32::MAX).saturating_mul(MORE_CHECKS);
            self.left = self.left.saturating_add(more).min(CHECKS);
            self.since = Some(now);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// One that may go has to wait for the socket, and will be counted then.
    fn comes_again(&mut self) {
        self.left = (self.left + 1).min(CHECKS);
    }
}

/// Nominations that the stack was not ready for. Everything here is as yet unproved; the stack itself checks what it is
/// handed again as it did the first time.
#[derive(Default)]
struct Nominations {
    waiting: VecDeque<Nomination>,
    due: VecDeque<Nomination>,
}

#[derive(Debug, PartialEq, Eq)]
struct Nomination {
    path: Path,
    transaction: Vec<u8>,
    /// As it came.
    datagram: Vec<u8>,
}

impl Nominations {
    /// `request`: what is in the datagram.
    fn asked(&mut self, path: Path, request: &[u8], datagram: &[u8]) {
        if datagram.len() > MAX_NOMINATION || !stun::has_attribute(request, USE_CANDIDATE) {
            return;
        }
        self.waiting.retain(|known| known.path != path);
        if self.waiting.len() == MAX_NOMINATIONS {
            self.waiting.pop_front();
        }
        let transaction = stun::transaction(request).unwrap_or_default().to_vec();
        self.waiting.push_back(Nomination { path, transaction, datagram: datagram.to_vec() });
    }

    /// The stack has answered a request: it was ready for it.
    fn answered_by_us(&mut self, response: &[u8]) {
        self.waiting.retain(|known| Some(known.transaction.as_slice()) != stun::transaction(response));
    }

    /// The other side has answered a check of ours.
    fn answered(&mut self, from: Path) {
        if let Some(at) = self.waiting.iter().position(|known| known.path == from) {
            self.due.extend(self.waiting.remove(at));
        }
    }

    fn due(&mut self) -> Option<Nomination> {
        self.due.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::peer::stun::SEND;
    use crate::net::peer::stun::tests::{in_channel, in_indication, message};

    #[test]
    fn a_nomination_comes_again_after_the_answer_that_it_was_early_for() {
        let [from, elsewhere] = ["192.0.2.1:9", "192.0.2.2:9"].map(|address| Path::Straight(address.parse().unwrap()));
        let nomination = message(BINDING_REQUEST, 1, &[(6, b"a:b"), (USE_CANDIDATE, b"")]);
        let mut nominations = Nominations::default();
        let ordinary = message(BINDING_REQUEST, 2, &[(6, b"a:b"), (36, &[0; 4])]);
        nominations.asked(from, &ordinary, &ordinary);
        nominations.answered(from);
        assert_eq!(nominations.due(), None, "an ordinary check");
        nominations.asked(from, &nomination, &nomination);
        nominations.answered(elsewhere);
        assert_eq!(nominations.due(), None, "another path");
        nominations.answered(from);
        assert_eq!(nominations.due().map(|due| (due.path, due.datagram)), Some((from, nomination.clone())));
        nominations.answered(from);
        assert_eq!(nominations.due(), None, "once");
        nominations.asked(from, &nomination, &nomination);
        nominations.answered_by_us(&message(BINDING_SUCCESS, 1, &[]));
        nominations.answered(from);
        assert_eq!(nominations.due(), None, "the stack was ready for it");
        for port in 1..100 {
            let path = Path::Straight(SocketAddr::from(([192, 0, 2, 1], port)));
            nominations.asked(path, &nomination, &nomination);
        }
        assert_eq!(nominations.waiting.len(), MAX_NOMINATIONS);
    }

    #[test]
    fn checks_are_limited_and_those_that_were_asked_for_are_not() {
        let path = |last, port| Path::Straight(SocketAddr::from(([192, 0, 2, last], port)));
        let (to, start) = (path(1, 9), Instant::now());
        let mut checks = Checks::default();
        let mut sent = |paths: u16, from: u64, until: u64| {
            let mut sent = vec![0; usize::from(paths)];
            for millis in (from..until).step_by(10) {
                for port in 0..paths {
                    let goes = checks.may_go(path(1, port + 1), start + Duration::from_millis(millis));
                    sent[usize::from(port)] += u32::from(goes);
                }
            }
            sent
        };
        assert_eq!(sent(4, 0, 500), [38, 38, 37, 37]);
        assert_eq!(sent(8, 500, 1000), [4, 3, 3, 3, 3, 3, 3, 3], "no path takes all of it");
        assert_eq!(sent(49, 1000, 4000).iter().sum::<u32>(), 6 * MORE_CHECKS);
        assert_eq!(sent(200, 3_600_000, 3_600_010).iter().sum::<u32>(), CHECKS, "patience brings no more");
        let later = start + Duration::from_millis(3_600_020);
        assert!(!checks.may_go(to, later));
        checks.asked(to);
        assert!(!checks.may_go(path(2, 9), later), "another place");
        assert!(checks.may_go(to, later) && !checks.may_go(to, later), "one for one");
        (0..100).for_each(|_| checks.asked(to));
        assert_eq!(checks.asked.len(), MAX_ASKED);
    }

    #[tokio::test]
    async fn only_what_may_be_a_check_is_worth_a_look() {
        let traffic = Arc::new(Traffic::default());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (to, other) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let socket = traffic.wrap(socket).unwrap();
        let relayed = in_channel(0x4001, &[0x80; 20]);
        for (datagram, looked_at) in [(relayed, false), (message(BINDING_REQUEST, 1, &[]), true)] {
            other.send_to(&datagram, to).unwrap();
            let mut buffer = [0; 1500];
            let mut meta = [RecvMeta::default()];
            let received =
                std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta));
            assert_eq!(received.await.unwrap(), 1);
            let look = tokio::time::timeout(Duration::from_millis(1), traffic.arrival()).await;
            assert_eq!((look.is_ok(), traffic.has_arrived()), (looked_at, true));
        }
    }

    /// What of these datagrams a fresh socket lets out.
    async fn sent(traffic: &Arc<Traffic>, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let socket = traffic.wrap(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let destination = other.local_addr().unwrap();
        let (mut buffer, mut arrived) = ([0; 1500], Vec::new());
        for contents in datagrams {
            let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
            std::future::poll_fn(|cx| socket.poll_send(cx, &transmit)).await.unwrap();
            arrived.extend(other.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        }
        arrived
    }

    #[tokio::test]
    async fn checks_pass_a_muted_socket_and_media_does_not_whatever_it_is_wrapped_in() {
        let traffic = Arc::new(Traffic::default());
        traffic.mute(true);
        let peer = "192.0.2.1:9".parse().unwrap();
        let each_way = |inner: &[u8]| vec![inner.to_vec(), in_channel(0x4001, inner), in_indication(SEND, peer, inner)];
        let mut checks = each_way(&message(BINDING_REQUEST, 1, &[(6, b"a:b")]));
        checks.push(message(0x0004, 1, &[(13, &[0; 4])]));
        let media = [each_way(&[0x80, 102, 0, 1]), each_way(&[22, 254, 253, 0])].concat();
        assert_eq!(sent(&traffic, &[&media[..], &checks].concat()).await, checks);
        traffic.mute(false);
        assert_eq!(sent(&traffic, &media).await, media);
    }

    #[tokio::test]
    async fn checks_are_limited_by_way_of_a_relay_as_well() {
        let check = message(BINDING_REQUEST, 1, &[(6, b"a:b")]);
        let peer = "192.0.2.1:9".parse().unwrap();
        for relayed in [in_channel(0x4001, &check), in_indication(SEND, peer, &check)] {
            let many = vec![relayed; 2 * CHECKS as usize];
            assert_eq!(sent(&Arc::default(), &many).await.len(), CHECKS as usize);
        }
    }

    #[test]
    fn the_kernels_drops_are_read_by_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                     1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 111 2 0000000000000000 7\n \
                     2: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 222 2 0000000000000000 9\n";
        assert_eq!(dropped(table, &[111]), 7);
        assert_eq!(dropped(table, &[111, 222, 333]), 16);
        assert_eq!(dropped(table, &[]), 0);
        assert_eq!(dropped("nonsense\n\n", &[111]), 0);
    }
}
