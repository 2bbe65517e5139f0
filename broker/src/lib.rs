//! The logs behind the seam, and the registry client.
//!
//! | module | what |
//! |---|---|
//! | [`certificate`] | whose a certificate is |
//! | [`embedded`] | a log that is one directory, for one process |
//! | [`kafka`] | Apache Kafka |
//! | [`registry`] | the client of a schema registry |
//!
//! What a log must promise stands in [`kenh_domain::log`]; nothing here is named by any role.

pub mod certificate;
pub mod embedded;
pub mod kafka;
pub mod registry;
