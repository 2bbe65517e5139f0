//! What an operator, a thief of one key, and an old copy of the log can bring about: nothing.

mod bounds;
mod keys;
mod logs;
mod model;
mod steps;
mod written;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use crate::contract::{Effective, SchemaVersion, Terms, VersionSource};
use crate::envelope;
use crate::grant::{GrantedField, KeyForm};
use crate::topic::Edition;
use crate::trust::signature::{SignatureBytes, signed_text};
use crate::trust::{Member, PersonKey, Role, Tenure, Verdict};
use relaxations::{relax, relaxation};

mod relaxations;

const DAY: i64 = 86_400_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// Persons by name: their key's seed, agency, role.
const PERSONS: [(&str, u8, &str, Role); 8] = [
    ("chu", 1, "A", Role::Owner),
    ("bao", 2, "A", Role::DataProtectionOfficer),
    ("nhan", 3, "B", Role::Recipient),
    ("ghi", 4, "A", Role::Registrar),
    ("chu-b", 5, "B", Role::Owner),
    ("bao-b", 6, "B", Role::DataProtectionOfficer),
    ("soan", 7, "A", Role::Auditor),
    ("hai-vai", 8, "A", Role::Owner),
];
const ROOT: u8 = 100;

fn roster(number: u32) -> Roster {
    let member = |(person, seed, agency, role): (&str, u8, &str, Role)| Member {
        person: person.parse().unwrap(),
        agency: agency.parse().unwrap(),
        roles: vec![Tenure { role, from_ms: 0, until_ms: None, deputy_for: None }],
        keys: vec![PersonKey { public: public(&key(seed)), from_ms: 0, until_ms: None }],
    };
    let mut persons: Vec<_> = PERSONS.into_iter().map(member).collect();
    let both = Tenure { role: Role::DataProtectionOfficer, from_ms: 0, until_ms: None, deputy_for: None };
    persons[7].roles.push(both);
    Roster { number, persons }
}

/// A bus, and what its operator can do: append any bytes.
#[derive(Clone)]
struct Bus {
    set: ControlSet,
    at_ms: i64,
    nonce: u16,
    appended: Vec<Vec<u8>>,
}

impl Bus {
    /// With root, roster, agencies A and B.
    fn new() -> Self {
        let mut bus = Self { set: ControlSet::default(), at_ms: DAY, nonce: 0, appended: Vec::new() };
        bus.append(&ControlEvent::Genesis { trust: Trust::Root(public(&key(ROOT))) }, &[]).unwrap();
        bus.append(&ControlEvent::Roster(Box::new(roster(1))), &["root"]).unwrap();
        for agency in ["A", "B"] {
            bus.append(&agency_event(agency), &["ghi"]).unwrap();
        }
        bus
    }

    fn sign(&mut self, event: &Value, by: &str) -> Signature {
        let seed = PERSONS.iter().find(|p| p.0 == by).map_or(ROOT, |p| p.1);
        self.sign_with(event, (by != "root").then(|| by.parse().unwrap()), &key(seed))
    }

    fn sign_with(&mut self, event: &Value, person: Option<Person>, key: &SigningKey) -> Signature {
        self.nonce += 1;
        // The first 255 are those of the log that is kept as a fixture.
        let [high, low] = self.nonce.to_be_bytes();
        let mut nonce = Nonce([low; 16]);
        nonce.0[0] = low.wrapping_add(high);
        let expires_ms = self.at_ms + DAY;
        let text = signed_text(&self.set.bus, event, nonce, expires_ms).unwrap();
        let signature = SignatureBytes(key.sign(&text).to_bytes());
        Signature { person, key: public(key), nonce, expires_ms, signature }
    }

    fn record(&mut self, event: &ControlEvent, by: &[&str]) -> ControlRecord {
        let value = serde_json::to_value(event).unwrap();
        let signatures = by.iter().map(|by| self.sign(&value, by)).collect();
        ControlRecord { format: FORMAT, at_ms: self.at_ms, event: event.clone(), signatures }
    }

