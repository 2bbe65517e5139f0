//! Every refusal of a record: its number, field and rule; the others go on; exit code 3; reports in both languages.

use std::collections::BTreeSet;
use std::path::Path;

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, Writer};
use serde_json::{Value, json};

use crate::harness::{Place, Said};

/// A synthetic person who breaks no rule.
pub fn person(number: u32) -> Value {
    let text = include_str!("../../schemas/dan-cu/examples/valid/man-born-1985.json");
    let mut person: Value = serde_json::from_str(text).unwrap();
    person["SoDinhDanh"] = format!("079085{number:06}").into();
    person
}

/// A person with one field replaced; the field is a JSON pointer.
fn person_with(number: u32, field: &str, value: Value) -> Value {
    let mut person = person(number);
    *person.pointer_mut(field).unwrap() = value;
    person
}

/// The same without a field.
fn person_without(number: u32, field: &str) -> Value {
    let mut person = person(number);
    person.as_object_mut().unwrap().remove(field).unwrap();
    person
}

/// A change as the flat envelope, with one field of it replaced.
fn enveloped(field: &str, value: Value, record: Value) -> Value {
    let mut change = json!({ "SuKien": "NEW", "PhienBan": 1, "ThoiGianCapNhat": "2025-10-01T08:00:00" });
    change[field] = value;
    change["DuLieu"] = record;
    change
}

/// Lines of a file, and of the bad ones number, rule and field.
struct File {
    bytes: Vec<u8>,
    lines: u64,
    bad: Vec<(u64, &'static str, &'static str)>,
}

impl File {
    fn good(&mut self, line: Value) {
        self.lines += 1;
        self.bytes.extend(line.to_string().into_bytes());
        self.bytes.push(b'\n');
    }

    /// The line before breaks this rule too.
    fn also(&mut self, rule: &'static str, field: &'static str) {
        self.bad.push((self.lines, rule, field));
    }

    /// How many lines are bad.
    fn rejected(&self) -> u64 {
        self.bad.iter().map(|(number, ..)| number).collect::<BTreeSet<_>>().len() as u64
    }

    fn bad(&mut self, line: impl Into<Vec<u8>>, rule: &'static str, field: &'static str) {
        self.lines += 1;
        self.bytes.extend(line.into());
        self.bytes.push(b'\n');
        self.bad.push((self.lines, rule, field));
    }
}

fn everything() -> File {
    let mut file = File { bytes: Vec::new(), lines: 0, bad: Vec::new() };
    file.good(person(1));
    file.bad("{\"SoDinhDanh\":\"079085000002\",", "malformed", "");
    file.bad(person_with(3, "/GioiTinh", json!("1")).to_string(), "wrong-type", "GioiTinh");
    let mut unknown = person(4);
    unknown["ChieuCao"] = json!(170);
    file.bad(unknown.to_string(), "unknown-field", "ChieuCao");
    file.bad(person_without(5, "SoDinhDanh").to_string(), "missing-key", "SoDinhDanh");
    file.bad(person_with(6, "/SoDinhDanh", json!("07908500006")).to_string(), "element", "SoDinhDanh");
    file.good(person(7));
    file.bad(person_with(8, "/NoiOHienTai/MaXa", json!("99999")).to_string(), "code-list", "NoiOHienTai.MaXa");
    file.bad(enveloped("PhienBan", json!(0), person(9)).to_string(), "version-low", "PhienBan");
    let future = json!("2999-01-01T00:00:00");
    file.bad(enveloped("ThoiGianCapNhat", future, person(10)).to_string(), "updated-in-future", "ThoiGianCapNhat");
    let future = json!("2999-01-01");
    file.bad(enveloped("NgayHieuLuc", future, person(11)).to_string(), "effective-in-future", "NgayHieuLuc");
    file.bad(person_with(12, "/HoVaTen", json!("x".repeat(5_000_000))).to_string(), "too-large", "");
    let text = person(13).to_string();
    let (head, tail) = text.split_once("Văn").unwrap();
    file.bad([head.as_bytes(), b"V\xe3n", tail.as_bytes()].concat(), "not-utf-8", "HoVaTen");
    file.bad(person_with(14, "/HoVaTen", json!("Nguye\u{302}\u{303}n Văn An")).to_string(), "not-nfc", "HoVaTen");
    file.also("element", "HoVaTen");
    file.bad(person_with(15, "/GioiTinh", json!(2)).to_string(), "id-sex", "GioiTinh");
    file.bad("[]", "wrong-type", "");
    file.good(person(17));
    file
}

