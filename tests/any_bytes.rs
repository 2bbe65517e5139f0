//! No bytes from outside bring a role down: the entry points that `fuzz/` attacks for hours, asked here for seconds with
//! their seeds, with everything that once broke them (`fuzz/regressions`), with arbitrary bytes and with damaged seeds.
//!
//! What must hold of whatever is taken stands with each entry point, in `fuzz/src/entry/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests say what they expect")]

#[path = "../fuzz/src/entry/mod.rs"]
mod entry;

use std::collections::BTreeSet;
use std::path::Path;

use entry::Entry;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Bytes with a few of them changed, put in, left out, said twice or cut.
fn damaged(mut bytes: Vec<u8>, damage: Vec<(prop::sample::Index, u8, u8)>) -> Vec<u8> {
    for (at, byte, how) in damage {
        let at = at.index(bytes.len() + 1);
        match how {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + usize::from(byte % 8)).min(bytes.len()))),
            3 => {
                let piece = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
    bytes
}

fn smoke(entry: Entry, cases: u32) {
    let seeds = (entry.seeds)();
    assert!(!seeds.is_empty(), "{} has no seed", entry.name);
    seeds.iter().for_each(|seed| (entry.read)(seed));
    if let Ok(kept) = std::fs::read_dir(regressions().join(entry.name)) {
        kept.for_each(|file| (entry.read)(&std::fs::read(file.unwrap().path()).unwrap()));
    }
    // Whatever is refused at once says little: one in eight is arbitrary, the others were good once.
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..8_u8), 0..6);
    let bytes = prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..256),
        7 => (prop::sample::select(seeds), damage).prop_map(|(seed, damage)| damaged(seed, damage)),
    ];
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) });
    runner
        .run(&bytes, |bytes| {
            (entry.read)(&bytes);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{}: {e}", entry.name));
}

fn regressions() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/regressions"))
}

macro_rules! smoke {
    ($($name:ident $cases:literal,)*) => {
        $(#[test] fn $name() { smoke(entry::$name(), $cases); })*

        /// None is left out, and none of its fuzz targets is missing.
        #[test]
        fn every_entry_point_is_asked() {
            let asked: BTreeSet<_> = [$(stringify!($name)),*].into();
            let listed: BTreeSet<_> = entry::ALL.iter().map(|e| e.name).collect();
            assert_eq!(asked, listed);
            let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            for name in listed {
                let target = std::fs::read_to_string(targets.join(format!("{name}.rs"))).unwrap();
                assert!(target.contains(&format!("entry::{name}()")), "{name} has another target's code");
            }
            for kept in std::fs::read_dir(regressions()).into_iter().flatten() {
                let name = kept.unwrap().file_name();
                assert!(asked.contains(name.to_str().unwrap()), "{name:?} is no entry point");
            }
        }
    };
}

// Those that go through files, or plan a whole declaration, are asked less.
smoke! {
    envelope 512,
    submitted 512,
    data_frame 512,
    schema 256,
    avro_body 512,
    filter 512,
    jsonl 256,
    national 256,
    csv 256,
    container 256,
    mapping 256,
    own_table 64,
    declared 64,
    control 128,
    told 512,
    registry 128,
    texts 512,
    metadata 512,
    state_image 128,
    log_entries 512,
    cursor 512,
}
