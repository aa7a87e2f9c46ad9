//! When the encoder makes key pictures, and which pictures it leaves out for viewers that cannot take the full rate.

use std::time::{Duration, Instant};

/// Between two key pictures, however many viewers ask: each costs as much as several ordinary ones.
pub const KEY_SPACING: Duration = Duration::from_millis(300);

/// Before the next attempt where the encoder left a key picture out to keep to its bit rate.
pub const KEY_RETRY: Duration = Duration::from_millis(50);

/// Key pictures that one viewer may cause in a row, and the time after which it may cause one more. A lossy network asks
/// for one now and then; whoever asks without end would blur the picture of all, whose bits they take.
pub const KEY_BUDGET: u32 = 4;
pub const KEY_REGAIN: Duration = Duration::from_secs(2);

/// Requests for key pictures, coalesced.
#[derive(Clone, Debug, Default)]
pub struct KeyFrames {
    wanted: bool,
    /// No key picture before this.
    not_before: Option<Instant>,
}

impl KeyFrames {
    /// Somebody needs a key picture.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// A key picture was sent, asked for or not.
    pub fn sent(&mut self, now: Instant) {
        self.wanted = false;
        self.not_before = Some(now + KEY_SPACING);
    }

    /// The encoder left a picture out.
    pub fn skipped(&mut self, now: Instant) {
        self.not_before = self.not_before.max(Some(now + KEY_RETRY));
    }

    /// Whether the picture that is encoded now should be a key picture.
    pub fn due(&self, now: Instant) -> bool {
        self.wanted && self.earliest(now) <= now
    }

    /// When to encode the last picture, which came at `arrived`, once more as a key picture; `None` if nobody waits.
    /// Where the camera's next picture is as good as there, that one is waited for instead: half an `interval` (from
    /// picture to picture) beyond the time it should come.
    pub fn repeat_at(&self, now: Instant, arrived: Instant, interval: Duration) -> Option<Instant> {
        if !self.wanted {
            return None;
        }
        let at = self.earliest(now);
        Some(if at < arrived + interval * 3 / 4 { at } else { at.max(arrived + interval * 3 / 2) })
    }

    fn earliest(&self, now: Instant) -> Instant {
        self.not_before.map_or(now, |earliest| now.max(earliest))
    }
}

/// One viewer's share of the key pictures, which are made for all viewers together. A request beyond it is not lost but
/// waits: a decoder that has lost its place sees nothing until it is served.
#[derive(Clone, Debug)]
pub struct KeyBudget {
    left: u32,
    /// From when on the next one is regained; `None` while nothing is spent.
    spent: Option<Instant>,
    served: Option<Instant>,
    waiting: bool,
}

impl Default for KeyBudget {
    fn default() -> KeyBudget {
        KeyBudget { left: KEY_BUDGET, spent: None, served: None, waiting: false }
    }
}

impl KeyBudget {
    /// The viewer needs a key picture. `true`: request it now; otherwise it waits for [`KeyBudget::poll_timeout`].
    pub fn ask(&mut self, now: Instant) -> bool {
        self.waiting = true;
        self.handle_timeout(now)
    }

    /// When a request that waits may be made.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting { self.not_before() } else { None }
    }

    /// `true`: request the key picture that waits.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if !self.waiting || self.not_before().is_some_and(|earliest| now < earliest) {
            return false;
        }
        while let Some(spent) = self.spent.filter(|spent| *spent + KEY_REGAIN <= now) {
            self.left += 1;
            self.spent = (self.left < KEY_BUDGET).then_some(spent + KEY_REGAIN);
        }
        self.left = self.left.saturating_sub(1);
        self.spent.get_or_insert(now);
        (self.served, self.waiting) = (Some(now), false);
        true
    }

    /// Requests that come together are one.
    fn not_before(&self) -> Option<Instant> {
        let together = self.served.map(|served| served + KEY_SPACING);
        let regained = self.spent.filter(|_| self.left == 0).map(|spent| spent + KEY_REGAIN);
        together.max(regained)
    }
}

/// Leaves pictures out evenly to come from the camera's rate to a lower one.
#[derive(Clone, Debug, Default)]
pub struct Thinning {
    due: Option<Instant>,
}

