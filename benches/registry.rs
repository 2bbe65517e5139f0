//! The registry of a running node beside Apicurio Registry in memory, each over HTTP on loopback through the same client:
//! registering a schema, registering the next version of a subject, asking whether a schema could be the next version.
//!
//! What stands behind a registration differs: Apicurio writes a new version; ours answers the id of what a review has
//! released before. So Apicurio is also asked to register what it has already. Needs Java 21 or newer.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a bench stops when it cannot measure")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kenh_testkit::apicurio::Apicurio;
use kenh_testkit::outside::{until, without_our_environment};
use serde_json::{Value, json};
use support::latency::report;
use support::{Bench, runs, timed};

/// Calls a run.
const CALLS: usize = 200;
/// The shipped contract of people, of which a second version is released here.
const PEOPLE: &str = "dan-cu-value";
const UNITS: &str = "don-vi-hanh-chinh-value";

fn main() {
    let bench = Bench::start("registry");
    let Some(apicurio) = Apicurio::start() else { return };
    let node = Node::start();
    let (theirs, ours) = (Registry::new(apicurio.url(), ""), Registry::new(node.url(), &node.token()));
    theirs.send("PUT", "/config", &json!({ "compatibility": "BACKWARD_TRANSITIVE" }));
    let released = |subject: &str, version| json!({ "schema": ours.get(&versions(subject, version))["schema"] });
    let (first, second, units) = (released(PEOPLE, "/1"), released(PEOPLE, "/2"), released(UNITS, "/latest"));
    let narrower =
        second["schema"].as_str().expect("a text").replace(r#"["null","string"],"default":null}]}"#, r#""string"}]}"#);
    let narrower = json!({ "schema": narrower });

    // Every call of Apicurio's is about a subject of its own, which the first comparison makes.
    let subject = |n: usize| format!("people-{n}-value");
    compare(
        &bench,
        "register",
        |n| theirs.post(&versions(&subject(n), ""), &first),
        |_| ours.post(&versions(UNITS, ""), &units),
    );
    compare(
        &bench,
        "next version",
        |n| theirs.post(&versions(&subject(n), ""), &second),
        |_| ours.post(&versions(PEOPLE, ""), &second),
    );
    compare(
        &bench,
        "register what is there",
        |n| theirs.post(&versions(&subject(n), ""), &second),
        |_| ours.post(&versions(PEOPLE, ""), &second),
    );
    let check = |subject: &str| format!("/compatibility{}?verbose=true", versions(subject, "/latest"));
    for (what, schema, fits) in [("check, compatible", &second, true), ("check, incompatible", &narrower, false)] {
        let ask = |registry: &Registry, subject: &str| {
            let told = registry.post(&check(subject), schema);
            assert_eq!(told["is_compatible"], fits, "{told}");
            told
        };
        compare(&bench, what, |n| ask(&theirs, &subject(n)), |_| ask(&ours, PEOPLE));
    }
}

fn versions(subject: &str, version: &str) -> String {
    format!("/subjects/{subject}/versions{version}")
}

/// Runs of calls, A B A B; the first of each is not counted. A call gets its number.
fn compare(bench: &Bench, what: &str, theirs: impl Fn(usize) -> Value, ours: impl Fn(usize) -> Value) {
    let (mut base, mut own) = (Vec::new(), Vec::new());
    for run in 0..=runs() {
        let calls = run * CALLS..(run + 1) * CALLS;
        let took = |call: &dyn Fn(usize) -> Value, n| timed(|| drop(call(n))).as_secs_f64() * 1e3;
        base.push(calls.clone().map(|n| took(&theirs, n)).collect::<Vec<f64>>());
        own.push(calls.map(|n| took(&ours, n)).collect::<Vec<f64>>());
    }
    report(bench, what, ("Apicurio in memory", &mut base[1..]), ("Kênh", &mut own[1..]));
}

/// A registry behind Confluent's API.
struct Registry {
    agent: ureq::Agent,
    url: String,
    authorisation: String,
}

impl Registry {
    fn new(url: String, token: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        Self { agent, url, authorisation: format!("Bearer {token}") }
    }

    fn get(&self, path: &str) -> Value {
        let call = self.agent.get(format!("{}{path}", self.url)).header("Authorization", &self.authorisation);
        call.call().expect("it answers").body_mut().read_json().expect("JSON")
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.url);
        let call = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        let mut answer = call.header("Authorization", &self.authorisation).send_json(body).expect("it answers");
        let told: Value = answer.body_mut().read_json().expect("JSON");
        assert_eq!(answer.status(), 200, "{path}: {told}");
        told
    }
}

/// A node with the shipped state and a second version of the contract of people. It is gone with this.
struct Node {
    process: Child,
    dir: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["schemas", "broker-config"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(root.join(folder)).arg(dir.path());
            assert!(copy.status().expect("cp").success(), "{folder} is copied");
        }
        let kenh = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kenh"));
            without_our_environment(&mut command);
            command.args(args).current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
            command.env("KENH_DATA", dir.path().join("data")).env("KENH_LISTEN", "127.0.0.1:0");
            command
        };
        let apply = || assert!(kenh(&["apply", "schemas", "broker-config"]).status().expect("kenh").success());
        apply();
        let people = dir.path().join("schemas/dan-cu");
        let read = |name: &str| std::fs::read_to_string(people.join(name)).expect("a file");
        let mut schema: Value = serde_json::from_str(&read("v1.avsc")).expect("JSON");
        let field = json!({ "name": "ThuDienTu", "type": ["null", "string"], "default": null });
        schema["fields"].as_array_mut().expect("fields").push(field);
        std::fs::write(people.join("v2.avsc"), schema.to_string()).expect("it is written");
        let contract = read("contract.yaml").replace("\nversion: 1.0.0", "\nversion: 1.1.0");
        let field = "\n      - name: ThuDienTu\n        description: Thư điện tử / E-mail address\n        logicalType: string\n        \
                     customProperties:\n          - property: kenh.pii\n            value: basic\n";
        std::fs::write(people.join("contract.yaml"), contract.trim_end().to_owned() + field).expect("it is written");
        apply();
        let process = kenh(&["up"]).stderr(Stdio::null()).spawn().expect("kenh");
        let node = Self { process, dir };
        until("the node", Duration::from_secs(60), || node.dir.path().join("data/node.json").exists().then_some(()));
        node
    }

    fn running(&self, name: &str) -> String {
        let text = std::fs::read(self.dir.path().join("data/node.json")).expect("it runs");
        serde_json::from_slice::<Value>(&text).expect("JSON")[name].as_str().expect("a text").to_owned()
    }

    fn url(&self) -> String {
        format!("http://{}", self.running("address"))
    }

    fn token(&self) -> String {
        self.running("token")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
