//! The engine of one data partition: what its log adds up to, and what each of its records writes to views.
//!
//! There is one code path. Live, the loop appends a record to the data log and applies it here; after a crash the same
//! records are read back and applied with the outputs off; a replay applies them and compares. So every byte of a view is
//! a function of the data log and of the control sets that its markers name (invariant 2), and of nothing else: not of
//! batches, transactions, threads, or where a process began.
//!
//! What a batch changes lies in an overlay until [`Engine::commit`]; [`Engine::abandon`] forgets it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kenh_domain::admit;
use kenh_domain::control::{ControlSet, ViewNo};
use kenh_domain::frame::{After, Change, ENGINE, Marker, Sequence};
use kenh_domain::key::hash128;
use kenh_domain::log::Position;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::relaxation::Relaxed;
use kenh_domain::route::{Effects, Plan, PlanError};
use kenh_domain::schema::{BodyError, Spans};
use kenh_domain::secret::Secret;
use kenh_domain::topic::Partition;
use kenh_domain::wire::SchemaId;

use crate::image::{Identity, Image};
use crate::state::{ByKey, KeyHash, Known, State};

/// A data record that does not follow from those before it: the log was not written by this engine, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Sequences are dense.
    #[error("data record {found} follows {last}; sequences are dense")]
    Sequence {
        /// The last one applied.
        last: Sequence,
        /// The one that came.
        found: Sequence,
    },
    /// The first record of a data partition is a marker.
    #[error("data record {0} has no marker before it")]
    NoMarker(Sequence),
    /// A marker of another decision engine.
    #[error("the marker at {at} names decision engine {engine}; this release has {ENGINE}: use a newer kenh")]
    Engine {
        /// Its sequence.
        at: Sequence,
        /// The engine it names.
        engine: u16,
    },
    /// A record in a schema that the contract did not have at its marker.
    #[error("data record {at} is in schema {schema}, which the contract in force there does not have")]
    Schema {
        /// Its sequence.
        at: Sequence,
        /// The schema.
        schema: SchemaId,
    },
    /// A record that is not what its schema says.
    #[error("data record {at} cannot be read")]
    Body {
        /// Its sequence.
        at: Sequence,
        /// Where and why.
        #[source]
        source: BodyError,
    },
    /// What is in force cannot be turned into a plan.
    #[error("what is in force at the marker {at} cannot be carried out")]
    Plan {
        /// The marker's sequence.
        at: Sequence,
        /// Why.
        #[source]
        source: Box<PlanError>,
    },
    /// More owners than numbers for them.
    #[error("more than 65,536 agencies own records of one data partition")]
    Owners,
}

/// What is known of a change that was just admitted, and need not be found out again.
pub struct Walked<'a> {
    /// Field boundaries of its record; meaningless for a CANCEL.
    pub spans: &'a Spans,
    /// [`admit::content`] of it.
    pub content: u128,
}

/// Everything about a partition that is not about one record key.
#[derive(Clone)]
struct Head {
    sequence: Sequence,
    marker: Option<Marker>,
    control: Arc<ControlSet>,
    plan: Option<Arc<Plan>>,
    /// When the next view or relaxation of the dataset starts or ends by its time.
    due_ms: Option<i64>,
    /// The rules that warn.
    relaxed: Arc<Relaxed>,
    /// Editions that were in force here and are no longer. They never come back: what happened in between was not
    /// written to them.
    closed: Arc<BTreeSet<ViewNo>>,
}

/// See the module's documentation.
pub struct Engine {
    dataset: Dataset,
    partition: Partition,
    master: Secret,
    secret: Secret,
    state: State,
    owners: Vec<Agency>,
    owner_numbers: HashMap<Agency, u16>,
    overlay: ByKey<Known>,
    head: Head,
    committed: Head,
    spans: Spans,
}

impl Engine {
    /// Of a partition that holds nothing yet.
    #[must_use]
    pub fn new(dataset: Dataset, partition: Partition, master: Secret) -> Self {
        let head = Head {
            sequence: Sequence(0),
            marker: None,
            control: Arc::new(ControlSet::default()),
            plan: None,
            due_ms: None,
            relaxed: Arc::new(Relaxed::NONE.clone()),
            closed: Arc::default(),
        };
        Self {
            dataset,
            partition,
            secret: master.derive("state"),
            master,
            state: State::default(),
            owners: Vec::new(),
            owner_numbers: HashMap::new(),
            overlay: ByKey::default(),
            committed: head.clone(),
            head,
            spans: Spans::new(),
        }
    }

