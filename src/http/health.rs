//! Health, status and metrics.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{App, typed};
use crate::status::Status;
use crate::time::now_ms;

/// The media type of Prometheus's text format 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric: name, kind, meaning. `docs/metrics.md` lists them; a test holds it to this.
pub const METRICS: &[(&str, &str, &str)] = &[
    ("kenh_submitted_changes_total", "counter", "Submitted changes by outcome."),
    ("kenh_rejections_total", "counter", "Rejected changes by rule."),
    ("kenh_input_lag", "gauge", "Positions an input lies behind; an upper bound of the records."),
    ("kenh_data_sequence", "gauge", "Sequence of the last record of a data partition."),
    ("kenh_marker_clock_seconds", "gauge", "Clock of the latest marker of a data partition, seconds since 1970."),
    ("kenh_state_keys", "gauge", "Record keys known to the router."),
    ("kenh_state_bytes", "gauge", "Bytes of the router's state in memory."),
    ("kenh_commits_total", "counter", "Commits of the router."),
    ("kenh_markers_total", "counter", "Markers written."),
    ("kenh_view_records_total", "counter", "Records written to views."),
    ("kenh_stopped_views", "gauge", "Views whose output is stopped."),
    ("kenh_copy_rows", "gauge", "Rows of a copy."),
    ("kenh_copy_clock_seconds", "gauge", "Clock of the bus as of which a copy is complete, seconds since 1970."),
    ("kenh_ready", "gauge", "1 when the node is ready."),
];

impl App {
    /// The node's status now.
    pub fn status(&self) -> Status {
        let copies: Vec<_> = self.copies.iter().map(|(agency, copy)| (agency.clone(), copy.stats())).collect();
        let router = self.router.as_ref().map(|stats| stats.snapshot());
        Status::new(&self.control.get(), router.as_ref(), &copies, now_ms())
    }
}

pub async fn status(State(app): State<Arc<App>>) -> Response {
    axum::Json(app.status()).into_response()
}

/// Ready, or why not. The reasons name topics, never rows.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let status = app.status();
    let code = if status.not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(json!({ "ready": status.not_ready.is_empty(), "reasons": status.not_ready }))).into_response()
}

pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    typed(200, METRICS_TYPE, exposition(&app.status()))
}

/// Prometheus's text format. Label values are names and codes of ours: nothing in them needs escaping.
fn exposition(status: &Status) -> String {
    let router = &status.router;
    let mut out = String::new();
    let mut metric = |name: &str, samples: Vec<(String, f64)>| {
        let Some((_, kind, help)) = METRICS.iter().find(|(known, ..)| *known == name) else { return };
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let counts = &router.counts;
    let outcomes = [
        ("admitted", counts.admitted),
        ("repeated", counts.repeated),
        ("stale", counts.stale),
        ("rejected", counts.rejected),
    ];
    let labelled = |label: &str, value: &str, n: f64| (format!("{{{label}=\"{value}\"}}"), n);
    let one = |n: f64| vec![(String::new(), n)];
    metric(
        "kenh_submitted_changes_total",
        outcomes.iter().map(|(outcome, n)| labelled("outcome", outcome, float(*n))).collect(),
    );
    metric("kenh_rejections_total", router.rules.iter().map(|(r, n)| labelled("rule", r, float(*n))).collect());
    metric("kenh_input_lag", router.inputs.iter().map(|i| labelled("input", &i.of, float(i.lag))).collect());
    metric("kenh_data_sequence", router.data.iter().map(|d| labelled("data", &d.of, float(d.sequence))).collect());
    let clocks = router.data.iter().map(|d| labelled("data", &d.of, seconds(d.clock_ms)));
    metric("kenh_marker_clock_seconds", clocks.collect());
    metric("kenh_state_keys", router.data.iter().map(|d| labelled("data", &d.of, float(d.keys as u64))).collect());
    metric("kenh_state_bytes", router.data.iter().map(|d| labelled("data", &d.of, float(d.bytes as u64))).collect());
    metric("kenh_commits_total", one(float(router.commits)));
    metric("kenh_markers_total", one(float(router.markers)));
    metric("kenh_view_records_total", one(float(router.view_records)));
    metric("kenh_stopped_views", one(float(router.stopped.len() as u64)));
    let of = |c: &crate::status::CopyStatus| {
        format!("{{agency=\"{}\",dataset=\"{}\",view=\"{}\"}}", c.agency, c.dataset, c.view)
    };
    metric("kenh_copy_rows", status.copies.iter().map(|c| (of(c), float(c.rows))).collect());
    let clocks = status.copies.iter().filter_map(|c| Some((of(c), seconds(c.clock_ms?))));
    metric("kenh_copy_clock_seconds", clocks.collect());
    metric("kenh_ready", one(if status.not_ready.is_empty() { 1.0 } else { 0.0 }));
    out
}

/// Prometheus's numbers are floats: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format knows no other numbers")]
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

    #[test]
    fn every_metric_is_written_and_documented() {
        let docs = include_str!("../../docs/metrics.md");
        let control = kenh_domain::control::ControlSet::default();
        let text = exposition(&Status::new(&control, Some(&kenh_router::Snapshot::default()), &[], 0));
        for (name, kind, help) in METRICS {
            assert!(text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")), "{name} is not written");
            assert!(docs.contains(name) && docs.contains(help), "docs/metrics.md lacks {name}");
        }
        assert_eq!(text.matches("# TYPE").count(), METRICS.len());
    }

    #[test]
    fn a_node_without_a_claim_is_not_ready() {
        let control = kenh_domain::control::ControlSet::default();
        let text = exposition(&Status::new(&control, Some(&kenh_router::Snapshot::default()), &[], 0));
        assert!(text.contains("\nkenh_ready 0\n"), "{text}");
    }
}
