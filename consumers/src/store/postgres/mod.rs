//! Copies in PostgreSQL: a table per view, with typed columns under national names, for an agency that just uses SQL.
//!
//! What the tables look like, and why, stands in `docs/postgres.md`. In short: a generation is filled in a schema of ours
//! and moves into the agency's when it is published, where it takes the place of the one before in one transaction;
//! whoever reads with SQL sees one generation or the other, and never waits for longer than the swap. The value as
//! received is kept beside the columns: it is what digests are made of, and columns cannot give it back byte for byte.
//!
//! Rows, positions and counters are written in one transaction, on a connection that holds an advisory lock: a writer
//! that has lost its connection has lost its transaction with it, so that there are never two. The calls here block; they
//! are not for the threads of an asynchronous runtime.

mod check;
mod columns;
mod encode;
mod names;
mod session;
mod shown;
mod snapshot;
mod tables;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use kenh_domain::notice::ViewCard;
use postgres::Client;
use postgres::error::SqlState;
use serde::Serialize;

use super::layout::Place;
use super::{Batch, Counters, Generation, GenerationInfo, Progress, Snapshot, StoreError, ViewStore};
pub use check::{Found, check};
use columns::Columns;
use encode::Encoder;
use names::quoted;
pub use session::{Options, Server};
use session::{Readers, Writer, failed};
pub use shown::{ShownTable, shown};
use snapshot::PostgresSnapshot;
use tables::Head;

/// Bytes of a `COPY` that are handed on at a time.
const COPY_BYTES: usize = 256 << 10;
/// Most keys that a statement names.
const KEYS_AT_ONCE: usize = 10_000;
/// A reader finds a table under another name when it is published in that moment; more often than this it is not.
const LOOKS: usize = 10;

/// A store of copies in PostgreSQL.
pub struct PostgresStore {
    options: Options,
    /// None where the store was opened to read.
    writer: Option<Mutex<Writer>>,
    readers: Readers,
    /// The columns of the generations that were last used.
    known: Mutex<BTreeMap<Generation, Arc<Columns>>>,
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Storage { doing: "encode a generation", source: e.into() })
}

impl PostgresStore {
    /// Opens the store of an agency, or makes it: two schemas, in a database in UTF8. Finishes what a discarding has left.
    ///
    /// # Errors
    /// [`StoreError`]: `InUse`, `Newer`, `Storage`, `Damaged`; `Refused` for a server that is too old, or a database in
    /// another encoding.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let writer = Some(Mutex::new(Writer::open(&options)?));
        let store = Self { options, writer, readers: Readers::new(), known: Mutex::default() };
        let left = store.write("be opened", |client, options| {
            tables::prepare(client, options)?;
            Head::select(client, options, "discarded")
        })?;
        for head in left {
            store.remove(&head)?;
        }
        Ok(store)
    }

    /// Opens the store of an agency to read in it, beside the process that writes; none where there is none in that
    /// database. Whatever would write is refused.
    ///
    /// # Errors
    /// [`StoreError`]: `Newer`, `Storage`, `Damaged`.
    pub fn open_to_read(options: Options) -> Result<Option<Self>, StoreError> {
        let store = Self { options, writer: None, readers: Readers::new(), known: Mutex::default() };
        let mut reading = store.readers.take(&store.options, "BEGIN READ ONLY")?;
        let there = tables::format(reading.client()?, &store.options)?;
        drop(reading);
        Ok(there.then_some(store))
    }

    /// One transaction of the writer.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Client, &Options) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A holder that panicked has left a transaction at most, which the next BEGIN or the server ends.
        let writer = self.writer.as_ref();
        let writer = writer.ok_or_else(|| StoreError::Refused("the store was opened to read".into()))?;
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(writer.begin(&self.options)?, &self.options);
        writer.end(doing, done)
    }

    fn columns(&self, head: &Head, card: &ViewCard) -> Result<Arc<Columns>, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = known.get(&head.generation) {
            return Ok(columns.clone());
        }
        let (columns, _) =
            tables::columns(card, &head.indexes).map_err(|_| StoreError::Damaged { what: "a schema" })?;
        let columns = Arc::new(columns);
        known.insert(head.generation, columns.clone());
        Ok(columns)
    }

    fn forget(&self, generation: Generation) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&generation);
    }

    /// Drops the table of a discarded generation, with whatever was built on it: the right to hold its rows has gone.
    fn remove(&self, head: &Head) -> Result<(), StoreError> {
        self.forget(head.generation);
        self.write("remove a generation", |client, options| {
            let sql = format!(
                "DROP TABLE IF EXISTS {} CASCADE; DROP TABLE IF EXISTS {};
                 DELETE FROM {}.generations WHERE generation = {}",
                head.relation(options),
                tables::stage(head.generation),
                quoted(&options.internal),
                head.generation
            );
            client.batch_execute(&sql).map_err(failed("remove a generation"))
        })
    }
}

