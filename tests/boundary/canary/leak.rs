//! A bus that is broken on purpose, in each way in which it could leak: the switch is here, and nothing of the product
//! knows of it. Where a part of ours would have to be wrong, what it would do is done in its place and with its rights.

use bytes::Bytes;
use kenh_broker::kafka::acl::{self, Kind, Line, Pattern, Right};
use kenh_domain::control::{Activation, ControlEvent, SchemaDocument, ViewNo};
use kenh_domain::log::{Log as _, NewRecord, TopicPartition};
use kenh_domain::names::{GrantId, Principal, View};
use kenh_domain::wire::SchemaId;
use kenh_governance::Plan;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::Operator;
use super::http::{Answer, Ask, Listener};
use super::reach::NUMBER;
use crate::bus::{Bus, now_ms};
use crate::harness::{Up, until};

/// Kinds of leaks by what a node and its commands tell, each with what the search says of it.
pub const TOLD: &[(&str, &str)] = &[
    ("an answer of the registry", "GET /schemas/ids/1: leak-registry"),
    ("an answer about a copy", "GET /v1/views/H29/ho-so/digest: leak-answer"),
    ("a refusal", "GET /v1/views/H29/ho-so?view=khac: leak-refusal"),
    ("a metric", "GET /metrics: leak-metric"),
    ("a log line", "log of kenh up: leak-line"),
    ("an argument of a process", "arguments of kenh produce ho-so: leak-argument"),
    ("the environment of a process", "environment of kenh produce ho-so: leak-environment"),
    ("a span", "telemetry: leak-argument"),
];

/// The same by the agencies' listener, to the recipient.
pub const TOLD_THE_RECIPIENT: &[(&str, &str)] = &[
    ("an answer of the registry", "h29-portal: GET /subjects: leak-registry"),
    ("an answer about a copy", "h29-portal: GET /v1/views/H29/ho-so/digest: leak-answer"),
    ("a refusal", "h29-portal: GET /v1/views/H29/ho-so?view=khac: leak-refusal"),
];

/// By what governance releases.
pub const RELEASED: &[(&str, &str)] = &[
    ("a doc in a view's schema", "GET /subjects/view.H29.ho-so.ro-ri.1-value/versions/1: leak-doc"),
    ("a default in a view's schema", "GET /subjects/view.H29.ho-so.ro-ri.1-value/versions/1: leak-default"),
];

/// By what the cluster gives its clients.
pub const GIVEN: &[(&str, &str)] = &[
    ("an access list that opens others' topics", "h29-portal: data.ho-so: ten"),
    ("a hidden text in a record of the recipient's view", "h29-portal: view.H29.ho-so.main.1: leak-view"),
    ("a hidden number in a record of the recipient's view", "h29-portal: view.H29.ho-so.main.1: number"),
    ("a header of a record", "h29-portal: view.H29.ho-so.main.1: leak-header"),
    ("a text in a notice", "h29-portal: notice.H29: leak-notice"),
    ("a default in a view's schema, by its card", "h29-portal: notice.H29: leak-default"),
    ("a text in another's receipt", "g02-portal: receipt.G02: leak-receipt"),
    ("a member of another's group", "h29-portal: groups: member"),
    ("what another's group has committed", "h29-portal: what group g12-portal.nhom has committed: committed"),
];

/// Commands that are told it where everybody sees it.
pub fn tell_too_much(operator: &mut Operator<'_>) {
    let args = ["produce", "ho-so", "--from", "again.jsonl", "--as", "G01", "--submission", "CHIMYEN-leak-argument"];
    operator.place.write("again.jsonl", super::change(1, "g", "bay", "79").to_string());
    operator.kenh_with(&args, "", 0, ("SECRET", "CHIMYEN-leak-environment"));
}

/// A cluster that is opened too far, and roles that write and release too much.
pub fn give_too_much(bus: &Bus, node: &Up<'_>) {
    open_too_much(bus);
    write_too_much(bus);
    release_too_much(bus);
    until("the broken view at the registry", || {
        (node.get("/subjects/view.H29.ho-so.ro-ri.1-value/versions").status == 200).then_some(())
    });
    until("the broken view's card", || {
        let to = TopicPartition::new("notice.H29".parse().unwrap(), 0);
        let bounds = bus.control.bounds(&Principal::control(), &to).unwrap();
        let mut reader = bus.control.reader(&Principal::control(), &[(to, bounds.start)]).unwrap();
        let mut there = false;
        while reader.positions()[0] < bounds.end {
            let found = reader.poll(1_000, 8 << 20, std::time::Duration::from_millis(100)).unwrap();
            there |= found.iter().any(|record| record.key.windows(5).any(|key| key == b"ro-ri"));
        }
        there.then_some(())
    });
}

