//! What the [`model`](super::model) speaks of, as the control log has it.

use std::sync::LazyLock;

use super::model::{self, DAY, Event, HOUR, Key, Reason};
use super::*;
use crate::contract::{FieldRules, Pii};
use crate::law::Day;

/// Durations, each with the most days that it can be.
pub const DURATIONS: [(&str, i64); 4] = [("P3D", 3), ("P1M", 31), ("P1Y", 366), ("P2Y", 732)];

pub static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| (0..=u8::MAX).map(super::key).collect());

pub fn public_of(key: Key) -> PublicKey {
    public(&KEYS[usize::from(key)])
}

pub fn proposal_id(id: u8) -> ProposalId {
    format!("p{id:03}").parse().unwrap()
}

pub fn written_contract(of: &model::Contract, own_schemas: bool) -> Contract {
    let rules = FieldRules { pii: Pii::Basic, ..FieldRules::default() };
    let mut contract = Contract {
        version: format!("{}.0.0", of.version),
        owner: of.owner.parse().unwrap(),
        fields: of.personal.then(|| ("Ma".to_owned(), rules)).into_iter().collect(),
        ..contract()
    };
    if !own_schemas {
        contract.schemas[0].id = SchemaId(2);
    }
    contract
}

pub fn written_grant(of: &model::Grant) -> Grant {
    let field = GrantedField { path: "Ma".into(), name: (of.shape == 1).then(|| "So".into()), mask: None };
    Grant {
        view: if of.view == 0 { View::main() } else { View::new("khac").unwrap() },
        fields: vec![field],
        duration: DURATIONS.iter().find(|d| d.1 == of.days).unwrap().0.into(),
        emergency: of.emergency,
        template: of.template.then(|| "khan-cap".into()),
        ..grant(&format!("g{}", of.id))
    }
}

pub fn written_document(of: &model::Document) -> Document {
    match of {
        model::Document::Contract(contract) => Document::of_contract(&written_contract(contract, true)),
        model::Document::Grant(grant) => Document::of_grant(&written_grant(grant)),
    }
}

pub fn written_role(role: model::Role) -> Role {
    match role {
        model::Role::Owner => Role::Owner,
        model::Role::Officer => Role::DataProtectionOfficer,
        model::Role::Recipient => Role::Recipient,
        model::Role::Registrar => Role::Registrar,
        model::Role::Legal => Role::Legal,
        model::Role::Auditor => Role::Auditor,
    }
}

pub fn written_roster(of: &model::Roster) -> Roster {
    let tenure = |t: &model::Tenure| Tenure {
        role: written_role(t.role),
        from_ms: t.from,
        until_ms: t.until,
        deputy_for: t.deputy_for.map(|name| name.parse().unwrap()),
    };
    let key = |k: &model::PersonKey| PersonKey { public: public_of(k.key), from_ms: k.from, until_ms: k.until };
    let member = |p: &model::Person| Member {
        person: p.name.parse().unwrap(),
        agency: p.agency.parse().unwrap(),
        roles: p.roles.iter().map(tenure).collect(),
        keys: p.keys.iter().map(key).collect(),
    };
    Roster { number: of.number, persons: of.persons.iter().map(member).collect() }
}

pub const fn end_reason(reason: Reason) -> EndReason {
    match reason {
        Reason::Revoked => EndReason::Revoked,
        Reason::Suspended => EndReason::Suspended,
        Reason::Ended => EndReason::Ended,
        Reason::Superseded => EndReason::Superseded,
        Reason::Expired => EndReason::Expired,
        Reason::Law => EndReason::Law,
    }
}

/// The event as the control log has it.
pub fn written(event: &Event) -> ControlEvent {
    match event {
        Event::Genesis => ControlEvent::Genesis { trust: Trust::Unsigned },
        Event::Roster(roster) => ControlEvent::Roster(Box::new(written_roster(roster))),
        Event::Root(key) => ControlEvent::Root { key: public_of(*key) },
        Event::Spare(key) => ControlEvent::Spare { key: public_of(*key) },
        Event::Rotation { person, from, to } => {
            ControlEvent::Rotation { person: person.parse().unwrap(), from: public_of(*from), to: public_of(*to) }
        }
        Event::Agency { role_as_system } => {
            let (_, mut document) = agency("B");
            document.systems.extend(role_as_system.then(Principal::router));
            ControlEvent::Agency(document)
        }
        Event::Law { last_day } => ControlEvent::Law(Article {
            id: "luat".parse().unwrap(),
            citation: "Luật".into(),
            title_en: "Law".into(),
            from: "1970-01-01".parse().unwrap(),
            // Noon in Việt Nam of that day.
            until: last_day.map(|day| Day::of(day * DAY + 5 * HOUR)),
        }),
        Event::Schema { text } => schema_event(9, ["\"string\"", "\"long\""][usize::from(*text)]),
        Event::Proposal { id, document, author, deadline } => ControlEvent::Proposal(Box::new(Proposal {
            id: proposal_id(*id),
            document: written_document(document),
            page_sha256: "00".into(),
            author: author.parse().unwrap(),
            deadline_ms: *deadline,
        })),
        Event::Vote { proposal, document, right_page, person, verdict, reason } => ControlEvent::Vote(Vote {
            proposal: proposal_id(*proposal),
            document_sha256: written_document(document).digest(),
            page_sha256: if *right_page { "00" } else { "11" }.into(),
            person: person.parse().unwrap(),
            verdict: match verdict {
                model::Verdict::Approve => Verdict::Approve,
                model::Verdict::Refuse => Verdict::Refuse,
                model::Verdict::TakeUp => Verdict::TakeUp,
                model::Verdict::Advise => Verdict::AdviseFor,
            },
            reason: if *reason { "thiếu căn cứ" } else { " " }.into(),
            article: "Nghị định 194/2025/NĐ-CP, Điều 16".into(),
        }),
        Event::Contract { contract, own_schemas } => {
            ControlEvent::Contract(Box::new(written_contract(contract, *own_schemas)))
        }
        Event::Grant { grant, view_no, edition, start, end, own_label } => {
            let grant = written_grant(grant);
            let secret_label = if *own_label { grant.secret_label(1) } else { "pseudonym/C/thử/1".into() };
            ControlEvent::Grant(Box::new(Activation {
                view_no: ViewNo(*view_no),
                edition: Edition(*edition),
                grant,
                schema_id: SchemaId(3),
                starts_ms: *start,
                ends_ms: *end,
                secret_label,
            }))
        }
        Event::Renewal { view_no, grant, end } => {
            let (view_no, grant) = (ViewNo(*view_no), Box::new(written_grant(grant)));
            ControlEvent::Renewal { view_no, grant, ends_ms: *end }
        }
        Event::End { view_no, reason } => {
            ControlEvent::End { view_no: ViewNo(*view_no), reason: end_reason(*reason), because: String::new() }
        }
        Event::Epoch { provider, epoch, by } => ControlEvent::Epoch {
            dataset: "thu".parse().unwrap(),
            provider: provider.parse().unwrap(),
            epoch: *epoch,
            by: by.map(Into::into),
        },
    }
}
