//! Strangers at the ports of a call: they send what begins a DTLS handshake, and what ends one, before the other side does
//! and afterwards (ASVS 5.0, 17.2.6). They know the addresses, and nothing that only the two know.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind::Video;
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection::Recvonly;

use super::browser::Browser;
use super::*;
use crate::logic::unit::AccessUnit;
use crate::net::peer::stun::tests::message;
use crate::net::peer::stun::{BINDING_REQUEST, BINDING_SUCCESS, USE_CANDIDATE};

/// A DTLS record of epoch 0 (RFC 6347, section 4.1).
fn record(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let length = (body.len() as u16).to_be_bytes();
    [&[kind, 254, 253, 0, 0, 0, 0, 0, 0, high, low][..], &length, body].concat()
}

/// A ClientHello as browsers send it, with SRTP's extension.
fn client_hello(sequence: u16) -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 29][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 8, 7],
        &[0, 14, 0, 5, 0, 2, 0, 1, 0],
        &[0, 23, 0, 0],
    ]
    .concat();
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x0a, 0xc0, 0x14];
    let mut hello = vec![254, 253];
    hello.extend([sequence as u8; 32]);
    hello.extend([0, 0, 0, suites.len() as u8]);
    hello.extend(suites);
    hello.extend([1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let length = &(hello.len() as u32).to_be_bytes()[1..];
    record(22, sequence, &[&[1][..], length, &[0, 0, 0, 0, 0], length, &hello].concat())
}

/// What somebody sends who has seen no more than the port.
fn nonsense(number: u16, user: &str) -> [Vec<u8>; 9] {
    let check =
        message(BINDING_REQUEST, number as u8, &[(6, user.as_bytes()), (0x24, &[0, 0, 0, 1]), (USE_CANDIDATE, b"")]);
    let signed = message(
        BINDING_REQUEST,
        number as u8,
        &[(6, user.as_bytes()), (0x24, &[0, 0, 0, 1]), (USE_CANDIDATE, b""), (8, &[7; 20])],
    );
    [
        check,
        signed,
        message(BINDING_SUCCESS, number as u8, &[]),
        client_hello(number),
        // A ServerHello that nobody asked for, an alert that closes, one that is fatal, data, a change of keys.
        record(22, number, &[2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 254, 253]),
        record(21, number, &[1, 0]),
        record(21, number, &[2, 40]),
        record(23, number, b"data"),
        record(20, number, &[1]),
    ]
}

/// Somebody who sends all that to these addresses, until dropped.
struct Stranger {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stranger {
    /// At the addresses that a description has, knowing the first half of the user name in checks.
    fn at(description: &str) -> Stranger {
        let value =
            |name: &str| description.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().to_owned();
        let user = format!("{}:guess", value("a=ice-ufrag:"));
        let address = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            format!("{}:{}", words.get(4)?, words.get(5)?).parse::<SocketAddr>().ok()
        };
        let lines = description.lines().filter(|line| line.starts_with("a=candidate:"));
        let addresses: Vec<_> = lines.filter_map(address).filter(|address| address.ip().is_loopback()).collect();
        assert!(!addresses.is_empty(), "{description}");
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, counts) = (stop.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0_u16.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                for datagram in nonsense(number % 5000, &user) {
                    // A port that is closed already refuses it.
                    addresses.iter().for_each(|address| drop(socket.send_to(&datagram, address)));
                }
                counts.fetch_add(1, Ordering::Relaxed);
                // Often, and the other side's datagrams find room as well.
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        Stranger { stop, rounds, thread: Some(thread) }
    }

    async fn goes_on_for(&self, rounds: usize) {
        let until = self.rounds.load(Ordering::Relaxed) + rounds;
        let wait = async {
            while self.rounds.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("rounds");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join());
    }
}

fn picture(content: u8) -> AccessUnit {
    AccessUnit::new([&[0x65, content][..]], true, std::time::Instant::now(), (16, 16))
}

/// The device waits for the handshake: it has called, and a browser answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_begun_by_the_other_side_or_by_nobody() {
    for _ in 0..5 {
        let (caller, offer, caller_events) = Peer::offer(&loopback()).await.unwrap();
        let stranger = Stranger::at(&offer);
        stranger.goes_on_for(20).await;
        let (callee, answer, callee_events) = Peer::answer(&loopback(), &offer).await.unwrap();
        let second = Stranger::at(&answer);
        caller.accept_answer(&answer).await.unwrap();
        let (mut caller, mut callee) =
            (Side { peer: caller, events: caller_events }, Side { peer: callee, events: callee_events });
        let (a, b) = tokio::join!(next(&mut caller.events, &callee.peer), next(&mut callee.events, &caller.peer));
        assert!(matches!((&a, &b), (PeerEvent::Connected, PeerEvent::Connected)), "{a:?} {b:?}");
        stranger.goes_on_for(50).await;
        second.goes_on_for(50).await;
        for events in [&mut caller.events, &mut callee.events] {
            while let Ok(event) = events.try_recv() {
                assert!(matches!(event, PeerEvent::Candidate(_) | PeerEvent::Reached), "{event:?}");
            }
        }
    }
}

/// The device begins the handshake: a browser calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_neither_take_a_call_nor_end_it() {
    let mut browser = Browser::new(Some(Recvonly)).await;
    let offer = browser.offer(true).await;
    let (peer, answer, events) = Peer::answer(&loopback(), &offer).await.unwrap();
    let stranger = Stranger::at(&answer);
    stranger.goes_on_for(20).await;
    browser.accept(&answer).await;
    let mut side = Side { peer, events };
    browser.exchange(&mut side).await;
    stranger.goes_on_for(100).await;
    side.peer.send_video(&picture(7)).await.unwrap();
    assert_eq!(browser.rtp(Video).await.payload[..], [0x65, 7]);
    // What the browser says is still heard, and it is still there.
    stranger.goes_on_for(100).await;
    side.peer.send_video(&picture(8)).await.unwrap();
    assert_eq!(browser.rtp(Video).await.payload[..], [0x65, 8]);
    while let Ok(event) = side.events.try_recv() {
        assert!(!matches!(event, PeerEvent::Closed(_) | PeerEvent::Disconnected), "{event:?}");
    }
}
