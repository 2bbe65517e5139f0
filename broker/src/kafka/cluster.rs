//! What a cluster must be set to so that the seam's promises hold for years, and what this one is set to.
//!
//! `kenh doctor` prints what is found here. The same settings, with their reasons, stand in `broker-config/kafka/`. A trial
//! on one node may leave open what a bus in production may not: [`Profile`] says which of the two is asked for.

use std::collections::BTreeMap;

use futures_executor::block_on;
use kenh_domain::limits::{MAX_LOG_RECORD_BYTES, MAX_METADATA_BYTES};
use kenh_domain::log::{AdminError, StorageError};
use kenh_domain::topic::Topic;
use rdkafka::admin::{ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;

use super::settings::TRANSACTION_TIMEOUT_MS;
use super::topics::{self, Topics};
use super::{KafkaLog, QUERY_TIMEOUT};

/// What a cluster is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// A laptop, a test, a trial: what breaks a promise of the log is broken, all else may become so.
    #[default]
    Trial,
    /// Data of agencies: three replicas, two of which have a record before it is acknowledged, and a closed boundary.
    /// Everything that is found is broken.
    Production,
}

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

/// Looks at every broker of the cluster, and in production at every topic of the bus and at the access lists too; an empty
/// list means that all is well.
///
/// # Errors
/// [`AdminError::Storage`] when the cluster cannot be asked, or does not tell this user its settings (that takes
/// DESCRIBE_CONFIGS on the cluster).
pub fn check_cluster(log: &KafkaLog, profile: Profile) -> Result<Vec<Finding>, AdminError> {
    let failed = |error: StorageError| AdminError::Storage(error);
    let metadata = log.asker.fetch_metadata(Some(super::access::NAME), QUERY_TIMEOUT).map_err(|e| failed(e.into()))?;
    let ids: Vec<i32> = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    let mut findings = Vec::new();
    // One broker is a laptop or a trial: nothing to replicate to.
    let good = match profile {
        Profile::Trial => i64::try_from(ids.len().min(3)).unwrap_or(3),
        Profile::Production => 3,
    };
    for id in &ids {
        // A broker tells its own settings only.
        let options = Topics::options().broker_id(*id);
        let asked = [ResourceSpecifier::Broker(*id)];
        let told = block_on(log.topics.admin.describe_configs(&asked, &options)).map_err(|e| failed(e.into()))?;
        for resource in told {
            let resource = resource.map_err(|code| failed(format!("the settings of broker {id}: {code}").into()))?;
            findings.extend(look(&resource, *id));
            findings.extend(look_at_replicas(&resource, *id, good, log.options.replication.max(1)));
            if profile == Profile::Production {
                findings.extend(look_at_doors(&resource, *id));
            }
        }
    }
    if profile == Profile::Production {
        findings.extend(look_at_topics(log)?);
        findings.extend(look_at_boundary(log)?);
        findings.iter_mut().for_each(|finding| finding.broken = true);
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
fn look_at_replicas(resource: &ConfigResource, id: i32, good: i64, ours: i32) -> Vec<Finding> {
    let number = |name| value(resource, name).and_then(|v| v.parse::<i64>().ok()).unwrap_or(1);
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
            format!("at least {good}"),
            "set it in the configuration of Kênh: the loss of one broker loses what only it holds",
            false,
        ));
    }
    let internal = ["offsets.topic.replication.factor", "transaction.state.log.replication.factor"];
    for name in internal {
        if number(name) < good {
            findings.push(finding(
                name,
                format!("{} at broker {id}", number(name)),
                format!("at least {good}"),
                "raise it before the topic is made, or reassign its partitions: positions and fences lie in it",
                false,
            ));
        }
    }
    let least = number("min.insync.replicas");
    let wanted = if ours >= 3 || good >= 3 { 2 } else { 1 };
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

/// Who gets in at a broker, and what he may do when no access list speaks of him.
fn look_at_doors(resource: &ConfigResource, id: i32) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |name: &str, found: String, wanted: &str, what_to_do: &str| {
        let found = format!("{found} at broker {id}");
        let (name, wanted, what_to_do) = (name.into(), wanted.into(), what_to_do.into());
        findings.push(Finding { name, found, wanted, what_to_do, broken: true });
    };
    let told = |name| value(resource, name).unwrap_or_default();
    if told("authorizer.class.name").is_empty() {
        let wanted = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        find("authorizer.class.name", "not set".into(), wanted, "set it: without it everybody may do everything");
    }
    // Kafka hides the value of this one: the authoriser's own, of a type that the broker does not know.
    if resource.get("allow.everyone.if.no.acl.found").is_some() {
        let to_do =
            "take the line out of server.properties: false is the default, and Kafka tells nobody what it is set to";
        find("allow.everyone.if.no.acl.found", "set".into(), "not set", to_do);
    }
    for (listener, protocol) in listeners(told("listeners"), told("listener.security.protocol.map")) {
        let client_auth = format!("listener.name.{}.ssl.client.auth", listener.to_lowercase());
        let auth = value(resource, &client_auth).unwrap_or_else(|| told("ssl.client.auth"));
        match protocol.as_str() {
            "SSL" if auth == "required" => {}
            "SSL" => {
                let to_do = "set it in server.properties: whoever shows no certificate is nobody";
                find(
                    "ssl.client.auth",
                    format!("{} on {listener}", if auth.is_empty() { "not set" } else { auth }),
                    "required",
                    to_do,
                );
            }
            _ => find(
                "listeners",
                format!("{listener} speaks {protocol}"),
                "SSL",
                "see broker-config/kafka/tls.properties",
            ),
        }
    }
    findings
}