    /// Goes on from an image; `control` is the control set that its marker names.
    ///
    /// # Errors
    /// [`EngineError::Plan`].
    pub fn from_image(image: Image, control: Arc<ControlSet>, master: Secret) -> Result<Self, EngineError> {
        let mut engine = Self::new(image.identity.dataset, image.identity.partition, master);
        engine.state = image.state;
        for owner in image.owners {
            engine.number_of(&owner)?;
        }
        engine.head.sequence = image.sequence;
        engine.head.closed = Arc::new(image.closed.into_iter().collect());
        if let Some(marker) = image.marker {
            let standing = image.views.into_iter().collect();
            engine.head.plan = Some(Arc::new(engine.plan_at(image.sequence, &marker, &control, &standing)?));
            engine.head.due_ms = control.next_due(&engine.dataset, marker.clock_ms);
            engine.head.relaxed = Arc::new(control.relaxed(&engine.dataset, marker.clock_ms));
            engine.head.control = control;
            engine.head.marker = Some(marker);
        }
        engine.commit();
        Ok(engine)
    }

    /// An image of what is committed, to go on reading at `next`.
    #[must_use]
    pub fn image(&self, identity: Identity, next: Position) -> Image {
        let Head { sequence, marker, plan, closed, .. } = self.committed.clone();
        Image {
            identity,
            next,
            sequence,
            marker,
            views: plan.map(|p| p.views().collect()).unwrap_or_default(),
            closed: closed.iter().copied().collect(),
            owners: self.owners.clone(),
            state: self.state.clone(),
        }
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// Sequence of the last record applied; 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.head.sequence
    }

    /// The latest marker.
    #[must_use]
    pub const fn marker(&self) -> Option<&Marker> {
        self.head.marker.as_ref()
    }

    /// The clock: that of the latest marker.
    #[must_use]
    pub fn clock_ms(&self) -> i64 {
        self.head.marker.as_ref().map_or(i64::MIN, |m| m.clock_ms)
    }

    /// The control set in force since the latest marker.
    #[must_use]
    pub const fn control(&self) -> &Arc<ControlSet> {
        &self.head.control
    }

    /// When the next view or relaxation starts or ends by its time, after the latest marker.
    #[must_use]
    pub const fn due_ms(&self) -> Option<i64> {
        self.head.due_ms
    }

    /// The rules that warn since the latest marker.
    #[must_use]
    pub const fn relaxed(&self) -> &Arc<Relaxed> {
        &self.head.relaxed
    }

    /// Whom changes concern since the latest marker; none before the first.
    #[must_use]
    pub const fn plan(&self) -> Option<&Arc<Plan>> {
        self.head.plan.as_ref()
    }

    /// The state secret: what contents are hashed under.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The table of record keys, without what is not committed.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether any record key is known, committed or not: if none is, views that come into force have nothing to fill.
    #[must_use]
    pub fn knows_any(&self) -> bool {
        !self.state.is_empty() || !self.overlay.is_empty()
    }

    /// What is known of a record key, and who owns it.
    #[must_use]
    pub fn known(&self, key: &[u8]) -> Option<(Known, &Agency)> {
        let known = self.look_up(self.hash(key))?;
        let owner = self.owners.get(usize::from(known.owner))?;
        Some((known, owner))
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(hash128(&self.secret, key))
    }

    fn look_up(&self, hash: KeyHash) -> Option<Known> {
        self.overlay.get(&hash).cloned().or_else(|| self.state.get(hash))
    }

    fn number_of(&mut self, owner: &Agency) -> Result<u16, EngineError> {
        if let Some(number) = self.owner_numbers.get(owner) {
            return Ok(*number);
        }
        let number = u16::try_from(self.owners.len()).map_err(|_| EngineError::Owners)?;
        self.owners.push(owner.clone());
        self.owner_numbers.insert(owner.clone(), number);
        Ok(number)
    }

    fn plan_at(
        &self,
        at: Sequence,
        marker: &Marker,
        control: &ControlSet,
        standing: &BTreeSet<ViewNo>,
    ) -> Result<Plan, EngineError> {
        let Head { plan, closed, .. } = &self.head;
        Plan::build(control, &self.dataset, marker.clock_ms, &self.master, closed, standing, plan.as_deref())
            .map_err(|source| EngineError::Plan { at, source: source.into() })
    }

