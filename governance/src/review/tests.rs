//! Reviews against the shipped state: each check once, and the pages as golden files.
//!
//! `KENH_WRITE_GOLDEN=1 cargo test -p kenh-governance review` writes the pages anew.

use std::path::Path;

use kenh_domain::codes::CodeLists;
use kenh_domain::contract::{CodeList, CodeListDataset};
use kenh_domain::control::Activation;
use kenh_domain::grant::Term;
use kenh_domain::law::Day;
use kenh_domain::limits::MAX_RELAXATION_MS;
use kenh_domain::relaxation::{Relaxation, RelaxationEntry, Relaxed};
use kenh_domain::rule::Rule;
use kenh_domain::schema::Spans;

use super::*;
use crate::declared::{Declared, read};
use crate::plan::plan;

const NOW_MS: i64 = 1_795_500_000_000; // 2026-11-24 in Việt Nam.

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn declared() -> Declared {
    read(&["schemas", "broker-config"].map(|p| root().join(p))).unwrap_or_else(|p| panic!("{p:#?}"))
}

/// Everything shipped, in force.
fn shipped() -> ControlSet {
    plan(&declared(), &ControlSet::default(), &[], NOW_MS - 1).unwrap_or_else(|p| panic!("{p:#?}")).after
}

fn contract(set: &ControlSet, dataset: &str) -> Contract {
    (*set.contracts[&dataset.parse::<Dataset>().unwrap()]).clone()
}

fn grant(set: &ControlSet, id: &str) -> Grant {
    set.view_of_grant(&id.parse().unwrap()).unwrap().activation.grant.clone()
}

/// The next version of the population contract: `edit` changes its newest schema's JSON.
fn next(set: &ControlSet, edit: impl FnOnce(&mut serde_json::Value)) -> Contract {
    let mut contract = contract(set, "dan-cu");
    contract.version = "1.1.0".into();
    let mut schema: serde_json::Value = serde_json::from_str(&contract.schemas[0].schema).unwrap();
    edit(&mut schema);
    contract.schemas.push(SchemaVersion {
        version: 2,
        id: SchemaId(900),
        schema: schema.to_string(),
        envelope_id: SchemaId(901),
    });
    contract
}

fn field_of<'v>(schema: &'v mut serde_json::Value, name: &str) -> &'v mut serde_json::Value {
    schema["fields"].as_array_mut().unwrap().iter_mut().find(|f| f["name"] == name).unwrap()
}

fn with_email(schema: &mut serde_json::Value) {
    let email = serde_json::json!({"name": "ThuDienTu", "type": ["null", "string"], "default": null});
    schema["fields"].as_array_mut().unwrap().push(email);
}

/// The proposal that the golden page is of: a new field, and a class that rises.
fn proposal(set: &ControlSet) -> Contract {
    let mut contract = next(set, with_email);
    let rules = FieldRules {
        pii: Pii::Basic,
        description: Some("Thư điện tử / E-mail address <b>".into()),
        max_length: Some(100),
        ..FieldRules::default()
    };
    contract.fields.insert("ThuDienTu".into(), rules);
    contract.fields.get_mut("NoiOHienTai.MaXa").unwrap().pii = Pii::Sensitive;
    contract
}

fn examples(set: &ControlSet, contract: &Contract) -> Vec<Example> {
    let schema = Schema::parse(&contract.latest().unwrap().schema).unwrap();
    let good = sample::body(contract, &schema, &BTreeMap::new()).unwrap();
    let refused = vec![Rejection::field(kenh_domain::rule::Rule::Required, "HoVaTen")];
    let _ = set;
    vec![
        Example { name: "made-up".into(), valid: true, body: Ok(good) },
        Example { name: "nameless".into(), valid: false, body: Err(refused) },
    ]
}

fn codes(review: &Review) -> Vec<(Severity, &str, &str)> {
    review.findings.iter().map(|f| (f.severity, f.code, f.field.as_str())).collect()
}

