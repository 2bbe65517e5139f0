//! The server of this process, and stores on it: one schema a test.

use std::path::Path;
use std::sync::Arc;

use kenh_consumers::store::postgres::{Options, PostgresStore};
use kenh_consumers::store::{StoreError, ViewStore};
use kenh_testkit::postgres::Cluster;
use postgres::{Client, Config, NoTls};

use crate::support::agency;

/// A store whose tables are in `schema`, on a server.
pub fn open_on(url: &str, password: &str, schema: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(Options::new(&agency(), url, Some(password))?.schema(schema)?)
}

/// A store on the server that the tests share.
pub fn open(schema: &str) -> PostgresStore {
    let server = Cluster::shared();
    open_on(server.url(), server.password(), schema).unwrap()
}

/// A store that a directory stands for: its schema is named after it.
pub fn of_dir(dir: &Path) -> Result<Arc<dyn ViewStore>, StoreError> {
    let server = Cluster::shared();
    let schema = dir.file_name().unwrap().to_str().unwrap().replace('.', "t");
    Ok(Arc::new(open_on(server.url(), server.password(), &schema)?))
}

/// Somebody who uses SQL.
pub fn connect(server: &Cluster) -> Client {
    server.url().parse::<Config>().unwrap().password(server.password()).connect(NoTls).unwrap()
}

/// The one value that a query gives.
pub fn one<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client.query_one(query, &[]).unwrap().get(0)
}
