//! What a cluster must be set to so that the seam's promises hold for years, and what this one is set to.
//!
//! `kenh doctor` prints what is found here. The same settings, with their reasons, stand in `broker-config/kafka/`.

use futures_executor::block_on;
use kenh_domain::limits::{MAX_LOG_RECORD_BYTES, MAX_METADATA_BYTES};
use kenh_domain::log::{AdminError, StorageError};
use rdkafka::admin::{ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;

use super::settings::TRANSACTION_TIMEOUT_MS;
use super::topics::Topics;
use super::{KafkaLog, QUERY_TIMEOUT};

/// One thing about a cluster that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The setting of the broker, or what else it is about.
    pub name: String,
    /// What it is, and at which broker.
    pub found: String,
    /// What it should be.
    pub wanted: String,
    /// What to do about it, and why.
    pub what_to_do: String,
    /// Whether a promise is broken now (true), or may be one day (false).
    pub broken: bool,
}

/// Offsets are to outlive any pause of a router: ten years, in minutes.
const OFFSETS_MINUTES: i64 = 10 * 366 * 24 * 60;
/// A transactional id is used at least this often by a router that lives: a week, in milliseconds.
const IDS_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// What surrounds a record's key and value on the wire.
const FRAMING: usize = 1 << 16;

/// A setting of a broker, and what is wanted of it.
struct Rule {
    name: &'static str,
    good: fn(&str) -> bool,
    wanted: String,
    what_to_do: &'static str,
    broken: bool,
}

fn at_least(value: &str, least: i64) -> bool {
    value.parse::<i64>().is_ok_and(|v| v >= least)
}

fn bytes(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn rules() -> [Rule; 7] {
    let rule = |name, good, wanted: String, what_to_do, broken| Rule { name, good, wanted, what_to_do, broken };
    [
        rule(
            "auto.create.topics.enable",
            |v| v == "false",
            "false".into(),
            "set it in server.properties: a typing error must not make a topic that no grant knows",
            false,
        ),
        rule(
            "offsets.retention.minutes",
            |v| at_least(v, OFFSETS_MINUTES),
            format!("at least {OFFSETS_MINUTES}"),
            "set it in server.properties to 2147483647: a router that stood still for longer would lose its place",
            false,
        ),
        rule(
            "transactional.id.expiration.ms",
            |v| at_least(v, IDS_MS),
            format!("at least {IDS_MS}"),
            "set it in server.properties to 2147483647: an id that expired no longer fences its former owner",
            false,
        ),
        rule(
            "unclean.leader.election.enable",
            |v| v == "false",
            "false".into(),
            "set it in server.properties: a replica that lags and becomes leader loses acknowledged records",
            true,
        ),
        rule(
            "message.max.bytes",
            |v| at_least(v, bytes(MAX_LOG_RECORD_BYTES + FRAMING)),
            format!("at least {}", MAX_LOG_RECORD_BYTES + FRAMING),
            "set it in server.properties to 9437184, and replica.fetch.max.bytes too: a contract with its code lists must fit",
            true,
        ),
        rule(
            "offset.metadata.max.bytes",
            |v| at_least(v, bytes(MAX_METADATA_BYTES)),
            format!("at least {MAX_METADATA_BYTES}"),
            "set it in server.properties: the router keeps its lanes beside the committed positions",
            true,
        ),
        rule(
            "transaction.max.timeout.ms",
            |v| at_least(v, i64::from(TRANSACTION_TIMEOUT_MS)),
            format!("at least {TRANSACTION_TIMEOUT_MS}"),
            "set it in server.properties: the router's transactions may take that long",
            true,
        ),
    ]
}

/// Looks at every broker of the cluster; an empty list means that all is well.
///
/// # Errors
/// [`AdminError::Storage`] when the cluster cannot be asked, or does not tell this user its settings (that takes
/// DESCRIBE_CONFIGS on the cluster).
pub fn check_cluster(log: &KafkaLog) -> Result<Vec<Finding>, AdminError> {
    let failed = |error: StorageError| AdminError::Storage(error);
    let metadata = log.asker.fetch_metadata(Some(super::access::NAME), QUERY_TIMEOUT).map_err(|e| failed(e.into()))?;
    let ids: Vec<i32> = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    let mut findings = Vec::new();
    for id in &ids {
        // A broker tells its own settings only.
        let options = Topics::options().broker_id(*id);
        let asked = [ResourceSpecifier::Broker(*id)];
        let told = block_on(log.topics.admin.describe_configs(&asked, &options)).map_err(|e| failed(e.into()))?;
        for resource in told {
            let resource = resource.map_err(|code| failed(format!("the settings of broker {id}: {code}").into()))?;
            findings.extend(look(&resource, *id));
            findings.extend(look_at_replicas(&resource, *id, ids.len(), log.options.replication.max(1)));
        }
    }
    Ok(findings)
}

fn value<'a>(resource: &'a ConfigResource, name: &str) -> Option<&'a str> {
    resource.get(name).and_then(|entry| entry.value.as_deref())
}

fn look(resource: &ConfigResource, id: i32) -> Vec<Finding> {
    let found = |rule: Rule| {
        let is = value(resource, rule.name).unwrap_or("(not told)");
        (!(rule.good)(is)).then(|| Finding {
            name: rule.name.into(),
            found: format!("{is} at broker {id}"),
            wanted: rule.wanted,
            what_to_do: rule.what_to_do.into(),
            broken: rule.broken,
        })
    };
    rules().into_iter().filter_map(found).collect()
}

