//! Row filters: which records of a dataset, by their own fields.
//!
//! A total subset of CEL in CEL's syntax (cel-spec, "Language Definition"), compiled against a schema, so that it
//! cannot fail at run time and costs no allocation. What there is:
//!
//! - fields by dotted path through nested records: `NoiOHienTai.MaTinh`;
//! - texts in either quote with CEL's escapes, whole numbers (decimal, `0x…`), decimals, `true`, `false`, `null`;
//! - `== != < <= > >=` of a field with a literal or another field, `in [ … ]`, `field.startsWith("…")`, a boolean field
//!   by itself; `&&`, `||`, `!`, parentheses; `//` comments.
//!
//! Where CEL would end in an error, the outcome is defined:
//!
//! | | |
//! |---|---|
//! | `f == null`, `f != null`, `null` in a list | true or false; any field may be asked |
//! | `f == x`, `f in [x]` where f is null | false |
//! | `f != x` where f is null | true |
//! | `<`, `<=`, `>`, `>=`, `startsWith`, a boolean field by itself, where a field is null | false |
//! | a path through a nested record that is null | null |
//!
//! An enum compares as the text of its symbol. A date compares with a text that is a day of the calendar
//! (`"2025-07-01"`), as dates. Texts order by code point; whole numbers and decimals compare by their exact values, and
//! NaN is unequal to all. Arrays, maps, bytes, decimals over bytes, times and timestamps can only be compared with
//! null. There is no clock.
//!
//! Not there, on purpose: functions, arithmetic, comparing two literals, macros, indexing: nothing whose cost or
//! outcome is not plain from the text.

mod bind;
mod lex;
mod parse;
mod print;
mod terms;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::schema::versions::{self, Source};
use crate::schema::{Schema, Spans, Value};
use crate::wire::SchemaId;

use bind::{Node, Operand};

pub use terms::{Term, Terms};

/// A row filter, compiled for the records of one writer schema. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Filter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    normalised: String,
    paths: Vec<String>,
    index: Option<IndexKey>,
    program: Node,
}

/// A text that is no filter for the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the filter: {message}{}", hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
pub struct FilterError {
    /// Where, in bytes from 0.
    pub offset: usize,
    /// What is wrong. Names fields, never literals.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl FilterError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value that a predicate index can look up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text, or the symbol of an enum.
    Text(Box<str>),
    /// A date, in days since 1970-01-01.
    Date(i32),
}

impl Atom {
    /// The value as one that an index can look up; none for the kinds that no index holds.
    #[must_use]
    pub fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Int(n) => Self::Int(n),
            Value::Text(text) => Self::Text(text.into()),
            Value::Date(days) => Self::Date(days),
            Value::Double(_) | Value::Bytes(_) | Value::Timestamp(_) | Value::Nested => return None,
        })
    }

    /// Whether `value` is it.
    #[must_use]
    pub fn is(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => *a == b,
            (Self::Int(a), Value::Int(b)) => *a == b,
            (Self::Text(a), Value::Text(b)) => **a == *b,
            (Self::Date(a), Value::Date(b)) => *a == b,
            _ => false,
        }
    }
}

/// What a predicate index can use of a filter: it matches only records whose field is one of the values. A record of
/// a writer schema that has no such field must be shown to the filter itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexKey {
    /// Dotted path of the field.
    pub path: String,
    /// The values, sorted, each once; at least one.
    pub values: Vec<Atom>,
}

impl Filter {
    /// Compiles `text` for records of `schema`.
    ///
    /// # Errors
    /// [`FilterError`]: longer or deeper than [`limits`](crate::limits) allow, not in the subset, a field that the
    /// schema does not have, a comparison of different types, a symbol that the enum does not have, a text that is no
    /// date.
    pub fn compile(text: &str, schema: &Schema) -> Result<Self, FilterError> {
        let ast = parse::parse(text)?;
        Self::bind(&ast, schema, None)
    }

