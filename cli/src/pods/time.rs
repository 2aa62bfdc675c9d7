//! Times as people read them, and durations as they write them.

use std::str::FromStr;
use std::time::{Duration, SystemTime};
use std::{fmt, fs};

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit, tz::TimeZone};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// Where the rules of the host's time zone are (`localtime(5)`).
const HOST_ZONE: &str = "/etc/localtime";

/// The time zone of the caller, or of the host. Of that the rules alone are read: to learn its name as well, one would have to
/// look through the whole database of zones.
pub(crate) fn zone() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    let rules = fs::read(HOST_ZONE).ok();
    let zone = rules.and_then(|rules| TimeZone::tzif(HOST_ZONE, &rules).ok());
    zone.unwrap_or(TimeZone::UTC)
}

/// `2006-01-02 15:04:05.999 -0700 MST`, in this time zone.
pub(crate) fn absolute(time: SystemTime, zone: &TimeZone) -> String {
    let Ok(time) = Timestamp::try_from(time) else {
        return String::new();
    };
    let to_milliseconds = TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(jiff::RoundMode::Trunc);
    let time = time.round(to_milliseconds).unwrap_or(time);
    let zoned = time.to_zoned_datetime(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// How long ago a time was, roughly: `2 hours ago`.
pub(crate) fn relative(time: SystemTime, now: SystemTime) -> String {
    let (distance, direction) = match now.duration_since(time) {
        Ok(ago) => (ago, "ago"),
        Err(ahead) => (ahead.duration(), "from now"),
    };
    let seconds = distance.as_secs();
    let units = [
        (YEAR, "year"),
        (MONTH, "month"),
        (WEEK, "week"),
        (DAY, "day"),
        (HOUR, "hour"),
        (MINUTE, "minute"),
        (1, "second"),
    ];
    match units.iter().find(|(unit, _)| seconds >= *unit) {
        None => "now".to_owned(),
        Some((unit, name)) => match seconds / unit {
            1 => format!("1 {name} {direction}"),
            count => format!("{count} {name}s {direction}"),
        },
    }
}

/// A duration as in `30m`, `1h15m30s` or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(SignedDuration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(SignedDuration::ZERO));
        }
        let wrong = |_| format!("{text:?} is no duration like 30s, 5m or 1h30m");
        text.parse().map(Self).map_err(wrong)
    }
}

impl Period {
    /// Less than nothing is nothing.
    pub(crate) fn length(self) -> Duration {
        self.0.try_into().unwrap_or_default()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// How long to wait for something: `true` and less than nothing are for ever, `false` and nothing not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    None,
    Forever,
    For(Duration),
}

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => return Ok(Self::Forever),
            "false" => return Ok(Self::None),
            _ => {}
        }
        let wrong = |_| format!("{text:?} is neither true, false nor a duration like 30s or 1h30m");
        let Period(duration) = text.parse().map_err(wrong)?;
        Ok(match Duration::try_from(duration) {
            Err(_) => Self::Forever,
            Ok(Duration::ZERO) => Self::None,
            Ok(duration) => Self::For(duration),
        })
    }
}

#[cfg(test)]
#[path = "time_test.rs"]
mod tests;
