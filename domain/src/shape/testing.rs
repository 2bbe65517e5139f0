//! For tests: contracts, grants and entries in force; schemas that evolve; and what a projection is to give, in the
//! plainest way.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::contract::{Contract, Effective, FieldRules, VersionSource};
use crate::control::{Activation, ViewEntry, ViewNo};
use crate::date;
use crate::grant::{Grant, GrantedField, KeyForm, Mask};
use crate::key::pseudonym;
use crate::log::Position;
use crate::names::View;
use crate::schema::testing::{bare, enumeration, named_record, nullable, pick, schema_text};
use crate::schema::{Field, Path, Schema, Type};
use crate::secret::Secret;
use crate::topic::Edition;
use crate::wire::SchemaId;

pub(super) const LABEL: &str = "pseudonym/B/thu/1";

pub(super) fn master() -> Secret {
    Secret::new([7; 32])
}

pub(super) fn contract(key: &[&str]) -> Contract {
    Contract {
        dataset: "thu".parse().unwrap(),
        version: "1.0.0".into(),
        owner: "A".parse().unwrap(),
        description: String::new(),
        partitions: 1,
        key: key.iter().map(|&k| k.to_owned()).collect(),
        providers: vec![],
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: Effective::AtOnce,
        open: false,
        synthetic: false,
        schemas: vec![],
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: crate::contract::Terms::default(),
    }
}

/// A contract whose field is of a data element.
pub(super) fn contract_with(key: &[&str], field: &str, element: &str) -> Contract {
    let rules = FieldRules { element: Some(element.to_owned()), ..FieldRules::default() };
    Contract { fields: BTreeMap::from([(field.to_owned(), rules)]), ..contract(key) }
}

pub(super) fn granted(path: &str) -> GrantedField {
    GrantedField { path: path.into(), name: None, mask: None }
}

pub(super) fn masked(path: &str, mask: Mask) -> GrantedField {
    GrantedField { mask: Some(mask), ..granted(path) }
}

pub(super) fn grant(fields: Vec<GrantedField>, key: KeyForm) -> Grant {
    Grant {
        id: "g".parse().unwrap(),
        recipient: "B".parse().unwrap(),
        systems: vec!["b-portal".parse().unwrap()],
        dataset: "thu".parse().unwrap(),
        view: View::main(),
        purpose: "thu".into(),
        legal_basis: vec!["A law".into()],
        fields,
        filter: None,
        key,
        duration: "P12M".into(),
        template: None,
        emergency: false,
    }
}

/// In force from 1,000 until 2,000 ms.
pub(super) fn entry(grant: &Grant) -> ViewEntry {
    let activation = Activation {
        view_no: ViewNo(1),
        edition: Edition(1),
        grant: grant.clone(),
        schema_id: SchemaId(9),
        starts_ms: 1_000,
        ends_ms: 2_000,
        secret_label: LABEL.into(),
    };
    ViewEntry { activation: Arc::new(activation), at: Position(1), ended: None }
}

/// The schema with everything beside its structure that a schema may carry, none of which is a recipient's business.
pub(super) fn decorated(ty: &Type) -> Schema {
    let mut json: Json = serde_json::from_str(&schema_text(ty)).unwrap();
    decorate(&mut json);
    Schema::parse(&json.to_string()).unwrap()
}

fn decorate(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(decorate),
        Json::Object(object) => {
            // Only what stands for a type or a field: a default's own object is data.
            for key in ["type", "items", "values"] {
                object.get_mut(key).into_iter().for_each(decorate);
            }
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                for field in fields {
                    decorate(field);
                    field["aliases"] = json!(["ten_cu"]);
                    field["kenh.ghi_chu"] = json!("bí mật");
                }
            }
            if object.contains_key("name") {
                object.insert("doc".into(), json!("bí mật"));
            }
        }
        _ => {}
    }
}

/// One record of two released versions: what `wide` has, `narrow` has in a form that Avro reads as `wide`, or `wide`
/// has a default for it.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) narrow: Type,
    pub(super) wide: Type,
}

/// A record that has grown.
pub(super) fn pair(narrow: Type) -> BoxedStrategy<Pair> {
    grown(&narrow).prop_map(move |wide| Pair { narrow: narrow.clone(), wide }).boxed()
}

