//! Code lists on the bus: which codes the records of a dataset say there are, and on which days.
//!
//! A contract may say that a field's codes are those of a dataset ([`CodeListDataset`]). Its records then are the list:
//! a new unit is a new record and no new contract version, a unit that was abolished keeps its record with its last day,
//! so that its code stays right in an old record, and a record that is cancelled as wrong takes its code with it. Which
//! records count is said by the marker under which a change is decided, so that whoever decides it again meets the same
//! list.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::contract::{CodeListDataset, Contract};
use crate::filter::{Filter, FilterError};
use crate::schema::{BodyError, Path, Schema, SchemaError, Spans, Type, Value};
use crate::wire::SchemaId;

/// Why a dataset cannot be read as a code list.
#[derive(Debug, thiserror::Error)]
pub enum CodesError {
    /// Whoever submits a code learns by the answer whether it is there.
    #[error("{dataset} is not open; a code list is an open dataset, since a rejection tells whether a code is in it")]
    NotOpen {
        /// The dataset.
        dataset: String,
    },
    /// Which of its records come first is known within a partition only.
    #[error("{dataset} has {partitions} partitions; the dataset of a code list has one")]
    Partitions {
        /// The dataset.
        dataset: String,
        /// How many it has.
        partitions: u32,
    },
    /// A schema of it is not one the bus carries.
    #[error("schema version {version} of {dataset}")]
    Schema {
        /// The dataset.
        dataset: String,
        /// The schema version.
        version: u32,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// A path that leads nowhere, or to a type that is no code or no day.
    #[error("{path} of {dataset}, schema version {version}, is {found}; a code list needs {needs} there")]
    Path {
        /// The dataset.
        dataset: String,
        /// The path.
        path: String,
        /// The schema version.
        version: u32,
        /// What is there.
        found: String,
        /// What is needed.
        needs: &'static str,
    },
    /// The filter of its rows.
    #[error("the rows of {dataset} that are the code list")]
    Rows {
        /// The dataset.
        dataset: String,
        /// Why.
        #[source]
        source: FilterError,
    },
    /// A record in a schema that the contract does not have.
    #[error("a record of {dataset} is in schema {schema}, which its contract does not have")]
    Unknown {
        /// The dataset.
        dataset: String,
        /// The schema.
        schema: SchemaId,
    },
    /// A record that is not what its schema says.
    #[error("a record of {dataset} cannot be read")]
    Body {
        /// The dataset.
        dataset: String,
        /// Where and why.
        #[source]
        source: BodyError,
    },
}

/// A [`CodeListDataset`], compiled against the dataset's contract.
#[derive(Debug)]
pub struct CodesReader {
    dataset: String,
    versions: Vec<Version>,
}

/// What is read of a record of one schema version.
#[derive(Debug)]
struct Version {
    id: SchemaId,
    schema: Schema,
    code: Path,
    from: Option<Path>,
    to: Option<Path>,
    rows: Option<Filter>,
}

impl CodesReader {
    /// Compiles `list` against `contract`, which is that of the dataset it names: every path must lead to its type in
    /// every schema version, and the dataset must be open and of one partition.
    ///
    /// # Errors
    /// [`CodesError`] names what does not fit.
    pub fn compile(list: &CodeListDataset, contract: &Contract) -> Result<Self, CodesError> {
        let dataset = contract.dataset.to_string();
        if !contract.open {
            return Err(CodesError::NotOpen { dataset });
        }
        if contract.partitions != 1 {
            return Err(CodesError::Partitions { dataset, partitions: contract.partitions });
        }
        let version = |released: &crate::contract::SchemaVersion| {
            let number = released.version;
            let schema = Schema::parse(&released.schema).map_err(|source| CodesError::Schema {
                dataset: dataset.clone(),
                version: number,
                source,
            })?;
            let at = |path: &String, needs: &'static str, fits: fn(&Type) -> bool| {
                let wrong = |found: String| CodesError::Path {
                    dataset: dataset.clone(),
                    path: path.clone(),
                    version: number,
                    found,
                    needs,
                };
                let found = schema.path(path).ok_or_else(|| wrong("no field".into()))?;
                if fits(found.ty().inner()) { Ok(found) } else { Err(wrong(found.ty().inner().kind().to_string())) }
            };
            let day = |path: &Option<String>| path.as_ref().map(|p| at(p, "a date", is_day)).transpose();
            let code = at(&list.code, "a text or a whole number", is_code)?;
            let (from, to) = (day(&list.from)?, day(&list.to)?);
            let rows = list.rows.as_deref().map(|text| Filter::compile(text, &schema)).transpose();
            let rows = rows.map_err(|source| CodesError::Rows { dataset: dataset.clone(), source })?;
            Ok(Version { id: released.id, schema, code, from, to, rows })
        };
        let versions = contract.schemas.iter().map(version).collect::<Result<_, _>>()?;
        Ok(Self { dataset, versions })
    }

