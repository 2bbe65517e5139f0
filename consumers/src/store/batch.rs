//! Records to be applied, folded to one change per key without losing what the counters need.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What has happened to the rows of a generation since it began, record by record in the order of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Rows held now.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Values for a key that was not there.
    pub inserted: u64,
    /// Values for a key that was there.
    pub updated: u64,
    /// Tombstones for a key that was there.
    pub left: u64,
}

/// Records in the order of the log, folded: the last of each key is what a store must write, and the counters come out
/// as if each had been applied by itself.
#[derive(Clone, Default)]
pub struct Batch {
    changes: BTreeMap<Bytes, Change>,
    bytes: usize,
    records: usize,
    inserted: u64,
    updated: u64,
    left: u64,
}

/// What is to become of a key.
#[derive(Clone)]
struct Change {
    /// Whether the first record of the key was a value: counted when it is known whether the key was there before.
    first_is_value: bool,
    /// The last value; none is a tombstone.
    last: Option<Bytes>,
}

impl Batch {
    /// Takes in the next record.
    pub fn push(&mut self, key: Bytes, value: Option<Bytes>) {
        self.records += 1;
        self.bytes += value.as_ref().map_or(0, Bytes::len);
        match self.changes.entry(key) {
            Entry::Vacant(entry) => {
                self.bytes += entry.key().len();
                entry.insert(Change { first_is_value: value.is_some(), last: value });
            }
            Entry::Occupied(mut entry) => {
                let change = entry.get_mut();
                match (&change.last, &value) {
                    (None, Some(_)) => self.inserted += 1,
                    (Some(_), Some(_)) => self.updated += 1,
                    (Some(_), None) => self.left += 1,
                    (None, None) => {}
                }
                self.bytes -= change.last.as_ref().map_or(0, Bytes::len);
                change.last = value;
            }
        }
    }

    /// Records taken in.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Bytes of keys and last values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.changes.keys()
    }

    /// The last change of each key (`None`: the row goes), sorted by key.
    pub fn changes(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.changes.iter().map(|(key, change)| (key, change.last.as_ref()))
    }

    /// The counters after this batch. `before` gives, for each of [`keys`](Self::keys) in order, the bytes of the value
    /// that was there, if any.
    pub fn count(&self, counters: Counters, before: impl IntoIterator<Item = Option<usize>>) -> Counters {
        let mut after = Counters {
            inserted: counters.inserted + self.inserted,
            updated: counters.updated + self.updated,
            left: counters.left + self.left,
            ..counters
        };
        for ((key, change), was) in self.changes.iter().zip(before) {
            match (was, change.first_is_value) {
                (None, true) => after.inserted += 1,
                (Some(_), true) => after.updated += 1,
                (Some(_), false) => after.left += 1,
                (None, false) => {}
            }
            if let Some(was) = was {
                after.rows = after.rows.saturating_sub(1);
                after.bytes = after.bytes.saturating_sub((key.len() + was) as u64);
            }
            if let Some(last) = &change.last {
                after.rows += 1;
                after.bytes += (key.len() + last.len()) as u64;
            }
        }
        after
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} records, {} keys)", self.records, self.changes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any way of cutting the records into batches gives the counters of applying them one by one.
        #[test]
        fn folding_counts_as_one_by_one(
            records in prop::collection::vec((0..4_u8, prop::option::of(0..5_usize)), 0..60),
            cut in 1..20_usize,
        ) {
            let mut plain = Counters::default();
            let mut rows: BTreeMap<u8, usize> = BTreeMap::new();
            for (key, value) in &records {
                let was = match value {
                    Some(n) => rows.insert(*key, *n),
                    None => rows.remove(key),
                };
                match (was, value) {
                    (None, Some(_)) => plain.inserted += 1,
                    (Some(_), Some(_)) => plain.updated += 1,
                    (Some(_), None) => plain.left += 1,
                    (None, None) => {}
                }
            }
            plain.rows = rows.len() as u64;
            plain.bytes = rows.values().map(|n| *n as u64 + 1).sum();

            let mut counters = Counters::default();
            let mut held: BTreeMap<Bytes, Bytes> = BTreeMap::new();
            for some in records.chunks(cut) {
                let mut batch = Batch::default();
                for (key, value) in some {
                    batch.push(Bytes::from(vec![*key]), value.map(|n| Bytes::from(vec![7; n])));
                }
                let size: usize = batch.changes().map(|(k, v)| k.len() + v.map_or(0, Bytes::len)).sum();
                prop_assert_eq!(batch.bytes(), size);
                counters = batch.count(counters, batch.keys().map(|k| held.get(k).map(Bytes::len)).collect::<Vec<_>>());
                for (key, value) in batch.changes() {
                    match value {
                        Some(value) => held.insert(key.clone(), value.clone()),
                        None => held.remove(key),
                    };
                }
            }
            prop_assert_eq!(counters, plain);
        }
    }
}
