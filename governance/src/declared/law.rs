//! `kind: Law`: an article of law that grants rest on, and from when to when it is in force.

use kenh_domain::law::Article;

use super::Marks;
use super::yaml::{Document, Fields};

/// Reads an article's document from the keys beside `kind`.
pub fn read(doc: &mut Document<'_>, mut fields: Fields<'_>) -> Option<(Article, Marks)> {
    let mut marks = Marks::new(fields.at);
    let id = fields.need(doc, "id").and_then(|n| {
        marks.set("id", n.at);
        doc.parsed(n, "the id of an article")
    });
    let citation = fields.need(doc, "citation").and_then(|n| {
        marks.set("citation", n.at);
        doc.text(n, "the citation of an article")
    });
    let title_en = fields.need(doc, "titleEn").and_then(|n| doc.text(n, "the English title of an article"));
    let from = fields.need(doc, "from").and_then(|n| {
        marks.set("from", n.at);
        doc.parsed(n, "the first day of an article")
    });
    let until = match fields.take("until") {
        Some(node) => {
            marks.set("until", node.at);
            doc.parsed(node, "the last day of an article").map(Some)
        }
        None => Some(None),
    };
    fields.finish(doc);
    Some((Article { id: id?, citation: citation?, title_en: title_en?, from: from?, until: until? }, marks))
}
