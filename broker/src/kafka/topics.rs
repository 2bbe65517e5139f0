//! Topics as the cluster has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use futures_executor::block_on;
use kenh_domain::log::{AdminError, Retention, StorageError, TopicSpec};
use kenh_domain::topic::Topic;
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{ADMIN_TIMEOUT, Options, QUERY_TIMEOUT, settings};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Oldest Apache Kafka that has everything we ask for: the newest of it is the topic setting `max.compaction.lag.ms`
/// (KIP-354). Access lists of prefixes are of 2.0, transactions and record headers of 0.11.
pub const OLDEST: &str = "2.3";

/// How long a compacted topic may show more than the latest record of a key.
const COMPACTION_LAG_MS: i64 = DAY_MS;

/// A control event carries a contract with its code lists.
const MESSAGE_BYTES: &str = "9437184";

/// Topics, and how many partitions each has.
pub struct Topics {
    pub(super) admin: AdminClient<DefaultClientContext>,
    replication: i32,
    /// Partitions by topic; asked for again when a topic is not in it.
    known: RwLock<HashMap<Topic, u32>>,
}

fn failed(error: impl Into<StorageError>) -> AdminError {
    AdminError::Storage(error.into())
}

/// Whose time a record has. Where an agency writes, the broker's: what a client says of its clock would decide how long
/// a record is kept. Elsewhere the writer's, which is a role of the bus.
pub(super) fn timestamp_type(topic: &Topic) -> &'static str {
    match topic {
        Topic::In(..) | Topic::Confirm(_) => "LogAppendTime",
        _ => "CreateTime",
    }
}

fn timestamp_type_of(name: &str) -> &'static str {
    name.parse().map_or("CreateTime", |topic| timestamp_type(&topic))
}

/// Everything that we set of a topic. Nothing is left to the cluster's own defaults that could take a record away: a limit
/// in bytes at the broker would count for a topic that is kept for ever, too.
fn topic_settings(name: &str, retention: Retention) -> Vec<(&'static str, String)> {
    let mut settings =
        vec![("message.timestamp.type", timestamp_type_of(name).into()), ("max.message.bytes", MESSAGE_BYTES.into())];
    let ms = |days: u32| (i64::from(days) * DAY_MS).to_string();
    settings.extend(match retention {
        Retention::Forever => kept("-1".into()),
        Retention::Days(days) => kept(ms(days)),
        Retention::Compacted { tombstone_days } => [
            ("cleanup.policy", "compact".into()),
            ("delete.retention.ms", ms(tombstone_days)),
            ("max.compaction.lag.ms", COMPACTION_LAG_MS.to_string()),
        ],
    });
    settings
}

