//! Claims, fences, atomic commits, unclear and refused ones.

use kenh_domain::limits::MAX_METADATA_BYTES;
use kenh_domain::log::{Batch, ClaimError, CommitError, Position, WriteError};

use super::{Subject, at, batch, record, skipped};

/// Records of several topics, positions and metadata are there together once a commit has returned.
pub fn a_commit_writes_records_positions_and_metadata_together(subject: &Subject) {
    let (input, a, b) = (subject.make("in", 1), subject.make("a", 1), subject.make("b", 2));
    let end = subject.write(vec![record(&input, 0, "k", "input")])[0].1;
    let mut claim = subject.claim("together");
    assert_eq!(*claim.committed(), kenh_domain::log::Committed::default());
    let records = vec![record(&a, 0, "k", "1"), record(&b, 1, "k", "2"), record(&a, 0, "k", "3")];
    claim.commit(Batch { records, consumed: vec![(at(&input, 0), end)], metadata: "m1".into() }).unwrap();
    assert_eq!(claim.committed().metadata, "m1");
    assert_eq!(claim.committed().consumed.get(&at(&input, 0)), Some(&end));
    assert_eq!(subject.values(&a, 0), ["1", "3"]);
    assert_eq!(subject.values(&b, 0), [""; 0]);
    assert_eq!(subject.values(&b, 1), ["2"]);
}

/// Positions and metadata may move on with nothing written.
pub fn a_commit_may_carry_no_records(subject: &Subject) {
    let input = subject.make("bare", 1);
    let end = subject.write(vec![record(&input, 0, "k", "input")])[0].1;
    let mut claim = subject.claim("bare");
    let ends = claim.commit(Batch { consumed: vec![(at(&input, 0), end)], metadata: "m".into(), records: vec![] });
    assert_eq!(ends.unwrap(), []);
    drop(claim);
    let next = subject.claim("bare");
    assert_eq!(next.committed().metadata, "m");
    assert_eq!(next.committed().consumed.get(&at(&input, 0)), Some(&end));
}

/// A batch with one bad record leaves nothing behind, and the claim goes on.
pub fn nothing_of_a_refused_batch_is_written(subject: &Subject) {
    let topic = subject.make("refuse", 1);
    let missing = subject.data("missing");
    let mut claim = subject.claim("refuse");
    claim.commit(Batch { metadata: "before".into(), ..batch(vec![record(&topic, 0, "k", "0")]) }).unwrap();
    let before = subject.bounds(&topic, 0);
    for bad in [record(&missing, 0, "k", "x"), record(&topic, 1, "k", "x")] {
        let to = bad.to.clone();
        let records = vec![record(&topic, 0, "k", "1"), bad, record(&topic, 0, "k", "2")];
        let consumed = vec![(at(&topic, 0), before.end)];
        let refused = claim.commit(Batch { records, consumed, metadata: "after".into() });
        match refused {
            Err(CommitError::Refused { to: named, .. }) => assert_eq!(named, to),
            other => panic!("not refused: {other:?}"),
        }
        assert_eq!(claim.committed().metadata, "before");
        assert_eq!(subject.values(&topic, 0), ["0"]);
    }
    claim.commit(batch(vec![record(&topic, 0, "k", "3")])).unwrap();
    assert_eq!(subject.values(&topic, 0), ["0", "3"]);
}

/// Each claim fences all claims of the group before it, for good.
pub fn a_new_claim_fences_all_before_it(subject: &Subject) {
    let topic = subject.make("fence", 1);
    let mut claims = Vec::new();
    for _ in 0..3 {
        claims.push(subject.claim("fence"));
    }
    let mut newest = subject.claim("fence");
    for round in ["first", "second"] {
        for old in &mut claims {
            let answer = old.commit(batch(vec![record(&topic, 0, "k", "never")]));
            assert!(matches!(&answer, Err(CommitError::Fenced(g)) if *g == subject.group("fence")), "{answer:?}");
        }
        newest.commit(batch(vec![record(&topic, 0, "k", round)])).unwrap();
    }
    assert_eq!(subject.values(&topic, 0), ["first", "second"]);
}

