//! `kenh view …`: looking into an agency's copies, in this directory, in PostgreSQL, or at the node that keeps them.
//!
//! Record keys and filters come on standard input, so that they show in no process list (invariant 7).

use std::fs::File;
use std::io::{BufRead as _, Write};
use std::path::Path;
use std::sync::Arc;

use kenh_consumers::copy::{Copy, CopyError, Format, Row};
use kenh_consumers::store::postgres::{Options, PostgresStore};
use kenh_consumers::store::{CopyId, ViewStore};
use kenh_domain::names::{Dataset, View};
use serde_json::{Value, json};

use super::Failure;
use crate::cli::{ExportFormat, Output, ViewCommand, Which};
use crate::config::{Config, Store, StoreKind};
use crate::node::client::{CallError, Client};
use crate::node::run::open_store;
use crate::node::{self, Node, Reach};
use crate::output;
use crate::time::moment;

/// Widest cell of a table that is not cut.
const CELL: usize = 40;

/// A copy in a store.
pub fn open(store: &Arc<dyn ViewStore>, dataset: &Dataset, view: &View) -> Copy {
    Copy::new(store.clone(), CopyId { dataset: dataset.clone(), view: view.clone() })
}

/// Where the copy is.
enum Source {
    Here(Copy),
    There(Arc<Client>, String, View),
}

/// The copy where it lies: with the node that keeps it, in the directory, or in PostgreSQL, which is read beside whoever
/// writes there.
fn source(which: &Which, config: &Config) -> Result<Source, Failure> {
    let Which { agency, dataset, view, store: wanted } = which;
    if *wanted == Some(StoreKind::Postgres) {
        return in_postgres(which, config)?.ok_or_else(|| none(which, config));
    }
    if let Some(Reach::Remote(client, _)) = Node::existing(config)? {
        let path = format!("/v1/views/{agency}/{dataset}");
        let kept: crate::status::Status = client.get("/v1/status")?;
        if kept.copies.iter().any(|c| &c.agency == agency && c.dataset == dataset.as_str()) {
            return Ok(Source::There(client, path, view.clone()));
        }
    }
    let named = || config.copies.iter().find(|copy| copy.agency == *agency).map(|copy| copy.store.kind());
    let dir = node::copies_dir(&config.data, agency);
    for (kind, name) in [(StoreKind::Sled, "sled"), (StoreKind::Fjall, "fjall")] {
        if wanted.or_else(named).is_none_or(|wanted| wanted == kind) && dir.join(name).exists() {
            return Ok(Source::Here(open(&open_store(&dir, agency, &config.store(kind)?)?, dataset, view)));
        }
    }
    let there = if wanted.is_none() && config.postgres.is_some() { in_postgres(which, config)? } else { None };
    there.ok_or_else(|| none(which, config))
}

fn in_postgres(which: &Which, config: &Config) -> Result<Option<Source>, Failure> {
    let store = config.store(StoreKind::Postgres).map_err(|e| Failure::Usage(e.to_string()))?;
    let Store::Postgres(to) = store else { return Ok(None) };
    let found = PostgresStore::open_to_read(Options::on(&to.server, &which.agency))?;
    Ok(found.map(|store| {
        let store: Arc<dyn ViewStore> = Arc::new(store);
        Source::Here(open(&store, &which.dataset, &which.view))
    }))
}

fn none(which: &Which, config: &Config) -> Failure {
    let agency = &which.agency;
    let (place, more) = match which.store {
        Some(StoreKind::Postgres) => ("that database".to_owned(), " --store postgres"),
        Some(StoreKind::Fjall) => (config.data.display().to_string(), " --store fjall"),
        _ => (config.data.display().to_string(), ""),
    };
    Failure::because(format!(
        "there are no copies of {agency} in {place}: kenh subscribe {agency} --once{more} makes them"
    ))
}

fn json_of(row: &Row) -> Result<Value, Failure> {
    Ok(json!({ "key": row.key_text(), "value": serde_json::from_str::<Value>(&row.json().map_err(CopyError::from)?)? }))
}

fn lines() -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            found.push(line.trim().to_owned());
        }
    }
    Ok(found)
}

