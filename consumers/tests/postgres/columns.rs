//! Random rows of random schemas, out by SQL: they must be what `apache-avro` reads.

use std::collections::HashMap;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema, Uuid};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kenh_consumers::store::{Batch, ViewStore};
use kenh_domain::notice::ViewCard;
use kenh_domain::wire::put_header;
use kenh_testkit::postgres::Cluster;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::server::{connect, open};
use crate::stores::progress;
use crate::support::{SCHEMA_ID, card, rows};

#[derive(Debug, Clone)]
enum Ty {
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Fixed,
    Decimal(usize, usize),
    Text,
    Uuid,
    Enum,
    Date,
    TimeMillis,
    TimeMicros,
    Millis,
    Micros,
    LocalMillis,
    LocalMicros,
    Array(Box<Ty>),
    Map(Box<Ty>),
    Record(Vec<Ty>),
    /// Nullable, with null as the first branch or the second.
    Opt(Box<Ty>, bool),
}

const SYMBOLS: [&str; 3] = ["NAM", "NU", "KHAC"];
const FIXED: usize = 5;

fn name(i: usize) -> String {
    format!("Truong{i}")
}

impl Ty {
    /// The JSON of its schema; named types get the next number.
    fn schema(&self, named: &mut usize) -> Json {
        *named += 1;
        let own = format!("T{named}");
        let logical = |ty: &str, logical: &str| json!({"type": ty, "logicalType": logical});
        match self {
            Self::Bool => json!("boolean"),
            Self::Int => json!("int"),
            Self::Long => json!("long"),
            Self::Float => json!("float"),
            Self::Double => json!("double"),
            Self::Bytes => json!("bytes"),
            Self::Fixed => json!({"type": "fixed", "name": own, "size": FIXED}),
            Self::Decimal(precision, scale) => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
            }
            Self::Text => json!("string"),
            Self::Uuid => logical("string", "uuid"),
            Self::Enum => json!({"type": "enum", "name": own, "symbols": SYMBOLS}),
            Self::Date => logical("int", "date"),
            Self::TimeMillis => logical("int", "time-millis"),
            Self::TimeMicros => logical("long", "time-micros"),
            Self::Millis => logical("long", "timestamp-millis"),
            Self::Micros => logical("long", "timestamp-micros"),
            Self::LocalMillis => logical("long", "local-timestamp-millis"),
            Self::LocalMicros => logical("long", "local-timestamp-micros"),
            Self::Array(items) => json!({"type": "array", "items": items.schema(named)}),
            Self::Map(values) => json!({"type": "map", "values": values.schema(named)}),
            Self::Record(fields) => {
                let fields: Vec<Json> = fields
                    .iter()
                    .enumerate()
                    .map(|(i, ty)| json!({"name": name(i), "type": ty.schema(named)}))
                    .collect();
                json!({"type": "record", "name": own, "fields": fields})
            }
            Self::Opt(inner, true) => json!(["null", inner.schema(named)]),
            Self::Opt(inner, false) => json!([inner.schema(named), "null"]),
        }
    }

    fn values(&self) -> BoxedStrategy<Value> {
        let text = || prop_oneof![9 => "[a-zĐđạ\"\\\\{},' \n\t]{0,9}", 1 => "[a\0]{1,3}"];
        match self {
            Self::Bool => any::<bool>().prop_map(Value::Boolean).boxed(),
            Self::Int => any::<i32>().prop_map(Value::Int).boxed(),
            Self::Long => any::<i64>().prop_map(Value::Long).boxed(),
            Self::Float => prop::num::f32::ANY.prop_map(Value::Float).boxed(),
            Self::Double => prop::num::f64::ANY.prop_map(Value::Double).boxed(),
            Self::Bytes => prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes).boxed(),
            Self::Fixed => prop::collection::vec(any::<u8>(), FIXED).prop_map(|b| Value::Fixed(FIXED, b)).boxed(),
            Self::Decimal(precision, _) => {
                let beyond = 10_i128.pow(u32::try_from(*precision).unwrap());
                let digits = prop_oneof![8 => -beyond + 1..beyond, 1 => Just(0), 1 => beyond..beyond * 7];
                digits.prop_map(|n| Value::Decimal(Decimal::from(minimal(n)))).boxed()
            }
            Self::Text => text().prop_map(Value::String).boxed(),
            Self::Uuid => any::<u128>().prop_map(|n| Value::Uuid(Uuid::from_u128(n))).boxed(),
            Self::Enum => (0..3_u32).prop_map(|i| Value::Enum(i, SYMBOLS[i as usize].into())).boxed(),
            Self::Date => prop_oneof![3 => -800_000..3_000_000, 1 => any::<i32>()].prop_map(Value::Date).boxed(),
            Self::TimeMillis => prop_oneof![5 => 0..86_400_000, 1 => any::<i32>()].prop_map(Value::TimeMillis).boxed(),
            Self::TimeMicros => {
                prop_oneof![5 => 0..86_400_000_000_i64, 1 => any::<i64>()].prop_map(Value::TimeMicros).boxed()
            }
            Self::Millis => instants(1_000).prop_map(Value::TimestampMillis).boxed(),
            Self::Micros => instants(1_000_000).prop_map(Value::TimestampMicros).boxed(),
            Self::LocalMillis => instants(1_000).prop_map(Value::LocalTimestampMillis).boxed(),
            Self::LocalMicros => instants(1_000_000).prop_map(Value::LocalTimestampMicros).boxed(),
            Self::Array(items) => prop::collection::vec(items.values(), 0..4).prop_map(Value::Array).boxed(),
            Self::Map(values) => prop::collection::vec(("[a-zđ\"]{0,4}", values.values()), 0..3)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect::<HashMap<_, _>>()))
                .boxed(),
            Self::Record(fields) => fields
                .iter()
                .map(Self::values)
                .collect::<Vec<_>>()
                .prop_map(|values| Value::Record(values.into_iter().enumerate().map(|(i, v)| (name(i), v)).collect()))
                .boxed(),
            Self::Opt(inner, first) => {
                let (null, value) = if *first { (0, 1) } else { (1, 0) };
                prop_oneof![
                    1 => Just(Value::Union(null, Box::new(Value::Null))),
                    2 => inner.values().prop_map(move |v| Value::Union(value, Box::new(v))),
                ]
                .boxed()
            }
        }
    }

    /// Whether PostgreSQL has arrays of it.
    fn simple(&self) -> bool {
        match self {
            Self::Array(_) | Self::Map(_) | Self::Record(_) => false,
            Self::Opt(inner, _) => inner.simple(),
            _ => true,
        }
    }

    fn inner(&self) -> &Self {
        if let Self::Opt(inner, _) = self { inner } else { self }
    }

    /// SQL that turns an expression of its column into the text that [`shown`] gives.
    fn sql(&self, x: &str) -> String {
        match self.inner() {
            Self::Bool | Self::Int | Self::Long | Self::Decimal(..) | Self::Uuid => format!("({x})::text"),
            Self::Float => format!("encode(float4send({x}), 'hex')"),
            Self::Double => format!("encode(float8send({x}), 'hex')"),
            Self::Bytes | Self::Fixed => format!("encode({x}, 'hex')"),
            Self::Text | Self::Enum => format!("encode(convert_to({x}, 'UTF8'), 'hex')"),
            Self::Date => format!("({x} - date '1970-01-01')::text"),
            Self::TimeMillis | Self::TimeMicros | Self::Millis | Self::Micros | Self::LocalMillis
            | Self::LocalMicros => format!("((extract(epoch FROM {x}) * 1000000)::bigint)::text"),
            Self::Array(items) if items.simple() => format!(
                "CASE WHEN {x} IS NOT NULL THEN (SELECT coalesce(string_agg(coalesce({}, 'null'), ',' ORDER BY place), '')
                 FROM unnest({x}) WITH ORDINALITY items(item, place)) END",
                items.sql("item")
            ),
            Self::Array(_) | Self::Map(_) | Self::Record(_) => format!("({x})::text"),
            Self::Opt(..) => unreachable!("not twice"),
        }
    }
}

