//! Whom a bell rings, and when: first the kitchen, after 20 s everyone, and after a minute nobody any more.

use std::time::Duration;

use crate::protocol::EVERYONE;

/// From so long after the bell was rung these are rung, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub after: Duration,
    /// Names of people, IDs, or [`EVERYONE`].
    pub rings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the bell is called.
    pub bell: String,
    /// In the order of their times.
    pub steps: Vec<Step>,
    /// How long the bell rings.
    pub give_up: Duration,
}

impl Plan {
    /// Rings everyone at once.
    pub fn everyone(bell: &str, give_up: Duration) -> Plan {
        let step = Step { after: Duration::ZERO, rings: vec![EVERYONE.to_owned()] };
        Plan { bell: bell.to_owned(), steps: vec![step], give_up }
    }

    /// Who is rung at that time after the press, each once.
    pub(super) fn rings_at(&self, time: Duration) -> Vec<String> {
        let mut rings: Vec<String> = Vec::new();
        for name in self.steps.iter().filter(|step| step.after <= time).flat_map(|step| &step.rings) {
            if !rings.contains(name) {
                rings.push(name.clone());
            }
        }
        rings
    }

    /// When more are rung than at that time.
    pub(super) fn next_after(&self, time: Duration) -> Option<Duration> {
        self.steps.iter().map(|step| step.after).filter(|after| *after > time).min()
    }
}
