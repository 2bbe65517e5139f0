//! How long after a revocation a hostile client still gets records: old sessions, fetches parked at the broker for 60 s,
//! aborted and open transactions read along.
//!
//! A provider submits without pause; the router and the control role are processes of their own. One grant after the other
//! is revoked, by the event that `kenh grant revoke` writes. The time runs from before that event is written until the last
//! record that a client of the view got, and until the client was refused. All fetches are parked side by side, from before
//! the first revocation. The figures go to standard error past the test's capture, and to a file that `scripts/test` prints.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_broker::kafka::KafkaLog;
use kenh_domain::admit::Rules;
use kenh_domain::contract::Contract;
use kenh_domain::envelope::Event;
use kenh_domain::frame::{self, Data, Head};
use kenh_domain::grant::EndReason;
use kenh_domain::log::{Log as _, NewRecord, Position, Reader, TopicPartition};
use kenh_domain::names::{Dataset, GrantId, Principal};
use kenh_domain::topic::Topic;
use kenh_governance::{Plan, life};
use kenh_producers::{Checker, Defaults, Format, open};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::json;

use crate::bus::{Bus, agency, now_ms, principal, system};
use crate::harness::{Place, Up};

const DATASET: &str = "dong-chay";
/// Agencies, and grants of each: 50 views are revoked, each with its two hostile clients.
const AGENCIES: usize = 5;
const GRANTS: usize = 10;
/// How long a hostile client asks the broker to hold its fetch.
const PARKED_MS: u32 = 60_000;
/// What a parked fetch asks for: more than ever comes, so that it is answered when its time is over, or never.
const PARKED_BYTES: u32 = 100_000_000;
/// Between two changes of the provider.
const PACE: Duration = Duration::from_millis(10);
/// Longer than any fetch is held.
const LIMIT: Duration = Duration::from_secs(120);
/// What is to hold at the 99th percentile. The figures say whether it did; the test asserts no time, since a machine that
/// does other work besides decides that too.
const BOUND: Duration = Duration::from_secs(1);

/// A view that is revoked.
struct View {
    recipient: String,
    grant: String,
    topic: Topic,
}

fn views() -> Vec<View> {
    let each = (0..AGENCIES).flat_map(|a| (0..GRANTS).map(move |g| (format!("R{a}"), g)));
    each.map(|(recipient, g)| View {
        grant: format!("{}-{g}", recipient.to_lowercase()),
        topic: format!("view.{recipient}.{DATASET}.v{g}.1").parse().unwrap(),
        recipient,
    })
    .collect()
}

/// Agencies, the dataset and the grants as a user declares them.
fn declare(place: &Place, views: &[View]) {
    place.write("declared/agencies/G01.yaml", agency("G01"));
    place.write(
        "declared/dong-chay/contract.yaml",
        format!(
            "apiVersion: v3.1.0\nkind: DataContract\nid: {DATASET}\nversion: 1.0.0\nstatus: active\nteam: {{name: G01}}\n\
             schema:\n  - name: DongChay\n    properties:\n      \
             - {{name: So, logicalType: string, required: true, primaryKey: true}}\n"
        ),
    );
    let schema = json!({"type": "record", "name": "DongChay", "fields": [{"name": "So", "type": "string"}]});
    place.write("declared/dong-chay/v1.avsc", schema.to_string());
    for View { recipient, grant, topic } in views {
        let Topic::View(_, _, view, _) = topic else { panic!("{topic} is no view") };
        place.write(&format!("declared/agencies/{recipient}.yaml"), agency(recipient));
        place.write(
            &format!("declared/grants/{grant}.yaml"),
            format!(
                "kind: Grant\nstate: active\nid: {grant}\nrecipient: {recipient}\nsystems: [{}]\ndataset: {DATASET}\n\
                 view: {view}\npurpose: Đo thời gian thu hồi\nlegalBasis: [Điều 1]\nduration: P12M\nfields: [So]\n",
                system(recipient)
            ),
        );
    }
}

/// What a hostile client got.
#[derive(Default)]
struct Got {
    records: u64,
    /// The number and the time of the last.
    last: Option<(u64, Instant)>,
    refused: Option<Instant>,
}

struct Hostile<'a> {
    view: &'a View,
    least_bytes: u32,
    got: Mutex<Got>,
}