fn instants(per_second: i64) -> impl Strategy<Value = i64> {
    prop_oneof![4 => (-9_000_000_000 * per_second)..(250_000_000_000 * per_second), 1 => any::<i64>()]
}

/// The shortest two's complement form.
fn minimal(n: i128) -> Vec<u8> {
    let bytes = n.to_be_bytes();
    let fits = |from: usize| {
        let sign = if n < 0 { 0xff } else { 0 };
        bytes[..from].iter().all(|b| *b == sign) && (bytes[from] & 0x80 != 0) == (n < 0)
    };
    let from = (0..16).rev().find(|from| fits(*from)).unwrap_or(0);
    bytes[from..].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What SQL must show.
#[derive(Debug, Clone, PartialEq)]
enum Shown {
    Null,
    Text(String),
    Json(Json),
    /// No such value in SQL.
    Not,
}

fn shown(ty: &Ty, value: &Value) -> Shown {
    let text = |n: &dyn std::fmt::Display| Shown::Text(n.to_string());
    let micros = |n: i64, unit: i64, floor: i64| match n.checked_mul(unit) {
        Some(n) if n >= floor => Shown::Text(n.to_string()),
        _ => Shown::Not,
    };
    // 4714-11-24 BC, the first day of the Julian period, where PostgreSQL's calendar begins.
    const FIRST: i64 = -2_440_588 * 86_400_000_000;
    let time = |n: i64, unit: i64| match n.checked_mul(unit) {
        Some(n) if (0..86_400_000_000).contains(&n) => Shown::Text(n.to_string()),
        _ => Shown::Not,
    };
    match (ty, value) {
        (Ty::Opt(inner, _), Value::Union(_, value)) => match &**value {
            Value::Null => Shown::Null,
            value => shown(inner, value),
        },
        (_, Value::Boolean(b)) => text(b),
        (_, Value::Int(n)) => text(n),
        (_, Value::Long(n)) => text(n),
        (_, Value::Float(x)) => Shown::Text(hex(&x.to_be_bytes())),
        (_, Value::Double(x)) => Shown::Text(hex(&x.to_be_bytes())),
        (_, Value::Bytes(bytes) | Value::Fixed(_, bytes)) => Shown::Text(hex(bytes)),
        (Ty::Decimal(precision, scale), Value::Decimal(decimal)) => {
            let bytes = Vec::<u8>::try_from(decimal).unwrap();
            let sign = if bytes[0] & 0x80 != 0 { -1_i128 } else { 0 };
            let n = bytes.iter().fold(sign, |n, b| n << 8 | i128::from(*b));
            let digits = format!("{:0>width$}", n.unsigned_abs(), width = scale + 1);
            if digits.len() > *precision.max(&(scale + 1)) {
                return Shown::Not;
            }
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let (sign, point) = (if n < 0 { "-" } else { "" }, if *scale > 0 { "." } else { "" });
            if *precision == *scale && whole != "0" {
                return Shown::Not;
            }
            Shown::Text(format!("{sign}{whole}{point}{fraction}"))
        }
        (_, Value::String(s)) if s.contains('\0') => Shown::Not,
        (_, Value::String(s) | Value::Enum(_, s)) => Shown::Text(hex(s.as_bytes())),
        (_, Value::Uuid(uuid)) => text(uuid),
        (_, Value::Date(days)) if (-2_440_588..=2_145_042_905).contains(days) => text(days),
        (_, Value::Date(_)) => Shown::Not,
        (_, Value::TimeMillis(n)) => time(i64::from(*n), 1000),
        (_, Value::TimeMicros(n)) => time(*n, 1),
        (_, Value::TimestampMillis(n) | Value::LocalTimestampMillis(n)) => micros(*n, 1000, FIRST),
        (_, Value::TimestampMicros(n) | Value::LocalTimestampMicros(n)) => micros(*n, 1, FIRST),
        (Ty::Array(items), Value::Array(values)) if items.simple() => {
            let mut texts = Vec::new();
            for value in values {
                match shown(items, value) {
                    Shown::Null => texts.push("null".to_owned()),
                    Shown::Text(text) => texts.push(text),
                    Shown::Not => return Shown::Not,
                    Shown::Json(_) => unreachable!(),
                }
            }
            Shown::Text(texts.join(","))
        }
        (ty, value) => {
            let json = as_json(ty, value);
            if json.to_string().contains("\\u0000") { Shown::Not } else { Shown::Json(json) }
        }
    }
}

fn as_json(ty: &Ty, value: &Value) -> Json {
    match (ty, value) {
        (Ty::Opt(inner, _), Value::Union(_, value)) => match &**value {
            Value::Null => Json::Null,
            value => as_json(inner, value),
        },
        (_, Value::Boolean(b)) => json!(b),
        (_, Value::Int(n)) => json!(n),
        (_, Value::Long(n)) => json!(n),
        (_, Value::String(s) | Value::Enum(_, s)) => json!(s),
        (_, Value::Bytes(bytes) | Value::Fixed(_, bytes)) => json!(STANDARD.encode(bytes)),
        (Ty::Array(items), Value::Array(values)) => values.iter().map(|v| as_json(items, v)).collect(),
        (Ty::Map(ty), Value::Map(values)) => {
            Json::Object(values.iter().map(|(k, v)| (k.clone(), as_json(ty, v))).collect())
        }
        (Ty::Record(types), Value::Record(fields)) => {
            Json::Object(types.iter().zip(fields).map(|(ty, (k, v))| (k.clone(), as_json(ty, v))).collect())
        }
        other => panic!("not generated: {other:?}"),
    }
}

fn simple_type() -> impl Strategy<Value = Ty> {
    prop_oneof![
        Just(Ty::Bool),
        Just(Ty::Int),
        Just(Ty::Long),
        Just(Ty::Float),
        Just(Ty::Double),
        Just(Ty::Bytes),
        Just(Ty::Fixed),
        (1..30_usize).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| Ty::Decimal(p, s)),
        Just(Ty::Text),
        Just(Ty::Uuid),
        Just(Ty::Enum),
        Just(Ty::Date),
        Just(Ty::TimeMillis),
        Just(Ty::TimeMicros),
        Just(Ty::Millis),
        Just(Ty::Micros),
        Just(Ty::LocalMillis),
        Just(Ty::LocalMicros),
    ]
}

