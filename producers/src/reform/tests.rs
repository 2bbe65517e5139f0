//! The counts of reform day, taken from the bytes by a naive pass, and every change under the real contracts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use kenh_domain::admit::{AsOf, Rules};
use kenh_domain::codes::{CodeLists, CodesReader};
use kenh_domain::contract::{
    CodeList, CodeListDataset, CodeListUse, Contract, Effective, FieldRules, Provider, SchemaVersion, VersionSource,
};
use kenh_domain::date;
use kenh_domain::element::personal_id_states;
use kenh_domain::envelope::{self, Submitted};
use kenh_domain::key;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::relaxation::Relaxed;
use kenh_domain::rule::{Lang, Rule};
use kenh_domain::schema::{Schema, Spans, Value};
use kenh_domain::wire::{self, SchemaId};
use serde_json::Value as Json;

use super::exceptions::Exception;
use super::people::{MAX_PEOPLE, Residents, TooMany};
use super::*;

static REFORM: LazyLock<Reform> = LazyLock::new(|| Reform::load().unwrap());

const RECORD: SchemaId = SchemaId(10);
const ENVELOPE: SchemaId = SchemaId(11);
/// Later than everything here: 2026-01-01.
const CLOCK: i64 = 1_767_225_600_000;

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(path);
    std::fs::read_to_string(path).unwrap()
}

/// The contract of a dataset, from its real files. A reader for tests: it knows no more than these two need.
fn contract(dataset: &str) -> Contract {
    let yaml: Json = serde_saphyr::from_str(&file(&format!("{dataset}/contract.yaml"))).unwrap();
    let custom = |name: &str| custom(&yaml, name);
    let mut found = Found::default();
    properties(&yaml["schema"][0]["properties"], "", &mut found);
    let code_lists = custom("kenh.codeLists").and_then(Json::as_array).into_iter().flatten().map(|list| {
        let mut list = list.clone();
        let name = list.as_object_mut().unwrap().remove("name").unwrap();
        (name.as_str().unwrap().to_owned(), CodeList::Dataset(serde_json::from_value(list).unwrap()))
    });
    let agency = |text: &str| Agency::new(text).unwrap();
    let schema = file(&format!("{dataset}/v1.avsc"));
    Contract {
        dataset: Dataset::new(dataset).unwrap(),
        version: yaml["version"].as_str().unwrap().into(),
        owner: agency(yaml["team"]["name"].as_str().unwrap()),
        description: String::new(),
        partitions: u32::try_from(custom("kenh.partitions").unwrap().as_u64().unwrap()).unwrap(),
        key: found.key.into_values().collect(),
        providers: custom("kenh.providers")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|name| Provider { agency: agency(name.as_str().unwrap()), rows: None })
            .collect(),
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: if custom("kenh.effective").unwrap() == "in-key" { Effective::InKey } else { Effective::AtOnce },
        open: custom("kenh.open").is_some(),
        synthetic: custom("kenh.synthetic").is_some(),
        schemas: vec![SchemaVersion { version: 1, id: RECORD, schema, envelope_id: ENVELOPE }],
        code_lists: code_lists.collect(),
        terms: kenh_domain::contract::Terms::default(),
        fields: found.fields,
    }
}

#[derive(Default)]
struct Found {
    fields: BTreeMap<String, FieldRules>,
    key: BTreeMap<u64, String>,
}

fn custom<'a>(of: &'a Json, name: &str) -> Option<&'a Json> {
    of["customProperties"].as_array()?.iter().find(|p| p["property"] == name).map(|p| &p["value"])
}

fn properties(list: &Json, above: &str, found: &mut Found) {
    for property in list.as_array().unwrap() {
        let name = property["name"].as_str().unwrap();
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if let Some(position) = property["primaryKeyPosition"].as_u64() {
            found.key.insert(position, path.clone());
        }
        let text = |name: &str| custom(property, name).and_then(Json::as_str).map(str::to_owned);
        let options = &property["logicalTypeOptions"];
        let bound = |name: &str| options.get(name).map(ToString::to_string);
        let code_list =
            text("kenh.codeList").map(|list| CodeListUse { list, with: text("kenh.codeListWith"), on: None });
        let values = custom(property, "kenh.values").and_then(Json::as_array);
        if property["logicalType"] == "object" {
            properties(&property["properties"], &path, found);
            continue;
        }
        let rules = FieldRules {
            element: text("kenh.element"),
            required: property["required"] == true,
            values: values.map(|v| v.iter().map(|v| v.as_str().unwrap().to_owned()).collect()),
            minimum: bound("minimum"),
            maximum: bound("maximum"),
            max_length: options["maxLength"].as_u64().map(|n| u32::try_from(n).unwrap()),
            code_list,
            ..Default::default()
        };
        found.fields.insert(path, rules);
    }
}

