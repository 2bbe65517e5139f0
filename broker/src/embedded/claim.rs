//! Claims on the embedded log.

use std::sync::Arc;

use kenh_domain::limits::MAX_METADATA_BYTES;
use kenh_domain::log::{Batch, Claim, ClaimError, CommitError, Committed, Position, TopicPartition};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

use super::Shared;
use super::append::{self, Misfit, Touched};
use super::format;
use super::state::State;

pub(super) struct EmbeddedClaim {
    shared: Arc<Shared>,
    group: Group,
    epoch: u64,
    committed: Committed,
    /// After a commit of unknown outcome.
    dead: bool,
}

impl EmbeddedClaim {
    pub(super) fn new(shared: Arc<Shared>, principal: &Principal, group: &Group) -> Result<Self, ClaimError> {
        if !principal.is_role() {
            return Err(ClaimError::Denied(principal.clone()));
        }
        // A commit under way ends first, so that this claim sees it.
        let appending = shared.append_lock();
        shared.recover().map_err(|source| ClaimError::Storage(group.clone(), source.into()))?;
        let (epoch, committed) = shared.publish(|state| {
            let of = state.groups.entry(group.clone()).or_default();
            of.epoch += 1;
            (of.epoch, of.committed.clone())
        });
        drop(appending);
        Ok(Self { shared, group: group.clone(), epoch, committed, dead: false })
    }

    fn check<'a>(&self, state: &State, batch: &'a Batch) -> Result<Touched<'a>, CommitError> {
        if state.groups.get(&self.group).is_none_or(|group| group.epoch != self.epoch) {
            return Err(CommitError::Fenced(self.group.clone()));
        }
        if self.dead {
            return Err(CommitError::Unclear("the claim is dead: an earlier commit had no known outcome".into()));
        }
        if batch.metadata.len() > MAX_METADATA_BYTES {
            // Metadata lies beside a consumed position: that is the place to name.
            let to = batch.consumed.first().map(|(of, _)| of).or(batch.records.first().map(|record| &record.to));
            let to = to.cloned().unwrap_or_else(|| TopicPartition::new(Topic::Heads, 0));
            let reason = format!("metadata of {} bytes, more than {MAX_METADATA_BYTES}", batch.metadata.len());
            return Err(CommitError::Refused { to, reason });
        }
        append::touched(state, &batch.records).map_err(|misfit| match misfit {
            Misfit::Missing(to) => CommitError::Refused { to, reason: "there is no such topic or partition".into() },
            Misfit::TooLarge(to, reason) => CommitError::Refused { to, reason },
        })
    }
}

impl Claim for EmbeddedClaim {
    fn committed(&self) -> &Committed {
        &self.committed
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<(TopicPartition, Position)>, CommitError> {
        let shared = self.shared.clone();
        let _appending = shared.append_lock();
        let state = shared.state();
        let touched = self.check(&state, &batch)?;
        // Topics deleted since have taken their positions with them.
        let consumed: Vec<_> = batch
            .consumed
            .iter()
            .filter_map(|(of, position)| Some((state.partition(of)?.0.number, of, *position)))
            .collect();
        drop(state);
        shared.room_for(touched.bytes()).map_err(|source| CommitError::Full(source.into()))?;
        let mut ends = Vec::new();
        let written = shared.commit(|change| {
            ends = append::put(change, touched, &batch.records, 1);
            for (topic, of, position) in &consumed {
                let key = format::consumed_key(&self.group, *topic, of.partition.0);
                change.put(key, position.0.to_be_bytes().to_vec());
            }
            if batch.metadata != self.committed.metadata {
                change.put(format::metadata_key(&self.group), batch.metadata.clone().into_bytes());
            }
        });
        match written {
            Ok(()) => {}
            Err(error) => {
                self.dead = true;
                return Err(CommitError::Unclear(error.into()));
            }
        }
        let consumed: Vec<_> = consumed.into_iter().map(|(_, of, position)| (of.clone(), position)).collect();
        self.committed = shared.publish(|state| {
            Shared::publish_ends(state, &ends);
            let group = state.groups.entry(self.group.clone()).or_default();
            group.committed.consumed.extend(consumed);
            group.committed.metadata = batch.metadata;
            group.committed.clone()
        });
        Ok(ends)
    }
}
