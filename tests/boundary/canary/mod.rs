//! No leak: every value that a recipient may not see is a canary, every failure is provoked, and then everything that
//! somebody can reach is searched for them.
//!
//! | who | what is searched | canaries that he may see |
//! |---|---|---|
//! | the recipient, another provider, an agency with nothing; each with its certificate, as a client that others wrote | names; every topic from its start with `read_uncommitted`, headers too; groups and what they committed; settings | none but those of the contract in the contract card of who provides the dataset |
//! | whoever shows the node's token | health, metrics, status, the recipient's copy, every refusal | none but what he sent himself, in the answer to it |
//! | | registry ids 1 to 1000 and every subject | those of the dataset's own schemas: docs, defaults, aliases ([`IN_SCHEMAS`]); none in a view's |
//! | | the catalogue | descriptions ([`IN_OFFERS`]) |
//! | the recipient at the agencies' listener, with its certificate | the same, as far as it is let | those of the catalogue; none in schemas |
//! | whoever shows no token | the refusal | none |
//! | whoever reads log lines of `kenh up` and of the roles apart, at level trace | all of them | none |
//! | whoever lists processes | arguments and environment of every process | none |
//! | whoever receives telemetry | every byte | none |
//!
//! On a directory, and on a cluster, where there is more to reach. `POST /v1/log` is the node's log itself for who holds the token, and is not asked; ledger entries are not there yet. In
//! one process on every log, with a log that leaks on purpose: tests/bus/canary.rs.
//!
//! [`leak`] then breaks each of these on purpose: the same search finds every one.

mod http;
mod leak;
mod reach;

use std::time::Duration;

use kenh_domain::log::Log as _;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::bus::{Bus, agency, system};
use crate::harness::{Place, Up, until};
use http::{Listener, listener};
use reach::{CANARY, DEFAULT_NUMBER, NUMBER, Piece, Sink, leaks, process, run};

/// Canaries of the dataset's own schemas.
const IN_SCHEMAS: &[&str] = &["doc", "doc-so", "doc-an", "alias", "default", "default-number"];
/// Canaries of what is on offer to every agency.
const IN_OFFERS: &[&str] = &["description", "description-an"];
/// Canaries of the contract, which its providers have.
const IN_CONTRACTS: &[&str] =
    &["doc", "doc-so", "doc-an", "alias", "default", "default-number", "description", "description-an"];

/// Another agency's group, whose member is called by a canary and commits one.
const GROUP: &str = "g12-portal.nhom";

fn canary(what: &str) -> String {
    format!("{CANARY}-{what}")
}

/// Declared state with canaries wherever people write what is nobody else's business. The recipient is granted number and
/// province of those of province 79; others have grants of their own.
fn declare(place: &Place) {
    for name in ["G01", "G02", "H29", "G12", "G18", "A01"] {
        place.write(&format!("declared/agencies/{name}.yaml"), agency(name));
    }
    place.write(
        "declared/ho-so/contract.yaml",
        "apiVersion: v3.1.0\nkind: DataContract\nid: ho-so\nversion: 1.0.0\nstatus: active\n\
         description: {purpose: CHIMYEN-description}\nteam: {name: G01}\ncustomProperties:\n  \
         - {property: kenh.providers, value: [G01, G02]}\n  - {property: kenh.partitions, value: 2}\n  \
         - {property: kenh.maxVersionStep, value: 10}\nschema:\n  - name: HoSo\n    properties:\n      \
         - {name: So, logicalType: string, required: true, primaryKey: true}\n      \
         - {name: Ten, logicalType: string, required: true}\n      - {name: Tinh, logicalType: string}\n      \
         - {name: An, logicalType: integer, required: true, description: CHIMYEN-description-an}\n",
    );
    let schema = json!({"type": "record", "name": "HoSo", "doc": canary("doc"), "fields": [
        {"name": "So", "type": "string", "doc": canary("doc-so"), "aliases": [format!("{CANARY}_alias")]},
        {"name": "Ten", "type": "string", "default": canary("default")},
        {"name": "Tinh", "type": ["null", "string"], "default": null},
        {"name": "An", "type": "int", "doc": canary("doc-an"), "default": DEFAULT_NUMBER},
    ]});
    place.write("declared/ho-so/v1.avsc", schema.to_string());
    let grant = |id: &str, recipient: &str, rest: &str| {
        let system = system(recipient);
        let text = format!(
            "kind: Grant\nstate: active\nid: {id}\nrecipient: {recipient}\nsystems: [{system}]\ndataset: ho-so\n\
             duration: P12M\n{rest}"
        );
        place.write(&format!("declared/grants/{id}.yaml"), text);
    };
    let own = "purpose: CHIMYEN-purpose\nlegalBasis: [CHIMYEN-basis]\n";
    grant("it", "H29", &format!("{own}fields: [So, Tinh]\nfilter: Tinh == '79'\n"));
    grant("tat-ca", "G12", &format!("{own}fields: [So, Ten, Tinh, An]\n"));
    grant(
        "y-te",
        "G18",
        &format!("{own}fields: [Tinh]\nkey: pseudonym\nfilter: \"Tinh in ['79', 'CHIMYEN-filter']\"\n"),
    );
}

