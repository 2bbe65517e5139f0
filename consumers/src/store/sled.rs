//! Copies in sled: the embedded default.
//!
//! One tree. A batch of sled is atomic over a crash; it is flushed (fsync) before it counts as done. sled has no
//! snapshots: readers and the writer take turns.
//!
//! # A write that fails
//! sled shows what it could not write as if it had been, and refuses every write from then on. So the database is closed
//! when a write has failed, and opened again from its files by whoever comes next.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kenh_domain::log::StorageError;

use super::kv::{CLOSED, Kv, KvStore, KvView, Put};
use super::{StoreError, Visit};

/// Bytes that sled may keep in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// How long a directory may still be locked after a store on it was dropped in this process: threads of sled let go of
/// it a little later.
const LETTING_GO: Duration = Duration::from_secs(1);

/// How long a flush takes at the most before sled is asked whether it has forgotten to say that it failed.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// A store of copies in sled.
pub type SledStore = KvStore<Sled>;

/// sled, behind the lock that stands in for snapshots.
pub struct Sled {
    dir: PathBuf,
    /// None since a write failed.
    db: RwLock<Option<sled::Db>>,
}

impl SledStore {
    /// Opens a directory, or makes it.
    ///
    /// # Errors
    /// [`StoreError`]: `InUse`, `Newer`, `Storage`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::new(Sled::open(dir)?, dir)
    }
}

impl Sled {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { dir: dir.to_owned(), db: RwLock::new(Some(open(dir)?)) })
    }

    /// To read from; opened again where it was closed.
    fn read(&self) -> Result<RwLockReadGuard<'_, Option<sled::Db>>, StorageError> {
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

fn open(dir: &Path) -> Result<sled::Db, StoreError> {
    // Every batch is flushed by itself; the timer would only flush nothing.
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            // sled says so in words only.
            Err(sled::Error::Io(io)) if io.to_string().contains("could not acquire lock") => {
                if Instant::now() >= deadline {
                    return Err(StoreError::InUse(io.into()));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(sled::Error::Corruption { .. }) if removed_half_snapshots(dir) => {}
            Err(error) => return Err(StoreError::Storage { doing: "be opened", source: error.into() }),
        }
    }
}

/// Whether there was half a snapshot, which is removed. sled 0.34 writes one while it opens a directory, and leaves it
/// under this name when the disk is full or the process is killed; from then on it takes it for a whole one, and calls the
/// directory corrupt. What is whole has another name.
fn removed_half_snapshots(dir: &Path) -> bool {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path());
    let half = files.filter(|file| file.extension().is_some_and(|end| end == "generating"));
    half.filter(|file| std::fs::remove_file(file).is_ok()).count() > 0
}

/// Writes a batch and waits until it is durable.
fn write(db: &sled::Db, batch: sled::Batch) -> sled::Result<()> {
    db.apply_batch(batch)?;
    std::thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        let flushing = scope.spawn(move || {
            let flushed = db.flush();
            drop(done);
            flushed
        });
        // When a write fails in one of its threads, sled 0.34 does not always wake who waits for it; who asks anew meets
        // the failure, and wakes him.
        while ended.recv_timeout(FORGOTTEN) == Err(RecvTimeoutError::Timeout) {
            scope.spawn(|| db.flush());
        }
        match flushing.join() {
            Ok(flushed) => flushed.map(drop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Kv for Sled {
    fn write(&self, changes: Vec<Put>) -> Result<(), StorageError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, &*value),
                None => batch.remove(key),
            }
        }
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let opened = match db.take() {
            Some(opened) => opened,
            None => open(&self.dir)?,
        };
        write(&opened, batch)?;
        *db = Some(opened);
        Ok(())
    }

    fn view(&self) -> Result<Box<dyn KvView + '_>, StorageError> {
        Ok(Box::new(View(self.read()?)))
    }
}

struct View<'a>(RwLockReadGuard<'a, Option<sled::Db>>);

impl View<'_> {
    fn db(&self) -> Result<&sled::Db, StorageError> {
        Ok(self.0.as_ref().ok_or(CLOSED)?)
    }
}

impl KvView for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.db()?.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for item in self.db()?.range(start..end) {
            let (key, value) = item?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
