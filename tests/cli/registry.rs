//! The registry of a running node, as clients that others wrote see it: `schema_registry_converter`, by way of our own
//! client and with its decoder, and Confluent's client for Python.

use std::path::PathBuf;
use std::process::Command;

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kenh_broker::registry::{RegistryClient, RegistryError};
use kenh_domain::wire::SchemaId;
use schema_registry_converter::blocking::avro::AvroDecoder;
use schema_registry_converter::blocking::schema_registry::{
    SrSettings, get_all_subjects, get_all_versions, get_schema_by_id, is_compatible_schema, post_schema,
};
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use serde_json::{Value, json};

use crate::bad_input::person;
use crate::harness::{Place, Up, repository};

const CONTRACT: &str = "dan-cu-value";
const VIEW: &str = "view.H29.dan-cu.main.1";

fn settings(up: &Up) -> SrSettings {
    let mut builder = SrSettings::new_builder(up.url(""));
    builder.no_proxy().set_basic_authorization("anybody", Some(&up.token)).build().unwrap()
}

fn place() -> Place {
    let place = Place::for_people();
    place.write("people.jsonl", person(1).to_string());
    place
}

fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.into())
}

#[test]
fn our_own_client_finds_schemas_by_id_and_subject() {
    let place = place();
    let up = Up::start(&place, &[]);
    let client = RegistryClient::new(&up.url(""), Some(&up.token), None).unwrap();
    let latest = client.latest(CONTRACT).unwrap();
    let by_id = client.schema(latest.id).unwrap();
    assert_eq!(by_id, latest.schema);
    let shipped = std::fs::read_to_string(repository().join("schemas/dan-cu/v1.avsc")).unwrap();
    let canonical = |text: &str| Schema::parse_str(text).unwrap().canonical_form();
    assert_eq!(canonical(&latest.schema), canonical(&shipped));
    assert!(matches!(client.schema(SchemaId(9_999_999)), Err(RegistryError::Missing { code: 40_403, .. })));
    assert!(matches!(client.latest("ho-tich-value"), Err(RegistryError::Missing { code: 40_401, .. })));
    let stranger = RegistryClient::new(&up.url(""), Some("wrong"), None).unwrap();
    assert!(matches!(stranger.latest(CONTRACT), Err(RegistryError::Denied { .. })));
    up.stop();
}

