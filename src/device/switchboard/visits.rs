//! Bells: what the ring machine decides is said to those who are rung, and whoever attends a visit is heard at the door as
//! it decides.

use std::sync::Arc;
use std::time::Instant;

use super::Switchboard;
use crate::logic::ring::{Event, Input, Output, Plan};
use crate::protocol::{Doing, Message, UserId, VisitId, VisitState};

/// Why nobody is rung.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotRung {
    #[error("there is no bell {wanted:?}; there is {known}")]
    NoSuchBell { wanted: String, known: String },
    #[error("not registered at the signaling server, so nobody can be rung: see 'callbox status'")]
    NotRegistered,
}

impl Switchboard {
    /// Somebody rings, at that bell or at the only one.
    pub(super) fn press(&mut self, bell: Option<&str>) -> Result<(), NotRung> {
        let plan = self.bell(bell)?;
        let id = VisitId::of(fastrand::u64(..));
        self.ring_input(Input::Pressed { plan, id });
        match self.is_registered() {
            true => Ok(()),
            // The bell rings on: the connection may come back in time.
            false => Err(NotRung::NotRegistered),
        }
    }

    /// Whoever has rung takes it back. Returns how many bells rang.
    pub(super) fn take_back(&mut self, bell: Option<&str>) -> Result<usize, NotRung> {
        let bell = bell.map(|bell| self.bell(Some(bell)).map(|plan| plan.bell.clone())).transpose()?;
        let before = self.rings.list(Instant::now()).len();
        self.ring_input(Input::Cancelled(bell));
        Ok(before - self.rings.list(Instant::now()).len())
    }

    fn bell(&self, wanted: Option<&str>) -> Result<Arc<Plan>, NotRung> {
        let meant = |plan: &&Arc<Plan>| wanted.is_none_or(|wanted| plan.bell.eq_ignore_ascii_case(wanted));
        let known = || self.bells.iter().map(|plan| format!("{:?}", plan.bell)).collect::<Vec<_>>().join(", ");
        let none = || NotRung::NoSuchBell { wanted: wanted.unwrap_or_default().to_owned(), known: known() };
        self.bells.iter().find(meant).cloned().ok_or_else(none)
    }

    pub(super) fn ring_input(&mut self, input: Input) {
        self.rings.handle(input, Instant::now());
        self.carry_out_rings();
    }

    /// Somebody says what they do about a visit.
    pub(super) fn attends(&mut self, from: &UserId, visit: VisitId, does: Doing) {
        let name = self.people.get(from).map_or_else(|| from.to_string(), |person| person.name.clone());
        let heard = self.allowed.equipment(from).speaker;
        self.ring_input(Input::Attends { from: from.clone(), name, visit, does, heard });
    }

    fn carry_out_rings(&mut self) {
        while let Some(output) = self.rings.poll_output() {
            let user_id = Some(self.settings.me.clone());
            match output {
                Output::Tell(visit) => self.signaling.send(Message::Visit { user_id, target_id: None, visit }),
                Output::Reply { to, visit } => {
                    self.signaling.send(Message::Visit { user_id, target_id: Some(to), visit });
                }
                Output::Voice(user) => {
                    let keys = self.calls.list().into_iter().filter(|call| call.user == user).map(|call| call.key);
                    for session in keys.filter_map(|key| self.sessions.get(&key)) {
                        session.hear(!self.rings.is_onlooker(&user));
                    }
                }
                Output::Report(event) => tell(&event),
            }
        }
    }
}

fn tell(event: &Event) {
    match event {
        Event::Rang { visit, bell } => log::info!(visit = visit.as_str(), bell; "somebody rings at {bell:?}"),
        Event::RangAgain { visit, bell } => {
            log::info!(visit = visit.as_str(), bell; "somebody rings again at {bell:?}, which changes nothing");
        }
        Event::Looked { visit, name } => log::info!(visit = visit.as_str(); "{name} looks who is there"),
        Event::Declined { visit, name } => log::info!(visit = visit.as_str(); "{name} does not come"),
        Event::Answered { visit, name } => log::info!(visit = visit.as_str(); "{name} answers"),
        Event::Vanished { visit, name } => {
            log::warn!(visit = visit.as_str(); "{name} wanted to answer and did not get through; the others are rung again");
        }
        Event::Ended { visit, bell, how, by, rang } => {
            let how = match (how, by) {
                (VisitState::Answered, Some(by)) => format!("{by} has talked to them"),
                (VisitState::Answered | VisitState::Over | VisitState::Ringing, _) => "it is over".to_owned(),
                (VisitState::Declined, _) => "nobody wants to come".to_owned(),
                (VisitState::Cancelled, _) => "it was taken back".to_owned(),
                (VisitState::Unanswered, _) => "nobody answered".to_owned(),
            };
            let seconds = rang.as_secs();
            log::info!(visit = visit.as_str(), bell, seconds; "the visit at {bell:?} ended after {seconds} s: {how}");
        }
    }
}