impl Hostile<'_> {
    fn look<T>(&self, look: impl FnOnce(&mut Got) -> T) -> T {
        look(&mut self.got.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads on, whatever it is told, until `stop`.
    fn run(&self, mut config: ClientConfig, stop: &AtomicBool) {
        let consumer: BaseConsumer = config
            .set("isolation.level", "read_uncommitted")
            .set("fetch.wait.max.ms", PARKED_MS.to_string())
            .set("socket.timeout.ms", (PARKED_MS + 10_000).to_string())
            .set("fetch.min.bytes", self.least_bytes.to_string())
            .set("fetch.queue.backoff.ms", "1")
            .set("fetch.error.backoff.ms", "1")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.view.topic.to_string(), 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        while !stop.load(Ordering::Relaxed) {
            match consumer.poll(Duration::from_millis(20)) {
                None => {}
                Some(Ok(message)) => {
                    let (number, now) = (number(message.key().unwrap()), Instant::now());
                    self.look(|got| {
                        got.records += 1;
                        got.last = Some((number, now));
                    });
                }
                // A client that cannot reach a broker for a moment is not one that was refused.
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_refusal) => {
                    self.look(|got| _ = got.refused.get_or_insert_with(Instant::now));
                }
                Some(Err(_)) => {}
            }
        }
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition
    )
}

/// The number of a change, which is all that its record key says.
fn number(key: &[u8]) -> u64 {
    std::str::from_utf8(key).unwrap().parse().unwrap()
}

fn await_that(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < LIMIT, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Submits one change after the other, numbered, with the provider's own certificate.
fn submit_on(log: &KafkaLog, contract: &Contract, stop: &AtomicBool) {
    let rules = Rules::compile(contract).unwrap();
    let defaults = Defaults { event: Event::New, version: 1, updated_ms: now_ms() };
    let mut checker = Checker::new(&rules, "G01".parse().unwrap(), defaults);
    let mut writer = log.writer(&principal("G01"));
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let line = json!({"So": number.to_string()}).to_string();
        let item = open(Format::Jsonl, Box::new(line.as_bytes()), &rules, None).unwrap().next().unwrap().unwrap();
        let ready = checker.check("khong-nghi", number, &item.change.unwrap(), now_ms()).unwrap();
        let to = TopicPartition::new(Topic::In(contract.dataset.clone(), "G01".parse().unwrap()), ready.partition.0);
        let (key, value) = (ready.key.into(), Some(ready.value.into()));
        writer.write(vec![NewRecord { to, timestamp_ms: now_ms(), key, value }]).unwrap();
        writer.flush().unwrap();
        std::thread::sleep(PACE);
    }
}

/// A revocation as it went: when it was begun, the position of its event, and how long until the router's marker said that
/// nothing more is written.
struct Revoked {
    begun: Instant,
    event: Position,
    written_out: Duration,
}

/// Revokes one grant as `kenh grant revoke` does.
fn revoke(bus: &Bus, view: &View, heads: &mut dyn Reader) -> Revoked {
    let set = kenh_governance::load(&bus.control).unwrap();
    let id = GrantId::new(&view.grant).unwrap();
    let begun = Instant::now();
    let events = life::stop(&set, &id, EndReason::Revoked, "", now_ms()).unwrap();
    let event = bus.make_so(&Plan::of_events(&set, events, now_ms()).unwrap()).position;
    loop {
        assert!(begun.elapsed() < LIMIT, "the router does not see the event");
        let found = heads.poll(100, 1 << 20, Duration::from_millis(50)).unwrap();
        let head = |value: &[u8]| serde_json::from_slice::<Head>(value).unwrap();
        if found.iter().any(|record| head(record.value.as_deref().unwrap()).control >= event) {
            return Revoked { begun, event, written_out: begun.elapsed() };
        }
    }
}

/// The number of the last change before each of these control positions was in force, as the data log has it.
fn last_before(log: &KafkaLog, events: &[Position]) -> Vec<u64> {
    let data = TopicPartition::new(Topic::Data(Dataset::new(DATASET).unwrap()), 0);
    let bounds = log.bounds(&Principal::router(), &data).unwrap();
    let mut reader = log.reader(&Principal::router(), &[(data, bounds.start)]).unwrap();
    let (mut newest, mut last) = (0, vec![None; events.len()]);
    while reader.positions()[0] < bounds.end {
        for record in reader.poll(1_000, 8 << 20, Duration::from_millis(100)).unwrap() {
            match frame::decode(record.value.as_deref().unwrap()).unwrap().1 {
                Data::Change(_) => newest = number(&record.key),
                Data::Marker(marker) => {
                    for (event, last) in events.iter().zip(&mut last) {
                        if marker.control >= *event {
                            last.get_or_insert(newest);
                        }
                    }
                }
            }
        }
    }
    last.into_iter().map(|n| n.expect("the data log has a marker after the event")).collect()
}

/// The value below which `share` of the values lie; 0.99 of 50 is the greatest.
fn quantile(of: &mut [Duration], share: f64) -> Duration {
    of.sort();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among a handful of values"
    )]
    let at = (of.len() as f64 * share) as usize;
    of[at.min(of.len() - 1)]
}

