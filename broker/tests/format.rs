//! Format 1 is read for ever (invariant 10).
//!
//! `fixtures/format-1/entries.txt` holds the entries of a small log as they were written by the first release: keyspace,
//! key and value in hexadecimal. A log is built of them below [`EmbeddedLog`] and read through it; and the release that
//! writes format 1 still writes these bytes.

// The helpers are test code too: they say what they expect by unwrapping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use kenh_broker::embedded::format::{self, FormatError, TopicNo};
use kenh_broker::embedded::{EmbeddedLog, Options};
use kenh_domain::identity::Serial;
use kenh_domain::log::{
    Access, Batch, Bounds, Log, NewRecord, Operation, Position, Retention, TopicPartition, TopicSpec,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use kenh_testkit::builders::{record, spec, system, topic};

const FIXTURE: &str = include_str!("fixtures/format-1/entries.txt");
/// Set by hand in the fixture: a log makes its own.
const INCARNATION: &str = "00000000-0000-4000-8000-000000000001";

type Entries = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn fixture() -> Entries {
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
    };
    let lines = FIXTURE.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_default().to_string();
        ((next(), unhex(&next())), unhex(&next()))
    };
    lines.map(entry).collect()
}

fn print(entries: &Entries) -> String {
    let mut text = String::new();
    for ((keyspace, key), value) in entries {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        writeln!(text, "{keyspace} {} {}", hex(key), hex(value)).unwrap();
    }
    text
}

fn names() -> [Topic; 3] {
    ["data.a", "view.H29.a.main.1", "data.gone"].map(topic)
}

/// The log of the fixture, written through the seam.
fn write(dir: &Path) {
    let log = EmbeddedLog::open(dir, Options::default()).unwrap();
    let [data, view, gone] = names();
    log.create_topic(&spec(&data, 1)).unwrap();
    let retention = Retention::Compacted { tombstone_days: 30 };
    log.create_topic(&TopicSpec { retention, ..spec(&view, 2) }).unwrap();
    log.create_topic(&TopicSpec { retention: Retention::Days(30), ..spec(&gone, 1) }).unwrap();
    log.set_access(&view, &[Access { principal: system("H29"), operation: Operation::Read }]).unwrap();
    let mut claim = log.claim(&Principal::router(), &Group::new("router-0").unwrap()).unwrap();
    let tombstone = NewRecord { timestamp_ms: 1_750_000_000_000, value: None, ..record(&view, 1, "khóa", "") };
    let records = vec![
        record(&data, 0, "", "một"),
        NewRecord { timestamp_ms: -1, ..record(&view, 1, "khóa", "hai") },
        tombstone,
        record(&gone, 0, "k", "ba"),
    ];
    let consumed = vec![(TopicPartition::new(data.clone(), 0), Position(1))];
    claim.commit(Batch { records, consumed, metadata: "m=1".into() }).unwrap();
    let mut writer = log.writer(&Principal::control());
    writer.write(vec![record(&data, 0, "k", "")]).unwrap();
    writer.flush().unwrap();
    log.delete_topic(&gone).unwrap();
    log.set_serials(&system("H29"), &serials()).unwrap();
}

fn serials() -> BTreeSet<Serial> {
    [2, 3].map(|n| Serial::new(n).unwrap()).into()
}

fn entries(dir: &Path) -> Entries {
    let database = Database::builder(dir.join("store")).open().unwrap();
    let mut entries = Entries::new();
    for name in ["meta", "records"] {
        let keyspace = database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        for entry in keyspace.iter() {
            let (key, value) = entry.into_inner().unwrap();
            entries.insert((name.to_string(), key.to_vec()), value.to_vec());
        }
    }
    entries
}

#[test]
fn this_release_writes_format_1_as_the_first_one_did() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let mut found = entries(dir.path());
    found.insert(("meta".into(), format::INCARNATION.to_vec()), INCARNATION.as_bytes().to_vec());
    let expected = fixture();
    assert!(found == expected, "written:\n{}\nfixture:\n{}", print(&found), print(&expected));
}

