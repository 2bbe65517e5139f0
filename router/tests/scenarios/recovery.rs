//! State read back: from an image, from a bad one, from none; and what a router refuses to go on from.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::{ControlEvent, ViewNo};
use kenh_domain::frame::{self, Data, ENGINE, Marker, Sequence};
use kenh_domain::log::{NewRecord, Position, TopicPartition};
use kenh_domain::secret::Secret;
use kenh_domain::topic::Topic;
use kenh_router::{Router, Turn};

use crate::bus::{Bus, Granted, NOON, Row, Sent, dataset, granted, row, sent, settle};
use crate::watched::Watched;

const PART: &[&str] = &["So", "Ten", "Tinh"];

fn views() -> [Granted; 2] {
    [granted(1, "A01", PART), Granted { pseudonym: true, ..granted(2, "G18", &["Tinh"]).rows("79") }]
}

fn changes(version: i64, keys: std::ops::Range<i64>) -> Vec<Sent> {
    let place = |n: i64| ["79", "01"][usize::from((n + version) % 3 == 0)];
    keys.map(|n| sent(&format!("k{n}"), version, Some(Row { an: n, ..row("an", place(n)) }))).collect()
}

fn image(bus: &Bus) -> PathBuf {
    bus.dir.path().join("dan-cu.0.image")
}

/// Half of the story, then whatever `between` does to a stopped bus, then the rest; gives where data was read from.
fn story(between: impl FnOnce(&Bus)) -> (Bus, Router, Vec<Position>) {
    let bus = Bus::new(1, &["G01"]);
    views().iter().for_each(|v| bus.grant(v));
    let mut router = bus.router();
    bus.submit(&changes(1, 0..20));
    bus.submit(&changes(2, 5..15));
    bus.settle(&mut router);
    router.stop();
    drop(router);
    between(&bus);
    let watched = Watched::new(&bus.log);
    let mut router = Router::open(bus.config(watched.clone())).unwrap();
    let read = watched.asked.lock().unwrap().readers.clone();
    let of = TopicPartition::new(Topic::Data(dataset()), 0);
    let read = read.into_iter().filter(|(read, _)| *read == of).map(|(_, at)| at).collect();
    bus.submit(&changes(2, 0..20));
    bus.submit(&changes(3, 10..30));
    bus.finish("G01", "s", 70);
    settle(&mut router, |_| {}).unwrap();
    (bus, router, read)
}

#[test]
fn state_comes_back_the_same_from_an_image_a_bad_image_or_none() {
    let (bus, router, read) = story(|_| {});
    assert!(read[0] > Position(20), "the log was read from where the image ends: {read:?}");
    assert_eq!(router.stats().snapshot().bad_images, 0);
    bus.check_replay(&views());
    let expected = bus.everything(&views());
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 4] = [|b| b.truncate(b.len() / 2), |b| b.clear(), |b| b[60] ^= 1, |b| b.push(0)];
    for (n, damage) in damages.into_iter().enumerate() {
        let (bus, router, read) = story(|bus| {
            let mut bytes = std::fs::read(image(bus)).unwrap();
            damage(&mut bytes);
            std::fs::write(image(bus), bytes).unwrap();
        });
        assert_eq!((read[0], router.stats().snapshot().bad_images), (Position(0), 1), "damage {n}");
        assert_eq!(bus.everything(&views()), expected, "damage {n}");
    }
    let (bus, router, read) = story(|bus| std::fs::remove_file(image(bus)).unwrap());
    assert_eq!((read[0], router.stats().snapshot().bad_images), (Position(0), 0));
    assert_eq!(bus.everything(&views()), expected);
}

#[test]
fn an_image_is_written_on_the_way_and_a_killed_router_goes_on_from_it() {
    let mut bus = Bus::new(1, &["G01"]);
    bus.image_every = 10;
    views().iter().for_each(|v| bus.grant(v));
    let mut router = bus.router();
    bus.submit(&changes(1, 0..20));
    bus.settle(&mut router);
    // Killed: nothing is written at the end; dropping it waits for the one that is being written.
    drop(router);
    assert!(image(&bus).exists());
    let mut router = bus.router();
    bus.submit(&changes(1, 0..20));
    bus.finish("G01", "s", 40);
    bus.settle(&mut router);
    assert_eq!((bus.counts("G01").admitted, bus.counts("G01").repeated), (20, 20));
    assert_eq!(router.stats().snapshot().bad_images, 0);
}

