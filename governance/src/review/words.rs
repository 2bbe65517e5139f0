//! The words of a review, in both languages: classes, masks, rows, rules.

use kenh_domain::contract::{Contract, FieldRules, Onward, Period, PeriodUnit, Pii};
use kenh_domain::date::{DAY_MS, VIET_NAM_MS};
use kenh_domain::grant::Mask;
use kenh_domain::law::Day;

use super::Words;

/// A class of data (Luật 91/2025, NĐ 356/2025).
pub fn class(pii: Pii, secret: bool) -> Words {
    let words = match pii {
        Pii::None => Words::new("not personal", "không phải dữ liệu cá nhân"),
        Pii::Basic => Words::new("basic personal data", "dữ liệu cá nhân cơ bản"),
        Pii::Sensitive => Words::new("SENSITIVE personal data", "dữ liệu cá nhân NHẠY CẢM"),
    };
    if !secret {
        return words;
    }
    Words::new(format!("{}; SECRET", words.en), format!("{}; MẬT", words.vi))
}

/// What of a field is seen.
pub fn form(mask: Option<&Mask>) -> Words {
    match mask {
        None => Words::new("as it is", "nguyên giá trị"),
        Some(Mask::Null) => Words::new("never (always empty)", "không bao giờ (luôn để trống)"),
        Some(Mask::Constant(_)) => Words::new("never (a fixed text)", "không bao giờ (một văn bản cố định)"),
        Some(Mask::Last(n)) => Words::new(format!("its last {n} characters"), format!("{n} ký tự cuối")),
        Some(Mask::Year) => Words::new("its year only", "chỉ năm"),
        Some(Mask::Hash) => Words::new("a keyed hash of it", "giá trị băm có khóa"),
    }
}

/// What a field means: contracts describe it as `Vietnamese / English`; where only one is given, it serves for both.
pub fn meaning(rules: &FieldRules, path: &str) -> Words {
    match rules.description.as_deref() {
        None => Words::same(path),
        Some(text) => bilingual(text),
    }
}

/// A text that may be `Vietnamese / English`.
pub fn bilingual(text: &str) -> Words {
    match text.split_once(" / ") {
        Some((vi, en)) => Words::new(en.trim(), vi.trim()),
        None => Words::same(text.trim()),
    }
}

/// A moment (milliseconds since 1970, UTC) by the clock of Việt Nam, to the minute: `2026-11-24 22:30`.
pub fn moment(ms: i64) -> String {
    let minutes = ms.saturating_add(VIET_NAM_MS).rem_euclid(DAY_MS) / 60_000;
    format!("{} {:02}:{:02}", Day::of(ms), minutes / 60, minutes % 60)
}

/// A length of time.
pub fn period(period: Period) -> Words {
    let n = period.count;
    let (en, vi) = match period.unit {
        PeriodUnit::Hour => ("hour", "giờ"),
        PeriodUnit::Day => ("day", "ngày"),
        PeriodUnit::Month => ("month", "tháng"),
        PeriodUnit::Year => ("year", "năm"),
    };
    Words::new(format!("{n} {en}{}", if n == 1 { "" } else { "s" }), format!("{n} {vi}"))
}

/// A day as it is written in Việt Nam: `31/03/2027`.
pub fn date(day: Day) -> String {
    let text = day.to_string();
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year, month, day] => format!("{day}/{month}/{year}"),
        _ => text,
    }
}

/// Whether a recipient may pass the data on.
pub fn onward(onward: Onward) -> Words {
    match onward {
        Onward::None => Words::new("to nobody", "không được chuyển tiếp"),
        Onward::Ask => Words::new("after asking the owner", "phải hỏi cơ quan chủ quản trước"),
        Onward::Free => Words::new("to anybody", "được chuyển tiếp"),
    }
}

/// The rows of a filter, in words; the filter itself follows in its exact form.
pub fn rows(contract: &Contract, filter: Option<&str>) -> Words {
    let Some(filter) = filter else { return Words::new("all rows", "mọi dòng") };
    let (en, vi) = filter_words(contract, filter);
    Words::new(format!("rows where {en}"), format!("các dòng mà {vi}"))
}

/// Reads a filter that has compiled, sign by sign.
fn filter_words(contract: &Contract, filter: &str) -> (String, String) {
    let (mut en, mut vi) = (String::new(), String::new());
    let mut both = |e: &str, v: &str| {
        en.push_str(e);
        vi.push_str(v);
    };
    let mut rest = filter;
    while let Some(c) = rest.chars().next() {
        let signs: [(&str, &str, &str); 11] = [
            (".startsWith(", " begins with (", " bắt đầu bằng ("),
            ("&&", "and", "và"),
            ("||", "or", "hoặc"),
            ("==", "is", "là"),
            ("!=", "is not", "không phải là"),
            ("<=", "is at most", "không quá"),
            (">=", "is at least", "ít nhất là"),
            ("<", "is below", "nhỏ hơn"),
            (">", "is above", "lớn hơn"),
            ("!", "not ", "không phải "),
            ("\n", " ", " "),
        ];
        if let Some((sign, e, v)) = signs.iter().find(|(sign, ..)| rest.starts_with(sign)) {
            both(e, v);
            rest = &rest[sign.len()..];
        } else if c == '"' || c == '\'' {
            let end = text_end(rest, c);
            both(&rest[..end], &rest[..end]);
            rest = &rest[end..];
        } else if c.is_alphabetic() || c == '_' {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
            let mut end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            // `Ten.startsWith("x")`: the path ends before the call.
            if let Some(call) = rest[..end].find(".startsWith") {
                end = call;
            }
            match &rest[..end] {
                "null" => both("empty", "trống"),
                "in" => both("is one of", "là một trong"),
                "true" => both("true", "đúng"),
                "false" => both("false", "sai"),
                path => {
                    let means = meaning(&super::rules_of(contract, path), path);
                    let told = |means: &str| if means == path { path.to_owned() } else { format!("{path} ({means})") };
                    both(&told(&means.en), &told(&means.vi));
                }
            }
            rest = &rest[end..];
        } else {
            let sign = &rest[..c.len_utf8()];
            both(sign, sign);
            rest = &rest[c.len_utf8()..];
        }
    }
    (en, vi)
}

/// Where a quoted text ends, behind its closing quote.
fn text_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Why older records cannot be read in a new version: the codes of [`crate::compatibility`].
pub fn incompatible(rule: &str) -> &'static str {
    match rule {
        "default-missing" => "trường mới không có giá trị mặc định: các bản ghi cũ không có giá trị cho nó",
        "null-refused" => "trường không còn được để trống, trong khi bản ghi cũ có thể để trống",
        "union-narrowed" => "trường bị bớt kiểu dữ liệu mà bản ghi cũ có thể dùng",
        "type-changed" => "kiểu dữ liệu thay đổi: không đọc được bản ghi cũ",
        "symbol-removed" => "danh mục bị bớt giá trị mà bản ghi cũ có thể dùng",
        "name-changed" => "tên kiểu bị đổi; tên phải giữ nguyên",
        "decimal-changed" => "số chữ số thập phân bị thay đổi",
        "partly-readable" => "một số bản ghi cũ không đọc được theo phiên bản mới",
        _ => "không tương thích theo quy tắc Avro",
    }
}
