//! The router on the embedded log, from submitted changes to committed views, under 1, 10 and 100 grants of which no two
//! give the same row, and 10 that all give every row. Baseline: a loop on the same log that reads the same input and
//! commits the very records that the router wrote, in the same batches, ready-made: whatever the ratio is above 1 is what
//! deciding costs.
//!
//! And the decision alone, in memory ([`Plan::route`]), against a loop that decodes the record with `apache-avro`, asks
//! each grant's filter in turn and encodes what it granted.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_broker::embedded::Fsync;
use kenh_domain::control::ControlSet;
use kenh_domain::frame::After;
use kenh_domain::log::{Batch, Log};
use kenh_domain::names::{Group, Principal};
use kenh_domain::route::{Effects, Holding, Plan};
use kenh_domain::schema::Spans;
use kenh_producers::reform::Change;
use support::bus::{self, Grants};
use support::record::RecordingLog;
use support::{Bench, oracle, timed};

/// People; each changes twice.
const PEOPLE: u64 = 10_000;

const CASES: [(&str, Grants); 4] = [
    ("1 grant", Grants::Disjoint(1)),
    ("10 disjoint grants", Grants::Disjoint(10)),
    ("100 disjoint grants", Grants::Disjoint(100)),
    ("10 overlapping grants", Grants::Overlapping(10)),
];

fn main() {
    let bench = Bench::start("route");
    let reform = bus::reform();
    let changes = bus::population(&reform, PEOPLE);
    for (what, grants) in CASES {
        let template = tempfile::tempdir().expect("a directory");
        let set = {
            let log = bus::embedded(template.path(), Fsync::Never);
            let set = bus::declare(&log, grants);
            bus::submit(&*log, &set, "bench", &changes);
            set
        };
        let records = changes.len() + set.contracts[&bus::people()].partitions as usize;
        let batches = recorded(template.path(), records);
        let written: usize = batches.iter().map(|b| b.records.len()).sum();
        for (how, fsync) in [("no fsync", Fsync::Never), ("fsync", Fsync::EachCommit)] {
            let mut copied = || copy(template.path(), fsync, &set, records, batches.clone());
            let mut routed = || route(template.path(), fsync, records);
            bench.pair(
                &format!("{what}, {how}"),
                changes.len() as u64,
                ("bare copy", &mut copied),
                ("router", &mut routed),
            );
        }
        bench.figure(&format!("{what}: records written for one read"), written as f64 / changes.len() as f64, "");
        in_memory(&bench, what, grants, &set, &changes, &bus::provinces(&reform));
    }
}

/// What the router commits for the whole input, batch by batch.
fn recorded(template: &Path, records: usize) -> Vec<Batch> {
    let dir = tempfile::tempdir().expect("a directory");
    bus::copy_dir(template, dir.path());
    let recording = RecordingLog::new(bus::embedded(dir.path(), Fsync::Never));
    let log: Arc<dyn Log> = recording.clone();
    bus::route_all(&mut bus::router(&log), records);
    recording.take()
}

fn route(template: &Path, fsync: Fsync, records: usize) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    bus::copy_dir(template, dir.path());
    let log = bus::embedded(dir.path(), fsync);
    let mut router = bus::router(&log);
    timed(|| bus::route_all(&mut router, records))
}

fn copy(template: &Path, fsync: Fsync, set: &ControlSet, records: usize, batches: Vec<Batch>) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    bus::copy_dir(template, dir.path());
    let log = bus::embedded(dir.path(), fsync);
    let group = Group::new("main").expect("a name");
    let mut claim = log.claim(&Principal::router(), &group).expect("the group can be claimed");
    let from = bus::inputs(&*log, set);
    let mut reader = log.reader(&Principal::router(), &from).expect("the inputs can be read");
    timed(|| {
        let mut read = 0;
        for batch in batches {
            if !batch.consumed.is_empty() {
                read += reader.poll(5_000, 8 << 20, Duration::ZERO).expect("it can be read").len();
            }
            claim.commit(batch).expect("it can be committed");
        }
        assert_eq!(read, records, "the copy has not read what the router read");
    })
}

/// The decision alone.
fn in_memory(bench: &Bench, what: &str, grants: Grants, set: &ControlSet, changes: &[Change], provinces: &[String]) {
    let none = BTreeSet::new();
    let dataset = bus::people();
    let plan = Plan::build(set, &dataset, bus::now_ms(), &bus::master(), &none, &none, None).expect("a plan");
    assert!(plan.refused().is_empty(), "every grant is in the plan");
    let version = set.contracts[&dataset].latest().expect("there is a schema");
    let schema = plan.schema(version.id).expect("it is parsed");
    let mut views = 0;
    let mut planned = || {
        let (mut spans, mut effects) = (Spans::new(), Effects::default());
        let mut held: HashMap<&[u8], Vec<Holding>> = HashMap::with_capacity(changes.len());
        views = 0;
        timed(|| {
            for c in changes {
                effects.clear();
                schema.walk(&c.body, &mut spans).expect("a body");
                let after = After { schema: version.id, body: &c.body };
                let holdings = held.entry(&c.key).or_default();
                plan.route(&c.key, Some((after, &spans)), holdings, &mut effects);
                holdings.clone_from(&effects.holdings);
                views += effects.writes.iter().filter(|w| w.value.is_some()).count();
                black_box(&effects);
            }
        })
    };
    let full = oracle::parse(&version.schema);
    let reader = GenericDatumReader::builder(&full).build().expect("a reader");
    let granted: Vec<_> = set.views.values().map(|v| &v.activation).collect();
    let schemas: Vec<_> = granted.iter().map(|a| oracle::parse(&set.schemas[&a.schema_id].schema)).collect();
    let writers: Vec<_> = schemas.iter().map(|s| GenericDatumWriter::builder(s).build().expect("a writer")).collect();
    let fields: Vec<Vec<_>> =
        granted.iter().map(|a| a.grant.fields.iter().map(|f| (f.path.clone(), f.view_name())).collect()).collect();
    let mut plain_views = 0;
    let mut plain = || {
        plain_views = 0;
        timed(|| {
            for c in changes {
                let value = oracle::decode(&reader, &c.body);
                for n in 0..granted.len() {
                    if matches(&value, grants, n, provinces) {
                        black_box(oracle::encode(&writers[n], oracle::project(&value, &fields[n])));
                        plain_views += 1;
                    }
                }
            }
        })
    };
    bench.pair(&format!("{what}, in memory"), changes.len() as u64, ("plain loop", &mut plain), ("plan", &mut planned));
    // The plan leaves out what would show the recipient nothing new, and only that.
    assert!(views <= plain_views && views * 2 >= plain_views, "{views} and {plain_views} rows are not the same work");
}

/// The row filter of grant `n`, by hand.
fn matches(value: &Value, grants: Grants, n: usize, provinces: &[String]) -> bool {
    let province = |of: &String| matches!(oracle::at(value, "NoiOHienTai.MaTinh"), Value::String(s) if s == of);
    match grants {
        Grants::Disjoint(of) if of <= 50 => province(&provinces[n]),
        Grants::Disjoint(_) => {
            province(&provinces[n / 2])
                && matches!(oracle::at(value, "GioiTinh"), Value::Int(sex) if *sex as usize == 1 + n % 2)
        }
        Grants::Declared | Grants::Overlapping(_) => true,
    }
}
