//! A small bus for the scenarios: one dataset on a [`MemoryLog`], a clock that stands still until it is told, and a plain
//! model of what each view is to hold, written apart from the product's code.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::contract::{Contract, Effective, Provider, SchemaVersion, VersionSource};
use kenh_domain::control::{Activation, AgencyDocument, ControlEvent, SchemaDocument, Trust, ViewNo};
use kenh_domain::envelope::{self, Event, SubmissionEnd, Submitted, put_long, put_text};
use kenh_domain::frame::{self, Data, Marker};
use kenh_domain::grant::{EndReason, Grant, GrantedField, KeyForm};
use kenh_domain::key;
use kenh_domain::log::{Log, NewRecord, Record, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Agency, Dataset, Group, Principal, View};
use kenh_domain::notice::Positions;
use kenh_domain::receipt::{Counts, DeadLetter, Receipt};
use kenh_domain::schema::Schema;
use kenh_domain::secret::Secret;
use kenh_domain::shape::Shape;
use kenh_domain::topic::{Edition, Partition, Topic};
use kenh_domain::wire::{self, SchemaId};
use kenh_router::{Config, Router, RouterError, Turn};
use kenh_testkit::MemoryLog;

/// Where the clock starts.
pub const NOON: i64 = 1_760_000_000_000;

/// Turns after which a scenario says that its router never comes to rest.
const MAX_TURNS: usize = 20_000;

pub fn dataset() -> Dataset {
    Dataset::new("dan-cu").unwrap()
}

pub fn agency(name: &str) -> Agency {
    Agency::new(name).unwrap()
}

pub fn master() -> Secret {
    Secret::new([5; 32])
}

pub fn group() -> Group {
    Group::new("main").unwrap()
}

/// The record's schema: `So` is the key, nobody is granted `An`. Version 2 has `Them`.
fn schema_text(version: u32) -> String {
    let more = if version == 1 { "" } else { r#",{"name":"Them","type":["null","string"],"default":null}"# };
    format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"So","type":"string"}},{{"name":"Ten","type":"string"}},
        {{"name":"Tinh","type":["null","string"]}},{{"name":"An","type":"int"}}{more}]}}"#
    )
}

fn version(version: u32) -> SchemaVersion {
    let (id, envelope_id) = (SchemaId(version * 2), SchemaId(version * 2 + 1));
    SchemaVersion { version, id, schema: schema_text(version), envelope_id }
}

pub fn contract(partitions: u32, providers: &[&str], versions: u32) -> Contract {
    Contract {
        dataset: dataset(),
        version: versions.to_string(),
        owner: agency("G01"),
        description: String::new(),
        partitions,
        key: vec!["So".into()],
        providers: providers.iter().map(|p| Provider { agency: agency(p), rows: None }).collect(),
        version_source: VersionSource::Provider,
        max_version_step: Some(10),
        effective: Effective::AtOnce,
        open: false,
        synthetic: true,
        schemas: (1..=versions).map(version).collect(),
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: kenh_domain::contract::Terms::default(),
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub ten: String,
    pub tinh: Option<&'static str>,
    pub an: i64,
    /// Of schema version 2 when there is one.
    pub them: Option<&'static str>,
}

pub fn row(ten: &str, tinh: &'static str) -> Row {
    Row { ten: ten.into(), tinh: Some(tinh), an: 0, them: None }
}

/// A change as a provider submits it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub provider: &'static str,
    pub submission: &'static str,
    pub number: u64,
    pub key: String,
    pub version: i64,
    pub row: Option<Row>,
}

/// A change by G01 in submission `s`.
pub fn sent(key: &str, version: i64, row: Option<Row>) -> Sent {
    Sent { provider: "G01", submission: "s", number: 1, key: key.into(), version, row }
}

fn put_option(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => put_long(0, out),
        Some(text) => {
            put_long(1, out);
            put_text(text, out);
        }
    }
}