fn info(head: &Head, card: ViewCard) -> Result<GenerationInfo, StoreError> {
    let Place { progress, counters } = head.place()?;
    let (generation, indexes, published) = (head.generation, head.indexes.clone(), head.shown);
    Ok(GenerationInfo { generation, card: card.into(), indexes, published, progress, counters })
}

impl ViewStore for PostgresStore {
    fn generations(&self) -> Result<Vec<GenerationInfo>, StoreError> {
        let mut reading = self.readers.take(&self.options, "BEGIN READ ONLY")?;
        let heads = Head::select(reading.client()?, &self.options, "NOT discarded")?;
        heads.iter().map(|head| info(head, head.card()?)).collect()
    }

    fn begin(&self, card: &ViewCard, indexes: &[String], progress: &Progress) -> Result<Generation, StoreError> {
        let (columns, indexes) = tables::columns(card, indexes)?;
        let place = to_json(&Place { progress: progress.clone(), counters: Counters::default() })?;
        let card_text = to_json(card)?;
        self.write("begin a generation", |client, options| {
            let of = failed("begin a generation");
            let internal = quoted(&options.internal);
            let number: i64 = client
                .query_one(&format!("UPDATE {internal}.store SET next = next + 1 RETURNING next - 1"), &[])
                .map_err(&of)?
                .get(0);
            let generation = Generation(u64::try_from(number).unwrap_or_default());
            let table = tables::hidden(options, generation);
            let comments = tables::comments(&table, &columns, card);
            client.batch_execute(&(tables::create(options, generation, &columns) + &comments)).map_err(&of)?;
            let insert = format!(
                "INSERT INTO {internal}.generations (generation, card, indexes, table_name, place) \
                 VALUES ($1, $2, $3, $4, $5)"
            );
            let params: [&(dyn postgres::types::ToSql + Sync); 5] =
                [&number, &card_text, &indexes, &tables::table_of(card), &place];
            client.execute(&insert, &params).map_err(&of)?;
            Ok(generation)
        })
    }

    fn set_card(&self, generation: Generation, card: &ViewCard) -> Result<(), StoreError> {
        self.write("keep a card", |client, options| {
            let head = Head::of(client, options, generation)?;
            let old = head.card()?;
            let same_keys = old.key_fields == card.key_fields && old.pseudonym == card.pseudonym;
            if old.topic() != card.topic() || old.schema != card.schema || !same_keys {
                return Err(StoreError::Refused(format!("generation {generation} is of another edition or schema")));
            }
            let of = failed("keep a card");
            let columns = self.columns(&head, card)?;
            let update = format!(
                "UPDATE {}.generations SET card = $1 WHERE generation = {generation}",
                quoted(&options.internal)
            );
            client.execute(&update, &[&to_json(card)?]).map_err(&of)?;
            client.batch_execute(&tables::comments(&head.relation(options), &columns, card)).map_err(of)
        })
    }

