//! The binary as its users and foreign clients meet it: exit codes, what is printed, what is left on disk, what a
//! running node answers. Every test has a directory, a bus and ports of its own.
//!
//! | module | what |
//! |---|---|
//! | [`harness`] | a directory to run `kenh` in, a running node, and how to wait for a state |
//! | [`demo`] | reform day: the counts that the README promises, twice |
//! | [`own_data`] | the README's second chapter, on a table of one's own |
//! | [`certificates`] | certificates as they are enrolled and as they are not, and a client that shows them |
//! | [`agencies`] | what systems of agencies, and operators elsewhere, are answered over TLS |
//! | [`declared`] | every refusal of declared state: place, hint, nothing changed |
//! | [`bad_input`] | every refusal of a record: number, field, rule; the others go on |
//! | [`node`] | a running node: commands, HTTP, signals, kill -9 |
//! | [`full_disk`] | the disk of an agency's copies full under a running node |
//! | [`secrecy`] | no record key, value or token in anything that a node writes but its answers |
//! | [`registry`] | the registry as schema_registry_converter and Confluent's Python client see it |
//! | [`store_postgres`] | copies in PostgreSQL: counted by SQL, a role that only reads, a server that dies, a full disk, doctor |
//! | [`review`] | a review: propose, read, vote, release |
//! | [`grants`] | grants asked for, suspended and resumed; law, supersession, emergencies, the catalogue |
//! | [`lists`] | codes that are the records of a dataset |
//! | [`relax`] | a rule that warns for some hours: who, which, and that it ends |
//! | [`founded`] | a bus that is founded on a root, and whoever signs on it |
//! | [`signed`] | a bus whose decisions are signed: keys, roster, and what an operator cannot do |
//! | [`sign_elsewhere`] | a file signed on a machine that has no node and no configuration |
//! | [`tour`] | scripts/tour, as it is |
//! | [`surface`] | help, completions, configuration, exit codes |

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod agencies;
mod bad_input;
mod certificates;
mod declared;
mod demo;
mod founded;
mod full_disk;
mod grants;
mod harness;
mod lists;
mod node;
mod own_data;
mod registry;
mod relax;
mod review;
mod secrecy;
mod sign_elsewhere;
mod signed;
mod store_postgres;
mod surface;
mod tour;
