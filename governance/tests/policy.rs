//! The shipped policy as one table: which recipient sees which field of which rows.
//!
//! It is measured, not read off the grants: each field of a record is changed in turn, and what changes in each
//! recipient's projection is what that recipient learns of it. The table is compared with `golden/policy.md`, so that a
//! change of a grant, a contract or the projector that shows anybody more, or less, is seen in review.
//! `KENH_WRITE_GOLDEN=1 cargo test -p kenh-governance --test policy` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_domain::contract::Contract;
use kenh_domain::control::{Activation, ControlSet, ViewEntry};
use kenh_domain::filter::Filter;
use kenh_domain::grant::Grant;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::schema::{Schema, Spans, Type};
use kenh_domain::secret::Secret;
use kenh_domain::shape::{InForce, Shape};
use kenh_domain::wire::SchemaId;
use kenh_governance::{plan, read};

const NOW_MS: i64 = 1_795_500_000_000; // 2026-11-24: the law that the grants rest on is in force

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The control set that applying everything shipped gives.
fn shipped() -> ControlSet {
    let declared = read(&["schemas", "broker-config"].map(|p| root().join(p))).unwrap_or_else(|p| panic!("{p:#?}"));
    plan(&declared, &ControlSet::default(), &[], NOW_MS).unwrap_or_else(|p| panic!("{p:#?}")).after
}

/// A dataset: its newest schema and every version.
struct Data<'a> {
    contract: &'a Contract,
    schemas: Vec<(SchemaId, Schema)>,
}

impl<'a> Data<'a> {
    fn of(contract: &'a Contract) -> Self {
        let schemas = contract.schemas.iter().map(|s| (s.id, Schema::parse(&s.schema).unwrap())).collect();
        Self { contract, schemas }
    }

    fn newest(&self) -> &(SchemaId, Schema) {
        self.schemas.last().unwrap()
    }

    /// Paths of fields that are no records.
    fn leaves(&self) -> Vec<String> {
        let schema = &self.newest().1;
        schema.paths().into_iter().filter(|p| schema.path(p).unwrap().ty().record().is_none()).collect()
    }

    fn compile(&self, grant: &Grant, label: &str) -> Shape {
        Shape::compile(self.contract, &self.schemas, grant, Some(&Secret::new([7; 32])), label, None).unwrap()
    }

    /// What a recipient decodes; none when it may not have the row.
    fn seen(&self, view: &ViewEntry, record: &Avro) -> Option<Avro> {
        let (id, schema) = self.newest();
        let writer = GenericDatumWriter::builder(schema.avro()).build().unwrap();
        let body = writer.write_value_to_vec(record.clone()).unwrap();
        let mut spans = Spans::new();
        schema.walk(&body, &mut spans).unwrap();
        let shape = self.compile(&view.activation.grant, &view.activation.secret_label);
        let permit = shape.authorise(&InForce::at(view, NOW_MS).unwrap(), *id, &body, &spans)?;
        let mut out = Vec::new();
        permit.project(&mut out);
        let view = Schema::parse(shape.view_schema()).unwrap();
        let reader = GenericDatumReader::builder(view.avro()).build().unwrap();
        Some(reader.read_value(&mut out.as_slice()).unwrap())
    }
}

/// A value of a type; `variant` tells one from another.
fn value(ty: &Type, variant: u8) -> Avro {
    let n = i32::from(variant);
    match ty {
        Type::Boolean => Avro::Boolean(variant == 1),
        Type::Int => Avro::Int(n),
        Type::Long => Avro::Long(n.into()),
        Type::Double => Avro::Double(n.into()),
        // Also a date, so that masks which look for one find one.
        Type::Text => Avro::String(format!("19{variant:02}-05-17")),
        Type::Date => Avro::Date(n * 400),
        Type::Enum(symbols) => {
            let at = usize::from(variant) % symbols.symbols.len();
            Avro::Enum(u32::try_from(at).unwrap(), symbols.symbols[at].clone())
        }
        Type::Array(items) => Avro::Array(vec![value(items, variant)]),
        Type::Record(record) => {
            Avro::Record(record.fields.iter().map(|f| (f.name.clone(), value(&f.ty, variant))).collect())
        }
        Type::Nullable(inner, null) => {
            Avro::Union(u32::try_from(1 - null.null()).unwrap(), Box::new(value(inner, variant)))
        }
        other => panic!("no shipped schema has {}: teach this test a value of it", other.kind()),
    }
}

fn null(ty: &Type) -> Option<Avro> {
    match ty {
        Type::Nullable(_, null) => Some(Avro::Union(u32::try_from(null.null()).unwrap(), Box::new(Avro::Null))),
        _ => None,
    }
}

/// The record with another value at a path.
fn with(record: &Avro, path: &str, to: &Avro) -> Avro {
    let Avro::Record(fields) = record else { panic!("no path through {record:?}") };
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let inner = |value: &Avro| rest.map_or_else(|| to.clone(), |rest| with(value, rest, to));
    Avro::Record(fields.iter().map(|(n, v)| (n.clone(), if n == name { inner(v) } else { v.clone() })).collect())
}