    fn apply(&self, generation: Generation, batch: &Batch, progress: &Progress) -> Result<Counters, StoreError> {
        self.write("apply a batch", |client, options| {
            let head = Head::of(client, options, generation)?;
            let card = head.card()?;
            let columns = self.columns(&head, &card)?;
            let relation = head.relation(options);
            let before = head.place()?.counters;
            let mut was: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            if before.rows > 0 {
                was = sizes(client, &relation, batch)?;
            }
            let gone: Vec<&[u8]> =
                batch.changes().filter(|(_, value)| value.is_none()).map(|(key, _)| &**key).collect();
            let gone: Vec<&[u8]> = gone.into_iter().filter(|key| was.contains_key(*key)).collect();
            for keys in gone.chunks(KEYS_AT_ONCE) {
                let delete = format!("DELETE FROM {relation} WHERE {} = ANY($1)", quoted(names::KEY));
                client.execute(&delete, &[&keys]).map_err(failed("delete rows"))?;
            }
            let mut encoder = Encoder::new(&columns, card.schema_id);
            if before.rows == 0 {
                copy(client, &relation, &columns, &mut encoder, batch)?;
            } else if batch.changes().any(|(_, value)| value.is_some()) {
                let stage = tables::stage(generation);
                let make = format!(
                    "CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {relation}) ON COMMIT DELETE ROWS",
                    &stage["pg_temp.".len()..]
                );
                client.batch_execute(&make).map_err(failed("gather rows"))?;
                copy(client, &stage, &columns, &mut encoder, batch)?;
                client.batch_execute(&upsert(&relation, &stage, &columns)).map_err(failed("write rows"))?;
            }
            let counters = batch.count(before, batch.keys().map(|key| was.get(&**key).copied()));
            let place = to_json(&Place { progress: progress.clone(), counters })?;
            let update = format!(
                "UPDATE {}.generations SET place = $1 WHERE generation = {generation}",
                quoted(&options.internal)
            );
            client.execute(&update, &[&place]).map_err(failed("keep where it stands"))?;
            Ok(counters)
        })
    }

    fn publish(&self, generation: Generation) -> Result<(), StoreError> {
        let replaced = self.write("show a generation", |client, options| {
            let of = failed("show a generation");
            let new = Head::of(client, options, generation)?;
            if new.shown {
                return Ok(Vec::new());
            }
            let (from, to) = (new.relation(options), tables::shown(options, &new.table));
            // Before any lock is taken: the planner knows nothing of a table that has just been filled.
            client.batch_execute(&format!("ANALYZE {from}")).map_err(&of)?;
            let mut old = Head::select(client, options, "shown")?;
            old.retain(|head| head.table == new.table);
            let internal = quoted(&options.internal);
            let mut rights = String::new();
            for head in &old {
                rights += &tables::grants(client, &to, &to)?;
                let drop = format!(
                    "DROP TABLE {to}; DROP TABLE IF EXISTS {}; DELETE FROM {internal}.generations WHERE generation = {}",
                    tables::stage(head.generation),
                    head.generation
                );
                client.batch_execute(&drop).map_err(|e| match e.code() {
                    Some(code) if *code == SqlState::DEPENDENT_OBJECTS_STILL_EXIST => StoreError::Refused(format!(
                        "table {to} cannot be replaced: views or functions of the agency depend on it; \
                         drop them, and make them again afterwards"
                    )),
                    _ => of(e),
                })?;
            }
            let show = format!(
                "ALTER TABLE {from} SET SCHEMA {schema}; ALTER TABLE {schema}.{} RENAME TO {}; {rights}
                 UPDATE {internal}.generations SET shown = true WHERE generation = {generation}",
                quoted(&names::hidden(generation)),
                quoted(&new.table),
                schema = quoted(&options.schema),
            );
            client.batch_execute(&show).map_err(|e| match e.code() {
                Some(code) if *code == SqlState::DUPLICATE_TABLE => StoreError::Refused(format!(
                    "there is something else called {to}: rename it, or keep the copies in another schema"
                )),
                _ => of(e),
            })?;
            Ok(old)
        })?;
        replaced.iter().for_each(|head| self.forget(head.generation));
        Ok(())
    }

    fn discard(&self, generation: Generation) -> Result<(), StoreError> {
        // In two steps: readers of this store no longer find it, even where a query of the agency's still holds the table.
        let head = self.write("discard a generation", |client, options| {
            let found = Head::select(client, options, &format!("generation = {generation}"))?.into_iter().next();
            if found.as_ref().is_some_and(|head| !head.discarded) {
                let update = format!(
                    "UPDATE {}.generations SET discarded = true WHERE generation = {generation}",
                    quoted(&options.internal)
                );
                client.batch_execute(&update).map_err(failed("discard a generation"))?;
            }
            Ok(found)
        })?;
        head.map_or(Ok(()), |head| self.remove(&head))
    }

