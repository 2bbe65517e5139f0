//! kill -9 of a process that applies, swaps and discards as fast as it can.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bytes::Bytes;
use kenh_consumers::store::{Batch, Counters, Generation, Progress, ViewStore};
use kenh_domain::filter::Atom;
use kenh_domain::log::Position;

use crate::stores::Open;
use crate::support::{Bus, card, row, rows, rows_of, settle, shown};

const STORE: &str = "KENH_TEST_KILLED_STORE";
const DIR: &str = "KENH_TEST_KILLED_DIR";
/// Enough for a batch to be larger than what a store gathers before it writes to its file: so that a kill can hit the
/// middle of one.
const LOAD: Load = Load { keys: 3_000, padding: 400 };
/// Batches after which a new generation takes over.
const SWAP_EVERY: u64 = 5;
const ROUNDS: u64 = 12;

/// What is applied over and over.
#[derive(Clone, Copy)]
pub struct Load {
    /// Keys of a batch.
    pub keys: u64,
    /// Bytes that each row has beside its key.
    pub padding: usize,
}

impl Load {
    /// Batch `n` writes `n` to most keys and deletes the others, which differ from batch to batch.
    pub fn batch(self, n: u64) -> Batch {
        let mut batch = Batch::default();
        let padding = "7".repeat(self.padding);
        for key in 0..self.keys {
            let name = format!("k{key}");
            let value = (!(key + n).is_multiple_of(3)).then(|| row(&name, Some(&padding), n.try_into().unwrap()));
            batch.push(name.into(), value);
        }
        batch
    }

