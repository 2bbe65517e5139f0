//! Markers, clocks, claims, and what recipients are told.

use std::time::Duration;

use kenh_domain::control::{AgencyDocument, ControlEvent};
use kenh_domain::frame::{self, Data, Head};
use kenh_domain::log::{Log, TopicPartition};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use kenh_router::{RouterError, Turn};

use crate::bus::{Bus, NOON, Sent, agency, contract, dataset, granted, row, sent};

const PART: &[&str] = &["So", "Ten", "Tinh"];

fn head_of(bus: &Bus) -> Vec<Head> {
    let heads = bus.records(&Topic::Heads);
    heads.iter().map(|r| serde_json::from_slice(r.value.as_ref().unwrap()).unwrap()).collect()
}

#[test]
fn a_marker_comes_before_what_it_decides_and_a_thousand_events_are_one() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    bus.settle(&mut router);
    assert_eq!(bus.markers(0).len(), 1, "the first record of a data partition");
    for n in 0..1_000 {
        let (code, title) = (format!("{n}"), String::new());
        bus.control(ControlEvent::Agency(AgencyDocument {
            name: agency(&format!("T{n}")),
            code,
            title,
            systems: vec![],
        }));
    }
    bus.settle(&mut router);
    assert_eq!(bus.markers(0).len(), 1, "nothing of it concerns the dataset");
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), sent("b", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    let [first, second] = &bus.markers(0)[..] else { panic!("{} markers", bus.markers(0).len()) };
    assert!(first.control < second.control);
    let control = bus.records(&Topic::Control);
    assert_eq!(second.control, control.last().unwrap().position, "all that was known");
    let kinds: Vec<bool> = bus.records(&Topic::Data(dataset())).iter().map(|r| r.key.is_empty()).collect();
    assert_eq!(kinds, [true, true, false, false]);
    let heads = head_of(&bus);
    assert_eq!(
        heads.iter().map(|h| (h.sequence.0, h.control)).collect::<Vec<_>>(),
        [(1, first.control), (2, second.control)]
    );
}

#[test]
fn the_clock_ticks_once_a_second_at_the_most_never_when_idle_and_never_back() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    for (version, ms) in (1..).zip([0, 999, 1, 500, 499, 1, -5_000, 0, 7_000]) {
        bus.tick(ms);
        bus.settle(&mut router);
        bus.submit(&[sent("a", version, Some(row(&format!("t{version}"), "79")))]);
        bus.settle(&mut router);
    }
    let clocks: Vec<i64> = bus.markers(0).iter().map(|m| m.clock_ms - NOON).collect();
    assert_eq!(clocks, [0, 1_000, 2_000, 4_000]);
    let mut last = i64::MIN;
    for record in bus.records(&Topic::Data(dataset())) {
        assert!(record.timestamp_ms >= last, "each record bears the latest marker's clock");
        last = record.timestamp_ms;
    }
}

#[test]
fn what_a_new_provider_has_sent_waits_for_the_marker_that_lets_it_in() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    bus.settle(&mut router);
    // A marker is written for a batch of G01; before the batch is decided, G02 comes in with something of its own.
    bus.tick(2_000);
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    assert_eq!(router.turn(Duration::ZERO).unwrap(), Turn::Marked { markers: 1 });
    bus.contract(contract(1, &["G01", "G02"], 1));
    bus.submit(&[Sent { provider: "G02", ..sent("b", 1, Some(row("ba", "79"))) }]);
    bus.settle(&mut router);
    assert!(bus.rules("G02").is_empty());
    assert_eq!(bus.admitted(), 2);
}

#[test]
fn a_provider_that_the_contract_no_longer_names_is_not_read() {
    let bus = Bus::new(1, &["G01", "G02"]);
    let mut router = bus.router();
    bus.settle(&mut router);
    bus.contract(contract(1, &["G01"], 1));
    bus.submit(&[Sent { provider: "G02", ..sent("b", 1, Some(row("ba", "79"))) }, sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 1);
    let inputs = router.stats().snapshot().inputs;
    assert!(inputs.iter().find(|i| i.of.topic == Topic::In(dataset(), agency("G02"))).unwrap().waiting.is_some());
}

#[test]
fn a_second_claim_fences_the_first() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "A01", PART);
    bus.grant(&view);
    let mut first = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.settle(&mut first);
    bus.submit(&[sent("b", 1, Some(row("ba", "79")))]);
    let mut second = bus.router();
    let error = loop {
        match first.turn(Duration::ZERO) {
            Ok(Turn::Idle) => panic!("the first saw nothing to do"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RouterError::Fenced(_)), "{error}");
    assert_eq!(bus.records(&view.topic()).len(), 1, "it wrote nothing more");
    bus.settle(&mut second);
    assert_eq!(bus.records(&view.topic()).len(), 2);
    bus.check_replay(&[view]);
}

