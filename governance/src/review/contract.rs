//! The review of a proposed contract, or of a new version of one.

use std::collections::{BTreeMap, BTreeSet};

use kenh_domain::admit::Rules;
use kenh_domain::codes::{CodeLists, CodesReader};
use kenh_domain::contract::{CodeList, Contract, FieldRules, Pii, Terms};
use kenh_domain::control::{ControlSet, ViewEntry};
use kenh_domain::error::chain;
use kenh_domain::grant::Term;
use kenh_domain::relaxation::Relaxed;
use kenh_domain::rule::Lang;
use kenh_domain::schema::{Schema, Spans};
use kenh_domain::shape::Shape;
use kenh_domain::wire::SchemaId;

use super::{Example, Hit, Review, Sample, Severity, Whom, Words, class_of, sample, schemas, standing, words};
use crate::compatibility;
use crate::validity::Validity;

/// What a new field may not be called: names that the bus keeps for itself, in whatever case.
const RESERVED_PREFIXES: [&str; 2] = ["kenh", "_"];

/// Fields of the national envelope: a record field of that name is easily taken for it.
const ENVELOPE: [&str; 8] =
    ["SuKien", "PhienBan", "ThoiGianCapNhat", "NgayHieuLuc", "LyDoCapNhat", "VanBan", "DuLieu", "IdBanGhi"];

/// Examines `proposed` (all its schema versions, released ones included; see [`draft`](super::draft)) against everything
/// in `set`, with its `examples`, as of `now_ms` (milliseconds since 1970, UTC).
#[must_use]
pub fn examine(set: &ControlSet, proposed: &Contract, examples: &[Example], now_ms: i64) -> Review {
    let old = set.contracts.get(&proposed.dataset).map(|c| &**c);
    let title = match old {
        Some(old) => Words::new(
            format!("Contract of {}: version {} to {}", proposed.dataset, old.version, proposed.version),
            format!("Hợp đồng dữ liệu {}: từ phiên bản {} lên {}", proposed.dataset, old.version, proposed.version),
        ),
        None => Words::new(
            format!("Contract of {}: first version, {}", proposed.dataset, proposed.version),
            format!("Hợp đồng dữ liệu {}: phiên bản đầu tiên, {}", proposed.dataset, proposed.version),
        ),
    };
    let mut review = Review {
        title,
        dataset: proposed.dataset.clone(),
        synthetic: proposed.synthetic,
        at_ms: now_ms,
        facts: facts(proposed),
        changes: Vec::new(),
        findings: Vec::new(),
        hits: Vec::new(),
        shares: true,
        newly: Vec::new(),
        samples: Vec::new(),
        union: super::grant::union(set, proposed, None, now_ms),
    };
    answered_for(proposed, &mut review);
    let Some(versions) = schemas(proposed).filter(|v| !v.is_empty()) else {
        let says = Words::new("a schema of the contract cannot be read", "không đọc được một lược đồ của hợp đồng");
        review.find(Severity::Blocks, "schema", "", says);
        return review.settle();
    };
    if let Some(old) = old {
        released_stays(old, proposed, &mut review);
        fields(old, proposed, &mut review);
        terms(old, proposed, &mut review);
    } else if let Some((_, newest)) = versions.last() {
        for field in newest.fields() {
            let (pii, secret) = class_of(proposed, &field.name);
            let (class, means) =
                (words::class(pii, secret), words::meaning(&super::rules_of(proposed, &field.name), &field.name));
            review.changes.push(Words::new(
                format!("new field {}: {}; {}", field.name, means.en, class.en),
                format!("trường mới {}: {}; {}", field.name, means.vi, class.vi),
            ));
        }
    }
    compatible(old, proposed, &versions, &mut review);
    names(old, &versions, &mut review);
    let rules = Rules::compile(proposed);
    if let Err(error) = &rules {
        let en = format!("a rule of the contract cannot be enforced: {}", chain(error));
        let vi = format!("có quy tắc không thể áp dụng: {}", chain(error));
        review.find(Severity::Blocks, "rules", "", Words::new(en, vi));
    }
    lists(set, proposed, &mut review);
    run_examples(rules.as_ref().ok(), &versions, examples, &mut review);
    grants(set, old, proposed, &versions, now_ms, &mut review);
    providers(old, proposed, &mut review);
    samples(old, proposed, &versions, &mut review);
    review.settle()
}

