//! What other threads ask of a subscriber.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::CopyId;

/// A handle by which other threads ask a subscriber for something; it is done in a later turn. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<Asked>>);

/// What has been asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) confirm: BTreeSet<CopyId>,
    pub(super) refill: BTreeSet<CopyId>,
}

impl Requests {
    /// Confirm a copy as soon as it stands at a place that the bus has told of. The bus tells of none while nothing
    /// changes.
    pub fn confirm(&self, copy: CopyId) {
        self.change(|asked| asked.confirm.insert(copy));
    }

    /// Fill a copy anew, because its digest is not what it should be. The present one is shown until then.
    pub fn refill(&self, copy: CopyId) {
        self.change(|asked| asked.refill.insert(copy));
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Asked) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