/// A type that reads what was written as `ty`.
fn grown(ty: &Type) -> BoxedStrategy<Type> {
    let one_of = |types: &[Type]| prop::sample::select(types.to_vec()).boxed();
    let grown = match ty {
        Type::Int => one_of(&[Type::Int, Type::Long, Type::Float, Type::Double]),
        Type::Long => one_of(&[Type::Long, Type::Float, Type::Double]),
        Type::Float => one_of(&[Type::Float, Type::Double]),
        Type::Text => one_of(&[Type::Text, Type::Text, Type::Bytes]),
        Type::Enum(symbols) => {
            let mut all = symbols.symbols.clone();
            all.push("MOI".into());
            let with = move |all: Vec<String>| match enumeration(1) {
                Type::Enum(e) => Type::Enum(crate::schema::Enum { symbols: all, ..(*e).clone() }.into()),
                other => other,
            };
            Just(all).prop_shuffle().prop_map(with).boxed()
        }
        Type::Array(inner) => grown(inner).prop_map(|t| Type::Array(t.into())).boxed(),
        Type::Map(inner) => grown(inner).prop_map(|t| Type::Map(t.into())).boxed(),
        Type::Nullable(inner, _) => {
            (grown(inner), any::<bool>()).prop_map(|(t, first)| nullable(bare_type(&t), first)).boxed()
        }
        Type::Record(record) => {
            let fields: Vec<BoxedStrategy<(String, Type, Option<Json>)>> = record
                .fields
                .iter()
                .map(|f| {
                    let name = f.name.clone();
                    grown(&f.ty).prop_map(move |t| (name.clone(), t, None)).boxed()
                })
                .collect();
            (fields, prop::collection::vec(new_field(), 0..3))
                .prop_map(|(mut fields, new)| {
                    let named = new.into_iter().enumerate();
                    fields.extend(named.map(|(i, (ty, default))| (format!("moi{i}"), ty, Some(default))));
                    fields
                })
                .prop_shuffle()
                .prop_map(named_record)
                .boxed()
        }
        other => Just(other.clone()).boxed(),
    };
    let record = matches!(ty, Type::Record(_));
    // The record of the dataset itself is never nullable: `pair` is asked for records, so that only fields wrap here.
    (grown, prop::bool::weighted(0.2))
        .prop_map(move |(t, wrap)| if wrap && !record { nullable(t, true) } else { t })
        .boxed()
}

fn bare_type(ty: &Type) -> Type {
    ty.inner().clone()
}

fn new_field() -> BoxedStrategy<(Type, Json)> {
    prop::sample::select(vec![
        (Type::Int, json!(7)),
        (Type::Text, json!("mặc định")),
        (Type::Boolean, json!(true)),
        (Type::Date, json!(20_000)),
        (nullable(Type::Text, true), Json::Null),
        (nullable(Type::Long, true), Json::Null),
        (Type::Array(Type::Text.into()), json!([])),
    ])
    .boxed()
}

/// A grant over fields of the schema: some of its paths, some renamed, some masked; and the fields of a clear key.
pub(super) fn grant_of(schema: &Schema) -> BoxedStrategy<(Grant, Vec<String>)> {
    let paths: Vec<Path> = schema.paths().iter().map(|p| schema.path(p).unwrap()).collect();
    let most = paths.len().min(6);
    prop::sample::subsequence(paths, 1..=most)
        .prop_shuffle()
        .prop_flat_map(|paths| paths.iter().map(granted_as).collect::<Vec<_>>())
        .prop_flat_map(|fields| (Just(fields), any::<bool>()))
        .prop_map(|(mut fields, clear)| {
            for (i, field) in fields.iter_mut().enumerate() {
                // Two paths may give one name by default (`a.b` and `a_b`): the numbers keep them apart.
                field.name = field.name.take().map(|name| format!("{name}{i}"));
            }
            let shown = fields.iter().filter(|f| f.mask.is_none()).map(|f| f.path.clone());
            let key: Vec<String> = shown.take(2).collect();
            let form = if clear && !key.is_empty() { KeyForm::Clear } else { KeyForm::Pseudonym };
            (grant(fields, form), key)
        })
        .boxed()
}

