//! A first declaration from somebody's own table: `kenh new dataset --from FILE.csv`.
//!
//! It reads a CSV file once and writes what the bus needs to carry its rows: contract, schema, mapping and examples under
//! `schemas/<name>/`, and two agencies and a grant under `broker-config/`. What it writes passes
//! [`declared::read`](crate::declared::read) and [`plan`](crate::plan::plan) as it stands; it is a draft for people to
//! correct before they apply it, not a contract that anybody has agreed to.
//!
//! # What it guesses, on the safe side
//! | | |
//! |---|---|
//! | names | the header without diacritics, words joined: `Mã số thuế` is `MaSoThue`; a header that is a name stays |
//! | types | the narrowest [`Kind`] that fits every cell; what could be a code (a leading zero, many digits of one width) is text |
//! | null | a column with an empty cell is nullable; one without is required |
//! | record key | the columns named, or the first that has a value in every row and none twice |
//! | personal data | **every field is `kenh.pii: basic`** until someone says otherwise: what is personal and not marked would be shared for longer than the law allows, what is marked and not personal costs a renewal a year |
//! | versions | `assigned`: a table has none, so that a row with another content is the next version |
//! | grant | every field, all rows, for twelve months; its legal basis says that it is not stated yet |
//!
//! No value of any row is written anywhere: examples are made up, and errors name columns and lines.

mod agency;
mod infer;
mod mapping;
mod names;
mod render;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use kenh_domain::names::{Agency, Dataset, NameError};

use crate::declared::Problem;
pub use infer::Kind;

/// Most records that are read to find a record key: each costs some bytes of memory for every column that may be one.
const MAX_ROWS: u64 = 5_000_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The CSV file: UTF-8 with or without a byte order mark, a header line, separated by `,`, `;`, `|` or tabs.
    pub from: PathBuf,
    /// The dataset's name; none: made of the file's name.
    pub name: Option<Dataset>,
    /// Who provides it.
    pub provider: Agency,
    /// Who receives it.
    pub recipient: Agency,
    /// The columns of the record key, as headers or as field names; none: the first column that can be one.
    pub key: Vec<String>,
    /// The folder that has or gets `schemas/` and `broker-config/`.
    pub into: PathBuf,
}

/// A field that a column becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column's header, exactly as in the file.
    pub header: String,
    /// The field's name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether some row has no value.
    pub nullable: bool,
}

/// Files that are ready to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The dataset.
    pub dataset: Dataset,
    /// Records read.
    pub rows: u64,
    /// The separator between columns.
    pub separator: char,
    /// The fields, in the order of the columns.
    pub fields: Vec<Field>,
    /// Names of the fields of the record key, in order.
    pub key: Vec<String>,
    /// Each file and its text.
    pub files: Vec<(PathBuf, String)>,
    /// What to look at before applying it.
    pub notes: Vec<String>,
}

/// What was done with the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files made.
    pub created: Vec<PathBuf>,
    /// Files that were there with the same text.
    pub unchanged: Vec<PathBuf>,
}

/// Why there is no draft, or why it was not written. Nothing of a row is in it.
#[derive(Debug, thiserror::Error)]
pub enum NewDatasetError {
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Open {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not the table that is asked for.
    #[error("{file}{}: {message}; {hint}", line.map(|n| format!(":{n}")).unwrap_or_default())]
    Table {
        /// Which file.
        file: PathBuf,
        /// In which line, if it is one, from 1.
        line: Option<u64>,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The record key cannot be what was asked for, or none was found.
    #[error("{file}: {message}; {hint}")]
    Key {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        message: String,
        /// How to choose one.
        hint: String,
    },
    /// A name made of what was given is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An agency is declared already, and its document is not one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Agency(Vec<Problem>),
    /// Files are there with another text. Nothing was written.
    #[error(
        "{} there already and would change; nothing was written: move {} away, or choose another --name",
        list(.0), if .0.len() == 1 { "it" } else { "them" }
    )]
    Differs(Vec<PathBuf>),
    /// A file could not be written; those before it were.
    #[error("{file} could not be written; the files before it were, and running it again goes on")]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn list(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// Reads the table and makes the files of its declaration. Writes nothing.
///
/// # Errors
/// [`NewDatasetError`]: not UTF-8, no header, rows of unequal length, no records, no record key, a name that is none.
pub fn draft(request: &Request) -> Result<Draft, NewDatasetError> {
    let dataset = match &request.name {
        Some(name) => name.clone(),
        None => Dataset::new(&names::dataset(&request.from))?,
    };
    let table = table::read(&request.from, &request.key)?;
    let provider = agency::of(&request.provider, &request.into)?;
    let recipient = if request.recipient == request.provider {
        provider.clone()
    } else {
        agency::of(&request.recipient, &request.into)?
    };
    // It stands in comments, which a line end would leave.
    let source =
        request.from.file_name().map(|n| n.to_string_lossy().replace(char::is_control, " ")).unwrap_or_default();
    let files = render::files(&request.into, &dataset, &source, &table, &provider, &recipient)?;
    let notes = notes(&table);
    let table::Table { rows, separator, fields, key, .. } = table;
    Ok(Draft { dataset, rows, separator: char::from(separator), fields, key, files, notes })
}

fn notes(table: &table::Table) -> Vec<String> {
    let mut notes = vec![
        "every field is marked as basic personal data; correct kenh.pii in contract.yaml where it is not".to_owned(),
        "the grant gives every field of every row, and its legal basis is not stated: correct both before you share"
            .to_owned(),
    ];
    let text = |field: &&Field| field.kind == Kind::Code;
    let codes: Vec<&str> = table.fields.iter().filter(text).map(|f| f.name.as_str()).collect();
    if !codes.is_empty() {
        notes.push(format!("{} look like codes and are text, though they are all digits", codes.join(", ")));
    }
    if table.not_nfc > 0 {
        notes.push(format!(
            "{} cells are not in Unicode form NFC, and records with them are rejected: normalise the file first",
            table.not_nfc
        ));
    }
    notes
}

impl Draft {
    /// Writes the files that are not there yet. Never changes one that is.
    ///
    /// # Errors
    /// [`NewDatasetError::Differs`] before anything was written; [`NewDatasetError::Write`].
    pub fn write(&self) -> Result<Written, NewDatasetError> {
        let mut written = Written::default();
        let (mut missing, mut differ) = (Vec::new(), Vec::new());
        for (file, text) in &self.files {
            match std::fs::read(file) {
                Ok(is) if is == text.as_bytes() => written.unchanged.push(file.clone()),
                Ok(_) => differ.push(file.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing.push((file, text)),
                Err(source) => return Err(NewDatasetError::Open { file: file.clone(), source }),
            }
        }
        if !differ.is_empty() {
            return Err(NewDatasetError::Differs(differ));
        }
        for (file, text) in missing {
            create(file, text).map_err(|source| NewDatasetError::Write { file: file.clone(), source })?;
            written.created.push(file.clone());
        }
        Ok(written)
    }
}

/// Makes a file that must not be there.
fn create(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create_new(file)?.write_all(text.as_bytes())
}
