//! The bare stores, taking the writes of a subscriber, each batch durable before the next.

use std::cell::RefCell;
use std::path::Path;

use bytes::Bytes;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;

use super::bus::StoreKind;

/// What is written to some keys; none deletes.
pub type Writes = Vec<(Bytes, Option<Bytes>)>;

/// Writes a batch.
pub type Write = Box<dyn Fn(&Writes)>;

/// A value's length by its key.
pub type Get = Box<dyn Fn(&[u8]) -> usize>;

/// An empty store of that kind, with the same cache as a subscriber's.
pub fn writer(kind: StoreKind, dir: &Path) -> Write {
    match kind {
        StoreKind::Sled => {
            let config = sled::Config::new().path(dir).cache_capacity(64 << 20).flush_every_ms(None);
            let db = config.open().expect("sled opens");
            Box::new(move |writes| {
                let mut batch = sled::Batch::default();
                for (key, value) in writes {
                    match value {
                        Some(value) => batch.insert(&**key, &**value),
                        None => batch.remove(&**key),
                    }
                }
                db.apply_batch(batch).expect("sled writes");
                db.flush().expect("sled flushes");
            })
        }
        StoreKind::Fjall => {
            let db = fjall::Database::builder(dir).cache_size(64 << 20).open().expect("fjall opens");
            let keyspace = db.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("a keyspace");
            Box::new(move |writes| {
                let mut batch = db.batch().durability(Some(fjall::PersistMode::SyncAll));
                for (key, value) in writes {
                    match value {
                        Some(value) => batch.insert(&keyspace, &**key, &**value),
                        None => batch.remove(&keyspace, &**key),
                    }
                }
                batch.commit().expect("fjall commits");
            })
        }
        StoreKind::Postgres => relational(dir),
    }
}

/// A table of keys and values, filled as PostgreSQL is filled fastest: `COPY` into a table beside it, then one upsert.
fn relational(dir: &Path) -> Write {
    let (mut client, table) = (connect(), table(dir));
    let make = format!(
        "CREATE TABLE {table} (key text PRIMARY KEY, value bytea NOT NULL); CREATE TEMP TABLE stage (key text, value bytea)"
    );
    client.batch_execute(&make).expect("a table is made");
    let client = RefCell::new(client);
    let upsert = format!(
        "INSERT INTO {table} SELECT key, value FROM stage ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value; TRUNCATE stage"
    );
    Box::new(move |writes| {
        let mut client = client.borrow_mut();
        let mut transaction = client.transaction().expect("a transaction");
        let to = transaction.copy_in("COPY stage FROM STDIN (FORMAT binary)").expect("rows are taken");
        let mut to = BinaryCopyInWriter::new(to, &[Type::TEXT, Type::BYTEA]);
        for (key, value) in writes {
            let (key, value) =
                (std::str::from_utf8(key).expect("keys are text"), value.as_ref().expect("none deletes"));
            to.write(&[&key, &&**value]).expect("a row is taken");
        }
        to.finish().expect("rows are taken");
        transaction.batch_execute(&upsert).expect("rows are put");
        transaction.commit().expect("it is committed");
    })
}

/// The length of a value of that table, by its key: one prepared `SELECT` each.
pub fn select(dir: &Path) -> Get {
    let mut client = connect();
    let select = client.prepare(&format!("SELECT value FROM {} WHERE key = $1", table(dir))).expect("a statement");
    let client = RefCell::new(client);
    Box::new(move |key| {
        let key = std::str::from_utf8(key).expect("keys are text");
        let row = client.borrow_mut().query_opt(&select, &[&key]).expect("PostgreSQL reads");
        row.map_or(0, |row| row.get::<_, &[u8]>(0).len())
    })
}

fn table(dir: &Path) -> String {
    format!("bare_{}", super::bus::schema_of(dir))
}

fn connect() -> postgres::Client {
    let server = kenh_testkit::postgres::Cluster::shared();
    let mut config: postgres::Config = server.url().parse().expect("a URL");
    config.password(server.password()).connect(postgres::NoTls).expect("the server answers")
}
