//! `kill -9` in the middle of commits: each is there whole or not at all, and none that was acknowledged is lost.
//!
//! The test runs itself again as a child process that commits without pause and says what was acknowledged; it kills the
//! child, opens the log, compares, and goes on in the same directory with the next seed.

// The helpers are test code too: they say what they expect by unwrapping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_broker::embedded::{EmbeddedLog, Options};
use kenh_domain::log::{Batch, Log, NewRecord, Position, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

const DIR: &str = "KENH_TEST_KILL_DIR";
const SEEDS: u64 = 10;

/// A step of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn topics() -> [Topic; 3] {
    ["data.a", "data.b", "view.H29.a.main.1"].map(|name| name.parse().unwrap())
}

fn written() -> Topic {
    "in.a.G01".parse().unwrap()
}

/// What commit `n` writes: to every topic at least one record, sometimes a large one, so that journals and tables turn
/// over while the child lives.
fn commit(n: u64) -> Vec<NewRecord> {
    let mut records = Vec::new();
    for (place, topic) in topics().into_iter().enumerate() {
        for nth in 0..=mix(n * 10 + place as u64) % 4 {
            let bytes = if mix(n * 100 + nth).is_multiple_of(5) { 200_000_u64 } else { 40 };
            let mut value = format!("{n}.{nth}.").into_bytes();
            value.extend((0..bytes / 8).flat_map(|at| mix(n ^ (at << 32)).to_be_bytes()));
            records.push(NewRecord {
                to: TopicPartition::new(topic.clone(), (n % 2) as u32),
                timestamp_ms: n as i64,
                key: Bytes::from(n.to_string()),
                value: Some(value.into()),
            });
        }
    }
    records
}

fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, Options::default()).unwrap()
}

fn group() -> Group {
    Group::new("g").unwrap()
}

/// The child: commits and flushes in turn, for ever, and says so after each.
#[test]
fn commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let log = open(dir.as_ref());
    for topic in topics().into_iter().chain([written()]) {
        log.create_topic(&TopicSpec { topic, partitions: 2, retention: Retention::Forever }).unwrap();
    }
    let mut claim = log.claim(&Principal::router(), &group()).unwrap();
    let mut writer = log.writer(&Principal::control());
    let mut n = claim.committed().metadata.parse::<u64>().unwrap_or_default();
    let to = TopicPartition::new(written(), 0);
    loop {
        n += 1;
        let records = commit(n);
        let consumed = vec![(to.clone(), Position(n))];
        claim.commit(Batch { records, consumed, metadata: n.to_string() }).unwrap();
        println!("\ncommitted {n}");
        let value = Some(Bytes::from(n.to_string()));
        writer.write(vec![NewRecord { to: to.clone(), timestamp_ms: 0, key: Bytes::new(), value }]).unwrap();
        writer.flush().unwrap();
        println!("\nflushed {n}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_whole_commits_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=SEEDS {
        let (committed, flushed) = kill_one(dir.path(), seed);
        assert!(committed > 0);
        check(dir.path(), committed, flushed, seed);
    }
}

/// Runs a child until it has said a number of things, and a little longer; gives the last it said of each kind.
fn kill_one(dir: &Path, seed: u64) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commits_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (mut committed, mut flushed) = (0, 0);
    let mut take = |line: &str| {
        let mut words = line.split(' ');
        match (words.next(), words.next().and_then(|n| n.parse().ok())) {
            (Some("committed"), Some(n)) => committed = n,
            (Some("flushed"), Some(n)) => flushed = n,
            _ => return false,
        }
        true
    };
    let wanted = 20 + mix(seed) % 200;
    let mut said = 0;
    while said < wanted {
        said += u64::from(take(&lines.next().expect("the child ended by itself")));
    }
    // Anywhere within a commit, not only at its beginning.
    let until = Instant::now() + Duration::from_micros(mix(seed + 1000) % 3_000);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.for_each(|line| {
        take(&line);
    });
    (committed, flushed)
}

fn check(dir: &Path, committed: u64, flushed: u64, seed: u64) {
    let log = open(dir);
    let claim = log.claim(&Principal::router(), &group()).unwrap();
    let last: u64 = claim.committed().metadata.parse().unwrap();
    assert!(last == committed || last == committed + 1, "seed {seed}: {committed} was acknowledged, {last} is there");
    let consumed = claim.committed().consumed.get(&TopicPartition::new(written(), 0));
    assert_eq!(consumed, Some(&Position(last)), "seed {seed}");
    let all: Vec<NewRecord> = (1..=last).flat_map(commit).collect();
    for topic in topics() {
        for partition in [0, 1] {
            let of = TopicPartition::new(topic.clone(), partition);
            let expected: Vec<_> =
                all.iter().filter(|record| record.to == of).map(|r| (r.key.clone(), r.value.clone())).collect();
            let found = read(&log, &topic, partition);
            assert!(found == expected, "seed {seed}: {topic}/{partition} holds {} records", found.len());
        }
    }
    let found = read(&log, &written(), 0);
    let values: Vec<u64> =
        found.iter().map(|(_, value)| std::str::from_utf8(value.as_ref().unwrap()).unwrap().parse().unwrap()).collect();
    // A child that died between a commit and the flush behind it leaves a gap of one number, never a lost flush.
    assert!(values.is_sorted_by(|a, b| a < b), "seed {seed}");
    assert!(flushed == 0 || values.contains(&flushed), "seed {seed}: {flushed} was flushed and is not there");
    assert!(values.len() as u64 + seed >= last, "seed {seed}: {} of {last} flushes are there", values.len());
}

fn read(log: &EmbeddedLog, topic: &Topic, partition: u32) -> Vec<(Bytes, Option<Bytes>)> {
    let of = TopicPartition::new(topic.clone(), partition);
    let bounds = log.bounds(&Principal::router(), &of).unwrap();
    let mut reader = log.reader(&Principal::router(), &[(of, bounds.start)]).unwrap();
    let mut found = Vec::new();
    while reader.positions()[0] < bounds.end {
        found.extend(reader.poll(1000, 1 << 20, Duration::ZERO).unwrap().into_iter().map(|r| (r.key, r.value)));
    }
    found
}
