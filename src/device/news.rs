//! What people read of the appliance: one line on where it stands, and log records with the fields that
//! docs/operations.md names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::logic::call::Event;
use crate::protocol::{ErrorCode, UserId};

/// Between two records about messages that were refused; anybody can send any number of those.
const REFUSALS_LOGGED: Duration = Duration::from_secs(1);

/// How the device stands with its signaling server.
pub enum Registration {
    Connecting,
    Registered { since: Instant },
    Lost { error: String },
}

impl Registration {
    /// The status text, such as `systemctl status` shows it.
    pub fn describe(&self, url: &str, calls: usize) -> String {
        let calls = match calls {
            0 => "no call".to_owned(),
            1 => "1 call".to_owned(),
            many => format!("{many} calls"),
        };
        match self {
            Registration::Connecting => format!("connecting to {url}, {calls}"),
            Registration::Registered { .. } => format!("registered at {url}, {calls}"),
            Registration::Lost { error } => format!("signaling lost: {error}, trying again; {calls}"),
        }
    }
}

/// Logs what happened to a call, and returns what whoever placed it hears of it.
pub fn of_call(call: &str, user: &UserId, event: &Event) -> Option<Value> {
    let peer = user.as_str();
    match event {
        Event::Incoming => log::info!(call, peer; "call from {peer}"),
        Event::Dialing => log::info!(call, peer; "calling {peer}"),
        Event::RingBack => log::info!(call, peer; "{peer} rings"),
        Event::Connected => log::info!(call, peer; "connected with {peer}"),
        Event::Disconnected => log::warn!(call, peer; "connection with {peer} lost; waiting for it to come back"),
        Event::Yielded { .. } => log::info!(call, peer; "{peer} called at the same moment: taking that call"),
        Event::Ended { code, why } => log::info!(call, peer, code:%; "call with {peer} ended: {why}"),
    }
    match event {
        Event::Incoming | Event::Dialing | Event::Disconnected | Event::Yielded { .. } => None,
        Event::RingBack => Some(json!({ "ok": true, "state": "ringing" })),
        Event::Connected => Some(json!({ "ok": true, "state": "connected" })),
        Event::Ended { why, .. } => Some(json!({ "ok": false, "error": format!("call to {peer}: {why}") })),
    }
}

/// Logs refusals, one a second at most.
#[derive(Default)]
pub struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

impl Refusals {
    pub fn log(&mut self, to: &UserId, call: Option<&str>, code: ErrorCode, why: &str) {
        if self.told.is_some_and(|told| told.elapsed() < REFUSALS_LOGGED) {
            self.untold += 1;
            return;
        }
        self.told = Some(Instant::now());
        let untold = std::mem::take(&mut self.untold);
        match call {
            Some(call) => log::info!(call, peer = to.as_str(), code:%, untold; "refused what {to} sent: {why}"),
            None => log::info!(peer = to.as_str(), code:%, untold; "refused what {to} sent: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_line() {
        let url = "wss://callbox.example.org/ws";
        assert_eq!(Registration::Connecting.describe(url, 0), "connecting to wss://callbox.example.org/ws, no call");
        let registered = Registration::Registered { since: Instant::now() };
        assert_eq!(registered.describe(url, 1), "registered at wss://callbox.example.org/ws, 1 call");
        assert_eq!(registered.describe(url, 2), "registered at wss://callbox.example.org/ws, 2 calls");
        let lost = Registration::Lost { error: "cannot reach callbox.example.org:443".into() };
        assert_eq!(
            lost.describe(url, 2),
            "signaling lost: cannot reach callbox.example.org:443, trying again; 2 calls"
        );
    }
}
