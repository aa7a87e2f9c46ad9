//! What anybody can bring about any number of times is told once in a while only, with how often it went untold.

use std::time::{Duration, Instant};

pub struct Seldom {
    pause: Duration,
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Told once in `pause` at most.
    pub fn every(pause: Duration) -> Seldom {
        Seldom { pause, told: None, untold: 0 }
    }

    /// How many times it went untold since it was told last, if it is to be told now.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < self.pause) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_in_each_pause_and_how_often_it_was_not() {
        let (mut seldom, start) = (Seldom::every(Duration::from_secs(1)), Instant::now());
        let mut at = |millis| seldom.due(start + Duration::from_millis(millis));
        assert_eq!(at(0), Some(0));
        assert_eq!(at(10), None);
        assert_eq!(at(999), None);
        assert_eq!(at(1000), Some(2));
        assert_eq!(at(2000), Some(0));
    }
}
