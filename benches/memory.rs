//! What the router keeps in memory for each record key it has ever seen, at 0, 1 and 4 holdings, for a million keys: by
//! its own count, and by what the process has more of in memory (`/proc/self/statm`). Baseline: a plain `HashMap` from the
//! hash to the same facts. Each is measured in a process of its own.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops when it cannot measure"
)]

mod support;

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use kenh_domain::control::ViewNo;
use kenh_domain::frame::{Sequence, Version};
use kenh_domain::key::hash128;
use kenh_domain::route::Holding;
use kenh_domain::secret::Secret;
use kenh_router::state::{KeyHash, Known, State};
use support::Bench;

const KEYS: u64 = 1_000_000;
/// Says to a process of this bench what it is to fill: `state N` or `map N`.
const WHAT: &str = "KENH_BENCH_FILL";

fn main() {
    if let Ok(what) = std::env::var(WHAT) {
        return fill(&what);
    }
    let bench = Bench::start("memory");
    for holdings in [0, 1, 4] {
        let (_, map) = measure(&format!("map {holdings}"));
        let (own, state) = measure(&format!("state {holdings}"));
        let what = |of: &str| format!("{holdings} holdings: {of}");
        bench.figure(&what("router, its own count"), own, "bytes a key");
        bench.figure(&what("router, resident"), state, "bytes a key");
        bench.figure(&what("plain HashMap, resident"), map, "bytes a key");
        bench.figure(&what("router / plain HashMap"), state / map, "x");
    }
}

/// Own count and resident size, in bytes a key, as a process of its own prints them.
fn measure(what: &str) -> (f64, f64) {
    let own = std::env::current_exe().expect("it runs");
    let out = Command::new(own).env(WHAT, what).output().expect("it can be run");
    assert!(out.status.success(), "filling {what} failed");
    let text = String::from_utf8(out.stdout).expect("text");
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().expect("a number") / KEYS as f64);
    (numbers.next().expect("own count"), numbers.next().expect("resident size"))
}

fn fill(what: &str) {
    let (kind, holdings) = what.split_once(' ').expect("kind and holdings");
    let holdings: u32 = holdings.parse().expect("a number");
    let secret = Secret::new([1; 32]);
    let known = |n: u64| Known {
        owner: 0,
        cancelled: false,
        sequence: Sequence(n),
        version: Version { epoch: 0, version: n },
        content: u128::from(n) << 64 | 1,
        holdings: (0..holdings).map(|v| Holding { view: ViewNo(v), digest: n }).collect(),
    };
    let before = resident();
    let (own, after) = if kind == "state" {
        let mut state = State::default();
        for n in 0..KEYS {
            state.put(KeyHash(hash128(&secret, &n.to_be_bytes())), &known(n));
        }
        assert_eq!(state.len() as u64, KEYS);
        (state.bytes(), resident())
    } else {
        let mut map = HashMap::new();
        for n in 0..KEYS {
            map.insert(KeyHash(hash128(&secret, &n.to_be_bytes())), known(n));
        }
        assert_eq!(map.len() as u64, KEYS);
        (0, resident())
    };
    println!("{own} {}", after - before);
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux says");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * 4096
}
