//! A writer that partitions as librdkafka does by itself (CRC-32 of the key), where the bus wants murmur2: each record
//! that lies elsewhere than it should is rejected with the reason, each that happens to lie right is admitted. The same
//! writer told `murmur2_random` is admitted whole.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bus::{Bus, example, in_ha_noi, said, shared, until};

const TOPIC: &str = "in.dan-cu.G01";
const PEOPLE: u64 = 60;

/// Made-up women who live in Hà Nội: no row of H29's.
fn people() -> Value {
    // Numbers that the demo's people do not have, or the counts below would tell.
    (990_000..990_000 + PEOPLE).map(|n| in_ha_noi(example(&format!("001304{n:06}")))).collect()
}

/// Submits them; the partition that each went to.
fn submit(bus: &Bus, submission: &str, partitioner: &str) -> Vec<u64> {
    let mut client = bus.client("python/bin/python", Some("python/write.py"));
    client.args([TOPIC, submission, partitioner]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(people().to_string().as_bytes()).unwrap();
    let told = said("python/write.py", client.wait_with_output().unwrap());
    let told: Value = serde_json::from_str(&told).unwrap();
    told["partitions"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap()).collect()
}

/// The dead letters of a submission.
fn letters(bus: &Bus, submission: &str) -> Vec<Value> {
    let listed = bus.node.kenh(&["dead-letter", "list", "dan-cu", "--limit", "1000", "--output", "json"]);
    let all: Vec<Value> = serde_json::from_str(&said("kenh dead-letter list", listed)).unwrap();
    all.into_iter().map(|l| l["detail"].clone()).filter(|l| l["submission"] == submission).collect()
}

#[test]
fn what_lies_in_the_wrong_partition_is_rejected_record_by_record() {
    let bus = shared();
    let before = bus.node.rows("G01", "dan-cu").unwrap();

    let went = submit(bus, "by-librdkafka", "default");
    // What should have gone where, by librdkafka's own murmur2; the submission itself is judged below.
    let right = submit(bus, "by-murmur2", "murmur2_random");
    let wrong: BTreeSet<u64> = (1..=PEOPLE).filter(|n| went[*n as usize - 1] != right[*n as usize - 1]).collect();
    assert!(!wrong.is_empty() && wrong.len() < PEOPLE as usize, "both kinds are among them: {went:?} {right:?}");

    let found = until("the dead letters", || Some(letters(bus, "by-librdkafka")).filter(|l| l.len() >= wrong.len()));
    let numbers: BTreeSet<u64> = found.iter().map(|l| l["number"].as_u64().unwrap()).collect();
    assert_eq!((found.len(), numbers), (wrong.len(), wrong));
    for letter in &found {
        let number = letter["number"].as_u64().unwrap();
        assert_eq!(
            (&letter["rule"], &letter["partition"]),
            (&json!("wrong-partition"), &json!(went[number as usize - 1]))
        );
        assert_eq!(letter["message"], "the change lies in another partition than its record key says");
    }

    // The others were admitted, and of the second submission all: every one of them has arrived, and none was rejected.
    until("the copies of G01", || bus.node.rows("G01", "dan-cu").filter(|rows| *rows == before + PEOPLE));
    assert_eq!(letters(bus, "by-murmur2"), Vec::<Value>::new());
}
