//! Everything that reads bytes from outside, one function each; see `README.md`. The normal test run calls the same
//! functions (`tests/any_bytes.rs`), so that none of them rots between two fuzzing runs.

pub mod entry;
