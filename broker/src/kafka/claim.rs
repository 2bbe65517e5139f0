//! A group as a transactional producer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::limits::{MAX_LOG_RECORD_BYTES, MAX_METADATA_BYTES};
use kenh_domain::log::{Batch, Claim, CommitError, Committed, NewRecord, Position, TopicPartition};
use kenh_domain::names::Group;
use kenh_domain::topic::Topic;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::settings::{self, TRANSACTION_TIMEOUT_MS};
use super::topics::Topics;
use super::{Options, QUERY_TIMEOUT, is_missing, offset, partition, position, timestamp};

/// Between two looks at what has been delivered: rdkafka's own flush looks every 100 ms, which would be most of a commit.
const STEP: Duration = Duration::from_micros(500);
/// How long one transactional call may take: the transaction itself lives no longer.
const CALL_TIMEOUT: Duration = Duration::from_millis(TRANSACTION_TIMEOUT_MS as u64);

/// How long a commit waits until readers see it. What is committed is decided and durable before; only a transaction of
/// another group that is open in the same partition hides it for longer.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The partition whose committed offset carries the group's metadata text: one that every cluster of ours has.
const ANCHOR: (&str, i32) = (super::access::NAME, 0);

#[derive(Default)]
struct Delivered {
    ends: BTreeMap<(String, i32), i64>,
    failed: Option<(KafkaError, String, i32)>,
}

/// Takes delivery reports of the open transaction.
#[derive(Default)]
struct Context(Arc<Mutex<Delivered>>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => {
                // Records of one partition come in runs.
                let (topic, partition, end) = (message.topic(), message.partition(), message.offset() + 1);
                match delivered.ends.iter_mut().next_back() {
                    Some(((t, p), known)) if t == topic && *p == partition => *known = end.max(*known),
                    _ => {
                        let known = delivered.ends.entry((topic.to_owned(), partition)).or_default();
                        *known = end.max(*known);
                    }
                }
            }
            Err((error, message)) => {
                let failed = (error.clone(), message.topic().to_owned(), message.partition());
                delivered.failed.get_or_insert(failed);
            }
        }
    }
}

pub struct KafkaClaim {
    group: Group,
    producer: BaseProducer<Context, NoCustomPartitioner>,
    delivered: Arc<Mutex<Delivered>>,
    metadata: ConsumerGroupMetadata,
    topics: Arc<Topics>,
    committed: Committed,
    /// Why no further commit can be made.
    dead: Option<Dead>,
    /// The consumer that the group's metadata belongs to. It reads nothing, so that its questions wait behind no fetch.
    consumer: BaseConsumer,
}

/// Why a group could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimFailed {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The cluster tells positions only when no transaction that is open could still change them.
    #[error(
        "the committed positions of group {0} are not told: the cluster is away, or they are held by a transaction that \
         does not end (docs/kafka.md, which release)"
    )]
    Held(Group),
}

#[derive(Clone, Copy)]
enum Dead {
    Fenced,
    Unclear,
}

