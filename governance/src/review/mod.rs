//! Reviews: what a proposed contract, grant or relaxation would do, before anybody decides on it.
//!
//! [`examine`], [`examine_grant`] and [`examine_relaxation`] are pure: control set, proposal, examples, counts and time in, a
//! [`Review`] out. The review says what changes, what the automatic checks found, who is hit and how, who newly sees what of
//! about how many records under which article, what that is on a made-up record, and what each agency then holds of the
//! dataset. [`pages`] writes it for people, in Vietnamese and English, as Markdown and HTML; what they sign is the digest of
//! those pages ([`Pages::digest`]) and of the document.
//!
//! A review decides nothing. A finding that [blocks](Severity::Blocks) means that the proposal could not come into force
//! even if everybody approved it; there is no switch that passes over it. `docs/reviews.md` is the whole course of one.
//!
//! No real record is looked at: samples are made by the data dictionary ([`sample`]), and how many records there are is a
//! number that the caller brings.

mod contract;
pub(crate) mod given;
mod grant;
pub mod page;
mod relaxation;
pub mod sample;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use kenh_domain::contract::{Contract, FieldRules, Pii, SchemaVersion};
use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::grant::{Grant, GrantedField, KeyForm};
use kenh_domain::names::{Agency, Dataset, GrantId};
use kenh_domain::rule::{Lang, Rejection};
use kenh_domain::schema::Schema;
use kenh_domain::wire::SchemaId;
use serde::Serialize;

pub use contract::{examine, facts};
pub use grant::examine_grant;
pub use page::{Page, Pages, pages};
pub use relaxation::examine_relaxation;

use crate::declared::DeclaredContract;
use crate::layout;

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Words {
    /// English.
    pub en: String,
    /// Vietnamese.
    pub vi: String,
}

impl Words {
    /// The two texts.
    #[must_use]
    pub fn new(en: impl Into<String>, vi: impl Into<String>) -> Self {
        Self { en: en.into(), vi: vi.into() }
    }

    /// The same in both: names, numbers, articles of law.
    #[must_use]
    pub fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { vi: text.clone(), en: text }
    }

    /// One of them.
    #[must_use]
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Vi => &self.vi,
        }
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Note,
    /// To be judged by the people who decide.
    Attention,
    /// It cannot come into force like this.
    Blocks,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// The check's stable code.
    pub code: &'static str,
    /// The field, as a dotted path; empty when it is about the whole.
    pub field: String,
    /// What was found.
    pub says: Words,
}

/// What checks found that planning asks too, so that both say it in the same words.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub Vec<Finding>);

impl Findings {
    fn find(&mut self, severity: Severity, code: &'static str, field: impl Into<String>, says: Words) {
        self.0.push(Finding { severity, code, field: field.into(), says });
    }
}

/// Who is hit by a proposal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whom {
    /// An agency that writes the dataset.
    Provider(Agency),
    /// The agency that receives under a grant.
    Grant(GrantId, Agency),
}

/// How one provider or grant is hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Who.
    pub whom: Whom,
    /// How much.
    pub severity: Severity,
    /// How.
    pub how: Vec<Words>,
}

/// A field as somebody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenField {
    /// Its dotted path in the record.
    pub path: String,
    /// What it means.
    pub means: Words,
    /// Its class.
    pub class: Words,
    /// What of it is seen: as it is, or under a mask.
    pub form: Words,
}

/// What an agency sees that it has not seen until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewlySeen {
    /// Who.
    pub agency: Agency,
    /// Through which view.
    pub view: String,
    /// Which fields.
    pub fields: Vec<SeenField>,
    /// Of which rows.
    pub rows: Words,
    /// Of about how many records, if that is known.
    pub records: Option<u64>,
    /// Under which articles.
    pub legal_basis: Vec<String>,
}

/// One view that an agency holds, or will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Under which grant.
    pub grant: GrantId,
    /// Through which view.
    pub view: String,
    /// Whether the proposal brings it.
    pub proposed: bool,
    /// Whether people can be told apart only by a pseudonym.
    pub pseudonymised: bool,
    /// Its fields.
    pub fields: Vec<SeenField>,
    /// Its rows.
    pub rows: Words,
}

/// A made-up record, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// As whom it is shown to.
    pub whom: Words,
    /// Field and value before; none: not seen at all.
    pub before: Option<Vec<(String, String)>>,
    /// Field and value after.
    pub after: Option<Vec<(String, String)>>,
}

/// How many records there are: numbers that the caller knows, none of them looked up here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// In the dataset.
    pub dataset: Option<u64>,
    /// In the view of a grant.
    pub views: BTreeMap<GrantId, u64>,
}

