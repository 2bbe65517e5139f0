//! Apache Kafka behind the seam, through librdkafka.
//!
//! | module | what |
//! |---|---|
//! | [`settings`] | what every client of ours is told, and why |
//! | `topics` | topics as the cluster has them: making, deleting, listing |
//! | `access` | access lists, in a compacted topic of their own |
//! | `fetch` | the one place that calls librdkafka directly
//! | `claim` | a group as a transactional producer |
//! | `writer` | writing outside transactions |
//! | `reader` | committed records, in batches |
//!
//! # How the seam's promises are kept
//! - *Claim*: a stable transactional id per group. `init_transactions` raises its epoch, and the broker refuses whoever
//!   holds an older one. Consumed positions are the group's committed offsets; the metadata text rides on the one of
//!   `kenh.access/0`.
//! - *Commit*: one transaction. Whatever leaves its outcome in doubt ends the producer ([`kenh_domain::log::CommitError::Unclear`]):
//!   librdkafka lacks KIP-890, so that a request which timed out could reach a later transaction.
//! - *Reading*: `isolation.level=read_committed`. A position moves over the cluster's own markers as soon as the end of
//!   the partition is seen behind them.
//! - *Incarnation*: the cluster's id.
//!
//! # What it does not do
//! It reads and writes as one client of the cluster, with the rights that its configuration gives it. Access lists are
//! kept in the topic `kenh.access` and enforced by every process of Kênh; a client that goes past Kênh is held off only
//! by the cluster's own authentication and ACLs, which come with the boundary of the governance work.

mod access;
mod claim;
mod fetch;
mod reader;
pub mod settings;
mod topics;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kenh_domain::log::{
    Access, AdminError, Bounds, Claim, ClaimError, Incarnation, Log, Position, ReadError, Reader,
    TopicPartition, TopicSpec, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use access::AccessLists;
use claim::KafkaClaim;
use reader::KafkaReader;
use topics::Topics;
use writer::{KafkaWriter, Shared};

/// How long an administrative request may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a question to the cluster may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a cluster.
#[derive(Clone, Default)]
pub struct Options {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap: String,
    /// Further settings of librdkafka (security, timeouts); they override ours.
    pub settings: BTreeMap<String, String>,
    /// Replicas of the topics that are made here; 1 for a single node.
    pub replication: i32,
}

// Settings hold passwords and key locations: never shown.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("bootstrap", &self.bootstrap)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .field("replication", &self.replication)
            .finish()
    }
}

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting is not one of librdkafka's, or has a wrong value.
    #[error("a setting for the Kafka client is not valid")]
    Settings(#[source] KafkaError),
    /// Nobody answers there.
    #[error("no Kafka answers at {bootstrap}: check `kafka.bootstrap`, and that the cluster runs")]
    Unreachable {
        /// Where.
        bootstrap: String,
        /// What the client says.
        #[source]
        source: KafkaError,
    },
    /// The access lists cannot be read.
    #[error("the topic kenh.access of {bootstrap} cannot be made or read")]
    Access {
        /// Where.
        bootstrap: String,
        /// Why.
        #[source]
        source: AdminError,
    },
}

/// A Kafka cluster as a log.
pub struct KafkaLog {
    options: Options,
    incarnation: Incarnation,
    topics: Arc<Topics>,
    access: Arc<AccessLists>,
    /// Asks for metadata, bounds and committed offsets; reads nothing.
    asker: BaseConsumer,
    shared: Arc<Shared>,
}

impl KafkaLog {
    /// Connects to a cluster, and makes the topic of the access lists where it is missing.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(options: Options) -> Result<Self, ConnectError> {
        let asker: BaseConsumer =
            settings::consumer(&options, "kenh-ask").create().map_err(ConnectError::Settings)?;
        let unreachable = |source| ConnectError::Unreachable { bootstrap: options.bootstrap.clone(), source };
        asker.fetch_metadata(None, QUERY_TIMEOUT).map_err(unreachable)?;
        let id = asker.client().fetch_cluster_id(QUERY_TIMEOUT);
        let id = id.ok_or_else(|| unreachable(KafkaError::ClientCreation("the cluster tells no id".into())))?;
        let topics = Arc::new(Topics::connect(&options).map_err(ConnectError::Settings)?);
        let wrong = |source| ConnectError::Access { bootstrap: options.bootstrap.clone(), source };
        let access = AccessLists::open(&options, topics.clone()).map_err(wrong)?;
        let shared = Shared::new(&options).map_err(ConnectError::Settings)?;
        Ok(Self { incarnation: Incarnation(id), topics, access, asker, shared, options })
    }

    /// First and end offset of a partition as the cluster has them now.
    fn watermarks(&self, of: &TopicPartition) -> Result<Bounds, KafkaError> {
        let name = of.topic.to_string();
        let (low, high) = self.asker.fetch_watermarks(&name, partition(of), QUERY_TIMEOUT)?;
        Ok(Bounds { start: position(low), end: position(high) })
    }
}

impl Log for KafkaLog {
    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.topics.create(spec)?;
        self.access.know(&spec.topic)
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        // Access goes first, so that nobody of ours reads what is being deleted.
        self.access.forget(topic)?;
        self.topics.delete(topic)
    }

    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        self.topics.list()
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.access.set(topic, access)
    }

    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        self.access.get(topic).ok_or_else(|| AdminError::Missing(topic.clone()))
    }

    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        if !principal.is_role() {
            return Err(ClaimError::Denied(principal.clone()));
        }
        let claim = KafkaClaim::new(&self.options, group, &self.topics);
        Ok(Box::new(claim.map_err(|e| ClaimError::Storage(group.clone(), Box::new(e)))?))
    }

    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(KafkaWriter::new(self.shared.clone(), self.topics.clone(), self.access.clone(), principal.clone()))
    }

    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        for (of, position) in from {
            let bounds = self.bounds(principal, of)?;
            if *position < bounds.start || *position > bounds.end {
                return Err(ReadError::Gone { of: of.clone(), position: *position, bounds });
            }
        }
        let reader = KafkaReader::open(&self.options, self.access.clone(), principal.clone(), from)?;
        Ok(Box::new(reader))
    }

    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        let denied = || ReadError::Denied { principal: principal.clone(), of: of.clone() };
        let partitions = self.topics.partitions(&of.topic);
        if !self.access.may_read(principal, &of.topic) || !partitions.is_some_and(|n| of.partition.0 < n) {
            return Err(denied());
        }
        self.watermarks(of).map_err(|error| match error.rdkafka_error_code() {
            Some(code) if is_missing(code) => denied(),
            _ => ReadError::Storage { of: of.clone(), source: Box::new(error) },
        })
    }

    fn maintain(&self, _now_ms: i64) -> Result<(), AdminError> {
        Ok(())
    }
}

/// Whether the cluster says that there is no such topic or partition, or that we may not know.
fn is_missing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::TopicAuthorizationFailed
            | Code::InvalidTopic
    )
}

/// A partition number as librdkafka counts.
fn partition(of: &TopicPartition) -> i32 {
    // `MAX_PARTITIONS` is far below.
    i32::try_from(of.partition.0).unwrap_or(i32::MAX)
}

/// An offset as a position. The cluster's offsets are never negative.
fn position(offset: i64) -> Position {
    Position(u64::try_from(offset).unwrap_or(0))
}

/// A position as an offset.
fn offset(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}
