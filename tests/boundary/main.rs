//! The boundary from outside: roles as processes on a real Kafka behind TLS, where what no access list allows is denied,
//! and clients that others wrote in the place of an agency that wants more than it was granted.
//!
//! | module | what |
//! |---|---|
//! | [`bus`] | the cluster, a machine for each role, the certificates |
//! | [`canary`] | nothing that is not granted is in anything that a recipient can reach, nor in what processes tell |
//! | [`revoke`] | how long after a revocation a hostile client still gets records |
//! | [`signed`] | a grant counts with its signatures, and nothing that an operator writes past them |
//! | [`production`] | `kenh doctor --profile production`: green on three brokers, red on each planted fault |
//! | [`harness`], [`founded`] | a directory to run `kenh` in, a bus founded on a root: shared with tests/cli |
//!
//! One test at a time: the time that a revocation takes is measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests say what they expect as the tests themselves do"
)]

mod bus;
mod canary;
#[path = "../cli/founded.rs"]
#[expect(dead_code, reason = "tests/cli uses the rest of it")]
mod founded;
#[path = "../cli/harness.rs"]
#[expect(dead_code, reason = "tests/cli uses the rest of it")]
mod harness;
mod production;
mod revoke;
mod signed;
