//! `apache-avro` as oracle: on random pairs of versions the verdict is `SchemaCompatibility`'s, and a version that is
//! compatible reads what was written.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_domain::schema::Schema;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{inconclusive, reasons};

/// A type without logical types: on those our rules are stricter than Avro's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ty {
    Plain(&'static str),
    Enum(usize),
    Array(Box<Ty>),
    Map(Box<Ty>),
    Nullable(Box<Ty>),
    /// Of int, string and boolean, as bits.
    Union(u8),
    Record(Vec<Field>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    name: char,
    ty: Ty,
    default: bool,
}

const PLAIN: [&str; 7] = ["boolean", "int", "long", "float", "double", "string", "bytes"];
const BRANCHES: [&str; 3] = ["int", "string", "boolean"];

impl Ty {
    /// Named types are called by their place, so that they keep their names from version to version.
    fn json(&self, place: &str) -> Json {
        match self {
            Self::Plain(name) => json!(name),
            Self::Enum(symbols) => json!({ "type": "enum", "name": place, "symbols": &["A", "B", "C"][..*symbols] }),
            Self::Array(items) => json!({ "type": "array", "items": items.json(&format!("{place}_i")) }),
            Self::Map(values) => json!({ "type": "map", "values": values.json(&format!("{place}_v")) }),
            Self::Nullable(inner) => json!(["null", inner.json(place)]),
            Self::Union(bits) => branches(*bits).into_iter().collect(),
            Self::Record(fields) => {
                let field = |f: &Field| {
                    let ty = f.ty.json(&format!("{place}_{}", f.name));
                    let mut json = json!({ "name": f.name.to_string(), "type": ty });
                    if f.default {
                        json["default"] = f.ty.default();
                    }
                    json
                };
                json!({ "type": "record", "name": place, "fields": fields.iter().map(field).collect::<Vec<_>>() })
            }
        }
    }

    fn default(&self) -> Json {
        match self {
            Self::Plain("boolean") => json!(true),
            Self::Plain("float" | "double") => json!(1.5),
            Self::Plain("string" | "bytes") => json!("x"),
            Self::Plain(_) => json!(7),
            Self::Enum(_) => json!("A"),
            Self::Array(_) => json!([]),
            Self::Map(_) => json!({}),
            Self::Nullable(_) => Json::Null,
            Self::Union(bits) => match branches(*bits).first() {
                Some(&"int") => json!(7),
                Some(&"boolean") => json!(true),
                _ => json!("x"),
            },
            Self::Record(fields) => fields.iter().map(|f| (f.name.to_string(), f.ty.default())).collect(),
        }
    }

    fn value(&self) -> BoxedStrategy<Avro> {
        match self {
            Self::Plain("boolean") => any::<bool>().prop_map(Avro::Boolean).boxed(),
            Self::Plain("int") => any::<i32>().prop_map(Avro::Int).boxed(),
            Self::Plain("long") => any::<i64>().prop_map(Avro::Long).boxed(),
            Self::Plain("float") => (-9..9_i8).prop_map(|n| Avro::Float(n.into())).boxed(),
            Self::Plain("double") => (-9..9_i8).prop_map(|n| Avro::Double(n.into())).boxed(),
            Self::Plain("bytes") => Just(Avro::Bytes(vec![1, 2])).boxed(),
            Self::Plain(_) => Just(Avro::String("Ánh".into())).boxed(),
            Self::Enum(symbols) => {
                (0..*symbols).prop_map(|i| Avro::Enum(u32::try_from(i).unwrap(), ["A", "B", "C"][i].into())).boxed()
            }
            Self::Array(items) => prop::collection::vec(items.value(), 0..3).prop_map(Avro::Array).boxed(),
            Self::Map(values) => values.value().prop_map(|v| Avro::Map([("k".to_owned(), v)].into())).boxed(),
            Self::Nullable(inner) => prop_oneof![
                Just(Avro::Union(0, Box::new(Avro::Null))),
                inner.value().prop_map(|v| Avro::Union(1, Box::new(v))),
            ]
            .boxed(),
            Self::Union(bits) => {
                let branches = branches(*bits);
                let of = move |i: usize| Ty::Plain(branches[i]).value().prop_map(move |v| (i, v));
                (0..bits.count_ones() as usize)
                    .prop_flat_map(of)
                    .prop_map(|(i, v)| Avro::Union(u32::try_from(i).unwrap(), Box::new(v)))
                    .boxed()
            }
            Self::Record(fields) => {
                let names: Vec<String> = fields.iter().map(|f| f.name.to_string()).collect();
                let values: Vec<_> = fields.iter().map(|f| f.ty.value()).collect();
                values.prop_map(move |values| Avro::Record(names.iter().cloned().zip(values).collect())).boxed()
            }
        }
    }
}

fn branches(bits: u8) -> Vec<&'static str> {
    (0..).zip(BRANCHES).filter(|(i, _)| bits & (1 << i) != 0).map(|(_, name)| name).collect()
}

fn ty() -> BoxedStrategy<Ty> {
    let leaf = prop_oneof![
        4 => prop::sample::select(PLAIN.to_vec()).prop_map(Ty::Plain),
        1 => (1..4_usize).prop_map(Ty::Enum),
        1 => prop::sample::select(vec![3, 5, 6, 7]).prop_map(Ty::Union),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Ty::Array(t.into())),
            inner.clone().prop_map(|t| Ty::Map(t.into())),
            fields(inner.clone()).prop_map(Ty::Record),
            inner.prop_map(|t| match t {
                // A union in a union is none.
                Ty::Nullable(_) | Ty::Union(_) => t,
                t => Ty::Nullable(t.into()),
            }),
        ]
    })
    .boxed()
}