/// The values at the leaves of a decoded view.
fn flat(value: &Avro, path: &str, out: &mut BTreeMap<String, Avro>) {
    match value {
        Avro::Record(fields) => {
            for (name, value) in fields {
                flat(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, out);
            }
        }
        Avro::Union(_, inner) => flat(inner, path, out),
        other => {
            out.insert(path.to_owned(), other.clone());
        }
    }
}

fn leaves(value: &Avro) -> BTreeMap<String, Avro> {
    let mut out = BTreeMap::new();
    flat(value, "", &mut out);
    out
}

/// The classes of rows that some filter of a dataset tells apart: every combination of the values that filters name, null,
/// and one that no filter names. A class is its words and its record.
fn classes(data: &Data<'_>, filters: &[String]) -> Vec<(String, Avro)> {
    let schema = &data.newest().1;
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in filters {
        let filter = Filter::compile(text, schema).unwrap();
        // Literals of a filter are its quoted parts; which field each belongs to does not matter for telling rows apart.
        let literals: Vec<String> = filter.normalised().split('"').skip(1).step_by(2).map(str::to_owned).collect();
        for path in filter.paths() {
            fields.entry(path).or_default().extend(literals.iter().cloned());
        }
    }
    let base = value(&Type::Record(schema.record().clone()), 1);
    let mut out = vec![(String::new(), base)];
    for (path, literals) in fields {
        let ty = schema.path(&path).unwrap().ty().clone();
        let mut values: Vec<(String, Avro)> = vec![("another".into(), value(&ty, 1))];
        values.extend(null(&ty).map(|null| ("null".to_owned(), null)));
        if *ty.inner() == Type::Text {
            values.extend(literals.into_iter().map(|text| (format!("\"{text}\""), Avro::String(text))));
        }
        let cross = |(words, record): &(String, Avro)| {
            let and = if words.is_empty() { String::new() } else { format!("{words}, ") };
            let of = |(name, value): &(String, Avro)| (format!("{and}{path} = {name}"), with(record, &path, value));
            values.iter().map(of).collect::<Vec<_>>()
        };
        out = out.iter().flat_map(cross).collect();
    }
    for (words, _) in &mut out {
        if words.is_empty() {
            "all rows".clone_into(words);
        }
    }
    out
}