/// The listeners of a broker, each with its protocol.
fn listeners(listeners: &str, map: &str) -> Vec<(String, String)> {
    let protocols: BTreeMap<&str, &str> = map.split(',').filter_map(|pair| pair.trim().split_once(':')).collect();
    let names = listeners.split(',').filter_map(|listener| Some(listener.trim().split_once("://")?.0));
    names.map(|name| (name.to_owned(), (*protocols.get(name).unwrap_or(&name)).to_owned())).collect()
}

/// What is wanted of one topic in production.
fn look_at_topic(topic: &Topic, replicas: usize, settings: &ConfigResource) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |name: &str, found: String, wanted: &str, what_to_do: &str| {
        let (name, wanted, what_to_do) = (format!("{topic}: {name}"), wanted.into(), what_to_do.into());
        findings.push(Finding { name, found, wanted, what_to_do, broken: true });
    };
    let told = |name| value(settings, name).unwrap_or("(not told)").to_owned();
    if replicas < 3 {
        find("replicas", replicas.to_string(), "at least 3", "reassign its partitions to three brokers");
    }
    let least = told("min.insync.replicas");
    if !at_least(&least, 2) {
        find(
            "min.insync.replicas",
            least,
            "at least 2",
            "set it: a record must lie on two disks before it is acknowledged",
        );
    }
    let unclean = told("unclean.leader.election.enable");
    if unclean != "false" {
        let to_do = "set it: a replica that lags and becomes leader loses acknowledged records";
        find("unclean.leader.election.enable", unclean, "false", to_do);
    }
    let (wanted, is) = (topics::timestamp_type(topic), told("message.timestamp.type"));
    if is != wanted {
        let to_do = match wanted {
            "CreateTime" => "set it: the router's clock markers are the times of what it writes",
            _ => "set it: whoever may write here could say any time, and with it how long a record is kept",
        };
        find("message.timestamp.type", is, wanted, to_do);
    }
    findings
}

fn look_at_topics(log: &KafkaLog) -> Result<Vec<Finding>, AdminError> {
    let failed = |error: StorageError| AdminError::Storage(error);
    let metadata = log.asker.fetch_metadata(None, QUERY_TIMEOUT).map_err(|e| failed(e.into()))?;
    let least = |topic: &rdkafka::metadata::MetadataTopic| topic.partitions().iter().map(|p| p.replicas().len()).min();
    let mut topics: BTreeMap<String, (Topic, usize)> = BTreeMap::new();
    for found in metadata.topics() {
        if let (Ok(topic), Some(replicas)) = (found.name().parse::<Topic>(), least(found)) {
            topics.insert(found.name().to_owned(), (topic, replicas));
        }
    }
    let mut findings = Vec::new();
    let all: Vec<_> = topics.iter().collect();
    // The cluster answers for many at once; a bus may have thousands.
    for some in all.chunks(TOPICS_AT_ONCE) {
        let asked: Vec<_> = some.iter().map(|(name, _)| ResourceSpecifier::Topic(name)).collect();
        let told = block_on(log.topics.admin.describe_configs(&asked, &Topics::options()));
        let told = told.map_err(|e| failed(e.into()))?;
        for ((name, (topic, replicas)), settings) in some.iter().zip(told) {
            let settings = settings.map_err(|code| failed(format!("the settings of {name}: {code}").into()))?;
            findings.extend(look_at_topic(topic, *replicas, &settings));
        }
    }
    Ok(findings)
}

/// Most topics whose settings are asked for in one request.
const TOPICS_AT_ONCE: usize = 200;

