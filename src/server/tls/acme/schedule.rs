//! When to ask the certificate authority for what, told the time: how long a certificate serves, when it is renewed, and
//! how long nothing is tried after a failure, so that no fault of ours or theirs makes a flood.

use std::time::{Duration, SystemTime};

use super::super::clock::Present;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longest pause after failures that the authority counts. It starts at five minutes and doubles: four attempts in the
/// first hour, where Let's Encrypt allows five that fail for a name.
const LONGEST_REFUSED: Duration = Duration::from_secs(12 * 3600);
/// The same where nothing was heard of it, which costs nobody anything: a network that comes up late.
const LONGEST_UNREACHED: Duration = Duration::from_secs(15 * 60);
/// However often a person starts the program anew, nothing is tried within this time after a failure that counts.
const LEAST_OVER_RESTARTS: Duration = Duration::from_secs(15 * 60);
/// Longest time that an authority can make us wait with `Retry-After`.
const LONGEST_TOLD: Duration = DAY.saturating_mul(7);
/// After a success at most this long, or a tenth of the certificate's life: an authority whose window is always over
/// would have orders without end.
const LEAST_BETWEEN: Duration = HOUR;
/// Bounds of the pause between two looks at the window (RFC 9773, section 4.3.2),
const ASK_BOUNDS: (Duration, Duration) = (MINUTE, DAY);
/// and the pause where the look failed (section 4.3.3).
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// From when to when a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// When the authority wants a certificate renewed (ARI, RFC 9773).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: SystemTime,
    pub end: SystemTime,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The authority was not heard.
    Unreached,
    /// It counts this attempt, or may.
    Refused,
}

/// An attempt that failed, for the next start to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: SystemTime,
    pub pause: Duration,
    pub failures: u32,
    /// The authority itself named the pause.
    pub told: bool,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Ask for the window of the certificate in use.
    Ask,
    /// Order a certificate.
    Order,
}

#[derive(Debug)]
pub struct Schedule {
    /// First pause after a refusal.
    first: Duration,
    life: Option<Life>,
    window: Option<Window>,
    /// Where in the window, from 0 to 1: all certificates of one day would be renewed in the same second else.
    place: f64,
    /// The last order, and the pause after it.
    last: Option<Attempt>,
    /// The last look at the window, and the pause after it.
    asked: Option<(SystemTime, Duration)>,
}

impl Schedule {
    /// `last` is what an earlier run left, `place` a random number from 0 to 1.
    pub fn new(first: Duration, life: Option<Life>, last: Option<Attempt>, place: f64) -> Schedule {
        let last = last.map(|last| match last.told {
            true => last,
            // A person may have mended it, and wants to see.
            false => Attempt { pause: last.pause.min(LEAST_OVER_RESTARTS), ..last },
        });
        Schedule { first, life, window: None, place, last, asked: None }
    }

    /// A clock that is wrong says neither whether it is time, nor whether the authority is who it says it is.
    pub fn step(&self, now: Present) -> Step {
        let Present::Known(now) = now else { return Step::Wait };
        let paused = |at: SystemTime, pause: Duration| now.duration_since(at).is_ok_and(|since| since < pause);
        if !self.last.is_some_and(|last| paused(last.at, last.pause)) && self.renewal().is_none_or(|time| time <= now) {
            return Step::Order;
        }
        match self.asked {
            Some((at, pause)) if paused(at, pause) => Step::Wait,
            Some(_) | None if self.life.is_some() => Step::Ask,
            Some(_) | None => Step::Wait,
        }
    }

    /// When the certificate is renewed; `None`: there is none, and it is time.
    pub fn renewal(&self) -> Option<SystemTime> {
        let Life { not_before, not_after } = self.life?;
        let span = not_after.duration_since(not_before).unwrap_or_default();
        let usual = not_before + span * 2 / 3;
        let Some(Window { start, end }) = self.window else { return Some(usual) };
        let within = end.duration_since(start).unwrap_or_default().mul_f64(self.place.clamp(0.0, 1.0));
        // Whatever the authority says, the last tenth is kept for what may go wrong.
        Some((start + within).min(not_before + span * 9 / 10))
    }

    /// When the next order may be made, if that is later than `now`.
    pub fn pause_ends(&self, now: SystemTime) -> Option<SystemTime> {
        self.last.map(|last| last.at + last.pause).filter(|end| *end > now)
    }

    /// A look at the window is over; `window` is `None` where the authority has none or says something senseless, and
    /// `again` when it wants to be asked next.
    pub fn looked(&mut self, now: SystemTime, window: Option<Window>, again: Option<Duration>) {
        let (least, most) = ASK_BOUNDS;
        self.asked = Some((now, again.map_or(ASK_AGAIN, |again| again.clamp(least, most))));
        // A window that was told stays until another is: the next look may fail.
        if let Some(window) = window.filter(|window| window.start < window.end) {
            self.window = Some(window);
        }
    }

