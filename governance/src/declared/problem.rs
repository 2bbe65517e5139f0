//! What is wrong with declared state, and where: the words that `kenh apply` answers with.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line and a column of a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One thing that is wrong with declared state. Nothing is applied while there is any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// In which file, or about which file that is missing.
    pub file: PathBuf,
    /// Where in it, as far as known.
    pub at: Option<At>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem with a file as a whole.
    #[must_use]
    pub fn of_file(file: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at: None, message: message.into(), hint: hint.into() }
    }

    /// A problem at a place in a file.
    #[must_use]
    pub fn at(file: &Path, at: At, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at: Some(at), message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: message (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(At { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}
