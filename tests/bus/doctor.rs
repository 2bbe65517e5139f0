//! `kenh` as an operator meets it on a Kafka that is not as it should be: what is found, what to do, and that what can be
//! mended is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use kenh_domain::log::{Log as _, Retention, TopicSpec};
use kenh_testkit::kafka::Cluster;
use rdkafka::admin::{AdminOptions, AlterConfig, ConfigSource, NewPartitions, ResourceSpecifier};
use serde_json::Value;

use crate::cluster;

/// An operator with a directory, before a cluster.
struct Operator {
    data: tempfile::TempDir,
    bootstrap: String,
}

impl Operator {
    fn at(bootstrap: &str) -> Self {
        Self { data: tempfile::tempdir().unwrap(), bootstrap: bootstrap.into() }
    }

    /// How a command ends. A role that is to be refused and is not would run on: `timeout` ends it then, with 124.
    fn kenh(&self, args: &[&str]) -> Output {
        self.command("timeout").args(["120", env!("CARGO_BIN_EXE_kenh")]).args(args).output().unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        kenh_testkit::outside::without_our_environment(&mut command);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).env("KENH_DATA", self.data.path().join("node"));
        command.env("KENH_KAFKA", &self.bootstrap).env("KENH_KAFKA_REPLICATION", "1").env("KENH_LISTEN", "127.0.0.1:0");
        command
    }

    fn apply(&self) -> Output {
        self.kenh(&["apply", "schemas", "broker-config"])
    }

    /// What doctor says of these checks, and its exit code.
    fn doctor(&self, check: &str) -> (Option<i32>, Vec<Value>) {
        let out = self.kenh(&["doctor", "--output", "json"]);
        let lines: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        (out.status.code(), lines.into_iter().filter(|line| line["check"] == check).collect())
    }
}

#[track_caller]
fn said(out: &Output, code: i32, texts: &[&str]) {
    let all = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{all}");
    for text in texts {
        assert!(all.contains(text), "no {text:?} in {all}");
    }
}

