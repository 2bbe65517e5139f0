//! What a declaration changes, over a control set that each plan is folded into.

use kenh_domain::control::ViewNo;
use kenh_domain::grant::EndReason;
use kenh_domain::law::Day;
use kenh_domain::log::Retention;

mod history;
mod last_day;

use super::*;
use crate::declared::read;
use crate::testing::{AVSC, Declaration, GRANT, Signed, TEMPLATE};

const YEAR_MS: i64 = 365 * 86_400_000;

/// A declaration on disk and the bus that it was applied to so far.
struct Bus {
    files: Declaration,
    set: ControlSet,
    now: i64,
}

impl Bus {
    fn new() -> Self {
        Self { files: Declaration::new(), set: ControlSet::default(), now: 1_000 }
    }

    fn applied() -> Self {
        let mut bus = Self::new();
        bus.apply();
        bus
    }

    fn plan(&self) -> Result<Plan, Vec<Problem>> {
        let declared = self.files.read();
        let existing: Vec<TopicSpec> = layout::places(&self.set, self.now).into_values().map(|p| p.spec).collect();
        let existing = if self.set.trust.is_some() { existing } else { Vec::new() };
        plan(&declared, &self.set, &existing, self.now)
    }

    fn apply(&mut self) -> Plan {
        let plan = self.plan().unwrap_or_else(|p| panic!("{p:#?}"));
        self.set = plan.after.clone();
        plan
    }

    fn problems(&self) -> Vec<String> {
        let base = format!("{}/", self.files.path().display());
        self.plan().expect_err("it was planned").iter().map(|p| p.to_string().replace(&base, "")).collect()
    }
}

/// The lines of a plan that are not `unchanged`.
fn lines(plan: &Plan) -> Vec<String> {
    plan.changes.iter().filter(|c| c.action != Action::Unchanged).map(ToString::to_string).collect()
}