/// One row of a copy by its record key, as JSON without the key; none where the copy does not hold it.
pub fn row(which: &Which, key: &str, config: &Config) -> Result<Option<Value>, Failure> {
    let found = match source(which, config)? {
        Source::Here(copy) => {
            let (rows, _) = copy.lookup(&[key.as_bytes()])?;
            rows.iter().flatten().next().map(json_of).transpose()?
        }
        Source::There(client, path, view) => {
            let answer: Value = client.post(&format!("{path}/lookup"), &json!({ "view": view, "keys": [key] }))?;
            answer["rows"].get(0).filter(|row| !row.is_null()).cloned()
        }
    };
    Ok(found.map(|mut row| row["value"].take()))
}

/// `kenh view …`
pub fn run(command: &ViewCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        ViewCommand::Get { which } => {
            let found = get(&source(which, config)?, &lines()?, output);
            say_synthetic(which, config);
            found
        }
        ViewCommand::List { which, limit, page } => {
            let rows = list(&source(which, config)?, *limit, *page)?;
            show(&rows, output);
            say_synthetic(which, config);
            Ok(())
        }
        ViewCommand::Search { which, limit } => {
            let filter = lines()?.join(" ");
            let rows = search(&source(which, config)?, &filter, *limit)?;
            show(&rows, output);
            say_synthetic(which, config);
            Ok(())
        }
        ViewCommand::Export { which, to, format } => export(&source(which, config)?, to, *format),
        ViewCommand::Digest { which } => digest(&source(which, config)?, which, output),
    }
}

fn get(source: &Source, keys: &[String], output: Output) -> Result<(), Failure> {
    let found: Vec<Value> = match source {
        Source::Here(copy) => {
            let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
            let (rows, _) = copy.lookup(&keys)?;
            rows.iter().map(|r| r.as_ref().map_or(Ok(Value::Null), json_of)).collect::<Result<_, _>>()?
        }
        Source::There(client, path, view) => {
            let answer: Value = client.post(&format!("{path}/lookup"), &json!({ "view": view, "keys": keys }))?;
            answer["rows"].as_array().cloned().unwrap_or_default()
        }
    };
    let missing = found.iter().filter(|row| row.is_null()).count();
    if output == Output::Json {
        output::json(&found);
    } else {
        for row in found.iter().filter(|row| !row.is_null()) {
            output::json(row);
        }
    }
    if missing > 0 {
        return Err(Failure::because(format!("{missing} of {} keys are not in this copy", found.len())));
    }
    Ok(())
}

fn list(source: &Source, limit: usize, page: usize) -> Result<Vec<Value>, Failure> {
    let (mut page, limit) = (page.max(1), limit.clamp(1, kenh_consumers::copy::MAX_PAGE));
    match source {
        Source::Here(copy) => {
            let mut after = None;
            loop {
                let found = copy.page(after.as_ref(), limit)?;
                page -= 1;
                if page == 0 {
                    return found.rows.iter().map(json_of).collect();
                }
                after = match found.next {
                    Some(next) => Some(next),
                    None => return Ok(Vec::new()),
                };
            }
        }
        Source::There(client, path, view) => {
            let mut after = String::new();
            loop {
                let found: Value = client.get(&format!("{path}?view={view}&limit={limit}{after}"))?;
                page -= 1;
                if page == 0 {
                    return Ok(found["rows"].as_array().cloned().unwrap_or_default());
                }
                match found["next"].as_str() {
                    Some(ticket) => after = format!("&after={ticket}"),
                    None => return Ok(Vec::new()),
                }
            }
        }
    }
}