/// Replicas: ours, the cluster's internal topics', and how many must have a record before it is acknowledged.
fn look_at_replicas(resource: &ConfigResource, id: i32, brokers: usize, ours: i32) -> Vec<Finding> {
    let number = |name| value(resource, name).and_then(|v| v.parse::<i64>().ok()).unwrap_or(1);
    // One broker is a laptop or a trial: nothing to replicate to.
    let good = i64::try_from(brokers.min(3)).unwrap_or(3);
    let finding = |name: &str, found: String, wanted: String, what_to_do: &str, broken| Finding {
        name: name.into(),
        found,
        wanted,
        what_to_do: what_to_do.into(),
        broken,
    };
    let mut findings = Vec::new();
    if i64::from(ours) < good {
        findings.push(finding(
            "kafka.replication",
            ours.to_string(),
            format!("{good} ({brokers} brokers)"),
            "set it in the configuration of Kênh: the loss of one broker loses what only it holds",
            false,
        ));
    }
    for name in ["offsets.topic.replication.factor", "transaction.state.log.replication.factor"] {
        if number(name) < good {
            findings.push(finding(
                name,
                format!("{} at broker {id}", number(name)),
                format!("{good} ({brokers} brokers)"),
                "raise it before the topic is made, or reassign its partitions: positions and fences lie in it",
                false,
            ));
        }
    }
    let least = number("min.insync.replicas");
    let wanted = if ours >= 3 { 2 } else { 1 };
    if least < wanted {
        findings.push(finding(
            "min.insync.replicas",
            format!("{least} at broker {id}"),
            wanted.to_string(),
            "set it in server.properties: a record must lie on two disks before it is acknowledged",
            false,
        ));
    }
    if least > i64::from(ours) {
        findings.push(finding(
            "min.insync.replicas",
            format!("{least} at broker {id}, with `kafka.replication` {ours}"),
            format!("at most {ours}"),
            "raise `kafka.replication`, or lower it in server.properties: no record of ours is ever acknowledged",
            true,
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    use super::*;

    /// A broker that says so of itself.
    fn broker(settings: &[(&str, &str)]) -> ConfigResource {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).into(),
            value: Some((*value).into()),
            source: ConfigSource::StaticBroker,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        ConfigResource { specifier: OwnedResourceSpecifier::Broker(1), entries: settings.iter().map(entry).collect() }
    }

    /// What Apache Kafka is without configuration, as far as it matters here.
    const DEFAULTS: [(&str, &str); 7] = [
        ("auto.create.topics.enable", "true"),
        ("offsets.retention.minutes", "10080"),
        ("transactional.id.expiration.ms", "604800000"),
        ("unclean.leader.election.enable", "false"),
        ("message.max.bytes", "1048588"),
        ("offset.metadata.max.bytes", "4096"),
        ("transaction.max.timeout.ms", "900000"),
    ];

    fn names(findings: &[Finding]) -> Vec<(&str, bool)> {
        findings.iter().map(|f| (f.name.as_str(), f.broken)).collect()
    }

    #[test]
    fn a_cluster_without_configuration_is_found_wanting() {
        let found = look(&broker(&DEFAULTS), 1);
        let wanted =
            [("auto.create.topics.enable", false), ("offsets.retention.minutes", false), ("message.max.bytes", true)];
        assert_eq!(names(&found), wanted);
        assert_eq!(found[1].found, "10080 at broker 1");
        assert!(found.iter().all(|f| !f.wanted.is_empty() && !f.what_to_do.is_empty()));
    }

    #[test]
    fn each_rule_sees_what_is_too_little_and_what_is_not_told() {
        for (name, bad) in [
            ("transactional.id.expiration.ms", "604799999"),
            ("unclean.leader.election.enable", "true"),
            ("offset.metadata.max.bytes", "4095"),
            ("transaction.max.timeout.ms", "9999"),
        ] {
            let settings: Vec<_> = DEFAULTS.into_iter().map(|(n, v)| (n, if n == name { bad } else { v })).collect();
            assert!(look(&broker(&settings), 1).iter().any(|f| f.name == name), "{name}");
        }
        assert_eq!(look(&broker(&[]), 1).len(), rules().len());
    }

    #[test]
    fn replicas_are_held_against_the_number_of_brokers() {
        let replicas = |of: &'static str, least: &'static str| {
            broker(&[
                ("offsets.topic.replication.factor", of),
                ("transaction.state.log.replication.factor", of),
                ("min.insync.replicas", least),
            ])
        };
        assert_eq!(look_at_replicas(&replicas("1", "1"), 1, 1, 1), []);
        assert_eq!(look_at_replicas(&replicas("3", "2"), 1, 3, 3), []);
        let found = look_at_replicas(&replicas("1", "1"), 1, 3, 1);
        assert_eq!(
            names(&found),
            [
                ("kafka.replication", false),
                ("offsets.topic.replication.factor", false),
                ("transaction.state.log.replication.factor", false)
            ]
        );
        assert_eq!(names(&look_at_replicas(&replicas("3", "1"), 1, 5, 3)), [("min.insync.replicas", false)]);
        // Nothing of ours could ever be acknowledged.
        let found = look_at_replicas(&replicas("3", "2"), 1, 3, 1);
        assert_eq!(names(&found), [("kafka.replication", false), ("min.insync.replicas", true)]);
    }
}
