//! One visit: where its plan is, and what is to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ANSWER_TIMEOUT, Plan, REPEAT};
use crate::protocol::{Answerer, UserId, Visit, VisitId, VisitState};

pub(super) struct Progress {
    pub(super) plan: Arc<Plan>,
    pub(super) pressed: Instant,
    /// By how much the plan is ahead of the clock: steps that nobody was left for are left out.
    pub(super) ahead: Duration,
    /// How long it stood still, because somebody had said that they answer.
    pub(super) stood: Duration,
    pub(super) state: State,
    /// Of the word.
    pub(super) number: u32,
    /// The people whose phones ring.
    pub(super) phones: BTreeMap<UserId, String>,
    /// Who has been rung, as it was told last.
    pub(super) rung: Vec<String>,
    pub(super) looked: BTreeSet<UserId>,
    /// In lower case, and as they are called.
    pub(super) declined: BTreeMap<String, String>,
    pub(super) tell: Instant,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Ringing,
    /// Somebody answers, and their call is not there yet.
    Answering {
        by: Answerer,
        since: Instant,
    },
    Answered {
        by: Answerer,
        farewells: u32,
    },
    Over {
        how: VisitState,
        by: Option<Answerer>,
        farewells: u32,
    },
}

impl Progress {
    pub(super) fn new(plan: Arc<Plan>, now: Instant) -> Progress {
        Progress {
            plan,
            pressed: now,
            ahead: Duration::ZERO,
            stood: Duration::ZERO,
            state: State::Ringing,
            number: 0,
            phones: BTreeMap::new(),
            rung: Vec::new(),
            looked: BTreeSet::new(),
            declined: BTreeMap::new(),
            tell: now,
        }
    }

    pub(super) fn is_ringing(&self) -> bool {
        matches!(self.state, State::Ringing | State::Answering { .. })
    }

    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state, State::Over { .. })
    }

    pub(super) fn is_answerer(&self, user: &UserId) -> bool {
        self.is_live() && self.state.answerer().is_some_and(|by| by.user_id == *user)
    }

    /// Whoever said that they answer has not come in time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        matches!(self.state, State::Answering { since, .. } if now.saturating_duration_since(since) >= ANSWER_TIMEOUT)
    }

    /// Where the plan is.
    pub(super) fn time(&self, now: Instant) -> Duration {
        (now.saturating_duration_since(self.pressed) + self.ahead).saturating_sub(self.stood)
    }

    /// Whether it ends by itself now.
    pub(super) fn verdict(&self, now: Instant) -> Option<VisitState> {
        let State::Ringing = self.state else { return None };
        let time = self.time(now);
        if time >= self.plan.give_up {
            return Some(VisitState::Unanswered);
        }
        (self.all_decline() && self.plan.next_after(time).is_none()).then_some(VisitState::Declined)
    }

    /// There is something new to tell.
    pub(super) fn changed(&mut self, now: Instant) {
        self.number = self.number.saturating_add(1);
        self.tell = now;
    }

    pub(super) fn all_decline(&self) -> bool {
        !self.phones.is_empty() && self.phones.values().all(|name| self.declined.contains_key(&name.to_lowercase()))
    }

    /// Where all who are rung have declined, the next are rung at once.
    pub(super) fn skip(&mut self, now: Instant) {
        let State::Ringing = self.state else { return };
        let time = self.time(now);
        if self.all_decline()
            && let Some(next) = self.plan.next_after(time)
        {
            self.ahead += next - time;
            self.changed(now);
        }
    }

    /// Whether the word goes out now, and when the next time.
    pub(super) fn tells(&mut self, now: Instant) -> bool {
        if self.tell > now {
            return false;
        }
        self.tell = now + REPEAT;
        match &mut self.state {
            State::Ringing => {
                let time = self.time(now);
                self.rung = self.plan.rings_at(time);
                let next = self.plan.next_after(time).unwrap_or(self.plan.give_up).min(self.plan.give_up);
                self.tell = self.tell.min(now + next.saturating_sub(time));
                true
            }
            State::Answering { .. } => true,
            State::Answered { farewells, .. } | State::Over { farewells, .. } => {
                let left = *farewells;
                *farewells = left.saturating_sub(1);
                left > 0
            }
        }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Ringing => Some(self.tell),
            State::Answering { since, .. } => Some(self.tell.min(*since + ANSWER_TIMEOUT)),
            State::Answered { farewells, .. } | State::Over { farewells, .. } => (*farewells > 0).then_some(self.tell),
        }
    }

    pub(super) fn word(&self, id: &VisitId, now: Instant) -> Visit {
        // Whoever was rung has to hear that it is over.
        let (state, rings) = match &self.state {
            State::Ringing => (VisitState::Ringing, self.plan.rings_at(self.time(now))),
            State::Answering { .. } | State::Answered { .. } => (VisitState::Answered, self.rung.clone()),
            State::Over { how, .. } => (*how, self.rung.clone()),
        };
        Visit {
            id: id.clone(),
            state,
            number: self.number,
            bell: self.plan.bell.clone(),
            rings,
            declined: self.declined.values().cloned().collect(),
            by: self.state.answerer().cloned(),
            seconds: u32::try_from(now.saturating_duration_since(self.pressed).as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl State {
    pub(super) fn answerer(&self) -> Option<&Answerer> {
        match self {
            State::Ringing => None,
            State::Answering { by, .. } | State::Answered { by, .. } => Some(by),
            State::Over { by, .. } => by.as_ref(),
        }
    }
}