/// What a contract says to people, as name and text: purpose, owner, officers, contact, duties, articles.
#[must_use]
pub fn facts(contract: &Contract) -> Vec<(Words, Words)> {
    let Terms { owners, data_protection, contacts, group, articles, update_within, retention, share_back, onward } =
        &contract.terms;
    let mut out = Vec::new();
    let mut say = |en: &str, vi: &str, what: Words| out.push((Words::new(en, vi), what));
    if !contract.description.is_empty() {
        say("purpose", "mục đích", words::bilingual(&contract.description));
    }
    say("owner", "cơ quan chủ quản", Words::same(contract.owner.as_str()));
    let people = |list: &[kenh_domain::contract::Person]| {
        Words::same(list.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", "))
    };
    if !owners.is_empty() {
        say("for the owner", "đại diện chủ quản", people(owners));
    }
    if !data_protection.is_empty() {
        say("data-protection officer", "nhân sự bảo vệ dữ liệu cá nhân", people(data_protection));
    }
    for contact in contacts {
        let channel = words::bilingual(&contact.channel);
        let at = |name: &str| if contact.url.is_empty() { name.to_owned() } else { format!("{name}, {}", contact.url) };
        say("contact", "liên hệ", Words::new(at(&channel.en), at(&channel.vi)));
    }
    if let Some(group) = group {
        say("data group", "nhóm dữ liệu", Words::same(group));
    }
    let list: Vec<_> = contract.providers.iter().map(|p| p.agency.to_string()).collect();
    say("provided by", "cơ quan cung cấp", Words::same(list.join(", ")));
    say("record key", "khóa bản ghi", Words::same(contract.key.join(" + ")));
    for article in articles {
        say("rests on", "căn cứ pháp lý", Words::same(article));
    }
    if let Some(period) = update_within {
        let period = words::period(*period);
        let en = format!("sent within {} of the real change", period.en);
        say(
            "update duty",
            "nghĩa vụ cập nhật",
            Words::new(en, format!("gửi trong vòng {} kể từ khi thay đổi", period.vi)),
        );
    }
    if let Some(retention) = retention {
        let period = words::period(retention.period);
        let en = format!("{}, under {}", period.en, retention.article);
        say("retention", "thời hạn lưu trữ", Words::new(en, format!("{}, theo {}", period.vi, retention.article)));
    }
    if let Some(back) = share_back {
        let mut rows = (Vec::new(), Vec::new());
        if back.originated {
            rows.0.push("rows that it provided".to_owned());
            rows.1.push("các dòng do chính cơ quan đó cung cấp".to_owned());
        }
        if let Some(territory) = &back.territory {
            rows.0.push(format!("rows of its territory, by {territory}"));
            rows.1.push(format!("các dòng thuộc địa bàn của cơ quan đó, theo {territory}"));
        }
        let rows = Words::new(rows.0.join("; "), rows.1.join("; "));
        say("a provider may always have back", "cơ quan cung cấp luôn được nhận lại", rows);
    }
    if let Some(onward) = onward {
        say("may be passed on", "chuyển tiếp", words::onward(*onward));
    }
    out
}

