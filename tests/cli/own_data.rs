//! The README's second chapter: a table of one's own, with Vietnamese headers, codes that begin with zeros, dates with
//! the day first and semicolons, from a file to another agency's copy.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use serde_json::{Value, json};

use crate::harness::{Place, Said};

const TABLE: &str = "Mã cơ sở;Tên cơ sở;Ngày cấp phép;Số giường;Ghi chú
01A01;Trạm y tế Hoa Sen;15/03/2021;12;
01A02;Trạm y tế Cây Đa;02/11/2019;8;\"hai tầng; có thang máy\"
007;Phòng khám Đống Đa;31/12/2020;0;khám ngoài giờ
";

const DATASET: &str = "co-so-y-te";

/// The table, with everything made of it that `kenh new dataset` makes, applied.
fn applied() -> Place {
    let place = Place::new();
    place.write("co-so-y-te.csv", TABLE);
    place.kenh(["new", "dataset", "--from", "co-so-y-te.csv"]).ok();
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    place
}

fn produce(place: &Place) -> Said {
    place.kenh(["produce", DATASET, "--from", "co-so-y-te.csv", "--output", "json"])
}

/// Admitted, repeated, stale, rejected.
#[track_caller]
fn assert_counts(said: &Said, wanted: [u64; 4]) {
    let document = said.json();
    let counts = ["admitted", "repeated", "stale", "rejected"].map(|name| document[name].as_u64().unwrap());
    assert_eq!(counts, wanted, "{document}");
}

fn subscribe(place: &Place, store: &str) -> Value {
    place.kenh(["subscribe", "my-reader", "--once", "--store", store, "--output", "json"]).ok().json()[0].clone()
}

/// `kenh view VERB my-reader co-so-y-te …`
fn view(place: &Place, verb: &str, more: &[&str], input: &str) -> Said {
    place.kenh_reading(["view", verb, "my-reader", DATASET].iter().chain(more), input)
}

#[test]
fn a_table_becomes_a_dataset_that_is_applied_once() {
    let place = Place::new();
    place.write("co-so-y-te.csv", TABLE);
    let made = place.kenh(["new", "dataset", "--from", "co-so-y-te.csv", "--output", "json"]).ok().json();
    assert_eq!((&made["dataset"], &made["key"]), (&json!(DATASET), &json!(["MaCoSo"])));
    let names: Vec<_> = made["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["MaCoSo", "TenCoSo", "NgayCapPhep", "SoGiuong", "GhiChu"]);
    // Again: what is there stays as it is.
    let before = (place.files("schemas"), place.files("broker-config"));
    let again = place.kenh(["new", "dataset", "--from", "co-so-y-te.csv", "--output", "json"]).ok().json();
    assert_eq!(again["created"], json!([]));
    assert_eq!((place.files("schemas"), place.files("broker-config")), before);

    // It can be checked before anything is applied.
    place.kenh(["check", DATASET, "--from", "co-so-y-te.csv"]).ok().prints("3 records read, 3 good, 0 rejected");

    place.kenh(["apply", "schemas", "broker-config", "--plan"]).ok().prints("nothing was changed");
    assert!(!place.path("data").exists(), "a plan made a node");
    let plan = place.kenh(["apply", "schemas", "broker-config", "--plan", "--output", "json"]).ok().json();
    assert_eq!(plan["applied"], Value::Null);
    let applied = place.kenh(["apply", "schemas", "broker-config", "--output", "json"]).ok().json();
    assert_eq!(applied["changes"], plan["changes"]);
    assert!(applied["applied"]["events"].as_u64().unwrap() > 0);
    for more in [vec![], vec!["--plan"]] {
        place.kenh(["apply", "schemas", "broker-config"].iter().chain(&more)).ok().prints("nothing to do");
    }
}

#[test]
fn what_is_produced_is_found_in_either_store_and_produced_again_is_repeated() {
    for store in ["sled", "fjall"] {
        let place = applied();
        assert_counts(&produce(&place).ok(), [3, 0, 0, 0]);
        assert_counts(&produce(&place).ok(), [0, 3, 0, 0]);
        let copy = subscribe(&place, store);
        assert_eq!((&copy["state"], &copy["rows"], &copy["complete"]), (&json!("live"), &json!(3), &json!(true)));

        let clinic = json!({
            "MaCoSo": "007", "TenCoSo": "Phòng khám Đống Đa", "NgayCapPhep": "2020-12-31", "SoGiuong": 0,
            "GhiChu": "khám ngoài giờ",
        });
        let listed = view(&place, "list", &["--output", "json"], "").ok().json();
        let keys: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["007", "01A01", "01A02"]);
        assert_eq!(listed[0]["value"], clinic);
        assert_eq!(listed[1]["value"]["GhiChu"], Value::Null);
        view(&place, "list", &[], "").ok().prints("Phòng khám Đống Đa");
        let second = view(&place, "list", &["--limit", "2", "--page", "2", "--output", "json"], "").ok().json();
        assert_eq!(second, json!([listed[2]]));

        let found = view(&place, "get", &["--output", "json"], "007\n").ok().json();
        assert_eq!(found, json!([{ "key": "007", "value": clinic }]));
        let missing = view(&place, "get", &[], "008\n").exits(1).complains("1 of 1 keys");
        assert!(!missing.stderr.contains("008"), "a record key in an error: {}", missing.stderr);

        let wide = view(&place, "search", &["--output", "json"], "SoGiuong >= 8 && NgayCapPhep > \"2020-01-01\"\n");
        assert_eq!(wide.ok().json(), json!([listed[1]]));
        view(&place, "search", &[], "SoGiuongg > 1\n").exits(2).complains("did you mean SoGiuong?");
    }
}

