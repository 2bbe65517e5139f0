//! After a failure: the store is opened anew, and what it holds is what was committed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Shared;
use super::store::{Store, StoreError};

impl Shared {
    /// Opens the store anew if it failed. To be called with the append lock held.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut slot = self.store.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: it holds a lock of its own. What its journal still buffers is part of the commit whose outcome
        // is not known.
        drop(slot.take());
        let store = Store::open(&self.directory.store(), &self.options)?;
        let (_, mut found) = store.load()?;
        *slot = Some(store);
        drop(slot);
        self.publish(|state| {
            // Claims made before the failure stay fenced, or alive, as they were.
            for (group, old) in &state.groups {
                found.groups.entry(group.clone()).or_default().epoch = old.epoch;
            }
            *state = found;
        });
        self.failed.store(false, Ordering::Release);
        tracing::warn!("the store of the embedded log was opened anew after a failure");
        Ok(())
    }
}
