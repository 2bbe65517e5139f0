//! A plain model as oracle: what each view holds after each change is filter and projection done naively, on values
//! that `apache-avro` reads from the record and from the view.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::types::Value as Avro;
use proptest::prelude::*;

use super::*;
use crate::contract::{Effective, Provider, SchemaVersion, VersionSource};
use crate::control::SchemaDocument;
use crate::grant::{EndReason, Grant, GrantedField, KeyForm, Mask};
use crate::key::pseudonym;
use crate::log::Position;
use crate::names::{Agency, View};
use crate::schema::testing::{bare, decode, encode, pick};
use crate::topic::Edition;

const V1: SchemaId = SchemaId(1);
const V2: SchemaId = SchemaId(2);

/// The record's schema; version 2 has one field more.
fn schema_text(version: u32) -> String {
    let more = if version == 1 { "" } else { r#",{"name":"moi","type":["null","string"],"default":null}"# };
    format!(
        r#"{{"type":"record","name":"R","fields":[
            {{"name":"ma","type":"string"}},
            {{"name":"tinh","type":["null","string"]}},
            {{"name":"so","type":"int"}},
            {{"name":"ngay","type":{{"type":"int","logicalType":"date"}}}},
            {{"name":"ten","type":"string"}},
            {{"name":"noi","type":["null",{{"type":"record","name":"Noi","fields":[
                {{"name":"ma_tinh","type":"string"}},{{"name":"cap","type":["null","int"]}}]}}]}}{more}]}}"#
    )
}

fn dataset() -> Dataset {
    Dataset::new("don-vi").unwrap()
}

fn contract() -> Contract {
    let version = |version| SchemaVersion {
        version,
        id: SchemaId(version),
        schema: schema_text(version),
        envelope_id: SchemaId(10 + version),
    };
    let provider = Agency::new("G01").unwrap();
    Contract {
        dataset: dataset(),
        version: "1".into(),
        owner: provider.clone(),
        description: String::new(),
        partitions: 1,
        key: vec!["ma".into()],
        providers: vec![Provider { agency: provider, rows: None }],
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: Effective::AtOnce,
        open: false,
        synthetic: true,
        schemas: vec![version(1), version(2)],
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: crate::contract::Terms::default(),
    }
}

fn master() -> Secret {
    Secret::new([9; 32])
}

#[derive(Debug, Clone)]
struct Row {
    version: u32,
    key: u8,
    tinh: Option<&'static str>,
    so: i32,
    ngay: i32,
    ten: &'static str,
    noi: Option<(&'static str, Option<i32>)>,
    moi: Option<&'static str>,
}

const ROW: Row = Row { version: 2, key: 0, tinh: Some("79"), so: 1, ngay: 20_270, ten: "an", noi: None, moi: None };

fn key(number: u8) -> Vec<u8> {
    format!("khoa-{number}").into_bytes()
}

impl Row {
    fn body(&self) -> Vec<u8> {
        let option = |value: Option<Avro>| match value {
            None => Avro::Union(0, Box::new(Avro::Null)),
            Some(value) => Avro::Union(1, Box::new(value)),
        };
        let text = |text: &str| Avro::String(text.into());
        let noi = self.noi.map(|(tinh, cap)| {
            Avro::Record(vec![("ma_tinh".into(), text(tinh)), ("cap".into(), option(cap.map(Avro::Int)))])
        });
        let mut fields = vec![
            text(&String::from_utf8(key(self.key)).unwrap()),
            option(self.tinh.map(text)),
            Avro::Int(self.so),
            Avro::Date(self.ngay),
            text(self.ten),
            option(noi),
        ];
        if self.version == 2 {
            fields.push(option(self.moi.map(text)));
        }
        encode(&Avro::Record(fields.into_iter().map(|value| (String::new(), value)).collect()))
    }

    /// What a reader of the newest version would see.
    fn moi(&self) -> Option<&'static str> {
        self.moi.filter(|_| self.version == 2)
    }
}

