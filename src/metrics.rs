//! What the node measures: one table of metrics, and their samples from one status document. `/metrics` writes them in
//! Prometheus's text format, `telemetry` sends them over OTLP.

use std::fmt::Write as _;

use crate::status::{CopyStatus, Status, SubscriberStatus};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises while the process runs.
    Counter,
    /// It is what it is.
    Gauge,
    /// Counted in buckets by size, with a sum and a count.
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
    /// Its samples: labels and value.
    samples: fn(&Status) -> Vec<Sample>,
}

/// One value.
#[derive(Debug)]
pub struct Sample {
    /// Of a histogram: `_bucket`, `_sum` or `_count`, which its name gets behind it. Else empty.
    pub part: &'static str,
    /// Names and codes of ours, nothing of a record.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The parts of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl Metric {
    /// Its samples as of a status.
    #[must_use]
    pub fn samples(&self, status: &Status) -> Vec<Sample> {
        (self.samples)(status)
    }

    /// The parts that its samples may have: each is a series of its own.
    #[must_use]
    pub const fn parts(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &PARTS,
        }
    }
}

/// Every metric. `docs/metrics.md` lists them; a test holds it to this.
pub const METRICS: &[Metric] = &[
    counter("kenh_submitted_changes_total", "Submitted changes by outcome.", |s| {
        let c = &s.router.counts;
        let outcomes =
            [("admitted", c.admitted), ("repeated", c.repeated), ("stale", c.stale), ("rejected", c.rejected)];
        outcomes.into_iter().map(|(outcome, n)| one("outcome", outcome, float(n))).collect()
    }),
    counter("kenh_rejections_total", "Rejected changes by rule.", |s| {
        s.router.rules.iter().map(|(rule, n)| one("rule", rule, float(*n))).collect()
    }),
    counter("kenh_warnings_total", "Admitted changes that broke a relaxed rule, by rule.", |s| {
        s.router.warnings.0.iter().map(|(rule, n)| one("rule", rule, float(*n))).collect()
    }),
    gauge("kenh_input_lag", "Positions an input lies behind; an upper bound of the records.", |s| {
        s.router.inputs.iter().map(|i| one("input", &i.of, float(i.lag))).collect()
    }),
    gauge("kenh_input_waiting", "1 when an input is not read, because something of it is missing.", |s| {
        s.router.inputs.iter().map(|i| one("input", &i.of, float(u64::from(i.waiting.is_some())))).collect()
    }),
    gauge(
        "kenh_input_decided_seconds",
        "When something of an input was last decided, seconds since 1970; none since the process started: no sample.",
        |s| s.router.inputs.iter().filter_map(|i| Some(one("input", &i.of, seconds(i.decided_ms?)))).collect(),
    ),
    gauge(
        "kenh_source_updated_seconds",
        "Newest time that a source gave an admitted change, seconds since 1970; none since the process started: no sample.",
        |s| s.router.inputs.iter().filter_map(|i| Some(one("input", &i.of, seconds(i.updated_ms?)))).collect(),
    ),
    gauge("kenh_data_sequence", "Sequence of the last record of a data partition.", |s| {
        s.router.data.iter().map(|d| one("data", &d.of, float(d.sequence))).collect()
    }),
    gauge("kenh_marker_clock_seconds", "Clock of the latest marker of a data partition, seconds since 1970.", |s| {
        s.router.data.iter().map(|d| one("data", &d.of, seconds(d.clock_ms))).collect()
    }),
    gauge("kenh_state_keys", "Record keys known to the router.", |s| {
        s.router.data.iter().map(|d| one("data", &d.of, float(d.keys as u64))).collect()
    }),
    gauge("kenh_state_bytes", "Bytes of the router's state in memory.", |s| {
        s.router.data.iter().map(|d| one("data", &d.of, float(d.bytes as u64))).collect()
    }),
    gauge("kenh_open_lanes", "Lanes that fill views now.", |s| bare(float(u64::from(s.router.lane.is_some())))),
    gauge("kenh_lane_left", "Sequences that the lane which fills views now has still to pass.", |s| {
        bare(float(s.router.lane_left))
    }),
    counter("kenh_commits_total", "Commits of the router.", |s| bare(float(s.router.commits))),
    Metric {
        name: "kenh_commit_seconds",
        kind: Kind::Histogram,
        help: "How long the router's commits took.",
        samples: commit_seconds,
    },
    counter("kenh_markers_total", "Markers written.", |s| bare(float(s.router.markers))),
    counter("kenh_view_records_total", "Records written to views.", |s| bare(float(s.router.view_records))),
    gauge("kenh_stopped_views", "Views whose output is stopped.", |s| bare(float(s.router.stopped.len() as u64))),
    gauge(
        "kenh_copies_waiting",
        "1 when the copies of an agency are not kept up to date, because their store, the log or a right is missing.",
        |s| {
            let waits = |w: &SubscriberStatus| float(u64::from(w.waiting.is_some()));
            s.subscribers.iter().map(|w| one("agency", w.agency.as_str(), waits(w))).collect()
        },
    ),
    gauge("kenh_copy_rows", "Rows of a copy.", |s| s.copies.iter().map(|c| plain(of(c), float(c.rows))).collect()),
    counter("kenh_copy_changes_total", "Rows that came into a copy, changed in it or left it.", |s| {
        let changes = |c: &CopyStatus| {
            let each = [("inserted", c.inserted), ("updated", c.updated), ("left", c.left)];
            let labelled = each.map(|(change, n)| {
                let mut labels = of(c);
                labels.push(("change", change.to_owned()));
                plain(labels, float(n))
            });
            labelled.into_iter()
        };
        s.copies.iter().flat_map(changes).collect()
    }),
    gauge("kenh_copy_clock_seconds", "Clock of the bus as of which a copy is complete, seconds since 1970.", |s| {
        s.copies.iter().filter_map(|c| Some(plain(of(c), seconds(c.clock_ms?)))).collect()
    }),
    gauge("kenh_ready", "1 when the node is ready.", |s| bare(float(u64::from(s.not_ready.is_empty())))),
];

