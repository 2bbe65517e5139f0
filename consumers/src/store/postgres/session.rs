//! Connections: how they are made, kept, counted and lost, and what is said when one fails.
//!
//! What PostgreSQL says of a failure may hold row values (the detail of a violated constraint, the line of a `COPY`):
//! [`Failure`] keeps its code, and its words only where they are about the server (invariant 7).

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kenh_domain::names::Agency;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use postgres_openssl::MakeTlsConnector;
use sha2::{Digest as _, Sha256};

use super::super::StoreError;
use super::names;

/// Longest wait for a server that does not answer at all.
const CONNECT: Duration = Duration::from_secs(5);
/// How long data may stay unacknowledged before a connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// How long a statement waits for a lock: a query of the agency's own holds up a swap for that long at most, and is not
/// held up by the waiting swap for longer. The subscriber then tries again.
const LOCK_WAIT: &str = "5s";
/// How long opening waits for the writer before: its server side goes a little later than its process.
const WRITER_WAIT: &str = "3s";
/// First and longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Snapshots held at a time; more wait. A server has 100 connections by default, for everybody.
const MAX_READERS: usize = 16;
/// Oldest server: its partial indexes, `COPY` and catalogs are what is used here, and older ones get no fixes.
const OLDEST: i32 = 130_000;

/// A database of a server, and the password by itself. `Debug` shows nothing of either.
#[derive(Clone)]
pub struct Server {
    config: Config,
    /// None on this machine, unless the URL asks for it: its servers show certificates that nobody has vouched for.
    tls: Option<MakeTlsConnector>,
}

impl Server {
    /// The database that `url` names (`postgresql://user@host:port/database`).
    ///
    /// A server on another machine is spoken to over TLS 1.2 or newer, and only if its certificate is for the host that the
    /// URL names. The file `authorities` (PEM) holds whom to believe; where there is none, whoever this machine believes.
    /// On this machine (a loopback address, or a directory with a socket) `sslmode=require` asks for the same.
    ///
    /// # Errors
    /// `Refused`: no such URL, one with a password in it, one that would do without TLS beyond this machine, or a file
    /// without certificates.
    pub fn new(url: &str, password: Option<&str>, authorities: Option<&Path>) -> Result<Self, StoreError> {
        let refused = |text: &str| Err(StoreError::Refused(text.to_owned()));
        let form = "the URL of PostgreSQL is not valid: postgresql://user@host:port/database is its form";
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return refused(form);
        }
        // What the parser says may hold a part of the URL, and somebody's password in it.
        let Ok(mut config) = url.parse::<Config>() else { return refused(form) };
        if config.get_password().is_some() {
            return refused("the URL of PostgreSQL holds a password: take it out, and name a file that holds it");
        }
        if config.get_hosts().is_empty() {
            return refused(form);
        }
        let here = is_here(&config);
        if !here && config.get_ssl_mode() == SslMode::Disable {
            return refused(
                "PostgreSQL is on another machine, which is not spoken to without TLS: take out sslmode=disable",
            );
        }
        let encrypted = !here || config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = if encrypted { Some(connector(authorities)?) } else { None };
        if let Some(password) = password {
            config.password(password.trim_end_matches(['\n', '\r']));
        }
        config.application_name("kenh").connect_timeout(CONNECT).tcp_user_timeout(UNACKNOWLEDGED);
        Ok(Self { config, tls })
    }

    /// A connection to look around with.
    pub(super) fn reach(&self) -> Result<Client, StoreError> {
        let failed = |e| StoreError::Storage { doing: "reach PostgreSQL", source: Failure::of_connecting(e).into() };
        self.connect().map_err(failed)
    }

    pub(super) const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(tls.clone()),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Whether nothing of it leaves this machine.
fn is_here(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => kenh_domain::host::is_loopback(name),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(local) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

/// Why a server of this version (`server_version_num`), or a database in this encoding, will not do.
pub(super) fn unfit(version: i32, encoding: &str) -> Option<&'static str> {
    if version < OLDEST {
        return Some("PostgreSQL is older than 13: use a newer one");
    }
    let wanted = "the database is not in UTF8: make one that is (CREATE DATABASE … ENCODING 'UTF8')";
    (encoding != "UTF8").then_some(wanted)
}

