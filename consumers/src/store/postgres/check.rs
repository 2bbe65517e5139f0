//! Whether a server is one that copies can be kept in: for `kenh doctor`, which only looks.

use kenh_domain::names::Agency;

use super::super::StoreError;
use super::session::{Options, Server, failed, unfit};

/// What a server is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its version, as it says it.
    pub version: String,
    /// Whether the connection is encrypted. Beyond this machine it always is.
    pub encrypted: bool,
    /// Why its version, or its database's encoding, will not do.
    pub unfit: Option<&'static str>,
    /// Whether what it has said to be written survives the loss of the machine.
    pub fsync: bool,
    /// The right that its user lacks, as the statement that gives it.
    pub lacks: Option<String>,
}

/// Looks at a server in which the copies of `agencies` are to be kept. Changes nothing.
///
/// # Errors
/// [`StoreError::Storage`] when it cannot be reached, or lets nobody in with this user and password.
pub fn check(server: &Server, agencies: &[Agency]) -> Result<Found, StoreError> {
    let of = failed("look at PostgreSQL");
    let mut client = server.reach()?;
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int4,
                    current_setting('server_encoding'), current_setting('fsync') = 'on',
                    quote_ident(current_user), quote_ident(current_database()),
                    has_database_privilege(current_database(), 'CREATE')",
            &[],
        )
        .map_err(&of)?;
    let (user, database, may_make): (String, String, bool) = (row.get(4), row.get(5), row.get(6));
    let options = agencies.iter().map(|agency| Options::on(server, agency));
    let schemas: Vec<String> = options.flat_map(|of| [of.schema, of.internal]).collect();
    let there = client
        .query(
            "SELECT quote_ident(nspname), has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
             FROM pg_namespace WHERE nspname = ANY($1) ORDER BY nspname",
            &[&schemas],
        )
        .map_err(&of)?;
    let closed = there.iter().find(|schema| !schema.get::<_, bool>(1)).map(|schema| schema.get::<_, String>(0));
    // Nobody needs the right to make what is there.
    let all_there = !schemas.is_empty() && there.len() == schemas.len();
    let lacks = match closed {
        Some(schema) => Some(format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}")),
        None if may_make || all_there => None,
        None => Some(format!("GRANT CREATE ON DATABASE {database} TO {user}")),
    };
    Ok(Found {
        version: row.get(0),
        encrypted: server.is_encrypted(),
        unfit: unfit(row.get(1), row.get(2)),
        fsync: row.get(3),
        lacks,
    })
}
