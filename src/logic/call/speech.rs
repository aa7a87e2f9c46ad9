//! How much others may make us say. The server closes the connection of whoever says too much, and anybody can send what
//! has to be replied to: each sender is heard so often only, and what is said in all stays below the server's limits.

use std::time::{Duration, Instant};

use super::Calls;
use super::state::State;
use crate::logic::allowance::{Allowance, Allowances};
use crate::protocol::{MESSAGE_BURST, MESSAGE_RATE, UserId};

/// What one sender may have replied to at once, and how long until once more.
pub(super) const HEARD_BURST: u32 = 10;
pub(super) const HEARD_PAUSE: Duration = Duration::from_secs(1);
/// The pause for somebody we talk with: bad paths make for many offers.
pub(super) const TALKING_PAUSE: Duration = Duration::from_millis(250);
/// Senders whose use is remembered; beyond, whoever used least is forgotten.
const MAX_HEARD: usize = 256;

/// What is said takes up four fifths of what the server allows; what is over is dropped.
pub(super) const SAID_PAUSE: Duration = Duration::from_nanos(1_000_000_000 * 5 / 4 / MESSAGE_RATE as u64);
pub(super) const SAID_BURST: u32 = MESSAGE_BURST / 5 * 4;

/// Whether a message is worth another one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// A call depends on it.
    Needed,
    /// Refusals and repetitions: dropped when half of the allowance is used up.
    Light,
}

#[derive(Debug)]
pub(super) struct Speech {
    heard: Allowances<UserId>,
    said: Allowance,
}

impl Default for Speech {
    fn default() -> Speech {
        Speech { heard: Allowances::new(MAX_HEARD), said: Allowance::default() }
    }
}

impl Speech {
    pub(super) fn may_say(&mut self, weight: Weight, now: Instant) -> bool {
        let burst = match weight {
            Weight::Needed => SAID_BURST,
            Weight::Light => SAID_BURST / 2,
        };
        self.said.take(SAID_PAUSE, SAID_PAUSE * burst, now)
    }

    /// A new connection to the server, which has counted nothing yet.
    pub(super) fn start_over(&mut self) {
        self.said = Allowance::default();
    }
}

impl Calls {
    /// Whether something of theirs that wants a reply is heard; to be asked before such an input is handled. What is not
    /// heard is to be dropped in silence.
    pub fn hears(&mut self, from: &UserId, now: Instant) -> bool {
        let talks = |state: &State| matches!(state, State::Connected | State::Recovering { .. });
        let pause = match self.calls.get(from).is_some_and(|call| talks(&call.state)) {
            true => TALKING_PAUSE,
            false => HEARD_PAUSE,
        };
        self.speech.heard.take(from, pause, HEARD_PAUSE * HEARD_BURST, now)
    }
}