#[test]
fn positions_say_how_far_a_view_is_whole() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "H29", PART).rows("79");
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), sent("b", 1, Some(row("ba", "01")))]);
    bus.settle(&mut router);
    let last = bus.told("H29").pop().unwrap();
    let of = TopicPartition::new(view.topic(), 0);
    let end = bus.log.bounds(&Principal::router(), &of).unwrap().end;
    assert_eq!((last.end, last.clock_ms, last.filled), (end, NOON, true));
    let data = bus.records(&Topic::Data(dataset()));
    assert_eq!(last.sequence, frame::decode(data.last().unwrap().value.as_ref().unwrap()).unwrap().0);
    // Nothing happens: nothing is told.
    let told = bus.told("H29").len();
    bus.tick(60_000);
    bus.settle(&mut router);
    assert_eq!(bus.told("H29").len(), told);
    // What is told is true whenever it is told: everything that the data log gave the view up to there lies before it.
    for n in 0..20 {
        bus.tick(400);
        bus.submit(&[sent(&format!("k{n}"), 1, Some(row("an", "79")))]);
        bus.settle(&mut router);
    }
    let data = bus.records(&Topic::Data(dataset()));
    for told in bus.told("H29") {
        let mine = data.iter().filter_map(|r| match frame::decode(r.value.as_ref().unwrap()).unwrap() {
            (sequence, Data::Change(_)) if sequence <= told.sequence && r.key != "b" => Some(()),
            _ => None,
        });
        let before = bus.records(&view.topic()).iter().filter(|r| r.position < told.end).count();
        assert_eq!(mine.count(), before, "up to {}", told.sequence);
    }
}

#[test]
fn missing_topics_are_waited_for_and_nothing_is_lost() {
    let bus = Bus::new(1, &["G01", "G02"]);
    bus.log.delete_topic(&Topic::Receipt(agency("G01"))).unwrap();
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79"))), Sent { provider: "G02", ..sent("b", 1, Some(row("ba", "79"))) }]);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 1, "G02 goes on");
    bus.topic(Topic::Receipt(agency("G01")), 1);
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 2);
}

#[test]
fn an_agency_without_notice_topic_still_gets_its_view() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "H29", PART);
    bus.log.delete_topic(&Topic::Notice(agency("H29"))).unwrap();
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    for _ in 0..40 {
        router.turn(Duration::ZERO).unwrap();
    }
    assert_eq!(bus.records(&view.topic()).len(), 1);
}

struct Stops<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn it_runs_until_it_is_told_to_stop_and_leaves_an_image() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "A01", PART);
    bus.grant(&view);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut router = bus.router();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| router.run(&stop));
        // Also when an expectation fails: the scope waits for the thread.
        let stops = Stops(&stop);
        bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
        bus.log.wait_for_records(&view.topic(), |records| records.len() == 1);
        bus.log.faults().next_commits(1, kenh_testkit::CommitFault::Full);
        bus.submit(&[sent("b", 1, Some(row("an", "79")))]);
        bus.log.wait_for_records(&view.topic(), |records| records.len() == 2);
        drop(stops);
        running.join().unwrap().unwrap();
    });
    assert!(bus.dir.path().join("dan-cu.0.image").exists());
}

/// What a hundred views make of eight megabytes of input is written in pieces.
#[test]
fn a_transaction_stays_within_its_bytes_however_many_views_there_are() {
    let bus = Bus::new(1, &["G01"]);
    let views: Vec<_> = (1..=12).map(|no| crate::bus::Granted { edition: no, ..granted(no, "A01", PART) }).collect();
    views.iter().for_each(|v| bus.grant(v));
    let mut router = bus.router();
    bus.settle(&mut router);
    let long = "x".repeat(900_000);
    bus.submit(&(0..8).map(|n| sent(&format!("k{n}"), 1, Some(row(&long, "79")))).collect::<Vec<_>>());
    let mut decided = Vec::new();
    loop {
        match router.turn(Duration::ZERO).unwrap() {
            Turn::Decided { records } => decided.push(records),
            Turn::Idle => break,
            _ => {}
        }
    }
    // 13 topics at 0.9 MB: three records are 35 MB.
    assert_eq!(decided, [3, 3, 2]);
    views.iter().for_each(|v| assert_eq!(bus.records(&v.topic()).len(), 8));
}

#[test]
fn a_full_log_is_waited_for_and_said() {
    let bus = Bus::new(1, &["G01"]);
    let view = granted(1, "A01", PART);
    bus.grant(&view);
    let mut router = bus.router();
    bus.settle(&mut router);
    bus.submit(&[sent("a", 1, Some(row("an", "79")))]);
    bus.log.faults().full(true);
    for _ in 0..5 {
        assert_eq!(router.turn(Duration::ZERO).unwrap(), Turn::Waiting(kenh_router::Reason::Full));
        assert_eq!(router.stats().snapshot().waiting, Some(kenh_router::Reason::Full));
        bus.tick(60_000);
    }
    bus.log.faults().full(false);
    bus.settle(&mut router);
    // Under the marker that it met at first: a broker may have kept bytes of the attempt that a careless reader saw.
    assert_eq!(bus.seen(&view.topic()).iter().map(|s| s.1).collect::<Vec<_>>(), [NOON]);
    assert_eq!(router.stats().snapshot().waiting, None);
}
