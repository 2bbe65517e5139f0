//! Committed records, in batches, from each partition in its turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenh_domain::log::{Bounds, Position, ReadError, Reader, Record, StorageError, TopicPartition};
use kenh_domain::names::Principal;
use rdkafka::error::RDKafkaErrorCode;

use super::access::AccessLists;
use super::fetch::{Fetched, Fetcher, is_transient};
use super::pool::Pool;
use super::settings::FETCH_WAIT_MS;
use super::{is_missing, offset, partition, position};

/// Most records taken from the client ahead of what was asked for: what a partition with little to read waits behind.
const AHEAD: usize = 10_000;
/// Bytes of them.
const AHEAD_BYTES: usize = 16 << 20;
/// How long a waiting poll stays before it looks at the access list again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct KafkaReader {
    /// None only while it is dropped.
    fetcher: Option<Fetcher>,
    pool: Arc<Pool>,
    access: Arc<AccessLists>,
    principal: Principal,
    of: Vec<TopicPartition>,
    /// After the last record given out, or past markers that nothing follows.
    positions: Vec<Position>,
    /// Fetched and not given out yet, per partition and in order; an end without a record moves a position only.
    waiting: Vec<VecDeque<Waiting>>,
    /// After everything fetched.
    reached: Vec<Position>,
    held: Held,
    /// Whose turn it is.
    turn: usize,
    /// Whether every partition has had its time to answer.
    settled: bool,
    /// When the cluster was last heard.
    heard: Instant,
    failed: Option<Failed>,
}

enum Waiting {
    Record(Record),
    End(Position),
}

/// How long a reader to whom nothing comes takes it that nothing is there. Then it asks: the client gets over the loss of a
/// broker by itself, and would not say that it has not yet.
const SILENCE: Duration = Duration::from_secs(5);

/// How much waits.
#[derive(Default)]
struct Held {
    records: usize,
    bytes: usize,
}

/// Where reading stood when it failed.
#[derive(Debug, thiserror::Error)]
#[error("at position {position}")]
struct NotRead {
    position: Position,
    #[source]
    why: StorageError,
}

/// What went wrong; told when what was fetched before has been given out.
enum Failed {
    /// For good: the client fetches nothing more of this partition.
    Denied(usize),
    /// For good.
    Gone(usize),
    /// Once.
    Other(usize, StorageError),
}

fn size(record: &Record) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

impl KafkaReader {
    pub fn open(
        pool: &Arc<Pool>,
        access: Arc<AccessLists>,
        principal: Principal,
        from: &[(TopicPartition, Position)],
    ) -> Result<Self, ReadError> {
        let assigned: Vec<_> = from.iter().map(|(of, at)| (of.topic.to_string(), partition(of), offset(*at))).collect();
        let fetcher = pool.take(&assigned).map_err(|error| {
            let of = from.first().map(|(of, _)| of.clone());
            let of = of.unwrap_or_else(|| TopicPartition::new(kenh_domain::topic::Topic::Control, 0));
            ReadError::Storage { of, source: Box::new(error) }
        })?;
        Ok(Self {
            fetcher: Some(fetcher),
            pool: pool.clone(),
            access,
            principal,
            of: from.iter().map(|(of, _)| of.clone()).collect(),
            positions: from.iter().map(|(_, at)| *at).collect(),
            waiting: from.iter().map(|_| VecDeque::new()).collect(),
            reached: from.iter().map(|(_, at)| *at).collect(),
            held: Held::default(),
            turn: 0,
            settled: from.len() < 2,
            heard: Instant::now(),
            failed: None,
        })
    }

    fn check_access(&self) -> Result<(), ReadError> {
        match self.of.iter().find(|of| !self.access.may_read(&self.principal, &of.topic)) {
            Some(of) => Err(ReadError::Denied { principal: self.principal.clone(), of: of.clone() }),
            None => Ok(()),
        }
    }

    /// Takes what the client has, and waits for it only if nothing is there.
    fn fetch(&mut self, wait: Duration) {
        let most = AHEAD.saturating_sub(self.held.records);
        if most == 0 || self.held.bytes >= AHEAD_BYTES {
            return;
        }
        let Some(fetcher) = self.fetcher.as_mut() else { return };
        let (waiting, held, failed) = (&mut self.waiting, &mut self.held, &mut self.failed);
        let heard = &mut self.heard;
        fetcher.poll(most, wait, |fetched| match fetched {
            Fetched::Record { source, offset, timestamp_ms, key, value } => {
                let record = Record { source, position: position(offset), timestamp_ms, key, value };
                *heard = Instant::now();
                held.records += 1;
                held.bytes += size(&record);
                waiting[source].push_back(Waiting::Record(record));
            }
            Fetched::End { source, offset } => waiting[source].push_back(Waiting::End(position(offset))),
            Fetched::Failed { source, code, message } => {
                if let Some(why) = translate(source.unwrap_or(0), code, &message) {
                    failed.get_or_insert(why);
                }
            }
        });
        let reached = &mut self.reached;
        fetcher.positions(|source, offset| {
            let at = position(offset);
            if reached[source] < at {
                reached[source] = at;
                waiting[source].push_back(Waiting::End(at));
            }
        });
    }

