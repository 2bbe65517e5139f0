//! One generation while it is kept: what has been read for it and not applied yet, and how far that is.

use kenh_domain::log::{Position, Record};
use kenh_domain::topic::Partition;

use super::notices::{EditionId, Notices};
use super::trace;
use crate::store::{Batch, GenerationInfo, Reached, StoreError, ViewStore};

/// How often the time of the last reading is written when nothing else is: a crash makes a copy look that much longer
/// away.
const SEEN_EVERY_MS: i64 = 60 * 60 * 1000;

/// How long records are held back for a confirmation: some turns of the bus's own clock.
const AIM_MS: i64 = 5_000;
/// How long nothing is held back after that was in vain.
const AIM_AGAIN_MS: i64 = 60_000;

/// Where the filling of a generation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The end to read to has not been captured yet.
    Unopened,
    /// To be read to these ends, one per partition.
    Filling(Vec<Position>),
    /// Read to the captured ends: every poll is applied at once.
    Live,
}

/// While a copy is to be brought to a place that the bus has told of, exactly: records are held back here until it is
/// known which of them lie before that place.
struct Aim {
    since_ms: i64,
    held: Vec<(usize, Record)>,
    bytes: usize,
}

/// A generation and what is on its way into it.
pub(super) struct Feed {
    /// As the store holds it; the time of the last reading may be newer.
    pub(super) info: GenerationInfo,
    pub(super) phase: Phase,
    /// Per partition, where reading goes on.
    pub(super) next: Vec<Position>,
    /// Per partition, the last record taken into a batch since this process began.
    last: Vec<Option<Position>>,
    pending: Batch,
    aim: Option<Aim>,
    /// After holding back in vain.
    no_aim_before_ms: i64,
    /// When the time of the last reading was written.
    written_seen_ms: i64,
}

impl Feed {
    /// Of a generation as the store holds it.
    pub(super) fn new(info: GenerationInfo) -> Self {
        Self {
            phase: if info.published { Phase::Live } else { Phase::Unopened },
            next: info.progress.positions.clone(),
            last: vec![None; info.progress.positions.len()],
            pending: Batch::default(),
            aim: None,
            no_aim_before_ms: i64::MIN,
            written_seen_ms: info.progress.seen_ms,
            info,
        }
    }

    pub(super) fn edition(&self) -> EditionId {
        (self.info.copy(), self.info.card.edition)
    }

