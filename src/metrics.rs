//! What the node measures: one table of metrics, and their samples from one status document. `/metrics` writes them in
//! Prometheus's text format, `telemetry` sends them over OTLP.

use std::fmt::Write as _;

use crate::status::{CopyStatus, Status};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises while the process runs.
    Counter,
    /// It is what it is.
    Gauge,
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

/// Labels (names and codes of ours, nothing of a record) and a value.
pub type Sample = (Vec<(&'static str, String)>, f64);

impl Metric {
    /// Its samples as of a status.
    #[must_use]
    pub fn samples(&self, status: &Status) -> Vec<Sample> {
        (self.samples)(status)
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
    gauge("kenh_input_lag", "Positions an input lies behind; an upper bound of the records.", |s| {
        s.router.inputs.iter().map(|i| one("input", &i.of, float(i.lag))).collect()
    }),
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
    counter("kenh_commits_total", "Commits of the router.", |s| bare(float(s.router.commits))),
    counter("kenh_markers_total", "Markers written.", |s| bare(float(s.router.markers))),
    counter("kenh_view_records_total", "Records written to views.", |s| bare(float(s.router.view_records))),
    gauge("kenh_stopped_views", "Views whose output is stopped.", |s| bare(float(s.router.stopped.len() as u64))),
    gauge("kenh_copy_rows", "Rows of a copy.", |s| s.copies.iter().map(|c| (of(c), float(c.rows))).collect()),
    gauge("kenh_copy_clock_seconds", "Clock of the bus as of which a copy is complete, seconds since 1970.", |s| {
        s.copies.iter().filter_map(|c| Some((of(c), seconds(c.clock_ms?)))).collect()
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
    (vec![(label, value.to_owned())], n)
}

fn bare(n: f64) -> Vec<Sample> {
    vec![(Vec::new(), n)]
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
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
        for (labels, value) in metric.samples(status) {
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(out, "{}{labels} {value}", metric.name);
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
        Status::new(&control, Some(&kenh_router::Snapshot::default()), &[], 0)
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
    fn a_node_without_a_claim_is_not_ready() {
        let text = exposition(&empty());
        assert!(text.contains("\nkenh_ready 0\n"), "{text}");
    }
}
