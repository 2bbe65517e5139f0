//! What each view is written, and when.

use kenh_domain::control::{ControlEvent, ViewNo};
use kenh_domain::grant::EndReason;
use kenh_domain::log::{Log, Position, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_router::Turn;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::bus::{Bus, Granted, Model, NOON, Row, Seen, Sent, contract, dataset, granted, row, sent};

const ALL: &[&str] = &["So", "Ten", "Tinh", "An"];
const PART: &[&str] = &["So", "Ten", "Tinh"];

/// The end of a view's partition 0.
fn view_end(bus: &Bus, view: &Granted) -> Position {
    bus.log.bounds(&Principal::router(), &TopicPartition::new(view.topic(), 0)).unwrap().end
}

#[test]
fn a_hidden_field_that_changes_100_times_does_not_move_a_views_end() {
    let bus = Bus::new(1, &["G01"]);
    let (all, part) = (granted(1, "A01", ALL), granted(2, "G12", PART));
    let hidden = Granted { pseudonym: true, ..granted(3, "G18", &["Tinh"]) };
    let views = [all, part, hidden];
    views.iter().for_each(|v| bus.grant(v));
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    let before = [1, 2].map(|n: usize| view_end(&bus, &views[n]));
    for an in 1..=100 {
        bus.submit(&[sent("a", 1 + an, Some(Row { an, ..row("an", "79") }))]);
        bus.settle(&mut router);
    }
    assert_eq!([1, 2].map(|n: usize| view_end(&bus, &views[n])), before);
    assert_eq!(bus.records(&views[0].topic()).len(), 101);
    bus.check_replay(&views);
}

#[test]
fn a_record_leaves_a_filter_with_one_tombstone_and_enters_again() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "H29", PART).rows("79");
    let hidden = Granted { pseudonym: true, ..granted(2, "G18", &["Tinh"]).rows("79") };
    bus.grant(&view);
    bus.grant(&hidden);
    let mut router = bus.router();
    let places = ["79", "79", "01", "48", "79"];
    for (version, place) in (1..).zip(places) {
        bus.submit(&[sent("a", version, Some(row("an", place)))]);
        bus.settle(&mut router);
    }
    bus.submit(&[sent("a", 6, None), sent("a", 7, None)]);
    bus.settle(&mut router);
    for view in [&view, &hidden] {
        let (key, value) = view.sees("a", &row("an", "79")).unwrap();
        let records: Vec<_> = bus.records(&view.topic()).into_iter().map(|r| (r.key.to_vec(), r.value)).collect();
        let value = Some(bytes::Bytes::from(value));
        assert_eq!(records, [(key.clone(), value.clone()), (key.clone(), None), (key.clone(), value), (key, None)]);
    }
    bus.check_replay(&[view, hidden]);
}

/// A stretch of traffic over a few keys, versions counted from `versions`.
fn traffic(from: u64, to: u64, versions: &mut BTreeMap<String, i64>) -> Vec<Sent> {
    let one = |n: u64| {
        let key = format!("k{}", n * 7 % 23);
        let version = versions.entry(key.clone()).or_insert(0);
        *version += 1;
        let place = ["79", "01", "48"][n as usize % 3];
        let row = (!n.is_multiple_of(11)).then(|| Row { an: n as i64, ..row(&format!("t{}", n % 5), place) });
        sent(&key, *version, row)
    };
    (from..to).map(one).collect()
}

/// Keys and values, without the times of the markers they were written under.
fn plain(seen: &[Seen]) -> Vec<(u32, bytes::Bytes, Option<bytes::Bytes>)> {
    seen.iter().map(|(partition, _, key, value)| (*partition, key.clone(), value.clone())).collect()
}

