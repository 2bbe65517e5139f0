//! Checking a change with the rules of the router, before anything is sent.
//!
//! The router admits by [`Rules::read`]; this asks the same rules, one by one, so that a provider learns all that is wrong
//! with a record and not only the first. What only the bus knows (who owns a record, which version stands) is not asked
//! here.

use std::fmt;

use kenh_domain::admit::{Found, Rules};
use kenh_domain::codes::CodeLists;
use kenh_domain::envelope::{self, Event, Submitted, put_documents};
use kenh_domain::key;
use kenh_domain::limits::{MAX_KEY_BYTES, MAX_RECORD_BYTES};
use kenh_domain::names::Agency;
use kenh_domain::receipt::Warnings;
use kenh_domain::relaxation::Relaxed;
use kenh_domain::rule::{Rejection, Rule};
use kenh_domain::schema::Spans;
use kenh_domain::topic::Partition;
use kenh_domain::wire;

use crate::change::{Change, Item};
use crate::format::{Items, SourceError};
use crate::report::{Listed, Report, ReportError, Stage};

/// What stands for what a source does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// The event of bare records.
    pub event: Event,
    /// `PhienBan` of bare records.
    pub version: i64,
    /// `ThoiGianCapNhat` of records without one: milliseconds since 1970 (UTC).
    pub updated_ms: i64,
}

/// A change that breaks none of the rules that can be asked offline, ready to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Ready {
    /// Its record key.
    pub key: Vec<u8>,
    /// The partition of the key.
    pub partition: Partition,
    /// The envelope in the Confluent wire format.
    pub value: Vec<u8>,
    /// Relaxed rules that it breaks, each once.
    pub warnings: Vec<Rule>,
}

// Invariant 7: sizes only.
impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({} bytes for partition {})", self.value.len(), self.partition)
    }
}

/// Asks the rules of one contract for one provider.
pub struct Checker<'r> {
    rules: &'r Rules,
    provider: Agency,
    defaults: Defaults,
    relaxed: Relaxed,
    lists: CodeLists,
    trace: Option<String>,
    spans: Spans,
}

impl fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checker({} for {})", self.rules.contract().dataset, self.provider)
    }
}

impl<'r> Checker<'r> {
    /// A checker for what `provider` would send.
    #[must_use]
    pub fn new(rules: &'r Rules, provider: Agency, defaults: Defaults) -> Self {
        let (relaxed, lists) = (Relaxed::NONE.clone(), CodeLists::NotAsked);
        Self { rules, provider, defaults, relaxed, lists, trace: None, spans: Spans::new() }
    }

    /// The rules it asks.
    #[must_use]
    pub const fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// Sets the rules that warn now. Without them a record that breaks one is rejected here and never sent.
    pub fn set_relaxed(&mut self, relaxed: Relaxed) {
        self.relaxed = relaxed;
    }

    /// Sets the code lists on the bus, for who can read them and does not outlive what they say. Without them they are not
    /// asked here.
    pub fn set_lists(&mut self, lists: CodeLists) {
        self.lists = lists;
    }

    /// Sets the trace context (W3C `traceparent`) of changes that bring none.
    pub fn set_trace(&mut self, trace: Option<String>) {
        self.trace = trace;
    }

    /// Who would send.
    #[must_use]
    pub const fn provider(&self) -> &Agency {
        &self.provider
    }

    /// Checks `change` as record `number` (from 1) of `submission`, at `clock_ms` (milliseconds since 1970, UTC).
    ///
    /// # Errors
    /// Every rule that it breaks and that is not relaxed, at least one and, of its record, at most
    /// [`MAX_VIOLATIONS`](kenh_domain::limits::MAX_VIOLATIONS).
    pub fn check(
        &mut self,
        submission: &str,
        number: u64,
        change: &Change,
        clock_ms: i64,
    ) -> Result<Ready, Vec<Rejection>> {
        let event = change.event.unwrap_or(self.defaults.event);
        let mut found = Vec::new();
        let mut own_key = Vec::new();
        let mut warnings = Vec::new();
        if event == Event::Cancel {
            self.cancelled(change, &mut own_key, &mut found);
        } else {
            warnings = self.record(change, &mut own_key, &mut found);
        }
        let mut documents = Vec::new();
        put_documents(&change.documents, &mut documents);
        let submitted = Submitted {
            effective_days: change.effective_days,
            reason: change.reason.as_deref(),
            trace: change.trace.as_deref().or(self.trace.as_deref()),
            ..Submitted::new(
                submission,
                number,
                event,
                change.version.unwrap_or(self.defaults.version),
                change.updated_ms.unwrap_or(self.defaults.updated_ms),
                change.record.as_deref().filter(|_| event != Event::Cancel),
            )
        }
        .with_documents(&documents);
        if let Err(rejection) = self.rules.check_envelope(&submitted, clock_ms) {
            found.push(rejection);
        }
        let contract = self.rules.contract();
        let Some(version) = contract.schemas.iter().find(|v| v.id == change.schema) else {
            return Err(vec![Rejection::record(Rule::UnknownSchema)]);
        };
        let mut value = Vec::with_capacity(wire::HEADER_BYTES + 64 + change.record.as_ref().map_or(0, Vec::len));
        wire::put_header(version.envelope_id, &mut value);
        envelope::encode(&submitted, &mut value);
        if value.len() > MAX_RECORD_BYTES {
            found.insert(0, Rejection::record(Rule::TooLarge));
        }
        if !found.is_empty() {
            return Err(found);
        }
        let partition = key::partition(&own_key, contract.partitions);
        Ok(Ready { key: own_key, partition, value, warnings })
    }

