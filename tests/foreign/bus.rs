//! A node, and the shared bus on Kafka. Both are gone with the test process, however it ends: a shell between it and us
//! waits for the end of the pipe that we hold, kills the node and deletes its directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kenh_testkit::builders;
use kenh_testkit::kafka::Cluster;
use kenh_testkit::outside::without_our_environment;
use serde_json::{Value, json};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// People in the demo. So few that none of them leaves H29's rows; [`MOVED`] do that.
pub const CITIZENS: &str = "6000";

/// Personal IDs of made-up women who lived among H29's rows and moved away before any client reads.
pub const MOVED: [&str; 3] = ["001304980001", "001304980002", "001304980003"];

/// The checkout: the clients, the shipped contracts and scripts lie there.
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

/// What a command that ended well wrote to its standard output.
///
/// # Panics
/// When it ended otherwise; with all that it said.
#[track_caller]
pub fn said(what: &str, output: Output) -> String {
    let stdout = String::from_utf8(output.stdout).expect("stdout is UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// A `kenh` that is not started yet, with no environment of ours but this.
pub fn command(data: &Path, kafka: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kenh"));
    settle(&mut command, data, kafka);
    command
}

fn settle(command: &mut Command, data: &Path, kafka: Option<&str>) {
    command.current_dir(repository()).stdin(Stdio::null());
    without_our_environment(command);
    command.env("KENH_DATA", data).env("KENH_LISTEN", "127.0.0.1:0");
    if let Some(bootstrap) = kafka {
        command.env("KENH_KAFKA", bootstrap).env("KENH_KAFKA_REPLICATION", "1");
    }
}

/// A node with a directory of its own.
pub struct Node {
    pub data: PathBuf,
    kafka: Option<String>,
    shell: Option<Child>,
    /// What it said until it served.
    said: String,
    agent: ureq::Agent,
}

impl Node {
    /// Not running yet.
    pub fn new(name: &str, kafka: Option<&str>) -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("foreign-{}-{name}", std::process::id()));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        Self { data, kafka: kafka.map(Into::into), shell: None, said: String::new(), agent }
    }

    /// Starts it with these arguments and waits until it serves.
    pub fn start(&mut self, args: &[&str]) {
        let log = self.data.with_extension("log");
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            r#""$@" & node=$!; cat >/dev/null; kill -9 $node; wait $node; rm -rf "$KENH_DATA" "$KENH_DATA".*"#,
            "sh",
        ]);
        shell.arg(env!("CARGO_BIN_EXE_kenh")).args(args);
        settle(&mut shell, &self.data, self.kafka.as_deref());
        let stderr = std::fs::File::create(&log).unwrap();
        self.shell = Some(shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
        self.said = until(&format!("kenh {} to serve; see {}", args.join(" "), log.display()), || {
            let said = std::fs::read_to_string(&log).unwrap();
            let failed = said.lines().find(|line| line.starts_with("kenh: ") && !line.contains("unsigned"));
            assert!(failed.is_none(), "{said}");
            (said.contains("serves ") && self.data.join("node.json").exists()).then_some(said)
        });
        std::fs::remove_file(&log).unwrap();
    }

    /// Runs `kenh` on its directory.
    pub fn kenh(&self, args: &[&str]) -> Output {
        self.kenh_with(args, &[])
    }

    /// The same, with more in its environment.
    pub fn kenh_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = command(&self.data, self.kafka.as_deref());
        command.args(args).envs(environment.iter().copied()).output().unwrap()
    }

    fn running(&self, name: &str) -> String {
        let text = std::fs::read(self.data.join("node.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()[name].as_str().unwrap().to_owned()
    }

    /// Where it serves: `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.running("address"))
    }

    /// Where it listens over TLS by a key of its configuration: `https://host:port`.
    pub fn listens(&self, key: &str) -> &str {
        let address = self.said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        address.unwrap_or_else(|| panic!("no {key} in\n{}", self.said))
    }

    /// A file beside its directory, which goes when that does.
    pub fn beside(&self, extension: &str) -> PathBuf {
        self.data.with_extension(extension)
    }

    /// What it takes as the password of Basic authorisation.
    pub fn token(&self) -> String {
        self.running("token")
    }

    /// GET with its token.
    pub fn get(&self, path: &str) -> String {
        let call = self.agent.get(self.url() + path).header("Authorization", format!("Bearer {}", self.token()));
        let mut answer = call.call().unwrap();
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{path}: {text}");
        text
    }

    /// POST with its token: status and JSON.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let call = self.agent.post(self.url() + path).header("Authorization", format!("Bearer {}", self.token()));
        let mut answer = call.send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    /// Submits records as G01 through `kenh produce`, all of one version.
    pub fn submit(&self, version: &str, people: &[Value]) {
        let file = self.data.with_extension("jsonl");
        std::fs::write(&file, people.iter().map(|p| format!("{p}\n")).collect::<String>()).unwrap();
        let from = ["produce", "dan-cu", "--record-version", version, "--from", file.to_str().unwrap()];
        said("kenh produce", self.kenh(&from));
        std::fs::remove_file(file).unwrap();
    }

    /// Submits the communes that [`example`] lives in, as G09.
    pub fn submit_communes(&self) {
        let file = self.data.with_extension("communes.jsonl");
        std::fs::write(&file, builders::communes()).unwrap();
        said("kenh produce", self.kenh(&["produce", "don-vi-hanh-chinh", "--from", file.to_str().unwrap()]));
        std::fs::remove_file(file).unwrap();
    }

    /// A copy that it keeps, as its status tells.
    fn copy(&self, agency: &str, dataset: &str) -> Option<Value> {
        let status: Value = serde_json::from_str(&self.get("/v1/status")).unwrap();
        let copies = status["copies"].as_array().unwrap();
        copies.iter().find(|c| c["agency"] == agency && c["dataset"] == dataset).cloned()
    }

    /// Rows of a copy, once it is complete.
    pub fn rows(&self, agency: &str, dataset: &str) -> Option<u64> {
        let copy = self.copy(agency, dataset)?;
        if copy["complete"] == true { copy["rows"].as_u64() } else { None }
    }

    /// How many rows have left a copy since it was made.
    pub fn left(&self, agency: &str, dataset: &str) -> u64 {
        self.copy(agency, dataset).unwrap()["left"].as_u64().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// The bus on Kafka that the clients share.
pub struct Bus {
    pub node: Node,
    bootstrap: &'static str,
}

/// Installs what the foreign clients need.
pub fn set_up() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let setup = repository().join("tests/foreign/setup");
        let done = Command::new(setup).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
        said("tests/foreign/setup", done);
    });
}

