//! What guessing costs: an address that shows what counts for nothing too often is answered slowly, and told to stop.
//! Whoever shows what counts never waits, whoever else is at the same address.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::lock::lock;
use crate::logic::allowance::Allowances;
use crate::logic::hub::Origin;

/// Wrong tries of one address in a row, as one mistypes a link or comes back with an old one.
const TRIES: u32 = 10;
/// One more after each,
const PAUSE: Duration = Duration::from_secs(6);
/// and for each beyond that the answer takes so long. How many wait at a time, `server/lobby.rs` bounds.
const SLOW: Duration = Duration::from_secs(1);
/// Addresses that are remembered.
const ADDRESSES: usize = 4096;

pub struct Attempts(Mutex<Allowances<Origin>>);

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts(Mutex::new(Allowances::new(ADDRESSES)))
    }
}

impl Attempts {
    /// Counts a wrong try; `Some`: it is one too many, and the answer has to wait.
    pub fn failed(&self, origin: Origin, now: Instant) -> Option<Duration> {
        (!lock(&self.0).take(&origin, PAUSE, PAUSE * TRIES, now)).then_some(SLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_slowed_and_nobody_else() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let address = |text: &str| Origin::of(text.parse().unwrap());
        let (guesser, other) = (address("192.0.2.7"), address("192.0.2.8"));
        for _ in 0..TRIES {
            assert_eq!(attempts.failed(guesser, start), None);
        }
        for _ in 0..1000 {
            assert_eq!(attempts.failed(guesser, start), Some(SLOW));
        }
        assert_eq!(attempts.failed(other, start), None);
        assert_eq!(attempts.failed(guesser, start + PAUSE), None);
        assert_eq!(attempts.failed(guesser, start + PAUSE), Some(SLOW));
    }
}
