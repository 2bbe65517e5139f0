//! What the bus promises, one function for each promise, whatever the log.

mod broker_gone;
mod changes;
mod codes;
mod copies;
mod full;
mod grants;
mod laws;
mod relaxations;
mod restarts;
mod schemas;
mod share;
