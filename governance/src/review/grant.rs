//! The review of a proposed grant.

use std::collections::BTreeMap;

use kenh_domain::contract::Contract;
use kenh_domain::control::{Activation, ControlSet, ViewEntry, ViewNo};
use kenh_domain::error::chain;
use kenh_domain::filter::{Atom, Filter};
use kenh_domain::grant::{Grant, KeyForm, Term};
use kenh_domain::law::standing_on;
use kenh_domain::log::Position;
use kenh_domain::names::Agency;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::secret::Secret;
use kenh_domain::shape::{InForce, Shape};
use kenh_domain::topic::Edition;
use kenh_domain::wire::SchemaId;

use super::{
    Counts, Held, Hit, NewlySeen, Review, Sample, SeenField, Severity, Whom, Words, given, held, sample, schemas,
    standing, words,
};
use crate::declared::Template;
use crate::validity::Validity;

/// Under which pseudonyms of samples are made: they stand for no real one.
const SAMPLE_LABEL: &str = "sample";

/// Examines `grant` against everything in `set`, with what is known of `counts`, as of `now_ms` (milliseconds since 1970,
/// UTC). `template` is the one that the grant names, if it names one and it is there. A grant for a view that its recipient
/// has already is reviewed as the change of that view.
#[must_use]
pub fn examine_grant(
    set: &ControlSet,
    grant: &Grant,
    template: Option<&Template>,
    counts: &Counts,
    now_ms: i64,
) -> Review {
    let mut review = Review {
        title: Words::new(
            format!("Grant {}: {} receives {}", grant.id, grant.recipient, grant.dataset),
            format!("Văn bản cấp quyền {}: {} nhận {}", grant.id, grant.recipient, grant.dataset),
        ),
        dataset: grant.dataset.clone(),
        synthetic: false,
        at_ms: now_ms,
        facts: facts(set, grant, template),
        changes: Vec::new(),
        findings: Vec::new(),
        hits: Vec::new(),
        shares: true,
        newly: Vec::new(),
        samples: Vec::new(),
        union: Vec::new(),
    };
    people(set, grant, &mut review);
    articles(set, grant, now_ms, &mut review);
    let from_ms = counts_from(set, grant, now_ms);
    review.found(super::template::beyond(grant, template, from_ms));
    let Some(contract) = set.contracts.get(&grant.dataset).map(|c| &**c) else {
        let says = Words::new(
            format!("there is no contract for {}", grant.dataset),
            format!("chưa có hợp đồng dữ liệu cho {}", grant.dataset),
        );
        review.find(Severity::Blocks, "no-contract", "", says);
        return review.settle();
    };
    review.synthetic = contract.synthetic;
    let current = standing(set, now_ms).map(|v| &v.activation.grant).find(|g| same_view(g, grant));
    let versions = schemas(contract).unwrap_or_default();
    match Shape::compile(contract, &versions, grant, None, SAMPLE_LABEL, None) {
        Ok(_) => samples(contract, &versions, current, grant, &mut review),
        Err(error) => {
            let en = format!("it cannot be compiled: {}", chain(&error));
            let vi = format!("không thể thi hành văn bản này: {}", chain(&error));
            review.find(Severity::Blocks, "cannot-compile", "", Words::new(en, vi));
        }
    }
    term(contract, grant, from_ms, now_ms, &mut review);
    review.found(given::classes(contract, grant));
    let others = standing(set, now_ms)
        .map(|v| &v.activation.grant)
        .filter(|g| g.recipient == grant.recipient && !same_view(g, grant))
        .filter_map(|g| Some((&**set.contracts.get(&g.dataset)?, g)));
    review.found(given::linked(contract, grant, others));
    if contract.provider(&grant.recipient).is_some() {
        let says = Words::new(
            "the recipient provides this dataset: what came from it is shared back to it (NĐ 194/2025, Article 16); a refusal is in writing, with reason and article",
            "cơ quan nhận cũng là nguồn cung cấp: dữ liệu do cơ quan cung cấp được chia sẻ lại cho cơ quan đó (NĐ 194/2025, Điều 16); từ chối phải bằng văn bản, nêu lý do và căn cứ",
        );
        review.find(Severity::Note, "share-back", "", says);
    }
    newly(contract, current, grant, counts, &mut review);
    changes(contract, current, grant, &mut review);
    review.union = union(set, contract, Some(grant), now_ms);
    review.union.retain(|(agency, _)| agency == &grant.recipient);
    review.settle()
}

