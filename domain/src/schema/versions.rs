//! A field across the versions of a schema: where it lies in what a writer of some version wrote, and what stands in
//! for it where that version had no such field yet.
//!
//! Source of the rule: Avro specification 1.12, "Schema Resolution": a field that the writer does not have takes the
//! reader's default. The default is that of the **oldest** version that has the field, since a released version is
//! never edited, so that a later release cannot change what an old record gives. A nullable field without a default
//! is null.

use serde_json::Value as Json;

use super::body::put_long;
use super::types::{Path, Record, Type};
use super::{Reader, Schema, Value};
use crate::wire::SchemaId;

/// Where a field's value comes from, for one writer schema.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// From the record.
    Field(Path),
    /// From nowhere in the record.
    StandIn(StandIn),
}

/// What stands in for a field that the writer's schema does not have.
#[derive(Debug, Clone)]
pub(crate) struct StandIn {
    /// The innermost nullable record on the way that the writer does have: where it is null, so is the field.
    pub(crate) parent: Option<Path>,
    /// The type of the field, in the oldest version that has it.
    pub(crate) ty: Type,
    /// Its default, encoded as `ty`; none for null.
    pub(crate) bytes: Option<Box<[u8]>>,
}

impl StandIn {
    /// The default as a value.
    pub(crate) fn value(&self) -> Value<'_> {
        let Some(bytes) = &self.bytes else { return Value::Null };
        Reader::new(bytes).value(&self.ty).unwrap_or(Value::Null)
    }
}

/// The source of `dotted` for `writer`; none when no version has the field, or it has neither default nor null.
pub(crate) fn source(schemas: &[(SchemaId, Schema)], writer: &Schema, dotted: &str) -> Option<Source> {
    if let Some(path) = writer.path(dotted) {
        return Some(Source::Field(path));
    }
    let (origin, at_origin) = schemas.iter().find_map(|(_, s)| Some((s, s.path(dotted)?)))?;
    let (mut have, mut want): (&Record, &Record) = (writer.record(), origin.record());
    let mut parent = None;
    let mut names = dotted.split('.');
    let mut gone = 0;
    // Down to the first field that the writer does not have.
    let field = loop {
        let name = names.next()?;
        gone += name.len();
        let wanted = want.field(name)?;
        let Some(present) = have.field(name) else { break wanted };
        if matches!(present.ty, Type::Nullable(..)) {
            parent = writer.path(dotted.get(..gone)?);
        }
        have = present.ty.record()?;
        want = wanted.ty.record()?;
        gone += 1;
    };
    let bytes = default_of(&field.ty, field.default.as_ref(), names)?;
    Some(Source::StandIn(StandIn { parent, ty: at_origin.ty().clone(), bytes }))
}

/// The default at `rest` below a field: encoded, or none for null; nothing when there is none.
#[expect(clippy::option_option, reason = "no default at all is not the same as null")]
fn default_of<'n>(
    ty: &Type,
    default: Option<&Json>,
    mut rest: impl Iterator<Item = &'n str>,
) -> Option<Option<Box<[u8]>>> {
    let json = match default {
        None if ty.is_nullable() => return Some(None),
        None => return None,
        Some(Json::Null) if ty.is_nullable() => return Some(None),
        Some(json) => json,
    };
    if let Some(name) = rest.next() {
        let field = ty.record()?.field(name)?;
        return default_of(&field.ty, json.get(name).or(field.default.as_ref()), rest);
    }
    let mut out = Vec::new();
    put_default(ty, json, &mut out).then(|| Some(out.into()))
}

/// Appends a default from a schema's JSON; false when it does not fit (then `out` holds a part).
pub(crate) fn put_default(ty: &Type, json: &Json, out: &mut Vec<u8>) -> bool {
    match ty {
        Type::Null => json.is_null(),
        Type::Boolean => json.as_bool().map(|b| out.push(b.into())).is_some(),
        Type::Int | Type::Date | Type::TimeMillis => {
            json.as_i64().filter(|n| i32::try_from(*n).is_ok()).map(|n| put_long(n, out)).is_some()
        }
        Type::Long
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => json.as_i64().map(|n| put_long(n, out)).is_some(),
        #[expect(clippy::cast_possible_truncation, reason = "a float's default is written as the nearest float")]
        Type::Float => json.as_f64().map(|x| out.extend_from_slice(&(x as f32).to_le_bytes())).is_some(),
        Type::Double => json.as_f64().map(|x| out.extend_from_slice(&x.to_le_bytes())).is_some(),
        Type::Text | Type::Uuid => json.as_str().map(|text| put_bytes(text.as_bytes(), out)).is_some(),
        // The JSON form of bytes: code points 0 to 255 stand for bytes.
        Type::Bytes | Type::Decimal(_) => latin1(json).map(|bytes| put_bytes(&bytes, out)).is_some(),
        Type::Fixed(fixed) => {
            latin1(json).filter(|b| b.len() == fixed.size).map(|b| out.extend_from_slice(&b)).is_some()
        }
        Type::Enum(symbols) => json
            .as_str()
            .and_then(|text| symbols.symbols.iter().position(|s| s == text))
            .and_then(|index| i64::try_from(index).ok())
            .map(|index| put_long(index, out))
            .is_some(),
        Type::Array(inner) => json.as_array().is_some_and(|items| {
            put_items(items.len(), out);
            let good = items.iter().all(|item| put_default(inner, item, out));
            put_end(items.len(), out);
            good
        }),
        Type::Map(inner) => json.as_object().is_some_and(|items| {
            put_items(items.len(), out);
            let good = items.iter().all(|(key, item)| {
                put_bytes(key.as_bytes(), out);
                put_default(inner, item, out)
            });
            put_end(items.len(), out);
            good
        }),
        Type::Record(record) => {
            let fields = json.as_object();
            fields.is_some_and(|fields| {
                record.fields.iter().all(|field| {
                    fields
                        .get(&field.name)
                        .or(field.default.as_ref())
                        .is_some_and(|json| put_default(&field.ty, json, out))
                })
            })
        }
        Type::Nullable(_, null) if json.is_null() => {
            out.push(null.null_byte());
            true
        }
        Type::Nullable(inner, null) => {
            out.push(null.value_byte());
            put_default(inner, json, out)
        }
        // The first branch by the specification; any that fits by its release 1.12.
        Type::Union(branches) => {
            let start = out.len();
            branches.iter().zip(0..).any(|(branch, index)| {
                out.truncate(start);
                put_long(index, out);
                put_default(branch, json, out)
            })
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_items(count: usize, out: &mut Vec<u8>) {
    put_count(count, out);
}

/// The end of an array or map; an empty one is its end already.
fn put_end(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    // No length in memory goes beyond i64.
    put_long(i64::try_from(count).unwrap_or(i64::MAX), out);
}

fn latin1(json: &Json) -> Option<Vec<u8>> {
    json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}
