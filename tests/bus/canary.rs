//! No leak: every value that a recipient may not see is a canary, every failure is provoked, and then everything that the
//! recipient can reach is searched for them: every topic from its first position, refusals, its copies, what roles say of
//! themselves and what they log. A log that leaks on purpose shows that a leak of each kind would be found.
//!
//! What processes on a real Kafka with access lists tell besides (groups, HTTP, the registry, metrics, log lines, arguments):
//! tests/boundary/canary.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kenh_domain::log::{
    Batch, Bounds, Claim, ClaimError, CommitError, Committed, Log, NewRecord, Position, ReadError, Reader,
    TopicPartition,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use kenh_testkit::PATIENCE;

use crate::check::rows;
use crate::ground::Ground;
use crate::roles::{Bus, agency, dataset, sent};
use crate::world::{ALL, Contract, FEW, Fields, Grant, HO_SO, OF_79, RowsOf, World, grant, record, system};

on_every_log!(nothing_that_is_not_granted_reaches_a_recipient, a_leak_of_each_kind_is_found);

/// In every canary, whatever it stands for.
const CANARY: &str = "CHIMYEN";
/// A canary that is a number: no other number here has these digits.
const NUMBER: i64 = 73_491_862;

/// The recipient, and somebody who may see everything.
const RECIPIENT: &str = "H29";

/// A contract whose schema carries canaries where people write what is nobody else's business.
fn world(contract: &Contract) -> World {
    let world = World::sample(contract);
    world.write(
        "ho-so/v1.avsc",
        &format!(
            r#"{{"type":"record","name":"HoSo","doc":"{CANARY}-doc","fields":[
            {{"name":"So","type":"string","doc":"{CANARY}-doc-so","aliases":["{CANARY}_alias"]}},
            {{"name":"Ten","type":"string","doc":"{CANARY}-doc-ten","default":"{CANARY}-default"}},
            {{"name":"Tinh","type":["null","string"],"default":null}},
            {{"name":"An","type":"int","doc":"{CANARY}-doc-an","default":{NUMBER}}}]}}"#
        ),
    );
    world
}

/// What the recipient is granted: number and province of those of province 79.
fn granted() -> Grant {
    grant("it", RECIPIENT, FEW).rows(OF_79)
}

/// What others are granted, for purposes and by filters that are their own business.
fn of_others() -> [Grant; 2] {
    const FILTER: RowsOf = RowsOf("Tinh in ['79', 'CHIMYEN-filter']", |_| true);
    const PURPOSE: &str = "CHIMYEN-purpose";
    let all: Fields = ALL;
    [
        Grant { purpose: PURPOSE, ..grant("tat-ca", "G12", all) },
        Grant { purpose: PURPOSE, pseudonym: true, ..grant("y-te", "G18", &[("Tinh", "Tinh")]).rows(FILTER) },
    ]
}

/// Everything goes on that can, and goes wrong that can, with canaries in it.
fn provoke(bus: &mut Bus) {
    let hidden = |what: &str| format!("{CANARY}-{what}");
    let seen = |so: &str, what: &str| record(so, &hidden(what), "79", NUMBER);
    bus.send(&[
        sent("a", 1, seen("a", "ten")),
        sent("b", 1, seen("b", "ten-b")),
        // Out of the recipient's rows: not even its number.
        sent(&hidden("so"), 1, record(&hidden("so"), &hidden("ngoai"), "01", NUMBER)),
        // Conflicting, stale, of another owner, a jump.
        sent("a", 1, seen("a", "xung-dot")),
        sent("a", 2, seen("a", "hai")),
        sent("a", 1, seen("a", "ten")),
        sent("a", 3, seen("a", "cua-nguoi-khac")).by("G02"),
        sent("a", 99, seen("a", "nhay")),
        // Moves out, and is cancelled there.
        sent("b", 2, record("b", &hidden("di"), &hidden("tinh"), NUMBER)),
        sent("b", 3, None),
    ]);
    // What is no envelope, and what lies in no partition of its key.
    let to = |partition| TopicPartition::new(Topic::In(dataset(HO_SO), agency("G01")), partition);
    let junk = |partition, key: &str, value: String| NewRecord {
        to: to(partition),
        timestamp_ms: bus.now_ms(),
        key: key.to_owned().into(),
        value: Some(value.into_bytes().into()),
    };
    let junk: Vec<NewRecord> = (0..2).map(|p| junk(p, &hidden("key"), hidden("junk"))).collect();
    bus.write(&Principal::new(&system("G01")).unwrap(), junk);
}

