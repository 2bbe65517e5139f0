//! Producing: everything in a source, checked and submitted, and what became of it.
//!
//! A record that breaks a rule that can be asked here is counted as rejected and not sent; the others go on. Numbers in
//! the submission are those of the source, so that a dead letter names a record of the file.

use kenh_domain::log::Log;
use kenh_domain::names::Principal;
use kenh_domain::receipt::{Counts, Warnings};

use crate::change::Item;
use crate::check::Checker;
use crate::format::{Items, SourceError};
use crate::report::{Listed, Report, ReportError, Stage};
use crate::submission::{Patience, Submission, SubmitError, Target};

/// Who submits, under which name, and how patiently.
#[derive(Debug, Clone)]
pub struct Options {
    /// The system of the provider that acts at the log.
    pub principal: Principal,
    /// The provider's name for the submission.
    pub submission: String,
    /// How long to wait for receipts and for room.
    pub patience: Patience,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub read: u64,
    /// Of them rejected here.
    pub rejected: u64,
    /// Of them sent.
    pub sent: u64,
    /// Of them answered by a receipt.
    pub answered: u64,
    /// Whether everything was read and written, and only receipts are waited for.
    pub finished: bool,
    /// Whether the log has no room at the moment.
    pub waiting: bool,
}

/// What became of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records read.
    pub read: u64,
    /// Of them sent.
    pub sent: u64,
    /// Outcomes; those rejected here are in it.
    pub counts: Counts,
    /// Of `counts.admitted`, those that broke a relaxed rule.
    pub warnings: Warnings,
    /// Of `counts.rejected`, those that were rejected here and not sent.
    pub not_sent: u64,
    /// Sent, and not answered in time. Sending them again is safe.
    pub unanswered: u64,
    /// What was broken: the first of it, see [`Listed`].
    pub listed: Listed,
}

/// Why producing ended early. What was written stays written; doing it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The contract has no schema.
    #[error("the contract has no schema")]
    NoSchema,
    /// The source gives nothing more. What was read before has been submitted and its end written.
    #[error("the source cannot be read to its end")]
    Source(#[from] SourceError),
    /// The log.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The report cannot be written.
    #[error("the report cannot be written")]
    Report(#[from] ReportError),
}

/// Submits everything in `items` as `checker`'s provider. `clock_ms` tells milliseconds since 1970 (UTC). `progress` is
/// called after every record and while waiting.
///
/// # Errors
/// [`ProduceError`]; what was rejected until then is in the report.
pub fn produce(
    log: &dyn Log,
    items: &mut dyn Items,
    checker: &mut Checker<'_>,
    options: Options,
    clock_ms: &dyn Fn() -> i64,
    mut report: Option<&mut Report>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, ProduceError> {
    let Options { principal, submission: id, patience } = options;
    let contract = checker.rules().contract();
    let target = Target::of(contract, checker.provider().clone(), principal, id.clone());
    let mut submission = Submission::open(log, clock_ms, target.ok_or(ProduceError::NoSchema)?, patience)?;
    checker.set_trace(submission.trace().map(str::to_owned));
    let mut at = Progress::default();
    let mut listed = Listed::default();
    let broken = loop {
        let Item { number, line, change } = match items.next() {
            Ok(Some(item)) => item,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        at.read += 1;
        match change.and_then(|change| checker.check(&id, number, &change, clock_ms())) {
            Ok(ready) => {
                let mut waiting = |sent| progress(&at.with(sent));
                submission.push_value(number, ready.partition, &ready.key, ready.value, &mut waiting)?;
            }
            Err(found) => {
                at.rejected += 1;
                for rejection in &found {
                    listed.add(report.as_deref_mut(), number, line, Stage::Source, rejection)?;
                }
            }
        }
        at = at.with(submission.progress());
        progress(&at);
    };
    submission.finish(&mut |sent| progress(&at.with(sent)))?;
    at.finished = true;
    submission.wait(&mut |sent| progress(&at.with(sent)))?;
    let answered = submission.settle::<ProduceError>(&mut |letter| {
        listed.add_letter(report.as_deref_mut(), letter)?;
        Ok(())
    })?;
    if let Some(report) = report {
        report.flush()?;
    }
    if let Some(error) = broken {
        return Err(error.into());
    }
    let mut counts = answered.counts;
    counts.rejected += at.rejected;
    Ok(Outcome {
        read: at.read,
        sent: submission.progress().sent,
        counts,
        warnings: answered.warnings,
        not_sent: at.rejected,
        unanswered: answered.unanswered,
        listed,
    })
}

impl Progress {
    const fn with(self, sent: crate::submission::Sent) -> Self {
        Self { sent: sent.sent, answered: sent.answered, waiting: sent.waiting, ..self }
    }
}
