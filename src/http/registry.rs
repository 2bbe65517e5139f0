//! The registry over HTTP: everything that no other route takes. What it answers is decided in `governance`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use kenh_governance::registry::Registry;

use super::caller::Caller;
use super::refusal::{Code, refuse};
use super::{App, blocking, typed};
use crate::time::now_ms;

/// Largest schema taken in a question.
const MAX_QUESTION_BYTES: usize = 1 << 20;

pub async fn handle(State(app): State<Arc<App>>, caller: Caller, method: Method, uri: Uri, body: Bytes) -> Response {
    if body.len() > MAX_QUESTION_BYTES {
        return refuse(Code::TooLarge, "a question to the registry holds at most 1 MiB");
    }
    let control = app.control.get();
    blocking(move || {
        let mut registry = Registry::new(&control);
        if let Some(own) = caller.subjects(&control, now_ms()) {
            registry = registry.visible(&|subject| own.contains(subject));
        }
        let answer = registry.handle(method.as_str(), uri.path(), uri.query().unwrap_or(""), &body);
        typed(answer.status, answer.content_type, answer.body.to_string())
    })
    .await
}

/// What is logged of a path that no other route takes: nothing that the caller made up.
pub fn route(path: &str) -> &'static str {
    match path.split('/').find(|part| !part.is_empty()) {
        Some("subjects") => "/subjects/…",
        Some("schemas") => "/schemas/…",
        Some("compatibility") => "/compatibility/…",
        Some("config") => "/config/…",
        Some("mode") => "/mode/…",
        Some("contexts") => "/contexts",
        Some("apis") => "/apis/…",
        None => "/",
        Some(_) => "unknown",
    }
}
