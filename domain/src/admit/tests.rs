//! The version rule as a golden table, and one refused input for each rule that admission knows.

use std::collections::BTreeMap;

mod beside;

use super::*;
use crate::contract::{CodeList, CodeListDataset, CodeListUse, FieldRules, Provider, SchemaVersion};
use crate::names::Dataset;
use crate::rule::Lang;

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"id","type":"string"},
    {"name":"name","type":"string"},
    {"name":"unit","type":["null","string"],"default":null},
    {"name":"since","type":{"type":"int","logicalType":"date"}},
    {"name":"rank","type":"int"},
    {"name":"tags","type":{"type":"array","items":"string"}}]}"#;

const ENVELOPE: SchemaId = SchemaId(11);
const RECORD: SchemaId = SchemaId(10);

fn contract() -> Contract {
    let mut fields = BTreeMap::new();
    let mut rule = |path: &str, rules: FieldRules| fields.insert(path.to_owned(), rules);
    rule("id", FieldRules { element: Some("tax-code".into()), ..Default::default() });
    rule(
        "name",
        FieldRules { required: true, max_length: Some(5), pattern: Some("[^!]*".into()), ..Default::default() },
    );
    let list = CodeListUse { list: "units".into(), with: Some("since".into()), on: None };
    rule("unit", FieldRules { code_list: Some(list), ..Default::default() });
    rule("since", FieldRules { minimum: Some("2000-01-01".into()), ..Default::default() });
    let values = Some(vec!["1".into(), "2".into(), "9".into()]);
    rule("rank", FieldRules { values, maximum: Some("8".into()), ..Default::default() });
    Contract {
        dataset: Dataset::new("d").unwrap(),
        version: "1".into(),
        owner: Agency::new("G01").unwrap(),
        description: String::new(),
        partitions: 4,
        key: vec!["id".into()],
        providers: vec![
            Provider { agency: Agency::new("G01").unwrap(), rows: None },
            Provider { agency: Agency::new("G02").unwrap(), rows: Some("rank == 2".into()) },
        ],
        version_source: VersionSource::Provider,
        max_version_step: Some(10),
        effective: Effective::AtOnce,
        open: false,
        synthetic: true,
        schemas: vec![SchemaVersion { version: 1, id: RECORD, schema: SCHEMA.into(), envelope_id: ENVELOPE }],
        fields,
        code_lists: [("units".to_owned(), CodeList::Frozen(vec!["00001@2025-07-01".to_owned()]))].into(),
        terms: crate::contract::Terms::default(),
    }
}

struct Row<'a> {
    id: &'a str,
    name: &'a str,
    unit: Option<&'a str>,
    since: &'a str,
    rank: i64,
    tag: &'a str,
}

const GOOD: Row<'_> =
    Row { id: "0100109106", name: "Tên", unit: Some("00001"), since: "2025-07-01", rank: 1, tag: "t" };

fn body(row: &Row<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    envelope::put_text(row.id, &mut out);
    envelope::put_text(row.name, &mut out);
    match row.unit {
        None => out.push(0),
        Some(unit) => {
            out.push(2);
            envelope::put_text(unit, &mut out);
        }
    }
    envelope::put_long(date::parse(row.since).unwrap().into(), &mut out);
    envelope::put_long(row.rank, &mut out);
    out.push(2);
    envelope::put_text(row.tag, &mut out);
    out.push(0);
    out
}

const CLOCK: i64 = 1_760_000_000_000;

fn value(change: &Submitted<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_header(ENVELOPE, &mut out);
    envelope::encode(change, &mut out);
    out
}

/// Reads a row as `provider` would have sent it, in the right partition.
fn read(provider: &str, row: &Row<'_>) -> Result<(), Rejection> {
    let body = body(row);
    let value = value(&Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&body)));
    send(provider, row.id.as_bytes(), &value, 0)
}

fn send(provider: &str, key: &[u8], value: &[u8], shift: u32) -> Result<(), Rejection> {
    let rules = Rules::compile(&contract()).unwrap();
    let partition = Partition((key::partition(key, 4).0 + shift) % 4);
    let mut spans = Spans::new();
    rules.read(&Agency::new(provider).unwrap(), partition, key, value, AsOf::strict(CLOCK), &mut spans).map(|_| ())
}

