//! A whole copy as a file: JSON lines, CSV, an Avro container.

use std::io::Write;
use std::ops::ControlFlow;

use apache_avro::reader::datum::GenericDatumReader;
use bytes::Bytes;
use kenh_domain::schema::{Field, Schema};

use super::row::{Form, RowError};
use super::{AsOf, Copy, CopyError};

/// Rows read at once: a page is written out while nobody waits for it.
const PAGE: usize = 1_000;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, in the forms of [`Schema::put_json`].
    Jsonl,
    /// RFC 4180 with a header line; a column per field of the view. Null is empty; arrays and records are JSON; a text
    /// that a spreadsheet would run as a formula is left as it is.
    Csv,
    /// An Avro object container file with the view's schema.
    Avro,
}

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The copy could not be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// It could not be written out.
    #[error("the export cannot be written")]
    Write(#[from] std::io::Error),
    /// It could not be written as CSV.
    #[error("the export cannot be written as CSV")]
    Csv(#[from] csv::Error),
    /// It could not be written as Avro.
    #[error("the export cannot be written as Avro")]
    Avro(#[source] Box<apache_avro::Error>),
    /// A newer edition took the place of the one being exported.
    #[error("the copy was replaced by another edition while it was exported; start again")]
    Replaced,
}

impl From<RowError> for ExportError {
    fn from(error: RowError) -> Self {
        Self::Copy(error.into())
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Rows written.
    pub rows: u64,
    /// The state that the last rows were read from: every row is of this or an earlier one since the export began.
    pub as_of: AsOf,
}

impl Copy {
    /// Writes all rows, in key order, to `out`.
    ///
    /// Rows are read in pages, so that a slow reader of the export makes nobody wait; what changes meanwhile may be in it
    /// or not.
    ///
    /// # Errors
    /// [`ExportError`]; `out` then holds a part.
    pub fn export(&self, format: Format, out: &mut dyn Write) -> Result<Exported, ExportError> {
        let mut page = self.raw_page(None, PAGE)?;
        let form = page.form.clone();
        let mut sink = Sink::new(format, &form, out)?;
        let mut rows = 0;
        loop {
            for (_, value) in &page.rows {
                sink.put(value)?;
                rows += 1;
            }
            let Some((last, _)) = page.rows.last().filter(|_| page.rows.len() == PAGE) else { break };
            let edition = page.as_of.edition;
            page = self.raw_page(Some(last), PAGE)?;
            if page.as_of.edition != edition {
                return Err(ExportError::Replaced);
            }
        }
        sink.finish()?;
        Ok(Exported { rows, as_of: page.as_of })
    }

    fn raw_page(&self, after: Option<&[u8]>, limit: usize) -> Result<RawPage, CopyError> {
        self.with_snapshot(|snapshot, form| {
            let mut rows = Vec::new();
            snapshot.scan(after, &mut |key, value| {
                rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(RawPage { rows, form: form.clone(), as_of: AsOf::of(snapshot.info()) })
        })
    }
}

struct RawPage {
    rows: Vec<(Bytes, Bytes)>,
    form: Form,
    as_of: AsOf,
}

/// Where rows go, by format.
enum Sink<'a> {
    Jsonl { form: &'a Form, line: Vec<u8>, out: &'a mut dyn Write },
    Csv { form: &'a Form, out: Box<csv::Writer<&'a mut dyn Write>> },
    Avro { form: &'a Form, out: Box<AvroSink<'a>> },
}

struct AvroSink<'a> {
    reader: GenericDatumReader<'a>,
    writer: apache_avro::Writer<'a, &'a mut dyn Write>,
}

fn avro(error: apache_avro::Error) -> ExportError {
    ExportError::Avro(Box::new(error))
}

impl<'a> Sink<'a> {
    fn new(format: Format, form: &'a Form, out: &'a mut dyn Write) -> Result<Self, ExportError> {
        Ok(match format {
            Format::Jsonl => Self::Jsonl { form, line: Vec::new(), out },
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
                writer.write_record(form.schema.fields().iter().map(|field| &field.name))?;
                Self::Csv { form, out: Box::new(writer) }
            }
            Format::Avro => {
                let schema: &'a Schema = &form.schema;
                let reader = GenericDatumReader::builder(schema.avro()).build().map_err(avro)?;
                let writer = apache_avro::Writer::new(schema.avro(), out).map_err(avro)?;
                Self::Avro { form, out: Box::new(AvroSink { reader, writer }) }
            }
        })
    }

    fn put(&mut self, value: &[u8]) -> Result<(), ExportError> {
        match self {
            Self::Jsonl { form, line, out } => {
                line.clear();
                form.put_json(value, line)?;
                line.push(b'\n');
                out.write_all(line)?;
            }
            Self::Csv { form, out } => out.write_record(cells(form, value)?)?,
            Self::Avro { form, out } => {
                let mut body = form.body(value)?;
                let value = out.reader.read_value(&mut body).map_err(avro)?;
                out.writer.append_value(value).map_err(avro)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Jsonl { out, .. } => out.flush()?,
            Self::Csv { mut out, .. } => out.flush()?,
            Self::Avro { mut out, .. } => {
                out.writer.flush().map_err(avro)?;
            }
        }
        Ok(())
    }
}

/// The cells of a row: texts without quotes, null as nothing, the rest as its JSON.
fn cells(form: &Form, value: &[u8]) -> Result<Vec<String>, ExportError> {
    let mut cells = Vec::with_capacity(form.schema.fields().len());
    let mut wrong = None;
    let mut cell = |_: &Field, json: &[u8]| match json {
        b"null" => cells.push(String::new()),
        [b'"', ..] => match serde_json::from_slice(json) {
            Ok(text) => cells.push(text),
            Err(error) => wrong = Some(error),
        },
        other => cells.push(String::from_utf8_lossy(other).into_owned()),
    };
    form.schema.json_fields(form.body(value)?, &mut cell).map_err(RowError::from)?;
    wrong.map_or(Ok(cells), |error| Err(std::io::Error::from(error).into()))
}