/// Number, rule and field of what was listed.
fn listed(rejections: &Value) -> BTreeSet<(u64, String, String)> {
    let text = |r: &Value, name: &str| r[name].as_str().unwrap().to_owned();
    let of = |r: &Value| (r["number"].as_u64().unwrap(), text(r, "rule"), text(r, "field"));
    rejections.as_array().unwrap().iter().map(of).collect()
}

#[track_caller]
fn assert_listed(said: &Said, wanted: &[(u64, &str, &str)]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|(n, r, f)| (*n, (*r).to_owned(), (*f).to_owned())).collect();
    assert_eq!(listed(&said.json()["rejections"]), wanted);
}

#[test]
fn each_bad_record_is_named_and_the_others_go_on() {
    let place = Place::for_people();
    let file = everything();
    place.write("people.jsonl", &file.bytes);
    let good = file.lines - file.rejected();

    let args = ["dan-cu", "--from", "people.jsonl", "--output", "json"];
    let checked = place.kenh(["check"].iter().chain(&args)).exits(3);
    assert_listed(&checked, &file.bad);
    assert_eq!((&checked.json()["read"], &checked.json()["good"]), (&json!(file.lines), &json!(good)));

    let produced = place.kenh(["produce"].iter().chain(&args).chain(&["--report", "all.jsonl"])).exits(3);
    assert_listed(&produced, &file.bad);
    let document = produced.json();
    assert_eq!((&document["admitted"], &document["unanswered"]), (&json!(good), &json!(0)));
    assert_eq!(document["rejected"], file.rejected());

    // Exactly the good ones arrived.
    place.kenh(["subscribe", "G01", "--once"]).ok();
    let held = place.kenh(["view", "list", "G01", "dan-cu", "--output", "json"]).ok().json();
    let keys: Vec<_> = held.as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["079085000001", "079085000007", "079085000017"]);

    // The report as JSON lines: whole, in both languages, without a value of a record.
    let report = place.read("all.jsonl");
    let rows: Vec<Value> = report.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(listed(&rows.clone().into()), listed(&document["rejections"]));
    for row in &rows {
        for name in ["message", "message_vi", "hint", "hint_vi"] {
            assert!(!row[name].as_str().unwrap().is_empty(), "{name} is empty in {row}");
        }
        assert_ne!(row["message"], row["message_vi"]);
    }
    // The same as CSV.
    place.kenh(["produce"].iter().chain(&args).chain(&["--report", "all.csv"])).exits(3);
    let csv = place.read("all.csv");
    let head = csv.lines().next().unwrap().trim_start_matches('\u{feff}');
    assert_eq!(head, "number,line,field,rule,stage,message,message_vi,hint,hint_vi");
    assert_eq!(csv.lines().count(), 1 + rows.len());
    for (number, rule, field) in &file.bad {
        // Which communes there are is known to the bus alone.
        let row = match *rule {
            "code-list" => format!("\n{number},,{field},{rule},bus,"),
            _ => format!("\n{number},{number},{field},{rule},source,"),
        };
        assert!(csv.contains(&row), "no {number} {rule} in {csv}");
    }
    for text in [&report, &csv, &produced.stderr, &produced.stdout] {
        for value in ["079085", "Nguy", "99999", "Lê Lợi", "xxxxx"] {
            assert!(!text.contains(value), "{value:?}, a value of a record, in\n{text}");
        }
    }

    // For people: on stderr, in both languages, with what to do.
    place
        .kenh(["check", "dan-cu", "--from", "people.jsonl"])
        .exits(3)
        .complains("record 8 (line 8): code-list NoiOHienTai.MaXa")
        .complains("mã không có trong danh mục")
        .complains("personal-id: personal ID, 12 digits")
        .complains("personal-id: số định danh cá nhân, 12 chữ số")
        .complains("check the code and its start date against the list / đối chiếu mã")
        .prints(&format!("{} rejected; nothing was sent", file.rejected()));
}