fn granted_as(path: &Path) -> BoxedStrategy<GrantedField> {
    let mut masks = vec![None, None, None, Some(Mask::Null), Some(Mask::Constant("***".into()))];
    match path.ty().inner() {
        Type::Text => masks.extend([Mask::Last(2), Mask::Year, Mask::Hash].map(Some)),
        Type::Uuid => masks.extend([Mask::Last(4), Mask::Hash].map(Some)),
        Type::Date => masks.extend([Mask::Year, Mask::Hash].map(Some)),
        Type::Enum(_) | Type::Int | Type::Long => masks.push(Some(Mask::Hash)),
        _ => {}
    }
    let name = prop_oneof![Just(None), Just(Some("Ten_khac".to_owned()))];
    let path = path.dotted().to_owned();
    (prop::sample::select(masks), name)
        .prop_map(move |(mask, name)| GrantedField { path: path.clone(), name, mask })
        .boxed()
}

/// What a recipient is to see of a record: `record` is as the schema that the view was made from has it, `view` the
/// view's schema as `apache-avro` holds it.
pub(super) fn seen(record: &Avro, grant: &Grant, view: &apache_avro::Schema) -> Avro {
    let apache_avro::Schema::Record(view) = view else { panic!("a view is a record") };
    let field = |(granted, field): (&GrantedField, &apache_avro::schema::RecordField)| {
        let value = through_mask(pick(record, &granted.path), granted.mask.as_ref());
        (granted.path.clone(), wrapped(value, &field.schema), field.name.clone())
    };
    let fields = grant.fields.iter().zip(&view.fields).map(field);
    Avro::Record(fields.map(|(_, value, name)| (name, value)).collect())
}

/// A value with its union around it where the view has one.
fn wrapped(value: Avro, schema: &apache_avro::Schema) -> Avro {
    let apache_avro::Schema::Union(union) = schema else { return value };
    let branch = |null: bool| {
        let at = union.variants().iter().position(|v| matches!(v, apache_avro::Schema::Null) == null);
        u32::try_from(at.unwrap()).unwrap()
    };
    match value {
        Avro::Null => Avro::Union(branch(true), Box::new(Avro::Null)),
        Avro::Union(_, inner) if *inner == Avro::Null => Avro::Union(branch(true), inner),
        // The branches of a union of several keep their numbers.
        Avro::Union(at, inner) if union.variants().len() > 2 => Avro::Union(at, inner),
        Avro::Union(_, inner) => Avro::Union(branch(false), inner),
        other => Avro::Union(branch(false), Box::new(other)),
    }
}

fn through_mask(value: &Avro, mask: Option<&Mask>) -> Avro {
    let Some(mask) = mask else { return value.clone() };
    let text = match bare(value) {
        Avro::String(text) | Avro::Enum(_, text) => Some(text.clone()),
        Avro::Uuid(uuid) => Some(uuid.to_string()),
        Avro::Int(n) => Some(n.to_string()),
        Avro::Long(n) => Some(n.to_string()),
        Avro::Date(days) => Some(date::text(*days)),
        _ => None,
    };
    match (mask, text) {
        (Mask::Constant(text), _) => Avro::String(text.clone()),
        (Mask::Null, _) | (_, None) => Avro::Null,
        (Mask::Last(n), Some(text)) => {
            let all: Vec<char> = text.chars().collect();
            Avro::String(all[all.len().saturating_sub(*n as usize)..].iter().collect())
        }
        (Mask::Hash, Some(text)) => Avro::String(pseudonym(&master().derive(LABEL), text.as_bytes())),
        (Mask::Year, Some(text)) => match bare(value) {
            Avro::Date(days) => Avro::Int(date::year(*days)),
            _ => year_of(&text).map_or(Avro::Null, Avro::Int),
        },
    }
}

fn year_of(text: &str) -> Option<i32> {
    let whole = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    date::parse(&whole).map(date::year)
}

/// The names of a record's fields, for a message.
pub(super) fn names(fields: &[Field]) -> Vec<&str> {
    fields.iter().map(|f| f.name.as_str()).collect()
}
