//! A Kafka that asks for certificates and holds everybody to access lists. The roles run with theirs; an agency's systems
//! run `kenh produce`, `kenh check`, `kenh subscribe` and Python's client with their own, in directories of their own, and
//! know of the bus what its log shows them and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use kenh_broker::kafka::{KafkaLog, Options};
use kenh_domain::confirm::{Claim, Confirmation};
use kenh_domain::log::{Log as _, TopicPartition};
use kenh_domain::names::Principal;
use kenh_testkit::builders;
use kenh_testkit::kafka::Cluster;
use serde_json::{Value, json};

use crate::bus::{Node, client, command, example, in_ha_noi, repository, said, set_up, until};

/// People submitted, of whom every third lives where H29 has no right to the row.
const PEOPLE: u64 = 90;

fn id(n: u64) -> String {
    format!("001304{n:06}")
}

fn stays(n: &u64) -> bool {
    !n.is_multiple_of(3)
}

/// A process with a directory and a certificate of its own.
struct Party {
    node: Node,
    settings: BTreeMap<String, String>,
}

impl Party {
    fn new(cluster: &Cluster, system: &str, serial: u32) -> Self {
        let node = Node::new(&format!("{system}-{serial}"), None);
        let settings = cluster.identity(system, serial);
        let yaml = json!({ "kafka": { "bootstrap": cluster.bootstrap(), "replication": 1, "settings": settings } });
        std::fs::create_dir_all(&node.data).unwrap();
        std::fs::write(node.data.join("kenh.yaml"), yaml.to_string()).unwrap();
        Self { node, settings }
    }

    /// Runs `kenh` in its directory: what is declared in the checkout is not there.
    fn kenh(&self, args: &[&str]) -> Output {
        command(&self.node.data, None).current_dir(&self.node.data).args(args).output().unwrap()
    }

    /// What a command that ends well prints.
    #[track_caller]
    fn does(&self, args: &[&str]) -> String {
        said(&args.join(" "), self.kenh(args))
    }

    /// A command ends with this exit code, and says all of this.
    #[track_caller]
    fn is_refused(&self, args: &[&str], code: i32, texts: &[&str]) {
        let output = self.kenh(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "kenh {}: {stderr}", args.join(" "));
        for text in texts {
            assert!(stderr.contains(text), "kenh {}: no {text:?} in {stderr}", args.join(" "));
        }
    }

    /// A role of the bus, with the master secret that all of them share.
    fn role(cluster: &Cluster, system: &str, control: &Self) -> Self {
        let party = Self::new(cluster, system, 1);
        std::fs::copy(control.node.data.join("secret"), party.node.data.join("secret")).unwrap();
        party
    }

    fn start(&mut self, role: &str) {
        let config = self.node.data.join("kenh.yaml");
        self.node.start(&["--config", config.to_str().unwrap(), role]);
    }

    /// Submits records; the counts of what became of them, and the exit code.
    fn produces(&self, submission: &str, version: &str, people: &[Value]) -> (Value, Option<i32>) {
        let file = self.node.data.join("people.jsonl");
        std::fs::write(&file, people.iter().map(|p| format!("{p}\n")).collect::<String>()).unwrap();
        let from = ["produce", "dan-cu", "--from", file.to_str().unwrap(), "--submission", submission];
        let output = self.kenh(&[&from[..], &["--record-version", version, "--output", "json"]].concat());
        let told = serde_json::from_slice(&output.stdout);
        let told = told.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        (told, output.status.code())
    }

    /// The one copy that `kenh subscribe --once` leaves.
    fn subscribes(&self, store: &str) -> Value {
        let told = self.does(&["subscribe", "H29", "--once", "--store", store, "--output", "json"]);
        let copies: Vec<Value> = serde_json::from_str(&told).unwrap();
        let of_people = copies.into_iter().find(|copy| copy["dataset"] == "dan-cu");
        of_people.unwrap_or_else(|| panic!("no copy of dan-cu in {told}"))
    }

    /// The rows of H29's copy by record key.
    fn rows(&self, store: &str) -> BTreeMap<String, Value> {
        let listed = ["view", "list", "H29", "dan-cu", "--limit", "1000", "--store", store, "--output", "json"];
        let listed: Vec<Value> = serde_json::from_str(&self.does(&listed)).unwrap();
        listed.iter().map(|row| (row["key"].as_str().unwrap().to_owned(), row["value"].clone())).collect()
    }
}

