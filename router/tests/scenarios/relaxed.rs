//! A rule that is relaxed: it rejects before, warns meanwhile, rejects after; by the clock of the log, whatever dies on the
//! way.

use std::collections::BTreeMap;
use std::time::Duration;

use kenh_domain::contract::{Contract, FieldRules};
use kenh_domain::control::ControlEvent;
use kenh_domain::receipt::Warnings;
use kenh_domain::relaxation::Relaxation;
use kenh_domain::rule::Rule;
use kenh_router::{Router, Turn};
use kenh_testkit::CommitFault;

use crate::bus::{Bus, Granted, NOON, Seen, Sent, contract, dataset, granted, row, sent, settle};

const ALL: &[&str] = &["So", "Ten", "Tinh", "An"];
const HOUR: i64 = 3_600_000;

fn views() -> [Granted; 2] {
    [granted(1, "A01", ALL), granted(2, "H29", &["So", "Tinh"]).rows("80")]
}

/// The contract, with a list of provinces that `80` is not in, and a greatest length of a name.
fn strict() -> Contract {
    let mut contract = contract(1, &["G01"], 1);
    let values = Some(vec!["79".into(), "01".into()]);
    contract.fields.insert("Tinh".into(), FieldRules { values, ..FieldRules::default() });
    contract.fields.insert("Ten".into(), FieldRules { max_length: Some(5), ..FieldRules::default() });
    contract
}

fn bus() -> Bus {
    let bus = Bus::new(1, &["G01"]);
    bus.contract(strict());
    views().iter().for_each(|view| bus.grant(view));
    bus
}

/// The list of provinces is relaxed from now on.
fn relax(bus: &Bus, id: &str, hours: i64) {
    let now_ms = bus.now_ms();
    let event = ControlEvent::Relaxation(Box::new(Relaxation {
        id: id.parse().unwrap(),
        dataset: dataset(),
        rule: Rule::Values,
        field: Some("Tinh".into()),
        reason: "tỉnh mới".into(),
        ends_ms: now_ms + hours * HOUR,
    }));
    bus.control_at(now_ms, event);
}

fn of_80(key: &str, version: i64) -> Sent {
    sent(key, version, Some(row("an", "80")))
}

fn warnings(bus: &Bus) -> Warnings {
    let mut sum = Warnings::default();
    bus.receipts("G01").iter().for_each(|receipt| sum.merge(&receipt.warnings));
    sum
}

#[test]
fn a_relaxed_rule_rejects_before_warns_meanwhile_and_rejects_after() {
    let bus = bus();
    let mut router = bus.router();
    bus.submit(&[of_80("a", 1)]);
    bus.settle(&mut router);
    assert_eq!((bus.admitted(), bus.rules("G01")), (0, vec!["values".to_owned()]));

    relax(&bus, "r", 24);
    let mut cut = of_80("a", 1).value();
    cut.pop();
    let wrong_key = bus.input("G01", kenh_domain::topic::Partition(0), b"khac", of_80("a", 1).value());
    bus.write(vec![bus.input("G01", kenh_domain::topic::Partition(0), b"a", cut), wrong_key]);
    bus.submit(&[
        of_80("a", 1),
        of_80("a", 1), // repeated: nothing is admitted, nothing warned of
        sent("b", 1, Some(row("an", "79"))),
        sent("b", 2, Some(row("quá dài", "80"))), // what is not relaxed rejects
        of_80("b", 20),                           // and the order of versions is not
    ]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 2);
    assert_eq!(bus.rules("G01")[1..], ["avro", "key-mismatch", "max-length", "version-jump"]);
    let [all, of_the_new] = views();
    assert_eq!(bus.copy(&of_the_new), of_the_new.sees("a", &row("an", "80")).into_iter().collect());
    assert_eq!(bus.copy(&all).len(), 2, "a value that breaks the rule reaches whoever is granted the field");

    bus.tick(24 * HOUR - 1);
    bus.submit(&[of_80("c", 1)]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 3);
    bus.tick(1);
    bus.settle(&mut router);
    assert_eq!(bus.markers(0).last().unwrap().clock_ms, NOON + 24 * HOUR, "the end is in the log, though nothing came");
    bus.submit(&[of_80("d", 1), of_80("a", 2)]);
    bus.finish("G01", "s", 10);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 3);
    assert_eq!(bus.rules("G01")[5..], ["values", "values"]);
    let counts = bus.counts("G01");
    assert_eq!((counts.admitted, counts.repeated), (3, 1));
    assert_eq!(warnings(&bus).0, BTreeMap::from([("values".to_owned(), 2)]));
    assert_eq!(router.stats().snapshot().warnings, warnings(&bus));
    bus.check_replay(&views());
}

