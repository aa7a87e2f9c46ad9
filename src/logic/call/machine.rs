//! The machine behind [`super`]'s inputs and outputs.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::state::{Call, Early, State};
use super::{
    AnswerPolicy, CallInfo, CallKey, Direction, EARLY_CANDIDATES_TIMEOUT, EndCode, Event, Input, Output,
    RECOVERY_TIMEOUT,
};
use crate::protocol::{
    CONNECT_TIMEOUT, Candidate, Description, ErrorCode, Kind, MAX_CANDIDATES, Message, RING_TIMEOUT, Reason, UserId,
};

/// Of how many users early candidates are kept; those of further users are dropped until a place is free.
const MAX_EARLY_USERS: usize = 16;

/// The machine. Contract: after each [`Calls::handle`] or [`Calls::handle_timeout`] drain [`Calls::poll_output`], then
/// sleep until [`Calls::poll_timeout`].
pub struct Calls {
    me: UserId,
    policy: AnswerPolicy,
    max_calls: usize,
    next_key: u64,
    calls: HashMap<UserId, Call>,
    early: HashMap<UserId, Early>,
    outputs: VecDeque<Output>,
}

impl Calls {
    pub fn new(me: UserId, policy: AnswerPolicy, max_calls: usize) -> Self {
        Calls {
            me,
            policy,
            max_calls,
            next_key: 0,
            calls: HashMap::new(),
            early: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// For calls to come; those under way go on.
    pub fn set_rules(&mut self, policy: AnswerPolicy, max_calls: usize) {
        (self.policy, self.max_calls) = (policy, max_calls);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Calls::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(|c| c.state.until());
        calls.chain(self.early.values().map(|e| e.until)).min()
    }

    /// Every call, longest first.
    pub fn list(&self) -> Vec<CallInfo> {
        let info = |(user, c): (&UserId, &Call)| CallInfo {
            key: c.key,
            call: c.name(),
            user: user.clone(),
            direction: c.direction,
            state: c.state.name(),
            since: c.since,
        };
        let mut list: Vec<_> = self.calls.iter().map(info).collect();
        list.sort_by_key(|c| c.key);
        list
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.early.retain(|_, e| e.until > now);
        let due = |c: &Call| c.state.until().is_some_and(|until| until <= now);
        let users: Vec<_> = self.calls.iter().filter(|(_, c)| due(c)).map(|(u, _)| u.clone()).collect();
        for user in users {
            let Some(call) = self.calls.get(&user) else { continue };
            let (reason, detail) = match call.state {
                State::Ringing { .. } => (Reason::NoAnswer, "nobody picked up"),
                State::Dialing { .. } => (Reason::NoAnswer, "no answer"),
                State::Connecting { .. } => (Reason::Failed, "the media connection did not come up"),
                State::Recovering { .. } => (Reason::Failed, "the media connection did not come back"),
                State::Connected => continue,
            };
            self.end(&user, Some(reason), reason, detail);
        }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Offer { from, call_id, sdp, session, from_device } => {
                self.offer(from, call_id, sdp, session, from_device, now)
            }
            Input::BadOffer { from, call_id, detail } => self.bad_offer(from, call_id, detail),
            Input::Answer { from, call_id, sdp, session } => self.answer(from, call_id, sdp, session, now),
            Input::Candidate { from, call_id, candidate } => self.candidate(from, call_id, candidate, now),
            Input::Ringing { from, call_id } => {
                if let Some(call) = self.matching(&from, &call_id)
                    && let State::Dialing { .. } = call.state
                {
                    self.report(&from, Event::RingBack);
                }
            }
            Input::Leave { from, call_id, reason, to_us } => {
                let settled = |c: &Call| matches!(c.state, State::Connected | State::Recovering { .. });
                if self.matching(&from, &call_id).is_some_and(|call| to_us || !settled(call)) {
                    self.end(&from, None, reason.unwrap_or(Reason::Hangup), left(reason));
                }
            }
            Input::UnknownTarget { user } => {
                let pending = |c: &Call| matches!(c.state, State::Dialing { .. } | State::Connecting { .. });
                if self.calls.get(&user).is_some_and(pending) {
                    self.end(&user, None, ErrorCode::UnknownTarget, "nobody of that name is online");
                }
            }
            Input::Dial { user, call_id } => self.dial(user, call_id, now),
            Input::PickUp => self.pick_up(now),
            Input::HangUp => self.end_all(|state| match state {
                State::Ringing { .. } => Reason::Declined,
                State::Dialing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. } => {
                    Reason::Hangup
                }
            }),
            Input::Shutdown => self.end_all(|_| Reason::Shutdown),
            Input::Offered { key, sdp } => {
                if let Some((user, call)) = self.by_key(key) {
                    let message = Message::Offer {
                        user_id: None,
                        target_id: user,
                        offer: Description { kind: "offer".into(), sdp },
                        kind: Some(Kind::Device),
                        call_id: call.call_id.clone(),
                    };
                    self.send(message);
                }
            }
            Input::Answered { key, sdp } => {
                if let Some((user, call)) = self.by_key(key) {
                    let message = Message::Answer {
                        user_id: None,
                        target_id: user,
                        answer: Description { kind: "answer".into(), sdp },
                        call_id: call.call_id.clone(),
                    };
                    self.send(message);
                }
            }
            Input::Found { key, candidate } => {
                if let Some((user, call)) = self.by_key(key) {
                    let call_id = call.call_id.clone();
                    self.send(Message::Candidate { user_id: None, target_id: user, candidate, call_id });
                }
            }
            Input::Connected { key } => {
                if let Some((user, call)) = self.by_key(key) {
                    call.state = State::Connected;
                    self.report(&user, Event::Connected);
                }
            }
            Input::Disconnected { key } => {
                if let Some((user, call)) = self.by_key(key)
                    && let State::Connected = call.state
                {
                    call.state = State::Recovering { until: now + RECOVERY_TIMEOUT };
                    self.report(&user, Event::Disconnected);
                }
            }
            Input::Goodbye { key } => {
                if let Some((user, _)) = self.by_key(key) {
                    self.end(&user, None, Reason::Hangup, "the other side hung up");
                }
            }
            Input::Refused { key, code, detail } => {
                if let Some((user, call)) = self.by_key(key) {
                    let call_id = call.call_id.clone();
                    let kind = if code == ErrorCode::BadCandidate { "candidate" } else { "offer" };
                    self.refuse(user, call_id, code, detail, kind);
                }
            }
            Input::Closed { key, detail, blame } => {
                if let Some((user, call)) = self.by_key(key) {
                    let call_id = call.call_id.clone();
                    if let Some(code) = blame {
                        let kind = if call.direction == Direction::Incoming { "offer" } else { "answer" };
                        self.refuse(user.clone(), call_id, code, detail.clone(), kind);
                    }
                    let code = blame.map_or(Reason::Failed.into(), EndCode::from);
                    self.end(&user, Some(Reason::Failed), code, &detail);
                }
            }
        }
    }

