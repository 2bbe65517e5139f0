//! The properties of an ODCS schema object: the fields of a record, each with its rules.
//!
//! ODCS has no word for some of Kênh's settings; those stand in its `customProperties`, under names that start with
//! `kenh.`. A rule that ODCS knows and Kênh does not enforce is refused and not skipped: its author would believe that it
//! holds.

use std::collections::BTreeMap;

use kenh_domain::contract::{FieldRules, Pii};

use super::problem::At;
use super::yaml::{Document, Fields, Kind, Node};

/// A field as the contract describes it.
#[derive(Debug, Clone)]
pub struct Property {
    /// Its dotted path; `[]` stands for the items of an array.
    pub path: String,
    /// Where it is described.
    pub at: At,
    /// ODCS's logical type.
    pub logical: String,
    /// Its rules.
    pub rules: FieldRules,
    /// Its place in the record key, if it is part of it.
    pub key: Option<i64>,
}

impl Property {
    /// Whether it lies within an array, where rules do not reach.
    #[must_use]
    pub fn in_array(&self) -> bool {
        self.path.contains("[]")
    }
}

/// Keys of a property that are for people and other tools.
const DESCRIPTIVE: &[&str] = &[
    "id",
    "physicalType",
    "physicalName",
    "businessName",
    "classification",
    "criticalDataElement",
    "partitioned",
    "partitionKeyPosition",
    "encryptedName",
    "transformSourceObjects",
    "transformLogic",
    "transformDescription",
    "examples",
    "tags",
    "authoritativeDefinitions",
    "relationships",
];

const LOGICAL: &[&str] = &["string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"];

/// Reads a list of properties, those below them included.
/// Those that lie within a classified one are classified alike.
pub fn read(doc: &mut Document<'_>, node: &Node, prefix: &str, class: Class, out: &mut Vec<Property>) {
    let Some(items) = doc.list(node, "properties") else { return };
    for item in items {
        let Some(mut fields) = doc.fields(item, "a property") else { continue };
        let Some(name) = fields.need(doc, "name").and_then(|n| doc.text(n, "the name of a property")) else { continue };
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if out.iter().any(|p| p.path == path) {
            doc.problem(item.at, format!("property {path} is described twice"), "keep one of the two");
            continue;
        }
        property(doc, fields, path, class, out);
    }
}

/// How a field is classified: what the fields below it are too, unless they say otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Class {
    pii: Pii,
    secret: bool,
}

fn property(doc: &mut Document<'_>, mut fields: Fields<'_>, path: String, inherited: Class, out: &mut Vec<Property>) {
    let at = fields.at;
    let what = format!("property {path}");
    let Class { pii, secret } = inherited;
    let mut rules = FieldRules { pii, secret, ..FieldRules::default() };
    let logical = fields.need(doc, "logicalType").and_then(|n| {
        let logical = doc.text(n, &format!("the logicalType of {path}"))?;
        if !LOGICAL.contains(&logical.as_str()) {
            let hint = format!("write one of: {}", LOGICAL.join(", "));
            doc.problem(n.at, format!("the logicalType of {path} is {logical:?}"), hint);
        }
        Some(logical)
    });
    rules.description = fields.take("description").and_then(|n| doc.text(n, &format!("the description of {path}")));
    rules.required =
        fields.take("required").and_then(|n| doc.boolean(n, &format!("`required` of {path}"))).unwrap_or_default();
    if let Some(options) = fields.take("logicalTypeOptions") {
        type_options(doc, options, &path, &mut rules);
    }
    let key = primary_key(doc, &mut fields, &path);
    if let Some(node) = fields.take("unique")
        && doc.boolean(node, &format!("`unique` of {path}")) == Some(true)
        && key.is_none()
    {
        doc.problem(
            node.at,
            format!("{path} is to be unique, which Kênh does not enforce"),
            "only the record key is unique: name it with primaryKey, or drop `unique`",
        );
    }
    if let Some(quality) = fields.take("quality") {
        text_quality_only(doc, quality, &path);
    }
    if let Some(custom) = fields.take("customProperties") {
        settings(doc, custom, &what, |doc, name, node| setting(doc, name, node, &path, &mut rules));
    }
    let below = fields.take("properties");
    let items = fields.take("items");
    fields.also(DESCRIPTIVE);
    fields.finish(doc);

    let class = Class { pii: rules.pii, secret: rules.secret };
    let bare = FieldRules {
        pii: rules.pii,
        secret: rules.secret,
        description: rules.description.clone(),
        required: rules.required,
        ..FieldRules::default()
    };
    if path.contains("[]") && rules != bare {
        doc.problem(
            at,
            format!("{path} lies within an array and has rules, which Kênh does not enforce there"),
            "describe it only, or make the array's items a dataset of their own",
        );
    }
    let logical = logical.unwrap_or_default();
    out.push(Property { path: path.clone(), at, logical, rules, key });
    if let Some(below) = below {
        read(doc, below, &path, class, out);
    }
    if let Some(items) = items {
        let path = format!("{path}[]");
        if let Some(mut item) = doc.fields(items, &format!("items of {path}")) {
            // Items have no name in ODCS; all the rest is a property.
            item.also(&["name"]);
            property(doc, item, path, class, out);
        }
    }
}

