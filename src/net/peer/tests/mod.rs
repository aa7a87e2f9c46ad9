//! Peers against each other and against a bare connection of the WebRTC stack, on loopback.

mod browser;
mod calls;
mod feedback;
mod lifecycle;
mod liveness;
mod network;
mod offers;
mod race;
mod sections;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::{Peer, PeerEvent, PeerSettings};

/// Generous: what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn loopback() -> PeerSettings {
    PeerSettings { bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..PeerSettings::default() }
}

/// One side of a call under test.
struct Side {
    peer: Peer,
    events: Receiver<PeerEvent>,
}

/// The next event other than candidates, which go to the other side, and word that somebody answers.
async fn next(events: &mut Receiver<PeerEvent>, other: &Peer) -> PeerEvent {
    let next = async {
        loop {
            match events.recv().await {
                Some(PeerEvent::Candidate(candidate)) => other.add_candidate(candidate.as_ref()).await.unwrap(),
                Some(PeerEvent::Reached) => {}
                Some(event) => return event,
                None => panic!("the events ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("an event")
}

/// Two peers that have exchanged descriptions: (caller, callee).
async fn described() -> (Side, Side) {
    let (caller, offer, caller_events) = Peer::offer(&loopback()).await.unwrap();
    let (callee, answer, callee_events) = Peer::answer(&loopback(), &offer).await.unwrap();
    caller.accept_answer(&answer).await.unwrap();
    (Side { peer: caller, events: caller_events }, Side { peer: callee, events: callee_events })
}

/// Two connected peers.
async fn connected() -> (Side, Side) {
    let (mut caller, mut callee) = described().await;
    let (a, b) = tokio::join!(next(&mut caller.events, &callee.peer), next(&mut callee.events, &caller.peer));
    assert!(matches!((&a, &b), (PeerEvent::Connected, PeerEvent::Connected)), "{a:?} {b:?}");
    (caller, callee)
}

async fn next_but_candidates(events: &mut Receiver<PeerEvent>) -> PeerEvent {
    let next = async {
        loop {
            match events.recv().await {
                Some(PeerEvent::Candidate(_) | PeerEvent::Reached) => {}
                Some(event) => return event,
                None => panic!("the events ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("an event")
}
