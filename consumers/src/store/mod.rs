//! Where copies are kept: one small trait, and what every store must promise.
//!
//! A store belongs to one agency. It holds *copies*, one per (dataset, view), each in one or more *generations*. A
//! generation is filled unseen and then published, which takes the place of the one before in one step. There is one
//! writer (the subscriber) and any number of readers.
//!
//! # What a store promises
//! - [`apply`](ViewStore::apply) is *atomic and durable*: when it has returned, rows, index entries, counters and the
//!   positions from which to go on survive the loss of the process and of the machine; when it has failed, or the process
//!   was killed in the middle of it, either all of it has happened or none, and what [`generations`](ViewStore::generations)
//!   says afterwards tells which.
//! - A [`Snapshot`] shows one state: rows, counters and positions that belong together, whatever is applied meanwhile. A
//!   store without snapshots of its own makes the writer wait while one is held, so that holders are quick, and a thread
//!   that holds one does not write.
//! - Rows are kept under their record key, in the order of its bytes; the value is kept as received (Confluent wire
//!   format) and given back byte for byte.
//! - A discarded generation is gone for readers at once, and nothing of it stays in the store's files longer than the
//!   store's own cleaning takes.
//! - A disk without room fails what would fill it, and nothing else: rows can be read, and be removed, which needs a little
//!   room that others are kept from. When there is room again the store goes on, without being opened anew by its owner.
//! - A store written by a newer release is refused and left as it is.

mod batch;
pub mod fjall;
mod index;
mod kv;
mod layout;
pub mod postgres;
pub mod sled;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use kenh_domain::filter::Atom;
use kenh_domain::frame::Sequence;
use kenh_domain::log::{Position, StorageError};
use kenh_domain::names::{Dataset, View};
use kenh_domain::notice::ViewCard;
use serde::{Deserialize, Serialize};

pub use batch::{Batch, Counters};
pub use kv::KvStore;

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

/// Names a copy within the store of an agency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyId {
    /// Of which dataset.
    pub dataset: Dataset,
    /// Which view of it.
    pub view: View,
}

impl CopyId {
    /// The copy that a card speaks of.
    #[must_use]
    pub fn of(card: &ViewCard) -> Self {
        Self { dataset: card.dataset.clone(), view: card.view.clone() }
    }
}

impl std::fmt::Display for CopyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.dataset, self.view)
    }
}

/// The number of a generation; never used twice in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a partition of a view was complete, as its provider side said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// The sequence in the data log.
    pub sequence: Sequence,
    /// The end of the view's partition at that sequence.
    pub end: Position,
    /// The clock of the bus then: milliseconds since 1970 (UTC).
    pub clock_ms: i64,
}

/// Where a generation stands in the log; written with the rows it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Per partition of the view, the position from which to go on.
    pub positions: Vec<Position>,
    /// Per partition, the newest place at which these rows are known to be complete.
    pub reached: Vec<Option<Reached>>,
    /// When the log was last read for it: milliseconds since 1970 (UTC).
    pub seen_ms: i64,
}

/// A generation as a store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number.
    pub generation: Generation,
    /// The card it was begun with: edition, schema, log incarnation.
    pub card: Arc<ViewCard>,
    /// Dotted paths of the fields that are indexed, sorted.
    pub indexes: Vec<String>,
    /// Whether readers see it; at most one of a copy.
    pub published: bool,
    /// Where it stands.
    pub progress: Progress,
    /// What it has seen.
    pub counters: Counters,
}

impl GenerationInfo {
    /// The copy it belongs to.
    #[must_use]
    pub fn copy(&self) -> CopyId {
        CopyId::of(&self.card)
    }
}

// A card holds the digest secret (invariant 7).
impl std::fmt::Debug for GenerationInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationInfo")
            .field("generation", &self.generation)
            .field("copy", &self.copy())
            .field("edition", &self.card.edition)
            .field("published", &self.published)
            .field("progress", &self.progress)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Written by a newer release.
    #[error("the store is in format {found}, and this release reads up to {FORMAT}: use the release that wrote it")]
    Newer {
        /// Its format number.
        found: u32,
    },
    /// Another process has it open.
    #[error("the store is in use by another process")]
    InUse(#[source] StorageError),
    /// There is no such generation, or no longer.
    #[error("the store has no generation {0}; it was replaced or purged")]
    Missing(Generation),
    /// What is stored cannot be understood.
    #[error("the store is damaged: {what} cannot be read; move it away and let the copies be filled again")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// What is asked for cannot be kept.
    #[error("{0}")]
    Refused(String),
    /// What the store stands on failed.
    #[error("the store failed to {doing}")]
    Storage {
        /// What it was doing.
        doing: &'static str,
        /// What failed.
        #[source]
        source: StorageError,
    },
}

/// Keeps the copies of one agency; the module's documentation is the contract.
pub trait ViewStore: Send + Sync {
    /// All generations, by number; those that were discarded are not among them.
    ///
    /// # Errors
    /// [`StoreError`].
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError>;

    /// Begins a generation without rows, unseen by readers, at `progress`. `indexes` are dotted paths of fields to keep
    /// an index of; a path that the card's schema does not have, or whose values no index holds, is left out.
    ///
    /// # Errors
    /// [`StoreError`]; `Refused` when the card's schema is none.
    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError>;

    /// Replaces the card of a generation by a newer one of the same edition and schema: another grant, other comments.
    ///
    /// # Errors
    /// [`StoreError`]; `Refused` when edition or schema differ.
    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError>;

    /// Applies a batch and the positions that follow it, in one atomic durable step, and gives the counters after it.
    /// An empty batch moves the positions only. A big batch for a generation without rows is a bulk load: it is sorted,
    /// and nothing needs to be looked up.
    ///
    /// # Errors
    /// [`StoreError`]: all of it happened, or none.
    fn apply(&self, generation: Generation, batch: &Batch, progress: &Progress) -> Result<Counters, StoreError>;

    /// Shows a generation to readers in place of the one shown before, in one atomic durable step, and discards that.
    /// Publishing the one shown is without effect.
    ///
    /// # Errors
    /// [`StoreError`].
    fn publish(&self, generation: Generation) -> Result<(), StoreError>;

    /// Removes a generation: gone for readers at once; when this returns, its rows are deleted. One that does not exist
    /// is no error.
    ///
    /// # Errors
    /// [`StoreError`]; what is left is removed by the next call or the next opening.
    fn discard(&self, generation: Generation) -> Result<(), StoreError>;

    /// One state of a generation to read from.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError>;

    /// Whether what the store stands on can take rows now. A subscriber that has nothing to write asks from time to time,
    /// so that it says when a server has gone or a disk is full.
    ///
    /// # Errors
    /// [`StoreError`].
    fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// A small note that the subscriber keeps beside the copies; none when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a note, durably, or removes it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError>;
}

/// What a visitor says after each row.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// One state of a generation. Held briefly, see [`ViewStore`].
pub trait Snapshot {
    /// The generation as it is in this state.
    fn info(&self) -> &GenerationInfo;

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Visits rows in key order: all behind `after`, or all there are, until the visitor breaks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan(&self, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Visits, in key order behind `after`, the rows whose field `index` (one of the generation's indexes) may be
    /// `value`. It may visit others too, so that the visitor looks for itself.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no such index.
    fn find(&self, index: &str, value: &Atom, after: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}
