//! CSV with a header line (RFC 4180), through a [`Mapping`].
//!
//! `csv-core` parses into buffers of ours: an unclosed quote makes one record too large instead of filling the memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use kenh_domain::limits::{MAX_CSV_COLUMNS, MAX_RECORD_TEXT_BYTES};
use kenh_domain::rule::{Rejection, Rule};

use super::envelope::{Into, Read as Envelope};
use super::mapping::{Kind, Mapping, MappingError, Reading, Use};
use super::{Items, SourceError};
use crate::change::{Change, Item};
use crate::encode::{self, Case};
use crate::json::{self, Json};

pub(super) struct CsvRows<'r> {
    rows: Rows<Box<dyn Read + 'r>>,
    into: Into<'r>,
    plan: Plan,
    number: u64,
}

impl<'r> CsvRows<'r> {
    /// Reads the header line.
    pub(super) fn open(
        input: Box<dyn Read + 'r>,
        into: Into<'r>,
        mapping: Option<&Mapping>,
    ) -> Result<Self, SourceError> {
        let delimiter = mapping.map_or(',', |m| m.delimiter);
        let delimiter = u8::try_from(delimiter).ok().filter(|d| d.is_ascii() && !matches!(d, b'"' | b'\r' | b'\n'));
        let delimiter = delimiter.ok_or_else(|| MappingError::Misfit {
            at: "delimiter".into(),
            problem: "one ASCII character is wanted, no quote and no line end".into(),
        })?;
        let mut rows = Rows::new(input, delimiter);
        let read = rows.next().map_err(|source| SourceError::Read { after: 0, source })?;
        let head = |what: &str| SourceError::Head(format!("the header line {what}"));
        match read {
            Row::End => return Err(head("is missing: the file is empty")),
            Row::TooLarge | Row::TooManyColumns => return Err(head("is longer than any header is; is this CSV?")),
            Row::Truncated => return Err(head("has a quote that is never closed")),
            Row::Whole { .. } => {}
        }
        let names: Vec<String> = rows
            .fields()
            .map(|f| std::str::from_utf8(f).map(str::to_owned))
            .collect::<Result<_, _>>()
            .map_err(|_| head("is not UTF-8: save the file as UTF-8"))?;
        let identity;
        let mapping = match mapping {
            Some(mapping) => mapping,
            None => {
                identity = Mapping::identity(names.iter().map(String::as_str));
                &identity
            }
        };
        // A name is found as it stands, or without the white space around it where the mapping cuts that off.
        let trimmed = |name: String| {
            let cut = mapping.trim && !mapping.columns.contains_key(&name);
            if cut { name.trim().to_owned() } else { name }
        };
        let names: Vec<String> = names.into_iter().map(trimmed).collect();
        let mut seen = HashSet::new();
        let ignored = |name: &str| matches!(mapping.column(name, into.schema), Ok(Use::Ignore));
        if let Some(twice) = names.iter().find(|n| !seen.insert(n.as_str()) && !ignored(n)) {
            let twice: String = twice.chars().take(100).collect();
            return Err(head(&format!("has column {twice:?} twice")));
        }
        if let Some(lost) = mapping.columns.keys().find(|c| !names.contains(c)) {
            return Err(MappingError::Misfit {
                at: format!("column {lost:?}"),
                problem: format!("the file has no such column; it has: {}", names.join(", ")),
            }
            .into());
        }
        let plan = Plan::make(&names, mapping, &into)?;
        Ok(Self { rows, into, plan, number: 0 })
    }
}

impl Items for CsvRows<'_> {
    fn next(&mut self) -> Result<Option<Item>, SourceError> {
        let read = self.rows.next().map_err(|source| SourceError::Read { after: self.number, source })?;
        let (line, change) = match read {
            Row::End => return Ok(None),
            Row::Whole { line } => {
                let cells: Vec<&[u8]> = self.rows.fields().collect();
                (line, self.plan.change(&self.into, &cells))
            }
            Row::TooLarge => (self.rows.line, Err(vec![Rejection::record(Rule::TooLarge)])),
            Row::TooManyColumns => {
                (self.rows.line, Err(vec![Rejection::record(Rule::Malformed).with("it has too many columns")]))
            }
            Row::Truncated => {
                let detail = "a quote is opened and never closed";
                (self.rows.line, Err(vec![Rejection::record(Rule::Truncated).with(detail)]))
            }
        };
        self.number += 1;
        Ok(Some(Item { number: self.number, line: Some(line), change }))
    }
}

/// The mapping, resolved for the columns of one file.
struct Plan {
    /// What each column is.
    uses: Vec<Use>,
    /// The record's tree; a leaf is a column or a constant.
    root: Vec<(String, Node)>,
}

