//! Whether a new version of a schema may be released: BACKWARD_TRANSITIVE.
//!
//! A new version must read, without a failure, everything that was ever written in *any* older one. That is what the bus
//! needs: `data.*` is kept for ever, so replay and every new grant meet records of each version that there was; and
//! writers on the old and the new version work side by side. The other direction (FORWARD: old readers read new records)
//! is not asked for, because no reader of the bus reads a provider's schema: a view's schema is fixed by its grant, and
//! the router compiles every grant against every version (`plan` refuses a version for which that cannot be done).
//!
//! `apache-avro` decides by the Avro specification ("Schema Resolution"); on top of it stand three rules of ours, and
//! the words in which a refusal is told: a logical type never changes (Avro would let a date become a time stamp), bytes
//! never become a string (not all bytes are text), and aliases are not followed (a renamed field is another field to every
//! grant that names it).

#[cfg(test)]
mod java;
#[cfg(test)]
mod oracle;

use std::fmt;

use apache_avro::error::CompatibilityError;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use kenh_domain::schema::{Field, Record, Schema, Type};

/// Confluent's name of what is asked of a new version.
pub const LEVEL: &str = "BACKWARD_TRANSITIVE";

/// One reason why a newer schema cannot read what was written in an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Dotted path of the field; `[]` stands for the items of an array; empty for the record itself.
    pub field: String,
    /// The rule's stable code.
    pub rule: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, rule, message } = self;
        if field.is_empty() {
            write!(f, "{rule}: the record {message}")
        } else {
            write!(f, "{rule}: field {field} {message}")
        }
    }
}

/// Every reason why `newer` cannot read all that may have been written in `older`; empty if it can.
#[must_use]
pub fn reasons(older: &Schema, newer: &Schema) -> Vec<Reason> {
    let mut out = Vec::new();
    records(older.record(), newer.record(), "", &mut out);
    if out.is_empty() {
        match SchemaCompatibility::can_read(older.avro(), newer.avro()) {
            Ok(Compatibility::Full) => {}
            Ok(Compatibility::Partial) => out.push(Reason {
                field: String::new(),
                rule: "partly-readable",
                message: "could not be read in this version as some were written in the older one".into(),
            }),
            // It does not follow a named type into its definition; ours did, and found nothing.
            Err(error) if inconclusive(&error) => {}
            Err(error) => {
                let message = format!("cannot be read as it was written in the older version: {error}");
                out.push(Reason { field: String::new(), rule: "avro", message });
            }
        }
    }
    out
}

fn inconclusive(error: &CompatibilityError) -> bool {
    match error {
        CompatibilityError::Inconclusive(_) => true,
        CompatibilityError::WrongType { writer_schema_type: w, reader_schema_type: r } => {
            w.starts_with("Ref") || r.starts_with("Ref")
        }
        CompatibilityError::FieldTypeMismatch(_, inner) => inconclusive(inner),
        _ => false,
    }
}

fn records(writer: &Record, reader: &Record, path: &str, out: &mut Vec<Reason>) {
    if bare(&writer.name) != bare(&reader.name) {
        let what = if path.is_empty() { "is" } else { "is a record" };
        let message = format!("{what} called {}, and was called {}: names stay", reader.name, writer.name);
        out.push(Reason { field: path.to_owned(), rule: "name-changed", message });
    }
    for Field { name, ty, default, .. } in &reader.fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match writer.field(name) {
            Some(written) => types(&written.ty, ty, &path, out),
            None if default.is_none() => {
                let message = "is new and has no default: records of the older version have no value for it; give it a \
                               default (`\"default\": null` beside a type of `[\"null\", …]`)";
                out.push(Reason { field: path, rule: "default-missing", message: message.into() });
            }
            None => {}
        }
    }
}

/// A name without its namespace.
fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn branches(ty: &Type) -> Vec<&Type> {
    match ty {
        Type::Nullable(inner, _) => vec![&Type::Null, inner],
        Type::Union(types) => types.iter().collect(),
        other => vec![other],
    }
}

fn types(writer: &Type, reader: &Type, path: &str, out: &mut Vec<Reason>) {
    let mut say = |rule, message: String| out.push(Reason { field: path.to_owned(), rule, message });
    match (writer, reader) {
        (Type::Nullable(w, _), Type::Nullable(r, _)) => types(w, r, path, out),
        (w, Type::Nullable(r, _)) if !w.is_nullable() => types(w, r, path, out),
        (Type::Nullable(..), r) if !r.is_nullable() => {
            say("null-refused", "may no longer be null, and was: older records hold null in it".into());
        }
        (Type::Union(_) | Type::Nullable(..), _) | (_, Type::Union(_)) => {
            let can = branches(reader);
            for branch in branches(writer) {
                let readable = can.iter().any(|r| {
                    let mut scratch = Vec::new();
                    types(branch, r, path, &mut scratch);
                    scratch.is_empty()
                });
                if !readable {
                    let message = format!("may no longer be {}, and was: a union only grows", branch.kind());
                    out.push(Reason { field: path.to_owned(), rule: "union-narrowed", message });
                }
            }
        }
        (Type::Record(w), Type::Record(r)) => records(w, r, path, out),
        (Type::Array(w), Type::Array(r)) => types(w, r, &format!("{path}[]"), out),
        (Type::Map(w), Type::Map(r)) => types(w, r, &format!("{path}{{}}"), out),
        (Type::Enum(w), Type::Enum(r)) => {
            if bare(&w.name) != bare(&r.name) {
                say("name-changed", format!("is an enum called {}, and was called {}: names stay", r.name, w.name));
            }
            let gone: Vec<&str> = w.symbols.iter().filter(|s| !r.symbols.contains(s)).map(String::as_str).collect();
            if !gone.is_empty() {
                say("symbol-removed", format!("has lost the symbols {}: older records hold them", gone.join(", ")));
            }
        }
        (Type::Fixed(w), Type::Fixed(r)) if w.size == r.size && bare(&w.name) == bare(&r.name) => {}
        (Type::Decimal(w), Type::Decimal(r)) if w != r => {
            let message = format!(
                "is a decimal of {} digits, {} after the point, and was of {} and {}: neither changes",
                r.precision, r.scale, w.precision, w.scale
            );
            say("decimal-changed", message);
        }
        (w, r) if w == r => {}
        // Avro's promotions.
        (Type::Int, Type::Long | Type::Float | Type::Double)
        | (Type::Long, Type::Float | Type::Double)
        | (Type::Float, Type::Double)
        | (Type::Text, Type::Bytes) => {}
        (w, r) => {
            say("type-changed", format!("is {}, and was {}: older records cannot be read so", r.kind(), w.kind()))
        }
    }
}

