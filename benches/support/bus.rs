//! A bus to measure: declared from `schemas/` and grants as a user writes them, on any log.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kenh_broker::embedded::{EmbeddedLog, Fsync, Options};
use kenh_consumers::store::ViewStore;
use kenh_consumers::store::fjall::FjallStore;
use kenh_consumers::store::postgres::{self, PostgresStore};
use kenh_consumers::store::sled::SledStore;
use kenh_consumers::subscriber::{self, Subscriber};
use kenh_domain::control::ControlSet;
use kenh_domain::log::{Log, Position, TopicPartition};
use kenh_domain::names::{Agency, Dataset, Group, Principal};
use kenh_domain::secret::Secret;
use kenh_domain::topic::Topic;
use kenh_governance::Control;
use kenh_producers::reform::{Change, Reform};
use kenh_producers::{Patience, Submission, Target};
use kenh_router::{Config, Router, Turn};
use kenh_testkit::postgres::Cluster;

/// Who is made up, the same every time.
pub const SEED: u64 = 1;

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

pub fn master() -> Secret {
    Secret::new([5; 32])
}

pub fn agency(name: &str) -> Agency {
    Agency::new(name).expect("a name")
}

pub fn people() -> Dataset {
    Dataset::new("dan-cu").expect("a name")
}

pub fn principal(name: &str) -> Principal {
    Principal::new(name).expect("a name")
}

pub fn reform() -> Reform {
    Reform::load().expect("the shipped files are good")
}

/// `count` people before the reform, then the same after it.
pub fn population(reform: &Reform, count: u64) -> Vec<Change> {
    let people = reform.people(SEED, count).expect("not too many");
    people.before().chain(people.reform()).collect()
}

/// Which grants stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grants {
    /// Those in `broker-config/`.
    Declared,
    /// So many of people, of which no two give the same row: by province, and beyond 50 by province and sex.
    Disjoint(usize),
    /// So many that all give every row of people, each with other fields.
    Overlapping(usize),
}

/// What the disjoint ones give.
const FIELDS: [&str; 9] = [
    "SoDinhDanh",
    "HoVaTen",
    "NgaySinh",
    "GioiTinh",
    "NoiOHienTai.MaXa",
    "NoiOHienTai.MaXaTu",
    "NoiOHienTai.MaTinh",
    "NoiOHienTai.ChiTiet",
    "SoDienThoai",
];

/// The codes of the provinces of before the reform and of those that are new with it.
pub fn provinces(reform: &Reform) -> Vec<String> {
    let old = reform.units_before().filter(|s| s.record.unit.level == 1).map(|s| s.record.unit.code.clone());
    old.collect()
}

/// The row filter of the disjoint grant `n` of `of`.
pub fn disjoint_filter(provinces: &[String], n: usize, of: usize) -> String {
    if of <= 50 {
        format!("NoiOHienTai.MaTinh == \"{}\"", provinces[n])
    } else {
        format!("NoiOHienTai.MaTinh == \"{}\" && GioiTinh == {}", provinces[n / 2], 1 + n % 2)
    }
}

/// Writes the declared state of `grants` into `dir`.
fn declared(dir: &Path, grants: Grants) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schemas = root.join("schemas");
    let (count, disjoint) = match grants {
        Grants::Declared => return vec![schemas, root.join("broker-config")],
        Grants::Disjoint(count) => (count, true),
        Grants::Overlapping(count) => (count, false),
    };
    let provinces = provinces(&reform());
    let write = |name: String, text: String| fs::write(dir.join(name), text).expect("a file can be written");
    for provider in ["G01", "G09"] {
        write(format!("{provider}.yaml"), agency_yaml(provider));
    }
    for n in 0..count {
        let name = format!("R{n:03}");
        write(format!("{name}.yaml"), agency_yaml(&name));
        let mut fields: Vec<_> = FIELDS.to_vec();
        if !disjoint {
            // All but one of what comes after the key and the name, and one more: no two alike.
            fields.remove(2 + n % 7);
            fields.push(["DanToc", "TinhTrangHonNhan"][n / 7 % 2]);
        }
        let mut text = format!(
            "kind: Grant\nstate: active\nid: r{n:03}\nrecipient: {name}\nsystems: [{}-portal]\ndataset: dan-cu\n\
             purpose: Đo\nlegalBasis: [Nghị định 194/2025/NĐ-CP]\nduration: P12M\nfields:\n",
            name.to_lowercase()
        );
        for path in fields {
            let name = path.rsplit('.').next().expect("a last part");
            writeln!(text, "  - {{path: {path}, as: {name}}}").expect("a string grows");
        }
        if disjoint {
            writeln!(text, "filter: '{}'", disjoint_filter(&provinces, n, count)).expect("a string grows");
        }
        write(format!("grant-{n:03}.yaml"), text);
    }
    vec![schemas, dir.to_owned()]
}