    /// What a generation holds that began at `base` and has applied up to `n`.
    fn expected(self, base: u64, n: u64) -> (Counters, Vec<(Bytes, Bytes)>) {
        let mut counters = Counters::default();
        let mut rows: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for n in base..=n {
            let batch = self.batch(n);
            let before: Vec<_> = batch.keys().map(|key| rows.get(key).map(Bytes::len)).collect();
            counters = batch.count(counters, before);
            for (key, value) in batch.changes() {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        (counters, rows.into_iter().collect())
    }

    /// Looks at what is left: what is shown with its last batch and its first one, and the last batch that is there.
    pub fn check(self, store: &dyn ViewStore) -> (Option<(Generation, u64, u64)>, u64) {
        let (mut shown, mut last) = (None, 0);
        for info in store.generations().unwrap() {
            let snapshot = store.snapshot(info.generation).unwrap();
            let (n, base) = (info.progress.positions[0].0, info.progress.positions[1].0);
            // Begun, nothing applied yet: the positions are those before the base.
            let (counters, rows) = if n < base { (Counters::default(), Vec::new()) } else { self.expected(base, n) };
            assert!(n >= base || !info.published, "an empty generation is shown");
            assert_eq!(info.counters, counters, "batch {n}");
            assert!(rows_of(&*snapshot) == rows, "the rows are not those of batch {n}");
            let mut indexed = 0;
            let mut count = |_: &[u8], _: &[u8]| {
                indexed += 1;
                std::ops::ControlFlow::Continue(())
            };
            snapshot.find("So", &Atom::Int(n.try_into().unwrap()), None, &mut count).unwrap();
            assert_eq!(indexed, counters.rows, "batch {n}");
            if info.published {
                assert!(shown.replace((info.generation, n, base)).is_none(), "two generations are shown");
            }
            last = last.max(n);
        }
        (shown, last)
    }
}

/// Positions: the last batch, and the first one of the generation.
pub fn progress(n: u64, base: u64) -> Progress {
    Progress { positions: vec![Position(n), Position(base)], reached: vec![None, None], seen_ms: 0 }
}

/// The same, where what was discarded is gone at once.
fn check(store: &dyn ViewStore) -> (Option<(Generation, u64, u64)>, u64) {
    assert!(store.generations().unwrap().len() <= 2, "a discarded generation is still there");
    LOAD.check(store)
}

/// Goes on from what is there until it is killed; says each batch when it has been applied.
fn work(store: &dyn ViewStore) {
    let (shown, last) = check(store);
    let mut current = shown.map(|(generation, ..)| generation);
    let leftovers = store.generations().unwrap().into_iter().filter(|info| Some(info.generation) != current);
    leftovers.for_each(|info| store.discard(info.generation).unwrap());
    let mut base = shown.map_or(last + 1, |(.., base)| base);
    let resumed = shown.map_or(last, |(_, n, _)| n);
    let mut out = std::io::stdout();
    for n in resumed + 1.. {
        let generation = match current {
            Some(generation) if n % SWAP_EVERY != 0 => generation,
            _ => {
                base = n;
                store.begin(&card(1, 2), &["So".to_owned()], &progress(n - 1, n)).unwrap()
            }
        };
        store.apply(generation, &LOAD.batch(n), &progress(n, base)).unwrap();
        if current != Some(generation) {
            store.publish(generation).unwrap();
            current = Some(generation);
        }
        writeln!(out, "applied {n}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
#[ignore = "is run, and killed, by the tests of the stores"]
fn killed() {
    let (Ok(store), Ok(dir)) = (std::env::var(STORE), std::env::var(DIR)) else { return };
    let open: Open = if store == "sled" { crate::stores::sled } else { crate::stores::fjall };
    work(&*open(&PathBuf::from(dir)).unwrap());
}

pub fn kill_9_leaves_whole_steps_only(name: &str, open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed", "--ignored", "--nocapture"])
            .env(STORE, name)
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after a number of batches that differs from round to round. The pipe stays open until then: a process
        // that cannot say what it has done would end by itself.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = lines.filter_map(|line| line.rsplit_once("applied ").map(|(_, n)| n.parse::<u64>().unwrap()));
        let said = lines.by_ref().take(1 + (round * 7 % 11) as usize).last();
        // Nothing is waited for here: the moment of the kill is what differs, from before a batch to behind it.
        std::thread::sleep(std::time::Duration::from_millis(round * 5 % 32));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(lines);
        let said = said.expect("the child applied nothing");
        assert!(said > last || round == 0, "round {round} got no further");
        let (shown, held) = check(&*open(dir.path()).unwrap());
        assert!(shown.is_some());
        assert!(held >= said, "round {round}: batch {said} was applied, and {held} is the last one there");
        last = held;
    }
}

/// Records of the view that the killed subscriber reads: record `n`, the same in every process.
fn record(n: u64) -> (String, Option<Bytes>) {
    let key = format!("k{}", n * 7 % 31);
    let value = (n % 4 != 3).then(|| row(&key, Some("79"), n.try_into().unwrap()));
    (key, value)
}

const RECORDS: u64 = 1_200;

#[test]
#[ignore = "is run, and killed, by the test below"]
fn killed_subscriber() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = crate::stores::sled(&PathBuf::from(dir)).unwrap();
    let read_before = store.generations().unwrap().last().map_or(0, |info| info.progress.positions[0].0);
    // The log is as it was: one partition, record n at position n, and the first log that this process makes.
    let bus = Bus::new(1);
    bus.activate(1);
    let put = |n: u64| {
        let (key, value) = record(n);
        bus.put(1, &key, value);
    };
    (0..read_before).for_each(put);
    let mut subscriber = bus.subscriber(store.clone());
    let mut out = std::io::stdout();
    for n in read_before..RECORDS {
        put(n);
        subscriber.turn(std::time::Duration::ZERO).unwrap();
        writeln!(out, "applied {n}").unwrap();
        out.flush().unwrap();
    }
    settle(&mut subscriber);
    writeln!(out, "finished {RECORDS}").unwrap();
}

#[test]
fn kill_9_of_a_subscriber_loses_nothing_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut rounds = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_subscriber", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut finished = false;
        let mut left = 40 + rounds * 13 % 70;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        for line in lines.by_ref() {
            finished |= line.contains("finished");
            left -= u64::from(line.contains("applied"));
            if left == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(lines);
        rounds += 1;
        if finished {
            break;
        }
        assert!(rounds < 100, "it gets no further");
    }
    assert!(rounds > 5, "it was hardly killed at all");
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut counters = Counters::default();
    for (key, value) in (0..RECORDS).map(record) {
        match (value, model.contains_key(key.as_bytes())) {
            (Some(value), there) => {
                counters.inserted += u64::from(!there);
                counters.updated += u64::from(there);
                model.insert(key.into(), value);
            }
            (None, there) => {
                counters.left += u64::from(there);
                model.remove(key.as_bytes());
            }
        }
    }
    counters.rows = model.len() as u64;
    counters.bytes = model.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    let store = crate::stores::sled(dir.path()).unwrap();
    let info = shown(&*store).unwrap();
    assert_eq!(rows(&*store, info.generation), model.into_iter().collect::<Vec<_>>());
    assert_eq!((info.counters, info.generation), (counters, Generation(1)));
}
