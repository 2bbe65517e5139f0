//! The log of a node that is running, over its loopback HTTP: what the seam needs, call by call.
//!
//! So a command has one way of working, whether it opened the directory itself or found a node running on it. The node
//! takes these calls only with the token that lies in its directory, readable by its owner alone: whoever may read the
//! directory may read everything in it anyway. Claims are not offered: the running node holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kenh_domain::error::chain;
use kenh_domain::identity::Serial;
use kenh_domain::log::{
    Access, AdminError, Bounds, Claim, ClaimError, Incarnation, Log, NewRecord, Position, ReadError, Reader, Record,
    StorageError, TopicPartition, TopicSpec, WriteError, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;
use serde::{Deserialize, Serialize};

use super::client::{CallError, Client};

/// A call on the node's log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Call {
    Incarnation,
    CreateTopic { spec: TopicSpec },
    DeleteTopic { topic: Topic },
    Topics,
    SetAccess { topic: Topic, access: Vec<Access> },
    Access { topic: Topic },
    Serials { system: Principal },
    SetSerials { system: Principal, serials: BTreeSet<Serial> },
    Write { principal: Principal, records: Vec<WireRecord> },
    Read { principal: Principal, from: Vec<(TopicPartition, Position)>, records: usize, bytes: usize, wait_ms: u64 },
    Bounds { principal: Principal, of: TopicPartition },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Done,
    Incarnation { incarnation: Incarnation },
    Topics { topics: Vec<TopicSpec> },
    Access { access: Vec<Access> },
    Serials { serials: BTreeSet<Serial> },
    Written { ends: Vec<(TopicPartition, Position)> },
    Records { records: Vec<ReadRecord>, positions: Vec<Position> },
    Bounds { start: Position, end: Position },
    Denied { to: Option<TopicPartition> },
    Missing { topic: Topic },
    Partitions { topic: Topic, is: u32, wanted: u32 },
    Gone { of: TopicPartition, position: Position, start: Position, end: Position },
    Full { message: String },
    Failed { message: String },
}

/// A record on its way to the node; bytes in base64.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireRecord {
    pub to: TopicPartition,
    pub timestamp_ms: i64,
    pub key: String,
    pub value: Option<String>,
}

/// A record on its way from the node.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadRecord {
    pub source: usize,
    pub position: Position,
    pub timestamp_ms: i64,
    pub key: String,
    pub value: Option<String>,
}

fn text(bytes: &Bytes) -> String {
    STANDARD.encode(bytes)
}

fn bytes(text: &str) -> Result<Bytes, StorageError> {
    Ok(STANDARD.decode(text)?.into())
}

/// Carries out one call on the node's own log: the serving side.
pub fn serve(log: &dyn Log, call: Call) -> Answer {
    let result = match call {
        Call::Incarnation => Ok(Answer::Incarnation { incarnation: log.incarnation() }),
        Call::CreateTopic { spec } => log.create_topic(&spec).map(|()| Answer::Done).map_err(admin),
        Call::DeleteTopic { topic } => log.delete_topic(&topic).map(|()| Answer::Done).map_err(admin),
        Call::Topics => log.topics().map(|topics| Answer::Topics { topics }).map_err(admin),
        Call::SetAccess { topic, access } => log.set_access(&topic, &access).map(|()| Answer::Done).map_err(admin),
        Call::Access { topic } => log.access(&topic).map(|access| Answer::Access { access }).map_err(admin),
        Call::Serials { system } => log.serials(&system).map(|serials| Answer::Serials { serials }).map_err(admin),
        Call::SetSerials { system, serials } => {
            log.set_serials(&system, &serials).map(|()| Answer::Done).map_err(admin)
        }
        Call::Write { principal, records } => serve_write(log, &principal, &records),
        Call::Read { principal, from, records, bytes, wait_ms } => {
            serve_read(log, &principal, &from, (records, bytes), Duration::from_millis(wait_ms))
        }
        Call::Bounds { principal, of } => {
            log.bounds(&principal, &of).map(|Bounds { start, end }| Answer::Bounds { start, end }).map_err(read)
        }
    };
    result.unwrap_or_else(|failed| failed)
}

fn serve_write(log: &dyn Log, principal: &Principal, records: &[WireRecord]) -> Result<Answer, Answer> {
    let undecodable = |e: StorageError| Answer::Failed { message: e.to_string() };
    let mut new = Vec::with_capacity(records.len());
    for record in records {
        let value = record.value.as_deref().map(bytes).transpose().map_err(undecodable)?;
        let key = bytes(&record.key).map_err(undecodable)?;
        new.push(NewRecord { to: record.to.clone(), timestamp_ms: record.timestamp_ms, key, value });
    }
    let mut writer = log.writer(principal);
    writer.write(new).map_err(write)?;
    writer.flush().map(|ends| Answer::Written { ends }).map_err(write)
}

