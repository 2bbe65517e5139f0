//! From `apache-avro`'s tree to ours: named types in place, recursion and unknown types refused, size bounded.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema as Avro;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordSchema, UuidSchema};

use super::SchemaError;
use super::types::{Decimal, Enum, Field, Fixed, NullBranch, Record, Type};
use crate::limits::{MAX_SCHEMA_DEPTH, MAX_SCHEMA_FIELDS};

pub(super) fn record(avro: &Avro) -> Result<Arc<Record>, SchemaError> {
    let mut resolver = Resolver { named: HashMap::new(), trail: Vec::new() };
    match resolver.resolve(avro)? {
        Type::Record(record) => Ok(record),
        _ => Err(SchemaError::NotARecord),
    }
}

struct Resolver {
    /// By full name; none while the type is being resolved.
    named: HashMap<String, Option<Type>>,
    /// Names of the fields on the way, for messages.
    trail: Vec<String>,
}

impl Resolver {
    fn resolve(&mut self, avro: &Avro) -> Result<Type, SchemaError> {
        if self.trail.len() > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { field: self.field() });
        }
        let ty = match avro {
            Avro::Null => Type::Null,
            Avro::Boolean => Type::Boolean,
            Avro::Int => Type::Int,
            Avro::Long => Type::Long,
            Avro::Float => Type::Float,
            Avro::Double => Type::Double,
            Avro::Bytes => Type::Bytes,
            Avro::String => Type::Text,
            Avro::Date => Type::Date,
            Avro::TimeMillis => Type::TimeMillis,
            Avro::TimeMicros => Type::TimeMicros,
            Avro::TimestampMillis => Type::TimestampMillis,
            Avro::TimestampMicros => Type::TimestampMicros,
            Avro::LocalTimestampMillis => Type::LocalTimestampMillis,
            Avro::LocalTimestampMicros => Type::LocalTimestampMicros,
            Avro::Uuid(UuidSchema::String) => Type::Uuid,
            Avro::Uuid(_) => return Err(self.unsupported("a uuid over fixed or bytes", "use one over string")),
            Avro::Decimal(d) => match &d.inner {
                InnerDecimalSchema::Bytes => Type::Decimal(Decimal { precision: d.precision, scale: d.scale }),
                InnerDecimalSchema::Fixed(_) => {
                    return Err(self.unsupported("a decimal over fixed", "use one over bytes"));
                }
            },
            Avro::BigDecimal => return Err(self.unsupported("a big-decimal", "use a decimal over bytes")),
            Avro::Duration(_) => return Err(self.unsupported("a duration", "use fixed of 12 bytes, or fields")),
            Avro::TimestampNanos | Avro::LocalTimestampNanos => {
                return Err(self.unsupported("a timestamp in nanoseconds", "use microseconds"));
            }
            Avro::Array(array) => Type::Array(Arc::new(self.nested("[]", &array.items)?)),
            Avro::Map(map) => Type::Map(Arc::new(self.nested("{}", &map.types)?)),
            Avro::Union(union) => self.union(union.variants())?,
            Avro::Fixed(fixed) => {
                let name = self.define(&fixed.name)?;
                let ty = Type::Fixed(Arc::new(Fixed { name: name.clone(), size: fixed.size }));
                self.named.insert(name, Some(ty.clone()));
                ty
            }
            Avro::Enum(symbols) => {
                let name = self.define(&symbols.name)?;
                let ty = Type::Enum(Arc::new(Enum { name: name.clone(), symbols: symbols.symbols.clone() }));
                self.named.insert(name, Some(ty.clone()));
                ty
            }
            Avro::Record(record) => self.record(record)?,
            Avro::Ref { name } => self.reference(name)?,
        };
        if self.trail.len() + depth(&ty) > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { field: self.field() });
        }
        Ok(ty)
    }

    fn nested(&mut self, step: &str, avro: &Avro) -> Result<Type, SchemaError> {
        self.trail.push(step.to_owned());
        let ty = self.resolve(avro)?;
        self.trail.pop();
        Ok(ty)
    }

    fn union(&mut self, variants: &[Avro]) -> Result<Type, SchemaError> {
        let nullable = match variants {
            [Avro::Null, other] => Some((other, NullBranch::First)),
            [other, Avro::Null] => Some((other, NullBranch::Second)),
            _ => None,
        };
        // A nullable field is the rule, not a level of nesting; a union of several is one.
        if let Some((other, null)) = nullable {
            return Ok(Type::Nullable(Arc::new(self.resolve(other)?), null));
        }
        let branches: Result<Vec<Type>, _> = variants.iter().map(|v| self.nested("|", v)).collect();
        Ok(Type::Union(branches?.into()))
    }

    fn record(&mut self, avro: &RecordSchema) -> Result<Type, SchemaError> {
        let name = self.define(&avro.name)?;
        let (mut fields, mut slots, mut total, mut deepest) = (Vec::new(), 0, 0, 0);
        for field in &avro.fields {
            let ty = self.nested(&field.name, &field.schema)?;
            let offset = slots;
            slots += 1 + ty.record().map_or(0, |r| r.slots);
            total += 1 + fields_in(&ty);
            if total > MAX_SCHEMA_FIELDS {
                return Err(SchemaError::TooManyFields);
            }
            deepest = deepest.max(depth(&ty));
            fields.push(Field { name: field.name.clone(), ty, default: field.default.clone(), offset });
        }
        let record = Record { name: name.clone(), fields, slots, total, depth: 1 + deepest };
        let ty = Type::Record(Arc::new(record));
        self.named.insert(name, Some(ty.clone()));
        Ok(ty)
    }

    fn define(&mut self, name: &Name) -> Result<String, SchemaError> {
        let name = name.fullname(None);
        if self.named.insert(name.clone(), None).is_some() {
            return Err(SchemaError::Name { name, field: self.field(), problem: "defined twice" });
        }
        Ok(name)
    }

    fn reference(&self, name: &Name) -> Result<Type, SchemaError> {
        let name = name.fullname(None);
        match self.named.get(&name) {
            Some(Some(ty)) => Ok(ty.clone()),
            Some(None) => Err(SchemaError::Recursive { name, field: self.field() }),
            None => Err(SchemaError::Name { name, field: self.field(), problem: "not defined" }),
        }
    }

    fn unsupported(&self, what: &'static str, hint: &'static str) -> SchemaError {
        SchemaError::Unsupported { field: self.field(), what, hint }
    }

    fn field(&self) -> String {
        self.trail.join(".")
    }
}

/// Levels below a type: a walk recurs that deep.
fn depth(ty: &Type) -> usize {
    match ty {
        Type::Array(inner) | Type::Map(inner) => 1 + depth(inner),
        Type::Nullable(inner, _) => depth(inner),
        Type::Union(branches) => 1 + branches.iter().map(depth).max().unwrap_or(0),
        Type::Record(record) => record.depth,
        _ => 0,
    }
}

fn fields_in(ty: &Type) -> usize {
    match ty {
        Type::Array(inner) | Type::Map(inner) | Type::Nullable(inner, _) => fields_in(inner),
        Type::Union(branches) => branches.iter().map(fields_in).sum(),
        Type::Record(record) => record.total,
        _ => 0,
    }
}