/// Puts the node back as the scenarios want it, also when a test fails.
struct PutBack(&'static Cluster);

impl Drop for PutBack {
    fn drop(&mut self) {
        cluster::let_clocks_run_ahead(self.0);
    }
}

#[test]
fn doctor_compares_the_settings_of_a_cluster() {
    let (_turn, cluster) = cluster::take();
    drop(cluster::connect(cluster.bootstrap()));
    let operator = Operator::at(cluster.bootstrap());
    said(&operator.apply(), 0, &[]);
    let (code, lines) = operator.doctor("cluster settings");
    assert_eq!(code, Some(0));
    assert_eq!((lines.len(), &lines[0]["verdict"]), (1, &"green".into()), "{lines:?}");

    // Too small for a contract with its code lists.
    let _back = PutBack(cluster);
    let admin = cluster::admin(cluster.bootstrap());
    let change = AlterConfig::new(ResourceSpecifier::Broker(1)).set("message.max.bytes", "1048588");
    let done = cluster::ask(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let (code, lines) = operator.doctor("cluster settings");
    assert_eq!((code, lines.len(), &lines[0]["verdict"]), (Some(1), 1, &"red".into()), "{lines:?}");
    let found = lines[0]["found"].as_str().unwrap();
    assert!(found.contains("message.max.bytes: 1048588 at broker 1, wanted at least"), "{found}");
    assert!(lines[0]["whatToDo"].as_str().unwrap().contains("server.properties"), "{lines:?}");
}

#[test]
fn a_topic_that_somebody_changed_is_shown_and_mended() {
    let (_turn, cluster) = cluster::take();
    drop(cluster::connect(cluster.bootstrap()));
    let operator = Operator::at(cluster.bootstrap());
    said(&operator.apply(), 0, &[]);
    said(&operator.kenh(&["apply", "schemas", "broker-config", "--plan"]), 0, &["nothing to do"]);
    // Past the bus: the data log, which is kept for ever, would lose all that is older than a day.
    let admin = cluster::admin(cluster.bootstrap());
    let change = AlterConfig::new(ResourceSpecifier::Topic("data.dan-cu")).set("retention.ms", "86400000");
    let done = cluster::ask(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let drift = "data.dan-cu: kept 1 days at the log, not for ever";
    let plan = ["apply", "schemas", "broker-config", "--plan"];
    cluster::until("the brokers to tell of it", || {
        String::from_utf8_lossy(&operator.kenh(&plan).stdout).contains(drift)
    });
    let (code, lines) = operator.doctor("topics are kept as long as declared");
    assert_eq!((code, &lines[0]["verdict"]), (Some(1), &"red".into()), "{lines:?}");
    assert_eq!(lines[0]["found"], "data.dan-cu");
    // The plan changed nothing.
    said(&operator.kenh(&plan), 0, &[drift]);
    said(&operator.apply(), 0, &[drift]);
    said(&operator.kenh(&plan), 0, &["nothing to do"]);
    let (code, lines) = operator.doctor("topics are kept as long as declared");
    assert_eq!((code, &lines[0]["verdict"]), (Some(0), &"green".into()), "{lines:?}");
}

/// broker-config/kafka/topics.properties is what topics of each class are made with, and nothing of it is missing.
#[test]
fn topics_are_made_with_what_broker_config_says() {
    let (_turn, cluster) = cluster::take();
    let operator = Operator::at(cluster.bootstrap());
    said(&operator.apply(), 0, &[]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("broker-config/kafka/topics.properties");
    let text = std::fs::read_to_string(file).unwrap();
    let said = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut wanted: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for line in said {
        let (name, value) = line.split_once('=').unwrap();
        let (class, setting) = name.split_once('.').unwrap();
        wanted.entry(class).or_default().insert(setting.into(), value.into());
    }
    let topics = cluster::connect(cluster.bootstrap()).topics().unwrap();
    let names: Vec<String> = topics.iter().map(|spec| spec.topic.to_string()).collect();
    let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let admin = cluster::admin(cluster.bootstrap());
    let told = cluster::ask(admin.describe_configs(&asked, &AdminOptions::new())).unwrap();
    let mut seen = BTreeSet::new();
    for (name, found) in names.iter().zip(told) {
        // What was set at the topic itself, not what the brokers' files say of any.
        let entries = found.unwrap().entries;
        let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own: BTreeMap<_, _> = own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect();
        let class = name.split('.').next().unwrap();
        assert_eq!(wanted.get(class), Some(&own), "{name}");
        seen.insert(class);
    }
    assert_eq!(seen, wanted.keys().copied().collect());
}

/// Each setting that the bus gives its topics is compared and put back, one after another. A limit in bytes at the brokers
/// themselves does not reach a topic that is kept for ever.
#[test]
fn every_setting_of_a_topic_is_compared_and_mended() {
    let (_turn, cluster) = cluster::take();
    drop(cluster::connect(cluster.bootstrap()));
    let operator = Operator::at(cluster.bootstrap());
    let admin = cluster::admin(cluster.bootstrap());
    let set = |change: AlterConfig<'_>| {
        let done = cluster::ask(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    };
    let _back = PutBack(cluster);
    set(AlterConfig::new(ResourceSpecifier::Broker(1)).set("log.retention.bytes", "1000000"));
    let effective = |topic: &str, name: &str| {
        let asked = [ResourceSpecifier::Topic(topic)];
        let told = cluster::ask(admin.describe_configs(&asked, &AdminOptions::new())).unwrap().remove(0).unwrap();
        told.get(name).and_then(|entry| entry.value.clone()).unwrap()
    };
    cluster::until("the limit at the broker", || effective("kenh.access", "retention.bytes") == "1000000");
    said(&operator.apply(), 0, &[]);
    for topic in ["data.dan-cu", "kenh.control", "in.dan-cu.G01"] {
        assert_eq!(effective(topic, "retention.bytes"), "-1", "{topic}");
    }
    let plan = ["apply", "schemas", "broker-config", "--plan"];
    said(&operator.kenh(&plan), 0, &["nothing to do"]);
    for (topic, name, bad) in [
        ("data.dan-cu", "retention.bytes", "1000000"),
        ("data.dan-cu", "max.message.bytes", "1000000"),
        ("in.dan-cu.G01", "message.timestamp.type", "CreateTime"),
        ("notice.G01", "max.compaction.lag.ms", "9223372036854775807"),
    ] {
        let good = effective(topic, name);
        // The call replaces all settings: those that this topic has of us are given again.
        let ours =
            ["cleanup.policy", "retention.ms", "retention.bytes", "delete.retention.ms", "max.compaction.lag.ms"];
        let ours = ours.into_iter().chain(["message.timestamp.type", "max.message.bytes"]);
        let all: Vec<_> = ours.map(|n| (n, if n == name { bad.to_owned() } else { effective(topic, n) })).collect();
        set(all.iter().fold(AlterConfig::new(ResourceSpecifier::Topic(topic)), |c, (n, v)| c.set(n, v)));
        cluster::until("the brokers to tell of it", || effective(topic, name) == bad);
        let drift = format!("{topic}: {name} is {bad} at the log, not {good}");
        said(&operator.kenh(&plan), 0, &[&drift]);
        let (code, lines) = operator.doctor("topics are set as the bus sets them");
        assert_eq!((code, &lines[0]["verdict"], &lines[0]["found"]), (Some(1), &"red".into(), &drift.clone().into()));
        said(&operator.apply(), 0, &[&drift]);
        assert_eq!(effective(topic, name), good, "{topic} {name}");
        said(&operator.kenh(&plan), 0, &["nothing to do"]);
    }
}

#[test]
fn a_topic_with_other_partitions_than_declared_is_refused() {
    let (_turn, cluster) = cluster::take();
    let log = cluster::connect(cluster.bootstrap());
    let topic: kenh_domain::topic::Topic = "in.dan-cu.G01".parse().unwrap();
    log.create_topic(&TopicSpec { topic, partitions: 7, retention: Retention::Days(30) }).unwrap();
    let before = log.topics().unwrap();
    drop(log);
    let operator = Operator::at(cluster.bootstrap());
    said(&operator.apply(), 3, &["topic in.dan-cu.G01 has 7 partitions", "never changes in place"]);
    assert_eq!(cluster::connect(cluster.bootstrap()).topics().unwrap(), before, "something was made all the same");
}

/// Whoever reaches an unsigned bus grants himself anything: it is for one machine.
#[test]
fn an_unsigned_bus_on_a_cluster_elsewhere_is_refused() {
    let (_turn, cluster) = cluster::take();
    // No name of this machine's own, and it answers there.
    let port = cluster.bootstrap().rsplit_once(':').unwrap().1;
    let elsewhere = Operator::at(&format!("0.0.0.0:{port}"));
    let texts = ["is not on this machine, and this bus is unsigned", "không có chữ ký", "kenh roster found"];
    said(&elsewhere.apply(), 1, &texts);
    assert_eq!(cluster::connect(cluster.bootstrap()).topics().unwrap(), [], "something was made all the same");

    let here = Operator::at(cluster.bootstrap());
    said(&here.apply(), 0, &[]);
    for role in ["up", "route", "control", "serve"] {
        said(&elsewhere.kenh(&[role]), 1, &texts);
    }
    for (operator, verdict) in [(&elsewhere, "red"), (&here, "yellow")] {
        let (_, lines) = operator.doctor("genesis");
        assert_eq!(lines[0]["verdict"], verdict, "{lines:?}");
    }
}

/// Somebody adds partitions past the bus: a record key would go elsewhere from then on.
#[test]
fn no_role_starts_on_a_topic_with_other_partitions_than_declared() {
    let (_turn, cluster) = cluster::take();
    drop(cluster::connect(cluster.bootstrap()));
    let operator = Operator::at(cluster.bootstrap());
    said(&operator.apply(), 0, &[]);
    let admin = cluster::admin(cluster.bootstrap());
    let more = [NewPartitions::new("data.dan-cu", 9), NewPartitions::new("notice.G01", 2)];
    let done = cluster::ask(admin.create_partitions(&more, &AdminOptions::new())).unwrap();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let said_of =
        ["topic data.dan-cu has 9 partitions, not 2", "topic notice.G01 has 2 partitions, not 1", "what to do: "];
    cluster::until("the brokers to tell of it", || {
        let there = cluster::connect(cluster.bootstrap()).partition_counts().unwrap();
        there.get(&"notice.G01".parse().unwrap()) == Some(&2) && there.get(&"data.dan-cu".parse().unwrap()) == Some(&9)
    });
    for role in ["up", "route", "control", "serve"] {
        said(&operator.kenh(&[role]), 1, &said_of);
    }
}

/// Every role says where it looked and what to mend, and ends.
#[test]
fn a_wrong_bootstrap_is_refused_at_the_start() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bootstrap = format!("127.0.0.1:{port}");
    let operator = Operator::at(&bootstrap);
    for role in ["up", "route", "control", "serve"] {
        said(&operator.kenh(&[role]), 1, &[&bootstrap, "check `kafka.bootstrap`"]);
    }
    let (code, lines) = operator.doctor("the log opens");
    let found = lines[0]["found"].as_str().unwrap();
    assert!(code == Some(1) && found.contains(&bootstrap) && found.contains("kafka.bootstrap"), "{lines:?}");
}

/// A process with this certificate, told so by a file as an operator has it.
fn with_certificate(operator: &Operator, cluster: &Cluster, name: &str, args: &[&str]) -> Output {
    let settings = cluster.identity(name, 1);
    let lines: String = settings.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
    let file = operator.data.path().join(format!("{name}.yaml"));
    std::fs::write(&file, format!("kafka:\n  bootstrap: {}\n  settings:\n{lines}", operator.bootstrap)).unwrap();
    let file = file.to_str().unwrap();
    operator.kenh(&[&["--config", file][..], args].concat())
}

/// A process that lacks a right says which, where, and who gives it, and ends; it does not wait for ever.
#[test]
fn a_role_that_lacks_a_right_is_refused_at_the_start() {
    let cluster = Cluster::start_tls(1);
    let operator = Operator::at(cluster.bootstrap());
    let at = cluster.bootstrap();
    said(&with_certificate(&operator, &cluster, "kenh-control", &["apply", "schemas", "broker-config"]), 0, &[]);
    for name in ["kenh-router", "kenh-serve"] {
        let admit = format!("kenh enroll admit {name} 1");
        said(&with_certificate(&operator, &cluster, name, &["route"]), 1, &[at, "no right to the topic", &admit]);
    }
    // In force, and not for this role: it may read what there is, and not claim.
    said(&with_certificate(&operator, &cluster, "kenh-control", &["enroll", "admit", "kenh-serve", "1"]), 0, &[]);
    let lacks = "lacks WRITE on the transactional id kenh.main";
    said(&with_certificate(&operator, &cluster, "kenh-serve", &["route"]), 1, &[at, lacks, "docs/boundary.md"]);
}

/// A role while it runs, asked over HTTP as a monitoring system does.
struct Running {
    child: Child,
    address: String,
    token: String,
}

impl Running {
    fn start(operator: &Operator, role: &str) -> Self {
        let mut command = operator.command(env!("CARGO_BIN_EXE_kenh"));
        let child = command.arg(role).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let file = operator.data.path().join("node/node.json");
        let told = || serde_json::from_slice(&std::fs::read(&file).ok()?).ok();
        let running: Value = kenh_testkit::outside::until("the role to serve", kenh_testkit::PATIENCE, told);
        let text = |name: &str| running[name].as_str().unwrap().to_owned();
        Self { child, address: text("address"), token: text("token") }
    }

    /// The whole answer, status line first; none where the node takes no connection from this address just now.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let (host, token) = (&self.address, &self.token);
        let asked = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn is(&self, ready: bool, reason: &str) -> bool {
        let Some((health, metrics)) = self.get("/health/ready").zip(self.get("/metrics")) else { return false };
        let code = if ready { " 200 " } else { " 503 " };
        let metric = format!("\nkenh_ready {}\n", u8::from(ready));
        let status = health.lines().next().unwrap_or_default();
        status.contains(code) && health.contains(reason) && metrics.contains(&metric)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The roles that neither route nor keep a copy say, too, that the cluster is away, and that it is back.
#[test]
fn a_role_says_that_the_cluster_is_away_and_is_well_again() {
    let cluster = Cluster::start(1);
    let operators = ["control", "serve"].map(|role| (role, Operator::at(cluster.bootstrap())));
    said(&operators[0].1.apply(), 0, &[]);
    let roles = operators.each_ref().map(|(role, operator)| Running::start(operator, role));
    let await_both = |what: &str, ready, reason: &str| {
        let there = || roles.iter().all(|role| role.is(ready, reason)).then_some(());
        kenh_testkit::outside::until(what, 3 * kenh_testkit::PATIENCE, there);
    };
    await_both("both to be ready", true, "");
    cluster.kill(1);
    // A client asks for up to 10 s before it says that nobody answers.
    await_both("both to say why they are not", false, "control: ");
    cluster.restart(1);
    await_both("both to be ready again", true, "");
}