#[test]
fn a_log_of_format_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.json"), "{\"format\":1}\n").unwrap();
    {
        let database = Database::builder(dir.path().join("store")).open().unwrap();
        let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        for ((name, key), value) in fixture() {
            keyspace(&name).insert(key, value).unwrap();
        }
        // A process that was killed while it removed the records of a deleted topic.
        let left = format::record_value(&record(&names()[2], 0, "k", "ba"));
        keyspace("records").insert(format::record_key(TopicNo(2), 0, 0), left).unwrap();
        keyspace("meta").insert(format::topic_key(format::DELETED, TopicNo(2)), "").unwrap();
        database.persist(PersistMode::SyncAll).unwrap();
    }
    let log = EmbeddedLog::open(dir.path(), Options::default()).unwrap();
    let [data, view, gone] = names();
    assert_eq!(log.incarnation().0, INCARNATION);
    let retention = Retention::Compacted { tombstone_days: 30 };
    assert_eq!(log.topics().unwrap(), [spec(&data, 1), TopicSpec { retention, ..spec(&view, 2) }]);
    assert_eq!(log.access(&view).unwrap(), [Access { principal: system("H29"), operation: Operation::Read }]);
    assert_eq!(log.serials(&system("H29")).unwrap(), serials());
    assert_eq!(log.serials(&system("H30")).unwrap(), BTreeSet::new());
    let sources = [TopicPartition::new(data.clone(), 0), TopicPartition::new(view.clone(), 1)];
    let from = sources.clone().map(|of| (of, Position(0)));
    let mut reader = log.reader(&Principal::router(), &from).unwrap();
    let found: Vec<_> = reader
        .poll(10, 1 << 20, Duration::ZERO)
        .unwrap()
        .into_iter()
        .map(|r| (r.source, r.position.0, r.timestamp_ms, r.key, r.value))
        .collect();
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let expected = [
        (0, 0, 0, text(""), Some(text("một"))),
        (0, 2, 0, text("k"), Some(text(""))),
        (1, 0, -1, text("khóa"), Some(text("hai"))),
        (1, 1, 1_750_000_000_000, text("khóa"), None),
    ];
    assert!(found == expected);
    assert_eq!(reader.positions(), [Position(3), Position(3)]);
    let claim = log.claim(&Principal::router(), &Group::new("router-0").unwrap()).unwrap();
    assert_eq!(claim.committed().metadata, "m=1");
    assert_eq!(claim.committed().consumed.iter().collect::<Vec<_>>(), [(&sources[0], &Position(1))]);
    log.create_topic(&spec(&gone, 1)).unwrap();
    let bounds = log.bounds(&Principal::router(), &TopicPartition::new(gone, 0)).unwrap();
    assert_eq!(bounds, Bounds { start: Position(3), end: Position(3) });
    drop((claim, reader, log));
    let left = entries(dir.path());
    assert!(!left.keys().any(|(name, key)| name == "records" && key.starts_with(&2_u32.to_be_bytes())));
    assert!(!left.contains_key(&("meta".into(), format::topic_key(format::DELETED, TopicNo(2)))));
}

#[test]
fn a_broken_entry_is_refused_without_its_content() {
    let good = format::record_value(&record(&names()[0], 0, "secret", "secret"));
    assert!(format::read_record(0, 0, &good).is_ok());
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let (kind, length, tombstone) = (changed(0, 2), changed(9, 0xff), changed(0, 1));
    for bad in [&good[..5], &good[..12], &kind, &length, &tombstone, &[]] {
        let error = format::read_record(0, 0, bad).unwrap_err();
        assert_eq!(error, FormatError("a record"));
    }
    assert!(format::read_record_key(&[0; 15]).is_err() && format::read_record_key(&[0; 17]).is_err());
    assert!(format::read_bounds(&[0; 15]).is_err());
    let (start, end) = (2_u64.to_be_bytes(), 1_u64.to_be_bytes());
    assert!(format::read_bounds(&[start, end].concat()).is_err());
    let group = Group::new("g").unwrap();
    let key = format::consumed_key(&group, TopicNo(1), 2);
    assert_eq!(format::read_consumed_key(&key), Ok((group, TopicNo(1), 2)));
    assert!(format::read_consumed_key(&key[..key.len() - 1]).is_err());
    assert!(format::read_topic(b"{}").is_err());
    for (key, value) in [(&b"s"[..], &b"[1]"[..]), (b"s9", b"[1]"), (b"sa", b"[0]"), (b"sa", b"")] {
        assert!(format::read_serials(key, value).is_err());
    }
}
