//! A submission: changes written to `in.<dataset>.<provider>` under one name, and what the bus answers.
//!
//! The lower half of [`produce`](crate::produce::produce), without files, JSON or rules: for sources that have Avro bodies
//! in hand. What is written is held until the log says that it is durable; a log without room is waited for, and what may
//! have been lost is sent again. A change may then lie in the input topic twice; the bus counts the second as *repeated*
//! and so do not we.

use std::collections::{BTreeMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::contract::Contract;
use kenh_domain::envelope::{self, Event, SubmissionEnd, Submitted};
use kenh_domain::key;
use kenh_domain::limits::{MAX_SUBMISSION_BYTES, MAX_UNCONFIRMED_BYTES, MAX_UNCONFIRMED_RECORDS};
use kenh_domain::log::{Log, NewRecord, Position, ReadError, Reader, TopicPartition, WriteError, Writer};
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::receipt::{Counts, DeadLetter, FORMAT, Receipt, Warnings};
use kenh_domain::topic::{Partition, Topic};
use kenh_domain::wire::{self, SchemaId};
use opentelemetry::global::BoxedSpan;
use opentelemetry::trace::{Span as _, SpanKind, Tracer as _};
use opentelemetry::{KeyValue, global};

/// Records that are handed to the log at once.
const WRITE_RECORDS: usize = 500;
/// Bytes that are handed to the log at once.
const WRITE_BYTES: usize = 1 << 20;
/// Records and bytes of answers that are read at once.
const READ_RECORDS: usize = 1000;
const READ_BYTES: usize = 1 << 20;
/// How long one poll for answers waits: bounds how late a timeout is noticed.
const POLL: Duration = Duration::from_millis(200);

/// Where a submission goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The dataset.
    pub dataset: Dataset,
    /// The agency that provides.
    pub provider: Agency,
    /// The system of it that acts at the log.
    pub principal: Principal,
    /// The provider's name for the submission: 1 to [`MAX_SUBMISSION_BYTES`] bytes. Two that are under way at once have
    /// two names.
    pub submission: String,
    /// Partitions of the dataset.
    pub partitions: u32,
    /// The schema id of the envelope around the newest schema version.
    pub envelope: SchemaId,
}

impl Target {
    /// The target of a contract; none when it has no schema.
    #[must_use]
    pub fn of(contract: &Contract, provider: Agency, principal: Principal, submission: String) -> Option<Self> {
        let envelope = contract.latest()?.envelope_id;
        Some(Self {
            dataset: contract.dataset.clone(),
            provider,
            principal,
            submission,
            partitions: contract.partitions,
            envelope,
        })
    }
}

/// How patient a submission is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long no receipt may come, after everything was written, before the rest counts as unanswered; and how long a
    /// log may have no room before it is given up.
    pub timeout: Duration,
    /// The first wait for a log without room; doubled up to [`Patience::longest`].
    pub first: Duration,
    /// The longest wait between two attempts.
    pub longest: Duration,
}

impl Default for Patience {
    /// 60 s; 50 ms to 5 s.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), first: Duration::from_millis(50), longest: Duration::from_secs(5) }
    }
}

/// Why a submission ended early. What was written stays written, and may be submitted again without harm.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The submission id is empty or too long.
    #[error("a submission id has 1 to {MAX_SUBMISSION_BYTES} bytes")]
    Id,
    /// A change could not be written: no access (or no such topic), the log has had no room for too long, or it failed.
    #[error("submission {submission}: changes could not be written")]
    Write {
        /// Which submission.
        submission: String,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// Receipts or dead letters could not be read.
    #[error("submission {submission}: answers could not be read")]
    Read {
        /// Which submission.
        submission: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// An answer is not one that this release understands.
    #[error(
        "submission {submission}: {of} holds at position {position} what this release (format {FORMAT}) cannot read"
    )]
    Answer {
        /// Which submission.
        submission: String,
        /// Where.
        of: TopicPartition,
        /// The position.
        position: Position,
    },
}

