//! What a proposal lacks before its document may come into force.

use std::fmt;

use super::roster::Role;
use crate::names::{Agency, Dataset, Person};

/// One thing that it lacks. Its text goes on from "it lacks …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Nobody may decide on this bus yet.
    Roster,
    /// The dataset that a grant is about has no contract.
    Contract(Dataset),
    /// It came into force once; that is all that its approval is good for.
    Released,
    /// Its approval was not made use of in time.
    Lapsed,
    /// These refused it and have not said otherwise since.
    Refused(Vec<Person>),
    /// Approvals, by their roles, of the agency that decides.
    Approval(Vec<Role>, Agency),
    /// One person has approved in both roles.
    SecondPerson(Agency),
    /// That the recipient takes it up.
    TakeUp(Agency),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roster => f.write_str("a roster"),
            Self::Contract(dataset) => write!(f, "a contract of {dataset}"),
            Self::Released => f.write_str("a new proposal: this one has been released, and counts once"),
            Self::Lapsed => f.write_str("a new proposal: this one was to be released within 90 days of its deadline"),
            Self::Refused(by) => {
                let by: Vec<_> = by.iter().map(ToString::to_string).collect();
                write!(f, "what {} asked for when refusing it", by.join(" and "))
            }
            Self::Approval(roles, agency) => {
                let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
                write!(f, "the approval of the {} of {agency}, not the author", roles.join(" and of the "))
            }
            Self::SecondPerson(agency) => write!(
                f,
                "a second person's approval: {} and {} of {agency} are two persons",
                Role::Owner,
                Role::DataProtectionOfficer
            ),
            Self::TakeUp(recipient) => write!(f, "that a recipient of {recipient} takes it up"),
        }
    }
}
