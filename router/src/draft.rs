//! A draft: what one transaction is to write, as it is put together. Nothing of it counts before it is committed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kenh_domain::control::ViewNo;
use kenh_domain::log::{NewRecord, Position, TopicPartition};
use kenh_domain::receipt::{Counts, Warnings};
use kenh_domain::topic::{Partition, Topic};

use crate::metadata::Metadata;
use crate::tally::{Answer, InputId};
use crate::trace::Traces;

/// See the module's documentation.
pub struct Draft {
    /// Records, in order per partition.
    pub records: Vec<NewRecord>,
    /// Their bytes.
    pub bytes: usize,
    /// Position after the last record consumed, by number of the input.
    pub consumed: BTreeMap<usize, Position>,
    /// The newest time that a source gave a change admitted here, for the statistics.
    pub updated: BTreeMap<InputId, i64>,
    /// The metadata as it will stand.
    pub metadata: Metadata,
    /// Slots whose engines hold something of this draft.
    pub slots: BTreeSet<usize>,
    /// Views whose positions are told, by slot.
    pub told: Vec<(usize, ViewNo)>,
    /// Receipts that have become due; written when the draft is finished.
    pub due: Vec<Answer>,
    /// Outcomes, for the statistics.
    pub counts: Counts,
    /// Rejections by rule, for the statistics.
    pub rules: BTreeMap<&'static str, u64>,
    /// Relaxed rules that admitted changes broke, for the statistics.
    pub warnings: Warnings,
    /// Records for views.
    pub view_records: u64,
    /// Markers.
    pub markers: u64,
    /// Traces that its changes belong to.
    pub traces: Traces,
}

impl Draft {
    /// Of a transaction that starts from `metadata`.
    #[must_use]
    pub const fn new(metadata: Metadata) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            consumed: BTreeMap::new(),
            updated: BTreeMap::new(),
            metadata,
            slots: BTreeSet::new(),
            told: Vec::new(),
            due: Vec::new(),
            counts: Counts { admitted: 0, repeated: 0, stale: 0, rejected: 0 },
            rules: BTreeMap::new(),
            warnings: Warnings(BTreeMap::new()),
            view_records: 0,
            markers: 0,
            traces: Traces::new(),
        }
    }

    /// Adds a record.
    pub fn push(&mut self, to: TopicPartition, timestamp_ms: i64, key: Bytes, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.records.push(NewRecord { to, timestamp_ms, key, value });
    }

    /// Adds a record that is JSON.
    pub fn push_json(
        &mut self,
        (topic, partition): (Topic, Partition),
        timestamp_ms: i64,
        key: Bytes,
        value: &impl serde::Serialize,
    ) {
        // What we serialise are plain structs of ours with text keys; if that failed there would be nothing to write.
        if let Ok(json) = serde_json::to_vec(value) {
            self.push(TopicPartition { topic, partition }, timestamp_ms, key, Some(json.into()));
        }
    }

    /// Writes the receipts that are due.
    pub fn answer(&mut self, timestamp_ms: i64) {
        for Answer { provider, receipt } in std::mem::take(&mut self.due) {
            let key = Bytes::copy_from_slice(receipt.submission.as_bytes());
            self.push_json((Topic::Receipt(provider), Partition(0)), timestamp_ms, key, &receipt);
        }
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.consumed.is_empty()
    }
}
