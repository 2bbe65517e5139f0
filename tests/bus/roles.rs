//! The bus of a scenario: providers, router, control and subscribers on one log, turned step by step in one thread, under
//! a clock that stands still until it is told. What every change should become is noted beside, in the model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kenh_consumers::copy::Copy;
use kenh_consumers::store::{CopyId, ViewStore};
use kenh_consumers::subscriber::{self, Subscriber};
use kenh_domain::admit::Rules;
use kenh_domain::contract::Contract as Document;
use kenh_domain::control::{ControlEvent, ControlSet};
use kenh_domain::envelope::Event;
use kenh_domain::log::{Log, NewRecord, TopicPartition};
use kenh_domain::names::{Agency, Dataset, Group, Principal, View};
use kenh_domain::receipt::Counts;
use kenh_domain::schema::Schema;
use kenh_domain::secret::Secret;
use kenh_domain::topic::Topic;
use kenh_governance::Control;
use kenh_producers::{Checker, Defaults, Format, Patience, Submission, SubmitError, Target, open};
use kenh_router::{Config, Router, Turn};
use kenh_testkit::PATIENCE;
use serde_json::{Value, json};

use crate::ground::{Ground, StoreKind};
use crate::oracle::{Oracle, Outcome};
use crate::world::{Contract, Grant, HO_SO, World, system};

/// Turns in a row after which a role is said never to come to rest.
const MAX_TURNS: usize = 20_000;

/// A change as a provider's system has it. `record` None cancels.
#[derive(Debug, Clone)]
pub struct Sent {
    pub provider: &'static str,
    pub key: String,
    pub version: u64,
    pub record: Option<Value>,
    /// The newest schema version that the provider's software knows.
    pub schema: u32,
}

/// A change by G01 that knows every schema version.
pub fn sent(key: &str, version: u64, record: impl Into<Option<Value>>) -> Sent {
    Sent { provider: "G01", key: key.into(), version, record: record.into(), schema: u32::MAX }
}

impl Sent {
    pub fn by(self, provider: &'static str) -> Self {
        Self { provider, ..self }
    }

    pub fn on_schema(self, schema: u32) -> Self {
        Self { schema, ..self }
    }

    /// The flat envelope, as a line of a JSON lines file.
    fn line(&self) -> String {
        let mut line = json!({"PhienBan": self.version, "ThoiGianCapNhat": "2025-03-01T00:00:00"});
        let event = if self.version == 1 { "NEW" } else { "UPDATE" };
        line["SuKien"] = if self.record.is_some() { event } else { "CANCEL" }.into();
        match &self.record {
            Some(record) => line["DuLieu"] = record.clone(),
            // The parts of a composite key are an array.
            None => {
                line["IdBanGhi"] = serde_json::from_str(&self.key)
                    .ok()
                    .filter(Value::is_array)
                    .unwrap_or_else(|| self.key.clone().into())
            }
        }
        line.to_string() + "\n"
    }
}

/// The node's secret.
pub fn master() -> Secret {
    Secret::new([5; 32])
}

pub fn group() -> Group {
    Group::new("main").unwrap()
}

pub fn agency(name: &str) -> Agency {
    Agency::new(name).unwrap()
}

pub fn dataset(name: &str) -> Dataset {
    Dataset::new(name).unwrap()
}

/// Who keeps an agency's copies.
pub struct Keeper {
    dir: PathBuf,
    kind: StoreKind,
    /// None while it is away.
    running: Option<(Subscriber, Arc<dyn ViewStore>)>,
}

/// See the module's documentation.
pub struct Bus {
    pub ground: Ground,
    pub world: World,
    pub clock: Arc<AtomicI64>,
    /// Most records that the router takes at once.
    pub batch: usize,
    /// Data records after which the router writes an image.
    pub image_every: u64,
    router: Option<Router>,
    control: Control,
    keepers: BTreeMap<&'static str, Keeper>,
    /// The model of each dataset.
    pub oracles: BTreeMap<String, Oracle>,
    /// What the receipts of each (provider, dataset) are to add up to.
    pub expected: BTreeMap<(String, String), Counts>,
    /// Grants as last declared, by id.
    pub grants: BTreeMap<&'static str, Grant>,
    submissions: u64,
    /// Where state images and stores lie.
    pub home: PathBuf,
    /// It, unless another was named.
    _dir: tempfile::TempDir,
}

impl Bus {
    /// The sample on a ground, with its dataset under `contract` and no grant; nothing runs yet but control.
    pub fn sample(ground: Ground, contract: &Contract) -> Self {
        let mut bus = Self::over(ground, World::sample(contract));
        bus.oracles.insert(HO_SO.into(), Oracle::stepping(contract.max_step));
        bus.apply();
        bus
    }

