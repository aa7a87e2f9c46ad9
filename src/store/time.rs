//! Points in time as they are remembered: whole seconds, so that they outlast the process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 UTC; in JSON a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Never overflows: what would be too late is as late as can be.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Never overflows either.
    #[must_use]
    pub fn before(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; nothing where it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Timestamp {
        Timestamp(0).plus(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_far_away() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp(i64::MAX).plus(second), Timestamp(i64::MAX));
        assert_eq!(Timestamp(0).plus(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).before(second), Timestamp(i64::MIN));
        assert_eq!(Timestamp(5).before(second), Timestamp(4));
        assert_eq!(Timestamp(5).since(Timestamp(4)), second);
        assert_eq!(Timestamp(4).since(Timestamp(5)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), Duration::ZERO);
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_millis(1999)), Timestamp(1));
        assert_eq!(serde_json::to_string(&Timestamp(-7)).unwrap(), "-7");
    }
}
