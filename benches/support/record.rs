//! A log and a store that remember what was written to them: what a baseline then writes too, in the same batches.

use std::sync::{Arc, Mutex};

use kenh_consumers::store::{
    Batch as Rows, Counters, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore,
};
use kenh_domain::log::{Batch, Claim, ClaimError, CommitError, Committed, Log, Position, TopicPartition};
use kenh_domain::names::{Group, Principal};
use kenh_domain::notice::ViewCard;

/// A log that remembers every batch committed through it.
pub struct RecordingLog {
    inner: Arc<dyn Log>,
    pub batches: Arc<Mutex<Vec<Batch>>>,
}

impl RecordingLog {
    pub fn new(inner: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self { inner, batches: Arc::default() })
    }

    /// The batches that wrote records.
    pub fn take(&self) -> Vec<Batch> {
        let mut all = std::mem::take(&mut *self.batches.lock().expect("nobody panicked"));
        all.retain(|b| !b.records.is_empty());
        all
    }
}

struct RecordingClaim {
    inner: Box<dyn Claim>,
    batches: Arc<Mutex<Vec<Batch>>>,
}

impl Claim for RecordingClaim {
    fn committed(&self) -> &Committed {
        self.inner.committed()
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        let kept = batch.clone();
        let ends = self.inner.commit(batch)?;
        self.batches.lock().expect("nobody panicked").push(kept);
        Ok(ends)
    }
}

impl Log for RecordingLog {
    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        let inner = self.inner.claim(principal, group)?;
        Ok(Box::new(RecordingClaim { inner, batches: self.batches.clone() }))
    }

    kenh_testkit::hand_on!(inner: incarnation, create_topic, delete_topic, topics, set_access, access, writer, reader, bounds, shows_uncommitted, maintain);
}

/// Told of each batch once it is durable and visible.
pub type Seen = Box<dyn Fn(&Rows) + Send + Sync>;

/// A store that tells of what was applied to it.
pub struct WatchedStore {
    pub inner: Arc<dyn ViewStore>,
    pub seen: Seen,
}

impl ViewStore for WatchedStore {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        self.inner.generations()
    }
    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        self.inner.begin(card, indexes, progress)
    }
    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        self.inner.set_card(generation, card)
    }
    fn apply(&self, generation: Generation, batch: &Rows, progress: &Progress) -> Result<Counters, StoreError> {
        let counters = self.inner.apply(generation, batch, progress)?;
        (self.seen)(batch);
        Ok(counters)
    }
    fn publish(&self, generation: Generation) -> Result<(), StoreError> {
        self.inner.publish(generation)
    }
    fn discard(&self, generation: Generation) -> Result<(), StoreError> {
        self.inner.discard(generation)
    }
    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.inner.snapshot(generation)
    }
    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.note(name)
    }
    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError> {
        self.inner.set_note(name, note)
    }
}
