//! Other people's registry clients and serdes against ours, over TLS with a certificate of G01's system, each in one
//! process: an approved schema is registered and
//! found, one that nobody approved is refused with the way to propose it, one that cannot follow is refused with field and
//! rule in words, and a view's record is read and written again.
//!
//! A program gets its task as JSON on standard input, and tells what it was answered as JSON:
//!
//! | asked | |
//! |---|---|
//! | `subject`, `released` | what a provider writes with: registered, then looked up by id, version and text |
//! | `wider`, `narrower` | a next version that could be released, and one that could not |
//! | `topic`, `record` | a record of a view, in base64: read, and written again |
//! | `another` | a subject of another agency |

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bus::{self, Node, example, repository, said, until};

const SUBJECT: &str = "in.dan-cu.G01-value";
const VIEW: &str = "view.G01.dan-cu.main.1";
const PERSON: &str = "001304980009";
/// What our registry says of `narrower`.
const REASON: &str = "version 1: default-missing: field DuLieu.Email is new and has no default";

/// PEM files, as `kenh enroll` makes them.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// A node with the shipped state and one person, who asks it, and what each program asks.
struct Asked {
    node: Node,
    authority: PathBuf,
    system: Certificate,
    id: Value,
    task: Value,
}

fn asked() -> &'static Asked {
    static ASKED: OnceLock<Asked> = OnceLock::new();
    ASKED.get_or_init(|| {
        bus::set_up();
        let mut node = Node::new("clients", None);
        said("kenh apply", node.kenh(&["apply", "schemas", "broker-config"]));
        let folder = node.beside("certificates");
        said("kenh enroll ca", node.kenh(&["enroll", "ca", "--out", folder.to_str().unwrap()]));
        let authority = folder.join("ca.pem");
        let serves = enrol(&node, &folder, "kenh-serve", &["--host", "127.0.0.1"]);
        let config = format!(
            "http:\n  agencies: 127.0.0.1:0\n  certificate: {}\n  key: {}\n  authorities: {}\n",
            serves.certificate.display(),
            serves.key.display(),
            authority.display()
        );
        let file = node.beside("yaml");
        std::fs::write(&file, config).unwrap();
        node.start(&["--config", file.to_str().unwrap(), "up"]);
        let system = enrol(&node, &folder, "g01-portal", &[]);
        said("kenh enroll admit", node.kenh(&["enroll", "admit", "g01-portal", "1"]));
        node.submit_communes();
        node.submit("1", &[example(PERSON)]);
        let ours: Value = serde_json::from_str(&node.get(&format!("/subjects/{SUBJECT}/versions/latest"))).unwrap();
        let released = ours["schema"].as_str().unwrap();
        let record = until("the person in G01's view", || records(&node).into_iter().next());
        let task = json!({
            "subject": SUBJECT,
            "released": released,
            "wider": with_email(released, &json!({ "name": "Email", "type": ["null", "string"], "default": null })),
            "narrower": with_email(released, &json!({ "name": "Email", "type": "string" })),
            "topic": VIEW,
            "record": record,
            "another": "view.H29.dan-cu.main.1-value",
        });
        Asked { node, authority, system, id: ours["id"].clone(), task }
    })
}

/// `kenh enroll request` and `sign`.
fn enrol(node: &Node, folder: &Path, system: &str, hosts: &[&str]) -> Certificate {
    let folder = folder.to_str().unwrap();
    let run = |args: &[&str]| {
        let output = node.kenh(&[&["--output", "json", "enroll"][..], args, &["--out", folder]].concat());
        serde_json::from_str::<Value>(&said("kenh enroll", output)).unwrap()
    };
    let made = run(&["request", system]);
    let (request, fingerprint) = (made["request"].as_str().unwrap(), made["fingerprint"].as_str().unwrap());
    let signed = run(&[&["sign", request, "--ca", folder, "--fingerprint", fingerprint][..], hosts].concat());
    let file = |of: &Value, name: &str| PathBuf::from(of[name].as_str().unwrap());
    Certificate { certificate: file(&signed, "certificate"), key: file(&made, "key") }
}

/// The values of the view's records, in base64.
fn records(node: &Node) -> Vec<String> {
    let from: Vec<Value> = (0..2).map(|partition| json!([{ "topic": VIEW, "partition": partition }, 0])).collect();
    let call = json!({
        "call": "read", "principal": "g01-portal", "from": from, "records": 100, "bytes": 1_000_000, "wait_ms": 1000,
    });
    let (_, found) = node.post("/v1/log", &call);
    let rows = found["records"].as_array().unwrap_or_else(|| panic!("{found}"));
    rows.iter().map(|r| r["value"].as_str().unwrap().to_owned()).collect()
}

