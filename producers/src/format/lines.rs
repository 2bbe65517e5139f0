//! Lines of bounded length.

use std::io::{self, BufRead};

/// A line that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// There are no more.
    End,
    /// It is in the buffer, without its end (LF or CRLF). `last`: the file ends without another.
    Whole {
        /// Whether the file ended before the line did.
        last: bool,
    },
    /// It was longer than allowed and has been passed over.
    TooLong,
}

/// Reads the next line into `line`, which is cleared first and never grows beyond `most` bytes.
pub(super) fn next(input: &mut impl BufRead, line: &mut Vec<u8>, most: usize) -> io::Result<Line> {
    line.clear();
    let mut too_long = false;
    let mut any = false;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            return Ok(match (too_long, any) {
                (true, _) => Line::TooLong,
                (false, true) => Line::Whole { last: true },
                (false, false) => Line::End,
            });
        }
        any = true;
        let end = available.iter().position(|b| *b == b'\n');
        let piece = end.map_or(available, |end| &available[..end]);
        if line.len() + piece.len() > most {
            too_long = true;
            line.clear();
        } else if !too_long {
            line.extend_from_slice(piece);
        }
        let taken = end.map_or(available.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(if too_long { Line::TooLong } else { Line::Whole { last: false } });
        }
    }
}
