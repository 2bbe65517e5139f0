//! What a thing *is*, and whether it may be shared.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no randomness, no threads. Time and secrets
//! are passed in. The other crates depend on this one and not on each other.
//!
//! Read in the order of an event's life:
//!
//! | module | what |
//! |---|---|
//! | [`names`], [`topic`] | validated names, and the topics made of them |
//! | [`identity`] | who a certificate is: a system and a serial |
//! | [`contract`], [`grant`], [`control`] | the agreements in force, as the control log carries them |
//! | [`law`] | what grants rest on, and until when |
//! | [`trust`] | who may decide what: persons, signatures, votes |
//! | [`schema`] | an Avro schema, parsed once and walked often |
//! | [`date`] | days since 1970 and their text |
//! | [`wire`], [`envelope`], [`frame`], [`key`] | bytes: view records, submitted changes, data records, record keys |
//! | [`rule`], [`element`], [`codes`], [`admit`] | whether a submitted change enters the bus |
//! | [`relaxation`] | when a rule warns instead, and which never do |
//! | [`filter`], [`shape`], [`route`] | whom an admitted change concerns, and what they see of it |
//! | [`receipt`], [`notice`] | what providers and recipients are told |
//! | [`confirm`], [`digest`] | what recipients say they hold, and the digest they say it by |
//! | [`log`] | the seam: what a log must promise |
//! | [`limits`] | every bound, with its reason |
//! | [`error`] | an error and its causes, in words |

pub mod admit;
pub mod codes;
pub mod confirm;
pub mod contract;
pub mod control;
pub mod date;
pub mod digest;
pub mod element;
pub mod envelope;
pub mod error;
pub mod filter;
pub mod frame;
pub mod grant;
pub mod host;
pub mod identity;
pub mod key;
pub mod law;
pub mod limits;
pub mod log;
pub mod names;
pub mod notice;
pub mod receipt;
pub mod relaxation;
pub mod route;
pub mod rule;
pub mod schema;
pub mod secret;
pub mod shape;
pub mod topic;
pub mod trust;
pub mod wire;
