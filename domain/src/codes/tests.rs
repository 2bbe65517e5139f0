//! Codes of a list whose units bear them one after the other, and what a contract says of a list that cannot be.

use super::*;
use crate::contract::SchemaVersion;
use crate::date;
use crate::envelope::{put_long, put_text};
use crate::names::{Agency, Dataset};

const ID: SchemaId = SchemaId(4);

const SCHEMA: &str = r#"{"type":"record","name":"DonVi","fields":[
    {"name":"Ma","type":"string"},
    {"name":"Cap","type":"int"},
    {"name":"HieuLucTu","type":{"type":"int","logicalType":"date"}},
    {"name":"HieuLucDen","type":["null",{"type":"int","logicalType":"date"}],"default":null}]}"#;

fn contract() -> Contract {
    Contract {
        dataset: Dataset::new("don-vi").unwrap(),
        version: "1".into(),
        owner: Agency::new("G09").unwrap(),
        description: String::new(),
        partitions: 1,
        key: vec!["Ma".into(), "HieuLucTu".into()],
        providers: Vec::new(),
        version_source: Default::default(),
        max_version_step: None,
        effective: Default::default(),
        open: true,
        synthetic: false,
        schemas: vec![SchemaVersion { version: 1, id: ID, schema: SCHEMA.into(), envelope_id: SchemaId(5) }],
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: Default::default(),
    }
}

fn list() -> CodeListDataset {
    CodeListDataset {
        dataset: Dataset::new("don-vi").unwrap(),
        code: "Ma".into(),
        from: Some("HieuLucTu".into()),
        to: Some("HieuLucDen".into()),
        rows: Some("Cap == 3".into()),
    }
}

fn day(text: &str) -> i32 {
    date::parse(text).unwrap()
}

fn unit(code: &str, level: i64, from: &str, to: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(code, &mut out);
    put_long(level, &mut out);
    put_long(day(from).into(), &mut out);
    match to {
        None => out.push(0),
        Some(to) => {
            out.push(2);
            put_long(day(to).into(), &mut out);
        }
    }
    out
}

#[test]
fn a_code_is_in_force_from_its_first_to_its_last_day() {
    let records = [
        unit("00001", 3, "2004-01-01", Some("2025-06-30")),
        unit("00001", 3, "2025-07-01", None),
        unit("00002", 3, "2004-01-01", Some("2025-06-30")),
        unit("79", 1, "2004-01-01", None),
    ];
    let reader = CodesReader::compile(&list(), &contract()).unwrap();
    let codes = reader.read(records.iter().map(|body| (ID, &body[..]))).unwrap();
    assert_eq!(codes.len(), 2);
    // A province is no commune.
    assert!(codes.has("00001") && codes.has("00002") && !codes.has("79") && !codes.has("00003"));
    for (code, on, there) in [
        ("00001", "2003-12-31", false),
        ("00001", "2004-01-01", true),
        ("00001", "2025-06-30", true),
        ("00001", "2025-07-01", true),
        ("00001", "2999-01-01", true),
        ("00002", "2025-06-30", true),
        ("00002", "2025-07-01", false),
        ("00003", "2025-07-01", false),
    ] {
        assert_eq!(codes.in_force(code, day(on)), there, "{code} on {on}");
    }
    assert!(codes.starts("00001", day("2004-01-01")) && codes.starts("00001", day("2025-07-01")));
    assert!(!codes.starts("00001", day("2025-07-02")) && !codes.starts("00002", day("2025-07-01")));
}

#[test]
fn a_list_without_days_holds_on_every_day() {
    let list = CodeListDataset { from: None, to: None, rows: None, ..list() };
    let records = [unit("79", 1, "2004-01-01", Some("2004-01-02"))];
    let codes = CodesReader::compile(&list, &contract()).unwrap();
    let codes = codes.read(records.iter().map(|body| (ID, &body[..]))).unwrap();
    assert!(codes.in_force("79", i32::MIN) && codes.in_force("79", i32::MAX));
}

#[test]
fn what_is_no_list_is_refused_by_name() {
    let refused = |list: &CodeListDataset, contract: &Contract| {
        let error = CodesReader::compile(list, contract).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {cause}")
    };
    let with = |list: CodeListDataset| refused(&list, &contract());
    assert!(
        with(CodeListDataset { code: "Nope".into(), ..list() })
            .contains("Nope of don-vi, schema version 1, is no field")
    );
    assert!(
        with(CodeListDataset { code: "HieuLucTu".into(), ..list() }).contains("is a date; a code list needs a text")
    );
    assert!(
        with(CodeListDataset { from: Some("Ma".into()), ..list() }).contains("is a string; a code list needs a date")
    );
    assert!(with(CodeListDataset { to: Some("Cap".into()), ..list() }).contains("is an int; a code list needs a date"));
    assert!(with(CodeListDataset { rows: Some("Nope == 1".into()), ..list() }).contains("Nope"));
    assert!(refused(&list(), &Contract { open: false, ..contract() }).contains("not open"));
    assert!(refused(&list(), &Contract { partitions: 2, ..contract() }).contains("2 partitions"));
}

#[test]
fn a_record_that_is_not_of_the_contract_is_an_error_and_no_code() {
    let reader = CodesReader::compile(&list(), &contract()).unwrap();
    let body = unit("00001", 3, "2004-01-01", None);
    assert!(matches!(reader.read([(SchemaId(9), &body[..])]), Err(CodesError::Unknown { .. })));
    assert!(matches!(reader.read([(ID, &body[..3])]), Err(CodesError::Body { .. })));
}
