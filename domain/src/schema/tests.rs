//! Against `apache-avro` on random schemas and values, and one case for each refused input.

use proptest::prelude::*;

use super::testing::{agrees, decode, encode, pick, record_and_value, schema};
use super::{BodyError, Fault, Schema, SchemaError, Spans, Value, put_long};
use crate::limits::{MAX_SCHEMA_DEPTH, MAX_SCHEMA_FIELDS};

/// As `apache-avro` writes it, when the value is one of the schema.
fn write(schema: &Schema, value: apache_avro::types::Value) -> Option<Vec<u8>> {
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema.avro()).build().unwrap();
    writer.write_value_to_vec(value).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_body_of_apache_avro_is_walked_and_read_back((ty, record) in record_and_value()) {
        let schema = schema(&ty);
        let body = write(&schema, record.clone()).unwrap();
        prop_assert_eq!(&encode(&record), &body, "the test's own encoder");
        let mut spans = Spans::new();
        prop_assert_eq!(schema.walk(&body, &mut spans), Ok(()));
        let followed = [&body[..], &[0x55; 3]].concat();
        prop_assert_eq!(schema.measure(&followed), Ok(body.len()));

        let mut at = 0;
        for (field, of) in schema.fields().iter().map(|f| (&f.name, pick(&record, &f.name))) {
            let path = schema.path(field).unwrap();
            let end = at + encode(of).len();
            prop_assert_eq!(schema.span(&spans, &path), Some(at..end), "{}", field);
            at = end;
        }
        for dotted in schema.paths() {
            let path = schema.path(&dotted).unwrap();
            let (ours, theirs) = (schema.value(&body, &spans, &path), pick(&record, &dotted));
            prop_assert!(agrees(ours, path.ty(), theirs), "{}: {:?} is not {:?}", dotted, ours, theirs);
        }
    }

    /// Whatever we take, `apache-avro` takes and reads alike. What it takes and we do not is never what it would write:
    /// it accepts padded numbers, numbers of more than 64 bits (it drops the rest), any stated size of a block, nulls
    /// for what is missing at the end, and other forms of a UUID.
    #[test]
    fn damaged_bytes_are_judged_as_by_apache_avro_or_more_strictly(
        (ty, record) in record_and_value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let schema = schema(&ty);
        let mut body = encode(&record);
        for (at, byte, how) in damage {
            let at = at.index(body.len() + 1);
            match how {
                0 => body.insert(at, byte),
                1 => body.truncate(at),
                2 if at < body.len() => { body.remove(at); }
                _ if at < body.len() => body[at] = byte,
                _ => body.push(byte),
            }
        }
        let mut spans = Spans::new();
        match (schema.walk(&body, &mut spans), decode(&schema, &body)) {
            (Ok(()), None) => prop_assert!(false, "taken by us alone: {:?}", body),
            (Ok(()), Some(theirs)) => {
                for dotted in schema.paths() {
                    let path = schema.path(&dotted).unwrap();
                    let ours = schema.value(&body, &spans, &path);
                    let same = agrees(ours, path.ty(), pick(&theirs, &dotted));
                    // NaN may come of damage, and is not equal to itself.
                    prop_assert!(same || matches!(ours, Value::Double(x) if x.is_nan()), "{}: {:?}", dotted, ours);
                }
            }
            (Err(error), Some(theirs)) => {
                let lax = [Fault::Overlong, Fault::Overflow, Fault::BlockSize, Fault::Truncated, Fault::Length,
                    Fault::Uuid, Fault::TooManyItems];
                prop_assert!(lax.contains(&error.fault), "{}", error);
                let rewritten = write(&schema, theirs);
                prop_assert!(error.fault == Fault::TooManyItems || rewritten != Some(body), "{}", error);
            }
            (Err(_), None) => {}
        }
    }

    #[test]
    fn any_bytes_at_all_are_taken_or_refused(
        (ty, _) in record_and_value(),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = schema(&ty).walk(&body, &mut Spans::new());
    }

    #[test]
    fn a_number_is_written_as_apache_avro_reads_it(n in any::<i64>()) {
        let schema = Schema::parse(r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}"#).unwrap();
        let mut body = Vec::new();
        put_long(n, &mut body);
        let theirs = decode(&schema, &body).unwrap();
        prop_assert_eq!(pick(&theirs, "n"), &apache_avro::types::Value::Long(n));
    }
}

fn one(ty: &str) -> Schema {
    Schema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{ty}}}]}}"#)).unwrap()
}

fn refused(ty: &str, body: &[u8], field: &str, fault: Fault) {
    let error = one(ty).walk(body, &mut Spans::new());
    assert_eq!(error, Err(BodyError { field: field.into(), fault }), "{ty} {body:?}");
}

