//! The bare stores, taking the writes of a subscriber, each batch durable before the next.

use std::path::Path;

use bytes::Bytes;

use super::bus::StoreKind;

/// What is written to some keys; none deletes.
pub type Writes = Vec<(Bytes, Option<Bytes>)>;

/// Writes a batch.
pub type Write = Box<dyn Fn(&Writes)>;

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
    }
}
