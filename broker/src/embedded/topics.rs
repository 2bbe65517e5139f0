//! Making and deleting topics, and who may use them.

use std::collections::BTreeSet;

use kenh_domain::identity::Serial;
use kenh_domain::log::{Access, AdminError, Bounds, Position, TopicSpec};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;

use super::Shared;
use super::format::{self, TopicEntry, TopicNo};
use super::state::TopicState;
use super::store::StoreError;

/// Room that a change of a topic may take.
const ENTRY_BYTES: u64 = 64 << 10;
/// Records removed in one step: what others wait for at most.
pub(super) const SWEEP_RECORDS: usize = 10_000;

fn failed(source: StoreError) -> AdminError {
    AdminError::Storage(source.into())
}

impl Shared {
    pub(super) fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        let _appending = self.append_lock();
        let state = self.state();
        let known = state.topics.get(&spec.topic).map(|t| (t.number, t.spec.clone(), t.access.clone()));
        let (next, floor) = (state.next_topic, state.floors.get(&spec.topic).copied().unwrap_or_default());
        drop(state);
        if let Some((number, is, access)) = known {
            if is.partitions != spec.partitions {
                let (topic, wanted) = (spec.topic.clone(), spec.partitions);
                return Err(AdminError::Partitions { topic, is: is.partitions, wanted });
            }
            if is == *spec {
                return Ok(());
            }
            self.room_for(ENTRY_BYTES).map_err(failed)?;
            let entry = TopicEntry { spec: spec.clone(), access: access.into_iter().collect() };
            let value = format::topic_value(&entry).map_err(|error| failed(error.into()))?;
            self.commit(|change| change.put(format::topic_key(format::TOPIC, number), value)).map_err(failed)?;
            self.publish(|state| {
                if let Some(topic) = state.topics.get_mut(&spec.topic) {
                    topic.spec = entry.spec;
                }
            });
            return Ok(());
        }
        self.room_for(ENTRY_BYTES).map_err(failed)?;
        let number = TopicNo(next);
        let bounds = Bounds { start: Position(floor), end: Position(floor) };
        let entry = TopicEntry { spec: spec.clone(), access: Vec::new() };
        let value = format::topic_value(&entry).map_err(|error| failed(error.into()))?;
        self.commit(|change| {
            change.put(format::topic_key(format::TOPIC, number), value);
            change.put(format::NEXT_TOPIC.to_vec(), (next + 1).to_be_bytes().to_vec());
            for partition in 0..spec.partitions {
                change.put(format::bounds_key(number, partition), format::bounds_value(bounds));
            }
        })
        .map_err(failed)?;
        self.publish(|state| {
            state.next_topic = next + 1;
            state.names.insert(number, spec.topic.clone());
            let partitions = vec![bounds; spec.partitions as usize];
            let topic =
                TopicState { number, spec: entry.spec, access: Default::default(), partitions, compacted: vec![] };
            state.topics.insert(spec.topic.clone(), topic);
        });
        Ok(())
    }

    pub(super) fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        let _appending = self.append_lock();
        let known = self.state().topics.get(topic).map(|t| (t.number, t.spec.clone(), t.access.clone()));
        let (number, spec, is) = known.ok_or_else(|| AdminError::Missing(topic.clone()))?;
        let wanted: BTreeSet<Access> = access.iter().cloned().collect();
        if is == wanted {
            return Ok(());
        }
        let entry = TopicEntry { spec, access: wanted.iter().cloned().collect() };
        let value = format::topic_value(&entry).map_err(|error| failed(error.into()))?;
        self.commit(|change| change.put(format::topic_key(format::TOPIC, number), value)).map_err(failed)?;
        self.publish(|state| {
            if let Some(topic) = state.topics.get_mut(topic) {
                topic.access = wanted;
            }
        });
        Ok(())
    }

    pub(super) fn set_serials(&self, system: &Principal, serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        let _appending = self.append_lock();
        let value = format::serials_value(serials).map_err(|error| failed(error.into()))?;
        self.commit(|change| change.put(format::serials_key(system), value)).map_err(failed)?;
        self.publish(|state| state.serials.insert(system.clone(), serials.clone()));
        Ok(())
    }

    pub(super) fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        let appending = self.append_lock();
        let state = self.state();
        let Some(gone) = state.topics.get(topic) else { return Ok(()) };
        let (number, partitions) = (gone.number, gone.spec.partitions);
        // Behind every position and every end that it had: whoever kept one of those finds it gone.
        let floor = gone.partitions.iter().map(|bounds| bounds.end.0).max().unwrap_or_default() + 1;
        let of = |consumed: &kenh_domain::log::TopicPartition| consumed.topic == *topic;
        let consumed: Vec<_> = state
            .groups
            .iter()
            .flat_map(|(group, g)| g.committed.consumed.keys().map(move |consumed| (group, consumed)))
            .filter(|(_, consumed)| of(consumed))
            .map(|(group, consumed)| format::consumed_key(group, number, consumed.partition.0))
            .collect();
        drop(state);
        self.commit(|change| {
            change.remove(format::topic_key(format::TOPIC, number));
            (0..partitions).for_each(|partition| change.remove(format::bounds_key(number, partition)));
            consumed.into_iter().for_each(|key| change.remove(key));
            change.put(format::floor_key(&topic.to_string()), floor.to_be_bytes().to_vec());
            change.put(format::topic_key(format::DELETED, number), Vec::new());
        })
        .map_err(failed)?;
        self.publish(|state| {
            state.topics.remove(topic);
            state.names.remove(&number);
            state.floors.insert(topic.clone(), floor);
            for group in state.groups.values_mut() {
                group.committed.consumed.retain(|consumed, _| !of(consumed));
            }
        });
        drop(appending);
        self.sweep().map_err(failed)
    }

    /// Removes the records of topics that were deleted, a step at a time; goes on after a crash.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let deleted = self.write(|store| store.deleted())?;
        for topic in deleted {
            loop {
                let first = format::record_key(topic, 0, 0);
                let last = format::record_key(topic, u32::MAX, u64::MAX);
                let keys: Vec<_> = self.write(|store| {
                    let entries = store.records.range(first..=last).take(SWEEP_RECORDS);
                    entries.map(|entry| Ok(format::read_record_key(&entry.key()?)?)).collect()
                })?;
                let done = keys.len() < SWEEP_RECORDS;
                let _appending = self.append_lock();
                self.commit(|change| {
                    for (topic, partition, position) in keys {
                        change.remove_record(format::record_key(topic, partition, position));
                    }
                    if done {
                        change.remove(format::topic_key(format::DELETED, topic));
                    }
                })?;
                if done {
                    break;
                }
            }
        }
        Ok(())
    }
}
