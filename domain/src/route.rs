//! Route: whom an admitted change concerns, and what they see of it.
//!
//! A [`Plan`] is what one dataset's views come to at a marker: the views in force, their shapes (views of one shape are
//! decided and projected once), and a predicate index that finds the shapes a record may concern without asking each
//! filter. [`Plan::route`] is pure: from a record, and what views held of it before, to what is to be written and what
//! they hold after.
//!
//! Default deny: a view that is not in the plan is never written; a shape's bytes can only be made by the permit that
//! its authorising function gives (see [`crate::shape`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::contract::Contract;
use crate::control::{Activation, ControlSet, ViewEntry, ViewNo};
use crate::filter::Atom;
use crate::frame::After;
use crate::key::hash128;
use crate::limits::MAX_SCANNING_FILTERS;
use crate::names::Dataset;
use crate::schema::{Path, Schema, SchemaError, Spans};
use crate::secret::Secret;
use crate::shape::{InForce, Shape};
use crate::wire::{self, SchemaId};

/// That a view holds a record, and a digest of what it last saw of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The edition of the view.
    pub view: ViewNo,
    /// Keyed digest of the projection that was last written. Equal digest: the recipient would learn nothing new, so
    /// nothing is written (that a hidden field changed is none of its business).
    pub digest: u64,
}

/// One record to be written to a view. Its bytes lie in the arena of the [`Effects`] that holds it: views of one shape
/// share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewWrite {
    /// Which edition of a view.
    pub view: ViewNo,
    /// Where in the arena its key lies.
    pub key: Range<usize>,
    /// Where its value lies, wire header included; none is a tombstone.
    pub value: Option<Range<usize>>,
}

/// What routing says is to be done; reused from record to record, so that routing allocates nothing once it is warm.
#[derive(Default)]
pub struct Effects {
    /// Bytes of keys and values.
    pub arena: Vec<u8>,
    /// What is to be written, in order; grows until [`Effects::clear`].
    pub writes: Vec<ViewWrite>,
    /// The holdings of the record that was routed last, after it, by view number.
    pub holdings: Vec<Holding>,
    bytes: usize,
    candidates: Vec<usize>,
}

impl Effects {
    /// Forgets everything but keeps its buffers.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.writes.clear();
        self.holdings.clear();
        self.bytes = 0;
    }

    /// Bytes of keys and values that the writes come to in the log, where views of one shape do not share them.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn write(&mut self, view: ViewNo, key: Range<usize>, value: Option<Range<usize>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, ExactSizeIterator::len);
        self.writes.push(ViewWrite { view, key, value });
    }
}

/// Why what is in force cannot be turned into a plan. (A single grant that does not compile is left out and said so:
/// [`Plan::refused`].)
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is no contract for the dataset.
    #[error("there is no contract for dataset {0}")]
    NoContract(Dataset),
    /// A released schema of the contract cannot be read by this release.
    #[error("schema {id} of dataset {dataset}")]
    Schema {
        /// The dataset.
        dataset: Dataset,
        /// The schema.
        id: SchemaId,
        /// What is wrong with it.
        #[source]
        source: SchemaError,
    },
}

/// A view in force.
struct Member {
    view: ViewNo,
    activation: Arc<Activation>,
    in_force: InForce,
}

/// A shape, and the views in force that have it.
struct Group {
    shape: Shape,
    members: Vec<Member>,
}

/// Which groups a value of one field may concern.
struct FieldIndex {
    /// The field in each writer schema that has it.
    paths: HashMap<SchemaId, Path>,
    /// Texts apart from the rest, so that looking one up allocates nothing.
    texts: HashMap<Box<str>, Vec<usize>>,
    others: HashMap<Atom, Vec<usize>>,
    /// All of them: for a record that this index cannot judge.
    all: Vec<usize>,
}