fn golden(name: &str, review: &Review) {
    let pages = pages(review);
    for page in &pages.pages {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/reviews").join(name).join(page.name);
        if std::env::var_os("KENH_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &page.text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == page.text, "{} differs:\n{}", file.display(), page.text);
    }
}

#[test]
fn the_page_of_a_contract_is_the_golden_one() {
    let set = shipped();
    let proposed = proposal(&set);
    let review = examine(&set, &proposed, &examples(&set, &proposed), NOW_MS);
    assert!(!review.blocked(), "{:#?}", review.findings);
    assert_eq!(codes(&review), [(Severity::Attention, "class-rises", "NoiOHienTai.MaXa")]);
    let hit = |id: &str| {
        let id: GrantId = id.parse().unwrap();
        let of = |h: &&Hit| matches!(&h.whom, Whom::Grant(g, _) if *g == id);
        review.hits.iter().find(of).map(|h| h.severity).unwrap()
    };
    assert_eq!(hit("g18-dan-cu"), Severity::Attention, "it receives the commune");
    assert_eq!(hit("g12-dan-cu"), Severity::Note, "it does not");
    golden("contract", &review);
}

#[test]
fn the_page_of_a_grant_is_the_golden_one() {
    let set = shipped();
    let mut wider = grant(&set, "g12-dan-cu");
    wider.id = "g12-dan-cu-2".parse().unwrap();
    for path in ["NoiOHienTai.ChiTiet", "DanToc"] {
        wider.fields.push(GrantedField { path: path.into(), name: None, mask: None });
    }
    let counts = Counts { dataset: Some(20_000), views: BTreeMap::new() };
    let review = examine_grant(&set, &wider, None, &counts, NOW_MS);
    assert!(!review.blocked(), "{:#?}", review.findings);
    let newly: Vec<_> = review.newly[0].fields.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(newly, ["NoiOHienTai.ChiTiet", "DanToc"]);
    assert_eq!(codes(&review), [(Severity::Attention, "sensitive-field", "DanToc")]);
    golden("grant", &review);
}

fn until(day: &str) -> Term {
    Term::Ends(day.parse().unwrap())
}

#[test]
fn a_grant_until_a_day_is_reviewed_as_one_in_both_languages() {
    let set = shipped();
    let mut proposed = grant(&set, "g18-dan-cu");
    proposed.duration = until("2027-03-31");
    let review = examine_grant(&set, &proposed, None, &Counts::default(), NOW_MS);
    assert!(!review.blocked(), "{:#?}", review.findings);
    assert!(review.changes.contains(&Words::new("changed: how long it holds", "thay đổi: thời hạn")));
    for page in pages(&review).pages {
        let says = if page.name.contains(".en.") { "until 31/03/2027" } else { "đến hết ngày 31/03/2027" };
        assert!(page.text.contains(says), "{} lacks {says}:\n{}", page.name, page.text);
    }
    // To its last moment the day is still to come.
    proposed.duration = until("2026-11-24");
    let midnight = "2026-11-24".parse::<Day>().unwrap().ends_ms();
    for (now_ms, past) in [(midnight - 1, false), (midnight, true)] {
        let review = examine_grant(&set, &proposed, None, &Counts::default(), now_ms);
        assert_eq!(codes(&review).contains(&(Severity::Blocks, "end-past", "")), past, "{:#?}", codes(&review));
    }
}

#[test]
fn a_year_of_personal_data_counts_from_the_activation_of_what_only_goes_on() {
    let set = shipped();
    let later = NOW_MS + 200 * kenh_domain::date::DAY_MS;
    let blocked = |edit: fn(&mut Grant), day: &str| {
        let mut proposed = grant(&set, "g18-dan-cu");
        proposed.duration = until(day);
        edit(&mut proposed);
        let review = examine_grant(&set, &proposed, None, &Counts::default(), later);
        codes(&review).contains(&(Severity::Blocks, "too-long", ""))
    };
    assert!(!blocked(|_| {}, "2027-11-24") && blocked(|_| {}, "2027-11-25"));
    // Under another id, or with other fields, it is activated anew.
    let anew: [fn(&mut Grant); 2] = [|g| g.id = "g18-moi".parse().unwrap(), |g| _ = g.fields.pop()];
    for edit in anew {
        assert!(!blocked(edit, "2027-11-25") && blocked(edit, "2028-11-25"));
    }
}

#[test]
fn a_contract_of_personal_data_is_held_to_the_last_days_of_its_grants() {
    for (day, weight) in [("2027-11-24", Severity::Note), ("2027-11-25", Severity::Blocks)] {
        let mut set = shipped();
        let view = set.views.values_mut().find(|v| v.activation.grant.id.as_str() == "g12-dan-cu").unwrap();
        let dated = Grant { duration: until(day), ..view.activation.grant.clone() };
        view.activation = Activation { grant: dated, ..(*view.activation).clone() }.into();
        let proposed = proposal(&set);
        let review = examine(&set, &proposed, &examples(&set, &proposed), NOW_MS);
        let of = |h: &&Hit| matches!(&h.whom, Whom::Grant(g, _) if g.as_str() == "g12-dan-cu");
        let hit = review.hits.iter().find(of).unwrap();
        assert_eq!(hit.severity, weight, "{day}: {:?}", hit.how);
    }
}

/// The shipped emergency template, and a grant of one of its fields under it.
fn emergency(set: &ControlSet) -> (Declared, Grant) {
    let mut proposed = grant(set, "g18-dan-cu");
    proposed.id = "g18-cuu-ho".parse().unwrap();
    proposed.view = "cuu-ho".parse().unwrap();
    proposed.purpose = "Cứu hộ, cứu nạn khi có thiên tai".into();
    proposed.fields = vec![GrantedField { path: "NoiOHienTai.MaXa".into(), name: None, mask: None }];
    proposed.duration = "P3D".into();
    proposed.template = Some("khan-cap-cuu-ho".into());
    proposed.emergency = true;
    (declared(), proposed)
}

#[test]
fn the_page_of_an_emergency_grant_says_so_and_shows_the_bounds_of_its_template() {
    let set = shipped();
    let (declared, proposed) = emergency(&set);
    let review = examine_grant(&set, &proposed, declared.template("khan-cap-cuu-ho"), &Counts::default(), NOW_MS);
    assert!(!review.blocked(), "{:#?}", review.findings);
    golden("emergency", &review);
}

#[test]
fn a_grant_beyond_its_template_is_blocked_with_the_words_of_planning() {
    type Case = (fn(&mut Grant), &'static str, &'static str);
    let cases: [Case; 8] = [
        (|g| g.template = None, "emergency-without-template", ""),
        (|g| g.template = Some("khong-co".into()), "no-template", ""),
        (|g| g.emergency = false, "template-emergency", ""),
        (|g| g.purpose = "Việc khác".into(), "template-purpose", ""),
        (|g| g.duration = "P4D".into(), "template-duration", ""),
        // It is one in the afternoon: 72 hours are not the whole of that day.
        (|g| g.duration = until("2026-11-27"), "template-duration", ""),
        (|g| g.dataset = "don-vi-hanh-chinh".parse().unwrap(), "template-dataset", ""),
        (|g| g.fields[0].path = "DanToc".into(), "template-field", "DanToc"),
    ];
    let set = shipped();
    for (edit, code, field) in cases {
        let (declared, mut proposed) = emergency(&set);
        edit(&mut proposed);
        let template = proposed.template.as_ref().and_then(|name| declared.template(name));
        let review = examine_grant(&set, &proposed, template, &Counts::default(), NOW_MS);
        assert!(codes(&review).contains(&(Severity::Blocks, code, field)), "{code}: {:#?}", codes(&review));
    }
}

#[test]
fn nobody_is_asked_to_sign_a_grant_on_an_article_that_is_over_or_unknown() {
    let mut set = shipped();
    let base = grant(&set, "g12-dan-cu");
    let found = |set: &ControlSet, grant: &Grant| {
        let review = examine_grant(set, grant, None, &Counts::default(), NOW_MS);
        let mut codes = codes(&review);
        codes.retain(|(_, code, _)| code.starts_with("law-"));
        codes.into_iter().map(|(weight, code, _)| (weight, code.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(found(&set, &base), []);
    let unknown = Grant { legal_basis: vec!["Luật 91/2025".into()], ..base.clone() };
    assert_eq!(found(&set, &unknown), [(Severity::Blocks, "law-unknown".to_owned())]);
    let today = kenh_domain::law::Day::of(NOW_MS);
    let yesterday = kenh_domain::law::Day::of(today.starts_ms() - 1);
    let tomorrow = kenh_domain::law::Day::of(today.ends_ms());
    for (from, until, expected) in [
        (None, Some(yesterday), vec![(Severity::Blocks, "law-over".to_owned())]),
        (None, Some(today), vec![]),
        (Some(tomorrow), None, vec![(Severity::Attention, "law-to-come".to_owned())]),
        (Some(today), None, vec![]),
    ] {
        let law = set.articles.get_mut(&"luat-91-2025".parse().unwrap()).unwrap();
        law.until = until;
        law.from = from.unwrap_or(law.from);
        assert_eq!(found(&set, &base), expected, "{from:?} {until:?}");
    }
}

fn relaxation(rule: &str, field: Option<&str>) -> Relaxation {
    Relaxation {
        id: "dan-cu-ma-xa".parse().unwrap(),
        dataset: "dan-cu".parse().unwrap(),
        rule: rule.parse().unwrap(),
        field: field.map(Into::into),
        reason: "Mã xã mới chưa có trong danh mục / New commune codes are not in the list yet".into(),
        ends_ms: NOW_MS + 24 * 3_600_000,
    }
}

#[test]
fn the_page_of_a_relaxation_is_the_golden_one() {
    let set = shipped();
    let review = examine_relaxation(&set, &relaxation("code-list", Some("NoiOHienTai.MaXa")), NOW_MS);
    assert_eq!(codes(&review), []);
    let hit = |id: &str| review.hits.iter().any(|h| matches!(&h.whom, Whom::Grant(g, _) if g.as_str() == id));
    assert!(hit("g18-dan-cu"), "it receives the commune");
    assert!(!hit("g12-dan-cu"), "it does not");
    assert_eq!(review.worst(), Some(Severity::Attention));
    golden("relaxation", &review);
}

#[test]
fn each_check_of_a_relaxation_finds_what_it_is_for() {
    type Edit = fn(&mut Relaxation);
    let cases: &[(Edit, &str, &str)] = &[
        (|r| r.dataset = "x".parse().unwrap(), "no-contract", ""),
        (|r| (r.rule, r.field) = (Rule::NotItsRows, None), "never-relaxed", ""),
        (|r| (r.rule, r.field) = (Rule::Element, Some("SoDinhDanh".into())), "key-field", "SoDinhDanh"),
        (|r| r.rule = Rule::Maximum, "rule-not-there", "NoiOHienTai.MaXa"),
        (|r| (r.rule, r.field) = (Rule::Pattern, Some("Khong".into())), "rule-not-there", "Khong"),
        (|r| r.ends_ms = NOW_MS + MAX_RELAXATION_MS + 1, "relaxed-too-long", ""),
        (|r| r.ends_ms = NOW_MS, "cannot-relax", "NoiOHienTai.MaXa"),
        (|r| r.reason = " ".into(), "cannot-relax", "NoiOHienTai.MaXa"),
    ];
    let set = shipped();
    for (edit, code, field) in cases {
        let mut proposed = relaxation("code-list", Some("NoiOHienTai.MaXa"));
        edit(&mut proposed);
        let review = examine_relaxation(&set, &proposed, NOW_MS);
        assert_eq!(codes(&review), [(Severity::Blocks, *code, *field)]);
    }
    // Said of the whole dataset, it is told of every field that has the rule and is not of the key.
    let review = examine_relaxation(&set, &relaxation("code-list", None), NOW_MS);
    let told: Vec<_> = review.facts.iter().filter(|(what, _)| what.en == "field").map(|(_, says)| &says.en).collect();
    assert!(told.len() > 1 && told.iter().any(|says| says.starts_with("NoiOHienTai.MaXa")), "{told:?}");
}

#[test]
fn a_rule_that_is_relaxed_again_is_to_be_judged() {
    let mut set = shipped();
    let entry = RelaxationEntry { relaxation: relaxation("code-list", None).into(), starts_ms: 0, ended: None };
    set.relaxations.insert("truoc".parse().unwrap(), entry);
    let review = examine_relaxation(&set, &relaxation("code-list", Some("NoiOHienTai.MaXa")), NOW_MS);
    assert_eq!(codes(&review), [(Severity::Attention, "relaxed-before", "")]);
    let other = examine_relaxation(&set, &relaxation("pattern", None), NOW_MS);
    assert!(!codes(&other).iter().any(|(_, code, _)| *code == "relaxed-before"));
}

#[test]
fn what_older_records_cannot_be_read_in_blocks_and_says_which_view_it_breaks() {
    let set = shipped();
    let proposed = next(&set, |schema| field_of(schema, "HoVaTen")["type"] = "bytes".into());
    let review = examine(&set, &proposed, &[], NOW_MS);
    assert!(review.blocked());
    let broken: Vec<_> = review.hits.iter().filter(|h| h.severity == Severity::Blocks).map(|h| &h.whom).collect();
    assert!(broken.iter().any(|w| matches!(w, Whom::Grant(id, _) if id.as_str() == "g12-dan-cu")), "{broken:#?}");
    assert!(!broken.iter().any(|w| matches!(w, Whom::Grant(id, _) if id.as_str() == "g18-dan-cu")), "{broken:#?}");
}

#[test]
fn a_version_is_compared_with_all_before_it() {
    let set = shipped();
    // Version 2 drops a field, version 3 has it again as something else: 2 reads 1, 3 reads 2, and 3 does not read 1.
    let mut proposed = next(&set, |schema| schema["fields"].as_array_mut().unwrap().retain(|f| f["name"] != "NhomMau"));
    let mut schema: serde_json::Value = serde_json::from_str(&proposed.schemas[1].schema).unwrap();
    let blood = serde_json::json!({"name": "NhomMau", "type": ["null", "int"], "default": null});
    schema["fields"].as_array_mut().unwrap().push(blood);
    let (id, envelope_id) = (SchemaId(902), SchemaId(903));
    proposed.schemas.push(SchemaVersion { version: 3, id, schema: schema.to_string(), envelope_id });
    let review = examine(&set, &proposed, &[], NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "type-changed", "NhomMau")), "{:#?}", codes(&review));
}

#[test]
fn each_check_of_a_contract_finds_what_it_is_for() {
    type Edit = fn(&mut Contract);
    let cases: &[(Edit, Severity, &str, &str)] = &[
        (|c| c.version = "1.0.0".into(), Severity::Blocks, "version-not-raised", ""),
        (|c| c.key = vec!["SoCMND".into()], Severity::Blocks, "key-changed", ""),
        (|c| c.partitions = 9, Severity::Blocks, "partitions-changed", ""),
        (|c| c.schemas[0].schema = c.schemas[1].schema.clone(), Severity::Blocks, "released-edited", ""),
        (|c| c.fields.get_mut("DanToc").unwrap().pii = Pii::Basic, Severity::Attention, "class-falls", "DanToc"),
        (|c| c.fields.get_mut("HoVaTen").unwrap().secret = true, Severity::Attention, "class-rises", "HoVaTen"),
        (|c| c.fields.get_mut("HoVaTen").unwrap().element = None, Severity::Attention, "element-changes", "HoVaTen"),
        (|c| c.fields.get_mut("HoVaTen").unwrap().element = Some("x".into()), Severity::Blocks, "rules", ""),
        (|c| c.terms.data_protection.clear(), Severity::Attention, "no-data-protection-officer", ""),
        (|c| c.terms.data_protection = c.terms.owners.clone(), Severity::Attention, "one-person", ""),
        (|c| c.schemas[1].schema = "{".into(), Severity::Blocks, "schema", ""),
        (|c| c.open = true, Severity::Attention, "opens", ""),
    ];
    let set = shipped();
    let base = next(&set, with_email);
    for (edit, severity, code, field) in cases {
        let mut proposed = base.clone();
        let before = examine(&set, &proposed, &examples(&set, &proposed), NOW_MS);
        assert!(!codes(&before).contains(&(*severity, code, field)), "{code} is found without its cause");
        edit(&mut proposed);
        let review = examine(&set, &proposed, &[], NOW_MS);
        assert!(codes(&review).contains(&(*severity, code, field)), "{code}: {:#?}", codes(&review));
    }
}

/// The communes of the population contract, asked of the records of `dataset`.
fn communes_of(dataset: &str, contract: &mut Contract) {
    let list = CodeListDataset {
        dataset: dataset.parse().unwrap(),
        code: "Ma".into(),
        from: Some("HieuLucTu".into()),
        to: Some("HieuLucDen".into()),
        rows: None,
    };
    contract.code_lists.insert("don-vi-cap-xa".into(), CodeList::Dataset(list));
}

#[test]
fn a_code_list_moves_to_a_dataset_that_can_be_read_as_one_and_stays_so() {
    let mut set = shipped();
    let mut people = contract(&set, "dan-cu");
    people.version = "1.1.0".into();
    communes_of("don-vi-hanh-chinh", &mut people);
    let review = examine(&set, &people, &[], NOW_MS);
    assert!(!review.blocked(), "{:#?}", codes(&review));
    let said = review.changes.iter().find(|c| c.en.contains("code list don-vi-cap-xa")).unwrap();
    assert_eq!(said.en, "code list don-vi-cap-xa: from now on the records of don-vi-hanh-chinh");
    assert_eq!(said.vi, "danh mục don-vi-cap-xa: từ nay lấy theo các bản ghi của don-vi-hanh-chinh");
    for dataset in ["dan-cu", "khong-co"] {
        let mut bad = people.clone();
        communes_of(dataset, &mut bad);
        let review = examine(&set, &bad, &[], NOW_MS);
        assert!(codes(&review).contains(&(Severity::Blocks, "code-list", "")), "{dataset}: {:#?}", codes(&review));
    }

    // Once it is in force, the list's own contract is judged by it.
    set.contracts.insert(people.dataset.clone(), people.into());
    let mut units = contract(&set, "don-vi-hanh-chinh");
    units.version = "1.1.0".into();
    assert!(!codes(&examine(&set, &units, &[], NOW_MS)).contains(&(Severity::Blocks, "code-list", "")));
    units.open = false;
    let review = examine(&set, &units, &[], NOW_MS);
    let found = review.findings.iter().find(|f| f.code == "code-list").unwrap();
    assert!(found.severity == Severity::Blocks && found.says.en.contains("of dan-cu"), "{found:?}");
}

#[test]
fn reserved_names_and_names_of_the_envelope_are_found_in_new_fields_only() {
    let set = shipped();
    let proposed = next(&set, |schema| {
        for name in ["_x", "KenhSo", "PhienBan"] {
            let field = serde_json::json!({"name": name, "type": ["null", "string"], "default": null});
            schema["fields"].as_array_mut().unwrap().push(field);
        }
    });
    let found = examine(&set, &proposed, &[], NOW_MS);
    let of = |code: &str| -> Vec<String> {
        found.findings.iter().filter(|f| f.code == code).map(|f| f.field.clone()).collect()
    };
    assert_eq!(of("reserved-name"), ["KenhSo", "_x"]);
    assert_eq!(of("envelope-name"), ["PhienBan"]);
    let units = contract(&set, "don-vi-hanh-chinh");
    assert!(Schema::parse(&units.schemas[0].schema).unwrap().path("VanBan").is_some());
    assert!(!examine(&set, &units, &[], NOW_MS).findings.iter().any(|f| f.code == "envelope-name"));
}

#[test]
fn examples_are_run_by_the_rules_of_the_proposal() {
    let set = shipped();
    let mut proposed = next(&set, with_email);
    let mut examples = examples(&set, &proposed);
    assert!(!examine(&set, &proposed, &examples, NOW_MS).blocked());
    examples[1].body = examples[0].body.clone();
    let review = examine(&set, &proposed, &examples, NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "example-taken", "")), "{:#?}", codes(&review));
    proposed.fields.get_mut("HoVaTen").unwrap().max_length = Some(3);
    let review = examine(&set, &proposed, &examples[..1], NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "example-refused", "HoVaTen")), "{:#?}", codes(&review));
    assert!(codes(&review).contains(&(Severity::Attention, "no-example", "")));
    let provider = |h: &&Hit| matches!(&h.whom, Whom::Provider(a) if a.as_str() == "G01");
    assert!(review.hits.iter().find(provider).unwrap().how[0].en.contains("maxLength"));
}