/// JSON as Avro that can be resolved: texts that are dates are days since 1970.
fn avro(json: &Value) -> Avro {
    match json {
        Value::Null => Avro::Null,
        Value::Number(number) => Avro::Int(i32::try_from(number.as_i64().unwrap()).unwrap()),
        Value::String(text) if text == "2025-07-01" => Avro::Date(20_270),
        Value::String(text) if text == "2025-03-01" => Avro::Date(20_148),
        Value::String(text) => Avro::String(text.clone()),
        Value::Object(fields) => Avro::Record(fields.iter().map(|(name, f)| (name.clone(), avro(f))).collect()),
        other => panic!("a person has no {other}"),
    }
}

/// A container of people, one block each.
fn container(schema: &Path, people: &[Value]) -> Vec<u8> {
    let schema = Schema::parse_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let mut writer = Writer::new(&schema, Vec::new()).unwrap();
    for person in people {
        let value = avro(person).resolve(&schema).unwrap();
        writer.append_value(value).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn of_a_container_that_is_cut_off_the_whole_records_are_taken() {
    let place = Place::for_people();
    let whole = container(&place.path("schemas/dan-cu/v1.avsc"), &[person(1), person(2), person(3)]);
    place.write("people.avro", &whole[..whole.len() - 30]);
    let args = ["produce", "dan-cu", "--from", "people.avro", "--output", "json"];
    let said = place.kenh(args).exits(3);
    assert_listed(&said, &[(3, "truncated", "")]);
    assert_eq!(said.json()["admitted"], 2);
    place.write("people.avro", &whole);
    let said = place.kenh(args).ok().json();
    assert_eq!((&said["admitted"], &said["repeated"]), (&json!(1), &json!(2)));

    place.write("people.avro", "this is no container");
    place.kenh(args).exits(2).complains("people.avro: the Avro container file: it does not start like one");
}

#[test]
fn what_only_the_bus_can_know_is_rejected_there_and_kept_as_a_dead_letter() {
    let place = Place::for_people();
    place.write("one.jsonl", person(1).to_string());
    let args = ["produce", "dan-cu", "--from", "one.jsonl", "--output", "json", "--submission"];
    place.kenh(args.iter().chain(&["first"])).ok();
    place.write("one.jsonl", person_with(1, "/HoVaTen", json!("Trần Thị Bình")).to_string());
    let said = place.kenh(args.iter().chain(&["second", "--report", "bus.jsonl"])).exits(3);
    assert_listed(&said, &[(1, "version-conflict", "PhienBan")]);
    assert!(place.read("bus.jsonl").contains(r#""stage":"bus""#));

    let letters = place.kenh(["dead-letter", "list", "dan-cu", "--output", "json"]).ok().json();
    assert_eq!(letters.as_array().unwrap().len(), 1);
    assert_eq!(letters[0]["detail"]["submission"], "second");
    let name = letters[0]["letter"].as_str().unwrap();
    place
        .kenh(["dead-letter", "show", "dan-cu", name])
        .ok()
        .prints("version-conflict")
        .prints("raise the version with every change of content")
        .prints("tăng phiên bản");
    place.kenh(["dead-letter", "show", "dan-cu", "G01/0/999"]).exits(1).complains("there is no dead letter");
}

#[test]
fn another_agency_cannot_provide() {
    let place = Place::with_shipped_applied();
    place.write("one.jsonl", person(1).to_string());
    let args = ["produce", "dan-cu", "--from", "one.jsonl", "--as", "G12", "--output", "json"];
    place.kenh(args).exits(2).complains("G12 does not provide dan-cu; its contract names G01");
}

#[test]
fn a_tax_code_with_a_wrong_digit() {
    let place = Place::new();
    place.write("doanh-nghiep.csv", "Mã số thuế,Tên\n0100109106,Tập đoàn\n0100109107,Một chữ số sai\n");
    place.kenh(["new", "dataset", "--from", "doanh-nghiep.csv"]).ok();
    let contract = "schemas/doanh-nghiep/contract.yaml";
    let before = "        customProperties:\n";
    place.edit(contract, before, &format!("{before}          - property: kenh.element\n            value: tax-code\n"));
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    let said = place.kenh(["produce", "doanh-nghiep", "--from", "doanh-nghiep.csv", "--output", "json"]).exits(3);
    assert_listed(&said, &[(2, "check-digit", "MaSoThue")]);
    assert_eq!(said.json()["rejections"][0]["line"], 3);
    assert_eq!(said.json()["admitted"], 1);
}

#[test]
fn a_table_that_its_mapping_does_not_fit_is_wrong_use() {
    let place = Place::new();
    place.write("so.csv", "Mã,Tên\n01,Một\n");
    place.kenh(["new", "dataset", "--from", "so.csv"]).ok();
    place.write("so.csv", "Mã,Tên,Thêm\n01,Một,x\n");
    for command in ["check", "produce"] {
        if command == "produce" {
            place.kenh(["apply", "schemas", "broker-config"]).ok();
        }
        place.kenh([command, "so", "--from", "so.csv"]).exits(2).complains("so.csv: ").complains("Thêm");
    }
}

#[test]
fn what_cannot_be_read_at_all_is_wrong_use() {
    let place = Place::with_shipped_applied();
    for (args, why) in [
        (&["produce", "dan-cu", "--from", "nowhere.jsonl"][..], "nowhere.jsonl cannot be read"),
        (&["check", "dan-cu", "--from", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (&["produce", "ho-tich", "--from", "nowhere.jsonl"], "there is no dataset ho-tich"),
        (&["check", "ho-tich", "--from", "nowhere.jsonl"], "there is no dataset ho-tich"),
        (&["produce", "dan-cu", "--from", "-"], "--format"),
        (&["produce", "Dân cư", "--from", "-"], "dataset"),
    ] {
        place.kenh(args).exits(2).complains(why);
    }
}

#[test]
fn standard_input_and_the_national_envelope() {
    let place = Place::for_people();
    let said = place.kenh_reading(
        ["produce", "dan-cu", "--from", "-", "--format", "jsonl", "--output", "json"],
        person(1).to_string() + "\n" + &person(2).to_string(),
    );
    assert_eq!(said.ok().json()["admitted"], 2);
    let change = json!({
        "NguonDuLieu": { "IdNguonDuLieu": "csdl-dan-cu" },
        "TrangThaiDuLieu": { "SuKien": "EDIT", "PhienBan": 2, "ThoiGianCapNhat": "2025-10-01T08:00:00" },
        "DuLieuTiepNhan": person_with(1, "/TinhTrangHonNhan", json!(3)),
    });
    place.write("batch.json", json!({ "DanhSach": { "Root": [change, change] } }).to_string());
    let said =
        place.kenh(["produce", "dan-cu", "--from", "batch.json", "--format", "envelope", "--output", "json"]).ok();
    assert_eq!((&said.json()["admitted"], &said.json()["repeated"]), (&json!(1), &json!(1)));
}