fn same_view(a: &Grant, b: &Grant) -> bool {
    (&a.recipient, &a.dataset, &a.view) == (&b.recipient, &b.dataset, &b.view)
}

/// The moment from which planning would count how long the grant holds if it came into force at `now_ms`: an edition that
/// only goes on in other words was activated before.
fn counts_from(set: &ControlSet, grant: &Grant, now_ms: i64) -> i64 {
    let shape = |grant: &Grant| {
        let contract = set.contracts.get(&grant.dataset)?;
        Shape::compile(contract, &schemas(contract)?, grant, None, &grant.secret_label(1), None).ok()
    };
    let Some(newest) = standing(set, now_ms).filter(|v| v.activation.grant.id == grant.id).last() else {
        return now_ms;
    };
    let old = &newest.activation.grant;
    match (shape(old), shape(grant)) {
        (Some(was), Some(is)) if same_view(old, grant) && was.digest() == is.digest() => newest.activation.starts_ms,
        _ => now_ms,
    }
}

fn facts(set: &ControlSet, grant: &Grant, template: Option<&Template>) -> Vec<(Words, Words)> {
    let mut out = super::template::facts(grant, template);
    let mut say = |en: &str, vi: &str, what: Words| out.push((Words::new(en, vi), what));
    let title = |agency: &Agency| match set.agencies.get(agency) {
        Some(document) => format!("{agency}, {}", document.title),
        None => agency.to_string(),
    };
    say("recipient", "cơ quan nhận", Words::same(title(&grant.recipient)));
    let systems: Vec<_> = grant.systems.iter().map(ToString::to_string).collect();
    say("through its systems", "qua các hệ thống", Words::same(systems.join(", ")));
    say("purpose", "mục đích", words::bilingual(&grant.purpose));
    for article in &grant.legal_basis {
        say("under", "căn cứ pháp lý", Words::same(article));
    }
    match &grant.duration {
        Term::Duration(duration) => {
            let vi = format!("{duration} kể từ ngày có hiệu lực");
            say("holds for", "thời hạn", Words::new(format!("{duration} from its activation"), vi));
        }
        Term::Ends(day) => {
            let day = words::date(*day);
            say("holds", "thời hạn", Words::new(format!("until {day}"), format!("đến hết ngày {day}")));
        }
    }
    let key = match grant.key {
        KeyForm::Clear => Words::new("as it is", "nguyên giá trị"),
        KeyForm::Pseudonym => Words::new(
            "a pseudonym, for this recipient and purpose only",
            "mã giả danh, chỉ dùng cho cơ quan và mục đích này",
        ),
    };
    say("record key", "khóa bản ghi", key);
    if let Some(contract) = set.contracts.get(&grant.dataset) {
        say("rows", "phạm vi dòng", words::rows(contract, grant.filter.as_deref()));
        if let Some(filter) = &grant.filter {
            say("the filter to the letter", "nguyên văn bộ lọc", Words::same(filter));
        }
        say("owner of the data", "cơ quan chủ quản dữ liệu", Words::same(title(&contract.owner)));
        if let Some(onward) = contract.terms.onward {
            say("may be passed on", "chuyển tiếp", words::onward(onward));
        }
        if let Some(retention) = &contract.terms.retention {
            let period = words::period(retention.period);
            let en = format!("{}, under {}", period.en, retention.article);
            say("retention", "thời hạn lưu trữ", Words::new(en, format!("{}, theo {}", period.vi, retention.article)));
        }
    }
    out
}

