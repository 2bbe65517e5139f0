//! The seam: what the roles need of a log, and what every log must promise.
//!
//! Two implementations stand behind it, in `broker/`: a directory (embedded) and Apache Kafka. No role asks which one it
//! has; `testkit::conformance` holds both to what is written here.
//!
//! # Positions
//! A [`Position`] is where a record lies in a partition. Positions rise, with gaps: a transaction burns some. Nobody may
//! count with them; the bus counts with its own dense sequences. "The end" of a partition is the position that the next
//! record will have at the least.
//!
//! # Accepted, durable, committed
//! [`Writer::write`] *accepts*; [`Writer::flush`] returns when everything accepted is *durable* (the embedded log has
//! called fsync; Kafka has the acknowledgement of all in-sync replicas). [`Claim::commit`] returns when the whole batch
//! is durable and visible, or an error that says what is known. (Visible: unless a transaction of another group is open
//! in the same partition, which hides what lies behind it until it ends.)
//!
//! # Claims
//! A [`Claim`] is the right to commit for a group. A new claim on a group *fences* the one before: from the moment
//! [`Log::claim`] has returned, no commit of an older claim can succeed, in this process or any other. A fenced owner
//! gets [`CommitError::Fenced`] and must stop.
//!
//! A commit writes records of several topics, the consumed positions and one metadata text, *atomically*: readers see
//! either all of it or none, and so does the next claim. When the outcome of a commit is not known
//! ([`CommitError::Unclear`]) the owner must drop the claim and all state derived since the last commit, claim again and
//! start from what that claim says was committed.
//!
//! # Reading
//! A [`Reader`] gives committed records only, in the order of their positions within a partition, none twice and none
//! left out unless retention or compaction has removed it. It never gives a record behind one of an open transaction.
//!
//! # Principals
//! Every write and every read names its [`Principal`], and is denied unless the topic's access list (or the principal's
//! being a role of the bus) allows it. A denied and a missing topic give the same error to a principal that is not a
//! role, so that nobody learns what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::Serial;
use crate::names::{Group, Principal};
use crate::topic::{Partition, Topic};

/// Where a record lies in a partition. Sparse: see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition in it.
    pub partition: Partition,
}

impl TopicPartition {
    /// Puts the two together.
    #[must_use]
    pub fn new(topic: Topic, partition: u32) -> Self {
        Self { topic, partition: Partition(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// How long a topic keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// For ever.
    Forever,
    /// At least this many days.
    Days(u32),
    /// The latest record of every key; a tombstone for at least this many days.
    Compacted {
        /// Days that a tombstone stays readable.
        tombstone_days: u32,
    },
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("for ever"),
            Self::Days(days) => write!(f, "{days} days"),
            Self::Compacted { tombstone_days } => write!(f, "compacted, tombstones {tombstone_days} days"),
        }
    }
}

/// A topic as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// Which.
    pub topic: Topic,
    /// How many partitions; never changed in place (invariant 4).
    pub partitions: u32,
    /// How long records stay.
    pub retention: Retention,
}

/// What a principal that is not a role of the bus may do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Fetch records, ask for bounds.
    Read,
    /// Write records.
    Write,
}

/// One line of a topic's access list: default deny, so there are no denying lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// What.
    pub operation: Operation,
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Where to; the partition is always explicit.
    pub to: TopicPartition,
    /// Milliseconds since 1970 (UTC), from 1 on: a log may keep an earlier time as 1.
    pub timestamp_ms: i64,
    /// The record key; empty where a topic has no use for one.
    pub key: Bytes,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// A record as read.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies: index into the list that the reader was opened with.
    pub source: usize,
    /// Its position.
    pub position: Position,
    /// Milliseconds since 1970 (UTC).
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Bytes,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

// Keys and values are personal data more often than not (invariant 7): Debug shows sizes only.
impl fmt::Debug for NewRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map(Bytes::len);
        f.debug_struct("NewRecord").field("to", &self.to).field("key", &self.key.len()).field("value", &value).finish()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map(Bytes::len);
        f.debug_struct("Record")
            .field("source", &self.source)
            .field("position", &self.position)
            .field("key", &self.key.len())
            .field("value", &value)
            .finish()
    }
}

/// What a claim writes in one step.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Records, in order per partition.
    pub records: Vec<NewRecord>,
    /// For input partitions: the position after the last record consumed. Partitions not named keep theirs.
    pub consumed: Vec<(TopicPartition, Position)>,
    /// The group's metadata text, replacing the one before; at most [`crate::limits::MAX_METADATA_BYTES`].
    pub metadata: String,
}

/// What a group has committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Position after the last consumed record, per input partition that was ever consumed.
    pub consumed: BTreeMap<TopicPartition, Position>,
    /// The metadata text of the latest commit; empty before the first.
    pub metadata: String,
}

