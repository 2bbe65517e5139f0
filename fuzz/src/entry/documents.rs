//! What people declare, what roles tell each other in JSON, what clients ask, and the short texts in all of it.

use std::cell::RefCell;
use std::str::FromStr;

use kenh_domain::admit::Rules;
use kenh_domain::confirm::Confirmation;
use kenh_domain::control::ControlSet;
use kenh_domain::date;
use kenh_domain::element::{Element, personal_id_states};
use kenh_domain::frame::Head;
use kenh_domain::log::Position;
use kenh_domain::notice::{ContractCard, Positions, ViewCard};
use kenh_domain::receipt::{DeadLetter, Receipt};
use kenh_domain::schema::Schema;
use kenh_domain::topic::Topic;
use kenh_governance::duration::Duration;
use kenh_governance::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ground::{CLOCK_MS, ground};

/// A small declaration, beside which one document more is read.
const AGENCIES: &str = "kind: Agency\nname: A\ncode: H01\ntitle: A\nsystems: [a-portal]\n";
const OTHER: &str = "kind: Agency\nname: B\ncode: H02\ntitle: B\nsystems: [b-portal]\n";
const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"Ma","type":"string"},{"name":"Ten","type":"string"},{"name":"Tinh","type":"string"},{"name":"Tuoi","type":"int"}]}"#;
const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nid: thu\nversion: 1.0.0\nstatus: active\nteam: {name: A}\nschema:\n  - name: R\n    properties:\n      - {name: Ma, logicalType: string, required: true, primaryKey: true}\n      - {name: Ten, logicalType: string, customProperties: [{property: kenh.pii, value: basic}]}\n      - {name: Tinh, logicalType: string}\n      - {name: Tuoi, logicalType: integer}\n";
const GRANT: &str = "kind: Grant\nid: g\nrecipient: B\nsystems: [b-portal]\ndataset: thu\npurpose: To try\nlegalBasis: [A law]\nfields: [Ma, Tinh]\nfilter: Tinh == '79'\nduration: P12M\n";

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new({
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("a.yaml", AGENCIES), ("b.yaml", OTHER), ("thu/v1.avsc", SCHEMA), ("khac/v1.avsc", SCHEMA)] {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder");
            std::fs::write(file, text).expect("the file can be written");
        }
        folder
    });
}

pub fn declared(bytes: &[u8]) {
    FOLDER.with_borrow(|folder| {
        // A contract stands in the place of the other one; what is not a contract stands beside it.
        let contract = bytes.windows(12).any(|w| w == b"DataContract");
        let standing: &[u8] = if contract { bytes } else { CONTRACT.as_bytes() };
        std::fs::write(folder.path().join("thu/contract.yaml"), standing).expect("the file can be written");
        let beside = folder.path().join("khac/x.yaml");
        if contract {
            let _ = std::fs::remove_file(beside);
        } else {
            std::fs::write(beside, bytes).expect("the file can be written");
        }
        let Ok(declared) = kenh_governance::read(&[folder.path().to_owned()]) else { return };
        let Ok(plan) = kenh_governance::plan(&declared, &ControlSet::default(), &[], CLOCK_MS) else { return };
        for contract in plan.after.contracts.values() {
            Rules::compile(contract).expect("what is applied can be enforced");
        }
        let again =
            kenh_governance::plan(&declared, &plan.after, &[], CLOCK_MS).expect("what was planned can be planned");
        assert!(again.events.is_empty(), "a second run finds something to do");
    });
}

pub fn control(bytes: &[u8]) {
    let mut sets = [ControlSet::default(), ground().set.clone()];
    for set in &mut sets {
        for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let before = set.clone();
            let position = Position(1_000 + n as u64);
            if set.apply(position, line).is_err() {
                let moved = ControlSet { position, digest: set.digest, ..before };
                assert!(*set == moved, "a refused record changed something");
            }
        }
        for dataset in set.contracts.keys() {
            let (_, _) = (set.next_due(dataset, CLOCK_MS), set.relaxed(dataset, CLOCK_MS));
        }
        let registry = Registry::new(set);
        let _ = registry.handle("GET", "/subjects", "deleted=true", b"");
        for contract in set.contracts.values().filter(|c| !ground().set.contracts.contains_key(&c.dataset)) {
            let _ = Rules::compile(contract);
            let none = Default::default();
            let master = kenh_domain::secret::Secret::new([7; 32]);
            let _ = kenh_domain::route::Plan::build(set, &contract.dataset, CLOCK_MS, &master, &none, &none, None);
        }
    }
}

