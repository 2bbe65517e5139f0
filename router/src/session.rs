//! A session: everything that stands on one claim. It is dropped whole when the outcome of a commit is not known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenh_domain::control::{ControlSet, ViewNo};
use kenh_domain::frame::Marker;
use kenh_domain::log::{Batch, Claim, ClaimError, CommitError, Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::names::{Dataset, Principal};
use kenh_domain::schema::Spans;
use kenh_domain::topic::{Partition, Topic};

use crate::config::Config;
use crate::control::{FollowError, Follower};
use crate::draft::Draft;
use crate::images::Images;
use crate::inputs::Input;
use crate::lane::Lane;
use crate::lists::{ListError, Lists};
use crate::metadata::Metadata;
use crate::recover::{self, RecoverError};
use crate::router::RouterError;
use crate::slot::{Slot, Unsettled};
use crate::stats::{DataStats, LaneStats, Reason, Snapshot, Stats};
use crate::tally::{Answer, InputId};

/// Why a turn did not end as it should.
pub(crate) enum Halt {
    /// Stop: going on would be wrong.
    Fatal(Box<RouterError>),
    /// Drop the session and claim again.
    Again(Reason),
    /// Nothing was written; do the same again later.
    Wait(Reason),
}

impl Halt {
    pub(crate) fn fatal(error: RouterError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<ReadError> for Halt {
    /// What the log cannot give now it may give later; what is missing or gone is looked at where it is read.
    fn from(error: ReadError) -> Self {
        Self::Again(Reason::Recovering(error.to_string()))
    }
}

impl From<FollowError> for Halt {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Read(read @ ReadError::Storage { .. }) => read.into(),
            other => Self::fatal(RouterError::Control(other)),
        }
    }
}

impl From<RecoverError> for Halt {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Read(read @ ReadError::Storage { .. })
            | RecoverError::Control(FollowError::Read(read @ ReadError::Storage { .. })) => read.into(),
            other => Self::fatal(RouterError::Recover(other)),
        }
    }
}

impl From<ListError> for Halt {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Read(read @ ReadError::Storage { .. }) => read.into(),
            other => Self::fatal(RouterError::List(other)),
        }
    }
}

/// A lane, and what it belongs to.
pub(crate) struct OpenLane {
    pub(crate) slot: usize,
    pub(crate) lane: Lane,
}

/// See the module's documentation.
pub(crate) struct Session {
    pub(crate) config: Arc<Config>,
    pub(crate) claim: Box<dyn Claim>,
    pub(crate) follower: Follower,
    pub(crate) lists: Lists,
    pub(crate) slots: Vec<Slot>,
    pub(crate) slot_of: BTreeMap<(Dataset, Partition), usize>,
    pub(crate) inputs: Vec<Input>,
    input_of: HashMap<InputId, usize>,
    pub(crate) reader: Option<Box<dyn Reader>>,
    /// The inputs that the reader reads, in its order.
    reading: Vec<usize>,
    /// Read and not decided yet.
    pub(crate) pending: VecDeque<(usize, Record)>,
    pub(crate) metadata: Metadata,
    pub(crate) lane: Option<OpenLane>,
    /// Markers that were chosen and are not committed: the same ones are tried again.
    pub(crate) chosen: BTreeMap<usize, (Marker, Arc<ControlSet>)>,
    /// Slots that had a marker while something was pending for them, which is still to be decided.
    pub(crate) marked: BTreeSet<usize>,
    /// Slots of a batch that was decided and not written: it is decided again under the same marker.
    pub(crate) again: BTreeSet<usize>,
    /// Receipts that fell due outside a draft.
    pub(crate) owed: Vec<Answer>,
    /// Notice and receipt topics that are missing: nothing is written to them until they are looked for again.
    pub(crate) mute: HashSet<Topic>,
    /// Data partitions that cannot be opened yet.
    absent: BTreeMap<(Dataset, Partition), Reason>,
    pub(crate) images: Images,
    looked: Instant,
    /// When inputs last had something.
    quiet_since: Instant,
    pub(crate) stats: Arc<Stats>,
    pub(crate) spans: Spans,
}

