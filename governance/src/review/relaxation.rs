//! The review of a proposed relaxation of a rule.

use kenh_domain::contract::{Contract, FieldRules};
use kenh_domain::control::ControlSet;
use kenh_domain::element::Element;
use kenh_domain::filter::Filter;
use kenh_domain::grant::{Grant, Mask};
use kenh_domain::limits::MAX_RELAXATION_MS;
use kenh_domain::relaxation::Relaxation;
use kenh_domain::rule::{Lang, Rule};
use kenh_domain::schema::Schema;

use super::{Hit, Review, Severity, Whom, Words, rules_of, standing, words};

/// Examines `relaxation` against everything in `set`, as of `now_ms` (milliseconds since 1970, UTC).
#[must_use]
pub fn examine_relaxation(set: &ControlSet, relaxation: &Relaxation, now_ms: i64) -> Review {
    let Relaxation { dataset, rule, .. } = relaxation;
    let mut review = Review {
        title: Words::new(
            format!("Relaxation of a rule of {dataset}: {} warns and does not reject", rule.code()),
            format!("Tạm nới lỏng quy tắc của {dataset}: {} chỉ cảnh báo, không từ chối", rule.code()),
        ),
        dataset: dataset.clone(),
        synthetic: false,
        at_ms: now_ms,
        facts: facts(set, relaxation),
        changes: changes(),
        findings: Vec::new(),
        hits: Vec::new(),
        shares: false,
        newly: Vec::new(),
        samples: Vec::new(),
        union: Vec::new(),
    };
    let Some(contract) = set.contracts.get(dataset).map(|c| &**c) else {
        let says = Words::new(
            format!("there is no contract for {dataset}"),
            format!("chưa có hợp đồng dữ liệu cho {dataset}"),
        );
        review.find(Severity::Blocks, "no-contract", "", says);
        return review.settle();
    };
    review.synthetic = contract.synthetic;
    allowed(set, contract, relaxation, now_ms, &mut review);
    let fields = concerned(contract, relaxation);
    let before = set.relaxations.values().map(|entry| &*entry.relaxation);
    let before = before.filter(|r| (&r.dataset, r.rule) == (dataset, *rule)).count();
    if before > 0 {
        let says = Words::new(
            format!("this rule of {dataset} was relaxed {before} times before; a new version of the contract mends it"),
            format!("quy tắc này của {dataset} đã được nới lỏng {before} lần; cần phiên bản hợp đồng mới để khắc phục"),
        );
        review.find(Severity::Attention, "relaxed-before", "", says);
    }
    for provider in &contract.providers {
        let how = vec![Words::new(
            "its changes that break the rule are admitted; its receipts say how many, and it corrects them before the rule rejects again",
            "thay đổi vi phạm quy tắc vẫn được tiếp nhận; biên nhận ghi rõ số lượng, và cơ quan phải sửa trước khi quy tắc từ chối trở lại",
        )];
        review.hits.push(Hit { whom: Whom::Provider(provider.agency.clone()), severity: Severity::Note, how });
    }
    for view in standing(set, now_ms).filter(|v| &v.activation.grant.dataset == dataset) {
        let grant = &view.activation.grant;
        let how = hit(contract, grant, &fields);
        if !how.is_empty() {
            let whom = Whom::Grant(grant.id.clone(), grant.recipient.clone());
            review.hits.push(Hit { whom, severity: Severity::Attention, how });
        }
    }
    review.settle()
}

