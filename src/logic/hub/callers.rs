//! How often a person may call: whoever has been let in could still ring at all hours.

use std::collections::VecDeque;
use std::time::Instant;

use crate::logic::access::{Pass, Person};
use crate::logic::allowance::Allowances;
use crate::protocol::{CALL_BURST, CALL_PAUSE, OFFERS_OF_A_CALL, UserId};

/// People whose calls are counted at a time, in whichever of their browsers; beyond, whoever called least begins anew.
const PEOPLE: usize = 4096;
/// Calls of one connection that are remembered as begun; an offer in an older one counts as a call.
const BEGUN: usize = CALL_BURST as usize;

pub(super) struct Callers(Allowances<String>);

impl Default for Callers {
    fn default() -> Callers {
        Callers(Allowances::new(PEOPLE))
    }
}

/// The calls that one connection has made last.
#[derive(Debug, Default)]
pub(super) struct Begun(VecDeque<(UserId, String)>);

impl Callers {
    /// Counts an offer of somebody with that pass; `false`: it is one too many. Only people are counted: devices ring when
    /// somebody is at the door, and where anybody may come under any name there is nobody to count for.
    ///
    /// An offer that names no call is one of its own; those that go on with a call cost a part of one, so that it makes no
    /// difference under which name somebody rings again.
    pub(super) fn may_offer(
        &mut self,
        pass: &Pass,
        begun: &mut Begun,
        target: &UserId,
        call: Option<&str>,
        now: Instant,
    ) -> bool {
        let Pass::Person(person) = pass else { return true };
        let goes_on = call.is_some_and(|call| begun.0.iter().any(|(to, known)| to == target && known == call));
        let cost = if goes_on { CALL_PAUSE / OFFERS_OF_A_CALL } else { CALL_PAUSE };
        let granted = self.0.take(&who(person), cost, CALL_PAUSE * CALL_BURST, now);
        if let Some(call) = call.filter(|_| granted && !goes_on) {
            begun.0.push_back((target.clone(), call.to_owned()));
            if begun.0.len() > BEGUN {
                begun.0.pop_front();
            }
        }
        granted
    }
}

/// The household knows people by their names; each browser has an ID of its own.
fn who(person: &Person) -> String {
    match person.name.is_empty() {
        true => person.user_id.to_string(),
        false => person.name.clone(),
    }
}
