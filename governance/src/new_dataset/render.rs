//! The texts of a new dataset's files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kenh_domain::control::AgencyDocument;
use kenh_domain::names::{Dataset, GrantId};
use serde_json::{Map, Value, json};

use super::agency::Party;
use super::infer::Kind;
use super::table::Table;
use super::{Field, NewDatasetError, mapping, names};

/// A text in double quotes: JSON's are YAML's too.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Every file and its text.
pub fn files(
    into: &Path,
    dataset: &Dataset,
    source: &str,
    table: &Table,
    provider: &Party,
    recipient: &Party,
) -> Result<Vec<(PathBuf, String)>, NewDatasetError> {
    let id = GrantId::new(&format!("{}-{dataset}", recipient.document.name.as_str().to_ascii_lowercase()))?;
    let schemas = into.join("schemas").join(dataset.as_str());
    let config = into.join("broker-config");
    let mut files = vec![
        (schemas.join("contract.yaml"), contract(dataset, source, table, provider)),
        (schemas.join("v1.avsc"), pretty(&avsc(dataset, table))),
        (schemas.join("mapping.yaml"), mapping::text(source, table)),
        (schemas.join("examples/valid/example.json"), pretty(&example(table))),
    ];
    for (name, record) in invalid(table) {
        files.push((schemas.join("examples/invalid").join(format!("{name}.json")), pretty(&record)));
    }
    let mut parties = vec![provider];
    if recipient.document.name != provider.document.name {
        parties.push(recipient);
    }
    for party in parties.into_iter().filter(|p| p.new) {
        let file = config.join("agencies").join(format!("{}.yaml", party.document.name));
        files.push((file, agency(&party.document)));
    }
    files.push((config.join("grants").join(format!("{id}.yaml")), grant(&id, dataset, table, recipient)));
    Ok(files)
}

fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}

fn contract(dataset: &Dataset, source: &str, table: &Table, provider: &Party) -> String {
    let (owner, dataset_name) = (quoted(provider.document.name.as_str()), dataset);
    let dataset = quoted(dataset.as_str());
    let mut out = format!(
        "# Made from {source} by `kenh new dataset`. Correct it before you apply it: what a field means, which fields are no
# personal data, and what it is for. Once applied, a change needs a higher version.
apiVersion: v3.1.0
kind: DataContract
id: {dataset}
name: {dataset}
version: 1.0.0
status: active
description:
  purpose: {}
team:
  name: {owner}
customProperties:
  - property: kenh.providers
    value: [{owner}]
  # The table has no versions of its own: a record with another content is the next version.
  - property: kenh.versionSource
    value: assigned
schema:
  - name: {}
    logicalType: object
    properties:
",
        quoted(&format!("Lập từ tệp {source} / Made from {source}")),
        quoted(&record_name(dataset_name)),
    );
    for field in &table.fields {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "      - name: {}
        description: {}
        logicalType: {}
",
            quoted(&field.name),
            quoted(match field.header.trim() {
                "" => &field.name,
                header => header,
            }),
            logical(&field.kind),
        );
        if !field.nullable {
            out.push_str("        required: true\n");
        }
        if let Some(position) = table.key.iter().position(|k| k == &field.name) {
            let _ = write!(out, "        primaryKey: true\n        primaryKeyPosition: {}\n", position + 1);
        }
        out.push_str("        customProperties:\n          - property: kenh.pii\n            value: basic\n");
    }
    out
}

const fn logical(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Code => "string",
        Kind::Whole | Kind::PointedWhole => "integer",
        Kind::Number | Kind::CommaNumber => "number",
        Kind::Boolean { .. } => "boolean",
        Kind::Date | Kind::VietnameseDate => "date",
    }
}

fn record_name(dataset: &Dataset) -> String {
    names::joined(dataset.as_str())
}

fn avsc(dataset: &Dataset, table: &Table) -> Value {
    let ty = |kind: &Kind| match kind {
        Kind::Text | Kind::Code => json!("string"),
        Kind::Whole | Kind::PointedWhole => json!("long"),
        Kind::Number | Kind::CommaNumber => json!("double"),
        Kind::Boolean { .. } => json!("boolean"),
        Kind::Date | Kind::VietnameseDate => json!({ "type": "int", "logicalType": "date" }),
    };
    let field = |f: &Field| {
        if f.nullable {
            json!({ "name": f.name, "type": ["null", ty(&f.kind)], "default": null })
        } else {
            json!({ "name": f.name, "type": ty(&f.kind) })
        }
    };
    let fields: Vec<Value> = table.fields.iter().map(field).collect();
    json!({ "type": "record", "name": record_name(dataset), "fields": fields })
}

/// A made-up value of a type.
fn made_up(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!("Ví dụ"),
        Kind::Code => json!("00000001"),
        Kind::Whole | Kind::PointedWhole => json!(1),
        Kind::Number | Kind::CommaNumber => json!(1.5),
        Kind::Boolean { .. } => json!(true),
        Kind::Date | Kind::VietnameseDate => json!("2025-07-01"),
    }
}

/// A made-up record that the contract takes.
fn example(table: &Table) -> Value {
    table.fields.iter().map(|f| (f.name.clone(), made_up(&f.kind))).collect::<Map<_, _>>().into()
}

/// Made-up records that it refuses: each is the valid one but for what its name says.
fn invalid(table: &Table) -> Vec<(String, Value)> {
    let with = |name: &str, value: Value| {
        let mut record = example(table);
        record[name] = value;
        record
    };
    let mut out: Vec<(String, Value)> =
        table.key.first().map(|key| ("key-missing".to_owned(), with(key, Value::Null))).into_iter().collect();
    let typed = table.fields.iter().find(|f| !matches!(f.kind, Kind::Text | Kind::Code));
    // A text field is given a number where there is nothing else to get wrong.
    match (typed, table.fields.first()) {
        (Some(field), _) => out.push(("wrong-type".to_owned(), with(&field.name, json!("không phải kiểu này")))),
        (None, Some(field)) => out.push(("wrong-type".to_owned(), with(&field.name, json!(1)))),
        (None, None) => {}
    }
    out
}

/// An agency's document.
pub fn agency(document: &AgencyDocument) -> String {
    let AgencyDocument { name, code, title, systems } = document;
    let systems: Vec<String> = systems.iter().map(|s| quoted(s.as_str())).collect();
    format!(
        "# Made by `kenh new dataset`: give it its national code and its title.
kind: Agency
name: {}
code: {}
title: {}
systems: [{}]
",
        quoted(name.as_str()),
        quoted(code),
        quoted(title),
        systems.join(", ")
    )
}

fn grant(id: &GrantId, dataset: &Dataset, table: &Table, recipient: &Party) -> String {
    let system = recipient.document.systems.first().map(ToString::to_string).unwrap_or_default();
    let mut out = format!(
        "# Made by `kenh new dataset`. It gives every field of every row: name only the fields that the purpose needs, add a
# `filter` for the rows, and state the purpose and the article of law before you apply it to anything real.
kind: Grant
state: active
id: {}
recipient: {}
systems: [{}]
dataset: {}
purpose: Dùng thử / Trial
legalBasis:
  - Chưa nêu căn cứ pháp lý / Legal basis not stated
fields:
",
        quoted(id.as_str()),
        quoted(recipient.document.name.as_str()),
        quoted(&system),
        quoted(dataset.as_str()),
    );
    for field in &table.fields {
        let _ = writeln!(out, "  - {}", quoted(&field.name));
    }
    out.push_str("duration: P12M\n");
    out
}
