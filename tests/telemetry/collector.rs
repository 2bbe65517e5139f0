//! OpenTelemetry's own collector, with the settings that are shipped in `deploy/`, between a node and whoever scrapes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::otlp::documented;
use crate::place::{Place, Running, people, repository, set_up, until};

/// A port that nobody has now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The collector with deploy/otel-collector.yaml, but for its ports.
struct Collector {
    _child: Running,
    otlp: String,
    scraped: String,
    said: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    fn start(place: &Place) -> Self {
        let (otlp, scraped) = (format!("127.0.0.1:{}", port()), format!("127.0.0.1:{}", port()));
        let mut config = fs::read_to_string(repository().join("deploy/otel-collector.yaml")).unwrap();
        for (shipped, here) in [("127.0.0.1:4318", &otlp), ("127.0.0.1:8889", &scraped)] {
            assert!(config.contains(shipped), "deploy/otel-collector.yaml does not say {shipped}");
            config = config.replace(shipped, here);
        }
        let file = place.path("collector.yaml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(repository().join("target/telemetry/collector"));
        command.arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().unwrap());
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (lines, all) = (BufReader::new(child.0.stderr.take().unwrap()).lines(), said.clone());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| all.lock().unwrap().push(line)));
        let collector = Self { _child: child, otlp, scraped, said };
        until("the collector to serve", || collector.scrape());
        collector
    }

    /// What Prometheus would get of it.
    fn scrape(&self) -> Option<String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        agent.get(format!("http://{}/metrics", self.scraped)).call().ok()?.body_mut().read_to_string().ok()
    }

    /// How many spans it says that it has received.
    fn spans(&self) -> u64 {
        let said = self.said.lock().unwrap();
        let of = |line: &String| line.split_once("\"spans\": ")?.1.split([',', '}']).next()?.trim().parse::<u64>().ok();
        said.iter().filter_map(of).sum()
    }
}

#[test]
fn the_collector_that_is_tried_is_the_one_that_is_deployed() {
    let text = |name: &str| fs::read_to_string(repository().join(name)).unwrap();
    let image = "image: otel/opentelemetry-collector-contrib:";
    let compose = text("docker-compose.yml");
    let deployed = compose.lines().find_map(|line| line.trim().strip_prefix(image)).unwrap();
    let tried = format!("go.opentelemetry.io/collector/otelcol v{deployed}\n");
    assert!(text("tests/telemetry/collector/go.mod").contains(&tried), "the tests do not build {deployed}");
}

#[test]
fn the_collector_takes_what_a_node_tells_and_hands_it_on() {
    set_up();
    let place = Place::new();
    let collector = Collector::start(&place);
    let endpoint = format!("http://{}", collector.otlp);
    let node = place.up(Some(&endpoint));
    assert_eq!(place.produce(&people(), Some(&endpoint)), Some(0));
    node.await_people(2);
    // Every metric under its documented name, but those of what did not happen.
    let wanted: Vec<_> = documented()
        .into_iter()
        .filter(|n| !["kenh_rejections_total", "kenh_warnings_total"].contains(&&**n))
        .collect();
    let of = |text: &str, name: &str| text.lines().any(|line| line.starts_with(&format!("{name}{{")));
    until("every metric at the collector", || {
        let text = collector.scrape()?;
        wanted.iter().all(|name| of(&text, name)).then_some(())
    });
    until("what was admitted", || {
        let text = collector.scrape()?;
        let line =
            text.lines().find(|l| l.starts_with("kenh_submitted_changes_total{") && l.contains("\"admitted\""))?;
        (line.rsplit(' ').next() == Some("2")).then_some(())
    });
    // One of the submission, one of the router's commit, and one for each copy.
    until("spans", || (collector.spans() >= 4).then_some(()));
    node.stop();
}
