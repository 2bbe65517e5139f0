//! Timetables, and how long after its time a record is seen. Used on both logs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_consumers::store::Batch;
use kenh_consumers::subscriber::Subscriber;
use kenh_domain::envelope::{self, Submitted};
use kenh_domain::key;
use kenh_domain::log::{Log, NewRecord, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_domain::wire;
use kenh_governance::Control;
use kenh_producers::reform::{Change, Reform};

use super::bus::{self, Grants, StoreKind};
use super::record::WatchedStore;
use super::{Bench, median, quantile};

/// How often a producer makes durable what is due.
const TICK: Duration = Duration::from_millis(1);
/// How long a bench waits for the last record before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who receives: ID, name and province of everybody.
const WHO: &str = "G12";

/// When each record was first seen, by its key.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<Bytes, Instant>>>);

impl Seen {
    fn note<'a>(&self, keys: impl Iterator<Item = &'a Bytes>) {
        let now = Instant::now();
        let mut seen = self.0.lock().expect("nobody panicked");
        for key in keys {
            seen.entry(key.clone()).or_insert(now);
        }
    }

    fn clear(&self) {
        self.0.lock().expect("nobody panicked").clear();
    }

    fn wait_for(&self, count: usize) {
        let begun = Instant::now();
        while self.0.lock().expect("nobody panicked").len() < count {
            assert!(begun.elapsed() < PATIENCE, "not every record is seen");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Milliseconds from when each of `keys` was due.
    fn since(&self, due: &[(Bytes, Instant)]) -> Vec<f64> {
        let seen = self.0.lock().expect("nobody panicked");
        due.iter().map(|(key, due)| seen[key].saturating_duration_since(*due).as_secs_f64() * 1e3).collect()
    }
}

/// Writes records by a timetable of `rate` a second; answers when each was due.
fn produce(log: &dyn Log, as_whom: &Principal, records: Vec<NewRecord>, rate: u64) -> Vec<(Bytes, Instant)> {
    let mut writer = log.writer(as_whom);
    let begun = Instant::now();
    let due_at = |n: usize| begun + Duration::from_nanos(n as u64 * 1_000_000_000 / rate);
    let due: Vec<_> = records.iter().enumerate().map(|(n, r)| (r.key.clone(), due_at(n))).collect();
    let mut left = records.into_iter().enumerate().peekable();
    while let Some((next, _)) = left.peek() {
        let wait = due_at(*next).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait.max(TICK));
        }
        let now = Instant::now();
        let mut batch = Vec::new();
        while let Some((_, record)) = left.next_if(|(n, _)| due_at(*n) <= now) {
            batch.push(record);
        }
        writer.write(batch).expect("it is accepted");
        writer.flush().expect("it is durable");
    }
    due
}

/// The changes as G01 submits them.
fn submitted(set: &kenh_domain::control::ControlSet, changes: &[Change]) -> Vec<NewRecord> {
    let contract = &set.contracts[&bus::people()];
    let version = contract.latest().expect("there is a schema");
    let topic = Topic::In(bus::people(), bus::agency("G01"));
    let record = |(n, c): (usize, &Change)| {
        let mut value = Vec::with_capacity(256);
        wire::put_header(version.envelope_id, &mut value);
        let change = Submitted::new("bench", n as u64 + 1, c.event, c.version, c.updated_ms, Some(&c.body));
        envelope::encode(&change, &mut value);
        NewRecord {
            to: TopicPartition { topic: topic.clone(), partition: key::partition(&c.key, contract.partitions) },
            timestamp_ms: bus::now_ms(),
            key: Bytes::copy_from_slice(&c.key),
            value: Some(value.into()),
        }
    };
    changes.iter().enumerate().map(record).collect()
}

/// People from `first` on, each new: on a log that is used again nobody may come twice.
pub fn newcomers(reform: &Reform, first: u64, count: u64) -> Vec<Change> {
    let people = reform.people(bus::SEED, first + count).expect("not too many");
    (first..first + count).map(|n| people.life(n).before().change()).collect()
}

/// From a writer to a waiting reader, through the log alone. The changes are of people whom the log has not seen.
pub fn bare(log: &Arc<dyn Log>, changes: &[Change], rate: u64) -> Vec<f64> {
    let set = bus::declare(log, Grants::Declared);
    let records = submitted(&set, changes);
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let from = bus::ends(&**log, &set);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = log.reader(&Principal::router(), &from).expect("it can be read");
            while !stop.load(Ordering::Relaxed) {
                let found = reader.poll(5_000, 8 << 20, Duration::from_millis(100)).expect("it can be read");
                seen.note(found.iter().map(|r| &r.key));
            }
        });
        let due = produce(&**log, &bus::principal("g01-portal"), records, rate);
        seen.wait_for(changes.len());
        stop.store(true, Ordering::Relaxed);
        seen.since(&due)
    })
}

/// Through every role, into a store; likewise.
pub fn through_the_bus(log: &Arc<dyn Log>, changes: &[Change], rate: u64, kind: StoreKind) -> Vec<f64> {
    let set = bus::declare(log, Grants::Declared);
    let records = submitted(&set, changes);
    let dir = tempfile::tempdir().expect("a directory");
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let note = seen.clone();
    let told = move |batch: &Batch| note.note(batch.keys());
    let store = Arc::new(WatchedStore { inner: kind.open(dir.path()), seen: Box::new(told) });
    let mut router = bus::router(log);
    bus::route(&mut router);
    bus::control(log);
    let mut subscriber = Subscriber::open(bus::subscriber_config(log, WHO, store)).expect("the store is good");
    bus::keep(&mut subscriber);
    seen.clear();
    let mut control = Control::new(log.clone(), bus::master());
    thread::scope(|scope| {
        scope.spawn(|| router.run(&stop).expect("the router goes on"));
        scope.spawn(|| subscriber.run(&stop));
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                control.turn(bus::now_ms()).expect("control goes on");
                thread::sleep(Duration::from_millis(100));
            }
        });
        let due = produce(&**log, &bus::principal("g01-portal"), records, rate);
        seen.wait_for(changes.len());
        stop.store(true, Ordering::Relaxed);
        seen.since(&due)
    })
}

/// What was measured, in milliseconds, run by run; and what it is called.
pub type Runs<'a> = (&'a str, &'a mut [Vec<f64>]);

/// Prints and keeps p50 and p99: of each run, the median of the runs.
pub fn report(bench: &Bench, what: &str, (base_name, bare): Runs<'_>, (name_of_own, own): Runs<'_>) {
    for (name, share) in [("p50", 0.50), ("p99", 0.99)] {
        let of = |runs: &mut [Vec<f64>], who: &str| {
            let mut all: Vec<f64> = runs.iter_mut().map(|run| quantile(run, share)).collect();
            for value in &all {
                bench.note(&format!("{what}: {who} {name}"), *value, "ms");
            }
            median(&mut all)
        };
        let (base, own) = (of(bare, base_name), of(own, name_of_own));
        bench.figure(&format!("{what}: {name}, {base_name}"), base, "ms");
        bench.figure(&format!("{what}: {name}, {name_of_own}"), own, "ms");
        bench.figure(&format!("{what}: {name}, ratio"), own / base, "x");
    }
}
