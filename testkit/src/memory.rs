//! The seam in memory: a whole [`Log`], for tests of the roles, with [faults on command](crate::faults).
//!
//! It is not durable and not fast. Where the seam leaves a log free, this one takes the stricter side, so that a role
//! that works here works anywhere: written records are seen by nobody before they are flushed, every commit burns a
//! position of each partition it touches, and what a topic held is gone the moment it is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::limits::{MAX_LOG_RECORD_BYTES, MAX_METADATA_BYTES};
use kenh_domain::log::{
    Access, AdminError, Batch, Bounds, Claim, ClaimError, CommitError, Committed, Incarnation, Log, NewRecord,
    Operation, Position, ReadError, Reader, Record, Retention, TopicPartition, TopicSpec, WriteError, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

use crate::faults::{CommitFault, Faults, FlushFault, Pending, injected};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A log in memory.
pub struct MemoryLog {
    incarnation: Incarnation,
    /// Handed to claims, writers and readers, which live longer than a borrow.
    this: std::sync::Weak<MemoryLog>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    topics: BTreeMap<Topic, TopicState>,
    /// Where a topic made again under the name starts.
    floors: HashMap<Topic, u64>,
    groups: HashMap<Group, GroupState>,
    topics_made: u64,
    pub(crate) pending: Pending,
}

struct TopicState {
    /// Tells a topic from one made again under its name.
    id: u64,
    spec: TopicSpec,
    access: BTreeSet<Access>,
    partitions: Vec<PartitionState>,
}

struct PartitionState {
    start: u64,
    end: u64,
    records: BTreeMap<u64, Stored>,
}

#[derive(Clone)]
struct Stored {
    timestamp_ms: i64,
    key: Bytes,
    value: Option<Bytes>,
}

#[derive(Default)]
struct GroupState {
    epoch: u64,
    committed: Committed,
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}

impl MemoryLog {
    /// An empty log without topics.
    #[must_use]
    pub fn new() -> Arc<Self> {
        static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new_cyclic(|this| Self {
            incarnation: Incarnation(format!("memory-{number}")),
            this: this.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// What this log is to do wrong.
    #[must_use]
    pub fn faults(&self) -> Faults<'_> {
        Faults { log: self }
    }

    /// Everything that `topic` holds, partition by partition; [`Record::source`] is the partition. Empty where there is
    /// no such topic.
    #[must_use]
    pub fn records(&self, topic: &Topic) -> Vec<Record> {
        self.lock().topics.get(topic).map(TopicState::records).unwrap_or_default()
    }

    /// Waits until `topic` holds records for which `enough` is true, and gives them.
    ///
    /// # Panics
    /// After [`PATIENCE`](crate::PATIENCE).
    pub fn wait_for_records(&self, topic: &Topic, mut enough: impl FnMut(&[Record]) -> bool) -> Vec<Record> {
        let mut found = Vec::new();
        let reached = self.wait_for(crate::PATIENCE, |state| {
            found = state.topics.get(topic).map(TopicState::records).unwrap_or_default();
            enough(&found)
        });
        assert!(reached, "{topic} held {} records, and not those waited for", found.len());
        found
    }

    /// What `group` has committed.
    #[must_use]
    pub fn committed(&self, group: &Group) -> Committed {
        self.lock().groups.get(group).map(|g| g.committed.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked in another thread has said so already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `reached` is true of the state; false when it was not within `patience`.
    pub(crate) fn wait_for(&self, patience: Duration, mut reached: impl FnMut(&State) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl TopicState {
    fn allows(&self, principal: &Principal, operation: Operation) -> bool {
        principal.is_role() || self.access.contains(&Access { principal: principal.clone(), operation })
    }

    fn records(&self) -> Vec<Record> {
        let of = |(number, partition): (usize, &PartitionState)| -> Vec<Record> {
            partition.records.iter().map(|(at, stored)| stored.record(number, *at)).collect()
        };
        self.partitions.iter().enumerate().flat_map(of).collect()
    }
}

impl Stored {
    fn record(&self, source: usize, at: u64) -> Record {
        Record {
            source,
            position: Position(at),
            timestamp_ms: self.timestamp_ms,
            key: self.key.clone(),
            value: self.value.clone(),
        }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl PartitionState {
    fn bounds(&self) -> Bounds {
        Bounds { start: Position(self.start), end: Position(self.end) }
    }

    fn append(&mut self, record: NewRecord) {
        let NewRecord { timestamp_ms, key, value, .. } = record;
        self.records.insert(self.end, Stored { timestamp_ms, key, value });
        self.end += 1;
    }

    fn drop_older(&mut self, than_ms: i64) {
        let young = self.records.iter().find(|(_, r)| r.timestamp_ms >= than_ms).map_or(self.end, |(at, _)| *at);
        self.records = self.records.split_off(&young);
        self.start = self.start.max(young);
    }

    fn compact(&mut self, tombstones_before_ms: i64) {
        let latest: HashMap<Bytes, u64> = self.records.iter().map(|(at, r)| (r.key.clone(), *at)).collect();
        self.records.retain(|at, r| {
            latest.get(&r.key) == Some(at) && (r.value.is_some() || r.timestamp_ms >= tombstones_before_ms)
        });
    }
}

impl State {
    fn partition(&self, of: &TopicPartition) -> Option<(&TopicState, &PartitionState)> {
        let topic = self.topics.get(&of.topic)?;
        Some((topic, topic.partitions.get(of.partition.0 as usize)?))
    }

    fn readable(&self, principal: &Principal, of: &TopicPartition) -> Result<(u64, &PartitionState), ReadError> {
        self.partition(of)
            .filter(|(topic, _)| topic.allows(principal, Operation::Read) && !self.pending.denied.contains(&of.topic))
            .map(|(topic, partition)| (topic.id, partition))
            .ok_or_else(|| ReadError::Denied { principal: principal.clone(), of: of.clone() })
    }

    /// Appends, and gives the ends of the partitions written to, `burned` positions after their last records.
    fn append(&mut self, records: Vec<NewRecord>, burned: u64) -> Vec<(TopicPartition, Position)> {
        let mut touched = BTreeMap::new();
        for record in records {
            let to = record.to.clone();
            let partition =
                self.topics.get_mut(&to.topic).and_then(|topic| topic.partitions.get_mut(to.partition.0 as usize));
            if let Some(partition) = partition {
                partition.append(record);
                touched.insert(to, ());
            }
        }
        let mut ends = Vec::new();
        for (of, ()) in touched {
            if let Some(partition) =
                self.topics.get_mut(&of.topic).and_then(|topic| topic.partitions.get_mut(of.partition.0 as usize))
            {
                partition.end += burned;
                let end = Position(partition.end);
                ends.push((of, end));
            }
        }
        ends
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let refused = |to: &TopicPartition, reason: String| Err(CommitError::Refused { to: to.clone(), reason });
        if batch.metadata.len() > MAX_METADATA_BYTES {
            let to = batch.consumed.first().map(|(of, _)| of).or(batch.records.first().map(|r| &r.to));
            let to = to.cloned().unwrap_or_else(|| TopicPartition::new(Topic::Heads, 0));
            let reason = format!("metadata of {} bytes, more than {MAX_METADATA_BYTES}", batch.metadata.len());
            return refused(&to, reason);
        }
        for record in &batch.records {
            if self.partition(&record.to).is_none() {
                return refused(&record.to, "there is no such topic or partition".into());
            }
            let bytes = size(record);
            if bytes > MAX_LOG_RECORD_BYTES {
                return refused(&record.to, format!("a record of {bytes} bytes, more than {MAX_LOG_RECORD_BYTES}"));
            }
        }
        Ok(())
    }
}

fn size(record: &NewRecord) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, Bytes::len)
}

impl Log for MemoryLog {
    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.change(|state| {
            if let Some(topic) = state.topics.get_mut(&spec.topic) {
                let is = topic.spec.partitions;
                if is != spec.partitions {
                    return Err(AdminError::Partitions { topic: spec.topic.clone(), is, wanted: spec.partitions });
                }
                topic.spec.retention = spec.retention;
                return Ok(());
            }
            let floor = state.floors.get(&spec.topic).copied().unwrap_or_default();
            let empty = || PartitionState { start: floor, end: floor, records: BTreeMap::new() };
            state.topics_made += 1;
            let topic = TopicState {
                id: state.topics_made,
                spec: spec.clone(),
                access: BTreeSet::new(),
                partitions: (0..spec.partitions).map(|_| empty()).collect(),
            };
            state.topics.insert(spec.topic.clone(), topic);
            Ok(())
        })
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.change(|state| {
            let Some(gone) = state.topics.remove(topic) else { return Ok(()) };
            let ends = gone.partitions.iter().map(|p| p.end).max().unwrap_or_default();
            state.floors.insert(topic.clone(), ends + 1);
            for group in state.groups.values_mut() {
                group.committed.consumed.retain(|of, _| &of.topic != topic);
            }
            Ok(())
        })
    }

    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        let mut topics: Vec<TopicSpec> = self.lock().topics.values().map(|t| t.spec.clone()).collect();
        topics.sort_by_key(|spec| spec.topic.to_string());
        Ok(topics)
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.change(|state| {
            let of = state.topics.get_mut(topic).ok_or_else(|| AdminError::Missing(topic.clone()))?;
            of.access = access.iter().cloned().collect();
            Ok(())
        })
    }

    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        let state = self.lock();
        let of = state.topics.get(topic).ok_or_else(|| AdminError::Missing(topic.clone()))?;
        Ok(of.access.iter().cloned().collect())
    }

    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        let gone = || ClaimError::Storage(group.clone(), injected("the log is gone"));
        let log = self.this.upgrade().ok_or_else(gone)?;
        if !principal.is_role() {
            return Err(ClaimError::Denied(principal.clone()));
        }
        let (epoch, committed) = self.change(|state| {
            let of = state.groups.entry(group.clone()).or_default();
            of.epoch += 1;
            (of.epoch, of.committed.clone())
        });
        Ok(Box::new(MemoryClaim { log, group: group.clone(), epoch, committed, dead: false }))
    }

    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(MemoryWriter { log: self.this.clone(), principal: principal.clone(), accepted: Vec::new() })
    }

    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        let state = self.lock();
        let mut sources = Vec::with_capacity(from.len());
        for (of, position) in from {
            let (topic_id, partition) = state.readable(principal, of)?;
            let bounds = partition.bounds();
            if *position < bounds.start || *position > bounds.end {
                return Err(ReadError::Gone { of: of.clone(), position: *position, bounds });
            }
            sources.push(Source { of: of.clone(), topic_id, next: position.0 });
        }
        Ok(Box::new(MemoryReader { log: self.this.clone(), principal: principal.clone(), sources, turn: 0 }))
    }

    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        self.lock().readable(principal, of).map(|(_, partition)| partition.bounds())
    }

    fn maintain(&self, now_ms: i64) -> Result<(), AdminError> {
        self.change(|state| {
            for topic in state.topics.values_mut() {
                for partition in &mut topic.partitions {
                    match topic.spec.retention {
                        Retention::Forever => {}
                        Retention::Days(days) => partition.drop_older(now_ms - i64::from(days) * DAY_MS),
                        Retention::Compacted { tombstone_days } => {
                            partition.compact(now_ms - i64::from(tombstone_days) * DAY_MS);
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

struct MemoryClaim {
    log: Arc<MemoryLog>,
    group: Group,
    epoch: u64,
    committed: Committed,
    dead: bool,
}

impl MemoryClaim {
    fn wait_while_held(&self) {
        let mut state = self.log.lock();
        if !state.pending.hold {
            return;
        }
        state.pending.held += 1;
        self.log.changed.notify_all();
        while state.pending.hold {
            state = self.log.wait(state, Duration::from_secs(3600));
        }
        state.pending.held -= 1;
    }
}

impl Claim for MemoryClaim {
    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        self.wait_while_held();
        let log = self.log.clone();
        log.change(|state| {
            if state.groups.get(&self.group).is_none_or(|g| g.epoch != self.epoch) {
                self.dead = true;
                return Err(CommitError::Fenced(self.group.clone()));
            }
            if self.dead {
                return Err(CommitError::Unclear("the claim is dead: an earlier commit had no known outcome".into()));
            }
            state.check(&batch)?;
            let fault = state.pending.commits.pop_front();
            match fault {
                Some(CommitFault::Refused) => {
                    let to = batch.records.first().map(|r| r.to.clone());
                    let to = to.unwrap_or_else(|| TopicPartition::new(Topic::Heads, 0));
                    return Err(CommitError::Refused { to, reason: "a fault on command".into() });
                }
                Some(CommitFault::UnclearLost) => {
                    self.dead = true;
                    return Err(CommitError::Unclear(injected("the answer was lost")));
                }
                Some(CommitFault::Full) => return Err(CommitError::Full(injected("no room"))),
                None if state.pending.full => return Err(CommitError::Full(injected("no room"))),
                Some(CommitFault::UnclearWritten) | None => {}
            }
            // The group's own map, not the claim's copy: a topic deleted since has taken its positions with it.
            if let Some(group) = state.groups.get_mut(&self.group) {
                group.committed.consumed.extend(batch.consumed);
                group.committed.metadata = batch.metadata;
                self.committed = group.committed.clone();
            }
            let ends = state.append(batch.records, 1);
            if fault == Some(CommitFault::UnclearWritten) {
                self.dead = true;
                return Err(CommitError::Unclear(injected("the answer was lost")));
            }
            Ok(ends)
        })
    }
}

struct MemoryWriter {
    log: std::sync::Weak<MemoryLog>,
    principal: Principal,
    accepted: Vec<NewRecord>,
}

impl MemoryWriter {
    fn check(&self, state: &State, records: &[NewRecord]) -> Result<(), WriteError> {
        for record in records {
            let allowed = state.partition(&record.to).is_some_and(|(t, _)| t.allows(&self.principal, Operation::Write));
            if !allowed {
                return Err(WriteError::Denied { principal: self.principal.clone(), to: record.to.clone() });
            }
            let bytes = size(record);
            if bytes > MAX_LOG_RECORD_BYTES {
                let reason = format!("{}: a record of {bytes} bytes, more than {MAX_LOG_RECORD_BYTES}", record.to);
                return Err(WriteError::Storage(reason.into()));
            }
        }
        Ok(())
    }
}

impl Writer for MemoryWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        let log = self.log.upgrade().ok_or_else(|| WriteError::Storage(injected("the log is gone")))?;
        if let Err(error) = self.check(&log.lock(), &records) {
            self.accepted.clear();
            return Err(error);
        }
        self.accepted.extend(records);
        Ok(())
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        let log = self.log.upgrade().ok_or_else(|| WriteError::Storage(injected("the log is gone")))?;
        let records = std::mem::take(&mut self.accepted);
        if records.is_empty() {
            return Ok(Vec::new());
        }
        log.change(|state| {
            self.check(state, &records)?;
            let fault = state.pending.flushes.pop_front();
            match fault {
                Some(FlushFault::Full) => return Err(WriteError::Full(injected("no room"))),
                None if state.pending.full => return Err(WriteError::Full(injected("no room"))),
                Some(FlushFault::FailedLost) => return Err(WriteError::Storage(injected("the write failed"))),
                Some(FlushFault::FailedWritten) | None => {}
            }
            let ends = state.append(records, 0);
            match fault {
                Some(_) => Err(WriteError::Storage(injected("the answer was lost"))),
                None => Ok(ends),
            }
        })
    }
}

struct MemoryReader {
    log: std::sync::Weak<MemoryLog>,
    principal: Principal,
    sources: Vec<Source>,
    /// Whose turn it is to be served first: without it, the first partition could fill every answer.
    turn: usize,
}

struct Source {
    of: TopicPartition,
    topic_id: u64,
    next: u64,
}

impl MemoryReader {
    fn gather(&mut self, state: &State, max_records: usize, max_bytes: usize) -> Result<Vec<Record>, ReadError> {
        let count = self.sources.len();
        let mut found = Vec::new();
        let mut bytes = 0;
        for source in &self.sources {
            let (topic_id, partition) = state.readable(&self.principal, &source.of)?;
            if topic_id != source.topic_id {
                return Err(ReadError::Denied { principal: self.principal.clone(), of: source.of.clone() });
            }
            if source.next < partition.start {
                let (of, position) = (source.of.clone(), Position(source.next));
                return Err(ReadError::Gone { of, position, bounds: partition.bounds() });
            }
        }
        // First an equal share for each, then whatever is left over.
        for share in [max_records.div_ceil(count.max(1)), max_records] {
            for step in 0..count {
                let index = (self.turn + step) % count;
                let source = &mut self.sources[index];
                let Some((_, partition)) = state.partition(&source.of) else { continue };
                for (at, stored) in partition.records.range(source.next..).take(share) {
                    if found.len() >= max_records || (!found.is_empty() && bytes + stored.bytes() > max_bytes) {
                        break;
                    }
                    bytes += stored.bytes();
                    found.push(stored.record(index, *at));
                    source.next = at + 1;
                }
                if partition.records.range(source.next..).next().is_none() {
                    source.next = partition.end;
                }
            }
        }
        if !found.is_empty() {
            self.turn = (self.turn + 1) % count;
        }
        Ok(found)
    }
}

impl Reader for MemoryReader {
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        let deadline = Instant::now() + wait;
        let Some(log) = self.log.upgrade() else { return Ok(Vec::new()) };
        let mut state = log.lock();
        if state.pending.failing_reads > 0
            && let Some(source) = self.sources.first()
        {
            state.pending.failing_reads -= 1;
            return Err(ReadError::Storage { of: source.of.clone(), source: injected("the read failed") });
        }
        loop {
            let found = self.gather(&state, max_records.max(1), max_bytes)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() {
                return Ok(found);
            }
            state = log.wait(state, left);
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.sources.iter().map(|source| Position(source.next)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builders::{record, spec, topic};

    #[test]
    fn a_commit_is_read_back_and_a_held_one_is_fenced() {
        let log = MemoryLog::new();
        let to = topic("data.dan-cu");
        log.create_topic(&spec(&to, 1)).unwrap();
        let group = Group::new("g").unwrap();
        let mut claim = log.claim(&Principal::router(), &group).unwrap();
        claim.commit(Batch { records: vec![record(&to, 0, "k", "1")], ..Batch::default() }).unwrap();
        log.faults().hold_commits();
        let held = std::thread::spawn(move || {
            claim.commit(Batch { records: vec![record(&topic("data.dan-cu"), 0, "k", "2")], ..Batch::default() })
        });
        log.faults().wait_for_held_commits(1);
        let _new = log.claim(&Principal::router(), &group).unwrap();
        log.faults().release_commits();
        assert!(matches!(held.join().unwrap(), Err(CommitError::Fenced(_))));
        let mut reader =
            log.reader(&Principal::router(), &[(TopicPartition::new(to.clone(), 0), Position(0))]).unwrap();
        let found = reader.poll(10, 1 << 20, Duration::ZERO).unwrap();
        assert_eq!(found, log.records(&to));
        assert_eq!(found.len(), 1);
        assert_eq!(reader.positions(), [Position(2)]);
    }
}