fn row() -> impl Strategy<Value = Row> {
    let provinces = || prop::sample::select(vec!["01", "79"]);
    let noi = prop::option::of((provinces(), prop::option::of(1..3)));
    let names = prop::sample::select(vec!["an", "ba"]);
    let more = (1u32..3, prop::option::of(prop::sample::select(vec!["x", "y"])));
    (0u8..5, prop::option::of(provinces()), 1..4, 20_269..20_272, names, noi, more)
        .prop_map(|(key, tinh, so, ngay, ten, noi, (version, moi))| Row { version, key, tinh, so, ngay, ten, noi, moi })
}

/// A row filter, the paths that it names, and what it says in plain Rust.
struct Rows {
    text: Option<&'static str>,
    paths: &'static [&'static str],
    holds: fn(&Row) -> bool,
}

const FILTERS: [Rows; 13] = [
    Rows { text: None, paths: &[], holds: |_| true },
    Rows { text: Some("tinh == '79'"), paths: &["tinh"], holds: |r| r.tinh == Some("79") },
    Rows { text: Some("tinh in ['01', '79']"), paths: &["tinh"], holds: |r| r.tinh.is_some() },
    Rows { text: Some("tinh == null"), paths: &["tinh"], holds: |r| r.tinh.is_none() },
    Rows { text: Some("tinh in [null, '01']"), paths: &["tinh"], holds: |r| r.tinh != Some("79") },
    Rows {
        text: Some("so in [1, 2] && tinh != '79'"),
        paths: &["so", "tinh"],
        holds: |r| r.so < 3 && r.tinh != Some("79"),
    },
    Rows { text: Some("so > 2"), paths: &["so"], holds: |r| r.so > 2 },
    Rows { text: Some("noi.ma_tinh == '79'"), paths: &["noi.ma_tinh"], holds: |r| r.noi.is_some_and(|n| n.0 == "79") },
    Rows { text: Some("ngay == '2025-07-01'"), paths: &["ngay"], holds: |r| r.ngay == 20_270 },
    Rows { text: Some("moi == null"), paths: &["moi"], holds: |r| r.moi().is_none() },
    Rows { text: Some("noi == null"), paths: &["noi"], holds: |r| r.noi.is_none() },
    Rows { text: Some("moi == 'x'"), paths: &["moi"], holds: |r| r.moi() == Some("x") },
    Rows {
        text: Some("ten.startsWith('a') || moi == null"),
        paths: &["ten", "moi"],
        holds: |r| r.ten == "an" || r.moi().is_none(),
    },
];

const FIELDS: [(&str, Option<Mask>); 9] = [
    ("ma", None),
    ("tinh", None),
    ("so", None),
    ("ngay", None),
    ("noi", None),
    ("noi.ma_tinh", None),
    ("noi.cap", None),
    ("moi", None),
    ("ten", None),
];

/// How a view's grant is drawn: number of its filter, whether each field is granted, masks on, key form.
#[derive(Debug, Clone)]
struct Drawn {
    filter: usize,
    fields: Vec<bool>,
    masked: bool,
    key: KeyForm,
    label: bool,
    other_id: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let key = prop::sample::select(vec![KeyForm::Clear, KeyForm::Pseudonym]);
    let fields = prop::collection::vec(any::<bool>(), FIELDS.len());
    (0..FILTERS.len(), fields, any::<bool>(), key, any::<bool>(), any::<bool>()).prop_map(
        |(filter, fields, masked, key, label, other_id)| Drawn { filter, fields, masked, key, label, other_id },
    )
}

fn field(path: &str, mask: Option<Mask>) -> GrantedField {
    GrantedField { path: path.into(), name: None, mask }
}