impl Session {
    /// Claims the group and reads everything back.
    pub(crate) fn open(config: Arc<Config>, stats: Arc<Stats>) -> Result<Self, Halt> {
        let claim = config.log.claim(&Principal::router(), &config.group).map_err(|e| match e {
            ClaimError::Storage(..) => Halt::Wait(Reason::Recovering(e.to_string())),
            denied @ (ClaimError::Denied(_) | ClaimError::Forbidden { .. }) => Halt::fatal(RouterError::Claim(denied)),
        })?;
        let metadata =
            Metadata::decode(&claim.committed().metadata).map_err(|e| Halt::fatal(RouterError::Metadata(e)))?;
        let follower = Follower::open(&*config.log)?;
        let images = Images::new(config.state_dir.clone());
        let mut session = Self {
            config,
            claim,
            follower,
            lists: Lists::default(),
            slots: Vec::new(),
            slot_of: BTreeMap::new(),
            inputs: Vec::new(),
            input_of: HashMap::new(),
            reader: None,
            reading: Vec::new(),
            pending: VecDeque::new(),
            metadata,
            lane: None,
            chosen: BTreeMap::new(),
            marked: BTreeSet::new(),
            again: BTreeSet::new(),
            owed: Vec::new(),
            mute: HashSet::new(),
            absent: BTreeMap::new(),
            images,
            looked: Instant::now(),
            quiet_since: Instant::now(),
            stats,
            spans: Spans::new(),
        };
        session.refresh()?;
        if session.lane.is_none() {
            session.metadata.lane = None;
        }
        for at in 0..session.inputs.len() {
            let input = &session.inputs[at];
            let contract = session.slots[input.slot].engine.plan().map(|p| p.contract().clone());
            let known = contract.is_some_and(|c| c.provider(&input.id.provider).is_some());
            session.inputs[at].look_back(known && session.config.log.shows_uncommitted());
        }
        session.stats.update(|s| s.claims += 1);
        Ok(session)
    }

    /// Makes slots and inputs what the newest control set names, as far as their topics are there.
    pub(crate) fn refresh(&mut self) -> Result<(), Halt> {
        self.looked = Instant::now();
        self.unmute()?;
        self.absent.clear();
        let control = self.follower.newest().clone();
        for (dataset, contract) in &control.contracts {
            for partition in (0..contract.partitions).map(Partition) {
                let Some(slot) = self.slot(dataset, partition)? else { continue };
                for provider in &contract.providers {
                    let id = InputId { dataset: dataset.clone(), provider: provider.agency.clone(), partition };
                    if !self.input_of.contains_key(&id) {
                        self.input_of.insert(id.clone(), self.inputs.len());
                        self.inputs.push(Input::new(id, slot));
                    }
                }
            }
        }
        let before = self.readable();
        for input in &mut self.inputs {
            input.look(&*self.config.log, &control, self.claim.committed())?;
            if let Some((reason, at)) = &self.slots[input.slot].broken
                && *at == control.position
            {
                input.waiting = Some(reason.clone());
            }
        }
        if self.readable() != before || self.reader.is_none() {
            self.stop_reading();
        }
        Ok(())
    }

