//! Authentication: who may call on which listener, how often and with how much. What is let in carries a [`Caller`];
//! whatever looks for one and finds none answers nobody.
//!
//! Logged of a request: who, method, route, status. Never its path or query, which hold what the caller likes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kenh_domain::identity::Identity;
use kenh_domain::names::Principal;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::caller::Caller;
use super::listen::Peer;
use super::refusal::{Code, refuse, too_many};
use super::{App, registry};
use crate::time::now_ms;

/// Longest path and query: a registry's subject has at most 255 bytes, three times that percent-encoded.
const MAX_URI_BYTES: usize = 4 << 10;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(20);
/// Largest body of an operator: a call on the log carries up to one batch of records in base64.
const OPERATORS_BYTES: usize = 64 << 20;
/// Largest body of a system: a look-up of 1,000 keys, or a schema.
const SYSTEMS_BYTES: usize = 2 << 20;

/// Health, for anybody who reaches the listener.
pub async fn open(State(app): State<Arc<App>>, peer: Extension<Peer>, request: Request, next: Next) -> Response {
    match app.addresses.take(peer.address, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(wait) => too_many(wait),
    }
}

/// Whoever shows the node's token: the loopback listener.
pub async fn token(State(app): State<Arc<App>>, peer: Extension<Peer>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(token_of);
    if !shown.is_some_and(|shown| same(&shown, &app.token)) {
        let mut response = turn_away(
            &app,
            &peer,
            Code::Unauthorised,
            "show the token that lies in node.json in the node's data directory",
        );
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"kenh\""));
        return response;
    }
    let (method, route) = (request.method().clone(), route(&request));
    let response = pass(request, Caller::Operator, OPERATORS_BYTES, next).await;
    tracing::debug!(%method, route, status = response.status().as_u16(), "request");
    response
}

/// Whoever shows a certificate of the control role that is in force: the operators' listener.
pub async fn operator(State(app): State<Arc<App>>, peer: Extension<Peer>, request: Request, next: Next) -> Response {
    let identity = match in_force(&app, &peer).await {
        Ok(identity) if identity.system == Principal::control() => identity,
        Ok(_) => return not_admitted(&app, &peer),
        Err(refused) => return *refused,
    };
    let (method, route) = (request.method().clone(), route(&request));
    let response = pass(request, Caller::Operator, OPERATORS_BYTES, next).await;
    tracing::info!(by = %identity, %method, route, status = response.status().as_u16(), "request");
    response
}

/// Whoever shows a certificate, in force, of a system of an agency: the agencies' listener.
pub async fn system(State(app): State<Arc<App>>, peer: Extension<Peer>, request: Request, next: Next) -> Response {
    let identity = match in_force(&app, &peer).await {
        Ok(identity) => identity,
        Err(refused) => return *refused,
    };
    let control = app.control.get();
    let Some(agency) = control.agencies.values().find(|a| a.systems.contains(&identity.system)) else {
        return not_admitted(&app, &peer);
    };
    let kept = app.systems.of(&identity.system);
    let (method, route) = (request.method().clone(), route(&request));
    let response = match (kept.take(Instant::now()), kept.under_way.clone().try_acquire_owned()) {
        (Err(wait), _) => too_many(wait),
        (_, Err(_)) => too_many(Duration::from_secs(1)),
        (Ok(()), Ok(_under_way)) => {
            let caller = Caller::System { system: identity.system.clone(), agency: agency.name.clone(), kept };
            pass(request, caller, SYSTEMS_BYTES, next).await
        }
    };
    tracing::info!(by = %identity, %method, route, status = response.status().as_u16(), "request");
    response
}

/// Whose certificate it is, if it is in force now: asked at each request, so that one that is taken back is of no use in a
/// connection that stands either.
async fn in_force(app: &Arc<App>, peer: &Peer) -> Result<Identity, Box<Response>> {
    let Some(certificate) = peer.certificate.clone() else { return Err(Box::new(not_admitted(app, peer))) };
    let (log, system) = (app.log.clone(), certificate.identity.system.clone());
    let serials = tokio::task::spawn_blocking(move || log.serials(&system)).await;
    let why = match serials {
        Ok(Ok(serials)) if serials.contains(&certificate.identity.serial) && now_ms() <= certificate.until_ms => {
            return Ok(certificate.identity.clone());
        }
        Ok(Ok(_)) => return Err(Box::new(not_admitted(app, peer))),
        Ok(Err(error)) => kenh_domain::error::chain(&error),
        Err(error) => error.to_string(),
    };
    tracing::warn!(error = why, "nobody is let in: which certificates are in force is not known");
    let message = "which certificates are in force cannot be asked now; try again";
    let mut response = turn_away(app, peer, Code::CertificatesUnknown, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Err(Box::new(response))
}

/// The one answer to every certificate that is of no use on this listener.
fn not_admitted(app: &App, peer: &Peer) -> Response {
    if let Some(certificate) = &peer.certificate {
        tracing::warn!(by = %certificate.identity, address = %peer.address, "turned away: not in force here");
    }
    let message = "this certificate is not in force here: ask the operator of the bus (kenh enroll admit)";
    turn_away(app, peer, Code::NotAdmitted, message)
}

/// A refusal of whoever is not let in; he may have so many of them.
fn turn_away(app: &App, peer: &Peer, code: Code, message: &str) -> Response {
    match app.addresses.take(peer.address, Instant::now()) {
        Ok(()) => refuse(code, message),
        Err(wait) => {
            let mut response = too_many(wait);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// Lets a request in, with its body whole.
async fn pass(request: Request, caller: Caller, most: usize, next: Next) -> Response {
    if length(request.uri()) > MAX_URI_BYTES {
        return refuse(Code::UriTooLong, "path and query have at most 4 KiB; what is longer travels in a body");
    }
    let (mut parts, body) = request.into_parts();
    // Said to be too large: refused before it comes.
    if body.size_hint().lower() > most as u64 {
        return refuse(Code::TooLarge, "the body is too large");
    }
    let body = match timeout(BODY, axum::body::to_bytes(body, most)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return refuse(Code::TooLarge, "the body is too large or broke off"),
        Err(_) => return refuse(Code::TooSlow, "the body did not come within 20 s"),
    };
    parts.extensions.insert(caller);
    next.run(Request::from_parts(parts, body.into())).await.into_response()
}

fn length(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, |query| query.len() + 1)
}

/// The route, with names for its variable parts.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    matched.unwrap_or_else(|| registry::route(request.uri().path())).to_owned()
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