/// A submission under way.
pub struct Submission<'l> {
    log: &'l dyn Log,
    clock_ms: &'l dyn Fn() -> i64,
    to: Target,
    topic: Topic,
    patience: Patience,
    writer: Box<dyn Writer>,
    receipts: Box<dyn Reader>,
    letters: Vec<(TopicPartition, Position)>,
    /// Not yet durable, in order; the first `accepted` of them have been handed to the log.
    held: Vec<Held>,
    accepted: usize,
    /// Bytes of everything held, and of what has not been handed over.
    held_bytes: usize,
    fresh_bytes: usize,
    /// The next number that [`Submission::push`] gives.
    next: u64,
    /// Changes per partition that was written to.
    written: BTreeMap<Partition, u64>,
    ended: HashSet<Partition>,
    counts: Counts,
    warnings: Warnings,
    /// Numbers of changes that may lie in the log twice.
    doubtful: HashSet<u64>,
    waiting: bool,
    span: BoxedSpan,
    /// The trace context that its changes carry; none while nobody collects traces.
    trace: Option<String>,
}

/// The span of a submission, and what its changes carry of it. Names only: no key, no value.
fn begin_span(to: &Target) -> (BoxedSpan, Option<String>) {
    let tracer = global::tracer("kenh-producers");
    let topic = Topic::In(to.dataset.clone(), to.provider.clone());
    let span = tracer
        .span_builder("submit")
        .with_kind(SpanKind::Producer)
        .with_attributes([
            KeyValue::new("messaging.destination.name", topic.to_string()),
            KeyValue::new("kenh.submission", to.submission.clone()),
        ])
        .start(&tracer);
    let context = span.span_context();
    let carried = (context.is_valid() && context.is_sampled())
        .then(|| format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8()));
    (span, carried)
}

struct Held {
    number: u64,
    record: NewRecord,
}

impl std::fmt::Debug for Submission<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submission({:?} to {}, {} sent)", self.to.submission, self.topic, self.sent())
    }
}

/// How far a submission has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Changes handed over.
    pub sent: u64,
    /// Changes that receipts speak of.
    pub answered: u64,
    /// Whether the log has no room at the moment.
    pub waiting: bool,
}

/// What the bus answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// Changes by outcome.
    pub counts: Counts,
    /// Relaxed rules that the admitted of them broke.
    pub warnings: Warnings,
    /// Changes that no receipt spoke of in time. What becomes of them is not known; sending them again is safe.
    pub unanswered: u64,
}

impl<'l> Submission<'l> {
    /// Notes where the answers will come, and opens the input topic. Nothing is written yet. `clock_ms` tells milliseconds
    /// since 1970 (UTC), for the timestamps by which the log keeps records.
    ///
    /// # Errors
    /// [`SubmitError::Id`]; [`SubmitError::Read`] when `principal` may not read the provider's receipts and dead letters
    /// or there are none, which is also what somebody sees who is no system of the provider.
    pub fn open(
        log: &'l dyn Log,
        clock_ms: &'l dyn Fn() -> i64,
        to: Target,
        patience: Patience,
    ) -> Result<Self, SubmitError> {
        if to.submission.is_empty() || to.submission.len() > MAX_SUBMISSION_BYTES {
            return Err(SubmitError::Id);
        }
        let read = |source| SubmitError::Read { submission: to.submission.clone(), source };
        let end = |of: TopicPartition| {
            let end = log.bounds(&to.principal, &of).map_err(read)?.end;
            Ok((of, end))
        };
        let receipts = end(TopicPartition::new(Topic::Receipt(to.provider.clone()), 0))?;
        let receipts = log.reader(&to.principal, &[receipts]).map_err(read)?;
        let letters = Topic::DeadLetter(to.dataset.clone(), to.provider.clone());
        let letters = (0..to.partitions).map(|p| end(TopicPartition::new(letters.clone(), p)));
        let letters = letters.collect::<Result<_, _>>()?;
        let (span, trace) = begin_span(&to);
        Ok(Self {
            span,
            trace,
            log,
            clock_ms,
            topic: Topic::In(to.dataset.clone(), to.provider.clone()),
            patience,
            writer: log.writer(&to.principal),
            receipts,
            letters,
            held: Vec::new(),
            accepted: 0,
            held_bytes: 0,
            fresh_bytes: 0,
            next: 1,
            written: BTreeMap::new(),
            ended: HashSet::new(),
            counts: Counts::default(),
            warnings: Warnings::default(),
            doubtful: HashSet::new(),
            waiting: false,
            to,
        })
    }

