//! Rows as `COPY … (FORMAT binary)` takes them.
//!
//! Source of the format: PostgreSQL's documentation, "COPY", "Binary Format"; of the values: its `*_send` functions.
//! Integers are big-endian; a value stands behind its length, -1 for NULL.
//!
//! A value that SQL cannot hold (below) becomes NULL, and its field's name goes to the row's column of such fields; the
//! value as received keeps it. Only in a column of the primary key that is a refusal.

use std::ops::RangeInclusive;

use kenh_domain::date;
use kenh_domain::key::{KeyPart, put_record_key};
use kenh_domain::schema::{Fault, Reader, Spans, Type, Value};
use kenh_domain::wire::{self, SchemaId};

use super::columns::{Column, Columns, Kind, Scalar};

/// What such a stream begins with: the signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Longest text in an indexed column: an index entry holds 2,704 bytes (a third of a page), the record key among them.
pub(super) const MAX_INDEXED_BYTES: usize = 1500;

/// Days from 1970-01-01, where Avro begins, to 2000-01-01, where PostgreSQL does.
const EPOCH_DAYS: i32 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;
/// Days of a `date`: 4713 BC to 5874897 AD (PostgreSQL, "Date/Time Types").
pub(super) const DAYS: RangeInclusive<i32> = -2_440_588..=2_145_042_905;
/// First day of a `timestamp`, 4713 BC; its last, in 294276 AD, lies beyond what Avro's microseconds reach.
const FIRST_TIMESTAMP_DAY: i64 = -2_440_588;

/// Why a row cannot be kept at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowRefused {
    #[error("a row is not of the schema of its view")]
    Foreign,
    #[error("field {0} of the record key cannot be held by a column (a NUL character, or a date beyond the calendar)")]
    Key(String),
    #[error("the record key of a row is not made of its key fields")]
    Mismatch,
}

/// Turns rows of one view into tuples.
pub(super) struct Encoder<'a> {
    columns: &'a Columns,
    schema_id: SchemaId,
    fields: i16,
    spans: Spans,
    unshown: Vec<&'a str>,
    scratch: Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(columns: &'a Columns, schema_id: SchemaId) -> Self {
        // A schema has at most 512 fields (limits.rs).
        let fields = i16::try_from(columns.all.len() + 3).unwrap_or(i16::MAX);
        Self { columns, schema_id, fields, spans: Spans::new(), unshown: Vec::new(), scratch: Vec::new() }
    }

    /// Appends a row; on an error `out` holds a part of it.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), RowRefused> {
        let (id, body) = wire::split(value).map_err(|_| RowRefused::Foreign)?;
        if id != self.schema_id || self.columns.schema.walk(body, &mut self.spans).is_err() {
            return Err(RowRefused::Foreign);
        }
        out.extend_from_slice(&self.fields.to_be_bytes());
        self.unshown.clear();
        let mut reader = Reader::new(body);
        let mut parts: Vec<(usize, Part<'_>)> = Vec::new();
        for column in &self.columns.all {
            if let Some(place) = column.key {
                let part = Part::read(&column.ty, &mut reader.clone()).ok_or(RowRefused::Mismatch)?;
                parts.push((place, part));
            }
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            let held = put_column(column, &mut reader, out, &mut self.scratch).map_err(|_| RowRefused::Foreign)?;
            match held {
                Held::Value => put_length(start, out),
                Held::Null => make_null(start, out),
                Held::Not if column.key.is_some() => return Err(RowRefused::Key(column.field.clone())),
                Held::Not => {
                    make_null(start, out);
                    self.unshown.push(&column.field);
                }
            }
        }
        if self.columns.keyed {
            parts.sort_by_key(|(place, _)| *place);
            let parts: Vec<KeyPart<'_>> = parts.iter().map(|(_, part)| part.as_part()).collect();
            self.scratch.clear();
            put_record_key(&parts, &mut self.scratch);
            if self.scratch != key {
                return Err(RowRefused::Mismatch);
            }
        }
        put_sized(key, out);
        put_sized(value, out);
        if self.unshown.is_empty() {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            let head = begin_array(Scalar::Text, out);
            self.unshown.iter().for_each(|field| put_sized(field.as_bytes(), out));
            end_array(head, self.unshown.len(), false, out);
            put_length(start, out);
        }
        Ok(())
    }
}

/// One part of a record key, with its date as text.
enum Part<'a> {
    Text(&'a str),
    Date(String),
    Int(i64),
}

impl<'a> Part<'a> {
    fn read(ty: &'a Type, reader: &mut Reader<'a>) -> Option<Self> {
        match reader.value(ty).ok()? {
            Value::Text(text) => Some(Self::Text(text)),
            Value::Date(days) => Some(Self::Date(date::text(days))),
            Value::Int(n) => Some(Self::Int(n)),
            _ => None,
        }
    }

