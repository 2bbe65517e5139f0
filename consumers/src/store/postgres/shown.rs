//! What an agency sees of its copies with SQL: the rows counted in the tables themselves, beside what `kenh_copies` says
//! of them. It reads through no store of ours, so that it can be compared with one.

use kenh_domain::names::{Dataset, View};

use super::super::{CopyId, StoreError};
use super::names::{self, quoted};
use super::session::{Options, failed};

/// A table that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTable {
    /// Of which copy.
    pub copy: CopyId,
    /// What it is called, with its schema, quoted where SQL needs it.
    pub name: String,
    /// `count(*)` of it.
    pub counted: u64,
    /// Rows, as `kenh_copies` says.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Rows that came.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that left.
    pub left: u64,
    /// The clock of the bus as of which it is complete: milliseconds since 1970 (UTC).
    pub complete_as_of_ms: Option<i64>,
}

/// The tables of an agency, by name, all of one moment. None where nothing is shown yet.
///
/// # Errors
/// [`StoreError::Storage`], also when there is no store; `Damaged` when what is there is not ours.
pub fn shown(options: &Options) -> Result<Vec<ShownTable>, StoreError> {
    let doing = "list what is shown";
    let of = failed(doing);
    let mut client = options.connect().map_err(|e| StoreError::Storage { doing, source: e.into() })?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").map_err(&of)?;
    let copies = format!(
        "SELECT \"table\", \"dataset\", \"view\", \"rows\", \"bytes\", \"inserted\", \"updated\", \"left\",
         (extract(epoch FROM \"complete_as_of\") * 1000)::bigint, quote_ident($1) || '.' || quote_ident(\"table\")
         FROM {}.{} ORDER BY \"table\"",
        quoted(&options.schema),
        quoted(names::COPIES)
    );
    let mut tables = Vec::new();
    for row in client.query(&copies, &[&options.schema]).map_err(&of)? {
        let count = format!("SELECT count(*) FROM {}", super::tables::shown(options, row.get(0)));
        let counted: i64 = client.query_one(&count, &[]).map_err(&of)?.get(0);
        let damaged = |_| StoreError::Damaged { what: "the name of a copy" };
        let dataset = Dataset::new(row.get::<_, &str>(1)).map_err(damaged)?;
        let view = View::new(row.get::<_, &str>(2)).map_err(damaged)?;
        let number = |n: i64| u64::try_from(n).unwrap_or_default();
        tables.push(ShownTable {
            copy: CopyId { dataset, view },
            name: row.get(9),
            counted: number(counted),
            rows: number(row.get(3)),
            bytes: number(row.get(4)),
            inserted: number(row.get(5)),
            updated: number(row.get(6)),
            left: number(row.get(7)),
            complete_as_of_ms: row.get(8),
        });
    }
    Ok(tables)
}
