//! A token bucket, so that nobody's flood costs the others.

use std::time::{Duration, Instant};

use crate::protocol::{
    JOIN_BURST, JOIN_PAUSE, MAX_RATE_LIMITED, MESSAGE_BURST, MESSAGE_RATE, VISIT_BURST, VISIT_PAUSE,
};

/// How much is let through: so many at once, and one more after each pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    burst: u32,
    pause: Duration,
}

impl Rate {
    /// Everything that a connection says.
    pub(super) const MESSAGES: Rate =
        Rate { burst: MESSAGE_BURST, pause: Duration::from_nanos(1_000_000_000 / MESSAGE_RATE as u64) };
    /// Each `join` makes everybody hear something, or brings the joiner a long list.
    pub(super) const JOINS: Rate = Rate { burst: JOIN_BURST, pause: JOIN_PAUSE };
    /// Each word on a visit goes to everybody who is rung.
    pub(super) const VISITS: Rate = Rate { burst: VISIT_BURST, pause: VISIT_PAUSE };
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: u32,
    /// When `tokens` was right.
    counted: Instant,
    /// Refused since the bucket was last full.
    refused: u32,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Accept,
    Refuse,
    /// More than [`MAX_RATE_LIMITED`] were refused.
    Abuse,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, tokens: rate.burst, counted: now, refused: 0 }
    }

    pub(super) fn take(&mut self, now: Instant) -> Verdict {
        self.refill(now);
        if let Some(left) = self.tokens.checked_sub(1) {
            self.tokens = left;
            return Verdict::Accept;
        }
        self.refused += 1;
        match self.refused > MAX_RATE_LIMITED {
            true => Verdict::Abuse,
            false => Verdict::Refuse,
        }
    }

    fn refill(&mut self, now: Instant) {
        let Rate { burst, pause } = self.rate;
        let fresh = now.saturating_duration_since(self.counted).as_nanos() / pause.as_nanos();
        let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
        if fresh >= burst - self.tokens {
            *self = Bucket::new(self.rate, now);
        } else if fresh > 0 {
            self.tokens += fresh;
            self.counted += pause * fresh;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(bucket: &mut Bucket, tries: u32, now: Instant) -> u32 {
        (0..tries).filter(|_| matches!(bucket.take(now), Verdict::Accept)).count() as u32
    }

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::MESSAGES, start);
        assert_eq!(accepted(&mut bucket, MESSAGE_BURST + 20, start), MESSAGE_BURST);
        // Asked often or seldom, a second brings the same.
        let mut got = 0;
        for millis in (7..=1000).step_by(7) {
            got += accepted(&mut bucket, 1, start + Duration::from_millis(millis));
        }
        assert!((MESSAGE_RATE - 1..=MESSAGE_RATE).contains(&got), "{got}");
        assert_eq!(accepted(&mut bucket, MESSAGE_BURST * 2, start + Duration::from_secs(3600)), MESSAGE_BURST);
    }

    #[test]
    fn going_on_is_abuse_and_patience_forgives() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::MESSAGES, start);
        accepted(&mut bucket, MESSAGE_BURST + MAX_RATE_LIMITED, start);
        assert!(matches!(bucket.take(start), Verdict::Abuse));
        let later = start + Duration::from_secs(60);
        accepted(&mut bucket, MESSAGE_BURST + MAX_RATE_LIMITED, later);
        assert!(matches!(bucket.take(later), Verdict::Abuse));
        let mut bucket = Bucket::new(Rate::MESSAGES, start);
        accepted(&mut bucket, MESSAGE_BURST + MAX_RATE_LIMITED, start);
        assert!(matches!(bucket.take(later), Verdict::Accept));
        assert_eq!(accepted(&mut bucket, MESSAGE_BURST, later), MESSAGE_BURST - 1);
        assert!(matches!(bucket.take(later), Verdict::Refuse));
    }
}