const fn counter(name: &'static str, help: &'static str, samples: fn(&Status) -> Vec<Sample>) -> Metric {
    Metric { name, kind: Kind::Counter, help, samples }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Status) -> Vec<Sample>) -> Metric {
    Metric { name, kind: Kind::Gauge, help, samples }
}

fn one(label: &'static str, value: &str, n: f64) -> Sample {
    plain(vec![(label, value.to_owned())], n)
}

const fn plain(labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample { part: "", labels, value }
}

fn bare(n: f64) -> Vec<Sample> {
    vec![plain(Vec::new(), n)]
}

fn commit_seconds(status: &Status) -> Vec<Sample> {
    let router = &status.router;
    let bucket = |le: String, n: u64| Sample { part: PARTS[0], labels: vec![("le", le)], value: float(n) };
    let within = router.commit_times.within_ms.iter();
    #[expect(clippy::cast_precision_loss, reason = "a handful of small bounds")]
    let mut samples: Vec<_> = within.map(|(ms, n)| bucket((*ms as f64 / 1000.0).to_string(), *n)).collect();
    samples.push(bucket("+Inf".into(), router.commits));
    samples.push(Sample { part: PARTS[1], labels: Vec::new(), value: router.commit_times.seconds });
    samples.push(Sample { part: PARTS[2], labels: Vec::new(), value: float(router.commits) });
    samples
}

fn of(copy: &CopyStatus) -> Vec<(&'static str, String)> {
    vec![("agency", copy.agency.to_string()), ("dataset", copy.dataset.clone()), ("view", copy.view.clone())]
}