fn nullable(ty: impl Strategy<Value = Ty>) -> impl Strategy<Value = Ty> {
    (ty, 0..4_u8).prop_map(|(ty, null)| match null {
        0 => Ty::Opt(Box::new(ty), true),
        1 => Ty::Opt(Box::new(ty), false),
        _ => ty,
    })
}

/// Whose JSON is plain; the other forms are tested where they are made.
fn json_leaf() -> impl Strategy<Value = Ty> {
    nullable(prop_oneof![
        Just(Ty::Bool),
        Just(Ty::Int),
        Just(Ty::Long),
        Just(Ty::Text),
        Just(Ty::Enum),
        Just(Ty::Bytes),
    ])
}

fn field_type() -> impl Strategy<Value = Ty> {
    let nested = json_leaf().prop_recursive(2, 8, 3, |inner| {
        let record = prop::collection::vec(inner.clone(), 1..4).prop_map(Ty::Record);
        prop_oneof![record, inner.prop_map(|ty| Ty::Map(Box::new(ty)))]
    });
    let record = prop::collection::vec(nested.clone(), 1..3).prop_map(Ty::Record);
    let list = nested.clone().prop_map(|ty| Ty::Array(Box::new(Ty::Record(vec![ty]))));
    let map = nested.prop_map(|ty| Ty::Map(Box::new(ty)));
    let array = nullable(simple_type()).prop_map(|ty| Ty::Array(Box::new(ty)));
    nullable(prop_oneof![5 => simple_type(), 2 => array, 1 => record, 1 => list, 1 => map])
}

