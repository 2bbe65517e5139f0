//! Topics, retention, compaction.

use std::time::Duration;

use kenh_domain::log::{AdminError, NewRecord, Position, ReadError, Retention, TopicSpec};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use super::{Subject, at, batch, read_to, record, skipped, text, tombstone};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A day to which the records of these tests belong.
const THEN_MS: i64 = 20_000 * DAY_MS;

fn dated(topic: &Topic, day: i64, key: &str, value: &str) -> NewRecord {
    NewRecord { timestamp_ms: THEN_MS + day * DAY_MS, ..record(topic, 0, key, value) }
}

fn maintained(subject: &Subject, promise: &str) -> bool {
    if !subject.maintains {
        skipped(promise, "this log maintains itself, at a time of its own");
    }
    subject.maintains
}

/// Records of one key lie in one partition, for ever (invariant 4).
pub fn a_partition_count_never_changes(subject: &Subject) {
    let topic = subject.make("count", 2);
    subject.write(vec![record(&topic, 1, "k", "1")]);
    for wanted in [1, 3] {
        let spec = TopicSpec { topic: topic.clone(), partitions: wanted, retention: Retention::Days(1) };
        match subject.log.create_topic(&spec) {
            Err(AdminError::Partitions { topic: named, is: 2, wanted: w }) => {
                assert_eq!((named, w), (topic.clone(), wanted))
            }
            other => panic!("{other:?}"),
        }
    }
    let spec = subject.log.topics().unwrap().into_iter().find(|spec| spec.topic == topic).unwrap();
    assert_eq!((spec.partitions, spec.retention), (2, Retention::Forever));
    assert_eq!(subject.values(&topic, 1), ["1"]);
}

/// Making what is there is no error, keeps its records and its access list, and takes the retention given.
pub fn making_a_topic_again_changes_its_retention(subject: &Subject) {
    let topic = subject.make("twice", 1);
    let access = [kenh_domain::log::Access {
        principal: crate::builders::system("H29"),
        operation: kenh_domain::log::Operation::Read,
    }];
    subject.log.set_access(&topic, &access).unwrap();
    subject.write(vec![record(&topic, 0, "k", "1")]);
    for retention in [Retention::Days(7), Retention::Compacted { tombstone_days: 3 }, Retention::Forever] {
        assert_eq!(subject.make_kept("twice", 1, retention), topic);
        let spec = subject.log.topics().unwrap().into_iter().find(|spec| spec.topic == topic);
        assert_eq!(spec, Some(TopicSpec { topic: topic.clone(), partitions: 1, retention }));
    }
    assert_eq!(subject.values(&topic, 0), ["1"]);
    assert_eq!(subject.log.access(&topic).unwrap(), access);
}

/// The list is sorted by name and holds what was made, each once.
pub fn topics_are_listed_in_the_order_of_their_names(subject: &Subject) {
    let mut made: Vec<String> = ["b", "a-9", "a", "C"].iter().map(|name| subject.make(name, 1).to_string()).collect();
    let view: Topic = format!("view.H29.z-{}.main.1", subject.tag).parse().unwrap();
    let retention = Retention::Compacted { tombstone_days: 30 };
    subject.log.create_topic(&TopicSpec { topic: view.clone(), partitions: 3, retention }).unwrap();
    made.push(view.to_string());
    made.sort();
    let listed: Vec<String> = subject.log.topics().unwrap().iter().map(|spec| spec.topic.to_string()).collect();
    assert!(listed.is_sorted(), "{listed:?}");
    let ours: Vec<_> = listed.into_iter().filter(|name| made.contains(name)).collect();
    assert_eq!(ours, made);
}

/// What is older than the days of a topic goes, what is younger stays with its position, and the start says so.
pub fn old_records_go_and_the_start_moves(subject: &Subject) {
    if !maintained(subject, "old records go and the start moves") {
        return;
    }
    let topic = subject.make_kept("days", 1, Retention::Days(30));
    let mut claim = subject.claim("days");
    for day in 0..4 {
        claim.commit(batch(vec![dated(&topic, day, "k", &day.to_string())])).unwrap();
    }
    let all = subject.read(&topic, 0);
    let before = subject.bounds(&topic, 0);
    subject.log.maintain(THEN_MS + 30 * DAY_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), ["0", "1", "2", "3"], "they are not older than 30 days yet");
    subject.log.maintain(THEN_MS + 32 * DAY_MS).unwrap();
    let left = subject.read(&topic, 0);
    assert_eq!(left, all[2..]);
    let after = subject.bounds(&topic, 0);
    assert_eq!(after.end, before.end);
    assert!(after.start > all[1].position && after.start <= all[2].position, "{after:?}");
    subject.log.maintain(THEN_MS + 1000 * DAY_MS).unwrap();
    let empty = subject.bounds(&topic, 0);
    assert_eq!((empty.start, empty.end), (before.end, before.end));
    let end = claim.commit(batch(vec![dated(&topic, 1000, "k", "new")])).unwrap()[0].1;
    assert!(end > before.end);
    assert_eq!(subject.values(&topic, 0), ["new"]);
}

