//! A running node: other commands work through it, HTTP answers, SIGTERM ends it well and kill -9 loses nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Place, Up, until};

pub const UNITS: &str = "don-vi-hanh-chinh";

/// A commune of a province.
fn unit(code: u32, province: &str, end: Option<&str>) -> Value {
    json!({
        "Ma": format!("{code:05}"), "HieuLucTu": "2025-07-01", "HieuLucDen": end, "Ten": format!("Phường số {code}"),
        "TenTA": null, "Cap": 3, "CapTren": province, "MaTinh": province, "ViDo": null, "KinhDo": null,
        "DienTich": null, "KeThua": [], "VanBan": [],
    })
}

pub fn key(code: u32) -> String {
    format!("[\"{code:05}\",\"2025-07-01\"]")
}

/// 40 communes, of which province 79 has 30.
fn units() -> String {
    let line = |code: u32| unit(code, if code.is_multiple_of(4) { "01" } else { "79" }, None).to_string() + "\n";
    (1..=40).map(line).collect()
}

/// A place with the shipped state applied and the communes in a file.
pub fn place() -> Place {
    let place = Place::with_shipped_applied();
    place.write("units.jsonl", units());
    place
}

pub fn produce(place: &Place) -> Value {
    place.kenh(["produce", UNITS, "--from", "units.jsonl", "--output", "json"]).ok().json()
}

#[test]
fn commands_work_through_the_node_that_runs() {
    let place = place();
    let up = Up::start(&place, &["H29", "G12"]);
    assert_eq!(produce(&place)["admitted"], 40);
    assert_eq!(produce(&place)["repeated"], 40);
    up.await_rows("H29", UNITS, 30);
    up.await_rows("G12", UNITS, 40);

    let status = place.kenh(["status", "--output", "json"]).ok().json();
    assert_eq!((&status["running"], &status["address"]), (&json!(true), &json!(up.address)));
    assert_eq!(status["status"]["router"]["counts"]["admitted"], 40);
    place.kenh(["status"]).ok().prints("ready at http://");
    place.kenh(["doctor"]).ok().prints("directory");
    place.kenh(["apply", "schemas", "broker-config"]).ok().prints("nothing to do");
    place.kenh(["grant", "list"]).ok().prints("h29-don-vi-hanh-chinh");

    // The node's copies, through the node.
    let view = |verb: &str, more: &[&str], input: &str| {
        place.kenh_reading(["view", verb, "H29", UNITS].iter().chain(more), input)
    };
    let found = view("get", &["--output", "json"], &key(2)).ok().json();
    assert_eq!(found[0]["value"]["Ten"], "Phường số 2");
    view("get", &[], &key(4)).exits(1).complains("1 of 1 keys are not in this copy");
    let listed = view("list", &["--limit", "12", "--page", "3", "--output", "json"], "").ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 6);
    let found = view("search", &["--output", "json"], "Ten == \"Phường số 7\"").ok().json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["value"]["Ma"]), (1, &json!("00007")));
    view("search", &[], "Tenn == \"x\"").exits(2).complains("did you mean Ten?");
    assert_eq!(view("export", &[], "").ok().stdout.lines().count(), 30);
    let digest = view("digest", &["--output", "json"], "").ok().json();
    assert_eq!(digest["rows"], 30);

    // A copy of another agency, kept by another process, over the node's log.
    let copy = place.kenh(["subscribe", "G01", "--once", "--output", "json"]).ok().json();
    let units = copy.as_array().unwrap().iter().find(|c| c["dataset"] == UNITS).unwrap();
    assert_eq!((&units["rows"], &units["complete"]), (&json!(40), &json!(true)));

    // What the bus rejects.
    place.write("other.jsonl", unit(1, "79", Some("2026-01-01")).to_string());
    place.kenh(["produce", UNITS, "--from", "other.jsonl"]).exits(3).complains("version-conflict");
    place.kenh(["dead-letter", "list", UNITS]).ok().prints("version-conflict");

    // A record that leaves a filter is gone from the copy, while the node runs.
    place.write("gone.jsonl", unit(1, "79", Some("2026-01-01")).to_string());
    place.kenh(["produce", UNITS, "--from", "gone.jsonl", "--record-version", "2"]).ok();
    up.await_rows("H29", UNITS, 29);

    // A revoked grant takes its copy away.
    place.kenh(["grant", "revoke", "h29-don-vi-hanh-chinh"]).ok();
    until("the copy to be purged", || {
        let status = up.get(&format!("/v1/views/H29/{UNITS}")).status;
        (status == 404).then_some(())
    });
    place.kenh(["grant", "list", "--output", "json"]).ok().prints("revoked");
    // Declared as active still: its id is never used again.
    place.kenh(["apply", "schemas", "broker-config"]).exits(3).complains("h29-don-vi-hanh-chinh");
    up.stop();
}