/// The listener of a node whose answers say too much.
pub fn tampered<'a>(honest: &'a Listener<'a>) -> impl Fn(&Ask) -> Answer + 'a {
    move |ask| {
        let mut answer = honest(ask);
        let more: &[u8] = match ask.path.as_str() {
            "/schemas/ids/1" | "/subjects" => b"CHIMYEN-leak-registry",
            "/v1/views/H29/ho-so/digest" => b"CHIMYEN-leak-answer",
            "/v1/views/H29/ho-so?view=khac" => b"CHIMYEN-leak-refusal",
            "/metrics" => b"CHIMYEN-leak-metric",
            _ => b"",
        };
        answer.bytes.extend_from_slice(more);
        answer
    }
}

/// The log of a node that logs the path of a request.
pub fn logged(mut honest: String) -> String {
    honest.push_str("{\"level\":\"DEBUG\",\"fields\":{\"path\":\"/v1/views/CHIMYEN-leak-line/ho-so\"}}\n");
    honest
}

/// A control role that gives lines too many.
fn open_too_much(bus: &Bus) {
    let line = |kind, name: &str, right| Line {
        kind,
        name: name.into(),
        pattern: Pattern::Literal,
        principal: "User:CN=h29-portal,OU=1".into(),
        host: "*".into(),
        right,
        allow: true,
    };
    let lines = [
        line(Kind::Topic, "data.ho-so", Right::Read),
        line(Kind::Topic, "view.G12.ho-so.main.1", Right::Read),
        line(Kind::Group, super::GROUP, Right::Read),
    ];
    let admin: AdminClient<DefaultClientContext> = bus.client("kenh-control").create().unwrap();
    acl::create(&admin, &lines).unwrap();
}

/// A router that writes too much.
fn write_too_much(bus: &Bus) {
    let record = |topic: &str, value: &[u8]| NewRecord {
        to: TopicPartition::new(topic.parse().unwrap(), 0),
        timestamp_ms: now_ms(),
        key: Bytes::from_static(b"leak"),
        value: Some(Bytes::copy_from_slice(value)),
    };
    let mut writer = bus.control.writer(&Principal::router());
    let records = vec![
        record("view.H29.ho-so.main.1", b"CHIMYEN-leak-view"),
        record("view.H29.ho-so.main.1", &super::reach::avro(NUMBER)),
        record("notice.H29", b"CHIMYEN-leak-notice"),
        record("receipt.G02", b"CHIMYEN-leak-receipt"),
    ];
    writer.write(records).unwrap();
    writer.flush().unwrap();
    let producer: BaseProducer = bus.client("kenh-control").create().unwrap();
    let headers = OwnedHeaders::new().insert(Header { key: "leak", value: Some("CHIMYEN-leak-header") });
    let record = BaseRecord::to("view.H29.ho-so.main.1").partition(0).headers(headers).key("leak").payload("");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(kenh_testkit::PATIENCE).unwrap();
}

/// A compiler of grants that leaves docs and defaults in a view's schema.
fn release_too_much(bus: &Bus) {
    let set = kenh_governance::load(&bus.control).unwrap();
    let honest = &set.view_of_grant(&GrantId::new("it").unwrap()).unwrap().activation;
    let id = SchemaId(set.schemas.keys().map(|id| id.0).max().unwrap() + 1);
    let view_no = ViewNo(set.views.keys().map(|view| view.0).max().unwrap() + 1);
    let schema = json!({"type": "record", "name": "RoRi", "doc": "CHIMYEN-leak-doc", "fields": [
        {"name": "So", "type": "string", "default": "CHIMYEN-leak-default"},
        {"name": "Tinh", "type": ["null", "string"], "default": null},
    ]});
    let mut broken = Activation { view_no, schema_id: id, ..(**honest).clone() };
    broken.grant.id = GrantId::new("ro-ri").unwrap();
    broken.grant.view = View::new("ro-ri").unwrap();
    let subject = format!("{}-value", broken.topic());
    let document = SchemaDocument { id, subject, version: 1, schema: schema.to_string() };
    let events = vec![ControlEvent::Schema(document), ControlEvent::Grant(Box::new(broken))];
    bus.make_so(&Plan::of_events(&set, events, now_ms()).unwrap());
}