    fn append(&mut self, event: &ControlEvent, by: &[&str]) -> Result<(), ControlError> {
        let record = self.record(event, by);
        self.put(&record)
    }

    fn put(&mut self, record: &ControlRecord) -> Result<(), ControlError> {
        self.raw(serde_json::to_vec(record).unwrap())
    }

    /// Whatever is refused has changed nothing but position and digest.
    fn raw(&mut self, bytes: Vec<u8>) -> Result<(), ControlError> {
        let before = self.set.clone();
        self.at_ms += 1_000;
        let done = self.set.apply(Position(before.position.0 + 1), &bytes);
        if done.is_err() {
            let ControlSet { position, digest, .. } = self.set;
            assert_eq!(self.set, ControlSet { position, digest, ..before }, "a refused record changed something");
        }
        self.appended.push(bytes);
        done
    }

    fn propose(&mut self, id: &str, document: Document, author: &str) {
        let proposal = Proposal {
            id: id.parse().unwrap(),
            document,
            page_sha256: "00".into(),
            author: author.parse().unwrap(),
            deadline_ms: self.at_ms + 20 * DAY,
        };
        self.append(&ControlEvent::Proposal(Box::new(proposal)), &[author]).unwrap();
    }

    fn vote(&mut self, id: &str, person: &str, verdict: Verdict) -> Result<(), ControlError> {
        let event = self.ballot(id, person, verdict);
        self.append(&event, &[person])
    }

    fn ballot(&self, id: &str, person: &str, verdict: Verdict) -> ControlEvent {
        let id: ProposalId = id.parse().unwrap();
        ControlEvent::Vote(Vote {
            document_sha256: self.set.proposals[&id].digest.clone(),
            page_sha256: "00".into(),
            proposal: id,
            person: person.parse().unwrap(),
            verdict,
            reason: if verdict == Verdict::Refuse { "thiếu căn cứ".into() } else { String::new() },
            article: if verdict == Verdict::Refuse {
                "Nghị định 194/2025/NĐ-CP, Điều 16".into()
            } else {
                String::new()
            },
        })
    }

    /// The schema of [`contract`], and of its envelope, which nobody signs.
    fn register(&mut self) {
        let schema = contract().schemas[0].schema.clone();
        self.append(&schema_event(1, &schema), &[]).unwrap();
        self.append(&schema_event(2, &envelope::schema(&schema).unwrap()), &[]).unwrap();
    }

    /// The contract, approved and in force.
    fn with_contract() -> Self {
        let mut bus = Self::new();
        bus.register();
        bus.propose("c1", Document::of_contract(&contract()), "soan");
        bus.vote("c1", "chu", Verdict::Approve).unwrap();
        bus.vote("c1", "bao", Verdict::Approve).unwrap();
        bus.append(&ControlEvent::Contract(Box::new(contract())), &[]).unwrap();
        bus
    }

    fn approve_grant(&mut self, proposal: &str, grant: &Grant) {
        self.propose(proposal, Document::of_grant(grant), "nhan");
        self.vote(proposal, "chu", Verdict::Approve).unwrap();
        self.vote(proposal, "bao", Verdict::Approve).unwrap();
        self.vote(proposal, "nhan", Verdict::TakeUp).unwrap();
    }

    fn activation(&self, grant: &Grant, number: u32) -> ControlEvent {
        ControlEvent::Grant(Box::new(Activation {
            view_no: ViewNo(number),
            edition: Edition(number),
            grant: grant.clone(),
            schema_id: SchemaId(3),
            starts_ms: self.at_ms,
            ends_ms: self.at_ms + 30 * DAY,
            secret_label: grant.secret_label(1),
        }))
    }
}