    /// What is there by now is written to again.
    fn unmute(&mut self) -> Result<(), Halt> {
        for topic in std::mem::take(&mut self.mute) {
            let of = TopicPartition { topic, partition: Partition(0) };
            match self.config.log.bounds(&Principal::router(), &of) {
                Ok(_) => {}
                Err(ReadError::Denied { .. }) => drop(self.mute.insert(of.topic)),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    /// The slot of a data partition, read back if it is new; none while its topic is missing.
    fn slot(&mut self, dataset: &Dataset, partition: Partition) -> Result<Option<usize>, Halt> {
        let place = (dataset.clone(), partition);
        if let Some(known) = self.slot_of.get(&place) {
            return Ok(Some(*known));
        }
        let Config { log, master, state_dir, .. } = &*self.config;
        let lane = self.metadata.lane.as_ref();
        let images = state_dir.as_deref();
        let back = recover::recover(&**log, &mut self.follower, (dataset, partition), master, images, lane);
        let back = match back {
            Ok(back) => back,
            Err(RecoverError::Read(ReadError::Denied { of, .. })) => {
                self.absent.insert(place, Reason::Topic(of.topic, "is missing".into()));
                return Ok(None);
            }
            Err(other) => return Err(other.into()),
        };
        if let Some(bad) = back.bad_image {
            tracing::warn!(dataset = %dataset, partition = partition.0, error = %bad, "state image not used, state read from the log");
            self.stats.update(|s| s.bad_images += 1);
        }
        let number = self.slots.len();
        let mut slot =
            Slot::new(back.engine, TopicPartition { topic: Topic::Data(dataset.clone()), partition }, back.next);
        match slot.settle(&**log, &mut self.lists) {
            Ok(()) => {}
            Err(Unsettled::Waits(reason)) => slot.broken = Some((reason, self.follower.newest().position)),
            Err(Unsettled::List(error)) => return Err(error.into()),
        }
        self.lane = self.lane.take().or(back.lane.map(|lane| OpenLane { slot: number, lane }));
        self.slots.push(slot);
        self.slot_of.insert(place, number);
        Ok(Some(number))
    }

    /// Whether inputs are being decided again that the owner before may have decided.
    pub(crate) fn redoing(&self) -> bool {
        self.inputs.iter().any(|i| i.redo.is_some())
    }

    fn readable(&self) -> Vec<usize> {
        let redoing = self.redoing();
        let open = |i: &Input| i.waiting.is_none() && (!redoing || i.redo.is_some());
        (0..self.inputs.len()).filter(|n| open(&self.inputs[*n])).collect()
    }

    /// Forgets what was read and not decided; it is read again from the committed positions.
    pub(crate) fn stop_reading(&mut self) {
        self.reader = None;
        self.pending.clear();
        self.marked.clear();
        self.again.clear();
    }

    /// Reads inputs into `pending`, waiting up to `wait`. Says whether anything came.
    pub(crate) fn read(&mut self, wait: Duration) -> Result<bool, Halt> {
        if self.reader.is_none() {
            self.reading = self.readable();
            let from: Vec<_> =
                self.reading.iter().map(|n| (self.inputs[*n].of.clone(), self.inputs[*n].next)).collect();
            match self.config.log.reader(&Principal::router(), &from) {
                Ok(reader) => self.reader = Some(reader),
                Err(ReadError::Denied { .. } | ReadError::Gone { .. }) => {
                    self.refresh()?;
                    return Ok(false);
                }
                Err(other) => return Err(other.into()),
            }
        }
        let Some(reader) = &mut self.reader else { return Ok(false) };
        match reader.poll(self.config.batch_records(), self.config.max_batch_bytes, wait) {
            Ok(records) => {
                let reading = &self.reading;
                self.pending.extend(records.into_iter().map(|record| (reading[record.source], record)));
            }
            Err(ReadError::Denied { .. } | ReadError::Gone { .. }) => {
                self.stop_reading();
                self.refresh()?;
                return Ok(false);
            }
            Err(other) => return Err(other.into()),
        }
        if !self.pending.is_empty() {
            self.quiet_since = Instant::now();
        } else if self.redoing() {
            self.look_past();
        }
        Ok(!self.pending.is_empty())
    }

    /// Ends the deciding again of inputs that have nothing left. Positions are sparse, so the end seen at the claim may
    /// lie behind the last record: the reader's position says so, or its silence.
    fn look_past(&mut self) {
        let Some(reader) = &self.reader else { return };
        let silent = self.quiet_since.elapsed() >= crate::read::SILENCE;
        for (number, at) in self.reading.iter().zip(reader.positions()) {
            let redo = &mut self.inputs[*number].redo;
            if redo.is_some_and(|redo| silent || at >= redo.end) {
                *redo = None;
            }
        }
        if !self.redoing() {
            // From here on other inputs are read as well.
            self.stop_reading();
        }
    }

    /// Commits a draft, and makes what it says true here. After a failure nothing of it is true.
    pub(crate) fn commit(&mut self, mut draft: Draft) -> Result<(), Halt> {
        draft.due.extend(self.owed.iter().cloned());
        draft.answer((self.config.clock)());
        if !self.mute.is_empty() {
            draft.records.retain(|r| !self.mute.contains(&r.to.topic));
        }
        let metadata = match draft.metadata.encode() {
            Ok(text) => text,
            Err(error) => return Err(Halt::fatal(RouterError::Metadata(error))),
        };
        let consumed = draft.consumed.iter().map(|(n, at)| (self.inputs[*n].of.clone(), *at)).collect();
        let records = std::mem::take(&mut draft.records);
        let begun = Instant::now();
        let batch = Batch { records, consumed, metadata };
        match self.stats.asking(|| self.claim.commit(batch)) {
            Ok(ends) => {
                self.committed(draft, ends, begun.elapsed());
                Ok(())
            }
            Err(error) => {
                for number in &draft.slots {
                    let slot = &mut self.slots[*number];
                    slot.engine.abandon();
                    slot.effects.clear();
                    // It was settled before; only what the draft's marker changed is undone.
                    drop(slot.settle(&*self.config.log, &mut self.lists));
                }
                Err(match error {
                    CommitError::Fenced(group) => Halt::fatal(RouterError::Fenced(group)),
                    CommitError::Unclear(_) => Halt::Again(Reason::Recovering(error.to_string())),
                    CommitError::Full(_) => Halt::Wait(Reason::Full),
                    CommitError::Refused { to, reason } => self.refused(&to, reason),
                })
            }
        }
    }

    fn committed(&mut self, draft: Draft, ends: Vec<(TopicPartition, Position)>, took: Duration) {
        draft.traces.committed(&ends);
        let now_ms = (self.config.clock)();
        for number in &draft.slots {
            self.slots[*number].engine.commit();
        }
        if draft.markers > 0 {
            self.lists.keep(self.slots.iter().filter_map(|s| s.engine.marker()).flat_map(|m| &m.code_lists));
        }
        for (number, view) in &draft.told {
            if let Some(outlet) = self.slots[*number].outlets.get_mut(view) {
                outlet.dirty = false;
                if draft.markers == 0 {
                    outlet.told_ms = Some(now_ms);
                }
            }
        }
        for (of, end) in ends {
            let dataset = match &of.topic {
                Topic::Data(dataset) | Topic::View(_, dataset, ..) => dataset.clone(),
                _ => continue,
            };
            let Some(number) = self.slot_of.get(&(dataset, of.partition)) else { continue };
            let slot = &mut self.slots[*number];
            if of == slot.data {
                slot.next = end;
            } else if let Some(outlet) = slot.outlets.values_mut().find(|o| o.to == of) {
                outlet.end = Some(end);
                outlet.dirty = true;
            }
        }
        for number in draft.consumed.keys() {
            let input = &mut self.inputs[*number];
            input.decided(now_ms, draft.updated.get(&input.id).copied());
        }
        self.metadata = draft.metadata;
        self.owed.clear();
        self.stats.update(|s| {
            s.counts.merge(&draft.counts);
            for (rule, n) in &draft.rules {
                *s.rules.entry((*rule).to_owned()).or_default() += n;
            }
            s.warnings.merge(&draft.warnings);
            s.view_records += draft.view_records;
            s.markers += draft.markers;
            s.commits += 1;
            s.commit_times.add(took);
            s.last_commit_ms = Some(now_ms);
            s.waiting = None;
        });
    }

    /// What the log will not take, and nothing else, is put aside, so that the rest goes on: a view is stopped
    /// for good, an input or a data partition waits for its topics, an agency's notices wait.
    fn refused(&mut self, to: &TopicPartition, reason: String) -> Halt {
        let why = Reason::Topic(to.topic.clone(), reason.clone());
        tracing::error!(topic = %to, reason, "the log will not take what is written there");
        match &to.topic {
            Topic::View(..) => {
                let view = self.slots.iter().flat_map(|s| &s.outlets).find(|(_, o)| o.to.topic == to.topic);
                let view = view.map(|(view, _)| *view).or_else(|| {
                    let views = &self.follower.newest().views;
                    views.iter().find(|(_, v)| v.activation.topic() == to.topic).map(|(view, _)| *view)
                });
                if let Some(view) = view {
                    self.stop_view(view, why.clone());
                }
            }
            Topic::Receipt(provider) => {
                self.hold_inputs(&why, |i| &i.id.provider == provider);
                // Early receipts that other inputs make due would be refused as well; these are lost with their topic.
                self.mute.insert(to.topic.clone());
            }
            Topic::DeadLetter(dataset, provider) => {
                self.hold_inputs(&why, |i| &i.id.provider == provider && &i.id.dataset == dataset);
            }
            Topic::In(..) => self.hold_inputs(&why, |i| i.of == *to),
            Topic::Data(dataset) => {
                let at = self.follower.newest().position;
                for slot in self.slots.iter_mut().filter(|s| s.dataset() == dataset) {
                    slot.broken = Some((why.clone(), at));
                }
                self.hold_inputs(&why, |i| &i.id.dataset == dataset);
            }
            Topic::Notice(_) => {
                self.mute.insert(to.topic.clone());
            }
            // What is the bus's own stops everything until it is there again.
            Topic::Heads | Topic::Control | Topic::Ledger | Topic::Confirm(_) => {}
        }
        Halt::Wait(why)
    }

    /// Stops a view's output for good.
    pub(crate) fn stop_view(&mut self, view: ViewNo, why: Reason) {
        tracing::error!(view = view.0, reason = %why, "view stopped; give it a new edition");
        self.metadata.stop(view, &mut self.owed);
        self.stats.update(|s| {
            s.stopped.insert(view, why);
        });
    }

    pub(crate) fn hold_inputs(&mut self, why: &Reason, which: impl Fn(&Input) -> bool) {
        for input in self.inputs.iter_mut().filter(|i| which(i)) {
            input.waiting = Some(why.clone());
            input.redo = None;
        }
        self.stop_reading();
    }

    /// Looks again for what was missing, and at lags, now and then.
    pub(crate) fn look_around(&mut self) -> Result<(), Halt> {
        if self.looked.elapsed() < self.config.look_every {
            return Ok(());
        }
        self.looked = Instant::now();
        if !self.absent.is_empty() || self.inputs.iter().any(|i| i.waiting.is_some()) || !self.mute.is_empty() {
            for slot in &mut self.slots {
                if matches!(slot.broken, Some((Reason::Topic(..), _))) {
                    slot.broken = None;
                }
            }
            return self.refresh();
        }
        for input in &mut self.inputs {
            if let Ok(bounds) = self.config.log.bounds(&Principal::router(), &input.of) {
                input.end = bounds.end;
            }
        }
        Ok(())
    }

    /// The end of a view's partition, asked for once; after that our own commits say it. A view whose topic is missing
    /// is stopped.
    pub(crate) fn know_end(&mut self, number: usize, view: ViewNo) -> Result<(), Halt> {
        let Some(outlet) = self.slots[number].outlets.get_mut(&view) else { return Ok(()) };
        if outlet.end.is_some() || self.metadata.stopped.contains(&view) {
            return Ok(());
        }
        match self.config.log.bounds(&Principal::router(), &outlet.to) {
            Ok(bounds) => outlet.end = Some(bounds.end),
            Err(ReadError::Denied { of, .. }) => {
                self.stop_view(view, Reason::Topic(of.topic, "is missing".into()));
            }
            Err(other) => return Err(other.into()),
        }
        Ok(())
    }

    /// Brings the statistics up to date.
    pub(crate) fn report(&self) {
        let data = self.slots.iter().map(|slot| DataStats {
            of: slot.data.clone(),
            sequence: slot.engine.sequence(),
            control: slot.engine.marker().map(|m| m.control).unwrap_or_default(),
            clock_ms: slot.engine.marker().map_or(0, |m| m.clock_ms),
            keys: slot.engine.state().len(),
            bytes: slot.engine.state().bytes(),
            refused: slot.engine.plan().map(|p| p.refused().to_vec()).unwrap_or_default(),
        });
        let lane = self.lane.as_ref().map(|open| LaneStats {
            of: open.lane.of.clone(),
            views: open.lane.views.clone(),
            until: open.lane.marker,
            sequence: open.lane.sequence,
        });
        let absent = self.absent.iter().map(|((dataset, partition), reason)| crate::stats::InputStats {
            of: TopicPartition { topic: Topic::Data(dataset.clone()), partition: *partition },
            position: Position(0),
            end: Position(0),
            waiting: Some(reason.clone()),
            decided_ms: None,
            updated_ms: None,
        });
        let (data, inputs) = (data.collect(), self.inputs.iter().map(Input::stats).chain(absent).collect());
        self.stats.update(|s| {
            *s = Snapshot {
                data,
                inputs,
                lane,
                redoing: self.redoing(),
                control_ignored: self.follower.ignored(),
                ..std::mem::take(s)
            };
            s.stopped.retain(|view, _| self.metadata.stopped.contains(view));
            for view in &self.metadata.stopped {
                let unknown = || Reason::Contract("stopped before this process started".into());
                s.stopped.entry(*view).or_insert_with(unknown);
            }
        });
    }
}
