//! Kênh beside a registry that is not its own: `kenh apply` registers there what was released, under the ids that records
//! carry, and `kenh doctor` says whether both mean the same by each id.
//!
//! Tried with the built-in registry of another node over HTTP, with one that answers wrongly, with a stand-in that takes
//! ids as Confluent's documentation of its import mode says ([`Importing`]), and with Apicurio Registry where Java 21 or
//! newer is there: it gives ids of its own, and Kênh must notice when they are not the bus's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};

use kenh_testkit::apicurio::Apicurio;
use serde_json::{Value, json};

use crate::bus::{Node, repository, said};

const IDS: &str = "schema ids mean the same there";
const LATEST: &str = "subjects end in the same schema there";
const ANSWERS: &str = "the other registry answers";

/// A node with the shipped state applied, on a directory.
fn node(name: &str) -> Node {
    let node = Node::new(name, None);
    said("kenh apply", node.kenh(&["apply", "schemas", "broker-config"]));
    node
}

/// `kenh apply` of the shipped state, with a registry at `url` beside ours.
fn apply(node: &Node, url: &str, token: &str) -> Output {
    apply_with(node, url, token, &[])
}

/// The same, with more declared.
fn apply_with(node: &Node, url: &str, token: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("kenh.yaml");
    std::fs::write(&config, format!("registry: {url}\nregistry_token: env:OTHER_TOKEN\n")).unwrap();
    let config = ["--config", config.to_str().unwrap(), "--output", "json"];
    let output = node
        .kenh_with(&[&config[..], &["apply", "schemas", "broker-config"], more].concat(), &[("OTHER_TOKEN", token)]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(token), "the token is shown");
    output
}

/// How many versions of subjects an apply registered there.
#[track_caller]
fn registered(output: Output) -> u64 {
    let told: Value = serde_json::from_str(&said("kenh apply", output)).unwrap();
    told["registeredElsewhere"].as_u64().unwrap()
}

/// Why it registered nothing, or not all.
#[track_caller]
fn refused(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["registeredElsewhere"], Value::Null);
    stderr
}

/// What doctor says of the registry at `url`, by check: verdict and finding.
fn doctor(node: &Node, url: &str, token: &str) -> impl Fn(&str) -> (String, String) + use<> {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("kenh.yaml");
    std::fs::write(&config, format!("registry: {url}\nregistry_token: env:OTHER_TOKEN\n")).unwrap();
    let config = config.to_str().unwrap();
    let output = node.kenh_with(&["--config", config, "--output", "json", "doctor"], &[("OTHER_TOKEN", token)]);
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!format!("{lines:?}").contains(token), "the token is shown");
    let red = lines.iter().any(|l| l["verdict"] == "red");
    assert_eq!(output.status.code(), Some(i32::from(red)));
    move |check| {
        let line = lines.iter().find(|l| l["check"] == check);
        let text = |name: &str| line.map(|l| l[name].as_str().unwrap().to_owned()).unwrap_or_default();
        (text("verdict"), text("found"))
    }
}

#[test]
fn a_registry_that_means_the_same_is_green() {
    let mut other = node("same");
    other.start(&["up"]);
    let found = doctor(&node("asks-same"), &other.url(), &other.token());
    for check in [ANSWERS, IDS, LATEST] {
        assert_eq!(found(check).0, "green", "{check}: {}", found(check).1);
    }
    let wrong = doctor(&node("asks-with-another-token"), &other.url(), "mot-khoa-khac");
    assert_eq!(wrong(ANSWERS).0, "red");
    assert!(wrong(ANSWERS).1.contains("is the token right?"), "{}", wrong(ANSWERS).1);
}

#[test]
fn a_registry_without_our_schemas_is_red() {
    // A bus that has not begun has no subject at all.
    let mut empty = Node::new("empty", None);
    empty.start(&["up"]);
    let found = doctor(&node("asks-empty"), &empty.url(), &empty.token());
    assert_eq!((found(ANSWERS).0.as_str(), found(IDS).0.as_str()), ("green", "red"));
    assert!(found(IDS).1.contains("not there"), "{}", found(IDS).1);
}

