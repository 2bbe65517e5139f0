//! Following `kenh.control`: the newest control set, and any earlier one that a marker names.
//!
//! Markers name a position of the control log and its digest there. Live, that is the newest set; a replay meets older
//! ones, in rising order, and each is folded onto the one before it. The events themselves are kept: there are
//! thousands of them where there are millions of records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::{ControlError, ControlSet};
use kenh_domain::frame::Marker;
use kenh_domain::limits::MAX_CONTROL_BYTES;
use kenh_domain::log::{Log, Position, ReadError, Reader, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

/// Control events taken in one call; the loop comes back for more.
const EVENTS_A_POLL: usize = 1_000;

/// Earlier sets kept at hand for a replay: partitions of a dataset share most of their markers' control positions.
const SETS_KEPT: usize = 64;

/// Why the control log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be read.
    #[error("kenh.control cannot be read")]
    Read(#[from] ReadError),
    /// It holds an event that only a newer release understands; going on without it could share what was revoked.
    #[error("kenh.control cannot be followed")]
    Newer(#[source] ControlError),
    /// A marker names a digest that this control log does not have at that place.
    #[error("the control log at {position} is not the one that was in force when the marker was written")]
    Differs {
        /// The position that the marker names.
        position: Position,
    },
}

/// Follows the control log.
pub struct Follower {
    reader: Box<dyn Reader>,
    events: Vec<(Position, Bytes)>,
    newest: Arc<ControlSet>,
    earlier: BTreeMap<Position, (usize, Arc<ControlSet>)>,
    ignored: u64,
}

impl Follower {
    /// Opens the control log at its start and reads to its end.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn open(log: &dyn Log) -> Result<Self, FollowError> {
        let principal = Principal::router();
        let of = TopicPartition::new(Topic::Control, 0);
        let bounds = log.bounds(&principal, &of)?;
        let reader = log.reader(&principal, &[(of, bounds.start)])?;
        let newest = Arc::new(ControlSet::default());
        let mut follower = Self { reader, events: Vec::new(), newest, earlier: BTreeMap::new(), ignored: 0 };
        crate::read::to_end(follower.reader_position(), bounds.end, |wait| {
            let came = follower.poll(wait)?;
            Ok::<_, FollowError>((came, follower.reader_position()))
        })?;
        Ok(follower)
    }

    fn reader_position(&self) -> Position {
        self.reader.positions().first().copied().unwrap_or_default()
    }

    /// Takes what has come, waiting up to `wait` for the first event. Says whether anything came.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn poll(&mut self, wait: Duration) -> Result<bool, FollowError> {
        let records = self.reader.poll(EVENTS_A_POLL, MAX_CONTROL_BYTES, wait)?;
        if records.is_empty() {
            return Ok(false);
        }
        let mut set = (*self.newest).clone();
        for record in records {
            let value = record.value.unwrap_or_default();
            match set.apply(record.position, &value) {
                Ok(()) => {}
                Err(newer @ ControlError::Format { .. }) => return Err(FollowError::Newer(newer)),
                Err(error) => {
                    self.ignored += 1;
                    tracing::error!(position = record.position.0, error = %error, "control event ignored");
                }
            }
            self.events.push((record.position, value));
        }
        self.newest = Arc::new(set);
        Ok(true)
    }

    /// Everything in force after the last event read.
    #[must_use]
    pub const fn newest(&self) -> &Arc<ControlSet> {
        &self.newest
    }

    /// Events that contradicted what stood before them and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The control set that a marker names.
    ///
    /// # Errors
    /// [`FollowError::Differs`].
    pub fn at(&mut self, marker: &Marker) -> Result<Arc<ControlSet>, FollowError> {
        let set = self.folded_to(marker.control);
        if set.digest == marker.control_digest && set.position == marker.control {
            Ok(set)
        } else {
            Err(FollowError::Differs { position: marker.control })
        }
    }

    fn folded_to(&mut self, position: Position) -> Arc<ControlSet> {
        if self.newest.position == position {
            return self.newest.clone();
        }
        let (mut folded, nearest) = match self.earlier.range(..=position).next_back() {
            Some((_, (folded, set))) => (*folded, set.clone()),
            None => (0, Arc::new(ControlSet::default())),
        };
        if self.events.get(folded).is_none_or(|(at, _)| *at > position) {
            return nearest;
        }
        let mut set = (*nearest).clone();
        while let Some((at, bytes)) = self.events.get(folded).filter(|(at, _)| *at <= position) {
            // What was ignored when it came is ignored again; it was reported then.
            let _ = set.apply(*at, bytes);
            folded += 1;
        }
        let set = Arc::new(set);
        if self.earlier.len() >= SETS_KEPT {
            self.earlier.pop_first();
        }
        self.earlier.insert(position, (folded, set.clone()));
        set
    }
}
