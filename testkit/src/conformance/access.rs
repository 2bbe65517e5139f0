//! Principals, access lists, deleted topics.

use std::time::{Duration, Instant};

use kenh_domain::log::{Access, AdminError, Operation, Position, ReadError, Retention, TopicSpec, WriteError};
use kenh_domain::names::Principal;

use super::{Subject, at, batch, record};
use crate::PATIENCE;
use crate::builders::system;

fn may(principal: &Principal, operation: Operation) -> Access {
    Access { principal: principal.clone(), operation }
}

/// Default deny; a line for reading allows no writing, nor the other way round, nor anything to anyone else.
pub fn nobody_reads_or_writes_unless_the_list_says_so(subject: &Subject) {
    let topic = subject.make("list", 1);
    let (reads, writes, none) = (system("Reads"), system("Writes"), system("None"));
    subject.log.set_access(&topic, &[may(&reads, Operation::Read), may(&writes, Operation::Write)]).unwrap();
    let readable = |who: &Principal| {
        let bounds = subject.log.bounds(who, &at(&topic, 0)).is_ok();
        let reader = subject.log.reader(who, &[(at(&topic, 0), Position(0))]).is_ok();
        assert_eq!(bounds, reader);
        bounds
    };
    let writable = |who: &Principal| {
        let mut writer = subject.log.writer(who);
        writer.write(vec![record(&topic, 0, "k", "v")]).and_then(|()| writer.flush()).is_ok()
    };
    let found: Vec<_> = [&reads, &writes, &none, &Principal::router(), &Principal::control()]
        .iter()
        .map(|who| (readable(who), writable(who)))
        .collect();
    assert_eq!(found, [(true, false), (false, true), (false, false), (true, true), (true, true)]);
    assert_eq!(subject.values(&topic, 0), ["v"; 3]);
}

/// Nobody learns what exists: an error names what was asked for, and nothing else.
pub fn denied_and_missing_look_the_same(subject: &Subject) {
    let (there, missing) = (subject.make("there", 1), subject.data("nowhere"));
    let who = system("H29");
    for to in [at(&there, 0), at(&there, 7), at(&missing, 0)] {
        let denied = subject.log.bounds(&who, &to).unwrap_err();
        assert!(matches!(&denied, ReadError::Denied { principal, of } if *principal == who && *of == to), "{denied:?}");
        let denied = subject.log.reader(&who, &[(to.clone(), Position(3))]).err().unwrap();
        assert!(matches!(&denied, ReadError::Denied { principal, of } if *principal == who && *of == to), "{denied:?}");
        let mut writer = subject.log.writer(&who);
        let record = record(&to.topic, to.partition.0, "k", "v");
        let denied = writer.write(vec![record]).and_then(|()| writer.flush()).unwrap_err();
        assert!(matches!(&denied, WriteError::Denied { principal, to: named } if *principal == who && *named == to));
    }
    assert_eq!(subject.values(&there, 0), [""; 0]);
}

/// The list given is the list in force; nothing of the one before stays.
pub fn an_access_list_is_replaced_as_a_whole(subject: &Subject) {
    let topic = subject.make("whole", 1);
    let (a, b) = (system("A"), system("B"));
    assert_eq!(subject.log.access(&topic).unwrap(), []);
    subject.log.set_access(&topic, &[may(&b, Operation::Write), may(&a, Operation::Read)]).unwrap();
    let listed = subject.log.access(&topic).unwrap();
    assert_eq!(listed, [may(&a, Operation::Read), may(&b, Operation::Write)]);
    subject.log.set_access(&topic, &[may(&b, Operation::Read)]).unwrap();
    assert_eq!(subject.log.access(&topic).unwrap(), [may(&b, Operation::Read)]);
    assert!(subject.log.bounds(&a, &at(&topic, 0)).is_err());
    assert!(subject.log.bounds(&b, &at(&topic, 0)).is_ok());
    let mut writer = subject.log.writer(&b);
    assert!(writer.write(vec![record(&topic, 0, "k", "v")]).and_then(|()| writer.flush()).is_err());
}

/// A reader opened while access stood is denied by the first poll after it has ended.
pub fn an_open_reader_is_denied_when_its_access_ends(subject: &Subject) {
    let topic = subject.make("open", 1);
    let who = system("H29");
    subject.log.set_access(&topic, &[may(&who, Operation::Read)]).unwrap();
    subject.write(vec![record(&topic, 0, "k", "1"), record(&topic, 0, "k", "2")]);
    let start = subject.bounds(&topic, 0).start;
    let mut reader = subject.log.reader(&who, &[(at(&topic, 0), start)]).unwrap();
    assert_eq!(reader.poll(1, 1 << 20, PATIENCE).unwrap().len(), 1);
    subject.log.set_access(&topic, &[]).unwrap();
    let denied = reader.poll(1, 1 << 20, Duration::ZERO).unwrap_err();
    assert!(matches!(denied, ReadError::Denied { .. }), "{denied:?}");
}