#[test]
fn each_check_of_a_grant_finds_what_it_is_for() {
    type Edit = fn(&mut Grant);
    let cases: &[(Edit, &str, &str)] = &[
        (|g| g.recipient = "H99".parse().unwrap(), "no-agency", ""),
        (|g| g.systems = vec!["g12-portal".parse().unwrap()], "not-its-system", ""),
        (|g| g.systems.clear(), "no-system", ""),
        (|g| g.dataset = "x".parse().unwrap(), "no-contract", ""),
        (|g| g.legal_basis = vec![" ".into()], "no-legal-basis", ""),
        (|g| g.duration = "P13M".into(), "too-long", ""),
        (|g| g.duration = "1 year".into(), "duration", ""),
        (|g| g.duration = until("2026-11-23"), "end-past", ""),
        (|g| g.duration = until("2027-11-25"), "too-long", ""),
        (|g| g.filter = Some("Khong == '1'".into()), "cannot-compile", ""),
        (
            |g| g.fields.push(GrantedField { path: "SoDinhDanh".into(), name: None, mask: None }),
            "pseudonym-undone",
            "SoDinhDanh",
        ),
    ];
    let set = shipped();
    let base = grant(&set, "g18-dan-cu");
    assert!(!examine_grant(&set, &base, None, &Counts::default(), NOW_MS).blocked());
    for (edit, code, field) in cases {
        let mut proposed = base.clone();
        edit(&mut proposed);
        let review = examine_grant(&set, &proposed, None, &Counts::default(), NOW_MS);
        assert!(codes(&review).contains(&(Severity::Blocks, code, field)), "{code}: {:#?}", codes(&review));
    }
}

