//! What people read of the appliance: one line on where it stands, and log records with the fields that
//! docs/operations.md names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::base::seldom::Seldom;
use crate::logic::allowance::Allowance;
use crate::logic::call::Event;
use crate::protocol::{ErrorCode, UserId};

/// Between two records about what anybody can send any number of.
pub const SELDOM: Duration = Duration::from_secs(1);
/// Between two records about calls that never came about, beyond a few at once.
const CALLS_LOGGED: Duration = Duration::from_secs(1);
const CALLS_LOGGED_BURST: u32 = 20;

/// How the device stands with its signaling server.
pub enum Registration {
    Connecting,
    Registered { since: Instant },
    Lost { error: String },
}

impl Registration {
    /// For `callbox status`.
    pub fn figures(&self, now: Instant) -> Value {
        match self {
            Registration::Connecting => json!({ "state": "connecting" }),
            Registration::Registered { since } => json!({ "state": "registered", "seconds": (now - *since).as_secs() }),
            Registration::Lost { error } => json!({ "state": "lost", "error": error }),
        }
    }

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

/// Logs what happens to calls. Anybody can send any number of offers: of calls that never came about few are told.
#[derive(Default)]
pub struct CallNews {
    told: Allowance,
    untold: u64,
}

impl CallNews {
    /// `talked`: the call was connected once.
    pub fn log(&mut self, call: &str, user: &UserId, event: &Event, talked: bool) {
        let cheap = matches!(event, Event::Incoming | Event::Ended { .. }) && !talked;
        if cheap && !self.told.take(CALLS_LOGGED, CALLS_LOGGED * CALLS_LOGGED_BURST, Instant::now()) {
            self.untold += 1;
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            log::info!(untold; "more came of calls than is written down: {untold} records were left out");
        }
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
    }
}

/// What whoever placed a call hears of it.
pub fn for_caller(user: &UserId, event: &Event) -> Option<Value> {
    let peer = user.as_str();
    match event {
        Event::Incoming | Event::Dialing | Event::Disconnected | Event::Yielded { .. } => None,
        Event::RingBack => Some(json!({ "ok": true, "state": "ringing" })),
        Event::Connected => Some(json!({ "ok": true, "state": "connected" })),
        Event::Ended { why, .. } => Some(json!({ "ok": false, "error": format!("call to {peer}: {why}") })),
    }
}

/// Logs refusals, one a second at most.
pub struct Refusals(Seldom);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(Seldom::every(SELDOM))
    }
}

impl Refusals {
    pub fn log(&mut self, to: &UserId, call: Option<&str>, code: ErrorCode, why: &str) {
        let Some(untold) = self.0.due(Instant::now()) else { return };
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
