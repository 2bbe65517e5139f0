//! Writers on the embedded log.
//!
//! What is accepted waits in memory, up to a bound, and is written as one batch: an fsync for each call would make a
//! producer wait a millisecond for each record.

use std::collections::BTreeMap;
use std::sync::Arc;

use kenh_domain::log::{NewRecord, Operation, Position, TopicPartition, WriteError, Writer};
use kenh_domain::names::Principal;

use super::Shared;
use super::append::{self, Misfit, Touched};
use super::state::State;

/// Most records that wait.
const MAX_WAITING_RECORDS: usize = 5_000;
/// Most bytes that wait, one call of `write` excepted.
const MAX_WAITING_BYTES: usize = 4 << 20;

pub(super) struct EmbeddedWriter {
    shared: Arc<Shared>,
    principal: Principal,
    waiting: Vec<NewRecord>,
    waiting_bytes: usize,
    /// Ends of what was written since the last flush.
    ends: BTreeMap<TopicPartition, Position>,
}

impl EmbeddedWriter {
    pub(super) fn new(shared: Arc<Shared>, principal: Principal) -> Self {
        Self { shared, principal, waiting: Vec::new(), waiting_bytes: 0, ends: BTreeMap::new() }
    }

    fn check<'a>(&self, state: &State, records: &'a [NewRecord]) -> Result<Touched<'a>, WriteError> {
        let denied = |to: &TopicPartition| WriteError::Denied { principal: self.principal.clone(), to: to.clone() };
        let mut last = None;
        for record in records {
            // Records of one partition come in runs.
            if last == Some(&record.to) {
                continue;
            }
            let (topic, _) = state.partition(&record.to).ok_or_else(|| denied(&record.to))?;
            if !topic.allows(&self.principal, Operation::Write) {
                return Err(denied(&record.to));
            }
            last = Some(&record.to);
        }
        append::touched(state, records).map_err(|misfit| match misfit {
            Misfit::Missing(to) => denied(&to),
            Misfit::TooLarge(to, reason) => WriteError::Storage(format!("{to}: {reason}").into()),
        })
    }

    fn write_out(&mut self) -> Result<(), WriteError> {
        let records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let _appending = shared.append_lock();
        let touched = self.check(&shared.state(), &records)?;
        shared.room_for(touched.bytes()).map_err(|source| WriteError::Full(source.into()))?;
        let mut ends = Vec::new();
        shared
            .commit(|change| ends = append::put(change, touched, &records, 0))
            .map_err(|source| WriteError::Storage(source.into()))?;
        shared.publish(|state| Shared::publish_ends(state, &ends));
        self.ends.extend(ends);
        Ok(())
    }

    /// After an error nothing is held back (see [`Writer`]).
    fn forget(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.ends.clear();
    }
}

impl Writer for EmbeddedWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        let checked = self.check(&self.shared.state(), &records).map(drop);
        let written = checked.and_then(|()| {
            self.waiting_bytes += records.iter().map(append::size).sum::<usize>();
            self.waiting.extend(records);
            if self.waiting.len() >= MAX_WAITING_RECORDS || self.waiting_bytes >= MAX_WAITING_BYTES {
                self.write_out()?;
            }
            Ok(())
        });
        if written.is_err() {
            self.forget();
        }
        written
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        let written = self.write_out();
        if written.is_err() {
            self.forget();
        }
        written.map(|()| std::mem::take(&mut self.ends).into_iter().collect())
    }
}
