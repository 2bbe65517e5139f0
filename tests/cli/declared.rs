//! Every refusal of declared state: file, line and column, a hint, exit code 3, and nothing changed.

use crate::harness::Place;

/// Breaks one file of the shipped state, applies, and finds the problem where it is.
#[track_caller]
fn refused(file: &str, what: &str, with: &str, place_in_file: &str, message: &str, hint: &str) {
    let place = Place::with_shipped_applied();
    let before = contracts_and_grants(&place);
    place.edit(file, what, with);
    for more in [&["--plan"][..], &[]] {
        let said = place.kenh(["apply", "schemas", "broker-config"].iter().chain(more)).exits(3);
        let line = said
            .stderr
            .lines()
            .find(|l| l.starts_with(&format!("{file}:{place_in_file}")) && l.contains(message))
            .unwrap_or_else(|| panic!("no {file}:{place_in_file} … {message} in\n{}", said.stderr));
        assert!(line.contains(hint), "no hint {hint:?} in {line}");
        assert!(said.stderr.contains("nothing was changed") && said.stdout.is_empty(), "{}", said.stdout);
    }
    assert_eq!(contracts_and_grants(&place), before);
    // And it is the only thing that stood in the way.
    place.edit(file, with, what);
    place.kenh(["apply", "schemas", "broker-config"]).ok().prints("nothing to do");
}

fn contracts_and_grants(place: &Place) -> [String; 3] {
    let show = |what: &str| place.kenh([what, "list", "--output", "json"]).ok().stdout;
    [show("contract"), show("schema"), show("grant")]
}

const H29: &str = "broker-config/grants/h29-dan-cu.yaml";
const G12: &str = "broker-config/grants/g12-don-vi-hanh-chinh.yaml";
const CONTRACT: &str = "schemas/dan-cu/contract.yaml";

#[test]
fn an_unknown_key_in_a_grant() {
    refused(H29, "purpose:", "purpos:", "8:1:", "has no key `purpos`", "did you mean `purpose`?");
}

#[test]
fn an_unknown_key_in_a_contract() {
    refused(CONTRACT, "status: active", "status: active\nstatsu: active", "9:1:", "statsu", "");
}

#[test]
fn a_field_that_does_not_exist_is_granted() {
    refused(H29, "  - HoVaTen", "  - HoTen", "14:5:", "HoTen", "");
}

#[test]
fn a_filter_on_a_field_that_does_not_exist() {
    refused(G12, "filter: HieuLucDen == null", "filter: HieuLucDn == null", "12:9:", "HieuLucDn", "HieuLucDen");
}

#[test]
fn a_filter_on_a_field_that_is_not_granted() {
    refused(G12, "filter: HieuLucDen == null", "filter: TenTA == null", "12:9:", "TenTA", "");
}

#[test]
fn a_type_error_in_a_filter() {
    refused(H29, "MaTinh == \"79\"", "MaTinh == 79", "22:31:", "NoiOHienTai.MaTinh", "write the text in quotes");
}

#[test]
fn a_missing_schema_file() {
    let place = Place::with_shipped_applied();
    std::fs::remove_file(place.path("schemas/dan-cu/v1.avsc")).unwrap();
    place
        .kenh(["apply", "schemas", "broker-config"])
        .exits(3)
        .complains("schemas/dan-cu/v1.avsc: the contract's schema is missing")
        .complains("nothing was changed");
    place.kenh(["apply", "schemas", "nowhere"]).exits(3).complains("nowhere: cannot be read");
}

#[test]
fn problems_as_json_name_file_line_and_column() {
    let place = Place::with_shipped();
    place.edit(H29, "purpose:", "purpos:");
    let said = place.kenh(["apply", "schemas", "broker-config", "--output", "json"]).exits(3);
    let problems = said.json();
    let found = problems["problems"].as_array().unwrap().iter().find(|p| p["line"] == 8).unwrap();
    assert_eq!((found["file"].as_str(), found["column"].as_u64()), (Some(H29), Some(1)));
    assert!(!place.path("data/log").exists(), "a refused plan made a log");
}

#[test]
fn a_released_schema_is_never_edited() {
    let place = Place::with_shipped_applied();
    place.edit("schemas/dan-cu/v1.avsc", "\"DanToc\"", "\"Dantoc\"");
    place.edit(CONTRACT, "name: DanToc", "name: Dantoc");
    place
        .kenh(["apply", "schemas", "broker-config"])
        .exits(3)
        .complains("schemas/dan-cu")
        .complains("nothing was changed");
}
