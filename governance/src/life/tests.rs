//! One grant from its request to its purge, and what is explained of it.

use kenh_domain::confirm::{Claim, Confirmation, Reached};
use kenh_domain::control::{ControlEvent, ControlSet, ViewNo};
use kenh_domain::frame::Sequence;
use kenh_domain::grant::{EndReason, KeyForm, Mask};
use kenh_domain::law::Article;
use kenh_domain::limits::MAX_CARRIED_MS;
use kenh_domain::names::{GrantId, ProposalId};
use kenh_domain::schema::put_long;
use kenh_domain::topic::{Edition, Partition};
use kenh_domain::trust::{Document, Verdict};

use super::explain::Given;
use super::*;
use crate::plan::{Plan, plan};
use crate::testing::{Declaration, Signed, TEMPLATE};

const NOW: i64 = 1_795_500_000_000; // 2026-11-24
const DAY: i64 = 86_400_000;

fn id() -> GrantId {
    GrantId::new("g").unwrap()
}

/// A bus with the grant `g`: fields Ma and Tinh, of rows whose Tinh is "79", to B.
fn bus(edit: impl FnOnce(&Declaration)) -> ControlSet {
    let files = Declaration::new();
    edit(&files);
    plan(&files.read(), &ControlSet::default(), &[], NOW).unwrap_or_else(|p| panic!("{p:#?}")).after
}

fn after(set: &ControlSet, events: Vec<ControlEvent>, now: i64) -> ControlSet {
    Plan::of_events(set, events, now).unwrap().after
}

fn purged(set: &ControlSet, edition: u32) -> Confirmation {
    let grant = &set.view_of_grant(&id()).unwrap().activation.grant;
    Confirmation {
        format: 1,
        agency: grant.recipient.clone(),
        dataset: grant.dataset.clone(),
        view: grant.view.clone(),
        edition: Edition(edition),
        at_ms: NOW,
        claim: Claim::Purged { rows: 1 },
    }
}

