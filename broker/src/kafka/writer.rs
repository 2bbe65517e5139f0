//! Writing outside transactions: one producer a process, many writers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kenh_domain::limits::MAX_LOG_RECORD_BYTES;
use kenh_domain::log::{NewRecord, Position, TopicPartition, WriteError, Writer};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext};

use super::access::AccessLists;
use super::settings::DELIVERY_TIMEOUT_MS;
use super::topics::Topics;
use super::{Options, is_missing, partition, position, settings, timestamp};

/// Between two looks at what has been delivered.
const STEP: Duration = Duration::from_micros(500);

/// What became of a writer's records. Shared with the delivery reports.
#[derive(Default)]
pub struct Outcome(Mutex<Delivered>);

#[derive(Default)]
struct Delivered {
    sent: u64,
    answered: u64,
    /// After the last delivered record, by topic and partition.
    ends: BTreeMap<(String, i32), i64>,
    failed: Option<(KafkaError, String, i32)>,
}

impl Outcome {
    fn lock(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes delivery reports.
pub struct Context;

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Outcome>;

    fn delivery(&self, result: &DeliveryResult<'_>, outcome: Arc<Outcome>) {
        let mut delivered = outcome.lock();
        delivered.answered += 1;
        match result {
            Ok(message) => {
                let place = (message.topic().to_owned(), message.partition());
                let end = delivered.ends.entry(place).or_default();
                *end = (*end).max(message.offset() + 1);
            }
            Err((error, message)) => {
                let (topic, partition) = (message.topic().to_owned(), message.partition());
                delivered.failed.get_or_insert((error.clone(), topic, partition));
            }
        }
    }
}

type Producer = BaseProducer<Context, NoCustomPartitioner>;

/// The producer of the process.
pub struct Shared {
    options: Options,
    producer: RwLock<Arc<Producer>>,
}

impl Shared {
    pub fn new(options: &Options) -> Result<Arc<Self>, KafkaError> {
        Ok(Arc::new(Self { options: options.clone(), producer: RwLock::new(Arc::new(make(options)?)) }))
    }

    /// The producer; a new one when the last has failed for good (it can no longer promise order without duplicates).
    fn producer(&self) -> Arc<Producer> {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner).clone();
        if producer.client().fatal_error().is_none() {
            return producer;
        }
        let mut current = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if current.client().fatal_error().is_some() {
            match make(&self.options) {
                Ok(new) => *current = Arc::new(new),
                // The failed one says so itself at the next record.
                Err(error) => tracing::error!(%error, "the producer has failed, and no new one can be made"),
            }
        }
        current.clone()
    }
}

fn make(options: &Options) -> Result<Producer, KafkaError> {
    Producer::from_config_and_context(&settings::producer(options, "kenh-write"), Context)
}

pub struct KafkaWriter {
    /// One for the whole life of the writer: its records stay in order. A failed one is replaced after an error was told.
    producer: Arc<Producer>,
    shared: Arc<Shared>,
    topics: Arc<Topics>,
    access: Arc<AccessLists>,
    principal: Principal,
    outcome: Arc<Outcome>,
}

impl KafkaWriter {
    pub fn new(shared: Arc<Shared>, topics: Arc<Topics>, access: Arc<AccessLists>, principal: Principal) -> Self {
        Self { producer: shared.producer(), shared, topics, access, principal, outcome: Arc::default() }
    }

    fn denied(&self, to: &TopicPartition) -> WriteError {
        WriteError::Denied { principal: self.principal.clone(), to: to.clone() }
    }

    fn allowed(&self, to: &TopicPartition) -> bool {
        self.access.may_write(&self.principal, &to.topic)
            && self.topics.partitions(&to.topic).is_some_and(|n| to.partition.0 < n)
    }

    fn send(&self, record: &NewRecord, topic: &str) -> Result<(), WriteError> {
        let begun = Instant::now();
        loop {
            let mut new = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, self.outcome.clone())
                .partition(partition(&record.to))
                .timestamp(timestamp(record));
            if !record.key.is_empty() {
                new = new.key(&record.key);
            }
            if let Some(value) = &record.value {
                new = new.payload(value);
            }
            match self.producer.send(new) {
                Ok(()) => {
                    self.outcome.lock().sent += 1;
                    return Ok(());
                }
                Err((error, _)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) if begun.elapsed().as_millis() < DELIVERY_TIMEOUT_MS.into() => {
                        self.producer.poll(STEP);
                    }
                    Some(RDKafkaErrorCode::QueueFull) => return Err(WriteError::Full(Box::new(error))),
                    Some(code) if is_missing(code) => return Err(self.denied(&record.to)),
                    _ => return Err(WriteError::Storage(Box::new(error))),
                },
            }
        }
    }

    fn failure(&self) -> Result<(), WriteError> {
        let Some((error, topic, number)) = self.outcome.lock().failed.take() else { return Ok(()) };
        let place = topic.parse::<Topic>().ok().zip(u32::try_from(number).ok());
        match (error.rdkafka_error_code(), place) {
            (Some(code), Some((topic, number))) if is_missing(code) => {
                Err(self.denied(&TopicPartition::new(topic, number)))
            }
            _ => Err(WriteError::Storage(format!("{topic}/{number}: {error}").into())),
        }
    }
}

impl KafkaWriter {
    fn renew(&mut self) {
        if self.producer.client().fatal_error().is_some() {
            self.producer = self.shared.producer();
            // What the failed one still answers for is not waited for.
            self.outcome = Arc::default();
        }
    }
}

impl Writer for KafkaWriter {
    fn write(&mut self, records: Vec<NewRecord>) -> Result<(), WriteError> {
        self.failure()?;
        self.renew();
        // A call is refused as a whole.
        let mut allowed: Option<&TopicPartition> = None;
        for record in &records {
            if allowed != Some(&record.to) {
                if !self.allowed(&record.to) {
                    return Err(self.denied(&record.to));
                }
                allowed = Some(&record.to);
            }
            let size = record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
            if size > MAX_LOG_RECORD_BYTES {
                let reason = format!("{}: a record has {size} bytes, more than {MAX_LOG_RECORD_BYTES}", record.to);
                return Err(WriteError::Storage(reason.into()));
            }
        }
        let mut name = (None, String::new());
        for record in &records {
            if name.0.as_ref() != Some(&record.to.topic) {
                name = (Some(record.to.topic.clone()), record.to.topic.to_string());
            }
            self.send(record, &name.1)?;
        }
        self.producer.poll(Duration::ZERO);
        self.failure()
    }

    fn flush(&mut self) -> Result<Vec<(TopicPartition, Position)>, WriteError> {
        let begun = Instant::now();
        loop {
            {
                let delivered = self.outcome.lock();
                if delivered.answered >= delivered.sent {
                    break;
                }
            }
            self.producer.poll(STEP);
            if begun.elapsed().as_millis() > u128::from(DELIVERY_TIMEOUT_MS) * 2 {
                return Err(WriteError::Storage("no answer for records that were sent".into()));
            }
        }
        self.failure()?;
        let ends = std::mem::take(&mut self.outcome.lock().ends);
        let place = |((topic, number), end): ((String, i32), i64)| {
            let topic = topic.parse::<Topic>().ok()?;
            Some((TopicPartition::new(topic, u32::try_from(number).ok()?), position(end)))
        };
        Ok(ends.into_iter().filter_map(place).collect())
    }
}
