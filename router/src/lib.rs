//! The router: the one writer of `data.*` and `view.*`.
//!
//! It claims a group of partitions, reads what providers submit, admits it ([`kenh_domain::admit`]), appends what was
//! admitted to the data log, routes it ([`kenh_domain::route`]) and writes to each view what its recipient is to see: all
//! of that with the consumed positions in one transaction. What it knows besides is a function of the data log, so that
//! losing it costs time and nothing else.
//!
//! | module | what |
//! |---|---|
//! | [`mod@router`], [`config`] | opening, turning and running it |
//! | `session`, `turn` | what stands on one claim, and its verbs: mark, fill, decide, tell |
//! | [`inputs`], [`decide`] | what is read, and what becomes of one submitted change |
//! | [`slot`], [`draft`] | one data partition and its views' topics; what one transaction is to write |
//! | [`engine`], [`state`] | what a data log adds up to, per partition and per record key |
//! | [`lane`], [`recover`] | filling new views; recovery and replay |
//! | [`control`], [`lists`] | the control set in force at a marker; the code lists that it names |
//! | [`image`], [`metadata`], [`tally`] | what is kept: on disk, beside the positions, for receipts |
//! | [`stats`], `trace` | what it tells of itself |

pub mod config;
pub mod control;
pub mod decide;
pub mod draft;
pub mod engine;
pub mod image;
mod images;
pub mod inputs;
pub mod lane;
pub mod lists;
pub mod metadata;
mod read;
pub mod recover;
pub mod router;
mod session;
pub mod slot;
pub mod state;
pub mod stats;
pub mod tally;
mod trace;
mod turn;

pub use config::{Backoff, Clock, Config};
pub use recover::replay;
pub use router::{Router, RouterError, Turn};
pub use stats::{COMMIT_BUCKETS_MS, CommitTimes, Reason, Snapshot, Stats};
