//! Avro's Parsing Canonical Form, written from our own tree (Avro specification, "Transforming into Parsing Canonical
//! Form").
//!
//! `apache-avro` has one, but it keeps the precision and scale of a decimal, and leaves an annotated primitive as
//! `{"type":"int"}` where the specification and every other library say `"int"`: read again, its form has another form.
//! (So has the specification's own, in one corner: a type without a namespace inside of one that has one.)
//! Our tree has no cycle and knows every full name, so the form is one walk. Names and symbols need no escapes: a schema
//! was parsed, so they are letters, digits, `_` and dots.

use std::collections::HashSet;

use super::types::{Record, Type};

/// The form of a record schema.
pub(super) fn form(record: &Record) -> String {
    let mut out = String::new();
    put_record(record, &mut HashSet::new(), &mut out);
    out
}

/// A type that was written already is named only; `written` holds those.
fn put<'a>(ty: &'a Type, written: &mut HashSet<&'a str>, out: &mut String) {
    match ty {
        Type::Null => out.push_str(r#""null""#),
        Type::Boolean => out.push_str(r#""boolean""#),
        Type::Int | Type::Date | Type::TimeMillis => out.push_str(r#""int""#),
        Type::Long
        | Type::TimeMicros
        | Type::TimestampMillis
        | Type::TimestampMicros
        | Type::LocalTimestampMillis
        | Type::LocalTimestampMicros => out.push_str(r#""long""#),
        Type::Float => out.push_str(r#""float""#),
        Type::Double => out.push_str(r#""double""#),
        Type::Bytes | Type::Decimal(_) => out.push_str(r#""bytes""#),
        Type::Text | Type::Uuid => out.push_str(r#""string""#),
        Type::Fixed(fixed) => {
            if named("fixed", &fixed.name, written, out) {
                out.push_str(r#","size":"#);
                out.push_str(&fixed.size.to_string());
                out.push('}');
            }
        }
        Type::Enum(symbols) => {
            if named("enum", &symbols.name, written, out) {
                out.push_str(r#","symbols":["#);
                for (n, symbol) in symbols.symbols.iter().enumerate() {
                    comma(n, out);
                    quoted(symbol, out);
                }
                out.push_str("]}");
            }
        }
        Type::Array(items) => {
            out.push_str(r#"{"type":"array","items":"#);
            put(items, written, out);
            out.push('}');
        }
        Type::Map(values) => {
            out.push_str(r#"{"type":"map","values":"#);
            put(values, written, out);
            out.push('}');
        }
        Type::Record(record) => put_record(record, written, out),
        Type::Nullable(inner, null) => {
            let null_first = null.null() == 0;
            out.push_str(if null_first { r#"["null","# } else { "[" });
            put(inner, written, out);
            out.push_str(if null_first { "]" } else { r#","null"]"# });
        }
        Type::Union(branches) => {
            out.push('[');
            for (n, branch) in branches.iter().enumerate() {
                comma(n, out);
                put(branch, written, out);
            }
            out.push(']');
        }
    }
}

fn put_record<'a>(record: &'a Record, written: &mut HashSet<&'a str>, out: &mut String) {
    if named("record", &record.name, written, out) {
        out.push_str(r#","fields":["#);
        for (n, field) in record.fields.iter().enumerate() {
            comma(n, out);
            out.push_str(r#"{"name":"#);
            quoted(&field.name, out);
            out.push_str(r#","type":"#);
            put(&field.ty, written, out);
            out.push('}');
        }
        out.push_str("]}");
    }
}

/// Opens the definition of a named type, or names it when it was defined before. Says whether it opened one.
fn named<'a>(kind: &str, name: &'a str, written: &mut HashSet<&'a str>, out: &mut String) -> bool {
    if !written.insert(name) {
        quoted(name, out);
        return false;
    }
    out.push_str(r#"{"name":"#);
    quoted(name, out);
    out.push_str(r#","type":"#);
    quoted(kind, out);
    true
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn comma(n: usize, out: &mut String) {
    if n > 0 {
        out.push(',');
    }
}
