//! What becomes of views when grants come, change and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_consumers::copy::CopyError;
use kenh_domain::confirm::Claim;
use kenh_domain::control::ViewEntry;
use kenh_domain::date::DAY_MS;
use kenh_domain::grant::EndReason;
use kenh_domain::law::Day;
use kenh_domain::log::{Position, ReadError, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::{Edition, Topic};
use kenh_testkit::PATIENCE;
use serde_json::Value;

use crate::check::{What, records, rows};
use crate::ground::Ground;
use crate::roles::{Bus, Sent, sent};
use crate::world::{ALL, Contract, FEW, Grant, HO_SO, OF_79, OF_79_AND_01, OPEN, grant, record, system};

on_every_log!(
    a_grant_added_while_data_flows_equals_one_that_was_there,
    a_widened_grant_swaps_without_a_gap,
    a_grant_of_all_rows_swaps_without_a_gap,
    a_narrowed_grant_ends_first,
    an_ended_grant_leaves_nothing,
    a_grant_ends_by_the_time_of_the_log,
    a_renewed_grant_fills_nothing_again,
    two_grants_of_one_agency_are_two_copies,
);

/// The newest edition that rests on a grant.
pub fn view(bus: &Bus, grant: &Grant) -> ViewEntry {
    bus.control_set().view_of_grant(&grant.id.parse().unwrap()).unwrap().clone()
}

fn end(bus: &Bus, topic: &Topic) -> Position {
    bus.log().bounds(&Principal::router(), &TopicPartition::new(topic.clone(), 0)).unwrap().end
}

/// Some records of three provinces, one of them cancelled.
pub fn people() -> Vec<Sent> {
    let place = |n: i64| ["79", "01", "48"][usize::try_from(n % 3).unwrap()];
    let mut changes: Vec<Sent> =
        (0..12).map(|n| sent(&format!("k{n}"), 1, record(&format!("k{n}"), "An", place(n), n))).collect();
    changes.push(sent("k5", 2, None));
    changes
}

/// A step of one role, then a look; until the bus is at rest.
fn step_by_step(bus: &mut Bus, mut look: impl FnMut(&Bus)) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        bus.tick(100);
        bus.turn_router(bus.ground.wait);
        look(bus);
        bus.turn_control();
        look(bus);
        for name in bus.kept() {
            bus.turn_keeper(name);
            look(bus);
        }
        if bus.unrest().is_none() {
            break;
        }
        assert!(Instant::now() < deadline, "no rest: {:?}", bus.unrest());
    }
    bus.settle();
    look(bus);
}

fn a_grant_added_while_data_flows_equals_one_that_was_there(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    bus.batch = 4;
    let (before, added) = (grant("tu-truoc", "G12", ALL), grant("den-sau", "H29", ALL));
    bus.grant(&before);
    bus.settle();
    // Every change shows, so that each admitted one is one record of a view of everything.
    let wave = |from: u64| -> Vec<Sent> {
        let of = |n: u64| {
            let (key, version) = (format!("k{}", n % 20), 1 + n / 20);
            let after = (n % 7 != 3 || version == 1).then(|| record(&key, "An", "79", i64::try_from(n).unwrap()));
            sent(&key, version, after)
        };
        (from..from + 60).map(of).collect()
    };
    bus.send(&wave(0));
    let decided = |bus: &Bus| bus.data(HO_SO).iter().filter(|l| matches!(l.what, What::Change { .. })).count();
    while decided(&bus) < 30 {
        bus.turn_router(bus.ground.wait);
    }
    bus.grant(&added);
    bus.send(&wave(60));
    bus.settle();
    bus.check();

    let activated = view(&bus, &added).at;
    let (old, new) = (view(&bus, &before).activation.topic(), view(&bus, &added).activation.topic());
    // The schema id differs: it is of the topic's own subject.
    let body = |value: Option<Bytes>| value.map(|v| v.slice(5..));
    let of = |topic: &Topic, partition: usize| -> Vec<(Bytes, Option<Bytes>)> {
        let all = records(bus.log(), topic).into_iter().filter(|r| r.source == partition);
        all.map(|r| (r.key, body(r.value))).collect()
    };
    for partition in 0..2 {
        let lines = bus.data(HO_SO);
        let lines = lines.iter().filter(|l| l.partition == partition);
        let earlier = lines.take_while(|l| !matches!(&l.what, What::Marker(m) if m.control >= activated));
        let split = earlier.filter(|l| matches!(l.what, What::Change { .. })).count();
        let (old, new) = (of(&old, partition), of(&new, partition));
        assert!(0 < split && split < old.len(), "data did not flow on both sides of the marker");
        let mut latest: BTreeMap<&Bytes, usize> = BTreeMap::new();
        for (at, (key, _)) in old[..split].iter().enumerate() {
            latest.insert(key, at);
        }
        let current = old[..split].iter().enumerate().filter(|(at, (key, v))| latest[key] == *at && v.is_some());
        let expected: Vec<_> = current.map(|(_, r)| r.clone()).chain(old[split..].iter().cloned()).collect();
        assert!(new == expected, "partition {partition}: {} records, not {}", new.len(), expected.len());
    }
}