/// What the newer claim says was committed is all that the older one ever commits, however closely they race. Whoever is
/// fenced in the middle of a commit may not be told what became of it; the newer claim knows.
pub fn a_fence_holds_from_the_moment_the_claim_returns(subject: &Subject) {
    let topic = subject.make("race", 1);
    let mut seen = String::new();
    for round in 0..10 {
        let mut old = subject.claim("race");
        assert_eq!(old.committed().metadata, seen, "something was committed after the fence of the round before");
        let (racing, go) = std::sync::mpsc::channel();
        let topic = topic.clone();
        let owner = std::thread::spawn(move || {
            let mut committed = 0_u64;
            let deadline = std::time::Instant::now() + crate::PATIENCE;
            loop {
                assert!(std::time::Instant::now() < deadline, "the old owner was never fenced");
                let next = Batch { metadata: format!("{round}.{}", committed + 1), ..Batch::default() };
                let records = vec![record(&topic, 0, "k", &next.metadata)];
                match old.commit(Batch { records, ..next }) {
                    Ok(_) => committed += 1,
                    Err(CommitError::Fenced(_)) => return (committed, committed),
                    Err(CommitError::Unclear(_)) => return (committed, committed + 1),
                    Err(other) => panic!("{other:?}"),
                }
                if committed == 3 {
                    racing.send(()).unwrap();
                }
            }
        });
        go.recv().unwrap();
        seen.clone_from(&subject.claim("race").committed().metadata);
        let (least, most) = owner.join().unwrap();
        let may_be = [format!("{round}.{least}"), format!("{round}.{most}")];
        assert!(may_be.contains(&seen), "the newer claim saw {seen}, the old owner committed {may_be:?}");
    }
}

/// A claim of one group does nothing to another.
pub fn groups_do_not_touch_each_other(subject: &Subject) {
    let topic = subject.make("groups", 1);
    let mut one = subject.claim("one");
    one.commit(Batch { metadata: "of one".into(), ..Batch::default() }).unwrap();
    let mut two = subject.claim("two");
    assert_eq!(two.committed().metadata, "");
    one.commit(Batch { metadata: "of one".into(), ..batch(vec![record(&topic, 0, "k", "1")]) }).unwrap();
    two.commit(Batch { metadata: "of two".into(), ..batch(vec![record(&topic, 0, "k", "2")]) }).unwrap();
    assert_eq!(subject.values(&topic, 0), ["1", "2"]);
    assert_eq!(subject.claim("one").committed().metadata, "of one");
}

/// Positions add up over commits, the metadata text is the latest.
pub fn the_next_claim_starts_from_what_was_committed(subject: &Subject) {
    let input = subject.make("input", 2);
    let mut ends = Vec::new();
    for partition in [0, 1] {
        ends.push(subject.write(vec![record(&input, partition, "k", "1"), record(&input, partition, "k", "2")])[0].1);
    }
    let first = subject.read(&input, 0)[1].position;
    let mut claim = subject.claim("next");
    claim.commit(Batch { consumed: vec![(at(&input, 0), first)], metadata: "a".into(), records: vec![] }).unwrap();
    claim.commit(Batch { consumed: vec![(at(&input, 1), ends[1])], metadata: "b".into(), records: vec![] }).unwrap();
    drop(claim);
    let mut claim = subject.claim("next");
    let consumed: Vec<_> = claim.committed().consumed.clone().into_iter().collect();
    assert_eq!(consumed, [(at(&input, 0), first), (at(&input, 1), ends[1])]);
    assert_eq!(claim.committed().metadata, "b");
    // Positions not named keep theirs; one that is named may also go back.
    claim.commit(Batch { consumed: vec![(at(&input, 0), Position(0))], ..Batch::default() }).unwrap();
    let claim = subject.claim("next");
    assert_eq!(claim.committed().consumed.get(&at(&input, 0)), Some(&Position(0)));
    assert_eq!(claim.committed().consumed.get(&at(&input, 1)), Some(&ends[1]));
    assert_eq!(claim.committed().metadata, "");
}