/// The one bus of this test process, and everything that its clients need.
pub fn shared() -> &'static Bus {
    static SHARED: OnceLock<Bus> = OnceLock::new();
    SHARED.get_or_init(|| {
        set_up();
        let bootstrap = Cluster::shared().bootstrap();
        let mut node = Node::new("bus", Some(bootstrap));
        node.start(&["demo", "--log", "kafka", "--citizens", CITIZENS]);
        move_away(&node);
        Bus { node, bootstrap }
    })
}

/// Lets [`MOVED`] come into H29's rows, and leave them once H29 has them.
fn move_away(node: &Node) {
    let rows = || node.rows("H29", "dan-cu");
    let (before, left) = (until("H29's copy", rows), node.left("H29", "dan-cu"));
    node.submit("1", &MOVED.map(example));
    until("those who came", || rows().filter(|rows| *rows == before + MOVED.len() as u64));
    node.submit("2", &MOVED.map(|id| in_ha_noi(example(id))));
    until("those who left", || rows().filter(|rows| *rows == before));
    assert_eq!(node.left("H29", "dan-cu"), left + MOVED.len() as u64);
}

/// The woman of the shipped example, who lives among H29's rows, under another personal ID.
pub fn example(id: &str) -> Value {
    let file = repository().join("schemas/dan-cu/examples/valid/woman-born-2004-year-only.json");
    let mut person: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    person["SoDinhDanh"] = id.into();
    person
}

/// The same person, living where H29 has no right to her row.
pub fn in_ha_noi(mut person: Value) -> Value {
    for place in ["NoiOHienTai", "ThuongTru"] {
        person[place] =
            json!({"MaXa": "00004", "MaXaTu": "2025-07-01", "MaTinh": "01", "ChiTiet": "12 Phan Đình Phùng"});
    }
    person
}

/// A foreign client of the brokers, and of the registry at a node; that one's token is in its environment.
pub fn client(program: &str, script: Option<&str>, bootstrap: &str, node: &Node) -> Command {
    let installed = repository().join("target/foreign");
    // An absolute program stays as it is; `node` is on the path.
    let mut command = Command::new(if program == "node" { program.into() } else { installed.join(program) });
    command.args(script.map(|s| repository().join("tests/foreign").join(s)));
    command.args([bootstrap, &node.url()]);
    command.env("KENH_TOKEN", node.token()).env("NODE_PATH", installed.join("node/node_modules"));
    command.stdin(Stdio::null());
    command
}

impl Bus {
    /// A foreign client of this bus.
    pub fn client(&self, program: &str, script: Option<&str>) -> Command {
        client(program, script, self.bootstrap, &self.node)
    }

    /// One of Kafka's own tools, by its class.
    pub fn kafka_tool(&self, class: &str) -> Command {
        let jars = Command::new(repository().join("scripts/kafka")).arg("jars").stdin(Stdio::null()).output().unwrap();
        let jars = said("scripts/kafka jars", jars);
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-cp", jars.trim(), &format!("org.apache.kafka.tools.{class}")]);
        command.args(["--bootstrap-server", self.bootstrap]).stdin(Stdio::null());
        command
    }
}
