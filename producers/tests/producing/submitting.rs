//! Submissions on a log in memory, answered by a small router that knows versions and rules and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kenh_domain::admit::{AsOf, Rules};
use kenh_domain::envelope::{Event, SubmissionEnd};
use kenh_domain::limits::{MAX_LISTED_REJECTIONS, RECEIPT_EVERY};
use kenh_domain::log::{
    Access, Batch, Log, NewRecord, Operation, Position, ReadError, TopicPartition, WriteError, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::receipt::{Counts, DeadLetter, FORMAT, Outcome as Fate, Receipt, Warnings};
use kenh_domain::rule::{Lang, Rejection, Rule};
use kenh_domain::schema::Spans;
use kenh_domain::topic::{Partition, Topic};
use kenh_producers::{
    Checker, Format, Options, Outcome, Patience, ProduceError, Progress, Report, Submission, SubmitError, Target,
    check, open, produce,
};
use kenh_testkit::{FlushFault, MemoryLog, builders};

use crate::fixture::{CLOCK, DEFAULTS, agency, contract, rules};

fn input() -> Topic {
    builders::topic("in.ho-so.G01")
}

fn receipts() -> Topic {
    builders::topic("receipt.G01")
}

fn letters() -> Topic {
    builders::topic("dead-letter.ho-so.G01")
}

/// A log with the topics of one provider, who may use them.
fn log() -> Arc<MemoryLog> {
    let log = MemoryLog::new();
    for (topic, partitions, operation) in
        [(input(), 3, Operation::Write), (receipts(), 1, Operation::Read), (letters(), 3, Operation::Read)]
    {
        log.create_topic(&builders::spec(&topic, partitions)).unwrap();
        log.set_access(&topic, &[Access { principal: builders::system("G01"), operation }]).unwrap();
    }
    log
}

/// Answers everything until it is dropped.
struct Router {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Router {
    fn start(log: &Arc<MemoryLog>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped) = (Arc::clone(log), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut state = (Versions::new(), Tallies::default());
            let mut at = vec![Position::default(); 3];
            while !stopped.load(Ordering::Relaxed) {
                route(&log, &mut state, &mut at, Duration::from_millis(20));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        // The first panic is the one to be told.
        assert!(ended.is_ok() || thread::panicking(), "the router panicked");
    }
}

#[derive(Default)]
struct Tallies(HashMap<(String, Partition), Counts>);

type Versions = HashMap<Vec<u8>, (i64, Option<Vec<u8>>)>;

/// One batch.
fn route(log: &MemoryLog, state: &mut (Versions, Tallies), at: &mut [Position], wait: Duration) {
    let rules = rules();
    let router = Principal::router();
    let from: Vec<_> = (0..3).map(|p| (TopicPartition::new(input(), p), at[p as usize])).collect();
    let mut reader = log.reader(&router, &from).unwrap();
    let records = reader.poll(1000, 1 << 20, wait).unwrap();
    let mut out = Vec::new();
    let put = |to: TopicPartition, key: Bytes, value: Vec<u8>| NewRecord {
        to,
        timestamp_ms: 0,
        key,
        value: Some(value.into()),
    };
    let answer = |submission: &str, partition: Partition, counts: Counts, up_to: Position, end: bool| {
        let receipt = Receipt {
            format: FORMAT,
            submission: submission.into(),
            dataset: contract().dataset,
            partition,
            counts,
            warnings: Warnings::default(),
            up_to,
            end,
        };
        let key = Bytes::copy_from_slice(submission.as_bytes());
        put(TopicPartition::new(receipts(), 0), key, serde_json::to_vec(&receipt).unwrap())
    };
    for record in records {
        let partition = Partition(u32::try_from(record.source).unwrap());
        let value = record.value.clone().unwrap();
        if let Some(end) = SubmissionEnd::decode(&value) {
            let counts = state.1.0.remove(&(end.id.clone(), partition)).unwrap_or_default();
            out.push(answer(&end.id, partition, counts, record.position, true));
            continue;
        }
        let mut spans = Spans::new();
        let candidate = rules
            .read(&agency("G01"), partition, &record.key, &value, AsOf::strict(CLOCK), &mut spans)
            .expect("it was checked");
        let sent = candidate.submitted;
        let content = sent.record.map(<[u8]>::to_vec);
        let fate = match state.0.get(record.key.as_ref()) {
            Some((version, _)) if *version > sent.version => Fate::Stale,
            Some((version, was)) if *version == sent.version && *was == content => Fate::Repeated,
            Some((version, _)) if *version == sent.version => {
                let rejection = Rejection::record(Rule::VersionConflict);
                let letter = DeadLetter {
                    format: FORMAT,
                    submission: sent.submission.into(),
                    number: sent.number,
                    partition,
                    position: record.position,
                    rule: rejection.rule.code().into(),
                    field: String::new(),
                    message: rejection.message(Lang::En),
                    message_vi: rejection.message(Lang::Vi),
                };
                let to = TopicPartition { topic: letters(), partition };
                out.push(put(to, record.key.clone(), serde_json::to_vec(&letter).unwrap()));
                Fate::Rejected
            }
            _ => {
                state.0.insert(record.key.to_vec(), (sent.version, content));
                Fate::Admitted
            }
        };
        let tally = state.1.0.entry((sent.submission.into(), partition)).or_default();
        tally.add(fate);
        if tally.total() >= RECEIPT_EVERY {
            let counts = std::mem::take(tally);
            out.push(answer(sent.submission, partition, counts, record.position, false));
        }
    }
    at.copy_from_slice(&reader.positions());
    if !out.is_empty() {
        let mut claim = log.claim(&router, &Group::new("g").unwrap()).unwrap();
        claim.commit(Batch { records: out, ..Batch::default() }).unwrap();
    }
}

fn patience() -> Patience {
    Patience { timeout: kenh_testkit::PATIENCE, first: Duration::from_millis(1), longest: Duration::from_millis(5) }
}

fn line(ma: u64, ten: &str, cap: &str) -> String {
    format!("{{\"Ma\":\"{ma:05}\",\"Tu\":\"2025-07-01\",\"Ten\":\"{ten}\",\"Cap\":{cap},\"Loai\":\"full\"}}\n")
}

struct Run<'a> {
    log: &'a dyn Log,
    submission: &'a str,
    text: &'a str,
    patience: Patience,
    report: Option<&'a mut Report>,
    progress: &'a mut dyn FnMut(&Progress),
}

impl<'a> Run<'a> {
    fn of(log: &'a dyn Log, submission: &'a str, text: &'a str, progress: &'a mut dyn FnMut(&Progress)) -> Self {
        Self { log, submission, text, patience: patience(), report: None, progress }
    }

    fn go(self, rules: &Rules) -> Result<Outcome, ProduceError> {
        let input = Box::new(std::io::Cursor::new(self.text.as_bytes().to_vec()));
        let mut items = open(Format::Jsonl, input, rules, None).unwrap();
        let mut checker = Checker::new(rules, agency("G01"), DEFAULTS);
        let options =
            Options { principal: builders::system("G01"), submission: self.submission.into(), patience: self.patience };
        produce(self.log, &mut *items, &mut checker, options, &|| CLOCK, self.report, self.progress)
    }
}

fn run(log: &dyn Log, submission: &str, text: &str) -> Outcome {
    Run::of(log, submission, text, &mut |_| ()).go(&rules()).unwrap()
}

fn counts(admitted: u64, repeated: u64, stale: u64, rejected: u64) -> Counts {
    Counts { admitted, repeated, stale, rejected }
}

#[test]
fn a_file_is_submitted_and_answered_and_the_second_time_changes_nothing() {
    let log = log();
    let _router = Router::start(&log);
    let text: String = (0..5000).map(|i| line(i, "Tên", if i == 4321 { "\"ba\"" } else { "3" })).collect();
    let mut last = Progress::default();
    let outcome = Run::of(&*log, "lần-1", &text, &mut |p| last = *p).go(&rules()).unwrap();
    assert_eq!((outcome.read, outcome.sent, outcome.not_sent, outcome.unanswered), (5000, 4999, 1, 0));
    assert_eq!(outcome.counts, counts(4999, 0, 0, 1));
    let rejected = &outcome.listed.first[0];
    assert_eq!((rejected.number, rejected.line, rejected.rule.as_str()), (4322, Some(4322), "wrong-type"));
    assert_eq!((rejected.field.as_str(), outcome.listed.total), ("Cap", 1));
    assert!(rejected.message_vi.contains("Cap") && !rejected.hint_vi.is_empty());
    let whole = Progress { read: 5000, rejected: 1, sent: 4999, answered: 4999, finished: true, waiting: false };
    assert_eq!(last, whole);
    // Every partition that was used has its end, with its count.
    let records = log.records(&input());
    let ends: Vec<_> = records.iter().filter_map(|r| SubmissionEnd::decode(r.value.as_deref().unwrap())).collect();
    assert_eq!((ends.len(), ends.iter().map(|e| e.count).sum::<u64>()), (3, 4999));

    assert_eq!(run(&*log, "lần-2", &text).counts, counts(0, 4999, 0, 1));
}

#[test]
fn what_the_router_rejects_is_read_back_with_its_number() {
    let log = log();
    let _router = Router::start(&log);
    run(&*log, "a", &line(1, "Tên", "3"));
    let text = format!("{}{}{}{}", line(2, "Tên", "3"), line(1, "Khác", "3"), line(1, "", "3"), line(3, "Tên", "3"));
    let folder = tempfile::tempdir().unwrap();
    for ending in ["jsonl", "csv"] {
        let path = folder.path().join(format!("report.{ending}"));
        let mut report = Report::create(&path).unwrap();
        let mut ignore = |_: &Progress| ();
        let run = Run { report: Some(&mut report), ..Run::of(&*log, ending, &text, &mut ignore) };
        let outcome = run.go(&rules()).unwrap();
        assert_eq!(outcome.counts.rejected, 2);
        let told: Vec<_> = outcome.listed.first.iter().map(|r| (r.number, r.rule.as_str())).collect();
        assert_eq!(told, [(3, "required"), (2, "version-conflict")]);
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written.lines().count(), if ending == "csv" { 3 } else { 2 });
        assert!(written.contains("version-conflict") && written.contains("phiên bản này"), "{written}");
        assert!(!written.contains("Khác"), "a value of a record is in the report");
    }
    assert!(Report::create(&folder.path().join("report.txt")).is_err());
}

#[test]
fn nobody_answers_in_time() {
    let log = log();
    let text: String = (0..10).map(|i| line(i, "Tên", "3")).collect();
    let mut ignore = |_: &Progress| ();
    let short = Patience { timeout: Duration::from_millis(1), ..patience() };
    let run = Run { patience: short, ..Run::of(&*log, "s", &text, &mut ignore) };
    let outcome = run.go(&rules()).unwrap();
    assert_eq!((outcome.sent, outcome.unanswered, outcome.counts.total()), (10, 10, 0));
    // It was written all the same: who answers later finds all of it.
    assert_eq!(log.records(&input()).len(), 13);
}

#[test]
fn nothing_to_send_needs_no_answer() {
    let log = log();
    let outcome = run(&*log, "s", &line(1, "", "3"));
    assert_eq!((outcome.sent, outcome.counts), (0, counts(0, 0, 0, 1)));
    assert!(log.records(&input()).is_empty());
    let mut listed = String::new();
    (0..200).for_each(|i| listed.push_str(&line(i, "", "3")));
    let outcome = run(&*log, "s", &listed);
    assert_eq!((outcome.listed.first.len(), outcome.listed.total), (MAX_LISTED_REJECTIONS, 200));
}

#[test]
fn who_is_no_system_of_the_provider_is_denied() {
    let log = log();
    let to = Target::of(&contract(), agency("G01"), builders::principal("G02-he-thong"), "s".into()).unwrap();
    let refused = Submission::open(&*log, &|| CLOCK, to.clone(), patience()).unwrap_err();
    assert!(matches!(refused, SubmitError::Read { source: ReadError::Denied { .. }, .. }));
    // Even one who may read the answers.
    let reads = Access { principal: to.principal.clone(), operation: Operation::Read };
    for topic in [receipts(), letters()] {
        log.set_access(&topic, std::slice::from_ref(&reads)).unwrap();
    }
    let mut submission = Submission::open(&*log, &|| CLOCK, to.clone(), patience()).unwrap();
    submission.push(b"k", Event::Cancel, 1, 0, None).unwrap();
    let refused = submission.finish(&mut |_| ()).unwrap_err();
    assert!(matches!(refused, SubmitError::Write { source: WriteError::Denied { .. }, .. }));
    for id in [String::new(), "x".repeat(65)] {
        let to = Target { submission: id, ..to.clone() };
        assert!(matches!(Submission::open(&*log, &|| CLOCK, to, patience()), Err(SubmitError::Id)));
    }
}

#[test]
fn a_log_without_room_is_waited_for() {
    let log = log();
    let _router = Router::start(&log);
    log.faults().full(true);
    let text: String = (0..20).map(|i| line(i, "Tên", "3")).collect();
    let waits = AtomicU64::new(0);
    let mut progress = |p: &Progress| {
        if p.waiting && waits.fetch_add(1, Ordering::Relaxed) == 3 {
            log.faults().full(false);
        }
    };
    let outcome = Run::of(&*log, "s", &text, &mut progress).go(&rules()).unwrap();
    assert!(waits.load(Ordering::Relaxed) >= 4);
    assert_eq!((outcome.counts, outcome.unanswered), (counts(20, 0, 0, 0), 0));
}

#[test]
fn a_log_without_room_for_too_long_is_given_up() {
    let log = log();
    log.faults().full(true);
    let mut ignore = |_: &Progress| ();
    let short = Patience { timeout: Duration::from_millis(3), ..patience() };
    let text = line(1, "Tên", "3");
    let run = Run { patience: short, ..Run::of(&*log, "s", &text, &mut ignore) };
    let refused = run.go(&rules()).unwrap_err();
    assert!(matches!(refused, ProduceError::Submit(SubmitError::Write { source: WriteError::Full(_), .. })));
}

/// A log whose writers say once that there was no room although everything was written: the worst that "not known" can
/// mean.
struct Forgetful {
    log: Arc<MemoryLog>,
    lies: Arc<AtomicU64>,
}

struct ForgetfulWriter {
    writer: Box<dyn Writer>,
    lies: Arc<AtomicU64>,
}

impl Writer for ForgetfulWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        self.writer.write(records)
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        let ends = self.writer.flush()?;
        let lie = self.lies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if lie { Err(WriteError::Full("no room".into())) } else { Ok(ends) }
    }
}

