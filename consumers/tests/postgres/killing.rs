//! kill -9 of a process that applies and swaps as fast as it can, and of the server under it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kenh_consumers::store::postgres::PostgresStore;
use kenh_consumers::store::{StoreError, ViewStore};
use kenh_testkit::PATIENCE;
use kenh_testkit::postgres::Cluster;

use crate::kill::{Load, progress};
use crate::server;
use crate::support::card;

const URL: &str = "KENH_TEST_KILLED_URL";
const PASSWORD: &str = "KENH_TEST_KILLED_PASSWORD";
const SCHEMA: &str = "KENH_TEST_KILLED_SCHEMA";
const LOAD: Load = Load { keys: 1_500, padding: 200 };
/// Batches after which a new generation takes over.
const SWAP_EVERY: u64 = 5;
const ROUNDS: u64 = 12;
const SEEDS: u64 = 10;

/// Applies the batch after what is there; gives its number. Every step may fail, and is then looked at again.
fn step(store: &dyn ViewStore) -> Result<u64, StoreError> {
    let infos = store.generations()?;
    let shown = infos.iter().find(|info| info.published);
    for info in infos.iter().filter(|info| !info.published) {
        store.discard(info.generation)?;
    }
    let at = shown.map(|info| (info.generation, info.progress.positions[0].0, info.progress.positions[1].0));
    let n = at.map_or(1, |(_, n, _)| n + 1);
    match at {
        Some((generation, _, base)) if !n.is_multiple_of(SWAP_EVERY) => {
            store.apply(generation, &LOAD.batch(n), &progress(n, base))?;
        }
        _ => {
            let generation = store.begin(&card(1, 2), &["So".to_owned()], &progress(n - 1, n))?;
            store.apply(generation, &LOAD.batch(n), &progress(n, n))?;
            store.publish(generation)?;
        }
    }
    Ok(n)
}

#[test]
#[ignore = "is run, and killed, by the test below"]
fn killed() {
    let var = |name: &str| std::env::var(name);
    let (Ok(url), Ok(password), Ok(schema)) = (var(URL), var(PASSWORD), var(SCHEMA)) else { return };
    let store = server::open_on(&url, &password, &schema).unwrap();
    let mut out = std::io::stdout();
    loop {
        let n = step(&store).unwrap();
        writeln!(out, "applied {n}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_9_of_the_writer_leaves_whole_steps_only() {
    let server = Cluster::shared();
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killing::killed", "--ignored", "--nocapture"])
            .env(URL, server.url())
            .env(PASSWORD, server.password())
            .env(SCHEMA, "killed_writer")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after a number of batches that differs from round to round; the pipe stays open until then.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut lines = lines.filter_map(|line| line.rsplit_once("applied ").map(|(_, n)| n.parse::<u64>().unwrap()));
        let said = lines.by_ref().take(1 + (round * 7 % 6) as usize).last();
        // Nothing is waited for here: the moment of the kill is what differs, from before a batch to behind it.
        std::thread::sleep(Duration::from_millis(round * 11 % 67));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(lines);
        let said = said.expect("the child applied nothing");
        assert!(said > last || round == 0, "round {round} got no further");
        let (shown, _) = LOAD.check(&server::open("killed_writer"));
        // What lies in a generation that is not shown yet is discarded by the next writer, and done again.
        let (_, held, _) = shown.expect("no generation is shown");
        assert!(held >= said, "round {round}: batch {said} was applied, and {held} is the last one shown");
        last = held;
    }
}

/// The server is killed, with everything it runs, at moments that a seed draws, and started again. The writer keeps its
/// store all the while: it tries again and goes on.
#[test]
fn kill_9_of_the_server_loses_nothing_that_was_applied() {
    let server = Cluster::start();
    let store: PostgresStore = server::open_on(server.url(), server.password(), "killed_server").unwrap();
    let (applied, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let failures = AtomicU64::new(0);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tell = tell;
            while !stop.load(Ordering::Acquire) {
                match step(&store) {
                    Ok(n) => {
                        let before = applied.swap(n, Ordering::AcqRel);
                        assert!(n > before, "batch {n} again: {before} was applied and is lost");
                        tell.send(n).unwrap();
                    }
                    Err(StoreError::Storage { .. } | StoreError::InUse(_)) => {
                        failures.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for seed in 0..SEEDS {
            let batches = 2 + seed * 5 % 4;
            for _ in 0..batches {
                told.recv_timeout(PATIENCE).unwrap();
            }
            // The moment of the kill is what differs.
            std::thread::sleep(Duration::from_millis(seed * 13 % 41));
            server.kill();
            server.restart();
            // Whole steps only, seen by a reader beside the writer.
            let deadline = Instant::now() + PATIENCE;
            let said = applied.load(Ordering::Acquire);
            loop {
                match store.generations() {
                    Ok(infos) => {
                        let held = infos.iter().map(|info| info.progress.positions[0].0).max();
                        assert!(held >= Some(said), "seed {seed}: batch {said} was applied, and {held:?} is there");
                        break;
                    }
                    Err(error) => assert!(Instant::now() < deadline, "seed {seed}: {error}"),
                }
            }
            while told.try_recv().is_ok() {}
        }
        stop.store(true, Ordering::Release);
    });
    assert!(failures.load(Ordering::Relaxed) >= SEEDS, "the writer noticed nothing");
    let (shown, held) = LOAD.check(&store);
    assert!(shown.is_some() && held >= applied.load(Ordering::Relaxed) && held > SEEDS * 2);
}