/// The longest metadata text passes, one byte more is refused; bytes count, not characters.
pub fn metadata_has_a_limit_in_bytes(subject: &Subject) {
    let input = subject.make("meta", 1);
    let end = subject.write(vec![record(&input, 0, "k", "1")])[0].1;
    let mut claim = subject.claim("meta");
    let consumed = vec![(at(&input, 0), end)];
    let longest = "đ".repeat(MAX_METADATA_BYTES / 2);
    assert_eq!(longest.len(), MAX_METADATA_BYTES);
    claim.commit(Batch { metadata: longest.clone(), consumed: consumed.clone(), records: vec![] }).unwrap();
    let refused = claim.commit(Batch { metadata: longest.clone() + "x", consumed, records: vec![] });
    assert!(matches!(refused, Err(CommitError::Refused { .. })), "{refused:?}");
    assert_eq!(subject.claim("meta").committed().metadata, longest);
}

/// A system of an agency claims nothing.
pub fn only_roles_claim(subject: &Subject) {
    let system = crate::builders::system("H29");
    let denied = subject.log.claim(&system, &subject.group("roles")).err();
    assert!(matches!(&denied, Some(ClaimError::Denied(p)) if *p == system), "{denied:?}");
}

/// After a commit of unknown outcome the claim is dead, and the next one knows what happened.
pub fn an_unclear_commit_is_cleared_up_by_the_next_claim(subject: &Subject) {
    let Some(lose_answer) = &subject.lose_answer else {
        return skipped("an unclear commit is cleared up by the next claim", "this log loses no answer on command");
    };
    let topic = subject.make("unclear", 1);
    let mut expected = Vec::new();
    for (round, written) in [true, false, true].into_iter().enumerate() {
        let mut claim = subject.claim("unclear");
        let before = claim.committed().clone();
        let metadata = round.to_string();
        lose_answer(written);
        let answer =
            claim.commit(Batch { metadata: metadata.clone(), ..batch(vec![record(&topic, 0, "k", &metadata)]) });
        assert!(matches!(answer, Err(CommitError::Unclear(_))), "{answer:?}");
        let again = claim.commit(batch(vec![record(&topic, 0, "k", "never")]));
        assert!(matches!(again, Err(CommitError::Unclear(_) | CommitError::Fenced(_))), "a dead claim went on");
        let next = subject.claim("unclear");
        if written {
            expected.push(metadata.clone());
            assert_eq!(next.committed().metadata, metadata);
        } else {
            assert_eq!(*next.committed(), before);
        }
        assert_eq!(subject.values(&topic, 0), expected);
    }
}

/// A full log says so, writes nothing, and goes on when there is room.
pub fn a_full_log_writes_nothing_and_goes_on_later(subject: &Subject) {
    let Some(fill) = &subject.fill else {
        return skipped("a full log writes nothing and goes on later", "this log is not filled on command");
    };
    let topic = subject.make("full", 1);
    let mut claim = subject.claim("full");
    let mut writer = subject.writer();
    claim.commit(Batch { metadata: "0".into(), ..batch(vec![record(&topic, 0, "k", "0")]) }).unwrap();
    let before = subject.bounds(&topic, 0);
    fill(true);
    for _ in 0..2 {
        let full = claim.commit(Batch { metadata: "1".into(), ..batch(vec![record(&topic, 0, "k", "1")]) });
        assert!(matches!(full, Err(CommitError::Full(_))), "{full:?}");
        let full = writer.write(vec![record(&topic, 0, "k", "2")]).and_then(|()| writer.flush());
        assert!(matches!(full, Err(WriteError::Full(_))), "{full:?}");
    }
    assert_eq!(claim.committed().metadata, "0");
    assert_eq!(subject.bounds(&topic, 0), before);
    assert_eq!(subject.values(&topic, 0), ["0"]);
    fill(false);
    claim.commit(Batch { metadata: "1".into(), ..batch(vec![record(&topic, 0, "k", "1")]) }).unwrap();
    writer.write(vec![record(&topic, 0, "k", "2")]).unwrap();
    writer.flush().unwrap();
    assert_eq!(subject.values(&topic, 0), ["0", "1", "2"]);
}
