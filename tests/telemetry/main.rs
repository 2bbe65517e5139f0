//! Telemetry as foreign programs receive it, and what is deployed around a node.
//!
//! | module | what |
//! |---|---|
//! | [`place`] | a directory with a bus of two people, a node on it, the programs that receive |
//! | [`otlp`] | spans and metrics at a receiver that decodes them with OpenTelemetry's own Python classes |
//! | [`collector`] | OpenTelemetry's own collector, with the settings that are shipped, between a node and a scrape |
//! | [`prometheus`] | Debian's Prometheus scrapes a node, with the settings that are shipped |
//! | [`deployed`] | docker-compose.yml against the settings a broker needs; systemd units; what Prometheus is given |
//!
//! `setup` installs what they need, once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests say what they expect as the tests themselves do"
)]

mod collector;
mod deployed;
mod otlp;
mod place;
mod prometheus;