/// The code lists of a contract as they are once every unit has been admitted.
fn lists(contract: &Contract) -> CodeLists {
    let mut bodies: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    bodies.extend(REFORM.units().map(|change| (change.key, change.body)));
    let codes = |(name, list): (&String, &CodeListDataset)| {
        let reader = CodesReader::compile(list, &self::contract(list.dataset.as_str())).unwrap();
        let codes = reader.read(bodies.values().map(|body| (RECORD, &body[..]))).unwrap();
        (name.clone(), codes.into())
    };
    CodeLists::Known(contract.lists_on_the_bus().map(codes).collect())
}

/// Reads each change as the router would; panics with the first rule that is broken.
fn admit_all(dataset: &str, changes: impl Iterator<Item = Change>) -> u64 {
    let rules = Rules::compile(&contract(dataset)).unwrap();
    let provider = rules.contract().providers[0].agency.clone();
    let lists = lists(rules.contract());
    let as_of = AsOf { lists: &lists, ..AsOf::strict(CLOCK) };
    let (mut spans, mut value, mut number) = (Spans::new(), Vec::new(), 0);
    for change in changes {
        number += 1;
        value.clear();
        wire::put_header(ENVELOPE, &mut value);
        let submitted =
            Submitted::new("s", number, change.event, change.version, change.updated_ms, Some(&change.body));
        envelope::encode(&submitted, &mut value);
        let partition = key::partition(&change.key, rules.contract().partitions);
        if let Err(rejection) = rules.read(&provider, partition, &change.key, &value, as_of, &mut spans) {
            panic!("{dataset}, change {number}: {rejection:?}");
        }
    }
    number
}

/// A view as the naive pass keeps it: what was inserted, what left, what is there.
#[derive(Default)]
struct View {
    rows: HashSet<Vec<u8>>,
    inserted: u64,
    left: u64,
}

impl View {
    fn apply(&mut self, key: &[u8], wanted: bool) {
        if wanted && self.rows.insert(key.to_vec()) {
            self.inserted += 1;
        } else if !wanted && self.rows.remove(key) {
            self.left += 1;
        }
    }

    fn counts(&self) -> (usize, u64, u64) {
        (self.rows.len(), self.inserted, self.left)
    }
}

/// Reads fields of Avro bodies.
struct Fields(Schema, Spans);

impl Fields {
    fn of(dataset: &str) -> Self {
        Self(Schema::parse(&file(&format!("{dataset}/v1.avsc"))).unwrap(), Spans::new())
    }

