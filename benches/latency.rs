//! From a change being due at its producer to it being in the recipient's store, durable and visible: producer, router,
//! control and subscriber each on a thread of one process, as `kenh up` runs them, on the embedded log with fsync.
//! Baseline: the same records at the same pace through the bare log, from a writer to a waiting reader.
//!
//! The producer keeps to a timetable: a change that is late because the one before it was slow counts from when it was
//! due. It makes durable what is due at every tick of a millisecond.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use kenh_broker::embedded::Fsync;
use support::Bench;
use support::bus;
use support::latency::through_the_bus;

fn main() {
    let bench = Bench::start("latency");
    let reform = bus::reform();
    for (rate, seconds) in [(100, 3), (1_000, 3), (10_000, 2)] {
        let records = rate * seconds;
        let changes = support::latency::newcomers(&reform, 0, records);
        let (mut bare_all, mut own_all) = (Vec::new(), Vec::new());
        for _ in 0..support::runs().min(3) {
            let dir = tempfile::tempdir().expect("a directory");
            let log = bus::embedded(dir.path(), Fsync::EachCommit);
            bare_all.push(support::latency::bare(&log, &changes, rate));
            let dir = tempfile::tempdir().expect("a directory");
            let log = bus::embedded(dir.path(), Fsync::EachCommit);
            own_all.push(through_the_bus(&log, &changes, rate, bus::StoreKind::Sled));
        }
        support::latency::report(
            &bench,
            &format!("{rate}/s"),
            ("bare log", &mut bare_all),
            ("produce to visible", &mut own_all),
        );
    }
}
