//! Readers: from the bytes of a file or of standard input to numbered items, as they come, in bounded memory.
//!
//! A record that cannot be read is an item too, with every rule that it breaks; the ones after it go on. Only what leaves
//! no records to go on to (the input fails, a container's head is no container's, a mapping names no such column) is an
//! error of the source.

mod container;
mod csv;
pub mod envelope;
pub mod jsonl;
mod lines;
pub mod mapping;
pub mod national;

use std::io::{self, Read};
use std::path::Path;

use kenh_domain::admit::Rules;

use crate::change::Item;
pub use mapping::{Mapping, MappingError};

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line: a bare record or an envelope.
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
    /// An Avro object container file of records or envelopes.
    Avro,
    /// JSON documents: the national envelope single or in a batch, several one after the other; bare records too.
    Envelope,
}

impl Format {
    /// The format that a file's ending names: `.jsonl` and `.ndjson`, `.csv`, `.avro`, `.json` (documents).
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "avro" => Self::Avro,
            "json" => Self::Envelope,
            _ => return None,
        })
    }
}

/// Numbered records of a source, in order.
pub trait Items {
    /// The next one; none at the end. After an error there is nothing more to be had.
    ///
    /// # Errors
    /// [`SourceError`]: no further record can be read at all.
    fn next(&mut self) -> Result<Option<Item>, SourceError>;
}

/// Opens a source. Its records become bodies of the contract's newest schema version (a container file keeps the version
/// it was written with). `mapping` is for CSV only; without one, columns are called like fields.
///
/// # Errors
/// [`SourceError`].
pub fn open<'r>(
    format: Format,
    input: Box<dyn Read + 'r>,
    rules: &'r Rules,
    mapping: Option<&Mapping>,
) -> Result<Box<dyn Items + 'r>, SourceError> {
    let into = envelope::Into::newest(rules).ok_or(SourceError::NoSchema)?;
    Ok(match format {
        Format::Jsonl => Box::new(jsonl::JsonLines::new(input, into)),
        Format::Csv => Box::new(csv::CsvRows::open(input, into, mapping)?),
        Format::Avro => Box::new(container::Container::open(input, rules)?),
        Format::Envelope => Box::new(national::Documents::new(input, into)),
    })
}

/// Why a source gives no (further) records.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The contract has no schema yet.
    #[error("the contract has no schema")]
    NoSchema,
    /// The input failed.
    #[error("the input failed after record {after}")]
    Read {
        /// Number of the last record that was read.
        after: u64,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The head of the file cannot be used: what is wrong with it, and what to do.
    #[error("{0}")]
    Head(String),
    /// The mapping does not fit the file or the contract.
    #[error("the mapping cannot be used")]
    Mapping(#[from] MappingError),
}
