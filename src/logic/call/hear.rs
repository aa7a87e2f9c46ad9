//! What the other side says, by way of signaling.

use std::time::Instant;

use super::ended::Entry;
use super::machine::{Calls, refusal};
use super::speech::Weight;
use super::state::{Call, Digest, Early, State};
use super::{AnswerPolicy, Direction, EARLY_CANDIDATES_TIMEOUT, Event, MAX_UNPROVED, Origin, Output, PROVING, RINGING};
use crate::protocol::{
    CONNECT_TIMEOUT, Candidate, ErrorCode, Kind, MAX_CANDIDATES, Message, RING_TIMEOUT, Reason, UserId,
};

/// Of how many users early candidates are kept; for those of a further user the oldest are dropped.
const MAX_EARLY_USERS: usize = 16;

impl Calls {
    /// Whether an offer would change a call. Others begin one, or stand for the one that still rings, and so have to be good
    /// for a whole call.
    pub fn has_begun(&self, from: &UserId, call_id: &Option<String>, origin: &Origin) -> bool {
        let changes = |call: &Call| match call.state {
            State::Ringing { .. } | State::Dialing { .. } => false,
            State::Connecting { .. } | State::Connected | State::Recovering { .. } => call.is_meant_by(call_id, origin),
        };
        self.calls.get(from).is_some_and(changes)
    }

    pub(super) fn offer(
        &mut self,
        from: UserId,
        call_id: Option<String>,
        sdp: String,
        origin: Origin,
        kind: Kind,
        now: Instant,
    ) {
        let digest = Digest::of(&sdp);
        let dialing = |call: &Call| matches!(call.state, State::Dialing { .. });
        if self.calls.get(&from).is_some_and(|call| !dialing(call) && call.is_meant_by(&call_id, &origin)) {
            return self.further_offer(&from, sdp, digest, origin, now);
        }
        if self.is_over(&from, &call_id, now) {
            return;
        }
        let overruled = |call: &Call| call_id.is_some() && call.overruled == call_id;
        if self.calls.get(&from).is_some_and(|call| !dialing(call) && overruled(call)) {
            // Once more, or late: by now they have answered ours.
            return;
        }
        let glare = self.calls.get(&from).is_some_and(dialing);
        // Glare (docs/protocol.md): a person goes before a device, and between two devices the smaller ID.
        if glare && kind == Kind::Device && self.me < from {
            if let Some(call) = self.calls.get_mut(&from) {
                call.overruled = call_id;
            }
            // They may call because ours was lost on its way to them.
            return self.say_again(&from, now);
        }
        let key = self.fresh_key();
        let policy = self.policy;
        let keep = if policy == AnswerPolicy::Ring { RINGING } else { PROVING };
        // Who calls anew keeps their place, and does not make it a fresh one.
        let kept = self.calls.get(&from).map(|call| if call.is_unproved() { call.kept_until } else { now + keep });
        if let Some(call) = self.calls.get(&from) {
            // Without two different call IDs the other side would take the `leave` for its new call.
            let tell = !glare && call.call_id.is_some() && call_id.is_some() && call.call_id != call_id;
            match glare {
                true => {
                    if let Some(ours) = self.remove(&from, None, Some(Reason::Replaced), now) {
                        let (key, event) = (ours.key, Event::Yielded { to: key });
                        self.outputs.push_back(Output::Report { key, call: ours.name(), user: from.clone(), event });
                    }
                }
                false => {
                    let replaced = Reason::Replaced;
                    self.end(&from, tell.then_some(replaced), replaced, "replaced by a newer call", now);
                }
            }
        }
        let kept = match kept {
            _ if glare => Some(now),
            Some(until) => self.make_room(MAX_UNPROVED - 1, now).then_some(until),
            None => self.admit(&from, keep, now),
        };
        let Some(kept) = kept else {
            return self.say_leave(from, call_id, Reason::Busy, Weight::Light, now);
        };
        let state = State::Connecting { until: now + CONNECT_TIMEOUT };
        let mut call = Call::new(key, call_id.clone(), Direction::Incoming, now, state);
        (call.origin, call.offer, call.kept_until) = (origin, Some(digest), kept);
        // Whoever has just called them wants to talk.
        call.unasked = policy == AnswerPolicy::Auto && !glare;
        let early = self.early.remove(&from).filter(|e| agree(&e.call_id, &call_id));
        let mut candidates = early.map(|e| e.candidates).unwrap_or_default();
        candidates.retain(|candidate| call.takes(candidate));
        let rings = policy == AnswerPolicy::Ring && !glare;
        self.calls.insert(from.clone(), call);
        self.report(&from, Event::Incoming);
        if !rings {
            return self.connect(key, sdp, candidates);
        }
        if let Some(call) = self.calls.get_mut(&from) {
            call.state = State::Ringing { sdp, candidates, until: now + RING_TIMEOUT };
        }
        self.say(Message::Ringing { user_id: None, target_id: from, call_id }, Weight::Needed, now);
    }