/// A change as its provider's file has it, with a reason and a document.
fn change(version: u32, so: &str, ten: &str, tinh: &str) -> Value {
    json!({
        "SuKien": if version == 1 { "NEW" } else { "UPDATE" }, "PhienBan": version,
        "ThoiGianCapNhat": "2025-03-01T00:00:00", "LyDoCapNhat": canary("reason"), "VanBan": [canary("document")],
        "DuLieu": {"So": so, "Ten": canary(ten), "Tinh": tinh, "An": NUMBER},
    })
}

/// The operator's machine: every command is searched for what it shows besides its answer.
struct Operator<'a> {
    place: &'a Place,
    pieces: Vec<Piece>,
}

impl Operator<'_> {
    /// Runs a command that ends so, and answers what it prints. The answer is the operator's own.
    fn kenh(&mut self, args: &[&str], input: &str, code: i32) -> String {
        self.kenh_with(args, input, code, ("KENH_LOG_FORMAT", "json"))
    }

    /// The same, with one more variable in its environment.
    fn kenh_with(&mut self, args: &[&str], input: &str, code: i32, (name, value): (&str, &str)) -> String {
        let mut command = self.place.command(args);
        command.env("KENH_LOG", "trace").env(name, value);
        let ran = run(command, input);
        let said = ran.pieces.last().map(|p| String::from_utf8_lossy(&p.bytes).into_owned()).unwrap_or_default();
        assert_eq!(ran.code, Some(code), "{args:?}: {}\n{said}", ran.answer);
        self.pieces.extend(ran.pieces);
        ran.answer
    }

    /// Submits changes; what a provider is answered is searched as well.
    fn produce(&mut self, provider: &str, changes: &[Value], code: i32) {
        let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
        self.place.write("changes.jsonl", lines);
        let args = ["produce", "ho-so", "--from", "changes.jsonl", "--as", provider, "--output", "json"];
        let answer = self.kenh(&args, "", code);
        self.pieces.push(Piece::new("what kenh produce answers", answer));
    }
}

/// Starts a command of a machine that serves, with everything that it can log.
fn serve<'a>(machine: &'a Place, role: &str) -> Up<'a> {
    let mut command = machine.command([role]);
    command.env("KENH_LOG", "trace").env("KENH_LOG_FORMAT", "json");
    Up::serve(machine, command)
}

/// What a process that has been running shows: its log, as it has said it, its arguments and environment.
fn shown(role: &str, up: &Up<'_>, said: String) -> Vec<Piece> {
    let mut pieces = process(role, up.pid());
    assert!(said.lines().count() > 5, "so few lines of kenh {role} that the test proves nothing:\n{said}");
    pieces.push(Piece::new(format!("log of kenh {role}"), said));
    pieces
}

/// Changes that are admitted, and every kind that is not.
fn submit(operator: &mut Operator<'_>) {
    let given = [
        change(1, "a", "ten", "79"),
        change(1, "b", "ten-b", "79"),
        // Out of the recipient's rows: not even its number.
        change(1, "CHIMYEN-so", "ngoai", "01"),
    ];
    operator.produce("G01", &given, 0);
    // The same again; in conflict; of another owner; a jump.
    operator.produce("G01", &given[..1], 0);
    operator.produce("G01", &[change(1, "a", "xung-dot", "79")], 3);
    operator.produce("G02", &[change(2, "a", "cua-nguoi-khac", "79")], 3);
    operator.produce("G01", &[change(99, "a", "nhay", "79")], 3);
    // Not even to be sent: another type, no such field, no JSON.
    let mut wrong = change(1, "c", "kieu", "79");
    wrong["DuLieu"]["An"] = canary("kieu").into();
    operator.produce("G01", &[wrong, json!({"So": "d", "Ten": canary("truong"), "Khac": NUMBER})], 3);
    operator.produce("G01", &[Value::String(canary("chuoi"))], 3);
    // Moves out of the recipient's rows, and is stale afterwards.
    operator.produce("G01", &[change(2, "b", "di", "CHIMYEN-tinh")], 0);
    operator.produce("G01", &given[1..2], 0);
}