    /// A certificate is there.
    pub fn obtained(&mut self, now: SystemTime, life: Life, place: f64) {
        let span = life.not_after.duration_since(life.not_before).unwrap_or_default();
        let pause = (span / 10).min(LEAST_BETWEEN);
        self.last = Some(Attempt { at: now, pause, failures: 0, told: false });
        (self.life, self.window, self.asked, self.place) = (Some(life), None, None, place);
    }

    /// What a failure now would lead to. `retry_after`: what the authority said, `random` a number from 0 to 1.
    pub fn after_failure(&self, now: SystemTime, fault: Fault, retry_after: Option<Duration>, random: f64) -> Attempt {
        let failures = self.last.map_or(0, |last| last.failures);
        let (first, longest) = match fault {
            Fault::Unreached => (self.first / 30, LONGEST_UNREACHED),
            Fault::Refused => (self.first, LONGEST_REFUSED),
        };
        let pause = first.saturating_mul(1 << failures.min(20)).min(longest);
        // Half as much again at most, and never less: the limits of authorities are counts in a time.
        let pause = pause + pause.mul_f64(random.clamp(0.0, 1.0) / 2.0);
        let told = retry_after.map(|told| told.min(LONGEST_TOLD)).filter(|told| *told > pause);
        Attempt { at: now, pause: told.unwrap_or(pause), failures: failures.saturating_add(1), told: told.is_some() }
    }

