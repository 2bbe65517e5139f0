//! What of a row goes into an index.

use kenh_domain::filter::Atom;
use kenh_domain::schema::{Path, Schema, Spans, Type, Value};
use kenh_domain::wire::{self, SchemaId};

/// Longest atom in an index entry. A longer text is cut: the index then finds some rows too many, and whoever asked
/// looks at each.
const MAX_ATOM_BYTES: usize = 64;

/// Which fields of a view are indexed, ready to be read from its rows.
pub(super) struct Indexer {
    schema_id: SchemaId,
    schema: Schema,
    paths: Vec<Path>,
}

impl Indexer {
    /// Of the paths that the schema has and an index can hold, sorted, each once.
    pub(super) fn new(schema_id: SchemaId, schema: Schema, wanted: &[String]) -> Self {
        let mut paths: Vec<Path> =
            wanted.iter().filter_map(|path| schema.path(path)).filter(|path| holds(path.ty())).collect();
        paths.sort_by(|a, b| a.dotted().cmp(b.dotted()));
        paths.dedup_by(|a, b| a.dotted() == b.dotted());
        Self { schema_id, schema, paths }
    }

    /// The paths.
    pub(super) fn paths(&self) -> Vec<String> {
        self.paths.iter().map(|p| p.dotted().to_owned()).collect()
    }

    /// The atoms of a row, one per index; none of a value that is not of the schema, which no search can find by its
    /// fields anyway.
    pub(super) fn atoms(&self, value: &[u8], spans: &mut Spans) -> Vec<Vec<u8>> {
        if self.paths.is_empty() {
            return Vec::new();
        }
        match wire::split(value) {
            Ok((id, body)) if id == self.schema_id && self.schema.walk(body, spans).is_ok() => {
                self.paths.iter().map(|path| of_value(self.schema.value(body, spans, path))).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn holds(ty: &Type) -> bool {
    matches!(ty.inner(), Type::Boolean | Type::Int | Type::Long | Type::Text | Type::Uuid | Type::Date | Type::Enum(_))
}

fn of_value(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Bool(b) => vec![1, b.into()],
        Value::Int(n) => tagged(2, &n.to_be_bytes()),
        Value::Text(text) => tagged(3, text.as_bytes()),
        Value::Date(days) => tagged(4, &days.to_be_bytes()),
        // The other kinds are not indexed.
        Value::Null | Value::Double(_) | Value::Bytes(_) | Value::Timestamp(_) | Value::Nested => vec![0],
    }
}

/// The bytes of an atom in an entry: a tag and the value.
pub(super) fn of_atom(atom: &Atom) -> Vec<u8> {
    of_value(match atom {
        Atom::Null => Value::Null,
        Atom::Bool(b) => Value::Bool(*b),
        Atom::Int(n) => Value::Int(*n),
        Atom::Text(text) => Value::Text(text),
        Atom::Date(days) => Value::Date(*days),
    })
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().min(MAX_ATOM_BYTES) + 1);
    out.push(tag);
    out.extend_from_slice(bytes.get(..MAX_ATOM_BYTES - 1).unwrap_or(bytes));
    out
}