/// First readable position and the position after the last committed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Nothing before this is readable any more.
    pub start: Position,
    /// The next record will have at least this position.
    pub end: Position,
}

/// Says which log this is: a new value after the log was made anew, and positions of the old one mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub String);

/// A log. Shared by all roles of a process; every method may be called from any thread.
pub trait Log: Send + Sync {
    /// Which log this is.
    fn incarnation(&self) -> Incarnation;

    /// Makes a topic; there is no automatic creation. Making one that exists with the same number of partitions
    /// changes its retention to the one given and is otherwise without effect.
    ///
    /// # Errors
    /// [`AdminError::Partitions`] when it exists with another number of partitions; [`AdminError::Storage`], also when the
    /// name was deleted before and this log uses none twice ([`Log::delete_topic`]).
    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError>;

    /// Deletes a topic, its records and its access list. One that does not exist is no error. Readers of it get
    /// [`ReadError::Denied`] from then on. A topic made again under the name starts at positions that the old one never
    /// had, or shows a new [`Incarnation`]; a log that can do neither does not make it again. So the bus uses no name
    /// twice: editions rise.
    ///
    /// # Errors
    /// [`AdminError::Storage`].
    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError>;

    /// All topics, in the order of their names.
    ///
    /// # Errors
    /// [`AdminError::Storage`].
    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError>;

    /// How many partitions each topic has. Less than [`Log::topics`] tells, so that a role may ask whom a broker does not
    /// tell the settings of topics: it then hears of the topics that it may read or write.
    ///
    /// # Errors
    /// [`AdminError::Storage`].
    fn partition_counts(&self) -> Result<BTreeMap<Topic, u32>, AdminError> {
        Ok(self.topics()?.into_iter().map(|spec| (spec.topic, spec.partitions)).collect())
    }

    /// Topics that somebody set otherwise than this log makes them, in more than [`TopicSpec`] tells, each with what differs
    /// in words. [`Log::create_topic`] mends them. A log that nobody else can reach has none.
    ///
    /// # Errors
    /// [`AdminError::Storage`].
    fn drifted(&self) -> Result<BTreeMap<Topic, Vec<String>>, AdminError> {
        Ok(BTreeMap::new())
    }

    /// Replaces the access list of a topic. In force for every call that starts after this one has returned.
    ///
    /// # Errors
    /// [`AdminError::Missing`] when there is no such topic.
    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError>;

    /// The access list of a topic, sorted.
    ///
    /// # Errors
    /// [`AdminError::Missing`] when there is no such topic.
    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError>;

    /// Which certificates of a system, or of a role, are in force: for whoever meets a system elsewhere than at the log. As
    /// the log has it now, or had it a second ago at most; never longer, so that no certificate outlives its withdrawal
    /// where the log cannot be heard. A log that knows no certificates has none in force.
    ///
    /// # Errors
    /// [`AdminError::Storage`]: nobody knows, and nobody is to be let in.
    fn serials(&self, _system: &Principal) -> Result<BTreeSet<Serial>, AdminError> {
        Ok(BTreeSet::new())
    }

    /// From here on these certificates of a system are in force, and no others. An empty set closes the bus to it.
    ///
    /// # Errors
    /// [`AdminError::Storage`], also where it is another process that says so, or the log knows no certificates.
    fn set_serials(&self, _system: &Principal, _serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        Err(AdminError::Storage("this log knows no certificates".into()))
    }

    /// Claims a group and fences whoever held it. Only roles of the bus may claim.
    ///
    /// # Errors
    /// [`ClaimError`].
    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError>;

    /// A writer outside transactions, for providers, agencies and the control role.
    fn writer(&self, principal: &Principal) -> Box<dyn Writer>;

    /// A reader of the given partitions, each from the position beside it.
    ///
    /// # Errors
    /// [`ReadError::Denied`]; [`ReadError::Gone`] when a position lies before the start of its partition or beyond its
    /// end.
    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError>;

    /// First and end position of a partition.
    ///
    /// # Errors
    /// [`ReadError::Denied`].
    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError>;

    /// Whether a reader that ignores transactions can see records of a commit that did not succeed. Where it can, a new
    /// owner of a group first decides again, under the same marker, what the owner before may have decided, so that such a
    /// reader never holds what is not committed later. `true` is always safe; a log that shows committed records only says
    /// `false`, and decisions that came before an input hold for it even across a restart.
    fn shows_uncommitted(&self) -> bool {
        true
    }

    /// Applies retention and compaction as of `now_ms`. A broker does this by itself; there it is without effect.
    ///
    /// # Errors
    /// [`AdminError::Storage`].
    fn maintain(&self, now_ms: i64) -> Result<(), AdminError>;
}

/// The right to commit for a group; see the module's documentation.
pub trait Claim: Send {
    /// What the group had committed when it was claimed, or after the latest commit of this claim.
    fn committed(&self) -> &Committed;