fn grant(view: u32, fields: Vec<GrantedField>, filter: Option<&str>, key: KeyForm) -> Grant {
    Grant {
        id: format!("g{view}").parse().unwrap(),
        recipient: Agency::new(&format!("H{view}")).unwrap(),
        systems: vec![],
        dataset: dataset(),
        view: View::main(),
        purpose: "thử".into(),
        legal_basis: vec![],
        fields,
        filter: filter.map(Into::into),
        key,
        duration: "P1Y".into(),
        template: None,
        emergency: false,
    }
}

impl Drawn {
    fn grant(&self, view: u32) -> Grant {
        let needed = FILTERS[self.filter].paths;
        let mut fields: Vec<_> = (FIELDS.iter().zip(&self.fields))
            .filter(|((path, _), on)| **on || needed.contains(path) || (*path == "ma" && self.key == KeyForm::Clear))
            .map(|((path, _), _)| {
                let mask = match *path {
                    "ngay" => Some(Mask::Year),
                    "ten" => Some(Mask::Last(1)),
                    "so" => Some(Mask::Constant("*".into())),
                    "moi" => Some(Mask::Null),
                    _ => None,
                };
                field(path, mask.filter(|_| self.masked && !needed.contains(path)))
            })
            .collect();
        if fields.is_empty() {
            fields.push(field("so", None));
        }
        grant(view, fields, FILTERS[self.filter].text, self.key)
    }

    fn label(&self) -> &'static str {
        if self.label { "mot" } else { "hai" }
    }
}

/// A control set with the contract alone; views are added to it.
fn control() -> ControlSet {
    ControlSet { contracts: [(dataset(), Arc::new(contract()))].into(), ..ControlSet::default() }
}

fn schemas() -> Vec<(SchemaId, Schema)> {
    [1, 2].map(|v| (SchemaId(v), Schema::parse(&schema_text(v)).unwrap())).into()
}

/// Activates a grant from `starts_ms`, with its schema registered: equal texts have one id, unless `other_id`.
fn activate(control: &mut ControlSet, view: u32, grant: Grant, label: &str, starts_ms: i64, other_id: bool) {
    let shape = Shape::compile(&contract(), &schemas(), &grant, Some(&master()), label, None).unwrap();
    let text = shape.view_schema();
    let known = control.schemas.iter().find(|(_, s)| s.schema == text).map(|(id, _)| *id).filter(|_| !other_id);
    let schema_id = known.unwrap_or(SchemaId(1000 + view));
    let document = SchemaDocument { id: schema_id, subject: format!("view-{view}"), version: 1, schema: text.into() };
    control.schemas.insert(schema_id, Arc::new(document));
    let activation = Activation {
        view_no: ViewNo(view),
        edition: Edition(1),
        grant,
        schema_id,
        starts_ms,
        ends_ms: i64::MAX,
        secret_label: label.into(),
    };
    let entry = ViewEntry { activation: Arc::new(activation), at: Position(1), ended: None };
    control.views.insert(ViewNo(view), entry);
}

fn end(control: &mut ControlSet, view: u32) {
    control.views.get_mut(&ViewNo(view)).unwrap().ended = Some((Position(2), EndReason::Ended));
}

fn build(control: &ControlSet, closed: &[u32], standing: &[u32], before: Option<&Plan>) -> Plan {
    let set = |numbers: &[u32]| numbers.iter().map(|n| ViewNo(*n)).collect::<BTreeSet<_>>();
    Plan::build(control, &dataset(), 0, &master(), &set(closed), &set(standing), before).unwrap()
}

fn route(plan: &Plan, number: u8, row: Option<&Row>, before: &[Holding], out: &mut Effects) {
    out.clear();
    let Some(row) = row else { return plan.route(&key(number), None, before, out) };
    let (id, body) = (SchemaId(row.version), row.body());
    let mut spans = Spans::new();
    plan.schema(id).unwrap().walk(&body, &mut spans).unwrap();
    plan.route(&key(number), Some((After { schema: id, body: &body }, &spans)), before, out);
}

