//! `kenh.access`, with other processes writing to it.

use std::time::Instant;

use kenh_broker::kafka::KafkaLog;
use kenh_domain::log::{Access, AdminError, Log as _, Operation};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_testkit::PATIENCE;
use kenh_testkit::builders::system;
use kenh_testkit::kafka::Cluster;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::{at, connect, make};

fn reads(who: &str) -> Vec<Access> {
    vec![Access { principal: system(who), operation: Operation::Read }]
}

fn await_that(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        std::thread::yield_now();
    }
}

fn may_read(log: &KafkaLog, who: &str, topic: &Topic) -> bool {
    log.bounds(&system(who), &at(topic, 0)).is_ok()
}

/// Writes to the topic past Kênh.
fn write(key: &str, value: Option<&str>) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", Cluster::shared().bootstrap()).create().unwrap();
    let mut record = BaseRecord::<str, str>::to("kenh.access").partition(0).key(key);
    if let Some(value) = value {
        record = record.payload(value);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// What one process sets is in force there at once, in the others soon, and in those that start later.
#[test]
fn access_lists_are_the_same_for_all_processes() {
    let (here, there) = (connect(), connect());
    let topic = make(&here, "shared-list", 1);
    here.set_access(&topic, &reads("H29")).unwrap();
    assert!(may_read(&here, "H29", &topic));
    await_that("access in the other process", || may_read(&there, "H29", &topic));
    there.set_access(&topic, &[]).unwrap();
    assert!(!may_read(&there, "H29", &topic));
    await_that("no access in the first process", || !may_read(&here, "H29", &topic));
    there.set_access(&topic, &reads("G12")).unwrap();
    assert_eq!(connect().access(&topic).unwrap(), reads("G12"));
}

/// What cannot be read gives nobody access, and the lists of other topics stay.
#[test]
fn what_is_not_ours_gives_nobody_access() {
    let log = connect();
    let (topic, other) = (make(&log, "garbled", 1), make(&log, "garbled-not", 1));
    log.set_access(&other, &reads("H29")).unwrap();
    let key = topic.to_string();
    let everything = serde_json::to_string(&reads("H29")).unwrap();
    // Not JSON, JSON without a number, neither a list nor deleted, an operation that there is not.
    for value in [
        "nonsense",
        &everything,
        r#"{"format":1}"#,
        &format!(r#"{{"format":1,"access":{}}}"#, everything.replace("read", "all")),
    ] {
        log.set_access(&topic, &reads("H29")).unwrap();
        assert!(may_read(&log, "H29", &topic));
        write(&key, Some(value));
        await_that(value, || !may_read(&log, "H29", &topic));
        assert_eq!(log.access(&topic).unwrap(), []);
    }
    log.set_access(&topic, &reads("H29")).unwrap();
    write("no topic of ours", Some(r#"{"format":1,"access":[]}"#));
    write(&key, None);
    await_that("forgotten", || matches!(log.access(&topic), Err(AdminError::Missing(_))));
    assert!(may_read(&log, "H29", &other));
}

/// A deleted topic stays deleted for every process, also for one that starts later.
#[test]
fn a_deleted_name_is_refused_by_every_process() {
    let here = connect();
    let topic = make(&here, "deleted-name", 1);
    here.delete_topic(&topic).unwrap();
    let there = connect();
    let spec = kenh_domain::log::TopicSpec {
        topic: topic.clone(),
        partitions: 1,
        retention: kenh_domain::log::Retention::Forever,
    };
    for log in [&here, &there] {
        let refused = log.create_topic(&spec);
        assert!(matches!(refused, Err(AdminError::Storage(_))), "{refused:?}");
        assert!(log.bounds(&Principal::router(), &at(&topic, 0)).is_err());
    }
}

/// A newer release has written here: this one does not start, and says why.
#[test]
fn a_newer_format_is_refused_at_the_start() {
    let cluster = Cluster::start(1);
    let old = KafkaLog::connect(crate::options(&cluster)).unwrap();
    let topic = make(&old, "newer", 1);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let (key, value) = (topic.to_string(), r#"{"format":2,"who":"knows"}"#);
    producer
        .send(BaseRecord::<str, str>::to("kenh.access").partition(0).key(&key).payload(value))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(PATIENCE).unwrap();
    let error = KafkaLog::connect(crate::options(&cluster)).err().unwrap();
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap();
    assert!(cause.to_string().contains("format 2"), "{cause}");
}