/// What is no envelope, with canaries in every part of it, by a provider's own client.
fn junk(bus: &Bus) {
    let producer: BaseProducer = bus.client("g01-portal").create().unwrap();
    let (key, value, header) = (canary("junk-key"), canary("junk"), canary("header-value"));
    for partition in 0..2 {
        let headers = OwnedHeaders::new().insert(Header { key: "CHIMYEN-header", value: Some(&header) });
        let record = BaseRecord::to("in.ho-so.G01").partition(partition).headers(headers).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(kenh_testkit::PATIENCE).unwrap();
}

/// A member of another agency's group that has read and committed; alive as long as it is held.
fn member(bus: &Bus) -> BaseConsumer {
    const VIEW: &str = "view.G12.ho-so.main.1";
    let mut config = bus.client("g12-portal");
    config.set("group.id", GROUP).set("client.id", canary("member")).set("auto.offset.reset", "earliest");
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&[VIEW]).unwrap();
    let first = until("a record at the other agency's member", || member.poll(Duration::from_millis(100)));
    let mut list = TopicPartitionList::new();
    let message = first.unwrap();
    let mut element = list.add_partition(VIEW, message.partition());
    element.set_offset(Offset::Offset(message.offset() + 1)).unwrap();
    element.set_metadata(canary("committed"));
    member.commit(&list, CommitMode::Sync).unwrap();
    drop(message);
    member
}

/// What an operator can ask, and a grant that ends with a reason in words.
fn ask_and_decide(operator: &mut Operator<'_>) {
    for args in [
        &["status"][..],
        &["dead-letter", "list", "ho-so"],
        &["grant", "list"],
        &["grant", "show", "y-te"],
        &["catalog", "ho-so"],
        &["schema", "list"],
        &["doctor"],
    ] {
        operator.kenh(args, "", 0);
    }
    operator.place.write("record.json", change(1, "a", "ten", "79")["DuLieu"].to_string());
    operator.kenh(&["grant", "explain", "it", "--record", "record.json"], "", 0);
    operator.kenh(&["grant", "explain", "it", "--record", "changes.jsonl"], "", 2);
    operator.kenh(&["grant", "revoke", "y-te", "--reason", "-"], "CHIMYEN-because\n", 0);
}

/// Searches what a node tells: its listener, who shows no token there, its log as `said` and its place among the processes,
/// the operator's commands, telemetry.
fn told(listener: &Listener<'_>, node: &Up<'_>, said: String, operator: &mut Operator<'_>, sink: &Sink) -> Vec<String> {
    let mut pieces = std::mem::take(&mut operator.pieces);
    pieces.extend(http::dump(listener, IN_SCHEMAS, IN_OFFERS));
    pieces.push(http::refused_without_token(node.url("")));
    pieces.extend(shown("up", node, said));
    pieces.push(sink.received());
    let copy = pieces.iter().find(|p| p.place.ends_with("export?format=jsonl")).unwrap();
    assert!(copy.bytes.windows(5).any(|text| text == b"\"79\"}"), "the dump lacks what is granted");
    leaks(&pieces)
}

/// Searches what clients of the cluster get that nobody granted more than they have.
fn read(bus: &Bus, topics: &[String]) -> Vec<String> {
    let mut pieces = Vec::new();
    std::thread::scope(|scope| {
        let ask = |who| reach::kafka(&bus.client(who), topics, &["kenh.main", GROUP, who]);
        let asked = ["h29-portal", "g02-portal", "a01-portal"].map(|who| scope.spawn(move || ask(who)));
        asked.into_iter().for_each(|asked| pieces.extend(asked.join().unwrap()));
    });
    // Who provides the dataset has its contract, with the schemas in which its changes are written.
    let card = pieces.iter_mut().find(|piece| piece.place == "g02-portal: notice.G02").unwrap();
    card.may = IN_CONTRACTS;
    // Of two partitions, either comes first.
    let is_line = |piece: &Piece, text: &[u8]| piece.bytes.split(|byte| *byte == b'\n').any(|line| line == text);
    let granted = |piece: &Piece| piece.place == "h29-portal: view.H29.ho-so.main.1" && is_line(piece, b"a");
    assert!(pieces.iter().any(granted), "the dump lacks what is granted");
    leaks(&pieces)
}

fn assert_finds(found: &[String], kinds: &[(&str, &str)]) {
    for (kind, finding) in kinds {
        assert!(found.iter().any(|f| f == finding), "{kind} was not seen: no {finding:?} in {found:#?}");
    }
}

