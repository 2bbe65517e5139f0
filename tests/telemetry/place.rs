//! A directory with a bus of two people, a node on it, and the programs that receive what it tells.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use kenh_testkit::builders;
use kenh_testkit::outside::without_our_environment;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Agencies whose copies the node keeps: both people are theirs.
pub const COPIES: [&str; 2] = ["G01", "H29"];

/// The checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Installs what the tests need.
pub fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let done = Command::new(repository().join("tests/telemetry/setup")).status().unwrap();
        assert!(done.success(), "tests/telemetry/setup failed");
    });
}

/// Looks at a state until it is there.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    kenh_testkit::outside::until(what, PATIENCE, look)
}

/// A child that does not outlive its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// See the module's documentation.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// The shipped declared state, applied; of people nothing produced yet.
    pub fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        let copies: String = COPIES.iter().map(|agency| format!("  - agency: {agency}\n")).collect();
        fs::write(place.path("kenh.yaml"), format!("copies:\n{copies}")).unwrap();
        let mut apply = place.kenh(None);
        let folders = ["schemas", "broker-config"].map(|folder| repository().join(folder));
        let applied = apply.arg("apply").args(folders).output().unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        place.communes();
        place
    }

    /// Submits the communes that the samples of people live in.
    fn communes(&self) {
        fs::write(self.path("communes.jsonl"), builders::communes()).unwrap();
        let mut command = self.kenh(None);
        let done = command.args(["produce", "don-vi-hanh-chinh", "--from", "communes.jsonl"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `kenh` in this directory, with nothing of our environment; what it tells goes to `otlp`.
    pub fn kenh(&self, otlp: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kenh"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        without_our_environment(&mut command);
        command.env("KENH_DATA", self.path("data")).env("KENH_LISTEN", "127.0.0.1:0");
        if let Some(otlp) = otlp {
            command.env("KENH_OTLP", otlp);
        }
        command
    }

    /// Lets a rule of one field warn for an hour.
    pub fn relax(&self, rule: &str, field: &str) {
        let args = ["rule", "relax", "dan-cu", rule, "--field", field, "--for", "1h", "--reason", "Mã mới"];
        let done = self.kenh(None).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Submits these people, and says how `kenh produce` ended.
    pub fn produce(&self, people: &[Value], otlp: Option<&str>) -> Option<i32> {
        let lines: String = people.iter().map(|p| format!("{p}\n")).collect();
        fs::write(self.path("people.jsonl"), lines).unwrap();
        let mut command = self.kenh(otlp);
        let done = command.args(["produce", "dan-cu", "--from", "people.jsonl"]).output().unwrap();
        eprintln!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        done.status.code()
    }

    /// `kenh up`, once it is ready.
    pub fn up(&self, otlp: Option<&str>) -> Node<'_> {
        let mut command = self.kenh(otlp);
        let child = Running(command.arg("up").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let running: Value =
            until("the node to serve", || serde_json::from_slice(&fs::read(self.path("data/node.json")).ok()?).ok());
        let text = |name: &str| running[name].as_str().unwrap().to_owned();
        let node = Node { place: self, child, address: text("address"), token: text("token") };
        until("the node to be ready", || node.get("/health/ready"));
        node
    }
}

/// The two people of the examples.
pub fn people() -> Vec<Value> {
    ["man-born-1985", "woman-born-2004-year-only"]
        .map(|name| {
            let file = repository().join(format!("schemas/dan-cu/examples/valid/{name}.json"));
            serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
        })
        .into()
}

/// `kenh up`, running.
pub struct Node<'a> {
    place: &'a Place,
    child: Running,
    pub address: String,
    pub token: String,
}

impl Node<'_> {
    /// The body of a good answer.
    pub fn get(&self, path: &str) -> Option<String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let call = agent.get(format!("http://{}{path}", self.address));
        call.header("Authorization", format!("Bearer {}", self.token)).call().ok()?.body_mut().read_to_string().ok()
    }

    /// Waits until every copy holds so many people.
    pub fn await_people(&self, rows: u64) {
        until("the copies", || {
            let status: Value = serde_json::from_str(&self.get("/v1/status")?).unwrap();
            let copies = status["copies"].as_array().unwrap();
            let people: Vec<_> = copies.iter().filter(|c| c["dataset"] == "dan-cu").collect();
            let there = people.iter().all(|c| c["rows"] == rows && c["complete"] == true);
            (people.len() == COPIES.len() && there).then_some(())
        });
    }

    /// SIGTERM, and waits: it ends well.
    pub fn stop(mut self) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = until("the node to end", || self.child.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
        assert!(!self.place.path("data/node.json").exists());
    }
}

/// The first line that a child prints.
pub fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}
