//! What a subscriber says of itself. Numbers and names only, no row value and no key.

use kenh_domain::frame::Sequence;
use kenh_domain::log::Position;
use kenh_domain::names::{Dataset, View};
use kenh_domain::topic::{Edition, Partition};
use serde::Serialize;

/// What a subscriber says of itself, as of its last turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// What it waits for, when it cannot go on: a sentence for people.
    pub waiting: Option<String>,
    /// Whether all notices that were there at the start have been read: before that, it is not known which copies there
    /// are to be.
    pub told: bool,
    /// Turns that failed since it was opened.
    pub failures: u64,
    /// Its copies, by dataset and view.
    pub copies: Vec<CopyStats>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyStats {
    /// Of which dataset.
    pub dataset: Dataset,
    /// Which view of it.
    pub view: View,
    /// Which edition readers see; of a copy that readers do not see yet, the one being filled.
    pub edition: Edition,
    /// Where it stands.
    pub state: CopyState,
    /// Rows that readers see.
    pub rows: u64,
    /// Values for a key that was not there, since its generation began.
    pub inserted: u64,
    /// Values for a key that was there.
    pub updated: u64,
    /// Tombstones for a key that was there: records that left the agency's rows.
    pub left: u64,
    /// Bytes of keys and values held.
    pub bytes: u64,
    /// Per partition of the view, how far it is known to be complete.
    pub reached: Vec<ReachedStats>,
    /// The clock of the bus as of which the whole copy is complete: the oldest of its partitions. None while it is not
    /// known of one.
    pub clock_ms: Option<i64>,
    /// Whether it holds everything up to the newest place that the bus has told of, in every partition.
    pub complete: bool,
}

/// How far a partition of a copy is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReachedStats {
    /// The partition.
    pub partition: Partition,
    /// The sequence in the data log.
    pub sequence: Sequence,
    /// The end of the view's partition then.
    pub end: Position,
    /// The clock of the bus then: milliseconds since 1970 (UTC).
    pub clock_ms: i64,
}

/// Where a copy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "reason")]
pub enum CopyState {
    /// It is being filled; readers see the generation before it, or, while there is none, nothing.
    Filling,
    /// It is kept up to date.
    Live,
    /// The view has ended and the rows are purged.
    Ended,
    /// The view cannot be read or kept, for this reason.
    Refused(String),
}
