//! H29's views, read by others: exactly the rows that the [oracle] has, and that an export of H29's copy gives.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::bus::{Bus, CITIZENS, MOVED, said, shared};
use crate::oracle;

const UNITS: &str = "don-vi-hanh-chinh";
const PEOPLE: &str = "dan-cu";
const BOTH: [&str; 2] = [UNITS, PEOPLE];

fn topic(dataset: &str) -> String {
    format!("view.H29.{dataset}.main.1")
}

/// The rows of H29's copy by record key. The key is made from the row, in the order of the contract.
fn exported(bus: &Bus, dataset: &str) -> BTreeMap<String, Value> {
    let text = bus.node.get(&format!("/v1/views/H29/{dataset}/export?format=jsonl"));
    let key = |row: &Value| match dataset {
        UNITS => serde_json::to_string(&[&row["Ma"], &row["HieuLucTu"]]).unwrap(),
        _ => row["SoDinhDanh"].as_str().unwrap().to_owned(),
    };
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).map(|row| (key(&row), plain(row))).collect()
}

/// The rows that H29 is to have, by record key.
fn wanted(dataset: &str) -> BTreeMap<String, Value> {
    let rows = if dataset == UNITS { oracle::units() } else { oracle::people(CITIZENS.parse().unwrap()) };
    assert!(!rows.is_empty(), "{dataset}: H29 is to have nothing");
    rows.into_iter().map(|(key, row)| (key, plain(row))).collect()
}

/// Holds rows to the oracle's. They are made up, so that one may be shown.
#[track_caller]
fn same(who: &str, dataset: &str, rows: &BTreeMap<String, Value>) {
    let wanted = wanted(dataset);
    let differ = |key: &&String| rows.get(*key) != wanted.get(*key);
    let differing: BTreeSet<_> = rows.keys().chain(wanted.keys()).filter(differ).collect();
    if let Some(key) = differing.first() {
        let (got, wanted, count) = (rows.get(*key), wanted.get(*key), differing.len());
        panic!("{who}: {dataset}: {count} rows differ; {key} is {got:?} and not {wanted:?}");
    }
}

/// 10 and 10.0 are one number: JSON has one kind of them, languages print them in two.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

/// Runs a client over both views: its rows are the oracle's, and all else that it says is as we say.
fn reads_the_oracles_rows(name: &str, mut client: Command) {
    let bus = shared();
    let output = client.args(BOTH.map(topic)).output().unwrap();
    let mut told: Value = serde_json::from_str(&said(name, output)).unwrap();
    for (dataset, view) in BOTH.iter().zip(told["views"].as_array_mut().unwrap()) {
        let Value::Object(rows) = view["rows"].take() else { panic!("{name}: {dataset}: no rows") };
        let rows: BTreeMap<String, Value> = rows.into_iter().map(|(key, row)| (key, plain(row))).collect();
        same(name, dataset, &rows);
        // Whoever left the view, a tombstone of it was seen.
        let left = bus.node.left("H29", dataset);
        assert!(left > 0, "nobody left {dataset}: this proves nothing of tombstones");
        assert_eq!(view["tombstones"], left, "{name}: {dataset}: {view}");
        assert!(MOVED.iter().all(|id| !rows.contains_key(*id)), "{name}: somebody who moved away is still there");

        let subject = format!("{}-value", topic(dataset));
        let ours = bus.node.get(&format!("/subjects/{subject}/versions/latest"));
        let ours: Value = serde_json::from_str(&ours).unwrap();
        assert_eq!((&view["subject"], &view["schemaId"]), (&Value::from(subject), &ours["id"]), "{name}");
        assert_eq!(view["idByContent"], ours["id"], "{name}");
        // The same schema may follow; one with a new field and no default may not.
        assert_eq!((&view["sameCompatible"], &view["grownCompatible"]), (&true.into(), &false.into()), "{name}");
    }
}

#[test]
fn an_export_gives_the_oracles_rows() {
    for dataset in BOTH {
        same("export", dataset, &exported(shared(), dataset));
    }
}

#[test]
fn python_with_confluent_kafka_reads_the_oracles_rows() {
    reads_the_oracles_rows("python/read.py", shared().client("python/bin/python", Some("python/read.py")));
}

#[test]
fn node_with_kafkajs_reads_the_oracles_rows() {
    reads_the_oracles_rows("node/read.js", shared().client("node", Some("node/read.js")));
}

#[test]
fn go_with_franz_go_reads_the_oracles_rows() {
    reads_the_oracles_rows("go/read.go", shared().client("go/read", None));
}

#[test]
fn kafkas_console_tools_list_the_topics_and_read_a_view() {
    let bus = shared();
    let list = said("topics --list", bus.kafka_tool("TopicCommand").arg("--list").output().unwrap());
    let topics: BTreeSet<&str> = list.lines().collect();
    for dataset in BOTH {
        for name in [topic(dataset), format!("data.{dataset}")] {
            assert!(topics.contains(name.as_str()), "{name} is not among {topics:?}");
        }
    }
    // 465 units of H29's rows were there at some time, 296 of them left (README, reform day): 465 upserts of them that
    // stay or leave, and a tombstone for each that left.
    let mut read = bus.kafka_tool("consumer.ConsoleConsumer");
    read.args(["--topic", &topic(UNITS), "--from-beginning", "--isolation-level", "read_committed"]);
    read.args(["--max-messages", "761", "--timeout-ms", "60000"]);
    read.args(["--formatter-property", "print.key=true", "--formatter-property", "print.value=false"]);
    let keys = said("console-consumer", read.output().unwrap());
    assert_eq!(keys.lines().count(), 465 + 296);
    let distinct: BTreeSet<&str> = keys.lines().collect();
    let ours = exported(bus, UNITS);
    assert_eq!((distinct.len(), ours.len()), (465, 465 - 296));
    assert!(ours.keys().all(|key| distinct.contains(key.as_str())));
}