/// How a field reaches a view: where, and whether as it is. Measured without the filter, which has its own say.
fn flow(data: &Data<'_>, view: &ViewEntry, path: &str) -> Option<String> {
    let ty = data.newest().1.path(path).unwrap().ty().clone();
    let activation =
        Activation { grant: Grant { filter: None, ..view.activation.grant.clone() }, ..(*view.activation).clone() };
    let all_rows = ViewEntry { activation: Arc::new(activation), ..view.clone() };
    let base = value(&Type::Record(data.newest().1.record().clone()), 1);
    let (first, second) = (value(&ty, 1), value(&ty, 2));
    let before = leaves(&data.seen(&all_rows, &with(&base, path, &first)).unwrap());
    let after = leaves(&data.seen(&all_rows, &with(&base, path, &second)).unwrap());
    let changed: Vec<&String> =
        after.iter().filter(|(name, value)| before.get(*name) != Some(value)).map(|(n, _)| n).collect();
    let shown = leaves(&Avro::Record(vec![("x".into(), second)]));
    let words = changed.into_iter().map(|name| {
        let how = if after.get(name) == shown.get("x") { "clear" } else { "masked" };
        if name == path { how.to_owned() } else { format!("{how} as {name}") }
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Cells by dataset, class of rows, field and recipient.
type Cells = BTreeMap<[String; 4], String>;

/// The whole table, and its cells.
fn table(set: &ControlSet) -> (String, Cells) {
    let mut out = String::from(
        "# Who sees what\n\nMeasured on everything shipped in `schemas/` and `broker-config/`; a test compares it. `clear`: the value as it is; `masked`: something that depends on the value; `·`: nothing; `no row`: the record is not in the recipient's rows. Rows are told apart by what some filter asks.\n",
    );
    let mut cells = BTreeMap::new();
    let recipients: Vec<&Agency> = set.agencies.keys().collect();
    for (dataset, contract) in &set.contracts {
        let data = Data::of(contract);
        let views: BTreeMap<&Agency, Vec<&ViewEntry>> =
            recipients.iter().map(|&r| (r, views(set, dataset, r))).collect();
        let filters: Vec<String> = views.values().flatten().filter_map(|v| v.activation.grant.filter.clone()).collect();
        let keys: Vec<String> = recipients.iter().map(|r| key(&data, &views[r])).collect();
        let names: Vec<&str> = recipients.iter().map(|r| r.as_str()).collect();
        let _ = write!(
            out,
            "\n## {dataset}\n\n| rows | field | {} |\n|---|---|{}\n",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        let _ = writeln!(out, "| | *record key* | {} |", keys.join(" | "));
        for (class, record) in classes(&data, &filters) {
            for path in data.leaves() {
                let cell = |recipient: &&Agency| {
                    let of: Vec<String> = views[recipient]
                        .iter()
                        .map(|v| match data.seen(v, &record) {
                            None => "no row".to_owned(),
                            Some(_) => flow(&data, v, &path).unwrap_or_else(|| "·".to_owned()),
                        })
                        .collect();
                    if of.is_empty() { "·".to_owned() } else { of.join("; ") }
                };
                let row: Vec<String> = recipients.iter().map(cell).collect();
                for (recipient, cell) in recipients.iter().zip(&row) {
                    cells.insert(
                        [dataset.to_string(), class.clone(), path.clone(), recipient.to_string()],
                        cell.clone(),
                    );
                }
                let _ = writeln!(out, "| {class} | {path} | {} |", row.join(" | "));
            }
        }
    }
    (out, cells)
}

fn views<'s>(set: &'s ControlSet, dataset: &'s Dataset, recipient: &Agency) -> Vec<&'s ViewEntry> {
    set.in_force(dataset, NOW_MS).filter(|v| &v.activation.grant.recipient == recipient).collect()
}

fn key(data: &Data<'_>, views: &[&ViewEntry]) -> String {
    let form = |view: &&ViewEntry| {
        let mut key = Vec::new();
        data.compile(&view.activation.grant, &view.activation.secret_label).view_key(b"a-record-key", &mut key);
        if key == b"a-record-key" { "clear" } else { "pseudonym" }
    };
    let forms: Vec<&str> = views.iter().map(form).collect();
    if forms.is_empty() { "·".into() } else { forms.join("; ") }
}

#[test]
fn the_shipped_policy_is_the_golden_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policy.md");
    let (table, _) = table(&shipped());
    if std::env::var_os("KENH_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = golden.lines().zip(table.lines()).find(|(golden, now)| golden != now);
    assert!(
        golden == table,
        "the policy is not the golden one; first difference: {differs:#?}\nif that is meant: KENH_WRITE_GOLDEN=1 cargo test -p kenh-governance --test policy"
    );
}

#[test]
fn nothing_is_missing_from_the_table() {
    let set = shipped();
    let (_, cells) = table(&set);
    let grants = std::fs::read_dir(root().join("broker-config/grants")).unwrap().count();
    assert_eq!(set.views.len(), grants, "every grant that is shipped is in force");
    for (dataset, contract) in &set.contracts {
        let data = Data::of(contract);
        let filters = set.in_force(dataset, NOW_MS).filter_map(|v| v.activation.grant.filter.clone());
        let classes = classes(&data, &filters.collect::<Vec<_>>());
        for recipient in set.agencies.keys() {
            for path in data.leaves() {
                for (class, _) in &classes {
                    let cell = [dataset.to_string(), class.clone(), path.clone(), recipient.to_string()];
                    assert!(cells.contains_key(&cell), "{cell:?}");
                }
            }
        }
        for view in set.in_force(dataset, NOW_MS) {
            let grant = &view.activation.grant;
            let outcomes: BTreeSet<bool> = classes.iter().map(|(_, r)| data.seen(view, r).is_some()).collect();
            let expected = if grant.filter.is_some() { BTreeSet::from([false, true]) } else { BTreeSet::from([true]) };
            assert_eq!(outcomes, expected, "some class is in the rows of {} and some is not", grant.id);
            // Each granted field is seen to flow somewhere, under its own name.
            for field in &grant.fields {
                let name = field.name.clone().unwrap_or_else(|| field.path.replace('.', "_"));
                let below = data
                    .leaves()
                    .into_iter()
                    .filter(|l| *l == field.path || l.starts_with(&format!("{}.", field.path)));
                for leaf in below {
                    let flows =
                        flow(&data, view, &leaf).unwrap_or_else(|| panic!("{}: {leaf} reaches nothing", grant.id));
                    assert!(flows.starts_with("clear") || field.mask.is_some(), "{}: {leaf} is {flows}", grant.id);
                    assert!(name == field.path || flows.contains(&name), "{}: {leaf} is {flows}", grant.id);
                }
            }
        }
    }
}

/// The other direction: whatever flows, some granted field says so.
#[test]
fn nothing_flows_that_no_grant_names() {
    let set = shipped();
    for (dataset, contract) in &set.contracts {
        let data = Data::of(contract);
        for view in set.in_force(dataset, NOW_MS) {
            let grant = &view.activation.grant;
            let named = |leaf: &String| {
                grant.fields.iter().any(|f| *leaf == f.path || leaf.starts_with(&format!("{}.", f.path)))
            };
            for leaf in data.leaves().iter().filter(|l| !named(l)) {
                assert_eq!(flow(&data, view, leaf), None, "{} learns of {leaf}", grant.id);
            }
        }
    }
}