    /// Where it goes.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.to
    }

    /// The W3C `traceparent` that its changes carry; none while nobody collects traces.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Sent {
        Sent { sent: self.sent(), answered: self.counts.total().min(self.sent()), waiting: self.waiting }
    }

    fn sent(&self) -> u64 {
        self.written.values().sum()
    }

    /// Submits a change under the next number, around a body of the newest schema version. `key` is the record key, and
    /// `record` the Avro body (none for CANCEL); neither is checked here. Blocks while the log has no room.
    ///
    /// # Errors
    /// [`SubmitError`], also for changes pushed before.
    pub fn push(
        &mut self,
        key: &[u8],
        event: Event,
        version: i64,
        updated_ms: i64,
        record: Option<&[u8]>,
    ) -> Result<(), SubmitError> {
        let number = self.next;
        let mut value = Vec::with_capacity(wire::HEADER_BYTES + 96 + record.map_or(0, <[u8]>::len));
        wire::put_header(self.to.envelope, &mut value);
        let change = Submitted {
            trace: self.trace.as_deref(),
            ..Submitted::new(&self.to.submission, number, event, version, updated_ms, record)
        };
        envelope::encode(&change, &mut value);
        let partition = key::partition(key, self.to.partitions);
        self.push_value(number, partition, key, value, &mut |_| ())
    }

    /// Submits an envelope that was made and checked before, as it is: `value` in the wire format, with `number` and this
    /// submission's id in it, and the partition of its key. `waiting` is called before each wait for a log without room.
    ///
    /// # Errors
    /// [`SubmitError`], also for changes pushed before.
    pub fn push_value(
        &mut self,
        number: u64,
        partition: Partition,
        key: &[u8],
        value: Vec<u8>,
        waiting: &mut dyn FnMut(Sent),
    ) -> Result<(), SubmitError> {
        self.next = number + 1;
        *self.written.entry(partition).or_default() += 1;
        self.hold(number, partition, Bytes::copy_from_slice(key), value);
        if self.held.len() - self.accepted >= WRITE_RECORDS || self.fresh_bytes >= WRITE_BYTES {
            self.write(waiting)?;
        }
        if self.held.len() >= MAX_UNCONFIRMED_RECORDS || self.held_bytes >= MAX_UNCONFIRMED_BYTES {
            self.confirm(waiting)?;
            self.listen(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Writes what is left and the end of the submission in every partition that it used, and returns when all of it is
    /// durable.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn finish(&mut self, waiting: &mut dyn FnMut(Sent)) -> Result<(), SubmitError> {
        let ends: Vec<_> = self.written.iter().map(|(partition, count)| (*partition, *count)).collect();
        for (partition, count) in ends {
            let end = SubmissionEnd { id: self.to.submission.clone(), count };
            self.hold(0, partition, Bytes::new(), end.encode());
        }
        self.confirm(waiting)
    }

    /// Waits until the end of the submission was answered in every partition that it used, or no receipt has come for
    /// [`Patience::timeout`]. `progress` is called after every look. Whether everything was answered.
    ///
    /// # Errors
    /// [`SubmitError::Read`], [`SubmitError::Answer`].
    pub fn wait(&mut self, progress: &mut dyn FnMut(Sent)) -> Result<bool, SubmitError> {
        let mut last = Instant::now();
        loop {
            progress(self.progress());
            if self.written.keys().all(|partition| self.ended.contains(partition)) {
                return Ok(true);
            }
            let left = self.patience.timeout.saturating_sub(last.elapsed());
            if self.listen(left.min(POLL))? {
                last = Instant::now();
            } else if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Reads the dead letters of this submission that are there now, each once, and sums up. After [`wait`](Self::wait)
    /// has said that everything was answered, these are all.
    ///
    /// # Errors
    /// [`SubmitError::Read`], [`SubmitError::Answer`], or what `each` says.
    pub fn settle<E: From<SubmitError>>(
        &mut self,
        each: &mut dyn FnMut(DeadLetter) -> Result<(), E>,
    ) -> Result<Answered, E> {
        let mut twice = 0;
        if self.counts.rejected > 0 || self.ended.len() < self.written.len() {
            let mut seen = HashSet::new();
            let mut letters = self.letters()?;
            while let Some(found) = letters.next(self)? {
                for letter in found {
                    if self.doubtful.contains(&letter.number) && !seen.insert(letter.number) {
                        twice += 1;
                    } else {
                        each(letter)?;
                    }
                }
            }
        }
        let mut counts = self.counts;
        counts.rejected = counts.rejected.saturating_sub(twice);
        // What lies in the log twice was counted twice, the second time as repeated, or as stale behind a later version.
        let mut surplus = counts.total().saturating_sub(self.sent());
        for count in [&mut counts.repeated, &mut counts.stale] {
            let less = surplus.min(*count);
            *count -= less;
            surplus -= less;
        }
        let unanswered = self.sent().saturating_sub(counts.total());
        let answered = Answered { counts, warnings: self.warnings.clone(), unanswered };
        self.end_span(&answered);
        Ok(answered)
    }

    fn end_span(&mut self, answered: &Answered) {
        let Counts { admitted, repeated, stale, rejected } = answered.counts;
        let counts = [
            ("kenh.admitted", admitted),
            ("kenh.repeated", repeated),
            ("kenh.stale", stale),
            ("kenh.rejected", rejected),
            ("kenh.unanswered", answered.unanswered),
        ];
        for (name, n) in counts {
            self.span.set_attribute(KeyValue::new(name, i64::try_from(n).unwrap_or(i64::MAX)));
        }
        self.span.end();
    }

    fn hold(&mut self, number: u64, partition: Partition, key: Bytes, value: Vec<u8>) {
        let bytes = key.len() + value.len();
        self.held_bytes += bytes;
        self.fresh_bytes += bytes;
        let to = TopicPartition { topic: self.topic.clone(), partition };
        let timestamp_ms = (self.clock_ms)();
        self.held.push(Held { number, record: NewRecord { to, timestamp_ms, key, value: Some(value.into()) } });
    }

    /// Hands everything held to the log.
    fn write(&mut self, waiting: &mut dyn FnMut(Sent)) -> Result<(), SubmitError> {
        self.patiently(waiting, Self::try_write)
    }

    /// Returns when everything held is durable.
    fn confirm(&mut self, waiting: &mut dyn FnMut(Sent)) -> Result<(), SubmitError> {
        self.patiently(waiting, |this| {
            this.try_write()?;
            this.writer.flush()?;
            this.held.clear();
            this.accepted = 0;
            this.held_bytes = 0;
            Ok(())
        })
    }

    fn try_write(&mut self) -> Result<(), WriteError> {
        let fresh = self.held.get(self.accepted..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(());
        }
        self.writer.write(fresh.iter().map(|held| held.record.clone()).collect())?;
        self.accepted = self.held.len();
        self.fresh_bytes = 0;
        Ok(())
    }

    /// Tries until the log has room. Which of the held changes are in it is then not known: all are handed over again.
    fn patiently(
        &mut self,
        waiting: &mut dyn FnMut(Sent),
        mut attempt: impl FnMut(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), SubmitError> {
        let began = Instant::now();
        let mut pause = self.patience.first;
        loop {
            let source = match attempt(self) {
                Ok(()) => {
                    self.waiting = false;
                    return Ok(());
                }
                Err(source) => source,
            };
            let full = matches!(source, WriteError::Full(_));
            if !full || began.elapsed() >= self.patience.timeout {
                return Err(SubmitError::Write { submission: self.to.submission.clone(), source });
            }
            self.doubtful.extend(self.held.iter().map(|held| held.number));
            self.accepted = 0;
            self.fresh_bytes = self.held_bytes;
            self.waiting = true;
            tracing::warn!(submission = %self.to.submission, topic = %self.topic, ?pause, "no room in the log; waiting");
            waiting(self.progress());
            thread::sleep(pause);
            pause = (pause * 2).min(self.patience.longest);
        }
    }

    /// Reads the receipts that have come, waiting up to `wait` for the first. Whether one was ours.
    fn listen(&mut self, wait: Duration) -> Result<bool, SubmitError> {
        let mut ours = false;
        let mut wait = wait;
        loop {
            let records = self.receipts.poll(READ_RECORDS, READ_BYTES, wait).map_err(|source| self.unread(source))?;
            if records.is_empty() {
                return Ok(ours);
            }
            wait = Duration::ZERO;
            for record in records {
                // Other submissions of this provider, to any dataset, are answered in the same topic.
                if record.key != self.to.submission.as_bytes() {
                    continue;
                }
                let receipt = record.value.as_deref().and_then(|v| serde_json::from_slice::<Receipt>(v).ok());
                let Some(receipt) = receipt.filter(|r| r.format == FORMAT) else {
                    return Err(SubmitError::Answer {
                        submission: self.to.submission.clone(),
                        of: TopicPartition::new(Topic::Receipt(self.to.provider.clone()), 0),
                        position: record.position,
                    });
                };
                if receipt.dataset != self.to.dataset {
                    continue;
                }
                ours = true;
                self.counts.merge(&receipt.counts);
                self.warnings.merge(&receipt.warnings);
                if receipt.end {
                    self.ended.insert(receipt.partition);
                }
            }
        }
    }

    fn letters(&self) -> Result<Letters, SubmitError> {
        let read = |source| self.unread(source);
        let reader = self.log.reader(&self.to.principal, &self.letters).map_err(read)?;
        let ends = self.letters.iter().map(|(of, _)| self.log.bounds(&self.to.principal, of).map(|b| b.end));
        Ok(Letters { reader, ends: ends.collect::<Result<_, _>>().map_err(read)? })
    }

    fn unread(&self, source: ReadError) -> SubmitError {
        SubmitError::Read { submission: self.to.submission.clone(), source }
    }
}

/// Dead letters up to the ends that were seen when reading began.
struct Letters {
    reader: Box<dyn Reader>,
    ends: Vec<Position>,
}

impl Letters {
    /// The next ones of `submission`; none at the end.
    fn next(&mut self, submission: &Submission<'_>) -> Result<Option<Vec<DeadLetter>>, SubmitError> {
        let done = self.reader.positions().iter().zip(&self.ends).all(|(at, end)| at >= end);
        if done {
            return Ok(None);
        }
        let records = self.reader.poll(READ_RECORDS, READ_BYTES, POLL).map_err(|source| submission.unread(source))?;
        // Positions are sparse: what is left before the end may hold no record at all.
        if records.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::new();
        for record in records {
            let letter = record.value.as_deref().and_then(|v| serde_json::from_slice::<DeadLetter>(v).ok());
            match letter.filter(|l| l.format == FORMAT) {
                Some(letter) if letter.submission == submission.to.submission => found.push(letter),
                Some(_) => {}
                None => {
                    let of = submission.letters.get(record.source).map(|(of, _)| of.clone());
                    return Err(SubmitError::Answer {
                        submission: submission.to.submission.clone(),
                        of: of.unwrap_or_else(|| TopicPartition::new(submission.topic.clone(), 0)),
                        position: record.position,
                    });
                }
            }
        }
        Ok(Some(found))
    }
}
