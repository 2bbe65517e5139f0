//! A disk of a few MiB, to be filled and emptied by a test: a tmpfs in a mount namespace of its own, which the kernel
//! lets an ordinary user make.
//!
//! A process of ours holds the namespace, and whoever runs as the same user reaches the disk through that process, at
//! `/proc/PID/root`. Such a path works for every program that takes it as it is; what follows its links (`realpath`) lands
//! beside it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A small disk. It is gone with this value or with the process, however that went: its holder waits for the end of the
/// pipe that we hold.
pub struct SmallDisk {
    path: PathBuf,
    ballast: PathBuf,
    // Held for its standard input.
    holder: Child,
}

impl SmallDisk {
    /// One of `mib` MiB, for this user.
    ///
    /// # Panics
    /// When the kernel does not allow it: a test that needs a part which is missing fails.
    #[must_use]
    pub fn new(mib: u32) -> Self {
        Self::held_by(Command::new("unshare"), mib)
    }

    /// The same for whom `scripts/postgres` runs its server as: the user `postgres` where we are root.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn of_postgres(mib: u32) -> Self {
        let id = Command::new("id").arg("-u").output().unwrap();
        if id.stdout.trim_ascii() != b"0" {
            return Self::new(mib);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "unshare"]);
        Self::held_by(command, mib)
    }

    fn held_by(mut unshare: Command, mib: u32) -> Self {
        let hold = "mount -t tmpfs -o size=$1m,mode=0700 tmpfs /mnt && mkdir -m 0700 /mnt/disk && : >/mnt/ballast && \
                    echo held && exec cat";
        let mut holder = unshare
            .args(["--map-root-user", "--mount", "sh", "-c", hold, "sh", &mib.to_string()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n", "no disk: user namespaces are needed, see the lines above");
        // It has become `unshare`, then the shell, then `cat`, and is one process all the while.
        let root = Path::new("/proc").join(holder.id().to_string()).join("root/mnt");
        Self { path: root.join("disk"), ballast: root.join("ballast"), holder }
    }

    /// An empty directory on it, its owner's alone.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the room on it, but for `left` bytes.
    ///
    /// # Panics
    /// When there is less.
    pub fn fill(&self, left: u64) {
        let mut ballast = OpenOptions::new().append(true).open(&self.ballast).unwrap();
        let block = [7; 4096];
        let full = loop {
            if let Err(error) = ballast.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        let taken = ballast.metadata().unwrap().len();
        ballast.set_len(taken.checked_sub(left).unwrap()).unwrap();
    }

    /// Gives back what [`Self::fill`] took.
    ///
    /// # Panics
    /// When that fails.
    pub fn empty(&self) {
        OpenOptions::new().write(true).truncate(true).open(&self.ballast).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