fn fill(plan: &Plan, row: &Row, views: &[ViewNo], before: &[Holding], out: &mut Effects) {
    out.clear();
    let (id, body) = (SchemaId(row.version), row.body());
    let mut spans = Spans::new();
    plan.schema(id).unwrap().walk(&body, &mut spans).unwrap();
    plan.fill(&key(row.key), (After { schema: id, body: &body }, &spans), views, before, out);
}

/// One view as its recipient knows it: key in the view to fields.
type Copy = BTreeMap<Vec<u8>, Fields>;

type Fields = Vec<(String, Avro)>;

/// What a view is to hold of a record, done naively: key and fields.
fn expected(drawn: &Drawn, grant: &Grant, row: &Row) -> Option<(Vec<u8>, Fields)> {
    if !(FILTERS[drawn.filter].holds)(row) {
        return None;
    }
    let source = decode(&schemas()[row.version as usize - 1].1, &row.body()).unwrap();
    let project = |granted: &GrantedField| {
        let value = match granted.path.as_str() {
            "moi" if row.version == 1 => Avro::Null,
            path => bare(pick(&source, path)).clone(),
        };
        let masked = match (&granted.mask, value) {
            (None, value) => value,
            (Some(Mask::Constant(text)), _) => Avro::String(text.clone()),
            (Some(Mask::Year), Avro::Date(_)) => Avro::Int(2025),
            (Some(Mask::Last(1)), Avro::String(text)) => Avro::String(text[1..].into()),
            (Some(_), _) => Avro::Null,
        };
        (granted.path.replace('.', "_"), masked)
    };
    let record_key = key(row.key);
    let view_key = match grant.key {
        KeyForm::Clear => record_key,
        KeyForm::Pseudonym => pseudonym(&master().derive(drawn.label()), &record_key).into_bytes(),
    };
    Some((view_key, grant.fields.iter().map(project).collect()))
}

/// Reads a value with `apache-avro`.
fn read(control: &ControlSet, view: ViewNo, value: &[u8]) -> Fields {
    let (id, body) = wire::split(value).unwrap();
    assert_eq!(id, control.views[&view].activation.schema_id);
    let schema = Schema::parse(&control.schemas[&id].schema).unwrap();
    let Avro::Record(fields) = decode(&schema, body).unwrap() else { panic!("a view record is a record") };
    fields.into_iter().map(|(name, value)| (name, bare(&value).clone())).collect()
}