    fn text(&mut self, body: &[u8], path: &str) -> Option<String> {
        self.0.walk(body, &mut self.1).unwrap();
        let path = self.0.path(path).unwrap();
        match self.0.value(body, &self.1, &path) {
            Value::Text(text) => Some(text.to_owned()),
            Value::Int(n) => Some(n.to_string()),
            Value::Date(days) => Some(date::text(days)),
            Value::Null => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_units_give_the_counts_of_reform_day() {
    let mut fields = Fields::of("don-vi-hanh-chinh");
    let (mut all, mut city, mut open) = (View::default(), View::default(), View::default());
    let mut versions: HashMap<Vec<u8>, i64> = HashMap::new();
    let mut events = 0;
    for change in REFORM.units() {
        events += 1;
        let ended = fields.text(&change.body, "HieuLucDen").is_some();
        let in_city = fields.text(&change.body, "MaTinh").as_deref() == Some("79");
        all.apply(&change.key, true);
        city.apply(&change.key, !ended && in_city);
        open.apply(&change.key, !ended);
        let version = versions.entry(change.key).or_default();
        *version += 1;
        assert_eq!(change.version, *version);
        assert_eq!(change.event, if change.version == 1 { Event::New } else { Event::Update });
    }
    assert_eq!(events, 24_943);
    assert_eq!(events, REFORM.units_len());
    assert_eq!(versions.values().filter(|v| **v == 2).count(), 10_794);
    assert_eq!(all.counts(), (14_149, 14_149, 0));
    assert_eq!(city.counts(), (169, 465, 296));
    assert_eq!(open.counts(), (3_355, 14_149, 10_794));
}

#[test]
fn every_unit_is_admitted() {
    assert_eq!(admit_all("don-vi-hanh-chinh", REFORM.units()), 24_943);
}

#[test]
fn everyone_is_admitted_at_every_time() {
    let people = REFORM.people(7, 20_000).unwrap();
    assert_eq!(admit_all("dan-cu", people.changes()), 40_200);
    assert_eq!(people.changes_len(), 40_200);
}

#[test]
fn admission_refuses_what_is_not_in_the_contract() {
    // The other tests are worth something only if the contract made here has teeth.
    let people = REFORM.people(7, 1).unwrap();
    let rules = Rules::compile(&contract("dan-cu")).unwrap();
    let lists = lists(rules.contract());
    let broken = |body: &[u8]| -> Vec<_> {
        let found = rules.check_record(body, RECORD, (Relaxed::NONE, &lists), &mut Spans::new());
        found.rejections.into_iter().map(|r| (r.rule, r.field)).collect()
    };
    let mut body = people.before().next().unwrap().body;
    assert_eq!(broken(&body), []);
    // The first letter of the ID: provinces of birth begin with 0.
    body[1] = b'1';
    assert_eq!(broken(&body), [(Rule::Element, "SoDinhDanh".to_owned())]);
    // A commune of the time before, said to be of the time after.
    let life = people.life(0);
    let mut person = life.before().record;
    person.lives.since = REFORM_DAY - 1;
    body.clear();
    person.put_body(&mut body);
    assert_eq!(broken(&body), [(Rule::CodeList, "NoiOHienTai.MaXa".to_owned())]);
    let CodeLists::Known(lists) = lists else { panic!("the list was read") };
    // 3,316 of the 3,321 communes of July 2025 bear the code of one before.
    assert_eq!(lists["don-vi-cap-xa"].len(), 10_040);
    assert_eq!(rules.contract().key, ["SoDinhDanh"]);
}

/// What `apache-avro` reads from a body, as plain JSON.
fn plain(value: apache_avro::types::Value) -> Json {
    use apache_avro::types::Value as Avro;
    match value {
        Avro::Null => Json::Null,
        Avro::Int(n) => n.into(),
        Avro::Double(x) => x.into(),
        Avro::String(text) => text.into(),
        Avro::Enum(_, symbol) => symbol.into(),
        Avro::Date(days) => date::text(days).into(),
        Avro::Union(_, inner) => plain(*inner),
        Avro::Array(items) => items.into_iter().map(plain).collect(),
        Avro::Record(fields) => Json::Object(fields.into_iter().map(|(name, v)| (name, plain(v))).collect()),
        other => panic!("{other:?}"),
    }
}

fn compare<'a, R: Record>(dataset: &str, steps: impl Iterator<Item = Step<R>> + 'a) {
    let schema = Schema::parse(&file(&format!("{dataset}/v1.avsc"))).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema.avro()).build().unwrap();
    for step in steps {
        let body = step.change().body;
        let mut rest = body.as_slice();
        let read = reader.read_value(&mut rest).unwrap();
        assert!(rest.is_empty());
        // As text, so that the order of fields counts too.
        assert_eq!(plain(read).to_string(), step.record.json().to_string());
    }
}

#[test]
fn bytes_and_json_say_the_same() {
    compare("don-vi-hanh-chinh", REFORM.units_before().chain(REFORM.units_reform()));
    let people = REFORM.people(7, 2_000).unwrap();
    for index in 0..2_000 {
        let life = people.life(index);
        compare("dan-cu", [life.before(), life.reform()].into_iter().chain(life.moved()));
    }
}

#[test]
fn a_new_unit_names_what_it_took_over() {
    let unit = |code: &str| {
        let found = REFORM.units_reform().find(|s| s.record.unit.code == code && s.record.since == REFORM_DAY);
        found.unwrap().record.json()["KeThua"].clone()
    };
    let from = |codes: &[(&str, &str)]| -> Json {
        codes.iter().map(|(c, how)| serde_json::json!({"Ma": c, "HieuLucTu": "2025-03-01", "Loai": how})).collect()
    };
    assert_eq!(unit("79"), from(&[("74", "full"), ("77", "full"), ("79", "full")]));
    // Ia Mơ, which the succession calls 23737.
    assert_eq!(unit("23938"), from(&[("23938", "full")]));
    let rows: usize = REFORM.units_reform().map(|s| s.record.predecessors.len()).sum();
    assert_eq!(rows, 10_667);
}

#[test]
fn contradictions_of_the_data_are_found() {
    let mut counts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for exception in REFORM.exceptions() {
        let (kind, code) = match exception {
            Exception::Alias { used, own, .. } => ("alias", format!("{used}={own}")),
            Exception::UnknownSuccessor { code, .. } => ("unknown", code.clone()),
            Exception::AbsentPredecessor { code, .. } => ("absent", code.clone()),
            Exception::OtherLevel { code, level, .. } => ("level", format!("{code}:{level}")),
            Exception::OtherProvince { code, successor, namesake, .. } => {
                ("province", format!("{code}>{successor} {}", namesake.as_deref().unwrap()))
            }
            Exception::NoSuccessor { code, .. } => ("no successor", code.clone()),
            Exception::NoPredecessor { code, .. } => ("no predecessor", code.clone()),
        };
        counts.entry(kind).or_default().push(code);
        assert!(exception.message(Lang::En).len() > 20 && exception.message(Lang::Vi).len() > 20);
    }
    let wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("alias", vec!["23737=23938"]),
        (
            "absent",
            vec![
                "07732", "07744", "07693", "16411", "16387", "18448", "20176", "20674", "25102", "25174", "25177",
                "25186",
            ],
        ),
        ("level", vec!["318:2", "471:2", "498:2", "536:2", "755:2"]),
        ("province", vec!["30622>30259 30274"]),
    ]);
    assert_eq!(counts, wanted.into_iter().map(|(k, v)| (k, v.into_iter().map(String::from).collect())).collect());
}