/// Whether two schemas are the same to whoever writes or reads records: same canonical form and same logical types.
/// Docs, defaults and the order of attributes do not count.
#[must_use]
pub fn alike(a: &Schema, b: &Schema) -> bool {
    fn same(a: &Type, b: &Type) -> bool {
        match (a, b) {
            (Type::Record(a), Type::Record(b)) => fields(a, b),
            (Type::Array(a), Type::Array(b)) | (Type::Map(a), Type::Map(b)) => same(a, b),
            (Type::Nullable(a, x), Type::Nullable(b, y)) => x == y && same(a, b),
            (Type::Union(a), Type::Union(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
            (a, b) => a == b,
        }
    }
    fn fields(a: &Record, b: &Record) -> bool {
        a.fields.len() == b.fields.len() && a.fields.iter().zip(&b.fields).all(|(a, b)| same(&a.ty, &b.ty))
    }
    a.canonical() == b.canonical() && fields(a.record(), b.record())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &str) -> Schema {
        Schema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)).unwrap()
    }

    fn rules(older: &str, newer: &str) -> Vec<String> {
        reasons(&schema(older), &schema(newer)).into_iter().map(|r| format!("{} {}", r.rule, r.field)).collect()
    }

    fn a(ty: &str) -> String {
        format!(r#"{{"name":"a","type":{ty}}}"#)
    }

    const DATE: &str = r#"{"type":"int","logicalType":"date"}"#;

    #[test]
    fn what_older_records_can_fill_may_be_released() {
        let int = a(r#""int""#);
        for (older, newer) in [
            (int.clone(), int.clone()),
            (int.clone(), a(r#""long""#)),
            (int.clone(), a(r#"["null","int"]"#)),
            (int.clone(), a(r#"["int","string"]"#)),
            (int.clone(), format!(r#"{int},{{"name":"b","type":["null","string"],"default":null}}"#)),
            (format!(r#"{int},{{"name":"b","type":"string"}}"#), int.clone()),
            (
                a(r#"{"type":"enum","name":"E","symbols":["x"]}"#),
                a(r#"{"type":"enum","name":"E","symbols":["x","y"]}"#),
            ),
        ] {
            assert_eq!(rules(&older, &newer), [""; 0], "{older} → {newer}");
        }
    }

    #[test]
    fn each_reason_names_its_field() {
        let int = a(r#""int""#);
        let record = |inner: &str| a(&format!(r#"{{"type":"record","name":"I","fields":[{inner}]}}"#));
        for (older, newer, rule) in [
            (int.clone(), format!(r#"{int},{{"name":"b","type":"string"}}"#), "default-missing b"),
            (a(r#"["null","int"]"#), int.clone(), "null-refused a"),
            (a(r#"["int","string"]"#), int.clone(), "union-narrowed a"),
            (a(r#""long""#), int.clone(), "type-changed a"),
            (a(DATE), int.clone(), "type-changed a"),
            (a(DATE), a(r#"{"type":"long","logicalType":"timestamp-millis"}"#), "type-changed a"),
            (record(&int), record(&a(r#""string""#)), "type-changed a.a"),
            (a(r#"{"type":"array","items":"string"}"#), a(r#"{"type":"array","items":"int"}"#), "type-changed a[]"),
            (
                a(r#"{"type":"enum","name":"E","symbols":["x","y"]}"#),
                a(r#"{"type":"enum","name":"E","symbols":["y"]}"#),
                "symbol-removed a",
            ),
            (
                a(r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#),
                a(r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}"#),
                "decimal-changed a",
            ),
        ] {
            assert_eq!(rules(&older, &newer), [rule], "{older} → {newer}");
        }
    }

    #[test]
    fn alike_looks_at_logical_types_and_not_at_defaults() {
        assert!(!alike(&schema(&a(DATE)), &schema(&a(r#""int""#))));
        let with = r#"{"name":"a","type":["null","int"],"default":null,"doc":"x"}"#;
        assert!(alike(&schema(with), &schema(&a(r#"["null","int"]"#))));
    }
}
