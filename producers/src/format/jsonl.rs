//! JSON lines: an object a line, a bare record or an envelope (see [`super::envelope`]).
//!
//! Empty lines are no records. A byte order mark at the start and CRLF are passed over. A line that cannot be read costs
//! nothing but itself.

use std::io::{BufReader, Read};

use kenh_domain::limits::MAX_RECORD_TEXT_BYTES;
use kenh_domain::rule::{Rejection, Rule};

use super::envelope::Into;
use super::lines::{self, Line};
use super::{Items, SourceError};
use crate::change::{Change, Item};
use crate::json;

pub(super) struct JsonLines<'r> {
    input: BufReader<Box<dyn Read + 'r>>,
    into: Into<'r>,
    buffer: Vec<u8>,
    line: u64,
    number: u64,
}

impl<'r> JsonLines<'r> {
    pub(super) fn new(input: Box<dyn Read + 'r>, into: Into<'r>) -> Self {
        Self { input: BufReader::with_capacity(1 << 16, input), into, buffer: Vec::new(), line: 0, number: 0 }
    }
}

/// The change on one line, its end removed. A pure function of its arguments.
///
/// # Errors
/// Every rule by which it cannot be read, at least one.
pub fn line(into: &Into<'_>, text: &[u8], last: bool) -> Result<Change, Vec<Rejection>> {
    let value = json::parse(text).map_err(|mut rejection| {
        // Only the last line can be cut off by the end of the file.
        if rejection.rule == Rule::Truncated && !last {
            rejection.rule = Rule::Malformed;
        }
        vec![rejection]
    })?;
    into.change(value)
}

impl Items for JsonLines<'_> {
    fn next(&mut self) -> Result<Option<Item>, SourceError> {
        loop {
            let read = lines::next(&mut self.input, &mut self.buffer, MAX_RECORD_TEXT_BYTES)
                .map_err(|source| SourceError::Read { after: self.number, source })?;
            self.line += 1;
            let mut text = self.buffer.as_slice();
            if self.line == 1 {
                text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            }
            let change = match read {
                Line::End => return Ok(None),
                Line::TooLong => Err(vec![Rejection::record(Rule::TooLarge)]),
                Line::Whole { .. } if text.iter().all(u8::is_ascii_whitespace) => continue,
                Line::Whole { last } => line(&self.into, text, last),
            };
            self.number += 1;
            return Ok(Some(Item { number: self.number, line: Some(self.line), change }));
        }
    }
}

impl std::fmt::Debug for JsonLines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JsonLines(line {})", self.line)
    }
}