impl Log for Forgetful {
    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(ForgetfulWriter { writer: self.log.writer(principal), lies: Arc::clone(&self.lies) })
    }

    kenh_testkit::hand_on!(log: incarnation, create_topic, delete_topic, topics, set_access, access, claim, reader, bounds, shows_uncommitted, maintain);
}

#[test]
fn what_was_written_twice_is_counted_once() {
    let log = log();
    let _router = Router::start(&log);
    run(&*log, "before", &format!("{}{}", line(1, "Tên", "3"), line(2, "Tên", "3")));
    // One repeated, one in conflict, two new; every one of them lies in the log three times.
    let text = format!("{}{}{}{}", line(1, "Tên", "3"), line(2, "Khác", "3"), line(3, "Tên", "3"), line(4, "Tên", "3"));
    let forgetful = Forgetful { log: Arc::clone(&log), lies: Arc::new(AtomicU64::new(2)) };
    let outcome = run(&forgetful, "s", &text);
    assert_eq!((outcome.counts, outcome.unanswered), (counts(2, 1, 0, 1), 0));
    assert_eq!((outcome.listed.total, outcome.listed.first[0].number), (1, 2));
    let changes = log.records(&input()).into_iter().filter(|r| !r.key.is_empty()).count();
    assert_eq!(changes, 2 + 3 * 4);
}