/// Changes a grant to a wider one under the eyes of a reader of the copy.
fn widen(ground: Ground, narrow: &Grant, wide: &Grant) {
    let mut bus = Bus::sample(ground, &Contract { partitions: 2, ..Contract::default() });
    bus.grant(narrow);
    bus.send(&people());
    bus.settle();
    bus.check();
    let old = view(&bus, narrow);
    let (before, after) = (bus.wanted(narrow), bus.wanted(wide));
    assert_ne!(before, after);
    bus.declare(wide);
    bus.apply();
    let mut swapped = false;
    step_by_step(&mut bus, |bus| {
        let held = rows(&bus.copy(wide)).unwrap_or_else(|e| panic!("a gap: {e}"));
        swapped |= held == after;
        assert!(if swapped { held == after } else { held == before }, "neither the old rows nor the new ones");
    });
    assert!(swapped);
    bus.check();
    let new = view(&bus, wide);
    assert_eq!((old.activation.edition, new.activation.edition), (Edition(1), Edition(2)));
    let set = bus.control_set();
    let ended = set.views[&old.activation.view_no].ended;
    assert_eq!(ended.map(|(_, why)| why), Some(EndReason::Superseded));
    let purged = bus.confirmations(wide.recipient);
    assert!(purged.iter().any(|c| c.edition == Edition(1) && matches!(c.claim, Claim::Purged { .. })));
    // And it goes on.
    bus.send(&[sent("k0", 2, record("k0", "Ân", "79", 9)), sent("moi", 1, record("moi", "Mới", "79", 9))]);
    bus.settle();
    bus.check();
}

fn a_widened_grant_swaps_without_a_gap(ground: &dyn Fn() -> Ground) {
    let narrow = grant("g", "H29", FEW).rows(OF_79);
    widen(ground(), &narrow, &Grant { fields: OPEN, ..narrow.clone() });
}

fn a_grant_of_all_rows_swaps_without_a_gap(ground: &dyn Fn() -> Ground) {
    let narrow = grant("g", "H29", FEW).rows(OF_79);
    widen(ground(), &narrow, &Grant { rows: None, ..narrow.clone() });
}

fn a_narrowed_grant_ends_first(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let wide = grant("g", "H29", ALL).rows(OF_79_AND_01);
    let narrow = Grant { fields: OPEN, ..wide.clone() }.rows(OF_79);
    bus.grant(&wide);
    bus.send(&people());
    bus.settle();
    let old = view(&bus, &wide).activation.topic();
    let (before, after) = (bus.wanted(&wide), bus.wanted(&narrow));
    bus.declare(&narrow);
    bus.apply();
    // What the wide grant would have shown is not shown any more.
    bus.send(&[sent("k1", 2, record("k1", "Sau", "01", 99))]);
    let mut gone = false;
    step_by_step(&mut bus, |bus| match rows(&bus.copy(&narrow)) {
        Ok(held) if held == before => assert!(!gone, "the wide rows came back"),
        Ok(held) => {
            gone = true;
            assert!(held.iter().all(|(key, row)| after.get(key) == Some(row)), "rows of no grant");
        }
        Err(CopyError::None(_)) => gone = true,
        Err(other) => panic!("{other}"),
    });
    bus.check();
    assert_eq!(rows(&bus.copy(&narrow)).unwrap(), after);
    let purged = bus.confirmations("H29");
    let rows = u64::try_from(before.len()).unwrap();
    assert!(purged.iter().any(|c| c.edition == Edition(1) && c.claim == Claim::Purged { rows }), "{purged:?}");
    assert!(!bus.log().topics().unwrap().iter().any(|spec| spec.topic == old));
}

pub fn nothing_is_left(bus: &Bus, grant: &Grant, topic: &Topic, rows: usize) {
    assert!(matches!(bus.copy(grant).shown(), Err(CopyError::None(_))));
    let principal = Principal::new(&system(grant.recipient)).unwrap();
    let read = bus.log().bounds(&principal, &TopicPartition::new(topic.clone(), 0));
    assert!(matches!(read, Err(ReadError::Denied { .. })));
    assert!(!bus.log().topics().unwrap().iter().any(|spec| spec.topic == *topic));
    let rows = u64::try_from(rows).unwrap();
    let said = bus.confirmations(grant.recipient);
    assert!(said.iter().any(|c| c.claim == Claim::Purged { rows }), "{said:?}");
}

fn an_ended_grant_leaves_nothing(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let (ends, stays) = (grant("het", "H29", ALL), grant("con", "G12", ALL));
    bus.grant(&ends);
    bus.grant(&stays);
    bus.send(&people());
    bus.settle();
    bus.check();
    let topic = view(&bus, &ends).activation.topic();
    // While it stands, nobody else reads it.
    let other = Principal::new(&system("G12")).unwrap();
    let read = bus.log().bounds(&other, &TopicPartition::new(topic.clone(), 0));
    assert!(matches!(read, Err(ReadError::Denied { .. })));
    let held = bus.wanted(&ends).len();
    bus.grant(&ends.clone().ended());
    bus.send(&[sent("k0", 2, record("k0", "Sau", "79", 99))]);
    bus.settle();
    bus.check();
    nothing_is_left(&bus, &ends, &topic, held);
}