#[test]
fn other_files_are_refused_or_their_contradictions_named() {
    let head = "code,name,level,parent_code,province_code,latitude,longitude\n";
    let before = format!("{head}01,P,1,,01,,\n00001,A,3,001,01,,\n00002,B,3,001,01,,\n");
    let after = format!("{head}01,P,1,,01,,\n00001,A,3,01,01,,\n00009,C,3,01,01,,\n");
    let rows = |rows: &str| format!("level,new_code,new_name,old_code,old_name,type\n1,01,P,01,P,full\n{rows}");
    let good = rows("3,00001,A,00001,A,full\n3,00009,C,00002,B,partial\n");
    assert_eq!(Reform::read(&before, &after, &good).unwrap().exceptions(), []);

    let lacking = Reform::read(&before, &after, &rows("3,00001,A,00001,A,full\n3,00008,X,00002,B,full\n")).unwrap();
    let kinds: Vec<_> = lacking.exceptions().iter().map(|e| e.message(Lang::En)).collect();
    assert_eq!(kinds, ["there is no new unit 00008 (X)", "00009 (C) took over nothing"]);
    let people = lacking.people(1, 100).unwrap();
    let homes: HashSet<_> = (0..100).map(|i| people.life(i).before().record.lives.commune.code.clone()).collect();
    assert_eq!(homes, HashSet::from(["00001".to_owned()]), "nobody lives in a unit without successor");

    assert!(matches!(Reform::read(&before, &after, &rows("")), Err(DataError::NoHomes)));
    assert!(matches!(Reform::read(&before, &after, "a,b\n1,2\n"), Err(DataError::File { .. })));
    let twice = format!("{after}00001,A,3,01,01,,\n");
    assert!(matches!(Reform::read(&before, &twice, &good), Err(DataError::Twice { code, .. }) if code == "00001"));
}

