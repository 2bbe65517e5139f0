//! What one change does: rows that leave and enter, cancels, versions, hidden fields, owners, partitions.

use kenh_domain::log::{NewRecord, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use crate::check::records;
use crate::ground::Ground;
use crate::roles::{Bus, agency, dataset, sent};
use crate::world::{ALL, Contract, FEW, Grant, HO_SO, OF_79, OPEN, grant, record, system};

on_every_log!(
    a_record_leaves_and_enters_a_filter,
    a_cancel_of_what_was_never_delivered_leaves_no_trace,
    versions_are_repeated_stale_in_conflict_or_jump,
    a_raised_epoch_lets_lower_versions_in,
    a_hidden_field_does_not_move_the_end_of_a_view,
    a_record_has_one_owner,
    a_record_in_the_wrong_partition_is_rejected,
);

/// Records in a grant's view topic, tombstones among them.
fn written(bus: &Bus, grant: &Grant) -> usize {
    records(bus.log(), &topic(grant)).len()
}

fn topic(grant: &Grant) -> Topic {
    format!("view.{}.{}.{}.1", grant.recipient, grant.dataset, grant.view).parse().unwrap()
}

fn a_record_leaves_and_enters_a_filter(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    let city = grant("thanh-pho", "H29", OPEN).rows(OF_79);
    bus.grant(&city);
    bus.send(&[
        sent("a", 1, record("a", "An", "79", 0)),
        sent("b", 1, record("b", "Bình", "01", 0)),
        sent("c", 1, record("c", "Chi", "79", 0)),
    ]);
    bus.settle();
    bus.check();
    assert_eq!(written(&bus, &city), 2);
    // a moves away, b moves in, c stays and is renamed.
    bus.send(&[
        sent("a", 2, record("a", "An", "01", 0)),
        sent("b", 2, record("b", "Bình", "79", 0)),
        sent("c", 2, record("c", "Chi Lan", "79", 0)),
    ]);
    bus.settle();
    bus.check();
    assert_eq!(written(&bus, &city), 5);
    // Elsewhere nobody here is told of a any more; then a comes back.
    bus.send(&[sent("a", 3, record("a", "Ân", "48", 0)), sent("a", 4, record("a", "Ân", "", 0))]);
    bus.settle();
    assert_eq!(written(&bus, &city), 5);
    bus.send(&[sent("a", 5, record("a", "Ân", "79", 0)), sent("c", 3, None)]);
    bus.settle();
    bus.check();
    let counters = bus.copy(&city).shown().unwrap().as_of.counters;
    assert_eq!((counters.rows, counters.inserted, counters.updated, counters.left), (2, 4, 1, 2));
}

fn a_cancel_of_what_was_never_delivered_leaves_no_trace(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let (city, all) = (grant("thanh-pho", "H29", OPEN).rows(OF_79), grant("tat-ca", "G12", ALL));
    bus.grant(&city);
    bus.grant(&all);
    // Of a record that nobody knows; of one that H29 never saw; and of both again.
    bus.send(&[
        sent("ma", 7, None),
        sent("b", 1, record("b", "Bình", "01", 0)),
        sent("b", 2, None),
        sent("b", 3, None),
    ]);
    bus.settle();
    bus.check();
    assert_eq!((written(&bus, &city), written(&bus, &all)), (0, 2));
    // It is state all the same: what is older than the cancel stays out, what is newer revives.
    bus.send(&[sent("ma", 6, record("ma", "Ma", "79", 0))]);
    bus.settle();
    assert_eq!((written(&bus, &city), written(&bus, &all)), (0, 2));
    bus.send(&[sent("ma", 8, record("ma", "Mai", "79", 0))]);
    bus.settle();
    bus.check();
    assert_eq!((written(&bus, &city), written(&bus, &all)), (1, 3));
}

fn versions_are_repeated_stale_in_conflict_or_jump(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { max_step: Some(10), ..Contract::default() });
    let all = grant("tat-ca", "G12", ALL);
    bus.grant(&all);
    let an = |n| record("a", "An", "79", n);
    bus.send(&[
        sent("a", 1, an(1)),
        sent("a", 1, an(1)), // repeated
        sent("a", 3, an(3)),
        sent("a", 2, an(2)),  // stale
        sent("a", 3, an(4)),  // conflict
        sent("a", 14, an(5)), // a jump of 11
        sent("a", 13, an(6)),
        sent("a", 13, None),  // conflict
        sent("a", 13, an(6)), // repeated
    ]);
    bus.settle();
    bus.check();
    assert_eq!(bus.rules("G01"), ["version-conflict", "version-jump", "version-conflict"]);
    let counts = bus.receipts("G01", HO_SO);
    assert_eq!((counts.admitted, counts.repeated, counts.stale, counts.rejected), (3, 2, 1, 3));
    assert_eq!(written(&bus, &all), 3);
    // The same file once more: nothing is admitted and no view moves.
    bus.send(&[sent("a", 1, an(1)), sent("a", 3, an(3)), sent("a", 13, an(6))]);
    bus.settle();
    bus.check();
    assert_eq!(written(&bus, &all), 3);
}