fn search(source: &Source, filter: &str, limit: usize) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    match source {
        Source::Here(copy) => {
            let mut after = None;
            while rows.len() < limit {
                let found = copy.search(filter, after.as_ref(), limit - rows.len()).map_err(|e| match e {
                    CopyError::Filter(wrong) => Failure::Usage(wrong.to_string()),
                    other => other.into(),
                })?;
                for row in &found.rows {
                    rows.push(json_of(row)?);
                }
                match found.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Source::There(client, path, view) => {
            let mut after = Value::Null;
            while rows.len() < limit {
                let ask = json!({ "view": view, "filter": filter, "limit": limit - rows.len(), "after": after });
                let mut found: Value = client.post(&format!("{path}/search"), &ask).map_err(|e| match e {
                    CallError::Filter(wrong) => Failure::Usage(wrong),
                    other => other.into(),
                })?;
                rows.extend(found["rows"].as_array().cloned().unwrap_or_default());
                after = found["next"].take();
                if after.is_null() {
                    break;
                }
            }
        }
    }
    Ok(rows)
}

/// Made-up data is marked wherever it is shown. Whether it is, only the bus knows; a copy away from it is not marked.
fn say_synthetic(which: &Which, config: &Config) {
    let Ok(Some(reach)) = Node::existing(config) else { return };
    let Ok(set) = kenh_governance::load(&*reach.log()) else { return };
    if set.contracts.get(&which.dataset).is_some_and(|c| c.synthetic) {
        output::note(format_args!("{}: every record is made up (synthetic) / dữ liệu giả lập", which.dataset));
    }
}

/// Rows as a table, a column a field; as JSON, key and value.
fn show(rows: &[Value], output: Output) {
    if output == Output::Json {
        output::json(&rows);
        return;
    }
    let fields: Vec<String> = rows
        .first()
        .and_then(|row| row["value"].as_object())
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default();
    let columns: Vec<&str> = std::iter::once("key").chain(fields.iter().map(String::as_str)).collect();
    output::table(
        &columns,
        rows.iter().map(|row| {
            let key = row["key"].as_str().unwrap_or_default().to_owned();
            std::iter::once(key).chain(fields.iter().map(|field| cell(&row["value"][field]))).collect()
        }),
    );
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= CELL {
        return text;
    }
    text.chars().take(CELL - 1).chain(['…']).collect()
}

fn export(source: &Source, to: &Path, format: Option<ExportFormat>) -> Result<(), Failure> {
    let by_ending = match to.extension().and_then(|e| e.to_str()) {
        Some("csv") => ExportFormat::Csv,
        Some("avro") => ExportFormat::Avro,
        _ => ExportFormat::Jsonl,
    };
    let format = format.unwrap_or(by_ending);
    if to.as_os_str() == "-" {
        return write(source, format, &mut std::io::stdout().lock());
    }
    // Complete or not there: a reader never finds half a file under the name.
    let part = to.with_extension("part");
    let mut out = std::io::BufWriter::new(File::create(&part)?);
    let written = write(source, format, &mut out).and_then(|()| Ok(out.flush()?));
    match written {
        Ok(()) => Ok(std::fs::rename(&part, to)?),
        Err(failure) => {
            drop(out);
            std::fs::remove_file(&part)?;
            Err(failure)
        }
    }
}

fn write(source: &Source, format: ExportFormat, out: &mut dyn Write) -> Result<(), Failure> {
    match source {
        Source::Here(copy) => {
            let format = match format {
                ExportFormat::Jsonl => Format::Jsonl,
                ExportFormat::Csv => Format::Csv,
                ExportFormat::Avro => Format::Avro,
            };
            let exported = copy.export(format, out)?;
            output::note(format_args!("{} rows", output::thousands(exported.rows)));
        }
        Source::There(client, path, view) => {
            let format = match format {
                ExportFormat::Jsonl => "jsonl",
                ExportFormat::Csv => "csv",
                ExportFormat::Avro => "avro",
            };
            client.download(&format!("{path}/export?view={view}&format={format}"), out)?;
        }
    }
    Ok(())
}

fn digest(source: &Source, which: &Which, output: Output) -> Result<(), Failure> {
    let (hex, rows, clock_ms) = match source {
        Source::Here(copy) => {
            let digest = copy.digest()?;
            (digest.hex, digest.rows, digest.as_of.clock_ms)
        }
        Source::There(client, path, view) => {
            let answer: Value = client.get(&format!("{path}/digest?view={view}"))?;
            let hex = answer["digest"].as_str().unwrap_or_default().to_owned();
            (hex, answer["rows"].as_u64().unwrap_or_default(), answer["asOf"]["clockMs"].as_i64())
        }
    };
    if output == Output::Json {
        output::json(&json!({
            "agency": which.agency, "dataset": which.dataset, "view": which.view, "rows": rows, "digest": hex,
            "clockMs": clock_ms,
        }));
    } else {
        let as_of = clock_ms.map_or_else(|| "an unknown time".into(), moment);
        output::line(format_args!("{hex}  {} rows as of {as_of}", output::thousands(rows)));
    }
    Ok(())
}
