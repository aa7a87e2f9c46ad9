//! What is known of one call, and where it stands.

use std::time::Instant;

use super::{CallKey, Direction};
use crate::protocol::Candidate;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) call_id: Option<String>,
    pub(super) direction: Direction,
    /// The other side's SDP session.
    pub(super) session: Option<String>,
    pub(super) since: Instant,
    pub(super) candidates: usize,
    pub(super) state: State,
}

impl Call {
    /// Basic clients send no call ID.
    pub(super) fn name(&self) -> String {
        self.call_id.clone().unwrap_or_else(|| self.key.to_string())
    }
}

#[derive(Debug)]
pub(super) enum State {
    /// They offered, nobody has picked up; no connection exists.
    Ringing {
        sdp: String,
        candidates: Vec<Option<Candidate>>,
        until: Instant,
    },
    /// A connection was asked for; their answer is awaited.
    Dialing {
        until: Instant,
    },
    /// Both descriptions are exchanged, or about to be.
    Connecting {
        until: Instant,
    },
    Connected,
    /// The connection broke and may heal.
    Recovering {
        until: Instant,
    },
}

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Ringing { .. } => "ringing",
            State::Dialing { .. } => "calling",
            State::Connecting { .. } => "connecting",
            State::Connected => "connected",
            State::Recovering { .. } => "recovering",
        }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            State::Ringing { until, .. }
            | State::Dialing { until }
            | State::Connecting { until }
            | State::Recovering { until } => Some(*until),
            State::Connected => None,
        }
    }
}

pub(super) struct Early {
    pub(super) call_id: Option<String>,
    pub(super) candidates: Vec<Option<Candidate>>,
    pub(super) until: Instant,
}