fn connector(authorities: Option<&Path>) -> Result<MakeTlsConnector, StoreError> {
    let unusable = |e: ErrorStack| StoreError::Storage { doing: "use TLS", source: e.into() };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(unusable)?;
    if let Some(file) = authorities {
        let wrong = |why: String| StoreError::Refused(format!("{}: {why}", file.display()));
        let text = std::fs::read(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let found = X509::stack_from_pem(&text).unwrap_or_default();
        if found.is_empty() {
            return Err(wrong("holds no certificate in PEM".into()));
        }
        let mut believed = X509StoreBuilder::new().map_err(unusable)?;
        for authority in found {
            believed.add_cert(authority).map_err(unusable)?;
        }
        builder.set_cert_store(believed.build());
    }
    Ok(MakeTlsConnector::new(builder.build()))
}

/// Where the tables are, and how to get there. `Debug` shows no password.
#[derive(Clone)]
pub struct Options {
    server: Server,
    /// The schema in which the agency finds its tables.
    pub(super) schema: String,
    /// Ours alone.
    pub(super) internal: String,
}

impl Options {
    /// For the copies of `agency`. The tables are shown in schema `kenh_<agency>`.
    #[must_use]
    pub fn on(server: &Server, agency: &Agency) -> Self {
        let schema = names::schema_of(agency);
        let internal = names::internal(&schema);
        Self { server: server.clone(), schema, internal }
    }

    /// The same, from the parts of [`Server::new`]; whom this machine believes is believed.
    ///
    /// # Errors
    /// Those of [`Server::new`].
    pub fn new(agency: &Agency, url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        Ok(Self::on(&Server::new(url, password, None)?, agency))
    }

    /// Shows the tables in another schema.
    ///
    /// # Errors
    /// `Refused` for an empty name, one beyond 48 bytes, or one of PostgreSQL's own.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        let own = schema.starts_with("pg_") || schema == "information_schema";
        if own || schema.is_empty() || schema.len() > 48 || schema.contains('\0') {
            return Err(StoreError::Refused(
                "a schema is named by 1 to 48 bytes, not by one of PostgreSQL's own names".into(),
            ));
        }
        schema.clone_into(&mut self.schema);
        self.internal = names::internal(schema);
        Ok(self)
    }

    /// A number that the writer of these tables locks, in this database.
    fn lock(&self) -> i64 {
        let hash: [u8; 32] = Sha256::digest(format!("kenh store {}", self.internal).as_bytes()).into();
        hash.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
    }

    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let mut client = self.server.connect().map_err(Failure::of_connecting)?;
        // Whatever the server, the database or the role has as defaults.
        client.batch_execute(&format!(
            "SET synchronous_commit = on; SET client_min_messages = warning; SET search_path = pg_catalog, pg_temp; \
             SET lock_timeout = '{LOCK_WAIT}'; SET statement_timeout = 0; \
             SET idle_in_transaction_session_timeout = 0; SET default_transaction_isolation = 'read committed'; \
             SET default_transaction_read_only = off"
        ))?;
        Ok(client)
    }

    /// A connection that no other process can have at the same time.
    fn connect_writer(&self) -> Result<Client, StoreError> {
        let failed = |e: Failure| StoreError::Storage { doing: "reach PostgreSQL", source: e.into() };
        let mut client = self.connect().map_err(failed)?;
        let of = |e: postgres::Error| failed(e.into());
        let row = client
            .query_one("SELECT current_setting('server_version_num')::int4, current_setting('server_encoding')", &[])
            .map_err(of)?;
        if let Some(why) = unfit(row.get(0), row.get(1)) {
            return Err(StoreError::Refused(why.into()));
        }
        client.batch_execute(&format!("SET lock_timeout = '{WRITER_WAIT}'")).map_err(of)?;
        client.execute("SELECT pg_advisory_lock($1)", &[&self.lock()]).map_err(|e| match e.code() {
            Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::InUse(Failure::from(e).into()),
            _ => of(e),
        })?;
        client.batch_execute(&format!("SET lock_timeout = '{LOCK_WAIT}'")).map_err(of)?;
        Ok(client)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Why PostgreSQL did not do something, without a word about rows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(String);

impl Failure {
    /// Nothing was asked yet, so that the causes tell of no row.
    fn of_connecting(error: postgres::Error) -> Self {
        if error.as_db_error().is_some() {
            return error.into();
        }
        let mut text = format!("PostgreSQL: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        Self(format!("{text}; start it, or mend its URL"))
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // Of the connection itself.
            return Self(format!("PostgreSQL: {error}"));
        };
        let code = db.code().code();
        // Connections, logins, names of databases, states of transactions, missing rights and objects, resources, limits,
        // operators and the system: their words are about the server. Others may quote a row.
        let about_the_server = ["08", "28", "3D", "25", "40", "42", "53", "54", "55", "57", "58"];
        if about_the_server.iter().any(|class| code.starts_with(class)) {
            return Self(format!("PostgreSQL: {} ({code})", db.message()));
        }
        let place = [("table", db.table()), ("column", db.column()), ("constraint", db.constraint())];
        let place: Vec<String> =
            place.iter().filter_map(|(what, name)| name.map(|name| format!("{what} {name}"))).collect();
        Self(format!("PostgreSQL: error {code} {}", place.join(", ")).trim_end().to_owned())
    }
}

/// What has failed, as a store says it.
pub(super) fn failed(doing: &'static str) -> impl Fn(postgres::Error) -> StoreError {
    move |error| StoreError::Storage { doing, source: Failure::from(error).into() }
}

/// The connection of the one writer: made again when it is lost, not more often than the pauses say.
pub(super) struct Writer {
    client: Option<Client>,
    again: Instant,
    pause: Duration,
}

impl Writer {
    pub(super) fn open(options: &Options) -> Result<Self, StoreError> {
        Ok(Self { client: Some(options.connect_writer()?), again: Instant::now(), pause: PAUSES.0 })
    }

    /// A transaction, on a connection that is there: one that was lost since is found out here, before anything was asked.
    pub(super) fn begin(&mut self, options: &Options) -> Result<&mut Client, StoreError> {
        if let Some(client) = &mut self.client
            && !client.is_closed()
            && client.batch_execute("BEGIN").is_err()
        {
            self.client = None;
        }
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
            let now = Instant::now();
            if now < self.again {
                let source = Failure("PostgreSQL was not there a moment ago".into()).into();
                return Err(StoreError::Storage { doing: "reach PostgreSQL", source });
            }
            let made = options.connect_writer().and_then(|mut client| {
                client.batch_execute("BEGIN").map_err(failed("reach PostgreSQL"))?;
                Ok(client)
            });
            match made {
                Ok(client) => {
                    self.client = Some(client);
                    self.pause = PAUSES.0;
                }
                Err(error) => {
                    self.again = Instant::now() + self.pause;
                    self.pause = (self.pause * 2).min(PAUSES.1);
                    return Err(error);
                }
            }
        }
        let lost = || StoreError::Storage { doing: "reach PostgreSQL", source: Failure("it went away".into()).into() };
        self.client.as_mut().ok_or_else(lost)
    }

    /// Ends what [`begin`](Self::begin) began. What cannot be rolled back is left to the end of the connection.
    pub(super) fn end<T>(&mut self, doing: &'static str, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let Some(client) = &mut self.client else { return done };
        match done {
            Ok(value) => match client.batch_execute("COMMIT") {
                Ok(()) => Ok(value),
                Err(error) => {
                    // Whether it has happened is not known: the subscriber looks.
                    self.client = None;
                    Err(failed(doing)(error))
                }
            },
            Err(error) => {
                if client.batch_execute("ROLLBACK").is_err() {
                    self.client = None;
                }
                Err(error)
            }
        }
    }
}

