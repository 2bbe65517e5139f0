//! What a request asks, read from its query or its body: a wrong question is refused in our form, and what is said of it
//! repeats nothing of the body (invariant 7).

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

use super::refusal::{Code, refuse};

/// What stood behind `?`.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let wrong =
            |_| refuse(Code::BadRequest, "this takes `view`, `limit` (a number), `after` and `format` in its query");
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(wrong)
    }
}

/// The body, as JSON, whatever its content type says.
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| refuse(Code::TooLarge, "the body is too large or broke off"))?;
        serde_json::from_slice(&body).map(Self).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            let place =
                format!("the body is not the JSON that this takes (line {line}, column {column}): see docs/http.md");
            refuse(Code::BadRequest, &place)
        })
    }
}
