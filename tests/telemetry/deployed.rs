//! What is deployed around a node, held to what the node needs. Nothing here runs a container.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::place::repository;

fn compose() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(repository().join("docker-compose.yml")).unwrap()).unwrap()
}

/// The settings of broker-config/kafka for one node, as the image of Apache Kafka takes them.
fn wanted() -> BTreeMap<String, String> {
    let mut wanted = BTreeMap::new();
    for file in ["common", "single-node"] {
        let file = repository().join(format!("broker-config/kafka/{file}.properties"));
        for line in fs::read_to_string(file).unwrap().lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (name, value) = line.split_once('=').unwrap();
            wanted.insert(format!("KAFKA_{}", name.to_uppercase().replace('.', "_")), value.to_owned());
        }
    }
    assert!(wanted.len() > 10);
    wanted
}

#[test]
fn kafka_in_compose_is_set_as_broker_config_says() {
    let compose = compose();
    let set = compose["services"]["kafka"]["environment"].as_object().unwrap();
    for (name, value) in wanted() {
        assert_eq!(set.get(&name).and_then(Value::as_str), Some(&*value), "{name}");
    }
    // What else is set is where it listens and who it is, and nothing that broker-config should know.
    let own = ["CLUSTER_ID", "KAFKA_NODE_ID", "KAFKA_PROCESS_ROLES", "KAFKA_LOG_DIRS"];
    for name in set.keys().filter(|n| !wanted().contains_key(*n) && !own.contains(&n.as_str())) {
        assert!(name.contains("LISTENER") || name.contains("CONTROLLER"), "{name} is set here alone");
    }
}

#[test]
fn every_service_shares_one_namespace_and_what_must_stays_on_its_loopback() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        if name == "net" {
            for port in service["ports"].as_array().unwrap() {
                assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port} is open beyond this machine");
            }
            continue;
        }
        assert_eq!(service["network_mode"], "service:net", "{name}");
        assert!(service["ports"].is_null(), "{name}");
        let image = service["image"].as_str().unwrap();
        assert!(image == "kenh" || image.contains(':') && !image.ends_with(":latest"), "{name}: {image} is not pinned");
        // A file that is mounted and not there becomes an empty directory.
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            if let Some(file) = from.strip_prefix("./") {
                assert!(repository().join(file).exists(), "{name}: there is no {file}");
            }
        }
    }
    // Roles have directories and ports of their own.
    let of = |name: &str| compose["services"][name]["environment"].clone();
    let roles = ["route", "control", "serve"].map(of);
    for key in ["KENH_DATA", "KENH_LISTEN"] {
        let distinct: std::collections::BTreeSet<_> = roles.iter().map(|r| r[key].to_string()).collect();
        assert_eq!(distinct.len(), roles.len(), "{key}");
    }
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    let units = ["kenh-up", "kenh-route", "kenh-control", "kenh-serve"];
    let dir = TempDir::new().unwrap();
    let mut files = Vec::new();
    for unit in units {
        let text = fs::read_to_string(repository().join(format!("deploy/systemd/{unit}.service"))).unwrap();
        let role = unit.trim_start_matches("kenh-");
        assert!(text.contains(&format!("/usr/local/bin/kenh --config /etc/kenh/kenh.yaml {role}\n")), "{unit}");
        // The programs of this build stand where they would be installed.
        let helper = repository().join("deploy/systemd/kenh-metrics-token");
        let text = text.replace("=/usr/local/bin/kenh-metrics-token ", &format!("={} ", helper.display()));
        let text = text.replace("=/usr/local/bin/kenh ", &format!("={} ", env!("CARGO_BIN_EXE_kenh")));
        let file = dir.path().join(format!("{unit}.service"));
        fs::write(&file, text).unwrap();
        files.push(file);
    }
    let Ok(said) = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&files).output() else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    // What other units of this machine have to say is not ours.
    let text = String::from_utf8_lossy(&said.stderr);
    let ours: Vec<_> = text.lines().filter(|l| l.contains("kenh")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
