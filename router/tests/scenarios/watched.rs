//! A log that remembers what was asked of it: every batch that was to be committed, also those that were not, and where
//! readers began.

use std::sync::{Arc, Mutex};

use kenh_domain::log::{
    Access, AdminError, Batch, Bounds, Claim, ClaimError, CommitError, Committed, Incarnation, Log, NewRecord,
    Position, ReadError, Reader, TopicPartition, TopicSpec, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
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
    fn incarnation(&self) -> Incarnation {
        self.log.incarnation()
    }
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.log.create_topic(spec)
    }
    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.log.delete_topic(topic)
    }
    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        self.log.topics()
    }
    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.log.set_access(topic, access)
    }
    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        self.log.access(topic)
    }
    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        let claim = self.log.claim(principal, group)?;
        Ok(Box::new(WatchedClaim { claim, asked: self.asked.clone() }))
    }
    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        self.log.writer(principal)
    }
    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        self.asked.lock().unwrap().readers.extend(from.iter().cloned());
        self.log.reader(principal, from)
    }
    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        self.log.bounds(principal, of)
    }
    fn maintain(&self, now_ms: i64) -> Result<(), AdminError> {
        self.log.maintain(now_ms)
    }
}
