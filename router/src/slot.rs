//! A slot: one data partition of the group, with its engine and its outlets, the topics of the views it writes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kenh_domain::admit::Rules;
use kenh_domain::codes::CodeLists;
use kenh_domain::contract::Contract;
use kenh_domain::control::{Activation, ControlSet, ViewEntry, ViewNo};
use kenh_domain::error::chain;
use kenh_domain::frame::{ENGINE, Head, Marker};
use kenh_domain::limits::MARKER_INTERVAL_MS;
use kenh_domain::log::{Log, Position, ReadError, TopicPartition};
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::notice::{self, Positions};
use kenh_domain::relaxation::RelaxationEntry;
use kenh_domain::route::Effects;
use kenh_domain::topic::{Partition, Topic};

use crate::draft::Draft;
use crate::engine::Engine;
use crate::lists::{ListError, Lists};
use crate::stats::Reason;

/// Why a slot cannot go on under a marker.
pub enum Unsettled {
    /// Until something changes: what.
    Waits(Reason),
    /// A code list could not be read.
    List(ListError),
}

/// Where one view's records of one data partition go.
pub struct Outlet {
    /// The view's topic, and the partition number of the data partition.
    pub to: TopicPartition,
    /// The view.
    pub activation: Arc<Activation>,
    /// Its end after our last commit that wrote to it; none before it was asked for.
    pub end: Option<Position>,
    /// Whether it was written to since its positions were told.
    pub dirty: bool,
    /// When its positions were last told between two markers, by the loop's clock.
    pub told_ms: Option<i64>,
}

/// See the module's documentation.
pub struct Slot {
    /// Its engine.
    pub engine: Engine,
    /// The data partition.
    pub data: TopicPartition,
    /// Its end.
    pub next: Position,
    /// Rules of admission, for the contract they were compiled from.
    pub rules: Option<(Arc<Contract>, Rules)>,
    /// The code lists on the bus that its rules ask.
    pub lists: CodeLists,
    /// Where views' records go.
    pub outlets: BTreeMap<ViewNo, Outlet>,
    /// What the engine says is to be written to views and is not in the draft yet.
    pub effects: Effects,
    /// The newest control position that was found to change nothing here.
    pub unconcerned: Option<Position>,
    /// Why it cannot go on, and the control position at which that was found: tried again when control has moved.
    pub broken: Option<(Reason, Position)>,
    /// Data records since the last image.
    pub since_image: u64,
}

impl Slot {
    /// A slot around an engine that has been read back to `next`. Its rules and outlets are made by [`Slot::settle`].
    #[must_use]
    pub fn new(engine: Engine, data: TopicPartition, next: Position) -> Self {
        Self {
            engine,
            data,
            next,
            rules: None,
            lists: CodeLists::NONE.clone(),
            outlets: BTreeMap::new(),
            effects: Effects::default(),
            unconcerned: None,
            broken: None,
            since_image: 0,
        }
    }

    /// The dataset.
    #[must_use]
    pub const fn dataset(&self) -> &Dataset {
        self.engine.dataset()
    }

