//! The conformance suite of the seam: one function per promise of [`kenh_domain::log`].
//!
//! It holds every log to the same words. A promise that Apache Kafka could not keep has no place in it; what a log may
//! do either way (whether unflushed records are seen, how many positions a transaction burns) is not looked at.
//!
//! ```ignore
//! kenh_testkit::conformance!(|| Subject::new(MemoryLog::new()));
//! ```
//!
//! makes a `#[test]` of each. A test takes a fresh [`Subject`]; those on one broker tell their topics apart by its
//! [`Subject::tag`]. What a log cannot be made to do on command (fill up, lose an answer, compact now) is skipped, and
//! the test says so.

pub mod access;
pub mod claims;
pub mod keeping;
pub mod oracle;
pub mod positions;
pub mod reading;
pub mod writing;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::log::{
    Batch, Bounds, Claim, Log, NewRecord, Position, Reader, Record, Retention, TopicPartition, TopicSpec, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

use crate::PATIENCE;

/// A log under test, and what can be done to it on command.
pub struct Subject {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Part of every name that a test uses: letters and digits, at most 12, other for each test that shares a broker.
    pub tag: String,
    /// Whether [`Log::maintain`] takes effect before it returns.
    pub maintains: bool,
    /// Whether a topic that was deleted can be made again; where it cannot, making it must fail.
    pub remakes: bool,
    /// How many interleavings are held to the oracle; fewer where each step is a question to a server.
    pub cases: u32,
    /// Makes the log full (true) or not.
    pub fill: Option<Box<dyn Fn(bool)>>,
    /// Makes the outcome of the next commit unclear, with the batch written (true) or not.
    pub lose_answer: Option<Box<dyn Fn(bool)>>,
    /// Dropped last: the directory or the broker that the log stands on.
    pub ground: Box<dyn Any>,
}

impl Subject {
    /// A log that has the test to itself, maintains on command, and can be told nothing else.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            tag: "x".into(),
            maintains: true,
            remakes: true,
            cases: 64,
            fill: None,
            lose_answer: None,
            ground: Box::new(()),
        }
    }

    fn data(&self, name: &str) -> Topic {
        format!("data.{name}-{}", self.tag).parse().unwrap()
    }

    fn group(&self, name: &str) -> Group {
        format!("{name}-{}", self.tag).parse().unwrap()
    }

    fn make(&self, name: &str, partitions: u32) -> Topic {
        self.make_kept(name, partitions, Retention::Forever)
    }

    fn make_kept(&self, name: &str, partitions: u32, retention: Retention) -> Topic {
        let topic = self.data(name);
        self.log.create_topic(&TopicSpec { topic: topic.clone(), partitions, retention }).unwrap();
        topic
    }

    fn claim(&self, group: &str) -> Box<dyn Claim> {
        self.log.claim(&Principal::router(), &self.group(group)).unwrap()
    }

    fn writer(&self) -> Box<dyn Writer> {
        self.log.writer(&Principal::control())
    }

    fn write(&self, records: Vec<NewRecord>) -> Vec<(TopicPartition, Position)> {
        let mut writer = self.writer();
        writer.write(records).unwrap();
        writer.flush().unwrap()
    }

    fn bounds(&self, topic: &Topic, partition: u32) -> Bounds {
        self.log.bounds(&Principal::router(), &TopicPartition::new(topic.clone(), partition)).unwrap()
    }

    fn reader(&self, of: &[(&Topic, u32)]) -> Box<dyn Reader> {
        let from: Vec<_> = of
            .iter()
            .map(|(topic, partition)| {
                (TopicPartition::new((*topic).clone(), *partition), self.bounds(topic, *partition).start)
            })
            .collect();
        self.log.reader(&Principal::router(), &from).unwrap()
    }

    /// Everything in one partition, read up to the end that it has now.
    fn read(&self, topic: &Topic, partition: u32) -> Vec<Record> {
        let end = self.bounds(topic, partition).end;
        read_to(&mut *self.reader(&[(topic, partition)]), &[end])
    }

    fn values(&self, topic: &Topic, partition: u32) -> Vec<String> {
        self.read(topic, partition).iter().map(text).collect()
    }
}

