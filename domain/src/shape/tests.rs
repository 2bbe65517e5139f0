//! Projections against `apache-avro`: decoding what a recipient gets is projecting what the provider wrote.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::testing::{
    LABEL, Pair, contract, contract_with, decorated, entry, grant, grant_of, granted, masked, master, names, pair, seen,
};
use super::{InForce, Shape, ShapeError};
use crate::grant::{Grant, GrantedField, KeyForm, Mask};
use crate::key::pseudonym;
use crate::schema::testing::{decode, encode, record, schema, ty, value};
use crate::schema::{Schema, Spans, Type};
use crate::wire::SchemaId;

const OLD: SchemaId = SchemaId(1);
const NEW: SchemaId = SchemaId(2);

fn refs(key: &[String]) -> Vec<&str> {
    key.iter().map(String::as_str).collect()
}

/// The projection of a body, which every test takes the one way there is.
fn project(shape: &Shape, grant: &Grant, writer: SchemaId, schema: &Schema, body: &[u8]) -> Option<Vec<u8>> {
    let mut spans = Spans::new();
    schema.walk(body, &mut spans).unwrap();
    let in_force = InForce::at(&entry(grant), 1_500).unwrap();
    let permit = shape.authorise(&in_force, writer, body, &spans)?;
    let mut out = Vec::new();
    permit.project(&mut out);
    Some(out)
}

/// As `apache-avro` reads it with another schema than it was written in. None where there is a decimal: `apache-avro`
/// 0.22 does not resolve one of fewer bytes than its precision would fill.
fn resolved(writer: &Schema, reader: &Schema, mut body: &[u8]) -> Option<Avro> {
    if writer.text().contains("decimal") {
        return None;
    }
    let of = GenericDatumReader::builder(writer.avro()).reader_schema(reader.avro()).build().unwrap();
    Some(of.read_value(&mut body).unwrap())
}

fn records() -> BoxedStrategy<Type> {
    prop::collection::vec(ty(), 1..6).prop_map(record).boxed()
}

/// Two versions, a grant over the wide one, and a record of each.
fn cases() -> BoxedStrategy<(Pair, Grant, Vec<String>, Avro, Avro)> {
    records()
        .prop_flat_map(pair)
        .prop_flat_map(|pair| {
            let grant = grant_of(&schema(&pair.wide));
            let (narrow, wide) = (value(&pair.narrow), value(&pair.wide));
            (Just(pair), grant, narrow, wide)
        })
        .prop_map(|(pair, (grant, key), narrow, wide)| (pair, grant, key, narrow, wide))
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    /// A view activated on the newest version, records of both.
    #[test]
    fn what_a_recipient_decodes_is_the_projection((pair, grant, key, old, new) in cases()) {
        let (narrow, wide) = (schema(&pair.narrow), decorated(&pair.wide));
        let contract = contract(&refs(&key));
        let versions = [(OLD, narrow.clone()), (NEW, wide.clone())];
        let shape = Shape::compile(&contract, &versions, &grant, Some(&master()), LABEL, None);
        let shape = shape.map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        let view = Schema::parse(shape.view_schema()).unwrap();
        prop_assert_eq!(names(view.fields()).len(), grant.fields.len());

        let body = encode(&new);
        let got = project(&shape, &grant, NEW, &wide, &body).unwrap();
        prop_assert_eq!(decode(&view, &got), Some(seen(&new, &grant, view.avro())), "of the newest version");
        prop_assert_eq!(view.walk(&got, &mut Spans::new()), Ok(()), "a view is as strict as its source");

        let body = encode(&old);
        let Some(as_new) = resolved(&narrow, &wide, &body) else { return Ok(()) };
        let got = project(&shape, &grant, OLD, &narrow, &body).unwrap();
        prop_assert_eq!(decode(&view, &got), Some(seen(&as_new, &grant, view.avro())), "of the version before");
    }

    /// A view activated on a version, which stands while a later one is released that fits it.
    #[test]
    fn a_fixed_view_takes_a_later_version_that_fits((pair, grant, key, narrow, _) in cases()) {
        let (old, new) = (schema(&pair.wide), schema(&pair.narrow));
        let contract = contract(&refs(&key));
        let first = Shape::compile(&contract, &[(OLD, old.clone())], &grant, Some(&master()), LABEL, None).unwrap();
        let versions = [(OLD, old.clone()), (NEW, new.clone())];
        let fixed = Some(first.view_schema());
        let shape = Shape::compile(&contract, &versions, &grant, Some(&master()), LABEL, fixed);
        let shape = shape.map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(shape.view_schema(), first.view_schema());
        prop_assert_eq!(shape.digest(), first.digest());
        let view = Schema::parse(shape.view_schema()).unwrap();
        let body = encode(&narrow);
        let Some(as_old) = resolved(&new, &old, &body) else { return Ok(()) };
        let got = project(&shape, &grant, NEW, &new, &body).unwrap();
        prop_assert_eq!(decode(&view, &got), Some(seen(&as_old, &grant, view.avro())));
    }

    /// The view's schema is made of what is allowed and of nothing else.
    #[test]
    fn a_view_schema_tells_nothing_of_its_source((pair, grant, key, ..) in cases()) {
        let wide = decorated(&pair.wide);
        let shape = Shape::compile(&contract(&refs(&key)), &[(NEW, wide)], &grant, None, LABEL, None).unwrap();
        let json: Json = serde_json::from_str(shape.view_schema()).unwrap();
        prop_assert_eq!(foreign(&json, &grant), Vec::<String>::new(), "{}", json);
    }

    /// The key of a record in its view: as it is, or its pseudonym; the same with a record at hand and without.
    #[test]
    fn a_key_is_clear_or_a_pseudonym((pair, grant, key, _, wide) in cases(), record_key in "[a-z0-9]{0,20}") {
        let newest = schema(&pair.wide);
        let shape =
            Shape::compile(&contract(&refs(&key)), &[(NEW, newest.clone())], &grant, Some(&master()), LABEL, None).unwrap();
        let (body, mut spans) = (encode(&wide), Spans::new());
        newest.walk(&body, &mut spans).unwrap();
        let in_force = InForce::at(&entry(&grant), 1_000).unwrap();
        let permit = shape.authorise(&in_force, NEW, &body, &spans).unwrap();
        let (mut with, mut without) = (Vec::new(), Vec::new());
        permit.key(record_key.as_bytes(), &mut with);
        shape.view_key(record_key.as_bytes(), &mut without);
        prop_assert_eq!(&with, &without);
        let want = match grant.key {
            KeyForm::Clear => record_key,
            KeyForm::Pseudonym => pseudonym(&master().derive(LABEL), record_key.as_bytes()),
        };
        prop_assert_eq!(String::from_utf8(with).unwrap(), want);
    }
}

