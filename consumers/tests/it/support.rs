//! A view, its rows, a bus that writes it, and a store that fails on command.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kenh_consumers::store::{
    Batch, CopyId, Counters, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore,
};
use kenh_consumers::subscriber::{Config, Subscriber, Turn};
use kenh_domain::confirm::Confirmation;
use kenh_domain::frame::Sequence;
use kenh_domain::log::{Access, Log, NewRecord, Operation, Position, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Agency, Dataset, GrantId, Principal, View};
use kenh_domain::notice::{self, CardState, Positions, ViewCard, card_key, positions_key};
use kenh_domain::schema::put_long;
use kenh_domain::topic::{Edition, Partition, Topic};
use kenh_domain::wire::{SchemaId, put_header};
use kenh_testkit::MemoryLog;

pub const SCHEMA: &str = r#"{"type":"record","name":"View","fields":[
    {"name":"Ma","type":"string"},
    {"name":"Tinh","type":["null","string"]},
    {"name":"Ngay","type":["null",{"type":"int","logicalType":"date"}]},
    {"name":"So","type":"long"},
    {"name":"Nhan","type":{"type":"array","items":"string"}}]}"#;
pub const SCHEMA_ID: SchemaId = SchemaId(7);
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
pub const START_MS: i64 = 1_750_000_000_000;

pub fn agency() -> Agency {
    Agency::new("H29").unwrap()
}

pub fn principal() -> Principal {
    Principal::new("h29-he-thong").unwrap()
}

pub fn copy_id() -> CopyId {
    CopyId { dataset: Dataset::new("dan-cu").unwrap(), view: View::main() }
}

pub fn card(edition: u32, partitions: u32) -> ViewCard {
    ViewCard {
        format: notice::FORMAT,
        agency: agency(),
        dataset: copy_id().dataset,
        view: copy_id().view,
        edition: Edition(edition),
        state: CardState::Active,
        grant: GrantId::new("grant-1").unwrap(),
        partitions,
        key_fields: vec!["Ma".into()],
        pseudonym: false,
        schema_id: SCHEMA_ID,
        schema: SCHEMA.into(),
        comments: Vec::new(),
        incarnation: kenh_domain::log::Incarnation("one".into()),
        digest_secret: "07".repeat(32),
    }
}

/// A row in the wire format.
pub fn row(ma: &str, tinh: Option<&str>, so: i64) -> Bytes {
    let mut out = Vec::new();
    put_header(SCHEMA_ID, &mut out);
    let text = |text: &str, out: &mut Vec<u8>| {
        put_long(text.len().try_into().unwrap(), out);
        out.extend_from_slice(text.as_bytes());
    };
    text(ma, &mut out);
    match tinh {
        None => out.push(0),
        Some(tinh) => {
            out.push(2);
            text(tinh, &mut out);
        }
    }
    // 2025-07-01.
    out.push(2);
    put_long(20_270, &mut out);
    put_long(so, &mut out);
    put_long(1, &mut out);
    text("a", &mut out);
    out.push(0);
    out.into()
}

/// All rows of a generation, in order.
pub fn rows(store: &dyn ViewStore, generation: Generation) -> Vec<(Bytes, Bytes)> {
    rows_of(&*store.snapshot(generation).unwrap())
}

