//! What an agency holds: after being away, under composite keys, under pseudonyms, from two providers.

use kenh_domain::topic::Topic;
use serde_json::json;

use crate::check::{records, rows};
use crate::ground::Ground;
use crate::roles::{Bus, Sent, sent};
use crate::world::{ALL, Contract, FEW, Fields, Grant, OF_79, OPEN, RowsOf, grant, record};

on_every_log!(
    a_subscriber_away_longer_than_tombstones_comes_back_without_ghosts,
    a_subscriber_away_for_a_week_goes_on_where_it_was,
    two_providers_fill_one_view,
    a_composite_key_names_a_record,
    a_pseudonym_stands_for_one_record_and_one_recipient,
);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn a_subscriber_away_longer_than_tombstones_comes_back_without_ghosts(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    let city = grant("thanh-pho", "H29", OPEN).rows(OF_79);
    bus.grant(&city);
    let first = ["a", "b", "c", "d"].map(|key| sent(key, 1, record(key, "An", "79", 0)));
    bus.send(&first);
    bus.settle();
    bus.check();
    let before = bus.copy(&city).shown().unwrap().as_of;
    bus.leave("H29");
    // a is cancelled, b moves away, c is renamed, e is new; then the tombstones go.
    bus.send(&[
        sent("a", 2, None),
        sent("b", 2, record("b", "An", "01", 0)),
        sent("c", 2, record("c", "Chi", "79", 0)),
        sent("e", 1, record("e", "Em", "79", 0)),
    ]);
    bus.settle();
    bus.tick(32 * DAY_MS);
    bus.log().maintain(bus.now_ms()).unwrap();
    let topic: Topic = "view.H29.ho-so.main.1".parse().unwrap();
    if bus.ground.maintains {
        let left = records(bus.log(), &topic);
        assert!(left.iter().all(|r| r.value.is_some()), "tombstones are still there: this would test nothing");
    }
    bus.keep("H29");
    bus.settle();
    bus.check_copies();
    let after = bus.copy(&city).shown().unwrap().as_of;
    assert!(after.generation > before.generation, "it went on without a fresh fill");
    bus.send(&[sent("d", 2, None), sent("f", 1, record("f", "Phú", "79", 0))]);
    bus.settle();
    bus.check_copies();
    assert_eq!(bus.copy(&city).shown().unwrap().as_of.generation, after.generation);
}

fn a_subscriber_away_for_a_week_goes_on_where_it_was(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let city = grant("thanh-pho", "H29", OPEN).rows(OF_79);
    bus.grant(&city);
    bus.send(&["a", "b", "c"].map(|key| sent(key, 1, record(key, "An", "79", 0))));
    bus.settle();
    let before = bus.copy(&city).shown().unwrap().as_of;
    bus.leave("H29");
    bus.send(&[sent("a", 2, None), sent("b", 2, record("b", "Bình", "79", 0))]);
    bus.settle();
    bus.tick(7 * DAY_MS);
    bus.log().maintain(bus.now_ms()).unwrap();
    bus.keep("H29");
    bus.settle();
    bus.check_copies();
    let after = bus.copy(&city).shown().unwrap().as_of;
    assert_eq!(after.generation, before.generation, "it was filled again without need");
    assert_eq!((after.counters.inserted, after.counters.updated, after.counters.left), (3, 1, 1));
}

fn two_providers_fill_one_view(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 3, providers: &["G01", "G02"], ..Contract::default() });
    bus.batch = 3;
    bus.grant(&grant("thanh-pho", "H29", OPEN).rows(OF_79));
    bus.grant(&grant("tat-ca", "G12", ALL));
    for version in 1..=3 {
        let of = |n: u32, provider: &'static str| -> Sent {
            let key = format!("{provider}-{n}");
            let place = if (u64::from(n) + version).is_multiple_of(3) { "01" } else { "79" };
            let after = (n != 4 || version != 2).then(|| record(&key, "An", place, i64::from(n)));
            sent(&key, version, after).by(provider)
        };
        let changes: Vec<Sent> = (0..8).flat_map(|n| [of(n, "G01"), of(n, "G02")]).collect();
        bus.send(&changes);
        bus.settle();
        bus.check();
    }
    assert_eq!(bus.receipts("G01", "ho-so"), bus.receipts("G02", "ho-so"));
}

const DON_VI: &str = "don-vi";
const UNIT: Fields = &[("Ma", "Ma"), ("Tu", "Tu"), ("Ten", "Ten")];
const OPEN_ENDED: RowsOf = RowsOf("Den == null", |r| r["Den"].is_null());