/// An example of a record that stands beside a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The file's name, without its ending.
    pub name: String,
    /// Whether it is to be taken, or to be refused.
    pub valid: bool,
    /// Its body in the newest schema of the proposal, or why it has none.
    pub body: Result<Vec<u8>, Vec<Rejection>>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// Of what.
    pub title: Words,
    /// The dataset.
    pub dataset: Dataset,
    /// Every record of it is made up.
    pub synthetic: bool,
    /// When it was made: milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// What it rests on: purpose, owner, articles, end, …
    pub facts: Vec<(Words, Words)>,
    /// What changes.
    pub changes: Vec<Words>,
    /// What the checks found, the heaviest first.
    pub findings: Vec<Finding>,
    /// Who is hit, and how.
    pub hits: Vec<Hit>,
    /// Whether it decides who sees what; the three below are empty otherwise, and the page says nothing of them.
    pub shares: bool,
    /// Who newly sees what.
    pub newly: Vec<NewlySeen>,
    /// Before and after on a made-up record.
    pub samples: Vec<Sample>,
    /// What each agency then holds of the dataset.
    pub union: Vec<(Agency, Vec<Held>)>,
}

impl Review {
    /// Whether something blocks: it cannot come into force.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.worst() == Some(Severity::Blocks)
    }

    /// The heaviest severity there is; none: nothing was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        let hits = self.hits.iter().filter(|h| !h.how.is_empty()).map(|h| h.severity);
        self.findings.iter().map(|f| f.severity).chain(hits).max()
    }

    fn find(&mut self, severity: Severity, code: &'static str, field: impl Into<String>, says: Words) {
        self.findings.push(Finding { severity, code, field: field.into(), says });
    }

    fn found(&mut self, found: Findings) {
        self.findings.extend(found.0);
    }

    /// The heaviest first; the same twice says nothing.
    fn settle(mut self) -> Self {
        self.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        self.findings.dedup();
        self
    }
}

/// A declared contract as it would be released over `set`: its released schema versions with their ids, new ones with ids
/// that nothing else has. Enough to compile and to check; the ids that it will have, planning gives.
#[must_use]
pub fn draft(set: &ControlSet, declared: &DeclaredContract) -> Contract {
    let mut contract = declared.contract.clone();
    let known = set.contracts.get(&contract.dataset);
    let mut next = set.schemas.keys().last().map_or(1, |id| id.0 + 1);
    for version in &declared.versions {
        let released = known.and_then(|k| k.schemas.iter().find(|s| s.version == version.version));
        let same = released.filter(|s| s.schema == version.text);
        contract.schemas.push(same.cloned().unwrap_or_else(|| {
            let id = SchemaId(next);
            next += 2;
            SchemaVersion {
                version: version.version,
                id,
                schema: version.text.clone(),
                envelope_id: SchemaId(id.0 + 1),
            }
        }));
    }
    contract
}

/// The schemas of a contract, oldest first; none when one cannot be read.
fn schemas(contract: &Contract) -> Option<Vec<(SchemaId, Schema)>> {
    contract.schemas.iter().map(|s| Some((s.id, Schema::parse(&s.schema).ok()?))).collect()
}

/// Editions that are or will be in force.
fn standing(set: &ControlSet, now_ms: i64) -> impl Iterator<Item = &ViewEntry> {
    set.views.values().filter(move |view| layout::stands(view, now_ms))
}

/// The rules of a field: its own, else those of the nearest one it lies in that has a class.
fn rules_of(contract: &Contract, path: &str) -> FieldRules {
    if let Some(rules) = contract.fields.get(path) {
        return rules.clone();
    }
    match path.rsplit_once('.') {
        Some((above, _)) => {
            let above = rules_of(contract, above);
            FieldRules { pii: above.pii, secret: above.secret, ..FieldRules::default() }
        }
        None => FieldRules::default(),
    }
}

/// The heaviest class of a field and of all that lies within it.
fn class_of(contract: &Contract, path: &str) -> (Pii, bool) {
    let own = rules_of(contract, path);
    let within = format!("{path}.");
    let below = contract.fields.iter().filter(|(p, _)| p.starts_with(&within)).map(|(_, r)| r);
    below.fold((own.pii, own.secret), |(pii, secret), r| (pii.max(r.pii), secret || r.secret))
}

fn seen(contract: &Contract, field: &GrantedField) -> SeenField {
    let (pii, secret) = class_of(contract, &field.path);
    SeenField {
        path: field.path.clone(),
        means: words::meaning(&rules_of(contract, &field.path), &field.path),
        class: words::class(pii, secret),
        form: words::form(field.mask.as_ref()),
    }
}

fn held(contract: &Contract, grant: &Grant, proposed: bool) -> Held {
    Held {
        grant: grant.id.clone(),
        view: grant.view.to_string(),
        proposed,
        pseudonymised: grant.key == KeyForm::Pseudonym,
        fields: grant.fields.iter().map(|f| seen(contract, f)).collect(),
        rows: words::rows(contract, grant.filter.as_deref()),
    }
}
