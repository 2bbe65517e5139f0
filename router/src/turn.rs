//! The verbs of a session: one turn, and the four kinds of transaction that it may make.
//!
//! Markers, lanes, batches and notices commit apart. So a batch holds only what is decided under a marker that is
//! committed: after an abort the same inputs meet the same marker, and give the same bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::ViewNo;
use kenh_domain::frame::{self, Data, Sequence};
use kenh_domain::limits::MAX_COMMIT_BYTES;
use kenh_domain::log::Position;
use kenh_domain::names::Principal;
use kenh_domain::topic::Partition;

use crate::decide;
use crate::draft::Draft;
use crate::inputs::Input;
use crate::lane::Lane;
use crate::metadata::LaneCursor;
use crate::recover;
use crate::router::{RouterError, Turn};
use crate::session::{Halt, OpenLane, Session};
use crate::slot::Unsettled;
use crate::stats::Reason;

impl Session {
    /// One turn: an open lane first; then follow control, read inputs, write the markers that are due; then decide what
    /// was read; and when there is nothing to decide, tell readers how far their views have come.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<Turn, Halt> {
        if self.lane.is_some() {
            return self.fill();
        }
        if self.follower.poll(Duration::ZERO)? {
            self.refresh()?;
        } else {
            self.look_around()?;
        }
        let now_ms = (self.config.clock)();
        if self.pending.is_empty() {
            let wait = if self.due(now_ms).is_empty() { self.shorten(wait, now_ms) } else { Duration::ZERO };
            self.read(wait)?;
        }
        self.follow_lists()?;
        let now_ms = (self.config.clock)();
        let due = self.due(now_ms);
        if !due.is_empty() {
            return self.mark(&due, now_ms);
        }
        if !self.pending.is_empty() {
            return self.decide();
        }
        self.keep_images();
        self.tell(now_ms)
    }

    /// An idle wait ends where a view or a relaxation starts or ends by its time.
    fn shorten(&self, wait: Duration, now_ms: i64) -> Duration {
        let next = self.slots.iter().filter_map(|s| s.engine.due_ms()).min();
        let until = next.map(|at| Duration::from_millis(at.saturating_sub(now_ms).try_into().unwrap_or(0)));
        until.map_or(wait, |until| until.min(wait))
    }

    /// Reads the datasets that contracts use as code lists to where our own commits have brought them: who has a receipt
    /// for a new code may use it at once.
    fn follow_lists(&mut self) -> Result<(), Halt> {
        let control = self.follower.newest().clone();
        for (_, list) in control.contracts.values().flat_map(|c| c.lists_on_the_bus()) {
            let place = (list.dataset.clone(), Partition(0));
            if let Some(number) = self.slot_of.get(&place) {
                self.lists.follow(&*self.config.log, &list.dataset, self.slots[*number].next)?;
            }
        }
        Ok(())
    }

    /// Slots that something is pending for.
    fn busy(&self) -> BTreeSet<usize> {
        self.pending.iter().map(|(input, _)| self.inputs[*input].slot).collect()
    }

    /// Slots that are to have a marker now.
    fn due(&mut self, now_ms: i64) -> Vec<usize> {
        let redoing = self.redoing();
        let newest = self.follower.newest().clone();
        let busy = self.busy();
        let mut due = Vec::new();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            // Nothing can have been decided where there was no marker yet.
            let may = (!redoing || slot.engine.marker().is_none()) && !self.again.contains(&number);
            let (busy, marked) = (busy.contains(&number), self.marked.contains(&number));
            if may && slot.marker_is_due(&newest, &self.lists, now_ms, (busy, marked)) {
                due.push(number);
            }
        }
        due
    }

    /// Writes markers. One that brings views into force over records that are there opens a lane; those behind it wait
    /// until it is filled.
    fn mark(&mut self, due: &[usize], now_ms: i64) -> Result<Turn, Halt> {
        let newest = self.follower.newest().clone();
        let mut draft = Draft::new(self.metadata.clone());
        let mut lane: Option<(usize, Sequence, Vec<ViewNo>, Position)> = None;
        for &number in due {
            let slot = &mut self.slots[number];
            let choose = || (slot.next_marker(&newest, &self.lists, now_ms), newest.clone());
            let (marker, control) = self.chosen.entry(number).or_insert_with(choose).clone();
            let sequence = Sequence(slot.engine.sequence().0 + 1);
            let started = match slot.engine.mark(sequence, marker.clone(), control) {
                Ok(started) => started,
                Err(error) => {
                    self.give_up(number, Reason::Contract(error.to_string()));
                    continue;
                }
            };
            match slot.settle(&*self.config.log, &mut self.lists) {
                Ok(()) => {}
                Err(Unsettled::Waits(reason)) => {
                    slot.engine.abandon();
                    self.give_up(number, reason);
                    continue;
                }
                Err(Unsettled::List(error)) => {
                    slot.engine.abandon();
                    return Err(error.into());
                }
            }
            slot.broken = None;
            draft.slots.insert(number);
            let framed = frame::encode(sequence, &Data::Marker(marker.clone()));
            draft.push(slot.data.clone(), marker.clock_ms, Bytes::new(), Some(framed.into()));
            slot.head(&mut draft);
            draft.markers += 1;
            let fills = !started.is_empty() && slot.engine.knows_any();
            let told: Vec<ViewNo> = slot.outlets.keys().filter(|v| !fills || !started.contains(v)).copied().collect();
            for view in told {
                self.know_end(number, view)?;
                self.slots[number].tell(number, view, &mut draft);
            }
            if fills {
                let data = &self.slots[number].data;
                let start = self.config.log.bounds(&Principal::router(), data)?.start;
                lane = Some((number, sequence, started, start));
                break;
            }
        }
        // Views may have been stopped on the way.
        draft.metadata = self.metadata.clone();
        draft.metadata.forget_stopped(|view| {
            newest.views.get(&view).is_some_and(|v| v.in_force(now_ms))
                || self.slots.iter().any(|s| s.engine.plan().is_some_and(|p| p.has(view)))
        });
        draft.metadata.lane = lane.as_ref().map(|(number, marker, _, cursor)| LaneCursor {
            dataset: self.slots[*number].dataset().clone(),
            partition: self.slots[*number].partition(),
            marker: *marker,
            cursor: *cursor,
        });
        if draft.slots.is_empty() {
            return Ok(Turn::Idle);
        }
        let (slots, markers) = (draft.slots.clone(), draft.markers);
        self.commit(draft)?;
        let busy = self.busy();
        for number in slots {
            self.chosen.remove(&number);
            if busy.contains(&number) {
                self.marked.insert(number);
            }
        }
        if let Some((number, marker, views, cursor)) = lane {
            self.open_lane(number, marker, views, cursor)?;
        }
        Ok(Turn::Marked { markers })
    }

    fn open_lane(&mut self, slot: usize, marker: Sequence, views: Vec<ViewNo>, at: Position) -> Result<(), Halt> {
        let of = self.slots[slot].data.clone();
        let lane = Lane::open(&*self.config.log, of, marker, views, at)?;
        self.lane = Some(OpenLane { slot, lane });
        Ok(())
    }

    /// A data partition that cannot go on under what control says now waits for control to change, or for a topic.
    fn give_up(&mut self, number: usize, reason: Reason) {
        self.chosen.remove(&number);
        let slot = &mut self.slots[number];
        // It was settled before, under the marker that still stands.
        drop(slot.settle(&*self.config.log, &mut self.lists));
        tracing::error!(data = %slot.data, reason = %reason, "cannot be carried out; waiting for that to change");
        slot.broken = Some((reason.clone(), self.follower.newest().position));
        self.hold_inputs(&reason, |i| i.slot == number);
    }

    /// Goes on with the open lane by one transaction.
    fn fill(&mut self) -> Result<Turn, Halt> {
        let Some(OpenLane { slot: number, mut lane }) = self.lane.take() else { return Ok(Turn::Idle) };
        let slot = &mut self.slots[number];
        let mut draft = Draft::new(self.metadata.clone());
        draft.slots.insert(number);
        let offered =
            lane.go_on(&mut slot.engine, &mut slot.effects, self.config.batch_records(), MAX_COMMIT_BYTES, None);
        let done = offered?;
        slot.emit(&mut draft);
        if let Some(cursor) = &mut draft.metadata.lane {
            cursor.cursor = lane.cursor;
        }
        if done {
            draft.metadata.lane = None;
        }
        if let Err(halt) = self.commit(draft) {
            // What was offered is offered again.
            let at = self.metadata.lane.as_ref().map_or(lane.cursor, |l| l.cursor);
            self.open_lane(number, lane.marker, lane.views, at)?;
            return Err(halt);
        }
        if done {
            // Filling may have taken long: what is pending is decided under a clock of now.
            self.marked.clear();
            for view in &lane.views {
                if let Some(outlet) = self.slots[number].outlets.get_mut(view) {
                    outlet.dirty = true;
                    outlet.told_ms = None;
                }
            }
        } else {
            self.lane = Some(OpenLane { slot: number, lane });
        }
        Ok(Turn::Filled { done })
    }

    /// Decides what was read, as much of it as one transaction should hold.
    fn decide(&mut self) -> Result<Turn, Halt> {
        let mut draft = Draft::new(self.metadata.clone());
        let mut taken: Vec<(usize, Position)> = Vec::new();
        let mut routed = 0;
        for (input, record) in &self.pending {
            if draft.bytes + routed >= MAX_COMMIT_BYTES || taken.len() >= self.config.batch_records() {
                break;
            }
            let Input { id, slot: number, .. } = &self.inputs[*input];
            let slot = &mut self.slots[*number];
            let before = slot.effects.bytes();
            draft.slots.insert(*number);
            if let Err(source) = decide::one(slot, id, record, &mut self.spans, &mut draft) {
                return Err(Halt::fatal(RouterError::Engine { of: slot.data.clone(), source: source.into() }));
            }
            routed += slot.effects.bytes() - before;
            let next = Position(record.position.0 + 1);
            draft.consumed.insert(*input, next);
            taken.push((*input, next));
        }
        for number in draft.slots.clone() {
            self.slots[number].emit(&mut draft);
        }
        if let Err(halt) = self.commit(draft) {
            if !self.pending.is_empty() {
                self.again = taken.iter().map(|(input, _)| self.inputs[*input].slot).collect();
            }
            return Err(halt);
        }
        self.marked.clear();
        self.again.clear();
        self.pending.drain(..taken.len());
        let redoing = self.redoing();
        for (input, next) in &taken {
            self.inputs[*input].passed(*next, 1);
        }
        if redoing && !self.redoing() {
            // What other inputs hold is read from here on.
            self.stop_reading();
        }
        self.keep_images();
        Ok(Turn::Decided { records: taken.len() })
    }

    /// Tells readers how far their views have come.
    fn tell(&mut self, now_ms: i64) -> Result<Turn, Halt> {
        let mut draft = Draft::new(self.metadata.clone());
        for number in 0..self.slots.len() {
            for view in self.slots[number].to_be_told(now_ms, &self.metadata.stopped) {
                self.know_end(number, view)?;
                self.slots[number].tell(number, view, &mut draft);
            }
        }
        draft.metadata = self.metadata.clone();
        if draft.is_empty() && self.owed.is_empty() {
            return Ok(Turn::Idle);
        }
        self.commit(draft)?;
        Ok(Turn::Told)
    }

    /// Starts an image where one is due, and takes note of one that has ended.
    fn keep_images(&mut self) {
        if let Some(Err(error)) = self.images.ended() {
            tracing::warn!(error = %error, "state image not written; the log has everything");
            self.stats.update(|s| s.bad_images += 1);
        }
        if !self.images.free() || self.lane.is_some() {
            return;
        }
        let every = self.config.image_every;
        let Some(slot) = self.slots.iter_mut().find(|s| s.since_image >= every) else { return };
        slot.since_image = 0;
        let identity =
            recover::identity(&*self.config.log, &self.config.master, slot.engine.dataset(), slot.engine.partition());
        self.images.start(slot.engine.image(identity, slot.next));
    }

    /// Writes an image of every slot that has moved, and waits for it. An open lane's slot has none: its views are half
    /// filled.
    pub(crate) fn write_images(&mut self) {
        let lane = self.lane.as_ref().map(|open| open.slot);
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            if slot.since_image == 0 || lane == Some(number) || self.config.state_dir.is_none() {
                continue;
            }
            slot.since_image = 0;
            let (dataset, partition) = (slot.engine.dataset(), slot.engine.partition());
            let identity = recover::identity(&*self.config.log, &self.config.master, dataset, partition);
            let image = slot.engine.image(identity, slot.next);
            self.images.join();
            self.images.start(image);
            if let Some(Err(error)) = self.images.join() {
                tracing::warn!(error = %error, "state image not written; the log has everything");
                self.stats.update(|s| s.bad_images += 1);
            }
        }
    }
}