/// What can be read can be written, and is the same when it is read again.
fn same<T: DeserializeOwned + Serialize + PartialEq>(json: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(json).ok()?;
    let text = serde_json::to_vec(&value).expect("what was read can be written");
    assert!(serde_json::from_slice::<T>(&text).is_ok_and(|again| again == value), "read, written and read is another");
    Some(value)
}

pub fn told(bytes: &[u8]) {
    let Some((&which, json)) = bytes.split_first() else { return };
    match which % 7 {
        0 => {
            let Some(card) = same::<ViewCard>(json) else { return };
            assert_eq!(Topic::from_str(&card.topic().to_string()), Ok(card.topic()));
            let _ = Schema::parse(&card.schema);
            assert!(
                card.digest_secret.is_empty()
                    || !format!("{card:?}").contains(&card.digest_secret)
                    || card.digest_secret.len() < 32
            );
        }
        1 => drop(same::<Positions>(json)),
        2 => drop(same::<Confirmation>(json).map(|c| c.key())),
        3 => drop(same::<Receipt>(json)),
        4 => drop(same::<DeadLetter>(json)),
        5 => drop(same::<Head>(json)),
        _ => {
            let card = same::<ContractCard>(json);
            assert!(ContractCard::read(json).ok().is_none_or(|read| Some(&read) == card.as_ref()));
            drop(card.map(|card| Rules::compile(&card.contract)));
        }
    }
}

pub fn registry(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |b| *b == b'\n');
    let head = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let (method, target) = head.split_once(' ').unwrap_or(("GET", &head));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let everything = Registry::new(&ground().set);
    let own = Registry::new(&ground().set).visible(&|subject| subject.starts_with("view.H29."));
    for registry in [everything, own] {
        let answer = registry.handle(method, path, query, body);
        assert!((200..600).contains(&answer.status));
        let refused = answer.body.get("error_code").is_some_and(serde_json::Value::is_u64);
        assert_eq!(answer.status != 200, refused && answer.body.get("message").is_some());
    }
}

