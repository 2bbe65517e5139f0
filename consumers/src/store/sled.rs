//! Copies in sled: the embedded default.
//!
//! One tree. A batch of sled is atomic over a crash; it is flushed (fsync) before it counts as done. sled has no
//! snapshots: readers and the writer take turns.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::log::StorageError;

use super::kv::{Kv, KvStore, KvView, Put};
use super::{StoreError, Visit};

/// Bytes that sled may keep in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// How long a directory may still be locked after a store on it was dropped in this process: threads of sled let go of
/// it a little later.
const LETTING_GO: Duration = Duration::from_secs(1);

/// A store of copies in sled.
pub type SledStore = KvStore<Sled>;

/// sled, behind the lock that stands in for snapshots.
pub struct Sled {
    db: sled::Db,
    turn: RwLock<()>,
}

impl SledStore {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: `InUse`, `Newer`, `Storage`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        // Every batch is flushed by itself; the timer would only flush nothing.
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let deadline = Instant::now() + LETTING_GO;
        let db = loop {
            match config.open() {
                Ok(db) => break db,
                // sled says so in words only.
                Err(sled::Error::Io(io)) if io.to_string().contains("could not acquire lock") => {
                    if Instant::now() >= deadline {
                        return Err(StoreError::InUse(io.into()));
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(StoreError::Storage { doing: "be opened", source: error.into() }),
            }
        };
        Self::new(Sled { db, turn: RwLock::new(()) })
    }
}

impl Kv for Sled {
    fn write(&self, changes: Vec<Put>) -> Result<(), StorageError> {
        let _turn = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, &*value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(())
    }

    fn view(&self) -> Box<dyn KvView + '_> {
        let turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        Box::new(View { db: &self.db, _turn: turn })
    }
}

struct View<'a> {
    db: &'a sled::Db,
    _turn: RwLockReadGuard<'a, ()>,
}

impl KvView for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.db.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for item in self.db.range(start..end) {
            let (key, value) = item?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