    /// Whether `marker` only moves the clock, and nothing starts or ends by it: then the plan stands as it is.
    fn only_ticks(&self, marker: &Marker) -> bool {
        let same = |m: &Marker| m.control == marker.control && m.control_digest == marker.control_digest;
        self.head.marker.as_ref().is_some_and(same) && self.head.due_ms.is_none_or(|due| marker.clock_ms < due)
    }

    fn follows(&self, found: Sequence) -> Result<(), EngineError> {
        let last = self.head.sequence;
        if found.0 == last.0 + 1 { Ok(()) } else { Err(EngineError::Sequence { last, found }) }
    }

    /// Applies a marker; `control` is the control set that it names. Gives the views that come into force with it, in
    /// order: each is to be filled ([`Engine::fill`]) before any further record is applied.
    ///
    /// # Errors
    /// [`EngineError`]; nothing has changed then.
    pub fn mark(
        &mut self,
        sequence: Sequence,
        marker: Marker,
        control: Arc<ControlSet>,
    ) -> Result<Vec<ViewNo>, EngineError> {
        self.follows(sequence)?;
        if marker.engine != ENGINE {
            return Err(EngineError::Engine { at: sequence, engine: marker.engine });
        }
        if self.only_ticks(&marker) {
            self.head.marker = Some(marker);
            self.head.sequence = sequence;
            return Ok(Vec::new());
        }
        let before: BTreeSet<ViewNo> = self.head.plan.iter().flat_map(|p| p.views()).collect();
        let plan = self.plan_at(sequence, &marker, &control, &before)?;
        let started = plan.views().filter(|v| !before.contains(v)).collect();
        let ended: Vec<ViewNo> = before.into_iter().filter(|v| !plan.has(*v)).collect();
        if !ended.is_empty() {
            Arc::make_mut(&mut self.head.closed).extend(ended);
        }
        self.head.plan = Some(Arc::new(plan));
        self.head.due_ms = control.next_due(&self.dataset, marker.clock_ms);
        self.head.relaxed = Arc::new(control.relaxed(&self.dataset, marker.clock_ms));
        self.head.control = control;
        self.head.marker = Some(marker);
        self.head.sequence = sequence;
        Ok(started)
    }

    /// Applies a change: state moves on, and `out` is told what views are to see. `walked` is what admission has found out
    /// about it, where it was just admitted.
    ///
    /// # Errors
    /// [`EngineError`]; nothing has changed then.
    pub fn change(
        &mut self,
        sequence: Sequence,
        key: &[u8],
        change: &Change<'_>,
        walked: Option<&Walked<'_>>,
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        self.follows(sequence)?;
        let plan = self.head.plan.clone().ok_or(EngineError::NoMarker(sequence))?;
        let hash = self.hash(key);
        let before = self.look_up(hash);
        let owner = match &before {
            Some(known) => known.owner,
            None => self.number_of(&change.provider)?,
        };
        let holdings = before.as_ref().map_or(&[][..], |known| &known.holdings);
        match (change.after, walked) {
            (None, _) => plan.route(key, None, holdings, out),
            (Some(after), Some(Walked { spans, .. })) => plan.route(key, Some((after, spans)), holdings, out),
            (Some(after), None) => {
                walk(&plan, sequence, after, &mut self.spans)?;
                plan.route(key, Some((after, &self.spans)), holdings, out);
            }
        }
        let content = || admit::content(&self.secret, change.after.map(|a| a.body));
        let known = Known {
            owner,
            cancelled: change.after.is_none(),
            sequence,
            version: change.version,
            content: walked.map_or_else(content, |walked| walked.content),
            holdings: out.holdings.iter().copied().collect(),
        };
        self.overlay.insert(hash, known);
        self.head.sequence = sequence;
        Ok(())
    }