fn a_raised_epoch_lets_lower_versions_in(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { providers: &["G01", "G02"], ..Contract::default() });
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.send(&[sent("a", 9, record("a", "An", "79", 1)), sent("b", 9, record("b", "Bình", "79", 1)).by("G02")]);
    bus.settle();
    bus.send(&[sent("a", 2, record("a", "An", "79", 2))]);
    bus.settle();
    bus.check();
    // G01's source is restored from a backup; G02's is not.
    bus.raise_epoch("G01", 1);
    bus.settle();
    bus.send(&[
        sent("a", 2, record("a", "An", "79", 3)),
        sent("a", 1, record("a", "An", "79", 4)),
        sent("b", 2, record("b", "Bình", "79", 2)).by("G02"),
    ]);
    bus.settle();
    bus.check();
    assert_eq!(bus.oracles[HO_SO].standing("a").unwrap().0, 2, "the model has version 2 of the new epoch");
}

fn a_hidden_field_does_not_move_the_end_of_a_view(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let (few, all) = (grant("it", "H29", FEW), grant("tat-ca", "G12", ALL));
    bus.grant(&few);
    bus.grant(&all);
    bus.send(&[sent("a", 1, record("a", "An", "79", 0))]);
    bus.settle();
    let of = TopicPartition::new(topic(&few), 0);
    let end = |bus: &Bus| bus.log().bounds(&Principal::router(), &of).unwrap().end;
    let before = end(&bus);
    // In one batch and one by one: neither is to be seen from the view.
    let hidden: Vec<_> = (1..=50).map(|n| sent("a", 1 + n, record("a", &format!("An {n}"), "79", 0))).collect();
    bus.send(&hidden);
    bus.settle();
    for n in 51..=100 {
        bus.send(&[sent("a", 1 + n, record("a", &format!("An {n}"), "79", i64::try_from(n).unwrap()))]);
        bus.round(bus.ground.wait);
    }
    bus.settle();
    bus.check();
    assert_eq!(end(&bus), before, "a hidden change moved the end of the view");
    assert_eq!((written(&bus, &few), written(&bus, &all)), (1, 101));
    // What is granted moves it.
    bus.send(&[sent("a", 102, record("a", "An", "01", 0))]);
    bus.settle();
    bus.check();
    assert!(end(&bus) > before);
}

fn a_record_has_one_owner(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { providers: &["G01", "G02"], ..Contract::default() });
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.send(&[sent("a", 1, record("a", "An", "79", 0))]);
    bus.settle();
    bus.send(&[
        sent("a", 2, record("a", "Của tôi", "01", 0)).by("G02"),
        sent("a", 3, None).by("G02"),
        sent("a", 1, record("a", "An", "79", 0)).by("G02"), // nor does it learn that this would be a repetition
        sent("b", 1, record("b", "Bình", "01", 0)).by("G02"),
    ]);
    bus.settle();
    bus.check();
    assert_eq!(bus.rules("G02"), ["not-owner", "not-owner", "not-owner"]);
    // Cancelled, it is still G01's.
    bus.send(&[sent("a", 2, None)]);
    bus.settle();
    bus.send(&[sent("a", 9, record("a", "Của tôi", "01", 0)).by("G02")]);
    bus.settle();
    bus.check();
    assert_eq!(bus.rules("G02").len(), 4);
    // And nobody writes into another's input.
    let to = TopicPartition::new(Topic::In(dataset(HO_SO), agency("G01")), 0);
    let record = NewRecord { to, timestamp_ms: 0, key: "a".into(), value: None };
    let mut writer = bus.log().writer(&Principal::new(&system("G02")).unwrap());
    assert!(writer.write(vec![record]).and_then(|()| writer.flush()).is_err());
}

fn a_record_in_the_wrong_partition_is_rejected(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    bus.grant(&grant("tat-ca", "G12", ALL));
    let change = sent("a", 1, record("a", "An", "79", 0));
    bus.send(std::slice::from_ref(&change));
    bus.settle();
    // The same bytes, one version later, to the other partition.
    let input = Topic::In(dataset(HO_SO), agency("G01"));
    let right = kenh_domain::key::partition(b"a", 2).0;
    let mut there = records(bus.log(), &input);
    there.retain(|r| &r.key[..] == b"a");
    let wrong = TopicPartition::new(input, 1 - right);
    let stray = NewRecord { to: wrong, timestamp_ms: bus.now_ms(), key: "a".into(), value: there[0].value.clone() };
    bus.write(&Principal::new(&system("G01")).unwrap(), vec![stray]);
    bus.settle();
    bus.check_copies();
    bus.check_data();
    assert_eq!(bus.rules("G01"), ["wrong-partition"]);
    // The one behind it goes on.
    bus.send(&[sent("a", 2, record("a", "An", "79", 1))]);
    bus.settle();
    bus.check_copies();
    bus.check_data();
}
