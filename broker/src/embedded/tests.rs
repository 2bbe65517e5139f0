//! The embedded log keeps every promise of the seam; what only it promises is in `tests/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kenh_testkit::Subject;

use super::{EmbeddedLog, Fsync, Options};

/// A fresh log in a directory of its own, on a disk that can be filled.
fn subject(fsync: Fsync) -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let seen = full.clone();
    let free_space = Arc::new(move |_: &std::path::Path| Ok(if seen.load(Ordering::SeqCst) { 0 } else { u64::MAX }));
    let log = EmbeddedLog::open(dir.path(), Options { fsync, free_space, ..Options::default() }).unwrap();
    let shared = log.shared.clone();
    Subject {
        fill: Some(Box::new(move |on| full.store(on, Ordering::SeqCst))),
        lose_answer: Some(Box::new(move |written| *shared.lose_answer.lock().unwrap() = Some(written))),
        ground: Box::new(dir),
        ..Subject::new(Arc::new(log))
    }
}

kenh_testkit::conformance!(|| subject(Fsync::EachCommit));
