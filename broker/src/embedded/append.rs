//! Appending: the one place where positions are given and records become durable.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use kenh_domain::limits::MAX_LOG_RECORD_BYTES;
use kenh_domain::log::{Bounds, NewRecord, Position, TopicPartition};

use super::Shared;
use super::format::{self, TopicNo};
use super::state::State;
use super::store::{Change, Store, StoreError};

/// The ends of partitions after something was appended, in the order of the partitions.
pub(super) type Ends = Vec<(TopicPartition, Position)>;

/// Bytes that a record takes in journal and tables beside its own.
const RECORD_OVERHEAD_BYTES: u64 = 64;

/// Where a record cannot go.
pub(super) enum Misfit {
    /// There is no such topic or partition.
    Missing(TopicPartition),
    /// It is larger than any log need take.
    TooLarge(TopicPartition, String),
}

/// The partitions that a list of records touches, each with its number, its bounds and how many records it gets.
pub(super) struct Touched<'a> {
    partitions: HashMap<&'a TopicPartition, (TopicNo, Bounds)>,
    bytes: u64,
}

/// Finds the partitions of `records` and checks that all records fit.
pub(super) fn touched<'a>(state: &State, records: &'a [NewRecord]) -> Result<Touched<'a>, Misfit> {
    let mut touched = Touched { partitions: HashMap::new(), bytes: 0 };
    for record in records {
        if !touched.partitions.contains_key(&record.to) {
            let (topic, bounds) = state.partition(&record.to).ok_or_else(|| Misfit::Missing(record.to.clone()))?;
            touched.partitions.insert(&record.to, (topic.number, bounds));
        }
        let bytes = size(record);
        if bytes > MAX_LOG_RECORD_BYTES {
            let reason = format!("a record of {bytes} bytes, more than {MAX_LOG_RECORD_BYTES}");
            return Err(Misfit::TooLarge(record.to.clone(), reason));
        }
        touched.bytes += bytes as u64 + RECORD_OVERHEAD_BYTES;
    }
    Ok(touched)
}

pub(super) fn size(record: &NewRecord) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

/// Puts `records` into `change`, each at the next position of its partition, and burns `burned` positions behind them.
/// Gives the new ends, in the order of the partitions.
pub(super) fn put(change: &mut Change, touched: Touched<'_>, records: &[NewRecord], burned: u64) -> Ends {
    let mut partitions = touched.partitions;
    for record in records {
        if let Some((topic, bounds)) = partitions.get_mut(&record.to) {
            let key = format::record_key(*topic, record.to.partition.0, bounds.end.0);
            change.put_record(key, format::record_value(record));
            bounds.end.0 += 1;
        }
    }
    let mut ends = Vec::with_capacity(partitions.len());
    for (of, (topic, mut bounds)) in partitions {
        bounds.end.0 += burned;
        change.put(format::bounds_key(topic, of.partition.0), format::bounds_value(bounds));
        ends.push((of.clone(), bounds.end));
    }
    ends.sort();
    ends
}

impl Touched<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Shared {
    /// Whether `bytes` more may be written.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`], or [`StoreError::FreeSpace`] when nobody knows.
    pub(super) fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        let measured = (self.options.free_space)(self.directory.path());
        let free = measured.map_err(|source| StoreError::FreeSpace(source.into()))?;
        // Once in the journal, once in a table.
        let needed = bytes.saturating_mul(2);
        let reserve = self.options.reserve_bytes;
        if free >= reserve.saturating_add(needed) {
            return Ok(());
        }
        Err(StoreError::NoRoom { free, needed, reserve })
    }

    /// Runs `with` on the store. When the engine fails, the store is closed to all writes until it is opened anew: what is
    /// on the disk is not known then.
    pub(super) fn write<T>(&self, with: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let result = self.store().as_ref().ok_or(StoreError::Closed).and_then(with);
        if let Err(error @ StoreError::Engine(_)) = &result {
            tracing::error!(error = error as &dyn std::error::Error, "the store of the embedded log failed");
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Commits a change; see [`Self::write`].
    pub(super) fn commit(&self, change: impl FnOnce(&mut Change)) -> Result<(), StoreError> {
        self.write(|store| {
            let mut made = store.change();
            change(&mut made);
            #[cfg(test)]
            if let Some(written) = self.lose_answer.lock().unwrap().take() {
                if written {
                    store.commit(made)?;
                }
                return Err(fjall::Error::Poisoned.into());
            }
            store.commit(made)
        })
    }

    /// Lets readers see the new ends.
    pub(super) fn publish_ends(state: &mut State, ends: &[(TopicPartition, Position)]) {
        for (of, end) in ends {
            if let Some(bounds) = state.bounds_mut(of) {
                bounds.end = *end;
            }
        }
    }
}