/// Whatever in a view's schema is neither structure nor named after a granted field.
fn foreign(json: &Json, grant: &Grant) -> Vec<String> {
    const STRUCTURE: [&str; 11] = [
        "type",
        "name",
        "namespace",
        "fields",
        "items",
        "values",
        "symbols",
        "size",
        "logicalType",
        "precision",
        "scale",
    ];
    let mut out = Vec::new();
    match json {
        Json::Array(items) => items.iter().for_each(|item| out.extend(foreign(item, grant))),
        Json::Object(object) => {
            out.extend(object.keys().filter(|k| !STRUCTURE.contains(&k.as_str())).cloned());
            let named = matches!(object.get("type"), Some(Json::String(t)) if ["record", "enum", "fixed"].contains(&t.as_str()));
            let name = object.get("name").and_then(Json::as_str).unwrap_or_default();
            let ours = |f: &GrantedField| name.starts_with(&f.view_name());
            if named && name != "View" && !grant.fields.iter().any(ours) {
                out.push(name.to_owned());
            }
            if object.get("namespace").is_some_and(|n| n != "kenh.view") {
                out.push("namespace".into());
            }
            for key in ["type", "items", "values", "fields"] {
                out.extend(object.get(key).map(|inner| foreign(inner, grant)).unwrap_or_default());
            }
        }
        _ => {}
    }
    out
}

const RECORD: &str = r#"{"type":"record","name":"R","namespace":"nguon","doc":"bí mật","fields":[
    {"name":"ma","type":"string"},
    {"name":"ten","type":["null","string"],"default":null,"aliases":["ten_cu"]},
    {"name":"tinh","type":"string","doc":"bí mật"},
    {"name":"so","type":"int"},
    {"name":"ngay","type":{"type":"int","logicalType":"date"}},
    {"name":"noi","type":["null",{"type":"record","name":"NoiO","fields":[
        {"name":"tinh","type":"string"},{"name":"xa","type":["null","string"]}]}]},
    {"name":"loai","type":{"type":"enum","name":"Loai","symbols":["A","B"]}},
    {"name":"anh","type":"bytes"},
    {"name":"ds","type":{"type":"array","items":{"type":"record","name":"Muc","fields":[{"name":"x","type":"int"}]}}}]}"#;

