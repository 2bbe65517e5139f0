//! Access lists, in the compacted topic `kenh.access`: key a topic's name, value its list as JSON; a tombstone when the
//! topic is deleted. Every process keeps them in memory and follows the topic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kenh_domain::log::{Access, AdminError, Operation, Retention};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::fetch::{Fetched, Fetcher};
use super::topics::Topics;
use super::{ADMIN_TIMEOUT, Options, QUERY_TIMEOUT, settings};

pub const NAME: &str = "kenh.access";
/// How long the follower waits before it looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two steps of a wait for a delivery.
const STEP: Duration = Duration::from_micros(500);

#[derive(Default)]
struct State {
    lists: HashMap<Topic, Vec<Access>>,
    /// Everything before this offset is in `lists`.
    until: i64,
    failed: Option<String>,
}

struct Inner {
    state: Mutex<State>,
    moved: Condvar,
    stop: AtomicBool,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct AccessLists {
    inner: Arc<Inner>,
    topics: Arc<Topics>,
    producer: BaseProducer,
    asker: BaseConsumer,
    follower: Option<JoinHandle<()>>,
    /// One change at a time.
    changing: Mutex<()>,
}

fn failed(error: impl Into<kenh_domain::log::StorageError>) -> AdminError {
    AdminError::Storage(error.into())
}

impl AccessLists {
    pub fn open(options: &Options, topics: Arc<Topics>) -> Result<Arc<Self>, AdminError> {
        topics.make(NAME, 1, Retention::Compacted { tombstone_days: 30 })?;
        let asker: BaseConsumer = settings::consumer(options, "kenh-access").create().map_err(failed)?;
        let start = await_bounds(&asker)?.0;
        let mut fetcher = Fetcher::open(options, "kenh-access", &[(NAME.into(), 0, start)]).map_err(failed)?;
        let inner =
            Arc::new(Inner { state: Mutex::default(), moved: Condvar::new(), stop: AtomicBool::new(false) });
        let follow = inner.clone();
        let follower = std::thread::Builder::new().name("kenh-access".into()).spawn(move || {
            while !follow.stop.load(Ordering::Relaxed) {
                let mut state = None;
                fetcher.poll(1_000, LOOK_EVERY, |fetched| {
                    let state = state.get_or_insert_with(|| follow.lock());
                    state.take(fetched);
                });
                if state.is_some() {
                    drop(state);
                    follow.moved.notify_all();
                }
            }
        });
        let producer = settings::producer(options, "kenh-access").set("linger.ms", "0").create().map_err(failed)?;
        let lists = Self {
            inner,
            topics,
            producer,
            asker,
            follower: Some(follower.map_err(failed)?),
            changing: Mutex::default(),
        };
        lists.catch_up()?;
        Ok(Arc::new(lists))
    }

    /// Waits until everything that is in the topic now is in memory.
    fn catch_up(&self) -> Result<(), AdminError> {
        let end = await_bounds(&self.asker)?.1;
        let begun = Instant::now();
        let mut state = self.inner.lock();
        while state.until < end {
            if let Some(why) = state.failed.take() {
                return Err(failed(why));
            }
            if begun.elapsed() > ADMIN_TIMEOUT {
                return Err(failed(format!("{NAME} was not read to its end within {} s", ADMIN_TIMEOUT.as_secs())));
            }
            state = self.inner.moved.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn write(&self, topic: &Topic, list: Option<&[Access]>) -> Result<(), AdminError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let value = list.map(serde_json::to_vec).transpose().map_err(failed)?;
        let key = topic.to_string();
        let mut record = BaseRecord::<str, [u8]>::to(NAME).partition(0).key(&key);
        if let Some(value) = &value {
            record = record.payload(value);
        }
        self.producer.send(record).map_err(|(error, _)| failed(error))?;
        let begun = Instant::now();
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(STEP);
            if begun.elapsed() > ADMIN_TIMEOUT {
                return Err(failed(format!("{NAME} could not be written within {} s", ADMIN_TIMEOUT.as_secs())));
            }
        }
        self.catch_up()
    }

    /// A topic is there; nobody has access until a list says so.
    pub fn know(&self, topic: &Topic) -> Result<(), AdminError> {
        if self.get(topic).is_none() { self.write(topic, Some(&[])) } else { Ok(()) }
    }

    pub fn forget(&self, topic: &Topic) -> Result<(), AdminError> {
        if self.get(topic).is_some() { self.write(topic, None) } else { Ok(()) }
    }

    pub fn set(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        if self.topics.partitions(topic).is_none() {
            return Err(AdminError::Missing(topic.clone()));
        }
        let mut list = access.to_vec();
        list.sort();
        list.dedup();
        if self.get(topic).as_ref() == Some(&list) {
            return Ok(());
        }
        self.write(topic, Some(&list))?;
        if self.get(topic).as_ref() == Some(&list) {
            return Ok(());
        }
        Err(failed(format!("the access list of {topic} is not in force: {NAME} was written by somebody else meanwhile")))
    }

    pub fn get(&self, topic: &Topic) -> Option<Vec<Access>> {
        self.inner.lock().lists.get(topic).cloned()
    }

    fn may(&self, principal: &Principal, topic: &Topic, operation: Operation) -> bool {
        let state = self.inner.lock();
        state.lists.get(topic).is_some_and(|list| {
            principal.is_role() || list.iter().any(|a| &a.principal == principal && a.operation == operation)
        })
    }

    pub fn may_read(&self, principal: &Principal, topic: &Topic) -> bool {
        self.may(principal, topic, Operation::Read)
    }

    pub fn may_write(&self, principal: &Principal, topic: &Topic) -> bool {
        self.may(principal, topic, Operation::Write)
    }
}

impl Drop for AccessLists {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Relaxed);
        if let Some(follower) = self.follower.take()
            && follower.join().is_err()
        {
            tracing::error!("the follower of the access lists panicked");
        }
    }
}

impl State {
    fn take(&mut self, fetched: Fetched) {
        match fetched {
            Fetched::Record { offset, key, value, .. } => {
                let topic = std::str::from_utf8(&key).ok().and_then(|name| name.parse::<Topic>().ok());
                let list = value.as_deref().map(serde_json::from_slice::<Vec<Access>>);
                match (topic, list) {
                    (Some(topic), Some(Ok(list))) => drop(self.lists.insert(topic, list)),
                    (Some(topic), None) => drop(self.lists.remove(&topic)),
                    // Default deny: what cannot be read gives nobody access.
                    (Some(topic), Some(Err(_))) => drop(self.lists.insert(topic, Vec::new())),
                    (None, _) => tracing::error!(offset, "a record of {NAME} names no topic of the bus"),
                }
                self.until = self.until.max(offset + 1);
            }
            Fetched::End { offset, .. } => self.until = self.until.max(offset),
            Fetched::Failed { code, message, .. } => {
                tracing::warn!(%code, message, "following {NAME}");
                self.failed = Some(format!("{code}: {message}"));
            }
        }
    }
}

/// First and end offset of the topic; it may have been made a moment ago.
fn await_bounds(asker: &BaseConsumer) -> Result<(i64, i64), AdminError> {
    let begun = Instant::now();
    loop {
        match asker.fetch_watermarks(NAME, 0, QUERY_TIMEOUT) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if begun.elapsed() > ADMIN_TIMEOUT => return Err(failed(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
