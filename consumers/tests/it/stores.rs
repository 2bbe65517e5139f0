//! What every store must do, for every store. A further store is one more line at the end.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kenh_consumers::store::fjall::FjallStore;
use kenh_consumers::store::sled::SledStore;
use kenh_consumers::store::{
    Batch, Counters, Generation, GenerationInfo, Progress, Reached, Snapshot, StoreError, ViewStore,
};
use kenh_domain::filter::Atom;
use kenh_domain::frame::Sequence;
use kenh_domain::log::Position;
use kenh_domain::notice::ViewCard;
use kenh_domain::topic::Edition;
use kenh_testkit::disk::SmallDisk;
use proptest::prelude::*;

use crate::memory_store::MemoryStore;
use crate::support::{card, row, rows, rows_of, shown};

pub type Open = fn(&Path) -> Result<Arc<dyn ViewStore>, StoreError>;

pub fn sled(dir: &Path) -> Result<Arc<dyn ViewStore>, StoreError> {
    Ok(Arc::new(SledStore::open(dir)?))
}

pub fn fjall(dir: &Path) -> Result<Arc<dyn ViewStore>, StoreError> {
    Ok(Arc::new(FjallStore::open(dir)?))
}

pub fn progress(position: u64) -> Progress {
    let reached = Reached { sequence: Sequence(position), end: Position(position), clock_ms: 5 };
    Progress { positions: vec![Position(position)], reached: vec![Some(reached)], seen_ms: 9 }
}

pub fn batch<'a>(changes: impl IntoIterator<Item = (&'a str, Option<Bytes>)>) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in changes {
        batch.push(Bytes::copy_from_slice(key.as_bytes()), value);
    }
    batch
}

fn indexes() -> Vec<String> {
    vec!["Tinh".into(), "So".into(), "Nhan".into(), "KhongCo".into()]
}

/// Keys that an index has for a value.
fn found(snapshot: &dyn Snapshot, index: &str, value: &Atom, after: Option<&[u8]>) -> Vec<Bytes> {
    let mut keys = Vec::new();
    snapshot
        .find(index, value, after, &mut |key, _| {
            keys.push(Bytes::copy_from_slice(key));
            ControlFlow::Continue(())
        })
        .unwrap();
    keys
}

fn text(text: &str) -> Atom {
    Atom::Text(text.into())
}

pub fn what_is_applied_is_there_after_reopening(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let generation = store.begin(&card(1, 1), &indexes(), &progress(0)).unwrap();
    assert_eq!(rows(&*store, generation), []);
    let first = batch([("b", Some(row("b", Some("79"), 1))), ("a", Some(row("a", None, 2))), ("c", None)]);
    store.apply(generation, &first, &progress(3)).unwrap();
    let second = batch([("a", None), ("b", Some(row("b", Some("01"), 3))), ("d", Some(row("d", Some("79"), 4)))]);
    let counters = store.apply(generation, &second, &progress(6)).unwrap();
    let size = |key: &str, tinh: &str| (key.len() + row(key, Some(tinh), 1).len()) as u64;
    let expected = Counters { rows: 2, bytes: size("b", "01") + size("d", "79"), inserted: 3, updated: 1, left: 1 };
    assert_eq!(counters, expected);
    store.set_note("n", Some(b"v")).unwrap();
    drop(store);

    let store = open(dir.path()).unwrap();
    let info = &store.generations().unwrap()[0];
    assert_eq!((info.generation, info.published, &*info.card), (generation, false, &card(1, 1)));
    assert_eq!(info.indexes, ["So", "Tinh"], "arrays and fields that are not there are not indexed");
    assert_eq!((&info.progress, info.counters), (&progress(6), expected));
    let expected = [("b", row("b", Some("01"), 3)), ("d", row("d", Some("79"), 4))].map(|(k, v)| (Bytes::from(k), v));
    assert_eq!(rows(&*store, generation), expected);
    let snapshot = store.snapshot(generation).unwrap();
    assert_eq!(
        snapshot.get(&[b"d", b"a", b"b"]).unwrap(),
        [Some(expected[1].1.clone()), None, Some(expected[0].1.clone())]
    );
    assert_eq!(found(&*snapshot, "Tinh", &text("79"), None), ["d"]);
    assert_eq!(found(&*snapshot, "Tinh", &text("01"), None), ["b"]);
    assert!(found(&*snapshot, "Tinh", &Atom::Null, None).is_empty(), "an entry of a row that has gone");
    drop(snapshot);
    assert_eq!(store.note("n").unwrap().as_deref(), Some(&b"v"[..]));
    store.set_note("n", None).unwrap();
    assert_eq!(store.note("n").unwrap(), None);
}

