//! The national envelope as JSON: `{"Root": {…}}`, a batch `{"DanhSach": {"Root": [{…}, …]}}`, the content of a `Root` by
//! itself, an array of any of these, and several such documents one after the other. Flat envelopes and bare records are
//! taken in the same places (see [`super::envelope`]), so that one record in a file by itself can be checked.
//!
//! A batch may be larger than memory: it is cut into its elements as it comes, and each is read by itself, so that one
//! bad element costs nothing but itself. Names are taken in any case.

use std::io::{self, BufRead, BufReader, Read};

use kenh_domain::limits::MAX_RECORD_TEXT_BYTES;
use kenh_domain::rule::{Rejection, Rule};

use super::envelope::Into;
use super::{Items, SourceError};
use crate::change::{Change, Item};
use crate::json;

/// Cuts JSON documents into the texts of their elements.
pub(super) struct Documents<'r> {
    cutter: Cutter<Box<dyn Read + 'r>>,
    into: Into<'r>,
    number: u64,
}

impl<'r> Documents<'r> {
    pub(super) fn new(input: Box<dyn Read + 'r>, into: Into<'r>) -> Self {
        Self { cutter: Cutter::new(input), into, number: 0 }
    }
}

impl Items for Documents<'_> {
    fn next(&mut self) -> Result<Option<Item>, SourceError> {
        let cut = self.cutter.next().map_err(|source| SourceError::Read { after: self.number, source })?;
        let change = match cut {
            Cut::End => return Ok(None),
            Cut::Element => element(&self.into, &self.cutter.element),
            Cut::TooLarge => Err(vec![Rejection::record(Rule::TooLarge)]),
            Cut::Truncated => Err(vec![Rejection::record(Rule::Truncated)]),
            Cut::Malformed(what) => Err(vec![Rejection::record(Rule::Malformed).with(what)]),
        };
        self.number += 1;
        Ok(Some(Item { number: self.number, line: None, change }))
    }
}

/// The change in the text of one element. A pure function of its arguments.
///
/// # Errors
/// Every rule by which it cannot be read, at least one.
pub fn element(into: &Into<'_>, text: &[u8]) -> Result<Change, Vec<Rejection>> {
    let value = json::parse(text).map_err(|rejection| {
        // It has its closing bracket, so that it is not cut off.
        let rule = if rejection.rule == Rule::Truncated { Rule::Malformed } else { rejection.rule };
        vec![Rejection { rule, ..rejection }]
    })?;
    into.change(value)
}

/// What was cut off the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    End,
    /// It is in [`Cutter::element`].
    Element,
    TooLarge,
    /// The input ended inside; nothing follows.
    Truncated,
    /// What surrounds the elements is no JSON; nothing can follow.
    Malformed(&'static str),
}

/// Where we stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Among the members of a document or of `DanhSach`; `first`: none was met.
    Members { first: bool },
    /// Among elements.
    Elements { first: bool },
}

struct Cutter<R> {
    input: BufReader<R>,
    element: Vec<u8>,
    /// A document, `DanhSach` in it, an array in that: never more than four.
    levels: Vec<Level>,
    started: bool,
    done: bool,
}