fn fields(ty: impl Strategy<Value = Ty> + Clone + 'static) -> BoxedStrategy<Vec<Field>> {
    let field = move |name| (ty.clone(), any::<bool>()).prop_map(move |(ty, default)| Field { name, ty, default });
    prop::sample::subsequence(vec!['a', 'b', 'c'], 1..=3)
        .prop_shuffle()
        .prop_flat_map(move |names| names.into_iter().map(field.clone()).collect::<Vec<_>>())
        .boxed()
}

/// A type near another: what people do between two versions.
fn edited(ty: &Ty) -> BoxedStrategy<Ty> {
    let same = Just(ty.clone());
    match ty {
        Ty::Record(fields) => {
            let edited: Vec<_> = fields
                .iter()
                .map(|f| {
                    let (name, default) = (f.name, f.default);
                    edited(&f.ty).prop_map(move |ty| Field { name, ty, default })
                })
                .collect();
            let new = (self::ty(), any::<bool>()).prop_map(|(ty, default)| Field { name: 'd', ty, default });
            (edited, prop::option::weighted(0.4, new), prop::bool::weighted(0.2))
                .prop_map(|(mut fields, new, drop)| {
                    if drop {
                        fields.pop();
                    }
                    fields.extend(new);
                    Ty::Record(fields)
                })
                .boxed()
        }
        Ty::Array(items) => edited(items).prop_map(|t| Ty::Array(t.into())).boxed(),
        Ty::Map(values) => edited(values).prop_map(|t| Ty::Map(t.into())).boxed(),
        Ty::Nullable(inner) => {
            let inner = (**inner).clone();
            prop_oneof![4 => same, 1 => Just(inner)].boxed()
        }
        Ty::Union(bits) => prop_oneof![2 => same, 1 => Just(Ty::Union(7)), 1 => Just(Ty::Union(bits & 6))]
            .prop_filter("a union of one", |t| !matches!(t, Ty::Union(bits) if bits.count_ones() < 2))
            .boxed(),
        Ty::Enum(_) => prop_oneof![(1..4_usize).prop_map(Ty::Enum), Just(Ty::Plain("string"))].boxed(),
        Ty::Plain(name) => {
            let wider: Vec<Ty> = match *name {
                "int" => vec![Ty::Plain("long"), Ty::Plain("double"), Ty::Union(3)],
                "long" => vec![Ty::Plain("float"), Ty::Plain("int")],
                "float" => vec![Ty::Plain("double")],
                "string" => vec![Ty::Plain("bytes"), Ty::Enum(2), Ty::Union(6)],
                "bytes" => vec![Ty::Plain("string")],
                _ => vec![Ty::Plain("int")],
            };
            let nullable = Just(Ty::Nullable(ty.clone().into()));
            prop_oneof![3 => same, 1 => nullable, 1 => prop::sample::select(wider)].boxed()
        }
    }
}

/// An older and a newer version, and a record of the older one.
pub(super) fn versions() -> BoxedStrategy<(Ty, Ty, Avro)> {
    let record = || fields(ty()).prop_map(Ty::Record);
    let near = record().prop_flat_map(|older| {
        let newer = edited(&older);
        (Just(older), newer)
    });
    prop_oneof![3 => near, 1 => (record(), record())]
        .prop_flat_map(|(older, newer)| {
            let value = older.value();
            (Just(older), Just(newer), value)
        })
        .boxed()
}

pub(super) fn schema(ty: &Ty) -> Schema {
    Schema::parse(&ty.json("R").to_string()).unwrap()
}

/// Bytes that become a string are our own refusal.
pub(super) fn is_own_rule(reason: &super::Reason) -> bool {
    ["is a string, and was bytes", "may no longer be bytes"].iter().any(|own| reason.message.starts_with(own))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_verdict_is_that_of_apache_avro_and_what_was_written_is_read((older, newer, record) in versions()) {
        let (older, newer) = (schema(&older), schema(&newer));
        let ours = reasons(&older, &newer);
        match SchemaCompatibility::can_read(older.avro(), newer.avro()) {
            Ok(Compatibility::Full) => {
                prop_assert!(ours.iter().all(is_own_rule), "{:?}", ours);
            }
            Ok(Compatibility::Partial) => prop_assert!(!ours.is_empty(), "only partly readable, and released"),
            Err(error) if inconclusive(&error) => {}
            Err(error) => prop_assert!(!ours.is_empty(), "released, and {error}"),
        }
        // Whoever is refused is told where and by which rule; records of these pairs keep their names.
        for reason in &ours {
            let said = reason.to_string();
            let told = format!("{}: field {} ", reason.rule, reason.field);
            prop_assert!(!reason.field.is_empty() && said.len() > told.len() && said.starts_with(&told), "{said}");
        }
        if ours.is_empty() {
            let writer = GenericDatumWriter::builder(older.avro()).build().unwrap();
            let body = writer.write_value_to_vec(record).unwrap();
            let reader = GenericDatumReader::builder(older.avro()).reader_schema(newer.avro()).build().unwrap();
            let read = reader.read_value(&mut body.as_slice());
            prop_assert!(read.is_ok(), "released, and a record of the older version is not read: {:?}", read);
        }
    }
}