fn agency_event(name: &str) -> ControlEvent {
    ControlEvent::Agency(AgencyDocument {
        name: name.parse().unwrap(),
        code: name.into(),
        title: name.into(),
        systems: vec![format!("{}-portal", name.to_lowercase()).parse().unwrap()],
    })
}

fn schema_event(id: u32, schema: &str) -> ControlEvent {
    let (id, subject, schema) = (SchemaId(id), format!("s{id}"), schema.to_owned());
    ControlEvent::Schema(SchemaDocument { id, subject, version: 1, schema })
}

fn contract() -> Contract {
    let schema = json!({"type": "record", "name": "R", "fields": [{"name": "Ma", "type": "string"}]}).to_string();
    Contract {
        dataset: "thu".parse().unwrap(),
        version: "1.0.0".into(),
        owner: "A".parse().unwrap(),
        description: String::new(),
        partitions: 1,
        key: vec!["Ma".into()],
        providers: vec![],
        version_source: VersionSource::Provider,
        max_version_step: None,
        effective: Effective::AtOnce,
        open: false,
        synthetic: true,
        schemas: vec![SchemaVersion { version: 1, id: SchemaId(1), schema, envelope_id: SchemaId(2) }],
        fields: BTreeMap::new(),
        code_lists: BTreeMap::new(),
        terms: Terms::default(),
    }
}

fn grant(id: &str) -> Grant {
    Grant {
        id: id.parse().unwrap(),
        recipient: "B".parse().unwrap(),
        systems: vec!["b-portal".parse().unwrap()],
        dataset: "thu".parse().unwrap(),
        view: View::main(),
        purpose: "thử".into(),
        legal_basis: vec!["Điều 1".into()],
        fields: vec![GrantedField { path: "Ma".into(), name: None, mask: None }],
        filter: None,
        key: KeyForm::Clear,
        duration: "P1M".into(),
        template: None,
        emergency: false,
    }
}