#[test]
fn an_id_that_means_another_schema_is_red() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Every id and every subject is one schema here. It serves for as long as the test process lives.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            let schema = r#"{\"type\":\"record\",\"name\":\"X\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}"#;
            let body = format!(r#"{{"subject":"x","version":1,"id":99,"schema":"{schema}"}}"#);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    let found = doctor(&node("asks-another"), &url, "x-bi-mat");
    assert_eq!((found(IDS).0.as_str(), found(LATEST).0.as_str()), ("red", "yellow"));
    assert!(found(IDS).1.contains("schema 1 is another one there"), "{}", found(IDS).1);
    assert!(found(LATEST).1.contains("ends in schema 99 there"), "{}", found(LATEST).1);
}

#[test]
fn a_registry_that_does_not_answer_is_red_and_stops_nothing_else() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let found = doctor(&node("asks-nobody"), &format!("http://127.0.0.1:{port}"), "x-bi-mat");
    assert_eq!((found(ANSWERS).0.as_str(), found(IDS).0.as_str()), ("red", ""));
    assert_eq!(found("contracts compile").0, "green");
}

/// A registry with the part of Confluent's REST API that takes schemas under given ids in import mode, written from its
/// documentation. It serves for as long as the test process lives.
struct Importing {
    url: String,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    import: bool,
    schemas: BTreeMap<u64, String>,
    /// For each subject its ids, by version.
    subjects: BTreeMap<String, BTreeMap<u64, u64>>,
    posts: usize,
}

impl Held {
    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let missing = |code: u64| (404, json!({"error_code": code, "message": "not found"}));
        match (method, &parts[..]) {
            ("GET", ["schemas", "ids", id]) => match self.schemas.get(&id.parse().unwrap()) {
                Some(schema) => (200, json!({ "schema": schema })),
                None => missing(40_403),
            },
            ("GET", ["subjects", name, "versions", "latest"]) => match self.subjects.get(*name) {
                Some(versions) => {
                    let (version, id) = versions.last_key_value().unwrap();
                    (200, json!({"subject": name, "version": version, "id": id, "schema": self.schemas[id]}))
                }
                None => missing(40_401),
            },
            ("POST", ["subjects", name, "versions"]) => {
                let asked: Value = serde_json::from_str(body).unwrap();
                let (id, version) = (asked["id"].as_u64().unwrap(), asked["version"].as_u64().unwrap());
                if !self.import {
                    let message = format!("Subject {name} is not in import mode");
                    return (422, json!({"error_code": 42_205, "message": message}));
                }
                let schema = asked["schema"].as_str().unwrap().to_owned();
                assert_eq!(self.schemas.entry(id).or_insert_with(|| schema.clone()), &schema, "an id has one schema");
                self.subjects.entry((*name).to_owned()).or_default().insert(version, id);
                self.posts += 1;
                (200, json!({ "id": id }))
            }
            _ => missing(404),
        }
    }
}

impl Importing {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held::default()));
        let serving = held.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| Self::serve(stream.unwrap(), &serving)));
        Self { url, held }
    }

    fn serve(mut stream: TcpStream, held: &Mutex<Held>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let mut words = head[0].split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (status, body) = held.lock().unwrap().answer(method, path, std::str::from_utf8(&body).unwrap());
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
    }
}

#[test]
fn what_is_released_is_registered_there_under_our_ids_once_its_keeper_lets_us() {
    let other = Importing::start();
    let ours = Node::new("registers", None);

    let said = refused(&apply(&ours, &other.url, "x-bi-mat"));
    assert!(said.contains("takes no ids in subject") && said.contains("IMPORT"), "{said}");
    assert_eq!(other.held.lock().unwrap().posts, 0);
    // The bus has it all the same: the plan is empty now, and the registry alone is behind.
    other.held.lock().unwrap().import = true;
    let versions = registered(apply(&ours, &other.url, "x-bi-mat"));
    assert_eq!(other.held.lock().unwrap().posts as u64, versions);
    assert!(other.held.lock().unwrap().subjects.contains_key("view.H29.dan-cu.main.1-value"));

    let found = doctor(&ours, &other.url, "x-bi-mat");
    for check in [ANSWERS, IDS, LATEST] {
        assert_eq!(found(check).0, "green", "{check}: {}", found(check).1);
    }
    assert_eq!(registered(apply(&ours, &other.url, "x-bi-mat")), 0, "said again, it registers nothing");

    // Somebody else's schema under an id of ours: nothing is touched.
    let another = r#"{"type":"record","name":"X","fields":[{"name":"a","type":"int"}]}"#;
    other.held.lock().unwrap().subjects.clear();
    other.held.lock().unwrap().schemas.insert(2, another.into());
    let said = refused(&apply(&ours, &other.url, "x-bi-mat"));
    assert!(said.contains("another schema 2"), "{said}");
    assert_eq!(other.held.lock().unwrap().posts as u64, versions);
}

