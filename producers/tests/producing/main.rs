//! Producing as a whole: each format read and checked, submitted to a log in memory, and answered by a small router.

// Tests say what they expect by unwrapping, helpers of tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod container;
mod csv;
mod envelopes;
mod fixture;
mod random;
mod submitting;