enum Node {
    Column { index: usize, nullable: bool },
    Constant(Json<'static>),
    Record { nullable: bool, members: Vec<(String, Node)> },
}

impl Plan {
    fn make(names: &[String], mapping: &Mapping, into: &Into<'_>) -> Result<Self, SourceError> {
        let schema = into.schema;
        let uses = names.iter().map(|name| mapping.column(name, schema)).collect::<Result<Vec<_>, _>>()?;
        let mut plan = Self { uses, root: Vec::new() };
        let mut envelope = HashSet::new();
        for (index, (name, what)) in names.iter().zip(&plan.uses).enumerate() {
            let twice = || MappingError::Misfit {
                at: format!("column {name:?}"),
                problem: "another column or constant is this field already".into(),
            };
            match what {
                Use::Ignore => {}
                Use::Envelope(field, _) => {
                    if !envelope.insert(*field) {
                        return Err(twice().into());
                    }
                }
                Use::Field(path, _) => {
                    let dotted = path.join(".");
                    let nullable = schema.path(&dotted).is_some_and(|p| p.ty().is_nullable());
                    let leaf = Node::Column { index, nullable };
                    put(&mut plan.root, path, leaf, schema, 0).then_some(()).ok_or_else(twice)?;
                }
            }
        }
        for (what, text) in mapping.constants(schema)? {
            let Use::Field(path, reading) = what else { continue };
            let dotted = path.join(".");
            let misfit = |problem: String| MappingError::Misfit { at: format!("constant {dotted:?}"), problem };
            let value = reading.value(text).map_err(|r| misfit(r.detail))?.unwrap_or(Json::Null);
            let leaf = Node::Constant(owned(value));
            if !put(&mut plan.root, &path, leaf, schema, 0) {
                return Err(misfit("a column or another constant is this field already".into()).into());
            }
        }
        Ok(plan)
    }

    /// The change that a row says. A pure function of its arguments.
    fn change(&self, into: &Into<'_>, cells: &[&[u8]]) -> Result<Change, Vec<Rejection>> {
        if cells.len() != self.uses.len() {
            let detail = format!("it has {} columns and the header line {}", cells.len(), self.uses.len());
            return Err(vec![Rejection::record(Rule::Malformed).with(detail)]);
        }
        let mut found = Vec::new();
        let mut envelope = Envelope::default();
        let mut values = Vec::with_capacity(cells.len());
        for (what, cell) in self.uses.iter().zip(cells) {
            let (field, reading) = match what {
                Use::Ignore => {
                    values.push(None);
                    continue;
                }
                Use::Envelope(field, reading) => (Cow::Borrowed(*field), reading),
                // Joined again only for a bad cell.
                Use::Field(_, reading) => (Cow::Borrowed(""), reading),
            };
            let value = match std::str::from_utf8(cell) {
                Ok(text) => reading.value(text),
                Err(_) => Err(Rejection::record(Rule::NotUtf8)),
            };
            let value = value.unwrap_or_else(|mut rejection| {
                let own = match what {
                    Use::Field(path, _) => path.join("."),
                    _ => field.clone().into_owned(),
                };
                rejection.field = if rejection.field.is_empty() { own } else { format!("{own}.{}", rejection.field) };
                found.push(rejection);
                None
            });
            match what {
                Use::Envelope(name, _) => {
                    if let Some(value) = value {
                        envelope.field(name, name, value);
                    }
                    values.push(None);
                }
                _ => values.push(value),
            }
        }
        found.append(&mut envelope.found);
        let record = Json::Object(members(&self.root, &mut values));
        let mut change = Change::bare(into.id, Vec::new());
        if envelope.event == Some(kenh_domain::envelope::Event::Cancel) {
            change.record = None;
            match into.key_of(&record, Case::Exact) {
                Ok(key) => change.key = Some(key),
                Err(missing) => found.push(missing),
            }
        } else {
            let mut body = Vec::new();
            if let Err(more) = encode::encode(into.schema.record(), into.keys, &record, Case::Exact, &mut body) {
                // A cell that could not be read has been left out, and is not missed a second time.
                let known: HashSet<String> = found.iter().map(|r: &Rejection| r.field.clone()).collect();
                found.extend(more.into_iter().filter(|r| !known.contains(&r.field)));
            }
            change.record = Some(body);
        }
        if !found.is_empty() {
            return Err(found);
        }
        change.event = envelope.event;
        change.version = envelope.version;
        change.updated_ms = envelope.updated_ms;
        change.effective_days = envelope.effective_days;
        change.reason = envelope.reason();
        Ok(change)
    }
}

/// Puts a leaf at `path`; false when something is there.
fn put(
    members: &mut Vec<(String, Node)>,
    path: &[String],
    leaf: Node,
    schema: &kenh_domain::schema::Schema,
    at: usize,
) -> bool {
    let Some(name) = path.get(at) else { return false };
    let there = members.iter().position(|(n, _)| n == name);
    if at + 1 == path.len() {
        if there.is_some() {
            return false;
        }
        members.push((name.clone(), leaf));
        return true;
    }
    let index = there.unwrap_or_else(|| {
        let so_far = path.get(..=at).unwrap_or_default().join(".");
        let nullable = schema.path(&so_far).is_some_and(|p| p.ty().is_nullable());
        members.push((name.clone(), Node::Record { nullable, members: Vec::new() }));
        members.len() - 1
    });
    match members.get_mut(index) {
        Some((_, Node::Record { members, .. })) => put(members, path, leaf, schema, at + 1),
        _ => false,
    }
}

/// The members of a record. A null is left out where the field cannot be null, so that its default stands; a nullable
/// record of nothing but nulls is null.
fn members<'a>(nodes: &'a [(String, Node)], values: &mut [Option<Json<'a>>]) -> Vec<(Cow<'a, str>, Json<'a>)> {
    let mut out = Vec::with_capacity(nodes.len());
    for (name, node) in nodes {
        let value = match node {
            Node::Constant(value) => Some(value.clone()),
            Node::Column { index, nullable } => {
                let value = values.get_mut(*index).and_then(Option::take);
                value.or(nullable.then_some(Json::Null))
            }
            Node::Record { nullable, members: nodes } => {
                let inner = members(nodes, values);
                let empty = inner.iter().all(|(_, value)| matches!(value, Json::Null));
                if *nullable && empty { Some(Json::Null) } else { Some(Json::Object(inner)) }
            }
        };
        if let Some(value) = value {
            out.push((Cow::Borrowed(name.as_str()), value));
        }
    }
    out
}

impl Reading {
    /// The value of a cell; none for null.
    fn value<'a>(&self, text: &'a str) -> Result<Option<Json<'a>>, Rejection> {
        let text = if self.trim { text.trim() } else { text };
        if self.nulls.iter().any(|null| null == text) {
            // A list says by an empty text that it is empty.
            let list = text.is_empty() && matches!(self.kind, Kind::List { .. });
            return Ok(list.then(|| Json::Array(Vec::new())));
        }
        match self.replace.get(text) {
            Some(other) => self.kind.value(other).map(|value| Some(owned(value))),
            None => self.kind.value(text).map(Some),
        }
    }
}

