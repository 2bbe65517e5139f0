//! Dates as Avro carries them, days since 1970-01-01 in the proleptic Gregorian calendar, and their `YYYY-MM-DD` form.
//! A date never passes through a time zone.

use std::io::Write as _;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds by which the calendar of Việt Nam is ahead of UTC (no summer time since 1975).
pub const VIET_NAM_MS: i64 = 7 * 3_600_000;

/// The date of a text that is exactly `YYYY-MM-DD` and a day of the calendar, in days since 1970-01-01; none for
/// anything else.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !form {
        return None;
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(days(i64::from(date.year()), i64::from(date.month()), i64::from(date.day())))
}

/// The `YYYY-MM-DD` form of `days` since 1970-01-01. Years beyond 9999 and before 0 carry a sign (ISO 8601 extended
/// years).
#[must_use]
pub fn text(days: i32) -> String {
    let mut out = Vec::with_capacity(10);
    put_text(days, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends what [`text`] gives.
pub fn put_text(days: i32, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    // Writing to a Vec cannot fail.
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
}

/// The year of `days` since 1970-01-01.
#[must_use]
pub fn year(days: i32) -> i32 {
    civil(days).0
}

/// How many days a month has, from 1 for January; none where there is no such month. In a year that is not known,
/// February has 29.
#[must_use]
pub fn days_in_month(year: Option<i64>, month: i64) -> Option<i64> {
    // The calendar comes round every 400 years.
    let year = 2000 + i16::try_from(year.unwrap_or(0).rem_euclid(400)).ok()?;
    let first = jiff::civil::Date::new(year, i8::try_from(month).ok()?, 1).ok()?;
    Some(first.days_in_month().into())
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`; for years a text can hold.
fn days(year: i64, month: i64, day: i64) -> i32 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    #[expect(clippy::cast_possible_truncation, reason = "a year of four digits is within three million days of 1970")]
    let days = (era * 146_097 + day_of_era - 719_468) as i32;
    days
}

/// The same paper, `civil_from_days`: year, month, day. Total over all of `i32`, which a civil date type is not.
fn civil(days: i32) -> (i32, i32, i32) {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    #[expect(clippy::cast_possible_truncation, reason = "i32 days are within six million years of 1970")]
    let civil = (year as i32, month as i32, day as i32);
    civil
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Date;
    use jiff::{Span, ToSpan as _};
    use proptest::prelude::*;

    #[test]
    fn the_days_of_a_month() {
        let february = |year| days_in_month(year, 2);
        let of = |year| february(Some(year));
        assert_eq!([of(2000), of(1900), of(2024), of(2023), february(None)].map(Option::unwrap), [29, 28, 29, 28, 29]);
        for month in 1..=12 {
            let last = days_in_month(Some(2024), month).unwrap();
            assert!(parse(&format!("2024-{month:02}-{last:02}")).is_some(), "{month}");
            assert!(parse(&format!("2024-{month:02}-{:02}", last + 1)).is_none(), "{month}");
        }
        assert_eq!([0, 13, -1, 999].map(|month| days_in_month(None, month)), [None; 4]);
        assert_eq!([of(i64::MAX), of(-4), of(24_000)].map(Option::unwrap), [28, 29, 29]);
    }

    #[test]
    fn only_real_days_in_the_one_form_are_dates() {
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2025-07-01"), Some(20_270));
        assert_eq!(parse("2024-02-29"), Some(19_782));
        for bad in
            ["2025-02-29", "2025-13-01", "2025-7-1", "20250701", "2025-07-01T00:00", "", "+025-07-01", "2025‑07‑01"]
        {
            assert_eq!(parse(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn every_day_of_an_int_has_a_text() {
        assert_eq!(text(i32::MAX), "+5881580-07-11");
        assert_eq!(text(i32::MIN), "-5877641-06-23");
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(days in -700_000..2_900_000_i32) {
            let epoch: Date = "1970-01-01".parse().unwrap();
            let span: Span = i64::from(days).days();
            let date = epoch.checked_add(span).unwrap();
            prop_assume!(date.year() >= 0);
            prop_assert_eq!(text(days), date.to_string());
            prop_assert_eq!(parse(&date.to_string()), Some(days));
            prop_assert_eq!(year(days), i32::from(date.year()));
        }
    }
}