/// Whether somebody answers for it.
fn answered_for(contract: &Contract, review: &mut Review) {
    let Terms { owners, data_protection, .. } = &contract.terms;
    let nobody = |en: &str, vi: &str| {
        Words::new(
            format!("the contract names no {en} (team.members)"),
            format!("hợp đồng chưa nêu {vi} (team.members)"),
        )
    };
    if owners.is_empty() {
        review.find(Severity::Note, "no-owner", "", nobody("person for the owner", "người đại diện cơ quan chủ quản"));
    }
    if data_protection.is_empty() && contract.personal() {
        let says = nobody(
            "data-protection officer, and has personal data",
            "nhân sự bảo vệ dữ liệu cá nhân, dù có dữ liệu cá nhân",
        );
        review.find(Severity::Attention, "no-data-protection-officer", "", says);
    }
    if let Some(both) = owners.iter().find(|p| data_protection.iter().any(|d| d.id == p.id)) {
        let en = format!("{} is both owner and data-protection officer; a release needs two persons", both.id);
        let vi = format!("{} vừa là đại diện chủ quản vừa bảo vệ dữ liệu; việc ban hành cần hai người", both.id);
        review.find(Severity::Attention, "one-person", "", Words::new(en, vi));
    }
}

/// Invariant 5, and that a record keeps its key and partition.
fn released_stays(old: &Contract, new: &Contract, review: &mut Review) {
    let edited = |v: &kenh_domain::contract::SchemaVersion| {
        new.schemas.iter().find(|n| n.version == v.version).is_none_or(|n| n.schema != v.schema)
    };
    for version in old.schemas.iter().filter(|v| edited(v)) {
        let n = version.version;
        let en = format!("schema version {n} is released and is edited or missing here");
        let vi = format!("lược đồ phiên bản {n} đã ban hành, nay bị sửa hoặc bị bỏ");
        review.find(Severity::Blocks, "released-edited", "", Words::new(en, vi));
    }
    if old.key != new.key {
        let (was, is) = (old.key.join(" + "), new.key.join(" + "));
        let en = format!("the record key is {was} and cannot become {is}: make a new dataset");
        let vi = format!("khóa bản ghi là {was}, không thể đổi thành {is}: hãy lập tập dữ liệu mới");
        review.find(Severity::Blocks, "key-changed", "", Words::new(en, vi));
    }
    if old.partitions != new.partitions {
        let en = format!("the dataset has {} partitions and cannot have {}", old.partitions, new.partitions);
        let vi = format!("tập dữ liệu có {} phân vùng, không thể đổi thành {}", old.partitions, new.partitions);
        review.find(Severity::Blocks, "partitions-changed", "", Words::new(en, vi));
    }
    let rises = crate::declared::contract::parts(&new.version) > crate::declared::contract::parts(&old.version);
    if !rises {
        let en =
            format!("version {} is in force; a changed contract needs a higher one than {}", old.version, new.version);
        let vi =
            format!("phiên bản {} đang có hiệu lực; hợp đồng sửa đổi phải có số cao hơn {}", old.version, new.version);
        review.find(Severity::Blocks, "version-not-raised", "", Words::new(en, vi));
    }
}

/// Every new version reads what was written in all before it.
fn compatible(old: Option<&Contract>, new: &Contract, versions: &[(SchemaId, Schema)], review: &mut Review) {
    let released = old.map_or(0, |old| old.schemas.len());
    for (i, newer) in versions.iter().enumerate().skip(released) {
        for (j, older) in versions[..i].iter().enumerate() {
            for reason in compatibility::reasons(&older.1, &newer.1) {
                let number = |at: usize| new.schemas.get(at).map_or(0, |s| s.version);
                let en = format!("version {} cannot read records of version {}: {reason}", number(i), number(j));
                let vi = format!(
                    "phiên bản {} không đọc được bản ghi của phiên bản {}: {}",
                    number(i),
                    number(j),
                    words::incompatible(reason.rule)
                );
                review.find(Severity::Blocks, reason.rule, reason.field, Words::new(en, vi));
            }
        }
    }
}