fn primary_key(doc: &mut Document<'_>, fields: &mut Fields<'_>, path: &str) -> Option<i64> {
    let position = fields
        .take("primaryKeyPosition")
        .and_then(|n| doc.whole(n, &format!("the primaryKeyPosition of {path}"), -1, 16))
        .filter(|position| *position != -1);
    let node = fields.take("primaryKey")?;
    if !doc.boolean(node, &format!("`primaryKey` of {path}"))? {
        return None;
    }
    if path.contains("[]") {
        doc.problem(node.at, format!("{path} lies within an array and cannot be part of the record key"), "");
    }
    Some(position.unwrap_or(1))
}

fn type_options(doc: &mut Document<'_>, node: &Node, path: &str, rules: &mut FieldRules) {
    let Some(mut options) = doc.fields(node, &format!("logicalTypeOptions of {path}")) else { return };
    rules.pattern = options.take("pattern").and_then(|n| doc.text(n, &format!("the pattern of {path}")));
    rules.max_length = options
        .take("maxLength")
        .and_then(|n| doc.whole(n, &format!("the maxLength of {path}"), 0, i64::from(u32::MAX)))
        .and_then(|n| u32::try_from(n).ok());
    rules.minimum = options.take("minimum").and_then(|n| bound(doc, n, &format!("the minimum of {path}")));
    rules.maximum = options.take("maximum").and_then(|n| bound(doc, n, &format!("the maximum of {path}")));
    for unsupported in
        ["minLength", "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "maxItems", "minItems", "uniqueItems"]
    {
        if let Some(node) = options.take(unsupported) {
            let hint = "use pattern, minimum, maximum or maxLength";
            doc.problem(node.at, format!("{path} has {unsupported}, which Kênh does not enforce"), hint);
        }
    }
    options.also(&["format", "timezone", "defaultTimezone", "maxProperties", "minProperties", "required"]);
    options.finish(doc);
}

/// A bound as text: numbers in Rust's own shortest form, dates as written.
fn bound(doc: &mut Document<'_>, node: &Node, what: &str) -> Option<String> {
    match &node.kind {
        Kind::Int(n) => Some(n.to_string()),
        Kind::Float(n) => Some(n.to_string()),
        Kind::Text(text) => Some(text.clone()),
        _ => {
            doc.problem(node.at, format!("{what} is {}, not a number or a date", node.what()), "");
            None
        }
    }
}

fn text_quality_only(doc: &mut Document<'_>, node: &Node, path: &str) {
    let Some(items) = doc.list(node, &format!("quality of {path}")) else { return };
    for item in items {
        let Kind::Map(entries) = &item.kind else { continue };
        let text = entries
            .iter()
            .any(|(k, v)| matches!((&k.kind, &v.kind), (Kind::Text(k), Kind::Text(v)) if k == "type" && v == "text"));
        if !text {
            doc.problem(
                item.at,
                format!("{path} has a quality rule that Kênh does not run"),
                "write it for people (`type: text`), or as a rule of the field",
            );
        }
    }
}

/// Hands each `kenh.…` custom property to `take`, which answers whether it knows the name; those of other tools stay
/// theirs.
pub fn settings(
    doc: &mut Document<'_>,
    node: &Node,
    what: &str,
    mut take: impl FnMut(&mut Document<'_>, &str, &Node) -> bool,
) {
    let Some(items) = doc.list(node, &format!("customProperties of {what}")) else { return };
    let mut seen: BTreeMap<String, At> = BTreeMap::new();
    for item in items {
        let Some(mut fields) = doc.fields(item, "a custom property") else { continue };
        let name = fields.need(doc, "property").and_then(|n| doc.text(n, "the name of a custom property"));
        let value = fields.need(doc, "value");
        fields.also(&["id", "description"]);
        fields.finish(doc);
        let (Some(name), Some(value)) = (name, value) else { continue };
        if !name.starts_with("kenh.") {
            continue;
        }
        if let Some(first) = seen.insert(name.clone(), item.at) {
            doc.problem(item.at, format!("{name} is set twice, first in line {}", first.line), "keep one of the two");
        } else if !take(doc, &name, value) {
            doc.problem(item.at, format!("{what} has no setting {name}"), "see the contract reference in docs/");
        }
    }
}

fn setting(doc: &mut Document<'_>, name: &str, node: &Node, path: &str, rules: &mut FieldRules) -> bool {
    match name {
        "kenh.element" => rules.element = doc.text(node, &format!("kenh.element of {path}")),
        "kenh.pii" => match doc.text(node, &format!("kenh.pii of {path}")).as_deref() {
            Some("none") => rules.pii = Pii::None,
            Some("basic") => rules.pii = Pii::Basic,
            Some("sensitive") => rules.pii = Pii::Sensitive,
            Some(other) => {
                doc.problem(node.at, format!("kenh.pii of {path} is {other:?}"), "write none, basic or sensitive");
            }
            None => {}
        },
        "kenh.secret" => {
            rules.secret = doc.boolean(node, &format!("kenh.secret of {path}")).unwrap_or(rules.secret);
        }
        "kenh.values" => rules.values = doc.each(node, &format!("kenh.values of {path}")),
        "kenh.codeList" => {
            if let Some(list) = doc.text(node, &format!("kenh.codeList of {path}")) {
                rules.code_list.get_or_insert_default().list = list;
            }
        }
        "kenh.codeListWith" => {
            let with = doc.text(node, &format!("kenh.codeListWith of {path}"));
            rules.code_list.get_or_insert_default().with = with;
        }
        "kenh.codeListOn" => {
            let on = doc.text(node, &format!("kenh.codeListOn of {path}"));
            rules.code_list.get_or_insert_default().on = on;
        }
        _ => return false,
    }
    true
}
