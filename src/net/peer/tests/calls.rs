//! Whole calls.

use super::*;
use crate::net::peer::CloseReason;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_connect_and_part() {
    let (caller, mut callee) = connected().await;
    caller.peer.close().await;
    let event = next_but_candidates(&mut callee.events).await;
    assert!(matches!(event, PeerEvent::Closed(CloseReason::Remote)), "{event:?}");
    assert!(callee.events.recv().await.is_none());
}