/// Applies what was written to the recipients' copies; gives how many records each view got.
fn apply(control: &ControlSet, out: &Effects, copies: &mut BTreeMap<ViewNo, Copy>) -> BTreeMap<ViewNo, usize> {
    let mut written = BTreeMap::new();
    let mut bytes = 0;
    for write in &out.writes {
        let key = out.arena[write.key.clone()].to_vec();
        bytes += write.key.len() + write.value.as_ref().map_or(0, |v| v.len());
        let copy = copies.get_mut(&write.view).expect("only views in force are written");
        match &write.value {
            Some(value) => copy.insert(key, read(control, write.view, &out.arena[value.clone()])),
            None => Some(copy.remove(&key).expect("a tombstone is for a record that the view holds")),
        };
        *written.entry(write.view).or_default() += 1;
    }
    assert_eq!(out.bytes(), bytes);
    written
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(Row),
    Cancel(u8),
    /// A view of that number starts, if there is none yet.
    Start(Drawn),
    /// The view of that index among those in force ends.
    End(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => row().prop_map(Step::Upsert),
        2 => (0u8..5).prop_map(Step::Cancel),
        1 => drawn().prop_map(Step::Start),
        1 => any::<prop::sample::Index>().prop_map(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn every_view_holds_what_a_plain_model_gives(
        first in prop::collection::vec(drawn(), 0..5), steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut control = control();
        let mut views: BTreeMap<ViewNo, (Drawn, Grant)> = BTreeMap::new();
        let mut copies: BTreeMap<ViewNo, Copy> = BTreeMap::new();
        let mut rows: BTreeMap<u8, Row> = BTreeMap::new();
        let mut held: BTreeMap<u8, Vec<Holding>> = BTreeMap::new();
        let mut plan = build(&control, &[], &[], None);
        let mut out = Effects::default();
        let mut numbers = 0..;
        for step in first.into_iter().map(Step::Start).chain(steps) {
            match step {
                Step::Upsert(_) | Step::Cancel(_) => {
                    let (number, after) = match step {
                        Step::Upsert(row) => (row.key, Some(row)),
                        Step::Cancel(number) => (number, None),
                        _ => unreachable!(),
                    };
                    let before = rows.get(&number).cloned();
                    let entry = held.entry(number).or_default();
                    route(&plan, number, after.as_ref(), entry, &mut out);
                    entry.clone_from(&out.holdings);
                    let written = apply(&control, &out, &mut copies);
                    for (view, (drawn, grant)) in &views {
                        let now = after.as_ref().and_then(|row| expected(drawn, grant, row));
                        let changed = now != before.as_ref().and_then(|row| expected(drawn, grant, row));
                        // Nothing when nothing of it is to be seen; one record when something is.
                        prop_assert_eq!(written.get(view).copied().unwrap_or(0), usize::from(changed), "view {}", view.0);
                        prop_assert_eq!(out.holdings.iter().any(|h| h.view == *view), now.is_some());
                    }
                    prop_assert!(out.holdings.is_sorted_by_key(|h| h.view));
                    match after {
                        Some(row) => rows.insert(number, row),
                        None => rows.remove(&number),
                    };
                }
                Step::Start(drawn) => {
                    let number = numbers.next().unwrap();
                    let grant = drawn.grant(number);
                    activate(&mut control, number, grant.clone(), drawn.label(), 0, drawn.other_id);
                    let standing: Vec<u32> = plan.views().map(|v| v.0).collect();
                    plan = build(&control, &[], &standing, Some(&plan));
                    if !plan.has(ViewNo(number)) {
                        prop_assert_eq!(plan.refused().len(), 1, "the ninth scanning filter");
                        end(&mut control, number);
                        continue;
                    }
                    views.insert(ViewNo(number), (drawn, grant));
                    copies.insert(ViewNo(number), Copy::new());
                    for row in rows.values() {
                        let entry = held.entry(row.key).or_default();
                        fill(&plan, row, &[ViewNo(number)], entry, &mut out);
                        entry.clone_from(&out.holdings);
                        let written = apply(&control, &out, &mut copies);
                        prop_assert!(written.keys().all(|v| *v == ViewNo(number)), "a fill is for the new view alone");
                    }
                }
                Step::End(which) if !views.is_empty() => {
                    let view = *views.keys().nth(which.index(views.len())).unwrap();
                    end(&mut control, view.0);
                    views.remove(&view);
                    copies.remove(&view);
                    plan = build(&control, &[], &[], Some(&plan));
                }
                Step::End(_) => {}
            }
            for (view, (drawn, grant)) in &views {
                let model: Copy = rows.values().filter_map(|row| expected(drawn, grant, row)).collect();
                prop_assert_eq!(&copies[view], &model, "view {}", view.0);
            }
        }
    }

    /// A plan that took over what it could decides as one that was compiled from nothing.
    #[test]
    fn what_a_plan_takes_over_decides_nothing(
        drawn in prop::collection::vec(drawn(), 1..6), ends in prop::collection::vec(any::<bool>(), 6), row in row(),
    ) {
        let mut control = control();
        for (number, drawn) in (0..).zip(&drawn) {
            activate(&mut control, number, drawn.grant(number), drawn.label(), 0, drawn.other_id);
        }
        let before = build(&control, &[], &[], None);
        for (number, _) in (0..).zip(&drawn).zip(ends).filter(|(_, ends)| *ends).map(|(n, _)| n) {
            end(&mut control, number);
        }
        let (mut a, mut b) = (Effects::default(), Effects::default());
        route(&build(&control, &[], &[], Some(&before)), row.key, Some(&row), &[], &mut a);
        route(&build(&control, &[], &[], None), row.key, Some(&row), &[], &mut b);
        prop_assert_eq!((&a.arena, &a.writes, &a.holdings), (&b.arena, &b.writes, &b.holdings));
    }
}

fn clear(view: u32, filter: Option<&str>) -> Grant {
    let paths = ["ma", "tinh", "so", "ten"];
    grant(view, paths.map(|p| field(p, None)).into(), filter, KeyForm::Clear)
}

#[test]
fn views_of_one_shape_are_projected_once_and_share_their_bytes() {
    let mut control = control();
    activate(&mut control, 0, clear(0, Some("tinh == '79'")), "mot", 0, false);
    activate(&mut control, 1, clear(1, Some("(tinh  ==  \"79\") // of one syntax")), "hai", 0, false);
    activate(&mut control, 2, clear(2, Some("tinh == '01'")), "mot", 0, false);
    let plan = build(&control, &[], &[], None);
    assert_eq!((plan.shapes(), plan.views().count()), (2, 3));
    let mut out = Effects::default();
    route(&plan, 0, Some(&ROW), &[], &mut out);
    let [a, b] = &out.writes[..] else { panic!("{} writes", out.writes.len()) };
    assert_eq!((a.view, b.view), (ViewNo(0), ViewNo(1)));
    assert_eq!((&a.key, &a.value), (&b.key, &b.value));
    assert!(out.bytes() > out.arena.len(), "each writes them to its own topic");
}

#[test]
fn views_of_one_shape_under_two_schema_ids_differ_in_the_header_alone() {
    let mut control = control();
    activate(&mut control, 0, clear(0, None), "mot", 0, false);
    activate(&mut control, 1, clear(1, None), "mot", 0, true);
    let plan = build(&control, &[], &[], None);
    assert_eq!(plan.shapes(), 1);
    let mut out = Effects::default();
    route(&plan, 0, Some(&ROW), &[], &mut out);
    let split = |n: usize| wire::split(&out.arena[out.writes[n].value.clone().unwrap()]).unwrap();
    assert_ne!(split(0).0, split(1).0);
    assert_eq!(split(0).1, split(1).1);
}

#[test]
fn a_pseudonym_stands_for_the_key_in_upserts_and_tombstones() {
    let mut control = control();
    activate(
        &mut control,
        0,
        grant(0, vec![field("ngay", Some(Mask::Year))], None, KeyForm::Pseudonym),
        "mot",
        0,
        false,
    );
    let plan = build(&control, &[], &[], None);
    let pseudonym = pseudonym(&master().derive("mot"), &key(0));
    assert_eq!(pseudonym.len(), 22);
    let mut out = Effects::default();
    route(&plan, 0, Some(&ROW), &[], &mut out);
    assert_eq!(&out.arena[out.writes[0].key.clone()], pseudonym.as_bytes());
    let holdings = out.holdings.clone();
    route(&plan, 0, None, &holdings, &mut out);
    assert_eq!((out.writes.len(), &out.writes[0].value, &out.holdings[..]), (1, &None, &[][..]));
    assert_eq!(&out.arena[..], pseudonym.as_bytes(), "nothing of the record key is in it");
}

#[test]
fn a_ninth_scanning_filter_is_refused_and_takes_nobodys_place() {
    let most = u32::try_from(MAX_SCANNING_FILTERS).unwrap();
    let mut control = control();
    // Views 1 to 8 scan; 20 does not, nor does one without filter.
    for view in 1..=most {
        activate(&mut control, view, clear(view, Some(&format!("so > {view}"))), "mot", 0, false);
    }
    activate(&mut control, 20, clear(20, Some("tinh == '79'")), "mot", 0, false);
    activate(&mut control, 21, clear(21, None), "mot", 0, false);
    // Another view of a shape that is there costs nothing.
    activate(&mut control, 22, clear(22, Some("so > 1")), "mot", 0, false);
    let plan = build(&control, &[], &[], None);
    assert!(plan.refused().is_empty());
    let standing: Vec<u32> = plan.views().map(|v| v.0).collect();
    // View 0 comes later, though its number is lower.
    activate(&mut control, 0, clear(0, Some("so > 100")), "mot", 0, false);
    let later = build(&control, &[], &standing, Some(&plan));
    assert_eq!(later.views().map(|v| v.0).collect::<Vec<_>>(), standing);
    assert_eq!(later.refused().iter().map(|(v, _)| v.0).collect::<Vec<_>>(), [0]);
    // It has its turn when one ends.
    end(&mut control, 5);
    let last = build(&control, &[], &standing, Some(&later));
    assert!(last.has(ViewNo(0)) && last.refused().is_empty());
}

#[test]
fn what_is_closed_or_not_in_force_or_does_not_compile_is_never_written() {
    let mut control = control();
    activate(&mut control, 0, clear(0, None), "mot", 0, false);
    activate(&mut control, 1, clear(1, None), "mot", 1, false);
    activate(&mut control, 2, clear(2, None), "mot", 0, false);
    activate(&mut control, 3, clear(3, None), "mot", 0, false);
    activate(&mut control, 4, clear(4, None), "mot", 0, false);
    end(&mut control, 2);
    control.schemas.retain(|id, _| *id != SchemaId(1004));
    let mut broken = (*control.views[&ViewNo(4)].activation).clone();
    broken.schema_id = SchemaId(99);
    control.views.get_mut(&ViewNo(4)).unwrap().activation = Arc::new(broken);
    let plan = build(&control, &[3], &[], None);
    assert_eq!(plan.views().collect::<Vec<_>>(), [ViewNo(0)]);
    assert_eq!(plan.refused(), [(ViewNo(4), "its schema 99 is not registered".to_owned())]);
    let mut out = Effects::default();
    let holding = |view| Holding { view: ViewNo(view), digest: 1 };
    route(&plan, 0, Some(&ROW), &[holding(2), holding(3)], &mut out);
    assert_eq!(out.writes.iter().map(|w| w.view).collect::<Vec<_>>(), [ViewNo(0)]);
    assert_eq!(out.holdings.len(), 1, "what ended views held is forgotten without a word");
}

#[test]
fn a_dataset_without_contract_has_no_plan() {
    let other = Dataset::new("khac").unwrap();
    let none = BTreeSet::new();
    let error = Plan::build(&control(), &other, 0, &master(), &none, &none, None).err().unwrap();
    assert_eq!(error.to_string(), "there is no contract for dataset khac");
}

#[test]
fn routing_allocates_no_more_once_it_is_warm() {
    let mut control = control();
    activate(&mut control, 0, clear(0, Some("tinh == '79'")), "mot", 0, false);
    let plan = build(&control, &[], &[], None);
    let mut out = Effects::default();
    route(&plan, 0, Some(&ROW), &[], &mut out);
    let sizes = |out: &Effects| (out.arena.capacity(), out.writes.capacity(), out.holdings.capacity());
    let warm = sizes(&out);
    for so in 0..50 {
        let before = out.holdings.clone();
        route(&plan, 0, Some(&Row { so, ..ROW }), &before, &mut out);
    }
    assert_eq!(sizes(&out), warm);
}

#[test]
fn both_schema_versions_are_known_by_their_ids() {
    let plan = build(&control(), &[], &[], None);
    assert!(plan.schema(V1).unwrap().path("moi").is_none());
    assert!(plan.schema(V2).unwrap().path("moi").is_some());
    assert!(plan.schema(SchemaId(3)).is_none());
}