/// FNV-1a, 64 bits: enough to see that bytes are the same.
fn digest(changes: impl Iterator<Item = Change>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for change in changes {
        let numbers = [change.version, change.updated_ms].map(i64::to_le_bytes).concat();
        for byte in [&change.key, &change.body, &numbers].into_iter().flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// Pinned: where these change, a directory filled by an earlier release meets conflicts instead of repeated records.
#[test]
fn the_bytes_are_those_of_every_release() {
    let digests = (digest(REFORM.units()), digest(REFORM.people(1, 1_000).unwrap().changes()));
    assert_eq!(digests, (15_506_341_491_890_384_063, 15_511_052_468_411_681_197));
}

#[test]
fn the_seed_decides() {
    let of = |seed| digest(REFORM.people(seed, 500).unwrap().changes());
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    // More people are more people, not others.
    let keys = |count| REFORM.people(3, count).unwrap().before().map(|c| c.key).take(50).collect::<Vec<_>>();
    assert_eq!(keys(50), keys(5_000));
}

#[test]
fn personal_ids_are_unique_and_agree_with_sex_and_year() {
    let people = REFORM.people(11, 200_000).unwrap();
    let mut seen = HashSet::new();
    for index in 0..200_000 {
        let facts = people.life(index).before().record.facts.clone();
        assert_eq!(personal_id_states(&facts.id), Some((u8::try_from(facts.sex).unwrap(), facts.birth_year)));
        assert!(seen.insert(facts.id), "person {index} has the ID of another");
    }
}

#[test]
fn personal_ids_stay_unique_beyond_a_million() {
    let people = REFORM.people(11, MAX_PEOPLE).unwrap();
    let (mut seen, mut numbers) = (HashSet::new(), HashSet::new());
    for number in 0..200 {
        for million in 0..100 {
            let id = people.life(million * 1_000_000 + number).before().record.facts.id.clone();
            numbers.insert(id[6..].to_owned());
            assert!(seen.insert(id), "person {number} of million {million} has the ID of another");
        }
    }
    assert_eq!(numbers.len(), 200, "the numbers were meant to repeat");
    assert_eq!(REFORM.people(11, MAX_PEOPLE + 1).unwrap_err(), TooMany(MAX_PEOPLE + 1));
}

#[test]
fn everyone_moves_to_a_successor_and_every_hundredth_elsewhere() {
    let successors: HashSet<(&str, &str)> = REFORM
        .after()
        .iter()
        .zip(&REFORM.predecessors)
        .flat_map(|(unit, from)| from.iter().map(|p| (p.code.as_str(), unit.code.as_str())))
        .collect();
    let people = REFORM.people(5, 20_000).unwrap();
    let (mut movers, mut abroad, mut split) = (0, 0, HashMap::<_, HashSet<_>>::new());
    for index in 0..20_000 {
        let life = people.life(index);
        let (old, new) = (life.before().record, life.reform().record);
        assert_eq!(old.facts.id, new.facts.id);
        for (from, to) in [(old.lives, new.lives), (old.registered, new.registered)] {
            assert!(successors.contains(&(from.commune.code.as_str(), to.commune.code.as_str())));
            assert_eq!((from.since, to.since), (BEFORE_DAY, REFORM_DAY));
            assert_eq!(from.detail, to.detail);
            split.entry(from.commune.code.clone()).or_default().insert(to.commune.code.clone());
        }
        if old.lives == old.registered {
            assert!(new.lives == new.registered, "one house became two");
        }
        if let Some(moved) = life.moved() {
            movers += 1;
            assert_ne!(moved.record.lives.commune.code, new.lives.commune.code);
            abroad += u32::from(moved.record.lives.commune.province != new.lives.commune.province);
        }
    }
    assert_eq!(movers, 200);
    assert!((40..160).contains(&abroad), "{abroad} of 200 movers went to another province");
    let split = split.values().filter(|to| to.len() > 1).count();
    assert!(split > 100, "people of only {split} split communes went to different successors");
}

#[test]
fn the_oracle_agrees_with_the_changes() {
    let people = REFORM.people(5, 20_000).unwrap();
    let mut fields = Fields::of("dan-cu");
    let mut views: BTreeMap<String, View> = BTreeMap::new();
    for province in REFORM.before().iter().chain(REFORM.after()).filter(|u| u.level == 1) {
        views.entry(province.code.clone()).or_default();
    }
    for change in people.changes() {
        let here = fields.text(&change.body, "NoiOHienTai.MaTinh").unwrap();
        for (province, view) in &mut views {
            view.apply(&change.key, *province == here);
        }
    }
    let counted: BTreeMap<_, _> = views
        .iter()
        .map(|(code, v)| (code.clone(), Residents { now: v.rows.len() as u64, entered: v.inserted, left: v.left }))
        .filter(|(_, r)| *r != Residents::default())
        .collect();
    assert_eq!(people.residents(), counted);
    assert_eq!(counted.values().map(|r| r.now).sum::<u64>(), 20_000);
    let new: HashSet<_> = REFORM.after().iter().filter(|u| u.level == 1).map(|u| u.code.as_str()).collect();
    assert!(counted.iter().all(|(code, r)| r.now == 0 || new.contains(code.as_str())));
    assert!(counted["79"].entered > counted["79"].now && counted["79"].left > 0);
}

#[test]
fn people_are_as_different_as_people_are() {
    let people = REFORM.people(9, 20_000).unwrap();
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut majority = 0;
    for index in 0..20_000 {
        let life = people.life(index);
        let json = life.reform().record.json();
        majority += u32::from(json["DanToc"] == "01");
        let adult = if json["GioiTinh"] == 1 { 20 } else { 18 };
        if 2024 - json["NgaySinh"]["year"].as_i64().unwrap() < adult {
            assert_eq!(json["TinhTrangHonNhan"], 1, "a child is married");
        }
        assert!(json["NgaySinh"]["day"].is_null() || !json["NgaySinh"]["month"].is_null());
        if let (Some(month), Some(day)) = (json["NgaySinh"]["month"].as_u64(), json["NgaySinh"]["day"].as_u64()) {
            let text = format!("{}-{month:02}-{day:02}", json["NgaySinh"]["year"]);
            assert!(date::parse(&text).is_some(), "nobody is born on {text}");
        }
        for field in ["DanToc", "GioiTinh", "TinhTrangHonNhan", "NhomMau"] {
            seen.entry(field).or_default().insert(json[field].to_string());
        }
        let known = |value: &Json| if value.is_null() { "null" } else { "known" }.to_owned();
        for field in ["SoDienThoai", "SoCMND"] {
            seen.entry(field).or_default().insert(known(&json[field]));
        }
        for field in ["month", "day"] {
            seen.entry(field).or_default().insert(known(&json["NgaySinh"][field]));
        }
        let same = json["NoiOHienTai"] == json["ThuongTru"];
        seen.entry("same").or_default().insert(same.to_string());
        seen.entry("HoVaTen").or_default().insert(json["HoVaTen"].to_string());
    }
    let kinds: BTreeMap<_, _> = seen.iter().map(|(field, values)| (*field, values.len())).collect();
    assert!(kinds["HoVaTen"] > 10_000 && kinds["DanToc"] > 45, "{kinds:?}");
    assert!((16_500..17_700).contains(&majority), "{majority} of 20,000 are of the largest group");
    for (field, count) in [("GioiTinh", 2), ("TinhTrangHonNhan", 5), ("NhomMau", 5), ("month", 2), ("day", 2)] {
        assert_eq!(kinds[field], count, "{field}");
    }
    assert_eq!((kinds["SoDienThoai"], kinds["SoCMND"], kinds["same"]), (2, 2, 2));
}

#[test]
fn a_few_people_or_none_are_no_trouble() {
    let people = REFORM.people(1, 0).unwrap();
    assert_eq!((people.changes().count(), people.changes_len(), people.residents().len()), (0, 0, 0));
    for count in [1, 99, 100, 101, 250] {
        let people = REFORM.people(1, count).unwrap();
        assert_eq!(people.changes().count() as u64, people.changes_len());
    }
}

#[test]
fn nothing_of_a_person_reaches_debug() {
    let people = REFORM.people(1, 1).unwrap();
    let life = people.life(0);
    let texts = format!("{:?} {:?} {:?}", people.before().next(), life.before(), life.before().record.facts);
    let facts = life.before().record.facts.clone();
    assert!(!texts.contains(&facts.id) && !texts.contains(&facts.name), "{texts}");
}