/// Who receives is an agency, through systems of its own.
fn people(set: &ControlSet, grant: &Grant, review: &mut Review) {
    let Some(agency) = set.agencies.get(&grant.recipient) else {
        let en = format!("there is no agency {}", grant.recipient);
        let vi = format!("không có cơ quan {}", grant.recipient);
        return review.find(Severity::Blocks, "no-agency", "", Words::new(en, vi));
    };
    for system in grant.systems.iter().filter(|s| !agency.systems.contains(s)) {
        let en = format!("{system} is not a system of {}", grant.recipient);
        let vi = format!("{system} không phải hệ thống của {}", grant.recipient);
        review.find(Severity::Blocks, "not-its-system", "", Words::new(en, vi));
    }
    if grant.systems.is_empty() {
        let says = Words::new(
            "it names no system: nobody could read the view",
            "không nêu hệ thống nào: không ai đọc được khung nhìn",
        );
        review.find(Severity::Blocks, "no-system", "", says);
    }
}

/// Articles of law that are on record and in force: a grant on another does not start, so that nobody signs it in vain.
fn articles(set: &ControlSet, grant: &Grant, now_ms: i64, review: &mut Review) {
    if grant.legal_basis.iter().all(|basis| basis.trim().is_empty()) {
        let says = Words::new("it names no article of law", "không nêu căn cứ pháp lý");
        review.find(Severity::Blocks, "no-legal-basis", "", says);
    }
    for basis in grant.legal_basis.iter().filter(|basis| !basis.trim().is_empty()) {
        if !set.articles.values().any(|article| article.bears(basis)) {
            let en = format!("{basis}: no such article is on record; have it recorded first, or cite one that is");
            let vi = format!("{basis}: căn cứ này chưa được ghi nhận; hãy ghi nhận trước hoặc viện dẫn căn cứ đã có");
            review.find(Severity::Blocks, "law-unknown", "", Words::new(en, vi));
        }
    }
    for article in standing_on(set.articles.values(), grant) {
        if let Some(until) = article.until.filter(|until| until.ends_ms() <= now_ms) {
            let en = format!("{} is out of force: its last day was {until}", article.citation);
            let vi = format!("{} đã hết hiệu lực: ngày cuối cùng là {until}", article.citation);
            review.find(Severity::Blocks, "law-over", "", Words::new(en, vi));
        } else if now_ms < article.from.starts_ms() {
            let en =
                format!("{} is in force from {} only; the grant cannot start before", article.citation, article.from);
            let vi = format!(
                "{} chỉ có hiệu lực từ {}; văn bản không thể có hiệu lực trước ngày đó",
                article.citation, article.from
            );
            review.find(Severity::Attention, "law-to-come", "", Words::new(en, vi));
        }
    }
}

/// An end that the law allows, of a grant whose time counts from `from_ms`, and that is still to come at `now_ms`.
fn term(contract: &Contract, grant: &Grant, from_ms: i64, now_ms: i64, review: &mut Review) {
    match Validity::try_from(&grant.duration) {
        Err(error) => review.find(
            Severity::Blocks,
            "duration",
            "",
            Words::new(
                error.to_string(),
                format!("thời hạn {:?} không đọc được: viết P12M, P1Y hoặc P90D", grant.duration.to_string()),
            ),
        ),
        Ok(Validity::Until(day)) if day.ends_ms() <= now_ms => {
            let en = format!("its last day, {day}, is over; let it end on a day that is still to come");
            let vi = format!("ngày cuối cùng {} đã qua; hãy chọn một ngày chưa qua", words::date(day));
            review.find(Severity::Blocks, "end-past", "", Words::new(en, vi));
        }
        Ok(validity) if contract.personal() && !validity.within_a_year(from_ms) => {
            let (en, vi) = match validity {
                Validity::For(_) => (
                    format!("{} is more than 12 months", grant.duration),
                    format!("{} dài hơn 12 tháng", grant.duration),
                ),
                Validity::Until(day) => (
                    format!("{day} is more than 12 months after its activation"),
                    format!("ngày cuối cùng {} quá 12 tháng kể từ ngày có hiệu lực", words::date(day)),
                ),
            };
            let says = Words::new(
                format!("{en}, and personal data is concerned"),
                format!("{vi}, trong khi có dữ liệu cá nhân"),
            );
            review.find(Severity::Blocks, "too-long", "", says);
        }
        Ok(_) => {}
    }
}