fn serve_read(
    log: &dyn Log,
    principal: &Principal,
    from: &[(TopicPartition, Position)],
    (records, bytes): (usize, usize),
    wait: Duration,
) -> Result<Answer, Answer> {
    let mut reader = log.reader(principal, from).map_err(read)?;
    // A call for no record opens only: it must not move the positions.
    let found = if records == 0 { Vec::new() } else { reader.poll(records, bytes, wait).map_err(read)? };
    let records = found
        .into_iter()
        .map(|r| ReadRecord {
            source: r.source,
            position: r.position,
            timestamp_ms: r.timestamp_ms,
            key: text(&r.key),
            value: r.value.as_ref().map(text),
        })
        .collect();
    Ok(Answer::Records { records, positions: reader.positions() })
}

fn admin(error: AdminError) -> Answer {
    match error {
        AdminError::Missing(topic) => Answer::Missing { topic },
        AdminError::Partitions { topic, is, wanted } => Answer::Partitions { topic, is, wanted },
        other @ AdminError::Storage(_) => Answer::Failed { message: chain(&other) },
    }
}

fn read(error: ReadError) -> Answer {
    match error {
        ReadError::Denied { of, .. } => Answer::Denied { to: Some(of) },
        ReadError::Gone { of, position, bounds } => Answer::Gone { of, position, start: bounds.start, end: bounds.end },
        other @ ReadError::Storage { .. } => Answer::Failed { message: chain(&other) },
    }
}

fn write(error: WriteError) -> Answer {
    match error {
        WriteError::Denied { to, .. } => Answer::Denied { to: Some(to) },
        other @ WriteError::Full(_) => Answer::Full { message: chain(&other) },
        other @ WriteError::Storage(_) => Answer::Failed { message: chain(&other) },
    }
}

/// The log of a running node: the calling side.
pub struct RemoteLog {
    client: Arc<Client>,
    incarnation: Incarnation,
}

impl RemoteLog {
    /// Asks the node which log it has.
    ///
    /// # Errors
    /// [`CallError`] when the node does not answer as one.
    pub fn connect(client: Arc<Client>) -> Result<Self, CallError> {
        match client.log(&Call::Incarnation)? {
            Answer::Incarnation { incarnation } => Ok(Self { client, incarnation }),
            other => Err(unexpected(&other)),
        }
    }

    fn admin(&self, call: &Call) -> Result<Answer, AdminError> {
        match self.client.log(call) {
            Ok(Answer::Missing { topic }) => Err(AdminError::Missing(topic)),
            Ok(Answer::Partitions { topic, is, wanted }) => Err(AdminError::Partitions { topic, is, wanted }),
            Ok(Answer::Failed { message } | Answer::Full { message }) => Err(AdminError::Storage(message.into())),
            Ok(answer) => Ok(answer),
            Err(e) => Err(AdminError::Storage(Box::new(e))),
        }
    }
}

fn unexpected(answer: &Answer) -> CallError {
    CallError::Answer(format!("the node gave an unexpected answer: {answer:?}"))
}

impl Log for RemoteLog {
    fn incarnation(&self) -> Incarnation {
        self.incarnation.clone()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.admin(&Call::CreateTopic { spec: spec.clone() }).map(|_| ())
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.admin(&Call::DeleteTopic { topic: topic.clone() }).map(|_| ())
    }

    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        match self.admin(&Call::Topics)? {
            Answer::Topics { topics } => Ok(topics),
            other => Err(AdminError::Storage(Box::new(unexpected(&other)))),
        }
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.admin(&Call::SetAccess { topic: topic.clone(), access: access.to_vec() }).map(|_| ())
    }

    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        match self.admin(&Call::Access { topic: topic.clone() })? {
            Answer::Access { access } => Ok(access),
            other => Err(AdminError::Storage(Box::new(unexpected(&other)))),
        }
    }

    fn serials(&self, system: &Principal) -> Result<BTreeSet<Serial>, AdminError> {
        match self.admin(&Call::Serials { system: system.clone() })? {
            Answer::Serials { serials } => Ok(serials),
            other => Err(AdminError::Storage(Box::new(unexpected(&other)))),
        }
    }

    fn set_serials(&self, system: &Principal, serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        self.admin(&Call::SetSerials { system: system.clone(), serials: serials.clone() }).map(|_| ())
    }

    fn claim(&self, _principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        Err(ClaimError::Storage(group.clone(), "the running node holds all claims of its directory".into()))
    }

    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(RemoteWriter { client: self.client.clone(), principal: principal.clone(), ends: BTreeMap::new() })
    }

    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        let mut reader =
            RemoteReader { client: self.client.clone(), principal: principal.clone(), from: from.to_vec() };
        // A first empty read: a denied or lost position must show at opening, as the seam says.
        reader.read(0, 0, Duration::ZERO)?;
        Ok(Box::new(reader))
    }

    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        let call = Call::Bounds { principal: principal.clone(), of: of.clone() };
        match read_answer(&self.client, &call, principal, of)? {
            Answer::Bounds { start, end } => Ok(Bounds { start, end }),
            other => Err(ReadError::Storage { of: of.clone(), source: Box::new(unexpected(&other)) }),
        }
    }

    fn maintain(&self, _now_ms: i64) -> Result<(), AdminError> {
        // The running node maintains its own log.
        Ok(())
    }
}