fn fixture() -> Schema {
    Schema::parse(RECORD).unwrap()
}

fn compile(grant: &Grant) -> Result<Shape, ShapeError> {
    compile_with(grant, &[(OLD, fixture())], None)
}

fn compile_with(grant: &Grant, schemas: &[(SchemaId, Schema)], fixed: Option<&str>) -> Result<Shape, ShapeError> {
    Shape::compile(&contract_with(&["ma"], "ten", "personal-id"), schemas, grant, Some(&master()), LABEL, fixed)
}

#[test]
fn a_view_schema_is_named_after_its_fields() {
    let fields = ["ma", "ten", "noi", "noi.tinh", "ds"].map(granted);
    let shape = compile(&grant(fields.into(), KeyForm::Clear)).unwrap();
    let want: Json = serde_json::from_str(
        r#"{"type":"record","name":"View","namespace":"kenh.view","fields":[
            {"name":"ma","type":"string"},
            {"name":"ten","type":["null","string"]},
            {"name":"noi","type":["null",{"type":"record","name":"noi","fields":[
                {"name":"tinh","type":"string"},{"name":"xa","type":["null","string"]}]}]},
            {"name":"noi_tinh","type":["null","string"]},
            {"name":"ds","type":{"type":"array","items":{"type":"record","name":"ds_item","fields":[{"name":"x","type":"int"}]}}}]}"#,
    )
    .unwrap();
    assert_eq!(serde_json::from_str::<Json>(shape.view_schema()).unwrap(), want);
    assert_eq!(shape.key_fields(), ["ma"]);
}