#[test]
fn a_grant_added_while_data_flows_is_the_latest_of_every_key_and_then_the_same_suffix() {
    for (partitions, batch) in [(1, 1), (1, 1000), (3, 4)] {
        let mut bus = Bus::new(partitions, &["G01"]);
        bus.max_batch = batch;
        let (there, late) = (granted(1, "A01", PART).rows("79"), granted(2, "H29", PART).rows("79"));
        bus.grant(&there);
        let mut router = bus.router();
        let mut versions = BTreeMap::new();
        bus.submit(&traffic(0, 100, &mut versions));
        bus.settle(&mut router);
        // So that each record's time tells on which side of the view's marker it lies.
        bus.tick(5_000);
        bus.grant(&late);
        // It comes with more traffic right behind it, and the router is stopped and started in the middle of the lane.
        bus.submit(&traffic(100, 200, &mut versions));
        while !matches!(router.turn(Duration::ZERO).unwrap(), Turn::Filled { .. }) {}
        drop(router);
        let mut router = bus.router();
        bus.settle(&mut router);

        let after = bus.seen(&there.topic());
        let got = bus.seen(&late.topic());
        for partition in 0..partitions {
            let of = |all: &[Seen]| -> Vec<Seen> { all.iter().filter(|s| s.0 == partition).cloned().collect() };
            let (after, got) = (of(&after), of(&got));
            let before: Vec<Seen> = after.iter().filter(|s| s.1 < NOON + 5_000).cloned().collect();
            assert!(!before.is_empty() && bus.markers(partition).last().unwrap().clock_ms == NOON + 5_000);
            let latest = |at: usize| !before[at + 1..].iter().any(|later| later.2 == before[at].2);
            let current = (0..before.len()).filter(|at| latest(*at) && before[*at].3.is_some());
            let mut expected: Vec<Seen> = current.map(|at| before[at].clone()).collect();
            expected.extend_from_slice(&after[before.len()..]);
            // Values bear their schema's id, which is another one for another view: cut it off.
            let cut = |seen: Vec<Seen>| plain(&seen).into_iter().map(|(p, k, v)| (p, k, v.map(|v| v.slice(5..))));
            assert_eq!(cut(got).collect::<Vec<_>>(), cut(expected).collect::<Vec<_>>(), "partition {partition}");
        }
        bus.check_replay(&[there, late]);
    }
}

#[test]
fn a_wider_edition_is_filled_beside_the_first_which_goes_on_until_it_ends() {
    let bus = Bus::new(1, &["G01"]);
    let first = granted(1, "H29", &["So", "Tinh"]).rows("79");
    let second = Granted { no: 2, edition: 2, fields: ALL, ..first.clone() };
    bus.grant(&first);
    let mut router = bus.router();
    let mut model = Model::default();
    let mut versions = BTreeMap::new();
    let mut send = |bus: &Bus, from, to| {
        let changes = traffic(from, to, &mut versions);
        changes.iter().for_each(|change| model.take(change));
        bus.submit(&changes);
        model.clone()
    };
    send(&bus, 0, 60);
    bus.settle(&mut router);
    bus.grant(&second);
    let model = { send(&bus, 60, 120) };
    bus.settle(&mut router);
    assert_eq!(bus.copy(&first), model.copy(&first), "no gap in the first");
    assert_eq!(bus.copy(&second), model.copy(&second), "the second is whole");
    assert!(bus.told("H29").iter().any(|told| told.edition.0 == 2 && told.filled), "it is told that it is ready");
    let end = view_end(&bus, &first);
    bus.end(&first, EndReason::Superseded);
    let model = send(&bus, 120, 180);
    bus.settle(&mut router);
    assert_eq!(view_end(&bus, &first), end, "nothing more is written");
    assert_eq!(bus.copy(&second), model.copy(&second));
    bus.check_replay(&[first, second]);
}