#[test]
fn a_restored_rule_rejects_from_the_next_marker() {
    let bus = bus();
    let mut router = bus.router();
    relax(&bus, "r", 72);
    bus.submit(&[of_80("a", 1)]);
    bus.settle(&mut router);
    let (relaxation, because) = ("r".parse().unwrap(), String::new());
    bus.control(ControlEvent::Restoration { relaxation, because });
    bus.submit(&[of_80("b", 1)]);
    bus.settle(&mut router);
    assert_eq!((bus.admitted(), bus.rules("G01")), (1, vec!["values".to_owned()]));
}

/// A start from an image, and one from the log alone, know what is relaxed and until when.
#[test]
fn a_router_that_starts_knows_what_is_relaxed() {
    for image in [true, false] {
        let bus = bus();
        let mut router = bus.router();
        relax(&bus, "r", 24);
        bus.submit(&[of_80("a", 1)]);
        bus.settle(&mut router);
        if image {
            router.stop();
        }
        drop(router);
        let mut router = bus.router();
        assert_eq!(router.stats().snapshot().bad_images, 0);
        bus.submit(&[of_80("b", 1)]);
        bus.settle(&mut router);
        assert_eq!(bus.admitted(), 2, "with an image: {image}");
        drop(router);
        // Down when it ends.
        bus.tick(25 * HOUR);
        let mut router = bus.router();
        bus.settle(&mut router);
        bus.submit(&[of_80("c", 1)]);
        bus.settle(&mut router);
        assert_eq!((bus.admitted(), bus.rules("G01")), (2, vec!["values".to_owned()]), "with an image: {image}");
    }
}

/// What was decided and not known to be committed is decided again under the marker that stood, though the relaxation has
/// ended by the clock meanwhile.
#[test]
fn what_is_decided_again_after_the_end_meets_the_marker_that_stood() {
    for fault in [CommitFault::UnclearLost, CommitFault::UnclearWritten] {
        let bus = bus();
        let mut router = bus.router();
        bus.submit(&[sent("b", 1, Some(row("an", "79")))]);
        bus.settle(&mut router);
        relax(&bus, "r", 1);
        bus.settle(&mut router);
        bus.submit(&[of_80("a", 1)]);
        bus.log.faults().next_commits(1, fault);
        assert!(matches!(router.turn(Duration::ZERO).unwrap(), Turn::Waiting(_)), "{fault:?}");
        bus.tick(HOUR);
        bus.finish("G01", "s", 2);
        bus.settle(&mut router);
        assert_eq!(bus.admitted(), 2, "{fault:?}");
        assert_eq!(warnings(&bus).0, BTreeMap::from([("values".to_owned(), 1)]), "{fault:?}");
        bus.submit(&[of_80("c", 1)]);
        bus.settle(&mut router);
        assert_eq!(bus.rules("G01"), ["values"], "{fault:?}");
        bus.check_replay(&views());
    }
}

/// The same story each time, control and input never at once (after a claim, inputs come before a new marker); `before` is called before each turn with the commits made so far.
fn story(mut before: impl FnMut(&Bus, u64)) -> (BTreeMap<String, Vec<Seen>>, Router) {
    let mut bus = bus();
    bus.max_batch = 2;
    bus.image_every = 3;
    let mut router = bus.router();
    let mut rest = |bus: &Bus| settle(&mut router, |commits| before(bus, commits)).unwrap();
    let mut versions = 0;
    let mut wave = |bus: &Bus| {
        versions += 1;
        let keys = ["a", "b", "c"].into_iter();
        bus.submit(
            &keys.flat_map(|key| [of_80(key, versions), sent(key, versions, Some(row("t", "79")))]).collect::<Vec<_>>(),
        );
    };
    rest(&bus);
    wave(&bus);
    rest(&bus);
    relax(&bus, "r", 2);
    rest(&bus);
    wave(&bus);
    rest(&bus);
    wave(&bus);
    rest(&bus);
    // The clock moves while nothing waits, for the same reason.
    bus.tick(2 * HOUR);
    rest(&bus);
    wave(&bus);
    bus.finish("G01", "s", 24);
    rest(&bus);
    bus.check_replay(&views());
    (bus.everything(&views()), router)
}

#[test]
fn a_commit_that_fails_at_any_step_changes_no_warning_and_no_byte() {
    let (undisturbed, router) = story(|_, _| {});
    let steps = router.stats().snapshot().commits;
    let receipts = &undisturbed["receipt.G01"];
    let warned = receipts.iter().any(|(.., value)| {
        let value = value.as_ref().unwrap();
        value.windows(10).any(|bytes| bytes == b"\"warnings\"")
    });
    assert!(steps > 10 && warned, "{steps} steps");
    for fault in [CommitFault::Full, CommitFault::UnclearLost, CommitFault::UnclearWritten] {
        for at in 0..steps {
            let mut armed = true;
            let (told, _) = story(|bus, commits| {
                if armed && commits == at {
                    armed = false;
                    bus.log.faults().next_commits(1, fault);
                }
            });
            assert!(!armed, "there was no step {at}");
            assert_eq!(told, undisturbed, "{fault:?} at step {at}");
        }
    }
}
