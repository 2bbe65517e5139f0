//! Copies in a real PostgreSQL: what every store must do, what SQL shows of it, and what is left when either side is
//! killed. `scripts/postgres` starts the server; a machine that has none fails here.

// All of it is test code; said so that the lints know.
#[cfg(test)]
mod columns;
#[cfg(test)]
mod conformance;
#[cfg(test)]
#[allow(dead_code, reason = "of the other stores")]
#[path = "../it/kill.rs"]
mod kill;
#[cfg(test)]
mod killing;
#[cfg(test)]
#[path = "../it/memory_store.rs"]
mod memory_store;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sql;
// The other stores' tests come with it, and the doubles that it shares with those of the subscriber.
#[cfg(test)]
#[path = "../it/stores.rs"]
mod stores;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of the subscriber")]
#[path = "../it/support.rs"]
mod support;
#[cfg(test)]
mod tls;
