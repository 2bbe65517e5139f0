//! What enters the bus, and what providers are told.

use kenh_domain::control::ControlEvent;
use kenh_domain::key;
use kenh_domain::limits::RECEIPT_EVERY;
use kenh_domain::receipt::Counts;
use kenh_domain::topic::Partition;

use crate::bus::{Bus, Sent, agency, dataset, granted, row, sent};

const ALL: &[&str] = &["So", "Ten", "Tinh", "An"];

fn counts(admitted: u64, repeated: u64, stale: u64, rejected: u64) -> Counts {
    Counts { admitted, repeated, stale, rejected }
}

#[test]
fn versions_are_admitted_repeated_stale_in_conflict_or_jump() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "A01", ALL);
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[
        sent("a", 1, Some(row("an", "79"))),
        sent("a", 1, Some(row("an", "79"))), // repeated
        sent("a", 3, Some(row("ba", "79"))),
        sent("a", 2, Some(row("an", "79"))),  // stale
        sent("a", 3, Some(row("cu", "79"))),  // conflict
        sent("a", 14, Some(row("cu", "79"))), // a jump of 11
        sent("a", 13, Some(row("cu", "79"))),
        sent("a", 13, None), // conflict: a CANCEL is other content
    ]);
    bus.finish("G01", "s", 8);
    bus.settle(&mut router);
    assert_eq!(bus.counts("G01"), counts(3, 1, 1, 3));
    assert_eq!(bus.rules("G01"), ["version-conflict", "version-jump", "version-conflict"]);
    assert_eq!(bus.admitted(), 3);
    assert_eq!(bus.records(&view.topic()).len(), 3);
    assert_eq!(router.stats().snapshot().counts, counts(3, 1, 1, 3));
    bus.check_replay(&[view]);
}