fn read_answer(client: &Client, call: &Call, principal: &Principal, of: &TopicPartition) -> Result<Answer, ReadError> {
    match client.log(call) {
        Ok(Answer::Denied { to }) => {
            Err(ReadError::Denied { principal: principal.clone(), of: to.unwrap_or_else(|| of.clone()) })
        }
        Ok(Answer::Gone { of, position, start, end }) => {
            Err(ReadError::Gone { of, position, bounds: Bounds { start, end } })
        }
        Ok(Answer::Failed { message }) => Err(ReadError::Storage { of: of.clone(), source: message.into() }),
        Ok(answer) => Ok(answer),
        Err(e) => Err(ReadError::Storage { of: of.clone(), source: Box::new(e) }),
    }
}

struct RemoteWriter {
    client: Arc<Client>,
    principal: Principal,
    ends: BTreeMap<TopicPartition, Position>,
}

impl Writer for RemoteWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        let Some(first) = records.first() else { return Ok(()) };
        let to = first.to.clone();
        let records = records
            .into_iter()
            .map(|r| WireRecord {
                to: r.to,
                timestamp_ms: r.timestamp_ms,
                key: text(&r.key),
                value: r.value.as_ref().map(text),
            })
            .collect();
        match self.client.log(&Call::Write { principal: self.principal.clone(), records }) {
            Ok(Answer::Written { ends }) => {
                self.ends.extend(ends);
                Ok(())
            }
            Ok(Answer::Denied { to: denied }) => {
                Err(WriteError::Denied { principal: self.principal.clone(), to: denied.unwrap_or(to) })
            }
            Ok(Answer::Full { message }) => Err(WriteError::Full(message.into())),
            Ok(Answer::Failed { message }) => Err(WriteError::Storage(message.into())),
            Ok(other) => Err(WriteError::Storage(Box::new(unexpected(&other)))),
            Err(e) => Err(WriteError::Storage(Box::new(e))),
        }
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        // Every write was durable when the node answered it.
        Ok(std::mem::take(&mut self.ends).into_iter().collect())
    }
}

struct RemoteReader {
    client: Arc<Client>,
    principal: Principal,
    from: Vec<(TopicPartition, Position)>,
}

impl RemoteReader {
    fn read(&mut self, records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        let Some((first, _)) = self.from.first().cloned() else { return Ok(Vec::new()) };
        #[expect(clippy::cast_possible_truncation, reason = "nobody waits for half a billion years")]
        let wait_ms = wait.as_millis() as u64;
        let call = Call::Read {
            principal: self.principal.clone(),
            from: self.from.clone(),
            records,
            bytes: max_bytes,
            wait_ms,
        };
        let failed = |source| ReadError::Storage { of: first.clone(), source };
        match read_answer(&self.client, &call, &self.principal, &first)? {
            Answer::Records { records, positions } => {
                for (slot, position) in self.from.iter_mut().zip(positions) {
                    slot.1 = position;
                }
                let decode = |r: ReadRecord| {
                    Ok(Record {
                        source: r.source,
                        position: r.position,
                        timestamp_ms: r.timestamp_ms,
                        key: bytes(&r.key)?,
                        value: r.value.as_deref().map(bytes).transpose()?,
                    })
                };
                records.into_iter().map(decode).collect::<Result<_, StorageError>>().map_err(failed)
            }
            other => Err(failed(Box::new(unexpected(&other)))),
        }
    }
}

impl Reader for RemoteReader {
    fn poll(&mut self, max_records: usize, max_bytes: usize, wait: Duration) -> Result<Vec<Record>, ReadError> {
        self.read(max_records.max(1), max_bytes, wait)
    }

    fn positions(&self) -> Vec<Position> {
        self.from.iter().map(|(_, position)| *position).collect()
    }
}