pub fn rows_of(snapshot: &dyn Snapshot) -> Vec<(Bytes, Bytes)> {
    let mut out = Vec::new();
    snapshot
        .scan(None, &mut |key, value| {
            out.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    out
}

/// The generation that readers see.
pub fn shown(store: &dyn ViewStore) -> Option<GenerationInfo> {
    let mut shown: Vec<_> = store.generations().unwrap().into_iter().filter(|info| info.published).collect();
    assert!(shown.len() <= 1, "two generations are shown");
    shown.pop()
}

/// The bus as an agency sees it: view topics, cards, positions; and a clock.
pub struct Bus {
    pub log: Arc<MemoryLog>,
    pub now_ms: Arc<AtomicI64>,
    partitions: u32,
    sequence: AtomicI64,
    /// Where the partitions of each edition end, as far as they were written to.
    ends: Mutex<BTreeMap<TopicPartition, Position>>,
}

impl Bus {
    /// With the topics of the agency, and no view.
    pub fn new(partitions: u32) -> Self {
        let bus = Self {
            log: MemoryLog::new(),
            now_ms: Arc::new(AtomicI64::new(START_MS)),
            partitions,
            sequence: AtomicI64::new(0),
            ends: Mutex::default(),
        };
        bus.topic(Topic::Notice(agency()), 1, Operation::Read);
        bus.topic(Topic::Confirm(agency()), 1, Operation::Write);
        bus
    }

    pub fn topic(&self, topic: Topic, partitions: u32, operation: Operation) {
        let retention = Retention::Compacted { tombstone_days: 30 };
        self.log.create_topic(&TopicSpec { topic: topic.clone(), partitions, retention }).unwrap();
        self.log.set_access(&topic, &[Access { principal: principal(), operation }]).unwrap();
    }

    pub fn card(&self, edition: u32) -> ViewCard {
        ViewCard { incarnation: self.log.incarnation(), ..card(edition, self.partitions) }
    }

    pub fn view_topic(&self, edition: u32) -> Topic {
        self.card(edition).topic()
    }

    /// Makes an edition's topic and writes its card.
    pub fn activate(&self, edition: u32) {
        self.topic(self.view_topic(edition), self.partitions, Operation::Read);
        self.tell_card(&self.card(edition));
    }

    /// Ends an edition as the control role does: access, topic, card.
    pub fn end(&self, edition: u32) {
        self.log.set_access(&self.view_topic(edition), &[]).unwrap();
        self.log.delete_topic(&self.view_topic(edition)).unwrap();
        self.tell_card(&ViewCard { state: CardState::Ended, ..self.card(edition) });
    }

    pub fn tell_card(&self, card: &ViewCard) {
        let key = card_key(&card.dataset, &card.view, card.edition);
        self.notice(key, serde_json::to_vec(card).unwrap());
    }

    pub fn notice(&self, key: String, value: Vec<u8>) {
        self.write(Topic::Notice(agency()), 0, &key, Some(value.into()));
    }

    fn write(&self, topic: Topic, partition: u32, key: &str, value: Option<Bytes>) -> Position {
        let to = TopicPartition::new(topic, partition);
        let key = Bytes::copy_from_slice(key.as_bytes());
        let record = NewRecord { to, timestamp_ms: self.now_ms.load(Ordering::Relaxed), key, value };
        let mut writer = self.log.writer(&Principal::router());
        writer.write(vec![record]).unwrap();
        writer.flush().unwrap()[0].1
    }

    /// Writes a record of an edition to the partition of its key.
    pub fn put(&self, edition: u32, key: &str, value: Option<Bytes>) {
        let partition = kenh_domain::key::partition(key.as_bytes(), self.partitions).0;
        let end = self.write(self.view_topic(edition), partition, key, value);
        self.ends.lock().unwrap().insert(TopicPartition::new(self.view_topic(edition), partition), end);
    }

    /// Tells how far an edition has come: to its present ends. Gives the sequence that it is told by.
    pub fn tell_positions(&self, edition: u32, filled: bool) -> u64 {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        for partition in 0..self.partitions {
            let of = TopicPartition::new(self.view_topic(edition), partition);
            let positions = Positions {
                format: notice::FORMAT,
                dataset: copy_id().dataset,
                view: copy_id().view,
                edition: Edition(edition),
                partition: Partition(partition),
                sequence: Sequence(sequence.try_into().unwrap()),
                end: self.ends.lock().unwrap().get(&of).copied().unwrap_or_default(),
                clock_ms: self.now_ms.load(Ordering::Relaxed),
                filled,
            };
            let key = positions_key(&positions.dataset, &positions.view, positions.edition, positions.partition);
            self.notice(key, serde_json::to_vec(&positions).unwrap());
        }
        sequence.try_into().unwrap()
    }

    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn config(&self, store: Arc<dyn ViewStore>) -> Config {
        let now_ms = self.now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
        Config { confirm_every: None, ..Config::new(self.log.clone(), agency(), principal(), store, clock) }
    }

    pub fn subscriber(&self, store: Arc<dyn ViewStore>) -> Subscriber {
        Subscriber::open(self.config(store)).unwrap()
    }

    /// What the agency has confirmed.
    pub fn confirmations(&self) -> Vec<Confirmation> {
        let records = self.log.records(&Topic::Confirm(agency()));
        records.iter().map(|r| serde_json::from_slice(r.value.as_deref().unwrap()).unwrap()).collect()
    }
}

/// Turns until there is nothing more to do.
pub fn settle(subscriber: &mut Subscriber) -> Turn {
    let mut all = Turn::default();
    for _ in 0..10_000 {
        let turn = subscriber.turn(Duration::ZERO).unwrap();
        if turn.is_idle() {
            return all;
        }
        all.applied += turn.applied;
        all.steps += turn.steps;
        all.confirmations += turn.confirmations;
        all.records += turn.records;
        all.notices += turn.notices;
    }
    panic!("there is always something to do");
}

/// How an apply fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyFault {
    /// Nothing was done.
    Before,
    /// All was done, and the answer is an error.
    After,
}

/// A store that fails on command.
pub struct FaultyStore {
    pub inner: Arc<dyn ViewStore>,
    faults: Mutex<Vec<ApplyFault>>,
    pub applies: AtomicUsize,
    /// What it stands on is not there.
    pub is_gone: AtomicBool,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ViewStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults: Mutex::default(),
            applies: AtomicUsize::new(0),
            is_gone: AtomicBool::new(false),
        })
    }

    /// The next applies fail like this, last first.
    pub fn next_applies(&self, faults: &[ApplyFault]) {
        self.faults.lock().unwrap().extend(faults);
    }
}

impl ViewStore for FaultyStore {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        self.inner.generations()
    }

    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        self.inner.begin(card, indexes, progress)
    }

    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        self.inner.set_card(generation, card)
    }

    fn apply(&self, generation: Generation, batch: &Batch, progress: &Progress) -> Result<Counters, StoreError> {
        self.applies.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop();
        let failed = || StoreError::Storage { doing: "apply a batch", source: "a fault on command".into() };
        match fault {
            None => self.inner.apply(generation, batch, progress),
            Some(ApplyFault::Before) => Err(failed()),
            Some(ApplyFault::After) => {
                self.inner.apply(generation, batch, progress)?;
                Err(failed())
            }
        }
    }

    fn probe(&self) -> Result<(), StoreError> {
        let gone = || StoreError::Storage { doing: "be reached", source: "a fault on command".into() };
        if self.is_gone.load(Ordering::Relaxed) { Err(gone()) } else { self.inner.probe() }
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
