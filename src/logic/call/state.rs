//! One call of the machine: where it stands, what was heard of the other side, and what was said that may be lost.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::{CallKey, Direction, Origin};
use crate::protocol::{Candidate, MAX_CANDIDATES, Message, RING_TIMEOUT};

/// What was said longer ago than this has arrived, or no longer matters: nobody waits longer for an answer.
pub(super) const UNSURE: Duration = RING_TIMEOUT;

/// Most earlier offers of a call that are remembered; one that comes later than that many is taken for a new one.
const MAX_EARLIER: usize = 16;

/// Stands for a text that is only ever compared. Who finds another one with the same digest harms their own call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn of(text: &str) -> Digest {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Digest(hasher.finish())
    }

    fn of_candidate(candidate: &Option<Candidate>) -> Digest {
        let mut hasher = DefaultHasher::new();
        if let Some(Candidate { candidate, sdp_mid, sdp_m_line_index, username_fragment }) = candidate {
            (candidate, sdp_mid, sdp_m_line_index, username_fragment).hash(&mut hasher);
        }
        Digest(hasher.finish())
    }
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) call_id: Option<String>,
    pub(super) direction: Direction,
    pub(super) since: Instant,
    /// Nobody was asked before it was answered.
    pub(super) unasked: bool,
    /// Until when it keeps its place unproved, whoever else calls.
    pub(super) kept_until: Instant,
    /// The other side has answered a connectivity check.
    pub(super) reached: bool,
    pub(super) state: State,
    /// Of the other side's latest description.
    pub(super) origin: Origin,
    /// Their latest offer, and their answer to ours.
    pub(super) offer: Option<Digest>,
    pub(super) answer: Option<Digest>,
    /// The call ID of an offer of theirs that came at the same moment as ours and does not stand.
    pub(super) overruled: Option<String>,
    /// Offers before the latest one; at most [`MAX_EARLIER`].
    earlier: VecDeque<Digest>,
    candidates: Vec<Digest>,
    pub(super) said: Said,
}

impl Call {
    pub(super) fn new(
        key: CallKey,
        call_id: Option<String>,
        direction: Direction,
        since: Instant,
        state: State,
    ) -> Call {
        Call {
            key,
            call_id,
            direction,
            since,
            unasked: false,
            kept_until: since,
            reached: false,
            state,
            origin: Origin::default(),
            offer: None,
            answer: None,
            overruled: None,
            earlier: VecDeque::new(),
            candidates: Vec::new(),
            said: Said::default(),
        }
    }

    /// All that the caller has shown so far is an offer.
    pub(super) fn is_unproved(&self) -> bool {
        self.rings() || self.unasked && !self.reached
    }

    pub(super) fn rings(&self) -> bool {
        matches!(self.state, State::Ringing { .. })
    }

    /// Basic clients send no call ID.
    pub(super) fn name(&self) -> String {
        self.call_id.clone().unwrap_or_else(|| self.key.to_string())
    }

    /// Whether an offer belongs to this call. Some clients begin a new SDP session with each offer, so the session counts
    /// only where there is no other name to go by.
    pub(super) fn is_meant_by(&self, call_id: &Option<String>, origin: &Origin) -> bool {
        match (&self.call_id, call_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => self.origin.session == origin.session,
        }
    }

    /// Whether a candidate of theirs is to be used: repeated ones and those beyond the limit are not.
    pub(super) fn takes(&mut self, candidate: &Option<Candidate>) -> bool {
        let digest = Digest::of_candidate(candidate);
        if self.candidates.len() >= MAX_CANDIDATES || self.candidates.contains(&digest) {
            return false;
        }
        self.candidates.push(digest);
        true
    }

    /// Whether an offer comes late: a later one of this call was taken.
    pub(super) fn is_past(&self, offer: Digest, origin: &Origin) -> bool {
        self.earlier.contains(&offer) || origin.is_older_than(&self.origin)
    }

    /// Takes note of a further offer.
    pub(super) fn offered(&mut self, offer: Digest, origin: Origin) {
        if self.earlier.len() >= MAX_EARLIER {
            self.earlier.pop_front();
        }
        self.earlier.extend(self.offer.replace(offer));
        self.origin = origin;
    }

    /// A further offer may look for all paths anew.
    pub(super) fn forget_candidates(&mut self) {
        self.candidates.clear();
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

/// Candidates that came before their offer.
pub(super) struct Early {
    pub(super) call_id: Option<String>,
    pub(super) candidates: Vec<Option<Candidate>>,
    pub(super) until: Instant,
}

/// What this side said in a call. What is handed to a socket has not arrived: a connection to the server that dies takes
/// the last seconds with it, so they are said again on the next one.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Our offer, or what we replied to their latest one.
    description: Option<Message>,
    /// When the description was said; `None`: there was no signaling.
    at: Option<Instant>,
    /// It is known to have arrived, and the other side's reply, if any, too.
    arrived: bool,
    /// The other side rings.
    rung: bool,
    again: bool,
    /// Their offers that the connection has not replied to yet.
    owed: usize,
    /// Our candidates, and how many of them were said.
    found: Vec<Option<Candidate>>,
    found_said: usize,
}

impl Said {
    /// Takes note of a description. `at`: when it was said, if it could be.
    pub(super) fn describe(&mut self, description: Message, at: Option<Instant>) {
        self.owed = self.owed.saturating_sub(1);
        (self.description, self.at, self.arrived, self.again) = (Some(description), at, false, false);
    }

    /// The connection will reply to an offer, and what it replied to the one before is out of date.
    pub(super) fn owes(&mut self) {
        self.owed += 1;
        self.description = None;
    }

    pub(super) fn found(&mut self, candidate: Option<Candidate>, said: bool) {
        if self.found.len() < MAX_CANDIDATES {
            self.found.push(candidate);
            if said {
                self.found_said = self.found.len();
            }
        }
    }

    pub(super) fn arrived(&mut self) {
        self.arrived = true;
    }

    /// An earlier offer's paths are of no more use.
    pub(super) fn forget_found(&mut self) {
        self.found.clear();
        self.found_said = 0;
    }

    /// Whether it is news that the other side rings.
    pub(super) fn ring(&mut self) -> bool {
        !std::mem::replace(&mut self.rung, true)
    }

    /// Whether the other side has shown that it knows of the call, or may have had the chance.
    pub(super) fn is_known(&self) -> bool {
        self.rung || self.again
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.arrived
    }

    /// The reply to an offer that came once more.
    pub(super) fn reply(&self) -> Option<&Message> {
        self.description.as_ref().filter(|_| self.owed == 0)
    }

    /// What is worth saying again: the description, unless it has arrived, and the candidates that go with it.
    /// `settled`: media flows, and paths alone are not worth it.
    pub(super) fn again(&mut self, settled: bool, now: Instant) -> (Option<Message>, Vec<Option<Candidate>>) {
        let unsure = self.at.is_none_or(|at| now.saturating_duration_since(at) < UNSURE);
        let description = self.reply().filter(|_| unsure && !self.arrived).cloned();
        if description.is_some() {
            self.again |= self.at.is_some();
            self.at = Some(now);
        }
        let all = !settled || description.is_some();
        (description, self.candidates(all))
    }

    /// `all`: those that were said before as well.
    pub(super) fn candidates(&mut self, all: bool) -> Vec<Option<Candidate>> {
        let first = if all { 0 } else { self.found_said };
        self.found_said = self.found.len();
        self.found.get(first..).unwrap_or_default().to_vec()
    }
}
