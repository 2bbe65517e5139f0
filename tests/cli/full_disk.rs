//! The disk of an agency's copies is full under a running node: the subscriber waits and says so, everything else goes on,
//! and nothing is lost or counted twice when there is room again.

use std::fs;
use std::os::unix::fs::symlink;

use kenh_testkit::disk::SmallDisk;
use serde_json::json;

use crate::bad_input::person;
use crate::harness::{Place, Up, until};

const PEOPLE: &str = "dan-cu";
const BEFORE: u32 = 10;
const AFTER: u32 = 300;

/// On a node that keeps H29 on the disk and G01 elsewhere. `why` is a part of what it says when there is no room.
pub fn is_waited_for(disk: &SmallDisk, place: &Place, up: &Up<'_>, why: &str) {
    let produce = |numbers: std::ops::RangeInclusive<u32>| {
        let lines: String = numbers.map(|n| person(n).to_string() + "\n").collect();
        place.write("people.jsonl", lines);
        place.kenh(["produce", PEOPLE, "--from", "people.jsonl"]).ok();
    };
    let waiting = |agency: &str, n: u32| {
        let line = format!("\nkenh_copies_waiting{{agency=\"{agency}\"}} {n}\n");
        up.get("/metrics").text().contains(&line)
    };
    produce(1..=BEFORE);
    up.await_rows("H29", PEOPLE, BEFORE.into());
    assert!(waiting("H29", 0) && waiting("G01", 0));
    disk.fill(0);
    produce(BEFORE + 1..=AFTER);
    let said = until("the node to miss room", || {
        let ready = up.get("/health/ready");
        (ready.status == 503).then(|| ready.text())
    });
    assert!(said.contains("copies of H29") && said.contains(why), "{said}");
    assert!(waiting("H29", 1) && waiting("G01", 0), "{}", up.get("/metrics").text());
    // The others go on, and what is there can be read.
    up.await_rows("G01", PEOPLE, AFTER.into());
    let ask = json!({ "keys": ["079085000001"] });
    let found = up.post(&format!("/v1/views/H29/{PEOPLE}/lookup"), &ask);
    assert_eq!(found.status, 200, "{}", found.text());
    disk.empty();
    up.await_rows("H29", PEOPLE, AFTER.into());
    until("the node to be ready again", || (up.get("/health/ready").status == 200).then_some(()));
    assert!(waiting("H29", 0));
    let status = up.get("/v1/status").json();
    let copies = status["copies"].as_array().unwrap();
    let copy = copies.iter().find(|c| c["agency"] == "H29" && c["dataset"] == PEOPLE).unwrap();
    assert_eq!((&copy["inserted"], &copy["updated"], &copy["left"]), (&json!(AFTER), &json!(0), &json!(0)));
}

fn of_a_store_in_files(store: &str) {
    let disk = SmallDisk::new(128);
    let place = Place::for_people();
    fs::create_dir_all(place.path("data/copies")).unwrap();
    symlink(disk.path(), place.path("data/copies/H29")).unwrap();
    let up = Up::start_with(&place, &[], |_| {
        let copies = format!("copies:\n  - agency: H29\n    store: {store}\n  - agency: G01\n");
        place.write("kenh.yaml", copies);
    });
    is_waited_for(&disk, &place, &up, "make room");
    up.stop();
}

#[test]
fn under_sled_is_waited_for() {
    of_a_store_in_files("sled");
}

#[test]
fn under_fjall_is_waited_for() {
    of_a_store_in_files("fjall");
}
