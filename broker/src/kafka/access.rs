//! Access lists, in the compacted topic `kenh.access`: key a topic's name, value its list as JSON (format 1, below), or
//! that the topic was deleted, which stays for good. Every process keeps them in memory and follows the topic: what one
//! sets is in force there when the call returns, and in the others when their follower has read it.
//!
//! ```json
//! {"format":1,"access":[{"principal":"…","operation":"read"}]}
//! {"format":1,"deleted":true}
//! ```
//!
//! Beside them stands which certificates of a system are in force, under the key `serials:<system>`:
//!
//! ```json
//! {"format":1,"serials":[2,3]}
//! ```
//!
//! A system of an agency that comes with a certificate of its own has no right to this topic. For such a *guest* the
//! cluster alone says what he may do, and nothing is known here.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kenh_domain::identity::Serial;
use kenh_domain::log::{Access, AdminError, Operation, Retention};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use rdkafka::consumer::Consumer as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde::{Deserialize, Serialize};

use super::boundary::{Lists, Serials};
use super::fetch::{Fetched, Fetcher, is_transient};
use super::topics::Topics;
use super::{ADMIN_TIMEOUT, Asker, Options, QUERY_TIMEOUT, settings};

pub const NAME: &str = "kenh.access";
/// How long the follower waits before it looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For how long it stands that everything in the topic is in memory, or that the cluster does not answer.
const HEARD_FOR: Duration = Duration::from_secs(1);
/// How long the cluster has to answer whether there is more.
const HEAR_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two steps of a wait for a delivery.
const STEP: Duration = Duration::from_micros(500);

/// A value of the topic.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Access>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serials: Option<BTreeSet<Serial>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

/// What a key begins with that names a system and not a topic; no topic's name holds a colon.
const SERIALS_OF: &str = "serials:";

/// The number of the format above.
const FORMAT: u32 = 1;

/// Just the number: read first, so that a newer format is told from nonsense.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Default)]
struct State {
    lists: Lists,
    serials: Serials,
    /// Names that are not used again.
    deleted: HashSet<Topic>,
    /// A format that this release does not know was seen.
    newer: Option<u32>,
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
    /// Who we are, where that is no role of the bus.
    guest: Option<Principal>,
    inner: Arc<Inner>,
    topics: Arc<Topics>,
    producer: BaseProducer,
    asker: Arc<Asker>,
    follower: Option<JoinHandle<()>>,
    /// One change at a time.
    changing: Mutex<()>,
    /// When the cluster was last asked whether everything is in memory, and why that is not known.
    heard: Mutex<Option<(Instant, Result<(), String>)>>,
}

fn failed(error: impl Into<kenh_domain::log::StorageError>) -> AdminError {
    AdminError::Storage(error.into())
}

