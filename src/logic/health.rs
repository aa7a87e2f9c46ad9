//! Whether what should move moves: the judgement on which the watchdog of the service manager is fed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a part of the program says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Waits for a good reason: nothing to do, or a device that is away.
    Resting,
    /// Works, and counts its turns; the count itself means nothing.
    Working(u64),
}

/// A part that works and has not moved for that long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} has not moved for {} s", still_for.as_secs())]
pub struct Stuck {
    pub part: &'static str,
    pub still_for: Duration,
}

/// Remembers when each part moved last. A part is known from the first reading that names it to the first that does not.
#[derive(Debug)]
pub struct Health {
    patience: Duration,
    parts: BTreeMap<&'static str, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    progress: Progress,
    since: Instant,
}

impl Health {
    /// `patience` is the longest turn of any part.
    pub fn new(patience: Duration) -> Health {
        Health { patience, parts: BTreeMap::new() }
    }

    /// Takes one reading of every part that there is now.
    pub fn judge(&mut self, readings: &[(&'static str, Progress)], now: Instant) -> Result<(), Stuck> {
        let seen = |&(part, progress): &(&'static str, Progress)| {
            let before = self.parts.get(part).filter(|before| before.progress == progress);
            (part, Seen { progress, since: before.map_or(now, |before| before.since) })
        };
        self.parts = readings.iter().map(seen).collect();
        let stuck = self.parts.iter().filter_map(|(part, seen)| match seen.progress {
            Progress::Resting => None,
            Progress::Working(_) => Some(Stuck { part, still_for: now.saturating_duration_since(seen.since) }),
        });
        match stuck.filter(|stuck| stuck.still_for >= self.patience).max_by_key(|stuck| stuck.still_for) {
            Some(stuck) => Err(stuck),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use Progress::{Resting, Working};
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Judges one reading a second.
    fn verdicts(readings: &[&[(&'static str, Progress)]]) -> Vec<Option<&'static str>> {
        let start = Instant::now();
        let mut health = Health::new(PATIENCE);
        let judge = |(second, reading): (u32, &&[(&'static str, Progress)])| {
            health.judge(reading, start + second * Duration::from_secs(1)).err().map(|stuck| stuck.part)
        };
        (0..).zip(readings).map(judge).collect()
    }

    #[test]
    fn a_part_that_stands_still_is_found_and_forgiven_when_it_moves() {
        let mut readings: Vec<&[_]> = vec![&[("camera", Working(7)), ("speaker", Resting)]; 12];
        readings.push(&[("camera", Working(8)), ("speaker", Resting)]);
        let verdicts = verdicts(&readings);
        assert_eq!(verdicts[..10], [None; 10]);
        assert_eq!(verdicts[10..], [Some("camera"), Some("camera"), None]);
    }

    #[test]
    fn who_rests_is_never_stuck_and_starts_over_afterwards() {
        let mut readings: Vec<&[_]> = vec![&[("camera", Resting)]; 100];
        readings.extend(vec![&[("camera", Working(1))] as &[_]; 10]);
        assert_eq!(verdicts(&readings), [None; 110]);
    }

    #[test]
    fn a_part_that_was_switched_off_is_another_one_when_it_is_back() {
        let mut readings: Vec<&[_]> = vec![&[("camera", Working(0))]; 9];
        readings.push(&[]);
        readings.extend(vec![&[("camera", Working(0))] as &[_]; 10]);
        assert_eq!(verdicts(&readings), [None; 20]);
    }

    #[test]
    fn the_one_that_stands_longest_is_named() {
        let start = Instant::now();
        let mut health = Health::new(PATIENCE);
        let mut at = |second, readings: &[_]| health.judge(readings, start + Duration::from_secs(second));
        at(0, &[("speaker", Working(1))]).unwrap();
        at(1, &[("speaker", Working(1)), ("camera", Working(1))]).unwrap();
        let stuck = at(15, &[("speaker", Working(1)), ("camera", Working(1))]).unwrap_err();
        assert_eq!(stuck.to_string(), "the speaker has not moved for 15 s");
    }

    proptest! {
        /// Whatever the cadence: a part that moves at least once within the patience is never called stuck.
        #[test]
        fn who_moves_in_time_is_healthy(steps in prop::collection::vec(1..9_999u64, 1..200)) {
            let mut now = Instant::now();
            let mut health = Health::new(PATIENCE);
            for (turn, step) in (0..).zip(steps) {
                now += Duration::from_millis(step);
                prop_assert_eq!(health.judge(&[("camera", Working(turn))], now), Ok(()));
            }
        }
    }
}
