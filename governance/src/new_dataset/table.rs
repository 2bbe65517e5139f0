//! Reading somebody's CSV file once: its separator, its columns, and its record key.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use kenh_domain::limits::MAX_SCHEMA_FIELDS;

use super::infer::{Column, Kind, hash};
use super::{Field, MAX_ROWS, NewDatasetError, names};
use crate::declared::yaml::nearest;

/// Bytes from which the separator is guessed.
const HEAD_BYTES: u64 = 64 << 10;

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What was found.
pub struct Table {
    pub rows: u64,
    pub separator: u8,
    pub fields: Vec<Field>,
    /// The header of a column without a name and without a value, which is passed over.
    pub ignored: Option<String>,
    /// Names of the fields of the record key.
    pub key: Vec<String>,
    /// Cells that are not in Unicode form NFC.
    pub not_nfc: u64,
}

/// Reads a file. `key`: headers or field names; empty: to be found.
pub fn read(file: &Path, key: &[String]) -> Result<Table, NewDatasetError> {
    let open = |source| NewDatasetError::Open { file: file.to_owned(), source };
    let mut input = File::open(file).map_err(open)?;
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(open)?;
    input.rewind().map_err(open)?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(wrong(file, Some(1), "the file is UTF-16", UTF_8));
    }
    let separator = separator(&head);
    // The reader passes over a byte order mark by itself.
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(input);
    let headers: Vec<String> = match reader.byte_headers() {
        Ok(headers) => headers.iter().map(|h| utf_8(h, file, 1).map(str::to_owned)).collect::<Result<_, _>>()?,
        Err(error) => return Err(unreadable(file, error)),
    };
    if headers.iter().all(|h| h.trim().is_empty()) {
        return Err(wrong(file, Some(1), "the file has no header line", "name the columns in its first line"));
    }
    if headers.len() > MAX_SCHEMA_FIELDS {
        let message =
            format!("the file has {} columns, and a record has at most {MAX_SCHEMA_FIELDS} fields", headers.len());
        return Err(wrong(file, Some(1), message, "leave columns out"));
    }
    // The mapping knows columns by their names, without the spaces around them.
    let before = |i: usize, name: &str| headers.iter().take(i).any(|h| h.trim() == name);
    if let Some((_, twice)) = headers.iter().map(|h| h.trim()).enumerate().find(|(i, h)| before(*i, h)) {
        let message = match twice {
            "" => "several columns have no name".to_owned(),
            name => format!("two columns are called {name}"),
        };
        return Err(wrong(file, Some(1), message, "give each its own name, and delete empty columns at the end"));
    }
    let names = names::fields(&headers);
    let asked = asked(file, key, &headers, &names)?;

    let mut columns: Vec<Column> = headers.iter().map(|_| Column::new()).collect();
    let mut keys: HashMap<u64, u64> = HashMap::new();
    let mut record = ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(|e| unreadable(file, e))? {
        rows += 1;
        let line = record.position().map_or(rows + 1, csv::Position::line);
        let cells: Vec<&str> =
            record.iter().map(|cell| utf_8(cell, file, line).map(str::trim)).collect::<Result<_, _>>()?;
        columns.iter_mut().zip(&cells).for_each(|(column, cell)| column.take(cell));
        if rows == MAX_ROWS {
            columns.iter_mut().for_each(Column::give_up_uniqueness);
        }
        if !asked.is_empty() && rows <= MAX_ROWS {
            let of = || asked.iter().map(|i| cells.get(*i).copied().unwrap_or_default());
            if let Some(i) = asked.iter().find(|i| cells.get(**i).is_none_or(|c| c.is_empty())) {
                let header = headers.get(*i).cloned().unwrap_or_default();
                let message = format!("line {line} has no value for {header}, which is part of the record key");
                return Err(no_key(file, message, "fill it in, or choose other columns with --key"));
            }
            if let Some(first) = keys.insert(hash(of()), line) {
                let message = format!("lines {first} and {line} have the same record key");
                return Err(no_key(file, message, "name further columns with --key A,B until each record has its own"));
            }
        }
    }
    if rows == 0 {
        return Err(wrong(file, None, "the file has a header and no record", "give a file with at least one record"));
    }
    let key = if asked.is_empty() { vec![found(file, &columns, &headers, rows)?] } else { asked };
    let key: Vec<String> = key.iter().filter_map(|i| names.get(*i).cloned()).collect();
    let not_nfc = columns.iter().map(Column::not_nfc).sum();
    let (mut fields, mut ignored) = (Vec::new(), None);
    for ((header, name), column) in headers.into_iter().zip(names).zip(&columns) {
        if header.trim().is_empty() && column.is_empty() {
            ignored = Some(header);
            continue;
        }
        let is_key = key.contains(&name);
        let kind = if is_key { key_kind(column.kind()) } else { column.kind() };
        fields.push(Field { header, name, kind, nullable: column.has_empty() });
    }
    Ok(Table { rows, separator, fields, ignored, key, not_nfc })
}