#[test]
fn a_pseudonymised_view_is_refused_beside_a_clear_key_of_the_same_people() {
    let set = shipped();
    // G12 has names and IDs; now it is to have a pseudonymised view, too.
    let mut second = grant(&set, "g18-dan-cu");
    second.id = "g12-thong-ke".parse().unwrap();
    second.recipient = "G12".parse().unwrap();
    second.systems = grant(&set, "g12-dan-cu").systems;
    second.view = "thong-ke".parse().unwrap();
    let review = examine_grant(&set, &second, None, &Counts::default(), NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "pseudonym-beside-clear", "")), "{:#?}", codes(&review));
    // In the place of the clear view it may stand.
    second.view = grant(&set, "g12-dan-cu").view;
    let review = examine_grant(&set, &second, None, &Counts::default(), NOW_MS);
    assert!(!review.blocked(), "{:#?}", codes(&review));
    // And the other way round: a clear view beside a pseudonymised one.
    let mut clear = grant(&set, "g12-dan-cu");
    clear.id = "g18-ro".parse().unwrap();
    clear.recipient = "G18".parse().unwrap();
    clear.systems = grant(&set, "g18-dan-cu").systems;
    clear.view = "ro".parse().unwrap();
    let review = examine_grant(&set, &clear, None, &Counts::default(), NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "pseudonym-beside-clear", "")), "{:#?}", codes(&review));
    assert_eq!(review.union[0].1.len(), 2, "the union shows both");
}

