//! Times as sources write them.
//!
//! `YYYY-MM-DDTHH:mm:ss`, with a fraction and with `Z` or an offset where the source has them (RFC 3339). A time without
//! a zone is Việt Nam's (+07:00, no summer time since 1975), as the national envelope says.

use kenh_domain::date;

const DAY_US: i64 = 86_400_000_000;
const VIET_NAM_US: i64 = 7 * 3_600_000_000;

/// Microseconds since 1970 (UTC) of a time; none when the text is no time.
#[must_use]
pub fn instant_us(text: &str) -> Option<i64> {
    let (local, zone) = split(text)?;
    Some(local - zone.unwrap_or(VIET_NAM_US))
}

/// Milliseconds since 1970 (UTC) of a time, cut; none when the text is no time.
#[must_use]
pub fn instant_ms(text: &str) -> Option<i64> {
    instant_us(text).map(|us| us.div_euclid(1000))
}

/// Microseconds since 1970-01-01T00:00:00 on the wall clock of a time without zone; none when it has one or is no time.
#[must_use]
pub fn local_us(text: &str) -> Option<i64> {
    match split(text)? {
        (local, None) => Some(local),
        _ => None,
    }
}

/// Microseconds since midnight of `HH:mm:ss` with or without a fraction; none for anything else.
#[must_use]
pub fn of_day_us(text: &str) -> Option<i64> {
    let (us, rest) = clock(text)?;
    rest.is_empty().then_some(us)
}

/// The wall clock, and the offset where there is one.
fn split(text: &str) -> Option<(i64, Option<i64>)> {
    let (day, rest) = text.split_at_checked(10)?;
    let days = i64::from(date::parse(day)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (us, zone) = clock(rest)?;
    Some((days * DAY_US + us, offset(zone)?))
}

/// Microseconds since midnight, and what follows.
fn clock(text: &str) -> Option<(i64, &str)> {
    let (whole, mut rest) = text.split_at_checked(8)?;
    let bytes = whole.as_bytes();
    if bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (h, m, s) = (two(&bytes[..2])?, two(&bytes[3..5])?, two(&bytes[6..])?);
    if h > 23 || m > 59 || s > 59 {
        return None;
    }
    let mut us = ((h * 60 + m) * 60 + s) * 1_000_000;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        let mut unit = 100_000;
        for byte in fraction.bytes().take(digits) {
            us += i64::from(byte - b'0') * unit;
            unit /= 10;
        }
        rest = fraction.get(digits..)?;
    }
    Some((us, rest))
}

fn offset(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    if text == "Z" || text == "z" {
        return Some(Some(0));
    }
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return None;
    }
    let (h, m) = (two(&bytes[1..3])?, two(&bytes[4..])?);
    (h < 24 && m < 60).then_some(Some(sign * (h * 60 + m) * 60_000_000))
}

fn two(digits: &[u8]) -> Option<i64> {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_zone_is_viet_nams() {
        // 2025-07-01T00:00:00+07:00 is 2025-06-30T17:00:00Z.
        let midnight = 1_751_302_800_000;
        for text in [
            "2025-07-01T00:00:00",
            "2025-07-01 00:00:00",
            "2025-07-01T00:00:00.000",
            "2025-07-01T00:00:00+07:00",
            "2025-06-30T17:00:00Z",
            "2025-06-30T11:30:00-05:30",
        ] {
            assert_eq!(instant_ms(text), Some(midnight), "{text}");
        }
        assert_eq!(instant_us("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(instant_ms("1969-12-31T23:59:59.9999Z"), Some(-1));
        assert_eq!(local_us("1970-01-02T00:00:00"), Some(DAY_US));
        assert_eq!(local_us("1970-01-02T00:00:00Z"), None);
        assert_eq!(of_day_us("23:59:59.5"), Some(DAY_US - 500_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2025-07-01",
            "2025-07-01T24:00:00",
            "2025-07-01T00:60:00",
            "2025-02-29T00:00:00",
            "2025-07-01T00:00",
            "2025-07-01T00:00:00.",
            "2025-07-01T00:00:00+7",
            "2025-07-01T00:00:00 ",
            "2025-07-01T00:00:0é",
            "20250701T000000",
            "2025-07-01T00:00:00+07:0é",
        ] {
            assert_eq!(instant_us(text), None, "{text:?} was taken");
        }
    }
}