fn kept(ms: String) -> [(&'static str, String); 3] {
    [("cleanup.policy", "delete".into()), ("retention.ms", ms), ("retention.bytes", "-1".into())]
}

fn read_retention(get: impl Fn(&str) -> Option<String>) -> Retention {
    let days = |name: &str| {
        let ms = get(name).and_then(|v| v.parse::<i64>().ok()).unwrap_or(-1);
        u32::try_from(ms / DAY_MS).ok().filter(|_| ms >= 0)
    };
    if get("cleanup.policy").is_some_and(|p| p.contains("compact")) {
        Retention::Compacted { tombstone_days: days("delete.retention.ms").unwrap_or(0) }
    } else {
        days("retention.ms").map_or(Retention::Forever, Retention::Days)
    }
}

/// Why a topic was not made: the cluster does not know one of its settings, or somebody forbids it.
#[derive(Debug, thiserror::Error)]
#[error("making topic {0}: the cluster does not take its settings; it has to be Kafka {OLDEST} or newer")]
pub struct NotTaken(String);

/// Why a topic was not made, or read: the cluster does not let us.
#[derive(Debug, thiserror::Error)]
#[error("topic {0}: the cluster gives no right to it")]
pub struct NoRight(pub String);

impl Topics {
    pub fn connect(options: &Options) -> Result<Self, KafkaError> {
        let admin = settings::admin(options).create()?;
        Ok(Self { admin, replication: options.replication.max(1), known: RwLock::default() })
    }

    /// How many partitions a topic has; none if there is no such topic.
    pub fn partitions(&self, topic: &Topic) -> Option<u32> {
        let known = || self.known.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        known().or_else(|| {
            self.refresh(self.admin.inner()).ok()?;
            known()
        })
    }

    /// Every partition of every topic of the bus.
    pub fn all(&self) -> Result<HashMap<Topic, u32>, KafkaError> {
        self.all_by(self.admin.inner())
    }

    /// The same, asked by another client: one that was made just now has no connection that a broker's loss left behind.
    pub fn all_by<C: ClientContext>(&self, client: &Client<C>) -> Result<HashMap<Topic, u32>, KafkaError> {
        self.refresh(client)?;
        Ok(self.known.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn refresh<C: ClientContext>(&self, client: &Client<C>) -> Result<(), KafkaError> {
        let metadata = client.fetch_metadata(None, QUERY_TIMEOUT)?;
        let found = metadata.topics().iter().filter_map(|topic| {
            let ready = topic.error().is_none() && topic.partitions().iter().all(|p| p.leader() >= 0);
            let name: Topic = topic.name().parse().ok()?;
            (ready && !topic.partitions().is_empty())
                .then(|| (name, u32::try_from(topic.partitions().len()).unwrap_or(0)))
        });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = found.collect();
        Ok(())
    }

    /// Waits until metadata shows a topic as wished: there with all leaders, or gone.
    fn await_metadata(&self, topic: &Topic, there: bool) -> Result<(), AdminError> {
        let begun = Instant::now();
        loop {
            self.refresh(self.admin.inner()).map_err(failed)?;
            if self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic) == there {
                return Ok(());
            }
            if begun.elapsed() > ADMIN_TIMEOUT {
                let state = if there { "has no leader" } else { "is still there" };
                return Err(failed(format!("topic {topic} {state} after {} s", ADMIN_TIMEOUT.as_secs())));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(super) fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
    }

    /// Makes a topic of any name: the seam's, and our own of access lists.
    pub fn make(&self, name: &str, partitions: u32, retention: Retention) -> Result<bool, AdminError> {
        let settings = topic_settings(name, retention);
        let count = i32::try_from(partitions).map_err(failed)?;
        let mut topic = NewTopic::new(name, count, TopicReplication::Fixed(self.replication));
        for (key, value) in &settings {
            topic = topic.set(key, value);
        }
        use RDKafkaErrorCode as Code;
        let made = block_on(self.admin.create_topics([&topic], &Self::options())).map_err(failed)?;
        match made.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((name, Code::InvalidConfig))) => Err(failed(NotTaken(name))),
            Some(Err((name, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                Err(failed(NoRight(name)))
            }
            Some(Err((name, Code::InvalidReplicationFactor))) => Err(failed(format!(
                "making topic {name} with {} replicas: the cluster has fewer brokers; set `kafka.replication` to their number",
                self.replication
            ))),
            Some(Err((name, code))) => Err(failed(format!("making topic {name}: {code}"))),
            None => Err(failed("the cluster did not answer for the topic")),
        }
    }

    pub fn create(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        let made = match self.partitions(&spec.topic) {
            None => self.make(&spec.topic.to_string(), spec.partitions, spec.retention)?,
            Some(_) => false,
        };
        self.await_metadata(&spec.topic, true)?;
        let is = self.partitions(&spec.topic).unwrap_or(0);
        if is != spec.partitions {
            return Err(AdminError::Partitions { topic: spec.topic.clone(), is, wanted: spec.partitions });
        }
        if !made && !self.is_set(&spec.topic, spec.retention)? {
            self.set(&spec.topic, spec.retention)?;
        }
        Ok(())
    }

    fn set(&self, topic: &Topic, retention: Retention) -> Result<(), AdminError> {
        let name = topic.to_string();
        let settings = topic_settings(&name, retention);
        // The call replaces all settings of the topic.
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&name));
        for (key, value) in &settings {
            change = change.set(key, value);
        }
        let changed = block_on(self.admin.alter_configs([&change], &Self::options())).map_err(failed)?;
        match changed.into_iter().next() {
            Some(Err((_, code))) => Err(failed(format!("changing topic {name}: {code}"))),
            _ => self.await_settings(topic, retention),
        }
    }

    /// Waits until the brokers tell the new settings: the controller answers for the change before they have heard of it.
    fn await_settings(&self, topic: &Topic, wanted: Retention) -> Result<(), AdminError> {
        let begun = Instant::now();
        while !self.is_set(topic, wanted)? {
            if begun.elapsed() > ADMIN_TIMEOUT {
                let seconds = ADMIN_TIMEOUT.as_secs();
                return Err(failed(format!("topic {topic} does not show its new settings after {seconds} s")));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether a topic has every setting that we give it.
    fn is_set(&self, topic: &Topic, retention: Retention) -> Result<bool, AdminError> {
        let mut found = self.described(std::slice::from_ref(topic))?;
        let found = found.pop().ok_or_else(|| AdminError::Missing(topic.clone()))?;
        Ok(differing(&found, topic, retention).is_empty())
    }

    /// The settings of topics, in their order.
    fn described(&self, topics: &[Topic]) -> Result<Vec<ConfigResource>, AdminError> {
        let names: Vec<String> = topics.iter().map(ToString::to_string).collect();
        let asked: Vec<_> = names.iter().map(|n| ResourceSpecifier::Topic(n)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let found = block_on(self.admin.describe_configs(&asked, &Self::options())).map_err(failed)?;
        found.into_iter().map(|resource| resource.map_err(failed)).collect()
    }

    /// Every topic of the bus, with its partitions and settings.
    fn all_described(&self) -> Result<Vec<(Topic, u32, ConfigResource)>, AdminError> {
        let mut all: Vec<_> = self.all().map_err(failed)?.into_iter().collect();
        all.sort_by_cached_key(|(topic, _)| topic.to_string());
        let names: Vec<Topic> = all.iter().map(|(topic, _)| topic.clone()).collect();
        let described = self.described(&names)?;
        Ok(all.into_iter().zip(described).map(|((topic, partitions), is)| (topic, partitions, is)).collect())
    }

    /// What of each topic differs from what we set of a topic that is kept as this one is.
    pub fn drifted(&self) -> Result<BTreeMap<Topic, Vec<String>>, AdminError> {
        let each = self.all_described()?.into_iter().map(|(topic, _, is)| {
            let words = differing(&is, &topic, retention(&is));
            (topic, words)
        });
        Ok(each.filter(|(_, words)| !words.is_empty()).collect())
    }

    pub fn delete(&self, topic: &Topic) -> Result<(), AdminError> {
        let name = topic.to_string();
        let gone = block_on(self.admin.delete_topics(&[&name], &Self::options())).map_err(failed)?;
        match gone.into_iter().next() {
            Some(Err((_, code))) if !super::is_missing(code) => Err(failed(format!("deleting topic {name}: {code}"))),
            _ => self.await_metadata(topic, false),
        }
    }

    pub fn list(&self) -> Result<Vec<TopicSpec>, AdminError> {
        let spec = |(topic, partitions, is)| TopicSpec { topic, partitions, retention: retention(&is) };
        Ok(self.all_described()?.into_iter().map(spec).collect())
    }
}

fn told<'a>(is: &'a ConfigResource, name: &str) -> Option<&'a str> {
    is.get(name).and_then(|entry| entry.value.as_deref())
}

fn retention(is: &ConfigResource) -> Retention {
    read_retention(|name| told(is, name).map(ToOwned::to_owned))
}

/// Settings that are not as we set them, in words.
fn differing(is: &ConfigResource, topic: &Topic, retention: Retention) -> Vec<String> {
    let wanted = topic_settings(&topic.to_string(), retention).into_iter();
    let differing = wanted.filter_map(|(name, wanted)| {
        let found = told(is, name).unwrap_or("(not told)");
        (found != wanted).then(|| format!("{name} is {found} at the log, not {wanted}"))
    });
    differing.collect()
}
