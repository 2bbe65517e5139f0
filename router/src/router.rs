//! The router as others see it: opened on a log, turned or run, asked for its statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kenh_domain::log::{ClaimError, TopicPartition};
use kenh_domain::names::Group;

use crate::config::Config;
use crate::control::FollowError;
use crate::engine::EngineError;
use crate::lists::ListError;
use crate::metadata::MetadataError;
use crate::recover::RecoverError;
use crate::session::{Halt, Session};
use crate::stats::{Reason, Stats};

/// How long an idle turn of [`Router::run`] waits for inputs: also the longest that a control event waits to be seen.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How often a waiting loop looks whether it is to stop.
const STOP_EVERY: Duration = Duration::from_millis(50);

/// Why a router stops.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Another router has claimed the group. That one goes on.
    #[error("group {0} was claimed by another router")]
    Fenced(Group),
    /// The group may not be claimed.
    #[error("the group cannot be claimed")]
    Claim(#[source] ClaimError),
    /// The control log cannot be followed.
    #[error("the control log cannot be followed")]
    Control(#[source] FollowError),
    /// A data partition cannot be read back.
    #[error("state cannot be read back")]
    Recover(#[source] RecoverError),
    /// A code list that a marker names cannot be read back.
    #[error("a code list cannot be read back")]
    List(#[source] ListError),
    /// The metadata beside the committed positions cannot be used.
    #[error("the group's metadata cannot be used")]
    Metadata(#[source] MetadataError),
    /// What admission let pass cannot be applied.
    #[error("{of}")]
    Engine {
        /// Which data partition.
        of: TopicPartition,
        /// What is wrong.
        #[source]
        source: Box<EngineError>,
    },
}

/// What one turn did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It claimed the group and read its state back.
    Claimed,
    /// It wrote markers.
    Marked {
        /// How many.
        markers: u64,
    },
    /// It filled views that had come into force.
    Filled {
        /// Whether the lane is done.
        done: bool,
    },
    /// It decided inputs.
    Decided {
        /// How many.
        records: usize,
    },
    /// It told readers how far their views have come.
    Told,
    /// There was nothing to do.
    Idle,
    /// It could not go on; the next turn tries again. Wait a little before it.
    Waiting(Reason),
}

/// One loop over one group. Not shared between threads; what others may know is in its [`Stats`].
pub struct Router {
    config: Arc<Config>,
    session: Option<Session>,
    stats: Arc<Stats>,
}

impl Router {
    /// Claims the group, which fences whoever held it, and reads its state back, from images where there are good ones.
    /// Where the log cannot give that now, the first turns do it.
    ///
    /// # Errors
    /// [`RouterError`]: not allowed, or the log or an image was written by a newer release or is damaged.
    pub fn open(config: Config) -> Result<Self, RouterError> {
        let mut router = Self { config: Arc::new(config), session: None, stats: Arc::default() };
        router.turn(Duration::ZERO)?;
        Ok(router)
    }

    /// What the loop tells of itself; may be asked from any thread.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// One turn of the loop: at most one transaction. Waits up to `wait` for inputs when there is nothing to do.
    ///
    /// # Errors
    /// [`RouterError`]: stop.
    pub fn turn(&mut self, wait: Duration) -> Result<Turn, RouterError> {
        let turned = match &mut self.session {
            Some(session) => session.turn(wait),
            None => Session::open(self.config.clone(), self.stats.clone()).map(|session| {
                self.session = Some(session);
                Turn::Claimed
            }),
        };
        let turn = match turned {
            Ok(turn) => {
                self.stats.update(|s| s.waiting = None);
                turn
            }
            Err(Halt::Fatal(error)) => {
                self.session = None;
                return Err(*error);
            }
            Err(Halt::Again(reason)) => {
                tracing::warn!(reason = %reason, "dropping the claim");
                // Said first: a client that lets go of a broker that is away takes its time.
                let waiting = self.wait_for(reason);
                self.session = None;
                waiting
            }
            Err(Halt::Wait(reason)) => self.wait_for(reason),
        };
        if let Some(session) = &self.session {
            session.report();
        }
        Ok(turn)
    }

    fn wait_for(&self, reason: Reason) -> Turn {
        self.stats.update(|s| s.waiting = Some(reason.clone()));
        Turn::Waiting(reason)
    }

    /// Turns until `stop` is set, then stops cleanly. Waits with backoff where a turn could not go on.
    ///
    /// # Errors
    /// [`RouterError`]: whoever runs it must not run it again without looking.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), RouterError> {
        let mut waited = None;
        while !stop.load(Ordering::Relaxed) {
            if let Turn::Waiting(_) = self.turn(IDLE_WAIT)? {
                let wait = self.config.backoff.after(waited);
                waited = Some(wait);
                let mut left = wait;
                while !left.is_zero() && !stop.load(Ordering::Relaxed) {
                    let nap = left.min(STOP_EVERY);
                    std::thread::sleep(nap);
                    left -= nap;
                }
            } else {
                waited = None;
            }
        }
        self.stop();
        Ok(())
    }

    /// Writes state images and lets go of the claim. What was read and not decided is decided after the next start.
    pub fn stop(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.write_images();
        }
    }
}
