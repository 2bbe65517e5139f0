//! What is shipped, in force: the ground on which entry points read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kenh_domain::admit::Rules;
use kenh_domain::contract::Contract;
use kenh_domain::control::{ControlRecord, ControlSet, FORMAT};
use kenh_domain::envelope::Event;
use kenh_domain::log::Position;
use kenh_domain::names::Agency;
use kenh_domain::route::Plan;
use kenh_domain::secret::Secret;
use kenh_producers::Defaults;
use kenh_producers::format::envelope::Into;
use kenh_producers::format::jsonl;

/// 2026-01-01 00:00 UTC.
pub const CLOCK_MS: i64 = 1_767_225_600_000;

/// What stands for what a source does not say.
pub const DEFAULTS: Defaults = Defaults { event: Event::New, version: 1, updated_ms: CLOCK_MS };

/// A dataset in force.
pub struct Data {
    pub rules: Rules,
    pub provider: Agency,
    pub plan: Plan,
    /// Its examples that have its form, valid or not, as Avro.
    pub bodies: Vec<Vec<u8>>,
}

impl Data {
    pub fn contract(&self) -> &Contract {
        self.rules.contract()
    }
}

/// Everything in force.
pub struct Ground {
    /// The records of the control log that brought it about.
    pub events: Vec<Vec<u8>>,
    pub set: ControlSet,
    /// `dan-cu`, `don-vi-hanh-chinh`.
    pub data: Vec<Data>,
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.join("schemas").is_dir() { here.to_owned() } else { here.join("..") }
}

/// A file of the workspace.
pub fn file(path: &str) -> Vec<u8> {
    std::fs::read(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every file at or below a folder of the workspace whose name ends so, in order.
pub fn files(dir: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(dir)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().is_some_and(|p| p.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The examples of a dataset: valid ones first.
pub fn examples(dataset: &str) -> Vec<Vec<u8>> {
    let of = |kind| files(&format!("schemas/{dataset}/examples/{kind}"), ".json");
    of("valid").into_iter().chain(of("invalid")).map(|f| std::fs::read(f).unwrap()).collect()
}

fn bodies(rules: &Rules) -> Vec<Vec<u8>> {
    let into = Into::newest(rules).unwrap();
    let one = |text: &Vec<u8>| jsonl::line(&into, text, true).ok()?.record;
    let bodies: Vec<_> = examples(rules.contract().dataset.as_str()).iter().filter_map(one).collect();
    assert!(!bodies.is_empty(), "no example of {} can be read", rules.contract().dataset);
    bodies
}

thread_local! {
    /// Made once a thread and kept: a fuzzer asks millions of times.
    static GROUND: &'static Ground = Box::leak(Box::new(Ground::shipped()));
}

/// What is shipped, in force.
pub fn ground() -> &'static Ground {
    GROUND.with(|ground| *ground)
}

impl Ground {
    fn shipped() -> Self {
        let declared = kenh_governance::read(&["schemas", "broker-config"].map(|p| root().join(p)))
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let plan = kenh_governance::plan(&declared, &ControlSet::default(), &[], CLOCK_MS - 1)
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut set = ControlSet::default();
        let mut events = Vec::new();
        for (n, event) in (0..).zip(plan.events) {
            let record = ControlRecord { format: FORMAT, at_ms: CLOCK_MS - 1, event, signatures: Vec::new() };
            let bytes = serde_json::to_vec(&record).unwrap();
            set.apply(Position(n), &bytes).unwrap();
            events.push(bytes);
        }
        let none = BTreeSet::new();
        let data = |contract: &Contract| {
            let plan =
                Plan::build(&set, &contract.dataset, CLOCK_MS, &Secret::new([7; 32]), &none, &none, None).unwrap();
            assert!(
                plan.refused().is_empty() && plan.views().count() > 0,
                "no view of {} is in force",
                contract.dataset
            );
            let rules = Rules::compile(contract).unwrap();
            let bodies = bodies(&rules);
            Data { rules, provider: contract.providers[0].agency.clone(), plan, bodies }
        };
        let data = set.contracts.values().map(|contract| data(contract)).collect();
        Self { events, set, data }
    }

    /// The dataset that a byte names.
    pub fn pick(&self, byte: u8) -> &Data {
        &self.data[usize::from(byte) % self.data.len()]
    }
}