impl Sent {
    pub fn value(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut version = 1;
        if let Some(row) = &self.row {
            put_text(&self.key, &mut body);
            put_text(&row.ten, &mut body);
            put_option(row.tinh, &mut body);
            put_long(row.an, &mut body);
            if row.them.is_some() {
                version = 2;
                put_option(row.them, &mut body);
            }
        }
        let event = if self.row.is_some() { Event::Update } else { Event::Cancel };
        let record = self.row.as_ref().map(|_| &body[..]);
        let mut out = Vec::new();
        wire::put_header(SchemaId(version * 2 + 1), &mut out);
        envelope::encode(&Submitted::new(self.submission, self.number, event, self.version, NOON, record), &mut out);
        out
    }
}

/// What a scenario grants: the fields, the province that the rows are of, the key form.
#[derive(Debug, Clone)]
pub struct Granted {
    pub no: u32,
    pub recipient: &'static str,
    pub view: &'static str,
    pub edition: u32,
    pub fields: &'static [&'static str],
    pub tinh: Option<&'static str>,
    pub pseudonym: bool,
    pub starts_ms: i64,
    pub ends_ms: i64,
}

pub fn granted(no: u32, recipient: &'static str, fields: &'static [&'static str]) -> Granted {
    Granted {
        no,
        recipient,
        view: "main",
        edition: 1,
        fields,
        tinh: None,
        pseudonym: false,
        starts_ms: 0,
        ends_ms: i64::MAX,
    }
}

impl Granted {
    pub fn rows(self, tinh: &'static str) -> Self {
        Self { tinh: Some(tinh), ..self }
    }

    pub fn topic(&self) -> Topic {
        let (recipient, view) = (agency(self.recipient), View::new(self.view).unwrap());
        Topic::View(recipient, dataset(), view, Edition(self.edition))
    }

    pub fn schema_id(&self) -> SchemaId {
        SchemaId(100 + self.no)
    }

    pub fn grant(&self) -> Grant {
        let field = |path: &&str| GrantedField { path: (*path).into(), name: None, mask: None };
        Grant {
            id: format!("g{}", self.no).parse().unwrap(),
            recipient: agency(self.recipient),
            systems: vec![],
            dataset: dataset(),
            view: View::new(self.view).unwrap(),
            purpose: "thử".into(),
            legal_basis: vec![],
            fields: self.fields.iter().map(field).collect(),
            filter: self.tinh.map(|tinh| format!("Tinh == '{tinh}'")),
            key: if self.pseudonym { KeyForm::Pseudonym } else { KeyForm::Clear },
            duration: "P1Y".into(),
            template: None,
            emergency: false,
        }
    }

    fn label(&self) -> String {
        format!("label/{}", self.recipient)
    }

    /// What the view is to hold of a record: key and value, put together by hand.
    pub fn sees(&self, record_key: &str, row: &Row) -> Option<(Vec<u8>, Vec<u8>)> {
        if self.tinh.is_some_and(|tinh| row.tinh != Some(tinh)) {
            return None;
        }
        let mut value = Vec::new();
        wire::put_header(self.schema_id(), &mut value);
        for field in self.fields {
            match *field {
                "So" => put_text(record_key, &mut value),
                "Ten" => put_text(&row.ten, &mut value),
                "Tinh" => put_option(row.tinh, &mut value),
                "An" => put_long(row.an, &mut value),
                "Them" => put_option(row.them, &mut value),
                other => panic!("no field {other}"),
            }
        }
        let key = if self.pseudonym {
            key::pseudonym(&master().derive(&self.label()), record_key.as_bytes())
        } else {
            record_key.to_owned()
        };
        Some((key.into_bytes(), value))
    }
}

/// One record as a reader of a topic sees it, positions aside (they are sparse).
pub type Seen = (u32, i64, Bytes, Option<Bytes>);

pub struct Bus {
    pub log: Arc<MemoryLog>,
    pub clock: Arc<AtomicI64>,
    pub partitions: u32,
    pub dir: tempfile::TempDir,
    pub max_batch: usize,
    pub image_every: u64,
}

impl Bus {
    /// A bus with the dataset, written by `providers`, and nobody who receives.
    pub fn new(partitions: u32, providers: &[&str]) -> Self {
        let bus = Self {
            log: MemoryLog::new(),
            clock: Arc::new(AtomicI64::new(NOON)),
            partitions,
            dir: tempfile::tempdir().unwrap(),
            max_batch: 5_000,
            image_every: u64::MAX,
        };
        bus.topic(Topic::Control, 1);
        bus.topic(Topic::Heads, 1);
        bus.control(ControlEvent::Genesis { trust: Trust::Unsigned });
        for name in ["G01", "G02", "A01", "H29", "G12", "G18", "B01"] {
            bus.topic(Topic::Notice(agency(name)), 1);
            let (code, title) = (name.to_owned(), name.to_owned());
            bus.control(ControlEvent::Agency(AgencyDocument { name: agency(name), code, title, systems: vec![] }));
        }
        bus.contract(contract(partitions, providers, 1));
        bus
    }

    /// A contract comes into force, its topics before it.
    pub fn contract(&self, contract: Contract) {
        self.topic(Topic::Data(dataset()), self.partitions);
        for Provider { agency, .. } in &contract.providers {
            self.topic(Topic::In(dataset(), agency.clone()), self.partitions);
            self.topic(Topic::DeadLetter(dataset(), agency.clone()), self.partitions);
            self.topic(Topic::Receipt(agency.clone()), 1);
        }
        self.control(ControlEvent::Contract(Box::new(contract)));
    }

    pub fn topic(&self, topic: Topic, partitions: u32) {
        self.log.create_topic(&TopicSpec { topic, partitions, retention: Retention::Forever }).unwrap();
    }

    pub fn control(&self, event: ControlEvent) {
        self.control_at(0, event);
    }

    /// A control event of that time.
    pub fn control_at(&self, at_ms: i64, event: ControlEvent) {
        let value = kenh_testkit::builders::control_record(at_ms, event);
        let to = TopicPartition::new(Topic::Control, 0);
        self.write(vec![NewRecord { to, timestamp_ms: 0, key: Bytes::new(), value: Some(value) }]);
    }

    pub fn write(&self, records: Vec<NewRecord>) {
        let mut writer = self.log.writer(&Principal::control());
        writer.write(records).unwrap();
        writer.flush().unwrap();
    }

    /// A grant comes into force, its topic and schema before it.
    pub fn grant(&self, granted: &Granted) {
        self.topic(granted.topic(), self.partitions);
        self.grant_without_topic(granted);
    }

    pub fn grant_without_topic(&self, granted: &Granted) {
        let versions = if granted.fields.contains(&"Them") { 2 } else { 1 };
        let contract = contract(self.partitions, &["G01"], versions);
        let parsed = contract.schemas.iter().map(|v| (v.id, Schema::parse(&v.schema).unwrap()));
        let schemas: Vec<_> = parsed.collect();
        let label = granted.label();
        let shape = Shape::compile(&contract, &schemas, &granted.grant(), Some(&master()), &label, None).unwrap();
        let schema = shape.view_schema().to_owned();
        let (id, subject) = (granted.schema_id(), format!("{}-value", granted.topic()));
        self.control(ControlEvent::Schema(SchemaDocument { id, subject, version: 1, schema }));
        self.control(ControlEvent::Grant(Box::new(Activation {
            view_no: ViewNo(granted.no),
            edition: Edition(granted.edition),
            grant: granted.grant(),
            schema_id: id,
            starts_ms: granted.starts_ms,
            ends_ms: granted.ends_ms,
            secret_label: label,
        })));
    }

    pub fn end(&self, granted: &Granted, reason: EndReason) {
        self.control(ControlEvent::End { view_no: ViewNo(granted.no), reason, because: String::new() });
    }

    pub fn submit(&self, changes: &[Sent]) {
        let record = |change: &Sent| {
            let partition = key::partition(change.key.as_bytes(), self.partitions);
            self.input(change.provider, partition, change.key.as_bytes(), change.value())
        };
        self.write(changes.iter().map(record).collect());
    }

    /// A record of an input topic as it is.
    pub fn input(&self, provider: &str, partition: Partition, key: &[u8], value: Vec<u8>) -> NewRecord {
        let to = TopicPartition { topic: Topic::In(dataset(), agency(provider)), partition };
        NewRecord { to, timestamp_ms: 0, key: Bytes::copy_from_slice(key), value: Some(value.into()) }
    }

    pub fn finish(&self, provider: &str, submission: &str, count: u64) {
        let end = SubmissionEnd { id: submission.into(), count };
        let all = (0..self.partitions).map(|p| self.input(provider, Partition(p), b"", end.encode()));
        self.write(all.collect());
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub fn tick(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn config(&self, log: Arc<dyn Log>) -> Config {
        let clock = self.clock.clone();
        let mut config = Config::new(log, group(), master(), Arc::new(move || clock.load(Ordering::SeqCst)));
        config.state_dir = Some(self.dir.path().into());
        config.max_batch_records = self.max_batch;
        config.image_every = self.image_every;
        config.look_every = Duration::ZERO;
        config
    }

    pub fn router(&self) -> Router {
        Router::open(self.config(self.log.clone())).unwrap()
    }

    /// Turns until there is nothing left to do.
    pub fn settle(&self, router: &mut Router) {
        if let Err(error) = settle(router, |_| {}) {
            panic!("the router stopped: {error}");
        }
    }

    pub fn records(&self, topic: &Topic) -> Vec<Record> {
        self.log.records(topic)
    }

    pub fn seen(&self, topic: &Topic) -> Vec<Seen> {
        let seen = |r: Record| (r.source as u32, r.timestamp_ms, r.key, r.value);
        self.records(topic).into_iter().map(seen).collect()
    }

    /// Everything that is a function of the data log or of an input record and the state it met.
    pub fn everything(&self, views: &[Granted]) -> BTreeMap<String, Vec<Seen>> {
        let mut topics: Vec<Topic> = views.iter().map(Granted::topic).collect();
        topics.push(Topic::Data(dataset()));
        for provider in ["G01", "G02"] {
            topics.push(Topic::Receipt(agency(provider)));
            topics.push(Topic::DeadLetter(dataset(), agency(provider)));
        }
        topics.iter().map(|topic| (topic.to_string(), self.seen(topic))).collect()
    }

    /// What a reader of the view holds: last value per key.
    pub fn copy(&self, granted: &Granted) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut copy = BTreeMap::new();
        for record in self.records(&granted.topic()) {
            match record.value {
                Some(value) => copy.insert(record.key.to_vec(), value.to_vec()),
                None => Some(copy.remove(&record.key.to_vec()).expect("a tombstone is for a record that is held")),
            };
        }
        copy
    }

    /// The markers of one data partition.
    pub fn markers(&self, partition: u32) -> Vec<Marker> {
        let data = self.records(&Topic::Data(dataset()));
        let of = |record: &Record| match frame::decode(record.value.as_ref().unwrap()).unwrap().1 {
            Data::Marker(marker) if record.source as u32 == partition => Some(marker),
            _ => None,
        };
        data.iter().filter_map(of).collect()
    }

    /// Changes in the data log.
    pub fn admitted(&self) -> usize {
        let data = self.records(&Topic::Data(dataset()));
        data.iter().filter(|r| matches!(frame::decode(r.value.as_ref().unwrap()).unwrap().1, Data::Change(_))).count()
    }

    pub fn letters(&self, provider: &str) -> Vec<DeadLetter> {
        let letters = self.records(&Topic::DeadLetter(dataset(), agency(provider)));
        letters.iter().map(|r| serde_json::from_slice(r.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// Rules broken, in the order of positions, partition by partition.
    pub fn rules(&self, provider: &str) -> Vec<String> {
        self.letters(provider).into_iter().map(|letter| letter.rule).collect()
    }

    pub fn receipts(&self, provider: &str) -> Vec<Receipt> {
        let receipts = self.records(&Topic::Receipt(agency(provider)));
        receipts.iter().map(|r| serde_json::from_slice(r.value.as_ref().unwrap()).unwrap()).collect()
    }

    pub fn counts(&self, provider: &str) -> Counts {
        let mut sum = Counts::default();
        self.receipts(provider).iter().for_each(|receipt| sum.merge(&receipt.counts));
        sum
    }

    /// Positions notices of an agency, oldest first.
    pub fn told(&self, recipient: &str) -> Vec<Positions> {
        let notices = self.records(&Topic::Notice(agency(recipient)));
        notices.iter().map(|r| serde_json::from_slice(r.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// A replay of the data log gives every view as it is.
    pub fn check_replay(&self, views: &[Granted]) {
        let mut replayed: HashMap<ViewNo, Vec<Seen>> = HashMap::new();
        for partition in 0..self.partitions {
            let mut sink = |out: &kenh_domain::route::Effects, clock_ms: i64| {
                for write in &out.writes {
                    let key = Bytes::copy_from_slice(&out.arena[write.key.clone()]);
                    let value = write.value.clone().map(|v| Bytes::copy_from_slice(&out.arena[v]));
                    replayed.entry(write.view).or_default().push((partition, clock_ms, key, value));
                }
            };
            kenh_router::replay(&*self.log, (&dataset(), Partition(partition)), &master(), &mut sink).unwrap();
        }
        for view in views {
            let replayed = replayed.remove(&ViewNo(view.no)).unwrap_or_default();
            assert_eq!(replayed, self.seen(&view.topic()), "replay of {}", view.topic());
        }
    }
}

/// Turns until there is nothing left to do; `before` is called before each turn with the commits made so far.
pub fn settle(router: &mut Router, mut before: impl FnMut(u64)) -> Result<(), RouterError> {
    let stats = router.stats();
    for _ in 0..MAX_TURNS {
        before(stats.snapshot().commits);
        let turn = router.turn(Duration::ZERO)?;
        let now = stats.snapshot();
        let behind = now.inputs.iter().any(|i| i.waiting.is_none() && i.lag() > 0);
        if turn == Turn::Idle && !behind && now.lane.is_none() && !now.redoing {
            return Ok(());
        }
    }
    panic!("not at rest after {MAX_TURNS} turns: {:?}", stats.snapshot());
}

/// What stands after changes, by the rules of admission told in a few lines.
#[derive(Debug, Clone, Default)]
pub struct Model {
    records: BTreeMap<String, (&'static str, i64, Option<Row>)>,
    pub counts: Counts,
}

impl Model {
    pub fn take(&mut self, change: &Sent) {
        let known = self.records.get(&change.key);
        let verdict = match known {
            None => &mut self.counts.admitted,
            Some((owner, ..)) if *owner != change.provider => &mut self.counts.rejected,
            Some((_, version, _)) if change.version < *version => &mut self.counts.stale,
            Some((_, version, row)) if change.version == *version && *row == change.row => &mut self.counts.repeated,
            Some((_, version, _)) if change.version == *version || change.version > version + 10 => {
                &mut self.counts.rejected
            }
            Some(_) => &mut self.counts.admitted,
        };
        *verdict += 1;
        let takes = match known {
            None => true,
            Some((owner, version, _)) => {
                *owner == change.provider && change.version > *version && change.version <= version + 10
            }
        };
        if takes {
            self.records.insert(change.key.clone(), (change.provider, change.version, change.row.clone()));
        }
    }

    /// What a view is to hold.
    pub fn copy(&self, granted: &Granted) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let rows = self.records.iter().filter_map(|(key, (_, _, row))| granted.sees(key, row.as_ref()?));
        rows.collect()
    }
}