#[test]
fn a_raised_epoch_lets_lower_versions_in() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "A01", ALL);
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[sent("a", 9, Some(row("an", "79")))]);
    bus.settle(&mut router);
    bus.submit(&[sent("a", 2, Some(row("ba", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 1, "stale in its epoch");
    let by = ["một".to_owned(), "hai".to_owned()];
    bus.control(ControlEvent::Epoch { dataset: dataset(), provider: agency("G01"), epoch: 1, by });
    bus.submit(&[sent("a", 2, Some(row("ba", "79"))), sent("a", 1, Some(row("cu", "79")))]);
    bus.finish("G01", "s", 4);
    bus.settle(&mut router);
    assert_eq!(bus.counts("G01"), counts(2, 0, 2, 0));
    assert_eq!(bus.copy(&view).into_values().next(), view.sees("a", &row("ba", "79")).map(|(_, value)| value));
    bus.check_replay(&[view]);
}

#[test]
fn a_record_belongs_to_the_provider_of_its_first_change() {
    let bus = Bus::new(1, &["G01", "G02"]);
    let view = granted(1, "A01", ALL);
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    let foreign = Sent { provider: "G02", ..sent("a", 2, Some(row("của tôi", "01"))) };
    bus.submit(&[foreign.clone(), Sent { row: None, ..foreign.clone() }, Sent { key: "b".into(), ..foreign }]);
    bus.settle(&mut router);
    assert_eq!(bus.rules("G02"), ["not-owner", "not-owner"]);
    assert!(bus.rules("G01").is_empty());
    assert_eq!(bus.admitted(), 2);
    let expected = [view.sees("a", &row("an", "79")), view.sees("b", &row("của tôi", "01"))];
    assert_eq!(bus.copy(&view), expected.into_iter().flatten().collect());
    // The letter says where, and nothing of what the record holds or whose it is.
    let letter = &bus.letters("G02")[0];
    assert_eq!((letter.number, letter.submission.as_str()), (1, "s"));
    assert!(!letter.message.contains("G01") && !letter.message.contains("của tôi"), "{}", letter.message);
    bus.check_replay(&[view]);
}

#[test]
fn a_record_in_the_wrong_partition_is_rejected_and_the_right_ones_go_on() {
    let bus = Bus::new(4, &["G01"]);
    let mut router = bus.router();
    let change = sent("a", 1, Some(row("an", "79")));
    let right = key::partition(b"a", 4);
    let wrong = Partition((right.0 + 1) % 4);
    bus.write(vec![bus.input("G01", wrong, b"a", change.value())]);
    bus.submit(&[change]);
    bus.settle(&mut router);
    assert_eq!(bus.rules("G01"), ["wrong-partition"]);
    assert_eq!(bus.letters("G01")[0].partition, wrong);
    assert_eq!(bus.admitted(), 1);
}

#[test]
fn bad_input_is_named_and_stops_nobody() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    let good = sent("a", 1, Some(row("an", "79")));
    let p = Partition(0);
    let mut cut = good.value();
    cut.pop();
    let mut longer = good.value();
    longer.push(0);
    let mut foreign = good.value();
    foreign[4] = 99;
    let mut tombstone = bus.input("G01", p, b"a", vec![]);
    tombstone.value = None;
    bus.write(vec![
        bus.input("G01", p, b"a", cut),
        bus.input("G01", p, b"a", longer),
        bus.input("G01", p, b"a", foreign),
        bus.input("G01", p, b"a", b"{\"So\":\"a\"}".to_vec()),
        tombstone,
        bus.input("G01", p, b"b", good.value()),
        bus.input("G01", p, b"", sent("", 1, None).value()),
        bus.input("G01", p, b"a", vec![0; (1 << 20) + 1]),
        bus.input("G01", p, b"a", sent("a", 0, Some(row("an", "79"))).value()),
        bus.input("G01", p, b"a", good.value()),
    ]);
    bus.settle(&mut router);
    let rules =
        ["avro", "avro", "unknown-schema", "wire-format", "wire-format", "key-mismatch", "missing-key", "too-large"];
    assert_eq!(bus.rules("G01"), [&rules[..], &["version-low"]].concat());
    assert_eq!(bus.admitted(), 1);
    let letters = bus.letters("G01");
    assert!(
        letters
            .iter()
            .zip(bus.records(&kenh_domain::topic::Topic::In(dataset(), agency("G01"))))
            .all(|(letter, record)| letter.position == record.position)
    );
    assert!(letters.iter().all(|l| !l.message.is_empty() && !l.message_vi.is_empty()));
}

#[test]
fn a_receipt_comes_every_thousand_changes_and_at_the_end_of_a_submission() {
    let mut bus = Bus::new(1, &["G01"]);
    bus.max_batch = 317;
    let mut router = bus.router();
    let many: Vec<Sent> =
        (0..2 * RECEIPT_EVERY + 5).map(|n| sent(&format!("k{n}"), 1, Some(row("an", "79")))).collect();
    bus.submit(&many);
    bus.settle(&mut router);
    let halves: Vec<_> = bus.receipts("G01").iter().map(|r| (r.counts.admitted, r.end)).collect();
    assert_eq!(halves, [(RECEIPT_EVERY, false), (RECEIPT_EVERY, false)]);
    // The process dies; what was counted is not lost.
    drop(router);
    let mut router = bus.router();
    bus.finish("G01", "s", many.len() as u64);
    bus.finish("G01", "rỗng", 0);
    bus.settle(&mut router);
    let receipts = bus.receipts("G01");
    assert_eq!(receipts[2..].iter().map(|r| (r.counts.admitted, r.end)).collect::<Vec<_>>(), [(5, true), (0, true)]);
    assert_eq!((receipts[3].submission.as_str(), receipts[2].partition), ("rỗng", Partition(0)));
}

#[test]
fn a_cancel_of_a_record_never_delivered_leaves_no_trace_in_a_view() {
    let bus = Bus::new(1, &["G01"]);
    let (all, of_79) = (granted(1, "A01", ALL), granted(2, "H29", &["So", "Tinh"]).rows("79"));
    bus.grant(&all);
    bus.grant(&of_79);
    let mut router = bus.router();
    bus.submit(&[sent("a", 3, None), sent("b", 1, Some(row("ba", "01"))), sent("b", 2, None)]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 3, "it is state for what comes later");
    assert_eq!(bus.records(&all.topic()).len(), 2, "b came and went");
    assert!(bus.records(&of_79.topic()).is_empty());
    // What comes later: a lower version is stale, a NEW with a higher one revives.
    bus.submit(&[sent("a", 2, Some(row("an", "79"))), sent("a", 4, Some(row("an", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.copy(&of_79), of_79.sees("a", &row("an", "79")).into_iter().collect());
    bus.check_replay(&[all, of_79]);
}