#[test]
fn each_fault_is_named_with_its_field() {
    let nested = r#"{"type":"record","name":"N","fields":[{"name":"x","type":"int"},{"name":"y","type":"string"}]}"#;
    refused("\"long\"", &[], "a", Fault::Truncated);
    refused("\"long\"", &[0x80], "a", Fault::Truncated);
    refused("\"long\"", &[0x80, 0x00], "a", Fault::Overlong);
    refused("\"long\"", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a", Fault::Overflow);
    refused("\"long\"", &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], "a", Fault::Overflow);
    refused("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x10], "a", Fault::IntRange);
    refused("\"string\"", &[0x01], "a", Fault::Length);
    refused("\"bytes\"", &[0xfe, 0xff, 0xff, 0xff, 0x0f, 1], "a", Fault::Length);
    refused("\"string\"", &[4, 0xc3, 0x28], "a", Fault::Utf8);
    refused("\"boolean\"", &[2], "a", Fault::Boolean);
    refused("\"boolean\"", &[], "a", Fault::Truncated);
    refused("[\"null\",\"int\"]", &[4], "a", Fault::Branch);
    refused("[\"null\",\"int\"]", &[1], "a", Fault::Branch);
    refused("[\"null\",\"int\",\"string\"]", &[6], "a", Fault::Branch);
    refused(r#"{"type":"enum","name":"E","symbols":["x"]}"#, &[2], "a", Fault::Symbol);
    refused(r#"{"type":"array","items":"int"}"#, &[3, 2, 2, 2, 0], "a", Fault::BlockSize);
    refused(r#"{"type":"array","items":"null"}"#, &[0x80, 0x80, 0x80, 0x02, 0], "a", Fault::TooManyItems);
    refused(r#"{"type":"string","logicalType":"uuid"}"#, &[2, b'0'], "a", Fault::Uuid);
    refused("\"double\"", &[0; 7], "a", Fault::Truncated);
    refused("\"int\"", &[2, 2], "", Fault::Trailing);
    refused(nested, &[2, 2, 0xff], "a.y", Fault::Utf8);
    refused(&format!(r#"["null",{nested}]"#), &[2, 2, 2, 0xff], "a.y", Fault::Utf8);
    refused(&format!(r#"{{"type":"array","items":{nested}}}"#), &[2, 2, 2, 0xff], "a.y", Fault::Utf8);
}

#[test]
fn a_block_that_states_its_true_size_is_taken() {
    let schema = one(r#"{"type":"array","items":"int"}"#);
    assert_eq!(schema.walk(&[3, 4, 2, 2, 2, 2, 0], &mut Spans::new()), Ok(()));
}

#[test]
fn an_error_shows_the_field_and_no_value() {
    let error = one("\"string\"").walk(&[2, 0xff], &mut Spans::new()).unwrap_err();
    assert_eq!(error.to_string(), "field a: the text is not UTF-8");
}

#[test]
fn a_path_leads_through_nested_records_and_stops_at_arrays() {
    let schema = Schema::parse(
        r#"{"type":"record","name":"R","fields":[
            {"name":"Noi","type":["null",{"type":"record","name":"Dia","fields":[
                {"name":"MaTinh","type":"string"},{"name":"Tu","type":[{"type":"int","logicalType":"date"},"null"]}]}]},
            {"name":"Truoc","type":"Dia"},
            {"name":"Lich","type":{"type":"array","items":"Dia"}}]}"#,
    )
    .unwrap();
    assert_eq!(
        schema.paths(),
        ["Noi", "Noi.MaTinh", "Noi.Tu", "Truoc", "Truoc.MaTinh", "Truoc.Tu", "Lich"].map(str::to_owned)
    );
    let code = schema.path("Noi.MaTinh").unwrap();
    assert!(code.nullable() && code.under_nullable() && !code.ty().is_nullable());
    assert!(!schema.path("Truoc.MaTinh").unwrap().nullable());
    for none in ["", ".", "Noi.", "Lich.MaTinh", "Noi.MaTinh.x", "noi"] {
        assert!(schema.path(none).is_none(), "{none:?} was found");
    }
    assert_eq!(schema.nearest("Noi.Matinh").as_deref(), Some("Noi.MaTinh"));
    assert_eq!(schema.nearest("MaTinh").as_deref(), Some("Noi.MaTinh"));
    assert_eq!(schema.nearest("KhongCoGiNhuVay"), None);

    // Scratch that held another record shows nothing of it where this one is null.
    let mut spans = Spans::new();
    let full = [2, 4, b'7', b'9', 2, 4, b'0', b'1', 2, 0];
    schema.walk(&full, &mut spans).unwrap();
    assert_eq!(schema.value(&full, &spans, &code), Value::Text("79"));
    let null = [0, 4, b'0', b'1', 0, 10, 0];
    schema.walk(&null, &mut spans).unwrap();
    assert_eq!(schema.value(&null, &spans, &code), Value::Null);
    assert_eq!(schema.value(&null, &spans, &schema.path("Truoc.Tu").unwrap()), Value::Date(5));
}

#[test]
fn what_the_bus_cannot_carry_is_refused_with_its_field() {
    let field = |ty: &str| {
        Schema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{ty}}}]}}"#)).unwrap_err()
    };
    assert!(matches!(Schema::parse("{"), Err(SchemaError::Avro(_))));
    assert!(matches!(Schema::parse("\"int\""), Err(SchemaError::NotARecord)));
    assert!(matches!(field("[\"null\",\"R\"]"), SchemaError::Recursive { field, .. } if field == "a"));
    for ty in [
        r#"{"type":"bytes","logicalType":"big-decimal"}"#,
        r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
        r#"{"type":{"type":"fixed","name":"F","size":12},"logicalType":"duration"}"#,
        r#"{"type":{"type":"fixed","name":"F","size":8},"logicalType":"decimal","precision":4,"scale":1}"#,
    ] {
        assert!(matches!(field(ty), SchemaError::Unsupported { field, .. } if field == "a"), "{ty}");
    }
    let twice = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"fixed","name":"F","size":2}}]}"#;
    assert!(matches!(Schema::parse(twice), Err(SchemaError::Name { .. } | SchemaError::Avro(_))));
}

