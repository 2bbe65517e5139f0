//! Faults on command: what a [`MemoryLog`] does wrong, and when.
//!
//! All of them are things that a real log does: answer late, answer nothing, be full, take access away. A fault that is
//! counted (`the next n`) is used up by the calls it hits; one that is switched stays until it is switched off.

use std::collections::{BTreeSet, VecDeque};

use kenh_domain::log::StorageError;
use kenh_domain::topic::Topic;

use crate::PATIENCE;
use crate::memory::MemoryLog;

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// Refused, nothing written; the claim goes on.
    Refused,
    /// No room, nothing written; the claim goes on.
    Full,
    /// Written, but the answer is lost: the claim is dead.
    UnclearWritten,
    /// Not written, and the answer is lost: the claim is dead.
    UnclearLost,
}

/// What happens to a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushFault {
    /// No room, nothing written.
    Full,
    /// Written, but the answer is an error.
    FailedWritten,
    /// Not written, and the answer is an error.
    FailedLost,
}

/// The faults of a log that wait to happen.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) commits: VecDeque<CommitFault>,
    pub(crate) flushes: VecDeque<FlushFault>,
    pub(crate) failing_reads: usize,
    pub(crate) denied: BTreeSet<Topic>,
    pub(crate) full: bool,
    pub(crate) hold: bool,
    pub(crate) held: usize,
}

/// An error that was asked for.
pub(crate) fn injected(what: &'static str) -> StorageError {
    format!("{what} (a fault on command)").into()
}

/// The hand on the switches of one log; see [`MemoryLog::faults`].
#[derive(Debug, Clone, Copy)]
pub struct Faults<'a> {
    pub(crate) log: &'a MemoryLog,
}

impl Faults<'_> {
    /// The next `n` commits fail like this, after those already ordered.
    pub fn next_commits(&self, n: usize, how: CommitFault) {
        self.log.change(|state| state.pending.commits.extend(std::iter::repeat_n(how, n)));
    }

    /// The next `n` flushes of writers fail like this, after those already ordered.
    pub fn next_flushes(&self, n: usize, how: FlushFault) {
        self.log.change(|state| state.pending.flushes.extend(std::iter::repeat_n(how, n)));
    }

    /// The next `n` polls fail with [`ReadError::Storage`](kenh_domain::log::ReadError::Storage).
    pub fn next_reads(&self, n: usize) {
        self.log.change(|state| state.pending.failing_reads += n);
    }

    /// While on, every commit and every flush finds no room.
    pub fn full(&self, on: bool) {
        self.log.change(|state| state.pending.full = on);
    }

    /// While on, nobody may read `topic`, roles included, whatever its access list says.
    pub fn deny_reads(&self, topic: &Topic, on: bool) {
        self.log.change(|state| {
            if on {
                state.pending.denied.insert(topic.clone());
            } else {
                state.pending.denied.remove(topic);
            }
        });
    }

    /// From now on commits wait, before they have any effect, until [`Self::release_commits`].
    pub fn hold_commits(&self) {
        self.log.change(|state| state.pending.hold = true);
    }

    /// Lets held commits go on, and no longer holds any.
    pub fn release_commits(&self) {
        self.log.change(|state| state.pending.hold = false);
    }

    /// Waits until `n` commits are held.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub fn wait_for_held_commits(&self, n: usize) {
        let reached = self.log.wait_for(PATIENCE, |state| state.pending.held >= n);
        assert!(reached, "no {n} commits were held within {PATIENCE:?}");
    }
}
