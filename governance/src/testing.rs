//! For tests: a small declaration on disk, to be edited. Agency A provides dataset `thu` of one partition, agency B
//! receives two fields of some of its rows. And a bus on which people sign.

use std::path::{Path, PathBuf};

use kenh_domain::control::{ControlError, ControlEvent, ControlSet, Trust};
use kenh_domain::date::DAY_MS;
use kenh_domain::log::Position;
use kenh_domain::trust::{Document, Member, Nonce, PersonKey, Proposal, Role, Roster, Tenure, Verdict, Vote};

use crate::declared::{Declared, read};
use crate::plan::plan;
use crate::trust::{PrivateKey, Request};

pub const AVSC: &str = r#"{"type":"record","name":"R","fields":[
  {"name":"Ma","type":"string"},{"name":"Ten","type":"string"},{"name":"Tinh","type":"string"},{"name":"Tuoi","type":"int"}]}"#;
pub const CONTRACT: &str = "apiVersion: v3.1.0
kind: DataContract
id: thu
version: 1.0.0
status: active
team: {name: A}
schema:
  - name: R
    properties:
      - {name: Ma, logicalType: string, required: true, primaryKey: true}
      - {name: Ten, logicalType: string, customProperties: [{property: kenh.pii, value: basic}]}
      - {name: Tinh, logicalType: string}
      - {name: Tuoi, logicalType: integer}
";
pub const GRANT: &str = "kind: Grant
id: g
recipient: B
systems: [b-portal]
dataset: thu
purpose: To try
legalBasis: [A law]
fields: [Ma, Tinh]
filter: Tinh == '79'
duration: P12M
";

pub const TEMPLATE: &str = "kind: GrantTemplate
name: t
title: T
purposes: [To try]
maxDuration: P6M
datasets: [{dataset: thu, fields: [Ma, Tinh]}]
";

/// A declaration in a folder of its own.
pub struct Declaration(tempfile::TempDir);

impl Declaration {
    pub fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let agency = |n: &str, low: &str| {
            format!("kind: Agency\nname: {n}\ncode: H01\ntitle: {n}\nsystems: [{low}-portal, {low}-two]\n")
        };
        files.write("a.yaml", &agency("A", "a"));
        files.write("b.yaml", &agency("B", "b"));
        files.write("thu/contract.yaml", CONTRACT);
        files.write("thu/v1.avsc", AVSC);
        files.write("g.yaml", GRANT);
        files
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn read(&self) -> Declared {
        read(&[self.path().to_owned()]).unwrap_or_else(|p| panic!("{p:#?}"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(self.file(name), text.replacen(from, to, 1)).unwrap();
    }
}

/// Who signs, for which agency, in which role.
const PERSONS: [(&str, &str, Role); 4] = [
    ("chu", "A", Role::Owner),
    ("bao", "A", Role::DataProtectionOfficer),
    ("nhan", "B", Role::Recipient),
    ("ghi", "A", Role::Registrar),
];

/// A bus with a root and these persons. The author of every proposal is the registrar.
#[derive(Clone)]
pub struct Signed {
    pub set: ControlSet,
    pub now: i64,
    nonce: u8,
}

impl Signed {
    pub fn new(now: i64) -> Self {
        let mut bus = Self { set: ControlSet::default(), now, nonce: 0 };
        bus.put(&ControlEvent::Genesis { trust: Trust::Root(key("root").public()) }, &[]).unwrap();
        let member = |(person, agency, role): (&str, &str, Role)| Member {
            person: person.parse().unwrap(),
            agency: agency.parse().unwrap(),
            roles: vec![Tenure { role, from_ms: 0, until_ms: None, deputy_for: None }],
            keys: vec![PersonKey { public: key(person).public(), from_ms: 0, until_ms: None }],
        };
        let roster = Roster { number: 1, persons: PERSONS.into_iter().map(member).collect() };
        bus.put(&ControlEvent::Roster(Box::new(roster)), &["root"]).unwrap();
        bus
    }

    /// Signs an event, and folds it in a second later than the one before.
    pub fn put(&mut self, event: &ControlEvent, by: &[&str]) -> Result<(), ControlError> {
        let mut request = Request::new(&self.set, event, None).unwrap();
        for person in by {
            self.nonce += 1;
            request.sign_with(&key(person), Nonce([self.nonce; 16]), self.now, DAY_MS).unwrap();
        }
        let record = serde_json::to_vec(&request.record(self.now).unwrap()).unwrap();
        self.now += 1_000;
        self.set.apply(Position(self.set.position.0 + 1), &record)
    }

    pub fn propose(&mut self, id: &str, document: Document) {
        let proposal = Proposal {
            id: id.parse().unwrap(),
            document,
            page_sha256: "00".into(),
            author: "ghi".parse().unwrap(),
            deadline_ms: self.now + 14 * DAY_MS,
        };
        self.put(&ControlEvent::Proposal(Box::new(proposal)), &["ghi"]).unwrap();
    }

    pub fn vote(&mut self, id: &str, person: &str, verdict: Verdict) {
        let vote = Vote {
            proposal: id.parse().unwrap(),
            document_sha256: self.set.proposals[&id.parse().unwrap()].digest.clone(),
            page_sha256: "00".into(),
            person: person.parse().unwrap(),
            verdict,
            reason: if verdict == Verdict::Refuse { "thiếu căn cứ".into() } else { String::new() },
            article: if verdict == Verdict::Refuse {
                "Nghị định 194/2025/NĐ-CP, Điều 16".into()
            } else {
                String::new()
            },
        };
        self.put(&ControlEvent::Vote(vote), &[person]).unwrap();
    }

    /// What the files would change, for those who decide.
    pub fn planned(&self, files: &Declaration) -> Vec<ControlEvent> {
        plan(&files.read(), &self.set, &[], self.now).unwrap_or_else(|p| panic!("{p:#?}")).events
    }

    /// Makes the files so: whoever has to signs, and everybody votes for it.
    pub fn apply(&mut self, files: &Declaration) {
        while let Some(event) = self.planned(files).into_iter().next() {
            let document = match &event {
                ControlEvent::Contract(contract) => Some(Document::of_contract(contract)),
                ControlEvent::Grant(activation) => Some(Document::of_grant(&activation.grant)),
                ControlEvent::Renewal { grant, .. } => Some(Document::of_grant(grant)),
                _ => None,
            };
            let Some(document) = document else {
                let by: &[&str] = if matches!(event, ControlEvent::Agency(_)) { &["ghi"] } else { &[] };
                self.put(&event, by).unwrap();
                continue;
            };
            let id = format!("p{}", self.set.proposals.len());
            let of_grant = matches!(document, Document::Grant(_));
            self.propose(&id, document);
            self.vote(&id, "chu", Verdict::Approve);
            self.vote(&id, "bao", Verdict::Approve);
            if of_grant {
                self.vote(&id, "nhan", Verdict::TakeUp);
            }
            // Planned for then: a start does not lie in the past.
            let event = self.planned(files).into_iter().next().unwrap();
            self.put(&event, &[]).unwrap();
        }
    }
}

fn key(whose: &str) -> PrivateKey {
    let person = (whose != "root").then(|| whose.parse().unwrap());
    let seed = PERSONS.iter().position(|p| p.0 == whose).map_or(100, |n| u8::try_from(n).unwrap() + 1);
    PrivateKey::from_seed(person, &[seed; 32])
}