fn a_composite_key_names_a_record(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    bus.world.write(
        "don-vi/contract.yaml",
        "apiVersion: v3.1.0
kind: DataContract
id: don-vi
version: 1.0.0
status: active
team: {name: G01}
customProperties:
  - {property: kenh.partitions, value: 3}
schema:
  - name: DonVi
    properties:
      - {name: Ma, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: Tu, logicalType: date, required: true, primaryKey: true, primaryKeyPosition: 2}
      - {name: Den, logicalType: date}
      - {name: Ten, logicalType: string, required: true}
",
    );
    bus.world.write(
        "don-vi/v1.avsc",
        r#"{"type":"record","name":"DonVi","fields":[{"name":"Ma","type":"string"},
        {"name":"Tu","type":{"type":"int","logicalType":"date"}},
        {"name":"Den","type":["null",{"type":"int","logicalType":"date"}],"default":null},
        {"name":"Ten","type":"string"}]}"#,
    );
    let open = Grant {
        rows: Some(OPEN_ENDED),
        fields: &[("Ma", "Ma"), ("Tu", "Tu"), ("Ten", "Ten"), ("Den", "Den")],
        dataset: DON_VI,
        ..grant("don-vi-mo", "H29", UNIT)
    };
    let all = Grant { dataset: DON_VI, ..grant("don-vi-tat-ca", "G12", UNIT) };
    bus.grant(&open);
    bus.grant(&all);
    let change = |ma: &str, tu: &str, version: u64, after: Option<(&str, Option<&str>)>| {
        let record = after.map(|(ten, den)| json!({"Ma": ma, "Tu": tu, "Den": den, "Ten": ten}));
        sent(&json!([ma, tu]).to_string(), version, record)
    };
    let (old, new) = ("2025-03-01", "2025-07-01");
    // One code, two units, one after the other; and codes that could be taken for something else.
    bus.send_to(
        DON_VI,
        &[
            change("00001", old, 1, Some(("Phường Cũ", None))),
            change("00001", old, 2, Some(("Phường Cũ", Some("2025-06-30")))),
            change("00001", new, 1, Some(("Phường Mới", None))),
            change("a\",\"b", old, 1, Some(("Dấu \"nháy\"", None))),
            change("a", old, 1, Some(("Ngắn", None))),
            change("đ\\é", old, 1, Some(("Dấu", None))),
        ],
    );
    bus.settle();
    bus.check();
    assert_eq!((rows(&bus.copy(&open)).unwrap().len(), rows(&bus.copy(&all)).unwrap().len()), (4, 5));
    bus.send_to(DON_VI, &[change("00001", new, 2, None), change("a", old, 2, None), change("a\",\"b", old, 1, None)]);
    bus.settle();
    bus.check();
    assert_eq!((rows(&bus.copy(&open)).unwrap().len(), rows(&bus.copy(&all)).unwrap().len()), (2, 3));
}

fn a_pseudonym_stands_for_one_record_and_one_recipient(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    let fields: Fields = &[("Tinh", "Tinh"), ("An", "Tuoi")];
    let health = Grant { pseudonym: true, ..grant("y-te", "G18", fields) };
    let other = Grant { pseudonym: true, ..grant("khac", "A01", fields) };
    bus.grant(&health);
    bus.grant(&other);
    bus.grant(&grant("it", "H29", FEW));
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let changes: Vec<Sent> = (0i64..).zip(&keys).map(|(n, k)| sent(k, 1, record(k, "An", "79", n))).collect();
    bus.send(&changes);
    bus.settle();
    bus.check();
    let (first, foreign) = (rows(&bus.copy(&health)).unwrap(), rows(&bus.copy(&other)).unwrap());
    assert_eq!((first.len(), foreign.len()), (10, 10));
    assert!(first.keys().all(|key| !foreign.contains_key(key)), "two recipients can join their copies");
    // A change of the record is a change of the same row; a cancel removes that one.
    bus.send(&[sent("k3", 2, record("k3", "An", "01", 3)), sent("k4", 2, None)]);
    bus.settle();
    bus.check();
    let second = rows(&bus.copy(&health)).unwrap();
    let gone: Vec<_> =
        first.iter().filter(|(key, _)| !second.contains_key(*key)).map(|(_, row)| &row["Tuoi"]).collect();
    assert_eq!(gone, [&json!(4)]);
    let moved: Vec<_> = second.iter().filter(|(key, row)| first[*key] != **row).map(|(_, row)| &row["Tuoi"]).collect();
    assert_eq!(moved, [&json!(3)]);
}