fn facts(set: &ControlSet, relaxation: &Relaxation) -> Vec<(Words, Words)> {
    let Relaxation { dataset, rule, field, reason, ends_ms, .. } = relaxation;
    let mut out = Vec::new();
    let mut say = |en: &str, vi: &str, what: Words| out.push((Words::new(en, vi), what));
    let sentence = |lang| format!("{}: {}", rule.code(), rule.message(lang));
    say("rule", "quy tắc", Words::new(sentence(Lang::En), sentence(Lang::Vi)));
    let contract = set.contracts.get(dataset);
    let told = |path: &str| match contract {
        Some(contract) => {
            let means = words::meaning(&rules_of(contract, path), path);
            let told = |means: &str| if means == path { path.to_owned() } else { format!("{path} ({means})") };
            Words::new(told(&means.en), told(&means.vi))
        }
        None => Words::same(path),
    };
    let fields = match (field, contract) {
        (Some(field), _) => vec![field.clone()],
        (None, Some(contract)) => concerned(contract, relaxation),
        (None, None) => Vec::new(),
    };
    for field in fields {
        say("field", "trường", told(&field));
    }
    say("why", "lý do", words::bilingual(reason));
    let moment = words::moment(*ends_ms);
    say(
        "until",
        "đến",
        Words::new(
            format!("{moment} (time of Việt Nam), at the latest; it begins with its release"),
            format!("{moment} (giờ Việt Nam) là muộn nhất; bắt đầu khi được ban hành"),
        ),
    );
    if let Some(contract) = contract {
        say("owner of the data", "cơ quan chủ quản dữ liệu", Words::same(contract.owner.as_str()));
    }
    out
}

fn changes() -> Vec<Words> {
    vec![
        Words::new(
            "a change that breaks this rule is admitted and reaches every recipient of the field; its provider is warned",
            "thay đổi vi phạm quy tắc này được tiếp nhận và đến mọi cơ quan nhận trường đó; cơ quan cung cấp nhận cảnh báo",
        ),
        Words::new(
            "every other rule rejects as before, and so does this one for fields of the record key",
            "mọi quy tắc khác vẫn từ chối như trước; quy tắc này cũng vậy đối với các trường khóa bản ghi",
        ),
        Words::new(
            "it ends by itself, and an owner or data-protection officer may end it earlier; then the rule rejects again",
            "tự hết hiệu lực, và đại diện chủ quản hoặc nhân sự bảo vệ dữ liệu có thể chấm dứt sớm; sau đó quy tắc từ chối trở lại",
        ),
        Words::new(
            "what was admitted meanwhile stays as it is until its provider corrects it",
            "dữ liệu đã tiếp nhận trong thời gian đó giữ nguyên cho đến khi cơ quan cung cấp sửa",
        ),
    ]
}

/// Whether it could come into force, if everybody approved it.
fn allowed(set: &ControlSet, contract: &Contract, relaxation: &Relaxation, now_ms: i64, review: &mut Review) {
    let Relaxation { rule, field, ends_ms, .. } = relaxation;
    let place = field.as_deref().unwrap_or_default();
    if let Some(what) = rule.protects() {
        let says = Words::new(
            format!("{} protects {}, and is never relaxed", rule.code(), what.words(Lang::En)),
            format!("{} bảo vệ {} nên không bao giờ được nới lỏng", rule.code(), what.words(Lang::Vi)),
        );
        return review.find(Severity::Blocks, "never-relaxed", place, says);
    }
    if contract.key.iter().any(|key| key == place) {
        let says = Words::new(
            "it is of the record key, whose rules are never relaxed",
            "đây là trường khóa bản ghi, các quy tắc của khóa không bao giờ được nới lỏng",
        );
        return review.find(Severity::Blocks, "key-field", place, says);
    }
    if concerned(contract, relaxation).is_empty() {
        let says = Words::new(
            format!("the contract has no rule {} there: nothing would be relaxed", rule.code()),
            format!("hợp đồng không có quy tắc {} ở đó: không có gì để nới lỏng", rule.code()),
        );
        return review.find(Severity::Blocks, "rule-not-there", place, says);
    }
    if ends_ms.saturating_sub(now_ms) > MAX_RELAXATION_MS {
        let says = Words::new("it would hold for more than 72 hours", "thời hạn dài hơn 72 giờ");
        return review.find(Severity::Blocks, "relaxed-too-long", "", says);
    }
    if let Err(why) = set.may_relax(relaxation, now_ms) {
        let vi = format!("không thể nới lỏng: {why}");
        review.find(Severity::Blocks, "cannot-relax", place, Words::new(why, vi));
    }
}

