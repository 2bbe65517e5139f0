//! Fences between processes.

use kenh_domain::log::{Batch, CommitError, Log as _};
use kenh_domain::names::Principal;

use crate::{at, connect, make, read_to, record};

/// An owner that another process has replaced commits nothing more: neither records nor positions nor metadata.
#[test]
fn a_zombie_in_another_process_commits_nothing() {
    let (here, there) = (connect(), connect());
    let topic = make(&here, "zombie", 1);
    let (router, group) = (Principal::router(), "zombie".parse().unwrap());
    let batch =
        |value: &str| Batch { records: vec![record(&topic, 0, value)], consumed: vec![], metadata: value.into() };
    let mut old = here.claim(&router, &group).unwrap();
    old.commit(batch("1")).unwrap();
    let mut new = there.claim(&router, &group).unwrap();
    assert_eq!(new.committed().metadata, "1");
    for _ in 0..2 {
        let late = old.commit(batch("late"));
        assert!(matches!(late, Err(CommitError::Fenced(_))), "{late:?}");
    }
    new.commit(batch("2")).unwrap();
    let end = there.bounds(&router, &at(&topic, 0)).unwrap().end;
    let start = there.bounds(&router, &at(&topic, 0)).unwrap().start;
    let mut reader = here.reader(&router, &[(at(&topic, 0), start)]).unwrap();
    assert_eq!(read_to(&mut *reader, end), ["1", "2"]);
    assert_eq!(here.claim(&router, &group).unwrap().committed().metadata, "2");
}

/// A position stands still before a record that was not given out, also when the client has it already.
#[test]
fn a_position_never_passes_a_record_that_was_not_given() {
    let log = connect();
    let topic = make(&log, "passes", 1);
    let router = Principal::router();
    let of = at(&topic, 0);
    let mut claim = log.claim(&router, &"passes".parse().unwrap()).unwrap();
    let mut reader = log.reader(&router, &[(of.clone(), log.bounds(&router, &of).unwrap().start)]).unwrap();
    let mut found = Vec::new();
    for n in 0..30 {
        let end =
            claim.commit(Batch { records: vec![record(&topic, 0, &n.to_string())], ..Batch::default() }).unwrap()[0].1;
        // At each end the client is told so, which it counts as if it were a record.
        found.extend(read_to(&mut *reader, end));
        assert_eq!(reader.positions(), [end], "after {n}");
    }
    assert_eq!(found, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
}
