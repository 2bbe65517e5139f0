//! Until when a grant holds. A duration counts from the activation; a calendar date is the last day, whenever that is.

use kenh_domain::grant::Term;
use kenh_domain::law::Day;

use crate::duration::{Duration, DurationError};

/// How long a grant holds, checked for form: [`Term`] is what its document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From its activation.
    For(Duration),
    /// To the end of a day.
    Until(Day),
}

impl TryFrom<&Term> for Validity {
    type Error = DurationError;

    fn try_from(term: &Term) -> Result<Self, DurationError> {
        Ok(match term {
            Term::Duration(text) => Self::For(text.parse()?),
            Term::Ends(day) => Self::Until(*day),
        })
    }
}

impl Validity {
    /// When a grant that is activated at `from_ms` is over (both milliseconds since 1970, UTC; the end is exclusive): at
    /// the end of a day in Asia/Ho_Chi_Minh, but the duration of an emergency counts to the minute. `None` beyond the
    /// calendar.
    #[must_use]
    pub fn over(self, from_ms: i64, emergency: bool) -> Option<i64> {
        match self {
            Self::For(duration) if emergency => duration.end(from_ms),
            Self::For(duration) => duration.end_of_last_day(from_ms),
            Self::Until(day) => Some(day.ends_ms()),
        }
    }

    /// Whether it is no longer than `most`: a duration whatever day it starts on, a date for a grant that is activated at
    /// `from_ms`, in an emergency to the minute.
    #[must_use]
    pub fn within(self, most: Duration, from_ms: i64, emergency: bool) -> bool {
        match self {
            Self::For(duration) => duration.within(most),
            Self::Until(day) => Self::For(most).over(from_ms, emergency).is_none_or(|end| day.ends_ms() <= end),
        }
    }

    /// Whether it is no longer than the most for personal data, for a grant that is activated at `from_ms`.
    #[must_use]
    pub fn within_a_year(self, from_ms: i64) -> bool {
        match self {
            Self::For(duration) => duration.within_a_year(),
            Self::Until(day) => last_of_a_year(from_ms).is_none_or(|last| day <= last),
        }
    }
}

/// The last day on which a grant of personal data holds that is activated at `from_ms`: twelve months later. `None` beyond
/// the calendar.
#[must_use]
pub fn last_of_a_year(from_ms: i64) -> Option<Day> {
    Some(Day::of(Duration::YEAR.end_of_last_day(from_ms)?.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn of(term: &str) -> Validity {
        let term = term.parse().map_or_else(|_| Term::from(term), Term::Ends);
        Validity::try_from(&term).unwrap()
    }

    fn starts(day: &str) -> i64 {
        day.parse::<Day>().unwrap().starts_ms()
    }

    #[test]
    fn a_date_is_over_at_the_end_of_its_day_whenever_the_grant_starts() {
        for emergency in [false, true] {
            for hour in [1, 9, 23] {
                let from = starts("2026-11-24") + hour * HOUR_MS;
                assert_eq!(of("2027-03-31").over(from, emergency), Some(starts("2027-04-01")));
                // A date and a duration that come to the same day are over at the same moment, but in an emergency.
                let same = of("P1D").over(from, emergency) == of("2026-11-25").over(from, emergency);
                assert_eq!(same, !emergency, "{hour} {emergency}");
            }
        }
        assert!(Validity::try_from(&Term::from("2027")).is_err());
    }

    #[test]
    fn a_date_is_held_to_the_most_that_a_grant_may_last_from_its_activation() {
        // Activated at noon; in an emergency 72 hours are over at noon.
        let from = starts("2026-11-24") + 12 * HOUR_MS;
        for (term, most, emergency, within) in [
            ("2027-05-24", "P6M", false, true),
            ("2027-05-25", "P6M", false, false),
            ("2026-11-24", "P1D", false, true),
            ("2026-11-26", "P3D", true, true),
            ("2026-11-27", "P3D", true, false),
            ("2026-11-27", "P3D", false, true),
            ("P3D", "P3D", true, true),
            ("P4D", "P3D", false, false),
        ] {
            assert_eq!(of(term).within(most.parse().unwrap(), from, emergency), within, "{term} within {most}");
        }
        for (term, within) in [("2027-11-24", true), ("2027-11-25", false), ("P12M", true), ("P13M", false)] {
            assert_eq!(of(term).within_a_year(from), within, "{term}");
        }
        assert_eq!(last_of_a_year(from), "2027-11-24".parse().ok());
        // 29 February has no day a year later; the last of its month stands in.
        assert_eq!(last_of_a_year(starts("2028-02-29") + 1), "2029-02-28".parse().ok());
    }
}
