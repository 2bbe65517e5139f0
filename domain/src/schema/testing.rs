//! For tests: random schemas and values for them, and an encoder that is plainly right.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use apache_avro::{Decimal as AvroDecimal, Uuid};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::types::{Decimal, Enum, Field, Fixed, NullBranch, Record, Type};
use super::{Schema, Value};

/// A type of up to three levels. Names and slots come from parsing.
pub(crate) fn ty() -> BoxedStrategy<Type> {
    let leaf = prop_oneof![
        Just(Type::Boolean),
        Just(Type::Int),
        Just(Type::Long),
        Just(Type::Float),
        Just(Type::Double),
        Just(Type::Bytes),
        Just(Type::Text),
        Just(Type::Text),
        Just(Type::Uuid),
        Just(Type::Date),
        Just(Type::TimeMillis),
        Just(Type::TimeMicros),
        Just(Type::TimestampMillis),
        Just(Type::TimestampMicros),
        Just(Type::LocalTimestampMillis),
        Just(Type::LocalTimestampMicros),
        Just(Type::Null),
        Just(Type::Decimal(Decimal { precision: 9, scale: 2 })),
        (0..5_usize).prop_map(|size| Type::Fixed(Fixed { name: String::new(), size }.into())),
        (1..5_usize).prop_map(enumeration),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Type::Array(t.into())),
            inner.clone().prop_map(|t| Type::Map(t.into())),
            prop::collection::vec(inner.clone(), 0..4).prop_map(record),
            (inner.clone(), any::<bool>()).prop_map(|(t, first)| nullable(t, first)),
            (inner.clone(), any::<bool>()).prop_map(|(t, first)| nullable(t, first)),
            inner.prop_map(|t| Type::Union([Type::Boolean, Type::Null, record(vec![t]), Type::Double].into())),
        ]
    })
    .boxed()
}

pub(crate) fn enumeration(symbols: usize) -> Type {
    let symbols = (0..symbols).map(|i| format!("S{i}")).collect();
    Type::Enum(Enum { name: String::new(), symbols }.into())
}

pub(crate) fn nullable(ty: Type, first: bool) -> Type {
    match ty {
        Type::Nullable(..) | Type::Union(_) | Type::Null => ty,
        ty => Type::Nullable(ty.into(), if first { NullBranch::First } else { NullBranch::Second }),
    }
}

pub(crate) fn record(types: Vec<Type>) -> Type {
    named_record(types.into_iter().enumerate().map(|(i, ty)| (format!("f{i}"), ty, None)))
}

pub(crate) fn named_record(fields: impl IntoIterator<Item = (String, Type, Option<Json>)>) -> Type {
    let fields = fields.into_iter().map(|(name, ty, default)| Field { name, ty, default, offset: 0 }).collect();
    Type::Record(Record { name: String::new(), fields, slots: 0, total: 0, depth: 0 }.into())
}

/// The JSON of a schema; named types are numbered.
pub(crate) fn schema_text(record: &Type) -> String {
    let mut text = to_json(record, &mut 0);
    text["namespace"] = json!("thu.nghiem");
    text.to_string()
}

pub(crate) fn schema(record: &Type) -> Schema {
    Schema::parse(&schema_text(record)).unwrap()
}

fn to_json(ty: &Type, names: &mut usize) -> Json {
    let logical = |base: &str, logical: &str| json!({ "type": base, "logicalType": logical });
    *names += 1;
    let name = format!("T{names}");
    match ty {
        Type::Null => json!("null"),
        Type::Boolean => json!("boolean"),
        Type::Int => json!("int"),
        Type::Long => json!("long"),
        Type::Float => json!("float"),
        Type::Double => json!("double"),
        Type::Bytes => json!("bytes"),
        Type::Text => json!("string"),
        Type::Uuid => logical("string", "uuid"),
        Type::Date => logical("int", "date"),
        Type::TimeMillis => logical("int", "time-millis"),
        Type::TimeMicros => logical("long", "time-micros"),
        Type::TimestampMillis => logical("long", "timestamp-millis"),
        Type::TimestampMicros => logical("long", "timestamp-micros"),
        Type::LocalTimestampMillis => logical("long", "local-timestamp-millis"),
        Type::LocalTimestampMicros => logical("long", "local-timestamp-micros"),
        Type::Decimal(d) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": d.precision, "scale": d.scale })
        }
        Type::Fixed(fixed) => json!({ "type": "fixed", "name": name, "size": fixed.size }),
        Type::Enum(symbols) => json!({ "type": "enum", "name": name, "symbols": symbols.symbols }),
        Type::Array(inner) => json!({ "type": "array", "items": to_json(inner, names) }),
        Type::Map(inner) => json!({ "type": "map", "values": to_json(inner, names) }),
        Type::Nullable(inner, NullBranch::First) => json!(["null", to_json(inner, names)]),
        Type::Nullable(inner, NullBranch::Second) => json!([to_json(inner, names), "null"]),
        Type::Union(branches) => branches.iter().map(|branch| to_json(branch, names)).collect(),
        Type::Record(record) => {
            let field = |field: &Field| match &field.default {
                None => json!({ "name": field.name, "type": to_json(&field.ty, names) }),
                Some(default) => json!({ "name": field.name, "type": to_json(&field.ty, names), "default": default }),
            };
            let fields: Vec<Json> = record.fields.iter().map(field).collect();
            json!({ "type": "record", "name": name, "fields": fields })
        }
    }
}