#[test]
fn a_good_change_is_read() {
    assert_eq!(read("G01", &GOOD), Ok(()));
    assert_eq!(read("G01", &Row { unit: None, ..GOOD }), Ok(()));
}

#[test]
fn each_field_rule_refuses_its_own() {
    let cases: &[(Row<'_>, Rule, &str)] = &[
        (Row { id: "", ..GOOD }, Rule::MissingKey, "id"),
        (Row { id: "0100109107", ..GOOD }, Rule::CheckDigit, "id"),
        (Row { name: "", ..GOOD }, Rule::Required, "name"),
        (Row { name: "abcdef", ..GOOD }, Rule::MaxLength, "name"),
        (Row { name: "a!", ..GOOD }, Rule::Pattern, "name"),
        (Row { name: "e\u{301}", ..GOOD }, Rule::NotNfc, "name"),
        (Row { tag: "e\u{301}", ..GOOD }, Rule::NotNfc, "tags"),
        (Row { unit: Some("00002"), ..GOOD }, Rule::CodeList, "unit"),
        (Row { since: "2025-07-02", ..GOOD }, Rule::CodeList, "unit"),
        (Row { since: "1999-12-31", unit: None, ..GOOD }, Rule::Minimum, "since"),
        (Row { rank: 3, ..GOOD }, Rule::Values, "rank"),
        (Row { rank: 9, ..GOOD }, Rule::Maximum, "rank"),
    ];
    for (row, rule, field) in cases {
        assert_eq!(read("G01", row).map_err(|r| (r.rule, r.field)), Err((*rule, (*field).to_owned())));
    }
}

#[test]
fn an_offline_check_shows_all_violations() {
    let rules = Rules::compile(&contract()).unwrap();
    let bad = body(&Row { id: "x", name: "", rank: 9, ..GOOD });
    let found = rules.check_record(&bad, RECORD, (Relaxed::NONE, &CodeLists::NotAsked), &mut Spans::new());
    assert!(found.warnings.is_empty());
    let found: Vec<_> = found.rejections.into_iter().map(|r| r.rule).collect();
    assert_eq!(found, [Rule::Element, Rule::Required, Rule::Maximum]);
}

fn relaxing(rules: &[(Rule, Option<&str>)]) -> Relaxed {
    rules.iter().map(|(rule, field)| (*rule, field.map(Into::into))).collect()
}

/// What becomes of a row by G01 while rules are relaxed: the warnings, or the first rule that refuses it.
fn read_relaxed(row: &Row<'_>, relaxed: &Relaxed) -> Result<Vec<Rule>, Rule> {
    let body = body(row);
    let value = value(&Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&body)));
    let rules = Rules::compile(&contract()).unwrap();
    let (provider, key) = (Agency::new("G01").unwrap(), row.id.as_bytes());
    let as_of = AsOf { relaxed, ..AsOf::strict(CLOCK) };
    let mut spans = Spans::new();
    let read = rules.read(&provider, key::partition(key, 4), key, &value, as_of, &mut spans);
    read.map(|c| c.warnings).map_err(|r| r.rule)
}

#[test]
fn a_relaxed_rule_warns_for_its_field_and_every_other_still_refuses() {
    let bad = Row { unit: Some("00002"), rank: 9, ..GOOD };
    let list = (Rule::CodeList, None);
    assert_eq!(read_relaxed(&bad, Relaxed::NONE), Err(Rule::Maximum));
    assert_eq!(read_relaxed(&bad, &relaxing(&[list])), Err(Rule::Maximum));
    let both = relaxing(&[list, (Rule::Maximum, Some("rank"))]);
    assert_eq!(read_relaxed(&bad, &both), Ok(vec![Rule::Maximum, Rule::CodeList]));
    assert_eq!(read_relaxed(&GOOD, &both), Ok(vec![]));
    assert_eq!(read_relaxed(&bad, &relaxing(&[list, (Rule::Maximum, Some("since"))])), Err(Rule::Maximum));
    // Many violations that warn do not hide one that refuses.
    let tags = Row { tag: "e\u{301}", ..bad };
    assert_eq!(read_relaxed(&tags, &both), Err(Rule::NotNfc));
    let rules = Rules::compile(&contract()).unwrap();
    let found = rules.check_record(&body(&tags), RECORD, (&both, CodeLists::NONE), &mut Spans::new());
    assert_eq!(found.rejections.iter().map(|r| r.rule).collect::<Vec<_>>(), [Rule::NotNfc]);
    assert_eq!(found.warnings, [Rule::Maximum, Rule::CodeList]);
}