    /// The client begins with one partition a moment before another: at the first poll each has the time to answer, so that
    /// the first does not get far ahead. By then even an empty one has said so.
    fn settle(&mut self, until: Instant) {
        let until = until.min(Instant::now() + Duration::from_millis(FETCH_WAIT_MS.into()));
        while self.failed.is_none() && self.waiting.iter().any(VecDeque::is_empty) {
            let left = until.saturating_duration_since(Instant::now());
            let full = self.held.records >= AHEAD || self.held.bytes >= AHEAD_BYTES;
            if left < Duration::from_millis(1) || full {
                break;
            }
            self.fetch(left);
        }
        self.settled = true;
    }

    /// Gives out what waits, within bounds: a share of each partition, beginning with whose turn it is.
    fn give(&mut self, max_records: usize, max_bytes: usize) -> Vec<Record> {
        let (mut out, mut bytes) = (Vec::new(), 0);
        let sources = self.waiting.len();
        loop {
            let before = out.len();
            let active = self.waiting.iter().filter(|w| !w.is_empty()).count();
            let share = (max_records - out.len().min(max_records)).div_ceil(active.max(1));
            for source in (self.turn..sources).chain(0..self.turn) {
                let mut given = 0;
                while let Some(next) = self.waiting[source].front() {
                    if let Waiting::Record(record) = next {
                        let size = size(record);
                        if out.len() >= max_records || (!out.is_empty() && bytes + size > max_bytes) {
                            self.turn = source;
                            return out;
                        }
                        if given >= share {
                            break;
                        }
                        bytes += size;
                        given += 1;
                        self.held.records -= 1;
                        self.held.bytes -= size;
                    }
                    match self.waiting[source].pop_front() {
                        Some(Waiting::Record(record)) => {
                            self.positions[source] = Position(record.position.0 + 1);
                            out.push(record);
                        }
                        Some(Waiting::End(at)) => self.positions[source] = self.positions[source].max(at),
                        None => break,
                    }
                }
            }
            if out.len() == before {
                return out;
            }
        }
    }

    /// Asks whether the cluster is there, when nothing has been heard of it for a while.
    fn ask(&mut self) -> Result<(), ReadError> {
        let (Some(fetcher), Some(of)) = (&self.fetcher, self.of.first()) else { return Ok(()) };
        if self.heard.elapsed() < SILENCE {
            return Ok(());
        }
        let there = fetcher.ask(&of.topic.to_string());
        self.heard = Instant::now();
        there.map_err(|error| ReadError::Storage { of: of.clone(), source: Box::new(error) })
    }

    fn error(&mut self) -> Option<ReadError> {
        let denied = |of: &TopicPartition| ReadError::Denied { principal: self.principal.clone(), of: of.clone() };
        match self.failed.take()? {
            Failed::Denied(source) => {
                let error = denied(self.of.get(source)?);
                self.failed = Some(Failed::Denied(source));
                Some(error)
            }
            Failed::Gone(source) => {
                let of = self.of.get(source)?.clone();
                self.failed = Some(Failed::Gone(source));
                match self.fetcher.as_ref()?.watermarks(&of.topic.to_string(), partition(&of)) {
                    Ok((low, high)) => {
                        let bounds = Bounds { start: position(low), end: position(high) };
                        Some(ReadError::Gone { position: self.positions[source], of, bounds })
                    }
                    Err(error) if error.rdkafka_error_code().is_some_and(is_missing) => Some(denied(&of)),
                    Err(error) => Some(ReadError::Storage { of, source: Box::new(error) }),
                }
            }
            Failed::Other(source, why) => {
                let at = NotRead { position: self.positions[source], why };
                Some(ReadError::Storage { of: self.of.get(source)?.clone(), source: Box::new(at) })
            }
        }
    }
}

/// What an error of the client means here; none: it gets over it by itself, and nothing comes meanwhile.
fn translate(source: usize, code: RDKafkaErrorCode, message: &str) -> Option<Failed> {
    use RDKafkaErrorCode as Code;
    match code {
        code if is_transient(code) => None,
        // A certificate that is no longer in force has not even its own group's name left.
        Code::GroupAuthorizationFailed => Some(Failed::Denied(source)),
        code if is_missing(code) => Some(Failed::Denied(source)),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(Failed::Gone(source)),
        _ => Some(Failed::Other(source, format!("{code}: {message}").into())),
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        let until = Instant::now() + wait;
        loop {
            self.check_access()?;
            self.fetch(Duration::ZERO);
            if !self.settled && self.held.records > 0 {
                self.settle(until);
            }
            let out = self.give(max_records, max_bytes);
            if !out.is_empty() {
                return Ok(out);
            }
            if let Some(error) = self.error() {
                return Err(error);
            }
            self.ask()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || max_records == 0 {
                return Ok(Vec::new());
            }
            // librdkafka counts in milliseconds: what is left of one is waited for whole.
            self.fetch(left.min(LOOK_EVERY).max(Duration::from_millis(1)));
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.positions.clone()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some(fetcher) = self.fetcher.take() {
            self.pool.give_back(fetcher);
        }
    }
}
