//! Fetching in batches, with the ends of partitions: with `acl` the place that calls librdkafka directly.
//!
//! rdkafka's own `poll` hands out one record at a time (half the rate of a batch, measured) and does not tell at which
//! offset a partition ended. Behind the last record of a transaction lies the cluster's own marker, which no reader
//! sees: the client's own position moves past it, and past compacted records the end's offset does.
#![allow(unsafe_code, reason = "librdkafka's batch call has no safe wrapper; each use says why it is sound")]

use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{IsError as _, KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{Options, QUERY_TIMEOUT, settings};

/// What was fetched.
pub enum Fetched {
    /// A record.
    Record {
        /// Index into the partitions that were opened.
        source: usize,
        offset: i64,
        timestamp_ms: i64,
        key: Bytes,
        value: Option<Bytes>,
    },
    /// Nothing more lies in a partition before this offset.
    End { source: usize, offset: i64 },
    /// A partition (or, without one, the client) failed.
    Failed { source: Option<usize>, code: RDKafkaErrorCode, message: String },
}

/// Whether the client gets over it by itself: a broker is away for a while, or another one leads now.
pub fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::UnknownTopicId
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
    )
}

/// A consumer of given partitions.
pub struct Fetcher {
    // Dropped before the consumer that it belongs to.
    queue: Queue,
    /// What the client has to say. rdkafka would hear it in its own `poll`, which is never called here; without this it
    /// goes to standard error as it is.
    says: Queue,
    consumer: BaseConsumer,
    sources: HashMap<(String, i32), usize>,
    /// Per source, the offset of the last end or error: the client counts it as a record that was taken, and its own
    /// position is then one too high.
    false_last: Vec<Option<i64>>,
    buffer: Vec<*mut c::rd_kafka_message_t>,
}

// SAFETY: `buffer` is scratch space that holds no message between calls, and librdkafka's handles may be used from any
// thread; `&mut self` keeps two threads from polling at once.
unsafe impl Send for Fetcher {}

