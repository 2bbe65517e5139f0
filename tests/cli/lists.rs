//! The communes of the shipped people are the records of the shipped units.

use kenh_testkit::builders;
use serde_json::{Value, json};

use crate::bad_input::person;
use crate::harness::{Place, Said};

const CONTRACT: &str = "schemas/dan-cu/contract.yaml";

fn lines(records: impl IntoIterator<Item = Value>) -> String {
    records.into_iter().map(|record| format!("{record}\n")).collect()
}

fn produce(place: &Place, dataset: &str, file: &str) -> Said {
    place.kenh(["produce", dataset, "--from", file, "--output", "json"])
}

#[test]
fn a_new_code_is_a_record_and_no_new_contract() {
    let place = Place::with_shipped();
    place.write("people.jsonl", lines([person(1), person(2)]));
    // Where nothing is applied yet there is no list; whoever checks is told that it was not asked.
    let checked = place.kenh(["check", "dan-cu", "--from", "people.jsonl", "--output", "json"]).ok().json();
    assert_eq!(checked["notAsked"], json!([{"codeList": "don-vi-cap-xa", "dataset": "don-vi-hanh-chinh"}]));
    let checked = place.kenh(["check", "dan-cu", "--from", "people.jsonl"]).ok();
    checked.complains("not asked here").complains("chưa kiểm tra");
    place.kenh(["apply", "schemas", "broker-config"]).ok();

    // Nobody has said yet that there is such a commune.
    let said = produce(&place, "dan-cu", "people.jsonl").exits(3).json();
    assert_eq!((&said["sent"], &said["rejected"]), (&json!(2), &json!(2)), "{said}");
    let first = &said["rejections"][0];
    assert_eq!((&first["rule"], &first["field"]), (&json!("code-list"), &json!("NoiOHienTai.MaXa")));
    let checked = place.kenh(["check", "dan-cu", "--from", "people.jsonl", "--output", "json"]).exits(3).json();
    assert_eq!((&checked["notAsked"], &checked["rejections"][0]["rule"]), (&json!([]), &json!("code-list")));

    place.write("units.jsonl", builders::communes());
    assert_eq!(produce(&place, "don-vi-hanh-chinh", "units.jsonl").ok().json()["admitted"], 3);
    assert_eq!(produce(&place, "dan-cu", "people.jsonl").ok().json()["admitted"], 2);

    // The commune bears its code since another day.
    let mut other = person(3);
    other["NoiOHienTai"]["MaXaTu"] = "2025-07-02".into();
    place.write("people.jsonl", lines([other, person(4)]));
    let said = produce(&place, "dan-cu", "people.jsonl").exits(3).json();
    assert_eq!((&said["admitted"], &said["rejections"][0]["rule"]), (&json!(1), &json!("code-list")));
}

#[test]
fn a_code_list_that_cannot_be_read_is_refused_with_its_line() {
    let place = Place::with_shipped_applied();
    place.edit(CONTRACT, "\nversion: 1.0.0", "\nversion: 1.1.0");
    let list = "      - name: don-vi-cap-xa\n        dataset: don-vi-hanh-chinh\n        code: Ma\n";
    for (what, with, says) in [
        ("dataset: don-vi-hanh-chinh", "dataset: don-vi", "there is no dataset don-vi"),
        ("dataset: don-vi-hanh-chinh", "dataset: dan-cu", "dan-cu is not open"),
        ("code: Ma\n", "code: Maa\n", "Maa of don-vi-hanh-chinh, schema version 1, is no field"),
        ("from: HieuLucTu", "from: Ten", "is a string; a code list needs a date"),
        ("rows: Cap == 3", "rows: Cap == 'x'", "the rows of don-vi-hanh-chinh that are the code list"),
        ("code: Ma\n", "code: Ma\n        until: HieuLucDen\n", "until"),
        (list, &format!("{list}{list}"), "code list don-vi-cap-xa is described twice"),
        (list, &format!("{list}{}", list.replace("don-vi-cap-xa", "khac")), "no field uses the code list khac"),
    ] {
        let before = place.read(CONTRACT);
        place.edit(CONTRACT, what, with);
        let said = place.kenh(["apply", "schemas", "broker-config"]).exits(3).complains(says);
        said.complains("schemas/dan-cu/contract.yaml:");
        place.write(CONTRACT, before);
    }
    place.write("schemas/dan-cu/code-lists/don-vi-cap-xa.csv", "code\n26740@2025-07-01\n");
    place.kenh(["apply", "schemas", "broker-config"]).exits(3).complains("keep one of the two");
    std::fs::remove_file(place.path("schemas/dan-cu/code-lists/don-vi-cap-xa.csv")).unwrap();
    place.kenh(["apply", "schemas", "broker-config"]).ok();

    // Nor does the list's own contract take away what others read of it.
    let units = "schemas/don-vi-hanh-chinh/contract.yaml";
    place.edit(units, "\nversion: 1.0.0", "\nversion: 1.1.0");
    place.edit(units, "  - property: kenh.open\n    value: true\n", "");
    let said = place.kenh(["apply", "schemas/don-vi-hanh-chinh", "broker-config/agencies"]).exits(3);
    said.complains("code list don-vi-cap-xa of dan-cu: don-vi-hanh-chinh is not open").complains(units);
}
