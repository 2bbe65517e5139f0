//! Readers: order, fairness, limits, waiting.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::log::{NewRecord, Position, ReadError, Record};
use kenh_domain::names::Principal;

use super::{Subject, at, batch, read_to, record, text, tombstone};
use crate::PATIENCE;

/// Keys, values and times come back byte for byte; an empty value is not a tombstone.
pub fn records_come_back_as_they_were_written(subject: &Subject) {
    let topic = subject.make("bytes", 1);
    let all: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let with = |timestamp_ms, key: &Bytes, value: Option<&Bytes>| NewRecord {
        to: at(&topic, 0),
        timestamp_ms,
        key: key.clone(),
        value: value.cloned(),
    };
    let empty = Bytes::new();
    let written = [
        with(1, &all, Some(&all)),
        with(1_750_000_000_123, &empty, Some(&all)),
        with(5, &all, Some(&empty)),
        with(4, &all, None),
    ];
    subject.claim("bytes").commit(batch(written.to_vec())).unwrap();
    subject.write(written.to_vec());
    let found: Vec<_> =
        subject.read(&topic, 0).into_iter().map(|r| with(r.timestamp_ms, &r.key, r.value.as_ref())).collect();
    assert!(found == [written.clone(), written].concat(), "{found:?}");
}

/// One reader, several topics and partitions: each in its order, and each record says where it is from.
pub fn a_reader_serves_many_partitions_each_in_order(subject: &Subject) {
    let (a, b) = (subject.make("many-a", 3), subject.make("many-b", 1));
    let sources = [(&b, 0), (&a, 2), (&a, 0), (&a, 1)];
    let mut claim = subject.claim("many");
    for round in 0..10 {
        let records = sources.iter().map(|(topic, p)| record(topic, *p, "k", &format!("{topic}/{p} {round}")));
        claim.commit(batch(records.collect())).unwrap();
    }
    let ends: Vec<Position> = sources.iter().map(|(topic, p)| subject.bounds(topic, *p).end).collect();
    let found = read_to(&mut *subject.reader(&sources), &ends);
    for (source, (topic, p)) in sources.iter().enumerate() {
        let values: Vec<_> = found.iter().filter(|r| r.source == source).map(text).collect();
        assert_eq!(values, (0..10).map(|round| format!("{topic}/{p} {round}")).collect::<Vec<_>>());
        let positions: Vec<_> = found.iter().filter(|r| r.source == source).map(|r| r.position).collect();
        assert!(positions.is_sorted_by(|x, y| x < y));
    }
}

/// A partition with much to read does not keep the others waiting until it is read to its end.
pub fn no_partition_starves_another(subject: &Subject) {
    let (big, small) = (subject.make("big", 2), subject.make("small", 1));
    let many = |partition| (0..5_000).map(move |n| (partition, n.to_string()));
    subject.write(many(0).chain(many(1)).map(|(p, value)| record(&big, p, "k", &value)).collect());
    subject.write(vec![record(&small, 0, "k", "heard")]);
    let mut reader = subject.reader(&[(&big, 0), (&big, 1), (&small, 0)]);
    let mut before = 0;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = reader.poll(100, 1 << 20, Duration::from_millis(100)).unwrap();
        if found.iter().any(|r| r.source == 2) {
            break;
        }
        before += found.len();
        assert!(before < 5_000, "{before} records of the others came first");
        assert!(Instant::now() < deadline, "the small partition was never heard");
    }
}

/// No more records than asked for, about as many bytes, and always at least one record, whole.
pub fn a_poll_keeps_to_its_limits(subject: &Subject) {
    let topic = subject.make("limits", 2);
    let value = "x".repeat(1000);
    subject.write((0..40).map(|n| record(&topic, n % 2, "k", &value)).collect());
    let mut reader = subject.reader(&[(&topic, 0), (&topic, 1)]);
    let poll = |reader: &mut dyn kenh_domain::log::Reader, records, bytes| {
        let found: Vec<Record> = reader.poll(records, bytes, PATIENCE).unwrap();
        assert!(found.iter().all(|r| r.value.as_ref().map(Bytes::len) == Some(1000)), "a record was cut");
        found.len()
    };
    let found = poll(&mut *reader, 7, 1 << 20);
    assert!((1..=7).contains(&found), "{found} records for at most 7");
    let mut rest = 40 - found;
    let found = poll(&mut *reader, 100, 5_000);
    assert!((1..=6).contains(&found), "{found} records of 1,001 bytes for about 5,000 bytes");
    rest -= found;
    let found = poll(&mut *reader, 100, 1);
    assert_eq!(found, 1);
    rest -= found;
    while rest > 0 {
        rest -= poll(&mut *reader, 3, 1 << 20);
    }
}

