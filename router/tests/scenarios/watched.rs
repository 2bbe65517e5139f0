//! A log that remembers what was asked of it: every batch that was to be committed, also those that were not, and where
//! readers began.

use std::sync::{Arc, Mutex};

use kenh_domain::log::{
    Batch, Claim, ClaimError, CommitError, Committed, Log, NewRecord, Position, ReadError, Reader, TopicPartition,
};
use kenh_domain::names::{Group, Principal};
use kenh_testkit::MemoryLog;

#[derive(Default)]
pub struct Asked {
    pub records: Vec<NewRecord>,
    pub readers: Vec<(TopicPartition, Position)>,
}

pub struct Watched {
    pub log: Arc<MemoryLog>,
    pub asked: Arc<Mutex<Asked>>,
}

impl Watched {
    pub fn new(log: &Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), asked: Arc::default() })
    }
}

struct WatchedClaim {
    claim: Box<dyn Claim>,
    asked: Arc<Mutex<Asked>>,
}

impl Claim for WatchedClaim {
    fn committed(&self) -> &Committed {
        self.claim.committed()
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        self.asked.lock().unwrap().records.extend(batch.records.iter().cloned());
        self.claim.commit(batch)
    }
}

impl Log for Watched {
    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        let claim = self.log.claim(principal, group)?;
        Ok(Box::new(WatchedClaim { claim, asked: self.asked.clone() }))
    }
    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        self.asked.lock().unwrap().readers.extend(from.iter().cloned());
        self.log.reader(principal, from)
    }

    kenh_testkit::hand_on!(log: incarnation, create_topic, delete_topic, topics, set_access, access, writer, bounds, shows_uncommitted, maintain);
}
