//! Reading a copy.

pub mod digest;
