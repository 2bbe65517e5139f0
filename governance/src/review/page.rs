//! The review as a page that a lawyer can read: Vietnamese and English, Markdown and HTML.
//!
//! Every text on it is escaped for its form, wherever it comes from: a field's description, a purpose, a file's name. The
//! HTML has no script, loads nothing and links nowhere.
//!
//! What people sign names one digest for all of them: that of [`Pages::signed`], which is the page in Vietnamese, the page
//! in English, and the SHA-256 of the HTML forms of both. The same review gives the same bytes.

use std::fmt::Write as _;

use kenh_domain::law::Day;
use kenh_domain::rule::Lang;
use sha2::{Digest, Sha256};

use super::{Held, Review, SeenField, Severity, Whom};

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name of its file.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// The name of the file that is signed.
pub const SIGNED: &str = "review.md";

/// The pages of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// In both languages and both forms.
    pub pages: Vec<Page>,
    /// Both languages as Markdown, and the SHA-256 of the HTML forms.
    pub signed: String,
}

impl Pages {
    /// What people sign: SHA-256 of [`signed`](Self::signed), in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.signed)
    }

    /// One of them, by language and form.
    #[must_use]
    pub fn page(&self, lang: Lang, html: bool) -> &str {
        let name = name(lang, html);
        self.pages.iter().find(|p| p.name == name).map_or("", |p| &p.text)
    }
}

/// SHA-256 of a text, in hexadecimal.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether a page read from a file is part of what was signed: word for word, or by its digest.
#[must_use]
pub fn is_part(signed: &str, page: &str, html: bool) -> bool {
    if html { signed.contains(&format!("- `{}` ", digest(page))) } else { !page.is_empty() && signed.contains(page) }
}

/// The name of a page's file.
#[must_use]
pub const fn name(lang: Lang, html: bool) -> &'static str {
    match (lang, html) {
        (Lang::Vi, false) => "review.vi.md",
        (Lang::Vi, true) => "review.vi.html",
        (Lang::En, false) => "review.en.md",
        (Lang::En, true) => "review.en.html",
    }
}

/// Writes the pages of a review.
#[must_use]
pub fn pages(review: &Review) -> Pages {
    let mut out = Pages { pages: Vec::new(), signed: String::new() };
    let mut sums = String::new();
    for lang in [Lang::Vi, Lang::En] {
        let blocks = blocks(review, lang);
        let (plain, rich) = (markdown(&blocks), html(&blocks, lang));
        out.signed.push_str(&plain);
        out.signed.push_str("\n---\n\n");
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "- `{}` {}", digest(&rich), name(lang, true));
        out.pages.push(Page { name: name(lang, false), text: plain });
        out.pages.push(Page { name: name(lang, true), text: rich });
    }
    out.signed.push_str("SHA-256 (HTML):\n\n");
    out.signed.push_str(&sums);
    out
}

/// A part of a page, before it has a form.
enum Block {
    Title(String),
    Heading(String),
    Text(String),
    List(Vec<String>),
    Table(Vec<String>, Vec<Vec<String>>),
}

fn severity(severity: Severity, lang: Lang) -> &'static str {
    match (severity, lang) {
        (Severity::Note, Lang::En) => "note",
        (Severity::Note, Lang::Vi) => "ghi chú",
        (Severity::Attention, Lang::En) => "to be judged",
        (Severity::Attention, Lang::Vi) => "cần xem xét",
        (Severity::Blocks, Lang::En) => "BLOCKS",
        (Severity::Blocks, Lang::Vi) => "CHẶN",
    }
}