    /// A bus over declared state that is not applied yet.
    pub fn over(ground: Ground, world: World) -> Self {
        let clock = Arc::new(AtomicI64::new(ground.starts_ms));
        let dir = tempfile::tempdir().unwrap();
        Self {
            control: Control::new(ground.log.clone(), master()),
            clock,
            batch: 5_000,
            image_every: 25,
            router: None,
            keepers: BTreeMap::new(),
            oracles: BTreeMap::new(),
            expected: BTreeMap::new(),
            grants: BTreeMap::new(),
            submissions: 0,
            home: dir.path().to_owned(),
            _dir: dir,
            world,
            ground,
        }
    }

    pub fn log(&self) -> &dyn Log {
        &*self.ground.log
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub fn tick(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// `kenh apply` of the folder as it is.
    pub fn apply(&mut self) {
        self.world.apply(&*self.ground.log, self.now_ms());
    }

    /// Declares a grant, new or changed, and applies it. Someone keeps the recipient's copies from now on.
    pub fn grant(&mut self, grant: &Grant) {
        self.declare(grant);
        self.apply();
        self.keep(grant.recipient);
    }

    /// Declares a grant without applying it.
    pub fn declare(&mut self, grant: &Grant) {
        self.world.grant(grant);
        self.grants.insert(grant.id, grant.clone());
    }

    /// Moves to another log: every role of this process is gone, what was said and declared stays.
    pub fn stand_on(&mut self, ground: Ground) {
        self.router = None;
        self.keepers.clear();
        self.control = Control::new(ground.log.clone(), master());
        self.ground = ground;
    }

    /// Keeps the copies of an agency, from what is in its store.
    pub fn keep(&mut self, name: &'static str) {
        self.keep_in(name, |store| store);
    }

    /// The same, through what `wrap` makes of the store.
    pub fn keep_in(&mut self, name: &'static str, wrap: impl FnOnce(Arc<dyn ViewStore>) -> Arc<dyn ViewStore>) {
        let dir = self.home.join(name);
        let kind = self.ground.store;
        let keeper = self.keepers.entry(name).or_insert(Keeper { dir, kind, running: None });
        if keeper.running.is_some() {
            return;
        }
        let store = wrap(keeper.kind.open(&keeper.dir));
        let clock = self.clock.clone();
        let clock = Arc::new(move || clock.load(Ordering::SeqCst));
        let principal = Principal::new(&system(name)).unwrap();
        let config = subscriber::Config::new(self.ground.log.clone(), agency(name), principal, store.clone(), clock);
        keeper.running = Some((Subscriber::open(config).unwrap(), store));
    }

    /// The subscriber of an agency is gone, however it went; its store stays.
    pub fn leave(&mut self, name: &str) {
        self.keepers.get_mut(name).unwrap().running = None;
    }

    /// The agencies whose copies are kept now.
    pub fn kept(&self) -> Vec<&'static str> {
        self.keepers.iter().filter(|(_, k)| k.running.is_some()).map(|(name, _)| *name).collect()
    }

    pub fn store(&self, name: &str) -> Arc<dyn ViewStore> {
        self.keepers[name].running.as_ref().unwrap().1.clone()
    }

    /// The copy of a grant's view.
    pub fn copy(&self, grant: &Grant) -> Copy {
        let id = CopyId { dataset: dataset(grant.dataset), view: View::new(grant.view).unwrap() };
        Copy::new(self.store(grant.recipient), id)
    }

    pub fn control_set(&self) -> ControlSet {
        kenh_governance::load(self.log()).unwrap()
    }

    pub fn contract(&self, name: &str) -> Arc<Document> {
        self.control_set().contracts[&dataset(name)].clone()
    }

    /// Two persons raise the epoch of a provider's versions.
    pub fn raise_epoch(&mut self, provider: &str, epoch: u32) {
        let by = ["một".to_owned(), "hai".to_owned()];
        let event = ControlEvent::Epoch { dataset: dataset(HO_SO), provider: agency(provider), epoch, by };
        let value = kenh_testkit::builders::control_record(self.now_ms(), event);
        let to = TopicPartition::new(Topic::Control, 0);
        let record = NewRecord { to, timestamp_ms: self.now_ms(), key: Vec::new().into(), value: Some(value) };
        self.write(&Principal::control(), vec![record]);
        self.oracles.get_mut(HO_SO).unwrap().epochs.insert(provider.into(), epoch);
    }

    /// Writes records as they are.
    pub fn write(&self, principal: &Principal, records: Vec<NewRecord>) {
        let mut writer = self.log().writer(principal);
        writer.write(records).unwrap();
        writer.flush().unwrap();
    }

    /// Submits changes of the sample dataset, as `kenh produce` does with a file of JSON lines, and tells the model.
    pub fn send(&mut self, changes: &[Sent]) {
        self.send_to(HO_SO, changes);
    }

    /// The same, of any dataset. Each run of changes of one provider is a submission of its own.
    pub fn send_to(&mut self, name: &str, changes: &[Sent]) {
        let contract = self.contract(name);
        for run in changes.chunk_by(|a, b| (a.provider, a.schema) == (b.provider, b.schema)) {
            self.submissions += 1;
            submit(self.log(), &contract, run, &format!("s-{}", self.submissions), self.now_ms());
            for change in run {
                self.note(name, change);
            }
        }
    }

    /// Tells the model what was submitted.
    pub fn note(&mut self, name: &str, change: &Sent) -> Outcome {
        let oracle = self.oracles.entry(name.to_owned()).or_default();
        let outcome = oracle.submit(change.provider, &change.key, change.version, change.record.clone());
        let counts = self.expected.entry((change.provider.to_owned(), name.to_owned())).or_default();
        match outcome {
            Outcome::Admitted => counts.admitted += 1,
            Outcome::Repeated => counts.repeated += 1,
            Outcome::Stale => counts.stale += 1,
            Outcome::Rejected => counts.rejected += 1,
        }
        outcome
    }

    pub fn router_config(&self) -> Config {
        let clock = self.clock.clone();
        let clock = Arc::new(move || clock.load(Ordering::SeqCst));
        let mut config = Config::new(self.ground.log.clone(), group(), master(), clock);
        config.state_dir = Some(self.home.join("state"));
        config.max_batch_records = self.batch;
        config.image_every = self.image_every;
        config.look_every = Duration::ZERO;
        config
    }

    /// The router, opened if it is not.
    pub fn router(&mut self) -> &mut Router {
        if self.router.is_none() {
            self.router = Some(Router::open(self.router_config()).unwrap());
        }
        self.router.as_mut().unwrap()
    }

    /// The router's process is gone, without a word.
    pub fn crash_router(&mut self) {
        self.router = None;
    }

    pub fn turn_router(&mut self, wait: Duration) -> Turn {
        self.router().turn(wait).unwrap_or_else(|e| panic!("the router stopped: {e:?}"))
    }

    /// One turn of control. Whether it did something.
    pub fn turn_control(&mut self) -> bool {
        let now_ms = self.now_ms();
        self.control.turn(now_ms).is_ok_and(|turn| !turn.is_idle())
    }

    /// Control's process is gone, and another one starts.
    pub fn crash_control(&mut self) {
        self.control = Control::new(self.ground.log.clone(), master());
    }

    /// One turn of an agency's subscriber. Whether it did something.
    pub fn turn_keeper(&mut self, name: &str) -> bool {
        self.wait_keeper(name, Duration::ZERO)
    }

    /// The same, which waits for something to come.
    pub fn wait_keeper(&mut self, name: &str, wait: Duration) -> bool {
        let Some((subscriber, _)) = &mut self.keepers.get_mut(name).unwrap().running else { return false };
        subscriber.turn(wait).is_ok_and(|turn| !turn.is_idle())
    }

    /// What the subscriber of an agency says of itself.
    pub fn stats(&self, name: &str) -> Arc<Mutex<subscriber::Stats>> {
        self.keepers[name].running.as_ref().unwrap().0.stats()
    }

    /// The subscriber of an agency, for a thread of its own. When that is over the agency can be kept again.
    pub fn lend(&mut self, name: &str) -> Subscriber {
        self.keepers.get_mut(name).unwrap().running.take().unwrap().0
    }

    /// Turns every role until none has anything to do, or waits. Whether one did something.
    pub fn round(&mut self, wait: Duration) -> bool {
        let mut busy = false;
        for turn in 0.. {
            assert!(turn < MAX_TURNS, "the router is never idle: {:?}", self.router().stats().snapshot());
            match self.turn_router(if turn == 0 { wait } else { Duration::ZERO }) {
                Turn::Idle | Turn::Waiting(_) => break,
                _ => busy = true,
            }
        }
        for turn in 0.. {
            assert!(turn < MAX_TURNS, "control is never idle");
            if !self.turn_control() {
                break;
            }
            busy = true;
        }
        for name in self.kept() {
            for turn in 0.. {
                assert!(turn < MAX_TURNS, "the subscriber of {name} is never idle");
                if !self.turn_keeper(name) {
                    break;
                }
                busy = true;
            }
        }
        busy
    }

    /// Turns every role, a second of the clock a round, until the bus is at rest: everything submitted is decided, every
    /// view that ended is gone, and every copy that is kept holds all of its view.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut wait = Duration::ZERO;
        loop {
            self.tick(1_000);
            let busy = self.round(wait);
            let missing = if busy { None } else { self.unrest() };
            // Where something may be on its way, a round that waited says that nothing is.
            if !busy && missing.is_none() && wait == self.ground.wait {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "no rest: {missing:?}; router {:?}; subscribers {:?}",
                self.router().stats().snapshot(),
                self.keepers.values().filter_map(|k| Some(k.running.as_ref()?.0.stats())).collect::<Vec<_>>()
            );
            wait = if busy { Duration::ZERO } else { self.ground.wait };
        }
    }

