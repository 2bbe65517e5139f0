//! Fetching in batches, with the ends of partitions: the one place that calls librdkafka directly.
//!
//! rdkafka's own `poll` hands out one record at a time (half the rate of a batch, measured) and does not tell at which
//! offset a partition ended. Behind the last record of a transaction lies the cluster's own marker, which no reader
//! sees; only the end's offset moves a position past it.
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

use super::{Options, settings};

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

/// A consumer of given partitions.
pub struct Fetcher {
    // Dropped before the consumer that it belongs to.
    queue: Queue,
    consumer: BaseConsumer,
    sources: HashMap<(String, i32), usize>,
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
        // SAFETY: the reference was taken in `Fetcher::open` and is given back once.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// Most messages of one call.
const MOST: usize = 10_000;

impl Fetcher {
    /// Assigns partitions, each from an offset.
    pub fn open(options: &Options, client: &str, from: &[(String, i32, i64)]) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer = settings::consumer(options, client).create()?;
        let mut list = TopicPartitionList::new();
        let mut sources = HashMap::new();
        for (source, (topic, partition, offset)) in from.iter().enumerate() {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            sources.insert((topic.clone(), *partition), source);
        }
        // SAFETY: the client lives in `consumer`, which outlives the queue (field order).
        let queue = unsafe { c::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue)
            .map(Queue)
            .ok_or_else(|| KafkaError::ClientCreation("the client has no consumer queue".into()))?;
        consumer.assign(&list)?;
        Ok(Self { queue, consumer, sources, buffer: Vec::new() })
    }

    /// Up to `most` messages; waits up to `wait` for the first.
    pub fn poll(&mut self, most: usize, wait: Duration, mut each: impl FnMut(Fetched)) {
        self.buffer.resize(most.clamp(1, MOST), std::ptr::null_mut());
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the buffer holds `len` writable pointers; the queue is alive.
        let count = unsafe {
            c::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait_ms, self.buffer.as_mut_ptr(), self.buffer.len())
        };
        let count = usize::try_from(count).unwrap_or(0);
        for slot in &mut self.buffer[..count] {
            let message = std::mem::replace(slot, std::ptr::null_mut());
            if message.is_null() {
                continue;
            }
            // SAFETY: librdkafka filled the first `count` slots with messages that are ours until destroyed; all that is
            // kept of one is copied out before.
            unsafe {
                if let Some(fetched) = read(&*message, &self.sources) {
                    each(fetched);
                }
                c::rd_kafka_message_destroy(message);
            }
        }
        if let Some((code, message)) = self.consumer.client().fatal_error() {
            each(Fetched::Failed { source: None, code, message });
        }
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
    // SAFETY: pointer and length describe bytes inside the message; a null pointer has length 0 and is told apart.
    let copy = |data: *mut std::ffi::c_void, len: usize| unsafe {
        Bytes::copy_from_slice(std::slice::from_raw_parts(data.cast::<u8>(), len))
    };
    let key = if message.key.is_null() { Bytes::new() } else { copy(message.key, message.key_len) };
    let value = (!message.payload.is_null()).then(|| copy(message.payload, message.len));
    let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive; `kind` is written by the call.
    let timestamp_ms = unsafe { c::rd_kafka_message_timestamp(message, &raw mut kind) };
    Some(Fetched::Record { source, offset: message.offset, timestamp_ms, key, value })
}
