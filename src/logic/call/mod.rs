//! The device's calls: who is calling, what is said to them, and when to give up.
//!
//! One machine holds all calls, at most one with each user. It never touches a peer connection: it asks for one
//! ([`Output::Answer`], [`Output::Offer`]) under a [`CallKey`], and whoever runs the connection reports back under that
//! key. Reports about a call that is over are ignored.
//!
//! What is sent may be lost with the connection to the server, and what comes may come twice: each side says again what
//! may not have arrived, and takes each thing once.

mod ended;
mod hear;
mod machine;
mod speech;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use self::machine::Calls;
use crate::protocol::{Candidate, ErrorCode, Kind, Message, Reason, UserId};

/// How long a broken connection may take to come back before the call is given up.
pub const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls of which there is nothing but an offer: nobody has picked up, or nobody was asked and the caller has not answered a
/// connectivity check yet. Anybody can send an offer, so they fill free places only, few of them, and the oldest makes way
/// for the next.
pub const MAX_UNPROVED: usize = 3;
/// How long a call that nobody was asked about is left to prove itself before it makes way for another caller's: a check
/// takes less.
pub const PROVING: Duration = Duration::from_millis(1500);
/// How long a call rings before it makes way for another caller's: somebody may be on their way to pick up.
pub const RINGING: Duration = Duration::from_secs(10);
/// A caller has such a time to themselves once in so many times as long, or anew after a call that proved itself. Otherwise
/// they take free places only, and make way at once.
const TURNS: u32 = 6;
/// How long candidates that came before their offer are kept.
pub const EARLY_CANDIDATES_TIMEOUT: Duration = Duration::from_secs(10);

/// Names one call attempt for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CallKey(u64);

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call-{}", self.0)
    }
}

/// What the device does with a call that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerPolicy {
    /// Picks up at once.
    Auto,
    /// Rings until the operator answers.
    Ring,
}

/// What the `o=` line of a description says (RFC 8866, section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub session: Option<String>,
    pub version: Option<u64>,
}

impl Origin {
    /// Whether `other` is a later description of the same session.
    fn is_older_than(&self, other: &Origin) -> bool {
        let versions = self.version.zip(other.version);
        self.session.is_some() && self.session == other.session && versions.is_some_and(|(ours, theirs)| ours < theirs)
    }
}

#[derive(Clone, Debug)]
pub enum Input {
    /// There is a connection to the signaling server (again), and we have joined on it.
    SignalingUp,
    SignalingDown,
    /// The server says that somebody has joined.
    Online {
        user: UserId,
    },
    /// An offer from signaling, and what its sender is.
    Offer {
        from: UserId,
        call_id: Option<String>,
        sdp: String,
        origin: Origin,
        kind: Kind,
    },
    /// An offer that cannot be used, and why.
    BadOffer {
        from: UserId,
        call_id: Option<String>,
        code: ErrorCode,
        detail: String,
    },
    Answer {
        from: UserId,
        call_id: Option<String>,
        sdp: String,
        origin: Origin,
    },
    Candidate {
        from: UserId,
        call_id: Option<String>,
        candidate: Option<Candidate>,
    },
    Ringing {
        from: UserId,
        call_id: Option<String>,
    },
    /// `to_us`: the message named us as its target, rather than telling everybody that the sender went away.
    Leave {
        from: UserId,
        call_id: Option<String>,
        reason: Option<Reason>,
        to_us: bool,
    },
    /// The other side did not accept something of ours.
    Rejected {
        from: UserId,
        call_id: Option<String>,
        code: ErrorCode,
        detail: String,
    },
    /// A message that could not be read, of that kind.
    Malformed {
        from: UserId,
        kind: String,
        detail: String,
    },
    /// The server knows nobody of that name.
    UnknownTarget {
        user: UserId,
        call_id: Option<String>,
    },
    /// The server does not let us call this user.
    Forbidden {
        user: UserId,
        call_id: Option<String>,
    },

    /// The operator calls somebody, or picks up if they ring. `call_id` is a fresh random string.
    Dial {
        user: UserId,
        call_id: String,
    },
    /// The operator picks up the call that has rung longest.
    PickUp,
    /// The operator ends every call, and declines those that ring.
    HangUp,
    /// The program is ending.
    Shutdown,

    /// The connection has written its offer.
    Offered {
        key: CallKey,
        sdp: String,
    },
    /// The connection has written its answer.
    Answered {
        key: CallKey,
        sdp: String,
    },
    /// The connection found a candidate (`None`: there are no more).
    Found {
        key: CallKey,
        candidate: Option<Candidate>,
    },
    /// The other side has answered a connectivity check.
    Reached {
        key: CallKey,
    },
    Connected {
        key: CallKey,
    },
    Disconnected {
        key: CallKey,
    },
    /// The other side said goodbye over the connection itself.
    Goodbye {
        key: CallKey,
    },
    /// A description or candidate of the other side was not accepted. The connection goes on.
    Refused {
        key: CallKey,
        code: ErrorCode,
        detail: String,
    },
    /// The other side is not who it says.
    Unverified {
        key: CallKey,
        detail: &'static str,
    },
    /// The connection is gone, or never came to be.
    Closed {
        key: CallKey,
        detail: String,
        blame: Option<ErrorCode>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send(Message),
    /// Make a connection that answers this offer.
    Answer {
        key: CallKey,
        sdp: String,
    },
    /// Make a connection that offers.
    Offer {
        key: CallKey,
    },
    /// Hand a later offer of the same call to the connection.
    Renegotiate {
        key: CallKey,
        sdp: String,
    },
    AcceptAnswer {
        key: CallKey,
        sdp: String,
    },
    AddCandidate {
        key: CallKey,
        candidate: Option<Candidate>,
    },
    /// Let go of the connection, if one was made. `goodbye`: tell the other side first.
    Close {
        key: CallKey,
        goodbye: bool,
    },
    /// Something the operator wants to know.
    Report {
        key: CallKey,
        /// The call ID, or a name of our own where there is none.
        call: String,
        user: UserId,
        event: Event,
    },
}

/// What happened to a call, for logs and for whoever placed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Incoming,
    Dialing,
    /// The other side rings.
    RingBack,
    Connected,
    Disconnected,
    /// Both called at the same moment, and the other side's call stands.
    Yielded {
        to: CallKey,
    },
    Ended {
        code: EndCode,
        why: String,
    },
}

/// Why a call ended, in a word that does not change: one of the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCode {
    Reason(Reason),
    Error(ErrorCode),
}

impl From<Reason> for EndCode {
    fn from(reason: Reason) -> EndCode {
        EndCode::Reason(reason)
    }
}

impl From<ErrorCode> for EndCode {
    fn from(code: ErrorCode) -> EndCode {
        EndCode::Error(code)
    }
}

impl fmt::Display for EndCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndCode::Reason(reason) => reason.serialize(f),
            EndCode::Error(code) => code.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    Incoming,
    Outgoing,
}

/// A call as `callbox status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallInfo {
    #[serde(skip)]
    pub key: CallKey,
    /// The call ID, or a name of our own where there is none.
    pub call: String,
    #[serde(skip)]
    pub call_id: Option<String>,
    pub user: UserId,
    pub direction: Direction,
    pub state: &'static str,
    #[serde(skip)]
    pub since: Instant,
}
