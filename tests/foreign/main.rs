//! Other people's clients against the bus, as an agency's own programs would meet it: nothing of ours reads or writes here.
//!
//! One bus on a real Kafka serves most of them ([`bus`]): reform day with few citizens, kept up. Python, Node and Go read
//! H29's views through our registry ([`readers`]) and get what an [`oracle`] has. So do Kafka's console tools, and a writer
//! with librdkafka's default partitioner submits to it ([`partitioner`]); what it submits concerns no view of H29. Registry
//! clients and serdes in four languages work with our registry ([`clients`]). The other way round, Kênh is the client of
//! somebody else's registry ([`registry`]). On a Kafka that asks for certificates, agencies run our binary and Python under
//! their own ([`boundary`]).
//!
//! `setup` installs what the clients need, once; docs/clients.md is written from what passes here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests say what they expect as the tests themselves do"
)]

mod boundary;
mod bus;
mod clients;
mod oracle;
mod partitioner;
mod readers;
mod registry;
