//! Retention and compaction.
//!
//! Records are looked through without any lock; what is found to go is removed in small steps, between commits. A
//! partition in which nothing can have changed is not looked through again.

use std::collections::HashMap;

use kenh_domain::log::{Bounds, Position, Retention, TopicPartition};

use super::Shared;
use super::format::{self, TopicNo};
use super::state::Compacted;
use super::store::StoreError;
use super::topics::SWEEP_RECORDS;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A partition to be looked through.
struct Chore {
    of: TopicPartition,
    topic: TopicNo,
    bounds: Bounds,
    retention: Retention,
    compacted: Option<Compacted>,
}

impl Shared {
    pub(super) fn maintain(&self, now_ms: i64) -> Result<(), StoreError> {
        self.sweep()?;
        for chore in self.chores() {
            match chore.retention {
                Retention::Forever => {}
                Retention::Days(days) => self.drop_older(&chore, now_ms.saturating_sub(i64::from(days) * DAY_MS))?,
                Retention::Compacted { tombstone_days } => {
                    self.compact(&chore, now_ms.saturating_sub(i64::from(tombstone_days) * DAY_MS))?;
                }
            }
        }
        Ok(())
    }

    fn chores(&self) -> Vec<Chore> {
        let state = self.state();
        let mut chores = Vec::new();
        for (name, topic) in &state.topics {
            for (number, bounds) in (0_u32..).zip(&topic.partitions) {
                chores.push(Chore {
                    of: TopicPartition::new(name.clone(), number),
                    topic: topic.number,
                    bounds: *bounds,
                    retention: topic.spec.retention,
                    compacted: topic.compacted.get(number as usize).copied().flatten(),
                });
            }
        }
        chores
    }

    /// Removes records from the start up to the first that is not older.
    fn drop_older(&self, chore: &Chore, than_ms: i64) -> Result<(), StoreError> {
        let mut start = chore.bounds.start.0;
        loop {
            let mut old = Vec::new();
            let mut first_young = chore.bounds.end.0;
            self.write(|store| {
                for entry in store.records.range(chore.key(start)..chore.key(chore.bounds.end.0)) {
                    let (key, value) = entry.into_inner()?;
                    let (_, _, position) = format::read_record_key(&key)?;
                    if old.len() == SWEEP_RECORDS || format::record_time(&value)? >= than_ms {
                        first_young = position;
                        break;
                    }
                    old.push(position);
                }
                Ok(())
            })?;
            if first_young == start || (old.is_empty() && first_young < chore.bounds.end.0) {
                return Ok(());
            }
            let more = old.len() == SWEEP_RECORDS;
            self.remove(chore, &old, Some(first_young))?;
            if !more {
                return Ok(());
            }
            start = first_young;
        }
    }

    /// Removes all but the latest record of every key, and tombstones that are older.
    fn compact(&self, chore: &Chore, tombstones_before_ms: i64) -> Result<(), StoreError> {
        if let Some(Compacted { end, oldest_tombstone_ms }) = chore.compacted
            && end == chore.bounds.end
            && oldest_tombstone_ms.is_none_or(|oldest| oldest >= tombstones_before_ms)
        {
            return Ok(());
        }
        let mut latest: HashMap<bytes::Bytes, u64> = HashMap::new();
        let mut superseded = Vec::new();
        let mut tombstones = HashMap::new();
        self.write(|store| {
            for entry in store.records.range(chore.key(chore.bounds.start.0)..chore.key(chore.bounds.end.0)) {
                let (key, value) = entry.into_inner()?;
                let (_, _, position) = format::read_record_key(&key)?;
                let record = format::read_record(0, position, &value)?;
                if record.value.is_none() {
                    tombstones.insert(position, record.timestamp_ms);
                }
                // The key apart from its value, which may go.
                if let Some(before) = latest.insert(bytes::Bytes::copy_from_slice(&record.key), position) {
                    superseded.push(before);
                    tombstones.remove(&before);
                }
            }
            Ok(())
        })?;
        superseded
            .extend(tombstones.iter().filter(|(_, at)| **at < tombstones_before_ms).map(|(position, _)| *position));
        superseded.sort_unstable();
        for step in superseded.chunks(SWEEP_RECORDS) {
            self.remove(chore, step, None)?;
        }
        let oldest_tombstone_ms = tombstones.into_values().filter(|at| *at >= tombstones_before_ms).min();
        self.publish(|state| {
            if let Some(topic) = state.topics.get_mut(&chore.of.topic)
                && topic.number == chore.topic
            {
                topic.compacted.resize(topic.partitions.len(), None);
                topic.compacted[chore.of.partition.0 as usize] =
                    Some(Compacted { end: chore.bounds.end, oldest_tombstone_ms });
            }
        });
        Ok(())
    }

    /// Removes records, and moves the start of the partition if it is given one.
    fn remove(&self, chore: &Chore, positions: &[u64], start: Option<u64>) -> Result<(), StoreError> {
        let _appending = self.append_lock();
        // Readers learn that the start moved before a record is gone: none is left out unseen.
        let bounds = self.publish(|state| {
            let topic = state.topics.get(&chore.of.topic)?;
            let bounds = (topic.number == chore.topic).then(|| state.bounds_mut(&chore.of)).flatten()?;
            if let Some(start) = start {
                bounds.start = bounds.start.max(Position(start));
            }
            Some(*bounds)
        });
        let Some(bounds) = bounds else { return Ok(()) };
        self.commit(|change| {
            for position in positions {
                change.remove_record(chore.key(*position));
            }
            if start.is_some() {
                change.put(format::bounds_key(chore.topic, chore.of.partition.0), format::bounds_value(bounds));
            }
        })
    }
}

impl Chore {
    fn key(&self, position: u64) -> [u8; 16] {
        format::record_key(self.topic, self.of.partition.0, position)
    }
}