/// Waiting is no way to keep access.
pub fn a_waiting_reader_is_denied_when_its_access_ends(subject: &Subject) {
    let topic = subject.make("waits", 1);
    let who = system("H29");
    subject.log.set_access(&topic, &[may(&who, Operation::Read)]).unwrap();
    let start = subject.bounds(&topic, 0).start;
    let mut reader = subject.log.reader(&who, &[(at(&topic, 0), start)]).unwrap();
    let began = Instant::now();
    let answer = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| reader.poll(1, 1 << 20, PATIENCE));
        subject.log.set_access(&topic, &[]).unwrap();
        waiter.join().unwrap()
    });
    assert!(matches!(answer, Err(ReadError::Denied { .. })), "{answer:?}");
    assert!(began.elapsed() < PATIENCE / 2, "it was denied only when its wait was over");
}

/// A list belongs to a topic.
pub fn an_access_list_needs_a_topic(subject: &Subject) {
    let missing = subject.data("nowhere");
    let error = subject.log.set_access(&missing, &[]).unwrap_err();
    assert!(matches!(&error, AdminError::Missing(topic) if *topic == missing), "{error:?}");
    let error = subject.log.access(&missing).unwrap_err();
    assert!(matches!(&error, AdminError::Missing(topic) if *topic == missing), "{error:?}");
}

/// Deleting takes records and access away at once, is no error twice, and leaves other topics alone.
pub fn a_deleted_topic_is_denied_to_its_readers(subject: &Subject) {
    let (gone, stays) = (subject.make("gone", 1), subject.make("stays", 1));
    for topic in [&gone, &stays] {
        subject.write(vec![record(topic, 0, "k", "1")]);
    }
    let mut reader = subject.reader(&[(&gone, 0)]);
    subject.log.delete_topic(&gone).unwrap();
    subject.log.delete_topic(&gone).unwrap();
    let denied = reader.poll(1, 1 << 20, Duration::ZERO).unwrap_err();
    assert!(matches!(denied, ReadError::Denied { .. }), "{denied:?}");
    assert!(subject.log.bounds(&Principal::router(), &at(&gone, 0)).is_err());
    assert!(matches!(subject.log.access(&gone), Err(AdminError::Missing(_))));
    assert!(subject.log.topics().unwrap().iter().all(|spec| spec.topic != gone));
    assert_eq!(subject.values(&stays, 0), ["1"]);
    let refused = subject.claim("gone").commit(batch(vec![record(&gone, 0, "k", "2")]));
    assert!(refused.is_err());
}

/// A topic made again under a name is empty, open to nobody, and gives out no position that the old one had, unless the
/// log shows a new incarnation. A log that cannot promise this does not make it again.
pub fn a_topic_made_again_gives_out_no_old_position(subject: &Subject) {
    let topic = subject.make("again", 1);
    let who = system("H29");
    let mut ever = std::collections::HashSet::new();
    for round in ["first", "second", "third"] {
        let incarnation = subject.log.incarnation();
        subject.log.set_access(&topic, &[may(&who, Operation::Read)]).unwrap();
        subject.claim("again").commit(batch(vec![record(&topic, 0, "k", round)])).unwrap();
        subject.write(vec![record(&topic, 0, "k", round)]);
        let found = subject.read(&topic, 0);
        assert_eq!(found.iter().map(super::text).collect::<Vec<_>>(), [round; 2]);
        let old_end = subject.bounds(&topic, 0).end;
        let fresh = found.iter().all(|r| ever.insert((incarnation.clone(), r.position)));
        assert!(fresh, "a position was given twice");
        subject.log.delete_topic(&topic).unwrap();
        let retention = Retention::Forever;
        let again = subject.log.create_topic(&TopicSpec { topic: topic.clone(), partitions: 1, retention });
        if !subject.remakes {
            assert!(matches!(again, Err(AdminError::Storage(_))), "{again:?}");
            assert!(matches!(subject.log.access(&topic), Err(AdminError::Missing(_))));
            assert!(subject.log.topics().unwrap().iter().all(|spec| spec.topic != topic));
            return;
        }
        again.unwrap();
        assert_eq!(subject.log.access(&topic).unwrap(), []);
        assert_eq!(subject.values(&topic, 0), [""; 0]);
        if subject.log.incarnation() == incarnation {
            // Whoever was away must not go on in the new topic as if it were the old one.
            let gone = subject.log.reader(&Principal::router(), &[(at(&topic, 0), old_end)]).err();
            assert!(matches!(gone, Some(ReadError::Gone { .. })), "{gone:?}");
        }
    }
}
