//! Positions, ends, incarnations.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use kenh_domain::log::Position;

use super::{Subject, at, batch, read_to, record};

/// Within a partition positions rise; gaps are allowed, going back is not.
pub fn positions_rise_and_are_never_given_twice(subject: &Subject) {
    let topic = subject.make("rise", 1);
    let mut claim = subject.claim("rise");
    for round in 0..20 {
        let records = (0..3).map(|n| record(&topic, 0, "k", &format!("{round}.{n}"))).collect();
        if round % 2 == 0 {
            claim.commit(batch(records)).unwrap();
        } else {
            subject.write(records);
        }
    }
    let found = subject.read(&topic, 0);
    assert_eq!(found.len(), 60);
    assert!(found.is_sorted_by(|a, b| a.position < b.position), "a position was given twice or went back");
    assert!(subject.bounds(&topic, 0).end > found[59].position);
    let expected: Vec<String> = (0..20).flat_map(|r| (0..3).map(move |n| format!("{r}.{n}"))).collect();
    assert_eq!(subject.values(&topic, 0), expected);
}

/// A commit gives the end of every partition it wrote to and of no other.
pub fn a_commit_tells_the_end_of_every_partition_it_wrote_to(subject: &Subject) {
    let (a, b) = (subject.make("end-a", 2), subject.make("end-b", 1));
    let mut claim = subject.claim("ends");
    let written = vec![record(&a, 1, "k", "1"), record(&b, 0, "k", "2"), record(&a, 1, "k", "3")];
    let mut ends = claim.commit(batch(written)).unwrap();
    ends.sort();
    let partitions: Vec<_> = ends.iter().map(|(of, _)| of.clone()).collect();
    assert_eq!(partitions, [at(&a, 1), at(&b, 0)]);
    for (of, end) in &ends {
        let last = subject.read(&of.topic, of.partition.0).last().unwrap().position;
        assert!(last < *end, "{of}: the end {end} is not after the last record at {last}");
        assert!(*end <= subject.bounds(&of.topic, of.partition.0).end);
    }
}

/// A flush gives the end of every partition written to since the last one.
pub fn a_flush_tells_the_ends_since_the_last_one(subject: &Subject) {
    let topic = subject.make("flush", 2);
    let mut writer = subject.writer();
    assert_eq!(writer.flush().unwrap(), []);
    for partition in [0, 1] {
        for value in ["1", "2"] {
            writer.write(vec![record(&topic, partition, "k", value)]).unwrap();
        }
        let ends = writer.flush().unwrap();
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!(ends[0].0, at(&topic, partition));
        assert!(ends[0].1 > subject.read(&topic, partition).last().unwrap().position);
    }
    assert_eq!(writer.flush().unwrap(), []);
}

/// Whoever waits until its position has reached an end that it was told of waits for something that comes.
pub fn a_reader_reaches_every_end_it_was_told_of(subject: &Subject) {
    let topic = subject.make("reach", 3);
    let mut claim = subject.claim("reach");
    let mut reader = subject.reader(&[(&topic, 0), (&topic, 1), (&topic, 2)]);
    let mut ends = vec![Position(0); 3];
    for round in 0..5 {
        let records = (0..2).map(|partition| record(&topic, partition, "k", &round.to_string())).collect();
        for (of, end) in claim.commit(batch(records)).unwrap() {
            ends[of.partition.0 as usize] = end;
        }
        assert_eq!(read_to(&mut *reader, &ends).len(), 2);
    }
}

/// Readers never see a commit by halves: whatever end a partition shows, it is one that a commit left.
pub fn an_end_never_lies_within_a_commit(subject: &Subject) {
    let topic = subject.make("half", 1);
    let mut claim = subject.claim("half");
    let mut left = BTreeSet::from([subject.bounds(&topic, 0).end]);
    let done = AtomicBool::new(false);
    let log = &subject.log;
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let router = kenh_domain::names::Principal::router();
                seen.insert(log.bounds(&router, &at(&topic, 0)).unwrap().end);
            }
            seen
        });
        for round in 0..50 {
            let records = (0..40).map(|n| record(&topic, 0, "k", &format!("{round}.{n}"))).collect();
            left.extend(claim.commit(batch(records)).unwrap().into_iter().map(|(_, end)| end));
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(seen.is_subset(&left), "seen within a commit: {:?}", seen.difference(&left).collect::<Vec<_>>());
}

/// The same log says the same incarnation.
pub fn an_incarnation_stays(subject: &Subject) {
    let before = subject.log.incarnation();
    subject.make("stays", 1);
    assert_eq!(subject.log.incarnation(), before);
    assert!(!before.0.is_empty());
}