#[test]
fn depth_and_number_of_fields_are_bounded_also_through_names() {
    let deep = |levels: usize| {
        let open = r#"{"type":"array","items":"#.repeat(levels);
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{open}"int"{}}}]}}"#, "}".repeat(levels))
    };
    assert!(Schema::parse(&deep(MAX_SCHEMA_DEPTH - 1)).is_ok());
    assert!(matches!(Schema::parse(&deep(MAX_SCHEMA_DEPTH)), Err(SchemaError::TooDeep { .. })));
    assert!(Schema::parse(&deep(10_000)).is_err());

    let wide = |fields: usize| {
        let fields: Vec<String> = (0..fields).map(|i| format!(r#"{{"name":"f{i}","type":"int"}}"#)).collect();
        format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","))
    };
    assert!(Schema::parse(&wide(MAX_SCHEMA_FIELDS)).is_ok());
    assert!(matches!(Schema::parse(&wide(MAX_SCHEMA_FIELDS + 1)), Err(SchemaError::TooManyFields)));

    // Each record holds the one before twice: 2^12 fields in a short text.
    let mut ty = r#"{"type":"record","name":"N0","fields":[{"name":"x","type":"int"}]}"#.to_owned();
    for i in 1..12 {
        let before = i - 1;
        ty = format!(
            r#"{{"type":"record","name":"N{i}","fields":[{{"name":"l","type":{ty}}},{{"name":"r","type":"N{before}"}}]}}"#
        );
    }
    assert!(matches!(Schema::parse(&ty), Err(SchemaError::TooManyFields)));
}

/// As the specification's own transformation gives it: annotations gone, primitives simple, full names, defined once.
#[test]
fn the_canonical_form_is_the_specifications() {
    let text = r#"{ "namespace": "a.b", "name": "R", "type": "record", "doc": "x", "aliases": ["S"], "fields": [
        {"doc": "y", "name": "e", "default": "Y", "type": {"symbols": ["X", "Y"], "name": "E", "type": "enum"}},
        {"name": "d", "type": {"logicalType": "decimal", "type": "bytes", "precision": 6, "scale": 2}},
        {"name": "t", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
        {"name": "u", "order": "ignore", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "m", "type": {"type": "map", "values": ["E", "null"]}},
        {"name": "f", "type": {"type": "fixed", "name": "c.F", "size": 2}},
        {"name": "l", "type": {"items": {"type": "long"}, "type": "array"}}]}"#;
    let canonical = concat!(
        r#"{"name":"a.b.R","type":"record","fields":["#,
        r#"{"name":"e","type":{"name":"a.b.E","type":"enum","symbols":["X","Y"]}},"#,
        r#"{"name":"d","type":"bytes"},"#,
        r#"{"name":"t","type":["null","int"]},"#,
        r#"{"name":"u","type":"string"},"#,
        r#"{"name":"m","type":{"type":"map","values":["a.b.E","null"]}},"#,
        r#"{"name":"f","type":{"name":"c.F","type":"fixed","size":2}},"#,
        r#"{"name":"l","type":{"type":"array","items":"long"}}]}"#,
    );
    assert_eq!(Schema::parse(text).unwrap().canonical(), canonical);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the annotations were: read again, the form has the same form, and so the same fingerprint. Without
    /// annotations it is what `apache-avro` has for it.
    #[test]
    fn the_canonical_form_is_its_own((ty, _) in record_and_value()) {
        let schema = schema(&ty);
        let again = Schema::parse(schema.canonical()).unwrap();
        prop_assert_eq!(again.canonical(), schema.canonical());
        prop_assert_eq!(again.fingerprint(), schema.fingerprint());
        prop_assert_eq!(again.avro().canonical_form(), schema.canonical());
    }
}