fn agency_yaml(name: &str) -> String {
    let system = name.to_lowercase();
    format!("kind: Agency\nname: {name}\ncode: {name}\ntitle: {name}\nsystems: [{system}-portal]\n")
}

/// Declares schemas, agencies and grants on a log, with topics, access lists and cards.
pub fn declare(log: &Arc<dyn Log>, grants: Grants) -> ControlSet {
    let dir = tempfile::tempdir().expect("a directory");
    let paths = declared(dir.path(), grants);
    let declared = kenh_governance::read(&paths).unwrap_or_else(|p| panic!("{p:#?}"));
    kenh_governance::bootstrap(&**log).expect("the bus can be begun");
    let now = now_ms();
    let set = kenh_governance::load(&**log).expect("the control log can be read");
    let topics = log.topics().expect("topics can be listed");
    let plan = kenh_governance::plan(&declared, &set, &topics, now).unwrap_or_else(|p| panic!("{p:#?}"));
    kenh_governance::apply(&**log, &plan, now).expect("the plan can be applied");
    control(log);
    let set = kenh_governance::load(&**log).expect("the control log can be read");
    units(log, &set);
    set
}

/// Submits every unit as G09 and lets them be decided: people live in communes that the bus knows.
fn units(log: &Arc<dyn Log>, set: &ControlSet) {
    let contract = &set.contracts[&Dataset::new("don-vi-hanh-chinh").expect("a name")];
    let target = Target::of(contract, agency("G09"), principal("g09-portal"), "units".into()).expect("a schema");
    let mut submission = Submission::open(&**log, &now_ms, target, Patience::default()).expect("G09 may submit");
    // One more: the end of the submission in the one partition.
    let mut inputs = 1;
    for c in reform().units() {
        submission.push(&c.key, c.event, c.version, c.updated_ms, Some(&c.body)).expect("it is written");
        inputs += 1;
    }
    submission.finish(&mut |_| ()).expect("it is written");
    let mut router = router(log);
    route_all(&mut router, inputs);
    router.stop();
}

/// Turns the control role until it has nothing to do.
pub fn control(log: &Arc<dyn Log>) {
    let mut control = Control::new(log.clone(), master());
    while !control.turn(now_ms()).expect("control goes on").is_idle() {}
}

/// Submits people as G01, and the end of the submission in every partition.
pub fn submit(log: &dyn Log, set: &ControlSet, id: &str, changes: &[Change]) {
    let contract = &set.contracts[&people()];
    let target = Target::of(contract, agency("G01"), principal("g01-portal"), id.into()).expect("there is a schema");
    let mut submission = Submission::open(log, &now_ms, target, Patience::default()).expect("G01 may submit");
    for c in changes {
        submission.push(&c.key, c.event, c.version, c.updated_ms, Some(&c.body)).expect("it is written");
    }
    submission.finish(&mut |_| ()).expect("it is written");
}

/// A router over a log, claimed and ready.
pub fn router(log: &Arc<dyn Log>) -> Router {
    let group = Group::new("main").expect("a name");
    Router::open(Config::new(log.clone(), group, master(), Arc::new(now_ms))).expect("the group can be claimed")
}

/// How long nothing may come before a role counts as idle: a log on a network answers a moment later.
const IDLE: Duration = Duration::from_millis(200);

/// Turns a router until it is idle; answers how many inputs it has decided.
pub fn route(router: &mut Router) -> usize {
    let mut decided = 0;
    loop {
        match router.turn(IDLE).expect("the router goes on") {
            Turn::Idle => return decided,
            Turn::Decided { records } => decided += records,
            Turn::Waiting(reason) => panic!("the router waits: {reason}"),
            _ => {}
        }
    }
}