fn blocks(review: &Review, lang: Lang) -> Vec<Block> {
    let say = |en: &str, vi: &str| if lang == Lang::En { en.to_owned() } else { vi.to_owned() };
    let head = |names: &[(&str, &str)]| names.iter().map(|(en, vi)| say(en, vi)).collect::<Vec<_>>();
    let mut out = vec![Block::Title(review.title.text(lang).to_owned())];
    if review.synthetic {
        out.push(Block::Text(say(
            "Every record of this dataset is SYNTHETIC: made up, nobody is real.",
            "Toàn bộ bản ghi của tập dữ liệu này là dữ liệu GIẢ LẬP, không phải người thật.",
        )));
    }
    out.push(Block::Text(say(
        &format!("Made on {}.", Day::of(review.at_ms)),
        &format!("Lập ngày {}.", Day::of(review.at_ms)),
    )));
    out.push(Block::Text(match review.worst() {
        Some(Severity::Blocks) => say(
            "Result of the automatic checks: IT CANNOT COME INTO FORCE LIKE THIS. No approval changes that; correct it and propose again.",
            "Kết quả kiểm tra tự động: KHÔNG THỂ CÓ HIỆU LỰC như đề xuất này. Việc phê duyệt không thay đổi được điều đó; hãy sửa và đề xuất lại.",
        ),
        Some(Severity::Attention) => say(
            "Result of the automatic checks: nothing blocks it; what is marked “to be judged” is for the people who decide.",
            "Kết quả kiểm tra tự động: không có gì chặn; các mục “cần xem xét” do người có thẩm quyền quyết định.",
        ),
        _ => say(
            "Result of the automatic checks: nothing was found that blocks it or needs a judgement.",
            "Kết quả kiểm tra tự động: không có gì chặn hoặc cần xem xét.",
        ),
    }));

    let both = |pair: &(super::Words, super::Words)| vec![pair.0.text(lang).to_owned(), pair.1.text(lang).to_owned()];
    out.push(Block::Heading(say("What it rests on", "Căn cứ và thông tin chung")));
    out.push(Block::Table(head(&[("what", "mục"), ("says", "nội dung")]), review.facts.iter().map(both).collect()));

    out.push(Block::Heading(say("What changes", "Nội dung thay đổi")));
    let list: Vec<String> = review.changes.iter().map(|w| w.text(lang).to_owned()).collect();
    out.push(if list.is_empty() { Block::Text(say("Nothing.", "Không có.")) } else { Block::List(list) });

    out.push(Block::Heading(say("What the checks found", "Kết quả kiểm tra")));
    let rows = review.findings.iter().map(|f| {
        vec![severity(f.severity, lang).to_owned(), f.field.clone(), f.says.text(lang).to_owned(), f.code.to_owned()]
    });
    let rows: Vec<_> = rows.collect();
    out.push(if rows.is_empty() {
        Block::Text(say("Nothing.", "Không có."))
    } else {
        let columns =
            [("weight", "mức độ"), ("field", "trường"), ("what was found", "phát hiện"), ("check", "mã kiểm tra")];
        Block::Table(head(&columns), rows)
    });

    out.push(Block::Heading(say("Who is hit, and how", "Ai bị ảnh hưởng, và ảnh hưởng thế nào")));
    let rows = review.hits.iter().map(|hit| {
        let whom = match &hit.whom {
            Whom::Provider(agency) => say(&format!("provider {agency}"), &format!("cơ quan cung cấp {agency}")),
            Whom::Grant(id, agency) => {
                say(&format!("{agency}, under grant {id}"), &format!("{agency}, theo văn bản {id}"))
            }
        };
        let how: Vec<&str> = hit.how.iter().map(|w| w.text(lang)).collect();
        vec![whom, severity(hit.severity, lang).to_owned(), how.join("; ")]
    });
    let rows: Vec<_> = rows.collect();
    out.push(if rows.is_empty() {
        Block::Text(say("Nobody.", "Không ai."))
    } else {
        Block::Table(head(&[("who", "ai"), ("weight", "mức độ"), ("how", "ảnh hưởng")]), rows)
    });

    if review.shares {
        shared(review, lang, &mut out);
    }

    out.push(Block::Heading(say("What is signed", "Nội dung ký")));
    out.push(Block::Text(say(
        "Who approves or refuses signs the SHA-256 of the document and that of review.md, which is this page in both languages with the digests of its HTML forms. A page that was changed, even by a letter, has another digest.",
        "Người phê duyệt hoặc từ chối ký trên mã băm SHA-256 của văn bản và của tệp review.md, gồm trang này ở cả hai ngôn ngữ cùng mã băm của bản HTML. Trang bị sửa, dù một chữ, sẽ có mã băm khác.",
    )));
    out
}

/// Who sees what: newly, on a made-up record, and all together.
fn shared(review: &Review, lang: Lang, out: &mut Vec<Block>) {
    let say = |en: &str, vi: &str| if lang == Lang::En { en.to_owned() } else { vi.to_owned() };
    out.push(Block::Heading(say("Who newly sees what", "Ai được thấy thêm những gì")));
    if review.newly.is_empty() {
        out.push(Block::Text(say(
            "Nobody sees anything that was not seen before: a new field reaches no one until a grant names it.",
            "Không ai thấy thêm dữ liệu nào: trường mới chỉ đến được cơ quan khác khi có văn bản cấp quyền nêu rõ trường đó.",
        )));
    }
    for newly in &review.newly {
        let (agency, view, rows) = (&newly.agency, &newly.view, newly.rows.text(lang));
        let of = match newly.records {
            Some(n) => say(&format!("about {} records", grouped(n)), &format!("khoảng {} bản ghi", grouped(n))),
            None => say("how many records is not known", "chưa biết số lượng bản ghi"),
        };
        let articles = newly.legal_basis.join("; ");
        out.push(Block::Text(say(
            &format!("{agency}, view {view}: {rows}; {of}; under {articles}."),
            &format!("{agency}, khung nhìn {view}: {rows}; {of}; căn cứ {articles}."),
        )));
        out.push(fields(&newly.fields, lang));
    }

    out.push(Block::Heading(say("Before and after, on a made-up record", "Trước và sau, trên một bản ghi giả định")));
    out.push(Block::Text(say(
        "Made by the data dictionary; no real record is shown.",
        "Do từ điển dữ liệu tạo ra; không hiển thị bản ghi thật nào.",
    )));
    for sample in &review.samples {
        out.push(Block::Text(format!("{}:", capital(sample.whom.text(lang)))));
        out.push(before_and_after(sample, lang));
    }

    out.push(Block::Heading(say(
        "What each agency then holds of this dataset",
        "Tổng hợp: mỗi cơ quan khi đó giữ những gì của tập dữ liệu này",
    )));
    if review.union.is_empty() {
        out.push(Block::Text(say("No agency receives it.", "Chưa cơ quan nào nhận dữ liệu này.")));
    }
    for (agency, views) in &review.union {
        for view in views {
            out.push(Block::Text(holding(agency.as_str(), view, lang)));
            out.push(fields(&view.fields, lang));
        }
    }
}