/// What H29 has confirmed, as the control role reads it.
fn confirmed(control: &KafkaLog) -> Vec<Claim> {
    let of = TopicPartition::new("confirm.H29".parse().unwrap(), 0);
    let bounds = control.bounds(&Principal::control(), &of).unwrap();
    let mut reader = control.reader(&Principal::control(), &[(of, bounds.start)]).unwrap();
    let mut found = Vec::new();
    while reader.positions()[0] < bounds.end {
        let records = reader.poll(100, 1 << 20, std::time::Duration::from_millis(100)).unwrap();
        found.extend(records.into_iter().map(|record| record.value.unwrap()));
    }
    let read = |value: bytes::Bytes| serde_json::from_slice::<Confirmation>(&value).unwrap().claim;
    found.into_iter().map(read).collect()
}

#[test]
fn an_agency_runs_kenh_and_python_under_its_own_certificate_and_nobody_elses() {
    set_up();
    let cluster = Cluster::start_tls(1);
    let mut control = Party::new(&cluster, "kenh-control", 1);
    let declared = ["schemas", "broker-config"].map(|folder| repository().join(folder).to_str().unwrap().to_owned());
    control.does(&["apply", &declared[0], &declared[1]]);
    for system in ["kenh-router", "kenh-serve", "g01-source", "g09-source", "h29-portal", "g12-portal"] {
        control.does(&["enroll", "admit", system, "1"]);
    }
    let mut router = Party::role(&cluster, "kenh-router", &control);
    let mut serve = Party::role(&cluster, "kenh-serve", &control);
    control.start("control");
    router.start("route");
    serve.start("serve");

    let provider = Party::new(&cluster, "g01-source", 1);
    let city = Party::new(&cluster, "h29-portal", 1);
    let finance = Party::new(&cluster, "g12-portal", 1);

    // Whoever keeps the list of communes says where people may live.
    let units = Party::new(&cluster, "g09-source", 1);
    let file = units.node.data.join("communes.jsonl");
    std::fs::write(&file, builders::communes()).unwrap();
    let produce = ["produce", "don-vi-hanh-chinh", "--from", file.to_str().unwrap()];
    until("the list's provider to have its contract card", || units.kenh(&produce).status.success().then_some(()));

    // The provider knows the contract by its card, and hears of each change, of those that the router rejects too.
    let person = |n: u64| if stays(&n) { example(&id(n)) } else { in_ha_noi(example(&id(n))) };
    let people: Vec<Value> = (0..PEOPLE).map(person).collect();
    let has_card = || {
        let (file, from) = (provider.node.data.join("one.jsonl"), ["check", "dan-cu", "--from"]);
        std::fs::write(&file, format!("{}\n", people[0])).unwrap();
        provider.kenh(&[&from[..], &[file.to_str().unwrap()]].concat()).status.success().then_some(())
    };
    until("the provider's contract card", has_card);
    let (told, code) = provider.produces("first", "1", &people);
    assert_eq!((told["admitted"].as_u64(), code), (Some(PEOPLE), Some(0)), "{told}");
    let (told, code) = provider.produces("again", "1", &people);
    assert_eq!((told["repeated"].as_u64(), code), (Some(PEOPLE), Some(0)), "{told}");
    let mut other = example(&id(1));
    other["HoVaTen"] = "Nguyễn Thị Khác".into();
    let (told, code) = provider.produces("conflict", "1", &[other]);
    assert_eq!((told["rejected"].as_u64(), code), (Some(1), Some(3)), "{told}");
    assert_eq!(told["rejections"][0]["rule"], "version-conflict", "the dead letter came: {told}");
    let mut wrong = example(&id(1));
    wrong["SoDinhDanh"] = "1".into();
    let (told, code) = provider.produces("wrong", "2", &[wrong]);
    assert_eq!((told["sent"].as_u64(), told["rejected"].as_u64(), code), (Some(0), Some(1), Some(3)), "{told}");

    // A code that no list has yet passes while its rule is relaxed, which the provider hears by its card.
    let mut of_a_new_commune = in_ha_noi(example(&id(0)));
    of_a_new_commune["NoiOHienTai"]["MaXa"] = "99999".into();
    let produces = |submission| provider.produces(submission, "2", std::slice::from_ref(&of_a_new_commune));
    let (told, code) = produces("too-early");
    assert_eq!((told["rejections"][0]["rule"].as_str(), code), (Some("code-list"), Some(3)), "{told}");
    let relaxed = ["rule", "relax", "dan-cu", "code-list", "--field", "NoiOHienTai.MaXa", "--for", "1h"];
    control.does(&[&relaxed[..], &["--id", "ma-moi", "--reason", "Mã xã mới"]].concat());
    let (told, code) =
        until("the provider to hear of it", || Some(produces("new-code")).filter(|(_, c)| *c == Some(0)));
    assert_eq!((&told["admitted"], &told["warnings"], code), (&json!(1), &json!({"code-list": 1}), Some(0)));
    control.does(&["rule", "restore", "ma-moi"]);
    let rejects = || Some(produces("too-late")).filter(|(_, code)| *code == Some(3));
    let (told, _) = until("the provider to hear that it rejects again", rejects);
    assert_eq!(told["rejections"][0]["rule"], "code-list", "{told}");

    // The recipient has exactly its rows, in whatever store.
    let wanted: BTreeSet<String> = (0..PEOPLE).filter(stays).map(id).collect();
    for store in ["sled", "fjall"] {
        let complete = || (city.subscribes(store)["rows"] == wanted.len()).then_some(());
        until("H29's copy", complete);
        assert_eq!(city.rows(store).into_keys().collect::<BTreeSet<_>>(), wanted, "{store}");
    }
    let as_control =
        Options { bootstrap: cluster.bootstrap().into(), settings: control.settings.clone(), replication: 1 };
    let log = KafkaLog::connect(as_control).unwrap();
    let holds = |claim: &Claim| matches!(claim, Claim::Holds { rows, .. } if *rows == wanted.len() as u64);
    assert!(confirmed(&log).iter().any(holds), "{:?}", confirmed(&log));

    // So has Python, with the same certificate.
    let mut read = client("python/bin/python", Some("python/read.py"), cluster.bootstrap(), &serve.node);
    let mut settings = city.settings.clone();
    settings.insert("group.id".into(), "h29-portal".into());
    read.env("CLIENT_SETTINGS", serde_json::to_string(&settings).unwrap()).arg("view.H29.dan-cu.main.1");
    let told: Value = serde_json::from_str(&said("python/read.py", read.output().unwrap())).unwrap();
    let rows: BTreeMap<String, Value> = serde_json::from_value(told["views"][0]["rows"].clone()).unwrap();
    assert_eq!(rows, city.rows("sled"));

    // Whoever is somebody else is told so, and gets nothing.
    let file = provider.node.data.join("people.jsonl");
    let produce = ["produce", "dan-cu", "--from", file.to_str().unwrap()];
    let said_twice = ["CN=h29-portal,OU=1 acts for H29", "chứng thư CN=h29-portal,OU=1 dùng cho H29"];
    city.is_refused(&["subscribe", "G01", "--once"], 3, &said_twice);
    city.is_refused(&["subscribe", "H29", "--once", "--as", "h29-lgsp"], 3, &said_twice);
    city.is_refused(&[&produce[..], &["--as", "G01"]].concat(), 3, &said_twice);
    city.is_refused(&produce, 2, &["H29 does not provide a dataset dan-cu"]);
    finance.is_refused(&["subscribe", "H29", "--once"], 3, &["CN=g12-portal,OU=1 acts for G12"]);
    assert!(!finance.node.data.join("copies").exists(), "a store was made for somebody else's copies");
    let replaced = Party::new(&cluster, "h29-portal", 2);
    let not_in_force = ["CN=h29-portal,OU=2 is not in force", "kenh enroll admit h29-portal 2"];
    replaced.is_refused(&["subscribe", "H29", "--once"], 1, &not_in_force);
    replaced.is_refused(&produce, 1, &not_in_force);

    // When the grant ends, the copy goes, and that is confirmed.
    control.does(&["grant", "revoke", "h29-dan-cu"]);
    until("H29's copy to end", || (city.subscribes("sled")["state"] == "ended").then_some(()));
    assert!(confirmed(&log).iter().any(|claim| matches!(claim, Claim::Purged { .. })), "{:?}", confirmed(&log));
}