/// Each grant is refused with a message that says so and what to do.
#[test]
fn what_cannot_be_compiled_is_refused_with_a_reason() {
    let of = |fields: Vec<GrantedField>| grant([vec![granted("ma")], fields].concat(), KeyForm::Clear);
    let with = |filter: &str, fields: Vec<GrantedField>| Grant { filter: Some(filter.into()), ..of(fields) };
    let renamed = |path: &str, name: &str| GrantedField { name: Some(name.into()), ..granted(path) };
    let cases: Vec<(Grant, &str)> = vec![
        (Grant { dataset: "khac".parse().unwrap(), ..of(vec![]) }, "is for dataset khac, the contract for thu"),
        (grant(vec![], KeyForm::Pseudonym), "names no field"),
        (of(vec![granted("tinhh")]), "there is no field tinhh; did you mean tinh?"),
        (of(vec![granted("khongcogi")]), "there is no field khongcogi; fields are ma, ten, tinh, so, ngay, noi, "),
        (of(vec![granted("ds.x")]), "there is no field ds.x"),
        (of(vec![granted("ma")]), "field ma would be the second named ma in the view"),
        (
            of(vec![renamed("tinh", "noi_tinh"), granted("noi.tinh")]),
            "field noi.tinh would be the second named noi_tinh",
        ),
        (of(vec![renamed("tinh", "tỉnh")]), "cannot be named \"tỉnh\""),
        (of(vec![renamed("tinh", "")]), "cannot be named \"\""),
        (of(vec![renamed("tinh", "9a")]), "cannot be named \"9a\""),
        (of(vec![renamed("tinh", "a.b")]), "cannot be named \"a.b\""),
        (with("tinh == \"79\"", vec![]), "the filter names tinh, which is not granted"),
        (with("noi.tinh == \"79\"", vec![granted("noi.xa")]), "the filter names noi.tinh, which is not granted"),
        (with("tinh == \"79\"", vec![masked("tinh", Mask::Last(1))]), "names tinh, which is granted only under a mask"),
        (with("tinh == 79", vec![granted("tinh")]), "the filter does not compile"),
        (with("tinh ==", vec![granted("tinh")]), "the filter does not compile"),
        (grant(vec![granted("tinh")], KeyForm::Clear), "the record key holds ma, which is not granted by itself"),
        (
            grant(vec![masked("ma", Mask::Hash)], KeyForm::Clear),
            "the record key holds ma, which is not granted by itself",
        ),
        (of(vec![masked("so", Mask::Last(2))]), "field so is an int, which mask last is not for; it is for strings"),
        (of(vec![masked("tinh", Mask::Last(0))]), "mask last is not for; last 0 shows nothing"),
        (of(vec![masked("so", Mask::Year)]), "field so is an int, which mask year is not for; it is for dates"),
        (of(vec![masked("anh", Mask::Hash)]), "field anh is bytes, which mask hash is not for"),
        (of(vec![masked("ds", Mask::Hash)]), "field ds is an array, which mask hash is not for"),
        (of(vec![masked("ten", Mask::Last(3))]), "field ten is a personal ID; mask last would give most of it away"),
    ];
    let mut wrong = Vec::new();
    for (grant, part) in cases {
        match compile(&grant) {
            Ok(_) => wrong.push(format!("taken: {part}")),
            Err(error) if !error.to_string().contains(part) => wrong.push(format!("{error} does not say: {part}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(matches!(compile_with(&of(vec![]), &[], None), Err(ShapeError::NoSchema { .. })));
}

/// A view is fixed at its activation; each later version is refused that does not fit it, with the field and why.
#[test]
fn a_version_that_does_not_fit_a_fixed_view_is_refused() {
    let fields = ["ma", "ten", "so", "ngay", "noi", "loai", "anh"].map(granted);
    let grant = grant(fields.into(), KeyForm::Clear);
    let first = compile(&grant).unwrap();
    let table = [
        (r#""so","type":"int""#, r#""so","type":"long""#, "so", "its type is another"),
        (r#""so","type":"int""#, r#""so","type":["null","int"]"#, "so", "it may be null"),
        (r#""ma","type":"string""#, r#""ma","type":"bytes""#, "ma", "its type is another"),
        (r#"{"type":"int","logicalType":"date"}"#, r#""int""#, "ngay", "its type is another"),
        (r#"["A","B"]"#, r#"["A","B","C"]"#, "loai", "an enum symbol"),
        (r#"{"name":"tinh","type":"string"},{"name":"xa""#, r#"{"name":"xa""#, "noi", "neither default nor null"),
        (r#""anh","type":"bytes""#, r#""anh","type":["bytes","string"]"#, "anh", "unions of several types"),
    ];
    let mut wrong = Vec::new();
    for (from, to, field, why) in table {
        assert!(RECORD.contains(from), "{from}");
        let later = Schema::parse(&RECORD.replacen(from, to, 1)).unwrap();
        match compile_with(&grant, &[(OLD, fixture()), (NEW, later)], Some(first.view_schema())) {
            Err(ShapeError::CannotEmit { version: NEW, field: f, why: w, .. }) if f == field && w.contains(why) => {}
            other => wrong.push(format!("{to}: {:?}", other.map(|_| ()))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let more = GrantedField { ..granted("tinh") };
    let widened = Grant { fields: [grant.fields.clone(), vec![more]].concat(), ..grant };
    let error = compile_with(&widened, &[(OLD, fixture())], Some(first.view_schema()));
    assert!(matches!(error, Err(ShapeError::Fixed { field, .. }) if field == "tinh"));
}

fn body() -> Vec<u8> {
    encode(&Avro::Record(vec![
        ("ma".into(), Avro::String("m1".into())),
        ("ten".into(), Avro::Union(1, Box::new(Avro::String("012345".into())))),
        ("tinh".into(), Avro::String("79".into())),
        ("so".into(), Avro::Int(7)),
        ("ngay".into(), Avro::Date(0)),
        ("noi".into(), Avro::Union(0, Box::new(Avro::Null))),
        ("loai".into(), Avro::Enum(0, "A".into())),
        ("anh".into(), Avro::Bytes(vec![1])),
        ("ds".into(), Avro::Array(vec![])),
    ]))
}

/// Nothing leaves without a grant in force, for rows of its filter, under its own terms.
#[test]
fn a_permit_needs_a_grant_in_force_its_rows_and_its_terms() {
    let of = |filter: &str| Grant {
        filter: Some(filter.into()),
        ..grant(vec![granted("ma"), granted("tinh")], KeyForm::Clear)
    };
    let grant = of("tinh == \"79\"");
    let shape = compile(&grant).unwrap();
    let (schema, body) = (fixture(), body());
    let mut spans = Spans::new();
    schema.walk(&body, &mut spans).unwrap();
    let permits = |shape: &Shape, in_force: &InForce, id| shape.authorise(in_force, id, &body, &spans).is_some();

    let mut view = entry(&grant);
    for (clock, in_force) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
        assert_eq!(InForce::at(&view, clock).is_some(), in_force, "at {clock}");
    }
    let in_force = InForce::at(&view, 1_000).unwrap();
    assert!(permits(&shape, &in_force, OLD));
    assert!(!permits(&shape, &in_force, NEW), "a writer it was not compiled for");
    assert!(!permits(&compile(&of("tinh == \"01\"")).unwrap(), &in_force, OLD), "other rows");
    let other = of("tinh == \"01\"");
    assert!(!permits(&shape, &InForce::at(&entry(&other), 1_000).unwrap(), OLD), "a grant with other terms");
    assert_eq!(InForce::at(&entry(&of("'79'==tinh")), 1_000), Some(in_force.clone()), "the same terms in other spaces");

    view.ended = Some((crate::log::Position(3), crate::grant::EndReason::Revoked));
    assert!(InForce::at(&view, 1_500).is_none(), "an ended grant is never in force");
}

#[test]
fn a_row_outside_the_filter_has_no_permit() {
    let fields = vec![granted("ma"), granted("noi")];
    let grant = Grant { filter: Some("noi != null".into()), ..grant(fields, KeyForm::Clear) };
    let shape = compile(&grant).unwrap();
    assert_eq!(project(&shape, &grant, OLD, &fixture(), &body()), None);
}

#[test]
fn what_needs_a_secret_shows_nothing_without_one() {
    for grant in [
        grant(vec![granted("tinh")], KeyForm::Pseudonym),
        grant(vec![granted("ma"), masked("tinh", Mask::Hash)], KeyForm::Clear),
    ] {
        let contract = contract(&["ma"]);
        let shape = Shape::compile(&contract, &[(OLD, fixture())], &grant, None, LABEL, None).unwrap();
        assert!(shape.is_keyed());
        assert_eq!(project(&shape, &grant, OLD, &fixture(), &body()), None);
        let with = compile(&grant).unwrap();
        assert_eq!(with.digest(), shape.digest(), "the secret is not in the digest");
        assert!(project(&with, &grant, OLD, &fixture(), &body()).is_some());
        assert!(!format!("{with:?}").contains("07, 07"), "no secret in Debug");
    }
}

/// The hash of a field that is the whole record key is the pseudonym of that key, so that the two can be joined on
/// purpose, and differs from one recipient or purpose to the next.
#[test]
fn a_hash_is_a_pseudonym_under_the_recipients_secret() {
    let grant = grant(vec![masked("ma", Mask::Hash)], KeyForm::Pseudonym);
    let compile = |label: &str| {
        Shape::compile(&contract(&["ma"]), &[(OLD, fixture())], &grant, Some(&master()), label, None).unwrap()
    };
    let shape = compile(LABEL);
    let view = Schema::parse(shape.view_schema()).unwrap();
    let got = decode(&view, &project(&shape, &grant, OLD, &fixture(), &body()).unwrap()).unwrap();
    let mut key = Vec::new();
    shape.view_key(b"m1", &mut key);
    assert_eq!(got, Avro::Record(vec![("ma".into(), Avro::String(String::from_utf8(key.clone()).unwrap()))]));
    let mut other = Vec::new();
    compile("pseudonym/C/thu/1").view_key(b"m1", &mut other);
    assert_ne!(key, other);
    assert_ne!(shape.digest(), compile("pseudonym/C/thu/1").digest());
}

/// Equal digests, same bytes: whatever decides a byte changes the digest, and nothing else does.
#[test]
fn a_digest_changes_with_what_decides_bytes_and_with_nothing_else() {
    let base = grant(vec![granted("ma"), granted("tinh")], KeyForm::Clear);
    let digest = |grant: &Grant| compile(grant).unwrap().digest();
    let fields = |fields: Vec<GrantedField>| Grant { fields, ..base.clone() };
    for same in [
        Grant { purpose: "Việc khác".into(), ..base.clone() },
        Grant { recipient: "C".parse().unwrap(), ..base.clone() },
        Grant { duration: "P1M".into(), id: "h".parse().unwrap(), ..base.clone() },
        fields(vec![granted("ma"), GrantedField { name: Some("tinh".into()), ..granted("tinh") }]),
    ] {
        assert_eq!(digest(&base), digest(&same));
    }
    for other in [
        fields(vec![granted("tinh"), granted("ma")]),
        fields(vec![granted("ma"), GrantedField { name: Some("Tinh".into()), ..granted("tinh") }]),
        fields(vec![granted("ma"), masked("tinh", Mask::Last(1))]),
        Grant { filter: Some("tinh == \"79\"".into()), ..base.clone() },
        Grant { key: KeyForm::Pseudonym, ..base.clone() },
    ] {
        assert_ne!(digest(&base), digest(&other));
    }
}