    /// The relaxed rules that its record breaks; what refuses it goes to `found`.
    fn record(&mut self, change: &Change, own_key: &mut Vec<u8>, found: &mut Vec<Rejection>) -> Vec<Rule> {
        let Some(body) = &change.record else {
            found.push(Rejection::field(Rule::EventRecord, "DuLieu"));
            return Vec::new();
        };
        let Found { rejections, warnings } =
            self.rules.check_record(body, change.schema, (&self.relaxed, &self.lists), &mut self.spans);
        *found = rejections;
        // Without boundaries nothing more can be asked.
        if found.iter().any(|r| matches!(r.rule, Rule::Avro | Rule::UnknownSchema)) {
            return warnings;
        }
        if let Err(rejection) = self.rules.check_provider(&self.provider, change.schema, body, &self.spans) {
            found.insert(0, rejection);
        }
        let named = self.rules.record_key(change.schema, body, &self.spans, own_key).is_ok();
        if named && change.key.as_ref().is_some_and(|stated| stated.as_bytes() != own_key) {
            found.push(Rejection::field(Rule::KeyMismatch, "IdBanGhi"));
        }
        warnings
    }

    fn cancelled(&mut self, change: &Change, own_key: &mut Vec<u8>, found: &mut Vec<Rejection>) {
        if self.rules.contract().provider(&self.provider).is_none() {
            found.push(Rejection::record(Rule::NotProvider));
        }
        if let Some(body) = &change.record
            && let Some(schema) = self.rules.schema(change.schema)
        {
            let key = match schema.walk(body, &mut self.spans) {
                Err(e) => Err(Rejection::field(Rule::Avro, e.field).with(e.fault.to_string())),
                Ok(()) => self.rules.record_key(change.schema, body, &self.spans, own_key),
            };
            match key {
                Err(rejection) => found.push(rejection),
                Ok(()) if change.key.as_ref().is_some_and(|stated| stated.as_bytes() != own_key) => {
                    found.push(Rejection::field(Rule::KeyMismatch, "IdBanGhi"));
                }
                Ok(()) => {}
            }
            return;
        }
        match &change.key {
            Some(key) if key.len() > MAX_KEY_BYTES => found.push(Rejection::record(Rule::KeyTooLong)),
            Some(key) if !key.is_empty() => own_key.extend_from_slice(key.as_bytes()),
            _ => found.push(Rejection::record(Rule::MissingKey)),
        }
    }
}

/// What an offline check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Records read.
    pub read: u64,
    /// Records that break no rule, but those that only warn.
    pub good: u64,
    /// Relaxed rules that good records break.
    pub warnings: Warnings,
    /// Records that break one at least.
    pub rejected: u64,
    /// What was broken: the first of it, see [`Listed`].
    pub listed: Listed,
}

/// Why a check ended early.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The source gives nothing more.
    #[error("the source cannot be read to its end")]
    Source(#[from] SourceError),
    /// The report cannot be written.
    #[error("the report cannot be written")]
    Report(#[from] ReportError),
}

/// Checks everything in a source; nothing is sent. `progress` is called with the counts after every record.
///
/// # Errors
/// [`CheckError`]; what was found until then is in the report.
pub fn check(
    items: &mut dyn Items,
    checker: &mut Checker<'_>,
    clock_ms: i64,
    mut report: Option<&mut Report>,
    progress: &mut dyn FnMut(&Checked),
) -> Result<Checked, CheckError> {
    let mut checked = Checked::default();
    while let Some(Item { number, line, change }) = items.next()? {
        checked.read += 1;
        match change.and_then(|change| checker.check("check", number, &change, clock_ms)) {
            Ok(ready) => {
                checked.good += 1;
                checked.warnings.add(&ready.warnings);
            }
            Err(found) => {
                checked.rejected += 1;
                for rejection in &found {
                    checked.listed.add(report.as_deref_mut(), number, line, Stage::Source, rejection)?;
                }
            }
        }
        progress(&checked);
    }
    if let Some(report) = report {
        report.flush()?;
    }
    Ok(checked)
}
