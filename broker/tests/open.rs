//! Opening: who may, what is read, what is refused.

// The helpers are test code too: they say what they expect by unwrapping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

use kenh_broker::embedded::{EmbeddedLog, Fsync, OpenError, Options};
use kenh_domain::log::{Access, Batch, Log, Operation, Position, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Group, Principal};
use kenh_testkit::builders::{record, spec, system, topic};

fn open(dir: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(dir, Options::default())
}

#[test]
fn what_was_committed_is_there_after_closing() {
    for fsync in [Fsync::EachCommit, Fsync::Never] {
        let dir = tempfile::tempdir().unwrap();
        let options = || Options { fsync, ..Options::default() };
        let (data, gone) = (topic("data.a"), topic("data.b"));
        let group = Group::new("g").unwrap();
        let access = [Access { principal: system("H29"), operation: Operation::Read }];
        let at = TopicPartition::new(data.clone(), 1);
        let log = EmbeddedLog::open(dir.path(), options()).unwrap();
        let incarnation = log.incarnation();
        let kept = TopicSpec { retention: Retention::Compacted { tombstone_days: 9 }, ..spec(&data, 2) };
        log.create_topic(&kept).unwrap();
        log.set_access(&data, &access).unwrap();
        log.create_topic(&spec(&gone, 1)).unwrap();
        let mut claim = log.claim(&Principal::router(), &group).unwrap();
        let records = vec![record(&data, 1, "k", "1"), record(&gone, 0, "k", "2")];
        let consumed = vec![(at.clone(), Position(7)), (TopicPartition::new(gone.clone(), 0), Position(1))];
        let ends = claim.commit(Batch { records, consumed, metadata: "m".into() }).unwrap();
        log.delete_topic(&gone).unwrap();
        drop((claim, log));

        let log = EmbeddedLog::open(dir.path(), options()).unwrap();
        assert_eq!(log.incarnation(), incarnation);
        assert_eq!(log.topics().unwrap(), [kept]);
        assert_eq!(log.access(&data).unwrap(), access);
        let bounds = log.bounds(&system("H29"), &at).unwrap();
        assert_eq!((bounds.start, bounds.end), (Position(0), ends[0].1));
        let mut reader = log.reader(&system("H29"), &[(at.clone(), bounds.start)]).unwrap();
        let found = reader.poll(10, 1 << 20, std::time::Duration::ZERO).unwrap();
        assert_eq!(found.iter().map(|r| r.value.clone().unwrap()).collect::<Vec<_>>(), ["1"]);
        let claim = log.claim(&Principal::router(), &group).unwrap();
        assert_eq!(claim.committed().metadata, "m");
        assert_eq!(claim.committed().consumed.iter().collect::<Vec<_>>(), [(&at, &Position(7))]);
        // A topic made again after all that starts behind everything the old one had.
        log.create_topic(&spec(&gone, 1)).unwrap();
        let bounds = log.bounds(&Principal::router(), &TopicPartition::new(gone, 0)).unwrap();
        assert!(bounds.start > ends[1].1, "{bounds:?}");
    }
}

#[test]
fn a_log_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let refused = open(dir.path()).unwrap_err();
    let holder = std::process::id();
    assert!(matches!(&refused, OpenError::InUse { dir: d, holder: Some(id) } if d == dir.path() && *id == holder));
    assert!(refused.to_string().contains(&format!("is open in process {holder}")), "{refused}");
    // Whatever it handed out keeps it open.
    let writer = log.writer(&Principal::control());
    drop(log);
    assert!(matches!(open(dir.path()), Err(OpenError::InUse { .. })));
    drop(writer);
    assert!(open(dir.path()).is_ok());
}

const DIR: &str = "KENH_TEST_OPEN_DIR";

#[test]
fn the_child_is_refused() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    assert!(matches!(open(dir.as_ref()), Err(OpenError::InUse { holder: Some(_), .. })));
    println!("\nrefused");
}

#[test]
fn another_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _log = open(dir.path()).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_is_refused", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("refused"), "{said}");
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let header = dir.path().join("log.json");
    assert_eq!(std::fs::read_to_string(&header).unwrap(), "{\"format\":1}\n");
    std::fs::write(&header, "{\"format\":2,\"more\":true}").unwrap();
    let refused = open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, .. }), "{refused:?}");
    assert!(refused.to_string().ends_with("has format 2; this release reads 1: use a newer kenh"), "{refused}");
    std::fs::write(&header, "{\"format\":1}").unwrap();
    assert!(open(dir.path()).is_ok());
}

#[test]
fn what_is_no_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (text, reason) in [("", "tells no format"), ("{\"format\":0}", "no format 0"), ("{}", "tells no format")] {
        std::fs::write(dir.path().join("log.json"), text).unwrap();
        let refused = open(dir.path()).unwrap_err();
        assert!(matches!(refused, OpenError::NotALog { .. }), "{refused:?}");
        assert!(refused.to_string().contains(reason), "{refused}");
        assert!(!dir.path().join("store").exists());
    }
    std::fs::remove_file(dir.path().join("log.json")).unwrap();
    drop(open(dir.path()).unwrap());
    std::fs::remove_file(dir.path().join("log.json")).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::NotALog { .. })));
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(open(file.path()), Err(OpenError::Io { .. })));
}

#[test]
fn a_log_whose_store_was_taken_away_is_another_log() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(dir.path()).unwrap().incarnation();
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    assert_ne!(open(dir.path()).unwrap().incarnation(), before);
}