    /// Compiles `text` for each released version of a schema, oldest first as the contract has them. Types and symbols
    /// are checked against the newest; in an older version a field that it does not have yet takes its default (that
    /// of the first version that has it), or null.
    ///
    /// # Errors
    /// As [`compile`](Self::compile); also a field that an older version does not have, without default or null, or
    /// has as something else.
    pub fn compile_versions(text: &str, schemas: &[(SchemaId, Schema)]) -> Result<Vec<(SchemaId, Self)>, FilterError> {
        let ast = parse::parse(text)?;
        let newest = schemas.len().saturating_sub(1);
        let bind = |(i, (id, schema)): (usize, &(SchemaId, Schema))| {
            let others = if i == newest { None } else { Some((*id, schemas)) };
            Ok((*id, Self::bind(&ast, schema, others)?))
        };
        // The newest first: its errors are the ones to read.
        let mut filters: Vec<_> = schemas.iter().enumerate().rev().map(bind).collect::<Result<_, _>>()?;
        filters.reverse();
        Ok(filters)
    }

    fn bind(
        ast: &parse::Expr,
        schema: &Schema,
        versions: Option<(SchemaId, &[(SchemaId, Schema)])>,
    ) -> Result<Self, FilterError> {
        let find = |field: &parse::Field| match versions {
            None => schema.path(&field.dotted).map(Source::Field).ok_or_else(|| unknown(field, schema)),
            Some((id, schemas)) => versions::source(schemas, schema, &field.dotted).ok_or_else(|| {
                let message = format!("schema {id} has no field {}, and no default stands in", field.dotted);
                FilterError::new(field.at, message).hint("give the field a default where it was added")
            }),
        };
        let mut binder = bind::Binder { find: &find, strict: versions.is_none(), paths: Vec::new() };
        let program = binder.expr(ast)?;
        let mut paths = binder.paths;
        paths.sort();
        paths.dedup();
        Ok(Self(Arc::new(Inner { normalised: print::print(ast), index: index(&program), paths, program })))
    }

    /// Whether the record is among the rows. `body` has been walked with the schema this was compiled for, into
    /// `spans`.
    #[must_use]
    pub fn matches(&self, body: &[u8], spans: &Spans) -> bool {
        self.0.program.holds(body, spans)
    }

    /// The dotted paths that it names, sorted, each once.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.0.paths.clone()
    }

    /// The same text for the same syntax: spaces, quotes, needless parentheses and comments are gone. It is a filter
    /// itself, with the same meaning.
    #[must_use]
    pub fn normalised(&self) -> &str {
        &self.0.normalised
    }

    /// What a predicate index can use of it: of the `==` and `in` that all must hold, one without null and with few
    /// values. None: it must be evaluated for every record.
    #[must_use]
    pub fn index(&self) -> Option<IndexKey> {
        self.0.index.clone()
    }
}

/// The normalised form of a filter's text, without a schema.
///
/// # Errors
/// [`FilterError`] when it is not in the subset.
pub(crate) fn normalise(text: &str) -> Result<String, FilterError> {
    Ok(print::print(&parse::parse(text)?))
}

fn unknown(field: &parse::Field, schema: &Schema) -> FilterError {
    let error = FilterError::new(field.at, format!("there is no field {}", field.dotted));
    match schema.nearest(&field.dotted) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("fields are {}", schema.paths().join(", "))),
    }
}

fn index(program: &Node) -> Option<IndexKey> {
    let conjuncts = match program {
        Node::All(nodes) => nodes,
        one => std::slice::from_ref(one),
    };
    let keys = conjuncts.iter().filter_map(|node| match node {
        Node::Test(Operand::Field(path), check) => {
            Some(IndexKey { path: path.dotted().to_owned(), values: check.equals()? })
        }
        _ => None,
    });
    // Null is what most records share, where a field may be null at all.
    keys.filter(|key| !key.values.is_empty()).min_by_key(|key| (key.values.contains(&Atom::Null), key.values.len()))
}