impl KafkaClaim {
    pub fn new(options: &Options, group: &Group, topics: &Arc<Topics>) -> Result<Self, ClaimFailed> {
        let id = format!("kenh.{group}");
        let consumer: BaseConsumer = settings::consumer(options, "kenh-claim").set("group.id", &id).create()?;
        let delivered = Arc::<Mutex<Delivered>>::default();
        let context = Context(delivered.clone());
        let producer = BaseProducer::from_config_and_context(&settings::claim(options, &id), context)?;
        // The broker raises the epoch of the id, aborts what the former owner left open, and refuses it from here on.
        producer.init_transactions(Duration::from_secs(60))?;
        let committed = read_committed(&consumer, topics).map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OperationTimedOut) => ClaimFailed::Held(group.clone()),
            _ => error.into(),
        })?;
        let metadata =
            consumer.group_metadata().ok_or_else(|| KafkaError::ClientCreation("the group has no metadata".into()))?;
        Ok(Self {
            group: group.clone(),
            producer,
            delivered,
            metadata,
            topics: topics.clone(),
            committed,
            dead: None,
            consumer,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let refuse = |to: &TopicPartition, reason: String| CommitError::Refused { to: to.clone(), reason };
        if batch.metadata.len() > MAX_METADATA_BYTES {
            let reason =
                format!("the metadata text has {} bytes, more than {MAX_METADATA_BYTES}", batch.metadata.len());
            return Err(refuse(&TopicPartition::new(Topic::Control, 0), reason));
        }
        for record in &batch.records {
            let size = record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
            if size > MAX_LOG_RECORD_BYTES {
                let reason = format!("the record has {size} bytes, more than {MAX_LOG_RECORD_BYTES}");
                return Err(refuse(&record.to, reason));
            }
        }
        let mut last: Option<&TopicPartition> = None;
        for to in batch.records.iter().map(|r| &r.to).chain(batch.consumed.iter().map(|(of, _)| of)) {
            if last == Some(to) {
                continue;
            }
            last = Some(to);
            match self.topics.partitions(&to.topic) {
                None => return Err(refuse(to, "there is no such topic".into())),
                Some(n) if to.partition.0 >= n => return Err(refuse(to, format!("the topic has {n} partitions"))),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Sends the records and waits until each is acknowledged.
    fn send(&self, records: &[NewRecord]) -> Result<(), Box<Failure>> {
        let begun = Instant::now();
        let mut name: (Option<&Topic>, String) = (None, String::new());
        for record in records {
            if name.0 != Some(&record.to.topic) {
                name = (Some(&record.to.topic), record.to.topic.to_string());
            }
            loop {
                let mut new =
                    BaseRecord::<[u8], [u8]>::to(&name.1).partition(partition(&record.to)).timestamp(timestamp(record));
                if !record.key.is_empty() {
                    new = new.key(&record.key);
                }
                if let Some(value) = &record.value {
                    new = new.payload(value);
                }
                match self.producer.send(new) {
                    Ok(()) => break,
                    Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                        self.producer.poll(STEP);
                        if begun.elapsed() > CALL_TIMEOUT {
                            return Err(Failure::of(error));
                        }
                    }
                    Err((error, _)) => return Err(Box::new(Failure { error, to: Some(record.to.clone()) })),
                }
            }
        }
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(STEP);
            // A record that nobody acknowledges fails by itself after `message.timeout.ms`.
        }
        match self.lock().failed.take() {
            None => Ok(()),
            Some((error, topic, number)) => {
                let to = topic.parse().ok().zip(u32::try_from(number).ok());
                let to = to.map(|(topic, number)| TopicPartition::new(topic, number));
                Err(Box::new(Failure { error, to }))
            }
        }
    }

    fn transact(&self, batch: &Batch, offsets: &TopicPartitionList) -> Result<(), Box<Failure>> {
        self.producer.begin_transaction().map_err(Failure::of)?;
        self.send(&batch.records)?;
        self.producer.send_offsets_to_transaction(offsets, &self.metadata, CALL_TIMEOUT).map_err(Failure::of)?;
        self.producer.commit_transaction(CALL_TIMEOUT).map_err(Failure::of)
    }

    /// Waits until the ends of the partitions written to, as readers see them, have passed what was written. The
    /// cluster answers a commit when it is decided, and writes the markers that show it a moment later.
    fn await_visible(&self, ends: &[(TopicPartition, Position)]) {
        let begun = Instant::now();
        let mut hidden: Vec<_> = ends.iter().collect();
        while !hidden.is_empty() {
            let mut asked = TopicPartitionList::with_capacity(hidden.len());
            for (of, _) in &hidden {
                // As a time to look up, the logical end means the end.
                let added = asked.add_partition_offset(&of.topic.to_string(), partition(of), Offset::End);
                if let Err(error) = added {
                    tracing::warn!(%error, "asking for the end of {of}");
                    return;
                }
            }
            if let Ok(found) = self.consumer.offsets_for_times(asked, VISIBLE_TIMEOUT) {
                hidden.retain(|(of, end)| {
                    let found = found.find_partition(&of.topic.to_string(), partition(of));
                    !found.is_some_and(|e| matches!(e.offset(), Offset::Offset(at) if position(at) >= *end))
                });
            }
            if begun.elapsed() > VISIBLE_TIMEOUT {
                tracing::debug!(group = %self.group, partitions = hidden.len(), "committed, and not yet seen by readers");
                return;
            }
            if !hidden.is_empty() {
                self.producer.poll(STEP);
            }
        }
    }

    /// After a failure: is the claim alive, and what is known?
    fn judge(&mut self, failure: Failure) -> CommitError {
        let Failure { error, to } = failure;
        if is_fenced(&error) || self.producer.client().fatal_error().is_some_and(|(code, _)| is_fencing(code)) {
            self.dead = Some(Dead::Fenced);
            return CommitError::Fenced(self.group.clone());
        }
        let refused = error.rdkafka_error_code().is_some_and(|code| {
            is_missing(code)
                || matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
        });
        if let (true, Some(to)) = (refused, &to) {
            // The transaction was never asked to commit: once it is aborted, nothing of it is visible.
            match self.producer.abort_transaction(CALL_TIMEOUT) {
                Ok(()) => return CommitError::Refused { to: to.clone(), reason: error.to_string() },
                Err(abort) if is_fenced(&abort) => {
                    self.dead = Some(Dead::Fenced);
                    return CommitError::Fenced(self.group.clone());
                }
                Err(_) => {}
            }
        }
        self.dead = Some(Dead::Unclear);
        match to {
            Some(to) => CommitError::Unclear(Box::new(NotWritten { to, error })),
            None => CommitError::Unclear(Box::new(error)),
        }
    }
}

/// Where a commit failed.
#[derive(Debug, thiserror::Error)]
#[error("a record for {to} was not written")]
struct NotWritten {
    to: TopicPartition,
    #[source]
    error: KafkaError,
}

struct Failure {
    error: KafkaError,
    to: Option<TopicPartition>,
}

impl Failure {
    fn of(error: KafkaError) -> Box<Self> {
        Box::new(Self { error, to: None })
    }
}

fn is_fencing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId)
}

fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_fencing)
}

/// What the group has committed, over every partition there is.
fn read_committed(consumer: &BaseConsumer, topics: &Topics) -> Result<Committed, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for (topic, partitions) in topics.all_by(consumer.client())? {
        for number in 0..partitions {
            asked.add_partition(&topic.to_string(), i32::try_from(number).unwrap_or(i32::MAX));
        }
    }
    let mut committed = Committed::default();
    asked.add_partition(ANCHOR.0, ANCHOR.1);
    let found = consumer.committed_offsets(asked, QUERY_TIMEOUT * 6)?;
    for element in found.elements() {
        element.error()?;
        let Offset::Offset(at) = element.offset() else { continue };
        if (element.topic(), element.partition()) == ANCHOR {
            element.metadata().clone_into(&mut committed.metadata);
        } else if let (Ok(topic), Ok(number)) = (element.topic().parse(), u32::try_from(element.partition())) {
            committed.consumed.insert(TopicPartition::new(topic, number), position(at));
        }
    }
    Ok(committed)
}

impl Claim for KafkaClaim {
    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        match self.dead {
            Some(Dead::Fenced) => return Err(CommitError::Fenced(self.group.clone())),
            Some(Dead::Unclear) => {
                return Err(CommitError::Unclear("an earlier commit of this claim was unclear: claim again".into()));
            }
            None => {}
        }
        self.check(&batch)?;
        // It reads nothing, but it may have something to say.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        *self.lock() = Delivered::default();
        let unclear = |error: KafkaError| CommitError::Unclear(Box::new(error));
        let mut offsets = TopicPartitionList::new();
        for (of, at) in &batch.consumed {
            offsets
                .add_partition_offset(&of.topic.to_string(), partition(of), Offset::Offset(offset(*at)))
                .map_err(unclear)?;
        }
        let mut at_anchor = offsets.add_partition(ANCHOR.0, ANCHOR.1);
        at_anchor.set_offset(Offset::Offset(0)).map_err(unclear)?;
        at_anchor.set_metadata(&batch.metadata);
        if let Err(failure) = self.transact(&batch, &offsets) {
            return Err(self.judge(*failure));
        }
        self.committed.consumed.extend(batch.consumed);
        self.committed.metadata = batch.metadata;
        let ends = std::mem::take(&mut self.lock().ends);
        let place = |((topic, number), end): ((String, i32), i64)| {
            // Behind the last record lies the transaction's marker.
            Some((TopicPartition::new(topic.parse().ok()?, u32::try_from(number).ok()?), position(end + 1)))
        };
        let ends: Vec<_> = ends.into_iter().filter_map(place).collect();
        self.await_visible(&ends);
        Ok(ends)
    }
}