    /// An offer of the call that is: once more the same, an old one that comes late, or a change.
    fn further_offer(&mut self, from: &UserId, offer: String, digest: Digest, origin: Origin, now: Instant) {
        let Some(call) = self.calls.get_mut(from) else { return };
        if call.offer == Some(digest) {
            let all = !matches!(call.state, State::Connected) || !call.said.has_arrived();
            return match (&call.state, call.said.reply().cloned()) {
                (State::Ringing { .. }, _) => self.say_again(from, now),
                (_, Some(reply)) => {
                    let (call_id, candidates) = (call.call_id.clone(), call.said.candidates(all));
                    self.say_all(from, call_id, Some(reply), candidates, now);
                }
                (_, None) => {}
            };
        }
        if call.is_past(digest, &origin) {
            return;
        }
        call.offered(digest, origin);
        match &mut call.state {
            State::Ringing { sdp, .. } => *sdp = offer,
            State::Dialing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. } => {
                // It may look for all paths anew.
                call.forget_candidates();
                if let State::Connected | State::Recovering { .. } = call.state {
                    call.said.forget_found();
                }
                call.said.owes();
                let key = call.key;
                self.outputs.push_back(Output::Renegotiate { key, sdp: offer });
            }
        }
    }

    pub(super) fn bad_offer(
        &mut self,
        from: UserId,
        call_id: Option<String>,
        code: ErrorCode,
        detail: String,
        now: Instant,
    ) {
        let reason = match code {
            ErrorCode::Unverified => Reason::Unverified,
            _ => Reason::Failed,
        };
        self.say(refusal(from.clone(), call_id.clone(), code, detail, "offer"), Weight::Light, now);
        if self.matching(&from, &call_id).is_none() {
            self.say_leave(from, call_id, reason, Weight::Light, now);
        }
    }

    pub(super) fn malformed(&mut self, from: UserId, kind: &str, detail: String, now: Instant) {
        let code = match kind {
            "offer" | "answer" => ErrorCode::BadSdp,
            "candidate" => ErrorCode::BadCandidate,
            // No program answers an error with an error.
            "error" => return,
            _ => ErrorCode::Other,
        };
        self.say(refusal(from, None, code, detail, kind), Weight::Light, now);
    }

    pub(super) fn answer(&mut self, from: UserId, call_id: Option<String>, sdp: String, origin: Origin, now: Instant) {
        let digest = Digest::of(&sdp);
        match self.matching(&from, &call_id) {
            Some(call) if matches!(call.state, State::Dialing { .. }) => {
                call.state = State::Connecting { until: now + CONNECT_TIMEOUT };
                (call.origin, call.answer) = (origin, Some(digest));
                call.said.arrived();
                let key = call.key;
                return self.outputs.push_back(Output::AcceptAnswer { key, sdp });
            }
            Some(call) if call.answer == Some(digest) => return,
            Some(_) | None => {}
        }
        if self.is_over(&from, &call_id, now) {
            return;
        }
        let detail = "there is no offer that this would answer".to_owned();
        self.say(refusal(from, call_id, ErrorCode::UnexpectedAnswer, detail, "answer"), Weight::Light, now);
    }

    pub(super) fn candidate(
        &mut self,
        from: UserId,
        call_id: Option<String>,
        candidate: Option<Candidate>,
        now: Instant,
    ) {
        if let Some(call) = self.matching(&from, &call_id) {
            if !call.takes(&candidate) {
                return;
            }
            let key = call.key;
            match &mut call.state {
                State::Ringing { candidates, .. } => candidates.push(candidate),
                State::Dialing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. } => {
                    self.outputs.push_back(Output::AddCandidate { key, candidate });
                }
            }
            return;
        }
        if self.early.get(&from).is_some_and(|e| !agree(&e.call_id, &call_id)) {
            self.early.remove(&from);
        }
        if self.early.len() >= MAX_EARLY_USERS && !self.early.contains_key(&from) {
            let oldest = self.early.iter().min_by_key(|(_, early)| early.until).map(|(user, _)| user.clone());
            oldest.map(|user| self.early.remove(&user));
        }
        let until = now + EARLY_CANDIDATES_TIMEOUT;
        let early = self.early.entry(from).or_insert(Early { call_id, candidates: Vec::new(), until });
        if early.candidates.len() < MAX_CANDIDATES {
            early.candidates.push(candidate);
        }
    }

    pub(super) fn ringing(&mut self, from: &UserId, call_id: &Option<String>, now: Instant) {
        match self.matching(from, call_id) {
            Some(call) if matches!(call.state, State::Dialing { .. }) => {
                if call.said.ring() {
                    self.report(from, Event::RingBack);
                }
            }
            Some(_) => {}
            None => drop(self.is_over(from, call_id, now)),
        }
    }

    pub(super) fn leave(
        &mut self,
        from: UserId,
        call_id: Option<String>,
        reason: Option<Reason>,
        to_us: bool,
        now: Instant,
    ) {
        let settled = |c: &Call| matches!(c.state, State::Connected | State::Recovering { .. });
        match self.matching(&from, &call_id) {
            Some(call) if to_us || !settled(call) => {
                self.end(&from, None, reason.unwrap_or(Reason::Hangup), left(reason), now);
            }
            Some(_) => {}
            None => self.leave_ahead(from, call_id.filter(|_| to_us), now),
        }
    }

    /// A `leave` may overtake its offer, which then must not ring.
    fn leave_ahead(&mut self, user: UserId, call_id: Option<String>, now: Instant) {
        if call_id.is_some() && self.ended.find(&user, call_id.as_deref(), now).is_none() {
            self.ended.remember(Entry { user, call_id, told: None, said: None, at: now });
        }
    }

    /// The other side did not accept something of ours.
    pub(super) fn rejected(
        &mut self,
        from: &UserId,
        call_id: &Option<String>,
        code: ErrorCode,
        detail: &str,
        now: Instant,
    ) {
        let Some(call) = self.matching(from, call_id) else { return };
        let ends = match (&call.state, code) {
            // One path less, or a word too much.
            (_, ErrorCode::BadCandidate | ErrorCode::UnexpectedAnswer) => false,
            (State::Dialing { .. }, _) | (State::Connecting { .. }, ErrorCode::BadSdp) => true,
            (State::Ringing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. }, _) => {
                false
            }
        };
        if ends {
            let detail = format!("{from} cannot take it: {detail}");
            self.end(from, Some(Reason::Failed), code, &detail, now);
        }
    }

    /// The server knows nobody of that name now. Who was there a moment ago may be on their way back.
    pub(super) fn unknown_target(&mut self, user: &UserId, call_id: &Option<String>, now: Instant) {
        if let Some(call) = self.matching(user, call_id)
            && let State::Dialing { .. } = call.state
            && !call.said.is_known()
        {
            self.end(user, None, ErrorCode::UnknownTarget, "nobody of that name is online", now);
        }
    }

    /// The server does not let us call that user. What they began themselves goes on.
    pub(super) fn forbidden(&mut self, user: &UserId, call_id: &Option<String>, now: Instant) {
        if let Some(call) = self.matching(user, call_id)
            && let State::Dialing { .. } = call.state
        {
            let why = format!("{user} may not be called from here");
            self.end(user, None, ErrorCode::Forbidden, &why, now);
        }
    }

    /// Whether the call is over of which the other side still speaks; if we ended it, they are told once more.
    fn is_over(&mut self, from: &UserId, call_id: &Option<String>, now: Instant) -> bool {
        let Some(ended) = self.ended.find(from, call_id.as_deref(), now) else { return false };
        if let Some(reason) = ended.told {
            self.say_leave(from.clone(), call_id.clone(), reason, Weight::Light, now);
        }
        true
    }

    fn matching(&mut self, user: &UserId, call_id: &Option<String>) -> Option<&mut Call> {
        self.calls.get_mut(user).filter(|c| agree(&c.call_id, call_id))
    }
}

/// Basic clients send no call ID: then the pair of users alone names the call.
fn agree(ours: &Option<String>, theirs: &Option<String>) -> bool {
    ours.is_none() || theirs.is_none() || ours == theirs
}

fn left(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Declined) => "declined",
        Some(Reason::Busy) => "busy",
        Some(Reason::NoAnswer) => "no answer",
        Some(Reason::Failed) => "the other side could not connect",
        Some(Reason::Replaced) => "replaced by a newer call",
        Some(Reason::Shutdown) => "the other side is shutting down",
        Some(Reason::Revoked) => "the server no longer allows it",
        Some(Reason::Unverified) => "the other side found that this device's key did not sign the connection",
        Some(Reason::Hangup | Reason::Other) | None => "the other side hung up",
    }
}
