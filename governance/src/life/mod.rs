//! The life of a grant: where it stands, who moves it on, and what it gives.
//!
//! Pure functions of the control set, of what recipients have confirmed, and of the time. They read what was decided and
//! decide nothing: what comes into force is planned in [`plan`](mod@crate::plan) and written by [`apply`](crate::apply::apply).
//!
//! | module | what |
//! |---|---|
//! | [`state`] | where a grant stands, and the one table of how it gets there |
//! | [`decide`] | ending, suspending, resuming; whom the end of an article or an agency touches |
//! | [`catalog`](mod@catalog) | which datasets there are, and how to ask for them |
//! | [`explain`](mod@explain) | which rows and fields a grant gives, and why, on one record |

pub mod catalog;
pub mod decide;
pub mod explain;
pub mod state;
#[cfg(test)]
mod tests;

use kenh_domain::grant::EndReason;
use serde::Serialize;

pub use catalog::{Offer, OfferedField, catalog};
pub use decide::{DecideError, in_life, resting_on, resume, stop, touched_by};
pub use explain::{ExplainError, Explanation, Sample, explain};
pub use state::{State, life};

/// A sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// English.
    pub en: String,
    /// Vietnamese.
    pub vi: String,
}

fn said(en: impl Into<String>, vi: impl Into<String>) -> Said {
    Said { en: en.into(), vi: vi.into() }
}

/// Why something has ended, in words.
#[must_use]
pub fn ended(reason: EndReason) -> Said {
    match reason {
        EndReason::Ended => said("ended by its document", "chấm dứt theo văn bản cấp quyền"),
        EndReason::Revoked => said("revoked", "bị thu hồi"),
        EndReason::Superseded => said("another edition or grant took its place", "được thay thế"),
        EndReason::Expired => said("its time ran out", "hết thời hạn"),
        EndReason::Suspended => said("suspended", "tạm đình chỉ"),
        EndReason::Law => said("an article that it rested on is out of force", "điều luật làm căn cứ hết hiệu lực"),
    }
}
