//! Against `apache-avro` on random schemas and values; and no bytes whatever make a reader panic or run for ever.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::{Codec, Writer};
use kenh_domain::schema::{Schema, Spans};
use kenh_producers::encode::{Case, encode};
use kenh_producers::{Format, json, open};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::fixture::{GOOD, SCHEMA, rules};

/// A type, as far as its JSON form has a case of its own.
#[derive(Debug, Clone)]
enum Ty {
    Boolean,
    Int,
    Long,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Uuid,
    Date,
    TimeMicros,
    TimestampMillis,
    LocalTimestampMicros,
    Decimal,
    Enum(usize),
    Array(Box<Ty>),
    Map(Box<Ty>),
    Record(Vec<Ty>),
    Nullable(Box<Ty>, bool),
    Union,
}

fn ty() -> BoxedStrategy<Ty> {
    let leaf = prop_oneof![
        Just(Ty::Boolean),
        Just(Ty::Int),
        Just(Ty::Long),
        Just(Ty::Double),
        Just(Ty::Text),
        Just(Ty::Bytes),
        (0..4_usize).prop_map(Ty::Fixed),
        Just(Ty::Uuid),
        Just(Ty::Date),
        Just(Ty::TimeMicros),
        Just(Ty::TimestampMillis),
        Just(Ty::LocalTimestampMicros),
        Just(Ty::Decimal),
        (1..4_usize).prop_map(Ty::Enum),
        Just(Ty::Union),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Ty::Array(t.into())),
            inner.clone().prop_map(|t| Ty::Map(t.into())),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Ty::Record),
            (inner, any::<bool>()).prop_map(|(t, first)| match t {
                Ty::Nullable(..) | Ty::Union => t,
                t => Ty::Nullable(t.into(), first),
            }),
        ]
    })
    .boxed()
}

fn schema_of(ty: &Ty, names: &mut usize) -> Json {
    let logical = |base: &str, logical: &str| json!({"type": base, "logicalType": logical});
    *names += 1;
    let name = format!("T{names}");
    match ty {
        Ty::Boolean => json!("boolean"),
        Ty::Int => json!("int"),
        Ty::Long => json!("long"),
        Ty::Double => json!("double"),
        Ty::Text => json!("string"),
        Ty::Bytes => json!("bytes"),
        Ty::Fixed(size) => json!({"type": "fixed", "name": name, "size": size}),
        Ty::Uuid => logical("string", "uuid"),
        Ty::Date => logical("int", "date"),
        Ty::TimeMicros => logical("long", "time-micros"),
        Ty::TimestampMillis => logical("long", "timestamp-millis"),
        Ty::LocalTimestampMicros => logical("long", "local-timestamp-micros"),
        Ty::Decimal => json!({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}),
        Ty::Enum(n) => {
            json!({"type": "enum", "name": name, "symbols": (0..*n).map(|i| format!("S{i}")).collect::<Vec<_>>()})
        }
        Ty::Array(of) => json!({"type": "array", "items": schema_of(of, names)}),
        Ty::Map(of) => json!({"type": "map", "values": schema_of(of, names)}),
        Ty::Record(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .enumerate()
                .map(|(i, ty)| json!({"name": format!("f{i}"), "type": schema_of(ty, names)}))
                .collect();
            json!({"type": "record", "name": name, "fields": fields})
        }
        Ty::Nullable(of, true) => json!(["null", schema_of(of, names)]),
        Ty::Nullable(of, false) => json!([schema_of(of, names), "null"]),
        Ty::Union => json!(["boolean", "null", "double", "string"]),
    }
}