#[test]
fn on_a_directory_nothing_that_is_not_granted_is_told_and_a_leak_of_each_kind_is_found() {
    let (place, sink) = (Place::new(), Sink::start());
    place.write("kenh.yaml", json!({"otlp": sink.url, "copies": [{"agency": "H29"}]}).to_string());
    let mut operator = Operator { place: &place, pieces: Vec::new() };
    declare(&place);
    operator.kenh(&["apply", "declared"], "", 0);
    let node = serve(&place, "up");
    submit(&mut operator);
    operator.produce("G01", &[change(2, "a", "hai", "79"), change(1, "e", "nam", "79")], 0);
    node.await_rows("H29", "ho-so", 2);
    ask_and_decide(&mut operator);
    let honest = listener(node.url(""), Some(format!("Bearer {}", node.token)));
    assert_eq!(told(&honest, &node, node.said(), &mut operator, &sink), Vec::<String>::new());

    leak::tell_too_much(&mut operator);
    let (tampered, logged) = (leak::tampered(&honest), leak::logged(node.said()));
    assert_finds(&told(&tampered, &node, logged, &mut operator, &sink), leak::TOLD);
    node.stop();
}

#[test]
fn on_a_cluster_nothing_that_is_not_granted_is_told_and_a_leak_of_each_kind_is_found() {
    let (bus, sink) = (Bus::start(), Sink::start());
    let otlp = json!({"otlp": sink.url});
    let desk = bus.machine("kenh-control", &otlp);
    let mut operator = Operator { place: &desk, pieces: Vec::new() };
    declare(&desk);
    operator.kenh(&["apply", "declared"], "", 0);
    for name in ["G01", "G02", "H29", "G12", "G18", "A01"] {
        bus.admit(&system(name));
    }

    // Roles apart, then all in one process that keeps the recipient's copy.
    let apart = [("route", "kenh-router"), ("control", "kenh-control"), ("serve", "kenh-serve")]
        .map(|(command, role)| (command, bus.machine(role, &otlp)));
    let roles: Vec<_> = apart.iter().map(|(command, machine)| (*command, serve(machine, command))).collect();
    submit(&mut operator);
    for (command, up) in roles {
        operator.pieces.extend(shown(command, &up, up.said()));
        operator.pieces.push(Piece::new(format!("all that kenh {command} has logged"), up.stop()));
    }
    let shown = bus.cluster.identity("kenh-serve", 1);
    let over_tls = json!({
        "agencies": "127.0.0.1:0", "certificate": shown["ssl.certificate.location"], "key": shown["ssl.key.location"],
        "authorities": shown["ssl.ca.location"],
    });
    let more = json!({"otlp": sink.url, "copies": [{"agency": "H29"}], "http": over_tls});
    let machine = bus.machine("kenh-control", &more);
    let node = serve(&machine, "up");
    junk(&bus);
    operator.produce("G01", &[change(2, "a", "hai", "79"), change(1, "e", "nam", "79")], 0);
    until("the junk to be rejected", || {
        let status = node.get("/v1/status").json();
        (status["router"]["counts"]["rejected"].as_u64().unwrap() >= 2).then_some(())
    });
    node.await_rows("H29", "ho-so", 2);
    let _member = member(&bus);
    let mut topics: Vec<String> = bus.control.topics().unwrap().iter().map(|spec| spec.topic.to_string()).collect();
    topics.extend(["kenh.access", "__consumer_offsets", "__transaction_state"].map(Into::into));
    ask_and_decide(&mut operator);
    until("the ended view to be gone", || {
        let there = bus.control.topics().unwrap();
        there.iter().all(|spec| spec.topic.to_string() != "view.G18.ho-so.main.1").then_some(())
    });
    let honest = listener(node.url(""), Some(format!("Bearer {}", node.token)));
    assert_eq!(told(&honest, &node, node.said(), &mut operator, &sink), Vec::<String>::new());
    assert_eq!(read(&bus, &topics), Vec::<String>::new());
    let url = format!("https://{}", node.listens("http.agencies"));
    let identity = bus.cluster.identity("h29-portal", 1);
    let recipient = http::agency(url, &identity);
    let got = http::dump_as_recipient(&recipient, IN_OFFERS);
    let copy = got.iter().find(|p| p.place.ends_with("export?format=jsonl")).unwrap();
    assert!(copy.bytes.windows(5).any(|text| text == b"\"79\"}"), "the dump lacks what is granted");
    assert_eq!(leaks(&got), Vec::<String>::new());
    let got = http::dump_as_recipient(&leak::tampered(&recipient), IN_OFFERS);
    assert_finds(&leaks(&got), leak::TOLD_THE_RECIPIENT);

    leak::tell_too_much(&mut operator);
    let (tampered, logged) = (leak::tampered(&honest), leak::logged(node.said()));
    assert_finds(&told(&tampered, &node, logged, &mut operator, &sink), leak::TOLD);
    // From here on the recipient's copy cannot be read: a record of its view is none.
    leak::give_too_much(&bus, &node);
    assert_finds(&leaks(&http::schemas(&honest, IN_SCHEMAS)), leak::RELEASED);
    assert_finds(&read(&bus, &topics), leak::GIVEN);
    node.stop();
}