    fn offer(
        &mut self,
        from: UserId,
        call_id: Option<String>,
        sdp: String,
        session: Option<String>,
        from_device: bool,
        now: Instant,
    ) {
        if let Some(call) = self.calls.get_mut(&from) {
            let same_id = agree(&call.call_id, &call_id);
            match &mut call.state {
                State::Dialing { .. } => {
                    // Glare (docs/protocol.md): a device yields to a person; of two devices the smaller ID's offer wins.
                    if from_device && self.me < from {
                        return;
                    }
                    self.end(&from, None, Reason::Replaced, "the other side called at the same moment");
                }
                State::Ringing { sdp: rung, .. } if same_id && call.session == session => {
                    *rung = sdp;
                    return;
                }
                State::Connecting { .. } | State::Connected | State::Recovering { .. }
                    if same_id && call.session == session =>
                {
                    // An ICE restart looks for all paths anew.
                    call.candidates = 0;
                    let key = call.key;
                    self.outputs.push_back(Output::Renegotiate { key, sdp });
                    return;
                }
                State::Ringing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. } => {
                    // Without two different call IDs the other side would take the `leave` for its new call.
                    let tell = call.call_id.is_some() && call_id.is_some() && call.call_id != call_id;
                    self.end(&from, tell.then_some(Reason::Replaced), Reason::Replaced, "replaced by a newer call");
                }
            }
        }
        if self.calls.len() >= self.max_calls {
            self.send_leave(from, call_id, Reason::Busy);
            return;
        }
        let key = self.fresh_key();
        let early = self.early.remove(&from).filter(|e| agree(&e.call_id, &call_id));
        let candidates = early.map(|e| e.candidates).unwrap_or_default();
        let call = Call {
            key,
            call_id: call_id.clone(),
            direction: Direction::Incoming,
            session,
            since: now,
            candidates: candidates.len(),
            state: State::Connecting { until: now + CONNECT_TIMEOUT },
        };
        self.calls.insert(from.clone(), call);
        self.report(&from, Event::Incoming);
        match self.policy {
            AnswerPolicy::Auto => {
                self.outputs.push_back(Output::Answer { key, sdp });
                self.pass_on(key, candidates);
            }
            AnswerPolicy::Ring => {
                if let Some(call) = self.calls.get_mut(&from) {
                    call.state = State::Ringing { sdp, candidates, until: now + RING_TIMEOUT };
                }
                self.send(Message::Ringing { user_id: None, target_id: from, call_id });
            }
        }
    }

    fn bad_offer(&mut self, from: UserId, call_id: Option<String>, detail: String) {
        self.refuse(from.clone(), call_id.clone(), ErrorCode::BadSdp, detail, "offer");
        if self.matching(&from, &call_id).is_none() {
            self.send_leave(from, call_id, Reason::Failed);
        }
    }

    fn answer(&mut self, from: UserId, call_id: Option<String>, sdp: String, session: Option<String>, now: Instant) {
        if let Some(call) = self.matching(&from, &call_id)
            && let State::Dialing { .. } = call.state
        {
            call.state = State::Connecting { until: now + CONNECT_TIMEOUT };
            call.session = session;
            let key = call.key;
            self.outputs.push_back(Output::AcceptAnswer { key, sdp });
            return;
        }
        let detail = "there is no offer that this would answer".to_owned();
        self.refuse(from, call_id, ErrorCode::UnexpectedAnswer, detail, "answer");
    }

    fn candidate(&mut self, from: UserId, call_id: Option<String>, candidate: Option<Candidate>, now: Instant) {
        if let Some(call) = self.matching(&from, &call_id) {
            if call.candidates >= MAX_CANDIDATES {
                return;
            }
            call.candidates += 1;
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
            return;
        }
        let until = now + EARLY_CANDIDATES_TIMEOUT;
        let early = self.early.entry(from).or_insert(Early { call_id, candidates: Vec::new(), until });
        if early.candidates.len() < MAX_CANDIDATES {
            early.candidates.push(candidate);
        }
    }

    fn dial(&mut self, user: UserId, call_id: String, now: Instant) {
        if self.calls.contains_key(&user) || self.calls.len() >= self.max_calls {
            return;
        }
        let key = self.fresh_key();
        let call = Call {
            key,
            call_id: Some(call_id),
            direction: Direction::Outgoing,
            session: None,
            since: now,
            candidates: 0,
            state: State::Dialing { until: now + RING_TIMEOUT },
        };
        self.calls.insert(user.clone(), call);
        self.report(&user, Event::Dialing);
        self.outputs.push_back(Output::Offer { key });
    }

    fn pick_up(&mut self, now: Instant) {
        let ringing = self.calls.values_mut().filter(|c| matches!(c.state, State::Ringing { .. }));
        let Some(call) = ringing.min_by_key(|c| c.key) else { return };
        let key = call.key;
        let connecting = State::Connecting { until: now + CONNECT_TIMEOUT };
        if let State::Ringing { sdp, candidates, .. } = std::mem::replace(&mut call.state, connecting) {
            self.outputs.push_back(Output::Answer { key, sdp });
            self.pass_on(key, candidates);
        }
    }

    fn pass_on(&mut self, key: CallKey, candidates: Vec<Option<Candidate>>) {
        self.outputs.extend(candidates.into_iter().map(|candidate| Output::AddCandidate { key, candidate }));
    }

    fn end_all(&mut self, reason: impl Fn(&State) -> Reason) {
        let mut users: Vec<_> = self.calls.iter().map(|(u, c)| (c.key, u.clone(), reason(&c.state))).collect();
        users.sort_by_key(|(key, ..)| *key);
        for (_, user, reason) in users {
            let detail = if reason == Reason::Shutdown { "the program is ending" } else { "hung up here" };
            self.end(&user, Some(reason), reason, detail);
        }
    }

    /// Ends the call with `user`. `tell`: the reason given to the other side; `None` where it knows already.
    fn end(&mut self, user: &UserId, tell: Option<Reason>, code: impl Into<EndCode>, detail: &str) {
        let Some(call) = self.calls.remove(user) else { return };
        let event = Event::Ended { code: code.into(), why: detail.to_owned() };
        let report = Output::Report { key: call.key, call: call.name(), user: user.clone(), event };
        self.outputs.push_back(Output::Close { key: call.key, goodbye: tell.is_some() });
        if let Some(reason) = tell {
            self.send_leave(user.clone(), call.call_id, reason);
        }
        self.outputs.push_back(report);
    }

    fn refuse(&mut self, to: UserId, call_id: Option<String>, code: ErrorCode, message: String, kind: &str) {
        let in_reply_to = Some(kind.to_owned());
        self.send(Message::Error { code, message, user_id: None, target_id: Some(to), in_reply_to, call_id });
    }

    fn send_leave(&mut self, to: UserId, call_id: Option<String>, reason: Reason) {
        self.send(Message::Leave { user_id: None, target_id: Some(to), reason: Some(reason), call_id });
    }

    /// Writes our own ID into what we send, as plain relays do not.
    fn send(&mut self, mut message: Message) {
        match &mut message {
            Message::Offer { user_id, .. }
            | Message::Answer { user_id, .. }
            | Message::Candidate { user_id, .. }
            | Message::Ringing { user_id, .. }
            | Message::Leave { user_id, .. }
            | Message::Error { user_id, .. } => *user_id = Some(self.me.clone()),
            Message::Join { .. }
            | Message::Joined { .. }
            | Message::Presence { .. }
            | Message::Peers { .. }
            | Message::Ping { .. }
            | Message::Pong { .. } => {}
        }
        self.outputs.push_back(Output::Send(message));
    }

    fn report(&mut self, user: &UserId, event: Event) {
        let Some(call) = self.calls.get(user) else { return };
        self.outputs.push_back(Output::Report { key: call.key, call: call.name(), user: user.clone(), event });
    }

    fn fresh_key(&mut self) -> CallKey {
        self.next_key += 1;
        CallKey(self.next_key)
    }

    fn matching(&mut self, user: &UserId, call_id: &Option<String>) -> Option<&mut Call> {
        self.calls.get_mut(user).filter(|c| agree(&c.call_id, call_id))
    }

    /// The call whose connection reports. One that rings has no connection yet.
    fn by_key(&mut self, key: CallKey) -> Option<(UserId, &mut Call)> {
        let connection_of = |c: &Call| c.key == key && !matches!(c.state, State::Ringing { .. });
        self.calls.iter_mut().find(|(_, c)| connection_of(c)).map(|(u, c)| (u.clone(), c))
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
        Some(Reason::Hangup | Reason::Other) | None => "the other side hung up",
    }
}