impl Kind {
    fn value<'a>(&self, text: &'a str) -> Result<Json<'a>, Rejection> {
        let wrong = |detail: String| Rejection::record(Rule::WrongType).with(detail);
        Ok(match self {
            Self::Text | Self::Date(None) => Json::Text(Cow::Borrowed(text)),
            Self::Number { decimal_comma } => {
                let number = match decimal_comma {
                    true => plain_number(text).map_or(Cow::Borrowed(""), Cow::Owned),
                    false => Cow::Borrowed(text),
                };
                // What is no number stays a text, which the encoder refuses by the field's type.
                if json::is_number(&number) { Json::Number(number) } else { Json::Text(Cow::Borrowed(text)) }
            }
            Self::Bool { yes, no } => {
                if yes.iter().any(|t| t == text) {
                    Json::Bool(true)
                } else if no.iter().any(|t| t == text) {
                    Json::Bool(false)
                } else {
                    return Err(wrong(format!("a boolean is written {} or {}", yes.join(" or "), no.join(" or "))));
                }
            }
            Self::Date(Some(form)) => match form.read(text) {
                Some(iso) => Json::Text(iso.into()),
                None => return Err(wrong("the date is not of the calendar, or not in the mapping's form".into())),
            },
            Self::List { separator, of } if text.is_empty() => {
                let _ = (separator, of);
                Json::Array(Vec::new())
            }
            Self::List { separator, of } => {
                Json::Array(text.split(separator.as_str()).map(|part| of.value(part.trim())).collect::<Result<_, _>>()?)
            }
            Self::Json => json::parse(text.as_bytes())
                .map_err(|r| if r.rule == Rule::Truncated { Rejection { rule: Rule::Malformed, ..r } } else { r })?,
        })
    }
}

/// A number with a decimal comma as JSON writes it. Points stand between thousands and nowhere else: where one does not,
/// the column has decimal points after all, and taking them out would make another number.
fn plain_number(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once(',').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let mut groups = digits.split('.');
    let first = groups.next()?;
    let mut rest = groups.peekable();
    if rest.peek().is_some() && (first.is_empty() || first.len() > 3 || rest.any(|group| group.len() != 3)) {
        return None;
    }
    let whole = whole.replace('.', "");
    Some(match fraction {
        Some(fraction) => format!("{whole}.{fraction}"),
        None => whole,
    })
}

