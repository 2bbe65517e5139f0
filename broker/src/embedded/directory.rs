//! The directory: who may have it open, and which format lies in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::FORMAT;
use super::store::StoreError;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A process has it open.
    #[error("the log in {} is open in {}", dir.display(), holder.map_or("another process".into(), |id| format!("process {id}")))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, where it said so.
        holder: Option<u32>,
    },
    /// A newer release made it.
    #[error("the log in {} has format {found}; this release reads {FORMAT}: use a newer kenh", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What lies there is no log of this kind, or is one that lost a part.
    #[error("{} holds no log: {reason}", dir.display())]
    NotALog {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The directory cannot be used.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The store in it cannot be opened.
    #[error("the store in {} cannot be opened", dir.display())]
    Store {
        /// The directory.
        dir: PathBuf,
        /// What failed.
        #[source]
        source: StoreError,
    },
}

/// A directory that is ours until this is dropped.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// `log.json`.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
}

impl Directory {
    /// Takes the directory, making it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Io { path, source }
        };
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::InUse { dir: path.to_path_buf(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        }
        note_holder(&mut lock).map_err(failed(&lock_path))?;
        let header_path = path.join("log.json");
        match std::fs::read(&header_path) {
            Ok(bytes) => check(path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.join("store").exists() {
                    let reason = "there is a store, and no log.json that tells its format";
                    return Err(OpenError::NotALog { dir: path.to_path_buf(), reason });
                }
                make_header(path, &header_path).map_err(failed(&header_path))?;
            }
            Err(source) => return Err(OpenError::Io { path: header_path, source }),
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }
}

/// For whoever finds the log locked.
fn note_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{}", std::process::id())
}

fn check(dir: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let header: Header = serde_json::from_slice(bytes)
        .map_err(|_| OpenError::NotALog { dir: dir.to_path_buf(), reason: "log.json tells no format" })?;
    match header.format {
        FORMAT => Ok(()),
        0 => Err(OpenError::NotALog { dir: dir.to_path_buf(), reason: "there is no format 0" }),
        found => Err(OpenError::Newer { dir: dir.to_path_buf(), found }),
    }
}

/// All or nothing: the file is there under its name only when it is whole.
fn make_header(dir: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(&Header { format: FORMAT })?;
    bytes.push(b'\n');
    let new = dir.join("log.json.new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

/// Bytes that a process without privileges may still write to the file system of `path`.
pub(super) fn free_space(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
