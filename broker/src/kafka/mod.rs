//! Apache Kafka behind the seam, through librdkafka.
//!
//! | module | what |
//! |---|---|
//! | [`settings`] | what every client of ours is told, and why |
//! | `topics` | topics as the cluster has them: making, deleting, listing |
//! | `access` | access lists, in a compacted topic of their own |
//! | [`boundary`] | the lines that the cluster's own access lists are to have |
//! | [`acl`] | the cluster's own access lists |
//! | `enforce` | keeping the second as the first says |
//! | `guest` | a process with the certificate of an agency's system |
//! | `fetch` | reading; with `acl` the place that calls librdkafka directly |
//! | `claim` | a group as a transactional producer |
//! | `writer` | writing outside transactions |
//! | `pool` | clients of readers, kept for the next reader |
//! | `reader` | committed records, in batches |
//! | [`cluster`] | what a cluster must be set to, and what this one is |
//!
//! # How the seam's promises are kept
//! - *Claim*: a stable transactional id per group. `init_transactions` raises its epoch, and the broker refuses whoever
//!   holds an older one. Consumed positions are the group's committed offsets; the metadata text rides on the one of
//!   `kenh.access/0`.
//! - *Commit*: one transaction. Whatever leaves its outcome in doubt ends the producer ([`kenh_domain::log::CommitError::Unclear`]):
//!   librdkafka lacks KIP-890, so that a request which timed out could reach a later transaction.
//! - *Reading*: `isolation.level=read_committed`. A position moves over the cluster's own markers as soon as the end of
//!   the partition is seen behind them.
//! - *Incarnation*: the cluster's id. A topic made again would start at position 0 under the same id, so that the name of
//!   a deleted topic is refused for good: `kenh.access` remembers it. Kênh needs none twice; editions rise.
//!
//! # Who enforces access
//! It reads and writes as one client of the cluster. Access lists are kept in the topic `kenh.access` and enforced by every
//! process of Kênh. Where the settings name a certificate (`ssl.certificate.location`), the process that shows the control
//! role's keeps the cluster's own lists in line with them, so that the cluster holds everybody to them ([`boundary`]); a
//! process with the certificate of an agency's system acts as that system alone, and sees no list. Without certificates a
//! client that goes past Kênh is held off only by what the cluster does otherwise.

mod access;
pub mod acl;
pub mod boundary;
mod claim;
pub mod cluster;
mod enforce;
mod fetch;
mod guest;
mod pool;
mod reader;
pub mod settings;
mod topics;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::identity::{Identity, Serial};
use kenh_domain::log::{
    Access, AdminError, Bounds, Claim, ClaimError, Incarnation, Log, NewRecord, Position, ReadError, Reader,
    TopicPartition, TopicSpec, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use access::AccessLists;
use claim::{ClaimFailed, KafkaClaim};
use pool::Pool;
use reader::KafkaReader;
use topics::{NoRight, NotTaken, OLDEST, Topics};
use writer::{KafkaWriter, Shared};

pub use guest::{Guest, GuestError};

/// How long an administrative request may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a question to the cluster may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two tries of a question that a broker could not answer yet.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// How long one attempt to reach a cluster may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// No bootstrap servers are named.
    #[error("no Kafka is named: set `kafka.bootstrap` to host:port of one or more brokers, separated by commas")]
    NoBootstrap,
    /// A setting is not one that the client has, has a value that it does not take, or is not free.
    #[error("`kafka.settings.{key}` {problem}; see librdkafka's CONFIGURATION.md for its settings")]
    Setting {
        /// Which one.
        key: String,
        /// What is wrong with it; never its value, which may be a secret.
        problem: &'static str,
    },
    /// The certificate that we are to show cannot be used.
    #[error("`kafka.settings.ssl.certificate.location` {file} {problem}: see docs/boundary.md")]
    Certificate {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The client cannot be made with these settings (a key file that is not there, for example).
    #[error("the Kafka client cannot be made: check `kafka.settings`")]
    Client(#[source] KafkaError),
    /// Nobody answers there.
    #[error("no Kafka answers at {bootstrap} ({reason}): check `kafka.bootstrap`, and that the cluster runs")]
    Unreachable {
        /// Where.
        bootstrap: String,
        /// What the client said last.
        reason: String,
    },
    /// The cluster does not accept who we are.
    #[error(
        "the Kafka at {bootstrap} refuses us ({reason}): check the user, password and certificates in `kafka.settings`"
    )]
    Refused {
        /// Where.
        bootstrap: String,
        /// What the client said last.
        reason: String,
    },
    /// It is too old, or somebody keeps it from taking what our topics need.
    #[error(
        "the Kafka at {bootstrap} {reason}: it has to be Apache Kafka {OLDEST} or newer; upgrade its brokers, or lift the \
         policy that forbids it"
    )]
    TooOld {
        /// Where.
        bootstrap: String,
        /// By what it is known.
        reason: &'static str,
    },
    /// It lets us in, and gives us no right to what every process of the bus needs.
    #[error(
        "the Kafka at {bootstrap} gives {who} no right to the topic kenh.access, which every role needs: {what_to_do}"
    )]
    Denied {
        /// Where.
        bootstrap: String,
        /// Who we are to it.
        who: String,
        /// What to do.
        what_to_do: String,
    },
    /// The access lists cannot be read.
    #[error(
        "the topic kenh.access of {bootstrap} cannot be made, read or understood: check that this user may create, read \
         and write it, and `kafka.replication`"
    )]
    Access {
        /// Where.
        bootstrap: String,
        /// Why.
        #[source]
        source: AdminError,
    },
}