#[test]
fn a_narrower_edition_starts_when_the_old_one_has_ended() {
    let bus = Bus::new(1, &["G01"]);
    let wide = granted(1, "H29", ALL);
    let narrow = Granted { no: 2, edition: 2, fields: &["So", "Ten", "Tinh"], tinh: Some("79"), ..wide.clone() };
    bus.grant(&wide);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), sent("b", 1, Some(row("ba", "01")))]);
    bus.settle(&mut router);
    bus.end(&wide, EndReason::Superseded);
    bus.grant(&narrow);
    bus.submit(&[sent("b", 2, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.records(&wide.topic()).len(), 2);
    let expected = [narrow.sees("a", &row("an", "79")), narrow.sees("b", &row("ba", "79"))];
    assert_eq!(bus.copy(&narrow), expected.into_iter().flatten().collect());
    bus.check_replay(&[wide, narrow]);
}

#[test]
fn a_renewed_grant_keeps_its_topic_and_refills_nothing() {
    let bus = Bus::new(1, &["G01"]);
    let view = Granted { ends_ms: NOON + 10_000, ..granted(1, "H29", PART) };
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    let mut grant = view.grant();
    grant.id = "g1-tiep".parse().unwrap();
    bus.control(ControlEvent::Renewal { view_no: ViewNo(1), grant: Box::new(grant), ends_ms: NOON + 99_000 });
    bus.tick(20_000);
    bus.submit(&[sent("a", 2, Some(Row { an: 9, ..row("an", "79") })), sent("b", 1, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.records(&view.topic()).len(), 2, "a is as it was, b is new");
    bus.check_replay(&[view]);
}

#[test]
fn a_grant_starts_and_ends_by_the_logs_time_also_when_nothing_flows() {
    let bus = Bus::new(1, &["G01"]);
    let view = Granted { starts_ms: NOON + 5_000, ends_ms: NOON + 9_000, ..granted(1, "H29", PART) };
    let other = granted(2, "A01", PART);
    bus.grant(&view);
    bus.grant(&other);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    assert!(bus.records(&view.topic()).is_empty(), "it has not started");
    bus.tick(4_999);
    bus.settle(&mut router);
    assert!(bus.records(&view.topic()).is_empty());
    bus.tick(1);
    bus.settle(&mut router);
    assert_eq!(bus.copy(&view), view.sees("a", &row("an", "79")).into_iter().collect(), "what is current at its start");
    let markers = bus.markers(0).len();
    bus.tick(4_000);
    bus.submit(&[sent("b", 1, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.markers(0).last().unwrap().clock_ms, NOON + 9_000);
    assert_eq!(bus.markers(0).len(), markers + 1);
    assert_eq!(bus.records(&view.topic()).len(), 1, "the moment of its end is not in it");
    assert_eq!(bus.records(&other.topic()).len(), 2);
    // A renewal that comes too late brings nothing back: what happened in between would be missing.
    let renewal = ControlEvent::Renewal { view_no: ViewNo(1), grant: Box::new(view.grant()), ends_ms: NOON + 99_000 };
    bus.control(renewal);
    bus.submit(&[sent("c", 1, Some(row("cu", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.records(&view.topic()).len(), 1);
    bus.check_replay(&[view, other]);
}

#[test]
fn after_a_revocation_nothing_more_is_written_and_the_others_go_on() {
    let bus = Bus::new(1, &["G01"]);
    let (gone, stays) = (granted(1, "H29", PART), granted(2, "A01", PART));
    bus.grant(&gone);
    bus.grant(&stays);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    // Submitted before, decided after.
    bus.submit(&[sent("a", 2, Some(row("ba", "79"))), sent("b", 1, Some(row("ba", "79")))]);
    bus.end(&gone, EndReason::Revoked);
    bus.settle(&mut router);
    assert_eq!(bus.records(&gone.topic()).len(), 1);
    assert_eq!(bus.records(&stays.topic()).len(), 3);
    bus.check_replay(&[gone.clone(), stays.clone()]);
    // The topic goes, and nobody misses it.
    bus.log.delete_topic(&gone.topic()).unwrap();
    bus.submit(&[sent("a", 3, None)]);
    bus.settle(&mut router);
    assert_eq!(bus.records(&stays.topic()).len(), 4);
    assert!(router.stats().snapshot().stopped.is_empty());
}

#[test]
fn two_grants_of_one_agency_on_one_dataset_are_two_views() {
    let bus = Bus::new(1, &["G01"]);
    let one = granted(1, "H29", PART).rows("79");
    let two = Granted { view: "phu", ..granted(2, "H29", &["So", "An"]) };
    let two = Granted { fields: &["So", "An", "Tinh"], ..two }.rows("01");
    bus.grant(&one);
    bus.grant(&two);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), sent("b", 1, Some(row("ba", "01")))]);
    bus.submit(&[sent("a", 2, Some(row("an", "01")))]);
    bus.settle(&mut router);
    assert!(bus.copy(&one).is_empty());
    let expected = [two.sees("a", &row("an", "01")), two.sees("b", &row("ba", "01"))];
    assert_eq!(bus.copy(&two), expected.into_iter().flatten().collect());
    bus.check_replay(&[one, two]);
}

#[test]
fn a_view_whose_topic_is_missing_or_goes_is_stopped_and_stops_nobody() {
    let bus = Bus::new(1, &["G01"]);
    let (missing, goes, good) = (granted(1, "H29", PART), granted(2, "G12", PART), granted(3, "A01", PART));
    bus.grant_without_topic(&missing);
    bus.grant(&goes);
    bus.grant(&good);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    bus.log.delete_topic(&goes.topic()).unwrap();
    bus.submit(&[sent("b", 1, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.records(&good.topic()).len(), 2);
    let stopped = |router: &kenh_router::Router| router.stats().snapshot().stopped.into_keys().collect::<Vec<_>>();
    assert_eq!(stopped(&router), [ViewNo(1), ViewNo(2)]);
    // For good: a topic that appears later would have a gap.
    bus.topic(missing.topic(), 1);
    bus.topic(goes.topic(), 1);
    drop(router);
    let mut router = bus.router();
    bus.submit(&[sent("c", 1, Some(row("cu", "79")))]);
    bus.settle(&mut router);
    assert!(bus.records(&missing.topic()).is_empty() && bus.records(&goes.topic()).is_empty());
    assert_eq!(stopped(&router), [ViewNo(1), ViewNo(2)]);
    // A new edition is the way back.
    let again = Granted { no: 4, edition: 2, ..missing.clone() };
    bus.grant(&again);
    bus.end(&missing, EndReason::Superseded);
    bus.end(&goes, EndReason::Ended);
    bus.settle(&mut router);
    assert_eq!(bus.copy(&again).len(), 3);
    assert!(stopped(&router).is_empty(), "ended ones are forgotten");
    bus.check_replay(&[good, again]);
}

#[test]
fn a_new_field_is_in_no_view_until_a_grant_names_it_and_both_versions_are_written_side_by_side() {
    let bus = Bus::new(1, &["G01"]);
    let old = granted(1, "A01", PART);
    bus.grant(&old);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), sent("b", 1, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    let before = bus.seen(&old.topic());
    bus.contract(contract(1, &["G01"], 2));
    let v2 = |ten: &str, them| Row { them: Some(them), ..row(ten, "79") };
    bus.submit(&[sent("a", 2, Some(v2("an", "mới")))]);
    bus.settle(&mut router);
    assert_eq!(bus.seen(&old.topic()), before, "no view changes");
    let new = Granted { fields: &["So", "Ten", "Them"], ..granted(2, "G12", &[]) };
    bus.grant(&new);
    bus.submit(&[sent("b", 2, Some(row("bê", "79"))), sent("c", 1, Some(v2("cu", "x")))]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 5);
    let rows = [("a", v2("an", "mới")), ("b", row("bê", "79")), ("c", v2("cu", "x"))];
    assert_eq!(bus.copy(&new), rows.iter().filter_map(|(key, row)| new.sees(key, row)).collect());
    assert_eq!(bus.copy(&old), rows.iter().filter_map(|(key, row)| old.sees(key, row)).collect());
    bus.check_replay(&[old, new]);
}

#[test]
fn view_records_lie_in_the_partition_of_their_data_record() {
    let bus = Bus::new(4, &["G01"]);
    let view = Granted { pseudonym: true, ..granted(1, "G18", &["Tinh"]) };
    bus.grant(&view);
    let mut router = bus.router();
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    bus.submit(&keys.iter().map(|key| sent(key, 1, Some(row("an", "79")))).collect::<Vec<_>>());
    bus.settle(&mut router);
    for record in bus.records(&Topic::Data(dataset())).iter().filter(|r| !r.key.is_empty()) {
        let (key, _) = view.sees(std::str::from_utf8(&record.key).unwrap(), &row("an", "79")).unwrap();
        let found = bus.records(&view.topic()).into_iter().find(|r| r.key == key).unwrap();
        assert_eq!(found.source, record.source);
    }
    bus.check_replay(&[view]);
}