    /// Writes everything in `batch`, or nothing. Returns, for every partition written to, its end after this commit.
    ///
    /// # Errors
    /// [`CommitError`]: after `Refused` and `Full` nothing was written and the claim goes on; after `Fenced` and
    /// `Unclear` the claim is dead.
    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError>;
}

/// Writes outside transactions, in order per partition. What is not flushed may be seen by nobody and may be lost when
/// the writer is dropped. After an error the writer holds nothing back: whoever must not lose a record writes again what
/// was accepted since the last flush, some of which may then be there twice.
pub trait Writer: Send {
    /// Accepts records. May block while too many are in flight.
    ///
    /// # Errors
    /// [`WriteError`], also for records accepted before that could not be made durable.
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError>;

    /// Returns when everything accepted is durable: for every partition written to since the last flush, its end.
    ///
    /// # Errors
    /// [`WriteError`]; which of the accepted records are durable is then not known.
    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError>;
}

/// Reads committed records.
pub trait Reader: Send {
    /// Up to `max_records` records and about `max_bytes` bytes (one record is always given whole), in order per
    /// partition. Waits up to `wait` for the first one; an empty list means that none came. No partition starves another.
    ///
    /// # Errors
    /// [`ReadError`]. `Denied` as soon as access has ended; records handed out before stay handed out.
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError>;

    /// Where reading goes on, per partition in the order of opening: after the last record given, and past the burned
    /// and compacted positions behind it once a poll has found nothing more there. So a reader has everything before an
    /// end that it was told of when its position has reached that end, and it does reach it by polling on.
    fn positions(&self) -> Vec<Position>;
}

/// Why a topic could not be made, changed or listed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It exists with another number of partitions, and that number never changes in place.
    #[error("topic {topic} has {is} partitions, not {wanted}; a partition count never changes in place")]
    Partitions {
        /// Which topic.
        topic: Topic,
        /// How many it has.
        is: u32,
        /// How many were asked for.
        wanted: u32,
    },
    /// There is no such topic.
    #[error("there is no topic {0}")]
    Missing(Topic),
    /// The log itself failed.
    #[error("the log failed while changing or listing topics")]
    Storage(#[source] StorageError),
}

/// Why a group could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Only roles of the bus may claim.
    #[error("{0} may not claim: only roles of the bus do")]
    Denied(Principal),
    /// The log does not let this process claim: whoever looks after it has to give it a right first.
    #[error("group {group} cannot be claimed: this process lacks {right}")]
    Forbidden {
        /// Which group.
        group: Group,
        /// Which right, of what, and how it is given.
        right: String,
    },
    /// The log itself failed.
    #[error("the log failed while claiming group {0}")]
    Storage(Group, #[source] StorageError),
}

/// Why a commit did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another claim has taken the group. Stop.
    #[error("group {0} was claimed by another owner")]
    Fenced(Group),
    /// The batch cannot be written as it is (a missing topic, a partition out of range, a record too large). Nothing was
    /// written.
    #[error("{to}: {reason}; nothing of the batch was written")]
    Refused {
        /// Where the offending record was going.
        to: TopicPartition,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room now. Nothing was written; try again later.
    #[error("the log has no room; nothing of the batch was written")]
    Full(#[source] StorageError),
    /// It is not known whether the batch was written. Drop everything, claim again.
    #[error("the outcome of the commit is not known")]
    Unclear(#[source] StorageError),
}

/// Why records were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No access, or no such topic or partition: the two look the same.
    #[error("{principal} may not write to {to}, or it does not exist")]
    Denied {
        /// Who wrote.
        principal: Principal,
        /// Where to.
        to: TopicPartition,
    },
    /// There is no room now; try again later.
    #[error("the log has no room")]
    Full(#[source] StorageError),
    /// The log itself failed.
    #[error("the log failed while writing")]
    Storage(#[source] StorageError),
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No access, or no such topic or partition: the two look the same.
    #[error("{principal} may not read {of}, or it does not exist")]
    Denied {
        /// Who read.
        principal: Principal,
        /// What.
        of: TopicPartition,
    },
    /// The position is no longer, or not yet, in the log: whoever asked holds positions of another log or was away for
    /// too long.
    #[error("{of} has no position {position}: it holds {} to {}", bounds.start, bounds.end)]
    Gone {
        /// Which partition.
        of: TopicPartition,
        /// The position asked for.
        position: Position,
        /// What it holds.
        bounds: Bounds,
    },
    /// The log itself failed.
    #[error("the log failed while reading {of}")]
    Storage {
        /// Which partition.
        of: TopicPartition,
        /// What failed.
        #[source]
        source: StorageError,
    },
}

/// A failure of what the log stands on (disk, network, broker).
pub type StorageError = Box<dyn std::error::Error + Send + Sync>;