#[test]
fn a_second_node_on_the_directory_is_refused() {
    let place = Place::with_shipped_applied();
    let up = Up::start(&place, &[]);
    place.kenh(["up"]).exits(1).complains(&format!("is open in process {}", up.pid()));
    assert_eq!(up.get("/health/live").status, 200);
    up.stop();
}

#[test]
fn sigterm_ends_a_busy_node_within_ten_seconds() {
    let place = place();
    let up = Up::start(&place, &["G01", "G12", "G18", "H29"]);
    produce(&place);
    let begun = Instant::now();
    let said = up.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(said.contains("unsigned") && said.contains("không có chữ ký"), "{said}");
    // Nothing was lost by it.
    assert_eq!(produce(&place)["repeated"], 40);
}

#[test]
fn a_killed_node_loses_nothing_and_leaves_nothing_in_the_way() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    produce(&place);
    up.kill();
    assert!(place.path("data/node.json").exists());
    // Its address file is not believed.
    place.kenh(["status"]).ok().prints("no node runs on");
    assert_eq!(produce(&place)["repeated"], 40);

    let up = Up::start(&place, &["H29"]);
    up.await_rows("H29", UNITS, 30);
    assert_eq!(produce(&place)["repeated"], 40);
    let digest = up.get(&format!("/v1/views/H29/{UNITS}/digest")).json()["digest"].clone();
    up.kill();
    let up = Up::start(&place, &["H29"]);
    up.await_rows("H29", UNITS, 30);
    assert_eq!(up.get(&format!("/v1/views/H29/{UNITS}/digest")).json()["digest"], digest);
    up.stop();
}

#[test]
fn health_and_metrics() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(up.get_with(path, None).status, 200);
    }
    assert_eq!(up.get("/health/ready").json(), json!({ "ready": true, "reasons": [] }));

    let metrics = up.get("/metrics");
    assert!(metrics.content_type.starts_with("text/plain; version=0.0.4"), "{}", metrics.content_type);
    let samples = prometheus(&metrics.text());
    let value = |name: &str| samples.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1;
    assert!((value("kenh_ready") - 1.0).abs() < f64::EPSILON);
    assert!((value("kenh_submitted_changes_total{outcome=\"admitted\"}") - 40.0).abs() < f64::EPSILON);
    let rows = format!("kenh_copy_rows{{agency=\"H29\",dataset=\"{UNITS}\",view=\"main\"}}");
    assert!((value(&rows) - 30.0).abs() < f64::EPSILON);
    up.stop();
}

/// Samples of Prometheus's text format 0.0.4, held to its rules: a TYPE before the first sample of a name, each sample
/// once, names and labels of its alphabet, numbers.
fn prometheus(text: &str) -> Vec<(String, f64)> {
    assert!(text.ends_with('\n'));
    let named = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let (mut types, mut seen, mut samples) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned()), "{name} has two types");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, number) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no sample"));
        let (name, labels) = series.split_once('{').map_or((series, None), |(n, l)| (n, Some(l)));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
        assert!(named(name) && (types.contains(name) || types.contains(base)), "{line:?} has no type");
        for label in labels.into_iter().flat_map(|l| l.strip_suffix('}').unwrap().split("\",")) {
            let (label, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            assert!(named(label) && !value.trim_end_matches('"').contains(['"', '\\', '\n']), "{line:?}");
        }
        assert!(seen.insert(series.to_owned()), "{series} twice");
        samples.push((series.to_owned(), number.parse().unwrap()));
    }
    samples
}

