//! Validated names.
//!
//! A name is checked once, where it enters; after that its type says it is good. Names start with a letter and hold
//! letters, digits and hyphens only, so that dots always separate the parts of a topic name and nothing needs quoting.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_NAME_BYTES;

/// A name that breaks the rules of [this module](self).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} name {name:?} is not valid: 1 to {MAX_NAME_BYTES} letters a-z, A-Z, digits and hyphens, a letter first"
)]
pub struct NameError {
    /// Which kind of name was being read.
    pub kind: &'static str,
    /// The text as given, cut to the longest length a name may have.
    pub name: String,
}

fn check(kind: &'static str, text: &str) -> Result<(), NameError> {
    let letter_first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if letter_first && clean && text.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    Err(NameError { kind, name: text.chars().take(MAX_NAME_BYTES).collect() })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            #[doc = concat!("Checks and takes a ", $kind, " name.")]
            ///
            /// # Errors
            /// [`NameError`] when the text breaks the rules of [this module](self).
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// An agency: a provider, a recipient, or both. National agency codes hold dots (`H29.5.1`); the name does not
    /// (`H29-5-1`), the code stands beside it in the agency's document.
    Agency, "agency"
}
name! {
    /// A dataset: one kind of record, one contract.
    Dataset, "dataset"
}
name! {
    /// A view of a dataset for one recipient; `main` where nothing else is said.
    View, "view"
}
name! {
    /// The id of an article of law in the records of the bus.
    ArticleId, "article"
}
name! {
    /// The id of a grant, never used again after it has ended.
    GrantId, "grant"
}
name! {
    /// Who acts at the log: a system of an agency (`h29-portal`), or a role of the bus (`kenh-router`).
    Principal, "principal"
}
name! {
    /// A group of partitions that is claimed as a whole by one router loop.
    Group, "group"
}

name! {
    /// A person who decides: an owner, an officer, a registrar. No login, no national ID.
    Person, "person"
}
name! {
    /// The id of a relaxation of a rule, never used again.
    RelaxationId, "relaxation"
}
name! {
    /// A proposal put to the vote, never used again.
    ProposalId, "proposal"
}

impl View {
    /// The view a grant makes when it names none.
    #[must_use]
    pub fn main() -> Self {
        Self("main".into())
    }
}

impl Principal {
    /// The router role: the only writer of `data.*`, `view.*`, `receipt.*`, `dead-letter.*` and `kenh.heads`.
    #[must_use]
    pub fn router() -> Self {
        Self("kenh-router".into())
    }

    /// The control role: the only writer of `kenh.control`; makes topics and sets who may read and write them.
    #[must_use]
    pub fn control() -> Self {
        Self("kenh-control".into())
    }

    /// Whether this is a role of the bus and not a system of an agency. A declared system may not take such a name.
    #[must_use]
    pub fn is_role(&self) -> bool {
        self.0.starts_with("kenh-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_starts_with_a_letter_and_holds_no_dot() {
        for good in ["H29", "don-vi-hanh-chinh", "a", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(Dataset::new(good).map(|n| n.to_string()), Ok(good.to_string()));
        }
        for bad in ["", "9a", "-a", "a.b", "a_b", "đơn-vị", "a b", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(Dataset::new(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_name_read_from_json_is_checked() {
        assert!(serde_json::from_str::<Agency>("\"H29\"").is_ok());
        assert!(serde_json::from_str::<Agency>("\"H29.1\"").is_err());
    }
}
