//! What the log knows in memory: topics with their bounds and access lists, and what groups have committed.
//!
//! It says what is durable and visible; it is changed only after the store has taken the change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kenh_domain::identity::Serial;
use kenh_domain::log::{Access, Bounds, Committed, Operation, Position, ReadError, TopicPartition, TopicSpec};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

use super::format::TopicNo;

#[derive(Default)]
pub(super) struct State {
    pub(super) topics: BTreeMap<Topic, TopicState>,
    pub(super) names: HashMap<TopicNo, Topic>,
    /// Where a topic made again under the name starts.
    pub(super) floors: HashMap<Topic, u64>,
    pub(super) next_topic: u32,
    pub(super) groups: HashMap<Group, GroupState>,
    /// Which certificates are in force.
    pub(super) serials: HashMap<Principal, BTreeSet<Serial>>,
}

pub(super) struct TopicState {
    pub(super) number: TopicNo,
    pub(super) spec: TopicSpec,
    pub(super) access: BTreeSet<Access>,
    pub(super) partitions: Vec<Bounds>,
    /// Per partition, what the last compaction left; empty before the first.
    pub(super) compacted: Vec<Option<Compacted>>,
}

/// What a compaction left of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compacted {
    /// The end that it had.
    pub(super) end: Position,
    /// Time of its oldest tombstone.
    pub(super) oldest_tombstone_ms: Option<i64>,
}

#[derive(Default)]
pub(super) struct GroupState {
    /// How often it was claimed since the log was opened. One process has the directory, so that no claim of another
    /// can be alive.
    pub(super) epoch: u64,
    pub(super) committed: Committed,
}

impl TopicState {
    pub(super) fn allows(&self, principal: &Principal, operation: Operation) -> bool {
        principal.is_role() || self.access.contains(&Access { principal: principal.clone(), operation })
    }
}

impl State {
    pub(super) fn specs(&self) -> Vec<TopicSpec> {
        let mut specs: Vec<TopicSpec> = self.topics.values().map(|topic| topic.spec.clone()).collect();
        specs.sort_by_cached_key(|spec| spec.topic.to_string());
        specs
    }

    pub(super) fn partition(&self, of: &TopicPartition) -> Option<(&TopicState, Bounds)> {
        let topic = self.topics.get(&of.topic)?;
        Some((topic, *topic.partitions.get(of.partition.0 as usize)?))
    }

    pub(super) fn bounds_mut(&mut self, of: &TopicPartition) -> Option<&mut Bounds> {
        self.topics.get_mut(&of.topic)?.partitions.get_mut(of.partition.0 as usize)
    }

    /// Number and bounds of what `principal` may read.
    pub(super) fn readable(&self, principal: &Principal, of: &TopicPartition) -> Result<(TopicNo, Bounds), ReadError> {
        self.partition(of)
            .filter(|(topic, _)| topic.allows(principal, Operation::Read))
            .map(|(topic, bounds)| (topic.number, bounds))
            .ok_or_else(|| ReadError::Denied { principal: principal.clone(), of: of.clone() })
    }
}
