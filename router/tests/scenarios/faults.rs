//! Every fault of a commit, at every step.

use std::collections::BTreeMap;
use std::time::Duration;

use kenh_domain::grant::EndReason;
use kenh_domain::log::NewRecord;
use kenh_domain::topic::{Partition, Topic};
use kenh_router::{Router, Turn};
use kenh_testkit::CommitFault;
use proptest::prelude::*;

use crate::bus::{Bus, Granted, Model, Row, Seen, Sent, dataset, granted, row, sent, settle};
use crate::watched::Watched;

const ALL: &[&str] = &["So", "Ten", "Tinh", "An"];
const PART: &[&str] = &["So", "Ten", "Tinh"];

fn views() -> [Granted; 4] {
    [
        granted(1, "A01", ALL),
        granted(2, "H29", PART).rows("79"),
        granted(3, "G12", PART),
        Granted { pseudonym: true, ..granted(4, "G18", &["Tinh"]) },
    ]
}

/// The same story each time: two partitions, small batches, a view from the start, one that ends, two that come later.
/// `before` is called before each turn with the commits made so far.
fn story(mut before: impl FnMut(&Bus, u64)) -> (Bus, Router) {
    let mut bus = Bus::new(2, &["G01"]);
    bus.max_batch = 7;
    bus.image_every = 5;
    let [all, of_79, part, hidden] = views();
    bus.grant(&all);
    bus.grant(&of_79);
    let mut router = bus.router();
    let mut versions = BTreeMap::new();
    let mut traffic = |from: u64, to: u64| -> Vec<Sent> {
        let one = |n: u64| {
            let key = format!("k{}", n * 5 % 17);
            let version = versions.entry(key.clone()).or_insert(0);
            *version += 1;
            let row = Row { an: n as i64, ..row(&format!("t{}", n % 3), ["79", "01"][n as usize % 2]) };
            sent(&key, *version, (!n.is_multiple_of(9)).then_some(row))
        };
        (from..to).map(one).collect()
    };
    // Control and input never at once: after a claim, inputs come before a new marker, and the story would be another.
    let mut rest = |bus: &Bus| settle(&mut router, |commits| before(bus, commits)).unwrap();
    rest(&bus);
    bus.submit(&traffic(0, 40));
    rest(&bus);
    bus.grant(&part);
    bus.grant(&hidden);
    rest(&bus);
    bus.write(vec![bus.input("G01", Partition(0), b"x", vec![1, 2, 3])]);
    bus.submit(&traffic(40, 60));
    rest(&bus);
    bus.end(&of_79, EndReason::Ended);
    rest(&bus);
    bus.submit(&traffic(60, 80));
    bus.finish("G01", "s", 80);
    rest(&bus);
    (bus, router)
}

/// With receipts sorted: two partitions answer in whichever order they were read.
fn told(bus: &Bus) -> BTreeMap<String, Vec<Seen>> {
    let mut all = bus.everything(&views());
    all.values_mut().for_each(|seen| seen.sort_by_key(|s| s.0));
    if let Some(receipts) = all.get_mut("receipt.G01") {
        receipts.sort();
    }
    all
}

fn disturbed(at: u64, fault: CommitFault) -> (Bus, Router) {
    let mut armed = true;
    let (bus, router) = story(|bus, commits| {
        if armed && commits == at {
            armed = false;
            bus.log.faults().next_commits(1, fault);
        }
    });
    assert!(!armed, "there was no step {at}");
    (bus, router)
}

#[test]
fn a_full_log_or_an_unknown_outcome_at_any_step_changes_no_byte() {
    let (bus, router) = story(|_, _| {});
    let (undisturbed, steps) = (told(&bus), router.stats().snapshot().commits);
    assert!(steps > 20, "{steps} steps");
    bus.check_replay(&views());
    // Commits whose answer is lost are not counted, so a story may have fewer steps that are known.
    for fault in [CommitFault::Full, CommitFault::UnclearLost, CommitFault::UnclearWritten] {
        for at in 0..steps {
            let (bus, router) = disturbed(at, fault);
            assert_eq!(told(&bus), undisturbed, "{fault:?} at step {at}");
            bus.check_replay(&views());
            let claims = router.stats().snapshot().claims;
            assert_eq!(claims, if fault == CommitFault::Full { 1 } else { 2 }, "{fault:?} at step {at}");
        }
    }
}

