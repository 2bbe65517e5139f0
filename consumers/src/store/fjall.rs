//! Copies in fjall: for heavy writes.
//!
//! One keyspace. A batch is one entry of fjall's journal, which is synced (fsync) before it counts as done. Readers have
//! snapshots and never make the writer wait.

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use kenh_domain::log::StorageError;

use super::kv::{Kv, KvStore, KvView, Put};
use super::{StoreError, Visit};

/// Bytes that fjall may keep in memory of what it reads.
const CACHE_BYTES: u64 = 64 << 20;

/// A store of copies in fjall.
pub type FjallStore = KvStore<Fjall>;

/// fjall.
pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
}

impl FjallStore {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: `InUse`, `Newer`, `Storage`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let wrong = |error| match error {
            fjall::Error::Locked => StoreError::InUse(error.into()),
            _ => StoreError::Storage { doing: "be opened", source: error.into() },
        };
        let db = Database::builder(dir).cache_size(CACHE_BYTES).open().map_err(wrong)?;
        let keyspace = db.keyspace("copies", KeyspaceCreateOptions::default).map_err(wrong)?;
        Self::new(Fjall { db, keyspace })
    }
}

impl Kv for Fjall {
    fn write(&self, changes: Vec<Put>) -> Result<(), StorageError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, &*value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn view(&self) -> Box<dyn KvView + '_> {
        Box::new(View { snapshot: self.db.snapshot(), keyspace: &self.keyspace })
    }
}

struct View<'a> {
    snapshot: fjall::Snapshot,
    keyspace: &'a Keyspace,
}

impl KvView for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.snapshot.get(self.keyspace, key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for item in self.snapshot.range(self.keyspace, start..end) {
            let (key, value) = item.into_inner()?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
