//! What the router promises, as scenarios on a log in memory. Each waits for a state, never for a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests say what they expect as the tests themselves do"
)]

mod admission;
mod bus;
mod control;
mod cuts;
mod faults;
mod recovery;
mod relaxed;
mod signed;
mod views;
mod watched;
