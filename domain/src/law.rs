//! Articles of law as records with validity: what grants rest on, and until when.
//!
//! A grant names its legal basis in words. An entry of that basis stands on an article when it is the article's id or its
//! citation, or when it goes on from the citation after a comma: `Luật 91/2025, Điều 19` stands on the record of
//! `Luật 91/2025`. What no record is known of is kept as it is written; the bus says nothing about it.

use serde::{Deserialize, Serialize};

use crate::date::{self, DAY_MS, VIET_NAM_MS};
use crate::grant::Grant;
use crate::names::ArticleId;

/// A law, decree or article of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Article {
    /// Its id, never used for another.
    pub id: ArticleId,
    /// How it is cited in Vietnamese: what grants write.
    pub citation: String,
    /// The same in English, for people.
    pub title_en: String,
    /// The first day on which it is in force.
    pub from: Day,
    /// The last day on which it is; none: open-ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
}

/// A day of the calendar of Việt Nam, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(i32);

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day of the calendar: write YYYY-MM-DD")]
pub struct DayError(String);

impl Day {
    /// When it begins: milliseconds since 1970 (UTC).
    #[must_use]
    pub const fn starts_ms(self) -> i64 {
        self.0 as i64 * DAY_MS - VIET_NAM_MS
    }

    /// When it is over: milliseconds since 1970 (UTC), exclusive.
    #[must_use]
    pub const fn ends_ms(self) -> i64 {
        self.starts_ms() + DAY_MS
    }

    /// Whether it is a Saturday or Sunday.
    #[must_use]
    pub const fn is_weekend(self) -> bool {
        // 1 January 1970 was a Thursday; Monday is 0.
        (self.0 as i64 + 3).rem_euclid(7) >= 5
    }

    /// The day of a moment (milliseconds since 1970, UTC); the last that can be counted beyond that.
    #[must_use]
    pub fn of(ms: i64) -> Self {
        Self(i32::try_from(ms.saturating_add(VIET_NAM_MS).div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }
}

impl std::str::FromStr for Day {
    type Err = DayError;
    fn from_str(text: &str) -> Result<Self, DayError> {
        date::parse(text).map(Self).ok_or_else(|| DayError(text.chars().take(32).collect()))
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;
    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        date::text(day.0)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&date::text(self.0))
    }
}

impl Article {
    /// Whether an entry of a legal basis stands on it.
    #[must_use]
    pub fn bears(&self, basis: &str) -> bool {
        let goes_on = || basis.strip_prefix(self.citation.as_str()).is_some_and(|rest| rest.starts_with(','));
        basis == self.id.as_str() || basis == self.citation || goes_on()
    }

    /// Whether it is in force at a moment (milliseconds since 1970, UTC).
    #[must_use]
    pub fn in_force(&self, at_ms: i64) -> bool {
        self.from.starts_ms() <= at_ms && at_ms < self.ends_ms()
    }

    /// When it goes out of force: milliseconds since 1970 (UTC), exclusive; the end of time if that is open.
    #[must_use]
    pub fn ends_ms(&self) -> i64 {
        self.until.map_or(i64::MAX, Day::ends_ms)
    }
}

/// The articles that a grant stands on, of those that are known.
pub fn standing_on<'a>(
    articles: impl IntoIterator<Item = &'a Article>,
    grant: &'a Grant,
) -> impl Iterator<Item = &'a Article> {
    articles.into_iter().filter(|article| grant.legal_basis.iter().any(|basis| article.bears(basis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article(from: &str, until: Option<&str>) -> Article {
        Article {
            id: ArticleId::new("luat-91-2025").unwrap(),
            citation: "Luật 91/2025".into(),
            title_en: "Law 91/2025".into(),
            from: from.parse().unwrap(),
            until: until.map(|day| day.parse().unwrap()),
        }
    }

    #[test]
    fn a_basis_stands_on_an_article_by_id_citation_or_an_article_of_it() {
        let law = article("2026-01-01", None);
        for (basis, stands) in [
            ("Luật 91/2025", true),
            ("luat-91-2025", true),
            ("Luật 91/2025, Điều 19", true),
            ("Luật 91/20255", false),
            ("Luật 91/2025 khác", false),
            ("Luật 9", false),
            ("", false),
        ] {
            assert_eq!(law.bears(basis), stands, "{basis}");
        }
    }

    #[test]
    fn it_is_in_force_from_its_first_day_to_the_end_of_its_last_in_viet_nam() {
        let law = article("2026-01-01", Some("2026-01-02"));
        // 2026-01-01 00:00 there is 2025-12-31 17:00 UTC.
        let first = 1_767_200_400_000;
        assert!(!law.in_force(first - 1) && law.in_force(first));
        let over = first + 2 * DAY_MS;
        assert!(law.in_force(over - 1) && !law.in_force(over));
        assert_eq!(Day::of(first).to_string(), "2026-01-01");
        assert_eq!(Day::of(first - 1).to_string(), "2025-12-31");
        let weekend = |text: &str| text.parse::<Day>().unwrap().is_weekend();
        assert!(weekend("2026-11-21") && weekend("2026-11-22") && weekend("1969-12-28"));
        assert!(!weekend("2026-11-20") && !weekend("2026-11-23") && !weekend("1970-01-01"));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2026-02-30", "2026-1-1", "01/01/2026", "2026-01-01T00:00:00"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