/// With nothing to read a poll waits as long as it was told and gives an empty list, as often as it is asked.
pub fn an_empty_poll_waits_and_gives_nothing(subject: &Subject) {
    let topic = subject.make("empty", 1);
    subject.write(vec![record(&topic, 0, "k", "1")]);
    let end = subject.bounds(&topic, 0).end;
    let mut reader = subject.log.reader(&Principal::router(), &[(at(&topic, 0), end)]).unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(30)] {
        let began = Instant::now();
        assert_eq!(reader.poll(10, 1 << 20, wait).unwrap(), []);
        assert!(began.elapsed() >= wait);
        assert_eq!(reader.positions(), [end]);
    }
}

fn wakes(subject: &Subject, name: &str, write: impl FnOnce(Vec<NewRecord>)) {
    let topic = subject.make(name, 2);
    let mut reader = subject.reader(&[(&topic, 0), (&topic, 1)]);
    let began = Instant::now();
    let found = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| reader.poll(10, 1 << 20, PATIENCE).unwrap());
        write(vec![record(&topic, 1, "k", "awake")]);
        waiter.join().unwrap()
    });
    assert_eq!(found.iter().map(text).collect::<Vec<_>>(), ["awake"]);
    assert!(began.elapsed() < PATIENCE / 2, "it woke only when its wait was over");
}

/// A poll that waits comes back as soon as a record is there.
pub fn a_waiting_reader_wakes_on_a_write(subject: &Subject) {
    wakes(subject, "wakes", |records| {
        subject.write(records);
    });
}

/// Likewise for what a claim commits.
pub fn a_waiting_reader_wakes_on_a_commit(subject: &Subject) {
    let mut claim = subject.claim("wakes");
    wakes(subject, "wakes", |records| {
        claim.commit(batch(records)).unwrap();
    });
}

/// The end is a position to read from; what lies beyond it is not, and the error says what there is.
pub fn a_position_outside_the_log_is_gone(subject: &Subject) {
    let topic = subject.make("outside", 1);
    subject.claim("outside").commit(batch(vec![record(&topic, 0, "k", "1")])).unwrap();
    let bounds = subject.bounds(&topic, 0);
    let open = |position| subject.log.reader(&Principal::router(), &[(at(&topic, 0), position)]);
    assert!(open(bounds.end).is_ok());
    let beyond = Position(bounds.end.0 + 1);
    match open(beyond).err() {
        Some(ReadError::Gone { of, position, bounds: told }) => {
            assert_eq!((of, position, told), (at(&topic, 0), beyond, bounds));
        }
        other => panic!("{other:?}"),
    }
}

/// The positions of one reader are where another starts: nothing twice, nothing left out.
pub fn a_reader_goes_on_where_another_stopped(subject: &Subject) {
    let topic = subject.make("goes-on", 2);
    let mut claim = subject.claim("goes-on");
    for round in 0..20 {
        let value = round.to_string();
        claim.commit(batch(vec![record(&topic, 0, "k", &value), tombstone(&topic, 1, &value, 1)])).unwrap();
    }
    let ends = [subject.bounds(&topic, 0).end, subject.bounds(&topic, 1).end];
    let mut reader = subject.reader(&[(&topic, 0), (&topic, 1)]);
    let mut found = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while reader.positions() != ends {
        found.extend(reader.poll(3, 1 << 20, Duration::from_millis(50)).unwrap());
        let from: Vec<_> = (0..2).map(|p| (at(&topic, p), reader.positions()[p as usize])).collect();
        reader = subject.log.reader(&Principal::router(), &from).unwrap();
        assert_eq!(reader.positions(), from.iter().map(|(_, at)| *at).collect::<Vec<_>>());
        assert!(Instant::now() < deadline);
    }
    let of = |source| found.iter().filter(move |r| r.source == source);
    let expected: Vec<_> = (0..20).map(|round| round.to_string()).collect();
    assert_eq!(of(0).map(text).collect::<Vec<_>>(), expected);
    assert_eq!(of(1).map(|r| String::from_utf8(r.key.to_vec()).unwrap()).collect::<Vec<_>>(), expected);
}