#[test]
fn exports_hold_every_row_in_each_form() {
    let place = applied();
    produce(&place).ok();
    subscribe(&place, "sled");
    let listed = view(&place, "list", &["--output", "json"], "").ok().json();
    let values: Vec<&Value> = listed.as_array().unwrap().iter().map(|row| &row["value"]).collect();

    let lines = view(&place, "export", &[], "").ok().stdout;
    let read: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.iter().collect::<Vec<_>>(), values);

    view(&place, "export", &["--to", "out.csv"], "").ok();
    let csv = place.read("out.csv");
    assert_eq!(csv.lines().next(), Some("MaCoSo,TenCoSo,NgayCapPhep,SoGiuong,GhiChu"));
    assert_eq!(csv.lines().nth(3), Some("01A02,Trạm y tế Cây Đa,2019-11-02,8,hai tầng; có thang máy"));
    assert_eq!(csv.lines().count(), 4);

    view(&place, "export", &["--to", "out.avro"], "").ok();
    let file = std::fs::File::open(place.path("out.avro")).unwrap();
    let rows: Vec<HashMap<String, Avro>> = apache_avro::Reader::new(file)
        .unwrap()
        .map(|row| match row.unwrap() {
            Avro::Record(fields) => fields.into_iter().collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["MaCoSo"], Avro::String("007".into()));
    // Days since 1970 of 31 December 2020.
    assert_eq!((&rows[0]["NgayCapPhep"], &rows[0]["SoGiuong"]), (&Avro::Date(18_627), &Avro::Long(0)));
    assert_eq!(rows[1]["GhiChu"], Avro::Union(0, Box::new(Avro::Null)));
    assert!(!place.path("out.part").exists());

    // The same rows have the same digest in another store.
    let digest = view(&place, "digest", &["--output", "json"], "").ok().json();
    assert_eq!((&digest["rows"], digest["digest"].as_str().unwrap().len()), (&json!(3), 64));
    std::fs::remove_dir_all(place.path("data/copies")).unwrap();
    subscribe(&place, "fjall");
    assert_eq!(view(&place, "digest", &["--output", "json"], "").ok().json()["digest"], digest["digest"]);
}

#[test]
fn of_a_changed_table_exactly_the_changed_rows_are_updated() {
    let place = applied();
    produce(&place).ok();
    let before = subscribe(&place, "sled");
    place.edit("co-so-y-te.csv", ";12;", ";13;");
    place.write("co-so-y-te.csv", place.read("co-so-y-te.csv") + "01A03;Trạm y tế Bàn Cờ;01/02/2024;4;\n");
    assert_counts(&produce(&place).ok(), [2, 2, 0, 0]);
    let after = subscribe(&place, "sled");
    let moved = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    assert_eq!(["inserted", "updated", "left"].map(moved), [1, 1, 0]);
    let found = view(&place, "get", &["--output", "json"], "01A01\n").ok().json();
    assert_eq!(found[0]["value"]["SoGiuong"], 13);
}

#[test]
fn a_narrowed_grant_takes_rows_and_fields_away() {
    let place = applied();
    produce(&place).ok();
    subscribe(&place, "sled");
    let grant = "broker-config/grants/my-reader-co-so-y-te.yaml";
    place.edit(grant, "  - \"GhiChu\"\n", "");
    place.edit(grant, "duration:", "filter: SoGiuong > 0\nduration:");
    place.kenh(["apply", "schemas", "broker-config"]).ok();
    let copy = subscribe(&place, "sled");
    assert_eq!((&copy["edition"], &copy["rows"]), (&json!(2), &json!(2)));
    let listed = view(&place, "list", &["--output", "json"], "").ok().stdout;
    assert!(listed.contains("01A01") && !listed.contains("007") && !listed.contains("GhiChu"), "{listed}");
}

#[test]
fn a_table_that_cannot_be_taken_is_refused_with_its_reason() {
    let place = Place::new();
    place.kenh(["new", "dataset", "--from", "nowhere.csv"]).exits(1).complains("nowhere.csv");
    place.write("rong.csv", "");
    let empty = place.kenh(["new", "dataset", "--from", "rong.csv"]);
    assert_eq!(empty.code, Some(1), "{}", empty.stderr);
    place.write("trung.csv", "Mã;Mã\n1;2\n");
    let twice = place.kenh(["new", "dataset", "--from", "trung.csv"]);
    assert_ne!(twice.code, Some(0), "{}", twice.stdout);
    for left in ["schemas", "broker-config"] {
        assert!(!place.path(left).exists(), "{left} was made for a table that was refused");
    }
}
