//! A new schema version: what it changes, and what it does not.

use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use serde_json::Value;

use crate::check::{records, rows};
use crate::ground::Ground;
use crate::roles::{Bus, sent};
use crate::world::{ALL, Contract, Fields, Grant, OPEN, grant, record};

on_every_log!(a_new_field_is_in_no_view_until_a_grant_names_it);

const ALL_AND_THEM: Fields = &[("So", "So"), ("Ten", "Ten"), ("Tinh", "Tinh"), ("An", "An"), ("Them", "Them")];

/// A record of schema version 2.
fn record_2(so: &str, ten: &str, an: i64, them: &str) -> Value {
    let mut record = record(so, ten, "79", an);
    record["Them"] = them.into();
    record
}

fn a_new_field_is_in_no_view_until_a_grant_names_it(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { providers: &["G01", "G02"], ..Contract::default() });
    let (all, open) = (grant("tat-ca", "G12", ALL), grant("mo", "H29", OPEN));
    bus.grant(&all);
    bus.grant(&open);
    bus.send(&[
        sent("a", 1, record("a", "An", "79", 1)).by("G01"),
        sent("b", 1, record("b", "Bình", "79", 1)).by("G02"),
    ]);
    bus.settle();
    bus.check();
    let views = |bus: &Bus| -> Vec<(Topic, usize)> {
        let topics = bus.log().topics().unwrap().into_iter().map(|spec| spec.topic);
        topics.filter(|t| matches!(t, Topic::View(..))).map(|t| (t.clone(), records(bus.log(), &t).len())).collect()
    };
    let ends = |bus: &Bus| -> Vec<_> {
        let of = |(t, _): (Topic, usize)| kenh_domain::log::TopicPartition::new(t, 0);
        views(bus).into_iter().map(|v| bus.log().bounds(&Principal::router(), &of(v)).unwrap().end).collect()
    };
    // The release alone, and records that differ in the new field only.
    let before = (views(&bus), ends(&bus));
    bus.world.contract(&Contract { providers: &["G01", "G02"], versions: 2, ..Contract::default() });
    bus.apply();
    bus.settle();
    assert_eq!((views(&bus), ends(&bus)), before);
    bus.send(&[sent("a", 2, record_2("a", "An", 1, "mới")), sent("a", 3, record_2("a", "An", 1, "mới hơn"))]);
    bus.settle();
    bus.check();
    assert_eq!((views(&bus), ends(&bus)), before, "a field that no grant names moved a view");

    // Writers of both versions side by side, in one batch.
    bus.send(&[
        sent("a", 4, record_2("a", "An", 2, "nữa")),
        sent("b", 2, record("b", "Bình", "79", 2)).by("G02").on_schema(1),
        sent("c", 1, record("c", "Chi", "79", 2)).on_schema(1),
        sent("d", 1, record_2("d", "Dung", 2, "có")).by("G02"),
    ]);
    bus.settle();
    bus.check();
    assert!(rows(&bus.copy(&all)).unwrap().values().all(|row| row.get("Them").is_none()));

    // Named by a new grant, and by one that is widened.
    let new = grant("them", "A01", ALL_AND_THEM);
    bus.grant(&new);
    bus.grant(&Grant { fields: ALL_AND_THEM, ..all });
    bus.settle();
    bus.check();
    let held = rows(&bus.copy(&new)).unwrap();
    assert_eq!((&held["a"]["Them"], &held["b"]["Them"]), (&"nữa".into(), &Value::Null));
    // An after-image of version 1 over one of version 2 says nothing of the field: it is null again.
    bus.send(&[
        sent("a", 5, record("a", "An", "79", 3)).on_schema(1),
        sent("d", 2, record_2("d", "Dung", 2, "khác")).by("G02"),
    ]);
    bus.settle();
    bus.check();
    assert_eq!(rows(&bus.copy(&new)).unwrap()["a"]["Them"], Value::Null);
}
