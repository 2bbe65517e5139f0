//! Refusals over HTTP: a stable code, a safe sentence, and what to do. `docs/errors.md` lists them; a test holds it to
//! this.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BadRequest,
    Unauthorised,
    NoSuchCopy,
    CursorGone,
    TooLarge,
    BadFilter,
    CopyUnreadable,
    ExportUnfinished,
    Internal,
}

impl Code {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 9] = [
        Self::BadRequest,
        Self::Unauthorised,
        Self::NoSuchCopy,
        Self::CursorGone,
        Self::TooLarge,
        Self::BadFilter,
        Self::CopyUnreadable,
        Self::ExportUnfinished,
        Self::Internal,
    ];

    /// The status it is answered with, and its name.
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised"),
            Self::NoSuchCopy => (StatusCode::NOT_FOUND, "no-such-copy"),
            Self::CursorGone => (StatusCode::GONE, "cursor-gone"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::BadFilter => (StatusCode::UNPROCESSABLE_ENTITY, "bad-filter"),
            Self::CopyUnreadable => (StatusCode::INTERNAL_SERVER_ERROR, "copy-unreadable"),
            Self::ExportUnfinished => (StatusCode::INTERNAL_SERVER_ERROR, "export-unfinished"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

/// A refusal as JSON.
pub fn refuse(code: Code, message: &str) -> Response {
    let (status, error) = code.parts();
    (status, axum::Json(serde_json::json!({ "error": error, "message": message }))).into_response()
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