    /// The partition.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.engine.partition()
    }

    /// Makes rules, code lists and outlets what the engine's latest marker says.
    ///
    /// # Errors
    /// [`Unsettled`]: why the contract's rules cannot be carried out.
    pub fn settle(&mut self, log: &dyn Log, lists: &mut Lists) -> Result<(), Unsettled> {
        let Some(plan) = self.engine.plan().cloned() else { return Ok(()) };
        let contract = plan.contract();
        if !self.rules.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, contract) || known == contract) {
            let rules = Rules::compile(contract).map_err(|e| Unsettled::Waits(Reason::Contract(e.to_string())))?;
            self.rules = Some((contract.clone(), rules));
        }
        self.lists = self.look_up(contract, log, lists)?;
        self.outlets.retain(|view, _| plan.has(*view));
        for view in plan.views() {
            let Some(activation) = plan.activation(view) else { continue };
            let partition = self.data.partition;
            let outlet = self.outlets.entry(view).or_insert_with(|| Outlet {
                to: TopicPartition { topic: activation.topic(), partition },
                activation: activation.clone(),
                end: None,
                dirty: true,
                told_ms: None,
            });
            outlet.activation = activation.clone();
        }
        Ok(())
    }

    /// The code lists on the bus as the latest marker names them.
    fn look_up(&self, contract: &Contract, log: &dyn Log, lists: &mut Lists) -> Result<CodeLists, Unsettled> {
        let mut known = BTreeMap::new();
        for (name, list) in contract.lists_on_the_bus() {
            let missing = |why: &str| {
                let why = format!("{why}, and {} has it as its code list {name}", contract.dataset);
                Unsettled::Waits(Reason::Topic(Topic::Data(list.dataset.clone()), why))
            };
            let named = self.engine.marker().and_then(|m| m.code_lists.iter().find(|at| at.dataset == list.dataset));
            let at = named.ok_or_else(|| missing("is missing"))?;
            let Some(of) = self.engine.control().contracts.get(&list.dataset) else {
                return Err(missing("has no contract"));
            };
            let codes = lists.codes(log, at, list, of).map_err(|error| match error {
                ListError::Read(ReadError::Denied { .. }) => missing("is missing"),
                ListError::Codes(_) | ListError::TooLarge { .. } => {
                    Unsettled::Waits(Reason::Contract(format!("code list {name}: {}", chain(&error))))
                }
                other => Unsettled::List(other),
            })?;
            known.insert(name.clone(), codes);
        }
        Ok(CodeLists::Known(known))
    }

    /// Whether a marker is to be written now. `newest` is the control set to come into force with it, `lists` the code
    /// lists, `busy` whether there are inputs to decide behind it, `marked` whether none was decided since the latest one.
    ///
    /// When a code list has changed, at once: who may read what was not committed has inputs decided again under the
    /// latest marker (docs/adr/0004), and who has a receipt for a code finds it known there. Before a batch: when control,
    /// the engine or the second has changed; the second counts once a batch, so that a log that takes seconds for a commit
    /// is not filled with markers. When idle: when control changed something for this dataset, or the start or end of a
    /// view or relaxation is due.
    pub fn marker_is_due(
        &mut self,
        newest: &ControlSet,
        lists: &Lists,
        now_ms: i64,
        (busy, marked): (bool, bool),
    ) -> bool {
        if self.broken.as_ref().is_some_and(|(_, at)| *at == newest.position) {
            return false;
        }
        let Some(marker) = self.engine.marker() else { return newest.contracts.contains_key(self.dataset()) };
        let moved = marker.control != newest.position || marker.control_digest != newest.digest;
        if self.engine.due_ms().is_some_and(|due| due <= now_ms) || marker.engine != ENGINE {
            return true;
        }
        if marker.code_lists != newest.contracts.get(self.dataset()).map(|c| lists.newest(c)).unwrap_or_default() {
            return true;
        }
        if busy {
            return moved || (!marked && now_ms.saturating_sub(marker.clock_ms) >= MARKER_INTERVAL_MS);
        }
        if !moved || self.unconcerned == Some(newest.position) {
            return false;
        }
        let concerned = concerns(self.dataset(), self.engine.control(), newest);
        if !concerned {
            self.unconcerned = Some(newest.position);
        }
        concerned
    }

    /// The marker that would be written now. The clock of a partition never goes back.
    #[must_use]
    pub fn next_marker(&self, newest: &ControlSet, lists: &Lists, now_ms: i64) -> Marker {
        Marker {
            control: newest.position,
            control_digest: newest.digest,
            clock_ms: now_ms.max(self.engine.clock_ms()),
            engine: ENGINE,
            code_lists: newest.contracts.get(self.dataset()).map(|c| lists.newest(c)).unwrap_or_default(),
        }
    }

    /// Puts into `draft` the head that goes with the latest marker.
    pub fn head(&self, draft: &mut Draft) {
        let Some(marker) = self.engine.marker() else { return };
        let head = Head {
            format: kenh_domain::control::FORMAT,
            dataset: self.dataset().clone(),
            partition: self.partition(),
            sequence: self.engine.sequence(),
            control: marker.control,
            clock_ms: marker.clock_ms,
        };
        let key = format!("{}/{}", head.dataset, head.partition);
        draft.push_json((Topic::Heads, Partition(0)), marker.clock_ms, key.into(), &head);
    }

    /// Puts into `draft` what the engine says views are to see. Views whose output is stopped are passed over.
    pub fn emit(&mut self, draft: &mut Draft) {
        let arena = Bytes::from(std::mem::take(&mut self.effects.arena));
        let clock_ms = self.engine.clock_ms();
        for write in self.effects.writes.drain(..) {
            if draft.metadata.stopped.contains(&write.view) {
                continue;
            }
            let Some(outlet) = self.outlets.get(&write.view) else { continue };
            draft.push(outlet.to.clone(), clock_ms, arena.slice(write.key), write.value.map(|v| arena.slice(v)));
            draft.view_records += 1;
        }
        self.effects.clear();
    }

    /// Puts into `draft` how far a view has come: complete up to our last sequence, at the end that is known of it.
    pub fn tell(&self, number: usize, view: ViewNo, draft: &mut Draft) {
        let Some(outlet) = self.outlets.get(&view) else { return };
        let Some(end) = outlet.end.filter(|_| !draft.metadata.stopped.contains(&view)) else { return };
        let grant = &outlet.activation.grant;
        let positions = Positions {
            format: notice::FORMAT,
            dataset: grant.dataset.clone(),
            view: grant.view.clone(),
            edition: outlet.activation.edition,
            partition: self.partition(),
            sequence: self.engine.sequence(),
            end,
            clock_ms: self.engine.clock_ms(),
            // A view is told of only when its lane is done.
            filled: true,
        };
        let key = notice::positions_key(&grant.dataset, &grant.view, positions.edition, positions.partition);
        let to = (Topic::Notice(grant.recipient.clone()), Partition(0));
        draft.push_json(to, positions.clock_ms, key.into(), &positions);
        draft.told.push((number, view));
    }

    /// Views whose positions are to be told although no marker is due: they were written to, and it is the first time
    /// since the latest marker or a second has passed.
    #[must_use]
    pub fn to_be_told(&self, now_ms: i64, stopped: &BTreeSet<ViewNo>) -> Vec<ViewNo> {
        let clock_ms = self.engine.clock_ms();
        let due = |when: i64| when < clock_ms || now_ms.saturating_sub(when) >= MARKER_INTERVAL_MS;
        let views = self.outlets.iter().filter(|(v, o)| o.dirty && !stopped.contains(v) && o.told_ms.is_none_or(due));
        views.map(|(view, _)| *view).collect()
    }
}

/// Whether control changed anything for `dataset` between the two.
fn concerns(dataset: &Dataset, before: &ControlSet, after: &ControlSet) -> bool {
    fn views<'a>(set: &'a ControlSet, dataset: &'a Dataset) -> impl Iterator<Item = (&'a ViewNo, &'a ViewEntry)> {
        set.views.iter().filter(move |(_, v)| &v.activation.grant.dataset == dataset)
    }
    fn epochs<'a>(set: &'a ControlSet, dataset: &'a Dataset) -> impl Iterator<Item = (&'a (Dataset, Agency), &'a u32)> {
        set.epochs.iter().filter(move |((d, _), _)| d == dataset)
    }
    fn relaxations<'a>(set: &'a ControlSet, dataset: &'a Dataset) -> impl Iterator<Item = &'a RelaxationEntry> {
        set.relaxations.values().filter(move |r| &r.relaxation.dataset == dataset)
    }
    before.contracts.get(dataset) != after.contracts.get(dataset)
        || !views(before, dataset).eq(views(after, dataset))
        || !epochs(before, dataset).eq(epochs(after, dataset))
        || !relaxations(before, dataset).eq(relaxations(after, dataset))
}