/// No maintenance touches a topic that is kept for ever.
pub fn what_is_kept_for_ever_is_kept(subject: &Subject) {
    let topic = subject.make("ever", 1);
    subject.write(vec![dated(&topic, -9_000, "k", "1"), dated(&topic, 0, "k", "2"), tombstone(&topic, 0, "k", 0)]);
    subject.log.maintain(THEN_MS + 30_000 * DAY_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), ["1", "2", "(tombstone)"]);
    assert_eq!(subject.bounds(&topic, 0).start, Position(0));
}

/// Of every key the latest record stays, where it was; readers that were open go on.
pub fn compaction_keeps_the_latest_of_every_key(subject: &Subject) {
    if !maintained(subject, "compaction keeps the latest of every key") {
        return;
    }
    let topic = subject.make_kept("compact", 1, Retention::Compacted { tombstone_days: 30 });
    let mut claim = subject.claim("compact");
    for round in 0..5 {
        let keys = ["a", "b", "c"].iter().take(if round < 3 { 3 } else { 2 });
        let records = keys.map(|key| dated(&topic, 0, key, &format!("{key}{round}"))).collect();
        claim.commit(batch(records)).unwrap();
    }
    let all = subject.read(&topic, 0);
    let mut reader = subject.reader(&[(&topic, 0)]);
    assert_eq!(reader.poll(1, 1 << 20, Duration::ZERO).unwrap().len(), 1);
    for _ in 0..2 {
        subject.log.maintain(THEN_MS).unwrap();
        let left = subject.read(&topic, 0);
        assert_eq!(left.iter().map(text).collect::<Vec<_>>(), ["c2", "a4", "b4"]);
        assert!(left.iter().all(|r| all.contains(r)), "a record changed");
    }
    let end = claim.commit(batch(vec![dated(&topic, 1, "a", "a5")])).unwrap()[0].1;
    let rest = read_to(&mut *reader, &[end]);
    assert_eq!(rest.iter().map(text).collect::<Vec<_>>(), ["c2", "a4", "b4", "a5"]);
    subject.log.maintain(THEN_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), ["c2", "b4", "a5"]);
}

/// A tombstone outlives what it deletes by its days, then goes; a later record of the key stays.
pub fn tombstones_stay_for_their_days(subject: &Subject) {
    if !maintained(subject, "tombstones stay for their days") {
        return;
    }
    let topic = subject.make_kept("tombs", 1, Retention::Compacted { tombstone_days: 30 });
    subject.write(vec![
        dated(&topic, 0, "a", "a0"),
        dated(&topic, 0, "b", "b0"),
        tombstone(&topic, 0, "a", THEN_MS),
        tombstone(&topic, 0, "b", THEN_MS),
        dated(&topic, 0, "b", "b1"),
    ]);
    subject.log.maintain(THEN_MS + 30 * DAY_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), ["(tombstone)", "b1"]);
    subject.log.maintain(THEN_MS + 32 * DAY_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), ["b1"]);
}

/// A reader that retention has overtaken is told so and is not led on silently.
pub fn a_reader_behind_the_start_is_gone(subject: &Subject) {
    if !maintained(subject, "a reader behind the start is gone") {
        return;
    }
    let topic = subject.make_kept("behind", 1, Retention::Days(30));
    subject.write(vec![dated(&topic, 0, "k", "1"), dated(&topic, 0, "k", "2"), dated(&topic, 40, "k", "3")]);
    let old = subject.bounds(&topic, 0).start;
    let mut reader = subject.reader(&[(&topic, 0)]);
    assert_eq!(reader.poll(1, 1 << 20, Duration::ZERO).unwrap().len(), 1);
    subject.log.maintain(THEN_MS + 60 * DAY_MS).unwrap();
    let bounds = subject.bounds(&topic, 0);
    let gone = reader.poll(1, 1 << 20, Duration::ZERO).unwrap_err();
    assert!(matches!(&gone, ReadError::Gone { of, bounds: b, .. } if *of == at(&topic, 0) && *b == bounds), "{gone:?}");
    let gone = subject.log.reader(&Principal::router(), &[(at(&topic, 0), old)]).err();
    assert!(matches!(&gone, Some(ReadError::Gone { position, .. }) if *position == old), "{gone:?}");
}

/// When the last record of a partition goes its end stays, so that no position is given twice.
pub fn an_end_stays_when_the_last_record_goes(subject: &Subject) {
    if !maintained(subject, "an end stays when the last record goes") {
        return;
    }
    let topic = subject.make_kept("last", 1, Retention::Compacted { tombstone_days: 1 });
    subject.write(vec![dated(&topic, 0, "a", "a0"), tombstone(&topic, 0, "a", THEN_MS)]);
    let before = subject.bounds(&topic, 0);
    subject.log.maintain(THEN_MS + 10 * DAY_MS).unwrap();
    assert_eq!(subject.values(&topic, 0), [""; 0]);
    assert_eq!(subject.bounds(&topic, 0).end, before.end);
    subject.write(vec![dated(&topic, 20, "a", "a1")]);
    assert!(subject.read(&topic, 0)[0].position >= before.end);
}
