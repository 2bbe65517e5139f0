//! Debian's Prometheus against a running node, with the settings that are shipped in `deploy/`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Node, Place, Running, people, repository, set_up, until};

/// Prometheus, scraping one node.
struct Prometheus {
    _child: Running,
    address: String,
}

impl Prometheus {
    /// With deploy/prometheus.yml, but for the node's address, the place of its token, and a shorter interval.
    fn start(place: &Place, node: &Node<'_>) -> Self {
        let token = place.path("token");
        fs::write(&token, &node.token).unwrap();
        let mut config = fs::read_to_string(repository().join("deploy/prometheus.yml")).unwrap();
        let alerts = repository().join("deploy/alerts.yml");
        for (shipped, here) in [
            ("/run/kenh/metrics-token", token.to_str().unwrap()),
            ("127.0.0.1:8490", &node.address),
            ("alerts.yml", alerts.to_str().unwrap()),
            ("scrape_interval: 10s", "scrape_interval: 1s"),
            ("scrape_timeout: 5s", "scrape_timeout: 1s"),
        ] {
            assert!(config.contains(shipped), "deploy/prometheus.yml does not say {shipped}");
            config = config.replace(shipped, here);
        }
        let file = place.path("prometheus.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", place.path("tsdb").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let mut child = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let (found, wanted) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let address = wanted.recv_timeout(crate::place::PATIENCE).expect("prometheus does not listen");
        Self { _child: child, address }
    }

    /// The samples that a query answers now.
    fn query(&self, query: &str) -> Vec<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let call = agent.get(format!("http://{}/api/v1/query", self.address)).query("query", query).call();
        let Ok(mut answer) = call else { return Vec::new() };
        let answer: Value = answer.body_mut().read_json().unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The value of a query with one sample, once it is as wanted.
    fn await_value(&self, query: &str, wanted: impl Fn(f64) -> bool) {
        until(query, || match &self.query(query)[..] {
            [one] => one["value"][1].as_str().unwrap().parse().ok().filter(|v| wanted(*v)),
            _ => None,
        });
    }
}

#[test]
fn debians_prometheus_scrapes_a_node_and_answers() {
    set_up();
    let place = Place::new();
    let node = place.up(None);
    assert_eq!(place.produce(&people(), None), Some(0));
    node.await_people(2);
    let prometheus = Prometheus::start(&place, &node);
    prometheus.await_value("up{job=\"kenh\"}", |v| (v - 1.0).abs() < f64::EPSILON);
    prometheus.await_value("kenh_commits_total", |v| v > 0.0);
    prometheus.await_value("kenh_submitted_changes_total{outcome=\"admitted\"}", |v| (v - 2.0).abs() < f64::EPSILON);
    prometheus.await_value("histogram_quantile(0.99, kenh_commit_seconds_bucket)", |v| v > 0.0);

    // Every query of the dashboard is one that Prometheus understands, and those on what happened here have an answer.
    let dashboard: Value =
        serde_json::from_slice(&fs::read(repository().join("deploy/grafana/kenh.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<_> = panels.iter().flat_map(|p| p["targets"].as_array().unwrap()).map(|t| &t["expr"]).collect();
    assert!(!queries.is_empty());
    for query in queries {
        let query = query.as_str().unwrap().replace("$__rate_interval", "10s");
        if ["kenh_rejections_total", "kenh_warnings_total"].iter().any(|name| query.contains(name)) {
            assert_eq!(prometheus.query(&query), Vec::<Value>::new(), "nothing broke a rule");
        } else {
            until(&format!("an answer to {query}"), || (!prometheus.query(&query).is_empty()).then_some(()));
        }
    }

    // What it wrote is well formed, and named as Prometheus's own linter wants it.
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut lint = promtool.spawn().unwrap();
    lint.stdin.take().unwrap().write_all(node.get("/metrics").unwrap().as_bytes()).unwrap();
    let lint = lint.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&lint.stdout), String::from_utf8_lossy(&lint.stderr));
    assert!(lint.status.success() && said.is_empty(), "{said}");
    node.stop();
}

#[test]
fn what_prometheus_is_given_is_valid() {
    set_up();
    let check = |args: &[&str], file: &str| {
        let done = Command::new("promtool").arg("check").args(args).arg(repository().join(file)).output().unwrap();
        assert!(done.status.success(), "{file}: {}", String::from_utf8_lossy(&done.stderr));
    };
    // Token and rules lie elsewhere where these are used: syntax only.
    check(&["config", "--syntax-only"], "deploy/prometheus.yml");
    check(&["config", "--syntax-only"], "deploy/prometheus-collector.yml");
    check(&["rules"], "deploy/alerts.yml");
}
