//! From a source to `in.*`: reading formats, checking by the contract's rules, submitting, and hearing what became of it.
//!
//! Not here: whether a change enters the bus (`router/`), and HTTP (the binary).
//!
//! | module | what |
//! |---|---|
//! | [`mod@format`] | readers: jsonl, CSV with a mapping, Avro containers, the national envelope |
//! | [`json`], [`time`], [`encode`] | from text to the Avro body of a record |
//! | [`change`] | a change as read |
//! | [`mod@check`] | the rules of the router, asked before anything is sent |
//! | [`submission`] | writing to the input topic, and its receipts |
//! | [`produce`](mod@produce) | all of it for one source |
//! | [`report`] | what was rejected |
//! | [`reform`] | reform day: real units and made-up people, for the demo, benches and tests |

pub mod change;
pub mod check;
pub mod encode;
pub mod format;
pub mod json;
pub mod produce;
pub mod reform;
pub mod report;
pub mod submission;
pub mod time;

pub use change::{Change, Item};
pub use check::{CheckError, Checked, Checker, Defaults, check};
pub use format::{Format, Items, Mapping, SourceError, open};
pub use produce::{Options, Outcome, ProduceError, Progress, produce};
pub use report::{Listed, Rejected, Report, ReportError, Stage};
pub use submission::{Answered, Patience, Sent, Submission, SubmitError, Target};