/// Whatever is said to be relaxed (a fold would refuse it before): the key, the schema and recipients' rows stay.
#[test]
fn what_is_never_relaxed_still_refuses_when_everything_is() {
    let all: Vec<_> = Rule::ALL.iter().map(|rule| (*rule, None)).collect();
    let all = relaxing(&all);
    for (row, rule) in [
        (Row { id: "", ..GOOD }, Rule::MissingKey),
        (Row { id: "0100109107", ..GOOD }, Rule::CheckDigit),
        (Row { id: "x", ..GOOD }, Rule::Element),
        (Row { name: "", ..GOOD }, Rule::Required),
        (Row { name: "e\u{301}", ..GOOD }, Rule::NotNfc),
    ] {
        assert_eq!(read_relaxed(&row, &all), Err(rule));
    }
    let rules = Rules::compile(&contract()).unwrap();
    let good = body(&GOOD);
    let change = Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&good));
    let (g01, g02) = (Agency::new("G01").unwrap(), Agency::new("G02").unwrap());
    let key = GOOD.id.as_bytes();
    let refused = |provider: &Agency, key: &[u8], change: &Submitted<'_>| {
        let value = value(change);
        let as_of = AsOf { relaxed: &all, ..AsOf::strict(CLOCK) };
        let read = rules.read(provider, key::partition(key, 4), key, &value, as_of, &mut Spans::new());
        read.map(|_| ()).unwrap_err().rule
    };
    assert_eq!(refused(&g02, key, &change), Rule::NotItsRows);
    assert_eq!(refused(&g01, b"other", &change), Rule::KeyMismatch);
    assert_eq!(refused(&g01, key, &Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&good[1..]))), Rule::Avro);
    assert_eq!(refused(&g01, key, &Submitted { version: 0, ..change }), Rule::VersionLow);
    assert_eq!(refused(&g01, key, &Submitted { updated_ms: i64::MAX, ..change }), Rule::UpdatedInFuture);
    assert_eq!(refused(&g01, key, &Submitted { effective_days: Some(i32::MAX), ..change }), Rule::EffectiveInFuture);
}

#[test]
fn who_where_and_when_are_checked() {
    let good = body(&GOOD);
    let change = Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&good));
    let key = GOOD.id.as_bytes();
    let rule = |result: Result<(), Rejection>| result.map_err(|r| r.rule);
    assert_eq!(rule(read("G03", &GOOD)), Err(Rule::NotProvider));
    assert_eq!(rule(read("G02", &GOOD)), Err(Rule::NotItsRows));
    assert_eq!(rule(read("G02", &Row { rank: 2, ..GOOD })), Ok(()));
    assert_eq!(rule(send("G01", key, &value(&change), 1)), Err(Rule::WrongPartition));
    assert_eq!(rule(send("G01", b"other", &value(&change), 0)), Err(Rule::KeyMismatch));
    assert_eq!(rule(send("G01", key, b"{}", 0)), Err(Rule::WireFormat));
    let mut foreign = value(&change);
    foreign[4] = 99;
    assert_eq!(rule(send("G01", key, &foreign, 0)), Err(Rule::UnknownSchema));
    let damaged = Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&good[1..]));
    assert_eq!(rule(send("G01", key, &value(&damaged), 0)), Err(Rule::Avro));
    let cancel = Submitted::new("s", 1, Event::Cancel, 2, CLOCK, None);
    assert_eq!(rule(send("G01", key, &value(&cancel), 0)), Ok(()));
    assert_eq!(rule(send("G01", b"", &value(&cancel), 0)), Err(Rule::MissingKey));
    assert_eq!(rule(send("G01", &[0xff; 4], &value(&cancel), 0)), Err(Rule::MissingKey));
    assert_eq!(rule(send("G01", &[b'k'; 2000], &value(&cancel), 0)), Err(Rule::KeyTooLong));
    assert_eq!(rule(send("G01", key, &value(&Submitted { version: 0, ..change }), 0)), Err(Rule::VersionLow));
    let late = Submitted { updated_ms: CLOCK + MAX_CLOCK_SKEW_MS + 1, ..change };
    assert_eq!(rule(send("G01", key, &value(&late), 0)), Err(Rule::UpdatedInFuture));
    // 2025-10-09 15:53:20 in Việt Nam.
    let on = |day: &str| Submitted { effective_days: date::parse(day), ..change };
    assert_eq!(rule(send("G01", key, &value(&on("2025-10-09")), 0)), Ok(()));
    assert_eq!(rule(send("G01", key, &value(&on("2025-10-10")), 0)), Err(Rule::EffectiveInFuture));
    assert_eq!(rule(send("G01", key, &vec![0; MAX_RECORD_BYTES + 1], 0)), Err(Rule::TooLarge));
}

