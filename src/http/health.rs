//! Health, status and metrics. Health is open: it says nothing that a stranger may not know.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{App, typed};
use crate::metrics;
use crate::status::Status;
use crate::time::now_ms;

/// The media type of Prometheus's text format 0.0.4.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl App {
    /// The node's status now.
    pub fn status(&self) -> Status {
        let copies: Vec<_> = self.copies.iter().map(|(agency, copy)| (agency.clone(), copy.stats())).collect();
        let router = self.router.as_ref().map(|stats| stats.snapshot());
        Status::new(&self.control.get(), self.control.waiting(), router.as_ref(), &copies, now_ms())
    }
}

pub async fn status(State(app): State<Arc<App>>) -> Response {
    axum::Json(app.status()).into_response()
}

pub async fn live() -> &'static str {
    "live\n"
}

/// Ready or not, where agencies come in: reasons would name the topics of others.
pub async fn ready_or_not(State(app): State<Arc<App>>) -> Response {
    let ready = app.status().not_ready.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(json!({ "ready": ready }))).into_response()
}

/// Ready, or why not. The reasons name topics, never rows.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let status = app.status();
    let code = if status.not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(json!({ "ready": status.not_ready.is_empty(), "reasons": status.not_ready }))).into_response()
}

pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    typed(200, METRICS_TYPE, metrics::exposition(&app.status()))
}
