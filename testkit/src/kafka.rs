//! A real Apache Kafka for tests: one cluster a test process, started by `scripts/kafka` and gone with the process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::disk::SmallDisk;

/// A cluster. It ends when this is dropped or the process is gone, however it went: its script waits for the end of the
/// pipe that we hold.
pub struct Cluster {
    bootstrap: String,
    dir: PathBuf,
    // Held for its standard input.
    child: Child,
}

impl Cluster {
    /// Starts one of `nodes` nodes and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start: a test that needs a part which is missing fails.
    #[must_use]
    pub fn start(nodes: u32) -> Self {
        Self::run(nodes, &[], None)
    }

    /// One node with all that it has on a disk of the test's own.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_on(disk: &SmallDisk) -> Self {
        Self::run(1, &[], Some(disk.path().join("kafka")))
    }

    /// The same behind mutual TLS, where what no access list allows is denied: see [`Self::identity`].
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_tls(nodes: u32) -> Self {
        Self::run(nodes, &["--tls"], None)
    }

    fn run(nodes: u32, more: &[&str], dir: Option<PathBuf>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let port = free_ports();
        let own = || root.join("target").join(format!("kafka-test-{}-{port}", std::process::id()));
        let dir = dir.unwrap_or_else(own);
        let mut child = Command::new(root.join("scripts/kafka"))
            .args(["run", "--nodes", &nodes.to_string(), "--port", &port.to_string(), "--dir"])
            .arg(&dir)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bootstrap = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut bootstrap).unwrap();
        assert!(!bootstrap.trim().is_empty(), "Kafka did not start; see the lines above");
        Self { bootstrap: bootstrap.trim().into(), dir, child }
    }

    /// The one cluster of this test process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(1))
    }

    /// The one cluster with TLS of this test process.
    #[must_use]
    pub fn shared_tls() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_tls(1))
    }

    /// The settings of a client that shows the certificate `CN=name,OU=serial`, which is made where it is missing. With
    /// `kenh-control` and 1 a super user.
    ///
    /// # Panics
    /// When the cluster has no TLS.
    #[must_use]
    pub fn identity(&self, name: &str, serial: u32) -> BTreeMap<String, String> {
        let file = |end: &str| self.dir.join("tls").join(format!("{name}.{serial}.{end}"));
        if !file("both.pem").exists() {
            self.script("cert", &[name, &serial.to_string()]);
        }
        let path = |file: PathBuf| file.to_str().unwrap().to_owned();
        [
            ("security.protocol", "ssl".to_owned()),
            ("ssl.ca.location", path(self.dir.join("tls/ca.pem"))),
            ("ssl.certificate.location", path(file("pem"))),
            ("ssl.key.location", path(file("key"))),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// `host:port` of its brokers.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn script(&self, verb: &str, args: &[&str]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let done = Command::new(root.join("scripts/kafka"))
            .arg(verb)
            .args(args)
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "scripts/kafka {verb} {args:?} failed");
    }

    /// What the nodes said last: the script deletes it with the rest.
    fn show_logs(&self) {
        for node in 1..=3 {
            let log = self.dir.join(format!("node-{node}/log"));
            let Ok(text) = std::fs::read_to_string(log) else { continue };
            let lines: Vec<_> = text.lines().collect();
            eprintln!("the last that node {node} said:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }

    /// Kills a node with SIGKILL.
    pub fn kill(&self, node: u32) {
        self.script("kill", &[&node.to_string()]);
    }

    /// Waits until a node has ended by itself.
    ///
    /// # Panics
    /// When it has not after three times [`PATIENCE`](crate::PATIENCE).
    pub fn await_end(&self, node: u32) {
        let pid = std::fs::read_to_string(self.dir.join(format!("node-{node}/pid"))).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        crate::outside::until("the broker to end", 3 * crate::PATIENCE, || (!process.exists()).then_some(()));
    }

    /// Kills a node and starts it again with one more setting in its file.
    ///
    /// # Panics
    /// When its file cannot be written, or it does not start.
    pub fn restart_with(&self, node: u32, setting: &str) {
        self.kill(node);
        let file = self.dir.join(format!("node-{node}/server.properties"));
        let settings = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{settings}{setting}\n")).unwrap();
        self.restart(node);
    }

    /// Starts a node that has ended again on its data and waits until it is ready.
    pub fn restart(&self, node: u32) {
        self.script("start", &[&node.to_string()]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        drop(self.child.stdin.take());
        // The script deletes the cluster's data before it ends.
        let _ = self.child.wait();
    }
}

/// A port with the next ones free as well, as far as can be known: three nodes take every tenth and the one after it.
///
/// Not one of those that the system gives to connections: while a broker is down, a client that tries to reach it could be
/// given the broker's own port, and be connected to itself.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 600).unwrap_or(0);
    loop {
        let first = 10_000 + seed.wrapping_mul(37).wrapping_add(NEXT.fetch_add(40, Ordering::Relaxed)) % 22_000;
        let wanted = (0..3).flat_map(|n| [first.checked_add(10 * n), first.checked_add(10 * n + 1)]);
        if wanted.into_iter().all(|port| port.is_some_and(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())) {
            return first;
        }
    }
}