    fn snapshot(&self, generation: Generation) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        let mut reading = self.readers.take(&self.options, "BEGIN")?;
        for _ in 0..LOOKS {
            let client = reading.client()?;
            let looked = Head::of(client, &self.options, generation)?;
            // The lock comes before the state is fixed, so that the table is where the head of that state says.
            let relation = looked.relation(&self.options);
            let lock = format!(
                "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {relation} IN ACCESS SHARE MODE"
            );
            match client.batch_execute(&lock) {
                Ok(()) => {
                    let head = Head::of(client, &self.options, generation)?;
                    if head.shown == looked.shown {
                        let card = head.card()?;
                        let columns = self.columns(&head, &card)?;
                        let info = info(&head, card)?;
                        return Ok(Box::new(PostgresSnapshot {
                            reading: RefCell::new(reading),
                            info,
                            columns,
                            relation,
                        }));
                    }
                }
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {}
                Err(error) => return Err(failed("read a generation")(error)),
            }
            client.batch_execute("ROLLBACK; BEGIN").map_err(failed("read a generation"))?;
        }
        Err(StoreError::Damaged { what: "the table of a generation" })
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.write("reach PostgreSQL", |_, _| Ok(()))
    }

    fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reading = self.readers.take(&self.options, "BEGIN READ ONLY")?;
        let query = format!("SELECT note FROM {}.notes WHERE name = $1", quoted(&self.options.internal));
        let row = reading.client()?.query_opt(&query, &[&name]).map_err(failed("read a note"))?;
        Ok(row.map(|row| row.get(0)))
    }

    fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<(), StoreError> {
        self.write("write a note", |client, options| {
            let notes = format!("{}.notes", quoted(&options.internal));
            let done = match note {
                None => client.execute(&format!("DELETE FROM {notes} WHERE name = $1"), &[&name]),
                Some(note) => client.execute(
                    &format!(
                        "INSERT INTO {notes} VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET note = EXCLUDED.note"
                    ),
                    &[&name, &note],
                ),
            };
            done.map(drop).map_err(failed("write a note"))
        })
    }
}

/// Bytes of the values that are there of a batch's keys.
fn sizes(client: &mut Client, relation: &str, batch: &Batch) -> Result<BTreeMap<Vec<u8>, usize>, StoreError> {
    let (key, value) = (quoted(names::KEY), quoted(names::VALUE));
    let query = format!("SELECT {key}, octet_length({value}) FROM {relation} WHERE {key} = ANY($1)");
    let keys: Vec<&[u8]> = batch.keys().map(|key| &**key).collect();
    let mut sizes = BTreeMap::new();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        for row in client.query(&query, &[&keys]).map_err(failed("look rows up"))? {
            sizes.insert(row.get(0), usize::try_from(row.get::<_, i32>(1)).unwrap_or_default());
        }
    }
    Ok(sizes)
}

/// Copies the rows of a batch into an empty table.
fn copy(
    client: &mut Client,
    table: &str,
    columns: &Columns,
    encoder: &mut Encoder<'_>,
    batch: &Batch,
) -> Result<(), StoreError> {
    let of = failed("copy rows");
    // What the writer is told by is an error of the connection.
    let io = |e: std::io::Error| match e.downcast::<postgres::Error>() {
        Ok(error) => failed("copy rows")(error),
        Err(e) => StoreError::Storage { doing: "copy rows", source: e.into() },
    };
    let mut to =
        client.copy_in(&format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", columns.list())).map_err(&of)?;
    let mut buffer = encode::HEADER.to_vec();
    for (key, value) in batch.changes() {
        let Some(value) = value else { continue };
        encoder
            .put(key, value, &mut buffer)
            .map_err(|e| StoreError::Refused(format!("{table} cannot hold a row: {e}")))?;
        if buffer.len() >= COPY_BYTES {
            to.write_all(&buffer).map_err(io)?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&encode::TRAILER);
    to.write_all(&buffer).map_err(io)?;
    to.finish().map(drop).map_err(of)
}

fn upsert(relation: &str, stage: &str, columns: &Columns) -> String {
    let list = columns.list();
    let set = |name: &str| format!("{0} = EXCLUDED.{0}", quoted(name));
    let names = columns.all.iter().map(|column| column.name.as_str()).chain([names::VALUE, names::UNSHOWN]);
    let set: Vec<String> = names.map(set).collect();
    let key = quoted(names::KEY);
    format!(
        "INSERT INTO {relation} ({list}) SELECT {list} FROM {stage} ON CONFLICT ({key}) DO UPDATE SET {}",
        set.join(", ")
    )
}
