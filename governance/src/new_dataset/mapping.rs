//! `mapping.yaml`: which column of the file is which field, in the form that `docs/mapping.md` tells.

use std::fmt::Write as _;

use super::Field;
use super::infer::Kind;
use super::render::quoted;
use super::table::Table;

/// The text of the mapping.
pub fn text(source: &str, table: &Table) -> String {
    let mut out = format!("# Which column of {source} is which field, and how it is written there.\n");
    if table.separator != b',' {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "delimiter: {}", quoted(&char::from(table.separator).to_string()));
    }
    out.push_str("trim: true\ncolumns:\n");
    for field in &table.fields {
        let _ = writeln!(out, "  {}: {}", quoted(field.header.trim()), column(field));
    }
    if let Some(header) = &table.ignored {
        let _ = writeln!(out, "  {}: {{ignore: true}}", quoted(header.trim()));
    }
    out
}

/// A field's name, or more where its texts are not written as its type is.
fn column(field: &Field) -> String {
    let name = quoted(&field.name);
    match &field.kind {
        Kind::Text | Kind::Code | Kind::Whole | Kind::Number | Kind::Date => name,
        Kind::PointedWhole | Kind::CommaNumber => format!("{{field: {name}, decimalComma: true}}"),
        Kind::VietnameseDate => format!("{{field: {name}, date: d/M/yyyy}}"),
        Kind::Boolean { yes, no } => {
            let words = |key: &str, words: &[String]| {
                let words: Vec<String> = words.iter().map(|w| quoted(w)).collect();
                if words.is_empty() { String::new() } else { format!(", {key}: [{}]", words.join(", ")) }
            };
            format!("{{field: {name}{}{}}}", words("trueText", yes), words("falseText", no))
        }
    }
}
