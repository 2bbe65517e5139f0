//! What a router is given.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::Log;
use kenh_domain::names::Group;
use kenh_domain::secret::Secret;

/// A clock: milliseconds since 1970 (UTC). It is read for markers only; nothing else that is written depends on it but
/// the times of notices and receipts.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How long to wait after a turn that could do nothing, doubled each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first.
    pub first: Duration,
    /// At the most.
    pub most: Duration,
}

impl Backoff {
    /// The wait after `wait`.
    #[must_use]
    pub fn after(&self, wait: Option<Duration>) -> Duration {
        wait.map_or(self.first, |wait| (wait * 2).min(self.most))
    }
}

/// What a router is given.
#[derive(Clone)]
pub struct Config {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The group of partitions that it claims: all of the bus.
    pub group: Group,
    /// The node's master secret; state hashes, pseudonyms and masks are derived from it. Another one gives other bytes.
    pub master: Secret,
    /// Where state images lie; none: none are kept, and a start reads the whole data log.
    pub state_dir: Option<PathBuf>,
    /// The clock.
    pub clock: Clock,
    /// Most records of one batch; at most [`MAX_BATCH_RECORDS`].
    pub max_batch_records: usize,
    /// Most input bytes of one batch.
    pub max_batch_bytes: usize,
    /// Data records of one partition after which an image of it is written.
    pub image_every: u64,
    /// How often topics that were missing are looked for again, and lags are brought up to date.
    pub look_every: Duration,
    /// How [`crate::Router::run`] waits when it can do nothing.
    pub backoff: Backoff,
}

impl Config {
    /// The defaults around what has none.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, group: Group, master: Secret, clock: Clock) -> Self {
        Self {
            log,
            group,
            master,
            state_dir: None,
            clock,
            max_batch_records: MAX_BATCH_RECORDS,
            max_batch_bytes: MAX_BATCH_BYTES,
            // Reading a million data records back takes seconds; an image of them is about a hundred megabytes.
            image_every: 1_000_000,
            look_every: Duration::from_secs(1),
            backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) },
        }
    }

    /// Records of one batch: what is decided again after a claim rests on the upper bound.
    pub(crate) fn batch_records(&self) -> usize {
        self.max_batch_records.clamp(1, MAX_BATCH_RECORDS)
    }
}
