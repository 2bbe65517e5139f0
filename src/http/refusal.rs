//! Refusals over HTTP: a stable code, a safe sentence, and what to do. `docs/errors.md` lists them; a test holds it to
//! this.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BadRequest,
    Unauthorised,
    NotAdmitted,
    NoSuchCopy,
    TooSlow,
    CursorGone,
    TooLarge,
    UriTooLong,
    BadFilter,
    TooMany,
    CopyUnreadable,
    ExportUnfinished,
    Internal,
    CertificatesUnknown,
}

impl Code {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Unauthorised,
        Self::NotAdmitted,
        Self::NoSuchCopy,
        Self::TooSlow,
        Self::CursorGone,
        Self::TooLarge,
        Self::UriTooLong,
        Self::BadFilter,
        Self::TooMany,
        Self::CopyUnreadable,
        Self::ExportUnfinished,
        Self::Internal,
        Self::CertificatesUnknown,
    ];

    /// The status it is answered with, and its name.
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised"),
            Self::NotAdmitted => (StatusCode::FORBIDDEN, "not-admitted"),
            Self::NoSuchCopy => (StatusCode::NOT_FOUND, "no-such-copy"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            Self::CursorGone => (StatusCode::GONE, "cursor-gone"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long"),
            Self::BadFilter => (StatusCode::UNPROCESSABLE_ENTITY, "bad-filter"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
            Self::CopyUnreadable => (StatusCode::INTERNAL_SERVER_ERROR, "copy-unreadable"),
            Self::ExportUnfinished => (StatusCode::INTERNAL_SERVER_ERROR, "export-unfinished"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::CertificatesUnknown => (StatusCode::SERVICE_UNAVAILABLE, "certificates-unknown"),
        }
    }
}

/// A refusal as JSON.
pub fn refuse(code: Code, message: &str) -> Response {
    let (status, error) = code.parts();
    (status, axum::Json(serde_json::json!({ "error": error, "message": message }))).into_response()
}

/// The refusal of what comes too fast, with the time after which there is room.
pub fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut response = refuse(Code::TooMany, "too many requests; Retry-After says when there is room");
    response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_status() {
        let docs = include_str!("../../docs/errors.md");
        for code in Code::ALL {
            let (status, name) = code.parts();
            let row = format!("| {} | `{name}` |", status.as_u16());
            assert!(docs.contains(&row), "docs/errors.md lacks {row}");
        }
        let rows = docs.lines().filter(|l| l.starts_with("| ") && l.contains(" | `")).count();
        assert_eq!(rows, Code::ALL.len(), "docs/errors.md lists codes that there are not");
    }
}
