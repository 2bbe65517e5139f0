//! Control events, and what they add up to.
//!
//! `kenh.control` is the ordered log of everything that was decided about the bus. A role folds it into a
//! [`ControlSet`], an immutable value that is swapped whole at a marker (invariant 8).

mod authority;
mod relaxation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::contract::Contract;
use crate::frame::Version;
use crate::grant::{EndReason, Grant};
use crate::law::{Article, standing_on};
use crate::limits::{MAX_EMERGENCY_MS, MAX_REASON_BYTES};
use crate::log::Position;
use crate::names::{Agency, ArticleId, Dataset, GrantId, Person, Principal, RelaxationId, View};
use crate::relaxation::{Relaxation, RelaxationEntry};
use crate::topic::{Edition, Topic};
use crate::trust::{Document, Nonce, Proposal, ProposalId, PublicKey, Roster, Signature, Standing, TrustError, Vote};
use crate::wire::SchemaId;

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

/// Number of an edition of a view on this bus: given once, in the order of activation, and never again. It names the
/// edition in the router's state, where its topic's name would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ViewNo(pub u32);

/// One record of `kenh.control`: JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRecord {
    /// Format number.
    pub format: u32,
    /// When it was written: milliseconds since 1970 (UTC). What takes effect when is decided by markers, not by this.
    pub at_ms: i64,
    /// What was decided.
    pub event: ControlEvent,
    /// Signatures over the event; empty on a bus whose genesis says `unsigned`.
    #[serde(default)]
    pub signatures: Vec<Signature>,
}

impl ControlRecord {
    /// When what it decides comes into force: the start of an activation, which may lie ahead, else the record's own time.
    /// What it rests on must stand by then.
    #[must_use]
    pub fn comes_into_force_ms(&self) -> i64 {
        match &self.event {
            ControlEvent::Grant(activation) => activation.starts_ms.max(self.at_ms),
            _ => self.at_ms,
        }
    }
}

/// Whether control events must be signed on this bus, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nothing is signed: embedded or on loopback only.
    Unsigned,
    /// Signatures lead back to this public key.
    Root(PublicKey),
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ControlEvent {
    /// The first event of every bus.
    Genesis {
        /// Whether events are signed.
        trust: Trust,
    },
    /// An agency joins, or its document changes.
    Agency(AgencyDocument),
    /// A schema has an id. Ids are given in order from 1; a schema's text never changes.
    Schema(SchemaDocument),
    /// A contract comes into force, or a new version of it does.
    Contract(Box<Contract>),
    /// A grant comes into force. With an edition above 1 it replaces the active edition of the same view once it is
    /// filled, or at once if that one has ended.
    Grant(Box<Activation>),
    /// A grant is renewed: same shape, same topic, later end.
    Renewal {
        /// The edition that goes on.
        view_no: ViewNo,
        /// The grant it now rests on (its id differs from the old one).
        grant: Box<Grant>,
        /// The new end: milliseconds since 1970 (UTC).
        ends_ms: i64,
    },
    /// An edition of a view ends.
    End {
        /// Which.
        view_no: ViewNo,
        /// Why.
        reason: EndReason,
        /// The same in the words of whoever decided it, at most [`MAX_REASON_BYTES`]; none where nobody did.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        because: String,
    },
    /// A provider's versions start anew (a source was restored from a backup).
    Epoch {
        /// In which dataset.
        dataset: Dataset,
        /// Whose.
        provider: Agency,
        /// The new epoch.
        epoch: u32,
        /// The two persons who said so.
        by: [String; 2],
    },
    /// An article of law is recorded, or its last day is set: what rests on it ends with that day.
    Law(Article),
    /// Who may decide from now on.
    Roster(Box<Roster>),
    /// The root signs with another key from now on: it was changed, or the spare takes the place of one that is lost.
    Root {
        /// The new one.
        key: PublicKey,
    },
    /// The key that may replace the root's, should that be lost or stolen. It decides nothing else.
    Spare {
        /// It.
        key: PublicKey,
    },
    /// A person signs with another key from now on.
    Rotation {
        /// Who.
        person: Person,
        /// The key that ends with this.
        from: PublicKey,
        /// The new one.
        to: PublicKey,
    },
    /// A document is put to the vote.
    Proposal(Box<Proposal>),
    /// Somebody votes on it.
    Vote(Vote),
    /// From now on and for a few hours a rule warns where it would reject.
    Relaxation(Box<Relaxation>),
    /// A relaxed rule rejects again before its time.
    Restoration {
        /// Which relaxation ends.
        relaxation: RelaxationId,
        /// Why, in words, at most [`MAX_REASON_BYTES`].
        #[serde(default, skip_serializing_if = "String::is_empty")]
        because: String,
    },
}