    /// Offers a record that was applied before to views that have just come into force. They take it if it is the
    /// latest of its key and not cancelled.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn fill(
        &mut self,
        sequence: Sequence,
        key: &[u8],
        change: &Change<'_>,
        views: &[ViewNo],
        out: &mut Effects,
    ) -> Result<(), EngineError> {
        let hash = self.hash(key);
        let Some(after) = change.after else { return Ok(()) };
        let Some(mut known) = self.look_up(hash).filter(|known| known.sequence == sequence) else { return Ok(()) };
        let plan = self.head.plan.clone().ok_or(EngineError::NoMarker(sequence))?;
        walk(&plan, sequence, after, &mut self.spans)?;
        plan.fill(key, (after, &self.spans), views, &known.holdings, out);
        if out.holdings[..] != known.holdings[..] {
            known.holdings = out.holdings.iter().copied().collect();
            self.overlay.insert(hash, known);
        }
        Ok(())
    }

    /// Keeps what was applied since the last call: its transaction has committed.
    pub fn commit(&mut self) {
        for (hash, known) in self.overlay.drain() {
            self.state.put(hash, &known);
        }
        self.committed = self.head.clone();
    }

    /// Forgets what was applied since the last [`Engine::commit`]: its transaction has not committed.
    pub fn abandon(&mut self) {
        self.overlay.clear();
        self.head = self.committed.clone();
    }
}

fn walk(plan: &Plan, at: Sequence, after: After<'_>, spans: &mut Spans) -> Result<(), EngineError> {
    let schema = plan.schema(after.schema).ok_or(EngineError::Schema { at, schema: after.schema })?;
    schema.walk(after.body, spans).map_err(|source| EngineError::Body { at, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenh_testkit::builders;

    fn marker(clock_ms: i64, control: &ControlSet) -> Marker {
        let (control, control_digest) = (control.position, control.digest);
        Marker { control, control_digest, clock_ms, engine: ENGINE, code_lists: vec![] }
    }

    fn engine() -> (Engine, Arc<ControlSet>) {
        let dataset = Dataset::new("don-vi").unwrap();
        let contract = Arc::new(builders::contract("don-vi", "G01"));
        let control = ControlSet { contracts: [(dataset.clone(), contract)].into(), ..ControlSet::default() };
        (Engine::new(dataset, Partition(0), Secret::new([1; 32])), Arc::new(control))
    }

    /// A plan parses every filter and compiles every grant: once a second for each of 256 partitions would be felt.
    #[test]
    fn a_marker_that_only_moves_the_clock_keeps_the_plan() {
        let (mut engine, control) = engine();
        engine.mark(Sequence(1), marker(5, &control), control.clone()).unwrap();
        let plan = engine.plan().unwrap().clone();
        engine.mark(Sequence(2), marker(6, &control), control.clone()).unwrap();
        assert!(Arc::ptr_eq(&plan, engine.plan().unwrap()));
        assert_eq!((engine.clock_ms(), engine.sequence()), (6, Sequence(2)));
        let moved = Arc::new(ControlSet { position: Position(9), ..(*control).clone() });
        engine.mark(Sequence(3), marker(6, &moved), moved.clone()).unwrap();
        assert!(!Arc::ptr_eq(&plan, engine.plan().unwrap()));
    }

    #[test]
    fn what_does_not_follow_is_refused_and_changes_nothing() {
        let (mut engine, control) = engine();
        let change = |schema| Change {
            provider: Agency::new("G01").unwrap(),
            submission: "s",
            number: 1,
            version: kenh_domain::frame::Version { epoch: 0, version: 1 },
            updated_ms: 0,
            effective_days: None,
            after: Some(After { schema: SchemaId(schema), body: &[2, b'a'] }),
        };
        let mut out = Effects::default();
        let error = engine.change(Sequence(1), b"a", &change(1), None, &mut out).unwrap_err();
        assert!(matches!(error, EngineError::NoMarker(Sequence(1))));
        engine.mark(Sequence(1), marker(5, &control), control.clone()).unwrap();
        let error = engine.change(Sequence(3), b"a", &change(1), None, &mut out).unwrap_err();
        assert!(matches!(error, EngineError::Sequence { last: Sequence(1), found: Sequence(3) }));
        let error = engine.change(Sequence(2), b"a", &change(7), None, &mut out).unwrap_err();
        assert!(matches!(error, EngineError::Schema { schema: SchemaId(7), .. }));
        let error = engine.change(Sequence(2), b"a", &change(1), None, &mut out).unwrap_err();
        assert!(matches!(error, EngineError::Body { .. }), "{error}");
        assert_eq!(engine.sequence(), Sequence(1));
        assert!(engine.known(b"a").is_none());
        engine.abandon();
        assert!(engine.marker().is_none());
    }
}