/// A value, as JSON and as `apache-avro` holds it.
fn value(ty: &Ty) -> BoxedStrategy<(Json, Avro)> {
    let text = || prop::collection::vec(any::<char>(), 0..6).prop_map(String::from_iter);
    match ty.clone() {
        Ty::Boolean => any::<bool>().prop_map(|b| (json!(b), Avro::Boolean(b))).boxed(),
        Ty::Int => any::<i32>().prop_map(|n| (json!(n), Avro::Int(n))).boxed(),
        Ty::Long => any::<i64>().prop_map(|n| (json!(n), Avro::Long(n))).boxed(),
        Ty::Double => any::<f64>()
            .prop_filter("JSON has numbers only", |x| x.is_finite())
            .prop_map(|x| (json!(x), Avro::Double(x)))
            .boxed(),
        Ty::Text => text().prop_map(|t| (json!(t), Avro::String(t))).boxed(),
        Ty::Bytes => prop::collection::vec(any::<u8>(), 0..6).prop_map(|b| (json!(base64(&b)), Avro::Bytes(b))).boxed(),
        Ty::Fixed(size) => prop::collection::vec(any::<u8>(), size)
            .prop_map(move |b| (json!(base64(&b)), Avro::Fixed(size, b)))
            .boxed(),
        Ty::Uuid => any::<u128>()
            .prop_map(|n| {
                let uuid = apache_avro::Uuid::from_u128(n);
                (json!(uuid.to_string().to_uppercase()), Avro::Uuid(uuid))
            })
            .boxed(),
        Ty::Date => (-700_000..2_900_000_i32)
            .prop_filter("years before 0 have no such text", |d| *d >= -719_528)
            .prop_map(|d| (json!(kenh_domain::date::text(d)), Avro::Date(d)))
            .boxed(),
        Ty::TimeMicros => (0..86_400_000_000_i64).prop_map(|us| (json!(clock(us)), Avro::TimeMicros(us))).boxed(),
        Ty::TimestampMillis => (-700_000..2_900_000_i32, 0..86_400_000_i64)
            .prop_map(|(d, ms)| {
                let text = format!("{}T{}Z", kenh_domain::date::text(d), clock(ms * 1000));
                (json!(text), Avro::TimestampMillis(i64::from(d) * 86_400_000 + ms))
            })
            .boxed(),
        Ty::LocalTimestampMicros => (-700_000..2_900_000_i32, 0..86_400_000_000_i64)
            .prop_map(|(d, us)| {
                let text = format!("{}T{}", kenh_domain::date::text(d), clock(us));
                (json!(text), Avro::LocalTimestampMicros(i64::from(d) * 86_400_000_000 + us))
            })
            .boxed(),
        Ty::Decimal => (-999_999_999_999_i64..1_000_000_000_000)
            .prop_map(|n| {
                let sign = if n < 0 { "-" } else { "" };
                let text = format!("{sign}{}.{:03}", n.unsigned_abs() / 1000, n.unsigned_abs() % 1000);
                let bytes = n.to_be_bytes();
                // As few bytes as keep the sign.
                let keep = (0..7).find(|i| {
                    let shorter = n << ((i + 1) * 8) >> ((i + 1) * 8);
                    shorter != n
                });
                (json!(text), Avro::Decimal(bytes[keep.unwrap_or(7)..].to_vec().into()))
            })
            .boxed(),
        Ty::Enum(n) => (0..n)
            .prop_map(|i| (json!(format!("S{i}")), Avro::Enum(u32::try_from(i).unwrap(), format!("S{i}"))))
            .boxed(),
        Ty::Array(of) => prop::collection::vec(value(&of), 0..4)
            .prop_map(|items| {
                let (json, avro): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                (Json::Array(json), Avro::Array(avro))
            })
            .boxed(),
        Ty::Map(of) => prop::collection::hash_map(text(), value(&of), 0..4)
            .prop_map(|items| {
                let json = items.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
                (Json::Object(json), Avro::Map(items.into_iter().map(|(k, v)| (k, v.1)).collect()))
            })
            .boxed(),
        Ty::Record(fields) => fields
            .iter()
            .map(value)
            .collect::<Vec<_>>()
            .prop_map(|values| {
                // In the other order: JSON has none.
                let named = values.iter().enumerate().map(|(i, v)| (format!("f{i}"), v.clone()));
                let json = named.clone().rev().map(|(n, v)| (n, v.0)).collect();
                (Json::Object(json), Avro::Record(named.map(|(n, v)| (n, v.1)).collect()))
            })
            .boxed(),
        Ty::Nullable(of, first) => {
            let (null, some) = if first { (0, 1) } else { (1, 0) };
            prop_oneof![
                1 => Just((Json::Null, Avro::Union(null, Box::new(Avro::Null)))),
                2 => value(&of).prop_map(move |(j, a)| (j, Avro::Union(some, Box::new(a)))),
            ]
            .boxed()
        }
        Ty::Union => prop_oneof![
            any::<bool>().prop_map(|b| (json!(b), Avro::Union(0, Box::new(Avro::Boolean(b))))),
            Just((Json::Null, Avro::Union(1, Box::new(Avro::Null)))),
            (-1e9..1e9_f64).prop_map(|x| (json!(x), Avro::Union(2, Box::new(Avro::Double(x))))),
            "[b-z]{0,3}".prop_map(|t| (json!(t), Avro::Union(3, Box::new(Avro::String(t))))),
        ]
        .boxed(),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn clock(us: i64) -> String {
    let s = us / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", s / 3600, s / 60 % 60, s % 60, us % 1_000_000)
}

/// A record schema, its text, and one record of it.
fn sample() -> BoxedStrategy<(String, (Json, Avro))> {
    prop::collection::vec(ty(), 1..6)
        .prop_map(Ty::Record)
        .prop_flat_map(|ty| (Just(schema_of(&ty, &mut 0).to_string()), value(&ty)))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn json_becomes_what_apache_avro_reads_and_writes((text, (json, avro)) in sample()) {
        let schema = Schema::parse(&text).unwrap();
        let json = json.to_string();
        let mut body = Vec::new();
        let tree = json::parse(json.as_bytes()).unwrap();
        encode(schema.record(), &[], &tree, Case::Exact, &mut body).unwrap();
        prop_assert_eq!(schema.walk(&body, &mut Spans::new()), Ok(()));
        let reader = GenericDatumReader::builder(schema.avro()).build().unwrap();
        let mut rest = body.as_slice();
        prop_assert_eq!(reader.read_value(&mut rest).unwrap(), avro);
        prop_assert!(rest.is_empty());
    }

    /// However a source orders fields and keys, and whoever decoded the record before: the same bytes.
    #[test]
    fn equal_records_are_equal_bytes((text, (json, _)) in sample()) {
        let schema = Schema::parse(&text).unwrap();
        let encoded = |json: &Json| {
            let mut body = Vec::new();
            let text = json.to_string();
            encode(schema.record(), &[], &json::parse(text.as_bytes()).unwrap(), Case::Exact, &mut body).unwrap();
            body
        };
        prop_assert_eq!(encoded(&json), encoded(&reversed(&json)));
    }

    /// What a record lacks or has too much is told, whatever it is.
    #[test]
    fn a_field_more_or_less_is_never_taken((text, (json, _)) in sample(), which in any::<prop::sample::Index>()) {
        let schema = Schema::parse(&text).unwrap();
        let mut less = json.clone();
        let name = format!("f{}", which.index(schema.fields().len()));
        less.as_object_mut().unwrap().remove(&name);
        let mut body = vec![7];
        let text = less.to_string();
        let result = encode(schema.record(), &[], &json::parse(text.as_bytes()).unwrap(), Case::Exact, &mut body);
        let nullable = schema.path(&name).unwrap().ty().is_nullable();
        prop_assert_eq!(result.is_ok(), nullable);
        let mut more = json;
        more["khac"] = Json::Null;
        let mut body = vec![7];
        let text = more.to_string();
        let found = encode(schema.record(), &[], &json::parse(text.as_bytes()).unwrap(), Case::Exact, &mut body);
        let found = found.unwrap_err();
        prop_assert_eq!((found[0].rule.code(), found[0].field.as_str()), ("unknown-field", "khac"));
        prop_assert_eq!(body, [7], "what was there before stays");
    }
}

/// The same, with the members of every object in the other order.
fn reversed(json: &Json) -> Json {
    match json {
        Json::Object(members) => Json::Object(members.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect()),
        Json::Array(items) => Json::Array(items.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

/// Reads to the end, however bad it is.
fn drain(format: Format, bytes: &[u8]) {
    let rules = rules();
    let Ok(mut items) = open(format, Box::new(std::io::Cursor::new(bytes.to_vec())), &rules, None) else { return };
    let mut count = 0;
    while let Ok(Some(_)) = items.next() {
        count += 1;
        assert!(count <= bytes.len() + 1, "more records than bytes");
    }
}

fn some_container() -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(SCHEMA).unwrap();
    let body: Vec<u8> = {
        let own = Schema::parse(SCHEMA).unwrap();
        let mut out = Vec::new();
        encode(own.record(), &[], &json::parse(GOOD.as_bytes()).unwrap(), Case::Exact, &mut out).unwrap();
        out
    };
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let value = reader.read_value(&mut body.as_slice()).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), Codec::Null).unwrap();
    for _ in 0..3 {
        writer.append_value(value.clone()).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

/// Bytes with a few of them changed, put in, left out or cut.
fn damaged(bytes: &[u8], damage: Vec<(prop::sample::Index, u8, u8)>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte, how) in damage {
        let at = at.index(bytes.len() + 1);
        match how {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_input_ends(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..8_u8), 1..6)) {
        drain(Format::Avro, &damaged(&some_container(), damage.clone()));
        let line = GOOD.replace('\n', "");
        drain(Format::Jsonl, &damaged(format!("{line}\n{line}\n").as_bytes(), damage.clone()));
        let state = r#"{"SuKien":"NEW","PhienBan":1}"#;
        let one = format!("{{\"TrangThaiDuLieu\":{state},\"DuLieuTiepNhan\":{GOOD}}}");
        let batch = format!("{{\"DanhSach\":{{\"Root\":[{one},{one}]}}}}");
        drain(Format::Envelope, &damaged(batch.as_bytes(), damage.clone()));
        let csv = "Ma,Tu,Ten,Cap,Loai\n00001,2025-07-01,\"T\"\"ên\",3,full\n00001,2025-07-01,T,3,full\n";
        drain(Format::Csv, &damaged(csv.as_bytes(), damage));
    }

    #[test]
    fn pieces_of_json_end(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"Root\"", "\"DanhSach\"", "\"a\"", "1", "null", " ", "\"", "\\", "é",
    ]), 0..16)) {
        drain(Format::Envelope, pieces.concat().as_bytes());
        drain(Format::Jsonl, pieces.concat().as_bytes());
    }
}

/// A UUID is the same in capitals, a decimal with zeros behind it.
#[test]
fn two_ways_of_writing_a_value_are_the_same_bytes() {
    let of = |ty: &str| format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{ty}}}]}}"#);
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}"#;
    for (ty, one, other) in [
        (
            r#"{"type":"string","logicalType":"uuid"}"#,
            "\"0123ABCD-0000-4000-8000-00000000000F\"",
            "\"0123abcd-0000-4000-8000-00000000000f\"",
        ),
        (decimal, "1.5", "\"1.500000\""),
        (decimal, "-0.000", "0"),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            "\"2025-07-01T00:00:00\"",
            "\"2025-06-30T17:00:00.000Z\"",
        ),
    ] {
        let schema = Schema::parse(&of(ty)).unwrap();
        let encoded = |value: &str| {
            let (text, mut body) = (format!("{{\"a\":{value}}}"), Vec::new());
            encode(schema.record(), &[], &json::parse(text.as_bytes()).unwrap(), Case::Exact, &mut body).unwrap();
            body
        };
        assert_eq!(encoded(one), encoded(other), "{one}");
    }
}