    /// The codes of `records`: schema id and Avro body of every record that stands, in any order. A record whose code is
    /// null has none.
    ///
    /// # Errors
    /// [`CodesError::Unknown`], [`CodesError::Body`].
    pub fn read<'a>(&self, records: impl IntoIterator<Item = (SchemaId, &'a [u8])>) -> Result<Codes, CodesError> {
        let mut codes = Codes::default();
        let mut spans = Spans::new();
        for (id, body) in records {
            let version = self.versions.iter().find(|v| v.id == id);
            let Version { schema, code, from, to, rows, .. } =
                version.ok_or_else(|| CodesError::Unknown { dataset: self.dataset.clone(), schema: id })?;
            schema
                .walk(body, &mut spans)
                .map_err(|source| CodesError::Body { dataset: self.dataset.clone(), source })?;
            if rows.as_ref().is_some_and(|filter| !filter.matches(body, &spans)) {
                continue;
            }
            let code = match schema.value(body, &spans, code) {
                Value::Text(text) => text.into(),
                Value::Int(n) => n.to_string().into_boxed_str(),
                _ => continue,
            };
            let day = |path: &Option<Path>, none| match path.as_ref().map(|p| schema.value(body, &spans, p)) {
                Some(Value::Date(days)) => days,
                _ => none,
            };
            codes.0.entry(code).or_default().push((day(from, i32::MIN), day(to, i32::MAX)));
        }
        Ok(codes)
    }
}

const fn is_code(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Uuid | Type::Enum(_) | Type::Int | Type::Long)
}

const fn is_day(ty: &Type) -> bool {
    matches!(ty, Type::Date)
}

/// The codes of a list, each with the first and the last day of every time that it is in force (days since 1970-01-01).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codes(HashMap<Box<str>, SmallVec<[(i32, i32); 1]>>);

impl Codes {
    /// Whether there is, or was, such a code.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.0.contains_key(code)
    }

    /// Whether a code is in force from `day` on: day and code name one of two units that bore the code one after the
    /// other.
    #[must_use]
    pub fn starts(&self, code: &str, day: i32) -> bool {
        self.0.get(code).is_some_and(|times| times.iter().any(|(from, _)| *from == day))
    }

    /// Whether a code is in force on `day`; first and last day are within.
    #[must_use]
    pub fn in_force(&self, code: &str, day: i32) -> bool {
        self.0.get(code).is_some_and(|times| times.iter().any(|(from, to)| (*from..=*to).contains(&day)))
    }

    /// How many codes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The code lists on the bus that the rules of one contract ask, by their names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeLists {
    /// Somebody who cannot read them leaves them to the router: for checks before anything is sent.
    NotAsked,
    /// As a marker names them. A list that is not here has no code, so that what was forgotten is refused.
    Known(BTreeMap<String, Arc<Codes>>),
}

impl CodeLists {
    /// There is none.
    pub const NONE: &'static Self = &Self::Known(BTreeMap::new());
}

#[cfg(test)]
mod tests;