impl Thinning {
    /// Whether to encode the picture captured at `captured`, for rates in pictures a second.
    pub fn keeps(&mut self, captured: Instant, from: f64, to: f64) -> bool {
        if to >= from * 0.999 || to <= 0.0 {
            self.due = None;
            return true;
        }
        let step = Duration::from_secs_f64(1.0 / to);
        let due = self.due.unwrap_or(captured);
        // Half the camera's interval early is nearer than the picture after it.
        if captured + Duration::from_secs_f64(0.5 / from) < due {
            return false;
        }
        self.due = Some(if captured > due + step { captured + step } else { due + step });
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(33);

    #[test]
    fn the_first_request_is_served_at_once_from_a_recent_picture() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
        assert_eq!(keys.repeat_at(start, start, TICK), None);
        assert!(!keys.due(start));
        keys.request();
        let now = start + Duration::from_millis(10);
        assert!(keys.due(now));
        assert_eq!(keys.repeat_at(now, start, TICK), Some(now));
        keys.sent(now);
        assert!(!keys.due(now + KEY_SPACING * 2));
    }

    #[test]
    fn waits_for_a_picture_that_is_about_to_come_but_not_for_one_that_does_not() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
        keys.request();
        let now = start + Duration::from_millis(30);
        assert_eq!(keys.repeat_at(now, start, TICK), Some(start + TICK * 3 / 2));
        let late = start + Duration::from_secs(1);
        assert_eq!(keys.repeat_at(late, start, TICK), Some(late));
    }

    #[test]
    fn a_storm_gets_one_key_picture_per_spacing() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
        let mut sent = Vec::new();
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(millisecond);
            let arrived = start + TICK * (millisecond as u32 / 33);
            keys.request();
            if keys.repeat_at(now, arrived, TICK) == Some(now) {
                assert!(keys.due(now));
                keys.sent(now);
                sent.push(millisecond);
            }
        }
        assert_eq!(sent.len(), 4, "{sent:?}");
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 300), "{sent:?}");
    }

    #[test]
    fn one_viewers_storm_costs_the_others_little() {
        let start = Instant::now();
        let mut budget = KeyBudget::default();
        let mut served = Vec::new();
        for millisecond in 0..60_000 {
            if budget.ask(start + Duration::from_millis(millisecond)) {
                served.push(millisecond);
            }
        }
        assert_eq!(served[..5], [0, 300, 600, 900, 2000], "{served:?}");
        assert_eq!(served.len(), 4 + 29, "one in two seconds: {served:?}");
        let later = start + Duration::from_secs(80);
        let again = (0..1000).filter(|ms| budget.ask(later + Duration::from_millis(*ms))).count();
        assert_eq!(again, 4, "regained");
    }

    #[test]
    fn a_request_beyond_the_budget_waits() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut budget = KeyBudget::default();
        assert_eq!(budget.poll_timeout(), None);
        assert!(budget.ask(start) && !budget.ask(at(10)));
        assert_eq!(budget.poll_timeout(), Some(at(300)));
        assert!(!budget.handle_timeout(at(299)) && budget.handle_timeout(at(300)));
        assert_eq!(budget.poll_timeout(), None);
        assert!(!budget.handle_timeout(at(301)), "nothing waits");
        assert!(budget.ask(at(600)) && budget.ask(at(900)) && !budget.ask(at(1200)));
        assert_eq!(budget.poll_timeout(), Some(at(2000)));
        assert!(budget.handle_timeout(at(2000)));
    }

    #[test]
    fn a_key_picture_that_was_left_out_is_tried_again_but_not_at_once() {
        let start = Instant::now();
        let mut keys = KeyFrames::default();
        keys.request();
        keys.skipped(start);
        assert!(!keys.due(start));
        let later = start + KEY_RETRY;
        assert!(keys.due(later));
        assert_eq!(keys.repeat_at(start, start, KEY_RETRY * 2), Some(later));
    }

    proptest! {
        #[test]
        fn thinning_meets_the_rate(from in 5.0f64..120.0, share in 0.05f64..1.2, jitter in prop::collection::vec(0.0f64..0.3, 200)) {
            let to = from * share;
            let start = Instant::now();
            let mut thinning = Thinning::default();
            let kept = jitter.iter().enumerate().filter(|(number, late)| {
                let captured = start + Duration::from_secs_f64((*number as f64 + **late) / from);
                thinning.keeps(captured, from, to)
            });
            let kept = kept.count() as f64;
            let wanted = 200.0 * share.min(1.0);
            prop_assert!((kept - wanted).abs() <= 2.0 + wanted * 0.01, "{kept} of 200, wanted {wanted}");
        }
    }
}