/// What of the view its recipient has not seen until now.
fn newly(contract: &Contract, current: Option<&Grant>, grant: &Grant, counts: &Counts, review: &mut Review) {
    let rows_before = current.map(|g| g.filter.as_deref());
    let had = |field: &SeenField| {
        let same = |f: &&kenh_domain::grant::GrantedField| f.path == field.path;
        let before = current.and_then(|g| g.fields.iter().find(same));
        before.is_some_and(|f| f.mask.is_none() || words::form(f.mask.as_ref()) == field.form)
    };
    let same_rows = rows_before == Some(grant.filter.as_deref());
    let all: Vec<SeenField> = held(contract, grant, true).fields;
    let fields: Vec<SeenField> = all.into_iter().filter(|f| !same_rows || !had(f)).collect();
    if fields.is_empty() {
        return;
    }
    let records = counts.views.get(&grant.id).or(if grant.filter.is_none() { counts.dataset.as_ref() } else { None });
    review.newly.push(NewlySeen {
        agency: grant.recipient.clone(),
        view: grant.view.to_string(),
        fields,
        rows: words::rows(contract, grant.filter.as_deref()),
        records: records.copied(),
        legal_basis: grant.legal_basis.clone(),
    });
}

fn changes(contract: &Contract, current: Option<&Grant>, grant: &Grant, review: &mut Review) {
    let mut hit =
        Hit { whom: Whom::Grant(grant.id.clone(), grant.recipient.clone()), severity: Severity::Note, how: Vec::new() };
    let Some(current) = current else {
        let (rows, n) = (words::rows(contract, grant.filter.as_deref()), grant.fields.len());
        review.changes.push(Words::new(
            format!("a new view {}: {n} fields, {}", grant.view, rows.en),
            format!("khung nhìn mới {}: {n} trường, {}", grant.view, rows.vi),
        ));
        return;
    };
    let before = held(contract, current, false);
    let after = held(contract, grant, true);
    for field in &after.fields {
        match before.fields.iter().find(|f| f.path == field.path) {
            None => review.changes.push(Words::new(
                format!("more: {}, {}, {}", field.path, field.class.en, field.form.en),
                format!("thêm: {}, {}, {}", field.path, field.class.vi, field.form.vi),
            )),
            Some(old) if old.form != field.form => review.changes.push(Words::new(
                format!("{}: {} → {}", field.path, old.form.en, field.form.en),
                format!("{}: {} → {}", field.path, old.form.vi, field.form.vi),
            )),
            Some(_) => {}
        }
    }
    for gone in before.fields.iter().filter(|f| !after.fields.iter().any(|a| a.path == f.path)) {
        let says = Words::new(format!("no longer: {}", gone.path), format!("không còn: {}", gone.path));
        hit.how.push(says.clone());
        review.changes.push(says);
    }
    if before.rows != after.rows {
        review.changes.push(Words::new(
            format!("{} → {}", before.rows.en, after.rows.en),
            format!("{} → {}", before.rows.vi, after.rows.vi),
        ));
    }
    if current.key != grant.key {
        let says = Words::new("the form of the record key", "dạng khóa bản ghi");
        review.changes.push(Words::new(format!("changed: {}", says.en), format!("thay đổi: {}", says.vi)));
    }
    for (differs, en, vi) in [
        (current.purpose != grant.purpose, "the purpose", "mục đích"),
        (current.legal_basis != grant.legal_basis, "the legal basis", "căn cứ pháp lý"),
        (current.systems != grant.systems, "the systems that read", "các hệ thống được đọc"),
        (current.duration != grant.duration, "how long it holds", "thời hạn"),
        (current.template != grant.template, "the template", "mẫu"),
        (current.emergency != grant.emergency, "whether it is for an emergency", "tính khẩn cấp"),
    ] {
        if differs {
            review.changes.push(Words::new(format!("changed: {en}"), format!("thay đổi: {vi}")));
        }
    }
    if !hit.how.is_empty() {
        hit.severity = Severity::Attention;
        review.hits.push(hit);
    }
}

