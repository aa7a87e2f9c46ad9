//! From the driver's buffer times to [`Instant`]s. Both run on the same monotonic clock, but the standard library does
//! not tell where an `Instant` stands on it. So the picture that came with the least delay so far is taken as captured
//! when it came, and the others by their distance from it: even intervals, free of this thread's own delays.

use std::time::{Duration, Instant};

/// A picture that seems to have been on its way for longer has a wrong time.
const MAX_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub struct Clock {
    /// The picture with the least delay: when it came, and its buffer's time.
    anchor: Option<(Instant, Duration)>,
}

impl Clock {
    /// When the picture with buffer time `stamp` was captured that came at `now`. Never later than `now`.
    pub fn map(&mut self, stamp: Duration, now: Instant) -> Instant {
        if let Some((instant, anchor)) = self.anchor {
            let since = stamp.checked_sub(anchor).map(|since| instant + since);
            if let Some(mapped) = since.filter(|mapped| *mapped <= now && now.duration_since(*mapped) <= MAX_DELAY) {
                return mapped;
            }
        }
        self.anchor = Some((now, stamp));
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn takes_this_threads_delays_out() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        // (driver's time, delay until the picture came)
        let mapped: Vec<_> = [(0, 5), (33, 2), (66, 9), (100, 2), (133, 30)]
            .map(|(stamp, delay)| clock.map(MS(7000 + stamp), start + MS(stamp + delay)))
            .into_iter()
            .map(|instant| (instant - start).as_millis())
            .collect();
        assert_eq!(mapped, [5, 35, 68, 102, 135]);
    }

    #[test]
    fn starts_again_where_the_drivers_times_make_no_sense() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        clock.map(MS(9000), start);
        assert_eq!(clock.map(MS(100), start + MS(33)), start + MS(33), "back in time");
        assert_eq!(clock.map(MS(133), start + MS(70)), start + MS(66));
        assert_eq!(clock.map(MS(134), start + MS(2000)), start + MS(2000), "stands still");
        assert_eq!(clock.map(MS(99_000), start + MS(2033)), start + MS(2033), "far ahead");
    }
}
