//! Kênh beside a registry that is not its own: `kenh doctor` says whether both mean the same by each id.
//!
//! Tried with the built-in registry of another node, over HTTP, and with one that answers wrongly. Apicurio Registry,
//! which would be somebody else's, needs Java 21.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::bus::{Node, said};

const IDS: &str = "schema ids mean the same there";
const LATEST: &str = "subjects end in the same schema there";
const ANSWERS: &str = "the other registry answers";

/// A node with the shipped state applied, on a directory.
fn node(name: &str) -> Node {
    let node = Node::new(name, None);
    said("kenh apply", node.kenh(&["apply", "schemas", "broker-config"]));
    node
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

    let java = Command::new("java").arg("-version").output().map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
    let java = java.unwrap_or_default();
    let java = java.lines().next().unwrap_or("none");
    eprintln!(
        "not tried: Apicurio Registry, which needs Java 21 (here: {java}); another node's registry stood in for it"
    );
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
