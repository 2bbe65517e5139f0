//! Who may relax a rule, which, and for how long.

use super::*;
use crate::relaxation::Relaxation;
use crate::rule::Rule;

const HOUR: i64 = 3_600_000;

pub fn relaxation(bus: &Bus, id: &str, hours: i64) -> Relaxation {
    Relaxation {
        id: id.parse().unwrap(),
        dataset: "thu".parse().unwrap(),
        rule: Rule::CodeList,
        field: None,
        reason: "mã mới".into(),
        ends_ms: bus.at_ms + hours * HOUR,
    }
}

pub fn relax(relaxation: &Relaxation) -> ControlEvent {
    ControlEvent::Relaxation(Box::new(relaxation.clone()))
}

#[test]
fn a_rule_is_relaxed_by_two_persons_and_once() {
    let mut bus = Bus::with_contract();
    let wanted = relaxation(&bus, "r", 24);
    let dataset = wanted.dataset.clone();
    // Whatever an operator appends, or one person signs.
    for by in [&[][..], &["chu"], &["chu", "bao"], &["hai-vai"], &["root"]] {
        assert!(matches!(refusal(bus.append(&relax(&wanted), by)), TrustError::NotApproved { .. }), "{by:?}");
    }
    bus.propose("r", Document::of_relaxation(&wanted), "chu");
    assert!(matches!(bus.vote("r", "chu", Verdict::Approve), Err(ControlError::Refused { .. })), "its author");
    for by in ["nhan", "chu-b", "bao-b", "soan"] {
        assert!(matches!(refusal(bus.vote("r", by, Verdict::Approve)), TrustError::MissingRole { .. }), "{by}");
    }
    assert!(matches!(refusal(bus.vote("r", "nhan", Verdict::TakeUp)), TrustError::Unfit(_)));
    // One person with both roles is one person.
    bus.vote("r", "hai-vai", Verdict::Approve).unwrap();
    refusal(bus.append(&relax(&wanted), &[]));
    bus.vote("r", "bao", Verdict::Approve).unwrap();
    // Approved, but for longer, for another rule, or for another dataset.
    for other in [
        Relaxation { ends_ms: wanted.ends_ms + 1, ..wanted.clone() },
        Relaxation { rule: Rule::Values, ..wanted.clone() },
        Relaxation { reason: "khác".into(), ..wanted.clone() },
    ] {
        assert!(matches!(refusal(bus.append(&relax(&other), &[])), TrustError::NotApproved { .. }));
    }
    assert!(bus.set.relaxed(&dataset, bus.at_ms).is_none());
    let begins = bus.at_ms;
    bus.append(&relax(&wanted), &[]).unwrap();
    for (clock_ms, covers) in [(begins - 1, false), (begins, true), (wanted.ends_ms - 1, true), (wanted.ends_ms, false)]
    {
        assert_eq!(bus.set.relaxed(&dataset, clock_ms).covers(Rule::CodeList, "Ma"), covers, "{clock_ms}");
        assert!(!bus.set.relaxed(&dataset, clock_ms).covers(Rule::Values, "Ma"));
    }
    assert_eq!(bus.set.next_due(&dataset, begins), Some(wanted.ends_ms));
    // Replayed, with its old date or a new one; or under another name with the same approval.
    let old = bus.appended.last().unwrap().clone();
    assert!(bus.raw(old).is_err());
    assert!(matches!(refusal(bus.append(&relax(&wanted), &[])), TrustError::NotApproved { .. }));
    let renamed = Relaxation { id: "r2".parse().unwrap(), ..wanted };
    assert!(matches!(refusal(bus.append(&relax(&renamed), &[])), TrustError::NotApproved { .. }));
}