/// See the module's documentation.
pub struct Plan {
    contract: Arc<Contract>,
    schemas: Arc<[(SchemaId, Schema)]>,
    groups: Vec<Group>,
    group_of: BTreeMap<ViewNo, usize>,
    refused: Vec<(ViewNo, String)>,
    always: Vec<usize>,
    indexes: Vec<FieldIndex>,
    digest_secret: Secret,
}

impl Plan {
    /// Compiles what is in force for `dataset` at `clock_ms`. Views in `closed` stay out, whatever control says: they
    /// were out of force before and missed what happened meanwhile. Views in `standing` were written until now, and none
    /// that is new takes their place among the scanning ones. `before` is an earlier plan of the same dataset, to take
    /// over what has not changed; it decides nothing.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn build(
        control: &ControlSet,
        dataset: &Dataset,
        clock_ms: i64,
        master: &Secret,
        closed: &BTreeSet<ViewNo>,
        standing: &BTreeSet<ViewNo>,
        before: Option<&Self>,
    ) -> Result<Self, PlanError> {
        let contract = control.contracts.get(dataset).cloned().ok_or_else(|| PlanError::NoContract(dataset.clone()))?;
        let before = before.filter(|p| Arc::ptr_eq(&p.contract, &contract) || p.contract == contract);
        let schemas = match before {
            Some(plan) => plan.schemas.clone(),
            None => parse(&contract)?,
        };
        let mut plan = Self {
            contract,
            schemas,
            groups: Vec::new(),
            group_of: BTreeMap::new(),
            refused: Vec::new(),
            always: Vec::new(),
            indexes: Vec::new(),
            digest_secret: master.derive("state"),
        };
        let mut by_digest: HashMap<[u8; 32], usize> = HashMap::new();
        let mut by_field: BTreeMap<String, usize> = BTreeMap::new();
        let mut scanning = 0;
        let due = |(view, entry): &(&ViewNo, &ViewEntry)| {
            &entry.activation.grant.dataset == dataset && !closed.contains(view) && entry.in_force(clock_ms)
        };
        let (first, second): (Vec<_>, Vec<_>) =
            control.views.iter().filter(due).partition(|(v, _)| standing.contains(v));
        for (view, entry) in first.into_iter().chain(second) {
            let activation = &entry.activation;
            let Some(in_force) = InForce::at(entry, clock_ms) else {
                plan.refused.push((*view, "its row filter cannot be read".into()));
                continue;
            };
            let known = before.and_then(|plan| plan.shape_of(*view, activation));
            let shape = match known.map_or_else(|| plan.compile(control, activation, master), Ok) {
                Ok(shape) => shape,
                Err(reason) => {
                    plan.refused.push((*view, reason));
                    continue;
                }
            };
            let member = Member { view: *view, activation: activation.clone(), in_force };
            let digest = shape.digest();
            if let Some(group) = by_digest.get(&digest) {
                plan.groups[*group].members.push(member);
                plan.group_of.insert(*view, *group);
                continue;
            }
            let number = plan.groups.len();
            match shape.index() {
                Some(key) => {
                    let at = *by_field.entry(key.path.clone()).or_insert_with(|| {
                        plan.indexes.push(FieldIndex::new(&key.path, &plan.schemas));
                        plan.indexes.len() - 1
                    });
                    plan.indexes[at].add(key.values, number);
                }
                None if activation.grant.filter.is_some() && scanning == MAX_SCANNING_FILTERS => {
                    let reason = format!(
                        "no index can help its row filter, and {MAX_SCANNING_FILTERS} such filters are in force already"
                    );
                    plan.refused.push((*view, reason));
                    continue;
                }
                None => {
                    scanning += usize::from(activation.grant.filter.is_some());
                    plan.always.push(number);
                }
            }
            plan.groups.push(Group { shape, members: vec![member] });
            plan.group_of.insert(*view, number);
            by_digest.insert(digest, number);
        }
        Ok(plan)
    }

    /// The shape that `view` had before, if it rests on the same activation. (A renewal is compiled anew, to the same shape.)
    fn shape_of(&self, view: ViewNo, activation: &Arc<Activation>) -> Option<Shape> {
        let group = &self.groups[*self.group_of.get(&view)?];
        let member = group.members.iter().find(|m| m.view == view)?;
        (Arc::ptr_eq(&member.activation, activation) || member.activation == *activation).then(|| group.shape.clone())
    }

    fn compile(&self, control: &ControlSet, activation: &Activation, master: &Secret) -> Result<Shape, String> {
        let registered = control.schemas.get(&activation.schema_id).map(|s| s.schema.as_str());
        let registered = registered.ok_or_else(|| format!("its schema {} is not registered", activation.schema_id))?;
        let label = &activation.secret_label;
        Shape::compile(&self.contract, &self.schemas, &activation.grant, Some(master), label, Some(registered))
            .map_err(|e| e.to_string())
    }

    /// The contract in force.
    #[must_use]
    pub const fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    /// The views that are written, by number.
    pub fn views(&self) -> impl Iterator<Item = ViewNo> + '_ {
        self.group_of.keys().copied()
    }

    /// Whether `view` is written.
    #[must_use]
    pub fn has(&self, view: ViewNo) -> bool {
        self.group_of.contains_key(&view)
    }

    /// The activation that `view` rests on.
    #[must_use]
    pub fn activation(&self, view: ViewNo) -> Option<&Arc<Activation>> {
        let group = &self.groups[*self.group_of.get(&view)?];
        group.members.iter().find(|m| m.view == view).map(|m| &m.activation)
    }

    /// Views in force that are not written because their grant does not compile, and why.
    #[must_use]
    pub fn refused(&self) -> &[(ViewNo, String)] {
        &self.refused
    }

    /// Distinct shapes among the views in force.
    #[must_use]
    pub fn shapes(&self) -> usize {
        self.groups.len()
    }

    /// A released schema of the contract.
    #[must_use]
    pub fn schema(&self, id: SchemaId) -> Option<&Schema> {
        self.schemas.iter().find(|(known, _)| *known == id).map(|(_, schema)| schema)
    }

    /// Routes a change of the record `key`: `after` is its after-image with the spans of a walk of it, none when it is
    /// cancelled; `before` is what views held of it. Appends to `out` an upsert for each view that is to see something
    /// new and a tombstone for each that held it and does no longer, and leaves there what views hold now. Holdings of
    /// views that are not in force vanish without a word.
    pub fn route(&self, key: &[u8], after: Option<(After<'_>, &Spans)>, before: &[Holding], out: &mut Effects) {
        out.holdings.clear();
        if let Some((after, spans)) = after {
            self.upserts(key, after, spans, before, |_| true, out);
            out.holdings.sort_unstable_by_key(|h| h.view);
        }
        let still = out.holdings.len();
        for held in before {
            let Some(group) = self.group_of.get(&held.view) else { continue };
            if out.holdings[..still].binary_search_by_key(&held.view, |h| h.view).is_ok() {
                continue;
            }
            let start = out.arena.len();
            self.groups[*group].shape.view_key(key, &mut out.arena);
            out.write(held.view, start..out.arena.len(), None);
        }
    }

    /// Offers the present after-image of a record to `views` only, which have just come into force and hold nothing of
    /// it yet; what other views hold stays as `before` says.
    pub fn fill(
        &self,
        key: &[u8],
        (after, spans): (After<'_>, &Spans),
        views: &[ViewNo],
        before: &[Holding],
        out: &mut Effects,
    ) {
        out.holdings.clear();
        self.upserts(key, after, spans, before, |view| views.contains(&view), out);
        let new = out.holdings.len();
        for held in before {
            if !out.holdings[..new].iter().any(|h| h.view == held.view) {
                out.holdings.push(*held);
            }
        }
        out.holdings.sort_unstable_by_key(|h| h.view);
    }

    fn upserts(
        &self,
        key: &[u8],
        after: After<'_>,
        spans: &Spans,
        before: &[Holding],
        wanted: impl Fn(ViewNo) -> bool,
        out: &mut Effects,
    ) {
        let mut candidates = std::mem::take(&mut out.candidates);
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        for index in &self.indexes {
            index.find(after, spans, &mut candidates);
        }
        for group in &candidates {
            let Group { shape, members } = &self.groups[*group];
            let Some(first) = members.iter().find(|m| wanted(m.view)) else { continue };
            let Some(permit) = shape.authorise(&first.in_force, after.schema, after.body, spans) else { continue };
            // The first value's place is made before it is known whether anyone needs it: the digest tells.
            let start = out.arena.len();
            wire::put_header(first.activation.schema_id, &mut out.arena);
            let body_at = out.arena.len();
            permit.project(&mut out.arena);
            let body = body_at..out.arena.len();
            let digest = self.digest(&out.arena[body.clone()]);
            let mut written_key: Option<Range<usize>> = None;
            let mut written: Option<(SchemaId, Range<usize>)> = Some((first.activation.schema_id, start..body.end));
            for Member { view, activation, .. } in members.iter().filter(|m| wanted(m.view)) {
                out.holdings.push(Holding { view: *view, digest });
                if before.iter().any(|h| h.view == *view && h.digest == digest) {
                    continue;
                }
                let key_range = written_key.get_or_insert_with(|| {
                    let start = out.arena.len();
                    permit.key(key, &mut out.arena);
                    start..out.arena.len()
                });
                let value = match &written {
                    Some((id, range)) if *id == activation.schema_id => range.clone(),
                    _ => {
                        let start = out.arena.len();
                        wire::put_header(activation.schema_id, &mut out.arena);
                        out.arena.extend_from_within(body.clone());
                        let range = start..out.arena.len();
                        written = Some((activation.schema_id, range.clone()));
                        range
                    }
                };
                out.write(*view, key_range.clone(), Some(value));
            }
            if written_key.is_none() {
                out.arena.truncate(start);
            }
        }
        out.candidates = candidates;
    }

    fn digest(&self, body: &[u8]) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the low half of a keyed hash is a hash")]
        {
            hash128(&self.digest_secret, body) as u64
        }
    }
}