/// Polls until each position has reached the end beside it.
fn read_to(reader: &mut dyn Reader, ends: &[Position]) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while reader.positions().iter().zip(ends).any(|(at, end)| at < end) {
        // A short wait: a position may move past what a reader never sees without anything to give.
        found.extend(reader.poll(1000, 1 << 20, Duration::from_millis(5)).unwrap());
        let at = reader.positions();
        assert!(Instant::now() < deadline, "the reader stays at {at:?} and does not reach {ends:?}");
    }
    found
}

fn text(record: &Record) -> String {
    match &record.value {
        Some(value) => String::from_utf8(value.to_vec()).unwrap(),
        None => "(tombstone)".into(),
    }
}

fn record(topic: &Topic, partition: u32, key: &str, value: &str) -> NewRecord {
    NewRecord { timestamp_ms: 1_000, ..crate::builders::record(topic, partition, key, value) }
}

fn tombstone(topic: &Topic, partition: u32, key: &str, timestamp_ms: i64) -> NewRecord {
    let key = Bytes::copy_from_slice(key.as_bytes());
    NewRecord { to: TopicPartition::new(topic.clone(), partition), timestamp_ms, key, value: None }
}

fn batch(records: Vec<NewRecord>) -> Batch {
    Batch { records, ..Batch::default() }
}

fn at(topic: &Topic, partition: u32) -> TopicPartition {
    TopicPartition::new(topic.clone(), partition)
}

/// Says that a promise was not looked at, and why.
fn skipped(promise: &str, because: &str) {
    eprintln!("skipped: {promise}: {because}");
}

/// Makes a `#[test]` of each promise of the seam, for the logs that the given `Fn() -> Subject` makes.
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        $crate::conformance_tests!($factory;
            positions: positions_rise_and_are_never_given_twice, a_commit_tells_the_end_of_every_partition_it_wrote_to,
                a_flush_tells_the_ends_since_the_last_one, a_reader_reaches_every_end_it_was_told_of,
                an_end_never_lies_within_a_commit, an_incarnation_stays;
            claims: a_commit_writes_records_positions_and_metadata_together, a_commit_may_carry_no_records,
                nothing_of_a_refused_batch_is_written, a_new_claim_fences_all_before_it,
                a_fence_holds_from_the_moment_the_claim_returns, groups_do_not_touch_each_other,
                the_next_claim_starts_from_what_was_committed, metadata_has_a_limit_in_bytes, only_roles_claim,
                an_unclear_commit_is_cleared_up_by_the_next_claim, a_full_log_writes_nothing_and_goes_on_later;
            access: nobody_reads_or_writes_unless_the_list_says_so, denied_and_missing_look_the_same,
                an_access_list_is_replaced_as_a_whole, an_open_reader_is_denied_when_its_access_ends,
                a_waiting_reader_is_denied_when_its_access_ends, an_access_list_needs_a_topic,
                a_deleted_topic_is_denied_to_its_readers, a_topic_made_again_gives_out_no_old_position;
            reading: records_come_back_as_they_were_written, a_reader_serves_many_partitions_each_in_order,
                no_partition_starves_another, a_poll_keeps_to_its_limits, an_empty_poll_waits_and_gives_nothing,
                a_waiting_reader_wakes_on_a_write, a_waiting_reader_wakes_on_a_commit,
                a_position_outside_the_log_is_gone, a_reader_goes_on_where_another_stopped;
            writing: writers_keep_their_order, a_denied_write_writes_nothing, the_largest_record_passes,
                a_larger_record_is_refused, many_topics_are_committed_at_once, what_is_not_there_is_not_written_to;
            keeping: a_partition_count_never_changes, making_a_topic_again_changes_its_retention,
                topics_are_listed_in_the_order_of_their_names, old_records_go_and_the_start_moves,
                what_is_kept_for_ever_is_kept, compaction_keeps_the_latest_of_every_key,
                tombstones_stay_for_their_days, a_reader_behind_the_start_is_gone,
                an_end_stays_when_the_last_record_goes;
            oracle: any_interleaving_reads_like_the_oracle;
        );
    };
}

/// Used by [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr; $($module:ident: $($promise:ident),+;)+) => {
        $($(
            #[test]
            fn $promise() {
                $crate::conformance::$module::$promise(&($factory)());
            }
        )+)+
    };
}