/// Prometheus's text format 0.0.4. Nothing in our labels needs escaping.
#[must_use]
pub fn exposition(status: &Status) -> String {
    let mut out = String::new();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
        for Sample { part, labels, value } in metric.samples(status) {
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{}{part}{labels} {value}", metric.name);
        }
    }
    out
}

/// Metrics are floats: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the formats know no other numbers")]
const fn float(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay below 2^53 for 280,000 years")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Status {
        let control = kenh_domain::control::ControlSet::default();
        Status::new(&control, None, Some(&kenh_router::Snapshot::default()), &[], 0)
    }

    #[test]
    fn every_metric_is_written_and_documented() {
        let docs = include_str!("../docs/metrics.md");
        let text = exposition(&empty());
        for Metric { name, kind, help, .. } in METRICS {
            let kind = format!("{kind:?}").to_lowercase();
            assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")), "{name} is not written");
            assert!(docs.contains(&format!("| `{name}` | {kind} | {help} |")), "docs/metrics.md lacks {name}");
        }
        assert_eq!(text.matches("# TYPE").count(), METRICS.len());
    }

    #[test]
    fn a_histogram_is_written_in_rising_buckets_with_its_sum_and_count() {
        let mut status = empty();
        status.router.commits = 5;
        status.router.commit_times.within_ms = vec![(1, 2), (25, 3), (10_000, 4)];
        status.router.commit_times.seconds = 12.5;
        let wanted = "# TYPE kenh_commit_seconds histogram\nkenh_commit_seconds_bucket{le=\"0.001\"} 2\n\
                      kenh_commit_seconds_bucket{le=\"0.025\"} 3\nkenh_commit_seconds_bucket{le=\"10\"} 4\n\
                      kenh_commit_seconds_bucket{le=\"+Inf\"} 5\nkenh_commit_seconds_sum 12.5\n\
                      kenh_commit_seconds_count 5\n";
        assert!(exposition(&status).contains(wanted), "{}", exposition(&status));
    }

    /// Names that a query of Prometheus asks for: ours all begin alike.
    fn asked(text: &str) -> std::collections::BTreeSet<&str> {
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        text.split(word).filter(|w| w.starts_with("kenh_")).collect()
    }

    /// The metric that a series belongs to.
    fn metric_of(series: &str) -> Option<&'static Metric> {
        let is = |m: &&Metric| m.parts().iter().any(|part| series.strip_suffix(part) == Some(m.name));
        METRICS.iter().find(is)
    }

    #[test]
    fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
        let dashboard: serde_json::Value = serde_json::from_str(include_str!("../deploy/grafana/kenh.json")).unwrap();
        let mut queries = Vec::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries.push(target["expr"].as_str().unwrap().to_owned());
            }
        }
        assert!(queries.len() >= METRICS.len() / 2, "{queries:?}");
        let alerts = include_str!("../deploy/alerts.yml");
        let alerts: Vec<_> = alerts.lines().filter_map(|l| l.trim().strip_prefix("expr: ")).collect();
        assert!(!alerts.is_empty());
        for query in queries.iter().map(String::as_str).chain(alerts) {
            assert!(!asked(query).is_empty(), "{query} asks for nothing of ours");
            for series in asked(query) {
                assert!(metric_of(series).is_some(), "{query}: there is no {series}");
            }
        }
        let all: String = queries.join(" ");
        let all: Vec<_> = asked(&all).into_iter().filter_map(metric_of).map(|m| m.name).collect();
        for metric in METRICS {
            assert!(all.contains(&metric.name), "no panel shows {}", metric.name);
        }
        for wrong in ["kenh_commit_total", "kenh_commit_seconds", "kenh_ready_bucket"] {
            assert!(metric_of(wrong).is_none(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_node_without_a_claim_is_not_ready() {
        let text = exposition(&empty());
        assert!(text.contains("\nkenh_ready 0\n"), "{text}");
    }
}