#[test]
fn a_grant_lives_from_request_to_purge() {
    let stated = |set: &ControlSet, now: i64| life(set, &[], &id(), now).name();
    assert_eq!(stated(&ControlSet::default(), NOW), "requested");
    let set = bus(|_| {});
    let ends = set.views[&ViewNo(1)].activation.ends_ms;
    assert_eq!(life(&set, &[], &id(), NOW), State::Active { ends_ms: ends });
    let expired = State::Ended { reason: EndReason::Expired, because: String::new() };
    assert_eq!(life(&set, &[], &id(), ends), expired);

    let set = after(&set, stop(&set, &id(), EndReason::Suspended, "kiểm tra", NOW).unwrap(), NOW);
    let suspended = State::Suspended { because: "kiểm tra".into(), ends_ms: ends };
    assert_eq!(life(&set, &[], &id(), NOW + DAY), suspended);
    assert_eq!(life(&set, &[], &id(), ends), State::Ended { reason: EndReason::Expired, because: "kiểm tra".into() });
    assert_eq!(stop(&set, &id(), EndReason::Suspended, "", NOW), Err(DecideError::Suspended(id())));
    assert_eq!(resume(&set, &id(), ends), Err(DecideError::RanOut(id())));

    // It goes on in a next edition with the end that it had, and is filled anew.
    let set = after(&set, vec![resume(&set, &id(), NOW + DAY).unwrap()], NOW + DAY);
    assert_eq!(life(&set, &[], &id(), NOW + DAY), State::Active { ends_ms: ends });
    let next = &set.views[&ViewNo(2)].activation;
    assert_eq!(
        (next.edition, next.starts_ms, next.schema_id),
        (Edition(2), NOW + DAY, set.views[&ViewNo(1)].activation.schema_id)
    );
    assert_eq!(resume(&set, &id(), NOW + DAY), Err(DecideError::NotSuspended(id())));

    let events = stop(&set, &id(), EndReason::Revoked, "mục đích khác", NOW + DAY).unwrap();
    assert!(matches!(&*events, [ControlEvent::End { view_no: ViewNo(2), .. }]), "{events:?}");
    let set = after(&set, events, NOW + DAY);
    let revoked = State::Ended { reason: EndReason::Revoked, because: "mục đích khác".into() };
    assert_eq!(life(&set, &[], &id(), NOW + DAY), revoked);
    assert_eq!(stop(&set, &id(), EndReason::Revoked, "", NOW + DAY), Err(DecideError::Ended(id())));
    // The first edition's purge was confirmed when it was suspended; that says nothing of the second.
    assert_eq!(life(&set, &[purged(&set, 1)], &id(), NOW + DAY), revoked);
    // Nor does a copy of the second that is held still.
    let reached = vec![Reached { partition: Partition(0), sequence: Sequence(7) }];
    let claim = Claim::Holds { reached, rows: 1, digest: "00".into(), checkpoint: None };
    let holds = Confirmation { claim, ..purged(&set, 2) };
    assert_eq!(life(&set, &[holds], &id(), NOW + DAY), revoked);
    match life(&set, &[purged(&set, 1), purged(&set, 2)], &id(), NOW + DAY) {
        State::Purged { reason: EndReason::Revoked, evidence_until_ms } => {
            assert!(evidence_until_ms >= ends + 5 * 365 * DAY)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_suspended_can_be_revoked_and_a_document_does_not_bring_it_back() {
    let files = Declaration::new();
    let set = plan(&files.read(), &ControlSet::default(), &[], NOW).unwrap().after;
    let set = after(&set, stop(&set, &id(), EndReason::Suspended, "", NOW).unwrap(), NOW);
    let again = plan(&files.read(), &set, &[], NOW).unwrap();
    assert!(again.events.is_empty(), "{:?}", again.events);
    files.edit("g.yaml", "To try", "To try again");
    let changed = plan(&files.read(), &set, &[], NOW).unwrap_err();
    assert!(changed[0].message.contains("suspended"), "{changed:?}");
    files.edit("g.yaml", "kind: Grant", "kind: Grant\nstate: ended");
    let ended = plan(&files.read(), &set, &[], NOW).unwrap().after;
    assert_eq!(ended.views[&ViewNo(1)].ended.unwrap().1, EndReason::Ended);
    let revoked = after(&set, stop(&set, &id(), EndReason::Revoked, "x", NOW).unwrap(), NOW);
    assert_eq!(revoked.views[&ViewNo(1)].ended.unwrap().1, EndReason::Revoked);
}

/// A bus where people sign, on which everything is decided but the grant; and the grant, as it would be released.
fn before_the_grant(files: &Declaration) -> Signed {
    let mut bus = Signed::new(NOW);
    let grant = std::fs::read_to_string(files.file("g.yaml")).unwrap();
    std::fs::remove_file(files.file("g.yaml")).unwrap();
    bus.apply(files);
    files.write("g.yaml", &grant);
    let schema = bus.planned(files).remove(0);
    bus.put(&schema, &[]).unwrap();
    bus
}

fn release(bus: &Signed, files: &Declaration) -> ControlEvent {
    bus.planned(files).pop().unwrap()
}

fn document(event: &ControlEvent) -> Document {
    let ControlEvent::Grant(activation) = event else { panic!("{event:?}") };
    Document::of_grant(&activation.grant)
}

#[test]
fn where_people_sign_a_grant_is_proposed_approved_taken_up_and_in_force() {
    let files = Declaration::new();
    let mut bus = before_the_grant(&files);
    let proposal: ProposalId = "g1".parse().unwrap();
    let stands = |bus: &Signed| life(&bus.set, &[], &id(), bus.now);
    let lacks = |bus: &Signed| match stands(bus) {
        State::Proposed { proposal: named, deadline_ms, lacks } => {
            assert_eq!((&named, deadline_ms), (&proposal, bus.set.proposals[&proposal].proposal.deadline_ms));
            lacks
        }
        other => panic!("{other:?}"),
    };
    let both = "the approval of the owner and of the data-protection-officer of A, not the author";
    let (owner, recipient) = ("the approval of the owner of A, not the author", "that a recipient of B takes it up");
    assert_eq!(stands(&bus), State::Requested);
    bus.propose("g1", document(&release(&bus, &files)));
    assert_eq!(lacks(&bus), [both, recipient]);
    bus.vote("g1", "bao", Verdict::Approve);
    assert_eq!(lacks(&bus), [owner, recipient]);

    // Nobody decides in time.
    let deadline = bus.set.proposals[&proposal].proposal.deadline_ms;
    let refused = |reasons: &[&str]| State::Refused {
        proposal: proposal.clone(),
        reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
    };
    assert_eq!(life(&bus.set, &[], &id(), deadline - 1).name(), "proposed");
    assert_eq!(life(&bus.set, &[], &id(), deadline), refused(&[]));

    bus.vote("g1", "chu", Verdict::Approve);
    assert_eq!(stands(&bus), State::Approved { proposal: proposal.clone() });
    // The officer refuses, with reason, and takes it back.
    bus.vote("g1", "bao", Verdict::Refuse);
    assert_eq!(stands(&bus), refused(&["thiếu căn cứ (Nghị định 194/2025/NĐ-CP, Điều 16)"]));
    bus.put(&release(&bus, &files), &[]).unwrap_err();
    bus.vote("g1", "bao", Verdict::Approve);
    bus.put(&release(&bus, &files), &[]).unwrap_err();
    bus.vote("g1", "nhan", Verdict::TakeUp);
    let taken_up = State::TakenUp { proposal: proposal.clone() };
    assert_eq!(stands(&bus), taken_up);
    // Votes are over at the deadline, and what is decided then may still be released for 90 days.
    let lapses = deadline + MAX_CARRIED_MS;
    assert_eq!(life(&bus.set, &[], &id(), lapses - 1), taken_up);
    assert_eq!(life(&bus.set, &[], &id(), lapses), refused(&[]));

    bus.put(&release(&bus, &files), &[]).unwrap();
    let ends_ms = bus.set.views[&ViewNo(1)].activation.ends_ms;
    assert_eq!(stands(&bus), State::Active { ends_ms });
}

#[test]
fn an_emergency_is_approved_by_one_person() {
    let files = Declaration::new();
    files.write("t.yaml", &TEMPLATE.replace("maxD", "emergency: true\nmaxD"));
    files.edit("g.yaml", "duration: P12M", "template: t\nemergency: true\nduration: P3D");
    let mut bus = before_the_grant(&files);
    let stands = |bus: &Signed| life(&bus.set, &[], &id(), bus.now).name();
    bus.propose("g1", document(&release(&bus, &files)));
    assert_eq!(stands(&bus), "proposed");
    bus.vote("g1", "bao", Verdict::Approve);
    assert_eq!(stands(&bus), "approved");
    bus.vote("g1", "nhan", Verdict::TakeUp);
    assert_eq!(stands(&bus), "taken-up");
    bus.put(&release(&bus, &files), &[]).unwrap();
    assert_eq!(stands(&bus), "active");
    let activation = &bus.set.views[&ViewNo(1)].activation;
    assert!(activation.grant.emergency && activation.ends_ms == activation.starts_ms + 3 * DAY);
    assert_eq!(life(&bus.set, &[], &id(), activation.ends_ms).name(), "ended");
}

#[test]
fn an_article_lists_what_stands_on_it_and_an_agency_what_is_to_be_signed_again() {
    let set = bus(|_| {});
    let article = |citation: &str| Article {
        id: "luat".parse().unwrap(),
        citation: citation.into(),
        title_en: "Law".into(),
        from: "2020-01-01".parse().unwrap(),
        until: None,
    };
    assert_eq!(resting_on(&set, &article("A law"), NOW).len(), 1);
    assert_eq!(resting_on(&set, &article("Another"), NOW).len(), 0);
    // A provides the dataset and answers for it, B receives.
    for (agency, n) in [("A", 1), ("B", 1), ("C", 0)] {
        assert_eq!(touched_by(&set, &agency.parse().unwrap(), NOW).len(), n, "{agency}");
    }
    let set = after(&set, stop(&set, &id(), EndReason::Revoked, "", NOW).unwrap(), NOW);
    assert_eq!(resting_on(&set, &article("A law"), NOW).len(), 0);
    assert_eq!(touched_by(&set, &"B".parse().unwrap(), NOW).len(), 0);
}

/// The Avro body of a record: three texts and a number.
fn record(texts: &[&str], age: Option<i64>) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        put_long(i64::try_from(text.len()).unwrap(), &mut out);
        out.extend_from_slice(text.as_bytes());
    }
    if let Some(age) = age {
        put_long(age, &mut out);
    }
    out
}

#[test]
fn a_grant_is_explained_on_a_record_on_a_row_and_on_a_key_that_is_not_held() {
    let set = bus(|files| {
        files.edit("g.yaml", "[Ma, Tinh]", "[{path: Ma, as: So}, {path: Tinh, as: T}, {path: Tuoi, mask: null}]");
        files.edit("g.yaml", "Tinh == '79'", "Tinh == '79' && Ma != 'x'");
    });
    let ask = |sample: Sample<'_>| explain(&set, &id(), NOW, sample).unwrap();
    let outcome = |e: &Explanation| e.rows.terms.iter().map(|t| t.holds).collect::<Vec<_>>();

    let inside = ask(Sample::Record(&record(&["1", "BI MAT", "79"], Some(4))));
    assert_eq!((inside.receives, outcome(&inside)), (Some(true), vec![true, true]));
    assert_eq!(inside.providers.iter().map(|p| p.may_write).collect::<Vec<_>>(), [true]);
    let given: Vec<_> = inside.fields.iter().map(|f| (f.path.as_str(), f.view_name.as_deref(), f.given)).collect();
    let wanted = [
        ("Ma", Some("So"), Given::Granted),
        ("Ten", None, Given::NotGranted),
        ("Tinh", Some("T"), Given::Granted),
        ("Tuoi", Some("Tuoi"), Given::Masked),
    ];
    assert_eq!(given, wanted);
    assert!(!serde_json::to_string(&inside).unwrap().contains("BI MAT"), "an explanation tells no values");

    let outside = ask(Sample::Record(&record(&["x", "", "01"], Some(4))));
    assert_eq!((outside.receives, outcome(&outside)), (Some(false), vec![false, false]));
    // A row of the copy has the names of the view, and no more fields than it.
    let mut row = record(&["1", "79"], None);
    put_long(0, &mut row);
    let row = ask(Sample::Row(&row));
    assert_eq!((row.receives, outcome(&row)), (Some(true), vec![true, true]));
    assert_eq!(row.rows.terms[0].term, "Tinh == \"79\"", "in the grant's own words");
    let absent = ask(Sample::NotHeld);
    assert_eq!((absent.receives, absent.rows.terms.len()), (Some(false), 0));
    assert_eq!(ask(Sample::None).receives, None);

    let over = explain(&set, &id(), NOW + 400 * DAY, Sample::Record(&record(&["1", "", "79"], Some(4)))).unwrap();
    assert_eq!((over.in_force, over.receives, over.rows.holds), (false, Some(false), Some(true)));
    assert!(matches!(explain(&set, &"h".parse().unwrap(), NOW, Sample::None), Err(ExplainError::NoGrant(_))));
    assert!(matches!(explain(&set, &id(), NOW, Sample::Record(b"\x02")), Err(ExplainError::Sample(_))));
    let grant = &set.views[&ViewNo(1)].activation.grant;
    assert_eq!((grant.key, &grant.fields[2].mask), (KeyForm::Clear, &Some(Mask::Null)));
}

#[test]
fn the_table_in_the_documentation_is_the_one_in_the_code() {
    let docs = include_str!("../../../docs/grants.md");
    let mut at = 0;
    for line in state::TABLE {
        let row = format!("| {} ({}) | {} | {} | {} |", line.state, line.vi, line.signs, line.event, line.deadline);
        let found = docs[at..].find(&row).unwrap_or_else(|| panic!("docs/grants.md lacks, in this order: {row}"));
        at += found + row.len();
    }
}