    fn as_part(&self) -> KeyPart<'_> {
        match self {
            Self::Text(text) => KeyPart::Text(text),
            Self::Date(text) => KeyPart::Text(text),
            Self::Int(n) => KeyPart::Int(*n),
        }
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Value,
    Null,
    /// SQL has no such value; a part of it may have been written.
    Not,
}

fn put_column<'a>(
    column: &'a Column,
    reader: &mut Reader<'a>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Held, Fault> {
    match &column.kind {
        Kind::Scalar(scalar) => {
            let start = out.len();
            let held = put_scalar(*scalar, &column.ty, reader, out, scratch)?;
            let long = column.indexed && out.len() - start > MAX_INDEXED_BYTES;
            Ok(if long { Held::Not } else { held })
        }
        Kind::Array(scalar, items) => put_array(*scalar, &column.ty, items, reader, out, scratch),
        Kind::Json => {
            // The version of the binary form.
            out.push(1);
            let start = out.len();
            reader.put_json(&column.ty, out)?;
            let json = out.get(start..).unwrap_or_default();
            if json == b"null" {
                return Ok(Held::Null);
            }
            let long = column.indexed && json.len() > MAX_INDEXED_BYTES;
            Ok(if long || has_nul(json) { Held::Not } else { Held::Value })
        }
    }
}

/// Whether a JSON text holds the escape of NUL, which no `jsonb` can hold.
fn has_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        if rest.get(at + 1..at + 6) == Some(b"u0000") {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

fn put_array<'a>(
    scalar: Scalar,
    ty: &'a Type,
    items: &'a Type,
    reader: &mut Reader<'a>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Held, Fault> {
    if let Type::Nullable(_, null) = ty
        && reader.branch(2)? == null.null()
    {
        return Ok(Held::Null);
    }
    let head = begin_array(scalar, out);
    let (mut count, mut nulls, mut whole) = (0, false, true);
    loop {
        let (block, _) = reader.block()?;
        if block == 0 {
            break;
        }
        for _ in 0..block {
            count += 1;
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            match put_scalar(scalar, items, reader, out, scratch)? {
                Held::Value => put_length(start, out),
                Held::Null => {
                    nulls = true;
                    make_null(start, out);
                }
                Held::Not => whole = false,
            }
        }
    }
    end_array(head, count, nulls, out);
    Ok(if whole { Held::Value } else { Held::Not })
}

fn put_scalar<'a>(
    scalar: Scalar,
    ty: &'a Type,
    reader: &mut Reader<'a>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Held, Fault> {
    if let (Scalar::Numeric { precision, scale }, Type::Decimal(_)) = (scalar, ty.inner()) {
        scratch.clear();
        reader.put_json(ty, scratch)?;
        return Ok(match scratch.as_slice() {
            b"null" => Held::Null,
            text => put_numeric(text, precision, scale, out),
        });
    }
    let value = reader.value(ty)?;
    match (scalar, value) {
        (_, Value::Null) => return Ok(Held::Null),
        (Scalar::Boolean, Value::Bool(b)) => out.push(b.into()),
        (Scalar::Integer, Value::Int(n)) => match i32::try_from(n) {
            Ok(n) => out.extend_from_slice(&n.to_be_bytes()),
            Err(_) => return Ok(Held::Not),
        },
        (Scalar::Bigint, Value::Int(n)) => out.extend_from_slice(&n.to_be_bytes()),
        #[expect(clippy::cast_possible_truncation, reason = "it was a float")]
        (Scalar::Real, Value::Double(x)) => out.extend_from_slice(&(x as f32).to_be_bytes()),
        (Scalar::Double, Value::Double(x)) => out.extend_from_slice(&x.to_be_bytes()),
        (Scalar::Bytea, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
        (Scalar::Text, Value::Text(text)) if !text.contains('\0') => out.extend_from_slice(text.as_bytes()),
        (Scalar::Uuid, Value::Text(text)) => put_uuid(text, out),
        (Scalar::Date, Value::Date(days)) if DAYS.contains(&days) => {
            out.extend_from_slice(&(days - EPOCH_DAYS).to_be_bytes());
        }
        (Scalar::Time(unit), Value::Timestamp(time)) => match time.checked_mul(unit) {
            Some(micros) if (0..DAY_MICROS).contains(&micros) => out.extend_from_slice(&micros.to_be_bytes()),
            _ => return Ok(Held::Not),
        },
        (Scalar::Timestamptz(unit) | Scalar::Timestamp(unit), Value::Timestamp(time)) => {
            let micros = time.checked_mul(unit);
            let in_range = |micros: &i64| micros.div_euclid(DAY_MICROS) >= FIRST_TIMESTAMP_DAY;
            let micros = micros.filter(in_range).and_then(|m| m.checked_sub(i64::from(EPOCH_DAYS) * DAY_MICROS));
            match micros {
                Some(micros) => out.extend_from_slice(&micros.to_be_bytes()),
                None => return Ok(Held::Not),
            }
        }
        _ => return Ok(Held::Not),
    }
    Ok(Held::Value)
}

