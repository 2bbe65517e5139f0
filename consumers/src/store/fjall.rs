//! Copies in fjall: for heavy writes.
//!
//! One keyspace. A batch is one entry of fjall's journal, which is synced (fsync) before it counts as done. Readers have
//! snapshots and never make the writer wait.
//!
//! # A write that fails
//! fjall takes no write after one that failed, its own in the background included. So the database is closed then, and
//! opened again from its files by whoever comes next.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use kenh_domain::log::StorageError;

use super::kv::{CLOSED, Kv, KvStore, KvView, Put};
use super::{StoreError, Visit};

/// Bytes that fjall may keep in memory of what it reads.
const CACHE_BYTES: u64 = 64 << 20;

/// A store of copies in fjall.
pub type FjallStore = KvStore<Fjall>;

/// fjall.
pub struct Fjall {
    dir: PathBuf,
    /// None since a write failed. Locked for writing only to close and to open it.
    db: RwLock<Option<Opened>>,
}

struct Opened {
    db: Database,
    keyspace: Keyspace,
}

impl FjallStore {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: `InUse`, `Newer`, `Storage`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::new(Fjall::open(dir)?, dir)
    }
}

impl Fjall {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { dir: dir.to_owned(), db: RwLock::new(Some(open(dir)?)) })
    }

    /// To use; opened again where it was closed.
    fn opened(&self) -> Result<RwLockReadGuard<'_, Option<Opened>>, StorageError> {
        let read = || self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = read();
        if db.is_some() {
            return Ok(db);
        }
        drop(db);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        if db.is_none() {
            *db = Some(open(&self.dir)?);
        }
        drop(db);
        Ok(read())
    }
}

fn open(dir: &Path) -> Result<Opened, StoreError> {
    let wrong = |error| match error {
        fjall::Error::Locked => StoreError::InUse(error.into()),
        _ => StoreError::Storage { doing: "be opened", source: error.into() },
    };
    let db = Database::builder(dir).cache_size(CACHE_BYTES).open().map_err(wrong)?;
    let keyspace = db.keyspace("copies", KeyspaceCreateOptions::default).map_err(wrong)?;
    Ok(Opened { db, keyspace })
}

fn write(Opened { db, keyspace }: &Opened, changes: Vec<Put>) -> fjall::Result<()> {
    let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(keyspace, key, &*value),
            None => batch.remove(keyspace, key),
        }
    }
    batch.commit()
}

impl Kv for Fjall {
    fn write(&self, changes: Vec<Put>) -> Result<(), StorageError> {
        let db = self.opened()?;
        let written = write(db.as_ref().ok_or(CLOSED)?, changes);
        drop(db);
        if written.is_err() {
            // Waits for readers: a directory is opened once at a time.
            *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(written?)
    }

    fn view(&self) -> Result<Box<dyn KvView + '_>, StorageError> {
        let db = self.opened()?;
        let snapshot = db.as_ref().ok_or(CLOSED)?.db.snapshot();
        Ok(Box::new(View { snapshot, db }))
    }
}

struct View<'a> {
    // Dropped first: it is a part of the database.
    snapshot: fjall::Snapshot,
    db: RwLockReadGuard<'a, Option<Opened>>,
}

impl View<'_> {
    fn keyspace(&self) -> Result<&Keyspace, StorageError> {
        Ok(&self.db.as_ref().ok_or(CLOSED)?.keyspace)
    }
}

impl KvView for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.snapshot.get(self.keyspace()?, key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for item in self.snapshot.range(self.keyspace()?, start..end) {
            let (key, value) = item.into_inner()?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
