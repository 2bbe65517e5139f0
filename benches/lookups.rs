//! Reading a copy of 20,000 people in one thread: one row by key, 100 rows by key, and a search by an indexed field.
//! Baseline: the bare store getting the same rows by key. A look-up besides takes one state of the copy, says how fresh it
//! is, and knows the schema of each row; a search compiles its filter, reads the index and asks the filter again.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use kenh_broker::embedded::Fsync;
use kenh_consumers::copy::Copy;
use kenh_consumers::store::{CopyId, ViewStore};
use kenh_consumers::subscriber::Subscriber;
use kenh_domain::names::View;
use support::bus::{self, Grants, StoreKind};
use support::{Bench, timed};

const PEOPLE: u64 = 20_000;
const LOOKUPS: usize = 100_000;
const SEARCHES: usize = 500;
/// City residents by commune: what a search is for.
const WHO: &str = "G01";

fn main() {
    let bench = Bench::start("lookups");
    let changes = bus::population(&bus::reform(), PEOPLE);
    let dir = tempfile::tempdir().expect("a directory");
    let log = bus::embedded(dir.path(), Fsync::Never);
    let set = bus::declare(&log, Grants::Declared);
    let mut router = bus::router(&log);
    bus::route(&mut router);
    bus::control(&log);
    bus::submit(&*log, &set, "bench", &changes);
    bus::route(&mut router);
    let id = CopyId { dataset: bus::people(), view: View::main() };
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().expect("a directory");
        let store = kind.open(dir.path());
        let mut config = bus::subscriber_config(&log, WHO, store.clone());
        config.indexes = vec![(id.clone(), "NoiOHienTai.MaTinh".into())];
        bus::keep(&mut Subscriber::open(config).expect("the store is good"));
        let copy = Copy::new(store.clone(), id.clone());
        let rows = rows(&*store, &id);
        assert_eq!(rows.len() as u64, PEOPLE, "the copy holds everybody");
        let bare_dir = tempfile::tempdir().expect("a directory");
        let bare = bare(kind, bare_dir.path(), &rows);

        // Scattered and repeatable: steps of a number that shares no factor with the count.
        let asked: Vec<&[u8]> = (0..LOOKUPS).map(|n| &*rows[n * 7_919 % rows.len()].0).collect();
        let mut bare_get = || timed(|| asked.iter().for_each(|key| assert!(bare(key) > 0)));
        let mut get = || {
            timed(|| {
                for key in &asked {
                    black_box(copy.get(key).expect("it is read").expect("it is there"));
                }
            })
        };
        let what = kind.name();
        let lookups = LOOKUPS as u64;
        bench.pair(&format!("{what}: one by key"), lookups, ("bare", &mut bare_get), ("copy", &mut get));
        let mut hundred = || {
            timed(|| {
                for keys in asked.chunks(100) {
                    let (found, _) = copy.lookup(keys).expect("it is read");
                    assert!(found.iter().all(Option::is_some), "they are there");
                }
            })
        };
        bench.pair(&format!("{what}: 100 by key (rows)"), lookups, ("bare", &mut bare_get), ("copy", &mut hundred));

        let found = copy.search("NoiOHienTai.MaTinh == \"79\"", None, 100).expect("a search").rows;
        assert_eq!(found.len(), 100, "a page is full");
        let keys: Vec<Vec<u8>> = found.iter().map(|r| r.key().to_vec()).collect();
        let mut bare_found =
            || timed(|| (0..SEARCHES).for_each(|_| keys.iter().for_each(|key| assert!(bare(key) > 0))));
        let mut search = || {
            timed(|| {
                for _ in 0..SEARCHES {
                    let page = copy.search("NoiOHienTai.MaTinh == \"79\"", None, 100).expect("a search");
                    assert_eq!(page.rows.len(), 100);
                }
            })
        };
        let rows = (SEARCHES * 100) as u64;
        bench.pair(
            &format!("{what}: search by index, pages of 100 (rows)"),
            rows,
            ("bare", &mut bare_found),
            ("copy", &mut search),
        );
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
use support::bare::Get;

fn rows(store: &dyn ViewStore, id: &CopyId) -> Pairs {
    let shown = store.generations().expect("it is read").into_iter().find(|g| g.published && &g.copy() == id);
    let snapshot = store.snapshot(shown.expect("it is shown").generation).expect("it is read");
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    snapshot.scan(None, &mut visit).expect("it is read");
    rows
}

/// The bare store with the same rows; answers a value's length by its key.
fn bare(kind: StoreKind, dir: &Path, rows: &Pairs) -> Get {
    match kind {
        StoreKind::Sled => {
            let db = sled::Config::new().path(dir).cache_capacity(64 << 20).open().expect("sled opens");
            for (key, value) in rows {
                db.insert(key, &**value).expect("sled writes");
            }
            db.flush().expect("sled flushes");
            Box::new(move |key| db.get(key).expect("sled reads").map_or(0, |v| v.len()))
        }
        StoreKind::Fjall => {
            let db = fjall::Database::builder(dir).cache_size(64 << 20).open().expect("fjall opens");
            let keyspace = db.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("a keyspace");
            for (key, value) in rows {
                keyspace.insert(key, value).expect("fjall writes");
            }
            db.persist(fjall::PersistMode::SyncAll).expect("fjall syncs");
            Box::new(move |key| {
                // The keyspace is good for as long as its database.
                let _ = &db;
                keyspace.get(key).expect("fjall reads").map_or(0, |v| v.len())
            })
        }
        StoreKind::Postgres => {
            let writes = rows.iter().map(|(k, v)| (k.clone().into(), Some(v.clone().into()))).collect();
            support::bare::writer(kind, dir)(&writes);
            support::bare::select(dir)
        }
    }
}
