//! The tree that a schema resolves to, and paths in it.

use std::sync::Arc;

use super::body::{Reader, Spans, Value};

/// Which branch of a two-branch union is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NullBranch {
    /// `["null", T]`
    First,
    /// `[T, "null"]`
    Second,
}

impl NullBranch {
    /// The number on the wire of the branch that is null.
    #[must_use]
    pub const fn null(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    /// The byte on the wire before a null.
    #[must_use]
    pub const fn null_byte(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Second => 2,
        }
    }

    /// The byte on the wire before a value.
    #[must_use]
    pub const fn value_byte(self) -> u8 {
        match self {
            Self::First => 2,
            Self::Second => 0,
        }
    }
}

/// A type, with every named type in place. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `bytes`
    Bytes,
    /// `string`
    Text,
    /// `string` with logical type `uuid`, in its form with hyphens
    Uuid,
    /// `int` with logical type `date`: days since 1970-01-01
    Date,
    /// `int` with logical type `time-millis`
    TimeMillis,
    /// `long` with logical type `time-micros`
    TimeMicros,
    /// `long` with logical type `timestamp-millis`
    TimestampMillis,
    /// `long` with logical type `timestamp-micros`
    TimestampMicros,
    /// `long` with logical type `local-timestamp-millis`
    LocalTimestampMillis,
    /// `long` with logical type `local-timestamp-micros`
    LocalTimestampMicros,
    /// `bytes` with logical type `decimal`
    Decimal(Decimal),
    /// `fixed`
    Fixed(Arc<Fixed>),
    /// `enum`
    Enum(Arc<Enum>),
    /// `array`
    Array(Arc<Type>),
    /// `map`
    Map(Arc<Type>),
    /// `record`
    Record(Arc<Record>),
    /// A union of `null` and one other type, in either order
    Nullable(Arc<Type>, NullBranch),
    /// Any other union; carried whole
    Union(Arc<[Type]>),
}

/// Precision and scale of a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// Digits in all.
    pub precision: usize,
    /// Digits after the point.
    pub scale: usize,
}

/// A fixed type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// Its full name.
    pub name: String,
    /// Its bytes.
    pub size: usize,
}

/// An enum type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// Its full name.
    pub name: String,
    /// Its symbols, in order.
    pub symbols: Vec<String>,
}

/// A record type.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its full name.
    pub name: String,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Slots in [`Spans`] that its fields take: one each, and those of records nested in them directly or nullable.
    pub(crate) slots: usize,
    /// Fields in all, those under arrays, maps and unions too.
    pub(crate) total: usize,
    /// Levels of nesting, itself included.
    pub(crate) depth: usize,
}

impl Record {
    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its default as the schema's JSON has it; for readers of older bodies.
    pub default: Option<serde_json::Value>,
    /// Its slot, counted from the record's first.
    pub(crate) offset: usize,
}

impl Field {
    /// Appends the field's default as Avro; false when it has none, or one that does not fit its type.
    pub fn put_default(&self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let good = self.default.as_ref().is_some_and(|json| super::versions::put_default(&self.ty, json, out));
        if !good {
            out.truncate(start);
        }
        good
    }
}

impl Type {
    /// The type without `null`; itself where it is not nullable.
    #[must_use]
    pub fn inner(&self) -> &Type {
        match self {
            Self::Nullable(inner, _) => inner,
            other => other,
        }
    }

    /// Whether a value may be null: a nullable type, `null` itself, or a union with a `null` branch.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        match self {
            Self::Nullable(..) | Self::Null => true,
            Self::Union(branches) => branches.contains(&Self::Null),
            _ => false,
        }
    }

    /// The record that its fields' paths lead through: of a record, or of a nullable one.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self.inner() {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }

    /// What to call it in a message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Int => "an int",
            Self::Long => "a long",
            Self::Float => "a float",
            Self::Double => "a double",
            Self::Bytes => "bytes",
            Self::Text => "a string",
            Self::Uuid => "a uuid",
            Self::Date => "a date",
            Self::TimeMillis | Self::TimeMicros => "a time of day",
            Self::TimestampMillis | Self::TimestampMicros | Self::LocalTimestampMillis | Self::LocalTimestampMicros => {
                "a timestamp"
            }
            Self::Decimal(_) => "a decimal",
            Self::Fixed(_) => "fixed bytes",
            Self::Enum(_) => "an enum",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Record(_) => "a record",
            Self::Nullable(..) => "nullable",
            Self::Union(_) => "a union",
        }
    }
}

/// A field at some depth of a record, found once by [`Schema::path`](super::Schema::path). Cheap to clone. It belongs
/// to its schema: with spans of another it reads other fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Path(Arc<PathInner>);

#[derive(Debug, PartialEq)]
struct PathInner {
    dotted: String,
    slot: usize,
    ty: Type,
    under_nullable: bool,
}

impl Path {
    /// The field's own type, without regard to the records on the way.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.0.ty
    }

    /// Whether its value may be null: by its own type, or because a record on the way may be.
    #[must_use]
    pub fn nullable(&self) -> bool {
        self.0.under_nullable || self.0.ty.is_nullable()
    }

    /// Whether a record on the way may be null.
    #[must_use]
    pub fn under_nullable(&self) -> bool {
        self.0.under_nullable
    }

    /// The path as text.
    #[must_use]
    pub fn dotted(&self) -> &str {
        &self.0.dotted
    }

    /// Its slot in [`Spans`].
    pub(crate) fn slot(&self) -> usize {
        self.0.slot
    }

    /// What [`Schema::value`](super::Schema::value) gives.
    pub(crate) fn value<'a>(&'a self, body: &'a [u8], spans: &Spans) -> Value<'a> {
        let Some(bytes) = spans.get(self.0.slot).and_then(|range| body.get(range)) else { return Value::Null };
        // The body was walked, so that this does not fail; after a misuse a null is the harmless answer.
        Reader::new(bytes).value(&self.0.ty).unwrap_or(Value::Null)
    }
}

pub(super) fn resolve_path(root: &Record, dotted: &str) -> Option<Path> {
    let mut record = root;
    let mut base = 0;
    let mut under_nullable = false;
    let mut names = dotted.split('.');
    let mut name = names.next()?;
    loop {
        let field = record.field(name)?;
        let slot = base + field.offset;
        let Some(next) = names.next() else {
            let inner = PathInner { dotted: dotted.to_owned(), slot, ty: field.ty.clone(), under_nullable };
            return Some(Path(Arc::new(inner)));
        };
        record = field.ty.record()?;
        under_nullable |= matches!(field.ty, Type::Nullable(..));
        base = slot + 1;
        name = next;
    }
}

pub(super) fn list_paths(record: &Record, prefix: &str, out: &mut Vec<String>) {
    for field in &record.fields {
        let path = if prefix.is_empty() { field.name.clone() } else { format!("{prefix}.{}", field.name) };
        out.push(path.clone());
        if let Some(nested) = field.ty.record() {
            list_paths(nested, &path, out);
        }
    }
}
