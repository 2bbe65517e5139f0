//! The Kafka that the scenarios share: one node a test process, one scenario at a time, empty before each.
//!
//! A bus has names of its own in a cluster (`kenh.control`, `in.…`), so that two scenarios at once would meet. A node of
//! its own for each would take 4 s; deleting all topics takes a fraction of one.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kenh_broker::kafka::{KafkaLog, Options};
use kenh_testkit::PATIENCE;
use kenh_testkit::kafka::Cluster;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

/// How far ahead of the node's clock a scenario's may run: a broker refuses records from more than an hour ahead, and a
/// scenario lets a year pass in a second.
const AHEAD_MS: i64 = 5 * 366 * 24 * 60 * 60 * 1000;

/// Longer than any run of the scenarios.
const HOUR_MS: &str = "3600000";

/// The right to be the one scenario on the cluster.
pub struct Turn {
    _one: MutexGuard<'static, ()>,
}

/// The cluster with nothing on it. Waits for whoever uses it.
pub fn take() -> (Turn, &'static Cluster) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| let_clocks_run_ahead(cluster));
    wipe(cluster);
    (Turn { _one: one }, cluster)
}

/// A log on a cluster, as another process would have it.
pub fn connect(bootstrap: &str) -> KafkaLog {
    KafkaLog::connect(Options { bootstrap: bootstrap.into(), replication: 1, ..Options::default() }).unwrap()
}

pub fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap()
}

/// Waits for an answer of the administrative client.
pub fn ask<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(what)
}

/// Waits for a state.
pub fn until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sets the node to take records from far ahead of its clock, and not to compact because a scenario's day has passed: what
/// is held to a replay record for record must be there record for record.
pub fn let_clocks_run_ahead(cluster: &Cluster) {
    let ahead = AHEAD_MS.to_string();
    let change = AlterConfig::new(ResourceSpecifier::Broker(1))
        .set("log.message.timestamp.after.max.ms", &ahead)
        .set("log.cleaner.backoff.ms", HOUR_MS);
    let done = ask(admin(cluster.bootstrap()).alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

/// Deletes every topic and what the router's group has committed.
fn wipe(cluster: &Cluster) {
    let admin = admin(cluster.bootstrap());
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let topics = || -> Vec<String> {
        let all = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
        all.topics().iter().map(|t| t.name().to_owned()).filter(|name| !name.starts_with("__")).collect()
    };
    let there = topics();
    if there.is_empty() {
        return;
    }
    let names: Vec<&str> = there.iter().map(String::as_str).collect();
    for gone in ask(admin.delete_topics(&names, &options)).unwrap() {
        gone.unwrap();
    }
    until("topics to be gone", || topics().is_empty());
    for gone in ask(admin.delete_groups(&["kenh.main"], &options)).unwrap() {
        assert!(matches!(gone, Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))), "{gone:?}");
    }
}
