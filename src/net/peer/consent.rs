//! Whether the other side still agrees to be sent to (RFC 7675): it answers our connectivity checks, which takes the
//! password of this call. Nothing else counts. A library's keepalives go on after the program that called has stopped,
//! and media may come from anybody who has seen the address.

use std::time::{Duration, Instant};

/// How long a connection lives on without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Between two checks of a connection that is up.
    pub check_every: Duration,
    /// Without an answer for this long the connection counts as lost. It may come back.
    pub lost_after: Duration,
    /// Without an answer for this long nothing but checks is sent (RFC 7675, section 5.1: 30 s at most).
    pub mute_after: Duration,
}

impl Default for Liveness {
    fn default() -> Liveness {
        Liveness {
            check_every: Duration::from_secs(1),
            lost_after: Duration::from_secs(5),
            mute_after: Duration::from_secs(30),
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Fresh,
    /// No answer for a while.
    Lost,
    /// No answer for so long that the right to send is gone.
    Expired,
}

/// The answers of one connection, from the moment it came up.
pub(super) struct Consent {
    liveness: Liveness,
    /// The path that is in use, and how many answers came over it.
    counted: Option<(String, u64)>,
    answered: Instant,
}

impl Consent {
    pub(super) fn new(liveness: Liveness, now: Instant) -> Consent {
        Consent { liveness, counted: None, answered: now }
    }

    /// Takes the stack's count of valid answers over the path in use; `None` while a restart looks for one.
    pub(super) fn count(&mut self, answers: Option<(String, u64)>, now: Instant) {
        let Some((path, answers)) = answers else { return };
        let before = match &self.counted {
            Some((known, before)) if *known == path => *before,
            // A path is taken into use by an answer over it.
            _ => 0,
        };
        if answers > before {
            self.answered = now;
        }
        self.counted = Some((path, answers));
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        match now.saturating_duration_since(self.answered) {
            silent if silent >= self.liveness.mute_after => Standing::Expired,
            silent if silent >= self.liveness.lost_after => Standing::Lost,
            _ => Standing::Fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_further_answers_over_the_path_in_use_keep_a_connection() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut consent = Consent::new(Liveness::default(), start);
        let mut count = |path: &str, answers, seconds| {
            consent.count((!path.is_empty()).then(|| (path.to_owned(), answers)), at(seconds));
            consent.standing(at(seconds))
        };
        assert_eq!(count("a", 3, 1), Standing::Fresh);
        assert_eq!(count("a", 3, 5), Standing::Fresh);
        assert_eq!(count("a", 3, 6), Standing::Lost, "5 s after the last answer");
        assert_eq!(count("a", 4, 20), Standing::Fresh, "it came back");
        assert_eq!(count("", 0, 26), Standing::Lost, "a restart is no answer");
        assert_eq!(count("b", 1, 30), Standing::Fresh, "the restart found a path");
        assert_eq!(count("b", 1, 59), Standing::Lost);
        assert_eq!(count("b", 1, 60), Standing::Expired, "30 s after the last answer");
        assert_eq!(count("a", 0, 61), Standing::Expired, "a path without an answer");
        assert_eq!(count("a", 4, 62), Standing::Fresh);
    }
}
