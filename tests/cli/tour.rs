//! `scripts/tour`, as it is: a script that stops at the first thing that is not as it says.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_tour_of_governance_goes_to_its_end() {
    let place = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tour");
    let mut tour = Command::new(script);
    kenh_testkit::outside::without_our_environment(&mut tour);
    tour.arg("governance").env("KENH", env!("CARGO_BIN_EXE_kenh")).env("TOUR", place.path().join("tour"));
    let output = tour.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let line_with = |all: &[&str]| said.lines().any(|line| all.iter().all(|part| line.contains(part)));
    // What was refused, delivered and revoked on the way, in the words of the tables.
    for line in [
        &["contract", "bien-soan", "in force"][..],
        &["don-vi-hanh-chinh", "live", " 2 "],
        &["don-vi-hanh-chinh", "ended", " 0 "],
        &["ben-nhan", "was released, and has ended"],
        &["h29-don-vi-hanh-chinh", "revoked"],
        &["bao-ve-du-lieu", "data-protection-officer"],
    ] {
        assert!(line_with(line), "no line with {line:?}:\n{said}");
    }
}
