//! A change as read from a source: what it says, before any rule of the contract was asked.

use std::fmt;

use kenh_domain::envelope::Event;
use kenh_domain::rule::Rejection;
use kenh_domain::wire::SchemaId;

/// One record of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the source, from 1. It becomes its number in the submission.
    pub number: u64,
    /// The line on which it starts, from 1, where the format has lines.
    pub line: Option<u64>,
    /// What it says; or every rule by which it cannot be read, at least one.
    pub change: Result<Change, Vec<Rejection>>,
}

/// A change as read. What the source does not say is none; [`Defaults`](crate::Defaults) fill it in.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub event: Option<Event>,
    /// `PhienBan`.
    pub version: Option<i64>,
    /// `ThoiGianCapNhat`: milliseconds since 1970 (UTC).
    pub updated_ms: Option<i64>,
    /// `NgayHieuLuc`: days since 1970.
    pub effective_days: Option<i32>,
    /// `LyDoCapNhat`.
    pub reason: Option<String>,
    /// `VanBan`.
    pub documents: Vec<String>,
    /// `TraceContext`.
    pub trace: Option<String>,
    /// The record key as the envelope states it (`IdBanGhi`); it must be that of the record where both are there.
    pub key: Option<String>,
    /// The schema of `record`.
    pub schema: SchemaId,
    /// The Avro body of the record. A CANCEL may carry one for its key; it is not sent.
    pub record: Option<Vec<u8>>,
}

impl Change {
    /// A bare record: nothing but a body.
    #[must_use]
    pub const fn bare(schema: SchemaId, record: Vec<u8>) -> Self {
        Self {
            event: None,
            version: None,
            updated_ms: None,
            effective_days: None,
            reason: None,
            documents: Vec::new(),
            trace: None,
            key: None,
            schema,
            record: Some(record),
        }
    }
}

// Keys, reasons and bodies are personal data more often than not (invariant 7).
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.event.map(Event::word);
        let size = self.record.as_ref().map(Vec::len);
        write!(f, "Change({event:?}, schema {}, {size:?} bytes)", self.schema)
    }
}