#[test]
fn a_log_that_fails_is_an_error_and_trying_again_is_safe() {
    let log = log();
    let _router = Router::start(&log);
    let text: String = (0..20).map(|i| line(i, "Tên", "3")).collect();
    log.faults().next_flushes(1, FlushFault::FailedWritten);
    let failed = Run::of(&*log, "s", &text, &mut |_| ()).go(&rules()).unwrap_err();
    assert!(matches!(failed, ProduceError::Submit(SubmitError::Write { source: WriteError::Storage(_), .. })));
    assert_eq!(run(&*log, "again", &text).counts.repeated, 20);
}

#[test]
fn the_fast_path_speaks_no_json_and_counts_alike() {
    let log = log();
    let _router = Router::start(&log);
    let to = Target::of(&contract(), agency("G01"), builders::system("G01"), "demo".into()).unwrap();
    let mut submission = Submission::open(&*log, &|| CLOCK, to, patience()).unwrap();
    // More than is held at once, and more than one receipt for a partition.
    let n = kenh_domain::limits::MAX_UNCONFIRMED_RECORDS as u64 + 5_000;
    for i in 0..n {
        submission.push(format!("k{i}").as_bytes(), Event::Cancel, 1, CLOCK, None).unwrap();
    }
    submission.finish(&mut |_| ()).unwrap();
    assert!(submission.wait(&mut |_| ()).unwrap());
    let answered = submission.settle::<SubmitError>(&mut |_| panic!("nothing was rejected")).unwrap();
    assert_eq!((answered.counts, answered.unanswered), (counts(n, 0, 0, 0), 0));
}