#[test]
fn a_view_that_was_out_of_force_stays_out_also_after_a_start_from_an_image() {
    let bus = Bus::new(1, &["G01"]);
    let view = Granted { ends_ms: NOON + 1_000, ..granted(1, "H29", PART) };
    bus.grant(&view);
    let mut router = bus.router();
    bus.submit(&changes(1, 0..3));
    bus.settle(&mut router);
    bus.tick(1_000);
    bus.submit(&changes(1, 3..6));
    bus.settle(&mut router);
    router.stop();
    let mut router = bus.router();
    assert_eq!(router.stats().snapshot().bad_images, 0);
    let (grant, ends_ms) = (Box::new(view.grant()), NOON + 99_000);
    bus.control(ControlEvent::Renewal { view_no: ViewNo(1), grant, ends_ms });
    bus.submit(&changes(2, 0..6));
    bus.settle(&mut router);
    assert_eq!(bus.records(&view.topic()).len(), 3);
    bus.check_replay(&[view]);
}

#[test]
fn an_image_of_a_newer_format_is_refused_with_what_to_do() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    bus.submit(&changes(1, 0..3));
    bus.settle(&mut router);
    router.stop();
    let mut bytes = std::fs::read(image(&bus)).unwrap();
    bytes[8] = 2;
    std::fs::write(image(&bus), bytes).unwrap();
    let error = Router::open(bus.config(bus.log.clone())).err().unwrap();
    let cause = error.source().and_then(|e| e.source()).unwrap().to_string();
    assert!(cause.contains("format 2") && cause.contains("use a newer kenh"), "{cause}");
}

#[test]
fn an_image_under_another_secret_or_of_another_log_is_foreign() {
    let bus = Bus::new(1, &["G01"]);
    let mut router = bus.router();
    bus.submit(&changes(1, 0..3));
    bus.settle(&mut router);
    router.stop();
    let mut config = bus.config(bus.log.clone());
    config.master = Secret::new([6; 32]);
    assert_eq!(Router::open(config).unwrap().stats().snapshot().bad_images, 1);
    let other = Bus::new(1, &["G01"]);
    std::fs::copy(image(&bus), image(&other)).unwrap();
    let mut router = other.router();
    assert_eq!(router.stats().snapshot().bad_images, 1);
    other.submit(&changes(1, 0..3));
    other.settle(&mut router);
    assert_eq!(other.admitted(), 3, "nothing of the other log is known");
}

#[test]
fn what_the_data_log_cannot_hold_is_refused_with_its_place() {
    type Value = fn(Marker) -> Vec<u8>;
    let cases: [(Value, &str); 5] = [
        (|m| frame::encode(Sequence(2), &Data::Marker(Marker { engine: ENGINE + 1, ..m })), "use a newer kenh"),
        (
            |m| frame::encode(Sequence(2), &Data::Marker(Marker { control_digest: [7; 32], ..m })),
            "not the one that was in force",
        ),
        (|_| vec![9; 40], "use a newer kenh"),
        (|_| vec![1, 2], "cut short"),
        (|m| frame::encode(Sequence(9), &Data::Marker(m)), "data record 9 follows 1"),
    ];
    for (value, says) in cases {
        let bus = Bus::new(1, &["G01"]);
        let mut router = bus.router();
        bus.settle(&mut router);
        drop(router);
        let to = TopicPartition::new(Topic::Data(dataset()), 0);
        bus.write(vec![NewRecord {
            to,
            timestamp_ms: 0,
            key: Bytes::new(),
            value: Some(value(bus.markers(0).remove(0)).into()),
        }]);
        let error = Router::open(bus.config(bus.log.clone())).err().unwrap();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_log_that_fails_for_a_while_is_waited_for() {
    let bus = Bus::new(1, &["G01"]);
    views().iter().for_each(|v| bus.grant(v));
    bus.submit(&changes(1, 0..20));
    let mut router = bus.router();
    for failing in [1, 3] {
        bus.log.faults().next_reads(failing);
        assert!(matches!(router.turn(Duration::ZERO).unwrap(), Turn::Waiting(_)));
    }
    bus.settle(&mut router);
    assert_eq!(bus.admitted(), 20);
    bus.check_replay(&views());
}