fn fields(fields: &[SeenField], lang: Lang) -> Block {
    let columns = match lang {
        Lang::En => ["field", "means", "class", "is seen"],
        Lang::Vi => ["trường", "ý nghĩa", "phân loại", "được thấy"],
    };
    let rows = fields
        .iter()
        .map(|f| vec![f.path.clone(), f.means.text(lang).into(), f.class.text(lang).into(), f.form.text(lang).into()]);
    Block::Table(columns.map(String::from).to_vec(), rows.collect())
}

fn holding(agency: &str, view: &Held, lang: Lang) -> String {
    let Held { grant, view: name, proposed, pseudonymised, rows, .. } = view;
    let rows = rows.text(lang);
    match lang {
        Lang::En => format!(
            "{agency}, view {name} under grant {grant}{}: {rows}{}.",
            if *proposed { " (PROPOSED)" } else { "" },
            if *pseudonymised { ", under pseudonyms" } else { "" },
        ),
        Lang::Vi => format!(
            "{agency}, khung nhìn {name} theo văn bản {grant}{}: {rows}{}.",
            if *proposed { " (ĐỀ XUẤT)" } else { "" },
            if *pseudonymised { ", dưới mã giả danh" } else { "" },
        ),
    }
}

fn before_and_after(sample: &super::Sample, lang: Lang) -> Block {
    let (columns, unseen) = match lang {
        Lang::En => (["field", "before", "after"], "not seen"),
        Lang::Vi => (["trường", "trước", "sau"], "không thấy"),
    };
    let value = |side: &Option<Vec<(String, String)>>, name: &str| {
        let found = side.as_ref().and_then(|fields| fields.iter().find(|(field, _)| field == name));
        found.map_or_else(|| unseen.to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in sample.after.iter().chain(&sample.before).flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rows = names.iter().map(|name| vec![(*name).clone(), value(&sample.before, name), value(&sample.after, name)]);
    Block::Table(columns.map(String::from).to_vec(), rows.collect())
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// 1 234 567, with narrow spaces as both languages read it.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

fn markdown(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        // Writing to a String cannot fail.
        let _ = match block {
            Block::Title(text) => writeln!(out, "# {}\n", in_markdown(text)),
            Block::Heading(text) => writeln!(out, "## {}\n", in_markdown(text)),
            Block::Text(text) => writeln!(out, "{}\n", in_markdown(text)),
            Block::List(items) => {
                items.iter().for_each(|item| out.push_str(&format!("- {}\n", in_markdown(item))));
                writeln!(out)
            }
            Block::Table(columns, rows) => {
                let line = |cells: &[String]| {
                    format!("| {} |\n", cells.iter().map(|c| in_markdown(c)).collect::<Vec<_>>().join(" | "))
                };
                out.push_str(&line(columns));
                out.push_str(&format!("|{}\n", "---|".repeat(columns.len())));
                rows.iter().for_each(|row| out.push_str(&line(row)));
                writeln!(out)
            }
        };
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What would move a text off its line, or show it in another order than it is signed in (the controls of bidirectional
/// text: Unicode Standard Annex 9).
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing in a text is markup, and it stays on its line.
fn in_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if misleads(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "body{font-family:sans-serif;line-height:1.5;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;margin:0 0 1rem}th,td{border:1px solid #888;padding:.3rem .5rem;\
text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#eee}";

fn html(blocks: &[Block], lang: Lang) -> String {
    let title = blocks.iter().find_map(|b| if let Block::Title(text) = b { Some(in_html(text)) } else { None });
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        if lang == Lang::Vi { "vi" } else { "en" },
        title.unwrap_or_default()
    );
    for block in blocks {
        match block {
            Block::Title(text) => out.push_str(&format!("<h1>{}</h1>\n", in_html(text))),
            Block::Heading(text) => out.push_str(&format!("<h2>{}</h2>\n", in_html(text))),
            Block::Text(text) => out.push_str(&format!("<p>{}</p>\n", in_html(text))),
            Block::List(items) => {
                let items: String = items.iter().map(|i| format!("<li>{}</li>\n", in_html(i))).collect();
                out.push_str(&format!("<ul>\n{items}</ul>\n"));
            }
            Block::Table(columns, rows) => {
                let cells = |cells: &[String], tag: &str| -> String {
                    cells.iter().map(|c| format!("<{tag}>{}</{tag}>", in_html(c))).collect()
                };
                let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row, "td"))).collect();
                out.push_str(&format!("<table>\n<tr>{}</tr>\n{body}</table>\n", cells(columns, "th")));
            }
        }
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn in_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if misleads(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