impl AccessLists {
    pub fn open(options: &Options, topics: Arc<Topics>, asker: Arc<Asker>) -> Result<Arc<Self>, AdminError> {
        // A role that may read it need not be one that may make it.
        let exists = asker.fetch_metadata(Some(NAME), QUERY_TIMEOUT).map_err(failed)?;
        if exists.topics().iter().all(|topic| topic.partitions().is_empty()) {
            topics.make(NAME, 1, Retention::Compacted { tombstone_days: 30 })?;
        }
        let start = await_bounds(&asker)?.0;
        let mut fetcher = Fetcher::new(options, "kenh-access").map_err(failed)?;
        fetcher.assign(&[(NAME.into(), 0, start)]).map_err(failed)?;
        let inner = Arc::new(Inner { state: Mutex::default(), moved: Condvar::new(), stop: AtomicBool::new(false) });
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
            guest: None,
            inner,
            topics,
            producer,
            asker,
            follower: Some(follower.map_err(failed)?),
            changing: Mutex::default(),
            heard: Mutex::default(),
        };
        lists.catch_up()?;
        if let Some(format) = lists.inner.lock().newer {
            return Err(failed(format!("{NAME} has format {format}; this release knows {FORMAT}: use a newer one")));
        }
        Ok(Arc::new(lists))
    }

    /// For a system that comes with a certificate of its own: the cluster says what it may do.
    pub fn guest(
        options: &Options,
        topics: Arc<Topics>,
        asker: Arc<Asker>,
        me: Principal,
    ) -> Result<Arc<Self>, AdminError> {
        let inner = Arc::new(Inner { state: Mutex::default(), moved: Condvar::new(), stop: AtomicBool::new(true) });
        let producer = settings::producer(options, "kenh-access").create().map_err(failed)?;
        Ok(Arc::new(Self {
            guest: Some(me),
            inner,
            topics,
            producer,
            asker,
            follower: None,
            changing: Mutex::default(),
            heard: Mutex::default(),
        }))
    }

    /// Waits until everything that is in the topic now is in memory.
    pub fn catch_up(&self) -> Result<(), AdminError> {
        self.read_to(await_bounds(&self.asker)?.1, ADMIN_TIMEOUT).map_err(failed)
    }

    /// Whether everything that is in the topic is in memory, as of a second ago at most. Of all who ask, one asks the
    /// cluster, and the others are told the same.
    pub fn hear(&self) -> Result<(), AdminError> {
        if let Some(me) = &self.guest {
            return Err(failed(format!("{me} is no role of the bus: only those know which certificates are in force")));
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heard.as_ref().filter(|(at, _)| at.elapsed() < HEARD_FOR).map(|(_, known)| known.clone());
        let known = known.unwrap_or_else(|| {
            let asked = Instant::now();
            let end = self.asker.fetch_watermarks(NAME, 0, HEAR_TIMEOUT).map_err(|error| error.to_string());
            let known = end.and_then(|(_, end)| self.read_to(end, HEAR_TIMEOUT));
            // What is known is as old as the question; what is not, as the answer: or everybody in turn would wait for it.
            *heard = Some((if known.is_ok() { asked } else { Instant::now() }, known.clone()));
            known
        });
        known.map_err(failed)
    }

    /// Waits until everything before `end` is in memory.
    fn read_to(&self, end: i64, patience: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut state = self.inner.lock();
        while state.until < end {
            if let Some(why) = state.failed.take() {
                return Err(why);
            }
            if begun.elapsed() > patience {
                return Err(format!("{NAME} was not read to its end within {} s", patience.as_secs()));
            }
            state = self.inner.moved.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// None: it is deleted.
    fn write(&self, topic: &Topic, list: Option<&[Access]>) -> Result<(), AdminError> {
        let access = list.map(<[Access]>::to_vec);
        let entry = Entry { format: FORMAT, access, serials: None, deleted: list.is_none() };
        self.put(&topic.to_string(), &entry)
    }

    fn put(&self, key: &str, entry: &Entry) -> Result<(), AdminError> {
        if let Some(me) = &self.guest {
            return Err(failed(format!("{me} is no role of the bus: only those change access lists")));
        }
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let value = serde_json::to_vec(entry).map_err(failed)?;
        let record = BaseRecord::<str, [u8]>::to(NAME).partition(0).key(key).payload(&value);
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

    /// Whether a name is free to be made, or is made already.
    pub fn may_make(&self, topic: &Topic) -> Result<(), AdminError> {
        match self.inner.lock().deleted.contains(topic) {
            true => Err(failed(format!(
                "topic {topic} was deleted, and its name is not used again: its positions would be"
            ))),
            false => Ok(()),
        }
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
        Err(failed(format!(
            "the access list of {topic} is not in force: {NAME} was written by somebody else meanwhile"
        )))
    }

    pub fn get(&self, topic: &Topic) -> Option<Vec<Access>> {
        self.inner.lock().lists.get(topic).cloned()
    }

    /// Which certificates of a system are in force.
    pub fn serials(&self, system: &Principal) -> BTreeSet<Serial> {
        self.inner.lock().serials.get(system).cloned().unwrap_or_default()
    }

    /// From here on these certificates of a system are in force, and no others.
    pub fn set_serials(&self, system: &Principal, serials: BTreeSet<Serial>) -> Result<(), AdminError> {
        let entry = Entry { format: FORMAT, access: None, serials: Some(serials), deleted: false };
        self.put(&format!("{SERIALS_OF}{system}"), &entry)
    }

    /// Everything that the cluster's own lists are made of, as far as it has been read.
    pub fn everything<T>(&self, look: impl FnOnce(&Lists, &Serials) -> T) -> T {
        let state = self.inner.lock();
        look(&state.lists, &state.serials)
    }

    /// How far the topic has been read.
    pub fn read_until(&self) -> i64 {
        self.inner.lock().until
    }

    fn may(&self, principal: &Principal, topic: &Topic, operation: Operation) -> bool {
        if let Some(me) = &self.guest {
            return me == principal;
        }
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
                let key = std::str::from_utf8(&key).unwrap_or_default();
                let system = key.strip_prefix(SERIALS_OF).and_then(|system| system.parse::<Principal>().ok());
                match (key.parse::<Topic>(), system) {
                    (Ok(topic), _) => self.put(offset, topic, value.as_deref()),
                    (Err(_), Some(system)) => self.put_serials(offset, system, value.as_deref()),
                    (Err(_), None) => tracing::error!(offset, "a record of {NAME} names no topic of the bus"),
                }
                self.until = self.until.max(offset + 1);
            }
            Fetched::End { offset, .. } => self.until = self.until.max(offset),
            Fetched::Failed { code, message, .. } => {
                tracing::warn!(%code, message, "following {NAME}");
                if !is_transient(code) {
                    self.failed = Some(format!("{code}: {message}"));
                }
            }
        }
    }

    fn put_serials(&mut self, offset: i64, system: Principal, value: Option<&[u8]>) {
        self.serials.remove(&system);
        let Some(value) = value else { return };
        match (serde_json::from_slice::<Format>(value), serde_json::from_slice::<Entry>(value)) {
            (Ok(Format { format: FORMAT }), Ok(Entry { serials: Some(serials), .. })) => {
                self.serials.insert(system, serials);
            }
            (Ok(Format { format }), _) if format > FORMAT => {
                tracing::error!(offset, format, "a record of {NAME} has a format of a newer release");
                self.newer = Some(format);
            }
            // Default deny: no certificate of it is in force.
            _ => tracing::error!(offset, "a record of {NAME} cannot be read"),
        }
    }

    fn put(&mut self, offset: i64, topic: Topic, value: Option<&[u8]>) {
        self.lists.remove(&topic);
        // Nobody of ours writes a tombstone; it means what it says: nothing is known of the topic.
        let Some(value) = value else { return };
        match (serde_json::from_slice::<Format>(value), serde_json::from_slice::<Entry>(value)) {
            (Ok(Format { format: FORMAT }), Ok(Entry { access: Some(list), deleted: false, .. })) => {
                self.lists.insert(topic, list);
            }
            (Ok(Format { format: FORMAT }), Ok(Entry { deleted: true, .. })) => {
                self.deleted.insert(topic);
            }
            // Default deny: what cannot be read gives nobody access.
            (Ok(Format { format }), _) if format > FORMAT => {
                tracing::error!(offset, format, "a record of {NAME} has a format of a newer release");
                self.newer = Some(format);
                self.lists.insert(topic, Vec::new());
            }
            _ => {
                tracing::error!(offset, "a record of {NAME} cannot be read");
                self.lists.insert(topic, Vec::new());
            }
        }
    }
}

/// First and end offset of the topic; it may have been made a moment ago.
fn await_bounds(asker: &Asker) -> Result<(i64, i64), AdminError> {
    let begun = Instant::now();
    loop {
        match asker.fetch_watermarks(NAME, 0, QUERY_TIMEOUT) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if begun.elapsed() > ADMIN_TIMEOUT => return Err(failed(error)),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(10));
                // A client that asked in the moment in which the topic was made may keep the answer that there is none,
                // until it asks for this topic by its name (librdkafka 2.12: 6 of 150 times).
                let _ = asker.fetch_metadata(Some(NAME), QUERY_TIMEOUT);
            }
        }
    }
}
