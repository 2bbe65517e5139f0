//! A node: one directory with everything it holds, and how a command reaches it.
//!
//! ```text
//! <data>/log/            the embedded log (none where the log is a Kafka cluster)
//! <data>/secret          the node's master secret, 64 hexadecimal digits, readable by its owner alone
//! <data>/state/          the router's state images; may be deleted, is then rebuilt from the log
//! <data>/copies/<AGENCY> the copies this node keeps
//! <data>/node.json       address and token of the process that runs on the directory, while it runs
//! ```

pub mod client;
pub mod known;
pub mod read;
pub mod remote;
pub mod run;
pub mod signal;
pub mod topics;
pub mod unsigned;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kenh_broker::embedded::{EmbeddedLog, OpenError};
use kenh_broker::kafka::{ConnectError, Guest, GuestError, KafkaLog};
use kenh_domain::log::Log;
use kenh_domain::names::Agency;
use kenh_domain::secret::Secret;

use crate::config::{Config, Fsync};
use client::{CallError, Client, Running};
use remote::RemoteLog;

/// Why a node's directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file of it cannot be read or written.
    #[error("{file}: cannot {doing}")]
    File {
        /// Which file.
        file: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The secret is not one.
    #[error("{0}: not 64 hexadecimal digits; restore it from a backup: pseudonyms and digests depend on it")]
    Secret(PathBuf),
    /// The log cannot be opened.
    #[error("the log of this node cannot be opened")]
    Log(#[from] OpenError),
    /// The cluster cannot be used.
    #[error("the Kafka cluster cannot be used")]
    Kafka(#[from] ConnectError),
    /// A node runs on the directory but cannot be reached.
    #[error("a node runs on this directory but cannot be reached")]
    Unreachable(#[from] CallError),
}

/// A node whose directory this process holds.
#[derive(Clone)]
pub struct Node {
    /// Its directory.
    pub dir: PathBuf,
    /// Its log.
    pub log: Arc<dyn Log>,
    /// The same, where it is a cluster.
    kafka: Option<Arc<KafkaLog>>,
    /// The bootstrap servers, where it is a cluster.
    pub bootstrap: Option<String>,
    /// Its master secret.
    pub master: Secret,
}

/// How a command works with a node.
pub enum Reach {
    /// It holds the directory itself, and runs what it needs.
    Local(Node),
    /// Another process does, and is asked.
    Remote(Arc<Client>, Arc<dyn Log>),
    /// The log is a cluster, and the roles run wherever they run.
    Cluster(Node),
}

impl Reach {
    /// The node's log, either way.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Local(node) | Self::Cluster(node) => node.log.clone(),
            Self::Remote(_, log) => log.clone(),
        }
    }

    /// The system of an agency that this process is, by its certificate; none where it may act as any.
    ///
    /// # Errors
    /// [`GuestError`].
    pub fn guest(&self) -> Result<Option<Guest>, GuestError> {
        match self {
            Self::Cluster(Node { kafka: Some(kafka), .. }) => kafka.guest(),
            _ => Ok(None),
        }
    }
}

impl Node {
    /// Opens a directory, making it where it is not there.
    ///
    /// # Errors
    /// [`NodeError`]; `Log(InUse)` when another process holds it.
    pub fn open(config: &Config) -> Result<Self, NodeError> {
        let dir = config.data.clone();
        make_private_dir(&dir)?;
        let kafka = connect(config)?.map(Arc::new);
        let log: Arc<dyn Log> = match &kafka {
            Some(kafka) => kafka.clone(),
            None => Arc::new(open_log(config)?),
        };
        let master = read_or_make_secret(&dir.join("secret"))?;
        let bootstrap = config.bootstrap().map(ToOwned::to_owned);
        Ok(Self { dir, log, kafka, bootstrap, master })
    }

    /// Opens the directory, or reaches the process that holds it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn reach(config: &Config) -> Result<Reach, NodeError> {
        match Self::open(config) {
            Ok(node) if node.kafka.is_some() => Ok(Reach::Cluster(node)),
            Ok(node) => Ok(Reach::Local(node)),
            Err(NodeError::Log(OpenError::InUse { .. })) if running_file(&config.data).exists() => {
                let client = Arc::new(Client::new(read_running(&config.data)?));
                let log = RemoteLog::connect(client.clone())?;
                Ok(Reach::Remote(client, Arc::new(log)))
            }
            Err(other) => Err(other),
        }
    }

    /// The log alone: the cluster's, or that of the directory, whoever holds it.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn log(config: &Config) -> Result<Arc<dyn Log>, NodeError> {
        match connect(config)? {
            Some(kafka) => Ok(Arc::new(kafka)),
            None => Self::reach(config).map(|reach| reach.log()),
        }
    }

    /// As [`Node::reach`], but makes nothing: none where there is no node yet.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn existing(config: &Config) -> Result<Option<Reach>, NodeError> {
        if config.kafka.is_some() || config.data.join("log").exists() {
            Self::reach(config).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Where the router keeps its state images.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where an agency's copies lie.
    #[must_use]
    pub fn copies_dir(&self, agency: &Agency) -> PathBuf {
        copies_dir(&self.dir, agency)
    }
}