/// The kinds of events, with what tells them apart.
fn events(plan: &Plan) -> Vec<String> {
    plan.events
        .iter()
        .map(|event| match event {
            ControlEvent::Genesis { .. } => "genesis".into(),
            ControlEvent::Agency(a) => format!("agency {}", a.name),
            ControlEvent::Schema(s) => format!("schema {} {}", s.id, s.subject),
            ControlEvent::Contract(c) => format!("contract {}", c.dataset),
            ControlEvent::Grant(a) => format!("grant {} as {} {}", a.grant.id, a.view_no.0, a.topic()),
            ControlEvent::Renewal { view_no, grant, .. } => format!("renewal {} by {}", view_no.0, grant.id),
            ControlEvent::End { view_no, reason, .. } => format!("end {} {reason:?}", view_no.0),
            ControlEvent::Epoch { .. } => "epoch".into(),
            ControlEvent::Law(article) => format!("law {}", article.id),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_new_bus_gets_everything_in_order() {
    let plan = Bus::new().plan().unwrap();
    assert_eq!(
        events(&plan),
        [
            "genesis",
            "schema 1 kenh.SubmissionEnd",
            "agency A",
            "agency B",
            "schema 2 thu-value",
            "schema 3 in.thu.A-value",
            "contract thu",
            "schema 4 view.B.thu.main.1-value",
            "grant g as 1 view.B.thu.main.1",
        ]
    );
    assert!(!plan.is_empty());
    assert_eq!(plan.count(Action::Create), 5);
    let view = &plan.after.views[&ViewNo(1)].activation;
    assert_eq!(view.starts_ms, 1_000);
    assert_eq!(view.secret_label, "pseudonym/B/To try/1");
}

#[test]
fn a_second_run_finds_nothing_to_do_however_much_later() {
    let mut bus = Bus::applied();
    for now in [1_000, YEAR_MS / 2, 3 * YEAR_MS] {
        bus.now = now;
        let plan = bus.plan().unwrap();
        assert!(plan.is_empty(), "{:?}", lines(&plan));
        assert!(plan.events.is_empty());
    }
    let last = bus.plan().unwrap().changes.into_iter().find(|c| c.kind == Kind::Grant).unwrap();
    assert!(last.words[0].starts_with("its time ran out on 1971-01-01"), "{last}");
}

#[test]
fn absence_ends_nothing() {
    let bus = Bus::applied();
    for file in ["g.yaml", "b.yaml"] {
        std::fs::remove_file(bus.files.file(file)).unwrap();
    }
    assert!(bus.plan().unwrap().is_empty());
}

#[test]
fn other_words_renew_and_leave_the_view_as_it_is() {
    for (from, to, word) in [
        ("To try", "To try again", "purpose: \"To try\" → \"To try again\""),
        ("[b-portal]", "[b-two]", "systems + b-two"),
        ("[A law]", "[A law, Another]", "legal basis + Another"),
        ("P12M", "P6M", "duration: \"P12M\" → \"P6M\""),
        ("duration: P12M", "ends: 1970-06-30", "how long it holds: \"P12M\" → \"until 1970-06-30\""),
    ] {
        let mut bus = Bus::applied();
        bus.now = 50_000;
        bus.files.edit("g.yaml", from, to);
        let plan = bus.apply();
        assert_eq!(events(&plan), ["renewal 1 by g"], "{to}");
        assert!(lines(&plan)[0].contains(word), "{:?}", lines(&plan));
        assert!(bus.plan().unwrap().is_empty(), "a second run renews again");
    }
}

#[test]
fn a_duration_counts_from_the_activation() {
    let mut bus = Bus::applied();
    bus.now = YEAR_MS / 4;
    bus.files.edit("g.yaml", "P12M", "P180D");
    bus.apply();
    assert_eq!(bus.set.views[&ViewNo(1)].activation.ends_ms, 180 * 86_400_000 + 17 * 3_600_000);
    // 1 January 1970, 07:00:01 there, and 180 days: to the end of 30 June.
}

#[test]
fn spaces_in_a_filter_are_no_other_shape() {
    let mut bus = Bus::applied();
    bus.files.edit("g.yaml", "Tinh == '79'", "(Tinh=='79')");
    assert_eq!(events(&bus.apply()), ["renewal 1 by g"]);
}

#[test]
fn wider_is_filled_beside_the_first() {
    for (from, to) in [("[Ma, Tinh]", "[Ma, Tinh, Tuoi]"), ("filter: Tinh == '79'\n", "")] {
        let mut bus = Bus::applied();
        bus.files.edit("g.yaml", from, to);
        let plan = bus.apply();
        let last = events(&plan).pop().unwrap();
        assert_eq!(last, "grant g as 2 view.B.thu.main.2", "{to:?}");
        assert!(
            plan.events.iter().all(|e| !matches!(e, ControlEvent::End { .. })),
            "the first ends when the second is filled"
        );
        assert!(bus.plan().unwrap().is_empty());
    }
}

#[test]
fn narrower_ends_the_first_before_the_second_starts() {
    for (from, to) in [
        ("[Ma, Tinh]", "[Ma, {path: Tinh, as: Code}]"),
        ("Tinh == '79'", "Tinh == '01'"),
        ("Tinh == '79'", "Tinh == '79' && Ma != 'x'"),
        ("duration", "key: pseudonym\nduration"),
    ] {
        let mut bus = Bus::applied();
        bus.files.edit("g.yaml", from, to);
        let events = events(&bus.apply());
        assert_eq!(events.first().unwrap(), "end 1 Superseded", "{to}");
        assert_eq!(events.last().unwrap(), "grant g as 2 view.B.thu.main.2", "{to}");
    }
}

#[test]
fn narrowing_while_a_wider_edition_fills_ends_both() {
    let mut bus = Bus::applied();
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    bus.apply();
    bus.files.edit("g.yaml", "[Ma, Tinh, Tuoi]", "[Ma, {path: Tinh, mask: {last: 1}}]");
    bus.files.edit("g.yaml", "filter: Tinh == '79'\n", "");
    let events = events(&bus.apply());
    assert_eq!(events[..2], ["end 1 Superseded", "end 2 Superseded"]);
    assert_eq!(events.last().unwrap(), "grant g as 3 view.B.thu.main.3");
}

#[test]
fn a_system_struck_off_is_struck_off_every_edition() {
    let mut bus = Bus::applied();
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    bus.apply();
    bus.files.edit("g.yaml", "[b-portal]", "[b-two]");
    assert_eq!(events(&bus.apply()), ["renewal 1 by g", "renewal 2 by g"]);
    let first = &bus.set.views[&ViewNo(1)].activation.grant;
    assert_eq!(first.fields.len(), 2, "the first edition keeps its shape");
    assert_eq!(first.systems[0].as_str(), "b-two");
}

#[test]
fn an_ended_grant_ends_once_and_its_id_is_never_used_again() {
    let mut bus = Bus::applied();
    bus.files.edit("g.yaml", "kind: Grant", "kind: Grant\nstate: ended");
    assert_eq!(events(&bus.apply()), ["end 1 Ended"]);
    assert!(bus.plan().unwrap().is_empty());
    bus.files.edit("g.yaml", "state: ended", "state: active");
    assert!(bus.problems()[0].starts_with("g.yaml:3:5: grant g has ended, and its id is never used again"));
    bus.files.edit("g.yaml", "id: g", "id: g2");
    assert_eq!(events(&bus.apply()), ["grant g2 as 2 view.B.thu.main.2"]);
}

#[test]
fn a_grant_may_take_over_the_view_of_one_that_ends() {
    let mut bus = Bus::applied();
    bus.now = YEAR_MS / 2;
    bus.files.write("h.yaml", &GRANT.replace("id: g", "id: h"));
    assert!(bus.problems()[0].contains("grants g and h both make view B.thu.main"));
    std::fs::remove_file(bus.files.file("g.yaml")).unwrap();
    assert!(bus.problems()[0].contains("view B.thu.main is held by grant g"));
    bus.files.write("g.yaml", &GRANT.replace("kind: Grant", "kind: Grant\nstate: ended"));
    let plan = bus.apply();
    assert_eq!(events(&plan), ["renewal 1 by h"], "same shape, same topic");
    assert!(bus.set.views[&ViewNo(1)].activation.ends_ms > YEAR_MS + YEAR_MS / 4, "it counts from now");
    assert!(bus.plan().unwrap().is_empty());
    bus.files.write("g.yaml", GRANT);
    std::fs::remove_file(bus.files.file("h.yaml")).unwrap();
    assert!(bus.problems()[0].contains("another took its place"));
}

#[test]
fn with_another_shape_the_view_of_the_one_that_ends_is_not_taken_over() {
    let mut bus = Bus::applied();
    bus.files.edit("g.yaml", "kind: Grant", "kind: Grant\nstate: ended");
    bus.files.write("h.yaml", &GRANT.replace("id: g", "id: h").replace("[Ma, Tinh]", "[Ma, Tinh, Tuoi]"));
    let events = events(&bus.apply());
    assert_eq!(events.first().unwrap(), "end 1 Ended");
    assert_eq!(events.last().unwrap(), "grant h as 2 view.B.thu.main.2");
}

#[test]
fn a_revoked_grant_must_be_declared_ended() {
    let mut bus = Bus::applied();
    let event = ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Revoked, because: String::new() };
    let record = ControlRecord { format: FORMAT, at_ms: 0, event, signatures: vec![] };
    bus.set.apply(Position(99), &serde_json::to_vec(&record).unwrap()).unwrap();
    assert!(bus.problems()[0].contains("write `state: ended`"));
    bus.files.edit("g.yaml", "kind: Grant", "kind: Grant\nstate: ended");
    assert!(bus.plan().unwrap().is_empty());
}

#[test]
fn equal_shapes_share_a_schema_id() {
    let mut bus = Bus::applied();
    bus.files.write(
        "h.yaml",
        &GRANT.replace("id: g", "id: h").replace("recipient: B", "recipient: A").replace("b-portal", "a-portal"),
    );
    assert_eq!(events(&bus.apply()), ["grant h as 2 view.A.thu.main.1"]);
    assert_eq!(bus.set.views[&ViewNo(2)].activation.schema_id, bus.set.views[&ViewNo(1)].activation.schema_id);
}

#[test]
fn a_new_schema_version_changes_no_view() {
    let mut bus = Bus::applied();
    bus.files.write("thu/v2.avsc", &AVSC.replace("]}", r#",{"name":"Moi","type":["null","string"],"default":null}]}"#));
    bus.files.edit("thu/contract.yaml", "1.0.0", "1.1.0");
    bus.files.edit(
        "thu/contract.yaml",
        "      - {name: Tuoi",
        "      - {name: Moi, logicalType: string}\n      - {name: Tuoi",
    );
    let plan = bus.apply();
    assert_eq!(events(&plan), ["schema 5 thu-value", "schema 6 in.thu.A-value", "contract thu"]);
    assert!(lines(&plan)[0].contains("schema + v2"), "{:?}", lines(&plan));
    assert_eq!(bus.set.contracts.values().next().unwrap().schemas.len(), 2);
    assert!(bus.plan().unwrap().is_empty());
}

/// Each edit of an applied declaration is refused with a message that starts so.
#[test]
fn every_refusal_names_the_place() {
    let wider_avsc = AVSC.replace(r#"{"name":"Tuoi","type":"int"}"#, r#"{"name":"Tuoi","type":["null","int"]}"#);
    let table: &[(&str, &str, &str, &str)] = &[
        ("g.yaml", "recipient: B", "recipient: C", "g.yaml:3:12: there is no agency C"),
        ("g.yaml", "b-portal", "a-portal", "g.yaml:4:10: a-portal is not a system of B (it has: b-portal, b-two)"),
        ("g.yaml", "dataset: thu", "dataset: khac", "g.yaml:5:10: there is no dataset khac"),
        ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tinhh]", "g.yaml:8:20: grant g: there is no field Tinhh"),
        ("g.yaml", "[Ma, Tinh]", "[Tinh]", "g.yaml:8:9: grant g: the record key holds Ma, which is not granted"),
        ("g.yaml", "Tinh == '79'", "Ten == 'x'", "g.yaml:9:9: grant g: the filter names Ten, which is not granted"),
        ("g.yaml", "Tinh == '79'", "Tinh == 79", "g.yaml:9:"),
        ("g.yaml", "Tinh == '79'", "Tinh ==", "g.yaml:9:"),
        ("g.yaml", "Tinh == '79'", "Tinh == '79' && Tihn == '1'", "g.yaml:9:25: the filter does not fit: "),
        (
            "g.yaml",
            "dataset: thu",
            "dataset: thu\nview: other",
            "g.yaml:2:5: grant g makes view B.thu.main and cannot move to B.thu.other",
        ),
        (
            "thu/v1.avsc",
            AVSC,
            &wider_avsc,
            "thu/contract.yaml:1:1: v1.avsc is released and was edited (restore it, and put the change into v2.avsc)",
        ),
        (
            "thu/contract.yaml",
            "{name: Tinh, logicalType: string}",
            "{name: Tinh, logicalType: string, description: x}",
            "thu/contract.yaml:4:10: the contract has changed and its version is 1.0.0; 1.0.0 is in force (raise the version)",
        ),
        (
            "thu/contract.yaml",
            "schema:",
            "customProperties: [{property: kenh.partitions, value: 2}]\nschema:",
            "thu/contract.yaml:7:55: the dataset has 1 partition and cannot have 2",
        ),
        ("thu/contract.yaml", "{name: A}", "{name: C}", "thu/contract.yaml:6:7: there is no agency C"),
        (
            "thu/contract.yaml",
            "schema:",
            "customProperties: [{property: kenh.providers, value: [{agency: A, rows: Tinh == 1}]}]\nschema:",
            "thu/contract.yaml:7:54: the rows of A: ",
        ),
        ("b.yaml", "b-two", "a-two", "b.yaml:5:10: system a-two belongs to A already"),
        ("b.yaml", "[b-portal, b-two]", "[b-two]", "g.yaml:4:10: b-portal is not a system of B"),
    ];
    let mut wrong = Vec::new();
    for (file, from, to, expected) in table {
        let bus = Bus::applied();
        bus.files.edit(file, from, to);
        let problems = bus.problems();
        if !problems.iter().any(|p| p.starts_with(expected)) {
            wrong.push(format!("{from:?} → {to:?}\nwanted {expected}\ngot {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A rule that means nothing for its field would stop admission; it is refused while it is still words in a file.
#[test]
fn a_rule_that_cannot_be_enforced_is_refused() {
    let table = [
        ("{name: Tinh, logicalType: string, logicalTypeOptions: {pattern: '('}}", "Tinh: "),
        ("{name: Tinh, logicalType: string, logicalTypeOptions: {minimum: 1}}", "Tinh: "),
        ("{name: Tinh, logicalType: string, customProperties: [{property: kenh.element, value: so-gi-do}]}", "Tinh: "),
    ];
    for (property, message) in table {
        let bus = Bus::new();
        bus.files.edit("thu/contract.yaml", "{name: Tinh, logicalType: string}", property);
        let problems = bus.problems();
        assert!(problems[0].starts_with(&format!("thu/contract.yaml:12:9: {message}")), "{problems:#?}");
    }
    let bus = Bus::new();
    let integer = "{name: Tuoi, logicalType: integer, logicalTypeOptions: {maxLength: 3}}";
    bus.files.edit("thu/contract.yaml", "{name: Tuoi, logicalType: integer}", integer);
    assert!(bus.problems()[0].starts_with("thu/contract.yaml:13:9: Tuoi: "));
}

#[test]
fn a_filter_beyond_every_bound_is_refused_with_its_place() {
    let terms = |n: usize| vec!["Tinh=='7'"; n].join("||");
    for (filter, message) in [
        (
            terms(10_000),
            "g.yaml:9:16394: the filter does not fit: the filter has 109998 bytes; at most 16384 are allowed",
        ),
        (terms(1_100), "g.yaml:9:"),
        (format!("Tinh in [{}]", vec!["'7'"; 2_000].join(",")), "g.yaml:9:"),
        (format!("{}Tinh == '7'{}", "(".repeat(3_000), ")".repeat(3_000)), "g.yaml:9:"),
    ] {
        let bus = Bus::applied();
        bus.files.edit("g.yaml", "Tinh == '79'", &format!("\"{filter}\""));
        let problems = bus.problems();
        assert!(problems[0].starts_with(message), "{problems:#.200?}");
        assert!(problems[0].len() < 500, "a message repeats no filter");
    }
}

/// What is refused is refused whole: a good change beside a bad one is not made either.
#[test]
fn nothing_is_planned_of_a_declaration_with_a_problem() {
    let mut bus = Bus::applied();
    let before = bus.set.clone();
    bus.files.edit("b.yaml", "title: B", "title: Another");
    bus.files.edit("g.yaml", "Tinh == '79'", "Tihn == '79'");
    assert_eq!(bus.problems().len(), 1);
    assert_eq!(bus.set, before);
    bus.files.edit("g.yaml", "Tihn == '79'", "Tinh == '79'");
    assert_eq!(events(&bus.apply()), ["agency B"]);
}

#[test]
fn a_schema_version_that_does_not_fit_is_refused() {
    let bus = Bus::applied();
    bus.files.write("thu/v2.avsc", &AVSC.replace("\"int\"", "\"string\""));
    bus.files.edit("thu/contract.yaml", "integer", "string");
    bus.files.edit("thu/contract.yaml", "1.0.0", "1.1.0");
    let problems = bus.problems();
    assert!(
        problems[0].starts_with("thu/contract.yaml:13:9: v2.avsc does not fit v1.avsc: type-changed: field Tuoi"),
        "{problems:?}"
    );
}

#[test]
fn a_schema_version_that_breaks_a_grant_in_force_is_refused() {
    let bus = Bus::applied();
    // Null where the granted field has none: readable by Avro's rules, but the view's schema is fixed.
    bus.files.write("thu/v2.avsc", &AVSC.replace(r#""Tinh","type":"string""#, r#""Tinh","type":["null","string"]"#));
    bus.files.edit("thu/contract.yaml", "1.0.0", "1.1.0");
    let problems = bus.problems();
    assert!(
        problems.iter().any(|p| p.starts_with("thu/contract.yaml:4:10: this version breaks a grant in force: ")),
        "{problems:?}"
    );
}

#[test]
fn a_system_that_a_grant_in_force_names_cannot_go() {
    let bus = Bus::applied();
    std::fs::remove_file(bus.files.file("g.yaml")).unwrap();
    bus.files.edit("b.yaml", "[b-portal, b-two]", "[b-two]");
    assert!(bus.problems()[0].starts_with("b.yaml:5:10: grant g names system b-portal, which is gone from here"));
}

#[test]
fn filters_that_no_index_helps_are_few() {
    let bus = Bus::new();
    for i in 0..9 {
        let grant = GRANT.replace("id: g", &format!("id: s{i}\nview: s{i}")).replace("Tinh == '79'", "Tinh != '79'");
        bus.files.write(&format!("s{i}.yaml"), &grant);
    }
    let problems = bus.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("s8.yaml:10:9: thu has 8 grants already"), "{problems:?}");
}

/// A wider edition would be the ninth beside the present one: it would never be filled, and the present one never end.
#[test]
fn one_of_as_many_as_may_be_is_not_widened_but_narrowed() {
    let mut bus = Bus::new();
    for i in 0..8 {
        let grant = GRANT.replace("id: g", &format!("id: s{i}\nview: s{i}")).replace("Tinh == '79'", "Tinh != '79'");
        bus.files.write(&format!("s{i}.yaml"), &grant.replace("[Ma, Tinh]", "[Ma, Tinh, Tuoi]"));
    }
    bus.apply();
    bus.files.edit("s3.yaml", "[Ma, Tinh, Tuoi]", "[Ma, Tinh, Tuoi, Ten]");
    let problems = bus.problems();
    assert_eq!(problems.len(), 1);
    let wanted = "s3.yaml:10:9: thu has 8 grants already whose filter must be asked for every record; a wider edition";
    assert!(problems[0].starts_with(wanted), "{problems:?}");
    bus.files.edit("s3.yaml", "[Ma, Tinh, Tuoi, Ten]", "[Ma, Tinh]");
    bus.apply();
    assert!(bus.plan().unwrap().is_empty());
}

#[test]
fn a_topic_that_is_missing_is_made_and_one_of_other_partitions_refused() {
    let bus = Bus::applied();
    let declared = bus.files.read();
    let mut existing: Vec<TopicSpec> = layout::places(&bus.set, bus.now).into_values().map(|p| p.spec).collect();
    let data = existing.iter().position(|s| s.topic.to_string() == "data.thu").unwrap();
    existing[data].partitions = 3;
    assert!(plan(&declared, &bus.set, &existing, bus.now).unwrap_err()[0].message.contains("has 3 partitions"));
    existing.remove(data);
    let plan = plan(&declared, &bus.set, &existing, bus.now).unwrap();
    assert_eq!(lines(&plan), ["create    topic    data.thu: it is missing at the log"]);
}

#[test]
fn a_topic_that_is_kept_for_another_time_is_changed() {
    let bus = Bus::applied();
    let mut existing: Vec<TopicSpec> = layout::places(&bus.set, bus.now).into_values().map(|p| p.spec).collect();
    let data = existing.iter().position(|s| s.topic.to_string() == "data.thu").unwrap();
    existing[data].retention = Retention::Days(7);
    let plan = plan(&bus.files.read(), &bus.set, &existing, bus.now).unwrap();
    assert_eq!(lines(&plan), ["change    topic    data.thu: kept 7 days at the log, not for ever"]);
    assert!(plan.events.is_empty() && !plan.is_empty());
}

#[test]
fn what_is_shipped_can_be_planned_and_then_has_nothing_to_do() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let declared = read(&["schemas", "broker-config"].map(|p| root.join(p))).unwrap_or_else(|p| panic!("{p:#?}"));
    let now = 1_795_500_000_000; // 2026-11-24
    let first = plan(&declared, &ControlSet::default(), &[], now).unwrap_or_else(|p| panic!("{p:#?}"));
    assert_eq!(first.after.views.len(), 7);
    let existing: Vec<TopicSpec> = layout::places(&first.after, now + 1).into_values().map(|p| p.spec).collect();
    let second = plan(&declared, &first.after, &existing, now + 1).unwrap_or_else(|p| panic!("{p:#?}"));
    assert!(second.is_empty(), "{:?}", lines(&second));
}

/// A grant under a template, and on an article of law.
const LAW: &str = "kind: Law
id: a-law
citation: A law
titleEn: A law
from: \"1960-01-01\"
";

/// A file, what it says, and what it says instead.
type FileEdit = (&'static str, &'static str, &'static str);

#[test]
fn a_grant_is_held_to_law_term_and_template() {
    let emergency = "template: t\nemergency: true\nduration: P3D";
    // What the grant, the template and the law say otherwise, and the refusal; none: it is planned.
    let table: &[(&[FileEdit], &str)] = &[
        (&[("g.yaml", "P12M", "P13M")], ""),
        (
            &[("g.yaml", "P12M", "P13M"), ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]")],
            "g.yaml:10:11: it gives personal data of thu, and P13M is more than twelve months",
        ),
        (
            &[("g.yaml", "P12M", "P13M"), ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, {path: Ten, mask: hash}]")],
            "g.yaml:10:11: it gives personal data",
        ),
        (&[("g.yaml", "duration: P12M", "ends: 1972-03-31")], ""),
        (&[("g.yaml", "duration: P12M", "ends: 1970-01-01")], ""),
        (&[("g.yaml", "duration: P12M", "ends: 1969-12-31")], "g.yaml:10:7: its last day, 1969-12-31, is over"),
        (&[("g.yaml", "duration: P12M", "ends: 1971-01-01"), ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]")], ""),
        (
            &[("g.yaml", "duration: P12M", "ends: 1971-01-02"), ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]")],
            "g.yaml:10:7: it gives personal data of thu, and 1971-01-02 is more than twelve months after its activation",
        ),
        (&[("l.yaml", "1960", "1980")], "g.yaml:7:13: article a-law is not in force: it is from 1980-01-01"),
        (&[("l.yaml", "from", "until: \"1969-12-31\"\nfrom")], "g.yaml:7:13: article a-law is not in force"),
        (&[("l.yaml", "from", "until: \"1959-12-31\"\nfrom")], "l.yaml:5:8: article a-law would end before it begins"),
        (
            &[("l.yaml", "1960-01-01", "1960-02-30")],
            "l.yaml:5:7: the first day of an article: \"1960-02-30\" is not a day",
        ),
        (&[("g.yaml", "duration: P12M", "template: t\nduration: P6M")], ""),
        (&[("g.yaml", "duration: P12M", "template: u\nduration: P6M")], "g.yaml:10:11: there is no template u"),
        (
            &[("g.yaml", "duration: P12M", "template: t\nduration: P7M")],
            "g.yaml:11:11: P7M is longer than template t allows",
        ),
        (&[("g.yaml", "duration: P12M", "template: t\nends: 1970-07-01")], ""),
        (
            &[("g.yaml", "duration: P12M", "template: t\nends: 1970-07-02")],
            "g.yaml:11:7: 1970-07-02 is later than template t allows (grant it for less)",
        ),
        (
            &[("g.yaml", "duration: P12M", "template: t\nduration: P6M"), ("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]")],
            "g.yaml:8:20: template t does not give Ten",
        ),
        (
            &[("g.yaml", "duration: P12M", "template: t\nduration: P6M"), ("g.yaml", "To try", "For fun")],
            "g.yaml:6:10: template t does not serve this purpose (it serves: To try)",
        ),
        (
            &[("g.yaml", "duration: P12M", "template: t\nduration: P6M"), ("t.yaml", "dataset: thu", "dataset: khac")],
            "g.yaml:5:10: template t is not for thu",
        ),
        (
            &[("g.yaml", "duration", "emergency: true\nduration")],
            "g.yaml:10:12: an emergency grant is made from a template only",
        ),
        (&[("g.yaml", "duration: P12M", emergency)], "g.yaml:11:12: template t is not for emergencies"),
        (&[("g.yaml", "duration: P12M", emergency), ("t.yaml", "maxD", "emergency: true\nmaxD")], ""),
        (
            &[
                ("g.yaml", "duration: P12M", emergency),
                ("g.yaml", "duration: P3D", "ends: 1970-01-03"),
                ("t.yaml", "maxD", "emergency: true\nmaxD"),
            ],
            "",
        ),
        (
            // At seven in the morning, 72 hours are not the whole of that day.
            &[
                ("g.yaml", "duration: P12M", emergency),
                ("g.yaml", "duration: P3D", "ends: 1970-01-04"),
                ("t.yaml", "maxD", "emergency: true\nmaxD"),
            ],
            "g.yaml:12:7: 1970-01-04 is later than template t allows (an emergency is for P3D (72 hours) at most)",
        ),
        (
            &[
                ("g.yaml", "duration: P12M", emergency),
                ("g.yaml", "P3D", "P4D"),
                ("t.yaml", "maxD", "emergency: true\nmaxD"),
            ],
            "g.yaml:12:11: P4D is longer than template t allows (an emergency is for P3D (72 hours) at most)",
        ),
        (
            &[("g.yaml", "duration: P12M", "template: t\nduration: P3D"), ("t.yaml", "maxD", "emergency: true\nmaxD")],
            "g.yaml:1:1: template t is for emergencies",
        ),
    ];
    for (edits, expected) in table {
        let bus = Bus::new();
        bus.files.write("t.yaml", TEMPLATE);
        bus.files.write("l.yaml", LAW);
        for (file, from, to) in *edits {
            bus.files.edit(file, from, to);
        }
        let base = format!("{}/", bus.files.path().display());
        let told = match read(&[bus.files.path().to_owned()]) {
            Ok(declared) => plan(&declared, &bus.set, &[], bus.now).err().unwrap_or_default(),
            Err(problems) => problems,
        };
        let told: Vec<String> = told.iter().map(|p| p.to_string().replace(&base, "")).collect();
        let as_wanted =
            if expected.is_empty() { told.is_empty() } else { told.iter().any(|p| p.starts_with(expected)) };
        assert!(as_wanted, "{edits:?}\nwanted {expected}\ngot {told:#?}");
    }
}

/// The problems of a plan, each as one line without its folder.
fn told(bus: &Bus) -> Vec<String> {
    let base = format!("{}/", bus.files.path().display());
    let problems = bus.plan().err().unwrap_or_default();
    problems.iter().map(|p| p.to_string().replace(&base, "")).collect()
}

const SECRET: (&str, &str) = ("value: basic}", "value: basic}, {property: kenh.secret, value: true}");

#[test]
fn no_grant_gives_a_secret_field_unmasked() {
    for (fields, refused) in [
        ("[Ma, Tinh]", false),
        ("[Ma, Tinh, Ten]", true),
        ("[Ma, Tinh, {path: Ten, mask: hash}]", true),
        ("[Ma, Tinh, {path: Ten, mask: {last: 4}}]", true),
        ("[Ma, Tinh, {path: Ten, mask: null}]", false),
        ("[Ma, Tinh, {path: Ten, mask: {constant: x}}]", false),
    ] {
        let bus = Bus::new();
        bus.files.edit("thu/contract.yaml", SECRET.0, SECRET.1);
        bus.files.edit("g.yaml", "[Ma, Tinh]", fields);
        let told = told(&bus);
        let wanted = "g.yaml:8:20: it is secret, and is given unmasked";
        assert_eq!(told.iter().any(|p| p.starts_with(wanted)), refused, "{fields}: {told:#?}");
        assert_eq!(told.is_empty(), !refused, "{fields}: {told:#?}");
    }
    // Nor does a contract become such that a grant which stands gives one, declared beside it or not.
    let mut bus = Bus::new();
    bus.files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Ten]");
    bus.apply();
    bus.files.edit("thu/contract.yaml", SECRET.0, SECRET.1);
    bus.files.edit("thu/contract.yaml", "version: 1.0.0", "version: 1.1.0");
    std::fs::remove_file(bus.files.file("g.yaml")).unwrap();
    let told = told(&bus);
    let wanted = "thu/contract.yaml:4:10: grant g gives Ten, and it is secret, and is given unmasked";
    assert!(told.iter().any(|p| p.starts_with(wanted)), "{told:#?}");
}

#[test]
fn nobody_holds_people_under_a_pseudonym_and_in_clear() {
    let second = |bus: &Bus, from: &str, to: &str| {
        let text = GRANT.replace("id: g", "id: h\nview: dem").replace("[Ma, Tinh]", "[Tinh]") + "key: pseudonym\n";
        bus.files.write("h.yaml", &text.replacen(from, to, 1));
    };
    let wanted = "h.yaml:12:6: B holds the same people under grant g: one with a pseudonym, the other in clear; together they undo it";
    // Both declared in one run, and one beside what stands undeclared.
    let mut bus = Bus::new();
    second(&bus, "", "");
    assert!(told(&bus).iter().any(|p| p.starts_with(wanted)), "{:#?}", told(&bus));
    std::fs::remove_file(bus.files.file("h.yaml")).unwrap();
    bus.apply();
    second(&bus, "", "");
    std::fs::remove_file(bus.files.file("g.yaml")).unwrap();
    assert!(told(&bus).iter().any(|p| p.starts_with(wanted)), "{:#?}", told(&bus));
    // In its place it may stand; beside another one under a pseudonym, too.
    bus.files.write("g.yaml", &GRANT.replace("duration", "state: ended\nduration"));
    assert_eq!(told(&bus), Vec::<String>::new());
    bus.apply();
    let third = GRANT.replace("id: g", "id: i\nview: ba").replace("[Ma, Tinh]", "[Tinh]") + "key: pseudonym\n";
    bus.files.write("i.yaml", &third);
    assert_eq!(told(&bus), Vec::<String>::new());
    // Where nobody's data is concerned nothing is undone.
    let bus = Bus::new();
    second(&bus, "", "");
    bus.files.edit("thu/contract.yaml", ", customProperties: [{property: kenh.pii, value: basic}]", "");
    assert_eq!(told(&bus), Vec::<String>::new());
}

#[test]
fn an_article_that_is_repealed_ends_what_stands_on_it_unless_that_is_based_anew() {
    let mut bus = Bus::new();
    bus.files.write("l.yaml", LAW);
    bus.apply();
    bus.files.edit("l.yaml", "from", "until: \"1970-03-31\"\nfrom");
    let plan = bus.apply();
    assert_eq!(lines(&plan), ["change    law      a-law: until 1970-03-31, was open-ended"]);
    assert!(bus.plan().unwrap().is_empty());
    let over = 90 * 86_400_000 - 7 * 3_600_000;
    // A document that does not speak of a last day takes none back.
    bus.files.edit("l.yaml", "until: \"1970-03-31\"\n", "");
    assert!(bus.plan().unwrap().is_empty() && bus.plan().unwrap().events.is_empty());
    bus.files.edit("l.yaml", "from", "until: \"1970-03-31\"\nfrom");
    assert_eq!(bus.set.views[&ViewNo(1)].activation.ends_ms, over);
    // The document of a grant that has ended so is no reason for anything.
    let was = bus.now;
    bus.now = over;
    assert!(bus.plan().unwrap().is_empty());
    bus.files.edit("l.yaml", "1970-03-31", "1970-04-30");
    assert!(bus.problems()[0].starts_with("l.yaml:5:8: article a-law: its last day is over"));
    bus.files.edit("l.yaml", "1970-04-30", "1970-03-31");
    bus.now = was;
    bus.files.edit("g.yaml", "[A law]", "[Another law]");
    assert_eq!(events(&bus.apply()), ["renewal 1 by g"]);
    assert!(bus.set.views[&ViewNo(1)].activation.ends_ms > over);
}

/// What an older edition would go on under is no document that anybody has voted on.
#[test]
fn where_decisions_are_signed_a_grant_is_renewed_once_its_wider_edition_is_filled() {
    const NOW: i64 = 1_795_500_000_000;
    let files = Declaration::new();
    let mut bus = Signed::new(NOW);
    bus.apply(&files);
    files.edit("g.yaml", "[Ma, Tinh]", "[Ma, Tinh, Tuoi]");
    bus.apply(&files);
    assert_eq!(bus.set.in_force(&"thu".parse().unwrap(), bus.now).count(), 2);
    files.edit("g.yaml", "[b-portal]", "[b-two]");
    let problems = plan(&files.read(), &bus.set, &[], bus.now).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1 && told[0].contains("g.yaml:2:5: grant g is renewed once its edition 2 is filled"),
        "{told:#?}"
    );
    assert!(told[0].contains("one edition is renewed at a time"), "{told:#?}");
    // Filled, the wider edition has the place of the first, and the renewal is put to the vote like any other.
    let end = ControlEvent::End { view_no: ViewNo(1), reason: EndReason::Superseded, because: String::new() };
    bus.put(&end, &[]).unwrap();
    bus.apply(&files);
    let grant = &bus.set.views[&ViewNo(2)].activation.grant;
    assert_eq!(grant.systems.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b-two"]);
}

#[test]
fn an_emergency_ends_to_the_minute() {
    let mut bus = Bus::new();
    bus.files.write("t.yaml", &TEMPLATE.replace("maxD", "emergency: true\nmaxD"));
    bus.files.edit("g.yaml", "duration: P12M", "template: t\nemergency: true\nduration: P3D");
    bus.apply();
    assert_eq!(bus.set.views[&ViewNo(1)].activation.ends_ms, bus.now + 72 * 3_600_000);
}