/// All that the recipient can reach, as one text: bytes as they are, and what it is told instead of them.
fn dump(bus: &mut Bus, logged: &Lines) -> String {
    let who = Principal::new(&system(RECIPIENT)).unwrap();
    let mut out = String::new();
    // It may know the names of all topics; those that there are say nothing by themselves here.
    for spec in bus.log().topics().unwrap() {
        for partition in 0..=spec.partitions {
            let of = TopicPartition::new(spec.topic.clone(), partition);
            let read = read(bus.log(), &who, &of, &mut out);
            if let Err(refused) = read {
                writeln!(out, "{refused} {refused:?}").unwrap();
            }
        }
        let written = bus.log().writer(&who).write(vec![NewRecord {
            to: TopicPartition::new(spec.topic.clone(), spec.partitions),
            timestamp_ms: 0,
            key: "k".into(),
            value: None,
        }]);
        writeln!(out, "{written:?}").unwrap();
    }
    writeln!(out, "{:?}", bus.stats(RECIPIENT).lock().unwrap()).unwrap();
    writeln!(out, "{:?}", bus.router().stats().snapshot()).unwrap();
    out + &String::from_utf8_lossy(&logged.0.lock().unwrap())
}

fn read(log: &dyn Log, who: &Principal, of: &TopicPartition, out: &mut String) -> Result<(), ReadError> {
    let bounds = log.bounds(who, of)?;
    let mut reader = log.reader(who, &[(of.clone(), bounds.start)])?;
    let deadline = std::time::Instant::now() + PATIENCE;
    while reader.positions()[0] < bounds.end {
        for record in reader.poll(1_000, 8 << 20, Duration::from_millis(20))? {
            let value = record.value.unwrap_or_default();
            writeln!(out, "{} {}", String::from_utf8_lossy(&record.key), String::from_utf8_lossy(&value)).unwrap();
            // A number is no text on the wire.
            if value.windows(AN.len()).any(|bytes| bytes == AN) {
                writeln!(out, "{NUMBER}").unwrap();
            }
        }
        assert!(std::time::Instant::now() < deadline, "{of} cannot be read to its end");
    }
    Ok(())
}

/// [`NUMBER`] as Avro writes it: zigzag, seven bits a byte, the lowest first.
const AN: [u8; 4] = {
    let n = (NUMBER as u64) << 1;
    [(n & 127) as u8 | 128, (n >> 7 & 127) as u8 | 128, (n >> 14 & 127) as u8 | 128, (n >> 21 & 127) as u8 | 128]
};

/// Lines of a dump in which a canary is.
fn canaries(dump: &str) -> Vec<&str> {
    let number = NUMBER.to_string();
    dump.lines().filter(|line| line.contains(CANARY) || line.contains(&number)).collect()
}