#[test]
fn an_answer_of_a_newer_release_is_not_guessed_at() {
    let log = log();
    let receipt = format!(
        r#"{{"format":{},"submission":"s","dataset":"ho-so","partition":0,"counts":{{"admitted":1,"repeated":0,"stale":0,
        "rejected":0}},"up_to":1,"end":true}}"#,
        FORMAT + 1
    );
    let text = line(1, "Tên", "3");
    let answered = AtomicBool::new(false);
    let mut progress = |p: &Progress| {
        if p.finished && !answered.swap(true, Ordering::Relaxed) {
            let mut writer = log.writer(&Principal::router());
            writer.write(vec![builders::record(&receipts(), 0, "s", &receipt)]).unwrap();
            writer.flush().unwrap();
        }
    };
    let refused = Run::of(&*log, "s", &text, &mut progress).go(&rules()).unwrap_err();
    assert!(matches!(refused, ProduceError::Submit(SubmitError::Answer { .. })), "{refused:?}");
}

#[test]
fn a_source_that_breaks_off_has_submitted_what_came_before() {
    struct Breaking(std::io::Cursor<Vec<u8>>);
    impl std::io::Read for Breaking {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(std::io::Error::other("the cable is out")),
                n => Ok(n),
            }
        }
    }
    let (log, rules) = (log(), rules());
    let _router = Router::start(&log);
    let text: String = (0..10).map(|i| line(i, "Tên", "3")).collect();
    let mut items =
        open(Format::Jsonl, Box::new(Breaking(std::io::Cursor::new(text.into_bytes()))), &rules, None).unwrap();
    let mut checker = Checker::new(&rules, agency("G01"), DEFAULTS);
    let options = Options { principal: builders::system("G01"), submission: "s".into(), patience: patience() };
    let mut last = Progress::default();
    let broken = produce(&*log, &mut *items, &mut checker, options, &|| CLOCK, None, &mut |p| last = *p).unwrap_err();
    assert!(matches!(broken, ProduceError::Source(_)));
    assert_eq!((last.read, last.answered, last.finished), (10, 10, true));
}

