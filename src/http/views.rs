//! Look-ups in this node's copies.
//!
//! Record keys and filters come in bodies, never in a URL (invariant 7). A page's cursor holds a record key, so that what
//! the answer names is a ticket: a random text that stands for it in this process for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kenh_consumers::copy::{AsOf, Copy, CopyError, Cursor, Format, MAX_PAGE, Page, Row};
use kenh_consumers::store::CopyId;
use kenh_domain::names::{Agency, Dataset, View};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use super::ask::{Asked, Sent};
use super::caller::Caller;
use super::refusal::{Code, refuse, too_many};
use super::{App, blocking};
use crate::time::now_ms;

/// Rows of a page where nothing is said.
const PAGE: usize = 100;
/// Largest export that is put together in memory before it is sent.
const MAX_EXPORT_BYTES: usize = 256 << 20;
/// Exports at once, until they are sent: each holds its bytes as long.
pub const MAX_EXPORTS: usize = 2;

/// Cursors by ticket; beyond so many the oldest is forgotten first.
pub struct Tickets {
    most: usize,
    known: Mutex<(HashMap<String, Cursor>, VecDeque<String>)>,
}

impl Tickets {
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    fn give(&self, cursor: Cursor) -> String {
        let ticket = uuid::Uuid::new_v4().simple().to_string();
        let mut tickets = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.1.len() == self.most
            && let Some(oldest) = tickets.1.pop_front()
        {
            tickets.0.remove(&oldest);
        }
        tickets.1.push_back(ticket.clone());
        tickets.0.insert(ticket.clone(), cursor);
        ticket
    }

    fn find(&self, ticket: &str) -> Option<Cursor> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0.get(ticket).cloned()
    }
}

/// What a page is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Which view; `main` where nothing is said.
    view: Option<View>,
    /// At most so many rows.
    limit: Option<usize>,
    /// The ticket that the page before was answered with.
    after: Option<String>,
    /// For an export: jsonl, csv or avro.
    format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    view: Option<View>,
    /// Record keys; of a composite key, the text of the JSON array of its parts.
    keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    view: Option<View>,
    /// A row filter over the fields of the view.
    filter: String,
    limit: Option<usize>,
    after: Option<String>,
}

type Of = Path<(String, String)>;

/// Unknown, another's and not kept here look the same.
fn unknown() -> Response {
    refuse(Code::NoSuchCopy, "this node keeps no such copy; kenh status lists those it keeps")
}

fn bad(message: &str) -> Response {
    refuse(Code::BadRequest, message)
}

/// The copy that a path and a view name, if this node keeps it and the caller may read it.
fn find(
    app: &App,
    caller: &Caller,
    (agency, dataset): &(String, String),
    view: Option<View>,
) -> Option<(Agency, Copy)> {
    let agency: Agency = agency.parse().ok()?;
    let dataset: Dataset = dataset.parse().ok()?;
    let view = view.unwrap_or_else(View::main);
    let store = app.copies.get(&agency)?.store.clone();
    let may = caller.may_read(&app.control.get(), (&agency, &dataset, &view), now_ms());
    may.then(|| (agency, Copy::new(store, CopyId { dataset, view })))
}

fn failed(error: &CopyError) -> Response {
    match error {
        CopyError::None(_) => unknown(),
        CopyError::Filter(e) => refuse(Code::BadFilter, &e.to_string()),
        CopyError::Replaced { .. } => refuse(Code::CursorGone, "the copy was replaced; start without `after`"),
        CopyError::TooMany(_) => bad(&error.to_string()),
        CopyError::Store(_) | CopyError::Row(_) => {
            tracing::error!(error = kenh_domain::error::chain(error), "a copy cannot be read");
            refuse(Code::CopyUnreadable, "this copy cannot be read; kenh doctor says more")
        }
    }
}

fn rows(rows: &[Row]) -> Result<Vec<serde_json::Value>, CopyError> {
    rows.iter().map(row).collect()
}

fn row(row: &Row) -> Result<serde_json::Value, CopyError> {
    let value = RawValue::from_string(row.json()?).unwrap_or_default();
    Ok(json!({ "key": row.key_text(), "value": value }))
}

/// Where the rows come from: which copy, which state, and whether all of it is made up.
fn heading(app: &App, agency: &Agency, id: &CopyId, as_of: &AsOf) -> serde_json::Value {
    let synthetic = app.control.get().contracts.get(&id.dataset).is_some_and(|c| c.synthetic);
    json!({
        "agency": agency, "dataset": id.dataset, "view": id.view, "edition": as_of.edition, "synthetic": synthetic,
        "asOf": {
            "clockMs": as_of.clock_ms, "seenMs": as_of.seen_ms, "rows": as_of.counters.rows,
            "sequences": as_of.reached.iter().map(|r| r.map(|r| r.sequence)).collect::<Vec<_>>(),
        },
    })
}

fn page(app: &App, caller: &Caller, agency: &Agency, id: &CopyId, page: Page) -> Response {
    let found = match rows(&page.rows) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let mut answer = heading(app, agency, id, &page.as_of);
    answer["rows"] = found.into();
    answer["next"] = page.next.map(|cursor| caller.tickets(app).give(cursor)).into();
    axum::Json(answer).into_response()
}

