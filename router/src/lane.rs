//! Lanes: filling the views that come into force at a marker with what is current there.
//!
//! A lane reads its data partition again from the start up to its marker and offers every record to the new views; those
//! that are the latest of their key are taken, in order. The group stops meanwhile: nothing is written behind the
//! marker before the lane is done, so that the bytes of a view cannot depend on how long filling takes, and a crash goes
//! on from the committed cursor. (DESIGN section 5: the first form may simply stop the group and fill. All views of a
//! marker fill in one pass, so nothing queues.)

use std::collections::VecDeque;
use std::time::Duration;

use kenh_domain::control::ViewNo;
use kenh_domain::frame::{self, Data, Sequence};
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use kenh_domain::log::{Log, Position, Reader, Record, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::route::Effects;

use crate::engine::Engine;
use crate::recover::RecoverError;

/// How long one poll of a lane waits: its marker is in the log, so there is something to read until it is met.
const WAIT: Duration = Duration::from_millis(200);

/// Polls without a record after which a lane says that the log has lost what it promised.
const MAX_EMPTY_POLLS: u32 = 50;

/// See the module's documentation.
pub struct Lane {
    /// The data partition.
    pub of: TopicPartition,
    /// Sequence of the marker where it ends.
    pub marker: Sequence,
    /// The new views, by number.
    pub views: Vec<ViewNo>,
    /// Everything before this position was offered.
    pub cursor: Position,
    /// Sequence of the last record offered.
    pub sequence: Sequence,
    reader: Box<dyn Reader>,
    left: VecDeque<Record>,
}

impl Lane {
    /// Opens a lane at `cursor`.
    ///
    /// # Errors
    /// [`RecoverError::Read`].
    pub fn open(
        log: &dyn Log,
        of: TopicPartition,
        marker: Sequence,
        views: Vec<ViewNo>,
        cursor: Position,
    ) -> Result<Self, RecoverError> {
        let reader = log.reader(&Principal::router(), &[(of.clone(), cursor)])?;
        Ok(Self { of, marker, views, cursor, sequence: Sequence(0), reader, left: VecDeque::new() })
    }

    /// Offers records to the views until `max_records` were offered, `out` holds `max_bytes`, the cursor has reached
    /// `until`, or the marker is met; says whether that last has happened.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn go_on(
        &mut self,
        engine: &mut Engine,
        out: &mut Effects,
        max_records: usize,
        max_bytes: usize,
        until: Option<Position>,
    ) -> Result<bool, RecoverError> {
        let mut empty = 0;
        let mut offered = 0;
        while offered < max_records && out.bytes() < max_bytes && until.is_none_or(|until| self.cursor < until) {
            let Some(record) = self.left.pop_front() else {
                self.left = self.reader.poll(MAX_BATCH_RECORDS, MAX_BATCH_BYTES, WAIT)?.into();
                empty += 1;
                if !self.left.is_empty() {
                    empty = 0;
                } else if empty > MAX_EMPTY_POLLS {
                    return Err(RecoverError::Cut { of: self.of.clone(), marker: self.marker });
                }
                continue;
            };
            let (sequence, data) = frame::decode(record.value.as_deref().unwrap_or_default())
                .map_err(|source| RecoverError::Frame { of: self.of.clone(), position: record.position, source })?;
            if sequence >= self.marker {
                return Ok(true);
            }
            if let Data::Change(change) = data {
                engine
                    .fill(sequence, &record.key, &change, &self.views, out)
                    .map_err(|source| RecoverError::Engine { of: self.of.clone(), source: source.into() })?;
            }
            self.sequence = sequence;
            self.cursor = Position(record.position.0 + 1);
            offered += 1;
        }
        Ok(false)
    }
}
