//! The same on a real Apache Kafka of one node, started by `scripts/kafka` on this machine: publish, route, materialise,
//! and from produce to visible. Baselines: `rdkafka` by itself doing the same, with the same settings of the client: a
//! `BaseProducer` sending the same bytes; a `BaseConsumer` and a transactional `BaseProducer` that read the same input and
//! commit the very records that the router wrote in the same transactions; a `BaseConsumer` whose values go into the bare
//! store in the same batches. Client, broker and page cache share this machine's cores.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kenh_broker::kafka::{KafkaLog, Options, settings};
use kenh_consumers::store::Batch as Rows;
use kenh_consumers::subscriber::Subscriber;
use kenh_domain::envelope::{self, Submitted};
use kenh_domain::key;
use kenh_domain::log::{Batch, Log, NewRecord, TopicPartition};
use kenh_domain::topic::Topic;
use kenh_domain::wire;
use kenh_producers::reform::Change;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use support::bus::{self, Grants, StoreKind};
use support::latency::{bare, newcomers, report, through_the_bus};
use support::record::{RecordingLog, WatchedStore};
use support::{Bench, timed};

/// Changes of one run.
const CHANGES: u64 = 20_000;
const WHO: &str = "G01";
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() {
    let cluster = kenh_testkit::kafka::Cluster::start(1);
    let bench = Bench::start("kafka");
    let options = Options { bootstrap: cluster.bootstrap().into(), replication: 1, ..Options::default() };
    let reform = bus::reform();
    // Everybody is new: nothing is repeated, and every view gets its rows.
    let came = Cell::new(0);
    let mut next = |count: u64| newcomers(&reform, came.replace(came.get() + count), count);
    let kafka: Arc<dyn Log> = Arc::new(KafkaLog::connect(options.clone()).expect("the cluster answers"));
    route(&bench, &options, &kafka, &mut next);
    materialise(&bench, &options, &kafka, came.get());
    for (rate, seconds) in [(1_000, 3), (10_000, 2)] {
        let (mut base, mut own) = (Vec::new(), Vec::new());
        for _ in 0..support::runs().min(3) {
            base.push(bare(&kafka, &next(rate * seconds), rate));
            own.push(through_the_bus(&kafka, &next(rate * seconds), rate, StoreKind::Sled));
        }
        report(&bench, &format!("{rate}/s"), ("bare log", &mut base), ("produce to visible", &mut own));
    }
    publish(&bench, &options, &kafka, &next(CHANGES));
}

/// From a body in hand to an envelope that all replicas have.
fn publish(bench: &Bench, options: &Options, log: &Arc<dyn Log>, changes: &[Change]) {
    let set = kenh_governance::load(&**log).expect("the control log can be read");
    let contract = &set.contracts[&bus::people()];
    let version = contract.latest().expect("there is a schema");
    let topic = Topic::In(bus::people(), bus::agency("G01")).to_string();
    let ready: Vec<(i32, &[u8], Vec<u8>)> = changes
        .iter()
        .zip(1..)
        .map(|(c, n)| {
            let mut value = Vec::new();
            wire::put_header(version.envelope_id, &mut value);
            let change = Submitted::new("bench", n, c.event, c.version, c.updated_ms, Some(&c.body));
            envelope::encode(&change, &mut value);
            (number(key::partition(&c.key, contract.partitions).0), &*c.key, value)
        })
        .collect();
    let producer: BaseProducer = settings::producer(options, "bench").create().expect("a client");
    let mut raw = || {
        timed(|| {
            for (partition, key, value) in &ready {
                let record =
                    BaseRecord::<[u8], [u8]>::to(&topic).partition(*partition).key(*key).payload(value.as_slice());
                send(&producer, record);
            }
            drain(&producer);
        })
    };
    let mut submitted = || timed(|| bus::submit(&**log, &set, "bench", changes));
    bench.pair("publish", changes.len() as u64, ("BaseProducer", &mut raw), ("submission", &mut submitted));
}

fn route(bench: &Bench, options: &Options, kafka: &Arc<dyn Log>, next: &mut dyn FnMut(u64) -> Vec<Change>) {
    let recording = RecordingLog::new(kafka.clone());
    let log: Arc<dyn Log> = recording.clone();
    let set = bus::declare(&log, Grants::Declared);
    let partitions = set.contracts[&bus::people()].partitions;
    let inputs = CHANGES as usize + partitions as usize;
    let mut router = bus::router(&log);
    bus::route(&mut router);
    bus::control(&log);
    // What the copy does again: where the input of the last run began, and what the router committed for it.
    let last: Mutex<(Vec<_>, Vec<Batch>)> = Mutex::default();
    let mut run = 0;
    let mut routed = || {
        bus::route(&mut router);
        let from = bus::ends(&*log, &set);
        run += 1;
        bus::submit(&*log, &set, &format!("run-{run}"), &next(CHANGES));
        recording.take();
        let took = timed(|| bus::route_all(&mut router, inputs));
        *last.lock().expect("nobody panicked") = (from, recording.take());
        took
    };
    routed();
    let producer: BaseProducer = settings::claim(options, "bench-copy").create().expect("a client");
    producer.init_transactions(TIMEOUT).expect("a transactional id");
    let mut copied = || {
        let (from, batches) = last.lock().expect("nobody panicked").clone();
        let consumer = consumer(options, "bench-copy", &from);
        let group = consumer.group_metadata().expect("a group");
        // Topics of its own: a second writer in a data topic would be found out by the next recovery, and rightly.
        let name = |record: &NewRecord| format!("bench.{}", record.to.topic);
        let named: Vec<Vec<String>> = batches.iter().map(|b| b.records.iter().map(name).collect()).collect();
        create(options, named.iter().flatten(), partitions);
        timed(|| {
            let mut read = 0;
            for (n, (batch, names)) in batches.iter().zip(&named).enumerate() {
                let until = inputs * (n + 1) / batches.len();
                while read < until {
                    read += usize::from(poll(&consumer).is_some());
                }
                producer.begin_transaction().expect("a transaction");
                for (record, name) in batch.records.iter().zip(names) {
                    let mut new = BaseRecord::<[u8], [u8]>::to(name).partition(number(record.to.partition.0));
                    if !record.key.is_empty() {
                        new = new.key(&record.key);
                    }
                    if let Some(value) = &record.value {
                        new = new.payload(value);
                    }
                    send(&producer, new);
                }
                drain(&producer);
                let positions = consumer.position().expect("it has positions");
                producer.send_offsets_to_transaction(&positions, &group, TIMEOUT).expect("offsets are taken");
                producer.commit_transaction(TIMEOUT).expect("it is committed");
            }
        })
    };
    bench.pair("route, the 4 declared grants", CHANGES, ("rdkafka copy", &mut copied), ("router", &mut routed));
    // Readers are told how far their views have come, without which no copy is shown.
    bus::route(&mut router);
    router.stop();
}

