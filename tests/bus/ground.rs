//! The ground that a scenario stands on: a log, a kind of store for copies, and what can be done to the log on command.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use kenh_broker::embedded::{EmbeddedLog, Fsync, Options};
use kenh_consumers::store::ViewStore;
use kenh_consumers::store::fjall::FjallStore;
use kenh_consumers::store::sled::SledStore;
use kenh_domain::log::Log;
use kenh_testkit::MemoryLog;

use crate::cluster;

/// Where the clock starts, unless a log compares it with its own: 2026-04-27 in Việt Nam, when the articles of law that the shipped grants rest on are in force.
pub const NOON: i64 = 1_777_280_000_000;

/// How long a role waits for what a broker may have for it. An answer comes at once when there is something; this is how
/// long it takes to find that there is nothing.
const KAFKA_WAIT: Duration = Duration::from_millis(200);

/// In what copies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Sled,
    Fjall,
}

impl StoreKind {
    pub fn open(self, dir: &Path) -> Arc<dyn ViewStore> {
        match self {
            Self::Sled => Arc::new(SledStore::open(dir).unwrap()),
            Self::Fjall => Arc::new(FjallStore::open(dir).unwrap()),
        }
    }
}

/// See the module's documentation.
pub struct Ground {
    pub log: Arc<dyn Log>,
    pub store: StoreKind,
    /// Where the clock starts: milliseconds since 1970 (UTC).
    pub starts_ms: i64,
    /// How long a role that finds nothing waits for something to come, when the bus is known not to be at rest. Zero
    /// where a reader gives at once what is there.
    pub wait: Duration,
    /// Whether `maintain` compacts before it returns.
    pub maintains: bool,
    /// Makes the log full (true) or not.
    pub fill: Option<Box<dyn Fn(bool)>>,
    /// Faults on command, where the log is one that has them.
    pub memory: Option<Arc<MemoryLog>>,
    /// Dropped last: the directory or the broker that the log stands on.
    _keep: Box<dyn Any>,
}

impl Ground {
    /// On a log as it is.
    pub fn on(log: Arc<dyn Log>, store: StoreKind, keep: Box<dyn Any>) -> Self {
        Self {
            log,
            store,
            starts_ms: NOON,
            wait: Duration::ZERO,
            maintains: true,
            fill: None,
            memory: None,
            _keep: keep,
        }
    }

    /// The log in memory, copies in sled.
    pub fn memory() -> Self {
        let log = MemoryLog::new();
        let filled = log.clone();
        Self {
            fill: Some(Box::new(move |on| filled.faults().full(on))),
            memory: Some(log.clone()),
            ..Self::on(log, StoreKind::Sled, Box::new(()))
        }
    }

    /// The log that is a directory, copies in fjall.
    pub fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let full = Arc::new(AtomicBool::new(false));
        let probed = full.clone();
        let free_space =
            Arc::new(move |_: &Path| Ok(if probed.load(Ordering::SeqCst) { 0 } else { u64::from(u32::MAX) }));
        let log = EmbeddedLog::open(dir.path(), Options { free_space, ..options() }).unwrap();
        Self {
            fill: Some(Box::new(move |on| full.store(on, Ordering::SeqCst))),
            ..Self::on(Arc::new(log), StoreKind::Fjall, Box::new(dir))
        }
    }

    /// A real Apache Kafka, empty and nobody else's until this is dropped; copies in sled.
    pub fn kafka() -> Self {
        let (turn, cluster) = cluster::take();
        Self::on_kafka(Arc::new(cluster::connect(cluster.bootstrap())), StoreKind::Sled, Box::new(turn))
    }

    /// A Kafka as it is.
    pub fn on_kafka(log: Arc<dyn Log>, store: StoreKind, keep: Box<dyn Any>) -> Self {
        Self { starts_ms: now_ms(), wait: KAFKA_WAIT, maintains: false, ..Self::on(log, store, keep) }
    }
}

/// The machine's clock, for a log that compares it with ours.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The embedded log without waiting for the disk: a killed process loses nothing by it, and no test pulls a plug.
pub fn options() -> Options {
    Options { fsync: Fsync::Never, ..Options::default() }
}
