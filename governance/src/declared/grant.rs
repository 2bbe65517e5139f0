//! `kind: Grant`: one file, one grant. Here its form is checked; whether its fields exist and its filter fits is checked
//! against the contract when it is planned.

use kenh_domain::grant::{Grant, GrantedField, KeyForm, Mask, Term};
use kenh_domain::names::{Principal, View};

use super::Marks;
use super::yaml::{Document, Fields, Kind, Node};
use crate::duration::Duration;

/// A grant as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredGrant {
    /// What it says.
    pub grant: Grant,
    /// Whether its document says `state: ended`.
    pub ended: bool,
}

/// Reads a grant's document from the keys beside `kind`.
pub fn read(doc: &mut Document<'_>, mut fields: Fields<'_>) -> Option<(DeclaredGrant, Marks)> {
    let mut marks = Marks::new(fields.at);
    let mut need = |doc: &mut Document<'_>, fields: &mut Fields<'_>, key: &'static str| -> Option<Node> {
        let node = fields.need(doc, key)?;
        marks.set(key, node.at);
        Some(node.clone())
    };
    let id = need(doc, &mut fields, "id").and_then(|n| doc.parsed(&n, "the id of a grant"));
    let recipient = need(doc, &mut fields, "recipient").and_then(|n| doc.parsed(&n, "the recipient of a grant"));
    let dataset = need(doc, &mut fields, "dataset").and_then(|n| doc.parsed(&n, "the dataset of a grant"));
    let purpose = need(doc, &mut fields, "purpose").and_then(|n| doc.text(&n, "the purpose of a grant"));
    let systems = need(doc, &mut fields, "systems").and_then(|n| not_empty::<Principal>(doc, &n, "systems of a grant"));
    let legal_basis =
        need(doc, &mut fields, "legalBasis").and_then(|n| not_empty::<String>(doc, &n, "the legal basis of a grant"));
    let granted = need(doc, &mut fields, "fields").and_then(|n| {
        let items = doc.list(&n, "fields of a grant")?.to_vec();
        if items.is_empty() {
            doc.problem(n.at, "fields of a grant are an empty list", "name at least one field");
        }
        Some(items)
    });
    let granted = granted.map(|items| {
        let read = |(i, item): (usize, &Node)| {
            marks.set(&format!("fields.{i}"), item.at);
            field(doc, item)
        };
        items.iter().enumerate().filter_map(read).collect::<Vec<_>>()
    });
    let duration = term(doc, &mut fields, &mut marks);
    let view = match fields.take("view") {
        Some(node) => {
            marks.set("view", node.at);
            doc.parsed(node, "the view of a grant")
        }
        None => Some(View::main()),
    };
    let filter = match fields.take("filter") {
        Some(node) => {
            marks.set("filter", node.at);
            doc.text(node, "the filter of a grant").map(Some)
        }
        None => Some(None),
    };
    let key = match fields.take("key") {
        Some(node) => {
            marks.set("key", node.at);
            choice(doc, node, "the key form", &[("clear", KeyForm::Clear), ("pseudonym", KeyForm::Pseudonym)])
        }
        None => Some(KeyForm::Clear),
    };
    let template = match fields.take("template") {
        Some(node) => {
            marks.set("template", node.at);
            doc.text(node, "the template of a grant").map(Some)
        }
        None => Some(None),
    };
    let emergency = match fields.take("emergency") {
        Some(node) => {
            marks.set("emergency", node.at);
            doc.boolean(node, "whether a grant is for an emergency")
        }
        None => Some(false),
    };
    let ended = match fields.take("state") {
        Some(node) => choice(doc, node, "the state of a grant", &[("active", false), ("ended", true)]),
        None => Some(false),
    };
    fields.finish(doc);
    let grant = Grant {
        id: id?,
        recipient: recipient?,
        systems: systems?,
        dataset: dataset?,
        view: view?,
        purpose: purpose?,
        legal_basis: legal_basis?,
        fields: granted?,
        filter: filter?,
        key: key?,
        duration: duration?,
        template: template?,
        emergency: emergency?,
    };
    Some((DeclaredGrant { grant, ended: ended? }, marks))
}

