//! The machine behind [`super`]'s inputs and outputs: what the operator, the clock and the connections say. What the other
//! side says is in `hear`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::ended::{Ended, Entry};
use super::speech::{Speech, Weight};
use super::state::{Call, Early, State};
use super::{
    AnswerPolicy, CallInfo, CallKey, Direction, EndCode, Event, Input, MAX_UNPROVED, Output, RECOVERY_TIMEOUT, TURNS,
};
use crate::logic::allowance::Allowances;
use crate::protocol::{
    CONNECT_TIMEOUT, Candidate, Description, ErrorCode, Kind, Message, RING_TIMEOUT, Reason, UserId,
};

/// Callers whose turns are remembered; of more, whoever's was longest ago is forgotten.
const MAX_CALLERS: usize = 256;

/// The machine. Contract: after each [`Calls::handle`] or [`Calls::handle_timeout`] drain [`Calls::poll_output`], then
/// sleep until [`Calls::poll_timeout`].
pub struct Calls {
    pub(super) me: UserId,
    pub(super) policy: AnswerPolicy,
    pub(super) max_calls: usize,
    next_key: u64,
    /// Whether what is sent has a connection to leave by.
    pub(super) up: bool,
    pub(super) calls: HashMap<UserId, Call>,
    pub(super) early: HashMap<UserId, Early>,
    pub(super) ended: Ended,
    pub(super) speech: Speech,
    /// Who has had a time to themselves of late.
    turns: Allowances<UserId>,
    pub(super) outputs: VecDeque<Output>,
}

