//! A device's bells: who is rung, who looks, who answers, and how it ends (docs/protocol.md, "Visits").
//!
//! Ringing carries no media. Whoever looks or answers calls the device as in any call, and says which visit they mean; of
//! those who answer the first has the visitor, and nobody else is heard. The device's word on a visit goes out again each
//! [`REPEAT`] while the bell rings, so a server has nothing to remember, phones that come late are rung, and those that
//! hear nothing more stop by themselves.

mod plan;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::plan::{Plan, Step};
use self::progress::{Progress, State};
use crate::protocol::{Answerer, Doing, MAX_RUNG, UserId, Visit, VisitId, VisitState};

/// How often the word on a visit goes out.
pub const REPEAT: Duration = Duration::from_secs(1);
/// How long somebody who answers may take until they are there; then the others are rung again.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it goes out when nobody is rung any more: a message may be lost.
const FAREWELLS: u32 = 3;
/// Visits that are over and still known, so that whoever is late hears how they ended; the oldest is forgotten.
const MAX_OVER: usize = 16;
/// Phones of one visit that are known to ring; those of further ones are not counted when all decline.
const MAX_PHONES: usize = 512;
/// People who look or looked; for a further one the first is forgotten, and is heard as in a call without a visit.
const MAX_ONLOOKERS: usize = 64;

#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody rings; `id` was never used before.
    Pressed { plan: Arc<Plan>, id: VisitId },
    /// Somebody who was rung does something. `name`: who they are to people. `heard`: they may be heard at the door.
    Attends { from: UserId, name: String, visit: VisitId, does: Doing, heard: bool },
    /// Somebody calls who does not say that it is because of a visit: they are heard as in any call.
    Calls(UserId),
    /// The call with somebody is connected,
    Connected(UserId),
    /// or over.
    Ended(UserId),
    /// Whoever has rung takes it back, at all bells or at that one.
    Cancelled(Option<String>),
    /// The time of [`Rings::poll_timeout`] has come.
    Timeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To all whom it concerns, which the server finds out.
    Tell(Visit),
    /// To one who said something.
    Reply {
        to: UserId,
        visit: Visit,
    },
    /// Whether somebody's voice is for the door has changed: ask [`Rings::is_onlooker`].
    Voice(UserId),
    Report(Event),
}

/// What people want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Rang {
        visit: VisitId,
        bell: String,
    },
    /// It is ringing already, or somebody is talking to whoever rang.
    RangAgain {
        visit: VisitId,
        bell: String,
    },
    Looked {
        visit: VisitId,
        name: String,
    },
    Declined {
        visit: VisitId,
        name: String,
    },
    Answered {
        visit: VisitId,
        name: String,
    },
    /// Said so, and did not come: the others are rung again.
    Vanished {
        visit: VisitId,
        name: String,
    },
    Ended {
        visit: VisitId,
        bell: String,
        how: VisitState,
        by: Option<String>,
        rang: Duration,
    },
}

/// A visit for `callbox status`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VisitInfo {
    pub id: VisitId,
    pub bell: String,
    pub state: VisitState,
    pub seconds: u64,
    pub rings: Vec<String>,
    /// Phones that have said so.
    pub phones: usize,
    pub by: Option<String>,
}

/// All bells of a device. Each has at most one visit at a time.
#[derive(Default)]
pub struct Rings {
    visits: BTreeMap<VisitId, Progress>,
    /// Those that are over, oldest first.
    over: VecDeque<VisitId>,
    /// Who attends a visit and is not to be heard, oldest first.
    onlookers: VecDeque<UserId>,
    /// With whom there is a call that is connected, of those who attend.
    connected: BTreeSet<UserId>,
    outputs: VecDeque<Output>,
}

