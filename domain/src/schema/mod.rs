//! An Avro schema, parsed once and walked often.
//!
//! `apache-avro` reads the JSON; what it gives is resolved into a tree of our own ([`Type`]) in which named types are
//! in place, `null` unions are recognised, and nothing recurs. A body is then validated byte by byte in one pass
//! ([`Schema::walk`]), which also notes where every field lies; after that a field is read without decoding the rest.
//!
//! Not here: what a field's value must be (contracts: [`crate::admit`]), and who may see it ([`crate::shape`]).

mod body;
mod canonical;
mod json;
mod resolve;
mod types;
pub(crate) mod versions;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use body::{BodyError, Fault, Reader, Spans, Value, put_long};
pub use json::MAX_DECIMAL_BYTES;
pub use types::{Decimal, Enum, Field, Fixed, NullBranch, Path, Record, Type};

/// A record schema. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<Inner>);

struct Inner {
    text: String,
    canonical: String,
    fingerprint: [u8; 32],
    avro: apache_avro::Schema,
    record: Arc<Record>,
}

/// A text that is no schema the bus can carry.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not an Avro schema.
    #[error("not an Avro schema")]
    Avro(#[source] Box<apache_avro::Error>),
    /// An Avro schema, but not of a record.
    #[error("the schema is not a record; put the value into a field of one")]
    NotARecord,
    /// A named type that contains itself: its depth has no bound.
    #[error("type {name} at {field} contains itself; a schema on the bus may not recur")]
    Recursive {
        /// The type.
        name: String,
        /// Dotted path of the field where it recurs.
        field: String,
    },
    /// A name that is not defined, or defined twice.
    #[error("type {name} at {field} is {problem}")]
    Name {
        /// The type.
        name: String,
        /// Dotted path of the field.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A type that the bus does not carry.
    #[error("field {field} is {what}, which the bus does not carry; {hint}")]
    Unsupported {
        /// Dotted path of the field.
        field: String,
        /// The type.
        what: &'static str,
        /// What to use instead.
        hint: &'static str,
    },
    /// Nested deeper than [`MAX_SCHEMA_DEPTH`](crate::limits::MAX_SCHEMA_DEPTH).
    #[error("field {field} is nested deeper than {} levels", crate::limits::MAX_SCHEMA_DEPTH)]
    TooDeep {
        /// Dotted path of a field that is too deep.
        field: String,
    },
    /// More fields than [`MAX_SCHEMA_FIELDS`](crate::limits::MAX_SCHEMA_FIELDS), nested ones included.
    #[error("the schema has more than {} fields, nested ones included", crate::limits::MAX_SCHEMA_FIELDS)]
    TooManyFields,
}

impl Schema {
    /// Takes the JSON text of a record schema.
    ///
    /// Carried: all primitive types, enum, fixed, array, map, record, unions, and the logical types date, time,
    /// timestamp and local timestamp (milliseconds and microseconds), decimal over bytes, uuid over string. Other
    /// logical types are refused or, where `apache-avro` does not know them, carried as what they annotate.
    ///
    /// # Errors
    /// [`SchemaError`]: not Avro, not a record, recursive, too deep, too many fields, or a type that is not carried.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let avro = apache_avro::Schema::parse_str(text).map_err(|e| SchemaError::Avro(Box::new(e)))?;
        let record = resolve::record(&avro)?;
        let canonical = canonical::form(&record);
        let fingerprint = Sha256::digest(canonical.as_bytes()).into();
        Ok(Self(Arc::new(Inner { text: text.to_owned(), canonical, fingerprint, avro, record })))
    }

    /// The JSON text as given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Avro's Parsing Canonical Form (Avro specification, "Transforming into Parsing Canonical Form"): equal for
    /// schemas that read bytes alike. It leaves out defaults and logical types. It is for comparing: read as a schema, a
    /// type without a namespace falls into the one around it.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// SHA-256 of [`canonical`](Self::canonical).
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.0.fingerprint
    }

    /// As `apache-avro` holds it.
    #[must_use]
    pub fn avro(&self) -> &apache_avro::Schema {
        &self.0.avro
    }

    /// The record's full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.record.name
    }

    /// The fields of the record, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.0.record.fields
    }

    /// The record itself.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        &self.0.record
    }

    /// The field at a dotted path through nested records, nullable ones too (`NoiOHienTai.MaTinh`); none when there is
    /// no such field. Nothing leads into arrays, maps and unions of several types.
    #[must_use]
    pub fn path(&self, dotted: &str) -> Option<Path> {
        types::resolve_path(self.record(), dotted)
    }

    /// The dotted paths of every field that [`path`](Self::path) finds, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::with_capacity(self.0.record.slots);
        types::list_paths(&self.0.record, "", &mut paths);
        paths
    }

    /// The path nearest to a mistyped one, for a hint; none when nothing is near.
    #[must_use]
    pub fn nearest(&self, dotted: &str) -> Option<String> {
        nearest(dotted, self.paths())
    }

    /// Validates **every** byte of `body`, in one pass: lengths, UTF-8, union branches, enum symbols, array and map
    /// blocks, nothing left over. Notes in `spans` where each field lies. `spans` is scratch, to be used again; its
    /// content means something only after success, and only for this schema and body.
    ///
    /// Stricter than `apache-avro`, so that equal values have equal bytes and nothing is made up from missing ones:
    /// numbers must have their shortest form, the byte size of an array or map block must be true, a missing end is an
    /// error everywhere, a UUID has its hyphens.
    ///
    /// # Errors
    /// [`BodyError`] names the field and what is wrong with it, never its value.
    pub fn walk(&self, body: &[u8], spans: &mut Spans) -> Result<(), BodyError> {
        body::walk(&self.0.record, body, spans)
    }

    /// How many bytes the body at the front of `bytes` takes; the bodies after it are not looked at. As strict as
    /// [`walk`](Self::walk).
    ///
    /// # Errors
    /// [`BodyError`] names the field and what is wrong with it, never its value.
    pub fn measure(&self, bytes: &[u8]) -> Result<usize, BodyError> {
        body::measure(&self.0.record, bytes)
    }

    /// The value at `path` after a successful [`walk`](Self::walk) of the same body: null also where a record on the
    /// way is null.
    #[must_use]
    pub fn value<'a>(&self, body: &'a [u8], spans: &Spans, path: &'a Path) -> Value<'a> {
        path.value(body, spans)
    }

    /// Appends the JSON of a body, in the forms that the table in `json.rs` gives: dates as `"YYYY-MM-DD"`, timestamps in
    /// RFC 3339, bytes in base64, decimals as text, unions as their value.
    ///
    /// # Errors
    /// [`BodyError`] when the body is not of the schema; `out` then holds a part.
    pub fn put_json(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        json::put(&self.0.record, body, out)
    }

    /// Gives each field of a body in turn to `each`, as the JSON that [`put_json`](Self::put_json) has for it.
    ///
    /// # Errors
    /// [`BodyError`] when the body is not of the schema; the fields before the wrong one have then been given.
    pub fn json_fields(&self, body: &[u8], each: &mut dyn FnMut(&Field, &[u8])) -> Result<(), BodyError> {
        json::each(&self.0.record, body, each)
    }

    /// Where the bytes of the field at `path` lie in the body (for a nullable field: the branch too); none where a
    /// record on the way is null.
    #[must_use]
    pub fn span(&self, spans: &Spans, path: &Path) -> Option<Range<usize>> {
        spans.get(path.slot())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.name())
    }
}

impl PartialEq for Schema {
    /// Same text.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Schema {}

/// Of `candidates` the one nearest to `word` by edits, when it is near enough to be meant. A path may also be named by
/// its last part alone.
pub(crate) fn nearest(word: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let (word, limit) = (word.to_lowercase(), word.chars().count() / 3 + 1);
    let distance = |candidate: &String| {
        let lower = candidate.to_lowercase();
        let last = lower.rsplit('.').next().unwrap_or_default();
        if last == word { 1 } else { edits(&word, &lower) }
    };
    let scored = candidates.into_iter().map(|c| (distance(&c), c));
    scored.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