fn long() -> BoxedStrategy<i64> {
    prop_oneof![any::<i64>(), -200..200_i64].boxed()
}

fn int() -> BoxedStrategy<i32> {
    prop_oneof![any::<i32>(), -200..200].boxed()
}

pub(crate) fn text() -> BoxedStrategy<String> {
    let word = prop_oneof![Just("79"), Just("Ánh"), Just("1980-05-17"), Just(""), Just("001204012345")];
    let any = prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter);
    prop_oneof![word.prop_map(str::to_owned), any].boxed()
}

/// A value of the type, as `apache-avro` has it.
pub(crate) fn value(ty: &Type) -> BoxedStrategy<Avro> {
    match ty {
        Type::Null => Just(Avro::Null).boxed(),
        Type::Boolean => any::<bool>().prop_map(Avro::Boolean).boxed(),
        Type::Int => int().prop_map(Avro::Int).boxed(),
        Type::Long => long().prop_map(Avro::Long).boxed(),
        Type::Float => (-1e6..1e6_f32).prop_map(Avro::Float).boxed(),
        Type::Double => (-1e6..1e6_f64).prop_map(Avro::Double).boxed(),
        Type::Bytes => prop::collection::vec(any::<u8>(), 0..6).prop_map(Avro::Bytes).boxed(),
        Type::Text => text().prop_map(Avro::String).boxed(),
        Type::Uuid => any::<u128>().prop_map(|n| Avro::Uuid(Uuid::from_u128(n))).boxed(),
        Type::Date => int().prop_map(Avro::Date).boxed(),
        Type::TimeMillis => int().prop_map(Avro::TimeMillis).boxed(),
        Type::TimeMicros => long().prop_map(Avro::TimeMicros).boxed(),
        Type::TimestampMillis => long().prop_map(Avro::TimestampMillis).boxed(),
        Type::TimestampMicros => long().prop_map(Avro::TimestampMicros).boxed(),
        Type::LocalTimestampMillis => long().prop_map(Avro::LocalTimestampMillis).boxed(),
        Type::LocalTimestampMicros => long().prop_map(Avro::LocalTimestampMicros).boxed(),
        Type::Decimal(_) => {
            prop::collection::vec(any::<u8>(), 1..4).prop_map(|b| Avro::Decimal(AvroDecimal::from(b))).boxed()
        }
        Type::Fixed(fixed) => {
            let size = fixed.size;
            prop::collection::vec(any::<u8>(), size).prop_map(move |b| Avro::Fixed(size, b)).boxed()
        }
        Type::Enum(symbols) => {
            let symbols = symbols.symbols.clone();
            (0..symbols.len()).prop_map(move |i| Avro::Enum(u32::try_from(i).unwrap(), symbols[i].clone())).boxed()
        }
        Type::Array(inner) => prop::collection::vec(value(inner), 0..4).prop_map(Avro::Array).boxed(),
        Type::Map(inner) => prop::collection::hash_map(text(), value(inner), 0..3)
            .prop_map(|map| Avro::Map(map.into_iter().collect::<HashMap<_, _>>()))
            .boxed(),
        Type::Record(record) => {
            let fields: Vec<_> = record.fields.iter().map(|f| value(&f.ty)).collect();
            let names: Vec<String> = record.fields.iter().map(|f| f.name.clone()).collect();
            fields.prop_map(move |values| Avro::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Type::Nullable(inner, null) => {
            let (null, some) = (u32::try_from(null.null()).unwrap(), u32::try_from(1 - null.null()).unwrap());
            prop_oneof![
                1 => Just(Avro::Union(null, Box::new(Avro::Null))),
                2 => value(inner).prop_map(move |v| Avro::Union(some, Box::new(v))),
            ]
            .boxed()
        }
        Type::Union(branches) => {
            let branches = branches.clone();
            (0..branches.len())
                .prop_flat_map(move |i| {
                    value(&branches[i]).prop_map(move |v| Avro::Union(u32::try_from(i).unwrap(), Box::new(v)))
                })
                .boxed()
        }
    }
}

/// A record's type, and a value of it.
pub(crate) fn record_and_value() -> BoxedStrategy<(Type, Avro)> {
    prop::collection::vec(ty(), 1..6)
        .prop_map(record)
        .prop_flat_map(|ty| {
            let values = value(&ty);
            (Just(ty), values)
        })
        .boxed()
}

/// The bytes of a value, written in the plainest way.
pub(crate) fn encode(value: &Avro) -> Vec<u8> {
    let mut out = Vec::new();
    put(value, &mut out);
    out
}

fn put(value: &Avro, out: &mut Vec<u8>) {
    match value {
        Avro::Null => {}
        Avro::Boolean(b) => out.push(u8::from(*b)),
        Avro::Int(n) | Avro::Date(n) | Avro::TimeMillis(n) => number((*n).into(), out),
        Avro::Enum(n, _) => number((*n).into(), out),
        Avro::Long(n)
        | Avro::TimeMicros(n)
        | Avro::TimestampMillis(n)
        | Avro::TimestampMicros(n)
        | Avro::LocalTimestampMillis(n)
        | Avro::LocalTimestampMicros(n) => number(*n, out),
        Avro::Float(x) => out.extend(x.to_le_bytes()),
        Avro::Double(x) => out.extend(x.to_le_bytes()),
        Avro::Bytes(bytes) => sized(bytes, out),
        Avro::String(text) => sized(text.as_bytes(), out),
        Avro::Uuid(uuid) => sized(uuid.to_string().as_bytes(), out),
        Avro::Decimal(decimal) => sized(&Vec::<u8>::try_from(decimal).unwrap(), out),
        Avro::Fixed(_, bytes) => out.extend(bytes),
        Avro::Union(branch, value) => {
            number((*branch).into(), out);
            put(value, out);
        }
        Avro::Array(items) => {
            if !items.is_empty() {
                number(items.len().try_into().unwrap(), out);
            }
            items.iter().for_each(|item| put(item, out));
            out.push(0);
        }
        Avro::Map(items) => {
            if !items.is_empty() {
                number(items.len().try_into().unwrap(), out);
            }
            for (key, item) in items {
                sized(key.as_bytes(), out);
                put(item, out);
            }
            out.push(0);
        }
        Avro::Record(fields) => fields.iter().for_each(|(_, value)| put(value, out)),
        other => unreachable!("{other:?} is of no type that the bus carries"),
    }
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len().try_into().unwrap(), out);
    out.extend(bytes);
}

fn number(n: i64, out: &mut Vec<u8>) {
    let mut rest = i128::from(n) * 2;
    if rest < 0 {
        rest = -rest - 1;
    }
    while rest > 127 {
        out.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// The value without the union around it.
pub(crate) fn bare(value: &Avro) -> &Avro {
    match value {
        Avro::Union(_, inner) => inner,
        other => other,
    }
}

/// The value at a dotted path; null where a record on the way is null.
pub(crate) fn pick<'a>(value: &'a Avro, dotted: &str) -> &'a Avro {
    let mut at = value;
    for name in dotted.split('.') {
        at = match bare(at) {
            Avro::Record(fields) => &fields.iter().find(|(n, _)| n == name).unwrap().1,
            Avro::Null => return &Avro::Null,
            other => panic!("no path through {other:?}"),
        };
    }
    at
}

/// Whether what we read is what `apache-avro` holds.
pub(crate) fn agrees(ours: Value<'_>, ty: &Type, theirs: &Avro) -> bool {
    if let (Type::Union(_), Avro::Union(_, inner)) = (ty, theirs) {
        return ours == if **inner == Avro::Null { Value::Null } else { Value::Nested };
    }
    match (ours, bare(theirs)) {
        (Value::Null, Avro::Null) => true,
        (Value::Bool(a), Avro::Boolean(b)) => a == *b,
        (Value::Int(a), Avro::Int(b)) => a == i64::from(*b),
        (Value::Int(a), Avro::Long(b)) => a == *b,
        #[expect(clippy::float_cmp, reason = "the same bits were read")]
        (Value::Double(a), Avro::Float(b)) => a == f64::from(*b),
        #[expect(clippy::float_cmp, reason = "the same bits were read")]
        (Value::Double(a), Avro::Double(b)) => a == *b,
        (Value::Text(a), Avro::String(b) | Avro::Enum(_, b)) => a == b,
        (Value::Text(a), Avro::Uuid(b)) => a.to_lowercase() == b.to_string(),
        (Value::Bytes(a), Avro::Bytes(b) | Avro::Fixed(_, b)) => a == b,
        (Value::Bytes(a), Avro::Decimal(b)) => AvroDecimal::from(a) == *b,
        (Value::Date(a), Avro::Date(b)) => a == *b,
        (Value::Timestamp(a), Avro::TimeMillis(b)) => a == i64::from(*b),
        (
            Value::Timestamp(a),
            Avro::TimeMicros(b)
            | Avro::TimestampMillis(b)
            | Avro::TimestampMicros(b)
            | Avro::LocalTimestampMillis(b)
            | Avro::LocalTimestampMicros(b),
        ) => a == *b,
        (Value::Nested, Avro::Array(_) | Avro::Map(_) | Avro::Record(_)) => true,
        _ => false,
    }
}

/// What `apache-avro` reads, when it reads all of it.
pub(crate) fn decode(schema: &Schema, body: &[u8]) -> Option<Avro> {
    let mut rest = body;
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema.avro()).build().unwrap();
    let value = reader.read_value(&mut rest).ok()?;
    rest.is_empty().then_some(value)
}