/// Every case of the version rule: (who, epoch, version, content) against a standing (G01, epoch 1, version 5, content 7).
#[test]
fn the_version_rule() {
    let reject = |rule| Err(Some(rule));
    let table = [
        ("G01", 1, 6, 8, Ok(())),
        ("G01", 1, 6, 7, Ok(())),
        ("G01", 1, 15, 8, Ok(())),
        ("G01", 1, 16, 8, reject(Rule::VersionJump)),
        ("G01", 1, 5, 7, Err(None)),
        ("G01", 1, 5, 8, reject(Rule::VersionConflict)),
        ("G01", 1, 4, 7, Err(None)),
        ("G01", 2, 1, 7, Ok(())),
        ("G01", 2, 900, 8, Ok(())),
        ("G01", 0, 900, 8, Err(None)),
        ("G02", 1, 6, 8, reject(Rule::NotOwner)),
        ("G02", 1, 5, 7, reject(Rule::NotOwner)),
        ("G02", 1, 4, 7, reject(Rule::NotOwner)),
    ];
    let rules = Rules::compile(&contract()).unwrap();
    let owner = Agency::new("G01").unwrap();
    let known = Known { owner: &owner, version: Version { epoch: 1, version: 5 }, content: 7 };
    for (who, epoch, version, content, wanted) in table {
        let candidate = Candidate {
            submitted: Submitted::new("s", 1, Event::Update, version, 0, Some(&[])),
            key: b"k",
            schema: Some(RECORD),
            provider: Agency::new(who).unwrap(),
            warnings: vec![],
        };
        let got = match decide(&rules, &candidate, epoch, Some(&known), content) {
            Verdict::Admit(v) => {
                assert_eq!((v.epoch, i64::try_from(v.version).unwrap()), (epoch, version));
                Ok(())
            }
            Verdict::Repeated | Verdict::Stale => Err(None),
            Verdict::Reject(r) => Err(Some(r.rule)),
        };
        assert_eq!(got, wanted, "{who} epoch {epoch} version {version} content {content}");
        assert_eq!(
            decide(&rules, &candidate, epoch, None, content),
            Verdict::Admit(Version { epoch, version: version.unsigned_abs() })
        );
    }
}

#[test]
fn where_kenh_assigns_versions_other_content_is_the_next() {
    let rules = Rules::compile(&Contract { version_source: VersionSource::Assigned, ..contract() }).unwrap();
    let owner = Agency::new("G01").unwrap();
    let known = Known { owner: &owner, version: Version { epoch: 0, version: 5 }, content: 7 };
    let candidate = Candidate {
        submitted: Submitted::new("s", 1, Event::Update, 0, 0, Some(&[])),
        key: b"k",
        schema: Some(RECORD),
        provider: owner.clone(),
        warnings: vec![],
    };
    assert_eq!(decide(&rules, &candidate, 0, Some(&known), 7), Verdict::Repeated);
    assert_eq!(decide(&rules, &candidate, 0, Some(&known), 8), Verdict::Admit(Version { epoch: 0, version: 6 }));
    assert_eq!(decide(&rules, &candidate, 0, None, 8), Verdict::Admit(Version { epoch: 0, version: 1 }));
}

