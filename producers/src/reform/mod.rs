//! Reform day: on 1 July 2025 Việt Nam went from 63 provinces, 696 districts and 10,047 communes to 34 provinces and
//! 3,321 communes. This is that day as changes of two datasets, for the demo, the benches and the tests:
//!
//! | module | what |
//! |---|---|
//! | [`units`] | `don-vi-hanh-chinh`: the real administrative units, old ones ended and new ones begun |
//! | [`people`] | `dan-cu`: a **synthetic** population of any size, moved into the new units |
//! | [`exceptions`] | where the data contradicts itself: named, not mended |
//!
//! A pure function of the shipped files (`producers/data/reform-2025/`, sources and flaws in its README), a seed and a
//! number of people: no I/O, no clock. The same arguments give the same bytes, in this release and in later ones, so
//! that a second run is *repeated* to the last record. Changes are made one by one; nothing grows with the population.
//!
//! Not here: sending. A [`Change`] is what goes into an envelope of `kenh_domain::envelope`.

pub mod exceptions;
pub mod people;
pub mod units;

mod data;
mod draw;
mod names;
mod person;
#[cfg(test)]
mod tests;

use std::fmt;

use kenh_domain::envelope::{Event, put_long, put_text};

pub use data::{DataError, Extent, Predecessor, Reform, Unit};

/// First day of the old units: the date of the snapshot they come from (2025-03-01), in days since 1970.
pub const BEFORE_DAY: i32 = 20_148;
/// Last day of the old units: 2025-06-30.
pub const LAST_DAY: i32 = 20_269;
/// First day of the new units: 2025-07-01.
pub const REFORM_DAY: i32 = 20_270;

/// `ThoiGianCapNhat` of what stood before: 2025-03-01 00:00 in Việt Nam.
pub const BEFORE_MS: i64 = midnight_ms(BEFORE_DAY);
/// `ThoiGianCapNhat` of the reform: 2025-07-01 00:00 in Việt Nam.
pub const REFORM_MS: i64 = midnight_ms(REFORM_DAY);
/// `ThoiGianCapNhat` of the moves after it: 2025-07-15 00:00 in Việt Nam.
pub const MOVES_MS: i64 = midnight_ms(REFORM_DAY + 14);

/// Midnight in Việt Nam (UTC+7) as milliseconds since 1970 (UTC).
const fn midnight_ms(day: i32) -> i64 {
    (day as i64 * 24 - 7) * 60 * 60 * 1000
}

/// One change of a record, ready for an envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The record key, in UTF-8.
    pub key: Vec<u8>,
    /// NEW or UPDATE.
    pub event: Event,
    /// `PhienBan`, from 1.
    pub version: i64,
    /// `ThoiGianCapNhat`: milliseconds since 1970 (UTC).
    pub updated_ms: i64,
    /// `DuLieu`: the Avro body of the record in schema version 1 of its contract, without wire header.
    pub body: Vec<u8>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({} {}, {} bytes)", self.event.word(), self.version, self.body.len())
    }
}

/// A record of one of the two datasets.
pub trait Record {
    /// Appends its record key.
    fn put_key(&self, out: &mut Vec<u8>);
    /// Appends its Avro body.
    fn put_body(&self, out: &mut Vec<u8>);
    /// It as plain JSON, fields in the order of the schema, dates as `YYYY-MM-DD`: the form a person reads.
    fn json(&self) -> serde_json::Value;
}

/// A change whose record is not yet bytes.
#[derive(Debug, Clone, Copy)]
pub struct Step<R> {
    /// NEW or UPDATE.
    pub event: Event,
    /// `PhienBan`, from 1.
    pub version: i64,
    /// `ThoiGianCapNhat`: milliseconds since 1970 (UTC).
    pub updated_ms: i64,
    /// The record after the change.
    pub record: R,
}

impl<R: Record> Step<R> {
    /// It as bytes.
    #[must_use]
    pub fn change(&self) -> Change {
        let (mut key, mut body) = (Vec::with_capacity(24), Vec::with_capacity(256));
        self.record.put_key(&mut key);
        self.record.put_body(&mut body);
        Change { key, event: self.event, version: self.version, updated_ms: self.updated_ms, body }
    }
}

/// Appends a nullable value: `null` is the first branch in every schema here.
fn put_nullable<T>(value: Option<T>, out: &mut Vec<u8>, put: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        None => put_long(0, out),
        Some(value) => {
            put_long(1, out);
            put(value, out);
        }
    }
}

fn put_nullable_text(text: Option<&str>, out: &mut Vec<u8>) {
    put_nullable(text, out, put_text);
}

fn put_nullable_int(number: Option<i32>, out: &mut Vec<u8>) {
    put_nullable(number, out, |n, out| put_long(n.into(), out));
}

fn put_nullable_double(number: Option<f64>, out: &mut Vec<u8>) {
    put_nullable(number, out, |n, out| out.extend_from_slice(&n.to_le_bytes()));
}