fn case() -> impl Strategy<Value = (Vec<Ty>, Vec<Vec<Value>>)> {
    prop::collection::vec(field_type(), 1..7).prop_flat_map(|types| {
        let row: Vec<_> = types.iter().map(Ty::values).collect();
        (Just(types), prop::collection::vec(row, 1..6))
    })
}

#[test]
fn random_rows_come_out_by_sql_as_apache_avro_reads_them() {
    let store = open("ngau_nhien");
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) };
    let sql = std::cell::RefCell::new(connect(Cluster::shared()));
    proptest!(config, |((types, values) in case())| {
        let mut named = 0;
        let mut fields = vec![json!({"name": "Ma", "type": "string"})];
        fields.extend(types.iter().enumerate().map(|(i, ty)| json!({"name": name(i), "type": ty.schema(&mut named)})));
        let text = json!({"type": "record", "name": "View", "fields": fields}).to_string();
        let schema = Schema::parse_str(&text).unwrap();
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let wire = |key: usize, row: &[Value]| {
            let ma = ("Ma".to_owned(), Value::String(format!("k{key}")));
            let rest = row.iter().enumerate().map(|(i, value)| (name(i), value.clone()));
            let record = Value::Record(std::iter::once(ma).chain(rest).collect());
            let mut out = Vec::new();
            put_header(SCHEMA_ID, &mut out);
            out.extend(writer.write_value_to_vec(record).unwrap());
            Bytes::from(out)
        };
        let written: Vec<(Bytes, Bytes)> =
            values.iter().enumerate().map(|(i, row)| (Bytes::from(format!("k{i}")), wire(i, row))).collect();
        let generation = store.begin(&ViewCard { schema: text.clone(), ..card(1, 1) }, &[], &progress(0)).unwrap();
        // The first row goes into an empty table, with what will be replaced; the others through the stage.
        let mut first = Batch::default();
        first.push(written[0].0.clone(), Some(wire(0, values.last().unwrap())));
        store.apply(generation, &first, &progress(1)).unwrap();
        let mut batch = Batch::default();
        written.iter().for_each(|(key, value)| batch.push(key.clone(), Some(value.clone())));
        store.apply(generation, &batch, &progress(2)).unwrap();
        store.publish(generation).unwrap();
        prop_assert_eq!(&rows(&store, generation), &written);

        let list: Vec<String> =
            types.iter().enumerate().map(|(i, ty)| ty.sql(&format!("\"{}\"", name(i)))).collect();
        let query = format!(
            "SELECT coalesce(_kenh_unshown, '{{}}'), {} FROM ngau_nhien.dan_cu ORDER BY _kenh_key",
            list.join(", ")
        );
        let shown_rows = sql.borrow_mut().query(&query, &[]).unwrap();
        prop_assert_eq!(shown_rows.len(), written.len());
        for (row, (_, value)) in shown_rows.iter().zip(&written) {
            let unshown: Vec<String> = row.get(0);
            let Value::Record(read) = reader.read_value(&mut &value[5..]).unwrap() else { panic!("no record") };
            for (i, ty) in types.iter().enumerate() {
                let expected = shown(ty, &read[i + 1].1);
                let seen: Option<String> = row.get(i + 1);
                let seen = match seen {
                    None if unshown.contains(&name(i)) => Shown::Not,
                    None => Shown::Null,
                    Some(text) if matches!(expected, Shown::Json(_)) => Shown::Json(serde_json::from_str(&text).unwrap()),
                    Some(text) => Shown::Text(text),
                };
                prop_assert_eq!(seen, expected, "field {} of type {:?}", i, ty);
            }
        }
    });
}