/// The unit of [`GOOD`] as the records of a dataset: first borne until the end of June 2025, and again from July.
fn on_the_bus(list: &CodeListDataset, used: CodeListUse) -> (Rules, CodeLists) {
    let mut contract = contract();
    contract.code_lists = [("units".to_owned(), CodeList::Dataset(list.clone()))].into();
    contract.fields.get_mut("unit").unwrap().code_list = Some(used);
    let of = Contract {
        dataset: list.dataset.clone(),
        partitions: 1,
        open: true,
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        providers: Vec::new(),
        ..contract.clone()
    };
    // The same schema serves: `unit` is the code, `since` its first day.
    let records = [body(&Row { since: "2025-07-01", ..GOOD }), body(&Row { id: "2", since: "2004-01-01", ..GOOD })];
    let codes = crate::codes::CodesReader::compile(list, &of).unwrap();
    let codes = codes.read(records.iter().map(|body| (RECORD, &body[..]))).unwrap();
    let known = CodeLists::Known([("units".to_owned(), std::sync::Arc::new(codes))].into());
    (Rules::compile(&contract).unwrap(), known)
}

#[test]
fn a_code_list_on_the_bus_is_asked_as_the_marker_names_it() {
    let list = CodeListDataset {
        dataset: Dataset::new("units").unwrap(),
        code: "unit".into(),
        from: Some("since".into()),
        to: None,
        rows: None,
    };
    let read = |(rules, lists): &(Rules, CodeLists), row: &Row<'_>| {
        let body = body(row);
        let value = value(&Submitted::new("s", 1, Event::New, 1, CLOCK, Some(&body)));
        let as_of = AsOf { lists, ..AsOf::strict(CLOCK) };
        let partition = key::partition(row.id.as_bytes(), 4);
        let (provider, mut spans) = (Agency::new("G01").unwrap(), Spans::new());
        rules.read(&provider, partition, row.id.as_bytes(), &value, as_of, &mut spans).map(|_| ()).map_err(|r| r.rule)
    };
    let refused = Err(Rule::CodeList);
    let alone = on_the_bus(&list, CodeListUse { list: "units".into(), ..Default::default() });
    assert_eq!(read(&alone, &GOOD), Ok(()));
    assert_eq!(read(&alone, &Row { since: "2001-01-01", ..GOOD }), Ok(()), "no day is asked");
    assert_eq!(read(&alone, &Row { unit: Some("00002"), ..GOOD }), refused);
    assert_eq!(read(&alone, &Row { unit: None, ..GOOD }), Ok(()));
    let with = on_the_bus(&list, CodeListUse { list: "units".into(), with: Some("since".into()), on: None });
    for (since, wanted) in [("2004-01-01", Ok(())), ("2025-07-01", Ok(())), ("2025-07-02", refused)] {
        assert_eq!(read(&with, &Row { since, ..GOOD }), wanted, "first day {since}");
    }
    let on = on_the_bus(&list, CodeListUse { list: "units".into(), with: None, on: Some("since".into()) });
    for (since, wanted) in [("2003-12-31", refused), ("2004-01-01", Ok(())), ("2030-01-01", Ok(()))] {
        assert_eq!(read(&on, &Row { since, ..GOOD }), wanted, "on {since}");
    }
    // What a marker does not name has no code; who cannot read it leaves it to the router.
    let (rules, _) = on;
    assert_eq!(read(&(rules, CodeLists::NONE.clone()), &GOOD), refused);
    let (rules, _) = on_the_bus(&list, CodeListUse { list: "units".into(), ..Default::default() });
    let row = body(&Row { unit: Some("00002"), ..GOOD });
    assert_eq!(
        rules.check_record(&row, RECORD, (Relaxed::NONE, &CodeLists::NotAsked), &mut Spans::new()),
        Found::default()
    );
}

