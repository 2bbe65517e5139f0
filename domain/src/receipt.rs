//! What a provider is told: receipts (how many) and dead letters (which, and why).
//!
//! Both are functions of an input record and the state it met, never of a batch (invariant 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::log::Position;
use crate::names::Dataset;
use crate::rule::Rule;
use crate::topic::Partition;

/// What became of one submitted change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It entered the data log.
    Admitted,
    /// The same version with the same content was there already.
    Repeated,
    /// A higher version was there already.
    Stale,
    /// A rule refused it; a dead letter says which.
    Rejected,
}

/// How many changes had which outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Entered the data log.
    pub admitted: u64,
    /// Were there already.
    pub repeated: u64,
    /// Were older than what was there.
    pub stale: u64,
    /// Were refused.
    pub rejected: u64,
}

impl Counts {
    /// Counts one more.
    pub const fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Admitted => self.admitted += 1,
            Outcome::Repeated => self.repeated += 1,
            Outcome::Stale => self.stale += 1,
            Outcome::Rejected => self.rejected += 1,
        }
    }

    /// Adds the counts of another receipt.
    pub const fn merge(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.repeated += other.repeated;
        self.stale += other.stale;
        self.rejected += other.rejected;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.admitted + self.repeated + self.stale + self.rejected
    }
}

/// How many admitted changes broke which relaxed rule, by the rule's code; one that broke two counts for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warnings(pub BTreeMap<String, u64>);

impl Warnings {
    /// Counts one more change.
    pub fn add(&mut self, broken: &[Rule]) {
        for rule in broken {
            *self.0.entry(rule.code().to_owned()).or_default() += 1;
        }
    }

    /// Adds the warnings of another receipt.
    pub fn merge(&mut self, other: &Self) {
        for (rule, n) in &other.0 {
            *self.0.entry(rule.clone()).or_default() += n;
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A receipt in `receipt.<provider>`: JSON, keyed by the submission id.
///
/// It covers the changes of one submission in one input partition since the receipt before it (counts are not
/// cumulative). Written after every [`crate::limits::RECEIPT_EVERY`] changes and at the submission's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Format number.
    pub format: u32,
    /// The submission, as the provider named it.
    pub submission: String,
    /// The dataset.
    pub dataset: Dataset,
    /// The input partition.
    pub partition: Partition,
    /// Outcomes since the receipt before.
    pub counts: Counts,
    /// Of the admitted, those that a rule would have rejected if it were not relaxed.
    #[serde(default, skip_serializing_if = "Warnings::is_empty")]
    pub warnings: Warnings,
    /// Position of the last change covered.
    pub up_to: Position,
    /// Whether this is the last receipt for the submission in this partition.
    pub end: bool,
}

/// A dead letter in `dead-letter.<dataset>.<provider>`: JSON, keyed like the submitted record.
///
/// It says where and which rule, not what the record held; the record itself stays in the input topic, where its
/// provider put it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// Format number.
    pub format: u32,
    /// The submission; empty when the envelope could not be read.
    pub submission: String,
    /// Number of the record in its submission, from 1; 0 when the envelope could not be read.
    pub number: u64,
    /// The input partition.
    pub partition: Partition,
    /// Where the rejected change lies.
    pub position: Position,
    /// The rule's stable code.
    pub rule: String,
    /// The field it speaks of, as a dotted path; empty when it speaks of the whole record.
    pub field: String,
    /// The message in English, without any value of the record.
    pub message: String,
    /// The message in Vietnamese.
    pub message_vi: String,
}

/// The format number that this release writes.
pub const FORMAT: u32 = 1;
