//! A subscriber: keeps the copies of one agency right.
//!
//! It reads `notice.<agency>` and every view that a card there tells of, and needs nothing else. Records and the
//! positions behind them go into the store in one step, so that a redelivery is harmless and a crash loses nothing.
//!
//! # Generations
//! A copy is filled anew, beside the generation that readers see, when there is a new edition, when the log was made anew,
//! when the log no longer holds the position from which to go on, when the copy was not read for more than half the time
//! that tombstones are kept, or on request. The old generation goes on being shown (and, where that is right, being kept
//! up to date) until the new one holds all that the bus has told of; then they are swapped in one step.
//!
//! # Ending
//! When a card says *ended*, the rows are removed and a purge confirmation is written. Only when the bus has filled a newer
//! edition may the ended one be shown for up to [`ENDED_GRACE_MS`], so that a swap has no gap.
//!
//! # Failures
//! A turn that fails is tried again, from what the store says; nothing is lost and nothing counts twice. A view that may
//! not be read is reported as refused and asked for again every [`RETRY_MS`]; the other copies go on.

mod config;
mod confirm;
mod feed;
mod notices;
mod plan;
mod read;
mod requests;
mod say;
mod stats;
mod trace;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::error::chain;
use kenh_domain::limits::TOMBSTONE_DAYS;
use kenh_domain::log::{Incarnation, ReadError};

use crate::store::{Generation, StoreError};
use confirm::Owed;
use feed::Feed;
use notices::{EditionId, Notices};
use read::Open;

pub use config::{Backoff, Clock, Config};
pub use requests::Requests;
pub use stats::{CopyState, CopyStats, ReachedStats, Stats};

/// How long a copy may go unread before tombstones may be missing from the log: half the time they are kept.
pub const MAX_AWAY_MS: i64 = TOMBSTONE_DAYS as i64 * 24 * 60 * 60 * 1000 / 2;
/// How long an ended edition may be shown while a newer one, filled by the bus, is being read.
pub const ENDED_GRACE_MS: i64 = 60 * 1000;
/// How often what was refused is tried again.
pub const RETRY_MS: i64 = 1_000;

/// How often a subscriber that has nothing to write asks whether its store is there.
const PROBE_MS: u64 = 1_000;

/// How long [`Subscriber::run`] waits for records before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(100);

/// Why a turn was not finished. It is safe to try again.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The store failed; what it holds is what its last finished step left.
    #[error("the store of {agency} failed")]
    Store {
        /// Whose.
        agency: kenh_domain::names::Agency,
        /// What failed.
        #[source]
        source: StoreError,
    },
    /// The notices of the agency cannot be read: not allowed (or there are none yet), or the log failed.
    #[error("the notices of {agency} cannot be read")]
    Notices {
        /// Whose.
        agency: kenh_domain::names::Agency,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// The log failed.
    #[error("the views of {agency} cannot be read")]
    Read {
        /// Whose.
        agency: kenh_domain::names::Agency,
        /// What failed.
        #[source]
        source: ReadError,
    },
}

/// What a turn has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Notices read.
    pub notices: usize,
    /// View records read.
    pub records: usize,
    /// View records applied, with the positions behind them.
    pub applied: usize,
    /// Generations begun, shown or discarded, and editions purged.
    pub steps: usize,
    /// Confirmations written.
    pub confirmations: usize,
}

impl Turn {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// Why something is not read now, and when it is tried again (milliseconds since 1970, UTC).
struct Refusal {
    reason: String,
    again_ms: i64,
}

/// Keeps the copies of one agency; see the module's documentation.
pub struct Subscriber {
    config: Config,
    stats: Arc<Mutex<Stats>>,
    requests: Requests,
    /// What was told, by the log of this incarnation.
    notices: Notices,
    incarnation: Incarnation,
    /// Whether the notices have been read to the end seen at the start: before that, nothing is decided.
    told: bool,
    /// The generations in the store; none while they are to be read from it.
    feeds: Option<BTreeMap<Generation, Feed>>,
    /// Generations that cannot be brought up to date any more.
    spent: BTreeSet<Generation>,
    /// Editions that may not be read, or not kept.
    refused: BTreeMap<EditionId, Refusal>,
    /// Editions of which something is to be confirmed and could not be.
    unsaid: BTreeMap<EditionId, Refusal>,
    owed: Owed,
    reader: Option<Open>,
    /// When the store last did something: milliseconds since 1970 (UTC).
    stored_ms: i64,
}

impl Subscriber {
    /// Over a store that holds what an earlier subscriber of this agency left, or nothing.
    ///
    /// # Errors
    /// [`SubscribeError::Store`].
    pub fn open(config: Config) -> Result<Self, SubscribeError> {
        let mut subscriber = Self {
            incarnation: config.log.incarnation(),
            owed: Owed::default(),
            config,
            stats: Arc::default(),
            requests: Requests::default(),
            notices: Notices::default(),
            told: false,
            feeds: None,
            spent: BTreeSet::new(),
            refused: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            reader: None,
            stored_ms: i64::MIN,
        };
        subscriber.load()?;
        subscriber.tell(None);
        Ok(subscriber)
    }

    /// What it says of itself: brought up to date by every turn, readable from any thread.
    #[must_use]
    pub fn stats(&self) -> Arc<Mutex<Stats>> {
        self.stats.clone()
    }

    /// A handle by which other threads ask it for something.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// One turn: does what is due, waits up to `wait` for something new, applies it.
    ///
    /// # Errors
    /// [`SubscribeError`]: try again later.
    pub fn turn(&mut self, wait: Duration) -> Result<Turn, SubscribeError> {
        let result = self.try_turn(wait);
        self.tell(result.as_ref().err());
        result
    }

    /// Turns until `stop` is set. After a failure it waits, twice as long each time, and goes on.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut wait = None;
        while !stop.load(Ordering::Relaxed) {
            match self.turn(WAIT) {
                Ok(_) => wait = None,
                Err(error) => {
                    let next = self.config.backoff.after(wait);
                    wait = Some(next);
                    let agency = &self.config.agency;
                    let chain = chain(&error);
                    tracing::warn!(%agency, error = chain, retry_ms = next.as_millis(), "subscriber cannot go on");
                    let until = Instant::now() + next;
                    while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                        std::thread::sleep(WAIT.min(until.saturating_duration_since(Instant::now())));
                    }
                }
            }
        }
    }

    fn now_ms(&self) -> i64 {
        (self.config.clock)()
    }

    fn store_failed(&self, source: StoreError) -> SubscribeError {
        SubscribeError::Store { agency: self.config.agency.clone(), source }
    }

    /// Takes over what the store holds.
    fn load(&mut self) -> Result<(), SubscribeError> {
        let infos = self.config.store.generations().map_err(|e| self.store_failed(e))?;
        self.feeds = Some(infos.into_iter().map(|info| (info.generation, Feed::new(info))).collect());
        Ok(())
    }

    /// Brings what it says of itself up to date.
    fn tell(&self, error: Option<&SubscribeError>) {
        let copies = self.copy_stats();
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.copies = copies;
        stats.told = self.told;
        stats.failures += u64::from(error.is_some());
        stats.waiting = match error {
            Some(error) => Some(chain(error)),
            None if !self.told => Some(format!("the notices of {} to be read", self.config.agency)),
            None => self.refused.values().chain(self.unsaid.values()).next().map(|refusal| refusal.reason.clone()),
        };
    }
}