#[test]
fn across_datasets_it_is_refused_where_both_are_found_by_the_same_identifier_of_a_person() {
    let mut set = shipped();
    // A second dataset of the same people: G12 holds it in clear, and is to have the first one under a pseudonym.
    let mut other = contract(&set, "dan-cu");
    other.dataset = "thue".parse().unwrap();
    set.contracts.insert(other.dataset.clone(), std::sync::Arc::new(other.clone()));
    let held = set.views.values_mut().find(|v| v.activation.grant.id.as_str() == "g12-dan-cu").unwrap();
    let mut activation = (*held.activation).clone();
    activation.grant.dataset = other.dataset.clone();
    held.activation = activation.into();
    let mut proposed = grant(&set, "g18-dan-cu");
    proposed.id = "g12-dem".parse().unwrap();
    proposed.recipient = "G12".parse().unwrap();
    proposed.systems = grant(&set, "g12-dan-cu").systems;
    let found = |set: &ControlSet, grant: &Grant| {
        let review = examine_grant(set, grant, None, &Counts::default(), NOW_MS);
        let linking = ["pseudonym-beside-clear", "linkable"];
        let codes = codes(&review).into_iter().filter(|(_, code, _)| linking.contains(code));
        codes.map(|(weight, code, _)| (weight, code.to_owned())).collect::<Vec<_>>()
    };
    let blocks = [(Severity::Blocks, "pseudonym-beside-clear".to_owned())];
    assert_eq!(found(&set, &proposed), blocks);
    // The other way round: in clear, beside a pseudonym.
    let mut turned = set.clone();
    for view in turned.views.values_mut().filter(|v| v.activation.grant.id.as_str() == "g12-dan-cu") {
        let mut activation = (*view.activation).clone();
        activation.grant.key = KeyForm::Pseudonym;
        activation.grant.fields = proposed.fields.clone();
        view.activation = activation.into();
    }
    let clear = Grant { key: KeyForm::Clear, fields: grant(&set, "g12-dan-cu").fields, ..proposed.clone() };
    assert_eq!(found(&turned, &clear), blocks);
    // Found by something else, which two datasets may count differently, it is for people to judge.
    other.key = vec!["SoCMND".into()];
    set.contracts.insert(other.dataset.clone(), std::sync::Arc::new(other));
    assert_eq!(found(&set, &proposed), [(Severity::Attention, "linkable".to_owned())]);
}