impl ConnectError {
    /// Why the access lists could not be made or read.
    fn of_access(options: &Options, identity: Option<&Identity>, source: AdminError) -> Self {
        let bootstrap = options.bootstrap.clone();
        let AdminError::Storage(cause) = &source else { return Self::Access { bootstrap, source } };
        if cause.is::<NotTaken>() {
            return Self::TooOld { bootstrap, reason: "does not take the settings of the bus's topics" };
        }
        if cause.is::<NoRight>() {
            let (who, what_to_do) = match identity {
                Some(Identity { system, serial }) => (
                    format!("{system} with certificate {serial}"),
                    format!("`kenh enroll admit {system} {serial}`, with control's settings, puts it in force"),
                ),
                None => (
                    "this user".to_owned(),
                    "let it create, read and write it, or set another in `kafka.settings`".to_owned(),
                ),
            };
            return Self::Denied { bootstrap, who, what_to_do };
        }
        Self::Access { bootstrap, source }
    }
}

/// Keeps what the client complains about while it connects.
#[derive(Default)]
struct Complaints {
    last: Mutex<Option<(KafkaError, String)>>,
    all_down: AtomicBool,
}

impl ClientContext for Complaints {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // It comes after the reason of the last broker, and says less.
            self.all_down.store(true, Ordering::Relaxed);
        } else {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Complaints {}

type Asker = BaseConsumer<Complaints>;

/// Waits for the first answer of the cluster: at most [`QUERY_TIMEOUT`], and no longer once every broker has refused.
fn reach(asker: &Asker, options: &Options) -> Result<(), ConnectError> {
    use RDKafkaErrorCode as Code;
    let begun = Instant::now();
    loop {
        let Err(error) = asker.fetch_metadata(None, FIRST_TIMEOUT) else { return Ok(()) };
        // Hands complaints over.
        while asker.poll(Duration::ZERO).is_some() {}
        let complaints = asker.context();
        let last = complaints.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bootstrap = options.bootstrap.clone();
        let refused = last
            .as_ref()
            .and_then(|(error, _)| error.rdkafka_error_code())
            .is_some_and(|code| matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL));
        // That all are down may be heard before the reason why.
        let down =
            complaints.all_down.load(Ordering::Relaxed) && (last.is_some() || begun.elapsed() > FIRST_TIMEOUT * 2);
        if refused || down || begun.elapsed() > QUERY_TIMEOUT {
            let reason = last.map_or_else(|| error.to_string(), |(_, reason)| reason);
            return Err(match refused {
                true => ConnectError::Refused { bootstrap, reason },
                false => ConnectError::Unreachable { bootstrap, reason },
            });
        }
    }
}