    pub fn failed(&mut self, attempt: Attempt) {
        self.last = Some(attempt);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::clock::first;
    use super::*;

    const FIRST: Duration = Duration::from_secs(300);

    fn start() -> SystemTime {
        first() + DAY * 100
    }

    fn at(time: SystemTime) -> Present {
        Present::Known(time)
    }

    fn days(days: u32) -> Life {
        Life { not_before: start(), not_after: start() + DAY * days }
    }

    fn with(life: Life) -> Schedule {
        let mut schedule = Schedule::new(FIRST, None, None, 0.5);
        schedule.obtained(start(), life, 0.5);
        schedule
    }

    #[test]
    fn without_a_certificate_one_is_ordered_as_soon_as_the_time_is_known() {
        let schedule = Schedule::new(FIRST, None, None, 0.0);
        assert_eq!(schedule.step(Present::Unknown { at_least: start() }), Step::Wait);
        assert_eq!(schedule.step(at(start())), Step::Order);
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        for life in [days(90), days(45), days(6)] {
            let mut schedule = with(life);
            assert_eq!(schedule.step(at(start() + HOUR)), Step::Ask);
            schedule.looked(start() + HOUR, None, None);
            assert_eq!(schedule.step(at(start() + HOUR * 2)), Step::Wait);
            let third = life.not_after.duration_since(start()).unwrap() / 3;
            assert_ne!(schedule.step(at(start() + third * 2 - MINUTE)), Step::Order);
            assert_eq!(schedule.step(at(start() + third * 2)), Step::Order);
            assert_eq!(schedule.step(Present::Unknown { at_least: start() + DAY * 300 }), Step::Wait);
        }
    }

    #[test]
    fn the_authority_chooses_the_time_where_it_says_one() {
        let mut schedule = with(days(90));
        let window = Window { start: start() + DAY * 40, end: start() + DAY * 50 };
        schedule.looked(start(), Some(window), Some(HOUR * 6));
        assert_eq!(schedule.renewal(), Some(start() + DAY * 45));
        assert_eq!(schedule.step(at(start() + HOUR)), Step::Wait);
        assert_eq!(schedule.step(at(start() + HOUR * 6)), Step::Ask);
        // What it said counts on when it cannot be asked, and not what is no window.
        schedule.looked(start() + HOUR * 6, None, None);
        schedule.looked(start() + HOUR * 6, Some(Window { start: start(), end: start() }), None);
        assert_eq!(schedule.renewal(), Some(start() + DAY * 45));
        // A certificate that is about to be revoked.
        schedule.looked(start() + DAY, Some(Window { start: start() - DAY, end: start() }), None);
        assert_eq!(schedule.step(at(start() + DAY)), Step::Order);
        // One that says so always is not asked without end, nor one for whom it is never time until it is too late.
        schedule.obtained(start() + DAY, days(90), 0.9);
        schedule.looked(start() + DAY, Some(Window { start: start() - DAY, end: start() }), None);
        assert_eq!(schedule.step(at(start() + DAY + LEAST_BETWEEN - MINUTE)), Step::Wait);
        assert_eq!(schedule.step(at(start() + DAY + LEAST_BETWEEN)), Step::Order);
        schedule.looked(start() + DAY, Some(Window { start: start() + DAY * 200, end: start() + DAY * 300 }), None);
        assert_eq!(schedule.renewal(), Some(start() + DAY * 81));
    }

    #[test]
    fn looks_at_the_window_are_neither_too_many_nor_too_few() {
        for (told, pause) in [(Duration::ZERO, MINUTE), (HOUR, HOUR), (DAY * 30, DAY)] {
            let mut schedule = with(days(90));
            schedule.looked(start(), None, Some(told));
            assert_eq!(schedule.step(at(start() + pause - Duration::from_secs(1))), Step::Wait, "{told:?}");
            assert_eq!(schedule.step(at(start() + pause)), Step::Ask, "{told:?}");
        }
    }

    #[test]
    fn what_the_authority_counts_is_tried_four_times_in_the_first_hour() {
        let mut schedule = Schedule::new(FIRST, None, None, 0.0);
        let mut now = start();
        let mut tries = Vec::new();
        while now < start() + DAY * 2 {
            if schedule.step(at(now)) == Step::Order {
                tries.push(now.duration_since(start()).unwrap().as_secs() / 60);
                schedule.failed(schedule.after_failure(now, Fault::Refused, None, 0.0));
            }
            now += MINUTE;
        }
        assert_eq!(tries, [0, 5, 15, 35, 75, 155, 315, 635, 1275, 1995, 2715]);
    }

    #[test]
    fn an_authority_that_is_not_heard_is_tried_sooner_and_one_that_says_when_then() {
        let schedule = Schedule::new(FIRST, None, None, 0.0);
        let pause = |fault, told| schedule.after_failure(start(), fault, told, 0.0).pause;
        assert_eq!(pause(Fault::Unreached, None), Duration::from_secs(10));
        assert_eq!(pause(Fault::Refused, Some(HOUR * 3)), HOUR * 3);
        assert_eq!(pause(Fault::Refused, Some(MINUTE)), FIRST, "sooner than we would is no reason to hurry");
        assert_eq!(pause(Fault::Refused, Some(DAY * 4000)), LONGEST_TOLD);
    }

    #[test]
    fn starting_anew_shortens_only_our_own_pauses() {
        let last = Attempt { at: start(), pause: HOUR * 12, failures: 9, told: false };
        let again = |last| Schedule::new(FIRST, None, Some(last), 0.0);
        assert_eq!(again(last).step(at(start() + MINUTE * 14)), Step::Wait);
        assert_eq!(again(last).step(at(start() + MINUTE * 15)), Step::Order);
        let told = Attempt { told: true, ..last };
        assert_eq!(again(told).step(at(start() + HOUR * 11)), Step::Wait);
        assert_eq!(again(told).pause_ends(start() + HOUR), Some(start() + HOUR * 12));
        // It was written when the clock was years ahead.
        assert_eq!(again(told).step(at(start() - DAY)), Step::Order);
    }

    proptest! {
        /// Whatever the authority says and however attempts end: never two orders within the pause, and a renewal comes
        /// before the end of the certificate's life.
        #[test]
        fn no_answers_make_a_flood_or_let_a_certificate_run_out(
            life in 1..400u32,
            answers in prop::collection::vec((any::<bool>(), -1000..1000i64, -1000..1000i64, 0..100_000u64, 0.0..1.0f64), 1..60),
        ) {
            let mut schedule = with(days(life));
            let mut now = start();
            let mut orders: Vec<SystemTime> = Vec::new();
            let hours = |hours: i64| if hours < 0 { start() - HOUR * hours.unsigned_abs() as u32 } else { start() + HOUR * hours as u32 };
            for (good, from, to, again, random) in answers {
                let renewal = schedule.renewal().unwrap();
                prop_assert!(renewal < days(life).not_after || schedule.life != Some(days(life)));
                match schedule.step(at(now)) {
                    Step::Wait => {}
                    Step::Ask => {
                        let window = Window { start: hours(from), end: hours(to) };
                        schedule.looked(now, good.then_some(window), Some(Duration::from_secs(again)));
                    }
                    Step::Order => {
                        if let Some(before) = orders.last() {
                            prop_assert!(now.duration_since(*before).unwrap() >= FIRST);
                        }
                        orders.push(now);
                        if good {
                            schedule.obtained(now, Life { not_before: now, not_after: now + DAY * life }, random);
                        } else {
                            let told = Some(Duration::from_secs(again));
                            schedule.failed(schedule.after_failure(now, Fault::Refused, told, random));
                        }
                    }
                }
                now += Duration::from_secs(again / 100);
            }
        }
    }
}