#[test]
fn a_secret_field_is_given_under_a_mask_only() {
    let mut set = shipped();
    let mut secret = contract(&set, "dan-cu");
    secret.fields.get_mut("NgaySinh.year").unwrap().secret = true;
    set.contracts.insert(secret.dataset.clone(), std::sync::Arc::new(secret));
    let mut proposed = grant(&set, "g18-dan-cu");
    let review = examine_grant(&set, &proposed, None, &Counts::default(), NOW_MS);
    assert!(codes(&review).contains(&(Severity::Blocks, "secret-field", "NgaySinh.year")));
    // Nor does the contract become such beside a grant that gives it.
    let now_secret = contract(&set, "dan-cu");
    let blocks = |h: &Hit| {
        h.severity == Severity::Blocks && h.whom == Whom::Grant(proposed.id.clone(), proposed.recipient.clone())
    };
    assert!(examine(&set, &now_secret, &[], NOW_MS).hits.iter().any(blocks));
    proposed.fields[0].mask = Some(kenh_domain::grant::Mask::Null);
    let review = examine_grant(&set, &proposed, None, &Counts::default(), NOW_MS);
    assert!(!codes(&review).iter().any(|(_, code, _)| *code == "secret-field"));
}

#[test]
fn a_made_up_record_passes_the_rules_of_its_own_contract() {
    let set = shipped();
    for contract in set.contracts.values() {
        let schema = Schema::parse(&contract.latest().unwrap().schema).unwrap();
        let body = sample::body(contract, &schema, &BTreeMap::new()).unwrap();
        let rules = kenh_domain::admit::Rules::compile(contract).unwrap();
        let found = rules
            .check_record(
                &body,
                contract.latest().unwrap().id,
                (Relaxed::NONE, &CodeLists::NotAsked),
                &mut Spans::new(),
            )
            .rejections;
        assert!(found.is_empty(), "{}: {found:#?}", contract.dataset);
    }
}

