//! One generation while it is kept: what has been read for it and not applied yet, and how far that is.

use kenh_domain::log::{Position, Record};
use kenh_domain::topic::Partition;

use super::notices::{EditionId, Notices};
use crate::store::{Batch, GenerationInfo, Reached, StoreError, ViewStore};

/// How often the time of the last reading is written when nothing else is: a crash makes a copy look that much longer
/// away.
const SEEN_EVERY_MS: i64 = 60 * 60 * 1000;

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

/// A generation and what is on its way into it.
pub(super) struct Feed {
    /// As the store holds it; the time of the last reading may be newer.
    pub(super) info: GenerationInfo,
    pub(super) phase: Phase,
    /// Per partition, where reading goes on.
    pub(super) next: Vec<Position>,
    /// Per partition, the last record taken in since this process began.
    last: Vec<Option<Position>>,
    pending: Batch,
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

    /// Takes in a record of a partition.
    pub(super) fn take(&mut self, partition: usize, record: Record) {
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
        progress.reached = self.reached(notices);
        let news = !self.pending.is_empty() || progress.reached != self.info.progress.reached;
        if !news && now_ms.saturating_sub(self.written_seen_ms) < SEEN_EVERY_MS {
            return Ok(0);
        }
        let counters = store.apply(self.info.generation, &self.pending, &progress)?;
        let records = self.pending.records();
        self.pending = Batch::default();
        self.info.progress = progress;
        self.info.counters = counters;
        self.written_seen_ms = now_ms;
        Ok(records)
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
        let ends = self.info.progress.reached.iter().zip(self.next.iter().zip(&self.last));
        self.pending.is_empty()
            && ends.into_iter().all(|(reached, (next, last))| {
                reached.is_some_and(|r| *next <= r.end || last.is_some_and(|last| last < r.end))
            })
    }
}