impl Rings {
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Pressed { plan, id } => self.pressed(plan, id, now),
            Input::Attends { from, name, visit, does, heard } => {
                self.attends(&Answerer { user_id: from, name }, visit, does, heard, now);
            }
            Input::Calls(user) => self.onlookers.retain(|onlooker| *onlooker != user),
            Input::Connected(user) => self.connected(user, now),
            Input::Ended(user) => self.ended(&user, now),
            Input::Cancelled(bell) => {
                let meant = |visit: &Progress| bell.as_ref().is_none_or(|bell| *bell == visit.plan.bell);
                let live = self.visits.iter().filter(|(_, visit)| visit.is_ringing() && meant(visit));
                for id in live.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                    self.end(&id, VisitState::Cancelled, now);
                }
            }
            Input::Timeout => {}
        }
        self.advance(now);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.visits.values().filter_map(Progress::due).min()
    }

    /// Whether somebody attends a visit and is not to be heard at the door: they look, or another was quicker.
    pub fn is_onlooker(&self, user: &UserId) -> bool {
        self.onlookers.contains(user)
    }

    pub fn list(&self, now: Instant) -> Vec<VisitInfo> {
        let live = self.visits.iter().filter(|(_, visit)| visit.is_live());
        live.map(|(id, visit)| {
            let Visit { state, bell, rings, by, .. } = visit.word(id, now);
            let seconds = now.saturating_duration_since(visit.pressed).as_secs();
            let by = by.map(|by| by.name);
            VisitInfo { id: id.clone(), bell, state, seconds, rings, phones: visit.phones.len(), by }
        })
        .collect()
    }

    fn pressed(&mut self, plan: Arc<Plan>, id: VisitId, now: Instant) {
        let bell = plan.bell.clone();
        let under_way = self.visits.iter().find(|(_, visit)| visit.is_live() && visit.plan.bell == bell);
        if let Some((visit, _)) = under_way {
            return self.report(Event::RangAgain { visit: visit.clone(), bell });
        }
        self.visits.insert(id.clone(), Progress::new(plan, now));
        self.report(Event::Rang { visit: id, bell });
    }

    fn attends(&mut self, who: &Answerer, id: VisitId, does: Doing, heard: bool, now: Instant) {
        let Some(visit) = self.visits.get_mut(&id) else {
            if let Doing::Looks | Doing::Answers = does {
                self.looks_on(&who.user_id);
            }
            let visit = Visit {
                id,
                state: VisitState::Over,
                number: u32::MAX,
                bell: String::new(),
                rings: Vec::new(),
                declined: Vec::new(),
                by: None,
                seconds: 0,
            };
            return self.outputs.push_back(Output::Reply { to: who.user_id.clone(), visit });
        };
        if visit.phones.len() < MAX_PHONES || visit.phones.contains_key(&who.user_id) {
            visit.phones.insert(who.user_id.clone(), who.name.clone());
        }
        match does {
            Doing::Rings => {}
            Doing::Declines => self.declines(who, &id, now),
            // Whom the door would not hear can only look.
            Doing::Answers if heard => self.answers(who, &id, now),
            Doing::Looks | Doing::Answers => {
                let first = visit.looked.len() < MAX_PHONES && visit.looked.insert(who.user_id.clone());
                if !visit.is_answerer(&who.user_id) {
                    self.looks_on(&who.user_id);
                }
                if first {
                    self.report(Event::Looked { visit: id.clone(), name: who.name.clone() });
                }
            }
        }
        self.reply(&who.user_id, &id, now);
    }

    fn declines(&mut self, who: &Answerer, id: &VisitId, now: Instant) {
        let Some(visit) = self.visits.get_mut(id) else { return };
        if !visit.is_ringing() || visit.declined.len() >= MAX_RUNG {
            return;
        }
        if visit.declined.insert(who.name.to_lowercase(), who.name.clone()).is_none() {
            visit.changed(now);
            self.report(Event::Declined { visit: id.clone(), name: who.name.clone() });
        }
    }

    fn answers(&mut self, who: &Answerer, id: &VisitId, now: Instant) {
        let is_there = self.connected.contains(&who.user_id);
        let Some(visit) = self.visits.get_mut(id) else { return };
        match &visit.state {
            State::Ringing => {
                visit.state = State::Answering { by: who.clone(), since: now };
                visit.declined.remove(&who.name.to_lowercase());
                visit.changed(now);
                self.stops_looking(&who.user_id);
                if is_there {
                    self.is_answered(id, now);
                }
            }
            State::Answering { by, .. } | State::Answered { by, .. } if by.user_id == who.user_id => {}
            State::Answering { .. } | State::Answered { .. } | State::Over { .. } => self.looks_on(&who.user_id),
        }
    }

    fn connected(&mut self, user: UserId, now: Instant) {
        let answering = |visit: &Progress| matches!(&visit.state, State::Answering { by, .. } if by.user_id == user);
        let ids: Vec<_> = self.visits.iter().filter(|(_, visit)| answering(visit)).map(|(id, _)| id.clone()).collect();
        self.connected.insert(user);
        ids.iter().for_each(|id| self.is_answered(id, now));
    }

    fn is_answered(&mut self, id: &VisitId, now: Instant) {
        let Some(visit) = self.visits.get_mut(id) else { return };
        let State::Answering { by, .. } = &visit.state else { return };
        let by = by.clone();
        visit.state = State::Answered { by: by.clone(), farewells: FAREWELLS };
        visit.changed(now);
        self.report(Event::Answered { visit: id.clone(), name: by.name });
    }

    fn ended(&mut self, user: &UserId, now: Instant) {
        self.connected.remove(user);
        self.onlookers.retain(|onlooker| onlooker != user);
        // Somebody may have answered at two bells, in one call.
        let theirs = self.visits.iter().filter(|(_, visit)| visit.is_answerer(user));
        for id in theirs.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            match self.visits.get(&id).map(|visit| &visit.state) {
                Some(State::Answering { .. }) => self.vanished(&id, now),
                Some(State::Answered { .. }) => self.end(&id, VisitState::Answered, now),
                Some(State::Ringing | State::Over { .. }) | None => {}
            }
        }
    }

    /// Whoever wanted to answer did not come.
    fn vanished(&mut self, id: &VisitId, now: Instant) {
        let Some(visit) = self.visits.get_mut(id) else { return };
        let State::Answering { by, since } = &visit.state else { return };
        let by = by.clone();
        visit.stood += now.saturating_duration_since(*since);
        visit.state = State::Ringing;
        visit.changed(now);
        // What comes late of them is not heard.
        self.looks_on(&by.user_id);
        self.report(Event::Vanished { visit: id.clone(), name: by.name });
    }

    fn end(&mut self, id: &VisitId, how: VisitState, now: Instant) {
        let Some(visit) = self.visits.get_mut(id) else { return };
        let by = visit.state.answerer().cloned();
        let farewells = match visit.state {
            State::Answered { farewells, .. } => farewells,
            State::Ringing | State::Answering { .. } | State::Over { .. } => FAREWELLS,
        };
        visit.state = State::Over { how, by: by.clone(), farewells };
        visit.changed(now);
        let (bell, rang) = (visit.plan.bell.clone(), now.saturating_duration_since(visit.pressed));
        self.over.push_back(id.clone());
        if self.over.len() > MAX_OVER
            && let Some(oldest) = self.over.pop_front()
        {
            self.visits.remove(&oldest);
        }
        self.report(Event::Ended { visit: id.clone(), bell, how, by: by.map(|by| by.name), rang });
    }

    /// Does what the time brings.
    fn advance(&mut self, now: Instant) {
        for id in self.visits.keys().cloned().collect::<Vec<_>>() {
            if self.visits.get(&id).is_some_and(|visit| visit.is_late(now)) {
                self.vanished(&id, now);
            }
            let Some(visit) = self.visits.get_mut(&id) else { continue };
            match visit.verdict(now) {
                Some(how) => self.end(&id, how, now),
                None => visit.skip(now),
            }
            let Some(visit) = self.visits.get_mut(&id) else { continue };
            if visit.tells(now) {
                let word = visit.word(&id, now);
                self.outputs.push_back(Output::Tell(word));
            }
        }
    }

    fn reply(&mut self, to: &UserId, id: &VisitId, now: Instant) {
        if let Some(visit) = self.visits.get(id) {
            self.outputs.push_back(Output::Reply { to: to.clone(), visit: visit.word(id, now) });
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Report(event));
    }

    fn looks_on(&mut self, user: &UserId) {
        let was = self.is_onlooker(user);
        self.onlookers.retain(|onlooker| onlooker != user);
        if self.onlookers.len() >= MAX_ONLOOKERS {
            self.onlookers.pop_front();
        }
        self.onlookers.push_back(user.clone());
        if !was {
            self.outputs.push_back(Output::Voice(user.clone()));
        }
    }

    fn stops_looking(&mut self, user: &UserId) {
        if self.is_onlooker(user) {
            self.onlookers.retain(|onlooker| onlooker != user);
            self.outputs.push_back(Output::Voice(user.clone()));
        }
    }
}