#[test]
fn a_relaxed_rule_is_restored_by_one_of_the_two() {
    let mut bus = Bus::with_contract();
    let wanted = relaxation(&bus, "r", 24);
    bus.propose("r", Document::of_relaxation(&wanted), "soan");
    bus.vote("r", "chu", Verdict::Approve).unwrap();
    bus.vote("r", "bao", Verdict::Approve).unwrap();
    bus.append(&relax(&wanted), &[]).unwrap();
    let restore = |id: &str| ControlEvent::Restoration { relaxation: id.parse().unwrap(), because: "xong".into() };
    for by in [&[][..], &["soan"], &["nhan"], &["chu-b"], &["root"]] {
        refusal(bus.append(&restore("r"), by));
    }
    assert!(matches!(bus.append(&restore("khac"), &["chu"]), Err(ControlError::Refused { .. })));
    bus.append(&restore("r"), &["bao"]).unwrap();
    assert!(bus.set.relaxed(&wanted.dataset, bus.at_ms).is_none());
    assert_eq!(bus.set.next_due(&wanted.dataset, bus.at_ms), None);
}

/// The fold holds it to its bounds, whoever approved it, and on an unsigned bus as well.
#[test]
fn no_relaxation_is_long_late_or_of_what_is_never_relaxed() {
    let mut bus = Bus::with_contract();
    let mut contract = contract();
    contract.fields.insert("Ten".into(), crate::contract::FieldRules::default());
    let dataset = contract.dataset.clone();
    bus.set.contracts.insert(dataset.clone(), Arc::new(contract));
    let good = relaxation(&bus, "r", 72);
    let mut unsigned = bus.set.clone();
    unsigned.trust = Some(Trust::Unsigned);
    let at_ms = bus.at_ms;
    let takes = |wanted: &Relaxation, at_ms: i64| {
        let record = ControlRecord { format: FORMAT, at_ms, event: relax(wanted), signatures: vec![] };
        let (mut set, bytes) = (unsigned.clone(), serde_json::to_vec(&record).unwrap());
        set.apply(Position(99), &bytes).is_ok() && !set.relaxed(&dataset, at_ms).is_none()
    };
    assert!(takes(&good, at_ms));
    assert!(!takes(&good, at_ms - 1), "72 hours and a millisecond");
    assert!(!takes(&good, good.ends_ms), "it is over");
    assert!(takes(&Relaxation { field: Some("Ten".into()), ..good.clone() }, at_ms));
    let mut bad = vec![
        Relaxation { ends_ms: i64::MAX, ..good.clone() },
        Relaxation { dataset: "khac".parse().unwrap(), ..good.clone() },
        Relaxation { field: Some("Ma".into()), ..good.clone() }, // the record key
        Relaxation { field: Some("Khong".into()), ..good.clone() },
        Relaxation { reason: " ".into(), ..good.clone() },
        Relaxation { reason: "x".repeat(MAX_REASON_BYTES + 1), ..good.clone() },
    ];
    let never = Rule::ALL.iter().filter(|rule| rule.protects().is_some());
    bad.extend(never.map(|rule| Relaxation { rule: *rule, ..good.clone() }));
    assert_eq!(bad.len(), 6 + Rule::ALL.len() - 11);
    for (i, wanted) in bad.into_iter().enumerate() {
        assert!(!takes(&wanted, at_ms), "{wanted:?}");
        let proposal = Proposal {
            id: format!("p{i}").parse().unwrap(),
            document: Document::of_relaxation(&wanted),
            page_sha256: "00".into(),
            author: "soan".parse().unwrap(),
            deadline_ms: bus.at_ms + HOUR,
        };
        let done = bus.append(&ControlEvent::Proposal(Box::new(proposal)), &["soan"]);
        assert!(matches!(done, Err(ControlError::Refused { .. })), "{wanted:?}: {done:?}");
    }
    // A name is not used twice.
    let record = ControlRecord { format: FORMAT, at_ms, event: relax(&good), signatures: vec![] };
    let bytes = serde_json::to_vec(&record).unwrap();
    unsigned.apply(Position(99), &bytes).unwrap();
    assert!(unsigned.apply(Position(100), &bytes).is_err());
}
