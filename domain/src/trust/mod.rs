//! Who may decide what: persons, their keys and roles, signatures over control events, and which event needs whose.
//!
//! On a bus whose genesis names a root key, a control event counts only with the signatures that its kind needs. Whoever
//! folds the control log checks them, the router first of all (invariant 9): operators carry events, they do not sign. The
//! check is a function of the log alone, so that every role and every replay comes to the same result.
//!
//! | module | what |
//! |---|---|
//! | [`roster`] | persons with their roles and keys, signed by the root |
//! | [`signature`] | Ed25519 over the canonical JSON of an event |
//! | [`proposal`] | what is put to the vote, and the votes |
//! | [`gap`] | what a proposal lacks |
//! | [`needs`] | the table: which event needs whose signature |
//!
//! What is signed is bound to one bus (the digest of its genesis), may be carried until it expires, and counts once (its
//! nonce is remembered until then). Records may not be dated before the one before them, so that nobody lengthens a
//! validity by writing an old date.

pub mod gap;
pub mod needs;
pub mod proposal;
pub mod roster;
pub mod signature;

use crate::limits::MAX_SIGNATURES;
use crate::log::Position;
use crate::names::Person;
pub use gap::Gap;
pub use proposal::{Document, Proposal, ProposalId, Standing, Verdict, Vote};
pub use roster::{Member, PersonKey, Role, Roster, Tenure};
pub use signature::{Nonce, PublicKey, Signature};

/// Why a control record does not count on a bus with a root. Each says what to do; none changes anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nobody signed.
    #[error("it is not signed; it needs {needs}")]
    Unsigned {
        /// Whose signature, in words.
        needs: String,
    },
    /// More signatures than anything needs.
    #[error("it has {0} signatures, more than {MAX_SIGNATURES}")]
    TooMany(usize),
    /// The bytes were changed, or signed for another bus or by another key.
    #[error(
        "the signature of {0} does not fit: it was made by another key, for another bus, or the event was changed since; sign it again"
    )]
    Wrong(Who),
    /// One person or nonce twice.
    #[error("{0} signed twice; two signatures are of two persons")]
    Twice(Who),
    /// It was appended before.
    #[error("the signature of {0} was used before; what it decided stands already, sign anew to decide again")]
    Replayed(Who),
    /// Carried for too long.
    #[error("the signature of {0} has expired; sign it again")]
    Expired(Who),
    /// Its validity is longer than is remembered.
    #[error("the signature of {0} is valid for more than 90 days; sign it again with a nearer end")]
    TooLong(Who),
    /// Not a person, or a key that is not in force.
    #[error("{0} is not in the roster with this key now; have the roster changed, or sign with a key in force")]
    NotInRoster(Who),
    /// No roster yet.
    #[error("this bus has no roster yet; the root signs one first")]
    NoRoster,
    /// The signers may not decide this.
    #[error("it needs {needs}; signed by {by}")]
    MissingRole {
        /// Whose signature, in words.
        needs: String,
        /// Who signed, in words.
        by: String,
    },
    /// What must have been approved is not.
    #[error("{what} is not approved: {missing}")]
    NotApproved {
        /// What.
        what: String,
        /// What is missing.
        missing: String,
    },
    /// Dated before the record before it.
    #[error("it is dated before the event before it (at {0}); a date cannot be taken back")]
    Backdated(Position),
    /// It does not fit what was decided.
    #[error("{0}")]
    Unfit(String),
}

/// Who signed, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The offline root.
    Root,
    /// A person.
    Person(Person),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the root"),
            Self::Person(person) => write!(f, "{person}"),
        }
    }
}