/// An envelope whose record has one more field.
fn with_email(envelope: &str, field: &Value) -> String {
    let mut envelope: Value = serde_json::from_str(envelope).unwrap();
    let data = envelope["fields"].as_array_mut().unwrap().iter_mut().find(|f| f["name"] == "DuLieu").unwrap();
    data["type"][1]["fields"].as_array_mut().unwrap().push(field.clone());
    envelope.to_string()
}

/// Runs a client and holds all that it says to our own word.
fn works_with_our_registry(name: &str, mut client: Command) -> Value {
    let Asked { node, authority, system, id, task } = asked();
    client.arg(node.listens("http.agencies"));
    client.env("KENH_CA", authority).env("KENH_CERT", &system.certificate).env("KENH_KEY", &system.key);
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut client = client.unwrap_or_else(|e| panic!("{name}: {e}"));
    client.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
    let told: Value = serde_json::from_str(&said(name, client.wait_with_output().unwrap())).unwrap();
    for found in ["registered", "byVersion", "latest", "byContent"] {
        assert_eq!(&told[found], id, "{name}: {found}");
    }
    let json = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(json(&told["byId"]), json(&task["released"]), "{name}");

    let refused = |what: &str| (told[what]["status"].as_u64().unwrap(), told[what]["message"].as_str().unwrap());
    let (status, message) = refused("wider");
    assert!(status == 403 && message.contains("kenh schema propose"), "{name}: {status} {message}");
    let (status, message) = refused("narrower");
    assert!(status == 409 && message.contains(REASON), "{name}: {status} {message}");
    assert_eq!((&told["widerFits"], &told["narrowerFits"]), (&json!(true), &json!(false)), "{name}");
    assert_eq!(refused("another").0, 404, "{name}");

    assert_eq!(told["row"]["SoDinhDanh"], PERSON, "{name}");
    assert_eq!(told["again"], task["record"], "{name}: the record that was read, written again");
    told
}

/// A program that `setup` has installed, by its path there.
fn installed(path: &str) -> Command {
    asked();
    Command::new(repository().join("target/foreign").join(path))
}

fn script(path: &str) -> PathBuf {
    repository().join("tests/foreign").join(path)
}

#[test]
fn confluents_client_for_python() {
    let mut client = installed("python/bin/python");
    client.arg(script("python/registry.py"));
    let told = works_with_our_registry("python/registry.py", client);
    assert!(told["subjects"].as_array().unwrap().contains(&json!(SUBJECT)));
}

#[test]
fn confluents_client_for_javascript() {
    let mut client = Command::new("node");
    client.arg(script("node/registry.js"));
    client.env("NODE_PATH", repository().join("target/foreign/node/node_modules"));
    let told = works_with_our_registry("node/registry.js", client);
    assert!(told["subjects"].as_array().unwrap().contains(&json!(SUBJECT)));
}

#[test]
fn confluents_client_for_go() {
    let told = works_with_our_registry("go/registry", installed("go/registry"));
    assert!(told["subjects"].as_array().unwrap().contains(&json!(SUBJECT)));
}

#[test]
fn apicurios_serdes_for_java() {
    let java = repository().join("target/foreign/java");
    let mut client = Command::new("java");
    client.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"]);
    client.arg(format!("{0}/classes:{0}/lib/*", java.display())).arg("Registry");
    let told = works_with_our_registry("java/Registry.java", client);
    for how in ["againByText", "againByLatest"] {
        assert_eq!(told[how], asked().task["record"], "{how}");
    }
    assert_eq!(told["narrowerCauses"].as_array().unwrap().len(), 1);
    assert!(told["narrowerCauses"][0].as_str().unwrap().starts_with(REASON), "{told}");
}

/// What no client asks for by itself.
#[test]
fn a_check_says_field_and_rule_in_words() {
    let Asked { node, task, .. } = asked();
    for path in ["versions/latest", "versions"] {
        let check = |query: &str, schema: &Value| {
            node.post(&format!("/compatibility/subjects/{SUBJECT}/{path}{query}"), &json!({ "schema": schema }))
        };
        let (status, told) = check("?verbose=true", &task["narrower"]);
        assert_eq!((status, &told["is_compatible"]), (200, &json!(false)));
        assert!(told["messages"][0].as_str().is_some_and(|m| m.starts_with(REASON)), "{told}");
        assert_eq!(check("?verbose=true", &task["wider"]).1, json!({ "is_compatible": true, "messages": [] }));
        assert_eq!(check("", &task["narrower"]).1, json!({ "is_compatible": false }));
    }
    assert!(STANDARD.decode(task["record"].as_str().unwrap()).unwrap().starts_with(&[0]), "in Confluent's wire format");
}