impl Calls {
    /// Nothing is sent before [`Input::SignalingUp`].
    pub fn new(me: UserId, policy: AnswerPolicy, max_calls: usize) -> Self {
        Calls {
            me,
            policy,
            max_calls,
            next_key: 0,
            up: false,
            calls: HashMap::new(),
            early: HashMap::new(),
            ended: Ended::default(),
            speech: Speech::default(),
            turns: Allowances::new(MAX_CALLERS),
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

    /// Whether there is a call with that user.
    pub fn has(&self, user: &UserId) -> bool {
        self.calls.contains_key(user)
    }

    /// Every call, longest first.
    pub fn list(&self) -> Vec<CallInfo> {
        let info = |(user, c): (&UserId, &Call)| CallInfo {
            key: c.key,
            call: c.name(),
            call_id: c.call_id.clone(),
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
                State::Connecting { .. } if call.reached => {
                    (Reason::Failed, "the encrypted connection did not come up")
                }
                State::Connecting { .. } => (
                    Reason::Failed,
                    "no network path between the two sides was found in time; a TURN server may be needed",
                ),
                State::Recovering { .. } => (Reason::Failed, "the media connection was lost and did not come back"),
                State::Connected => continue,
            };
            self.end(&user, Some(reason), reason, detail, now);
        }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::SignalingUp => self.signaling_up(now),
            Input::SignalingDown => self.up = false,
            Input::Online { user } => self.online(&user, now),
            Input::Offer { from, call_id, sdp, origin, kind } => self.offer(from, call_id, sdp, origin, kind, now),
            Input::BadOffer { from, call_id, code, detail } => self.bad_offer(from, call_id, code, detail, now),
            Input::Answer { from, call_id, sdp, origin } => self.answer(from, call_id, sdp, origin, now),
            Input::Candidate { from, call_id, candidate } => self.candidate(from, call_id, candidate, now),
            Input::Ringing { from, call_id } => self.ringing(&from, &call_id, now),
            Input::Leave { from, call_id, reason, to_us } => self.leave(from, call_id, reason, to_us, now),
            Input::Rejected { from, call_id, code, detail } => self.rejected(&from, &call_id, code, &detail, now),
            Input::Malformed { from, kind, detail } => self.malformed(from, &kind, detail, now),
            Input::UnknownTarget { user, call_id } => self.unknown_target(&user, &call_id, now),
            Input::Forbidden { user, call_id } => self.forbidden(&user, &call_id, now),
            Input::Dial { user, call_id } => self.dial(user, call_id, now),
            Input::PickUp => {
                let ringing = self.calls.values().filter(|c| c.rings());
                if let Some(key) = ringing.map(|c| c.key).min() {
                    self.pick_up(key, now);
                }
            }
            Input::HangUp => self.end_all(now, |state| match state {
                State::Ringing { .. } => Reason::Declined,
                State::Dialing { .. } | State::Connecting { .. } | State::Connected | State::Recovering { .. } => {
                    Reason::Hangup
                }
            }),
            Input::Shutdown => self.end_all(now, |_| Reason::Shutdown),
            Input::Offered { key, sdp } => {
                if let Some((target_id, call)) = self.by_key(key) {
                    let offer = Message::offer(target_id, sdp, Some(Kind::Device), call.call_id.clone());
                    self.describe(key, offer, now);
                }
            }
            Input::Answered { key, sdp } => {
                if let Some((target_id, call)) = self.by_key(key) {
                    let (answer, call_id) = (Description { kind: "answer".into(), sdp }, call.call_id.clone());
                    self.describe(
                        key,
                        Message::Answer { user_id: None, target_id, answer, call_id, rights: None, identity: None },
                        now,
                    );
                }
            }
            Input::Found { key, candidate } => {
                let up = self.up;
                if let Some((target_id, call)) = self.by_key(key) {
                    call.said.found(candidate.clone(), up);
                    let call_id = call.call_id.clone();
                    self.say(Message::Candidate { user_id: None, target_id, candidate, call_id }, Weight::Needed, now);
                }
            }
            Input::Reached { key } => self.proved(key),
            Input::Connected { key } => {
                self.proved(key);
                if let Some((user, call)) = self.by_key(key) {
                    // A connection that comes up has its answer; one that comes back may do so without.
                    if let State::Connecting { .. } = call.state {
                        call.said.arrived();
                    }
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
                    self.end(&user, None, Reason::Hangup, "the other side hung up", now);
                }
            }
            Input::Refused { key, code, detail } => {
                if let Some((user, call)) = self.by_key(key) {
                    let call_id = call.call_id.clone();
                    match code {
                        ErrorCode::BadCandidate => {
                            if self.hears(&user, now) {
                                self.say(refusal(user, call_id, code, detail, "candidate"), Weight::Light, now);
                            }
                        }
                        _ => self.describe(key, refusal(user, call_id, code, detail, "offer"), now),
                    }
                }
            }
            Input::Unverified { key, detail } => {
                let user = self.calls.iter().find(|(_, call)| call.key == key).map(|(user, _)| user.clone());
                if let Some(user) = user {
                    self.end(&user, Some(Reason::Unverified), Reason::Unverified, detail, now);
                }
            }
            Input::Closed { key, detail, blame } => {
                if let Some((user, call)) = self.by_key(key) {
                    let call_id = call.call_id.clone();
                    if let Some(code) = blame {
                        let kind = if call.direction == Direction::Incoming { "offer" } else { "answer" };
                        self.say(refusal(user.clone(), call_id, code, detail.clone(), kind), Weight::Light, now);
                    }
                    let code = blame.map_or(Reason::Failed.into(), EndCode::from);
                    self.end(&user, Some(Reason::Failed), code, &detail, now);
                }
            }
        }
    }

    /// Calling somebody who rings here is picking up.
    fn dial(&mut self, user: UserId, call_id: String, now: Instant) {
        if let Some(call) = self.calls.get(&user) {
            return self.pick_up(call.key, now);
        }
        if !self.make_room(MAX_UNPROVED, now) {
            return;
        }
        let key = self.fresh_key();
        let state = State::Dialing { until: now + RING_TIMEOUT };
        let call = Call::new(key, Some(call_id), Direction::Outgoing, now, state);
        self.calls.insert(user.clone(), call);
        self.report(&user, Event::Dialing);
        self.outputs.push_back(Output::Offer { key });
    }

    /// Answers the call if it rings.
    fn pick_up(&mut self, key: CallKey, now: Instant) {
        let Some(call) = self.calls.values_mut().find(|c| c.key == key) else { return };
        if let State::Ringing { sdp, candidates, .. } = &mut call.state {
            let (sdp, candidates) = (std::mem::take(sdp), std::mem::take(candidates));
            call.state = State::Connecting { until: now + CONNECT_TIMEOUT };
            self.connect(key, sdp, candidates);
        }
    }

    /// Whether another call would be one too many. Calls that prove nothing make way.
    pub fn is_full(&self) -> bool {
        self.calls.values().filter(|c| !c.is_unproved()).count() >= self.max_calls
    }