fn say(what: &str, of: &[Duration]) -> String {
    let ms = |share| quantile(of.to_vec().as_mut_slice(), share).as_secs_f64() * 1e3;
    format!("  {what:<58} p50 {:>5.0} ms   p99 {:>5.0} ms\n", ms(0.5), ms(0.99))
}

/// Leaves the figures where `scripts/test` finds them, and shows them.
fn tell(figures: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("figures");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("revocation"), figures).unwrap();
    // Past the capture of tests: this is what the test is for.
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
}

#[test]
fn a_hostile_client_gets_nothing_that_was_written_after_a_revocation() {
    let bus = Bus::start();
    let [route, control] = ["kenh-router", "kenh-control"].map(|role| bus.machine(role, &json!({})));
    let views = views();
    declare(&control, &views);
    bus.apply(&[control.path("declared")]);
    for name in ["G01".to_owned()].into_iter().chain((0..AGENCIES).map(|a| format!("R{a}"))) {
        bus.admit(&system(&name));
    }
    let _roles = [Up::serve(&route, route.command(["route"])), Up::serve(&control, control.command(["control"]))];
    let contract = kenh_governance::load(&bus.control).unwrap().contracts[&Dataset::new(DATASET).unwrap()].clone();
    let provider = bus.connect(&system("G01"));
    // One that takes what comes, one whose fetch is answered when it has waited for 60 s.
    let hostile: Vec<Hostile<'_>> = views
        .iter()
        .flat_map(|view| [1, PARKED_BYTES].map(|least_bytes| Hostile { view, least_bytes, got: Mutex::default() }))
        .collect();
    let stop = AtomicBool::new(false);
    let mut revoked = Vec::new();
    std::thread::scope(|scope| {
        for client in &hostile {
            let (config, stop) = (bus.client(&system(&client.view.recipient)), &stop);
            scope.spawn(move || client.run(config, stop));
        }
        scope.spawn(|| submit_on(&provider, &contract, &stop));
        // Whatever fails below, the others stop.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stopping = Stop(&stop);
        let streaming = || hostile.iter().filter(|client| client.least_bytes == 1);
        // By then the others' first fetches have been parked for long.
        await_that("records at every client", || streaming().all(|c| c.look(|got| got.records > 20)));
        let heads = TopicPartition::new(Topic::Heads, 0);
        let from = bus.control.bounds(&Principal::control(), &heads).unwrap().end;
        let mut heads = bus.control.reader(&Principal::control(), &[(heads, from)]).unwrap();
        for (n, view) in views.iter().enumerate() {
            revoked.push(revoke(&bus, view, &mut *heads));
            let both = &hostile[2 * n..2 * n + 2];
            await_that("a refusal to both clients", || both.iter().all(|c| c.look(|got| got.refused.is_some())));
        }
    });
    let last = last_before(&bus.control, &revoked.iter().map(|r| r.event).collect::<Vec<_>>());
    // From the beginning of a view's revocation until something happened to its clients of one kind.
    let since = |least_bytes: u32, what: fn(&Got) -> Option<Instant>| -> Vec<Duration> {
        let all = hostile.iter().enumerate().filter(|(_, client)| client.least_bytes == least_bytes);
        let time = |at: Option<Instant>, begun| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(begun));
        all.map(|(n, client)| time(client.look(|got| what(got)), revoked[n / 2].begun)).collect()
    };
    let last_record = |got: &Got| got.last.map(|(_, at)| at);
    let (flowing, parked) = (since(1, last_record), since(PARKED_BYTES, last_record));
    let written_out: Vec<_> = revoked.iter().map(|r| r.written_out).collect();
    let held = [&flowing, &parked].iter().all(|of| quantile(of.to_vec().as_mut_slice(), 0.99) < BOUND);
    let held = if held { "yes" } else { "NO" };
    tell(
        &[
            format!("revocation of {} grants, one after the other, since each was begun:\n", views.len()),
            say("nothing more is written", &written_out),
            say("last record at a client that takes what comes", &flowing),
            say("it is refused", &since(1, |got| got.refused)),
            say("last record at a client whose fetch is parked for 60 s", &parked),
            say("it is refused", &since(PARKED_BYTES, |got| got.refused)),
            format!("  last record within {} ms at the 99th percentile: {held}\n", BOUND.as_millis()),
        ]
        .concat(),
    );
    for (n, client) in hostile.iter().enumerate() {
        // What was written after the marker would be a leak whenever it came.
        let number = client.look(|got| got.last.map_or(0, |(number, _)| number));
        assert!(number <= last[n / 2], "{}: {number} after {}", client.view.topic, last[n / 2]);
        assert!(client.least_bytes != 1 || number > 0);
    }
}