/// Where an agency's copies lie in a node's directory.
#[must_use]
pub fn copies_dir(dir: &Path, agency: &Agency) -> PathBuf {
    dir.join("copies").join(agency.as_str())
}

/// The cluster, where the configuration names one.
fn connect(config: &Config) -> Result<Option<KafkaLog>, ConnectError> {
    let Some(kafka) = &config.kafka else { return Ok(None) };
    let options = kenh_broker::kafka::Options {
        bootstrap: kafka.bootstrap.clone(),
        settings: kafka.settings.clone(),
        replication: kafka.replication,
    };
    KafkaLog::connect(options).map(Some)
}

/// The log that lies in the directory.
fn open_log(config: &Config) -> Result<EmbeddedLog, OpenError> {
    let options = kenh_broker::embedded::Options {
        fsync: match config.fsync {
            Fsync::EachCommit => kenh_broker::embedded::Fsync::EachCommit,
            Fsync::Never => kenh_broker::embedded::Fsync::Never,
        },
        ..Default::default()
    };
    EmbeddedLog::open(&config.data.join("log"), options)
}

fn running_file(dir: &Path) -> PathBuf {
    dir.join("node.json")
}

fn read_running(dir: &Path) -> Result<Running, NodeError> {
    let file = running_file(dir);
    let text = fs::read(&file).map_err(|source| NodeError::File { file: file.clone(), doing: "read it", source })?;
    serde_json::from_slice(&text).map_err(|e| NodeError::File {
        file,
        doing: "understand it",
        source: std::io::Error::other(e),
    })
}

/// The file by which other commands find this process; gone again when it is dropped.
pub struct Announced(PathBuf);

impl Announced {
    /// Leaves address and token in the directory.
    ///
    /// # Errors
    /// [`NodeError::File`].
    pub fn new(dir: &Path, running: &Running) -> Result<Self, NodeError> {
        let file = running_file(dir);
        let text = serde_json::to_vec(running).map_err(|e| NodeError::File {
            file: file.clone(),
            doing: "write it",
            source: std::io::Error::other(e),
        })?;
        write_private(&file, &text)?;
        Ok(Self(file))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What stays behind after a crash is overwritten by the next start; commands find the directory free then.
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "could not remove the address file");
        }
    }
}

fn make_private_dir(dir: &Path) -> Result<(), NodeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| NodeError::File {
        file: dir.into(),
        doing: "make the directory",
        source,
    })
}

fn write_private(file: &Path, text: &[u8]) -> Result<(), NodeError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let wrong = |source| NodeError::File { file: file.into(), doing: "write it", source };
    let part = file.with_extension("part");
    let mut open = fs::OpenOptions::new();
    let mut out = open.write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(wrong)?;
    out.write_all(text).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&part, file)).map_err(wrong)
}

fn read_or_make_secret(file: &Path) -> Result<Secret, NodeError> {
    if !file.exists() {
        // Version 4 UUIDs are 122 random bits from the operating system each; two of them hashed make 32 bytes.
        use sha2::{Digest as _, Sha256};
        let mut hasher = Sha256::new();
        for _ in 0..4 {
            hasher.update(uuid::Uuid::new_v4().as_bytes());
        }
        let bytes: [u8; 32] = hasher.finalize().into();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        write_private(file, hex.as_bytes())?;
    }
    let text =
        fs::read_to_string(file).map_err(|source| NodeError::File { file: file.into(), doing: "read it", source })?;
    let wrong = || NodeError::Secret(file.into());
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0u8; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let first = read_or_make_secret(&file).unwrap();
        assert_eq!(read_or_make_secret(&file).unwrap(), first);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_secret_is_refused_and_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "12").unwrap();
        assert!(matches!(read_or_make_secret(&file), Err(NodeError::Secret(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "12");
    }
}