    /// What is still to come, if the bus is not at rest.
    pub fn unrest(&mut self) -> Option<String> {
        let now_ms = self.now_ms();
        let router = self.router().stats().snapshot();
        if router.waiting.is_some() || router.lane.is_some() || router.redoing {
            return Some(format!("the router: {:?}", router.waiting));
        }
        for input in router.inputs.iter().filter(|i| i.waiting.is_none()) {
            let end = self.log().bounds(&Principal::router(), &input.of).unwrap().end;
            if input.position < end {
                return Some(format!("{} to be decided", input.of));
            }
        }
        let set = self.control_set();
        let topics = self.log().topics().unwrap();
        for view in set.views.values() {
            let topic = view.activation.topic();
            let there = topics.iter().any(|spec| spec.topic == topic);
            let stands = view.in_force(now_ms);
            if there != stands {
                return Some(format!("{topic} is there: {there}"));
            }
            let recipient = view.activation.grant.recipient.as_str();
            let Some(Keeper { running: Some((subscriber, store)), .. }) = self.keepers.get(recipient) else { continue };
            let id =
                CopyId { dataset: view.activation.grant.dataset.clone(), view: view.activation.grant.view.clone() };
            let held = store.generations().unwrap().into_iter().filter(|g| g.copy() == id);
            let mut held = held.filter(|g| g.card.edition == view.activation.edition);
            if !stands {
                if held.next().is_some() {
                    return Some(format!("{topic} to be purged by {recipient}"));
                }
                continue;
            }
            let Some(shown) = held.find(|g| g.published) else { return Some(format!("{topic} to be shown")) };
            let stats = subscriber.stats().lock().unwrap().clone();
            let stats = stats.copies.into_iter().find(|c| (&c.dataset, &c.view) == (&id.dataset, &id.view));
            if !stats.is_some_and(|c| c.complete) {
                return Some(format!("{topic} to be completed by {recipient}"));
            }
            for (partition, reached) in (0..).zip(&shown.progress.reached) {
                let end = self
                    .log()
                    .bounds(&Principal::router(), &TopicPartition::new(topic.clone(), partition))
                    .unwrap()
                    .end;
                if reached.is_none_or(|r| r.end < end) {
                    return Some(format!("{topic}/{partition} to be told and read to {end}"));
                }
            }
        }
        None
    }
}

