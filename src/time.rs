//! The clock, and how its times are shown. The only place of the binary that asks for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// Milliseconds since 1970 (UTC).
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The calendar date in Việt Nam (UTC+7, no summer time since 1975) of a moment: `2026-11-23`.
#[must_use]
pub fn day(ms: i64) -> String {
    shown(ms, "%Y-%m-%d")
}

/// A moment in Việt Nam, to the second: `2026-11-23 08:05:09`.
#[must_use]
pub fn moment(ms: i64) -> String {
    shown(ms, "%Y-%m-%d %H:%M:%S")
}

/// The same to the minute, for names: `20261123-0805`.
#[must_use]
pub fn minute(ms: i64) -> String {
    shown(ms, "%Y%m%d-%H%M")
}

fn shown(ms: i64, format: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(TimeZone::fixed(Offset::constant(7))).strftime(format).to_string(),
        // Beyond the years that a calendar knows; only a broken clock gets here.
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_shown_as_in_viet_nam() {
        assert_eq!(super::moment(1_751_302_800_000), "2025-07-01 00:00:00");
        assert_eq!(super::day(1_751_302_799_999), "2025-06-30");
    }
}
