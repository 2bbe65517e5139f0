//! Invariant 2: batches, turns, transactions and processes leave no trace in any byte.

use std::collections::BTreeMap;
use std::time::Duration;

use kenh_domain::grant::EndReason;
use proptest::prelude::*;

use crate::bus::{Bus, Granted, Row, Seen, Sent, granted, row, sent};

const PART: &[&str] = &["So", "Ten", "Tinh"];

fn views() -> [Granted; 3] {
    [granted(1, "A01", PART), granted(2, "H29", PART).rows("79"), granted(3, "G12", &["So", "Tinh"]).rows("01")]
}

/// How a run is cut: most records of a batch, sizes of what is submitted at once with turns after each, and after which
/// of them the process is killed.
#[derive(Debug, Clone)]
struct Cuts {
    batch: usize,
    pieces: Vec<(usize, usize, bool)>,
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let piece = (1usize..30, 0usize..4, prop::bool::weighted(0.2));
    (1usize..40, prop::collection::vec(piece, 1..12)).prop_map(|(batch, pieces)| Cuts { batch, pieces })
}

fn run(partitions: u32, changes: &[Sent], cuts: &Cuts) -> BTreeMap<String, Vec<Seen>> {
    let mut bus = Bus::new(partitions, &["G01"]);
    bus.max_batch = cuts.batch;
    bus.image_every = 8;
    let [all, of_79, of_01] = views();
    bus.grant(&all);
    bus.grant(&of_79);
    let mut router = bus.router();
    bus.settle(&mut router);
    let mut pieces = cuts.pieces.iter().cycle();
    let (first, second) = changes.split_at(changes.len() / 2);
    for half in [first, second] {
        let mut rest = half;
        while !rest.is_empty() {
            let (size, turns, kill) = pieces.next().unwrap();
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            rest = more;
            bus.submit(piece);
            for _ in 0..*turns {
                router.turn(Duration::ZERO).unwrap();
            }
            if *kill {
                router = bus.router();
            }
        }
        bus.settle(&mut router);
        bus.grant(&of_01);
        bus.settle(&mut router);
        bus.end(&of_79, EndReason::Ended);
        bus.settle(&mut router);
    }
    bus.finish("G01", "s", changes.len() as u64);
    bus.settle(&mut router);
    bus.check_replay(&views());
    let mut all = bus.everything(&views());
    // Several partitions answer into one receipt topic, in the order in which they were read.
    all.get_mut("receipt.G01").unwrap().sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn the_same_inputs_give_the_same_bytes_however_they_are_cut(
        partitions in 1u32..4,
        drawn in prop::collection::vec((0u8..15, 0i64..4, 0usize..4, 0i64..2), 2..150),
        cuts in cuts(),
    ) {
        let mut versions: BTreeMap<u8, i64> = BTreeMap::new();
        let changes: Vec<Sent> = drawn.iter().map(|(key, step, place, an)| {
            let version = versions.entry(*key).or_insert(1);
            *version += step;
            let row = ["79", "01", "48"].get(*place).map(|tinh| Row { an: *an, ..row("an", tinh) });
            sent(&format!("k{key}"), *version, row)
        }).collect();
        let whole = Cuts { batch: 5_000, pieces: vec![(5_000, 0, false)] };
        let (whole, cut) = (run(partitions, &changes, &whole), run(partitions, &changes, &cuts));
        for (topic, seen) in &whole {
            prop_assert_eq!(&cut[topic], seen, "{}", topic);
        }
    }
}