/// The cursor of a ticket; an unknown one is the caller's error.
fn cursor(app: &App, caller: &Caller, after: Option<&str>) -> Result<Option<Cursor>, Box<Response>> {
    let Some(ticket) = after else { return Ok(None) };
    let gone = "`after` is not a ticket that this node still knows; start without it";
    caller.tickets(app).find(ticket).map(Some).ok_or_else(|| Box::new(refuse(Code::CursorGone, gone)))
}

pub async fn list(State(app): State<Arc<App>>, caller: Caller, Path(of): Of, Asked(ask): Asked<Paging>) -> Response {
    blocking(move || {
        let Some((agency, copy)) = find(&app, &caller, &of, ask.view) else { return unknown() };
        let after = match cursor(&app, &caller, ask.after.as_deref()) {
            Ok(after) => after,
            Err(gone) => return *gone,
        };
        match copy.page(after.as_ref(), ask.limit.unwrap_or(PAGE)) {
            Ok(found) => page(&app, &caller, &agency, copy.id(), found),
            Err(error) => failed(&error),
        }
    })
    .await
}

pub async fn lookup(State(app): State<Arc<App>>, caller: Caller, Path(of): Of, Sent(ask): Sent<Lookup>) -> Response {
    blocking(move || {
        let Some((agency, copy)) = find(&app, &caller, &of, ask.view) else { return unknown() };
        if ask.keys.len() > MAX_PAGE {
            return bad(&format!("at most {MAX_PAGE} keys can be looked up at once"));
        }
        let keys: Vec<&[u8]> = ask.keys.iter().map(String::as_bytes).collect();
        let (found, as_of) = match copy.lookup(&keys) {
            Ok(found) => found,
            Err(error) => return failed(&error),
        };
        // In the order of the keys; null where the copy has no such row.
        let found: Result<Vec<_>, _> = found.iter().map(|r| r.as_ref().map(row).transpose()).collect();
        match found {
            Ok(found) => {
                let mut answer = heading(&app, &agency, copy.id(), &as_of);
                answer["rows"] = json!(found);
                axum::Json(answer).into_response()
            }
            Err(error) => failed(&error),
        }
    })
    .await
}

pub async fn search(State(app): State<Arc<App>>, caller: Caller, Path(of): Of, Sent(ask): Sent<Search>) -> Response {
    blocking(move || {
        let Some((agency, copy)) = find(&app, &caller, &of, ask.view) else { return unknown() };
        let after = match cursor(&app, &caller, ask.after.as_deref()) {
            Ok(after) => after,
            Err(gone) => return *gone,
        };
        match copy.search(&ask.filter, after.as_ref(), ask.limit.unwrap_or(PAGE)) {
            Ok(found) => page(&app, &caller, &agency, copy.id(), found),
            Err(error) => failed(&error),
        }
    })
    .await
}

pub async fn digest(State(app): State<Arc<App>>, caller: Caller, Path(of): Of, Asked(ask): Asked<Paging>) -> Response {
    blocking(move || {
        let Some((agency, copy)) = find(&app, &caller, &of, ask.view) else { return unknown() };
        match copy.digest() {
            Ok(digest) => {
                let mut answer = heading(&app, &agency, copy.id(), &digest.as_of);
                answer["digest"] = digest.hex.into();
                answer["rows"] = digest.rows.into();
                axum::Json(answer).into_response()
            }
            Err(error) => failed(&error),
        }
    })
    .await
}

pub async fn export(State(app): State<Arc<App>>, caller: Caller, Path(of): Of, Asked(ask): Asked<Paging>) -> Response {
    let (format, content_type) = match ask.format.as_deref().unwrap_or("jsonl") {
        "jsonl" => (Format::Jsonl, "application/jsonl"),
        "csv" => (Format::Csv, "text/csv; charset=utf-8"),
        "avro" => (Format::Avro, "application/vnd.apache.avro"),
        _ => return bad("format is jsonl, csv or avro"),
    };
    blocking(move || {
        let Some((_, copy)) = find(&app, &caller, &of, ask.view) else { return unknown() };
        let Ok(place) = app.exports.clone().try_acquire_owned() else {
            return too_many(Duration::from_secs(5));
        };
        let mut out = Bounded(Vec::new());
        match copy.export(format, &mut out) {
            Ok(_) => {
                let sent = Bytes::from_owner(Exported { bytes: out.0, _place: place });
                ([(header::CONTENT_TYPE, content_type)], sent).into_response()
            }
            Err(kenh_consumers::copy::ExportError::Copy(error)) => failed(&error),
            Err(error) => {
                tracing::warn!(error = kenh_domain::error::chain(&error), "an export was not finished");
                refuse(
                    Code::ExportUnfinished,
                    "the export was not finished; over 256 MiB, page through the view or stop the node and export from \
                     its directory",
                )
            }
        }
    })
    .await
}

/// An export on its way out: it keeps its place until the last byte is handed over.
struct Exported {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Exported {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A buffer that takes so much and no more.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_EXPORT_BYTES {
            return Err(std::io::Error::other("the export is larger than 256 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_stands_for_its_cursor_until_too_many_came_after_it() {
        let tickets = Tickets::new(100);
        let cursor: Cursor = "AQAAAAMAAAABaw".parse().unwrap();
        let first = tickets.give(cursor.clone());
        assert_eq!(tickets.find(&first), Some(cursor.clone()));
        assert!(!first.contains("aw"), "a ticket must not be the cursor");
        for _ in 0..100 {
            tickets.give(cursor.clone());
        }
        assert_eq!(tickets.find(&first), None);
    }
}