/// Connections for readers.
pub(super) struct Readers {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Client>,
    out: usize,
}

/// A connection that goes back when it is dropped.
pub(super) struct Reading<'a> {
    readers: &'a Readers,
    client: Option<Client>,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), free: Condvar::new() }
    }

    /// A connection. One that was kept has been tried with `first`, which also was done on a new one.
    pub(super) fn take(&self, options: &Options, first: &str) -> Result<Reading<'_>, StoreError> {
        let reach = failed("reach PostgreSQL");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.out >= MAX_READERS {
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.out += 1;
        let mut reading = Reading { readers: self, client: None };
        let mut idle = state.idle.pop();
        drop(state);
        while let Some(mut client) = idle {
            if client.batch_execute(first).is_ok() {
                reading.client = Some(client);
                return Ok(reading);
            }
            idle = self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.pop();
        }
        let connected =
            options.connect().map_err(|e| StoreError::Storage { doing: "reach PostgreSQL", source: e.into() });
        let mut client = connected?;
        client.batch_execute(first).map_err(reach)?;
        reading.client = Some(client);
        Ok(reading)
    }
}

impl Reading<'_> {
    pub(super) fn client(&mut self) -> Result<&mut Client, StoreError> {
        self.client.as_mut().ok_or(StoreError::Damaged { what: "a connection" })
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let kept = self.client.take().and_then(|mut client| client.batch_execute("ROLLBACK").is_ok().then_some(client));
        let mut state = self.readers.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle.extend(kept);
        state.out = state.out.saturating_sub(1);
        drop(state);
        self.readers.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Result<Options, StoreError> {
        Options::new(&Agency::new("H29").unwrap(), url, Some("hunter2"))
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_repeating_it() {
        for url in [
            "postgresql://kenh:hunter2@127.0.0.1/kenh",
            "postgresql://kenh@127.0.0.1:hunter2/kenh",
            "host=127.0.0.1 password=hunter2",
            "postgresql://kenh@10.0.0.1/kenh?application_name=hunter2&sslmode=disable",
            "postgresql://kenh@127.0.0.1,db.example/kenh?sslmode=disable",
            "postgresql://kenh@localhost/kenh?hostaddr=10.0.0.1&sslmode=disable",
            "postgresql:///kenh",
        ] {
            let refused = options(url);
            let Err(StoreError::Refused(text)) = refused else { panic!("{url} was taken") };
            assert!(!text.contains("hunter2") && !text.contains("10.0.0.1"), "{text}");
        }
        let taken = options("postgresql://kenh@127.0.0.1:5432/kenh").unwrap();
        assert!(!format!("{taken:?}").contains("hunter2"));
        assert_eq!(format!("{:?}", taken.server), "Server { .. }");
        assert_eq!((taken.schema.as_str(), taken.internal.as_str()), ("kenh_h29", "kenh_h29_internal"));
        for schema in ["", "pg_catalog", &"s".repeat(49)] {
            assert!(matches!(taken.clone().schema(schema), Err(StoreError::Refused(_))));
        }
    }

    #[test]
    fn an_old_server_and_another_encoding_will_not_do() {
        assert_eq!(unfit(130_000, "UTF8"), None);
        assert!(unfit(120_022, "UTF8").unwrap().contains("older than 13"));
        assert!(unfit(170_000, "SQL_ASCII").unwrap().contains("not in UTF8"));
    }

    #[test]
    fn whatever_leaves_this_machine_is_encrypted() {
        for (url, encrypted) in [
            ("postgresql://kenh@127.0.0.1/kenh", false),
            ("postgresql://kenh@[::1]/kenh?sslmode=prefer", false),
            ("postgresql://kenh@%2Frun%2Fpostgresql/kenh", false),
            ("postgresql://kenh@127.0.0.1/kenh?sslmode=require", true),
            ("postgresql://kenh@10.0.0.1/kenh", true),
            ("postgresql://kenh@127.0.0.1,db.example/kenh?sslmode=prefer", true),
            ("postgresql://kenh@localhost/kenh?hostaddr=10.0.0.1", true),
        ] {
            let server = options(url).unwrap().server;
            let mode = if encrypted { SslMode::Require } else { SslMode::Disable };
            assert_eq!((server.tls.is_some(), server.config.get_ssl_mode()), (encrypted, mode), "{url}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let wrong = Server::new("postgresql://kenh@db.example/kenh", None, Some(file.path()));
        assert!(matches!(wrong, Err(StoreError::Refused(text)) if text.contains("no certificate")));
    }
}
