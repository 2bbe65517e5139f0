//! The embedded log: one directory, one process, no network.
//!
//! It is for a laptop, a demo, a commune office: everything that fits one machine. It is not a broker: it replicates
//! nothing, and **whoever can read the directory reads everything in it**; access lists bind those who go through
//! [`Log`] and nobody else.
//!
//! # What lies in the directory
//! | name | what |
//! |---|---|
//! | `log.json` | the number of the format, read before anything else |
//! | `lock` | locked (flock) by the process that has the log open, whose id it holds |
//! | `store/` | an LSM store (fjall 3) with two keyspaces, `records` and `meta`; their keys and values are in [`mod@format`] |
//!
//! # Durable
//! With [`Fsync::EachCommit`], the default, a commit or flush has returned only after `fdatasync` of the store's journal:
//! it survives a crash of the process and of the machine, as far as the disk keeps its word. With [`Fsync::Never`] it has
//! been handed to the operating system: it survives a crash of the process (`kill -9`), and a crash of the machine may
//! take the latest commits, whole commits and the newest first. Either way a commit is one batch of the store, so that
//! all of it is there or none.
//!
//! Readers see a commit when it is durable, not before.
//!
//! # Positions
//! Each commit burns one position of every partition it touches, as a transaction of Kafka does; a written batch burns
//! none. A topic made again under a name starts behind everything that the old one had.
//!
//! # Full
//! Before it writes, the log looks at the free space of its file system. Below [`Options::reserve_bytes`] it answers
//! [`Full`](kenh_domain::log::CommitError::Full) and writes nothing, so that the store never meets the end of the disk
//! half way. Deleting topics and maintenance go on: they make room.
//!
//! # When the store fails
//! After a failed write or fsync nobody knows what is on the disk (the page cache lies after a failed fsync). The commit
//! is [`Unclear`](kenh_domain::log::CommitError::Unclear), and nothing is written from then on until the next
//! [`Log::claim`], which opens the store anew, from the disk alone.

mod append;
mod claim;
mod directory;
pub mod format;
mod maintain;
mod reader;
mod recover;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod topics;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use kenh_domain::identity::Serial;
use kenh_domain::log::{
    Access, AdminError, Bounds, Claim, ClaimError, Incarnation, Log, Position, ReadError, Reader, TopicPartition,
    TopicSpec, Writer,
};
use kenh_domain::names::{Group, Principal};
use kenh_domain::topic::Topic;

pub use directory::OpenError;

use directory::Directory;
use state::State;
use store::Store;

/// When a commit is safe; see the [module's documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Every commit and flush waits for the disk.
    #[default]
    EachCommit,
    /// The operating system writes when it likes.
    Never,
}

/// Tells how many bytes are free for the directory given.
pub type FreeSpace = Arc<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

/// How a log is opened.
#[derive(Clone)]
pub struct Options {
    /// When a commit is safe.
    pub fsync: Fsync,
    /// Bytes that stay free on the file system, by default 64 MiB: room for what the store writes in the background.
    pub reserve_bytes: u64,
    /// Bytes of memory for blocks read, by default 32 MiB.
    pub cache_bytes: u64,
    /// How free space is measured; a test puts its own here to fill a disk that is not full.
    pub free_space: FreeSpace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: Fsync::EachCommit,
            reserve_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            free_space: Arc::new(directory::free_space),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("fsync", &self.fsync)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}

/// A log in a directory. Clones are the same log; the directory is free for another process when the last of them, and
/// of the claims, writers and readers they handed out, is dropped.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("dir", &self.shared.directory.path()).finish_non_exhaustive()
    }
}

