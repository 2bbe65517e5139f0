//! What does not count whoever has approved it, and what one person cannot fill.

use super::*;
use crate::contract::{FieldRules, Pii};
use crate::grant::Term;
use crate::law::Day;
use crate::limits::{
    EMERGENCY_REVIEW_MS, MAX_CARRIED_MS, MAX_KEYS, MAX_OPEN_PROPOSAL_BYTES, MAX_OPEN_PROPOSALS, MAX_VOTES,
};

impl Bus {
    /// An activation for as long as an emergency may last.
    fn emergency(&self, grant: &Grant, number: u32) -> ControlEvent {
        let ControlEvent::Grant(activation) = self.activation(grant, number) else { panic!() };
        let ends_ms = activation.starts_ms + MAX_EMERGENCY_MS;
        ControlEvent::Grant(Box::new(Activation { ends_ms, ..*activation }))
    }
}

fn urgent(id: &str) -> Grant {
    Grant { emergency: true, duration: "P3D".into(), template: Some("khan-cap".into()), ..grant(id) }
}

fn refused(done: Result<(), ControlError>) -> String {
    match done {
        Err(ControlError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_approval_lapses_when_nobody_releases_it() {
    let mut bus = Bus::with_contract();
    bus.approve_grant("g1", &grant("g"));
    let lapses = bus.set.proposals[&"g1".parse().unwrap()].proposal.deadline_ms + MAX_CARRIED_MS;
    let mut late = bus.clone();
    late.at_ms = lapses;
    let event = late.activation(&grant("g"), 1);
    let TrustError::NotApproved { missing, .. } = refusal(late.append(&event, &[])) else { panic!() };
    assert!(missing.contains("90 days"), "{missing}");
    bus.at_ms = lapses - 1;
    let event = bus.activation(&grant("g"), 1);
    bus.append(&event, &[]).unwrap();
}

#[test]
fn an_emergency_needs_one_of_the_two_and_no_contract_is_one() {
    let mut bus = Bus::with_contract();
    bus.propose("g1", Document::of_grant(&urgent("g")), "nhan");
    bus.vote("g1", "nhan", Verdict::TakeUp).unwrap();
    let event = bus.emergency(&urgent("g"), 1);
    refusal(bus.append(&event, &[]));
    bus.vote("g1", "bao", Verdict::Approve).unwrap();
    // That one approval is for now, and not for when it suits.
    let mut late = bus.clone();
    late.at_ms = bus.set.at_ms + MAX_EMERGENCY_MS;
    let event = late.emergency(&urgent("g"), 1);
    assert!(matches!(refusal(late.append(&event, &[])), TrustError::NotApproved { .. }));
    late.at_ms = bus.set.at_ms + MAX_EMERGENCY_MS - 1;
    let event = late.emergency(&urgent("g"), 1);
    late.append(&event, &[]).unwrap();
    let event = bus.emergency(&urgent("g"), 1);
    bus.append(&event, &[]).unwrap();
    // Nor does one person go on with another emergency, before the first is to have been reviewed.
    let began = bus.set.views[&ViewNo(1)].activation.starts_ms;
    bus.at_ms = began + EMERGENCY_REVIEW_MS - 10_000;
    bus.propose("g2", Document::of_grant(&urgent("h")), "nhan");
    bus.vote("g2", "nhan", Verdict::TakeUp).unwrap();
    bus.vote("g2", "bao", Verdict::Approve).unwrap();
    let event = bus.emergency(&urgent("h"), 2);
    assert!(matches!(refusal(bus.append(&event, &[])), TrustError::NotApproved { .. }));
    let mut reviewed = bus.clone();
    reviewed.at_ms = began + EMERGENCY_REVIEW_MS;
    let event = reviewed.emergency(&urgent("h"), 2);
    reviewed.append(&event, &[]).unwrap();
    bus.vote("g2", "chu", Verdict::Approve).unwrap();
    let event = bus.emergency(&urgent("h"), 2);
    bus.append(&event, &[]).unwrap();

    let mut bus = Bus::new();
    bus.register();
    bus.propose("c1", Document::of_contract(&contract()), "soan");
    bus.vote("c1", "bao", Verdict::Approve).unwrap();
    refusal(bus.append(&ControlEvent::Contract(Box::new(contract())), &[]));
}

/// A log in which everybody voted for what the law does not allow: it does not count either.
#[test]
fn what_a_grant_may_be_is_held_to_whoever_approves_it() {
    let personal = |version: &str| {
        let rules = FieldRules { pii: Pii::Basic, ..FieldRules::default() };
        Contract { version: version.into(), fields: BTreeMap::from([("Ma".into(), rules)]), ..contract() }
    };
    let approve = |bus: &mut Bus, id: &str, contract: &Contract| {
        bus.propose(id, Document::of_contract(contract), "soan");
        bus.vote(id, "chu", Verdict::Approve).unwrap();
        bus.vote(id, "bao", Verdict::Approve).unwrap();
    };
    let activation = |bus: &Bus, grant: &Grant, number, days: i64| {
        let ControlEvent::Grant(activation) = bus.activation(grant, number) else { panic!() };
        ControlEvent::Grant(Box::new(Activation { ends_ms: activation.starts_ms + days * DAY, ..*activation }))
    };
    let mut bus = Bus::with_contract();
    let long = Grant { duration: "P2Y".into(), ..grant("g") };
    bus.approve_grant("g1", &long);
    let mut before = bus.clone();

    // Two years of what is personal, and one.
    approve(&mut bus, "c2", &personal("1.1.0"));
    bus.append(&ControlEvent::Contract(Box::new(personal("1.1.0"))), &[]).unwrap();
    let event = activation(&bus, &long, 1, 368);
    assert!(refusal(bus.append(&event, &[])).to_string().contains("twelve months"));
    let event = activation(&bus, &long, 1, 367);
    bus.append(&event, &[]).unwrap();
    let again = Grant { purpose: "khác".into(), ..long.clone() };
    bus.approve_grant("g2", &again);
    let renewal = |bus: &Bus, days| ControlEvent::Renewal {
        view_no: ViewNo(1),
        grant: Box::new(again.clone()),
        ends_ms: bus.at_ms + days * DAY,
    };
    let event = renewal(&bus, 368);
    assert!(refusal(bus.append(&event, &[])).to_string().contains("twelve months"));
    let event = renewal(&bus, 367);
    bus.append(&event, &[]).unwrap();
    // The same data by a grant that does not give any: it is free.
    let event = activation(&before, &long, 1, 700);
    before.append(&event, &[]).unwrap();
    // What it gives does not become personal data while it is given for so long.
    approve(&mut before, "c2", &personal("1.1.0"));
    let event = ControlEvent::Contract(Box::new(personal("1.1.0")));
    assert!(refusal(before.append(&event, &[])).to_string().contains("shorten that grant"));
    before.at_ms += 40 * DAY;
    let end = ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Revoked, because: String::new() };
    before.append(&end, &["chu"]).unwrap();
    before.append(&event, &[]).unwrap();

    // An emergency of no template, whoever approves it; and a start that outlives the approval.
    let mut bus = Bus::with_contract();
    let free = Grant { template: None, ..urgent("g") };
    bus.approve_grant("g1", &free);
    let event = bus.emergency(&free, 1);
    assert!(refusal(bus.append(&event, &[])).to_string().contains("names no template"));
    bus.approve_grant("g2", &grant("h"));
    let lapses = bus.set.proposals[&"g2".parse().unwrap()].lapses_ms();
    let starts = |bus: &Bus, starts_ms: i64| {
        let ControlEvent::Grant(activation) = bus.activation(&grant("h"), 1) else { panic!() };
        ControlEvent::Grant(Box::new(Activation { starts_ms, ends_ms: starts_ms + DAY, ..*activation }))
    };
    let event = starts(&bus, lapses);
    assert!(matches!(refusal(bus.append(&event, &[])), TrustError::NotApproved { .. }));
    let event = starts(&bus, lapses - 1);
    bus.append(&event, &[]).unwrap();
}

/// Its end is made by machine, and nobody signs it.
#[test]
fn a_grant_does_not_hold_beyond_the_last_day_that_was_approved() {
    let mut bus = Bus::with_contract();
    let last = Day::of(bus.at_ms + 20 * DAY);
    let dated = Grant { duration: Term::Ends(last), ..grant("g") };
    bus.approve_grant("g1", &dated);
    let activation = |bus: &Bus, ends_ms| {
        let ControlEvent::Grant(activation) = bus.activation(&dated, 1) else { panic!() };
        ControlEvent::Grant(Box::new(Activation { ends_ms, ..*activation }))
    };
    let event = activation(&bus, last.ends_ms() + 1);
    assert!(refusal(bus.append(&event, &[])).to_string().contains("beyond its last day"));
    let event = activation(&bus, last.ends_ms());
    bus.append(&event, &[]).unwrap();
    let later = Day::of(bus.at_ms + 40 * DAY);
    let renewed = Grant { duration: Term::Ends(later), ..dated.clone() };
    bus.approve_grant("g2", &renewed);
    let renewal = |ends_ms| ControlEvent::Renewal { view_no: ViewNo(1), grant: Box::new(renewed.clone()), ends_ms };
    assert!(refusal(bus.append(&renewal(later.ends_ms() + 1), &[])).to_string().contains("beyond its last day"));
    bus.append(&renewal(later.ends_ms()), &[]).unwrap();
}

#[test]
fn one_person_does_not_fill_the_memory_of_whoever_folds() {
    let mut bus = Bus::with_contract();
    let proposal = |bus: &Bus, id: &str, purpose: usize| Proposal {
        id: id.parse().unwrap(),
        document: Document::of_grant(&Grant { purpose: "x".repeat(purpose), ..grant(id) }),
        page_sha256: "00".into(),
        author: "soan".parse().unwrap(),
        deadline_ms: bus.at_ms + DAY,
    };
    let put = |bus: &mut Bus, proposal: Proposal| {
        let author = proposal.author.to_string();
        bus.append(&ControlEvent::Proposal(Box::new(proposal)), &[&author])
    };
    let (begins, clean) = (bus.at_ms, bus.clone());
    for n in 0..MAX_OPEN_PROPOSALS {
        let proposal = proposal(&bus, &format!("p{n}"), 1);
        put(&mut bus, proposal).unwrap();
    }
    let next = |bus: &Bus| proposal(bus, "q", 1);
    let one_more = next(&bus);
    assert!(refused(put(&mut bus, one_more.clone())).contains("open ones of soan"));
    // Others are not hindered, and what has lapsed makes room and is forgotten.
    let others = Proposal { author: "ghi".parse().unwrap(), ..one_more };
    put(&mut bus, others).unwrap();
    bus.at_ms = begins + DAY + MAX_CARRIED_MS;
    let lapsed = bus.set.proposals.values().filter(|s| s.lapses_ms() <= bus.at_ms).count();
    assert!(lapsed > 0 && lapsed < MAX_OPEN_PROPOSALS, "{lapsed}");
    let late = proposal(&bus, "late", 1);
    let before = bus.set.proposals.len();
    put(&mut bus, late).unwrap();
    assert_eq!(bus.set.proposals.len(), before - lapsed + 1);
    assert!(bus.set.proposals.contains_key(&"c1".parse().unwrap()), "what was released is kept");

    // A few large ones are as many as many small ones.
    let mut bus = clean;
    let large = MAX_OPEN_PROPOSAL_BYTES / 4;
    for n in 0..3 {
        let proposal = proposal(&bus, &format!("p{n}"), large);
        put(&mut bus, proposal).unwrap();
    }
    let fourth = proposal(&bus, "p3", large);
    assert!(refused(put(&mut bus, fourth)).contains("bytes are kept"));
    // A deadline that never comes, and a page of any size, which each vote would repeat.
    let sound = proposal(&bus, "p4", 1);
    let endless = Proposal { deadline_ms: i64::MAX, ..sound.clone() };
    assert!(refused(put(&mut bus, endless)).contains("90 days"));
    let paged = Proposal { page_sha256: "0".repeat(65), ..sound.clone() };
    assert!(refused(put(&mut bus, paged)).contains("64 digits"));
    put(&mut bus, sound).unwrap();
    for _ in 0..MAX_VOTES {
        bus.vote("p4", "ghi", Verdict::AdviseFor).unwrap();
    }
    assert!(refused(bus.vote("p4", "ghi", Verdict::AdviseFor)).contains("the last vote stands"));
    bus.vote("p4", "chu", Verdict::AdviseFor).unwrap();

    // Keys, which a person changes alone.
    let ghi: Person = "ghi".parse().unwrap();
    let mut rotate = |n: u8| {
        let (from, to) = (if n == 0 { key(4) } else { key(99 + n) }, key(100 + n));
        let event = ControlEvent::Rotation { person: ghi.clone(), from: public(&from), to: public(&to) };
        let value = serde_json::to_value(&event).unwrap();
        let signatures = [from, to].iter().map(|key| bus.sign_with(&value, Some(ghi.clone()), key)).collect();
        bus.put(&ControlRecord { format: FORMAT, at_ms: bus.at_ms, event, signatures })
    };
    let last = u8::try_from(MAX_KEYS).unwrap() - 1;
    for n in 0..last {
        rotate(n).unwrap();
    }
    assert!(refused(rotate(last)).contains("at most 64"));
}
