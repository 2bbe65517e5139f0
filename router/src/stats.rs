//! What the loop tells of itself: counts, lags, and what it waits for. Numbers and names only, no row value and no key.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::control::ViewNo;
use kenh_domain::frame::Sequence;
use kenh_domain::log::{Position, TopicPartition};
use kenh_domain::receipt::{Counts, Warnings};
use kenh_domain::topic::Topic;

/// Why the loop, an input or a view does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The log has no room. Tried again with backoff; nothing is lost.
    Full,
    /// The outcome of a commit was not known, or the log failed: the group is claimed again and state rebuilt.
    Recovering(String),
    /// A topic is missing or cannot be written. An input waits for it; a view is stopped for good.
    Topic(Topic, String),
    /// The contract or what is in force cannot be carried out by this release.
    Contract(String),
    /// The positions of the group lie outside what the log holds.
    Gone(String),
    /// The log has not answered a commit for so long. It is waited for: an answer decides whether the loop goes on or
    /// starts again.
    Unanswered(Duration),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the log has no room; trying again"),
            Self::Recovering(why) => write!(f, "starting again from what is committed: {why}"),
            Self::Topic(topic, why) => write!(f, "{topic}: {why}"),
            Self::Contract(why) | Self::Gone(why) => f.write_str(why),
            Self::Unanswered(wait) => write!(f, "the log has not answered a commit for {} s", wait.as_secs()),
        }
    }
}

/// One input partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputStats {
    /// Which.
    pub of: TopicPartition,
    /// Position after the last record consumed.
    pub position: Position,
    /// Its end, as last seen.
    pub end: Position,
    /// Why it is not read, if it is not.
    pub waiting: Option<Reason>,
    /// When something of it was last decided and committed, by the loop's clock; none since this process started.
    pub decided_ms: Option<i64>,
    /// The newest time that its source gave a change admitted since this process started (its own clock).
    pub updated_ms: Option<i64>,
}

impl InputStats {
    /// How far it lies behind, in positions (which are sparse: an upper bound of the records).
    #[must_use]
    pub const fn lag(&self) -> u64 {
        self.end.0.saturating_sub(self.position.0)
    }
}

/// One data partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataStats {
    /// Which.
    pub of: TopicPartition,
    /// Sequence of its last record.
    pub sequence: Sequence,
    /// The control position in force: that of its latest marker.
    pub control: Position,
    /// The clock of its latest marker, in milliseconds since 1970 (UTC).
    pub clock_ms: i64,
    /// Record keys known.
    pub keys: usize,
    /// Bytes that they take in memory.
    pub bytes: usize,
    /// Views in force that are not written because their grant does not compile, and why.
    pub refused: Vec<(ViewNo, String)>,
}

/// The open lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStats {
    /// The data partition that is read again.
    pub of: TopicPartition,
    /// The views that are filled.
    pub views: Vec<ViewNo>,
    /// Sequence of the marker at which the lane ends.
    pub until: Sequence,
    /// Sequence that it has come to.
    pub sequence: Sequence,
}

/// Upper bounds of the buckets that commit times are counted in, in milliseconds. The embedded log commits in about one,
/// a cluster in some ten; a transaction is given up after 10 s.
pub const COMMIT_BUCKETS_MS: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 10_000];

/// How long commits took that succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitTimes {
    /// Commits that took no longer than the bound of the same number, and longer than the one before it.
    pub within: [u64; COMMIT_BUCKETS_MS.len()],
    /// Commits that took longer than the last bound.
    pub beyond: u64,
    /// All of them together.
    pub total: Duration,
}

impl CommitTimes {
    /// Takes note of one.
    pub(crate) fn add(&mut self, took: Duration) {
        let bucket = COMMIT_BUCKETS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        match bucket.and_then(|at| self.within.get_mut(at)) {
            Some(count) => *count += 1,
            None => self.beyond += 1,
        }
        self.total += took;
    }
}

/// Everything, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Submitted changes by outcome, since this process started.
    pub counts: Counts,
    /// Rejections by the rule's code.
    pub rules: BTreeMap<String, u64>,
    /// Relaxed rules that admitted changes broke, by the rule's code.
    pub warnings: Warnings,
    /// Inputs.
    pub inputs: Vec<InputStats>,
    /// Data partitions.
    pub data: Vec<DataStats>,
    /// The lane that is filled now.
    pub lane: Option<LaneStats>,
    /// Views whose output is stopped for good, and why; a new edition is the way back.
    pub stopped: BTreeMap<ViewNo, Reason>,
    /// What the whole loop waits for.
    pub waiting: Option<Reason>,
    /// When the last commit was made, by the loop's clock.
    pub last_commit_ms: Option<i64>,
    /// Commits made.
    pub commits: u64,
    /// How long they took.
    pub commit_times: CommitTimes,
    /// Markers written.
    pub markers: u64,
    /// Records written to views.
    pub view_records: u64,
    /// Times the group was claimed by this process.
    pub claims: u64,
    /// State images that could not be used or written.
    pub bad_images: u64,
    /// Control events that contradicted what stood and were ignored.
    pub control_ignored: u64,
    /// Whether inputs that an earlier owner may have decided are being decided again, during which no marker is written.
    pub redoing: bool,
}

/// Shared between the loop and whoever asks.
#[derive(Default)]
pub struct Stats {
    last: Mutex<Snapshot>,
    /// Since when the log has had a commit without an answer.
    asked: Mutex<Option<Instant>>,
}

/// A commit that has no answer after this is worth telling. The slowest of a healthy cluster take a second; while a
/// broker is away, a client may wait for as long as it is (librdkafka 2.12 in `send_offsets_to_transaction`, whatever
/// timeout it is given).
const SLOW_COMMIT: Duration = Duration::from_secs(5);

impl Stats {
    /// Everything as of the last turn, and whether the log keeps the loop waiting now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = asked.map(|since| since.elapsed()).filter(|wait| *wait >= SLOW_COMMIT);
        snapshot.waiting = snapshot.waiting.or(wait.map(Reason::Unanswered));
        snapshot
    }

    /// Changes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Does what asks the log for a commit.
    pub(crate) fn asking<T>(&self, commit: impl FnOnce() -> T) -> T {
        let set = |since| *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let answer = commit();
        set(None);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_without_an_answer_is_told_while_it_lasts() {
        let stats = Stats::default();
        stats.asking(|| {
            assert_eq!(stats.snapshot().waiting, None, "it has not taken long yet");
            *stats.asked.lock().unwrap() = Instant::now().checked_sub(SLOW_COMMIT);
            let told = stats.snapshot().waiting.unwrap().to_string();
            assert_eq!(told, "the log has not answered a commit for 5 s");
        });
        assert_eq!(stats.snapshot().waiting, None);
    }

    #[test]
    fn a_commit_is_counted_in_the_first_bucket_that_holds_it() {
        let mut times = CommitTimes::default();
        for micros in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            times.add(Duration::from_micros(micros));
        }
        assert_eq!((times.within, times.beyond), ([2, 1, 0, 0, 0, 0, 0, 0, 0, 1], 1));
        assert_eq!(times.total, Duration::from_micros(20_002_002));
    }
}
