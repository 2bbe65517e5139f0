//! The projector alone: from the Avro body of a person to the body that a view gets, one pass to find the fields and a
//! gathering of bytes. Baseline: `apache-avro` decoding the record, picking the granted fields and encoding them.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::hint::black_box;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::shape::{InForce, Shape};
use support::bus::{self, Grants};
use support::{Bench, oracle, timed};

fn main() {
    let bench = Bench::start("projector");
    let dir = tempfile::tempdir().expect("a directory");
    let log = bus::embedded(dir.path(), kenh_broker::embedded::Fsync::Never);
    let set = bus::declare(&log, Grants::Declared);
    let changes = bus::population(&bus::reform(), 10_000);
    let contract = &set.contracts[&bus::people()];
    let schemas: Vec<_> =
        contract.schemas.iter().map(|v| (v.id, Schema::parse(&v.schema).expect("a schema"))).collect();
    let (writer_id, schema) = schemas.last().expect("there is a schema");
    let count = changes.len() as u64;
    let bytes: usize = changes.iter().map(|c| c.body.len()).sum();

    for entry in set.views.values().filter(|v| v.activation.grant.dataset == bus::people()) {
        let activation = &entry.activation;
        let grant = &activation.grant;
        // Every row: what is measured is the projection, and apache-avro has no filter.
        let mut entry = entry.clone();
        std::sync::Arc::make_mut(&mut entry.activation).grant.filter = None;
        let in_force = InForce::at(&entry, bus::now_ms()).expect("it is in force");
        let whole = &entry.activation.grant;
        let master = bus::master();
        let shape = Shape::compile(contract, &schemas, whole, Some(&master), &activation.secret_label, None)
            .expect("the grant compiles");
        let (mut spans, mut out) = (Spans::new(), Vec::new());
        let mut projected = || {
            timed(|| {
                for change in &changes {
                    schema.walk(&change.body, &mut spans).expect("a body");
                    let permit = shape.authorise(&in_force, *writer_id, &change.body, &spans).expect("all rows");
                    out.clear();
                    permit.project(&mut out);
                    black_box(&out);
                }
            })
        };
        let full = oracle::parse(&contract.latest().expect("there is a schema").schema);
        let view = oracle::parse(shape.view_schema());
        let fields: Vec<_> = grant.fields.iter().map(|f| (f.path.clone(), f.view_name())).collect();
        let reader = GenericDatumReader::builder(&full).build().expect("a reader");
        let writer = GenericDatumWriter::builder(&view).build().expect("a writer");
        // Both give the same bytes, or there is nothing to compare.
        for change in changes.iter().take(100) {
            let theirs = oracle::encode(&writer, oracle::project(&oracle::decode(&reader, &change.body), &fields));
            let mut spans = Spans::new();
            schema.walk(&change.body, &mut spans).expect("a body");
            let mut ours = Vec::new();
            let permit = shape.authorise(&in_force, *writer_id, &change.body, &spans).expect("all rows");
            permit.project(&mut ours);
            assert_eq!(ours, theirs, "the two projections of {} differ", grant.id);
        }
        let mut decoded = || {
            timed(|| {
                for change in &changes {
                    let value = oracle::project(&oracle::decode(&reader, &change.body), &fields);
                    black_box(oracle::encode(&writer, value));
                }
            })
        };
        let what = format!("{} ({} fields)", grant.recipient, grant.fields.len());
        bench.pair(&what, count, ("apache-avro", &mut decoded), ("projector", &mut projected));
        let mut seconds: Vec<f64> = (0..support::runs()).map(|_| projected().as_secs_f64()).collect();
        let seconds = support::median(&mut seconds);
        bench.figure(&format!("{what}: a record"), seconds * 1e9 / count as f64, "ns");
        bench.figure(&format!("{what}: read"), bytes as f64 / seconds / 1e6, "MB/s");
    }
}