/// What each agency holds of the dataset, with `proposed` in the place of the view it changes.
pub fn union(set: &ControlSet, contract: &Contract, proposed: Option<&Grant>, now_ms: i64) -> Vec<(Agency, Vec<Held>)> {
    let mut out: BTreeMap<Agency, Vec<Held>> = BTreeMap::new();
    for view in standing(set, now_ms).filter(|v| v.activation.grant.dataset == contract.dataset) {
        let grant = &view.activation.grant;
        if !proposed.is_some_and(|p| same_view(p, grant)) {
            out.entry(grant.recipient.clone()).or_default().push(held(contract, grant, false));
        }
    }
    if let Some(grant) = proposed {
        out.entry(grant.recipient.clone()).or_default().push(held(contract, grant, true));
    }
    out.into_iter().collect()
}

/// The made-up record as the recipient sees it, before and after. It is in the rows of the filter where one condition says
/// how; the filter itself is not asked.
fn samples(
    contract: &Contract,
    versions: &[(SchemaId, Schema)],
    current: Option<&Grant>,
    grant: &Grant,
    review: &mut Review,
) {
    let Some((id, schema)) = versions.last() else { return };
    let mut fixed: BTreeMap<String, Atom> = BTreeMap::new();
    if let Some(index) = grant.filter.as_deref().and_then(|f| Filter::compile(f, schema).ok()?.index())
        && let Some(first) = index.values.first()
    {
        fixed.insert(index.path, first.clone());
    }
    let Some(body) = sample::body(contract, schema, &fixed) else { return };
    let after = projected(contract, versions, grant, *id, &body);
    let before = current.and_then(|grant| projected(contract, versions, grant, *id, &body));
    if after.is_some() {
        let whom = Words::new(
            format!("what {} sees of a record", grant.recipient),
            format!("phần {} nhìn thấy trong một bản ghi", grant.recipient),
        );
        review.samples.push(Sample { whom, before, after });
    }
    let whom =
        Words::new("the whole record, which stays with its provider", "toàn bộ bản ghi, do cơ quan cung cấp giữ");
    let whole = sample::shown(schema, &body);
    review.samples.push(Sample { whom, before: whole.clone(), after: whole });
}

fn projected(
    contract: &Contract,
    versions: &[(SchemaId, Schema)],
    grant: &Grant,
    writer: SchemaId,
    body: &[u8],
) -> Option<Vec<(String, String)>> {
    let grant = Grant { filter: None, ..grant.clone() };
    // A secret that is nobody's: what a pseudonym looks like, and none that exists.
    let secret = Secret::new([0; 32]);
    let shape = Shape::compile(contract, versions, &grant, Some(&secret), SAMPLE_LABEL, None).ok()?;
    let activation = Activation {
        view_no: ViewNo(0),
        edition: Edition(1),
        grant,
        schema_id: SchemaId(0),
        starts_ms: 0,
        ends_ms: 1,
        secret_label: SAMPLE_LABEL.into(),
    };
    let entry = ViewEntry { activation: activation.into(), at: Position(0), ended: None };
    let (_, schema) = versions.iter().find(|(id, _)| *id == writer)?;
    let mut spans = Spans::new();
    schema.walk(body, &mut spans).ok()?;
    let in_force = InForce::at(&entry, 0)?;
    let mut out = Vec::new();
    shape.authorise(&in_force, writer, body, &spans)?.project(&mut out);
    sample::shown(&Schema::parse(shape.view_schema()).ok()?, &out)
}
