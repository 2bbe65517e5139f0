//! Spans and metrics at a foreign OTLP/HTTP receiver: OpenTelemetry's own Python classes decode every byte.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::place::{COPIES, Place, Running, first_line, people, repository, set_up, until};

/// The receiver, and what it has received.
struct Receiver {
    dir: TempDir,
    _child: Running,
    endpoint: String,
}

impl Receiver {
    fn start() -> Self {
        set_up();
        let dir = TempDir::new().unwrap();
        let python = repository().join("target/telemetry/python/bin/python");
        let mut command = Command::new(python);
        command.arg(repository().join("tests/telemetry/receiver.py")).arg(dir.path());
        let mut child = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let endpoint = format!("http://127.0.0.1:{}", first_line(&mut child.0));
        Self { dir, _child: child, endpoint }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn received(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.file("received")).unwrap_or_default();
        let all: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(all.iter().all(|l| l["kind"] != "bad"), "not decoded: {all:?}");
        all.into_iter().filter(|l| l["kind"] == kind).collect()
    }

    fn spans(&self, name: &str) -> Vec<Value> {
        self.received("span").into_iter().filter(|s| s["name"] == name).collect()
    }
}

/// Topic, partition and two positions of an event.
fn place_of(topic: &Value, event: &Value) -> (String, String, i64, i64) {
    let of = &event["attributes"];
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let from = of["kenh.position.from"].as_i64().unwrap_or_default();
    let end = of["kenh.position.end"].as_i64().unwrap();
    (text(topic), text(&of["messaging.destination.partition.id"]), from, end)
}

fn is_copied(topic: &str) -> bool {
    COPIES.iter().any(|agency| topic.starts_with(&format!("view.{agency}.")))
}

/// Where the commit of a `route` span ended in the views that the node copies.
fn routed(route: &Value) -> Vec<(String, String, i64, i64)> {
    let events = route["events"].as_array().unwrap().iter();
    let all = events.map(|e| place_of(&e["attributes"]["messaging.destination.name"], e));
    all.filter(|(topic, ..)| is_copied(topic)).collect()
}

/// What the `apply` spans cover.
fn applied(receiver: &Receiver) -> Vec<(String, String, i64, i64)> {
    let of = |span: &Value| {
        let topic = span["attributes"]["messaging.destination.name"].clone();
        let events = span["events"].as_array().unwrap().clone();
        events.into_iter().map(move |e| place_of(&topic, &e)).collect::<Vec<_>>()
    };
    receiver.spans("apply").iter().flat_map(of).collect()
}

