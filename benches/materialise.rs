//! A subscriber bringing a view of all people into sled and fjall: first the fill (every person once), then going on
//! (every person again, in batches as the log gives them). Baseline: the bare store taking the same last values of the same
//! keys in the same batches, each durable before the next, as the subscriber's are. The subscriber besides reads the log,
//! counts what was inserted, updated and left, and keeps its positions in the same step.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenh_broker::embedded::Fsync;
use kenh_consumers::store::Batch;
use kenh_consumers::subscriber::Subscriber;
use support::bare::Writes;
use support::bus::{self, Grants, StoreKind};
use support::record::WatchedStore;
use support::{Bench, timed};

const PEOPLE: u64 = 20_000;
/// Who receives everything.
const WHO: &str = "G01";

fn main() {
    let bench = Bench::start("materialise");
    let changes = bus::population(&bus::reform(), PEOPLE);
    let (first, second) = changes.split_at(changes.len() / 2);
    let (before, after) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    {
        let log = bus::embedded(before.path(), Fsync::Never);
        let set = bus::declare(&log, Grants::Declared);
        let mut router = bus::router(&log);
        bus::route(&mut router);
        bus::control(&log);
        bus::submit(&*log, &set, "first", first);
        bus::route(&mut router);
        settle(&mut router);
        router.stop();
        drop((router, log));
        bus::copy_dir(before.path(), after.path());
        let log = bus::embedded(after.path(), Fsync::Never);
        let mut router = bus::router(&log);
        bus::submit(&*log, &set, "second", second);
        bus::route(&mut router);
        settle(&mut router);
        router.stop();
    }
    for kind in StoreKind::EMBEDDED {
        let filled = tempfile::tempdir().expect("a directory");
        let batches = follow(before.path(), filled.path(), kind);
        let mut bare = || bare(kind, None, &batches);
        let mut kept = || {
            let dir = tempfile::tempdir().expect("a directory");
            subscribe(before.path(), dir.path(), kind, 0)
        };
        let rows = batches.iter().map(Vec::len).sum::<usize>() as u64;
        bench.pair(
            &format!("{}: fill, {} batches", kind.name(), batches.len()),
            rows,
            ("bare", &mut bare),
            ("subscriber", &mut kept),
        );

        let scratch = tempfile::tempdir().expect("a directory");
        bus::copy_dir(filled.path(), scratch.path());
        let more = follow(after.path(), scratch.path(), kind);
        let mut bare = || self::bare(kind, Some(&batches), &more);
        let mut kept = || {
            let dir = tempfile::tempdir().expect("a directory");
            bus::copy_dir(filled.path(), dir.path());
            subscribe(after.path(), dir.path(), kind, PEOPLE)
        };
        let rows = more.iter().map(Vec::len).sum::<usize>() as u64;
        bench.pair(
            &format!("{}: go on, {} batches", kind.name(), more.len()),
            rows,
            ("bare", &mut bare),
            ("subscriber", &mut kept),
        );
    }
}

/// Lets the router tell how far the views have come.
fn settle(router: &mut kenh_router::Router) {
    while !matches!(router.turn(Duration::from_millis(1_100)).expect("the router goes on"), kenh_router::Turn::Idle) {}
}

/// Brings a store up to what the log holds; answers what was written, batch by batch.
fn follow(log: &Path, store: &Path, kind: StoreKind) -> Vec<Writes> {
    let (log, _dir) = scratch(log);
    let seen: Arc<Mutex<Vec<Writes>>> = Arc::default();
    let note = seen.clone();
    let told = move |batch: &Batch| {
        let writes = batch.changes().filter(|(k, _)| !k.is_empty()).map(|(k, v)| (k.clone(), v.cloned())).collect();
        note.lock().expect("nobody panicked").push(writes);
    };
    let store = Arc::new(WatchedStore { inner: kind.open(store), seen: Box::new(told) });
    let mut subscriber = Subscriber::open(bus::subscriber_config(&log, WHO, store)).expect("the store is good");
    bus::keep(&mut subscriber);
    drop(subscriber);
    let mut batches = std::mem::take(&mut *seen.lock().expect("nobody panicked"));
    batches.retain(|b| !b.is_empty());
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>() as u64, PEOPLE, "every person once");
    batches
}

/// The same, timed until readers see every person, and so many of them updated.
fn subscribe(log: &Path, store: &Path, kind: StoreKind, updated: u64) -> Duration {
    let (log, _dir) = scratch(log);
    let mut subscriber =
        Subscriber::open(bus::subscriber_config(&log, WHO, kind.open(store))).expect("the store is good");
    timed(|| bus::keep_until(&mut subscriber, PEOPLE, updated))
}

/// A log of its own in the state of another.
fn scratch(template: &Path) -> (Arc<dyn kenh_domain::log::Log>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    bus::copy_dir(template, dir.path());
    (bus::embedded(dir.path(), Fsync::Never), dir)
}

/// The bare store taking `batches`, on top of `before`.
fn bare(kind: StoreKind, before: Option<&[Writes]>, batches: &[Writes]) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    let write = support::bare::writer(kind, dir.path());
    for writes in before.into_iter().flatten() {
        write(writes);
    }
    timed(|| batches.iter().for_each(&write))
}
