//! The whole bus: declared state, providers, router, control, subscribers and copies together, against a plain model.
//!
//! Scenarios are written once, as functions of the ground they stand on, and run on every log ([`ground`]). The model
//! ([`oracle`]) is JSON and knows nothing of Avro, logs or transactions; every copy must equal it at rest ([`check`]).
//! Crashes are real: child processes that abort at a given operation of the log, or are killed ([`kill`]).
//!
//! | module | what |
//! |---|---|
//! | [`ground`], [`cluster`] | the logs that scenarios run on: memory, a directory, a real Kafka |
//! | [`world`] | declared state as a user writes it, and its sample dataset |
//! | [`roles`] | the bus: roles turned step by step under a clock that stands still until it is told |
//! | [`oracle`], [`check`] | the model, and holding the bus to it |
//! | [`canary`] | nothing that is not granted is in anything that a recipient can reach |
//! | [`scenarios`] | what the bus promises, one function each |
//! | [`fuse`], [`kill`] | dying between any two steps, and coming back |
//! | [`doctor`] | the binary before a Kafka that is not as it should be |
//! | [`random`] | any sequence of events |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests say what they expect as the tests themselves do"
)]

/// Makes a test of each scenario on each log of ours: in memory, and in a directory.
macro_rules! on_own_logs {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&crate::ground::Ground::memory); })+
        }
        mod embedded {
            $(#[test] fn $name() { super::$name(&crate::ground::Ground::embedded); })+
        }
    };
}

/// Makes a test of each scenario on each log.
macro_rules! on_every_log {
    ($($name:ident),+ $(,)?) => {
        on_own_logs!($($name),+);
        mod kafka {
            $(#[test] fn $name() { super::$name(&crate::ground::Ground::kafka); })+
        }
    };
}

mod canary;
mod check;
mod cluster;
mod doctor;
mod fuse;
mod ground;
mod kill;
mod oracle;
mod random;
mod roles;
mod scenarios;
mod world;
