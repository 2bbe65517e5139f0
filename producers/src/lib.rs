//! From a source to in.*: formats, validation, submission.

pub mod reform;
