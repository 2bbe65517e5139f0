//! From a record's body to a submitted envelope, every rule that can be asked offline checked, on the population and the
//! units of reform day. Baselines: the same bodies put into envelopes with no rule; and `apache-avro` encoding the same
//! values. No log here: what a log costs is in `route` and `latency`.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_domain::admit::Rules;
use kenh_domain::envelope::{self, Event, Submitted};
use kenh_domain::names::Dataset;
use kenh_domain::wire;
use kenh_producers::reform;
use kenh_producers::{Change, Checker, Defaults};
use support::bus::{self, Grants};
use support::{Bench, oracle, timed};

fn main() {
    let bench = Bench::start("publish");
    let dir = tempfile::tempdir().expect("a directory");
    let log = bus::embedded(dir.path(), kenh_broker::embedded::Fsync::Never);
    let set = bus::declare(&log, Grants::Declared);
    let reform = bus::reform();
    let people = bus::population(&reform, 20_000);
    let units: Vec<_> = reform.units().collect();
    for (what, dataset, provider, changes) in
        [("people", "dan-cu", "G01", people), ("units", "don-vi-hanh-chinh", "G09", units)]
    {
        let contract = &set.contracts[&Dataset::new(dataset).expect("a name")];
        let rules = Rules::compile(contract).expect("the contract compiles");
        let version = contract.latest().expect("there is a schema");
        let count = changes.len() as u64;
        let now = bus::now_ms();

        let read: Vec<Change> = changes.iter().map(|c| as_read(c, version.id)).collect();
        let mut checker =
            Checker::new(&rules, bus::agency(provider), Defaults { event: Event::New, version: 1, updated_ms: now });
        let mut checked = || {
            timed(|| {
                for (n, change) in read.iter().enumerate() {
                    let ready = checker.check("bench", n as u64 + 1, change, now).expect("it breaks no rule");
                    black_box(&ready);
                }
            })
        };
        let mut wrapped = || {
            timed(|| {
                for (n, c) in changes.iter().enumerate() {
                    let submitted =
                        Submitted::new("bench", n as u64 + 1, c.event, c.version, c.updated_ms, Some(&c.body));
                    let mut value = Vec::with_capacity(wire::HEADER_BYTES + 64 + c.body.len());
                    wire::put_header(version.envelope_id, &mut value);
                    envelope::encode(&submitted, &mut value);
                    black_box(&value);
                }
            })
        };
        bench.pair(
            &format!("{what}: rules and envelope"),
            count,
            ("envelope alone", &mut wrapped),
            ("checked", &mut checked),
        );

        let schema = oracle::parse(&version.schema);
        let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        let values: Vec<Value> = changes.iter().map(|c| oracle::decode(&reader, &c.body)).collect();
        let mut encoded = || {
            timed(|| {
                for value in &values {
                    let mut out = Vec::with_capacity(256);
                    writer.write_value_ref(&mut out, value).expect("the value is of the schema");
                    black_box(&out);
                }
            })
        };
        bench.pair(
            &format!("{what}: rules and envelope"),
            count,
            ("apache-avro encode", &mut encoded),
            ("checked", &mut checked),
        );
    }
}

/// A change as a format's reader would give it.
fn as_read(change: &reform::Change, schema: wire::SchemaId) -> Change {
    Change {
        event: Some(change.event),
        version: Some(change.version),
        updated_ms: Some(change.updated_ms),
        ..Change::bare(schema, change.body.clone())
    }
}