pub fn an_index_finds_in_key_order_from_a_cursor(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let generation = store.begin(&card(1, 1), &indexes(), &progress(0)).unwrap();
    let long = "x".repeat(300);
    let rows = batch([
        ("a", Some(row("a", None, 1))),
        ("b", Some(row("b", Some("7"), 1))),
        ("c", Some(row("c", Some("79"), 1))),
        ("d", Some(row("d", Some("79"), -1))),
        ("e", Some(row("e", Some(&long), 1))),
        ("f", Some(row("f", Some("79"), 1))),
    ]);
    store.apply(generation, &rows, &progress(1)).unwrap();
    let snapshot = store.snapshot(generation).unwrap();
    assert_eq!(found(&*snapshot, "Tinh", &text("79"), None), ["c", "d", "f"]);
    assert_eq!(found(&*snapshot, "Tinh", &text("79"), Some(b"c")), ["d", "f"]);
    assert_eq!(found(&*snapshot, "Tinh", &text("7"), None), ["b"], "a longer value that starts alike");
    assert_eq!(found(&*snapshot, "Tinh", &text(&long), None), ["e"]);
    assert_eq!(found(&*snapshot, "Tinh", &Atom::Null, None), ["a"]);
    assert_eq!(found(&*snapshot, "So", &Atom::Int(-1), None), ["d"]);
    let refused = snapshot.find("Ma", &text("a"), None, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(StoreError::Refused(_))));
}

pub fn a_generation_takes_the_place_of_another_in_one_step(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let old = store.begin(&card(1, 1), &indexes(), &progress(0)).unwrap();
    store.apply(old, &batch([("a", Some(row("a", None, 1)))]), &progress(1)).unwrap();
    store.publish(old).unwrap();
    store.publish(old).unwrap();
    let other = ViewCard { view: kenh_domain::names::View::new("phu").unwrap(), ..card(1, 1) };
    let other = store.begin(&other, &[], &progress(0)).unwrap();
    store.publish(other).unwrap();
    let new = store.begin(&card(2, 1), &indexes(), &progress(0)).unwrap();
    store.apply(new, &batch([("b", Some(row("b", None, 1)))]), &progress(1)).unwrap();
    let seen = |store: &dyn ViewStore| -> Vec<(Generation, bool)> {
        store.generations().unwrap().iter().map(|info| (info.generation, info.published)).collect()
    };
    assert_eq!(seen(&*store), [(old, true), (other, true), (new, false)]);
    store.publish(new).unwrap();
    assert_eq!(seen(&*store), [(other, true), (new, true)], "the copy of another view has nothing to do with it");
    assert!(matches!(store.snapshot(old).map(drop), Err(StoreError::Missing(_))));
    assert!(matches!(store.apply(old, &Batch::default(), &progress(9)), Err(StoreError::Missing(_))));
    assert!(matches!(store.publish(old), Err(StoreError::Missing(_))));
    store.discard(old).unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(seen(&*store), [(other, true), (new, true)]);
    assert_eq!(rows(&*store, new).len(), 1);
    let next = store.begin(&card(3, 1), &[], &progress(0)).unwrap();
    assert!(next > new, "a number is never used twice");
    store.discard(new).unwrap();
    assert_eq!(seen(&*store), [(other, true), (next, false)]);
    drop(store);
    assert!(open(dir.path()).unwrap().begin(&card(3, 1), &[], &progress(0)).unwrap() > next);
}

pub fn a_card_is_renewed_in_place_and_only_for_the_same_rows(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let generation = store.begin(&card(1, 1), &[], &progress(0)).unwrap();
    let renewed = ViewCard { grant: kenh_domain::names::GrantId::new("grant-2").unwrap(), ..card(1, 1) };
    store.set_card(generation, &renewed).unwrap();
    assert_eq!(*store.snapshot(generation).unwrap().info().card, renewed);
    let other = ViewCard { edition: Edition(2), ..card(1, 1) };
    assert!(matches!(store.set_card(generation, &other), Err(StoreError::Refused(_))));
    let no_schema = ViewCard { schema: "{".into(), ..card(1, 1) };
    assert!(matches!(store.begin(&no_schema, &[], &progress(0)), Err(StoreError::Refused(_))));
}