#[test]
fn a_use_of_a_code_list_that_means_nothing_is_refused_by_name() {
    let dataset = |from: Option<&str>| {
        CodeList::Dataset(CodeListDataset {
            dataset: Dataset::new("units").unwrap(),
            code: "unit".into(),
            from: from.map(str::to_owned),
            to: None,
            rows: None,
        })
    };
    let frozen = CodeList::Frozen(vec!["00001".into()]);
    for (codes, with, on, part) in [
        (&frozen, None, Some("since"), "is frozen and knows no days"),
        (&frozen, Some("since"), Some("since"), "keep one of the two"),
        (&dataset(Some("since")), Some("name"), None, "is a string and no date"),
        (&dataset(Some("since")), None, Some("rank"), "is an int and no date"),
        (&dataset(None), Some("since"), None, "does not say from which day"),
        (&dataset(None), None, Some("since"), "does not say from which day"),
        (&dataset(Some("since")), None, Some("nope"), "no field \"nope\""),
    ] {
        let mut contract = contract();
        contract.code_lists.insert("units".into(), codes.clone());
        let text = |path: Option<&str>| path.map(str::to_owned);
        let used = CodeListUse { list: "units".into(), with: text(with), on: text(on) };
        contract.fields.get_mut("unit").unwrap().code_list = Some(used);
        let error = Rules::compile(&contract).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_contract_that_cannot_be_enforced_is_refused_by_name() {
    let with = |change: &dyn Fn(&mut Contract)| {
        let mut contract = contract();
        change(&mut contract);
        Rules::compile(&contract).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(with(&|c| c.key = vec!["nope".into()]).contains("no field nope"));
    assert!(with(&|c| c.key = vec!["unit".into()]).contains("unit cannot be part of the record key"));
    assert!(with(&|c| drop(c.fields.insert("nope".into(), FieldRules::default()))).contains("no field nope"));
    let element = FieldRules { element: Some("x".into()), ..Default::default() };
    assert!(with(&|c| drop(c.fields.insert("name".into(), element.clone()))).contains("no data element"));
    let pattern = FieldRules { pattern: Some("(".into()), ..Default::default() };
    assert!(with(&|c| drop(c.fields.insert("name".into(), pattern.clone()))).contains("regular expression"));
    // A rule on a type that it is never looked at for would be believed to hold.
    let on = |path: &'static str, rules: FieldRules| with(&move |c| drop(c.fields.insert(path.into(), rules.clone())));
    let list = Some(CodeListUse { list: "units".into(), ..Default::default() });
    for (path, rules, part) in [
        (
            "rank",
            FieldRules { max_length: Some(3), ..Default::default() },
            "an int and has a greatest length, which is for texts",
        ),
        ("name", FieldRules { minimum: Some("1".into()), ..Default::default() }, "a string and has a minimum"),
        ("name", FieldRules { maximum: Some("1".into()), ..Default::default() }, "a string and has a maximum"),
        ("since", FieldRules { pattern: Some("2.*".into()), ..Default::default() }, "a date and has a pattern"),
        ("since", FieldRules { values: Some(vec![]), ..Default::default() }, "a date and has a list of values"),
        ("since", FieldRules { element: Some("sex".into()), ..Default::default() }, "a date and has a data element"),
        ("since", FieldRules { minimum: Some("1".into()), ..Default::default() }, "neither a number nor, for a date"),
        ("tags", FieldRules { minimum: Some("1".into()), ..Default::default() }, "an array and has a minimum"),
        ("tags", FieldRules { code_list: list, ..Default::default() }, "an array and has a code list"),
    ] {
        assert!(on(path, rules).contains(part), "{path}: {part}");
    }
    assert_eq!(on("tags", FieldRules { max_length: Some(9), ..Default::default() }), "", "it holds for every item");
    assert!(with(&|c| c.code_lists.clear()).contains("no code list"));
    assert!(with(&|c| c.providers[1].rows = Some("nope == 1".into())).contains("G02"));
}