/// Turns a router until `records` inputs are decided, and no further.
pub fn route_all(router: &mut Router, records: usize) {
    let mut decided = 0;
    while decided < records {
        match router.turn(Duration::from_millis(100)).expect("the router goes on") {
            Turn::Decided { records } => decided += records,
            Turn::Waiting(reason) => panic!("the router waits: {reason}"),
            _ => {}
        }
    }
}

/// The input partitions of people, each from its start.
pub fn inputs(log: &dyn Log, set: &ControlSet) -> Vec<(TopicPartition, Position)> {
    let topic = Topic::In(people(), agency("G01"));
    let of = |p| TopicPartition::new(topic.clone(), p);
    let start = |of: TopicPartition| {
        let start = log.bounds(&Principal::router(), &of).expect("the input is there").start;
        (of, start)
    };
    (0..set.contracts[&people()].partitions).map(|p| start(of(p))).collect()
}

/// The same, each from its end.
pub fn ends(log: &dyn Log, set: &ControlSet) -> Vec<(TopicPartition, Position)> {
    let end = |(of, _): (TopicPartition, Position)| {
        let end = log.bounds(&Principal::router(), &of).expect("the input is there").end;
        (of, end)
    };
    inputs(log, set).into_iter().map(end).collect()
}

pub fn embedded(dir: &Path, fsync: Fsync) -> Arc<dyn Log> {
    Arc::new(EmbeddedLog::open(dir, Options { fsync, ..Options::default() }).expect("the log opens"))
}

/// Copies a directory of files and directories; what is measured starts from the same state each time.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("it can be copied");
        }
    }
}

/// What copies are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Sled,
    Fjall,
    /// On a real server that this process starts; a schema for each directory.
    Postgres,
}

impl StoreKind {
    /// Those that are a directory.
    pub const EMBEDDED: [Self; 2] = [Self::Sled, Self::Fjall];
    pub const ALL: [Self; 3] = [Self::Sled, Self::Fjall, Self::Postgres];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
            Self::Postgres => "PostgreSQL",
        }
    }

    pub fn open(self, dir: &Path) -> Arc<dyn ViewStore> {
        match self {
            Self::Sled => Arc::new(SledStore::open(dir).expect("the store opens")),
            Self::Fjall => Arc::new(FjallStore::open(dir).expect("the store opens")),
            Self::Postgres => {
                let server = Cluster::shared();
                let options = postgres::Options::new(&agency("G01"), server.url(), Some(server.password()));
                let options = options.and_then(|o| o.schema(&schema_of(dir))).expect("a database here");
                Arc::new(PostgresStore::open(options).expect("the store opens"))
            }
        }
    }
}

/// The schema that stands for a directory.
pub fn schema_of(dir: &Path) -> String {
    dir.file_name().and_then(|n| n.to_str()).expect("a name").replace('.', "bench")
}

/// The configuration of a subscriber of `name`, which confirms only when asked: a digest is no part of what is measured.
pub fn subscriber_config(log: &Arc<dyn Log>, name: &str, store: Arc<dyn ViewStore>) -> subscriber::Config {
    let system = principal(&format!("{}-portal", name.to_lowercase()));
    let mut config = subscriber::Config::new(log.clone(), agency(name), system, store, Arc::new(now_ms));
    config.confirm_every = None;
    config
}

/// Turns a subscriber until it has nothing to do; answers the view records it has applied.
pub fn keep(subscriber: &mut Subscriber) -> usize {
    let mut applied = 0;
    loop {
        let turn = subscriber.turn(IDLE).expect("the subscriber goes on");
        applied += turn.applied;
        if turn.is_idle() {
            return applied;
        }
    }
}

/// Turns a subscriber until readers see `rows` people with `updated` updates, and its other copies, and no further.
pub fn keep_until(subscriber: &mut Subscriber, rows: u64, updated: u64) {
    let stats = subscriber.stats();
    let there = |c: &subscriber::CopyStats| {
        c.dataset == people() && c.state == subscriber::CopyState::Live && c.rows >= rows && c.updated >= updated
    };
    let shown = |copies: &[subscriber::CopyStats]| {
        copies.iter().any(there) && copies.iter().all(|c| c.state == subscriber::CopyState::Live)
    };
    while !shown(&stats.lock().expect("nobody panicked").copies) {
        subscriber.turn(Duration::from_millis(100)).expect("the subscriber goes on");
    }
}