struct Queue(NonNull<c::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are locked inside.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference was taken in `Fetcher::new` and is given back once.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// What the client says goes where the rest of the process says things.
fn pass_on(says: &Queue) {
    // A few of each call: a client whose brokers are away says much.
    for _ in 0..16 {
        // SAFETY: the queue is alive; the event is ours until destroyed.
        let event = unsafe { c::rd_kafka_queue_poll(says.0.as_ptr(), 0) };
        if event.is_null() {
            return;
        }
        let (mut kind, mut text, mut level) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: the event is alive; for a log event (answer 0) the call points both texts at C strings inside it, which are
        // copied before it is destroyed, once.
        unsafe {
            if c::rd_kafka_event_log(event, &raw mut kind, &raw mut text, &raw mut level) == 0 {
                let (kind, text) = (CStr::from_ptr(kind).to_string_lossy(), CStr::from_ptr(text).to_string_lossy());
                // `ERROR` repeats what another line has said, once a second.
                if level <= WARNING && kind != "ERROR" {
                    tracing::warn!(%kind, %text, "kafka client");
                } else {
                    tracing::debug!(%kind, %text, "kafka client");
                }
            }
            c::rd_kafka_event_destroy(event);
        }
    }
}

/// The level of a warning, as syslog counts.
const WARNING: i32 = 4;

/// How long a broker may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(2);

/// Most messages of one call.
const MOST: usize = 10_000;

impl Fetcher {
    /// A client without partitions.
    pub fn new(options: &Options, client: &str) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer = settings::consumer(options, client).create()?;
        // SAFETY: the client lives in `consumer`, which outlives the queue (field order).
        let queue = unsafe { c::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue)
            .map(Queue)
            .ok_or_else(|| KafkaError::ClientCreation("the client has no consumer queue".into()))?;
        // SAFETY: as above.
        let says = unsafe { c::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let says = NonNull::new(says)
            .map(Queue)
            .ok_or_else(|| KafkaError::ClientCreation("the client makes no queue".into()))?;
        // SAFETY: client and queue are alive; librdkafka keeps a reference of its own to the queue.
        let set = unsafe { c::rd_kafka_set_log_queue(consumer.client().native_ptr(), says.0.as_ptr()) };
        if set.is_error() {
            return Err(KafkaError::ClientCreation("the client takes no queue for what it has to say".into()));
        }
        Ok(Self { queue, says, consumer, sources: HashMap::new(), false_last: Vec::new(), buffer: Vec::new() })
    }

    /// Takes these partitions and no others, each from an offset. What was fetched for an earlier assignment is
    /// discarded by the client.
    pub fn assign(&mut self, from: &[(String, i32, i64)]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        self.sources.clear();
        self.false_last = vec![None; from.len()];
        for (source, (topic, partition, offset)) in from.iter().enumerate() {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            self.sources.insert((topic.clone(), *partition), source);
        }
        self.consumer.assign(&list)?;
        // The client looks for the leader of a topic that is new to it only once a second. It hears of it now; should
        // nobody answer, it will by itself.
        let one = from.iter().all(|(topic, ..)| *topic == from[0].0);
        let named = from.first().filter(|_| one).map(|(topic, ..)| topic.as_str());
        if let Err(error) = self.consumer.fetch_metadata(named, QUERY_TIMEOUT) {
            tracing::debug!(%error, "asking for the leaders of a reader's partitions");
        }
        Ok(())
    }

    /// Lets go of all partitions; false when the client is of no further use.
    pub fn release(&mut self) -> bool {
        self.sources.clear();
        self.consumer.unassign().is_ok() && self.consumer.client().fatal_error().is_none()
    }

    /// Where each partition stands: after everything that [`Self::poll`] has taken, the cluster's own markers included.
    /// A partition for which that is in doubt is left out; its next end says it.
    pub fn positions(&self, mut each: impl FnMut(usize, i64)) {
        let Ok(list) = self.consumer.position() else { return };
        for element in list.elements() {
            let source = self.sources.get(&(element.topic().to_owned(), element.partition()));
            if let (Some(source), Offset::Offset(at)) = (source, element.offset())
                && self.false_last.get(*source).is_some_and(|last| *last != Some(at - 1))
            {
                each(*source, at);
            }
        }
    }

    /// First and end offset of a partition, as the cluster has them now.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.consumer.fetch_watermarks(topic, partition, QUERY_TIMEOUT)
    }

    /// Whether a broker answers within [`ANSWER`]; what it says of the topic is not looked at.
    pub fn ask(&self, topic: &str) -> Result<(), KafkaError> {
        self.consumer.fetch_metadata(Some(topic), ANSWER).map(drop)
    }

    /// Up to `most` messages; waits up to `wait` for the first.
    pub fn poll(&mut self, most: usize, wait: Duration, mut each: impl FnMut(Fetched)) {
        pass_on(&self.says);
        // A batch call waits until its batch is full: the first message is waited for alone.
        let first = self.batch(1, wait, &mut each);
        if first > 0 && most > 1 {
            self.batch(most - 1, Duration::ZERO, &mut each);
        }
        if let Some((code, message)) = self.consumer.client().fatal_error() {
            each(Fetched::Failed { source: None, code, message });
        }
    }

    fn batch(&mut self, most: usize, wait: Duration, each: &mut impl FnMut(Fetched)) -> usize {
        self.buffer.resize(most.clamp(1, MOST), std::ptr::null_mut());
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the buffer holds `len` writable pointers; the queue is alive.
        let count = unsafe {
            c::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait_ms, self.buffer.as_mut_ptr(), self.buffer.len())
        };
        // Negative: an error, and nothing was given.
        let count = usize::try_from(count).unwrap_or(0).min(self.buffer.len());
        for slot in &mut self.buffer[..count] {
            let Some(message) = NonNull::new(std::mem::replace(slot, std::ptr::null_mut())) else { continue };
            // Destroys the message when it goes out of scope, also when `each` panics.
            let message = Message(message);
            // SAFETY: librdkafka filled the first `count` slots with messages that are ours until destroyed; all that is
            // kept of one is copied out before.
            let (fetched, offset) = unsafe { (read(message.0.as_ref(), &self.sources), message.0.as_ref().offset) };
            if let Some(Fetched::End { source, .. } | Fetched::Failed { source: Some(source), .. }) = &fetched {
                self.false_last[*source] = Some(offset);
            }
            if let Some(fetched) = fetched {
                each(fetched);
            }
        }
        count
    }
}

struct Message(NonNull<c::rd_kafka_message_t>);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: made in `Fetcher::batch` alone, of a message that is ours and is destroyed once.
        unsafe { c::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Copies a message out.
///
/// # Safety
/// `message` must be one that librdkafka gave and that is not destroyed yet.
unsafe fn read(message: &c::rd_kafka_message_t, sources: &HashMap<(String, i32), usize>) -> Option<Fetched> {
    let topic = if message.rkt.is_null() {
        None
    } else {
        // SAFETY: the topic handle lives as long as the message; its name is a C string.
        let name = unsafe { CStr::from_ptr(c::rd_kafka_topic_name(message.rkt)) };
        name.to_str().ok().map(str::to_owned)
    };
    let source = topic.and_then(|topic| sources.get(&(topic, message.partition)).copied());
    if message.err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
        return Some(Fetched::End { source: source?, offset: message.offset });
    }
    if message.err.is_error() {
        // SAFETY: a static string, or one that lives in the message.
        let text = unsafe { CStr::from_ptr(c::rd_kafka_message_errstr(message)) };
        let message_text = text.to_string_lossy().into_owned();
        return Some(Fetched::Failed { source, code: message.err.into(), message: message_text });
    }
    let source = source?;
    // SAFETY: a pointer that is not null and the length beside it describe bytes inside the message, which is alive.
    let copy = |data: *mut std::ffi::c_void, len: usize| unsafe {
        (!data.is_null()).then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(data.cast::<u8>(), len)))
    };
    let key = copy(message.key, message.key_len).unwrap_or_default();
    let value = copy(message.payload, message.len);
    let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive; `kind` is written by the call.
    let timestamp_ms = unsafe { c::rd_kafka_message_timestamp(message, &raw mut kind) };
    Some(Fetched::Record { source, offset: message.offset, timestamp_ms, key, value })
}