/// An agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AgencyDocument {
    /// Its name on the bus.
    pub name: Agency,
    /// Its national code (`H29`, `H29.5.1`).
    pub code: String,
    /// What it is called.
    pub title: String,
    /// Its systems: who may act for it.
    pub systems: Vec<Principal>,
}

/// A schema with its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SchemaDocument {
    /// Its id.
    pub id: SchemaId,
    /// The subject it is registered under (`<topic>-value`; for the parts of a contract see `governance`).
    pub subject: String,
    /// Its version in the subject, from 1.
    pub version: u32,
    /// Its JSON text.
    pub schema: String,
}

/// A grant that has come into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Activation {
    /// The number of this edition on this bus.
    pub view_no: ViewNo,
    /// The edition in the view's name.
    pub edition: Edition,
    /// The grant.
    pub grant: Grant,
    /// The id of the view's schema.
    pub schema_id: SchemaId,
    /// From when: milliseconds since 1970 (UTC), inclusive.
    pub starts_ms: i64,
    /// Until when: milliseconds since 1970 (UTC), exclusive.
    pub ends_ms: i64,
    /// Label under which pseudonyms and hashes of this recipient and purpose are derived from the node's master secret.
    pub secret_label: String,
}

impl Activation {
    /// The view's topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        let Grant { recipient, dataset, view, .. } = &self.grant;
        Topic::View(recipient.clone(), dataset.clone(), view.clone(), self.edition)
    }
}

/// An edition of a view, and whether it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewEntry {
    /// What came into force, as renewed since.
    pub activation: Arc<Activation>,
    /// Where in the control log it was activated.
    pub at: Position,
    /// Where and why it ended by an event; its time may also simply run out.
    pub ended: Option<(Position, EndReason)>,
}

impl ViewEntry {
    /// Whether it is in force at `clock_ms`.
    #[must_use]
    pub fn in_force(&self, clock_ms: i64) -> bool {
        self.ended.is_none() && self.activation.starts_ms <= clock_ms && clock_ms < self.activation.ends_ms
    }
}

/// Everything in force after some position of the control log. Immutable once made; folding makes a new one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ControlSet {
    /// Position of the last event folded in.
    pub position: Position,
    /// Digest of the control log up to there: each event's bytes are hashed onto the digest before.
    pub digest: [u8; 32],
    /// From the genesis; none before it.
    pub trust: Option<Trust>,
    /// Agencies by name.
    pub agencies: BTreeMap<Agency, AgencyDocument>,
    /// Schemas by id.
    pub schemas: BTreeMap<SchemaId, Arc<SchemaDocument>>,
    /// Contracts by dataset.
    pub contracts: BTreeMap<Dataset, Arc<Contract>>,
    /// Editions of views, ended ones too.
    pub views: BTreeMap<ViewNo, ViewEntry>,
    /// Epochs that were raised; all others are 0.
    pub epochs: BTreeMap<(Dataset, Agency), u32>,
    /// Ids of grants that another grant has taken over from in a renewal. Like those of ended grants, never used again.
    pub retired: BTreeSet<GrantId>,
    /// Articles of law.
    pub articles: BTreeMap<ArticleId, Article>,
    /// Ends as granted, of views whose end an article of law brings forward.
    pub agreed: BTreeMap<ViewNo, i64>,
    /// Why views have ended, in the words of whoever decided it; empty where nobody did.
    pub reasons: BTreeMap<ViewNo, String>,
    /// SHA-256 of the genesis record: what signatures are bound to.
    pub bus: [u8; 32],
    /// The root's present key.
    pub root: Option<PublicKey>,
    /// The key that may replace it, where one was named.
    pub spare: Option<PublicKey>,
    /// Who may decide; none before the first roster.
    pub roster: Option<Arc<Roster>>,
    /// What was put to the vote, with the votes.
    pub proposals: BTreeMap<ProposalId, Standing>,
    /// Relaxations of rules, past ones too.
    pub relaxations: BTreeMap<RelaxationId, RelaxationEntry>,
    /// Nonces of signatures that have not expired yet, each with that time.
    pub spent: BTreeMap<Nonce, i64>,
    /// The time of the last record that counted on a bus with a root.
    pub at_ms: i64,
}

