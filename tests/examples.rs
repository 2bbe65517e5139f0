//! The shipped datasets are what their examples say: every valid example passes, every invalid one breaks the one rule it
//! stands for, asked as `kenh check` asks it; and a released schema is one to `apache-avro` too.
//!
//! Which rule an invalid example stands for is listed in [`INVALID`]: an example without a line there fails, and a line
//! without its example.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests say what they expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use kenh_domain::admit::Rules;
use kenh_domain::contract::Contract;
use kenh_domain::control::ControlSet;
use kenh_domain::envelope::Event;
use kenh_domain::names::Dataset;
use kenh_governance::{plan, read};
use kenh_producers::{Checked, Checker, Defaults, Format, check, open};

/// When the examples are checked: 2026-01-01 00:00 UTC, so that none is bad by its time alone.
const CLOCK_MS: i64 = 1_767_225_600_000;

/// Dataset, invalid example, and the one rule that it breaks at which field.
#[rustfmt::skip]
const INVALID: &[(&str, &str, &str, &str)] = &[
    ("dan-cu", "blood-group", "values", "NhomMau"),
    ("dan-cu", "ethnic-group", "element", "DanToc"),
    ("dan-cu", "february-31", "day-of-month", "NgaySinh.day"),
    ("dan-cu", "month-13", "maximum", "NgaySinh.month"),
    ("dan-cu", "personal-id-contradicts-birth-year", "id-birth-year", "NgaySinh.year"),
    ("dan-cu", "personal-id-contradicts-sex", "id-sex", "GioiTinh"),
    ("dan-cu", "personal-id-too-short", "element", "SoDinhDanh"),
    ("dan-cu", "phone-number", "element", "SoDienThoai"),
    ("don-vi-hanh-chinh", "code-not-padded", "element", "Ma"),
    ("don-vi-hanh-chinh", "latitude-out-of-range", "maximum", "ViDo"),
    ("don-vi-hanh-chinh", "level-out-of-range", "maximum", "Cap"),
    ("don-vi-hanh-chinh", "name-empty", "required", "Ten"),
];

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// What is in a folder, in order.
fn inside(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let files: BTreeSet<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.into_iter().collect()
}

/// Every file of `ending` in a folder.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    inside(dir).into_iter().filter(|f| f.extension().is_some_and(|e| e == ending)).collect()
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Folders of datasets.
fn datasets() -> Vec<PathBuf> {
    let all: Vec<_> = inside(&schemas()).into_iter().filter(|d| d.is_dir()).collect();
    assert!(!all.is_empty(), "no dataset is shipped");
    all
}

/// The contracts as applying the shipped declaration would put them in force.
fn contracts() -> BTreeMap<Dataset, std::sync::Arc<Contract>> {
    let agencies = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker-config").join("agencies");
    let declared = read(&[schemas(), agencies]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    plan(&declared, &ControlSet::default(), &[], CLOCK_MS)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
        .after
        .contracts
}

/// One file, checked as `kenh check --from` checks it.
fn checked(contract: &Contract, file: &Path) -> Checked {
    let rules = Rules::compile(contract).unwrap();
    let format = Format::of(file).expect("its ending names a format");
    let mut items = open(format, Box::new(File::open(file).unwrap()), &rules, None).unwrap();
    let defaults = Defaults { event: Event::New, version: 1, updated_ms: CLOCK_MS };
    let provider = contract.providers[0].agency.clone();
    check(&mut *items, &mut Checker::new(&rules, provider, defaults), CLOCK_MS, None, &mut |_| {}).unwrap()
}

/// Runs `each` on every example of a kind: its contract, the name of its dataset, and its file.
fn for_each(kind: &str, mut each: impl FnMut(&Contract, &str, &Path)) {
    let contracts = contracts();
    for dir in datasets() {
        let dataset = name(&dir);
        let contract = contracts.get(&Dataset::new(dataset).unwrap()).expect("a folder is called like its dataset");
        for file in files(&dir.join("examples").join(kind), "json") {
            each(contract, dataset, &file);
        }
    }
}

#[test]
fn valid_examples_pass() {
    for_each("valid", |contract, _, file| {
        let found = checked(contract, file);
        assert_eq!((found.read, found.good), (1, 1), "{}: {:#?}", file.display(), found.listed.first);
    });
}

#[test]
fn an_invalid_example_breaks_the_one_rule_it_stands_for() {
    let mut seen = BTreeSet::new();
    for_each("invalid", |contract, dataset, file| {
        let listed = INVALID.iter().find(|(of, example, ..)| (*of, *example) == (dataset, name(file)));
        let Some(&(dataset, example, rule, field)) = listed else {
            panic!("{} is not listed in INVALID", file.display());
        };
        seen.insert((dataset, example));
        let found = checked(contract, file);
        assert_eq!((found.read, found.rejected), (1, 1), "{} was taken", file.display());
        let broken: Vec<_> = found.listed.first.iter().map(|r| (r.rule.to_string(), r.field.to_string())).collect();
        assert_eq!(broken, [(rule.to_owned(), field.to_owned())], "{}", file.display());
    });
    let listed: BTreeSet<_> = INVALID.iter().map(|(dataset, example, ..)| (*dataset, *example)).collect();
    assert_eq!(seen, listed, "a listed example is gone");
    assert_eq!(listed.len(), INVALID.len(), "an example is listed twice");
}

/// An invalid example is a valid one with one thing wrong: without that, it might be refused for its shape alone.
#[test]
fn every_dataset_has_two_valid_and_three_invalid_examples() {
    for dir in datasets() {
        let count = |kind| files(&dir.join("examples").join(kind), "json").len();
        let (valid, invalid) = (count("valid"), count("invalid"));
        assert!(valid >= 2 && invalid >= 3, "{}: {valid} valid and {invalid} invalid", dir.display());
    }
}

#[test]
fn released_schemas_are_schemas_to_apache_avro() {
    for dir in datasets() {
        let released = files(&dir, "avsc");
        assert!(!released.is_empty(), "{} has no schema", dir.display());
        for file in released {
            let text = std::fs::read_to_string(&file).unwrap();
            let schema = apache_avro::Schema::parse_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(matches!(schema, apache_avro::Schema::Record(_)), "{} is no record", file.display());
        }
    }
}
