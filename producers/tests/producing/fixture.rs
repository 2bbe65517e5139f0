//! One contract that has a field of every kind which formats treat differently, and helpers to read it.

use std::collections::BTreeMap;

use kenh_domain::admit::Rules;
use kenh_domain::contract::{CodeList, CodeListUse, Contract, FieldRules, Provider, SchemaVersion};
use kenh_domain::envelope::Event;
use kenh_domain::names::Agency;
use kenh_domain::rule::Rejection;
use kenh_domain::wire::SchemaId;
use kenh_producers::check::Ready;
use kenh_producers::{Checker, Defaults, Format, Item, Mapping, open};
use kenh_testkit::builders;

pub const SCHEMA: &str = r#"{"type":"record","name":"HoSo","fields":[
    {"name":"Ma","type":"string"},
    {"name":"Tu","type":{"type":"int","logicalType":"date"}},
    {"name":"Ten","type":"string"},
    {"name":"Cap","type":"int"},
    {"name":"Loai","type":{"type":"enum","name":"Loai","symbols":["full","partial"]}},
    {"name":"DienTich","type":["null","double"],"default":null},
    {"name":"Gia","type":["null",{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}],"default":null},
    {"name":"Mo","type":["null","boolean"],"default":null},
    {"name":"NoiO","type":["null",{"type":"record","name":"NoiO","fields":[
        {"name":"MaXa","type":"string"},
        {"name":"Den","type":["null",{"type":"int","logicalType":"date"}],"default":null}]}],"default":null},
    {"name":"MST","type":["null","string"],"default":null},
    {"name":"SoDinhDanh","type":["null","string"],"default":null},
    {"name":"VanBan","type":{"type":"array","items":"string"},"default":[]}]}"#;

/// 2025-10-09 15:53:20 in Việt Nam.
pub const CLOCK: i64 = 1_760_000_000_000;

pub const RECORD: SchemaId = SchemaId(10);
pub const ENVELOPE: SchemaId = SchemaId(11);

/// A good record; its key is `["00001","2025-07-01"]`.
pub const GOOD: &str = r#"{"Ma":"00001","Tu":"2025-07-01","Ten":"Phường Sài Gòn","Cap":3,"Loai":"full","DienTich":3.04,
    "Gia":"12.50","Mo":true,"NoiO":{"MaXa":"26740","Den":null},"MST":"0100109106","VanBan":["12/NQ"]}"#;
pub const GOOD_KEY: &str = r#"["00001","2025-07-01"]"#;

pub fn contract() -> Contract {
    let element = |element: &str| FieldRules { element: Some(element.into()), ..Default::default() };
    let list = CodeListUse { list: "xa".into(), ..Default::default() };
    let fields: BTreeMap<String, FieldRules> = [
        ("Ten".to_owned(), FieldRules { required: true, ..Default::default() }),
        ("MST".to_owned(), element("tax-code")),
        ("SoDinhDanh".to_owned(), element("personal-id")),
        ("NoiO.MaXa".to_owned(), FieldRules { code_list: Some(list), ..Default::default() }),
    ]
    .into();
    let provider = |name: &str, rows: Option<&str>| Provider { agency: agency(name), rows: rows.map(str::to_owned) };
    Contract {
        partitions: 3,
        key: vec!["Ma".into(), "Tu".into()],
        providers: vec![provider("G01", None), provider("G02", Some("Cap == 1"))],
        schemas: vec![SchemaVersion { version: 1, id: RECORD, schema: SCHEMA.into(), envelope_id: ENVELOPE }],
        fields,
        code_lists: [("xa".to_owned(), CodeList::Frozen(vec!["26740".to_owned()]))].into(),
        terms: kenh_domain::contract::Terms::default(),
        ..builders::contract("ho-so", "G01")
    }
}

pub fn rules() -> Rules {
    Rules::compile(&contract()).unwrap()
}

pub fn agency(name: &str) -> Agency {
    Agency::new(name).unwrap()
}

pub const DEFAULTS: Defaults = Defaults { event: Event::New, version: 7, updated_ms: CLOCK };

/// Every item of a source.
pub fn items(rules: &Rules, format: Format, bytes: &[u8], mapping: Option<&Mapping>) -> Vec<Item> {
    let mut source = open(format, Box::new(std::io::Cursor::new(bytes.to_vec())), rules, mapping).unwrap();
    let mut out = Vec::new();
    while let Some(item) = source.next().unwrap() {
        assert_eq!(item.number, out.len() as u64 + 1);
        out.push(item);
    }
    out
}

/// Every item of a source, checked for `provider`.
pub fn checked_as(
    provider: &str,
    format: Format,
    bytes: &[u8],
    mapping: Option<&Mapping>,
) -> Vec<Result<Ready, Vec<Rejection>>> {
    let rules = rules();
    let mut checker = Checker::new(&rules, agency(provider), DEFAULTS);
    let items = items(&rules, format, bytes, mapping);
    items.into_iter().map(|i| i.change.and_then(|c| checker.check("s", i.number, &c, CLOCK))).collect()
}

/// Every item of a source, checked for the first provider.
pub fn checked(format: Format, bytes: &[u8]) -> Vec<Result<Ready, Vec<Rejection>>> {
    checked_as("G01", format, bytes, None)
}

/// The rule and field by which the only bad record among `results` was rejected; it is the `at`-th (from 0), and first of
/// what is wrong with it.
pub fn only_bad(results: &[Result<Ready, Vec<Rejection>>], at: usize) -> (&'static str, String) {
    for (i, result) in results.iter().enumerate().filter(|(i, _)| *i != at) {
        assert!(result.is_ok(), "record {} was rejected: {:?}", i + 1, result);
    }
    let found = results[at].as_ref().expect_err("it was taken");
    (found[0].rule.code(), found[0].field.clone())
}
