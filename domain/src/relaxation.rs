//! Relaxations: for a few hours one rule of a dataset warns where it would reject.
//!
//! For the night when a new code value stops everything. A change that breaks a relaxed rule is admitted, and its
//! provider's receipt says so. It is no switch that lets everything pass: it names one rule (and one field, if it likes),
//! two persons approve it, it ends by itself within [`MAX_RELAXATION_MS`](crate::limits::MAX_RELAXATION_MS), and rules that
//! [protect](crate::rule::Protects) the schema, the record key, who may write, recipients' rows or the order of the log are
//! never relaxed. Nor is any rule for a field of the record key.
//!
//! Whether one is in force is asked at a marker, of the control set that the marker names and of its clock, as with grants:
//! whoever decides a change again meets the same answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::log::Position;
use crate::names::{Dataset, RelaxationId};
use crate::rule::Rule;

/// A relaxation, as persons decide it. It begins when it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Relaxation {
    /// Its id, never used again.
    pub id: RelaxationId,
    /// Of which dataset.
    pub dataset: Dataset,
    /// The rule that warns.
    pub rule: Rule,
    /// For this field alone, by its dotted path; none: for every field that is not of the record key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why, in words, at most [`MAX_REASON_BYTES`](crate::limits::MAX_REASON_BYTES).
    pub reason: String,
    /// Until when: milliseconds since 1970 (UTC), exclusive.
    pub ends_ms: i64,
}

impl Relaxation {
    /// The rule, and the field if it names one: `code-list for NoiO.MaXa`.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.field {
            Some(field) => format!("{} for {field}", self.rule.code()),
            None => self.rule.code().to_owned(),
        }
    }
}

/// A relaxation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaxationEntry {
    /// It.
    pub relaxation: Arc<Relaxation>,
    /// From when: the time of its record, milliseconds since 1970 (UTC).
    pub starts_ms: i64,
    /// Where and why, in words, it was ended before its time.
    pub ended: Option<(Position, String)>,
}

impl RelaxationEntry {
    /// Whether it is in force at `clock_ms`.
    #[must_use]
    pub fn in_force(&self, clock_ms: i64) -> bool {
        self.ended.is_none() && self.starts_ms <= clock_ms && clock_ms < self.relaxation.ends_ms
    }
}

/// What a provider is told of a relaxation: all but its name and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RelaxedRule {
    /// The rule that warns.
    pub rule: Rule,
    /// For this field alone, by its dotted path; none: for every field that is not of the record key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Until when: milliseconds since 1970 (UTC), exclusive.
    pub ends_ms: i64,
}

/// The rules of one dataset that warn now, and for which fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaxed(Vec<(Rule, Option<String>)>);

impl Relaxed {
    /// No rule warns.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// Whether no rule warns.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `rule` warns where `field` breaks it.
    #[must_use]
    pub fn covers(&self, rule: Rule, field: &str) -> bool {
        self.0.iter().any(|(relaxed, only)| *relaxed == rule && only.as_ref().is_none_or(|only| only == field))
    }
}

impl FromIterator<(Rule, Option<String>)> for Relaxed {
    fn from_iter<I: IntoIterator<Item = (Rule, Option<String>)>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}
