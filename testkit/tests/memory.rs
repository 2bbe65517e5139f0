//! The log in memory keeps every promise of the seam.

use kenh_testkit::{CommitFault, MemoryLog, Subject};

fn subject() -> Subject {
    let log = MemoryLog::new();
    let (fills, loses) = (log.clone(), log.clone());
    Subject {
        fill: Some(Box::new(move |on| fills.faults().full(on))),
        lose_answer: Some(Box::new(move |written| {
            let how = if written { CommitFault::UnclearWritten } else { CommitFault::UnclearLost };
            loses.faults().next_commits(1, how);
        })),
        ..Subject::new(log)
    }
}

kenh_testkit::conformance!(subject);
