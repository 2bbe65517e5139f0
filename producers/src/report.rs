//! What was rejected: listed for the terminal, and written whole to a report file as it is found.
//!
//! A row names record number, line, field and rule with both messages; never a value of the record.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use kenh_domain::limits::MAX_LISTED_REJECTIONS;
use kenh_domain::receipt::DeadLetter;
use kenh_domain::rule::{Lang, Rejection, Rule};
use serde::Serialize;

/// Who rejected a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It was found here and not sent.
    Source,
    /// The router rejected it.
    Bus,
}

/// One rule that one record broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Number of the record in its source, from 1.
    pub number: u64,
    /// The line on which it starts, from 1; none where the format has no lines or the router rejected it.
    pub line: Option<u64>,
    /// The field, as a dotted path; empty when it is about the whole record.
    pub field: String,
    /// The rule's stable code.
    pub rule: String,
    /// Who rejected it.
    pub stage: Stage,
    /// What is wrong, in English.
    pub message: String,
    /// What is wrong, in Vietnamese.
    pub message_vi: String,
    /// What to do, in English.
    pub hint: String,
    /// What to do, in Vietnamese.
    pub hint_vi: String,
}

impl Rejected {
    fn new(number: u64, line: Option<u64>, stage: Stage, rejection: &Rejection) -> Self {
        Self {
            number,
            line,
            field: rejection.field.clone(),
            rule: rejection.rule.code().into(),
            stage,
            message: rejection.message(Lang::En),
            message_vi: rejection.message(Lang::Vi),
            hint: rejection.rule.hint(Lang::En).into(),
            hint_vi: rejection.rule.hint(Lang::Vi).into(),
        }
    }

    pub(crate) fn from_letter(letter: DeadLetter) -> Self {
        // A newer router may know rules that we do not: its messages stand, without a hint.
        let rule = letter.rule.parse::<Rule>().ok();
        let hint = |lang| rule.map_or_else(String::new, |r| r.hint(lang).into());
        Self {
            number: letter.number,
            line: None,
            field: letter.field,
            rule: letter.rule,
            stage: Stage::Bus,
            message: letter.message,
            message_vi: letter.message_vi,
            hint: hint(Lang::En),
            hint_vi: hint(Lang::Vi),
        }
    }
}

/// The first rejections, and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The first [`MAX_LISTED_REJECTIONS`], in the order in which they were found.
    pub first: Vec<Rejected>,
    /// All of them; a record that breaks several rules counts for each.
    pub total: u64,
}

impl Listed {
    pub(crate) fn add(
        &mut self,
        report: Option<&mut Report>,
        number: u64,
        line: Option<u64>,
        stage: Stage,
        rejection: &Rejection,
    ) -> Result<(), ReportError> {
        self.total += 1;
        let room = self.first.len() < MAX_LISTED_REJECTIONS;
        // Neither listed nor reported: not worth its making.
        if !room && report.is_none() {
            return Ok(());
        }
        self.put(report, Rejected::new(number, line, stage, rejection), room)
    }

    pub(crate) fn add_letter(&mut self, report: Option<&mut Report>, letter: DeadLetter) -> Result<(), ReportError> {
        self.total += 1;
        let room = self.first.len() < MAX_LISTED_REJECTIONS;
        self.put(report, Rejected::from_letter(letter), room)
    }

    fn put(&mut self, report: Option<&mut Report>, rejected: Rejected, room: bool) -> Result<(), ReportError> {
        if let Some(report) = report {
            report.write(&rejected)?;
        }
        if room {
            self.first.push(rejected);
        }
        Ok(())
    }
}

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ending names no form of report.
    #[error("{0}: a report ends in .jsonl or .csv")]
    Form(PathBuf),
    /// The file cannot be made or written.
    #[error("{path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// A report file, written as it goes.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    out: Out,
}

#[derive(Debug)]
enum Out {
    JsonLines(BufWriter<File>),
    Csv(Box<csv::Writer<File>>),
}

impl Report {
    /// Makes the file, over one that is there: `.jsonl` or `.csv`.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn create(path: &Path) -> Result<Self, ReportError> {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let failed = |source| ReportError::Write { path: path.into(), source };
        let out = match ending.as_deref() {
            Some("jsonl") => Out::JsonLines(BufWriter::new(File::create(path).map_err(failed)?)),
            Some("csv") => {
                let mut file = File::create(path).map_err(failed)?;
                // The mark by which spreadsheets know UTF-8.
                file.write_all(b"\xef\xbb\xbf").map_err(failed)?;
                Out::Csv(Box::new(csv::Writer::from_writer(file)))
            }
            _ => return Err(ReportError::Form(path.into())),
        };
        Ok(Self { path: path.into(), out })
    }

    fn write(&mut self, row: &Rejected) -> Result<(), ReportError> {
        let written = match &mut self.out {
            Out::JsonLines(out) => {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
            }
            Out::Csv(out) => out.serialize(row).map_err(io::Error::other),
        };
        written.map_err(|source| ReportError::Write { path: self.path.clone(), source })
    }

    /// Brings everything into the file.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn flush(&mut self) -> Result<(), ReportError> {
        let flushed = match &mut self.out {
            Out::JsonLines(out) => out.flush(),
            Out::Csv(out) => out.flush(),
        };
        flushed.map_err(|source| ReportError::Write { path: self.path.clone(), source })
    }
}