/// A control event that does not fit what was decided before it. Such a record is ignored and reported; it changes
/// nothing but position and digest.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Not JSON of this format.
    #[error("control record at {position} is not readable")]
    Unreadable {
        /// Where it lies.
        position: Position,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a newer release.
    #[error("control record at {position} has format {format}; this release reads {FORMAT}: use a newer kenh")]
    Format {
        /// Where it lies.
        position: Position,
        /// Its format.
        format: u32,
    },
    /// It has not the signatures that it needs.
    #[error("control record at {position} does not count: {source}")]
    Untrusted {
        /// Where it lies.
        position: Position,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// It contradicts what stands.
    #[error("control record at {position}: {reason}")]
    Refused {
        /// Where it lies.
        position: Position,
        /// Why.
        reason: String,
    },
}

impl ControlSet {
    /// Folds one record in. Position and digest move on in any case.
    ///
    /// # Errors
    /// [`ControlError`]: the record is ignored.
    pub fn apply(&mut self, position: Position, bytes: &[u8]) -> Result<(), ControlError> {
        let mut hasher = Sha256::new();
        hasher.update(self.digest);
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
        self.digest = hasher.finalize().into();
        self.position = position;
        let unreadable = |source| ControlError::Unreadable { position, source };
        // Signatures are over the event as it was written, field by field.
        let mut written: serde_json::Value = serde_json::from_slice(bytes).map_err(unreadable)?;
        let record: ControlRecord = serde_json::from_slice(bytes).map_err(unreadable)?;
        if record.format != FORMAT {
            return Err(ControlError::Format { position, format: record.format });
        }
        let event = written["event"].take();
        let next = self.authorise(&record, &event).map_err(|source| ControlError::Untrusted { position, source })?;
        if matches!(record.event, ControlEvent::Genesis { .. }) && self.trust.is_none() {
            self.bus = Sha256::digest(bytes).into();
        }
        let released = match &record.event {
            ControlEvent::Contract(contract) => Some(Document::of_contract(contract)),
            ControlEvent::Grant(activation) => Some(Document::of_grant(&activation.grant)),
            ControlEvent::Renewal { grant, .. } => Some(Document::of_grant(grant)),
            ControlEvent::Relaxation(relaxation) => Some(Document::of_relaxation(relaxation)),
            _ => None,
        };
        // As decided by the set before: a contract may pass to another owner with it.
        let proposal = released.and_then(|document| self.approval(record.comes_into_force_ms(), &document));
        let ControlRecord { at_ms, event, signatures, .. } = record;
        self.fold(position, at_ms, &signatures, event).map_err(|reason| ControlError::Refused { position, reason })?;
        if let Some(standing) = proposal.and_then(|id| self.proposals.get_mut(&id)) {
            standing.released = Some(position);
        }
        // Only what somebody signed moves the time on: a date that nobody signs could lie far ahead, and nothing that is
        // signed now would count after it.
        if let Some(spent) = next.filter(|_| !signatures.is_empty()) {
            self.spent = spent;
            self.at_ms = at_ms;
        }
        Ok(())
    }

    fn fold(
        &mut self,
        position: Position,
        at_ms: i64,
        signatures: &[Signature],
        event: ControlEvent,
    ) -> Result<(), String> {
        if self.trust.is_none() != matches!(event, ControlEvent::Genesis { .. }) {
            return Err("the genesis is the first event and the only one of its kind".into());
        }
        match event {
            ControlEvent::Genesis { trust } => {
                if let Trust::Root(key) = &trust {
                    self.root = Some(*key);
                }
                self.trust = Some(trust);
            }
            ControlEvent::Agency(document) => {
                if let Some(role) = document.systems.iter().find(|s| s.is_role()) {
                    return Err(format!("system {role} of agency {} bears the name of a role", document.name));
                }
                self.agencies.insert(document.name.clone(), document);
            }
            ControlEvent::Schema(document) => {
                if let Some(known) = self.schemas.get(&document.id)
                    && known.schema != document.schema
                {
                    return Err(format!("schema id {} is taken by another text", document.id));
                }
                self.schemas.insert(document.id, Arc::new(document));
            }
            ControlEvent::Contract(contract) => self.fold_contract(*contract)?,
            ControlEvent::Grant(activation) => self.fold_grant(position, *activation)?,
            ControlEvent::Renewal { view_no, grant, ends_ms } => self.fold_renewal(view_no, *grant, ends_ms)?,
            ControlEvent::End { view_no, reason, because } => self.fold_end(position, view_no, reason, because)?,
            ControlEvent::Epoch { dataset, provider, epoch, by } => {
                if by[0] == by[1] {
                    return Err("an epoch is raised by two persons, not by one twice".into());
                }
                let known = self.epoch(&dataset, &provider);
                if epoch <= known {
                    return Err(format!("epoch {epoch} is not above {known}"));
                }
                self.epochs.insert((dataset, provider), epoch);
            }
            ControlEvent::Law(article) => self.fold_law(article, at_ms)?,
            ControlEvent::Roster(roster) => self.fold_roster(*roster)?,
            ControlEvent::Root { key } => self.root = Some(key),
            ControlEvent::Spare { key } => self.spare = Some(key),
            ControlEvent::Rotation { person, from, to } => self.fold_rotation(&person, from, to, at_ms)?,
            ControlEvent::Proposal(proposal) => self.fold_proposal(*proposal, at_ms)?,
            ControlEvent::Vote(vote) => self.fold_vote(vote, signatures, at_ms)?,
            ControlEvent::Relaxation(relaxation) => self.fold_relaxation(*relaxation, at_ms)?,
            ControlEvent::Restoration { relaxation, because } => {
                self.fold_restoration(position, &relaxation, because)?;
            }
        }
        Ok(())
    }

    /// A renewal changes purpose, basis, systems and end; what the recipient sees, and who that is, it cannot change.
    fn fold_renewal(&mut self, view_no: ViewNo, grant: Grant, ends_ms: i64) -> Result<(), String> {
        let systems = self.agencies.get(&grant.recipient).map(|agency| agency.systems.clone()).unwrap_or_default();
        let entry = self.views.get_mut(&view_no).ok_or_else(|| format!("there is no view {}", view_no.0))?;
        if entry.ended.is_some() {
            return Err(format!("view {} has ended and cannot be renewed", view_no.0));
        }
        let (old, label) = (&entry.activation.grant, &entry.activation.secret_label);
        let terms = |grant| crate::shape::terms_of(grant, label).ok();
        let same = (&old.recipient, &old.view) == (&grant.recipient, &grant.view)
            && terms(old).is_some_and(|terms_of_old| terms(&grant) == Some(terms_of_old));
        if !same {
            return Err(format!(
                "grant {} renews view {} with another shape or for somebody else",
                grant.id, view_no.0
            ));
        }
        if let Some(other) = grant.systems.iter().find(|s| !systems.contains(s)) {
            return Err(format!("grant {}: {other} is not a system of {}", grant.id, grant.recipient));
        }
        emergency_is_short(&grant, entry.activation.starts_ms, ends_ms)?;
        if old.id != grant.id {
            self.retired.insert(old.id.clone());
        }
        entry.activation = Arc::new(Activation { grant, ends_ms, ..(*entry.activation).clone() });
        self.agreed.remove(&view_no);
        self.end_with_the_law();
        Ok(())
    }

    /// An article comes, or its validity changes. What has happened does not: the last day of an article is set before it
    /// is over, and not taken back after, so that no view that has ended by it comes back.
    fn fold_law(&mut self, article: Article, at_ms: i64) -> Result<(), String> {
        if article.until.is_some_and(|until| until < article.from) {
            return Err(format!("article {} would end before it begins", article.id));
        }
        if let Some(known) = self.articles.get(&article.id) {
            if known.citation != article.citation || known.from != article.from {
                return Err(format!("article {} is another: its citation and first day stay", article.id));
            }
            if known.until != article.until && (known.ends_ms() <= at_ms || article.ends_ms() <= at_ms) {
                return Err(format!(
                    "article {}: a last day is set while it lies ahead, and not afterwards",
                    article.id
                ));
            }
        }
        self.articles.insert(article.id.clone(), article);
        self.end_with_the_law();
        Ok(())
    }

    /// Brings every end forward to that of the articles that the grant rests on, and gives back what was granted where
    /// they hold longer.
    fn end_with_the_law(&mut self) {
        for (view_no, entry) in self.views.iter_mut().filter(|(_, entry)| entry.ended.is_none()) {
            let granted = self.agreed.get(view_no).copied().unwrap_or(entry.activation.ends_ms);
            let law = standing_on(self.articles.values(), &entry.activation.grant).map(Article::ends_ms).min();
            let ends_ms = law.map_or(granted, |law| law.min(granted));
            if ends_ms < granted {
                self.agreed.insert(*view_no, granted);
            } else {
                self.agreed.remove(view_no);
            }
            if ends_ms != entry.activation.ends_ms {
                entry.activation = Arc::new(Activation { ends_ms, ..(*entry.activation).clone() });
            }
        }
    }

    /// Why an edition gives nothing more at `now_ms` (milliseconds since 1970, UTC): by an event, by an article that is out
    /// of force, or because its time ran out. None while it stands.
    #[must_use]
    pub fn end_of(&self, entry: &ViewEntry, now_ms: i64) -> Option<EndReason> {
        match entry.ended {
            Some((_, reason)) => Some(reason),
            None if now_ms < entry.activation.ends_ms => None,
            None if self.agreed.contains_key(&entry.activation.view_no) => Some(EndReason::Law),
            None => Some(EndReason::Expired),
        }
    }

    /// The first end stays; only what is suspended may end in another way yet.
    fn fold_end(&mut self, at: Position, no: ViewNo, reason: EndReason, because: String) -> Result<(), String> {
        if because.len() > MAX_REASON_BYTES {
            return Err(format!("the reason why view {} ends is longer than {MAX_REASON_BYTES} bytes", no.0));
        }
        let entry = self.views.get_mut(&no).ok_or_else(|| format!("there is no view {}", no.0))?;
        let suspended = matches!(entry.ended, Some((_, EndReason::Suspended)));
        if entry.ended.is_none() || (suspended && reason != EndReason::Suspended) {
            entry.ended = Some((at, reason));
            self.reasons.insert(no, because);
        }
        Ok(())
    }

    fn fold_contract(&mut self, contract: Contract) -> Result<(), String> {
        if contract.schemas.is_empty() {
            return Err(format!("contract {} has no schema", contract.dataset));
        }
        if let Some(old) = self.contracts.get(&contract.dataset) {
            // Invariant 5: a released schema version is never edited, nor taken back.
            if !contract.schemas.starts_with(&old.schemas) {
                return Err(format!("contract {} edits or drops a released schema version", contract.dataset));
            }
            if contract.partitions != old.partitions || contract.key != old.key {
                return Err(format!("contract {} changes its record key or partitions in place", contract.dataset));
            }
        }
        self.contracts.insert(contract.dataset.clone(), Arc::new(contract));
        Ok(())
    }

    fn fold_grant(&mut self, position: Position, activation: Activation) -> Result<(), String> {
        let grant = &activation.grant;
        if self.views.contains_key(&activation.view_no) {
            return Err(format!("view number {} is taken", activation.view_no.0));
        }
        if self.retired.contains(&grant.id) {
            return Err(format!("grant id {} was used before", grant.id));
        }
        if !self.contracts.contains_key(&grant.dataset) {
            return Err(format!("grant {}: there is no contract for {}", grant.id, grant.dataset));
        }
        let agency = self.agencies.get(&grant.recipient);
        let Some(agency) = agency else {
            return Err(format!("grant {}: there is no agency {}", grant.id, grant.recipient));
        };
        if let Some(other) = grant.systems.iter().find(|s| !agency.systems.contains(s)) {
            return Err(format!("grant {}: {other} is not a system of {}", grant.id, grant.recipient));
        }
        emergency_is_short(grant, activation.starts_ms, activation.ends_ms)?;
        let not_yet = |a: &&Article| !a.in_force(activation.starts_ms);
        if let Some(article) = standing_on(self.articles.values(), grant).find(not_yet) {
            return Err(format!("grant {} rests on article {}, which is not in force", grant.id, article.id));
        }
        let same_name = |v: &&ViewEntry| v.activation.topic() == activation.topic();
        if self.views.values().any(|v| same_name(&v)) {
            return Err(format!("grant {}: topic {} was used before", grant.id, activation.topic()));
        }
        let entry = ViewEntry { activation: Arc::new(activation), at: position, ended: None };
        self.views.insert(entry.activation.view_no, entry);
        self.end_with_the_law();
        Ok(())
    }

    /// Editions of views of `dataset` that are in force at `clock_ms`, in the order of their numbers.
    pub fn in_force<'a>(&'a self, dataset: &'a Dataset, clock_ms: i64) -> impl Iterator<Item = &'a ViewEntry> + 'a {
        self.views.values().filter(move |v| &v.activation.grant.dataset == dataset && v.in_force(clock_ms))
    }

    /// Every edition of one view of one agency, oldest first.
    pub fn editions<'a>(
        &'a self,
        agency: &'a Agency,
        dataset: &'a Dataset,
        view: &'a View,
    ) -> impl Iterator<Item = &'a ViewEntry> + 'a {
        self.views.values().filter(move |v| {
            let g = &v.activation.grant;
            &g.recipient == agency && &g.dataset == dataset && &g.view == view
        })
    }

    /// The entry that rests on grant `id`, the newest if it was renewed under the same name.
    #[must_use]
    pub fn view_of_grant(&self, id: &GrantId) -> Option<&ViewEntry> {
        self.views.values().rev().find(|v| &v.activation.grant.id == id)
    }

    /// The epoch of a provider's versions in a dataset.
    #[must_use]
    pub fn epoch(&self, dataset: &Dataset, provider: &Agency) -> u32 {
        self.epochs.get(&(dataset.clone(), provider.clone())).copied().unwrap_or_default()
    }

    /// The next moment after `clock_ms` at which a view or a relaxation of `dataset` starts or ends by its time.
    #[must_use]
    pub fn next_due(&self, dataset: &Dataset, clock_ms: i64) -> Option<i64> {
        let views = self.views.values().filter(|v| &v.activation.grant.dataset == dataset && v.ended.is_none());
        let views = views.flat_map(|v| [v.activation.starts_ms, v.activation.ends_ms]);
        let relaxations = self.relaxations.values();
        let relaxations = relaxations.filter(|r| &r.relaxation.dataset == dataset && r.ended.is_none());
        let relaxations = relaxations.flat_map(|r| [r.starts_ms, r.relaxation.ends_ms]);
        views.chain(relaxations).filter(|at| *at > clock_ms).min()
    }

    /// A version under the epoch in force.
    #[must_use]
    pub fn version(&self, dataset: &Dataset, provider: &Agency, version: u64) -> Version {
        Version { epoch: self.epoch(dataset, provider), version }
    }
}