#[test]
fn a_refused_record_at_any_step_stops_at_most_the_view_it_was_for() {
    let (bus, router) = story(|_, _| {});
    let (undisturbed, steps) = (told(&bus), router.stats().snapshot().commits);
    let mut stopped_at = 0;
    for at in 0..steps {
        let (bus, router) = disturbed(at, CommitFault::Refused);
        let stopped = router.stats().snapshot().stopped;
        assert!(stopped.len() <= 1);
        stopped_at += stopped.len();
        let stands = |view: &Granted| !stopped.keys().any(|s| s.0 == view.no);
        let standing: Vec<Granted> = views().into_iter().filter(stands).collect();
        let mut now = told(&bus);
        let mut expected = undisturbed.clone();
        for view in views().iter().filter(|v| !stands(v)) {
            let name = view.topic().to_string();
            let (partly, whole) = (now.remove(&name).unwrap(), expected.remove(&name).unwrap());
            assert!(partly.len() < whole.len());
        }
        assert_eq!(now, expected, "refused at step {at}");
        bus.check_replay(&standing);
    }
    assert!(stopped_at > 0, "some step fills a view");
}

#[derive(Debug, Clone)]
enum Act {
    /// Changes of keys of both providers.
    Submit(Vec<(bool, u8, bool, u8)>),
    Tick(i64),
    Grant(usize),
    End(usize),
    Fault(CommitFault),
    Turns(usize),
    Kill,
    Stop,
    Batch(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let change = (any::<bool>(), 0u8..12, any::<bool>(), 0u8..6);
    let faults = vec![CommitFault::Full, CommitFault::UnclearLost, CommitFault::UnclearWritten];
    prop_oneof![
        6 => prop::collection::vec(change, 1..25).prop_map(Act::Submit),
        2 => (0i64..3_000).prop_map(Act::Tick),
        2 => (0usize..4).prop_map(Act::Grant),
        1 => (0usize..4).prop_map(Act::End),
        5 => prop::sample::select(faults).prop_map(Act::Fault),
        8 => (1usize..6).prop_map(Act::Turns),
        2 => Just(Act::Kill),
        1 => Just(Act::Stop),
        1 => (1usize..9).prop_map(Act::Batch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever happens, in whatever order: every view is what a plain model gives and what a replay gives, receipts add
    /// up, and nothing that was ever written without being committed is missing in the end.
    #[test]
    fn whatever_happens_every_view_is_what_a_plain_model_gives(
        partitions in 1u32..4, acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut bus = Bus::new(partitions, &["G01", "G02"]);
        bus.image_every = 10;
        let watched = Watched::new(&bus.log);
        let open = |bus: &Bus| Router::open(bus.config(watched.clone())).unwrap();
        let mut router = open(&bus);
        let (mut model, mut versions) = (Model::default(), BTreeMap::new());
        let mut granted = [false; 4];
        let mut ended = [false; 4];
        let mut number = 0;
        for act in acts {
            match act {
                Act::Submit(changes) => {
                    let changes: Vec<Sent> = changes.into_iter().map(|(second, key, again, what)| {
                        number += 1;
                        let key = format!("{}{key}", if second { "b" } else { "a" });
                        let version = versions.entry(key.clone()).or_insert(0);
                        *version += i64::from(!again || *version == 0);
                        let provider = if second { "G02" } else { "G01" };
                        let row = (what > 0).then(|| Row { an: i64::from(what / 3), ..row("an", ["79", "01", "48"][usize::from(what) % 3]) });
                        Sent { provider, number, ..sent(&key, *version, row) }
                    }).collect();
                    changes.iter().for_each(|change| model.take(change));
                    bus.submit(&changes);
                }
                Act::Tick(ms) => bus.tick(ms),
                Act::Grant(which) if !granted[which] => {
                    granted[which] = true;
                    bus.grant(&views()[which]);
                }
                Act::End(which) if granted[which] && !ended[which] => {
                    ended[which] = true;
                    bus.end(&views()[which], EndReason::Revoked);
                }
                Act::Grant(_) | Act::End(_) => {}
                Act::Fault(fault) => bus.log.faults().next_commits(1, fault),
                Act::Turns(turns) => {
                    for _ in 0..turns {
                        router.turn(Duration::ZERO).unwrap();
                    }
                }
                Act::Kill => router = open(&bus),
                Act::Stop => {
                    router.stop();
                    router = open(&bus);
                }
                Act::Batch(most) => {
                    bus.max_batch = most;
                    router = open(&bus);
                }
            }
        }
        bus.finish("G01", "s", 0);
        bus.finish("G02", "s", 0);
        bus.settle(&mut router);
        let mut counts = bus.counts("G01");
        counts.merge(&bus.counts("G02"));
        prop_assert_eq!(counts, model.counts);
        let given: Vec<Granted> = views().into_iter().filter(|v| granted[v.no as usize - 1]).collect();
        for view in given.iter().filter(|v| !ended[v.no as usize - 1]) {
            prop_assert_eq!(bus.copy(view), model.copy(view), "{}", view.topic());
        }
        bus.check_replay(&given);
        let asked = watched.asked.lock().unwrap();
        let mut all: BTreeMap<Topic, Vec<Seen>> = BTreeMap::new();
        for NewRecord { to, timestamp_ms, key, value } in asked.records.iter() {
            if matches!(to.topic, Topic::View(..)) {
                let seen = all.entry(to.topic.clone()).or_insert_with(|| bus.seen(&to.topic));
                let written = (to.partition.0, *timestamp_ms, key.clone(), value.clone());
                prop_assert!(seen.contains(&written), "{to} once had a record that was never committed");
            }
        }
    }
}

/// "After an abort": what the aborted transaction may have covered is decided again first, under the same marker.
#[test]
fn after_an_abort_the_same_inputs_meet_the_same_marker() {
    let mut bus = Bus::new(1, &["G01"]);
    bus.max_batch = 5;
    let view = granted(1, "A01", ALL);
    bus.grant(&view);
    let watched = Watched::new(&bus.log);
    let mut router = Router::open(bus.config(watched.clone())).unwrap();
    settle(&mut router, |_| {}).unwrap();
    let changes: Vec<Sent> = (0..12).map(|n| sent(&format!("k{n}"), 1, Some(row("an", "79")))).collect();
    bus.submit(&changes);
    bus.log.faults().next_commits(1, CommitFault::UnclearLost);
    assert!(matches!(router.turn(Duration::ZERO).unwrap(), Turn::Waiting(_)));
    // Meanwhile time passes and the grant ends; more comes in behind.
    bus.tick(60_000);
    bus.end(&view, EndReason::Revoked);
    assert_eq!(router.turn(Duration::ZERO).unwrap(), Turn::Claimed);
    bus.submit(&[sent("later", 1, Some(row("an", "79")))]);
    settle(&mut router, |_| {}).unwrap();
    let kinds: Vec<bool> = bus.records(&Topic::Data(dataset())).iter().map(|r| r.key.is_empty()).collect();
    // The end seen at the claim is the bound; one batch may pass it by what was read with it.
    let marker = kinds.iter().rposition(|k| *k).unwrap();
    assert!(kinds[0] && marker >= 13 && kinds[1..13].iter().all(|k| !k), "{kinds:?}");
    let seen = bus.seen(&view.topic());
    assert_eq!(seen.len(), marker - 1);
    for asked in watched.asked.lock().unwrap().records.iter().filter(|r| r.to.topic == view.topic()) {
        assert!(seen.contains(&(0, asked.timestamp_ms, asked.key.clone(), asked.value.clone())));
    }
}