/// Who we are to the cluster, and whether its access lists are the bus's.
fn look_at_boundary(log: &KafkaLog) -> Result<Vec<Finding>, AdminError> {
    let finding = |name: &str, found: String, wanted: &str, what_to_do: &str| {
        let (name, wanted, what_to_do) = (name.into(), wanted.into(), what_to_do.into());
        Finding { name, found, wanted, what_to_do, broken: true }
    };
    if !log.keeps_the_boundary() {
        let found = log.identity().map_or_else(|| "none".to_owned(), ToString::to_string);
        let to_do = "ask with the control role's certificate in `kafka.settings`: others do not see access lists";
        return Ok(vec![finding("our certificate", found, "the control role's", to_do)]);
    }
    let drift = log.drift()?;
    let said = |lines: &[super::acl::Line]| lines.iter().map(|l| format!("{l}")).collect::<Vec<_>>().join("; ");
    let mut findings = Vec::new();
    if !drift.unexpected.is_empty() {
        let to_do = "find out who gave these rights; the control role takes them out at its next turn";
        findings.push(finding("access lists", said(&drift.unexpected), "not there", to_do));
    }
    if !drift.missing.is_empty() {
        let to_do = "start the control role: it adds them";
        findings.push(finding("access lists", format!("missing: {}", said(&drift.missing)), "there", to_do));
    }
    Ok(findings)
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
                ("transaction.state.log.replication.factor", false),
                ("min.insync.replicas", false)
            ]
        );
        assert_eq!(names(&look_at_replicas(&replicas("3", "1"), 1, 3, 3)), [("min.insync.replicas", false)]);
        // Nothing of ours could ever be acknowledged.
        let found = look_at_replicas(&replicas("3", "2"), 1, 3, 1);
        assert_eq!(names(&found), [("kafka.replication", false), ("min.insync.replicas", true)]);
    }

    /// One broker is enough for a trial, and never in production.
    #[test]
    fn production_wants_three_replicas_of_everything() {
        let alone = broker(&[
            ("offsets.topic.replication.factor", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("min.insync.replicas", "1"),
        ]);
        assert_eq!(look_at_replicas(&alone, 1, 1, 1), []);
        let found = look_at_replicas(&alone, 1, 3, 1);
        let found: Vec<_> = found.iter().map(|f| f.name.as_str()).collect();
        let wanted = [
            "kafka.replication",
            "offsets.topic.replication.factor",
            "transaction.state.log.replication.factor",
            "min.insync.replicas",
        ];
        assert_eq!(found, wanted);
    }

    /// Each way in that is open, one at a time.
    #[test]
    fn an_open_door_is_found() {
        const CLOSED: [(&str, &str); 4] = [
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("listeners", "CLIENTS://127.0.0.1:1,CONTROLLER://127.0.0.1:2"),
            ("listener.security.protocol.map", "CLIENTS:SSL,CONTROLLER:SSL,PLAINTEXT:PLAINTEXT"),
            ("ssl.client.auth", "required"),
        ];
        assert_eq!(look_at_doors(&broker(&CLOSED), 1), []);
        let with = |name: &'static str, bad: &'static str| {
            let mut settings: Vec<_> = CLOSED.into_iter().filter(|(n, _)| *n != name).collect();
            settings.push((name, bad));
            let found = look_at_doors(&broker(&settings), 1);
            assert!(found.iter().all(|f| f.broken), "{name}");
            found.into_iter().map(|f| format!("{} {}", f.name, f.found)).collect::<Vec<_>>()
        };
        assert_eq!(with("authorizer.class.name", ""), ["authorizer.class.name not set at broker 1"]);
        // Whatever it is set to: Kafka does not tell.
        for value in ["true", "false"] {
            let found = with("allow.everyone.if.no.acl.found", value);
            assert_eq!(found, ["allow.everyone.if.no.acl.found set at broker 1"]);
        }
        assert_eq!(
            with("listener.security.protocol.map", "CLIENTS:PLAINTEXT,CONTROLLER:SSL"),
            ["listeners CLIENTS speaks PLAINTEXT at broker 1"]
        );
        assert_eq!(
            with("listeners", "CLIENTS://127.0.0.1:1,PLAINTEXT://:3"),
            ["listeners PLAINTEXT speaks PLAINTEXT at broker 1"]
        );
        let open =
            ["ssl.client.auth requested on CLIENTS at broker 1", "ssl.client.auth requested on CONTROLLER at broker 1"];
        assert_eq!(with("ssl.client.auth", "requested"), open);
        assert_eq!(
            with("listener.name.clients.ssl.client.auth", "none"),
            ["ssl.client.auth none on CLIENTS at broker 1"]
        );
    }

    /// Each fault of a topic, one at a time.
    #[test]
    fn a_topic_that_is_not_as_it_should_be_is_found() {
        const GOOD: [(&str, &str); 3] = [
            ("min.insync.replicas", "2"),
            ("unclean.leader.election.enable", "false"),
            ("message.timestamp.type", "LogAppendTime"),
        ];
        let input: Topic = "in.a.G1".parse().unwrap();
        assert_eq!(look_at_topic(&input, 3, &broker(&GOOD)), []);
        let found = look_at_topic(&input, 2, &broker(&GOOD));
        assert_eq!(names(&found), [("in.a.G1: replicas", true)]);
        for (name, bad) in [
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("message.timestamp.type", "CreateTime"),
        ] {
            let settings: Vec<_> = GOOD.into_iter().map(|(n, v)| (n, if n == name { bad } else { v })).collect();
            let found = look_at_topic(&input, 3, &broker(&settings));
            assert_eq!(names(&found), [(format!("in.a.G1: {name}").as_str(), true)]);
        }
        // The router's own times stay.
        let found = look_at_topic(&"view.H1.a.main.1".parse().unwrap(), 3, &broker(&GOOD));
        assert_eq!(names(&found), [("view.H1.a.main.1: message.timestamp.type", true)]);
    }
}