/// Submits changes of one provider, checked as `kenh produce` checks them.
pub fn submit(log: &dyn Log, contract: &Document, changes: &[Sent], name: &str, now_ms: i64) {
    try_submit(log, contract, changes, name, now_ms).unwrap();
}

/// The same, on a log that may be gone.
pub fn try_submit(
    log: &dyn Log,
    contract: &Document,
    changes: &[Sent],
    name: &str,
    now_ms: i64,
) -> Result<(), SubmitError> {
    let Some(first) = changes.first() else { return Ok(()) };
    let mut contract = contract.clone();
    // Software of an earlier contract version knows neither later schemas nor rules for what they added.
    contract.schemas.retain(|v| v.version <= first.schema);
    let known = Schema::parse(&contract.latest().unwrap().schema).unwrap();
    contract.fields.retain(|path, _| known.path(path).is_some());
    let rules = Rules::compile(&contract).unwrap();
    let provider = agency(first.provider);
    let lines: String = changes.iter().map(Sent::line).collect();
    let mut items = open(Format::Jsonl, Box::new(lines.as_bytes()), &rules, None).unwrap();
    let defaults = Defaults { event: Event::New, version: 1, updated_ms: 0 };
    let mut checker = Checker::new(&rules, provider.clone(), defaults);
    let principal = Principal::new(&system(first.provider)).unwrap();
    let target = Target::of(&contract, provider, principal, name.into()).unwrap();
    let clock = || now_ms;
    let mut submission = Submission::open(log, &clock, target, Patience::default())?;
    while let Some(item) = items.next().unwrap() {
        let change = item.change.unwrap_or_else(|e| panic!("change {}: {e:?}", item.number));
        let ready = checker.check(name, item.number, &change, now_ms);
        let ready = ready.unwrap_or_else(|e| panic!("change {}: {e:?}", item.number));
        submission.push_value(item.number, ready.partition, &ready.key, ready.value, &mut |_| ())?;
    }
    submission.finish(&mut |_| ())
}