/// How long it holds: exactly one of `duration` and `ends`. That a last day is past is no matter of form: a grant that has
/// ended stands declared as it was.
fn term(doc: &mut Document<'_>, fields: &mut Fields<'_>, marks: &mut Marks) -> Option<Term> {
    match (fields.take("duration"), fields.take("ends")) {
        (Some(node), None) => {
            marks.set("duration", node.at);
            doc.parsed::<Duration>(node, "the duration of a grant")?;
            doc.text(node, "the duration of a grant").map(Term::Duration)
        }
        (None, Some(node)) => {
            marks.set("ends", node.at);
            doc.parsed(node, "the last day of a grant").map(Term::Ends)
        }
        (Some(_), Some(ends)) => {
            doc.problem(ends.at, "a grant has both `duration` and `ends`", "keep the one that is meant");
            None
        }
        (None, None) => {
            let hint = "write `duration: P12M`, which counts from its activation, or its last day, `ends: 2027-03-31`";
            doc.problem(fields.at, "a grant lacks `duration` or `ends`", hint);
            None
        }
    }
}

fn not_empty<T: std::str::FromStr<Err: std::fmt::Display>>(
    doc: &mut Document<'_>,
    node: &Node,
    what: &str,
) -> Option<Vec<T>> {
    let list = doc.each(node, what)?;
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        doc.problem(node.at, format!("{what} are an empty list"), "");
    }
    Some(list)
}

/// One of a few words.
fn choice<T: Copy>(doc: &mut Document<'_>, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
    let text = doc.text(node, what)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        doc.problem(node.at, format!("{what} is {text:?}"), format!("write one of: {}", all.join(", ")));
    }
    found.map(|(_, value)| *value)
}

/// A granted field: a path alone, or `path`, `as` and `mask`.
fn field(doc: &mut Document<'_>, node: &Node) -> Option<GrantedField> {
    if let Kind::Text(path) = &node.kind {
        return Some(GrantedField { path: path.clone(), name: None, mask: None });
    }
    let mut fields = doc.fields(node, "a granted field")?;
    let path = fields.need(doc, "path").and_then(|n| doc.text(n, "the path of a field"));
    let name = fields.take("as").map(|n| doc.text(n, "the name of a field in the view"));
    let mask = fields.take("mask").map(|n| mask(doc, n));
    fields.finish(doc);
    // A name or mask that cannot be read must not turn into none: that would show more than was meant.
    let name = match name {
        Some(read) => Some(read?),
        None => None,
    };
    let mask = match mask {
        Some(read) => Some(read?),
        None => None,
    };
    Some(GrantedField { path: path?, name, mask })
}

const MASKS: &str = "a mask is null, year, hash, {constant: TEXT} or {last: N}";

fn mask(doc: &mut Document<'_>, node: &Node) -> Option<Mask> {
    match &node.kind {
        // `mask: null` is YAML's null, and means the mask of that name.
        Kind::Null => return Some(Mask::Null),
        Kind::Text(word) => match word.as_str() {
            "null" => return Some(Mask::Null),
            "year" => return Some(Mask::Year),
            "hash" => return Some(Mask::Hash),
            _ => {}
        },
        Kind::Map(entries) => {
            if let [(Node { kind: Kind::Text(word), .. }, value)] = entries.as_slice() {
                match word.as_str() {
                    "constant" => return doc.text(value, "the constant of a mask").map(Mask::Constant),
                    "last" => {
                        let n = doc.whole(value, "the number of characters of a mask", 1, 1000)?;
                        return u32::try_from(n).ok().map(Mask::Last);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    doc.problem(node.at, "this is not a mask", MASKS);
    None
}