/// A Kafka cluster as a log.
pub struct KafkaLog {
    options: Options,
    /// Who we are to the cluster; none: it does not ask for certificates.
    identity: Option<Identity>,
    incarnation: Incarnation,
    topics: Arc<Topics>,
    access: Arc<AccessLists>,
    /// Asks for metadata and bounds; reads nothing, so that no question waits behind a fetch.
    asker: Arc<Asker>,
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// Topics whose list stands in `kenh.access` while the cluster's own lines for it do not follow yet.
    owed: Mutex<BTreeSet<Topic>>,
}

impl KafkaLog {
    /// Connects to a cluster, and makes the topic of the access lists where it is missing.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(mut options: Options) -> Result<Self, ConnectError> {
        if options.bootstrap.trim().is_empty() {
            return Err(ConnectError::NoBootstrap);
        }
        settings::check(&options)?;
        let identity = settings::identity(&options)?;
        if let Some(me) = &identity {
            options.settings.insert(settings::GROUP.into(), me.system.to_string());
        }
        let config = settings::consumer(&options, "kenh-ask");
        let asker = Asker::from_config_and_context(&config, Complaints::default()).map_err(ConnectError::Client)?;
        reach(&asker, &options)?;
        let id = asker.client().fetch_cluster_id(QUERY_TIMEOUT).ok_or_else(|| ConnectError::TooOld {
            bootstrap: options.bootstrap.clone(),
            reason: "tells no id of its cluster",
        })?;
        let asker = Arc::new(asker);
        let topics = Arc::new(Topics::connect(&options).map_err(ConnectError::Client)?);
        let wrong = |source| ConnectError::of_access(&options, identity.as_ref(), source);
        let access = match identity.as_ref().filter(|me| !me.system.is_role()) {
            Some(me) => AccessLists::guest(&options, topics.clone(), asker.clone(), me.system.clone()),
            None => AccessLists::open(&options, topics.clone(), asker.clone()),
        };
        let access = access.map_err(wrong)?;
        let shared = Shared::new(&options).map_err(ConnectError::Client)?;
        let pool = Arc::new(Pool::new(&options));
        let owed = Mutex::default();
        Ok(Self { incarnation: Incarnation(id), identity, topics, access, asker, shared, pool, options, owed })
    }

    /// First and end offset of a partition as the cluster has them now.
    fn watermarks(&self, of: &TopicPartition) -> Result<Bounds, KafkaError> {
        let name = of.topic.to_string();
        let begun = Instant::now();
        // It reads nothing, but it may have something to say.
        while self.asker.poll(Duration::ZERO).is_some() {}
        loop {
            match self.asker.fetch_watermarks(&name, partition(of), QUERY_TIMEOUT) {
                Ok((low, high)) => return Ok(Bounds { start: position(low), end: position(high) }),
                // A topic that was made a moment ago, or a broker that has just come back: its leader does not know yet.
                Err(error) if begun.elapsed() < QUERY_TIMEOUT && self.will_answer(&error, &of.topic) => {
                    std::thread::sleep(BETWEEN_TRIES);
                    // As in the access lists: asked by its name, a client forgets that there was no such topic.
                    let _ = self.asker.fetch_metadata(Some(&name), QUERY_TIMEOUT);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn will_answer(&self, error: &KafkaError, topic: &Topic) -> bool {
        let Some(code) = error.rdkafka_error_code() else { return false };
        fetch::is_transient(code) || (is_missing(code) && self.topics.all().is_ok_and(|all| all.contains_key(topic)))
    }
}

impl Log for KafkaLog {
    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        if self.only_looks() {
            // Every role begins by seeing to its topics; it need not see them all. The lists say what there is.
            return self.access.get(&spec.topic).map(|_| ()).ok_or_else(|| self.not_ours("makes topics"));
        }
        self.access.may_make(&spec.topic)?;
        self.topics.create(spec)?;
        self.access.know(&spec.topic)?;
        self.enforce(&spec.topic)
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        if self.only_looks() {
            return Err(self.not_ours("deletes topics"));
        }
        // Access goes first, so that nobody reads what is being deleted.
        self.access.forget(topic)?;
        self.enforce(topic)?;
        self.topics.delete(topic)
    }

    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        self.topics.list()
    }

    fn drifted(&self) -> Result<BTreeMap<Topic, Vec<String>>, AdminError> {
        self.topics.drifted()
    }

    fn partition_counts(&self) -> Result<BTreeMap<Topic, u32>, AdminError> {
        let all = self.topics.all().map_err(|error| AdminError::Storage(error.into()))?;
        Ok(all.into_iter().collect())
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        if self.only_looks() {
            let mut wanted = access.to_vec();
            wanted.sort();
            wanted.dedup();
            let same = self.access.get(topic).is_some_and(|is| is == wanted);
            return if same { Ok(()) } else { Err(self.not_ours("keeps access lists")) };
        }
        self.access.set(topic, access)?;
        self.enforce(topic)
    }

    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        // Whoever compares it with what should be is to hear of a list that is not in force.
        self.pay(topic)?;
        self.access.get(topic).ok_or_else(|| AdminError::Missing(topic.clone()))
    }

    fn serials(&self, system: &Principal) -> Result<BTreeSet<Serial>, AdminError> {
        self.access.hear()?;
        Ok(self.access.serials(system))
    }

    /// Only with the control role's certificate, and never for a system that may have none.
    fn set_serials(&self, system: &Principal, serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        self.put_in_force(system, serials)
    }

    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        if !principal.is_role() {
            return Err(ClaimError::Denied(principal.clone()));
        }
        let claim = KafkaClaim::new(&self.options, group, &self.topics);
        let claim = claim.map_err(|error| match missing_right(&error, group) {
            Some(right) => {
                let to_do = "give it, or put its certificate in force: docs/boundary.md";
                let right = format!("{right}, at the Kafka {}: {to_do}", self.options.bootstrap);
                ClaimError::Forbidden { group: group.clone(), right }
            }
            None => ClaimError::Storage(group.clone(), Box::new(error)),
        });
        Ok(Box::new(claim?))
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
        let reader = KafkaReader::open(&self.pool, self.access.clone(), principal.clone(), from)?;
        Ok(Box::new(reader))
    }

    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        let denied = || ReadError::Denied { principal: principal.clone(), of: of.clone() };
        let partitions = self.topics.partitions(&of.topic);
        if !self.access.may_read(principal, &of.topic) || partitions.is_none_or(|n| of.partition.0 >= n) {
            return Err(denied());
        }
        self.watermarks(of).map_err(|error| match error.rdkafka_error_code() {
            Some(code) if is_missing(code) => denied(),
            _ => ReadError::Storage { of: of.clone(), source: Box::new(error) },
        })
    }

    /// The cluster applies retention by itself. What its access lists have drifted to is mended here.
    fn maintain(&self, _now_ms: i64) -> Result<(), AdminError> {
        if self.keeps_the_boundary() {
            self.mend()?;
        }
        Ok(())
    }
}

/// Which right it was that the cluster missed when a group was claimed.
fn missing_right(error: &ClaimFailed, group: &Group) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let ClaimFailed::Kafka(error) = error else { return None };
    match error.rdkafka_error_code()? {
        Code::TransactionalIdAuthorizationFailed => Some(format!("WRITE on the transactional id kenh.{group}")),
        Code::GroupAuthorizationFailed => Some(format!("READ on the group kenh.{group}")),
        Code::ClusterAuthorizationFailed => Some("IDEMPOTENT_WRITE on the cluster".to_owned()),
        _ => None,
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

/// A record's time as the client takes it: 0 would mean "now" to it, and what is before 1970 nothing.
fn timestamp(record: &NewRecord) -> i64 {
    record.timestamp_ms.max(1)
}
