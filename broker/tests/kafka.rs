//! Apache Kafka keeps the promises of the seam: the conformance suite on a real one, and what only a server on the other
//! side of a network can do wrong.

// Tests say what they expect by unwrapping; the lints' own exception does not reach helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod kafka {
    pub mod access;
    pub mod boundary;
    pub mod claims;
    pub mod connect;
    pub mod kill;
    pub mod old;
    pub mod production;
    pub mod retention;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kenh_broker::kafka::{KafkaLog, Options};
use kenh_domain::log::{Log as _, NewRecord, Position, Reader, Record, Retention, TopicPartition, TopicSpec};
use kenh_domain::topic::Topic;
use kenh_testkit::Subject;
use kenh_testkit::kafka::Cluster;

fn options(cluster: &Cluster) -> Options {
    Options { bootstrap: cluster.bootstrap().into(), replication: 1, ..Options::default() }
}

/// A log of its own on the cluster that the tests share: like another process.
fn connect() -> KafkaLog {
    KafkaLog::connect(options(Cluster::shared())).unwrap()
}

fn subject() -> Subject {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Subject {
        tag: format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        maintains: false,
        remakes: false,
        cases: 16,
        ..Subject::new(Arc::new(connect()))
    }
}

kenh_testkit::conformance!(subject);

fn make(log: &KafkaLog, name: &str, partitions: u32) -> Topic {
    let topic: Topic = format!("data.{name}").parse().unwrap();
    log.create_topic(&TopicSpec { topic: topic.clone(), partitions, retention: Retention::Forever }).unwrap();
    topic
}

fn record(topic: &Topic, partition: u32, value: &str) -> NewRecord {
    kenh_testkit::builders::record(topic, partition, "k", value)
}

fn at(topic: &Topic, partition: u32) -> TopicPartition {
    TopicPartition::new(topic.clone(), partition)
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

/// Polls until the first partition's position has reached an end.
fn read_to(reader: &mut dyn Reader, end: Position) -> Vec<String> {
    let begun = std::time::Instant::now();
    let mut found = Vec::new();
    while reader.positions()[0] < end {
        found.extend(reader.poll(1_000, 1 << 20, std::time::Duration::from_millis(5)).unwrap().iter().map(text));
        assert!(
            begun.elapsed() < kenh_testkit::PATIENCE,
            "the reader stays at {:?}, the end is {end}",
            reader.positions()
        );
    }
    found
}
