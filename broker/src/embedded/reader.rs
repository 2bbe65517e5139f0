//! Readers of the embedded log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kenh_domain::log::{Bounds, Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::names::Principal;

use super::format::{self, TopicNo};
use super::state::State;
use super::store::{Store, StoreError};
use super::{PoisonError, Shared};

pub(super) struct EmbeddedReader {
    shared: Arc<Shared>,
    principal: Principal,
    sources: Vec<Source>,
    /// Whose turn it is to be served first: without it, the first partition could fill every answer.
    turn: usize,
}

struct Source {
    of: TopicPartition,
    topic: TopicNo,
    next: u64,
}

/// What is left of a poll's limits.
struct Limits {
    records: usize,
    bytes: usize,
}

impl EmbeddedReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        principal: &Principal,
        from: &[(TopicPartition, Position)],
    ) -> Result<Self, ReadError> {
        let state = shared.state();
        let mut sources = Vec::with_capacity(from.len());
        for (of, position) in from {
            let (topic, bounds) = state.readable(principal, of)?;
            if *position < bounds.start || *position > bounds.end {
                return Err(ReadError::Gone { of: of.clone(), position: *position, bounds });
            }
            sources.push(Source { of: of.clone(), topic, next: position.0 });
        }
        drop(state);
        Ok(Self { shared, principal: principal.clone(), sources, turn: 0 })
    }

    /// The ends up to which each source may be read now.
    fn ends(&self, state: &State) -> Result<Vec<u64>, ReadError> {
        self.sources.iter().map(|source| Ok(self.bounds(state, source)?.end.0)).collect()
    }

    fn bounds(&self, state: &State, source: &Source) -> Result<Bounds, ReadError> {
        let (topic, bounds) = state.readable(&self.principal, &source.of)?;
        if topic != source.topic {
            // Deleted and made again: not what this reader was opened for.
            return Err(ReadError::Denied { principal: self.principal.clone(), of: source.of.clone() });
        }
        if source.next < bounds.start.0 {
            return Err(ReadError::Gone { of: source.of.clone(), position: Position(source.next), bounds });
        }
        Ok(bounds)
    }

    fn gather(&mut self, ends: &[u64], mut limits: Limits) -> Result<Vec<Record>, ReadError> {
        let shared = self.shared.clone();
        let guard = shared.store();
        let count = self.sources.len();
        let mut found = Vec::new();
        // First an equal share for each, then whatever is left over.
        for share in [limits.records.div_ceil(count), limits.records] {
            for step in 0..count {
                let index = (self.turn + step) % count;
                let source = &mut self.sources[index];
                let failed = |source: StoreError, of: &TopicPartition| ReadError::Storage {
                    of: of.clone(),
                    source: source.into(),
                };
                let store = guard.as_ref().ok_or_else(|| failed(StoreError::Closed, &source.of))?;
                source
                    .take(store, index, ends[index], share, &mut limits, &mut found)
                    .map_err(|error| failed(error, &source.of))?;
            }
        }
        if !found.is_empty() {
            self.turn = (self.turn + 1) % count;
        }
        Ok(found)
    }
}

impl Source {
    /// Takes at most `share` records of those before `end`, as far as the limits allow.
    fn take(
        &mut self,
        store: &Store,
        index: usize,
        end: u64,
        share: usize,
        limits: &mut Limits,
        found: &mut Vec<Record>,
    ) -> Result<(), StoreError> {
        if self.next >= end || limits.records == 0 {
            return Ok(());
        }
        let partition = self.of.partition.0;
        let range =
            format::record_key(self.topic, partition, self.next)..format::record_key(self.topic, partition, end);
        for (taken, entry) in store.records.range(range).enumerate() {
            let (key, value) = entry.into_inner()?;
            if taken == share || limits.records == 0 || (!found.is_empty() && value.len() > limits.bytes) {
                return Ok(());
            }
            let (_, _, position) = format::read_record_key(&key)?;
            found.push(format::read_record(index, position, &value)?);
            limits.records -= 1;
            limits.bytes = limits.bytes.saturating_sub(value.len());
            self.next = position + 1;
        }
        // Only burned or compacted positions are left.
        self.next = end;
        Ok(())
    }
}

impl Reader for EmbeddedReader {
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        let deadline = Instant::now() + wait;
        let shared = self.shared.clone();
        let mut state = shared.state();
        loop {
            let ends = self.ends(&state)?;
            if self.sources.iter().zip(&ends).any(|(source, end)| source.next < *end) {
                drop(state);
                let before: Vec<u64> = self.sources.iter().map(|source| source.next).collect();
                let found = self.gather(&ends, Limits { records: max_records.max(1), bytes: max_bytes })?;
                state = shared.state();
                self.overtaken(&state, &before)?;
                if !found.is_empty() {
                    return Ok(found);
                }
                // Something may have been written meanwhile: look again before waiting.
                if self.ends(&state)? != ends {
                    continue;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.sources.iter().map(|source| Position(source.next)).collect()
    }
}

impl EmbeddedReader {
    /// Whether retention removed records while they were being read: then some may have been left out.
    fn overtaken(&mut self, state: &State, before: &[u64]) -> Result<(), ReadError> {
        for (index, next) in before.iter().enumerate() {
            let after = std::mem::replace(&mut self.sources[index].next, *next);
            self.bounds(state, &self.sources[index])?;
            self.sources[index].next = after;
        }
        Ok(())
    }
}