/// What the roles of this thread log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bus with everything in it, on a log that leaks so, and what the recipient can reach of it.
fn story(mut ground: Ground, leak: Leak) -> String {
    let logged = Lines::default();
    let to = logged.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || to.clone()).finish();
    let _logging = tracing::subscriber::set_default(log);
    ground.log = Arc::new(LeakyLog { inner: ground.log.clone(), leak });
    let contract = Contract { partitions: 2, providers: &["G01", "G02"], max_step: Some(10), ..Contract::default() };
    let mut bus = Bus::over(ground, world(&contract));
    bus.oracles.insert(HO_SO.into(), crate::oracle::Oracle::stepping(contract.max_step));
    bus.apply();
    for grant in of_others() {
        bus.grant(&grant);
    }
    bus.grant(&granted());
    provoke(&mut bus);
    // A leaking log need not let the copies come to rest.
    if leak == Leak::Nothing {
        bus.settle();
        assert!(!bus.rules("G01").is_empty() && !bus.rules("G02").is_empty(), "nothing was rejected");
    } else {
        for _ in 0..6 {
            bus.tick(1_000);
            bus.round(bus.ground.wait);
        }
    }
    let mut dump = dump(&mut bus, &logged);
    // A record that was tampered with is no row.
    if leak == Leak::Nothing {
        writeln!(dump, "{:?}", rows(&bus.copy(&granted())).unwrap()).unwrap();
    }
    dump
}

fn nothing_that_is_not_granted_reaches_a_recipient(ground: &dyn Fn() -> Ground) {
    let dump = story(ground(), Leak::Nothing);
    // It is the recipient's dump: what is granted is in it.
    assert!(dump.contains(r#"String("a")"#) && dump.contains("79"), "the dump lacks what is granted");
    assert_eq!(canaries(&dump), Vec::<&str>::new());
}

fn a_leak_of_each_kind_is_found(ground: &dyn Fn() -> Ground) {
    for leak in [Leak::Access, Leak::View, Leak::Notice, Leak::Number, Leak::Logged] {
        assert_ne!(canaries(&story(ground(), leak)), Vec::<&str>::new(), "{leak:?} was not seen");
    }
}

/// What a log gives away on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leak {
    Nothing,
    /// Topics of others, to whoever asks.
    Access,
    /// A hidden text in a view record.
    View,
    /// A hidden number in a view record.
    Number,
    /// A hidden text in a notice.
    Notice,
    /// A value in a log line.
    Logged,
}

struct LeakyLog {
    inner: Arc<dyn Log>,
    leak: Leak,
}

struct LeakyClaim(Box<dyn Claim>, Leak);

impl Claim for LeakyClaim {
    fn committed(&self) -> &Committed {
        self.0.committed()
    }

    fn commit(&mut self, mut batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        let own = agency(RECIPIENT);
        for record in &mut batch.records {
            let more: &[u8] = match (&record.to.topic, self.1) {
                (Topic::View(to, ..), Leak::View) if *to == own => b"CHIMYEN-view",
                (Topic::View(to, ..), Leak::Number) if *to == own => &AN,
                (Topic::Notice(to), Leak::Notice) if *to == own => b"CHIMYEN-notice",
                _ => b"",
            };
            if self.1 == Leak::Logged && matches!(record.to.topic, Topic::Data(_)) {
                let value = record.value.clone().unwrap_or_default();
                tracing::debug!(value = %String::from_utf8_lossy(&value), "committing");
            }
            if let (Some(value), false) = (&record.value, more.is_empty()) {
                record.value = Some([value, more].concat().into());
            }
        }
        self.0.commit(batch)
    }
}

impl LeakyLog {
    /// As whom it lets somebody read.
    fn reads_as(&self, who: &Principal) -> Principal {
        if self.leak == Leak::Access { Principal::router() } else { who.clone() }
    }
}

impl Log for LeakyLog {
    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        Ok(Box::new(LeakyClaim(self.inner.claim(principal, group)?, self.leak)))
    }

    fn reader(&self, who: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        self.inner.reader(&self.reads_as(who), from)
    }

    fn bounds(&self, who: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        self.inner.bounds(&self.reads_as(who), of)
    }

    kenh_testkit::hand_on!(inner: incarnation, create_topic, delete_topic, topics, set_access, access, writer, shows_uncommitted, maintain);
}