    /// Gives a caller a place, and says until when it is kept for them; `None`: there is none to be had.
    pub(super) fn admit(&mut self, from: &UserId, keep: Duration, now: Instant) -> Option<Instant> {
        let others = self.in_the_way(MAX_UNPROVED - 1)?;
        if others.iter().any(|(until, ..)| *until > now) {
            return None;
        }
        let has_turn = self.turns.take(from, keep * TURNS, keep * TURNS, now);
        if !has_turn && !others.is_empty() {
            return None;
        }
        self.end_unproved(others, now);
        Some(if has_turn { now + keep } else { now })
    }

    /// Makes room for a call that has a right to its place, beside at most so many unproved ones. `false`: others have, too.
    pub(super) fn make_room(&mut self, beside: usize, now: Instant) -> bool {
        let others = self.in_the_way(beside);
        let room = others.is_some();
        self.end_unproved(others.unwrap_or_default(), now);
        room
    }

    /// The unproved calls that one more call leaves no place for, where at most so many may stay; `None`: there is none for
    /// the call itself.
    fn in_the_way(&self, stay: usize) -> Option<Vec<(Instant, CallKey, UserId)>> {
        if self.is_full() {
            return None;
        }
        let unproved = self.calls.iter().filter(|(_, c)| c.is_unproved());
        let mut unproved: Vec<_> = unproved.map(|(user, c)| (c.kept_until, c.key, user.clone())).collect();
        unproved.sort();
        let free = self.max_calls - (self.calls.len() - unproved.len()) - 1;
        unproved.truncate(unproved.len().saturating_sub(free.min(stay)));
        Some(unproved)
    }

    fn end_unproved(&mut self, calls: Vec<(Instant, CallKey, UserId)>, now: Instant) {
        let why = "it made way for a newer call, having shown nothing but an offer";
        for (.., user) in calls {
            self.end(&user, Some(Reason::Busy), Reason::Busy, why, now);
        }
    }

    /// The other side is there and wants this call.
    fn proved(&mut self, key: CallKey) {
        if let Some((user, call)) = self.by_key(key)
            && !std::mem::replace(&mut call.reached, true)
        {
            self.turns.forget(&user);
        }
    }

    /// Asks for the connection that answers.
    pub(super) fn connect(&mut self, key: CallKey, sdp: String, candidates: Vec<Option<Candidate>>) {
        if let Some(call) = self.calls.values_mut().find(|c| c.key == key) {
            call.said.owes();
        }
        self.outputs.push_back(Output::Answer { key, sdp });
        self.outputs.extend(candidates.into_iter().map(|candidate| Output::AddCandidate { key, candidate }));
    }

    fn end_all(&mut self, now: Instant, reason: impl Fn(&State) -> Reason) {
        let mut users: Vec<_> = self.calls.iter().map(|(u, c)| (c.key, u.clone(), reason(&c.state))).collect();
        users.sort_by_key(|(key, ..)| *key);
        for (_, user, reason) in users {
            let detail = if reason == Reason::Shutdown { "the program is ending" } else { "hung up here" };
            self.end(&user, Some(reason), reason, detail, now);
        }
    }

    /// Ends the call with `user`. `tell`: the reason given to the other side; `None` where it knows already.
    pub(super) fn end(
        &mut self,
        user: &UserId,
        tell: Option<Reason>,
        code: impl Into<EndCode>,
        detail: &str,
        now: Instant,
    ) {
        if let Some(call) = self.remove(user, tell, tell, now) {
            let event = Event::Ended { code: code.into(), why: detail.to_owned() };
            self.outputs.push_back(Output::Report { key: call.key, call: call.name(), user: user.clone(), event });
        }
    }

    /// `asked`: what the other side hears that speaks of the call later on.
    pub(super) fn remove(
        &mut self,
        user: &UserId,
        tell: Option<Reason>,
        asked: Option<Reason>,
        now: Instant,
    ) -> Option<Call> {
        let call = self.calls.remove(user)?;
        self.outputs.push_back(Output::Close { key: call.key, goodbye: tell.is_some() });
        if let Some(reason) = tell {
            self.say_leave(user.clone(), call.call_id.clone(), reason, Weight::Needed, now);
        }
        self.ended.remember(Entry {
            user: user.clone(),
            call_id: call.call_id.clone(),
            told: asked,
            said: self.up.then_some(now),
            at: now,
        });
        Some(call)
    }

