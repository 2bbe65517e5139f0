//! Who may call: whoever shows the node's token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::App;
use super::refusal::{Code, refuse};

pub async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(token_of);
    if !shown.is_some_and(|shown| same(&shown, &app.token)) {
        let mut response =
            refuse(Code::Unauthorised, "show the token that lies in node.json in the node's data directory");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"kenh\""));
        return response;
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await.into_response();
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    response
}

fn token_of(value: &str) -> Option<String> {
    if let Some(token) = value.strip_prefix("Bearer ") {
        return Some(token.trim().to_owned());
    }
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compares digests, so that the time it takes tells nothing of how far a guess was right.
fn same(shown: &str, wanted: &str) -> bool {
    Sha256::digest(shown) == Sha256::digest(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_as_bearer_or_as_the_password_of_basic() {
        assert_eq!(token_of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token_of(&format!("Basic {}", STANDARD.encode("anybody:abc"))).as_deref(), Some("abc"));
        for wrong in ["", "abc", "Basic %%%", "Digest abc"] {
            assert_eq!(token_of(wrong), None, "{wrong}");
        }
        assert!(same("abc", "abc") && !same("abd", "abc"));
    }
}