impl<R: Read> Cutter<R> {
    fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 16, input),
            element: Vec::new(),
            levels: Vec::new(),
            started: false,
            done: false,
        }
    }

    fn next(&mut self) -> io::Result<Cut> {
        if self.done {
            return Ok(Cut::End);
        }
        let cut = self.find()?;
        self.done = matches!(cut, Cut::End | Cut::Truncated | Cut::Malformed(_));
        Ok(cut)
    }

    fn find(&mut self) -> io::Result<Cut> {
        if !self.started {
            self.started = true;
            self.mark()?;
        }
        loop {
            let Some(byte) = self.solid()? else {
                return Ok(if self.levels.is_empty() { Cut::End } else { Cut::Truncated });
            };
            match self.levels.last_mut() {
                None if byte == b'[' => {
                    self.input.consume(1);
                    self.levels.push(Level::Elements { first: true });
                }
                None if byte == b'{' => {
                    if let Some(cut) = self.document()? {
                        return Ok(cut);
                    }
                }
                None => return Ok(Cut::Malformed("a document is an object or an array")),
                Some(Level::Members { first } | Level::Elements { first }) if byte == b',' && !*first => {
                    self.input.consume(1);
                    *first = true;
                    let Some(next) = self.solid()? else { return Ok(Cut::Truncated) };
                    if matches!(next, b',' | b']' | b'}') {
                        return Ok(Cut::Malformed("a comma too many"));
                    }
                }
                Some(Level::Members { .. }) if byte == b'}' => {
                    self.input.consume(1);
                    self.levels.pop();
                }
                Some(Level::Elements { .. }) if byte == b']' => {
                    self.input.consume(1);
                    self.levels.pop();
                }
                Some(Level::Members { first } | Level::Elements { first }) if !*first => {
                    return Ok(Cut::Malformed("a comma or the closing bracket is missing"));
                }
                Some(Level::Elements { first }) => {
                    *first = false;
                    self.element.clear();
                    return self.capture();
                }
                Some(Level::Members { first }) => {
                    *first = false;
                    if byte != b'"' {
                        return Ok(Cut::Malformed("a field name in quotes is missing"));
                    }
                    self.element.clear();
                    if let cut @ (Cut::TooLarge | Cut::Truncated) = self.capture()? {
                        return Ok(cut);
                    }
                    if let Some(cut) = self.member()? {
                        return Ok(cut);
                    }
                }
            }
        }
    }

    /// A document that opens with `{`: a wrapper to walk through, or the content of a `Root` to be taken whole.
    fn document(&mut self) -> io::Result<Option<Cut>> {
        self.input.consume(1);
        self.element.clear();
        match self.solid()? {
            None => return Ok(Some(Cut::Truncated)),
            Some(b'"') => {}
            Some(_) => {
                self.element.push(b'{');
                return self.rest().map(Some);
            }
        }
        if let cut @ (Cut::TooLarge | Cut::Truncated) = self.capture()? {
            return Ok(Some(cut));
        }
        if wrapper(&self.element).is_some() {
            self.levels.push(Level::Members { first: false });
            return self.member();
        }
        self.element.insert(0, b'{');
        self.rest().map(Some)
    }

    /// Behind a member's name, which is in `element`.
    fn member(&mut self) -> io::Result<Option<Cut>> {
        let name = wrapper(&self.element);
        match self.solid()? {
            None => return Ok(Some(Cut::Truncated)),
            Some(b':') => self.input.consume(1),
            Some(_) => return Ok(Some(Cut::Malformed("a colon is missing"))),
        }
        let Some(byte) = self.solid()? else { return Ok(Some(Cut::Truncated)) };
        self.element.clear();
        match (name, byte) {
            (Some(_), b'[') => {
                self.input.consume(1);
                self.levels.push(Level::Elements { first: true });
                Ok(None)
            }
            (Some(Wrapper::List), b'{') if self.levels.len() < 4 => {
                self.input.consume(1);
                self.levels.push(Level::Members { first: true });
                Ok(None)
            }
            (Some(Wrapper::Root), _) => self.capture().map(Some),
            (Some(Wrapper::List), b'{') => Ok(Some(Cut::Malformed("DanhSach inside DanhSach"))),
            // Of a batch, something about it.
            _ => match self.capture()? {
                Cut::Truncated => Ok(Some(Cut::Truncated)),
                _ => Ok(None),
            },
        }
    }

    /// The rest of an object whose start is in `element`.
    fn rest(&mut self) -> io::Result<Cut> {
        self.scan(1)
    }

    /// One value into `element`, behind what is in it.
    fn capture(&mut self) -> io::Result<Cut> {
        self.scan(0)
    }

    /// Takes bytes until the brackets that are open (`depth` of them before the first byte) are closed again. A text or
    /// scalar that no bracket is around ends by itself. Whether brackets match is for the reader of the element.
    fn scan(&mut self, mut depth: usize) -> io::Result<Cut> {
        let (mut quoted, mut escaped, mut any, mut too_large) = (false, false, depth > 0, false);
        loop {
            let available = fill(&mut self.input)?;
            if available.is_empty() {
                return Ok(Cut::Truncated);
            }
            let mut end = None;
            for (i, byte) in available.iter().enumerate() {
                let closed = if quoted {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => quoted = false,
                        _ => {}
                    }
                    !quoted && depth == 0
                } else {
                    match byte {
                        b'"' => quoted = true,
                        b'{' | b'[' => depth += 1,
                        // Of what is around: the scalar before it has ended.
                        b'}' | b']' | b',' if depth == 0 => {
                            end = Some(i);
                            break;
                        }
                        b'}' | b']' => depth -= 1,
                        b' ' | b'\t' | b'\r' | b'\n' if depth == 0 && any => {
                            end = Some(i);
                            break;
                        }
                        _ => {}
                    }
                    depth == 0 && matches!(byte, b'}' | b']')
                };
                any = true;
                if closed {
                    end = Some(i + 1);
                    break;
                }
            }
            let taken = end.unwrap_or(available.len());
            if self.element.len() + taken > MAX_RECORD_TEXT_BYTES {
                too_large = true;
                self.element.clear();
            } else if !too_large {
                self.element.extend_from_slice(&available[..taken]);
            }
            self.input.consume(taken);
            if end.is_some() {
                return Ok(if too_large { Cut::TooLarge } else { Cut::Element });
            }
        }
    }

    /// The next byte that is no white space, not consumed; none at the end.
    fn solid(&mut self) -> io::Result<Option<u8>> {
        loop {
            let available = fill(&mut self.input)?;
            if available.is_empty() {
                return Ok(None);
            }
            let space = available.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            let byte = space.map(|at| available[at]);
            let taken = space.unwrap_or(available.len());
            self.input.consume(taken);
            if byte.is_some() {
                return Ok(byte);
            }
        }
    }

    /// Passes over a byte order mark.
    fn mark(&mut self) -> io::Result<()> {
        for byte in b"\xef\xbb\xbf" {
            if fill(&mut self.input)?.first() != Some(byte) {
                return Ok(());
            }
            self.input.consume(1);
        }
        Ok(())
    }
}

fn fill<R: Read>(input: &mut BufReader<R>) -> io::Result<&[u8]> {
    // Twice, since a borrow returned from a loop does not end.
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(input.buffer())
}

/// A member that holds elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrapper {
    Root,
    List,
}

/// Which wrapper a name in quotes is.
fn wrapper(quoted: &[u8]) -> Option<Wrapper> {
    let name = json::parse(quoted).ok()?;
    let name = name.text()?;
    if name.eq_ignore_ascii_case("Root") {
        Some(Wrapper::Root)
    } else if name.eq_ignore_ascii_case("DanhSach") {
        Some(Wrapper::List)
    } else {
        None
    }
}
