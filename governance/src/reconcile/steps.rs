//! For tests: a log that notes each change made through it, and stops at one: from there on everything fails.

use std::sync::{Arc, Mutex};

use kenh_domain::log::{Access, AdminError, Log, NewRecord, Position, TopicPartition, TopicSpec, WriteError, Writer};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_testkit::MemoryLog;

/// The log in memory, with a count of the changes that still succeed.
pub struct Steps {
    log: Arc<MemoryLog>,
    state: Arc<State>,
}

struct State {
    made: Mutex<Vec<String>>,
    left: Mutex<usize>,
    /// Whether the change at which it stops is made all the same.
    answer_lost: bool,
}

impl Steps {
    /// One that never stops.
    pub fn of(log: &Arc<MemoryLog>) -> Arc<Self> {
        Self::stopping(log, usize::MAX, false)
    }

    /// One that stops after `left` changes; the last of them fails all the same with `answer_lost`.
    pub fn stopping(log: &Arc<MemoryLog>, left: usize, answer_lost: bool) -> Arc<Self> {
        let state = State { made: Mutex::default(), left: left.into(), answer_lost };
        Arc::new(Self { log: log.clone(), state: state.into() })
    }

    /// The changes made so far, in order.
    pub fn made(&self) -> Vec<String> {
        self.state.made.lock().unwrap().clone()
    }

    fn admin(&self, what: String, change: impl FnOnce() -> Result<(), AdminError>) -> Result<(), AdminError> {
        self.state.step(what, || AdminError::Storage("stopped".into()), change)
    }
}

impl State {
    fn step<T, E>(
        &self,
        what: String,
        failed: impl FnOnce() -> E,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            return Err(failed());
        }
        *left -= 1;
        let done = change()?;
        self.made.lock().unwrap().push(what);
        if *left == 0 && self.answer_lost { Err(failed()) } else { Ok(done) }
    }
}

struct StepWriter {
    state: Arc<State>,
    writer: Box<dyn Writer>,
    to: Option<Topic>,
}

impl Writer for StepWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        self.to = records.first().map(|r| r.to.topic.clone());
        self.writer.write(records)
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        let Some(to) = self.to.take() else { return self.writer.flush() };
        let writer = &mut self.writer;
        self.state.step(format!("write {to}"), || WriteError::Storage("stopped".into()), || writer.flush())
    }
}

impl Log for Steps {
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.admin(format!("make {}", spec.topic), || self.log.create_topic(spec))
    }
    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.admin(format!("delete {topic}"), || self.log.delete_topic(topic))
    }
    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.admin(format!("access {topic} {}", access.len()), || self.log.set_access(topic, access))
    }
    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(StepWriter { state: self.state.clone(), writer: self.log.writer(principal), to: None })
    }

    kenh_testkit::hand_on!(log: incarnation, topics, access, claim, reader, bounds, shows_uncommitted, maintain);
}