/// The fields whose values may break the rule while it is relaxed.
fn concerned(contract: &Contract, relaxation: &Relaxation) -> Vec<String> {
    let blamed: Vec<String> = match relaxation.rule {
        // It is the rule of a year of birth, and blames the day beside it.
        Rule::DayOfMonth => days(contract),
        rule => contract.fields.iter().filter(|(_, rules)| bears(rules, rule)).map(|(path, _)| path.clone()).collect(),
    };
    let named = |path: &String| relaxation.field.as_ref().is_none_or(|field| field == path);
    blamed.into_iter().filter(|path| named(path) && !contract.key.contains(path)).collect()
}

/// The days of dates of birth in parts.
fn days(contract: &Contract) -> Vec<String> {
    let Some(schema) = contract.latest().and_then(|version| Schema::parse(&version.schema).ok()) else {
        return Vec::new();
    };
    let years = contract.fields.iter().filter(|(_, rules)| rules.element.as_deref() == Some(Element::BirthYear.name()));
    let beside = years.filter_map(|(year, _)| Some((year.rsplit_once('.')?.0, ["month", "day"])));
    let whole =
        beside.filter(|(date, parts)| parts.iter().all(|part| schema.path(&format!("{date}.{part}")).is_some()));
    whole.map(|(date, _)| format!("{date}.day")).collect()
}

/// Whether a field's rules in the contract can be broken in this way.
fn bears(rules: &FieldRules, rule: Rule) -> bool {
    let element = rules.element.as_deref().and_then(|name| name.parse::<Element>().ok());
    match rule {
        Rule::Element | Rule::CheckDigit => element.is_some(),
        Rule::Pattern => rules.pattern.is_some(),
        Rule::Values => rules.values.is_some(),
        Rule::Minimum => rules.minimum.is_some(),
        Rule::Maximum => rules.maximum.is_some(),
        Rule::MaxLength => rules.max_length.is_some(),
        Rule::CodeList => rules.code_list.is_some(),
        Rule::IdSex => element == Some(Element::Sex),
        Rule::IdBirthYear => element == Some(Element::BirthYear),
        _ => false,
    }
}

/// How a standing grant is hit: what of it may hold values that break the rule.
fn hit(contract: &Contract, grant: &Grant, fields: &[String]) -> Vec<Words> {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let seen = |field: &&String| {
        grant.fields.iter().any(|granted| {
            let hidden = matches!(granted.mask, Some(Mask::Null | Mask::Constant(_)));
            !hidden && (within(field, &granted.path) || within(&granted.path, field))
        })
    };
    let list = |fields: Vec<&String>| fields.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
    let mut how = Vec::new();
    let received: Vec<&String> = fields.iter().filter(seen).collect();
    if !received.is_empty() {
        let names = list(received);
        how.push(Words::new(
            format!("it receives values that break the rule, in {names}"),
            format!("sẽ nhận giá trị vi phạm quy tắc ở {names}"),
        ));
    }
    let schema = contract.latest().and_then(|version| Schema::parse(&version.schema).ok());
    let filter = grant.filter.as_deref().zip(schema).and_then(|(text, schema)| Filter::compile(text, &schema).ok());
    let paths = filter.map(|filter| filter.paths()).unwrap_or_default();
    let choosing: Vec<&String> = fields.iter().filter(|field| paths.iter().any(|path| within(path, field))).collect();
    if !choosing.is_empty() {
        let names = list(choosing);
        how.push(Words::new(
            format!(
                "its rows are chosen by {names}: a value that breaks the rule may bring a record in or take it out"
            ),
            format!("phạm vi dòng được chọn theo {names}: giá trị vi phạm có thể đưa bản ghi vào hoặc ra khỏi phạm vi"),
        ));
    }
    how
}