/// A writer moves all rows at once, again and again; a reader never sees some moved and some not, nor rows of one state
/// with counters or positions of another.
pub fn a_snapshot_is_one_state(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let generation = store.begin(&card(1, 1), &indexes(), &progress(0)).unwrap();
    let keys: Vec<String> = (0..50).map(|i| format!("k{i}")).collect();
    let write = |n: u64| {
        let so = i64::try_from(n).unwrap();
        let records = keys.iter().map(|key| (key.as_str(), Some(row(key, Some("79"), so))));
        store.apply(generation, &batch(records), &progress(n)).unwrap();
    };
    write(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (2..60).for_each(write);
            done.store(true, Ordering::Release);
        });
        let mut states = std::collections::BTreeSet::new();
        loop {
            // Asked before looking, so that the last state is looked at as well.
            let last = done.load(Ordering::Acquire);
            let snapshot = store.snapshot(generation).unwrap();
            let n = snapshot.info().progress.positions[0].0;
            assert_eq!(snapshot.info().counters.updated, (n - 1) * 50);
            let so = i64::try_from(n).unwrap();
            let rows = rows_of(&*snapshot);
            assert!(rows.iter().all(|(key, value)| *value == row(std::str::from_utf8(key).unwrap(), Some("79"), so)));
            assert_eq!(found(&*snapshot, "So", &Atom::Int(so), None).len(), 50);
            states.insert(n);
            if last {
                break;
            }
        }
        assert_eq!(states.last(), Some(&59));
    });
}

pub fn a_second_process_is_refused(open: Open) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::InUse(_))), "two writers would undo each other's work");
    drop(store);
    open(dir.path()).unwrap();
}

/// One step of the property below.
#[derive(Debug, Clone)]
enum Op {
    Begin { edition: u32 },
    Apply { which: usize, changes: Vec<(u8, Option<(u8, u8)>)> },
    Publish { which: usize },
    Discard { which: usize },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let change = (0..6_u8, prop::option::of((0..3_u8, 0..3_u8)));
    prop_oneof![
        2 => (1..3_u32).prop_map(|edition| Op::Begin { edition }),
        8 => (any::<usize>(), prop::collection::vec(change, 0..8))
            .prop_map(|(which, changes)| Op::Apply { which, changes }),
        1 => any::<usize>().prop_map(|which| Op::Publish { which }),
        1 => any::<usize>().prop_map(|which| Op::Discard { which }),
        1 => Just(Op::Reopen),
    ]
}

/// Everything that can be seen of a store.
type Seen = Vec<(GenerationInfo, Vec<(Bytes, Bytes)>, BTreeMap<String, Vec<Bytes>>)>;

fn everything(store: &dyn ViewStore) -> Seen {
    let of = |info: GenerationInfo| {
        let snapshot = store.snapshot(info.generation).unwrap();
        assert_eq!(*snapshot.info(), info);
        let mut entries = BTreeMap::new();
        for value in [Atom::Null, text("0"), text("1"), text("2")] {
            entries.insert(format!("{value:?}"), found(&*snapshot, "Tinh", &value, None));
        }
        (info, rows_of(&*snapshot), entries)
    };
    store.generations().unwrap().into_iter().map(of).collect()
}