    fn signaling_up(&mut self, now: Instant) {
        self.up = true;
        self.speech.start_over();
        self.leave_again(None, now);
        let mut calls: Vec<_> = self.calls.iter().map(|(user, call)| (call.key, user.clone())).collect();
        calls.sort();
        for (_, user) in calls {
            self.say_again(&user, now);
        }
    }

    /// Somebody has come back, who may have been away without a word when something was said.
    fn online(&mut self, user: &UserId, now: Instant) {
        self.leave_again(Some(user), now);
        if self.calls.get(user).is_some_and(|call| matches!(call.state, State::Dialing { .. })) {
            self.say_again(user, now);
        }
    }

    fn leave_again(&mut self, user: Option<&UserId>, now: Instant) {
        for (user, call_id, reason) in self.ended.unheard(user, now) {
            let present = self.calls.get(&user);
            // Who writes no call IDs would take it for the end of the call that is.
            if present.is_none_or(|call| call.call_id.is_some() && call_id.is_some()) {
                self.say_leave(user, call_id, reason, Weight::Light, now);
            }
        }
    }

    /// Says what may not have arrived, in the order in which it was said first.
    pub(super) fn say_again(&mut self, user: &UserId, now: Instant) {
        let Some(call) = self.calls.get_mut(user) else { return };
        let call_id = call.call_id.clone();
        let (description, candidates) = match call.state {
            State::Ringing { .. } => (
                Some(Message::Ringing { user_id: None, target_id: user.clone(), call_id: call_id.clone() }),
                Vec::new(),
            ),
            State::Dialing { .. } | State::Connecting { .. } | State::Recovering { .. } => call.said.again(false, now),
            State::Connected => call.said.again(true, now),
        };
        self.say_all(user, call_id, description, candidates, now);
    }

    /// Says once more what was said.
    pub(super) fn say_all(
        &mut self,
        user: &UserId,
        call_id: Option<String>,
        description: Option<Message>,
        candidates: Vec<Option<Candidate>>,
        now: Instant,
    ) {
        description.into_iter().for_each(|description| self.say(description, Weight::Light, now));
        for candidate in candidates {
            let (target_id, call_id) = (user.clone(), call_id.clone());
            self.say(Message::Candidate { user_id: None, target_id, candidate, call_id }, Weight::Light, now);
        }
    }

    fn describe(&mut self, key: CallKey, message: Message, now: Instant) {
        let at = self.up.then_some(now);
        if let Some((_, call)) = self.by_key(key) {
            call.said.describe(message.clone(), at);
            self.say(message, Weight::Needed, now);
        }
    }

    pub(super) fn say_leave(
        &mut self,
        to: UserId,
        call_id: Option<String>,
        reason: Reason,
        weight: Weight,
        now: Instant,
    ) {
        self.say(Message::Leave { user_id: None, target_id: Some(to), reason: Some(reason), call_id }, weight, now);
    }

    /// Sends what there is a connection for, and what others left of our allowance; what matters is said when there is a
    /// connection again. Writes our own ID into it, as plain relays do not.
    pub(super) fn say(&mut self, mut message: Message, weight: Weight, now: Instant) {
        if !self.up || !self.speech.may_say(weight, now) {
            return;
        }
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
            | Message::Proof { .. }
            | Message::Visit { .. }
            | Message::Attend { .. }
            | Message::Ping { .. }
            | Message::Pong { .. } => {}
        }
        self.outputs.push_back(Output::Send(message));
    }

    pub(super) fn report(&mut self, user: &UserId, event: Event) {
        let Some(call) = self.calls.get(user) else { return };
        self.outputs.push_back(Output::Report { key: call.key, call: call.name(), user: user.clone(), event });
    }

    pub(super) fn fresh_key(&mut self) -> CallKey {
        self.next_key += 1;
        CallKey(self.next_key)
    }

    /// The call whose connection reports. One that rings has no connection yet.
    fn by_key(&mut self, key: CallKey) -> Option<(UserId, &mut Call)> {
        let connection_of = |c: &Call| c.key == key && !c.rings();
        self.calls.iter_mut().find(|(_, c)| connection_of(c)).map(|(u, c)| (u.clone(), c))
    }
}

pub(super) fn refusal(to: UserId, call_id: Option<String>, code: ErrorCode, message: String, kind: &str) -> Message {
    let in_reply_to = Some(kind.to_owned());
    Message::Error { code, message, user_id: None, target_id: Some(to), in_reply_to, call_id }
}