/// Locks are taken in the order of the fields.
struct Shared {
    options: Options,
    incarnation: Incarnation,
    /// Held by whoever writes to the store, over the fsync too: positions are given and made durable in one order.
    appending: Mutex<()>,
    /// Empty after a failure, until it is opened anew.
    store: RwLock<Option<Store>>,
    /// What readers may see. Never held while the disk is waited for.
    state: Mutex<State>,
    changed: Condvar,
    /// The store failed and has not been opened anew.
    failed: AtomicBool,
    /// The next change fails, after it was made (true) or before.
    #[cfg(test)]
    lose_answer: Mutex<Option<bool>>,
    /// Dropped last: the lock on the directory outlives the store.
    directory: Directory,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes an empty one there.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when a process has it open, this one included; [`OpenError::Newer`] when a newer release made
    /// it; the others when the disk fails or holds something else.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let directory = Directory::open(dir)?;
        let opened = |source| OpenError::Store { dir: dir.to_path_buf(), source };
        let store = Store::open(&directory.store(), &options).map_err(opened)?;
        let (incarnation, state) = store.load().map_err(opened)?;
        let shared = Shared {
            options,
            incarnation,
            appending: Mutex::new(()),
            store: RwLock::new(Some(store)),
            state: Mutex::new(state),
            changed: Condvar::new(),
            failed: AtomicBool::new(false),
            #[cfg(test)]
            lose_answer: Mutex::new(None),
            directory,
        };
        shared.sweep().map_err(opened)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.shared.directory.path().to_path_buf()
    }
}

impl Shared {
    // A thread that panicked while it held a lock left nothing half done that matters: the state is changed only after
    // the store has taken the change.
    fn append_lock(&self) -> MutexGuard<'_, ()> {
        self.appending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> RwLockReadGuard<'_, Option<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes who waits for that.
    fn publish<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }
}

impl Log for EmbeddedLog {
    fn incarnation(&self) -> Incarnation {
        self.shared.incarnation.clone()
    }

    fn create_topic(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        self.shared.create_topic(spec)
    }

    fn delete_topic(&self, topic: &Topic) -> Result<(), AdminError> {
        self.shared.delete_topic(topic)
    }

    fn topics(&self) -> Result<Vec<TopicSpec>, AdminError> {
        Ok(self.shared.state().specs())
    }

    fn set_access(&self, topic: &Topic, access: &[Access]) -> Result<(), AdminError> {
        self.shared.set_access(topic, access)
    }

    fn access(&self, topic: &Topic) -> Result<Vec<Access>, AdminError> {
        let state = self.shared.state();
        let of = state.topics.get(topic).ok_or_else(|| AdminError::Missing(topic.clone()))?;
        Ok(of.access.iter().cloned().collect())
    }

    fn serials(&self, system: &Principal) -> Result<BTreeSet<Serial>, AdminError> {
        Ok(self.shared.state().serials.get(system).cloned().unwrap_or_default())
    }

    fn set_serials(&self, system: &Principal, serials: &BTreeSet<Serial>) -> Result<(), AdminError> {
        self.shared.set_serials(system, serials)
    }

    fn claim(&self, principal: &Principal, group: &Group) -> Result<Box<dyn Claim>, ClaimError> {
        Ok(Box::new(claim::EmbeddedClaim::new(self.shared.clone(), principal, group)?))
    }

    fn writer(&self, principal: &Principal) -> Box<dyn Writer> {
        Box::new(writer::EmbeddedWriter::new(self.shared.clone(), principal.clone()))
    }

    fn reader(&self, principal: &Principal, from: &[(TopicPartition, Position)]) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(reader::EmbeddedReader::new(self.shared.clone(), principal, from)?))
    }

    fn bounds(&self, principal: &Principal, of: &TopicPartition) -> Result<Bounds, ReadError> {
        self.shared.state().readable(principal, of).map(|(_, bounds)| bounds)
    }

    fn shows_uncommitted(&self) -> bool {
        // A batch of the store is there whole or not at all.
        false
    }

    fn maintain(&self, now_ms: i64) -> Result<(), AdminError> {
        self.shared.maintain(now_ms).map_err(|source| AdminError::Storage(source.into()))
    }
}