/// A record key is made of texts, whole numbers and dates; of another type it is kept as the text that it is.
fn key_kind(kind: Kind) -> Kind {
    match kind {
        Kind::Boolean { .. } | Kind::Number | Kind::CommaNumber => Kind::Text,
        other => other,
    }
}

/// The separator that cuts the header into most columns and every line after it into as many.
fn separator(head: &[u8]) -> u8 {
    let columns = |separator: &u8| {
        let mut reader = ReaderBuilder::new().delimiter(*separator).has_headers(false).flexible(true).from_reader(head);
        let mut widths: Vec<usize> = reader.byte_records().filter_map(Result::ok).map(|r| r.len()).collect();
        // The last line may have been cut off.
        if widths.len() > 1 {
            widths.pop();
        }
        let first = widths.first().copied().unwrap_or_default();
        (widths.iter().all(|w| *w == first) && first > 1, first)
    };
    // Of equals the first, which `max_by_key` would give last.
    SEPARATORS.iter().rev().max_by_key(|s| columns(s)).copied().unwrap_or(b',')
}

const UTF_8: &str = "save it as UTF-8 (in Excel: \"CSV UTF-8\")";

fn utf_8<'c>(cell: &'c [u8], file: &Path, line: u64) -> Result<&'c str, NewDatasetError> {
    std::str::from_utf8(cell).map_err(|_| wrong(file, Some(line), "the text is not UTF-8", UTF_8))
}

fn wrong(file: &Path, line: Option<u64>, message: impl Into<String>, hint: &str) -> NewDatasetError {
    NewDatasetError::Table { file: file.to_owned(), line, message: message.into(), hint: hint.to_owned() }
}

fn no_key(file: &Path, message: String, hint: impl Into<String>) -> NewDatasetError {
    NewDatasetError::Key { file: file.to_owned(), message, hint: hint.into() }
}

fn unreadable(file: &Path, error: csv::Error) -> NewDatasetError {
    let line = error.position().map(csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => NewDatasetError::Open { file: file.to_owned(), source },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let message = format!("the line has {len} cells, and the header {expected_len}");
            wrong(file, line, message, "put cells that hold the separator or a line end into double quotes")
        }
        _ => wrong(file, line, "the line cannot be read", "check its double quotes"),
    }
}

/// The columns of the key that was asked for.
fn asked(file: &Path, key: &[String], headers: &[String], names: &[String]) -> Result<Vec<usize>, NewDatasetError> {
    let mut out = Vec::new();
    for wanted in key.iter().map(|k| k.trim()) {
        let found = headers.iter().position(|h| h.trim() == wanted).or_else(|| names.iter().position(|n| n == wanted));
        let Some(found) = found else {
            let known: Vec<&str> = headers.iter().chain(names).map(String::as_str).collect();
            let hint = match nearest(wanted, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("columns are {}", headers.join(", ")),
            };
            return Err(no_key(file, format!("there is no column {wanted}"), hint));
        };
        if !out.contains(&found) {
            out.push(found);
        }
    }
    Ok(out)
}

/// The first column that can be the record key.
fn found(file: &Path, columns: &[Column], headers: &[String], rows: u64) -> Result<usize, NewDatasetError> {
    if rows > MAX_ROWS {
        let message = format!("the file has more than {MAX_ROWS} records, too many to look for its record key");
        return Err(no_key(file, message, "name the columns with --key"));
    }
    columns.iter().position(Column::is_unique).ok_or_else(|| {
        let hint = format!(
            "name the columns that tell one record from another with --key A,B (columns are {})",
            headers.join(", ")
        );
        no_key(file, "no column has a value in every row and none twice".into(), hint)
    })
}
