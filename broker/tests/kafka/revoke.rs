//! How long after a revocation a hostile client still gets records: old sessions, fetches parked at the broker for 60 s,
//! aborted and open transactions read along.
//!
//! The steps are those of the design, in its order: the event in `kenh.control`; the writer reads it and writes nothing
//! more to the view, and says so in `kenh.heads` in the same transaction; the access list is emptied; the topic is deleted.
//! The writer here commits as the router does and follows the control log as it does, but decides nothing: what the real
//! one adds is the batch under way when the event comes. The figure is printed, and goes to standard error past the test's
//! capture.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_broker::kafka::{KafkaLog, Options};
use kenh_domain::identity::Serial;
use kenh_domain::log::{Access, Batch, Log as _, Operation, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use kenh_testkit::kafka::Cluster;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::{at, record, text};

/// Views that are revoked, one after the other, each with its two hostile clients.
const VIEWS: usize = 50;
/// How long a hostile client asks the broker to hold its fetch.
const PARKED_MS: u32 = 60_000;
/// Longer than any fetch is held.
const LIMIT: Duration = Duration::from_secs(120);
/// What must hold (issue: p99 under 1 s over at least 50 runs).
const BOUND: Duration = Duration::from_secs(1);

/// What a hostile client got.
#[derive(Default)]
struct Got {
    records: u64,
    /// The number and the time of the last.
    last: Option<(u64, Instant)>,
    refused: Option<Code>,
}

struct Hostile {
    view: usize,
    got: Mutex<Got>,
}

impl Hostile {
    fn look<T>(&self, look: impl FnOnce(&mut Got) -> T) -> T {
        look(&mut self.got.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads on, whatever it is told, until `stop`.
    fn run(&self, cluster: &Cluster, topic: &Topic, least_bytes: u32, stop: &AtomicBool) {
        let mut config = ClientConfig::new();
        for (key, value) in cluster.identity(&who(self.view), 1) {
            config.set(key, value);
        }
        let consumer: BaseConsumer = config
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", who(self.view))
            .set("isolation.level", "read_uncommitted")
            .set("fetch.wait.max.ms", PARKED_MS.to_string())
            .set("socket.timeout.ms", (PARKED_MS + 10_000).to_string())
            .set("fetch.min.bytes", least_bytes.to_string())
            .set("fetch.queue.backoff.ms", "1")
            .set("fetch.error.backoff.ms", "1")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic.to_string(), 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        while !stop.load(Ordering::Relaxed) {
            match consumer.poll(Duration::from_millis(20)) {
                None => {}
                Some(Ok(message)) => {
                    let number = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
                    let now = Instant::now();
                    self.look(|got| {
                        got.records += 1;
                        got.last = Some((number, now));
                    });
                }
                Some(Err(error)) => self.look(|got| {
                    let code = error.rdkafka_error_code();
                    // A client that cannot reach a broker for a moment is not one that was refused.
                    if code.is_some_and(is_refusal) {
                        got.refused = code;
                    }
                }),
            }
        }
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition
    )
}

fn who(view: usize) -> String {
    format!("r{view}-portal")
}

fn await_that(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < LIMIT, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes one record to every view that is not revoked, again and again, in transactions, as the router does. Answers the
/// number of the last record of each view.
fn write_on(log: &KafkaLog, views: &[Topic], stop: &AtomicBool) -> Vec<u64> {
    let me = Principal::router();
    let mut claim = log.claim(&me, &Group::new("revoking").unwrap()).unwrap();
    let control = at(&Topic::Control, 0);
    let mut events = log.reader(&me, &[(control.clone(), log.bounds(&me, &control).unwrap().end)]).unwrap();
    let mut last = vec![0; views.len()];
    let mut open = vec![true; views.len()];
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut batch = Batch::default();
        for event in events.poll(100, 1 << 20, Duration::ZERO).unwrap() {
            let view: usize = text(&event).parse().unwrap();
            open[view] = false;
            batch.records.push(record(&Topic::Heads, 0, &view.to_string()));
        }
        for (view, topic) in views.iter().enumerate().filter(|(view, _)| open[*view]) {
            batch.records.push(record(topic, 0, &number.to_string()));
            last[view] = number;
        }
        if batch.records.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        } else {
            claim.commit(batch).unwrap();
        }
    }
    last
}

/// What each step of a revocation took since its event was begun.
#[derive(Default, Clone, Copy)]
struct Steps {
    written_out: Duration,
    closed: Duration,
    gone: Duration,
}

/// Revokes one view.
fn revoke(log: &KafkaLog, view: usize, topic: &Topic, heads: &mut dyn kenh_domain::log::Reader) -> (Instant, Steps) {
    let begun = Instant::now();
    let mut writer = log.writer(&Principal::control());
    writer.write(vec![record(&Topic::Control, 0, &view.to_string())]).unwrap();
    writer.flush().unwrap();
    let mut there = false;
    while !there {
        assert!(begun.elapsed() < LIMIT, "the writer does not see the event");
        let found = heads.poll(100, 1 << 20, Duration::from_millis(50)).unwrap();
        there = found.iter().any(|head| text(head) == view.to_string());
    }
    let written_out = begun.elapsed();
    log.set_access(topic, &[]).unwrap();
    let closed = begun.elapsed();
    log.delete_topic(topic).unwrap();
    (begun, Steps { written_out, closed, gone: begun.elapsed() })
}

/// The value below which `share` of the values lie; 0.99 of 50 is the greatest.
fn quantile(of: &mut [Duration], share: f64) -> Duration {
    of.sort();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (of.len() as f64 * share) as usize;
    of[at.min(of.len() - 1)]
}

fn say(what: &str, of: &mut [Duration]) {
    let ms = |share| quantile(of.to_vec().as_mut_slice(), share).as_secs_f64() * 1e3;
    let line = format!("  {what:<58} p50 {:>5.0} ms   p99 {:>5.0} ms\n", ms(0.5), ms(0.99));
    // Past the capture of tests: this is what the test is for.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn a_hostile_client_gets_nothing_a_second_after_a_revocation() {
    let cluster = Cluster::start_tls(1);
    let settings = cluster.identity("kenh-control", 1);
    let log = KafkaLog::connect(Options { bootstrap: cluster.bootstrap().into(), settings, replication: 1 }).unwrap();
    let make = |name: &str| -> Topic {
        let topic: Topic = name.parse().unwrap();
        log.create_topic(&TopicSpec { topic: topic.clone(), partitions: 1, retention: Retention::Forever }).unwrap();
        topic
    };
    make("kenh.control");
    make("kenh.heads");
    let views: Vec<Topic> = (0..VIEWS).map(|n| make(&format!("view.R{n}.flow.main.1"))).collect();
    for (n, view) in views.iter().enumerate() {
        let system: Principal = who(n).parse().unwrap();
        log.set_serials(&system, &[Serial::FIRST].into()).unwrap();
        log.set_access(view, &[Access { principal: system, operation: Operation::Read }]).unwrap();
        drop(cluster.identity(&who(n), 1));
    }
    // One that takes what comes, one whose fetch is answered when it has waited for 60 s.
    let hostile: Vec<(Hostile, u32)> = (0..VIEWS)
        .flat_map(|view| [1, 100_000_000].map(|least| (Hostile { view, got: Mutex::default() }, least)))
        .collect();
    let stop = AtomicBool::new(false);
    let mut revoked = Vec::new();
    let last = std::thread::scope(|scope| {
        for (client, least) in &hostile {
            let (cluster, topic, stop) = (&cluster, &views[client.view], &stop);
            scope.spawn(move || client.run(cluster, topic, *least, stop));
        }
        let writing = scope.spawn(|| write_on(&log, &views, &stop));
        // Whatever fails below, the others stop.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let stopping = Stop(&stop);
        let streaming = || hostile.iter().filter(|(_, least)| *least == 1);
        // By then the others' first fetches have been parked for long.
        await_that("records at every client", || streaming().all(|(c, _)| c.look(|got| got.records > 20)));
        let heads = TopicPartition::new(Topic::Heads, 0);
        let from = log.bounds(&Principal::control(), &heads).unwrap().end;
        let mut heads = log.reader(&Principal::control(), &[(heads, from)]).unwrap();
        for (n, topic) in views.iter().enumerate() {
            revoked.push(revoke(&log, n, topic, &mut *heads));
        }
        await_that("a refusal to every client", || hostile.iter().all(|(c, _)| c.look(|got| got.refused.is_some())));
        drop(stopping);
        writing.join().unwrap()
    });
    let since = |least: u32| -> Vec<Duration> {
        let these = hostile.iter().filter(|(_, l)| *l == least);
        these
            .map(|(client, _)| {
                let last = client.look(|got| got.last.map(|(_, at)| at));
                last.map_or(Duration::ZERO, |at| at.saturating_duration_since(revoked[client.view].0))
            })
            .collect()
    };
    let (mut flowing, mut parked) = (since(1), since(100_000_000));
    let step = |of: fn(&Steps) -> Duration| revoked.iter().map(|(_, s)| of(s)).collect::<Vec<_>>();
    say(&format!("revocation of {VIEWS} views: nothing more is written"), &mut step(|s| s.written_out));
    say("  the access list is empty", &mut step(|s| s.closed));
    say("  the topic is gone", &mut step(|s| s.gone));
    say("  last record at a client that takes what comes", &mut flowing);
    say("  last record at a client whose fetch is parked for 60 s", &mut parked);
    for (client, least) in &hostile {
        // What was written after the writer had stopped would be a leak whenever it came.
        let number = client.look(|got| got.last.map_or(0, |(number, _)| number));
        assert!(number <= last[client.view], "view {}: {number} after {}", client.view, last[client.view]);
        assert!(*least != 1 || number > 0);
    }
    for of in [&mut flowing, &mut parked] {
        assert!(quantile(of, 0.99) < BOUND, "{of:?}");
    }
}
