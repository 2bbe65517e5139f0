//! From a view topic to an agency's own copy.
//!
//! | module | what |
//! |---|---|
//! | [`subscriber`] | reads an agency's notices and views, keeps its copies right, confirms |
//! | [`store`] | where copies are kept: one small trait; sled, fjall and PostgreSQL |
//! | [`copy`] | reading a copy: look-up, pages, search, export, digest |
//!
//! It is not a query engine: a copy is looked up by key, listed, filtered row by row. An agency that wants more reads its
//! own store.

pub mod copy;
pub mod store;
pub mod subscriber;