pub fn it_does_what_the_plainest_store_does(open: Open) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..40))| {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).unwrap();
        let oracle = MemoryStore::default();
        let made = |which: usize, oracle: &MemoryStore| {
            let all = oracle.generations().unwrap();
            (!all.is_empty()).then(|| all[which % all.len()].generation)
        };
        for (n, op) in ops.into_iter().enumerate() {
            let n = n as u64;
            match op {
                Op::Begin { edition } => {
                    let indexes = ["Tinh".to_owned()];
                    let begun = store.begin(&card(edition, 1), &indexes, &progress(n)).unwrap();
                    prop_assert_eq!(begun, oracle.begin(&card(edition, 1), &indexes, &progress(n)).unwrap());
                }
                Op::Apply { which, changes } => {
                    let Some(generation) = made(which, &oracle) else { continue };
                    let mut batch = Batch::default();
                    for (key, value) in changes {
                        let key = format!("k{key}");
                        let value = value.map(|(tinh, so)| {
                            row(&key, (tinh > 0).then(|| tinh.to_string()).as_deref(), so.into())
                        });
                        batch.push(key.into(), value);
                    }
                    let counters = store.apply(generation, &batch, &progress(n)).unwrap();
                    prop_assert_eq!(counters, oracle.apply(generation, &batch, &progress(n)).unwrap());
                }
                Op::Publish { which } => {
                    let Some(generation) = made(which, &oracle) else { continue };
                    store.publish(generation).unwrap();
                    oracle.publish(generation).unwrap();
                }
                Op::Discard { which } => {
                    let Some(generation) = made(which, &oracle) else { continue };
                    store.discard(generation).unwrap();
                    oracle.discard(generation).unwrap();
                }
                Op::Reopen => {
                    drop(store);
                    store = open(dir.path()).unwrap();
                }
            }
            prop_assert_eq!(everything(&*store), everything(&oracle));
        }
        let _ = shown(&*store);
    });
}

#[test]
fn a_store_of_a_newer_release_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let raw = ::sled::open(dir.path()).unwrap();
    raw.insert([0], &2_u32.to_be_bytes()).unwrap();
    raw.insert(b"later", b"kept").unwrap();
    raw.flush().unwrap();
    drop(raw);
    assert!(matches!(sled(dir.path()), Err(StoreError::Newer { found: 2 })));

    let dir = tempfile::tempdir().unwrap();
    let raw = ::fjall::Database::builder(dir.path()).open().unwrap();
    let keyspace = raw.keyspace("copies", ::fjall::KeyspaceCreateOptions::default).unwrap();
    keyspace.insert([0], 2_u32.to_be_bytes()).unwrap();
    drop((keyspace, raw));
    assert!(matches!(fjall(dir.path()), Err(StoreError::Newer { found: 2 })));

    // Something else's directory is not taken for an empty one.
    let dir = tempfile::tempdir().unwrap();
    let raw = ::sled::open(dir.path()).unwrap();
    raw.insert(b"other", b"data").unwrap();
    drop(raw);
    assert!(matches!(sled(dir.path()), Err(StoreError::Damaged { .. })));
}

/// A store as format 1 has it, key by key: it can be read for ever.
#[test]
fn a_store_in_format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let raw = ::sled::open(dir.path()).unwrap();
    for line in include_str!("format-1.txt").lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once(' ').unwrap();
        let key: Vec<u8> =
            (0..key.len() / 2).map(|i| u8::from_str_radix(&key[2 * i..2 * i + 2], 16).unwrap()).collect();
        let value = match value.strip_prefix("0x") {
            None => value.as_bytes().to_vec(),
            Some(hex) => (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect(),
        };
        raw.insert(key, value).unwrap();
    }
    raw.flush().unwrap();
    drop(raw);

    // What this release writes is, byte for byte, what the fixture holds.
    let written = {
        let dir = tempfile::tempdir().unwrap();
        let store = sled(dir.path()).unwrap();
        write_fixture(&*store);
        drop(store);
        dump(dir.path())
    };
    assert_eq!(dump(dir.path()), written);

    let store = sled(dir.path()).unwrap();
    let infos = store.generations().unwrap();
    assert_eq!(infos.len(), 1);
    let info = &infos[0];
    assert_eq!((info.generation, info.published, &*info.card), (Generation(1), true, &card(1, 1)));
    assert_eq!((&info.progress, info.counters.rows), (&progress(3), 2));
    let expected = [("a", row("a", None, 2)), ("b", row("b", Some("79"), 1))].map(|(k, v)| (Bytes::from(k), v));
    assert_eq!(rows(&*store, Generation(1)), expected);
    assert_eq!(found(&*store.snapshot(Generation(1)).unwrap(), "Tinh", &Atom::Null, None), ["a"]);
    assert_eq!(store.note("n").unwrap().as_deref(), Some(&b"note"[..]));
}

