//! What a subscriber is given.

use std::sync::Arc;
use std::time::Duration;

use kenh_domain::log::Log;
use kenh_domain::names::{Agency, Principal};

use crate::store::{CopyId, ViewStore};

/// A clock: milliseconds since 1970 (UTC). It decides how long the subscriber was away, when it confirms, and the times
/// of what it confirms.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How long to wait after a turn that failed, doubled each time.
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

/// What a subscriber is given.
#[derive(Clone)]
pub struct Config {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Whose copies it keeps.
    pub agency: Agency,
    /// As whom it reads and confirms: a system of the agency that the grants name.
    pub principal: Principal,
    /// Where the copies are kept; this subscriber is its only writer.
    pub store: Arc<dyn ViewStore>,
    /// The clock.
    pub clock: Clock,
    /// How [`run`](super::Subscriber::run) waits after a failure.
    pub backoff: Backoff,
    /// Fields to keep an index of, by copy: dotted paths in the view. The fields of a composite record key are indexed
    /// without being named. In force from the next generation of the copy on.
    pub indexes: Vec<(CopyId, String)>,
    /// How often each copy is confirmed with its digest, when it has changed since; none: only on request. A digest
    /// reads every row once.
    pub confirm_every: Option<Duration>,
    /// Bytes of rows that a fill may hold in memory before it writes them: the more, the fewer rows are written twice.
    pub fill_bytes: usize,
}

impl Config {
    /// The defaults around what has none.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        agency: Agency,
        principal: Principal,
        store: Arc<dyn ViewStore>,
        clock: Clock,
    ) -> Self {
        Self {
            log,
            agency,
            principal,
            store,
            clock,
            backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) },
            indexes: Vec::new(),
            confirm_every: Some(Duration::from_secs(3600)),
            fill_bytes: 64 << 20,
        }
    }
}