/// An emergency is over soon, or is no emergency.
fn emergency_is_short(grant: &Grant, starts_ms: i64, ends_ms: i64) -> Result<(), String> {
    if grant.emergency && ends_ms.saturating_sub(starts_ms) > MAX_EMERGENCY_MS {
        return Err(format!("grant {} is an emergency grant and would hold for more than 72 hours", grant.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{GrantedField, KeyForm};
    use crate::topic::Edition;

    fn grant(id: &str) -> Grant {
        let field = |path: &str| GrantedField { path: path.into(), name: None, mask: None };
        Grant {
            id: GrantId::new(id).unwrap(),
            recipient: Agency::new("H29").unwrap(),
            systems: vec![Principal::new("h29-portal").unwrap()],
            dataset: Dataset::new("d").unwrap(),
            view: View::main(),
            purpose: "p".into(),
            legal_basis: vec!["b".into()],
            fields: vec![field("Ma"), field("Noi.Ten")],
            filter: Some("Ma == \"1\"".into()),
            key: KeyForm::Clear,
            duration: "P1M".into(),
            template: None,
            emergency: false,
        }
    }

    fn set() -> ControlSet {
        let agency = |name: &str| AgencyDocument {
            name: Agency::new(name).unwrap(),
            code: name.into(),
            title: name.into(),
            systems: vec![Principal::new(&format!("{}-portal", name.to_lowercase())).unwrap()],
        };
        let activation = Activation {
            view_no: ViewNo(1),
            edition: Edition(1),
            grant: grant("a"),
            schema_id: SchemaId(3),
            starts_ms: 0,
            ends_ms: 10,
            secret_label: "x".into(),
        };
        let mut set = ControlSet::default();
        set.agencies.extend(["H29", "G12"].map(|n| (Agency::new(n).unwrap(), agency(n))));
        let entry = ViewEntry { activation: Arc::new(activation), at: Position(1), ended: None };
        set.views.insert(ViewNo(1), entry);
        set
    }

    #[test]
    fn a_renewal_moves_the_end_and_nothing_that_the_recipient_sees() {
        let mut good = set();
        let renewed = Grant { purpose: "another".into(), ..grant("b") };
        good.fold_renewal(ViewNo(1), renewed, 20).unwrap();
        assert_eq!(good.views[&ViewNo(1)].activation.ends_ms, 20);
        assert!(good.retired.contains(&GrantId::new("a").unwrap()));

        let mut wider = grant("b");
        wider.fields.pop();
        let portal = vec![Principal::new("g12-portal").unwrap()];
        let g12 = Grant { recipient: Agency::new("G12").unwrap(), systems: portal.clone(), ..grant("b") };
        for bad in [
            wider,
            g12,
            Grant { systems: portal, ..grant("b") },
            Grant { filter: None, ..grant("b") },
            Grant { key: KeyForm::Pseudonym, ..grant("b") },
            Grant { view: View::new("other").unwrap(), ..grant("b") },
            Grant { dataset: Dataset::new("e").unwrap(), ..grant("b") },
        ] {
            let mut set = set();
            let before = set.clone();
            assert!(set.fold_renewal(ViewNo(1), bad, 20).is_err());
            assert_eq!(set, before, "a refused renewal changes nothing");
        }
    }

    fn article(until: Option<&str>) -> Article {
        Article {
            id: ArticleId::new("luat").unwrap(),
            citation: "Luật".into(),
            title_en: "Law".into(),
            from: "1970-01-01".parse().unwrap(),
            until: until.map(|day| day.parse().unwrap()),
        }
    }

    /// A view on "Luật, Điều 1" until 2026-01-01 00:00 UTC.
    fn on_a_law() -> ControlSet {
        let mut set = set();
        let entry = set.views.get_mut(&ViewNo(1)).unwrap();
        let grant = Grant { legal_basis: vec!["Luật, Điều 1".into()], ..grant("a") };
        entry.activation = Arc::new(Activation { grant, ends_ms: 1_767_225_600_000, ..(*entry.activation).clone() });
        set
    }

    #[test]
    fn a_view_ends_with_the_article_it_rests_on_unless_it_is_based_anew() {
        let mut set = on_a_law();
        let ends = |set: &ControlSet| set.views[&ViewNo(1)].activation.ends_ms;
        set.fold_law(article(None), 0).unwrap();
        assert_eq!(ends(&set), 1_767_225_600_000);
        let repealed = article(Some("2025-06-30"));
        set.fold_law(repealed.clone(), 0).unwrap();
        assert_eq!(ends(&set), repealed.ends_ms());
        let entry = &set.views[&ViewNo(1)];
        assert_eq!(set.end_of(entry, repealed.ends_ms() - 1), None);
        assert_eq!(set.end_of(entry, repealed.ends_ms()), Some(EndReason::Law));

        // The repeal is taken back in time, and what was granted holds again.
        let mut again = set.clone();
        again.fold_law(article(None), repealed.ends_ms() - 1).unwrap();
        assert_eq!(ends(&again), 1_767_225_600_000);
        assert_eq!(again.end_of(&again.views[&ViewNo(1)], 1_767_225_600_000), Some(EndReason::Expired));

        // Based on another law, it holds as long as that says.
        let other = Grant { legal_basis: vec!["Nghị định".into()], ..grant("a") };
        set.fold_renewal(ViewNo(1), other, 1_767_225_600_001).unwrap();
        assert_eq!(ends(&set), 1_767_225_600_001);
    }

    #[test]
    fn what_an_article_has_ended_does_not_come_back() {
        let mut set = on_a_law();
        let repealed = article(Some("2025-06-30"));
        set.fold_law(repealed.clone(), 0).unwrap();
        let over = repealed.ends_ms();
        let before = set.clone();
        for (changed, at_ms) in [
            (article(None), over),
            (article(Some("2026-06-30")), over),
            (article(Some("2024-06-30")), over - 1),
            (Article { citation: "Khác".into(), ..article(None) }, 0),
            (Article { from: "2020-01-01".parse().unwrap(), ..article(None) }, 0),
            (Article { id: ArticleId::new("hai").unwrap(), ..article(Some("1969-12-31")) }, 0),
        ] {
            assert!(set.fold_law(changed, at_ms).is_err());
            assert_eq!(set, before, "a refused article changes nothing");
        }
    }

    #[test]
    fn a_grant_on_an_article_out_of_force_does_not_start_and_no_emergency_is_long() {
        let mut set = set();
        set.contracts.insert(Dataset::new("d").unwrap(), Arc::new(contract()));
        let second = |change: &dyn Fn(&mut Activation)| {
            let old = &*set.views[&ViewNo(1)].activation;
            let mut next = Activation { view_no: ViewNo(2), edition: Edition(2), ..old.clone() };
            change(&mut next);
            next
        };
        let on = |basis: &str| Grant { legal_basis: vec![basis.into()], ..grant("a") };
        let over = article(Some("1980-01-01"));
        let cases = [
            (second(&|a| (a.grant, a.starts_ms) = (on("Luật"), over.ends_ms())), false),
            (second(&|a| (a.grant, a.starts_ms) = (on("Luật"), over.ends_ms() - 1)), true),
            (second(&|a| (a.grant, a.starts_ms) = (on("Khác"), over.ends_ms())), true),
            (second(&|a| (a.grant.emergency, a.ends_ms) = (true, a.starts_ms + MAX_EMERGENCY_MS + 1)), false),
            (second(&|a| (a.grant.emergency, a.ends_ms) = (true, a.starts_ms + MAX_EMERGENCY_MS)), true),
        ];
        set.fold_law(over, 0).unwrap();
        for (i, (activation, taken)) in cases.into_iter().enumerate() {
            assert_eq!(set.clone().fold_grant(Position(9), activation).is_ok(), taken, "case {i}");
        }
    }

    #[test]
    fn what_is_suspended_may_still_end_and_the_first_end_stays() {
        let (mut set, no) = (set(), ViewNo(1));
        set.fold_end(Position(5), no, EndReason::Suspended, "kiểm tra".into()).unwrap();
        set.fold_end(Position(6), no, EndReason::Suspended, "khác".into()).unwrap();
        assert_eq!((set.views[&no].ended, &*set.reasons[&no]), (Some((Position(5), EndReason::Suspended)), "kiểm tra"));
        set.fold_end(Position(7), no, EndReason::Revoked, "vi phạm".into()).unwrap();
        set.fold_end(Position(8), no, EndReason::Ended, "muộn".into()).unwrap();
        assert_eq!((set.views[&no].ended, &*set.reasons[&no]), (Some((Position(7), EndReason::Revoked)), "vi phạm"));
        assert!(set.fold_end(Position(9), no, EndReason::Revoked, "x".repeat(MAX_REASON_BYTES + 1)).is_err());
    }

    fn contract() -> Contract {
        let text = r#"{"dataset":"d","version":"1","owner":"G12","partitions":1,"key":["Ma"],"providers":[],
            "schemas":[{"version":1,"id":1,"schema":"{}","envelope_id":2}]}"#;
        serde_json::from_str(text).unwrap()
    }
}