fn materialise(bench: &Bench, options: &Options, log: &Arc<dyn Log>, people: u64) {
    let set = kenh_governance::load(&**log).expect("the control log can be read");
    // Of people and of units: the subscriber keeps both.
    let views = set.views.values().map(|v| &v.activation).filter(|a| a.grant.recipient == bus::agency(WHO));
    let partitions = |a: &kenh_domain::control::Activation| {
        let topic = a.topic();
        (0..set.contracts[&a.grant.dataset].partitions).map(move |p| TopicPartition::new(topic.clone(), p))
    };
    let from: Vec<_> = views.flat_map(|a| partitions(a)).map(|of| (of, kenh_domain::log::Position(0))).collect();
    for kind in StoreKind::ALL {
        let seen: Arc<Mutex<Vec<Rows>>> = Arc::default();
        let mut subscribed = || {
            let dir = tempfile::tempdir().expect("a directory");
            let note = seen.clone();
            note.lock().expect("nobody panicked").clear();
            let told = move |batch: &Rows| note.lock().expect("nobody panicked").push(batch.clone());
            let store = Arc::new(WatchedStore { inner: kind.open(dir.path()), seen: Box::new(told) });
            let mut subscriber = Subscriber::open(bus::subscriber_config(log, WHO, store)).expect("the store is good");
            timed(|| bus::keep_until(&mut subscriber, people, 0))
        };
        subscribed();
        let batches: Vec<BTreeMap<Bytes, Option<Bytes>>> = seen
            .lock()
            .expect("nobody panicked")
            .iter()
            .filter(|b| b.records() > 0)
            .map(|b| b.changes().map(|(k, v)| (k.clone(), v.cloned())).collect())
            .collect();
        let rows: usize = batches.iter().map(BTreeMap::len).sum();
        let mut raw = || {
            let consumer = consumer(options, "bench-view", &from);
            let dir = tempfile::tempdir().expect("a directory");
            let write = support::bare::writer(kind, dir.path());
            timed(|| {
                let mut read = BTreeMap::new();
                while read.len() < rows {
                    if let Some((key, value)) = poll(&consumer) {
                        read.insert(key, value);
                    }
                }
                for batch in &batches {
                    write(&batch.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
                }
            })
        };
        bench.pair(
            &format!("materialise, {}", kind.name()),
            rows as u64,
            ("BaseConsumer and bare store", &mut raw),
            ("subscriber", &mut subscribed),
        );
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("few partitions")
}

/// Makes the topics that are not there yet.
fn create<'a>(options: &Options, names: impl Iterator<Item = &'a String>, partitions: u32) {
    let admin: AdminClient<DefaultClientContext> = settings::consumer(options, "bench").create().expect("a client");
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    let topics: Vec<_> =
        names.iter().map(|n| NewTopic::new(n, number(partitions), TopicReplication::Fixed(1))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(admin.create_topics(&topics, &AdminOptions::new())).expect("the cluster answers");
    for result in made {
        assert!(matches!(result, Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))), "{result:?}");
    }
}

/// A consumer of partitions from given positions, which has fetched nothing yet.
fn consumer(options: &Options, group: &str, from: &[(TopicPartition, kenh_domain::log::Position)]) -> BaseConsumer {
    let mut config = settings::consumer(options, "bench");
    let consumer: BaseConsumer = config.set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    for (of, at) in from {
        let at = Offset::Offset(i64::try_from(at.0).expect("an offset"));
        list.add_partition_offset(&of.topic.to_string(), number(of.partition.0), at).expect("a partition");
    }
    consumer.assign(&list).expect("it can be read");
    consumer
}

/// The next record, if there is one now.
fn poll(consumer: &BaseConsumer) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    match consumer.poll(Duration::from_millis(100))? {
        Ok(message) => Some((message.key().unwrap_or_default().to_vec(), message.payload().map(<[u8]>::to_vec))),
        Err(KafkaError::PartitionEOF(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn send<'a>(producer: &BaseProducer, mut record: BaseRecord<'a, [u8], [u8]>) {
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}

/// Waits until everything sent is acknowledged.
fn drain(producer: &BaseProducer) {
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}
