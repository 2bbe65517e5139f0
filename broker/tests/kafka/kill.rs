//! The broker is killed with SIGKILL while commits are under way, and started again on its data.
//!
//! `KENH_SEEDS=30` kills it as many times; each kill comes at a moment that its number decides.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kenh_broker::kafka::KafkaLog;
use kenh_domain::log::{Batch, Claim, CommitError, Log as _, Position, ReadError, Record};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use kenh_testkit::kafka::Cluster;

use crate::{at, make, options, record, text};

const SEEDS: u64 = 10;
/// For as long as the broker may need to be back, and the client to notice.
const PATIENCE: Duration = Duration::from_secs(240);

fn seeds() -> u64 {
    std::env::var("KENH_SEEDS").map_or(SEEDS, |text| text.parse().unwrap())
}

fn claim(log: &KafkaLog, group: &Group) -> Box<dyn Claim> {
    let begun = Instant::now();
    loop {
        match log.claim(&Principal::router(), group) {
            Ok(claim) => return claim,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "no claim: {error:?}"),
        }
    }
}

/// What was committed last, by the group's own word.
fn last(claim: &dyn Claim) -> u64 {
    match claim.committed().metadata.as_str() {
        "" => 0,
        text => text.parse().unwrap(),
    }
}

/// An owner as the router is one: commits numbers, and after an unclear outcome starts from what the next claim says.
fn own(log: &KafkaLog, topic: &Topic, group: &Group, told: &mpsc::Sender<u64>, stop: &AtomicBool) -> (u64, u64) {
    let mut unclear = 0;
    let mut owner = claim(log, group);
    while !stop.load(Ordering::Relaxed) {
        let next = last(&*owner) + 1;
        let number = next.to_string();
        let records = vec![record(topic, 0, &number), record(topic, 1, &number)];
        let consumed = vec![(at(topic, 1), Position(next))];
        match owner.commit(Batch { records, consumed, metadata: number }) {
            Ok(_) => told.send(next).unwrap_or_else(|_| stop.store(true, Ordering::Relaxed)),
            Err(CommitError::Unclear(_)) => {
                unclear += 1;
                let dead = owner.commit(Batch::default());
                assert!(matches!(dead, Err(CommitError::Unclear(_))), "an unclear claim went on: {dead:?}");
                drop(owner);
                owner = claim(log, group);
                let now = last(&*owner);
                assert!(now == next || now == next - 1, "after an unclear commit of {next} the group is at {now}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(owner.committed().consumed.get(&at(topic, 1)), Some(&Position(last(&*owner))));
    (last(&*owner), unclear)
}

/// Whoever reads through all kills gets every number once, in order, in both partitions.
#[test]
fn nothing_is_lost_or_doubled_when_the_broker_is_killed_in_mid_commit() {
    let cluster = Cluster::start(1);
    let log = KafkaLog::connect(options(&cluster)).unwrap();
    let topic = make(&log, "killed", 2);
    let group: Group = "killed".parse().unwrap();
    let router = Principal::router();
    let (stop, last_number) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let from = [(at(&topic, 0), Position(0)), (at(&topic, 1), Position(0))];
    let mut reader = log.reader(&router, &from).unwrap();
    let (end, found) = std::thread::scope(|scope| {
        // When this test fails, the others end with it.
        struct Stop<'a>(&'a AtomicBool, &'a AtomicU64);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
                if std::thread::panicking() {
                    self.1.store(0, Ordering::Relaxed);
                }
            }
        }
        let stopping = Stop(&stop, &last_number);
        let (tell, told) = mpsc::channel();
        let owner = scope.spawn({
            let (log, topic, group, stop) = (&log, &topic, &group, &stop);
            move || own(log, topic, group, &tell, stop)
        });
        let reading = scope.spawn(|| {
            let mut found: [Vec<u64>; 2] = Default::default();
            while found.iter().any(|f| (f.len() as u64) < last_number.load(Ordering::Relaxed)) {
                match reader.poll(100, 1 << 20, Duration::from_millis(20)) {
                    Ok(records) => records.iter().for_each(|r| found[r.source].push(text(r).parse().unwrap())),
                    // That the broker is away; the reader goes on where it was.
                    Err(error) => assert!(matches!(error, ReadError::Storage { .. }), "{error}"),
                }
            }
            found
        });
        for seed in 1..=seeds() {
            let begun = Instant::now();
            while told.try_recv().is_ok() {}
            // A few commits in, and a part of one further: the kill falls between any two steps.
            for _ in 0..=seed.wrapping_mul(0x9e37_79b9) % 13 {
                told.recv_timeout(PATIENCE).expect("no commit before a kill");
            }
            let spin = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
            (0..spin).for_each(|n| {
                std::hint::black_box(n);
            });
            cluster.kill(1);
            while told.try_recv().is_ok() {}
            cluster.restart(1);
            told.recv_timeout(PATIENCE).expect("no commit after a restart");
            eprintln!("kill {seed}: {:.1} s", begun.elapsed().as_secs_f32());
        }
        drop(stopping);
        let (end, unclear) = owner.join().unwrap();
        eprintln!("{end} commits, {unclear} unclear outcomes");
        last_number.store(end, Ordering::Relaxed);
        (end, reading.join().unwrap())
    });
    let all: Vec<u64> = (1..=end).collect();
    assert!(found[0] == all && found[1] == all, "read {} and {} of {end} numbers", found[0].len(), found[1].len());
    assert_eq!(last(&*claim(&log, &group)), end);
}

/// Writers outside transactions, likewise: what was flushed before a kill is there once and in order. A record that was in
/// flight is there as well; the seam does not say that it is there only once, and once it was seen twice.
#[test]
fn what_was_flushed_outlives_a_kill() {
    let cluster = Cluster::start(1);
    let log = KafkaLog::connect(options(&cluster)).unwrap();
    let topic = make(&log, "flushed", 1);
    let control = Principal::control();
    let mut writer = log.writer(&control);
    let mut next = 0_u64;
    let mut in_flight = Vec::new();
    for _ in 0..3 {
        for _ in 0..20 {
            writer.write(vec![record(&topic, 0, &next.to_string())]).unwrap();
            next += 1;
        }
        writer.flush().unwrap();
        writer.write(vec![record(&topic, 0, &next.to_string())]).unwrap();
        in_flight.push(next);
        next += 1;
        cluster.kill(1);
        cluster.restart(1);
        writer.flush().unwrap();
    }
    let end = log.bounds(&control, &at(&topic, 0)).unwrap().end;
    let mut reader = log.reader(&control, &[(at(&topic, 0), Position(0))]).unwrap();
    let (begun, mut found) = (Instant::now(), Vec::new());
    while reader.positions()[0] < end {
        found.extend(reader.poll(1_000, 1 << 20, Duration::from_millis(5)).unwrap());
        assert!(begun.elapsed() < PATIENCE, "the reader stays at {:?}, the end is {end}", reader.positions());
    }
    // Whatever the log holds twice, a reader gives no position twice.
    assert!(found.is_sorted_by(|a, b| a.position < b.position), "a position was given twice or went back");
    let mut values: Vec<u64> = found.iter().map(|r| text(r).parse().unwrap()).collect();
    values.dedup_by(|later, earlier| later == earlier && in_flight.contains(later));
    assert_eq!(values, (0..next).collect::<Vec<_>>());
}

/// What a poll answers.
type Polled = Result<Vec<Record>, ReadError>;

/// Nothing comes, since nothing is written: a reader says all the same that the broker has gone, and goes on when it is back.
#[test]
fn an_idle_reader_says_that_the_broker_is_gone() {
    let cluster = Cluster::start(1);
    let log = KafkaLog::connect(options(&cluster)).unwrap();
    let topic = make(&log, "idle", 1);
    let control = Principal::control();
    let mut reader = log.reader(&control, &[(at(&topic, 0), Position(0))]).unwrap();
    let mut until = |what: &str, there: &dyn Fn(&Polled) -> bool| {
        let begun = Instant::now();
        loop {
            let found = reader.poll(10, 1 << 20, Duration::from_millis(100));
            if there(&found) {
                return;
            }
            let fine = matches!(found, Ok(_) | Err(ReadError::Storage { .. }));
            assert!(fine && begun.elapsed() < PATIENCE, "waited for {what}: {found:?}");
        }
    };
    cluster.kill(1);
    until("the loss", &|found| matches!(found, Err(ReadError::Storage { .. })));
    cluster.restart(1);
    let mut writer = log.writer(&control);
    writer.write(vec![record(&topic, 0, "again")]).unwrap();
    writer.flush().unwrap();
    until("the record", &|found| found.as_ref().is_ok_and(|r| r.len() == 1 && text(&r[0]) == "again"));
}