/// For a day, and until the day on which that is over: the same moment.
fn a_grant_ends_by_the_time_of_the_log(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let tomorrow = Day::of(bus.now_ms() + DAY_MS);
    let ending = [
        Grant { duration: "P1D", ..grant("mot-ngay", "H29", ALL) },
        Grant { ends: Some(tomorrow), ..grant("den-het-ngay", "G18", ALL) },
    ];
    for ends in &ending {
        bus.grant(ends);
    }
    bus.grant(&grant("con", "G12", ALL));
    bus.send(&people());
    bus.settle();
    bus.check();
    let topics = ending.each_ref().map(|ends| view(&bus, ends).activation.topic());
    assert_eq!(ending.each_ref().map(|ends| view(&bus, ends).activation.ends_ms), [tomorrow.ends_ms(); 2]);
    let held = ending.each_ref().map(|ends| bus.wanted(ends).len());
    let holds = |bus: &Bus, topic: &Topic, text: &str| {
        records(bus.log(), topic).iter().any(|r| r.value.as_ref().is_some_and(|v| find(v, text)))
    };
    // To the last moment it is written to; at its end, though nobody decides anything, no more.
    bus.tick(tomorrow.ends_ms() - bus.now_ms() - 1);
    bus.send(&[sent("k0", 2, record("k0", "Còn", "79", 98))]);
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    for topic in &topics {
        assert!(holds(&bus, topic, "Còn"), "{topic}");
    }
    bus.tick(1);
    bus.send(&[sent("k0", 3, record("k0", "Sau", "79", 99))]);
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    for (ends, topic) in ending.iter().zip(&topics) {
        assert!(!holds(&bus, topic, "Sau"), "{topic}");
        bus.grants.get_mut(ends.id).unwrap().ended = true;
    }
    // Declared as they were, they are nothing to do.
    bus.apply();
    bus.settle();
    bus.check();
    for ((ends, topic), held) in ending.iter().zip(&topics).zip(held) {
        nothing_is_left(&bus, ends, topic, held);
    }
}

pub fn find(value: &[u8], text: &str) -> bool {
    value.windows(text.len()).any(|w| w == text.as_bytes())
}

fn a_renewed_grant_fills_nothing_again(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract::default());
    let first = grant("g", "H29", OPEN).rows(OF_79);
    bus.grant(&first);
    bus.send(&people());
    bus.settle();
    let (old, shown) = (view(&bus, &first), bus.copy(&first).shown().unwrap().as_of);
    let topic = old.activation.topic();
    let at = end(&bus, &topic);
    // A longer one; then one under another id, law and purpose, of the same shape.
    let longer = Grant { duration: "P24M", purpose: "Gia hạn", ..first.clone() };
    bus.grant(&longer);
    bus.settle();
    let renewed = view(&bus, &longer);
    assert_eq!(renewed.activation.view_no, old.activation.view_no);
    assert!(renewed.activation.ends_ms > old.activation.ends_ms);
    let heir = Grant { id: "g-2", ..longer.clone() };
    bus.declare(&longer.ended());
    bus.grant(&heir);
    bus.settle();
    assert_eq!(view(&bus, &heir).activation.view_no, old.activation.view_no);
    assert_eq!(end(&bus, &topic), at, "something was filled again");
    let now = bus.copy(&heir).shown().unwrap().as_of;
    assert_eq!((now.generation, now.counters), (shown.generation, shown.counters));
    // Beyond the end of the first one it goes on.
    bus.tick(Duration::from_secs(400 * 24 * 3600).as_millis().try_into().unwrap());
    bus.send(&[sent("k0", 2, record("k0", "Sau", "79", 99))]);
    bus.settle();
    bus.check_copies();
    assert!(end(&bus, &topic) > at);
}

fn two_grants_of_one_agency_are_two_copies(ground: &dyn Fn() -> Ground) {
    let mut bus = Bus::sample(ground(), &Contract { partitions: 2, ..Contract::default() });
    let main = grant("mot", "H29", OPEN).rows(OF_79);
    let other = Grant { view: "hai", purpose: "Khác", ..grant("hai", "H29", FEW) };
    bus.grant(&main);
    bus.grant(&other);
    bus.send(&people());
    bus.settle();
    bus.check();
    let (a, b): (Vec<Value>, Vec<Value>) = (
        rows(&bus.copy(&main)).unwrap().into_values().collect(),
        rows(&bus.copy(&other)).unwrap().into_values().collect(),
    );
    assert!(a.len() < b.len() && a[0].get("Ten").is_some() && b[0].get("Ten").is_none());
    // One ends, the other does not notice.
    let generation = bus.copy(&other).shown().unwrap().as_of.generation;
    bus.grant(&main.ended());
    bus.send(&[sent("k0", 2, record("k0", "Sau", "48", 99))]);
    bus.settle();
    bus.check();
    assert_eq!(bus.copy(&other).shown().unwrap().as_of.generation, generation);
}