#[test]
fn another_bus_registry_takes_only_what_was_released_there() {
    let mut same = node("takes-same");
    same.start(&["up"]);
    assert_eq!(registered(apply(&Node::new("registers-same", None), &same.url(), &same.token())), 0);

    let mut empty = Node::new("takes-nothing", None);
    empty.start(&["up"]);
    let said = refused(&apply(&Node::new("registers-at-empty", None), &empty.url(), &empty.token()));
    assert!(said.contains("refuses access to schema"), "{said}");
}

#[test]
fn a_registry_that_is_gone_holds_the_bus_up_in_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ours = Node::new("registers-nowhere", None);
    let said = refused(&apply(&ours, &format!("http://127.0.0.1:{port}"), "x-bi-mat"));
    assert!(said.contains("run kenh apply again") && said.contains("cannot be reached"), "{said}");
    assert_eq!(doctor(&ours, &format!("http://127.0.0.1:{port}"), "x-bi-mat")("contracts compile").0, "green");
}

/// It minds no id that it is given, and counts for itself. Empty, it counts as the bus does when it is told the schemas in
/// their order; later, something of somebody else's comes between.
#[test]
fn apicurio_counts_for_itself_and_is_used_as_long_as_that_agrees() {
    let Some(apicurio) = Apicurio::start() else { return };
    let ours = Node::new("registers-at-apicurio", None);
    assert_eq!(registered(apply(&ours, &apicurio.url(), "x-bi-mat")), 12);
    let found = doctor(&ours, &apicurio.url(), "x-bi-mat");
    for check in [ANSWERS, IDS, LATEST] {
        assert_eq!(found(check).0, "green", "{check}: {}", found(check).1);
    }
    assert_eq!(registered(apply(&ours, &apicurio.url(), "x-bi-mat")), 0);

    // The same schema under another subject has the same id there, and uses one up.
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let get =
        |path: &str| agent.get(format!("{}{path}", apicurio.url())).call().unwrap().body_mut().read_json::<Value>();
    let again = json!({"schema": get("/schemas/ids/2").unwrap()["schema"], "schemaType": "AVRO"});
    let mut answer = agent.post(format!("{}/subjects/x-value/versions", apicurio.url())).send_json(&again).unwrap();
    assert_eq!(answer.body_mut().read_json::<Value>().unwrap()["id"], 2);
    // And then the bus releases one more.
    let dir = tempfile::tempdir().unwrap();
    let grant = std::fs::read_to_string(repository().join("broker-config/grants/h29-dan-cu.yaml")).unwrap();
    let grant = grant.replace("id: h29-dan-cu", "id: h29-dan-cu-hai\nview: hai").replace("  - SoDienThoai\n", "");
    let file = dir.path().join("hai.yaml");
    std::fs::write(&file, grant).unwrap();
    let said = refused(&apply_with(&ours, &apicurio.url(), "x-bi-mat", &[file.to_str().unwrap()]));
    assert!(said.contains("it gives ids itself") && said.contains("view.H29.dan-cu.hai.1-value"), "{said}");
    let found = doctor(&ours, &apicurio.url(), "x-bi-mat");
    assert_eq!((found(ANSWERS).0.as_str(), found(IDS).0.as_str()), ("green", "red"));
    assert!(found(IDS).1.contains("schema 13: not there"), "{}", found(IDS).1);
}

/// Somebody else's schemas came first: ids of ours are in use, and nothing is registered.
#[test]
fn apicurio_with_somebody_elses_schemas_is_left_alone() {
    let Some(apicurio) = Apicurio::start() else { return };
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let another = json!({"schema": r#"{"type":"record","name":"X","fields":[]}"#, "schemaType": "AVRO"});
    agent.post(format!("{}/subjects/x-value/versions", apicurio.url())).send_json(&another).unwrap();
    let said = refused(&apply(&Node::new("meets-somebody-else", None), &apicurio.url(), "x-bi-mat"));
    assert!(said.contains("another schema 1"), "{said}");
    let mut answer = agent.get(format!("{}/subjects", apicurio.url())).call().unwrap();
    assert_eq!(answer.body_mut().read_json::<Vec<String>>().unwrap(), ["x-value"]);
}