/// The names that docs/metrics.md lists (held to `src/metrics.rs` by a test there), as they travel over OTLP.
pub fn documented() -> BTreeSet<String> {
    let docs = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.flat_map(|row| {
        let (name, rest) = row.split_once('`').unwrap();
        let parts: &[&str] = if rest.starts_with(" | histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
        parts.iter().map(|part| format!("{name}{part}")).collect::<Vec<_>>()
    });
    names.collect()
}

/// A person with another phone number under the same version: the router rejects it, having seen the first.
fn conflicting() -> Value {
    let mut person = people().remove(0);
    person["SoDienThoai"] = json!("0987654321");
    person
}

/// A person in a commune that no list has yet.
fn of_a_new_commune() -> Value {
    let mut person = people().remove(0);
    person["SoDinhDanh"] = json!("001085000123");
    person["NoiOHienTai"]["MaXa"] = json!("99999");
    person
}

#[test]
fn a_change_is_followed_from_its_submission_to_the_copies_and_no_value_of_it_is_told() {
    let receiver = Receiver::start();
    let place = Place::new();
    place.relax("code-list", "NoiOHienTai.MaXa");
    let node = place.up(Some(&receiver.endpoint));
    let token = node.token.clone();
    assert_eq!(place.produce(&people(), Some(&receiver.endpoint)), Some(0));
    node.await_people(2);
    assert_eq!(place.produce(&[conflicting()], Some(&receiver.endpoint)), Some(3));
    assert_eq!(place.produce(&[of_a_new_commune()], Some(&receiver.endpoint)), Some(0));
    // Both ends tell what is left when they stop.
    node.stop();

    // submit -> route: one trace, and the submission is the parent.
    let submits = receiver.spans("submit");
    let first = submits.iter().find(|s| s["attributes"]["kenh.admitted"] == 2).unwrap_or_else(|| panic!("{submits:?}"));
    assert_eq!((submits.len(), &first["service"], &first["parent"]), (3, &json!("kenh-produce"), &json!("")));
    let routes = receiver.spans("route");
    let (ours, others): (Vec<_>, Vec<_>) = routes.iter().partition(|r| r["trace"] == first["trace"]);
    assert!(!ours.is_empty() && !others.is_empty(), "{routes:?}");
    for route in &routes {
        let parent = submits.iter().find(|s| s["span"] == route["parent"]).unwrap_or_else(|| panic!("{route}"));
        assert_eq!((&route["trace"], &route["service"]), (&parent["trace"], &json!("kenh-up")));
    }
    let records: i64 = ours.iter().map(|r| r["attributes"]["kenh.records"].as_i64().unwrap()).sum();
    assert_eq!(records, 2);

    // route -> apply: joined by topic, partition and position; a view carries no trace.
    let covered = applied(&receiver);
    let ends: Vec<_> = ours.iter().flat_map(|r| routed(r)).collect();
    let views: BTreeSet<_> = ends.iter().map(|(topic, ..)| topic).collect();
    assert_eq!(views.len(), COPIES.len(), "{ends:?}");
    for (topic, partition, _, end) in &ends {
        let found = covered.iter().any(|(t, p, from, to)| t == topic && p == partition && from < end && end <= to);
        assert!(found, "nothing applied up to {end} of {topic}/{partition}: {covered:?}");
    }
    for apply in receiver.spans("apply") {
        assert!(submits.iter().all(|s| s["trace"] != apply["trace"]), "a view carried a trace: {apply}");
    }

    // Every metric, from one instance, with what happened.
    let metrics = receiver.received("metric");
    let names: BTreeSet<_> = metrics.iter().map(|m| m["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, documented());
    let instances: BTreeSet<_> = metrics.iter().map(|m| m["instance"].to_string()).collect();
    assert_eq!(instances.len(), 1);
    for metric in &metrics {
        let name = metric["name"].as_str().unwrap();
        let counts = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end));
        assert_eq!(metric["rises"], counts, "{metric}");
    }
    let last = |name: &str, label: &str, of: &str| {
        let points = metrics.iter().rfind(|m| m["name"] == name).unwrap()["points"].as_array().unwrap().clone();
        points.into_iter().find(|p| p["attributes"][label] == of).unwrap_or_else(|| panic!("no {of} of {name}"))
    };
    assert_eq!(last("kenh_submitted_changes_total", "outcome", "admitted")["value"], 3.0);
    assert_eq!(last("kenh_warnings_total", "rule", "code-list")["value"], 1.0);
    assert_eq!(last("kenh_submitted_changes_total", "outcome", "rejected")["value"], 1.0);
    let all = last("kenh_commit_seconds_bucket", "le", "+Inf")["value"].clone();
    assert_eq!(metrics.iter().rfind(|m| m["name"] == "kenh_commits_total").unwrap()["points"][0]["value"], all);

    // Bytes as they came: the names of things, and nothing of a person.
    let bytes = fs::read(receiver.file("bytes")).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("dan-cu") && holds("view.H29.") && holds("kenh_copy_rows"), "the bytes are not readable as they are");
    for secret in values(&people()).iter().chain(&["0987654321", "001085000123", &token].map(str::to_owned)) {
        assert!(!holds(secret), "{secret} was told");
    }
}

/// Texts of records long enough not to occur by chance.
fn values(of: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<_> = of.iter().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) if text.len() > 6 && !text.starts_with("20") => found.push(text.clone()),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    found
}

#[test]
fn a_receiver_that_is_away_or_never_answers_holds_nobody_up() {
    // Bound and let go: nothing listens there. Bound and never accepted: it takes the call and does not answer.
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [away, silent.local_addr().unwrap()] {
        let endpoint = format!("http://{address}");
        let place = Place::new();
        let node = place.up(Some(&endpoint));
        let begun = Instant::now();
        assert_eq!(place.produce(&people(), Some(&endpoint)), Some(0));
        // One export is given up after 5 s (`EXPORT_TIMEOUT`); the rest is room for a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(25), "{endpoint}: {:?}", begun.elapsed());
        node.await_people(2);
        // An export of metrics has failed meanwhile, or is waited for.
        until("a commit", || node.get("/metrics").filter(|m| m.contains("kenh_copy_rows")));
        node.stop();
    }
}