/// The same, borrowing from nothing.
fn owned(value: Json<'_>) -> Json<'static> {
    match value {
        Json::Null => Json::Null,
        Json::Bool(b) => Json::Bool(b),
        Json::Number(n) => Json::Number(Cow::Owned(n.into_owned())),
        Json::Text(t) => Json::Text(Cow::Owned(t.into_owned())),
        Json::Array(items) => Json::Array(items.into_iter().map(owned).collect()),
        Json::Object(members) => {
            Json::Object(members.into_iter().map(|(n, v)| (Cow::Owned(n.into_owned()), owned(v))).collect())
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    End,
    /// It is in the buffers.
    Whole {
        line: u64,
    },
    TooLarge,
    TooManyColumns,
    /// The file ends inside quotes.
    Truncated,
}

/// Rows in bounded memory.
struct Rows<R> {
    input: BufReader<R>,
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    columns: usize,
    /// The line on which the row starts, from 1, and the line that is read.
    line: u64,
    at: u64,
    started: bool,
    ended: bool,
}

impl<R: Read> Rows<R> {
    fn new(input: R, delimiter: u8) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 16, input),
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            text: vec![0; 1 << 12],
            ends: vec![0; MAX_CSV_COLUMNS],
            columns: 0,
            line: 1,
            at: 1,
            started: false,
            ended: false,
        }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.ends.get(..self.columns).unwrap_or_default();
        let mut start = 0;
        ends.iter().map(move |end| self.text.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default())
    }

    fn next(&mut self) -> io::Result<Row> {
        if !self.space()? {
            return Ok(Row::End);
        }
        self.line = self.at;
        self.columns = 0;
        let (mut written, mut fault) = (0, None);
        loop {
            let available = fill(&mut self.input)?;
            // At the end of the file a line end closes the row, unless a quote is open.
            let last = available.is_empty();
            if last && self.ended {
                return Ok(fault.unwrap_or(Row::Truncated));
            }
            let source = if last { &b"\n"[..] } else { available };
            let text = self.text.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(self.columns..).unwrap_or_default();
            let (result, taken, put, put_ends) = self.reader.read_record(source, text, ends);
            if last {
                self.ended = true;
            } else {
                let lines = source.iter().take(taken).filter(|b| **b == b'\n').count();
                self.at += u64::try_from(lines).unwrap_or(0);
                self.input.consume(taken);
            }
            written += put;
            self.columns += put_ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if fault.is_none() && self.text.len() < MAX_RECORD_TEXT_BYTES => {
                    self.text.resize((self.text.len() * 2).min(MAX_RECORD_TEXT_BYTES), 0);
                    // The line end has not been taken.
                    self.ended = false;
                }
                ReadRecordResult::OutputFull => {
                    fault.get_or_insert(Row::TooLarge);
                    written = 0;
                    self.ended = false;
                }
                ReadRecordResult::OutputEndsFull => {
                    fault.get_or_insert(Row::TooManyColumns);
                    self.columns = 0;
                    self.ended = false;
                }
                ReadRecordResult::Record | ReadRecordResult::End => {
                    return Ok(fault.unwrap_or(Row::Whole { line: self.line }));
                }
            }
        }
    }

    /// Passes over empty lines, and a byte order mark at the start. Whether anything is left.
    fn space(&mut self) -> io::Result<bool> {
        if !self.started {
            self.started = true;
            for byte in b"\xef\xbb\xbf" {
                if fill(&mut self.input)?.first() != Some(byte) {
                    break;
                }
                self.input.consume(1);
            }
        }
        loop {
            match fill(&mut self.input)?.first() {
                None => return Ok(false),
                Some(b'\n') => self.at += 1,
                Some(b'\r') => {}
                Some(_) => return Ok(true),
            }
            self.input.consume(1);
        }
    }
}

fn fill<R: Read>(input: &mut BufReader<R>) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(input.buffer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_comma_makes_no_other_number() {
        fn read(text: &str) -> Option<Json<'_>> {
            Kind::Number { decimal_comma: true }.value(text).ok()
        }
        for (text, number) in
            [("3,04", "3.04"), ("1.234.567,5", "1234567.5"), ("-1.234", "-1234"), ("1234567", "1234567"), ("0", "0")]
        {
            assert_eq!(read(text), Some(Json::Number(number.into())), "{text}");
        }
        for text in ["3.04", "1234.567", "1.2345", "1,2,3", "1,234.5", ".123", "1..234", "", "-", ",5", "1,"] {
            assert_eq!(read(text), Some(Json::Text(text.into())), "{text:?} was taken");
        }
    }
}
