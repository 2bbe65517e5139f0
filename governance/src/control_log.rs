//! `kenh.control`: reading it into a control set, and appending to it.

use std::time::Duration;

use bytes::Bytes;
use kenh_domain::control::{ControlError, ControlEvent, ControlRecord, ControlSet, FORMAT, ViewNo};
use kenh_domain::grant::EndReason;
use kenh_domain::limits::{MAX_BATCH_BYTES, MAX_CONTROL_BYTES};
use kenh_domain::log::{AdminError, Bounds, Log, NewRecord, Position, ReadError, Reader, TopicPartition, WriteError};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use crate::layout;

/// Why the control log could not be read into a control set.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log failed.
    #[error("the control log cannot be read")]
    Read(#[from] ReadError),
    /// A record of it was written by a newer release: what is in force cannot be known.
    #[error(transparent)]
    Newer(ControlError),
}

/// Why nothing, or not everything, was appended to the control log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It could not be read first.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no such view.
    #[error("there is no view {}", .0.0)]
    NoView(ViewNo),
    /// The view has ended before.
    #[error("view {} has ended already", .0.0)]
    Ended(ViewNo),
    /// Decisions are signed on this bus.
    #[error("on this bus a view ends by a signed event: prepare one (`kenh grant revoke`), have it signed, hand it in")]
    Signed,
    /// An event cannot be written as JSON, or is too large.
    #[error("a control event cannot be written: {0}")]
    Event(String),
    /// A topic or an access list could not be set.
    #[error("a topic could not be made or changed")]
    Admin(#[from] AdminError),
    /// The log failed; which of the events are in it is not known. It is safe to repeat.
    #[error("the control log could not be written")]
    Write(#[from] WriteError),
}

/// The one partition of the control log.
pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new(Topic::Control, 0)
}

/// Makes the topics of the bus itself. They may exist.
///
/// # Errors
/// [`AdminError`].
pub fn bootstrap(log: &dyn Log) -> Result<(), AdminError> {
    for place in layout::own() {
        log.create_topic(&place.spec)?;
        log.set_access(&place.spec.topic, &[])?;
    }
    Ok(())
}

/// Everything that was decided, from the first control event to the last. A log without `kenh.control` gives the empty
/// set.
///
/// # Errors
/// [`LoadError`].
pub fn load(log: &dyn Log) -> Result<ControlSet, LoadError> {
    let mut set = ControlSet::default();
    let of = partition();
    let Bounds { start, end } = match log.bounds(&Principal::control(), &of) {
        Ok(bounds) => bounds,
        Err(ReadError::Denied { .. }) => return Ok(set),
        Err(error) => return Err(error.into()),
    };
    let mut reader = log.reader(&Principal::control(), &[(of, start)])?;
    while reader.positions().first().is_some_and(|at| *at < end) {
        follow(&mut *reader, &mut set, Duration::from_millis(100))?;
    }
    Ok(set)
}

/// Folds in what has been appended since, waiting up to `wait` for the first. Answers how many records that were.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn follow(reader: &mut dyn Reader, set: &mut ControlSet, wait: Duration) -> Result<usize, LoadError> {
    let records = reader.poll(1_000, MAX_BATCH_BYTES, wait)?;
    for record in &records {
        match set.apply(record.position, record.value.as_deref().unwrap_or_default()) {
            Ok(()) => {}
            Err(error @ ControlError::Format { .. }) => return Err(LoadError::Newer(error)),
            Err(error) => tracing::error!(position = record.position.0, error = %error, "control event ignored"),
        }
    }
    Ok(records.len())
}

/// Appends events that nobody signs in one flush; answers the end of the control log after them.
///
/// # Errors
/// [`AppendError`].
pub(crate) fn append(log: &dyn Log, events: Vec<ControlEvent>, now_ms: i64) -> Result<Position, AppendError> {
    let record = |event| ControlRecord { format: FORMAT, at_ms: now_ms, event, signatures: Vec::new() };
    write(log, events.into_iter().map(record).collect())
}

/// Appends records in one flush; answers the end of the control log after them.
///
/// # Errors
/// [`AppendError`].
pub(crate) fn write(log: &dyn Log, decided: Vec<ControlRecord>) -> Result<Position, AppendError> {
    let mut records = Vec::with_capacity(decided.len());
    for record in decided {
        let value = serde_json::to_vec(&record).map_err(|e| AppendError::Event(e.to_string()))?;
        if value.len() > MAX_CONTROL_BYTES {
            return Err(AppendError::Event(format!("{} bytes, more than {MAX_CONTROL_BYTES}", value.len())));
        }
        let (value, timestamp_ms) = (Some(Bytes::from(value)), record.at_ms);
        records.push(NewRecord { to: partition(), timestamp_ms, key: Bytes::new(), value });
    }
    let mut writer = log.writer(&Principal::control());
    writer.write(records)?;
    let ends = writer.flush()?;
    Ok(ends.first().map(|(_, end)| *end).unwrap_or_default())
}

/// Ends a view now, on a bus whose decisions are not signed: revocation, and whatever else ends one edition by a decision.
/// Access and topic go when the router has stopped writing, see [`Control`](crate::Control).
///
/// # Errors
/// [`AppendError`].
pub fn end(log: &dyn Log, view: ViewNo, reason: EndReason, now_ms: i64) -> Result<Position, AppendError> {
    let set = load(log)?;
    if set.is_signed() {
        return Err(AppendError::Signed);
    }
    let entry = set.views.get(&view).ok_or(AppendError::NoView(view))?;
    if entry.ended.is_some() {
        return Err(AppendError::Ended(view));
    }
    append(log, vec![ControlEvent::End { view_no: view, reason, because: String::new() }], now_ms)
}
