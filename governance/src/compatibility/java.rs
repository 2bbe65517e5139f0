//! Apache Avro for Java as a second oracle: the same pairs, put to its `SchemaCompatibility` in one process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::oracle::{is_own_rule, schema, versions};
use super::reasons;

const PAIRS: usize = 2_500;

#[test]
fn our_verdicts_are_those_of_avro_for_java() {
    let mut runner = TestRunner::deterministic();
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| {
            let (older, newer, _) = versions().new_tree(&mut runner).unwrap().current();
            (schema(&older), schema(&newer))
        })
        .collect();
    let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/avro-java/run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let lines: String = pairs.iter().map(|(older, newer)| format!("{}\t{}\n", older.text(), newer.text())).collect();
    // It answers when it has read everything, so that neither waits for the other.
    to.write_all(lines.as_bytes()).unwrap();
    drop(to);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed; see the lines above");
    let verdicts = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<_> = verdicts.lines().collect();
    assert_eq!(verdicts.len(), PAIRS);

    let (mut compatible, mut stricter) = (0, 0);
    for ((older, newer), verdict) in pairs.iter().zip(verdicts) {
        let ours = reasons(older, newer);
        match verdict {
            "COMPATIBLE" => {
                compatible += 1;
                stricter += usize::from(!ours.is_empty());
                assert!(ours.iter().all(is_own_rule), "{}\n{}\n{ours:?}", older.text(), newer.text());
            }
            "INCOMPATIBLE" => assert!(!ours.is_empty(), "released:\n{}\n{}", older.text(), newer.text()),
            other => panic!("{other}"),
        }
    }
    // Pairs of one kind alone would prove nothing; our own rules are the exception.
    assert!((PAIRS / 10..PAIRS * 9 / 10).contains(&compatible), "{compatible} of {PAIRS} are compatible");
    assert!(stricter < compatible / 4, "{stricter} of {compatible} compatible pairs are refused by rules of ours");
}
