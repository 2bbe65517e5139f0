//! Whether a record counts, on a bus whose genesis names a root; and the fold of rosters, keys, proposals and votes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{ControlEvent, ControlRecord, ControlSet, Trust};
use crate::limits::{
    MAX_CARRIED_MS, MAX_OPEN_PROPOSAL_BYTES, MAX_OPEN_PROPOSALS, MAX_PAGE_DIGEST_BYTES, MAX_REASON_BYTES,
    MAX_SIGNATURES, MAX_VOTES,
};
use crate::names::Person;
use crate::trust::needs::{self, Signers};
use crate::trust::{
    Document, Member, Nonce, PersonKey, Proposal, ProposalId, PublicKey, Roster, Signature, Standing, TrustError,
    Verdict, Vote, Who,
};

impl ControlSet {
    /// Whether decisions are signed on this bus.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        matches!(self.trust, Some(Trust::Root(_)))
    }

    /// Whether a record has the signatures that it needs; then the nonces that are spent with it. None where nothing is
    /// signed: before the genesis, and on an unsigned bus.
    pub(super) fn authorise(
        &self,
        record: &ControlRecord,
        event: &Value,
    ) -> Result<Option<BTreeMap<Nonce, i64>>, TrustError> {
        if !self.is_signed() {
            return Ok(None);
        }
        if record.at_ms < self.at_ms {
            return Err(TrustError::Backdated(self.position));
        }
        if record.signatures.len() > MAX_SIGNATURES {
            return Err(TrustError::TooMany(record.signatures.len()));
        }
        let mut spent = self.spent.clone();
        spent.retain(|_, expires_ms| *expires_ms > record.at_ms);
        for signature in &record.signatures {
            self.verify(signature, event, record.at_ms)?;
            if spent.insert(signature.nonce, signature.expires_ms).is_some() {
                return Err(TrustError::Replayed(signature.who()));
            }
        }
        match &record.event {
            // The spare takes the place of a root that is lost, and never the other way round.
            ControlEvent::Root { key } => {
                let by_spare = self.spare.is_some_and(|spare| record.signatures.iter().any(|s| s.key == spare));
                let before = if by_spare { self.spare } else { self.root };
                together(&record.signatures, None, &[before, Some(*key)])?;
            }
            ControlEvent::Spare { key } => together(&record.signatures, None, &[self.root, self.spare, Some(*key)])?,
            ControlEvent::Rotation { person, from, to } => {
                together(&record.signatures, Some(person), &[Some(*from), Some(*to)])?;
                let member = self.member(person)?;
                if !member.signs_with(from, record.at_ms) {
                    return Err(TrustError::NotInRoster(Who::Person(person.clone())));
                }
            }
            event => {
                let signers = self.signers(&record.signatures, record.at_ms)?;
                needs::check(self, event, &signers)?;
            }
        }
        Ok(Some(spent))
    }

    /// Whether a signature is good by itself: fits, has not expired, is not valid for too long.
    fn verify(&self, signature: &Signature, event: &Value, at_ms: i64) -> Result<(), TrustError> {
        if signature.expires_ms <= at_ms {
            return Err(TrustError::Expired(signature.who()));
        }
        if signature.expires_ms - at_ms > MAX_CARRIED_MS {
            return Err(TrustError::TooLong(signature.who()));
        }
        if signature.fits(&self.bus, event) { Ok(()) } else { Err(TrustError::Wrong(signature.who())) }
    }

    fn member(&self, person: &Person) -> Result<&Member, TrustError> {
        let roster = self.roster.as_ref().ok_or(TrustError::NoRoster)?;
        roster.member(person).ok_or_else(|| TrustError::NotInRoster(Who::Person(person.clone())))
    }

    /// Whose the signatures are. Each key is in force, each person signed once.
    fn signers(&self, signatures: &[Signature], at_ms: i64) -> Result<Signers<'_>, TrustError> {
        let mut signers = Signers { at_ms, root: false, members: Vec::new() };
        let mut seen = BTreeSet::new();
        for signature in signatures {
            let who = signature.who();
            if !seen.insert(who.clone()) {
                return Err(TrustError::Twice(who));
            }
            match &signature.person {
                None if self.root == Some(signature.key) => signers.root = true,
                None => return Err(TrustError::NotInRoster(who)),
                Some(person) => {
                    let member = self.member(person)?;
                    if !member.signs_with(&signature.key, at_ms) {
                        return Err(TrustError::NotInRoster(who));
                    }
                    signers.members.push(member);
                }
            }
        }
        Ok(signers)
    }

    pub(super) fn fold_roster(&mut self, roster: Roster) -> Result<(), String> {
        let next = self.roster.as_ref().map_or(1, |roster| roster.number + 1);
        if roster.number != next {
            return Err(format!("roster {} does not follow; the next has number {next}", roster.number));
        }
        roster.check()?;
        if let Some(old) = self.roster.as_deref() {
            roster.follows(old)?;
        }
        self.roster = Some(Arc::new(roster));
        Ok(())
    }

    pub(super) fn fold_rotation(
        &mut self,
        person: &Person,
        from: PublicKey,
        to: PublicKey,
        at_ms: i64,
    ) -> Result<(), String> {
        let mut roster = self.roster.as_deref().cloned().ok_or("there is no roster in which a key could change")?;
        let member = roster.persons.iter_mut().find(|m| &m.person == person);
        let member = member.ok_or_else(|| format!("{person} is not in the roster"))?;
        let old = member.keys.iter_mut().find(|k| k.public == from);
        let old = old.ok_or_else(|| format!("{person} has no key {from}"))?;
        // Never later than it would have ended anyway.
        let until_ms = old.until_ms;
        old.until_ms = Some(until_ms.map_or(at_ms, |until| until.min(at_ms)));
        member.keys.push(PersonKey { public: to, from_ms: at_ms, until_ms });
        roster.check()?;
        self.roster = Some(Arc::new(roster));
        Ok(())
    }

    pub(super) fn fold_proposal(&mut self, proposal: Proposal, at_ms: i64) -> Result<(), String> {
        let id = &proposal.id;
        if self.proposals.contains_key(id) {
            return Err(format!("proposal {id} was made before"));
        }
        if proposal.deadline_ms <= at_ms {
            return Err(format!("the deadline of proposal {id} has passed when it is made"));
        }
        if let Document::Relaxation(relaxation) = &proposal.document {
            self.may_relax(relaxation, at_ms)?;
        }
        if proposal.deadline_ms.saturating_sub(at_ms) > MAX_CARRIED_MS {
            return Err(format!("the deadline of proposal {id} lies more than 90 days ahead; give it a nearer one"));
        }
        if proposal.page_sha256.len() > MAX_PAGE_DIGEST_BYTES {
            return Err(format!("proposal {id} names its page by more than the 64 digits of a SHA-256"));
        }
        let standing = Standing::new(proposal);
        let Proposal { id, author, .. } = &standing.proposal;
        let lapsed = |s: &Standing| s.released.is_none() && s.lapses_ms() <= at_ms;
        let open = |s: &&Standing| &s.proposal.author == author && s.released.is_none() && !lapsed(s);
        let (mut number, mut bytes) = (1, standing.bytes);
        for other in self.proposals.values().filter(open) {
            (number, bytes) = (number + 1, bytes + other.bytes);
        }
        if number > MAX_OPEN_PROPOSALS || bytes > MAX_OPEN_PROPOSAL_BYTES {
            return Err(format!(
                "proposal {id} would be one of {number} open ones of {author}, of {bytes} bytes; at most {MAX_OPEN_PROPOSALS} of {MAX_OPEN_PROPOSAL_BYTES} bytes are kept: have others released first, or wait until they lapse"
            ));
        }
        // What can never be released any more is forgotten here; it stays in the log.
        self.proposals.retain(|_, s| !lapsed(s));
        self.proposals.insert(id.clone(), standing);
        Ok(())
    }

    /// The approved proposal that the coming into force of a document rests on, and which is used up with it.
    pub(super) fn approval(&self, at_ms: i64, document: &Document) -> Option<ProposalId> {
        if !self.is_signed() {
            return None;
        }
        let digest = document.digest();
        let of_it = |s: &&Standing| s.digest == digest && needs::gaps(self, s, at_ms).is_empty();
        self.proposals.values().find(of_it).map(|s| s.proposal.id.clone())
    }

    pub(super) fn fold_vote(&mut self, vote: Vote, signatures: &[Signature], at_ms: i64) -> Result<(), String> {
        let Vote { proposal: id, person, reason, article, verdict, .. } = &vote;
        let standing = self.proposals.get_mut(id).ok_or_else(|| format!("there is no proposal {id}"))?;
        if vote.document_sha256 != standing.digest || vote.page_sha256 != standing.proposal.page_sha256 {
            return Err(format!("the vote of {person} is on another document or page than that of proposal {id}"));
        }
        if standing.released.is_some() {
            return Err(format!("the vote of {person} comes after the release of proposal {id}"));
        }
        if standing.proposal.deadline_ms <= at_ms {
            return Err(format!("the vote of {person} comes after the deadline of proposal {id}"));
        }
        if *verdict == Verdict::Refuse && reason.trim().is_empty() {
            return Err(format!("{person} refuses proposal {id} without a reason"));
        }
        let of_a_grant = matches!(standing.proposal.document, Document::Grant(_));
        if *verdict == Verdict::Refuse && of_a_grant && article.trim().is_empty() {
            return Err(format!("{person} refuses the grant of proposal {id} without an article of law"));
        }
        if reason.len() + article.len() > MAX_REASON_BYTES {
            return Err(format!("the reason of {person} has more than {MAX_REASON_BYTES} bytes"));
        }
        if *verdict == Verdict::Approve && person == &standing.proposal.author {
            return Err(format!("{person} made proposal {id} and does not approve it"));
        }
        if standing.votes.iter().filter(|(_, other)| &other.person == person).count() >= MAX_VOTES {
            return Err(format!("{person} has voted {MAX_VOTES} times on proposal {id}; the last vote stands"));
        }
        // Others may have signed beside them.
        if let Some(own) = signatures.iter().find(|s| s.person.as_ref() == Some(person)) {
            standing.signed_with.insert(person.clone(), (own.key, at_ms));
        }
        standing.votes.push((at_ms, vote));
        Ok(())
    }
}

/// A change of key is signed with each of these keys, no two of which are one, by the same person and by nobody else.
fn together(signatures: &[Signature], person: Option<&Person>, keys: &[Option<PublicKey>]) -> Result<(), TrustError> {
    let have: BTreeSet<PublicKey> = signatures.iter().map(|s| s.key).collect();
    let named: Vec<PublicKey> = keys.iter().copied().flatten().collect();
    let wanted: BTreeSet<PublicKey> = named.iter().copied().collect();
    if have == wanted && wanted.len() == named.len() && signatures.iter().all(|s| s.person.as_ref() == person) {
        return Ok(());
    }
    let who = person.cloned().map_or(Who::Root, Who::Person);
    let needs = format!("the signatures of {who} with every key that ends or begins with it, all of them different");
    if signatures.is_empty() {
        return Err(TrustError::Unsigned { needs });
    }
    Err(TrustError::MissingRole { needs, by: format!("{} keys", have.len()) })
}

#[cfg(test)]
mod tests;