#[test]
fn a_check_sends_nothing_and_tells_everything() {
    let (log, rules) = (log(), rules());
    let text = format!("{}{}{}", line(1, "Tên", "3"), line(2, "", "\"ba\""), line(3, "", "3"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.jsonl");
    let mut report = Report::create(&path).unwrap();
    let mut items = open(Format::Jsonl, Box::new(std::io::Cursor::new(text.into_bytes())), &rules, None).unwrap();
    let mut checker = Checker::new(&rules, agency("G01"), DEFAULTS);
    let mut seen = 0;
    let checked = check(&mut *items, &mut checker, CLOCK, Some(&mut report), &mut |c| seen = c.read).unwrap();
    assert_eq!((checked.read, checked.good, checked.rejected, seen), (3, 1, 2, 3));
    let told: Vec<_> =
        checked.listed.first.iter().map(|r| (r.number, r.line, r.rule.as_str(), r.field.as_str())).collect();
    // What cannot be encoded has no body whose rules could be asked.
    assert_eq!(told, [(2, Some(2), "wrong-type", "Cap"), (3, Some(3), "required", "Ten")]);
    let rows = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(
        (rows.len(), &rows[1]["number"], &rows[1]["rule"], &rows[1]["stage"]),
        (2, &3.into(), &"required".into(), &"source".into())
    );
    assert!(log.records(&input()).is_empty());
}

#[test]
fn submissions_side_by_side_hear_their_own_answers() {
    let log = log();
    let _router = Router::start(&log);
    run(&*log, "first", &line(1, "Tên", "3"));
    thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let log = &log;
            scope.spawn(move || {
                let mine = |i: u64| line(10_000 * u64::from(name.as_bytes()[0]) + i, "Tên", "3");
                // And one conflict each.
                let text: String = (0..1500).map(mine).chain([line(1, name, "3")]).collect();
                let outcome = run(&**log, name, &text);
                assert_eq!(outcome.counts, counts(1500, 0, 0, 1), "{name}");
                assert_eq!((outcome.listed.total, outcome.listed.first[0].number), (1, 1501), "{name}");
            });
        }
    });
}