    pub(super) fn caught_up(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether nothing was read for it since it was begun.
    pub(super) fn is_unread(&self) -> bool {
        self.next == self.info.progress.positions && self.info.counters == crate::store::Counters::default()
    }

    /// Takes in a record of a partition.
    pub(super) fn take(&mut self, partition: usize, record: Record) {
        match &mut self.aim {
            Some(aim) => {
                aim.bytes += record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
                aim.held.push((partition, record));
            }
            None => self.fold(partition, record),
        }
    }

    /// Holds back what comes, so that the copy can be brought to a place that the bus tells of.
    pub(super) fn aim(&mut self, now_ms: i64) {
        let ready = self.caught_up() && self.pending.is_empty() && now_ms >= self.no_aim_before_ms;
        if ready && self.aim.is_none() {
            self.aim = Some(Aim { since_ms: now_ms, held: Vec::new(), bytes: 0 });
        }
    }

    /// Holds nothing back any more.
    pub(super) fn release(&mut self) {
        for (partition, record) in self.aim.take().map(|aim| aim.held).unwrap_or_default() {
            self.fold(partition, record);
        }
    }

    fn fold(&mut self, partition: usize, record: Record) {
        if let Some(last) = self.last.get_mut(partition) {
            *last = Some(record.position);
        }
        self.pending.push(record.key, record.value);
    }

    /// Notes where reading goes on in a partition.
    pub(super) fn read_to(&mut self, partition: usize, next: Position) {
        if let Some(at) = self.next.get_mut(partition) {
            *at = (*at).max(next);
        }
    }

    /// Writes what is due: everything that was taken in when the filling has caught up or `fill_bytes` are waiting, and
    /// how far the rows are known to be complete. Answers how many records that were.
    pub(super) fn settle(
        &mut self,
        store: &dyn ViewStore,
        notices: &Notices,
        fill_bytes: usize,
        now_ms: i64,
    ) -> Result<usize, StoreError> {
        self.info.progress.seen_ms = now_ms;
        match &self.phase {
            Phase::Unopened => return Ok(0),
            Phase::Filling(until) => {
                if self.next.iter().zip(until).all(|(next, until)| next >= until) {
                    self.phase = Phase::Live;
                } else if self.pending.bytes() < fill_bytes {
                    return Ok(0);
                }
            }
            Phase::Live => {}
        }
        let mut progress = self.info.progress.clone();
        progress.positions.clone_from(&self.next);
        if let Some(aim) = &self.aim {
            match self.target(notices) {
                Some(target) => {
                    self.take_before(&target);
                    progress.positions = target;
                }
                None if aim.bytes < fill_bytes && now_ms.saturating_sub(aim.since_ms) < AIM_MS => return Ok(0),
                // The bus is silent, or far ahead of what it tells of: rows matter more than a confirmation.
                None => {
                    self.release();
                    self.no_aim_before_ms = now_ms.saturating_add(AIM_AGAIN_MS);
                }
            }
        }
        progress.reached = self.reached(notices);
        let news = !self.pending.is_empty() || progress.reached != self.info.progress.reached;
        if !news && now_ms.saturating_sub(self.written_seen_ms) < SEEN_EVERY_MS {
            return Ok(0);
        }
        let records = self.pending.records();
        let span = trace::begin(&self.info, &progress, records);
        let counters = store.apply(self.info.generation, &self.pending, &progress)?;
        drop(span);
        self.pending = Batch::default();
        self.info.progress = progress;
        self.info.counters = counters;
        self.written_seen_ms = now_ms;
        Ok(records)
    }

    /// The place to be aimed at, per partition: everything before it was read, and nothing behind it applied. None while
    /// the bus has told of none.
    fn target(&self, notices: &Notices) -> Option<Vec<Position>> {
        let edition = self.edition();
        let places = self.info.progress.positions.iter().zip(self.next.iter().zip(&self.last));
        let of = |(partition, (at, (next, last))): (u32, (&Position, (&Position, &Option<Position>)))| {
            let end = notices.positions(&edition, Partition(partition))?.end;
            let nothing_behind = *at <= end || last.is_some_and(|last| last < end);
            // Never back: between the two lies nothing.
            (end <= *next && nothing_behind).then_some(end.max(*at))
        };
        (0..).zip(places).map(of).collect()
    }

    /// Takes in what is held back of before a place; the rest stays held back.
    fn take_before(&mut self, target: &[Position]) {
        let held = self.aim.as_mut().map(|aim| std::mem::take(&mut aim.held)).unwrap_or_default();
        let before =
            |(partition, record): &(usize, Record)| target.get(*partition).is_some_and(|t| record.position < *t);
        let (now, later): (Vec<_>, Vec<_>) = held.into_iter().partition(before);
        now.into_iter().for_each(|(partition, record)| self.fold(partition, record));
        if let Some(aim) = &mut self.aim {
            aim.held = later;
        }
    }

    /// Per partition, the newest place that was told and that everything taken in reaches.
    fn reached(&self, notices: &Notices) -> Vec<Option<Reached>> {
        let edition = self.edition();
        let of = |(partition, (next, before)): (u32, (&Position, &Option<Reached>))| {
            let told = notices.positions(&edition, Partition(partition)).filter(|told| told.end <= *next);
            let told = told.map(|t| Reached { sequence: t.sequence, end: t.end, clock_ms: t.clock_ms });
            told.or(*before)
        };
        (0..).zip(self.next.iter().zip(&self.info.progress.reached)).map(of).collect()
    }

    /// Whether the view is filled and everything up to the newest place that was told is in the store.
    pub(super) fn complete(&self, notices: &Notices) -> bool {
        let edition = self.edition();
        self.caught_up()
            && self.pending.is_empty()
            && (0..).zip(&self.info.progress.reached).all(|(partition, reached)| {
                notices.positions(&edition, Partition(partition)).is_some_and(|told| {
                    told.filled && reached.is_some_and(|r| r.sequence >= told.sequence && r.end >= told.end)
                })
            })
    }

    /// Whether the store holds exactly the rows as of `reached`, in every partition: nothing behind it was applied.
    pub(super) fn exact(&self) -> bool {
        let progress = &self.info.progress;
        self.pending.is_empty()
            && progress.reached.iter().zip(progress.positions.iter().zip(&self.last)).all(|(reached, (at, last))| {
                reached.is_some_and(|r| *at <= r.end || last.is_some_and(|last| last < r.end))
            })
    }
}
