//! One row of a copy, and the state it was read from.

use std::borrow::Cow;

use bytes::Bytes;
use kenh_domain::schema::{BodyError, Schema};
use kenh_domain::topic::Edition;
use kenh_domain::wire::{self, SchemaId, WireError};
use serde::Serialize;

use crate::store::{Counters, Generation, GenerationInfo, Reached};

/// A row that cannot be shown: it is not of the schema that its view's card names.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Not in the wire format.
    #[error("a row is not in the wire format")]
    Wire(#[from] WireError),
    /// Of another schema.
    #[error("a row is of schema {found}, and its view is of schema {expected}")]
    Schema {
        /// The schema it names.
        found: SchemaId,
        /// The schema of the view.
        expected: SchemaId,
    },
    /// Not of the schema.
    #[error("a row is not of its schema")]
    Body(#[from] BodyError),
}

/// How the rows of a view are read.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) schema_id: SchemaId,
    pub(super) schema: Schema,
}

impl Form {
    /// The Avro body of a value.
    pub(super) fn body<'a>(&self, value: &'a [u8]) -> Result<&'a [u8], RowError> {
        let (found, body) = wire::split(value)?;
        if found == self.schema_id { Ok(body) } else { Err(RowError::Schema { found, expected: self.schema_id }) }
    }

    pub(super) fn put_json(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), RowError> {
        Ok(self.schema.put_json(self.body(value)?, out)?)
    }
}

/// A row. `Debug` shows sizes only.
#[derive(Clone)]
pub struct Row {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) form: Form,
}

impl Row {
    /// The record key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The record key as text; record keys are UTF-8.
    #[must_use]
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }

    /// The value as it stands in the view's topic.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The schema of the value.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.form.schema
    }

    /// Appends the row as a JSON object, in the forms of [`Schema::put_json`].
    ///
    /// # Errors
    /// [`RowError`]; `out` then holds a part.
    pub fn put_json(&self, out: &mut Vec<u8>) -> Result<(), RowError> {
        self.form.put_json(&self.value, out)
    }

    /// The row as the text of a JSON object.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn json(&self) -> Result<String, RowError> {
        let mut out = Vec::with_capacity(self.value.len() * 2);
        self.put_json(&mut out)?;
        // JSON is written as UTF-8, so that nothing is lost here.
        Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row(key of {} bytes, value of {} bytes)", self.key.len(), self.value.len())
    }
}

/// The state of a copy that rows were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AsOf {
    /// The edition of the view.
    pub edition: Edition,
    /// The generation of the copy.
    pub generation: Generation,
    /// Rows and what has happened to them.
    pub counters: Counters,
    /// Per partition of the view, the newest place at which the rows are known to be complete.
    pub reached: Vec<Option<Reached>>,
    /// The clock of the bus as of which all partitions are complete: milliseconds since 1970 (UTC). None while it is not
    /// known of one.
    pub clock_ms: Option<i64>,
    /// When the log was last read for it, as far as that is stored: milliseconds since 1970 (UTC).
    pub seen_ms: i64,
}

impl AsOf {
    pub(super) fn of(info: &GenerationInfo) -> Self {
        let clocks: Option<Vec<i64>> = info.progress.reached.iter().map(|r| r.map(|r| r.clock_ms)).collect();
        Self {
            edition: info.card.edition,
            generation: info.generation,
            counters: info.counters,
            reached: info.progress.reached.clone(),
            clock_ms: clocks.and_then(|clocks| clocks.into_iter().min()),
            seen_ms: info.progress.seen_ms,
        }
    }
}