pub fn texts(bytes: &[u8]) {
    let Some((&which, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match which % 4 {
        0 => {
            if let Ok(topic) = Topic::from_str(text) {
                assert_eq!(topic.to_string(), text, "a topic has one name");
            }
        }
        1 => {
            if let Some(days) = date::parse(text) {
                assert_eq!(date::text(days), text, "a date has one text");
            }
            let _ = (kenh_producers::time::instant_us(text), kenh_producers::time::local_us(text));
            let _ = (kenh_producers::time::instant_ms(text), kenh_producers::time::of_day_us(text));
        }
        2 => {
            if let Ok(duration) = Duration::from_str(text) {
                assert!(duration.end(CLOCK_MS).is_none_or(|end| end > CLOCK_MS), "a duration is not above nothing");
                let _ = (duration.end(i64::MAX), duration.end(i64::MIN), duration.within_a_year());
            }
        }
        _ => {
            for element in Element::ALL {
                let _ = element.check(text);
            }
            let _ = personal_id_states(text);
        }
    }
}

pub mod seeds {
    use super::super::ground::files;
    use super::*;

    pub fn declared() -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = ["schemas", "broker-config"]
            .iter()
            .flat_map(|dir| files(dir, ".yaml"))
            .map(|file| std::fs::read(file).expect("a declared document"))
            .collect();
        all.extend([CONTRACT, GRANT, AGENCIES, OTHER].map(|text| text.as_bytes().to_vec()));
        let more = "customProperties:\n  - {property: kenh.providers, value: [A, {agency: B, rows: \"Tinh == '01'\"}]}\n  - {property: kenh.partitions, value: 2}\n  - {property: kenh.maxVersionStep, value: 5}\n";
        all.push([CONTRACT, more].concat().into_bytes());
        let masked = GRANT.replace("[Ma, Tinh]", "[Ma, {path: Ten, as: TenTat, mask: {last: 2}}, {path: Tuoi, mask: null}]\nkey: pseudonym\nview: phu\nstate: active");
        all.push(masked.into_bytes());
        all
    }

    pub fn control() -> Vec<Vec<u8>> {
        let events = &ground().events;
        // What is too long makes no good seed.
        let small: Vec<_> = events.iter().filter(|e| e.len() < 8_192).cloned().collect();
        let mut all = vec![small.join(&b'\n')];
        all.extend(small);
        let more = [
            r#"{"kind":"end","viewNo":1,"reason":"revoked"}"#,
            r#"{"kind":"epoch","dataset":"dan-cu","provider":"G01","epoch":1,"by":["a","b"]}"#,
        ];
        all.extend(more.map(|e| format!(r#"{{"format":1,"at_ms":0,"event":{e},"signatures":[]}}"#).into_bytes()));
        all
    }

    pub fn told() -> Vec<Vec<u8>> {
        let card = r#"{"format":1,"agency":"H29","dataset":"dan-cu","view":"main","edition":2,"state":"active","grant":"h29-dan-cu","partitions":2,"key_fields":["Ma"],"pseudonym":false,"schema_id":9,"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"Ma\",\"type\":\"string\"}]}","comments":[["Ma","mã"]],"incarnation":"x","digest_secret":"0000000000000000000000000000000000000000000000000000000000000001"}"#;
        let positions = r#"{"format":1,"dataset":"dan-cu","view":"main","edition":2,"partition":1,"sequence":7,"end":9,"clock_ms":5,"filled":true}"#;
        let holds = r#"{"format":1,"agency":"H29","dataset":"dan-cu","view":"main","edition":2,"at_ms":5,"claim":{"kind":"holds","reached":[{"partition":0,"sequence":7}],"rows":2,"digest":"00","checkpoint":null}}"#;
        let purged = r#"{"format":1,"agency":"H29","dataset":"dan-cu","view":"main","edition":2,"at_ms":5,"claim":{"kind":"purged","rows":0}}"#;
        let receipt = r#"{"format":1,"submission":"s","dataset":"dan-cu","partition":0,"counts":{"admitted":1,"repeated":0,"stale":0,"rejected":2},"up_to":4,"end":true}"#;
        let letter = r#"{"format":1,"submission":"s","number":1,"partition":0,"position":3,"rule":"values","field":"NhomMau","message":"m","message_vi":"v"}"#;
        let head = r#"{"format":1,"dataset":"dan-cu","partition":0,"sequence":3,"control":4,"clock_ms":5}"#;
        let contract = include_str!("../../../domain/fixtures/contract-card-1.json");
        let all =
            [(0, card), (1, positions), (2, holds), (2, purged), (3, receipt), (4, letter), (5, head), (6, contract)];
        // A seed that is refused would lead nowhere.
        let read = all.map(|(which, json)| [&[which], json.as_bytes()].concat());
        assert!(serde_json::from_str::<ViewCard>(card).is_ok() && serde_json::from_str::<Receipt>(receipt).is_ok());
        assert!(serde_json::from_str::<Positions>(positions).is_ok() && serde_json::from_str::<Head>(head).is_ok());
        assert!(
            serde_json::from_str::<Confirmation>(holds).is_ok() && serde_json::from_str::<Confirmation>(purged).is_ok()
        );
        assert!(serde_json::from_str::<DeadLetter>(letter).is_ok() && ContractCard::read(contract.as_bytes()).is_ok());
        read.to_vec()
    }

    pub fn registry() -> Vec<Vec<u8>> {
        let registry = Registry::new(&ground().set);
        let subjects = registry.handle("GET", "/subjects", "", b"").body;
        let mut all = Vec::new();
        for subject in subjects.as_array().expect("a list").iter().filter_map(serde_json::Value::as_str) {
            let schema = registry.handle("GET", &format!("/subjects/{subject}/versions/latest"), "", b"").body;
            let body = serde_json::json!({ "schema": schema["schema"], "schemaType": "AVRO" });
            all.push(format!("POST /subjects/{subject}/versions\n{body}"));
            all.push(format!("POST /compatibility/subjects/{subject}/versions/latest?verbose=true\n{body}"));
            all.push(format!("POST /subjects/{subject}\n{body}"));
        }
        let calls =
            ["", "subjects?subjectPrefix=%76iew", "schemas/ids/1", "schemas/ids/1/versions", "schemas?deleted=true"];
        all.extend(calls.map(|call| format!("GET /{call}\n")));
        all.push("GET /subjects/dan-cu-value/versions/-1/schema\n".into());
        all.push("DELETE /subjects/dan-cu-value\n".into());
        all.into_iter().map(String::into_bytes).collect()
    }

    pub fn texts() -> Vec<Vec<u8>> {
        [
            (0, "view.H29.dan-cu.main.1"),
            (0, "in.dan-cu.G01"),
            (0, "dead-letter.dan-cu.G01"),
            (0, "kenh.control"),
            (1, "2025-07-01"),
            (1, "2025-07-01T08:00:00.123456+07:00"),
            (1, "23:59:59.999999"),
            (2, "P1Y6M2D"),
            (3, "079085001234"),
            (3, "0100109106-001"),
            (3, "Nguyễn Văn An"),
        ]
        .map(|(which, text)| [&[which], text.as_bytes()].concat())
        .to_vec()
    }
}
