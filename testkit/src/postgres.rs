//! A real PostgreSQL for tests: one server a test process, started by `scripts/postgres` and gone with the process.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A server. It ends when this is dropped or the process is gone, however it went: its script waits for the end of the
/// pipe that we hold.
pub struct Cluster {
    url: String,
    password: String,
    dir: PathBuf,
    // Held for its standard input.
    child: Child,
}

impl Cluster {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not start: a test that needs a part which is missing fails.
    #[must_use]
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = root.join("target").join(format!("postgres-test-{}-{port}", std::process::id()));
        let mut child = Command::new(root.join("scripts/postgres"))
            .args(["run", "--port", &port.to_string(), "--dir"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(!url.trim().is_empty(), "PostgreSQL did not start; see the lines above");
        let password = std::fs::read_to_string(dir.join("password")).unwrap();
        Self { url: url.trim().into(), password, dir, child }
    }

    /// The one server of this test process. It outlives every test, and ends with the process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of its database, without a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The password of the database's owner.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    fn script(&self, verb: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("scripts/postgres"));
        let done = command.args([verb, "--dir"]).arg(&self.dir).stdin(Stdio::null()).status().unwrap();
        assert!(done.success(), "scripts/postgres {verb} failed");
    }

    /// Kills the server, and everything it runs, with SIGKILL.
    pub fn kill(&self) {
        self.script("kill");
    }

    /// Starts the killed server again on its data and waits until it answers.
    pub fn restart(&self) {
        self.script("start");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The script deletes the server's data before it ends.
        let _ = self.child.wait();
    }
}
