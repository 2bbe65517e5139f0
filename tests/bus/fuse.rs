//! Dying between any two steps: a log and a store that end the process, without a word, at the n-th step that changes
//! something. Each such call is two steps, before and after it. What only reads is none: dying there is dying before the
//! next change.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kenh_consumers::store::{
    Batch as Rows, Counters, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore,
};
use kenh_domain::log::{
    Access, AdminError, Batch, Claim, ClaimError, CommitError, Committed, Log, NewRecord, Position, TopicPartition,
    TopicSpec, WriteError, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::notice::ViewCard;
use kenh_domain::topic::Topic;

/// How many steps are left.
#[derive(Clone)]
pub struct Fuse(Arc<AtomicI64>);

impl Fuse {
    /// Dies at step `steps`, from 1.
    pub fn new(steps: i64) -> Self {
        Self(Arc::new(AtomicI64::new(steps)))
    }

    fn step(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            // No destructor runs, nothing is flushed: what kill -9 does.
            std::process::abort();
        }
    }

    fn around<T>(&self, work: impl FnOnce() -> T) -> T {
        self.step();
        let done = work();
        self.step();
        done
    }
}

/// A log with a fuse.
pub struct FusedLog {
    pub inner: Arc<dyn Log>,
    pub fuse: Fuse,
}

struct FusedClaim(Box<dyn Claim>, Fuse);
struct FusedWriter(Box<dyn Writer>, Fuse);

impl Claim for FusedClaim {
    fn committed(&self) -> &Committed {
        self.0.committed()
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        self.1.around(|| self.0.commit(batch))
    }
}

impl Writer for FusedWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        self.0.write(records)
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        self.1.around(|| self.0.flush())
    }
}

impl Log for FusedLog {
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.fuse.around(|| self.inner.create_topic(spec))
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.fuse.around(|| self.inner.delete_topic(topic))
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.fuse.around(|| self.inner.set_access(topic, access))
    }

    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        let claim = self.fuse.around(|| self.inner.claim(principal, group))?;
        Ok(Box::new(FusedClaim(claim, self.fuse.clone())))
    }

    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(FusedWriter(self.inner.writer(principal), self.fuse.clone()))
    }

    fn maintain(&self, now_ms: i64) -> Result<(), AdminError> {
        self.fuse.around(|| self.inner.maintain(now_ms))
    }

    kenh_testkit::hand_on!(inner: incarnation, topics, access, reader, bounds, shows_uncommitted);
}

/// A store with a fuse.
pub struct FusedStore {
    pub inner: Arc<dyn ViewStore>,
    pub fuse: Fuse,
}

impl ViewStore for FusedStore {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        self.inner.generations()
    }

    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        self.fuse.around(|| self.inner.begin(card, indexes, progress))
    }

    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        self.fuse.around(|| self.inner.set_card(generation, card))
    }

    fn apply(&self, generation: Generation, batch: &Rows, progress: &Progress) -> Result<Counters, StoreError> {
        self.fuse.around(|| self.inner.apply(generation, batch, progress))
    }

    fn publish(&self, generation: Generation) -> Result<(), StoreError> {
        self.fuse.around(|| self.inner.publish(generation))
    }

    fn discard(&self, generation: Generation) -> Result<(), StoreError> {
        self.fuse.around(|| self.inner.discard(generation))
    }

    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.inner.snapshot(generation)
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.note(name)
    }

    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError> {
        self.fuse.around(|| self.inner.set_note(name, note))
    }
}
