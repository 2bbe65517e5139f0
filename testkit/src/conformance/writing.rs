//! Writers, and what a record may weigh.

use bytes::Bytes;
use kenh_domain::limits::{MAX_LOG_RECORD_BYTES, MAX_RECORD_BYTES};
use kenh_domain::log::{Access, CommitError, NewRecord, Operation, WriteError};
use kenh_domain::names::Principal;

use super::{Subject, at, batch, record, text};
use crate::builders::system;

/// Per partition, what one writer wrote comes in its order, however many write at once, and nothing is lost.
pub fn writers_keep_their_order(subject: &Subject) {
    let topic = subject.make("order", 2);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let (subject_log, topic) = (&subject.log, &topic);
            let mut writer = subject_log.writer(&Principal::control());
            scope.spawn(move || {
                for n in 0..200 {
                    writer.write(vec![record(topic, n % 2, name, &n.to_string())]).unwrap();
                    if n % 50 == 0 {
                        writer.flush().unwrap();
                    }
                }
                writer.flush().unwrap();
            });
        }
    });
    for partition in [0, 1] {
        let found = subject.read(&topic, partition);
        assert_eq!(found.len(), 300);
        for name in ["a", "b", "c"] {
            let values: Vec<_> = found.iter().filter(|r| r.key == name.as_bytes()).map(text).collect();
            assert_eq!(values, (0..200).filter(|n| n % 2 == partition).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

/// Of records that are written together and one of which is denied, none is written.
pub fn a_denied_write_writes_nothing(subject: &Subject) {
    let (own, other) = (subject.make("own", 1), subject.make("other", 1));
    let who = system("G01");
    subject.log.set_access(&own, &[Access { principal: who.clone(), operation: Operation::Write }]).unwrap();
    let mut writer = subject.log.writer(&who);
    let denied = writer.write(vec![record(&own, 0, "k", "1"), record(&other, 0, "k", "1")]);
    let denied = denied.and_then(|()| writer.flush());
    assert!(matches!(&denied, Err(WriteError::Denied { to, .. }) if *to == at(&other, 0)), "{denied:?}");
    writer.write(vec![record(&own, 0, "k", "2")]).unwrap();
    writer.flush().unwrap();
    assert_eq!((subject.values(&own, 0), subject.values(&other, 0)), (vec!["2".to_string()], vec![]));
}

fn heavy(to: &kenh_domain::topic::Topic, bytes: usize) -> NewRecord {
    // No compression may help.
    let value: Vec<u8> = (0..bytes as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    NewRecord { value: Some(Bytes::from(value)), key: Bytes::new(), ..record(to, 0, "", "") }
}

/// A submitted change of the largest size, and a control event of the largest size, pass both ways.
pub fn the_largest_record_passes(subject: &Subject) {
    let topic = subject.make("large", 1);
    for bytes in [MAX_RECORD_BYTES, MAX_LOG_RECORD_BYTES] {
        subject.claim("large").commit(batch(vec![heavy(&topic, bytes)])).unwrap();
        subject.write(vec![heavy(&topic, bytes)]);
    }
    let sizes: Vec<_> = subject.read(&topic, 0).iter().map(|r| r.value.as_ref().map_or(0, Bytes::len)).collect();
    let (small, large) = (MAX_RECORD_BYTES, MAX_LOG_RECORD_BYTES);
    assert_eq!(sizes, [small, small, large, large]);
    assert!(subject.read(&topic, 0).iter().all(|r| r.value == heavy(&topic, r.value.as_ref().unwrap().len()).value));
}

/// One byte more is refused, and the claim goes on.
pub fn a_larger_record_is_refused(subject: &Subject) {
    let topic = subject.make("larger", 1);
    let mut claim = subject.claim("larger");
    let refused = claim.commit(batch(vec![record(&topic, 0, "k", "1"), heavy(&topic, MAX_LOG_RECORD_BYTES + 1)]));
    assert!(matches!(&refused, Err(CommitError::Refused { to, .. }) if *to == at(&topic, 0)), "{refused:?}");
    claim.commit(batch(vec![record(&topic, 0, "k", "2")])).unwrap();
    let mut writer = subject.writer();
    let refused = writer.write(vec![heavy(&topic, MAX_LOG_RECORD_BYTES + 1)]).and_then(|()| writer.flush());
    assert!(matches!(refused, Err(WriteError::Storage(_))), "{refused:?}");
    assert_eq!(subject.values(&topic, 0), ["2"]);
}

/// One commit may touch as many topics as a dataset has grants.
pub fn many_topics_are_committed_at_once(subject: &Subject) {
    let topics: Vec<_> = (0..60).map(|n| subject.make(&format!("wide-{n}"), 1)).collect();
    let mut claim = subject.claim("wide");
    for round in ["1", "2"] {
        let ends = claim.commit(batch(topics.iter().map(|topic| record(topic, 0, "k", round)).collect())).unwrap();
        assert_eq!(ends.len(), topics.len());
    }
    for topic in &topics {
        assert_eq!(subject.values(topic, 0), ["1", "2"]);
    }
}

/// There is no automatic creation, not even for roles.
pub fn what_is_not_there_is_not_written_to(subject: &Subject) {
    let (there, missing) = (subject.make("there", 1), subject.data("nowhere"));
    for to in [at(&missing, 0), at(&there, 1)] {
        let mut writer = subject.writer();
        let record = record(&to.topic, to.partition.0, "k", "v");
        let denied = writer.write(vec![record]).and_then(|()| writer.flush());
        assert!(matches!(&denied, Err(WriteError::Denied { to: named, .. }) if *named == to), "{denied:?}");
    }
    assert!(subject.log.topics().unwrap().iter().all(|spec| spec.topic != missing));
    assert_eq!(subject.values(&there, 0), [""; 0]);
}