fn parse(contract: &Contract) -> Result<Arc<[(SchemaId, Schema)]>, PlanError> {
    let one = |version: &crate::contract::SchemaVersion| match Schema::parse(&version.schema) {
        Ok(schema) => Ok((version.id, schema)),
        Err(source) => Err(PlanError::Schema { dataset: contract.dataset.clone(), id: version.id, source }),
    };
    contract.schemas.iter().map(one).collect()
}

impl FieldIndex {
    fn new(dotted: &str, schemas: &[(SchemaId, Schema)]) -> Self {
        let paths = schemas.iter().filter_map(|(id, schema)| Some((*id, schema.path(dotted)?))).collect();
        Self { paths, texts: HashMap::new(), others: HashMap::new(), all: Vec::new() }
    }

    fn add(&mut self, values: Vec<Atom>, group: usize) {
        for value in values {
            match value {
                Atom::Text(text) => self.texts.entry(text).or_default().push(group),
                other => self.others.entry(other).or_default().push(group),
            }
        }
        self.all.push(group);
    }

    /// Appends the groups that a record may concern; too many rather than too few, since each filter is asked again.
    fn find(&self, after: After<'_>, spans: &Spans, out: &mut Vec<usize>) {
        use crate::schema::Value;
        let found = match self.paths.get(&after.schema).map(|path| path.value(after.body, spans)) {
            Some(Value::Text(text)) => self.texts.get(text),
            Some(value) => match Atom::of(value) {
                Some(atom) => self.others.get(&atom),
                None => Some(&self.all),
            },
            // Written before the contract had the field: what stands in for it only the filter knows.
            None => Some(&self.all),
        };
        out.extend(found.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests;
