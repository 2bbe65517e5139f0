//! A directory to run `kenh` in, a node that runs on it, and how to wait for a state.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use kenh_testkit::builders;
use kenh_testkit::outside::without_our_environment;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The checkout: the demo, the shipped contracts and the README's examples lie there.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Looks at a state until it is there.
///
/// # Panics
/// When it is not there after [`PATIENCE`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    kenh_testkit::outside::until(what, PATIENCE, look)
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    command: String,
}

impl Said {
    /// Ended with this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "kenh {}\n{}\n{}", self.command, self.stdout, self.stderr);
        self
    }

    /// Ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Said so on stderr.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "kenh {}: no {text:?} in\n{}", self.command, self.stderr);
        self
    }

    /// Said so on stdout.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "kenh {}: no {text:?} in\n{}", self.command, self.stdout);
        self
    }

    /// Its stdout, which is one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("kenh {}: {e} in\n{}\n{}", self.command, self.stdout, self.stderr))
    }
}

/// A directory of its own to run `kenh` in; the node's data lies in `data`.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// With the contracts, agencies and grants that are shipped.
    pub fn with_shipped() -> Self {
        let place = Self::new();
        place.ship();
        place
    }

    /// Puts the shipped declared state there.
    pub fn ship(&self) {
        for folder in ["schemas", "broker-config"] {
            copy(&repository().join(folder), &self.path(folder));
        }
    }

    /// The same, applied.
    pub fn with_shipped_applied() -> Self {
        let place = Self::with_shipped();
        place.kenh(["apply", "schemas", "broker-config"]).ok();
        place
    }

    /// The same, with what people need to be admitted.
    pub fn for_people() -> Self {
        let place = Self::with_shipped_applied();
        place.communes();
        place
    }

    /// Submits what people need to be admitted: the communes that the samples of them live in.
    pub fn communes(&self) {
        let file = self.write("communes.jsonl", builders::communes());
        self.kenh(["produce".as_ref(), "don-vi-hanh-chinh".as_ref(), "--from".as_ref(), file.as_os_str()]).ok();
        fs::remove_file(file).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Puts `with` in the place of `what`, which is in the file.
    #[track_caller]
    pub fn edit(&self, name: &str, what: &str, with: &str) {
        let text = self.read(name);
        assert!(text.contains(what), "{name} does not hold {what:?}");
        fs::write(self.path(name), text.replacen(what, with, 1)).unwrap();
    }

    /// A `kenh` that is not started yet, with no environment of ours but this directory.
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kenh"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        without_our_environment(&mut command);
        command.env("KENH_DATA", self.path("data")).env("KENH_LISTEN", "127.0.0.1:0");
        command
    }

    /// Runs `kenh` here.
    pub fn kenh<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        finish(self.command(args), b"")
    }

    /// Runs `kenh` here with something on its standard input.
    pub fn kenh_reading<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: impl AsRef<[u8]>) -> Said {
        finish(self.command(args), input.as_ref())
    }

    /// Every file below `name` with its content: what a command must not have changed.
    pub fn files(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command, input: &[u8]) -> Said {
    let shown: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    // A command that stops reading early ends the pipe; what it says of that is the test's business.
    let feeding = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let out = child.wait_with_output().unwrap();
    if let Some(feeding) = feeding {
        feeding.join().unwrap();
    }
    Said {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(out.stderr).expect("stderr is UTF-8"),
        command: shown.join(" "),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `kenh up`, running on a place.
pub struct Up<'a> {
    place: &'a Place,
    child: Child,
    said: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
    pub address: String,
    pub token: String,
    agent: ureq::Agent,
}

impl<'a> Up<'a> {
    /// Starts a node that keeps the copies of these agencies, and waits until it is ready.
    pub fn start(place: &'a Place, copies: &[&str]) -> Self {
        Self::start_with(place, copies, |_| ())
    }

    /// The same, with more in its environment.
    pub fn start_with(place: &'a Place, copies: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        Self::start_configured(place, copies, "", more)
    }

    /// The same, with more in its configuration too.
    pub fn start_configured(place: &'a Place, copies: &[&str], yaml: &str, more: impl FnOnce(&mut Command)) -> Self {
        let copies: String = copies.iter().map(|agency| format!("  - agency: {agency}\n")).collect();
        let copies = if copies.is_empty() { copies } else { format!("copies:\n{copies}") };
        place.write("kenh.yaml", copies + yaml);
        let mut command = place.command(["up"]);
        more(&mut command);
        Self::serve(place, command)
    }

    /// Starts a command of this place that serves, and waits until it is ready.
    pub fn serve(place: &'a Place, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let (serving, served) = std::sync::mpsc::channel();
        let all = said.clone();
        let listening = std::thread::spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                all.lock().unwrap().push_str(&(line.clone() + "\n"));
                if line.contains("kenh serves") {
                    let _ = serving.send(());
                }
            }
        });
        if served.recv_timeout(PATIENCE).is_err() {
            let _ = child.kill();
            panic!("{command:?} does not serve:\n{}", said.lock().unwrap());
        }
        let running: Value = serde_json::from_str(&place.read("data/node.json")).unwrap();
        let text = |name: &str| running[name].as_str().unwrap().to_owned();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let up = Self {
            place,
            child,
            said,
            listening: Some(listening),
            address: text("address"),
            token: text("token"),
            agent,
        };
        until("the node to be ready", || (up.get("/health/ready").status == 200).then_some(()));
        up
    }

    /// Where it listens by a key of its configuration.
    pub fn listens(&self, key: &str) -> String {
        let said = self.said();
        let address = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": https://"));
        address.unwrap_or_else(|| panic!("no {key} in\n{said}")).to_owned()
    }

    /// What it has written to stderr until now.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// GET with the node's token.
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, Some(&format!("Bearer {}", self.token)))
    }

    /// GET with this for `Authorization`.
    pub fn get_with(&self, path: &str, authorization: Option<&str>) -> Answer {
        let mut call = self.agent.get(self.url(path));
        if let Some(authorization) = authorization {
            call = call.header("Authorization", authorization);
        }
        answer(call.call().unwrap())
    }

    /// POST of JSON with the node's token.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let call = self.agent.post(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        answer(call.send_json(body).unwrap())
    }

    /// POST of a text that says it is JSON, with the node's token.
    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        let call = self.agent.post(self.url(path)).header("Authorization", format!("Bearer {}", self.token));
        answer(call.header("Content-Type", "application/json").send(body).unwrap())
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended: how, and all that it wrote to stderr.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = until("the node to end", || self.child.try_wait().unwrap());
        self.listening.take().unwrap().join().unwrap();
        (status, self.said.lock().unwrap().clone())
    }

    /// SIGTERM, and waits: it ends well. All that it wrote to stderr.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let place = self.place;
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!place.path("data/node.json").exists(), "the address file of a node that ended is still there");
        said
    }

    /// kill -9.
    pub fn kill(self) {
        self.signal("KILL");
        let (status, _) = self.ended();
        assert_eq!(status.code(), None);
    }

    /// Rows of a copy that this node keeps, once it has so many.
    pub fn await_rows(&self, agency: &str, dataset: &str, rows: u64) {
        until(&format!("{rows} rows of {agency} {dataset}"), || {
            let status = self.get("/v1/status").json();
            let copies = status["copies"].as_array().unwrap();
            let copy = copies.iter().find(|c| c["agency"] == agency && c["dataset"] == dataset)?;
            (copy["rows"] == rows && copy["complete"] == true).then_some(())
        });
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        // Ended already, or a test failed: nothing of it stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default(),
        body: response.body_mut().with_config().limit(256 << 20).read_to_vec().unwrap(),
    }
}
