//! Whether the TURN servers gave this connection an address to be relayed from. The stack asks them and goes on in
//! silence where none did, which nobody can tell from a network that lets nothing through.

use std::sync::atomic::{AtomicBool, Ordering};

use webrtc::peer_connection::RTCIceServer;

use super::CloseReason;
use super::events::Events;

pub(super) struct Relays {
    /// The servers' URLs, for people.
    asked: String,
    /// Nothing else is allowed.
    only: bool,
    found: AtomicBool,
}

impl Relays {
    pub(super) fn new(servers: &[RTCIceServer], only: bool) -> Relays {
        let urls = servers.iter().flat_map(|server| &server.urls).filter(|url| is_turn(url));
        Relays { asked: urls.cloned().collect::<Vec<_>>().join(" "), only, found: AtomicBool::new(false) }
    }

    pub(super) fn found(&self) {
        self.found.store(true, Ordering::Relaxed);
    }

    /// All servers have answered, or were given up. Ends a peer that may not connect in any other way.
    pub(super) fn gathered(&self, events: &Events) {
        if self.asked.is_empty() || self.found.load(Ordering::Relaxed) {
            return;
        }
        log::warn!(
            servers = self.asked.as_str();
            "no TURN server gave an address to be relayed from: check that it runs, and its urls, username and \
             credential under [[ice.servers]]"
        );
        if self.only {
            let reason = "ICE policy \"relay\" allows no other way, and no TURN server relays for this device";
            events.close(CloseReason::Failed(reason.to_owned()));
        }
    }
}

pub(super) fn is_turn(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("turn:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::peer::PeerEvent;

    #[test]
    fn ends_what_must_be_relayed_and_cannot_be() {
        let server = |url: &str| RTCIceServer { urls: vec![url.to_owned()], ..Default::default() };
        let turn = [server("stun:192.0.2.1"), server("TURN:192.0.2.1:3478")];
        for (servers, only, found, ends) in [
            (&turn[..], true, false, true),
            (&turn[..], true, true, false),
            (&turn[..], false, false, false),
            (&turn[..1], false, false, false),
        ] {
            let (events, mut receiver) = Events::new();
            let relays = Relays::new(servers, only);
            if found {
                relays.found();
            }
            relays.gathered(&events);
            assert_eq!(events.is_closed(), ends, "{servers:?} {only} {found}");
            assert_eq!(matches!(receiver.try_recv(), Ok(PeerEvent::Closed(CloseReason::Failed(_)))), ends);
        }
    }
}