#[test]
fn schema_registry_converter_lists_looks_up_and_compares() {
    let place = place();
    let up = Up::start(&place, &[]);
    let settings = settings(&up);
    let subjects = get_all_subjects(&settings).unwrap();
    for subject in [CONTRACT, "in.dan-cu.G01-value", "view.H29.dan-cu.main.1-value"] {
        assert!(subjects.iter().any(|s| s == subject), "no {subject} among {subjects:?}");
    }
    assert_eq!(get_all_versions(&settings, CONTRACT.into()).unwrap(), [1]);

    // A schema that is released answers its id; another is refused and the way to propose it named.
    let shipped = std::fs::read_to_string(repository().join("schemas/dan-cu/v1.avsc")).unwrap();
    let known = post_schema(&settings, CONTRACT.into(), supplied(&shipped)).unwrap();
    let by_id = get_schema_by_id(known.id, &settings).unwrap();
    assert_eq!(Schema::parse_str(&by_id.schema).unwrap(), Schema::parse_str(&shipped).unwrap());
    let last = r#"{"name": "SoCMND", "type": ["null", "string"], "default": null}"#;
    assert!(shipped.contains(last));
    let with = |more: &str| shipped.replace(last, &format!("{last}, {more}"));
    let wider = with(r#"{"name": "Email", "type": ["null", "string"], "default": null}"#);
    let refused = post_schema(&settings, CONTRACT.into(), supplied(&wider)).unwrap_err();
    assert!(!refused.retriable, "{refused}");

    let fits = |schema: &str| is_compatible_schema(&settings, CONTRACT.into(), supplied(schema)).unwrap();
    assert!(fits(&wider));
    assert!(!fits(&with(r#"{"name": "Email", "type": "string"}"#)));
    up.stop();
}

#[test]
fn confluents_content_type_and_error_codes() {
    let place = place();
    let up = Up::start(&place, &[]);
    for (path, status, code) in [
        ("/subjects/ho-tich-value/versions", 404, 40_401),
        ("/subjects/dan-cu-value/versions/7", 404, 40_402),
        ("/subjects/dan-cu-value/versions/zero", 422, 42_202),
        ("/schemas/ids/9999999", 404, 40_403),
    ] {
        let answer = up.get(path);
        assert_eq!((answer.status, &answer.json()["error_code"]), (status, &json!(code)), "{path}");
        assert_eq!(answer.content_type, "application/vnd.schemaregistry.v1+json");
    }
    let post = |path: &str, schema: &str| {
        let answer = up.post(path, &json!({ "schema": schema }));
        (answer.status, answer.json()["error_code"].clone())
    };
    let other = r#"{"type":"record","name":"DanCu","fields":[{"name":"SoDinhDanh","type":"string"}]}"#;
    assert_eq!(post("/subjects/dan-cu-value", other), (404, json!(40_403)));
    assert_eq!(post("/subjects/dan-cu-value", "{"), (422, json!(42_201)));
    assert_eq!(post("/subjects/ho-tich-value/versions", other), (403, json!(40_301)));
    assert_eq!(up.get("/config").json(), json!({ "compatibilityLevel": "BACKWARD_TRANSITIVE" }));
    let subjects = up.get("/subjects");
    assert_eq!((subjects.status, subjects.content_type.as_str()), (200, "application/vnd.schemaregistry.v1+json"));
    up.stop();
}

#[test]
fn a_schema_that_is_nested_too_deep_is_refused_everywhere() {
    let deep = (0..1_000).fold(r#""int""#.to_owned(), |inner, n| {
        format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"f","type":{inner}}}]}}"#)
    });
    let place = Place::with_shipped_applied();
    place.write("schemas/dan-cu/v2.avsc", &deep);
    place.edit("schemas/dan-cu/contract.yaml", "\nversion: 1.0.0", "\nversion: 1.1.0");
    let before = place.kenh(["schema", "list"]).ok().stdout;
    for args in [&["schema", "propose", "dan-cu", "--author", "an"][..], &["apply", "schemas", "broker-config"]] {
        let said = place.kenh(args).exits(3).complains("schemas/dan-cu/v2.avsc").complains("nest");
        assert!(said.stderr.len() < 2_000, "{}", said.stderr);
    }
    assert_eq!(place.kenh(["review", "list", "--output", "json"]).ok().json(), json!([]));
    assert_eq!(place.kenh(["schema", "list"]).ok().stdout, before);

    let up = Up::start(&place, &[]);
    let subjects = up.get("/subjects").text();
    for path in [
        "/subjects/dan-cu-value",
        "/subjects/dan-cu-value/versions",
        "/compatibility/subjects/dan-cu-value/versions/latest",
    ] {
        // As a text in the question, as the protocol has it; and as the question itself.
        let asked = up.post(path, &json!({ "schema": deep }));
        assert!([403, 422].contains(&asked.status), "{path}: {} {}", asked.status, asked.text());
        assert!(asked.json()["error_code"].is_number() && asked.body.len() < 1_000, "{}", asked.text());
        let raw = up.post_text(path, &format!(r#"{{"schema":{deep}}}"#));
        assert!([403, 422].contains(&raw.status), "{path}: {} {}", raw.status, raw.text());
    }
    assert_eq!(up.get("/subjects").text(), subjects);
    up.stop();
}

/// The values of a topic's records, as they lie in the log, read as a system of the recipient.
fn records(up: &Up, topic: &str, system: &str, partitions: u32) -> Vec<Vec<u8>> {
    let from: Vec<Value> =
        (0..partitions).map(|partition| json!([{ "topic": topic, "partition": partition }, 0])).collect();
    let call = json!({
        "call": "read", "principal": system, "from": from, "records": 100, "bytes": 1_000_000, "wait_ms": 1000,
    });
    let answer = up.post("/v1/log", &call);
    let found = answer.json();
    let rows = found["records"].as_array().unwrap_or_else(|| panic!("{found}"));
    rows.iter().map(|r| STANDARD.decode(r["value"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn a_view_record_is_decoded_by_a_client_that_knows_nothing_of_us() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    place.kenh(["produce", "dan-cu", "--from", "people.jsonl"]).ok();
    up.await_rows("H29", "dan-cu", 1);
    let values = records(&up, VIEW, "h29-portal", 2);
    assert_eq!((values.len(), values[0][0]), (1, 0));
    let decoded = AvroDecoder::new(settings(&up)).decode(Some(&values[0])).unwrap();
    let Avro::Record(fields) = decoded.value else { panic!("{:?}", decoded.value) };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"SoDinhDanh") && !names.contains(&"NhomMau"), "{names:?}");
    assert_eq!(fields.iter().find(|(n, _)| n == "SoDinhDanh").unwrap().1, Avro::String("079085000001".into()));
    up.stop();
}

/// A Python that has Confluent's client; made once under the target directory.
fn python() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("confluent-kafka-2.16.1");
    let python = dir.join("bin/python");
    if !dir.join("complete").exists() {
        let _ = std::fs::remove_dir_all(&dir);
        let run = |command: &mut Command| {
            let out = command.output().expect("python3 is there: this test needs it, with venv and a package index");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
        run(Command::new(&python)
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
            .args(["confluent-kafka[avro,schemaregistry]==2.16.1"]));
        std::fs::write(dir.join("complete"), "").unwrap();
    }
    python
}

#[test]
fn confluents_python_client_reads_a_view() {
    let place = place();
    let up = Up::start(&place, &["H29"]);
    place.kenh(["produce", "dan-cu", "--from", "people.jsonl"]).ok();
    up.await_rows("H29", "dan-cu", 1);
    let record = STANDARD.encode(&records(&up, VIEW, "h29-portal", 2)[0]);
    let out = Command::new(python())
        .arg(repository().join("tests/cli/registry_client.py"))
        .env("KENH_URL", up.url(""))
        .env("KENH_TOKEN", &up.token)
        .env("KENH_TOPIC", VIEW)
        .env("KENH_RECORD", record)
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(said["record"]["SoDinhDanh"], "079085000001");
    assert_eq!((&said["missing"], &said["refused"], &said["compatible"]), (&json!(40_401), &json!(403), &json!(true)));
    up.stop();
}
