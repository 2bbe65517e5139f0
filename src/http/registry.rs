//! The registry over HTTP: everything that no other route takes. What it answers is decided in `governance`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use kenh_governance::registry::Registry;

use super::refusal::{Code, refuse};
use super::{App, blocking, typed};

/// Largest schema taken in a question.
const MAX_QUESTION_BYTES: usize = 1 << 20;

pub async fn handle(State(app): State<Arc<App>>, method: Method, uri: Uri, body: Bytes) -> Response {
    if body.len() > MAX_QUESTION_BYTES {
        return refuse(Code::TooLarge, "a question to the registry holds at most 1 MiB");
    }
    let control = app.control.get();
    blocking(move || {
        let registry = Registry::new(&control);
        let answer = registry.handle(method.as_str(), uri.path(), uri.query().unwrap_or(""), &body);
        typed(answer.status, answer.content_type, answer.body.to_string())
    })
    .await
}
