//! The catalogue over HTTP: contracts as offers, for whoever may call at all. It says nothing of grants.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kenh_governance::life;

use super::{App, blocking};

pub async fn list(State(app): State<Arc<App>>) -> Response {
    let control = app.control.get();
    blocking(move || axum::Json(serde_json::json!({ "datasets": life::catalog(&control) })).into_response()).await
}
