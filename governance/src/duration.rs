//! How long a grant holds: ISO 8601 durations of whole years, months and days, counted on the calendar of Việt Nam.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use kenh_domain::law::Day;

/// Longest duration, in years; a grant for longer is a law, not a grant.
const MAX_YEARS: i64 = 100;

/// A duration such as `P12M`, `P1Y`, `P90D` or `P1Y6M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration {
    months: i64,
    days: i64,
}

/// A text that is no such duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write P and then whole years, months or days, such as P12M, P1Y or P90D")]
pub struct DurationError(String);

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).ok_or_else(|| DurationError(text.chars().take(32).collect()))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('P')?;
    let (mut months, mut days) = (0, 0);
    for (unit, letter) in ['Y', 'M', 'D'].into_iter().enumerate() {
        let Some((number, tail)) = rest.split_once(letter) else { continue };
        if number.is_empty() || number.len() > 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: i64 = number.parse().ok()?;
        match unit {
            0 => months += number * 12,
            1 => months += number,
            _ => days = number,
        }
        rest = tail;
    }
    let in_bounds = months <= MAX_YEARS * 12 && days <= MAX_YEARS * 365;
    (rest.is_empty() && months + days > 0 && in_bounds).then_some(Duration { months, days })
}

impl fmt::Display for Duration {
    /// As it is written, years as months: `P12M`, `P18M10D`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P")?;
        if self.months > 0 {
            write!(f, "{}M", self.months)?;
        }
        if self.days > 0 {
            write!(f, "{}D", self.days)?;
        }
        Ok(())
    }
}

impl Duration {
    /// Twelve months: the most for personal data.
    pub const YEAR: Self = Self { months: 12, days: 0 };

    /// Whether it is no longer than twelve months whatever day it starts on: the most for personal data, so that the
    /// need is looked at once a year.
    #[must_use]
    pub const fn within_a_year(self) -> bool {
        match self.days {
            0 => self.months <= 12,
            // A month has at most 31 days and a year at least 365.
            days => self.months * 31 + days <= 365,
        }
    }

    /// When a grant of this duration that starts at `starts_ms` is over: at the end, in Asia/Ho_Chi_Minh, of the day on
    /// which [`end`](Self::end) falls, so that no office loses its data in the middle of a day's work. `None` beyond the
    /// calendar.
    #[must_use]
    pub fn end_of_last_day(self, starts_ms: i64) -> Option<i64> {
        // Whatever begins at midnight ends at midnight: the last moment before decides which day is the last.
        Some(Day::of(self.end(starts_ms)?.checked_sub(1)?).ends_ms())
    }

    /// Whether it is no longer than another, whatever day both start on.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        // A month has 28 to 31 days; equal months need no such care.
        let months = self.months - other.months;
        let days = other.days - self.days;
        if months <= 0 { -months * 28 >= -days } else { months * 31 <= days }
    }

    /// The moment at which what starts at `starts_ms` (milliseconds since 1970, UTC) ends: the same time of day in
    /// Asia/Ho_Chi_Minh (UTC+7 all year) so much later; the last day of a month stands in for one it does not have.
    /// `None` beyond the calendar (year 9999).
    #[must_use]
    pub fn end(self, starts_ms: i64) -> Option<i64> {
        let zone = TimeZone::fixed(Offset::from_seconds(7 * 3600).ok()?);
        let start = Timestamp::from_millisecond(starts_ms).ok()?.to_zoned(zone);
        let span = Span::new().try_months(self.months).ok()?.try_days(self.days).ok()?;
        Some(start.checked_add(span).ok()?.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str, start: &str) -> String {
        let start: Timestamp = start.parse().unwrap();
        let end = text.parse::<Duration>().unwrap().end(start.as_millisecond()).unwrap();
        Timestamp::from_millisecond(end).unwrap().to_string()
    }

    #[test]
    fn durations_count_on_the_calendar_of_viet_nam() {
        assert_eq!(ends("P12M", "2025-07-01T00:00:00Z"), "2026-07-01T00:00:00Z");
        assert_eq!(ends("P1Y", "2024-02-28T17:00:00Z"), "2025-02-27T17:00:00Z"); // 29 February, 00:00 there
        assert_eq!(ends("P1M", "2025-01-30T17:00:00Z"), "2025-02-27T17:00:00Z"); // 31 January there
        assert_eq!(ends("P90D", "2025-07-01T00:00:00Z"), "2025-09-29T00:00:00Z");
        assert_eq!(ends("P1Y6M10D", "2025-01-01T00:00:00Z"), "2026-07-11T00:00:00Z");
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for (text, written) in [("P12M", "P12M"), ("P1Y", "P12M"), ("P90D", "P90D"), ("P1Y6M10D", "P18M10D")] {
            let read: Duration = text.parse().unwrap();
            assert_eq!((read.to_string().as_str(), read.to_string().parse()), (written, Ok(read)));
        }
    }

    #[test]
    fn a_grant_is_over_at_the_end_of_its_last_day_in_viet_nam() {
        for (text, start, over) in [
            // 15:00 there, and 23:59:59.999, and midnight, which is the next day's.
            ("P1D", "2026-11-24T08:00:00Z", "2026-11-25T17:00:00Z"),
            ("P12M", "2026-11-24T16:59:59.999Z", "2027-11-24T17:00:00Z"),
            ("P12M", "2026-11-24T17:00:00Z", "2027-11-24T17:00:00Z"),
        ] {
            let start: Timestamp = start.parse().unwrap();
            let end = text.parse::<Duration>().unwrap().end_of_last_day(start.as_millisecond()).unwrap();
            assert_eq!(Timestamp::from_millisecond(end).unwrap().to_string(), over, "{text} from {start}");
        }
    }

    #[test]
    fn one_duration_is_within_another_on_every_calendar() {
        for (short, long, within) in [
            ("P6M", "P6M", true),
            ("P3M", "P6M", true),
            ("P7M", "P6M", false),
            ("P28D", "P1M", true),
            ("P29D", "P1M", false),
            ("P1M", "P31D", true),
            ("P1M", "P30D", false),
            ("P3D", "P3D", true),
            ("P4D", "P3D", false),
            ("P1M5D", "P1M", false),
        ] {
            let of = |text: &str| text.parse::<Duration>().unwrap();
            assert_eq!(of(short).within(of(long)), within, "{short} within {long}");
        }
    }

    #[test]
    fn what_is_not_whole_years_months_or_days_is_refused() {
        for text in ["", "P", "12M", "P12", "PT12H", "P1.5Y", "P1M1Y", "P-1D", "P0D", "P1W", "p1y", "P101Y", "P999999D"]
        {
            assert!(text.parse::<Duration>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_year_is_twelve_months_or_365_days() {
        for (text, within) in [
            ("P12M", true),
            ("P1Y", true),
            ("P365D", true),
            ("P11M20D", true),
            ("P13M", false),
            ("P366D", false),
            ("P1Y1D", false),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().within_a_year(), within, "{text}");
        }
    }
}