#[test]
fn a_view_is_paged_looked_up_searched_and_exported() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    let base = format!("/v1/views/H29/{UNITS}");

    let (mut keys, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = up.get(&format!("{base}?limit=7{after}")).json();
        assert_eq!((&page["agency"], &page["synthetic"]), (&json!("H29"), &json!(false)));
        assert!(page["asOf"]["clockMs"].as_i64().is_some());
        pages += 1;
        keys.extend(page["rows"].as_array().unwrap().iter().map(|r| r["key"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(ticket) => {
                assert!(keys.iter().all(|k| !ticket.contains(&k[2..7])), "a key in a ticket");
                after = format!("&after={ticket}");
            }
            None => break,
        }
    }
    let wanted: Vec<_> = (1..=40).filter(|c| c % 4 != 0).map(key).collect();
    assert_eq!((keys, pages), (wanted, 5));

    let found = up.post(&format!("{base}/lookup"), &json!({ "keys": [key(3), key(4), key(5)] })).json();
    let codes: Vec<_> = found["rows"].as_array().unwrap().iter().map(|r| r["value"]["Ma"].clone()).collect();
    assert_eq!(codes, [json!("00003"), Value::Null, json!("00005")]);

    let search = |filter: &str| up.post(&format!("{base}/search"), &json!({ "filter": filter }));
    assert_eq!(search("Ma in [\"00001\", \"00002\", \"00004\"]").json()["rows"].as_array().unwrap().len(), 2);
    let wrong = search("Ma == 1");
    assert_eq!((wrong.status, &wrong.json()["error"]), (422, &json!("bad-filter")));

    let exported = |format: &str| up.get(&format!("{base}/export?format={format}"));
    assert_eq!(exported("jsonl").text().lines().count(), 30);
    let csv = exported("csv");
    assert_eq!((csv.text().lines().count(), csv.content_type.as_str()), (31, "text/csv; charset=utf-8"));
    assert_eq!(apache_avro::Reader::new(&exported("avro").body[..]).unwrap().count(), 30);
    assert_eq!(exported("xml").status, 400);

    let digest = up.get(&format!("{base}/digest")).json();
    assert_eq!((&digest["rows"], digest["digest"].as_str().unwrap().len()), (&json!(30), 64));

    let stale = up.get(&format!("{base}?after=0123456789abcdef"));
    assert_eq!((stale.status, &stale.json()["error"]), (410, &json!("cursor-gone")));
    // A wrong question is refused in our form, not in the library's.
    for wrong in [
        up.get(&format!("{base}?limit=many")),
        up.get(&format!("{base}?keys=1")),
        up.post(&format!("{base}/lookup"), &json!({ "key": "1" })),
        up.post(&format!("{base}/search"), &json!({})),
    ] {
        assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("bad-request")), "{}", wrong.text());
    }
    up.stop();
}

#[test]
fn whoever_shows_no_token_learns_nothing() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    let paths = [
        "/metrics".to_owned(),
        "/v1/status".to_owned(),
        format!("/v1/views/H29/{UNITS}"),
        format!("/v1/views/H29/{UNITS}/export"),
        "/v1/views/X99/nothing".to_owned(),
        "/subjects".to_owned(),
        "/nowhere".to_owned(),
    ];
    let reversed: String = up.token.chars().rev().collect();
    for authorization in [None, Some(format!("Bearer {reversed}")), Some("Bearer ".into()), Some(up.token.clone())] {
        let answers: Vec<Answer> = paths.iter().map(|p| up.get_with(p, authorization.as_deref())).collect();
        for answer in &answers {
            assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("unauthorised")));
            assert_eq!(answer.body, answers[0].body, "an answer without a token tells what there is");
        }
    }
    up.stop();
}

#[test]
fn unknown_and_not_kept_look_the_same() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    produce(&place);
    up.await_rows("H29", UNITS, 30);
    // Kept by nobody here, not granted, no such agency, no such dataset, no such view, no names at all.
    let paths = [
        format!("/v1/views/G12/{UNITS}"),
        "/v1/views/H29/ho-tich".into(),
        format!("/v1/views/X99/{UNITS}"),
        format!("/v1/views/H29/{UNITS}?view=other"),
        "/v1/views/%20/%2F".into(),
    ];
    let answers: Vec<_> = paths.iter().map(|p| up.get(p)).map(|a| (a.status, a.text())).collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
        assert_eq!(answer.0, 404);
    }
    up.stop();
}