/// New fields do not take names that mean something else.
fn names(old: Option<&Contract>, versions: &[(SchemaId, Schema)], review: &mut Review) {
    let Some((_, newest)) = versions.last() else { return };
    let before = old.and_then(|o| o.latest()).and_then(|v| Schema::parse(&v.schema).ok());
    let known: BTreeSet<String> = before.map(|s| s.paths().into_iter().collect()).unwrap_or_default();
    for path in newest.paths().into_iter().filter(|p| !known.contains(p)) {
        let name = path.rsplit('.').next().unwrap_or(&path).to_lowercase();
        if RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            let says = Words::new(
                "names that begin with kenh or _ are the bus's own",
                "tên bắt đầu bằng kenh hoặc _ được dành riêng cho trục dữ liệu",
            );
            review.find(Severity::Blocks, "reserved-name", path, says);
        } else if ENVELOPE.iter().any(|field| *field == path) {
            let says = Words::new(
                "the envelope has a field of this name: readers may take one for the other",
                "phong bì đã có trường cùng tên: dễ gây nhầm lẫn",
            );
            review.find(Severity::Attention, "envelope-name", path, says);
        }
    }
}

/// What changes field by field, and whose class rises.
fn fields(old: &Contract, new: &Contract, review: &mut Review) {
    let paths: BTreeSet<&String> = old.fields.keys().chain(new.fields.keys()).collect();
    for path in paths {
        match (old.fields.get(path), new.fields.get(path)) {
            (None, Some(rules)) => {
                let (class, means) = (words::class(rules.pii, rules.secret), words::meaning(rules, path));
                review.changes.push(Words::new(
                    format!("new field {path}: {}; {}", means.en, class.en),
                    format!("trường mới {path}: {}; {}", means.vi, class.vi),
                ));
            }
            (Some(_), None) => review.changes.push(Words::new(
                format!("field {path} is gone from new records; those on the bus keep it"),
                format!("trường {path} không còn trong bản ghi mới; bản ghi đã có vẫn giữ trường này"),
            )),
            (Some(before), Some(after)) if before != after => field(path, before, after, review),
            _ => {}
        }
    }
    if old.schemas.len() < new.schemas.len() {
        let added: Vec<_> = new.schemas[old.schemas.len()..].iter().map(|s| s.version.to_string()).collect();
        let added = added.join(", ");
        review
            .changes
            .push(Words::new(format!("new schema version: {added}"), format!("phiên bản lược đồ mới: {added}")));
    }
}

fn field(path: &str, before: &FieldRules, after: &FieldRules, review: &mut Review) {
    let (was, is) = (words::class(before.pii, before.secret), words::class(after.pii, after.secret));
    let rises = after.pii > before.pii || (after.secret && !before.secret);
    let falls = after.pii < before.pii || (before.secret && !after.secret);
    if rises || falls {
        let says = Words::new(format!("class: {} → {}", was.en, is.en), format!("phân loại: {} → {}", was.vi, is.vi));
        review.changes.push(Words::new(format!("{path}, {}", says.en), format!("{path}, {}", says.vi)));
        review.find(Severity::Attention, if falls { "class-falls" } else { "class-rises" }, path, says);
    }
    if before.element != after.element {
        let name = |rules: &FieldRules| rules.element.clone().unwrap_or_else(|| "-".into());
        let (was, is) = (name(before), name(after));
        let says = Words::new(format!("data element: {was} → {is}"), format!("thành phần dữ liệu: {was} → {is}"));
        review.changes.push(Words::new(format!("{path}, {}", says.en), format!("{path}, {}", says.vi)));
        review.find(Severity::Attention, "element-changes", path, says);
    }
    let rest = |rules: &FieldRules| FieldRules {
        pii: Pii::None,
        secret: false,
        element: None,
        description: None,
        ..rules.clone()
    };
    if rest(before) != rest(after) {
        let which = changed_rules(before, after).join(", ");
        review.changes.push(Words::new(
            format!("{path}, what is admitted: {which}"),
            format!("{path}, điều kiện tiếp nhận: {which}"),
        ));
    }
    if before.description != after.description {
        let means = words::meaning(after, path);
        review.changes.push(Words::new(
            format!("{path}, described anew: {}", means.en),
            format!("{path}, mô tả mới: {}", means.vi),
        ));
    }
}

