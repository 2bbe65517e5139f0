//! What is put to the vote: a contract, a grant or a relaxation, word for word, and the page on which its review was read.
//!
//! A decision names the SHA-256 of the document's canonical JSON and of the page: whoever approves has approved these and no
//! others. Machine-made parts (schema ids, edition numbers, start and end) are no part of it; the fold checks them itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::signature::{PublicKey, canonical};
use crate::contract::Contract;
use crate::grant::Grant;
use crate::limits::MAX_CARRIED_MS;
use crate::log::Position;
use crate::names::{Agency, Dataset, GrantId, Person, RelaxationId, View};
use crate::relaxation::Relaxation;
use crate::wire::SchemaId;

pub use crate::names::ProposalId;

/// What is decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", content = "document", rename_all = "kebab-case")]
pub enum Document {
    /// A contract, or a new version of one.
    Contract(Box<Contract>),
    /// A grant.
    Grant(Box<Grant>),
    /// A relaxation of a rule.
    Relaxation(Box<Relaxation>),
}

/// What a document is about, for finding it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The contract of a dataset.
    Contract(Dataset),
    /// A grant.
    Grant(GrantId),
    /// A relaxation of a rule.
    Relaxation(RelaxationId),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Contract(dataset) => write!(f, "the contract of {dataset}"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Relaxation(id) => write!(f, "relaxation {id}"),
        }
    }
}

impl Document {
    /// A contract as persons decide it: ids of schemas are the bus's own business.
    #[must_use]
    pub fn of_contract(contract: &Contract) -> Self {
        let mut contract = contract.clone();
        for version in &mut contract.schemas {
            (version.id, version.envelope_id) = (SchemaId(0), SchemaId(0));
        }
        Self::Contract(Box::new(contract))
    }

    /// A grant as persons decide it.
    #[must_use]
    pub fn of_grant(grant: &Grant) -> Self {
        Self::Grant(Box::new(grant.clone()))
    }

    /// A relaxation as persons decide it: all of it, its end too.
    #[must_use]
    pub fn of_relaxation(relaxation: &Relaxation) -> Self {
        Self::Relaxation(Box::new(relaxation.clone()))
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Contract(contract) => Subject::Contract(contract.dataset.clone()),
            Self::Grant(grant) => Subject::Grant(grant.id.clone()),
            Self::Relaxation(relaxation) => Subject::Relaxation(relaxation.id.clone()),
        }
    }

    /// The dataset it is about.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        match self {
            Self::Contract(contract) => &contract.dataset,
            Self::Grant(grant) => &grant.dataset,
            Self::Relaxation(relaxation) => &relaxation.dataset,
        }
    }

    /// The view that a grant is for: whoever ends an edition to make room names it.
    #[must_use]
    pub fn view(&self) -> Option<(&Agency, &Dataset, &View)> {
        match self {
            Self::Contract(_) | Self::Relaxation(_) => None,
            Self::Grant(grant) => Some((&grant.recipient, &grant.dataset, &grant.view)),
        }
    }

    /// SHA-256 of its canonical JSON, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_value(self).ok().and_then(|v| canonical(&v)).unwrap_or_default();
        Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A document put to the vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proposal {
    /// Its name, which no other has as long as it stands.
    pub id: ProposalId,
    /// What is proposed.
    pub document: Document,
    /// SHA-256 of the review page that people read, in hexadecimal.
    pub page_sha256: String,
    /// Who proposes it; they do not approve it.
    pub author: Person,
    /// Until when votes count: milliseconds since 1970 (UTC), exclusive.
    pub deadline_ms: i64,
}

/// What somebody says to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Approved, by an owner or data-protection officer.
    Approve,
    /// Refused, by one of them; a reason is given.
    Refuse,
    /// The recipient takes the grant up.
    TakeUp,
    /// A subscriber who would be hit is for it; kept, not counted.
    AdviseFor,
    /// Or against it.
    AdviseAgainst,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vote {
    /// On what.
    pub proposal: ProposalId,
    /// Digest of the document that was read.
    pub document_sha256: String,
    /// Digest of the page that was read.
    pub page_sha256: String,
    /// Whose.
    pub person: Person,
    /// What they say.
    pub verdict: Verdict,
    /// Why; a refusal has a reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The article of law that a refusal rests on; that of a grant has one (Nghị định 194/2025/NĐ-CP, Điều 16).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub article: String,
}

impl Vote {
    /// Its reason, and the article in brackets where there is one.
    #[must_use]
    pub fn grounds(&self) -> String {
        if self.article.is_empty() { self.reason.clone() } else { format!("{} ({})", self.reason, self.article) }
    }
}

/// A proposal as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// It.
    pub proposal: Proposal,
    /// Its document's digest.
    pub digest: String,
    /// How long it is, written as JSON.
    pub bytes: usize,
    /// Votes in the order in which they came, each with its time.
    pub votes: Vec<(i64, Vote)>,
    /// The key of each person's last vote and its time, where votes are signed: a roster may say later that the key was
    /// not theirs any more by then.
    pub signed_with: BTreeMap<Person, (PublicKey, i64)>,
    /// Where its document came into force. That happens once: what has ended since, or was changed, is decided anew.
    pub released: Option<Position>,
}

impl Standing {
    /// A proposal on which nobody has voted.
    #[must_use]
    pub fn new(proposal: Proposal) -> Self {
        Self {
            digest: proposal.document.digest(),
            bytes: serde_json::to_vec(&proposal).map_or(usize::MAX, |text| text.len()),
            votes: Vec::new(),
            signed_with: BTreeMap::new(),
            released: None,
            proposal,
        }
    }

    /// From when its approval is good for nothing: milliseconds since 1970 (UTC).
    #[must_use]
    pub const fn lapses_ms(&self) -> i64 {
        self.proposal.deadline_ms.saturating_add(MAX_CARRIED_MS)
    }

    /// When somebody last voted: milliseconds since 1970 (UTC).
    #[must_use]
    pub fn voted_ms(&self, person: &Person) -> Option<i64> {
        self.votes.iter().rev().find(|(_, vote)| &vote.person == person).map(|(at_ms, _)| *at_ms)
    }

    /// The last vote of a person that decides something.
    #[must_use]
    pub fn vote_of(&self, person: &Person) -> Option<&Vote> {
        self.votes.iter().rev().map(|(_, vote)| vote).find(|v| &v.person == person)
    }

    /// Whoever said this and has not said otherwise since.
    pub fn said(&self, verdict: Verdict) -> impl Iterator<Item = &Person> {
        let last = move |(n, (_, vote)): (usize, &(i64, Vote))| {
            self.votes[n + 1..].iter().all(|(_, later)| later.person != vote.person)
        };
        self.votes
            .iter()
            .enumerate()
            .filter(move |(n, entry)| entry.1.verdict == verdict && last((*n, entry)))
            .map(|(_, (_, vote))| &vote.person)
    }
}