#[test]
fn nothing_in_a_text_is_markup_and_a_changed_letter_changes_the_digest() {
    let set = shipped();
    let mut proposed = proposal(&set);
    proposed.description = "x\n# y <script>alert(1)</script> [a](javascript:b) | c\u{202e}d\u{2066}e".into();
    let review = examine(&set, &proposed, &[], NOW_MS);
    let made = pages(&review);
    for page in &made.pages {
        assert!(!page.text.contains("<script"), "{}", page.name);
        assert!(!page.text.contains("\n# y"), "{}", page.name);
        assert!(
            !page.text.contains(['\u{202e}', '\u{2066}']),
            "{}: letters stand in another order than signed",
            page.name
        );
        assert!(page.name.ends_with(".html") || page.text.contains("\\[a\\](javascript:b) \\| c d e"), "{}", page.name);
        assert!(page::is_part(&made.signed, &page.text, page.name.ends_with(".html")), "{}", page.name);
        let changed = page.text.replacen('e', "é", 1);
        assert!(!page::is_part(&made.signed, &changed, page.name.ends_with(".html")), "{}", page.name);
    }
    proposed.description.push('.');
    assert_ne!(pages(&examine(&set, &proposed, &[], NOW_MS)).digest(), made.digest());
    assert_eq!(pages(&review), made);
}

