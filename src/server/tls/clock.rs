//! What a clock is worth: a board without a battery starts in 1970 and one with a broken battery anywhere, until the
//! network tells it the time. A certificate made by such a clock is refused by everybody whose clock is right.

use std::time::{Duration, SystemTime};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Longest time for which a program runs without ever being replaced.
const LONGEST_SERVICE: Duration = YEAR.saturating_mul(20);

/// 1 January 2026, before the first release: no time before it is plausible.
pub fn first() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// The present, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    Known(SystemTime),
    /// The clock is wrong; it is this late or later.
    Unknown {
        at_least: SystemTime,
    },
}

impl Present {
    pub fn now() -> Present {
        let installed = std::env::current_exe().and_then(std::fs::metadata).and_then(|program| program.modified());
        Present::judge(SystemTime::now(), installed.unwrap_or(first()))
    }

    /// A program was installed before it runs, and it does not run for ever. `installed` was written by a clock too.
    pub fn judge(clock: SystemTime, installed: SystemTime) -> Present {
        let bound = first() + LONGEST_SERVICE;
        let at_least = if installed < bound { installed.max(first()) } else { first() };
        match clock >= at_least && clock < at_least + LONGEST_SERVICE {
            true => Present::Known(clock),
            false => Present::Unknown { at_least },
        }
    }

    pub fn best_guess(self) -> SystemTime {
        match self {
            Present::Known(now) => now,
            Present::Unknown { at_least } => at_least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_from_the_installation_on_and_for_twenty_years() {
        let year = |year: u32| SystemTime::UNIX_EPOCH + YEAR * (year - 1970) + YEAR / 2;
        let installed = year(2027);
        for (clock, known) in [(1970, false), (2026, false), (2028, true), (2046, true), (2048, false), (2100, false)] {
            let present = Present::judge(year(clock), installed);
            let expected = if known { Present::Known(year(clock)) } else { Present::Unknown { at_least: installed } };
            assert_eq!(present, expected, "{clock}");
        }
        // Packages may have files from 1970, and a wrong clock may have installed this one.
        for installed in [SystemTime::UNIX_EPOCH, year(2099)] {
            assert_eq!(Present::judge(year(2028), installed), Present::Known(year(2028)));
            assert_eq!(Present::judge(year(1971), installed), Present::Unknown { at_least: first() });
        }
    }
}
