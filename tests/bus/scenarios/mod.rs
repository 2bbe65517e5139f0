//! What the bus promises, one function for each promise, whatever the log.

mod changes;