#[test]
fn rows_are_told_in_words() {
    let set = shipped();
    let contract = contract(&set, "dan-cu");
    let filter = r#"NoiOHienTai.MaTinh in ["79", "01"] && !(HoVaTen.startsWith("a && b") || SoDienThoai == null)"#;
    let rows = words::rows(&contract, Some(filter));
    assert_eq!(
        rows.en,
        "rows where NoiOHienTai.MaTinh (Province code) is one of [\"79\", \"01\"] and not (HoVaTen (Full name, family \
         name first) begins with (\"a && b\") or SoDienThoai (Mobile phone number) is empty)"
    );
    assert_eq!(
        rows.vi,
        "các dòng mà NoiOHienTai.MaTinh (Mã tỉnh hoặc thành phố) là một trong [\"79\", \"01\"] và không phải (HoVaTen \
         (Họ, chữ đệm và tên) bắt đầu bằng (\"a && b\") hoặc SoDienThoai (Số điện thoại di động) là trống)"
    );
}

#[test]
fn what_was_put_to_the_vote_is_what_applying_it_decides() {
    use kenh_domain::control::ControlEvent;
    use kenh_domain::trust::Document;

    let files = crate::testing::Declaration::new();
    let set = plan(&files.read(), &ControlSet::default(), &[], NOW_MS).unwrap().after;
    let mut schema: serde_json::Value = serde_json::from_str(crate::testing::AVSC).unwrap();
    with_email(&mut schema);
    files.write("thu/v2.avsc", &schema.to_string());
    files.edit("thu/contract.yaml", "version: 1.0.0", "version: 1.1.0");
    let mut contract = std::fs::read_to_string(files.file("thu/contract.yaml")).unwrap();
    contract.push_str("      - {name: ThuDienTu, logicalType: string}\n");
    files.write("thu/contract.yaml", &contract);
    let declared = files.read();
    let decided = plan(&declared, &set, &[], NOW_MS).unwrap().events.into_iter().find_map(|event| match event {
        ControlEvent::Contract(contract) => Some(Document::of_contract(&contract).digest()),
        _ => None,
    });
    let proposed = draft(&set, &declared.contracts[0].value);
    assert!(!examine(&set, &proposed, &[], NOW_MS).blocked());
    assert_eq!(decided, Some(Document::of_contract(&proposed).digest()));
}

#[test]
fn the_docs_list_every_check_with_its_weight() {
    let docs = include_str!("../../../docs/reviews.md");
    let mut seen = 0;
    for source in [
        include_str!("contract.rs"),
        include_str!("grant.rs"),
        include_str!("given.rs"),
        include_str!("relaxation.rs"),
        include_str!("template.rs"),
    ] {
        let dense: String = source.split_whitespace().collect();
        for call in dense.split(".find(Severity::").skip(1) {
            let (weight, rest) = call.split_once(',').unwrap();
            // Codes that are computed are those of the compatibility rules and of the class, in the table by hand.
            let Some(code) = rest.strip_prefix('"').and_then(|r| r.split('"').next()) else { continue };
            let weight = ["note", "to be judged", "blocks"]
                [["Note", "Attention", "Blocks"].iter().position(|w| *w == weight).unwrap()];
            let row = docs.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{code}`")));
            assert!(row.is_some_and(|row| row.contains(&format!("| {weight} |"))), "{code} is {weight}: {row:?}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
