//! Committed records, in batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kenh_domain::log::{Bounds, Position, ReadError, Reader, Record, TopicPartition};
use kenh_domain::names::Principal;
use rdkafka::error::RDKafkaErrorCode;

use super::access::AccessLists;
use super::fetch::{Fetched, Fetcher};
use super::{Options, is_missing, offset, partition, position};

/// Most records fetched ahead of what was asked for; they wait for the next call.
const AHEAD: usize = 10_000;

pub struct KafkaReader {
    fetcher: Fetcher,
    access: Arc<AccessLists>,
    principal: Principal,
    of: Vec<TopicPartition>,
    /// After the last record given out, or past markers that nothing follows.
    positions: Vec<Position>,
    /// Fetched and not given out yet, in order; an end without a record moves a position only.
    waiting: VecDeque<Waiting>,
    /// What went wrong after the records in `waiting`.
    failed: Option<ReadError>,
}

enum Waiting {
    Record(Record),
    End { source: usize, at: Position },
}

impl KafkaReader {
    pub fn open(
        options: &Options,
        access: Arc<AccessLists>,
        principal: Principal,
        from: &[(TopicPartition, Position)],
    ) -> Result<Self, ReadError> {
        let assigned: Vec<_> = from.iter().map(|(of, at)| (of.topic.to_string(), partition(of), offset(*at))).collect();
        let fetcher = Fetcher::open(options, "kenh-read", &assigned).map_err(|error| {
            let of = from.first().map(|(of, _)| of.clone());
            let of = of.unwrap_or_else(|| TopicPartition::new(kenh_domain::topic::Topic::Control, 0));
            ReadError::Storage { of, source: Box::new(error) }
        })?;
        Ok(Self {
            fetcher,
            access,
            principal,
            of: from.iter().map(|(of, _)| of.clone()).collect(),
            positions: from.iter().map(|(_, at)| *at).collect(),
            waiting: VecDeque::new(),
            failed: None,
        })
    }

    fn check_access(&self) -> Result<(), ReadError> {
        match self.of.iter().find(|of| !self.access.may_read(&self.principal, &of.topic)) {
            Some(of) => Err(ReadError::Denied { principal: self.principal.clone(), of: of.clone() }),
            None => Ok(()),
        }
    }

    fn fetch(&mut self, most: usize, wait: Duration) {
        let (waiting, failed, of, positions) = (&mut self.waiting, &mut self.failed, &self.of, &self.positions);
        let principal = &self.principal;
        self.fetcher.poll(most, wait, |fetched| match fetched {
            Fetched::Record { source, offset, timestamp_ms, key, value } => {
                waiting.push_back(Waiting::Record(Record { source, position: position(offset), timestamp_ms, key, value }));
            }
            Fetched::End { source, offset } => waiting.push_back(Waiting::End { source, at: position(offset) }),
            Fetched::Failed { source, code, message } => {
                let Some(of) = source.or(Some(0)).and_then(|s| of.get(s)) else { return };
                let at = source.and_then(|s| positions.get(s)).copied().unwrap_or_default();
                if let Some(error) = translate(code, message, principal, of, at) {
                    failed.get_or_insert(error);
                }
            }
        });
    }

    /// Gives out what waits, within bounds.
    fn give(&mut self, max_records: usize, max_bytes: usize) -> Vec<Record> {
        let (mut out, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.front() {
            if let Waiting::Record(record) = next {
                let size = record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
                if out.len() >= max_records || (!out.is_empty() && bytes + size > max_bytes) {
                    break;
                }
                bytes += size;
            }
            match self.waiting.pop_front() {
                Some(Waiting::Record(record)) => {
                    self.positions[record.source] = Position(record.position.0 + 1);
                    out.push(record);
                }
                Some(Waiting::End { source, at }) => self.positions[source] = self.positions[source].max(at),
                None => break,
            }
        }
        out
    }
}

/// What an error of the client means here; none: it retries by itself.
fn translate(
    code: RDKafkaErrorCode,
    message: String,
    principal: &Principal,
    of: &TopicPartition,
    at: Position,
) -> Option<ReadError> {
    use RDKafkaErrorCode as Code;
    match code {
        code if is_missing(code) => Some(ReadError::Denied { principal: principal.clone(), of: of.clone() }),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Some(ReadError::Gone { of: of.clone(), position: at, bounds: Bounds::default() })
        }
        // A broker that is away for a while: the client connects again; nothing comes meanwhile.
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::NotLeaderForPartition
        | Code::LeaderNotAvailable
        | Code::OffsetNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch => None,
        _ => Some(ReadError::Storage { of: of.clone(), source: format!("{code}: {message}").into() }),
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        self.check_access()?;
        let until = Instant::now() + wait;
        loop {
            let out = self.give(max_records, max_bytes);
            if !out.is_empty() || (max_records == 0 && self.failed.is_none()) {
                return Ok(out);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let left = until.saturating_duration_since(Instant::now());
            // Even without a wait, what lies in the client's queue is taken.
            self.fetch(AHEAD.min(max_records.max(1)), left);
            if self.waiting.is_empty() && self.failed.is_none() && left.is_zero() {
                return Ok(Vec::new());
            }
            self.check_access()?;
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.positions.clone()
    }
}