/// The walk has seen that it is one.
fn put_uuid(text: &str, out: &mut Vec<u8>) {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    out.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
}

/// A decimal from its JSON, `"-12.30"`: groups of four digits, most significant first, without zeros at either end.
fn put_numeric(json: &[u8], precision: usize, scale: usize, out: &mut Vec<u8>) -> Held {
    let text = json.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(json);
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut halves = text.splitn(2, |b| *b == b'.');
    let (whole, fraction) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    // Longer ones have no digits in JSON (`0x…`).
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) || fraction.len() != scale {
        return Held::Not;
    }
    let significant = whole.iter().skip_while(|b| **b == b'0').count();
    if significant > precision.saturating_sub(scale) {
        return Held::Not;
    }
    let group = |digits: &[u8]| digits.iter().fold(0_i16, |n, b| n * 10 + i16::from(b - b'0'));
    let mut groups: Vec<i16> = whole.rchunks(4).rev().map(group).collect();
    let weight = groups.len();
    groups.extend(fraction.chunks(4).map(|digits| {
        let missing = u32::try_from(4 - digits.len()).unwrap_or(0);
        group(digits) * 10_i16.pow(missing)
    }));
    let leading = groups.iter().take_while(|n| **n == 0).count();
    let kept = groups.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1).max(leading);
    let digits = groups.get(leading..kept).unwrap_or_default();
    let (Ok(count), Ok(weight), Ok(leading), Ok(scale)) =
        (i16::try_from(digits.len()), i16::try_from(weight), i16::try_from(leading), i16::try_from(scale))
    else {
        return Held::Not;
    };
    let weight = if count == 0 { 0 } else { weight - 1 - leading };
    let sign: u16 = if negative && count > 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    digits.iter().for_each(|n| out.extend_from_slice(&n.to_be_bytes()));
    Held::Value
}

/// Makes room for the head of an array of one dimension; its items follow.
fn begin_array(scalar: Scalar, out: &mut Vec<u8>) -> usize {
    let head = out.len();
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&scalar.oid().to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&1_i32.to_be_bytes());
    head
}

fn end_array(head: usize, count: usize, nulls: bool, out: &mut Vec<u8>) {
    // An empty array has no dimension.
    if count == 0 {
        out.truncate(head + 12);
        set(head, &0_i32.to_be_bytes(), out);
        return;
    }
    set(head + 4, &i32::from(nulls).to_be_bytes(), out);
    // A body has at most a million items (limits.rs).
    set(head + 12, &i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes(), out);
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(bytes);
    put_length(start, out);
}

/// Writes the length of what stands behind `start + 4` at `start`.
fn put_length(start: usize, out: &mut [u8]) {
    // A record is at most a megabyte (limits.rs); its JSON some times that.
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    set(start, &length.to_be_bytes(), out);
}

fn make_null(start: usize, out: &mut Vec<u8>) {
    out.truncate(start);
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

fn set(at: usize, bytes: &[u8], out: &mut [u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str, precision: usize, scale: usize) -> Option<Vec<i16>> {
        let mut out = Vec::new();
        let held = put_numeric(format!("\"{text}\"").as_bytes(), precision, scale, &mut out);
        (held == Held::Value).then(|| out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    /// Digits, weight, sign, scale, and the groups, as `numeric_send` gives them.
    #[test]
    fn a_decimal_is_groups_of_four_digits() {
        assert_eq!(numeric("0.00", 4, 2), Some(vec![0, 0, 0, 2]));
        assert_eq!(numeric("-12.30", 4, 2), Some(vec![2, 0, 0x4000, 2, 12, 3000]));
        assert_eq!(numeric("123456789", 9, 0), Some(vec![3, 2, 0, 0, 1, 2345, 6789]));
        assert_eq!(numeric("10000", 9, 0), Some(vec![1, 1, 0, 0, 1]));
        assert_eq!(numeric("0.00001", 9, 5), Some(vec![1, -2, 0, 5, 1000]));
        assert_eq!(numeric("123.45", 4, 2), None, "more digits than the type has");
        assert_eq!(numeric("0x1234", 4, 0), None);
    }

    #[test]
    fn nul_is_found_in_json_and_nothing_else_is_taken_for_it() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(has_nul(br#""\\\u0000""#));
        assert!(!has_nul(br#""\\u0000""#));
        assert!(!has_nul(br#""\u0001 u0000""#));
    }
}
