//! The store under the log: two keyspaces, one batch a commit.

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use kenh_domain::log::{Incarnation, Position, TopicPartition};
use kenh_domain::topic::{Partition, Topic};

use super::format::{self, FormatError, TopicNo};
use super::state::{State, TopicState};
use super::{Fsync, Options};

/// What the store may hold in memory of each keyspace before it writes it out. Smaller than its default: what is written
/// out at once must fit into the reserve of free space.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Most bytes of journals before the store writes out what holds them back.
const JOURNAL_BYTES: u64 = 256 << 20;

/// Why the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The engine failed.
    #[error("the storage engine failed")]
    Engine(#[source] Arc<fjall::Error>),
    /// An entry cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It failed before, and has not been opened anew.
    #[error("the store failed before; it is opened anew when a group is claimed")]
    Closed,
    /// There is no room.
    #[error("{free} bytes are free, {needed} are needed and {reserve} stay in reserve")]
    NoRoom {
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
        /// Bytes that stay free.
        reserve: u64,
    },
    /// The free space is not known.
    #[error("the free space cannot be measured")]
    FreeSpace(#[source] Arc<std::io::Error>),
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(Arc::new(error))
    }
}

pub(super) struct Store {
    database: Database,
    pub(super) records: Keyspace,
    pub(super) meta: Keyspace,
    persist: PersistMode,
}

/// What is written in one step.
pub(super) struct Change {
    batch: OwnedWriteBatch,
    records: Keyspace,
    meta: Keyspace,
}

impl Change {
    pub(super) fn put_record(&mut self, key: [u8; 16], value: Vec<u8>) {
        self.batch.insert(&self.records, key, value);
    }

    pub(super) fn remove_record(&mut self, key: [u8; 16]) {
        self.batch.remove(&self.records, key);
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.batch.insert(&self.meta, key, value);
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.batch.remove(&self.meta, key);
    }
}

impl Store {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let database = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(2)
            .open()?;
        let keyspace = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let records = database.keyspace("records", keyspace)?;
        let meta = database.keyspace("meta", keyspace)?;
        let persist = match options.fsync {
            Fsync::EachCommit => PersistMode::SyncData,
            Fsync::Never => PersistMode::Buffer,
        };
        Ok(Self { database, records, meta, persist })
    }

    pub(super) fn change(&self) -> Change {
        Change { batch: self.database.batch(), records: self.records.clone(), meta: self.meta.clone() }
    }

    /// Makes a change: all of it or none, and as durable as the options say.
    pub(super) fn commit(&self, change: Change) -> Result<(), StoreError> {
        Ok(change.batch.durability(Some(self.persist)).commit()?)
    }

    /// What the log is; makes its incarnation where it has none yet.
    pub(super) fn load(&self) -> Result<(Incarnation, State), StoreError> {
        let incarnation = match self.meta.get(format::INCARNATION)? {
            Some(bytes) => text(&bytes, "the incarnation")?,
            None => {
                let new = uuid::Uuid::new_v4().to_string();
                let mut change = self.change();
                change.put(format::INCARNATION.to_vec(), new.clone().into_bytes());
                self.commit(change)?;
                new
            }
        };
        let mut state = State::default();
        if let Some(bytes) = self.meta.get(format::NEXT_TOPIC)? {
            state.next_topic = format::read_u32(&bytes).ok_or(FormatError("the number of the next topic"))?;
        }
        self.load_topics(&mut state)?;
        self.load_groups(&mut state)?;
        for entry in self.meta.prefix([format::SERIALS]) {
            let (key, value) = entry.into_inner()?;
            state.serials.extend([format::read_serials(&key, &value)?]);
        }
        Ok((Incarnation(incarnation), state))
    }

    fn load_topics(&self, state: &mut State) -> Result<(), StoreError> {
        for entry in self.meta.prefix([format::TOPIC]) {
            let (key, value) = entry.into_inner()?;
            let number = format::read_topic_key(&key)?;
            let entry = format::read_topic(&value)?;
            let mut partitions = Vec::new();
            for partition in 0..entry.spec.partitions {
                let bounds = self.meta.get(format::bounds_key(number, partition))?;
                let bounds = bounds.ok_or(FormatError("a topic without bounds"))?;
                partitions.push(format::read_bounds(&bounds)?);
            }
            let access = entry.access.into_iter().collect();
            let topic = TopicState { number, spec: entry.spec, access, partitions, compacted: vec![] };
            state.names.insert(number, topic.spec.topic.clone());
            state.topics.insert(topic.spec.topic.clone(), topic);
        }
        for entry in self.meta.prefix([format::FLOOR]) {
            let (key, value) = entry.into_inner()?;
            let name = text(&key[1..], "the name of a deleted topic")?;
            let topic: Topic = name.parse().map_err(|_| FormatError("the name of a deleted topic"))?;
            let floor = format::read_u64(&value).ok_or(FormatError("the floor of a deleted topic"))?;
            state.floors.insert(topic, floor);
        }
        Ok(())
    }

    fn load_groups(&self, state: &mut State) -> Result<(), StoreError> {
        for entry in self.meta.prefix([format::METADATA]) {
            let (key, value) = entry.into_inner()?;
            let group = format::read_group(&key[1..]).ok_or(FormatError("the name of a group"))?;
            state.groups.entry(group).or_default().committed.metadata = text(&value, "the metadata of a group")?;
        }
        for entry in self.meta.prefix([format::CONSUMED]) {
            let (key, value) = entry.into_inner()?;
            let (group, number, partition) = format::read_consumed_key(&key)?;
            let position = format::read_u64(&value).ok_or(FormatError("a consumed position"))?;
            // What was consumed of a topic that is gone means nothing any more.
            if let Some(topic) = state.names.get(&number) {
                let of = TopicPartition { topic: topic.clone(), partition: Partition(partition) };
                state.groups.entry(group).or_default().committed.consumed.insert(of, Position(position));
            }
        }
        Ok(())
    }

    /// Topics whose records are being removed.
    pub(super) fn deleted(&self) -> Result<Vec<TopicNo>, StoreError> {
        let keys = self.meta.prefix([format::DELETED]).map(|entry| Ok(format::read_topic_key(&entry.key()?)?));
        keys.collect()
    }
}

fn text(bytes: &[u8], what: &'static str) -> Result<String, FormatError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FormatError(what))
}
