//! Test doubles, builders and the conformance suite of the seam (dev only).
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | [`MemoryLog`]: the seam in memory, whole, for tests of the roles |
//! | [`faults`] | what such a log is told to do wrong: refuse, fill up, lose an answer, hold, deny |
//! | [`mod@conformance`] | one test per promise of [`kenh_domain::log`], for any log |
//! | [`kafka`] | a real Apache Kafka of the test's own, to be killed and started again |
//! | [`disk`] | a disk of a few MiB, to be filled |
//! | [`apicurio`] | a real Apicurio Registry, in memory |
//! | [`builders`] | an agency, a contract, a grant, a control record, a topic |
//! | [`hand_on!`] | the methods of a log that a double before it does not change |
//! | [`outside`] | waiting for a state, a program without our environment |
//! | [`postgres`] | a real PostgreSQL, gone with the test |
//!
//! Nothing here waits for a time: a test waits for a state and gives up, with a panic, after [`PATIENCE`].

// Only tests use it: it says what it expects by unwrapping, as they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod apicurio;
pub mod builders;
pub mod conformance;
pub mod disk;
pub mod faults;
mod hand_on;
pub mod kafka;
pub mod memory;
pub mod outside;
pub mod postgres;

pub use conformance::Subject;
pub use faults::{CommitFault, Faults, FlushFault};
pub use memory::MemoryLog;

/// How long a test waits for a state that should come at once, before it fails. Long, because a loaded machine is no
/// fault of the code under test.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
