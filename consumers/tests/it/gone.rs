//! A log that takes back where it has just said that it starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kenh_consumers::subscriber::{Config, CopyState, RETRY_MS, Subscriber};
use kenh_domain::log::{Bounds, Log, Position, ReadError, Reader, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_testkit::MemoryLog;

use crate::memory_store::MemoryStore;
use crate::support::{Bus, rows, settle, shown};

/// Whoever reads a view is told that it starts later, and whoever asks where is told the same as before.
struct Receding {
    log: Arc<MemoryLog>,
    recedes: AtomicBool,
    asked: AtomicUsize,
}

impl Log for Receding {
    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        let view = from.iter().find(|(of, _)| matches!(of.topic, Topic::View(..)));
        match view.filter(|_| self.recedes.load(Ordering::Relaxed)) {
            Some((of, position)) => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let bounds = Bounds { start: Position(position.0 + 1), end: Position(position.0 + 1) };
                Err(ReadError::Gone { of: of.clone(), position: *position, bounds })
            }
            None => self.log.reader(principal, from),
        }
    }

    kenh_testkit::hand_on!(log: incarnation, create_topic, delete_topic, topics, set_access, access, claim, writer, bounds, shows_uncommitted, maintain);
}

#[test]
fn a_log_that_takes_back_its_start_is_asked_again_later_and_not_without_end() {
    let bus = Bus::new(1);
    bus.activate(1);
    bus.put(1, "a", Some(crate::support::row("a", None, 1)));
    let log = Receding { log: bus.log.clone(), recedes: AtomicBool::new(true), asked: AtomicUsize::new(0) };
    let log = Arc::new(log);
    let store = Arc::new(MemoryStore::default());
    let mut subscriber = Subscriber::open(Config { log: log.clone(), ..bus.config(store.clone()) }).unwrap();
    for asked in 1..=3 {
        settle(&mut subscriber);
        let stats = subscriber.stats().lock().unwrap().clone();
        assert!(
            matches!(&stats.copies[0].state, CopyState::Refused(why) if why.contains("has no position")),
            "{stats:?}"
        );
        assert_eq!(log.asked.load(Ordering::Relaxed), asked);
        bus.advance(RETRY_MS);
    }
    log.recedes.store(false, Ordering::Relaxed);
    settle(&mut subscriber);
    assert_eq!(rows(&*store, shown(&*store).unwrap().generation).len(), 1);
}
