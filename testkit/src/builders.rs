//! Small documents that many tests want: valid, as short as they can be, and the same on every call.

use std::collections::BTreeMap;

use bytes::Bytes;
use kenh_domain::contract::{Contract, Effective, Provider, SchemaVersion, VersionSource};
use kenh_domain::control::{AgencyDocument, ControlEvent, ControlRecord, FORMAT};
use kenh_domain::grant::{Grant, GrantedField, KeyForm};
use kenh_domain::log::{NewRecord, Retention, TopicPartition, TopicSpec};
use kenh_domain::names::{Principal, View};
use kenh_domain::topic::Topic;
use kenh_domain::wire::SchemaId;

/// The record schema of [`contract`]: `Ma` and `Ten`, both text.
pub const SCHEMA: &str =
    r#"{"type":"record","name":"DonVi","fields":[{"name":"Ma","type":"string"},{"name":"Ten","type":"string"}]}"#;

fn name<T: std::str::FromStr<Err = kenh_domain::names::NameError>>(text: &str) -> T {
    text.parse().unwrap()
}

/// The topic of that name.
///
/// # Panics
/// When there can be none.
#[must_use]
pub fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

/// The principal `text`.
///
/// # Panics
/// When the text is no name.
#[must_use]
pub fn principal(text: &str) -> Principal {
    name(text)
}

/// A topic of `partitions` partitions that keeps everything.
#[must_use]
pub fn spec(topic: &Topic, partitions: u32) -> TopicSpec {
    TopicSpec { topic: topic.clone(), partitions, retention: Retention::Forever }
}

/// A record of partition `partition` of `topic`, at time 0.
#[must_use]
pub fn record(topic: &Topic, partition: u32, key: &str, value: &str) -> NewRecord {
    NewRecord {
        to: TopicPartition::new(topic.clone(), partition),
        timestamp_ms: 0,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    }
}

/// The agency `agency` with one system, `<agency>-he-thong`.
///
/// # Panics
/// When the text is no name.
#[must_use]
pub fn agency(agency: &str) -> AgencyDocument {
    AgencyDocument {
        name: name(agency),
        code: agency.to_string(),
        title: format!("Cơ quan {agency}"),
        systems: vec![system(agency)],
    }
}

/// The system of [`agency`].
///
/// # Panics
/// When the text is no name.
#[must_use]
pub fn system(agency: &str) -> Principal {
    name(&format!("{agency}-he-thong"))
}

/// A contract of two fields, `Ma` (the record key) and `Ten`, written by `provider`; one partition, schema 1, envelope 2.
///
/// # Panics
/// When a text is no name.
#[must_use]
pub fn contract(dataset: &str, provider: &str) -> Contract {
    Contract {
        dataset: name(dataset),
        version: "1.0.0".into(),
        owner: name(provider),
        description: String::new(),
        partitions: 1,
        key: vec!["Ma".into()],
        providers: vec![Provider { agency: name(provider), rows: None }],
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: Effective::AtOnce,
        open: false,
        synthetic: true,
        schemas: vec![SchemaVersion { version: 1, id: SchemaId(1), schema: SCHEMA.into(), envelope_id: SchemaId(2) }],
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: kenh_domain::contract::Terms::default(),
    }
}

/// A grant of both fields of [`contract`] to `recipient`, all rows, for a year.
///
/// # Panics
/// When a text is no name.
#[must_use]
pub fn grant(id: &str, recipient: &str, dataset: &str) -> Grant {
    let field = |path: &str| GrantedField { path: path.into(), name: None, mask: None };
    Grant {
        id: name(id),
        recipient: name(recipient),
        systems: vec![system(recipient)],
        dataset: name(dataset),
        view: View::main(),
        purpose: "thử nghiệm".into(),
        legal_basis: vec!["Điều 1".into()],
        fields: vec![field("Ma"), field("Ten")],
        filter: None,
        key: KeyForm::Clear,
        duration: "P12M".into(),
        template: None,
        emergency: false,
    }
}

/// `event` as the bytes of a record of `kenh.control`, unsigned.
///
/// # Panics
/// When the event cannot be written as JSON, which no event can bring about.
#[must_use]
pub fn control_record(at_ms: i64, event: ControlEvent) -> Bytes {
    let record = ControlRecord { format: FORMAT, at_ms, event, signatures: Vec::new() };
    serde_json::to_vec(&record).unwrap().into()
}

/// Records of the shipped units as lines of JSON: the communes in which the samples of people live, before July 2025 and
/// since, and one in Hà Nội. A bus that has them admits the samples.
///
/// # Panics
/// When the shipped example is no JSON.
#[must_use]
pub fn communes() -> String {
    let text = include_str!("../../schemas/don-vi-hanh-chinh/examples/valid/commune.json");
    let now: serde_json::Value = serde_json::from_str(text).expect("an example is JSON");
    let with = |fields: &[(&str, serde_json::Value)]| {
        let mut unit = now.clone();
        for (field, value) in fields {
            unit[*field] = value.clone();
        }
        unit
    };
    let none = serde_json::json!([]);
    let before = [("HieuLucTu", "2025-03-01".into()), ("HieuLucDen", "2025-06-30".into()), ("KeThua", none.clone())];
    let elsewhere = [("Ma", "00004".into()), ("CapTren", "01".into()), ("MaTinh", "01".into()), ("KeThua", none)];
    format!("{}\n{now}\n{}\n", with(&before), with(&elsewhere))
}