fn refusal(done: Result<(), ControlError>) -> TrustError {
    match done {
        Err(ControlError::Untrusted { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contract_and_a_grant_count_with_the_votes_that_they_need() {
    let mut bus = Bus::with_contract();
    bus.approve_grant("g1", &grant("g"));
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
    assert!(bus.set.views.contains_key(&ViewNo(1)));
    assert!(bus.set.proposals.values().all(|s| s.released.is_some()));
}

#[test]
fn an_operator_grants_himself_nothing() {
    let mut bus = Bus::with_contract();
    let event = bus.activation(&grant("g"), 1);
    assert!(matches!(refusal(bus.append(&event, &[])), TrustError::NotApproved { .. }));
    // With everything that one party alone can sign.
    bus.propose("g1", Document::of_grant(&grant("g")), "nhan");
    bus.vote("g1", "nhan", Verdict::TakeUp).unwrap();
    for by in ["nhan", "chu-b", "bao-b", "ghi", "soan"] {
        assert!(matches!(refusal(bus.vote("g1", by, Verdict::Approve)), TrustError::MissingRole { .. }), "{by}");
    }
    // One person with both roles is one person.
    bus.vote("g1", "hai-vai", Verdict::Approve).unwrap();
    let event = bus.activation(&grant("g"), 1);
    let TrustError::NotApproved { missing, .. } = refusal(bus.append(&event, &["hai-vai", "nhan"])) else { panic!() };
    assert!(missing.contains("two persons"), "{missing}");
    // The approved grant, but for longer, from earlier, or another.
    bus.vote("g1", "bao", Verdict::Approve).unwrap();
    let ControlEvent::Grant(good) = bus.activation(&grant("g"), 1) else { panic!() };
    let longer = Activation { ends_ms: good.starts_ms + 40 * DAY, ..(*good).clone() };
    let earlier = Activation { starts_ms: 0, ..(*good).clone() };
    let wider = Activation { grant: Grant { view: View::new("khac").unwrap(), ..grant("g") }, ..(*good).clone() };
    let joinable = Activation { secret_label: "pseudonym/C/thử/1".into(), ..(*good).clone() };
    for (bad, unfit) in [(longer, true), (earlier, true), (joinable, true), (wider, false)] {
        let refused = refusal(bus.append(&ControlEvent::Grant(Box::new(bad)), &[]));
        assert_eq!(matches!(refused, TrustError::Unfit(_)), unfit, "{refused}");
    }
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
    // Nor does he end it, or bring it back once it has ended.
    let end = |reason| ControlEvent::End { view_no: ViewNo(1), reason, because: String::new() };
    for reason in [EndReason::Revoked, EndReason::Ended, EndReason::Superseded, EndReason::Expired] {
        refusal(bus.append(&end(reason), &[]));
    }
    bus.append(&end(EndReason::Revoked), &["bao"]).unwrap();
    let event = bus.activation(&grant("g"), 2);
    assert!(matches!(refusal(bus.append(&event, &[])), TrustError::NotApproved { .. }));
}

#[test]
fn nothing_counts_that_is_unsigned_forged_replayed_expired_or_of_another_bus() {
    let mut bus = Bus::new();
    let event = agency_event("C");
    assert!(matches!(refusal(bus.append(&event, &[])), TrustError::Unsigned { .. }));
    assert!(matches!(refusal(bus.append(&event, &["chu"])), TrustError::MissingRole { .. }));
    assert!(matches!(refusal(bus.append(&event, &["ghi", "ghi"])), TrustError::Twice(_)));

    // Changed after it was signed.
    let mut record = bus.record(&event, &["ghi"]);
    record.event = agency_event("D");
    assert!(matches!(refusal(bus.put(&record)), TrustError::Wrong(_)));
    // Signed by another key, under the name of the registrar; and by a key of another's in the roster.
    let value = serde_json::to_value(&event).unwrap();
    for (seed, unknown) in [(99, true), (1, true)] {
        let signature = bus.sign_with(&value, Some("ghi".parse().unwrap()), &key(seed));
        let record =
            ControlRecord { format: FORMAT, at_ms: bus.at_ms, event: event.clone(), signatures: vec![signature] };
        assert_eq!(matches!(refusal(bus.put(&record)), TrustError::NotInRoster(_)), unknown);
    }
    // Of another bus: the same persons, another genesis.
    let mut other = Bus::new();
    other.set.bus = [9; 32];
    let record = other.record(&event, &["ghi"]);
    assert!(matches!(refusal(bus.put(&record)), TrustError::Wrong(_)));
    // Twice, the second time with a later date.
    let record = bus.record(&event, &["ghi"]);
    bus.put(&record).unwrap();
    let again = ControlRecord { at_ms: bus.at_ms, ..record.clone() };
    assert!(matches!(refusal(bus.put(&again)), TrustError::Replayed(_)));
    // The signature has run out by then, and no old date helps.
    let record = bus.record(&agency_event("E"), &["ghi"]);
    bus.at_ms += 2 * DAY;
    bus.append(&agency_event("F"), &["ghi"]).unwrap();
    assert!(matches!(refusal(bus.put(&record)), TrustError::Backdated(_)));
    let late = ControlRecord { at_ms: bus.at_ms, ..record };
    assert!(matches!(refusal(bus.put(&late)), TrustError::Expired(_)));
    // Valid for ever.
    let mut record = bus.record(&agency_event("E"), &["ghi"]);
    record.signatures[0].expires_ms = i64::MAX;
    assert!(matches!(refusal(bus.put(&record)), TrustError::TooLong(_)));
    // A second genesis, and a roster that the root did not sign.
    let genesis = ControlEvent::Genesis { trust: Trust::Unsigned };
    assert!(bus.append(&genesis, &["root"]).is_err());
    refusal(bus.append(&ControlEvent::Roster(Box::new(roster(2))), &["ghi", "chu", "bao"]));
    // A roster that is gone back to.
    bus.append(&ControlEvent::Roster(Box::new(roster(2))), &["root"]).unwrap();
    assert!(bus.append(&ControlEvent::Roster(Box::new(roster(1))), &["root"]).is_err());
}

#[test]
fn a_refusal_stops_a_proposal_and_a_vote_is_on_one_document() {
    let mut bus = Bus::with_contract();
    bus.approve_grant("g1", &grant("g"));
    bus.vote("g1", "bao", Verdict::Refuse).unwrap();
    let event = bus.activation(&grant("g"), 1);
    let TrustError::NotApproved { missing, .. } = refusal(bus.append(&event, &[])) else { panic!() };
    assert!(missing.contains("bao"), "{missing}");
    // Somebody else's approval does not lift it; their own does.
    bus.vote("g1", "hai-vai", Verdict::Approve).unwrap();
    refusal(bus.append(&event, &[]));
    bus.vote("g1", "bao", Verdict::Approve).unwrap();
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
    // Another document under the name of one that was approved, a refusal without reason or without article, one that is too long, the author's own approval.
    bus.propose("g2", Document::of_grant(&grant("h")), "chu");
    let ControlEvent::Vote(vote) = bus.ballot("g2", "bao", Verdict::Approve) else { panic!() };
    for bad in [
        Vote { document_sha256: "11".into(), ..vote.clone() },
        Vote { page_sha256: "11".into(), ..vote.clone() },
        Vote { verdict: Verdict::Refuse, article: "Điều 16".into(), ..vote.clone() },
        Vote { verdict: Verdict::Refuse, reason: "thiếu căn cứ".into(), ..vote.clone() },
        Vote { verdict: Verdict::Refuse, reason: "x".into(), article: "x".repeat(MAX_REASON_BYTES), ..vote },
    ] {
        assert!(matches!(bus.append(&ControlEvent::Vote(bad), &["bao"]), Err(ControlError::Refused { .. })));
    }
    assert!(matches!(bus.vote("g2", "chu", Verdict::Approve), Err(ControlError::Refused { .. })));
    // In somebody else's name.
    let event = bus.ballot("g2", "bao", Verdict::Approve);
    assert!(matches!(refusal(bus.append(&event, &["chu"])), TrustError::MissingRole { .. }));
    // After the deadline.
    bus.at_ms += 21 * DAY;
    assert!(matches!(bus.vote("g2", "bao", Verdict::Approve), Err(ControlError::Refused { .. })));
}

/// Whoever signs beside a voter neither lends them a role nor takes their vote away.
#[test]
fn a_vote_is_of_one_person_whoever_signs_beside_them() {
    let mut bus = Bus::with_contract();
    bus.propose("g1", Document::of_grant(&grant("g")), "nhan");
    let event = bus.ballot("g1", "soan", Verdict::Refuse);
    assert!(matches!(refusal(bus.append(&event, &["soan", "chu"])), TrustError::MissingRole { .. }));
    for (person, verdict) in [("chu", Verdict::Approve), ("bao", Verdict::Approve), ("nhan", Verdict::TakeUp)] {
        let event = bus.ballot("g1", person, verdict);
        bus.append(&event, &["soan", person]).unwrap();
    }
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
}

#[test]
fn laws_are_kept_by_whoever_has_that_role_and_epochs_raised_by_two_who_decide() {
    let mut bus = Bus::with_contract();
    let mut next = roster(2);
    next.persons[6].roles.push(Tenure { role: Role::Legal, from_ms: 0, until_ms: None, deputy_for: None });
    bus.append(&ControlEvent::Roster(Box::new(next)), &["root"]).unwrap();
    let law = ControlEvent::Law(Article {
        id: "luat".parse().unwrap(),
        citation: "Luật".into(),
        title_en: "Law".into(),
        from: "1970-01-01".parse().unwrap(),
        until: None,
    });
    for by in [&[][..], &["ghi"], &["chu", "bao"], &["root"]] {
        refusal(bus.append(&law, by));
    }
    bus.append(&law, &["soan"]).unwrap();

    let epoch = |by: [&str; 2]| ControlEvent::Epoch {
        dataset: "thu".parse().unwrap(),
        provider: "A".parse().unwrap(),
        epoch: 1,
        by: by.map(Into::into),
    };
    // One of the two has not signed; one decides nothing; one decides for another agency; others than those named.
    for (named, by) in [
        (["chu", "bao"], &["chu"][..]),
        (["chu", "soan"], &["chu", "soan"]),
        (["chu", "bao-b"], &["chu", "bao-b"]),
        (["chu", "bao"], &["chu", "hai-vai"]),
        (["chu", "bao"], &[]),
    ] {
        refusal(bus.append(&epoch(named), by));
    }
    bus.append(&epoch(["chu", "bao"]), &["chu", "bao"]).unwrap();
}

#[test]
fn votes_count_while_their_persons_have_the_role() {
    // Whose role is over when it comes into force: an owner's approval, a recipient's taking-up.
    for (person, role) in [(0, Role::Owner), (2, Role::Recipient)] {
        let mut bus = Bus::with_contract();
        bus.approve_grant("g1", &grant("g"));
        let mut next = roster(2);
        // The owner's other colleague has both roles, and has not voted.
        next.persons[person].roles = vec![Tenure { role, from_ms: 0, until_ms: Some(bus.at_ms), deputy_for: None }];
        bus.append(&ControlEvent::Roster(Box::new(next)), &["root"]).unwrap();
        let event = bus.activation(&grant("g"), 1);
        assert!(matches!(refusal(bus.append(&event, &[])), TrustError::NotApproved { .. }), "{role}");
    }
}

#[test]
fn an_old_contract_does_not_come_back() {
    let mut bus = Bus::with_contract();
    let stricter = Contract { version: "1.1.0".into(), max_version_step: Some(1), ..contract() };
    bus.propose("c2", Document::of_contract(&stricter), "soan");
    bus.vote("c2", "chu", Verdict::Approve).unwrap();
    bus.vote("c2", "bao", Verdict::Approve).unwrap();
    bus.append(&ControlEvent::Contract(Box::new(stricter.clone())), &[]).unwrap();
    // (A schema's text never changes; saying it again says nothing.)
    let schema = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"kind\":\"schema\"");
    for old in bus.appended.clone().into_iter().filter(|bytes| !schema(bytes)) {
        assert!(bus.raw(old).is_err());
    }
    let redated = ControlEvent::Contract(Box::new(contract()));
    assert!(matches!(refusal(bus.append(&redated, &[])), TrustError::NotApproved { .. }));
    assert_eq!(*bus.set.contracts[&"thu".parse().unwrap()], stricter);
}

#[test]
fn a_date_that_nobody_signs_neither_stops_the_bus_nor_brings_a_signature_back() {
    let mut bus = Bus::new();
    let record = bus.record(&agency_event("C"), &["ghi"]);
    bus.put(&record).unwrap();
    let schema = schema_event(1, "\"string\"");
    let far = ControlRecord { format: FORMAT, at_ms: i64::MAX, event: schema, signatures: Vec::new() };
    bus.put(&far).unwrap();
    bus.append(&agency_event("D"), &["ghi"]).unwrap();
    let again = ControlRecord { at_ms: bus.at_ms, ..record };
    assert!(matches!(refusal(bus.put(&again)), TrustError::Replayed(_)));
}

#[test]
fn a_contract_rests_on_the_schema_texts_that_were_approved() {
    let mut bus = Bus::new();
    bus.register();
    let foreign = json!({"type": "record", "name": "R", "fields": [{"name": "Khac", "type": "string"}]}).to_string();
    bus.append(&schema_event(7, &foreign), &[]).unwrap();
    bus.append(&schema_event(8, &envelope::schema(&foreign).unwrap()), &[]).unwrap();
    bus.propose("c1", Document::of_contract(&contract()), "soan");
    bus.vote("c1", "chu", Verdict::Approve).unwrap();
    bus.vote("c1", "bao", Verdict::Approve).unwrap();
    for (id, envelope_id) in [(7, 2), (9, 2), (1, 8), (1, 9), (1, 1), (7, 8)] {
        let mut other = contract();
        (other.schemas[0].id, other.schemas[0].envelope_id) = (SchemaId(id), SchemaId(envelope_id));
        let refused = refusal(bus.append(&ControlEvent::Contract(Box::new(other)), &[]));
        assert!(matches!(refused, TrustError::Unfit(_)), "{refused}");
    }
    bus.append(&ControlEvent::Contract(Box::new(contract())), &[]).unwrap();
}

/// A log as format 1 has it, from genesis to a grant and a relaxation, byte for byte: it is read for ever, and its
/// signatures hold for ever.
#[test]
fn the_signed_log_of_format_1_stays() {
    let mut bus = Bus::with_contract();
    bus.approve_grant("g1", &grant("g"));
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
    let end = ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Revoked, because: "thử".into() };
    bus.append(&end, &["bao"]).unwrap();
    let wanted = relaxation(&bus, "r", 24);
    bus.propose("r", Document::of_relaxation(&wanted), "soan");
    bus.vote("r", "chu", Verdict::Approve).unwrap();
    bus.vote("r", "bao", Verdict::Approve).unwrap();
    bus.append(&relax(&wanted), &[]).unwrap();
    let restored = ControlEvent::Restoration { relaxation: wanted.id, because: "xong".into() };
    bus.append(&restored, &["chu"]).unwrap();
    let kept = include_str!("../../../fixtures/control-signed-1.jsonl");
    let mut set = ControlSet::default();
    for (n, line) in kept.lines().enumerate() {
        set.apply(Position(n as u64 + 1), line.as_bytes()).unwrap_or_else(|e| panic!("record {n}: {e}"));
    }
    assert_eq!(set, bus.set);
    let written: Vec<_> = bus.appended.iter().map(|bytes| std::str::from_utf8(bytes).unwrap()).collect();
    assert_eq!(kept.lines().collect::<Vec<_>>(), written, "what is written now differs");
}

#[test]
fn the_docs_show_who_signs_what() {
    let code = include_str!("../../trust/needs.rs");
    let rows = |text: &str| -> Vec<String> {
        text.lines().map(|l| l.trim_start_matches("//! ")).filter(|l| l.starts_with("| ")).map(String::from).collect()
    };
    let table: Vec<_> = rows(code.split_once("use super").unwrap().0);
    assert!(table.len() > 10);
    let docs = rows(include_str!("../../../../docs/signatures.md"));
    assert!(docs.starts_with(&table), "docs/signatures.md differs; its first table should be:\n{}", table.join("\n"));
}

proptest! {
    /// Any part of what was signed, changed: it does not count.
    #[test]
    fn a_changed_byte_of_a_signed_record_is_seen(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bus = Bus::new();
        let record = bus.record(&agency_event("C"), &["ghi"]);
        let mut bytes = serde_json::to_vec(&record).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let before = bus.set.agencies.clone();
        if bus.raw(bytes).is_ok() {
            // What nobody signs: the time of the record. The decision itself is as it was signed.
            let wanted: BTreeMap<_, _> = before.into_iter().chain([agency("C")]).collect();
            prop_assert_eq!(&bus.set.agencies, &wanted);
        } else {
            prop_assert_eq!(&bus.set.agencies, &before);
        }
    }
}

fn agency(name: &str) -> (Agency, AgencyDocument) {
    let ControlEvent::Agency(document) = agency_event(name) else { panic!() };
    (document.name.clone(), document)
}