fn write_fixture(store: &dyn ViewStore) {
    let generation = store.begin(&card(1, 1), &["Tinh".into(), "So".into()], &progress(0)).unwrap();
    let rows = batch([("b", Some(row("b", Some("79"), 1))), ("a", Some(row("a", None, 2)))]);
    store.apply(generation, &rows, &progress(3)).unwrap();
    store.publish(generation).unwrap();
    store.set_note("n", Some(b"note")).unwrap();
}

/// Everything in a store, as the fixture writes it.
fn dump(dir: &Path) -> String {
    let raw = loop {
        // Threads of a store that was just closed let go of it a little later.
        if let Ok(raw) = ::sled::open(dir) {
            break raw;
        }
        std::thread::yield_now();
    };
    let mut out = String::new();
    for item in raw.iter() {
        let (key, value) = item.unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let value = if value.starts_with(b"{") {
            String::from_utf8(value.to_vec()).unwrap()
        } else {
            format!("0x{}", hex(&value))
        };
        out += &format!("{} {value}\n", hex(&key));
    }
    out
}

#[test]
#[ignore = "prints the fixture of the present format; for a new one"]
fn print_the_fixture() {
    let dir = tempfile::tempdir().unwrap();
    let store = sled(dir.path()).unwrap();
    write_fixture(&*store);
    drop(store);
    println!("{}", dump(dir.path()));
}

/// Rows wait for room, and leave some; what removes rows does not wait.
pub fn a_full_disk_takes_no_rows_and_goes_on_when_there_is_room(open: Open) {
    let disk = SmallDisk::new(96);
    let store = open(disk.path()).unwrap();
    let generations = [1, 2].map(|edition| store.begin(&card(edition, 1), &[], &progress(0)).unwrap());
    let first = batch([("a", Some(row("a", None, 1)))]);
    for generation in generations {
        store.apply(generation, &first, &progress(1)).unwrap();
    }
    store.probe().unwrap();
    disk.fill(32 << 20);
    assert!(store.probe().is_err());
    let second = batch([("a", None), ("b", Some(row("b", None, 2)))]);
    let refused = store.apply(generations[0], &second, &progress(2));
    let Err(StoreError::Storage { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("65 are needed: make room"), "{source}");
    assert_eq!(store.generations().unwrap()[0].progress, progress(1));
    assert_eq!(rows(&*store, generations[0]), [("a".into(), row("a", None, 1))]);
    store.discard(generations[1]).unwrap();
    store.set_note("n", Some(b"v")).unwrap();
    disk.empty();
    store.probe().unwrap();
    store.apply(generations[0], &second, &progress(2)).unwrap();
    assert_eq!(rows(&*store, generations[0]), [("b".into(), row("b", None, 2))]);
}

macro_rules! conformance {
    ($($store:ident)*) => {
        $(
            mod $store {
                use super::$store as open;

                #[test]
                fn what_is_applied_is_there_after_reopening() {
                    super::what_is_applied_is_there_after_reopening(open);
                }

                #[test]
                fn an_index_finds_in_key_order_from_a_cursor() {
                    super::an_index_finds_in_key_order_from_a_cursor(open);
                }

                #[test]
                fn a_generation_takes_the_place_of_another_in_one_step() {
                    super::a_generation_takes_the_place_of_another_in_one_step(open);
                }

                #[test]
                fn a_card_is_renewed_in_place_and_only_for_the_same_rows() {
                    super::a_card_is_renewed_in_place_and_only_for_the_same_rows(open);
                }

                #[test]
                fn a_snapshot_is_one_state() {
                    super::a_snapshot_is_one_state(open);
                }

                #[test]
                fn a_second_process_is_refused() {
                    super::a_second_process_is_refused(open);
                }

                #[test]
                fn a_full_disk_takes_no_rows_and_goes_on_when_there_is_room() {
                    super::a_full_disk_takes_no_rows_and_goes_on_when_there_is_room(open);
                }

                #[test]
                fn it_does_what_the_plainest_store_does() {
                    super::it_does_what_the_plainest_store_does(open);
                }

                #[test]
                fn kill_9_leaves_whole_steps_only() {
                    crate::kill::kill_9_leaves_whole_steps_only(stringify!($store), open);
                }
            }
        )*
    };
}

conformance! { sled fjall }
