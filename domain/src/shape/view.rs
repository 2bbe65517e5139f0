//! The view's schema: made from the granted types, with no name that is not ours or a granted field's.

use std::collections::HashSet;

use serde_json::{Value as Json, json};

use crate::schema::{NullBranch, Record, Type};

/// The type with null as a further value.
pub(super) fn nullable(ty: &Type) -> Type {
    match ty {
        Type::Null | Type::Nullable(..) => ty.clone(),
        Type::Union(_) if ty.is_nullable() => ty.clone(),
        // At the end, so that the numbers of the other branches stay.
        Type::Union(branches) => Type::Union(branches.iter().cloned().chain([Type::Null]).collect()),
        other => Type::Nullable(other.clone().into(), NullBranch::First),
    }
}

/// Appends a null of the type; false when it has none.
pub(super) fn put_null(ty: &Type, out: &mut Vec<u8>) -> bool {
    match ty {
        Type::Null => true,
        Type::Nullable(_, null) => {
            out.push(null.null_byte());
            true
        }
        Type::Union(branches) => {
            let at = branches.iter().zip(0_i64..).find(|(branch, _)| **branch == Type::Null);
            at.map(|(_, index)| crate::schema::put_long(index, out)).is_some()
        }
        _ => false,
    }
}

/// The JSON text of the record `kenh.view.View` with these fields. Rendering what was parsed from such a text gives
/// the same text.
pub(super) fn render<'a>(fields: impl IntoIterator<Item = (&'a str, &'a Type)>) -> String {
    let mut names = Names { used: HashSet::from(["View".to_owned()]) };
    let fields: Vec<Json> =
        fields.into_iter().map(|(name, ty)| json!({ "name": name, "type": names.ty(ty, name) })).collect();
    json!({ "type": "record", "name": "View", "namespace": "kenh.view", "fields": fields }).to_string()
}

struct Names {
    used: HashSet<String>,
}

impl Names {
    /// `hint`, or `hint_2` and so on where that is taken.
    fn unique(&mut self, hint: &str) -> String {
        let mut name = hint.to_owned();
        let mut n = 2;
        while !self.used.insert(name.clone()) {
            name = format!("{hint}_{n}");
            n += 1;
        }
        name
    }

    fn ty(&mut self, ty: &Type, hint: &str) -> Json {
        let logical = |base: &str, logical: &str| json!({ "type": base, "logicalType": logical });
        match ty {
            Type::Null => json!("null"),
            Type::Boolean => json!("boolean"),
            Type::Int => json!("int"),
            Type::Long => json!("long"),
            Type::Float => json!("float"),
            Type::Double => json!("double"),
            Type::Bytes => json!("bytes"),
            Type::Text => json!("string"),
            Type::Uuid => logical("string", "uuid"),
            Type::Date => logical("int", "date"),
            Type::TimeMillis => logical("int", "time-millis"),
            Type::TimeMicros => logical("long", "time-micros"),
            Type::TimestampMillis => logical("long", "timestamp-millis"),
            Type::TimestampMicros => logical("long", "timestamp-micros"),
            Type::LocalTimestampMillis => logical("long", "local-timestamp-millis"),
            Type::LocalTimestampMicros => logical("long", "local-timestamp-micros"),
            Type::Decimal(d) => {
                json!({ "type": "bytes", "logicalType": "decimal", "precision": d.precision, "scale": d.scale })
            }
            Type::Fixed(fixed) => json!({ "type": "fixed", "name": self.unique(hint), "size": fixed.size }),
            Type::Enum(symbols) => {
                json!({ "type": "enum", "name": self.unique(hint), "symbols": symbols.symbols })
            }
            Type::Array(inner) => json!({ "type": "array", "items": self.ty(inner, &format!("{hint}_item")) }),
            Type::Map(inner) => json!({ "type": "map", "values": self.ty(inner, &format!("{hint}_value")) }),
            Type::Record(record) => self.record(record, hint),
            Type::Nullable(inner, NullBranch::First) => json!(["null", self.ty(inner, hint)]),
            Type::Nullable(inner, NullBranch::Second) => json!([self.ty(inner, hint), "null"]),
            Type::Union(branches) => branches.iter().map(|branch| self.ty(branch, hint)).collect(),
        }
    }

    fn record(&mut self, record: &Record, hint: &str) -> Json {
        let name = self.unique(hint);
        let field = |field: &crate::schema::Field| {
            let nested = format!("{name}_{}", field.name);
            json!({ "name": field.name, "type": self.ty(&field.ty, &nested) })
        };
        let fields: Vec<Json> = record.fields.iter().map(field).collect();
        json!({ "type": "record", "name": name, "fields": fields })
    }
}
