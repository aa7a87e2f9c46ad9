//! Signs of life, looked for once a second in all lines together, so that no connection has a timer of its own.

use crate::protocol::KEEPALIVE;

/// What is remembered of a line from one look to the next.
#[derive(Debug, Default)]
pub struct Care {
    pulse: (u32, u32),
    /// Looks in a row at which nothing had been heard.
    silent: u64,
    /// Looks in a row at which something waited and nothing had been taken.
    stalled: u64,
}

/// What a look at a line leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Well,
    /// It has to be pinged.
    Silent,
    /// It was pinged and is still silent.
    Dead,
    /// What waits for the client does not move.
    Stalled,
}

impl Care {
    /// Looks at a line's [`pulse`](super::line::Line::pulse), one second after the last look.
    pub fn look(&mut self, (heard, taken): (u32, u32), waits: bool) -> Finding {
        let limit = KEEPALIVE.as_secs();
        self.silent = if heard == self.pulse.0 { self.silent + 1 } else { 0 };
        self.stalled = if waits && taken == self.pulse.1 { self.stalled + 1 } else { 0 };
        // Who takes what waits has not come to the ping yet. Where nothing waits, the kernel has taken it, for whomever.
        if waits && taken != self.pulse.1 {
            self.silent = self.silent.min(limit + 1);
        }
        self.pulse = (heard, taken);
        if self.stalled >= limit {
            Finding::Stalled
        } else if self.silent >= 2 * limit {
            Finding::Dead
        } else if self.silent == limit {
            Finding::Silent
        } else {
            Finding::Well
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(count: u64, mut look: impl FnMut() -> Finding) -> Vec<(u64, Finding)> {
        (1..=count).map(|n| (n, look())).filter(|(_, finding)| *finding != Finding::Well).collect()
    }

    #[test]
    fn silence_is_answered_with_a_ping_and_then_with_the_end() {
        let mut care = Care::default();
        assert_eq!(looks(30, || care.look((0, 0), false)), [(15, Finding::Silent), (30, Finding::Dead)]);
        // A machine that has vanished: the ping gets as far as the kernel's buffer.
        let (mut care, mut taken) = (Care::default(), 0);
        let found = looks(30, || {
            let finding = care.look((0, taken), false);
            taken += u32::from(finding == Finding::Silent);
            finding
        });
        assert_eq!(found, [(15, Finding::Silent), (30, Finding::Dead)]);
        let (mut care, mut heard) = (Care::default(), 0);
        let found = looks(100, || {
            heard += 1;
            care.look((heard / 10, 0), false)
        });
        assert_eq!(found, []);
    }

    #[test]
    fn only_a_queue_that_does_not_move_is_too_slow() {
        let mut care = Care::default();
        let mut heard = 0;
        let found = looks(16, || {
            heard += 1;
            care.look((heard, 7), true)
        });
        assert_eq!(found, [(16, Finding::Stalled)], "at the first look it had moved");
        let (mut care, mut n) = (Care::default(), 0);
        let found = looks(100, || {
            n += 1;
            care.look((n, n / 14), true)
        });
        assert_eq!(found, [], "slow is not too slow");
        let (mut care, mut taken) = (Care::default(), 0);
        let found = looks(100, || {
            taken += 1;
            care.look((0, taken), true)
        });
        assert_eq!(found, [(15, Finding::Silent)], "the ping waits behind the rest");
    }
}
