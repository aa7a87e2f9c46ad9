//! Times as people write and read them at a terminal: in the machine's time zone.

use anyhow::{Context, bail};
use callbox::store::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

/// "2026-12-03 10:00", "2026-12-03" (its first moment), or with the zone: "2026-12-03T10:00:00+01:00".
pub fn moment(text: &str) -> anyhow::Result<Timestamp> {
    let zoned = |local: DateTime| local.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp());
    let found = text.parse::<jiff::Timestamp>().or_else(|_| {
        let local = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
        local.and_then(zoned)
    });
    let found = found.with_context(|| format!("{text:?} is no time; write it as 2026-12-03 10:00 or as 2026-12-03"))?;
    Ok(Timestamp(found.as_second()))
}

/// "30d", "2 weeks" or "90 minutes" from `now` on.
pub fn after(now: Timestamp, text: &str) -> anyhow::Result<Timestamp> {
    let span: Span = text.parse().with_context(|| format!("{text:?} is no length of time; write it as 30d or 2h"))?;
    // In the local time zone a day may have 23 hours.
    let end = local(now)?.checked_add(span).with_context(|| format!("{text} from now is no time"))?;
    let end = Timestamp(end.timestamp().as_second());
    if end <= now {
        bail!("{text} from now is not later than now");
    }
    Ok(end)
}

/// Such as "2026-12-03 10:00".
pub fn shown(time: Timestamp) -> String {
    local(time).map_or_else(|_| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

fn local(time: Timestamp) -> anyhow::Result<Zoned> {
    Ok(jiff::Timestamp::from_second(time.0).context("there is no such time")?.to_zoned(TimeZone::system()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("2026-12-03T10:00:00+01:00").unwrap(), Timestamp(1_796_288_400));
        for text in ["2026-12-03 10:00", "2026-12-03T10:00", "2026-12-03"] {
            let shown = shown(moment(text).unwrap());
            assert!(shown.starts_with(&text.replace('T', " ")), "{text} became {shown}");
        }
        for bad in ["", "tomorrow", "2026-13-01", "10:00"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        let now = Timestamp(1_796_288_400);
        assert_eq!(after(now, "2h").unwrap(), Timestamp(now.0 + 7200));
        assert_eq!(after(now, "90 minutes").unwrap(), Timestamp(now.0 + 5400));
        for bad in ["", "30", "-1d", "0s", "long", "99999y"] {
            assert!(after(now, bad).is_err(), "{bad}");
        }
    }
}