/// The names of the rules that differ, as the contract calls them.
fn changed_rules(before: &FieldRules, after: &FieldRules) -> Vec<&'static str> {
    [
        ("required", before.required != after.required),
        ("pattern", before.pattern != after.pattern),
        ("kenh.values", before.values != after.values),
        ("minimum", before.minimum != after.minimum),
        ("maximum", before.maximum != after.maximum),
        ("maxLength", before.max_length != after.max_length),
        ("kenh.codeList", before.code_list != after.code_list),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

fn terms(old: &Contract, new: &Contract, review: &mut Review) {
    for (differs, en, vi) in [
        (old.owner != new.owner, "the owning agency", "cơ quan chủ quản"),
        (old.description != new.description, "the purpose", "mục đích"),
        (old.terms != new.terms, "who answers for it, or what it promises", "người chịu trách nhiệm hoặc các cam kết"),
        (old.version_source != new.version_source, "where versions come from", "nguồn số phiên bản"),
        (old.max_version_step != new.max_version_step, "the largest version step", "bước nhảy phiên bản tối đa"),
        (
            old.effective != new.effective,
            "whether changes may speak of the future",
            "thay đổi có hiệu lực trong tương lai",
        ),
        (old.synthetic != new.synthetic, "whether the data is made up", "dữ liệu có phải giả lập"),
    ] {
        if differs {
            review.changes.push(Words::new(format!("changed: {en}"), format!("thay đổi: {vi}")));
        }
    }
    if !old.open && new.open {
        let says = Words::new("the dataset becomes open", "tập dữ liệu trở thành dữ liệu mở");
        review.changes.push(says.clone());
        review.find(Severity::Attention, "opens", "", says);
    }
    let lists: BTreeSet<&String> = old.code_lists.keys().chain(new.code_lists.keys()).collect();
    for name in lists {
        let (was, is) = (old.code_lists.get(name), new.code_lists.get(name));
        if let Some(list) = is.and_then(CodeList::dataset) {
            if was != is {
                review.changes.push(Words::new(
                    format!("code list {name}: from now on the records of {}", list.dataset),
                    format!("danh mục {name}: từ nay lấy theo các bản ghi của {}", list.dataset),
                ));
            }
            continue;
        }
        let codes = |list: Option<&CodeList>| list.and_then(CodeList::frozen).unwrap_or_default().to_vec();
        let (was, is) = (codes(was), codes(is));
        let more = is.iter().filter(|c| was.binary_search(c).is_err()).count();
        let less = was.iter().filter(|c| is.binary_search(c).is_err()).count();
        if more + less > 0 {
            review.changes.push(Words::new(
                format!("code list {name}: {more} codes more, {less} codes less"),
                format!("danh mục {name}: thêm {more} mã, bớt {less} mã"),
            ));
        }
    }
}

/// The datasets that it uses as code lists can be read so; and those that use it as theirs still can.
fn lists(set: &ControlSet, proposed: &Contract, review: &mut Review) {
    let others = set.contracts.values().map(|c| &**c).filter(|c| c.dataset != proposed.dataset);
    for user in others.chain([proposed]) {
        for (name, list) in user.lists_on_the_bus() {
            let own = user.dataset == proposed.dataset;
            let of = if list.dataset == proposed.dataset {
                Some(proposed)
            } else {
                set.contracts.get(&list.dataset).map(|c| &**c)
            };
            if !own && list.dataset != proposed.dataset {
                continue;
            }
            let why = match of.map(|of| CodesReader::compile(list, of)) {
                Some(Ok(_)) => continue,
                Some(Err(error)) => chain(&error),
                None => format!("there is no dataset {}", list.dataset),
            };
            let en = format!("the code list {name} of {} cannot be read: {why}", user.dataset);
            let vi = format!("không đọc được danh mục {name} của {}: {why}", user.dataset);
            review.find(Severity::Blocks, "code-list", "", Words::new(en, vi));
        }
    }
}

/// The examples beside the contract, by the rules that the router will ask, but for code lists on the bus, which only
/// the router knows.
fn run_examples(rules: Option<&Rules>, versions: &[(SchemaId, Schema)], examples: &[Example], review: &mut Review) {
    let (Some(rules), Some((newest, _))) = (rules, versions.last()) else { return };
    let mut spans = Spans::new();
    for example in examples {
        let found = match &example.body {
            Ok(body) => rules.check_record(body, *newest, (Relaxed::NONE, &CodeLists::NotAsked), &mut spans).rejections,
            Err(found) => found.clone(),
        };
        let name = &example.name;
        match (example.valid, found.first()) {
            (true, Some(first)) => {
                let en = format!("the valid example {name} is refused: {}", first.message(Lang::En));
                let vi = format!("ví dụ hợp lệ {name} bị từ chối: {}", first.message(Lang::Vi));
                review.find(Severity::Blocks, "example-refused", first.field.clone(), Words::new(en, vi));
            }
            (false, None) => {
                let en = format!("the invalid example {name} is taken");
                let vi = format!("ví dụ không hợp lệ {name} lại được chấp nhận");
                review.find(Severity::Blocks, "example-taken", "", Words::new(en, vi));
            }
            _ => {}
        }
    }
    for (valid, en, vi) in [(true, "valid", "hợp lệ"), (false, "invalid", "không hợp lệ")] {
        if !examples.iter().any(|e| e.valid == valid) {
            let says = Words::new(format!("there is no {en} example"), format!("không có ví dụ {vi} nào"));
            review.find(Severity::Attention, "no-example", "", says);
        }
    }
}

/// Every grant that stands: whether its view can go on, and what becomes of the fields in it.
fn grants(
    set: &ControlSet,
    old: Option<&Contract>,
    new: &Contract,
    versions: &[(SchemaId, Schema)],
    now_ms: i64,
    review: &mut Review,
) {
    for view in standing(set, now_ms).filter(|v| v.activation.grant.dataset == new.dataset) {
        let grant = &view.activation.grant;
        let mut hit = Hit {
            whom: Whom::Grant(grant.id.clone(), grant.recipient.clone()),
            severity: Severity::Note,
            how: Vec::new(),
        };
        let mut say = |severity: Severity, says: Words| {
            hit.severity = hit.severity.max(severity);
            hit.how.push(says);
        };
        if let Err(error) = compile(set, new, versions, view) {
            let en = format!("its view cannot be made any more: {}", chain(&error));
            let vi = format!("không thể tiếp tục tạo khung nhìn này: {}", chain(&error));
            say(Severity::Blocks, Words::new(en, vi));
        }
        for field in &grant.fields {
            let (pii, secret) = class_of(new, &field.path);
            let Some((was, was_secret)) = old.map(|old| class_of(old, &field.path)) else { continue };
            if pii > was || (secret && !was_secret) {
                let class = words::class(pii, secret);
                let en = format!("{}, which it receives, becomes {}", field.path, class.en);
                let vi = format!("{} mà cơ quan này đang nhận trở thành {}", field.path, class.vi);
                say(Severity::Attention, Words::new(en, vi));
            }
        }
        for found in super::given::secret(new, grant) {
            let en = format!("{}: {}", found.field, found.says.en);
            say(Severity::Blocks, Words::new(en, format!("{}: {}", found.field, found.says.vi)));
        }
        let from = view.activation.starts_ms;
        if new.personal() && !Validity::try_from(&grant.duration).is_ok_and(|v| v.within_a_year(from)) {
            let (en, vi) = match &grant.duration {
                Term::Duration(duration) => (format!("is for {duration}"), format!("thời hạn là {duration}")),
                Term::Ends(day) => {
                    (format!("holds until {day}"), format!("thời hạn là đến hết ngày {}", words::date(*day)))
                }
            };
            let en = format!("it {en}; with personal data it may be P12M at most");
            say(Severity::Blocks, Words::new(en, format!("{vi}; với dữ liệu cá nhân tối đa là 12 tháng (P12M)")));
        }
        if hit.how.is_empty() {
            hit.how.push(Words::new(
                "nothing changes: the view keeps its schema, and no new field enters it",
                "không thay đổi: khung nhìn giữ nguyên lược đồ, không có trường mới nào được đưa vào",
            ));
        }
        review.hits.push(hit);
    }
}

/// Compiles a standing grant under the proposal, with its view as it was registered.
fn compile(
    set: &ControlSet,
    new: &Contract,
    versions: &[(SchemaId, Schema)],
    view: &ViewEntry,
) -> Result<Shape, kenh_domain::shape::ShapeError> {
    let fixed = set.schemas.get(&view.activation.schema_id).map(|s| s.schema.as_str());
    Shape::compile(new, versions, &view.activation.grant, None, &view.activation.secret_label, fixed)
}

/// What providers must do otherwise.
fn providers(old: Option<&Contract>, new: &Contract, review: &mut Review) {
    let Some(old) = old else { return };
    let mut tighter = Vec::new();
    for (path, after) in &new.fields {
        let Some(before) = old.fields.get(path) else {
            if after.required {
                tighter.push(Words::new(
                    format!("{path} is new and required"),
                    format!("{path} là trường mới và bắt buộc"),
                ));
            }
            continue;
        };
        let which: Vec<_> = changed_rules(before, after)
            .into_iter()
            .chain((before.element != after.element).then_some("kenh.element"))
            .collect();
        if !which.is_empty() {
            let which = which.join(", ");
            tighter.push(Words::new(
                format!("{path} is admitted by other rules: {which}"),
                format!("{path} được tiếp nhận theo quy tắc khác: {which}"),
            ));
        }
    }
    for provider in &new.providers {
        let mut how = tighter.clone();
        match old.provider(&provider.agency) {
            None => how.push(Words::new("it may write from now on", "từ nay được phép ghi dữ liệu")),
            Some(before) if before.rows != provider.rows => {
                let (was, is) = (words::rows(old, before.rows.as_deref()), words::rows(new, provider.rows.as_deref()));
                how.push(Words::new(
                    format!("it may write {}; until now {}", is.en, was.en),
                    format!("được ghi {}; trước đây là {}", is.vi, was.vi),
                ));
            }
            Some(_) => {}
        }
        if !how.is_empty() {
            review.hits.push(Hit { whom: Whom::Provider(provider.agency.clone()), severity: Severity::Attention, how });
        }
    }
    for gone in old.providers.iter().filter(|p| new.provider(&p.agency).is_none()) {
        let how = vec![Words::new("it may no longer write", "không còn được phép ghi dữ liệu")];
        review.hits.push(Hit { whom: Whom::Provider(gone.agency.clone()), severity: Severity::Attention, how });
    }
}

/// One made-up record, as it is submitted in the released version and in the proposed one.
fn samples(old: Option<&Contract>, new: &Contract, versions: &[(SchemaId, Schema)], review: &mut Review) {
    let none = BTreeMap::new();
    let of = |contract: &Contract, schema: &Schema| {
        sample::body(contract, schema, &none).and_then(|body| sample::shown(schema, &body))
    };
    let before = old.and_then(|old| {
        let schema = Schema::parse(&old.latest()?.schema).ok()?;
        of(old, &schema)
    });
    let after = versions.last().and_then(|(_, schema)| of(new, schema));
    if after.is_some() {
        let whom = Words::new("the record as its provider sends it", "bản ghi do cơ quan cung cấp gửi");
        review.samples.push(Sample { whom, before, after });
    }
}
