//! Configuration: `kenh.yaml`, overridden by `KENH_…` variables, overridden by the command line.
//!
//! Every key has a default, so that a laptop needs no file. `docs/configuration.md` lists the keys; a test holds it to
//! `KEYS`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kenh_consumers::store::StoreError;
use kenh_consumers::store::postgres::Server;
use kenh_domain::names::{Agency, Principal};
use serde::Deserialize;

/// The file read when `--config` names none; it may be absent.
pub const DEFAULT_FILE: &str = "kenh.yaml";

/// Every key with its variable (where it has one), its default and its meaning: the source of `docs/configuration.md`.
#[cfg(test)]
pub const KEYS: &[(&str, &str, &str, &str)] = &[
    ("data", "KENH_DATA", "data", "Directory of this node: log, secret, state, copies. All commands share it."),
    ("listen", "KENH_LISTEN", "127.0.0.1:8490", "Where `kenh up` listens for HTTP. Loopback only; port 0 takes any."),
    (
        "fsync",
        "KENH_FSYNC",
        "each-commit",
        "`each-commit`: what is acknowledged survives a power cut. `never`: it survives a crash of kenh, not of the machine.",
    ),
    ("copies", "", "[]", "Copies that `kenh up` keeps: a list of {agency, system?, store?}."),
    ("copies[].agency", "", "", "Whose views are copied."),
    ("copies[].system", "", "the agency's first system", "As which of its systems the views are read."),
    ("copies[].store", "", "sled", "`sled`, `fjall` or `postgres`."),
    (
        "postgres.url",
        "KENH_POSTGRES",
        "",
        "`postgresql://user@host:port/database`: where the store `postgres` keeps its tables. No password in it. Beyond this machine TLS is a must.",
    ),
    ("postgres.password", "KENH_POSTGRES_PASSWORD", "", "Its user's password, as `file:PATH` or `env:NAME`."),
    (
        "postgres.authorities",
        "KENH_POSTGRES_AUTHORITIES",
        "those of the machine",
        "File (PEM) with the authorities of which one must have vouched for the server's certificate.",
    ),
    (
        "kafka.bootstrap",
        "KENH_KAFKA",
        "",
        "Brokers (`host:port,…`) of a Kafka cluster: the log is there, and not in the directory.",
    ),
    ("kafka.replication", "KENH_KAFKA_REPLICATION", "3", "Replicas of the topics that are made. 1 for a single node."),
    (
        "kafka.settings",
        "",
        "{}",
        "Further settings of librdkafka, such as `security.protocol`. Secrets only as `file:PATH` or `env:NAME`. The certificate in `ssl.certificate.location` says who this process is: a role, or a system of an agency.",
    ),
    (
        "http.agencies",
        "",
        "",
        "Where systems of agencies come in over TLS with their certificates, such as `0.0.0.0:8491` ([http.md](http.md)).",
    ),
    (
        "http.operators",
        "",
        "",
        "Where operators on other machines come in over TLS with the control role's certificate: metrics, status, everything of administration.",
    ),
    (
        "http.certificate",
        "",
        "",
        "File (PEM) with the certificate that is shown there; those of its issuers may follow.",
    ),
    ("http.key", "", "", "File (PEM) with its private key."),
    ("http.authorities", "", "", "File (PEM) with the bus's CA, of which every caller must show a certificate."),
    (
        "registry",
        "KENH_REGISTRY",
        "",
        "A Confluent-compatible registry (`https://host:port`; on this machine, or without a token, also `http://…`) that readers use beside the built-in one: `kenh apply` registers released schemas there under their ids, `kenh doctor` compares.",
    ),
    ("registry_token", "", "", "The password of its Basic authorisation, as `file:PATH` or `env:NAME`."),
    (
        "registry_authorities",
        "",
        "those of the machine",
        "File (PEM) with the authorities of which one must have vouched for its certificate.",
    ),
    ("otlp", "KENH_OTLP", "", "Where traces and metrics are sent over OTLP/HTTP, such as `http://127.0.0.1:4318`."),
];

/// What a store is built on, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// sled 0.34: the embedded default.
    #[default]
    Sled,
    /// fjall: for heavy writes.
    Fjall,
    /// PostgreSQL: a table a view, for SQL (postgres.url says where).
    Postgres,
}

/// What a store is built on, as resolved.
#[derive(Debug, Clone)]
pub enum Store {
    /// sled, in the node's directory.
    Sled,
    /// fjall, in the node's directory.
    Fjall,
    /// PostgreSQL.
    Postgres(Arc<Postgres>),
}

impl Store {
    /// As it is written.
    #[must_use]
    pub const fn kind(&self) -> StoreKind {
        match self {
            Self::Sled => StoreKind::Sled,
            Self::Fjall => StoreKind::Fjall,
            Self::Postgres(_) => StoreKind::Postgres,
        }
    }
}

/// A database for copies.
#[derive(Clone)]
pub struct Postgres {
    /// How to get there.
    pub server: Server,
    /// Its URL; there is no password in it.
    pub url: String,
    /// Where the password stands: `file:PATH` or `env:NAME`.
    pub password_from: Option<String>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

/// When the embedded log calls fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// At every commit and flush.
    #[default]
    EachCommit,
    /// When the operating system likes.
    Never,
}

/// A copy that the node keeps.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Whose views.
    pub agency: Agency,
    /// As which system; the agency's first where none is named.
    pub system: Option<Principal>,
    /// Into what.
    pub store: Store,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCopy {
    agency: Agency,
    system: Option<Principal>,
    #[serde(default)]
    store: StoreKind,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPostgres {
    url: Option<String>,
    password: Option<String>,
    authorities: Option<PathBuf>,
}

/// A Kafka cluster that holds the log.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of its brokers, separated by commas.
    #[serde(default)]
    pub bootstrap: String,
    /// Replicas of the topics that are made.
    #[serde(default = "Kafka::default_replication")]
    pub replication: i32,
    /// Further settings of librdkafka; references are resolved.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Kafka {
    const fn default_replication() -> i32 {
        3
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHttp {
    agencies: Option<SocketAddr>,
    operators: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authorities: Option<PathBuf>,
}

/// HTTP over TLS, for whoever comes with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where systems of agencies come in.
    pub agencies: Option<SocketAddr>,
    /// Where operators come in.
    pub operators: Option<SocketAddr>,
    /// With what.
    pub tls: Tls,
}

/// The files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate that is shown.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA of which every caller must show a certificate.
    pub authorities: PathBuf,
}

impl Http {
    /// All of it, or nothing: nothing is served with a part of TLS.
    fn resolve(written: Option<WrittenHttp>) -> Result<Option<Self>, ConfigError> {
        let Some(WrittenHttp { agencies, operators, certificate, key, authorities }) = written else { return Ok(None) };
        if agencies.is_none() && operators.is_none() {
            return Err(ConfigError::Http("http.agencies or http.operators"));
        }
        let need = |file: Option<PathBuf>, key| file.ok_or(ConfigError::Http(key));
        let tls = Tls {
            certificate: need(certificate, "http.certificate")?,
            key: need(key, "http.key")?,
            authorities: need(authorities, "http.authorities")?,
        };
        Ok(Some(Self { agencies, operators, tls }))
    }
}

/// A registry beside the built-in one.
#[derive(Clone, PartialEq, Eq)]
pub struct Registry {
    /// `https://host:port`, or `http://…`.
    pub url: String,
    /// The password of its Basic authorisation.
    pub token: Option<String>,
    /// Who may vouch for its certificate; none: the authorities of the machine.
    pub authorities: Option<PathBuf>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Somebody may have put a password into the address.
        write!(f, "Registry(token: {})", self.token.is_some())
    }
}

// Settings may hold passwords.
impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kafka({}, replication {})", self.bootstrap, self.replication)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    fsync: Option<Fsync>,
    #[serde(default)]
    copies: Vec<WrittenCopy>,
    postgres: Option<WrittenPostgres>,
    kafka: Option<Kafka>,
    http: Option<WrittenHttp>,
    otlp: Option<String>,
    registry: Option<String>,
    registry_token: Option<String>,
    registry_authorities: Option<PathBuf>,
}

/// The configuration as resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's directory.
    pub data: PathBuf,
    /// Where HTTP listens in clear; loopback.
    pub listen: SocketAddr,
    /// Where it listens over TLS; none: nowhere.
    pub http: Option<Http>,
    /// The log's fsync policy.
    pub fsync: Fsync,
    /// Copies to keep.
    pub copies: Vec<Copy>,
    /// The database for copies in PostgreSQL; none: there can be no such copies.
    pub postgres: Option<Arc<Postgres>>,
    /// The cluster that holds the log; none: the directory does.
    pub kafka: Option<Kafka>,
    /// Where telemetry goes; none: nowhere.
    pub otlp: Option<String>,
    /// The registry that `kenh apply` and `kenh doctor` hold to the built-in one; none: there is only that.
    pub registry: Option<Registry>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named is not readable.
    #[error("configuration file {file} cannot be read: check the path given with --config")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("configuration file {file}: {message}\n  see docs/configuration.md for the keys")]
    Parse {
        /// The file.
        file: PathBuf,
        /// Line, column and reason, as the parser says.
        message: String,
    },
    /// A variable holds something else than it should.
    #[error("{variable} is {value:?}: {expected}")]
    Variable {
        /// Which.
        variable: &'static str,
        /// What it holds (no variable of ours holds a secret).
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A reference to a secret that leads nowhere, or a secret that is none.
    #[error("{key}: {problem}")]
    Secret {
        /// Of which key.
        key: String,
        /// What is wrong; never the value.
        problem: String,
    },
    /// A database that is no database, or may not be used.
    #[error("postgres: {0}")]
    Postgres(StoreError),
    /// Copies in PostgreSQL, and nobody says where that is.
    #[error(
        "the store postgres needs a server: set postgres.url in kenh.yaml or KENH_POSTGRES (docs/postgres.md; \
         scripts/postgres up starts one on this machine)"
    )]
    NoPostgres,
    /// An address beyond loopback, in clear.
    #[error(
        "listen: {0} is not a loopback address; what listens there takes a token in clear, on 127.0.0.1 or [::1] only. For \
         other machines set http.agencies or http.operators, which ask for certificates (docs/http.md)"
    )]
    NotLoopback(SocketAddr),
    /// A part of TLS is missing.
    #[error(
        "http: {0} is missing; agencies and operators come in over TLS, each with a certificate, or not at all: it needs \
         http.certificate, http.key and http.authorities (docs/http.md)"
    )]
    Http(&'static str),
}

impl Config {
    /// The bootstrap servers of the cluster that holds the log, if one does.
    #[must_use]
    pub fn bootstrap(&self) -> Option<&str> {
        self.kafka.as_ref().map(|kafka| &*kafka.bootstrap)
    }

    /// Reads `file` (or [`DEFAULT_FILE`] where it exists) and the variables that `get` answers.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: Option<&Path>, get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let read = match file {
            Some(file) => Some((file, std::fs::read_to_string(file))),
            None if Path::new(DEFAULT_FILE).exists() => {
                Some((Path::new(DEFAULT_FILE), std::fs::read_to_string(DEFAULT_FILE)))
            }
            None => None,
        };
        let file = match read {
            None => File::default(),
            Some((file, Err(source))) => return Err(ConfigError::Read { file: file.into(), source }),
            Some((_, Ok(text))) if text.trim().is_empty() => File::default(),
            // Its place, and not the lines around it: somebody may have written a secret there.
            Some((file, Ok(text))) => serde_saphyr::from_str(&text)
                .map_err(|e| ConfigError::Parse { file: file.into(), message: e.without_snippet().to_string() })?,
        };
        let variable = |name: &'static str| get(name).filter(|v| !v.is_empty()).map(|v| (name, v));
        let listen = match variable("KENH_LISTEN") {
            None => file.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8490))),
            Some((variable, value)) => value.parse().map_err(|_| ConfigError::Variable {
                variable,
                value,
                expected: "an address and a port, such as 127.0.0.1:8490",
            })?,
        };
        if !listen.ip().is_loopback() {
            return Err(ConfigError::NotLoopback(listen));
        }
        let http = Http::resolve(file.http)?;
        let fsync = match variable("KENH_FSYNC") {
            None => file.fsync.unwrap_or_default(),
            Some((_, value)) if value == "each-commit" => Fsync::EachCommit,
            Some((_, value)) if value == "never" => Fsync::Never,
            Some((variable, value)) => {
                return Err(ConfigError::Variable { variable, value, expected: "each-commit or never" });
            }
        };
        let data = variable("KENH_DATA").map(|(_, v)| PathBuf::from(v)).or(file.data).unwrap_or_else(|| "data".into());
        let otlp = variable("KENH_OTLP").map(|(_, v)| v).or(file.otlp);
        let mut kafka = file.kafka;
        if let Some((_, bootstrap)) = variable("KENH_KAFKA") {
            let here = kafka.get_or_insert_with(|| Kafka {
                bootstrap: String::new(),
                replication: Kafka::default_replication(),
                settings: BTreeMap::new(),
            });
            here.bootstrap = bootstrap;
        }
        if let (Some(kafka), Some((variable, value))) = (&mut kafka, variable("KENH_KAFKA_REPLICATION")) {
            let expected = "a number of replicas, such as 3";
            kafka.replication = value.parse().map_err(|_| ConfigError::Variable { variable, value, expected })?;
        }
        if let Some(kafka) = &mut kafka {
            for (key, value) in &mut kafka.settings {
                *value = resolve(&format!("kafka.settings.{key}"), value, &get)?;
            }
        }
        // A token is resolved only where there is a registry to show it to.
        let registry = match variable("KENH_REGISTRY").map(|(_, v)| v).or(file.registry) {
            None => None,
            Some(url) => {
                let token = file.registry_token.as_deref().map(|t| resolve("registry_token", t, &get)).transpose()?;
                Some(Registry { url, token, authorities: file.registry_authorities })
            }
        };
        let written = file.postgres.unwrap_or_default();
        let postgres = match variable("KENH_POSTGRES").map(|(_, v)| v).or(written.url) {
            None => None,
            Some(url) => {
                let password_from = variable("KENH_POSTGRES_PASSWORD").map(|(_, v)| v).or(written.password);
                let password = password_from.as_deref().map(|from| resolve("postgres.password", from, &get));
                let named = variable("KENH_POSTGRES_AUTHORITIES").map(|(_, v)| v.into());
                let authorities: Option<PathBuf> = named.or(written.authorities);
                let server = Server::new(&url, password.transpose()?.as_deref(), authorities.as_deref());
                let server = server.map_err(ConfigError::Postgres)?;
                Some(Arc::new(Postgres { server, url, password_from }))
            }
        };
        let mut config = Self { data, listen, http, fsync, copies: Vec::new(), postgres, kafka, otlp, registry };
        for WrittenCopy { agency, system, store } in file.copies {
            let store = config.store(store)?;
            config.copies.push(Copy { agency, system, store });
        }
        Ok(config)
    }

    /// What a store of this kind is built on here.
    ///
    /// # Errors
    /// [`ConfigError::NoPostgres`].
    pub fn store(&self, kind: StoreKind) -> Result<Store, ConfigError> {
        Ok(match kind {
            StoreKind::Sled => Store::Sled,
            StoreKind::Fjall => Store::Fjall,
            StoreKind::Postgres => Store::Postgres(self.postgres.clone().ok_or(ConfigError::NoPostgres)?),
        })
    }
}

/// A setting's value: itself, or what its reference leads to. A secret is never written out.
fn resolve(key: &str, value: &str, get: &impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let wrong = |problem: String| ConfigError::Secret { key: key.into(), problem };
    if let Some(file) = value.strip_prefix("file:") {
        let text = std::fs::read_to_string(file).map_err(|e| wrong(format!("{file} cannot be read: {e}")))?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    if let Some(name) = value.strip_prefix("env:") {
        return get(name).ok_or_else(|| wrong(format!("the variable {name} is not set")));
    }
    let secret = ["password", "secret", "token", "key.pem", "sasl.jaas"].iter().any(|part| key.contains(part));
    if secret {
        return Err(wrong("a secret is named by reference only: file:PATH or env:NAME".into()));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, get: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kenh.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), get)
    }

    #[test]
    fn variables_override_the_file() {
        let yaml = "data: a\nlisten: 127.0.0.1:1\ncopies:\n  - agency: H29\n    store: fjall\n";
        let plain = load(yaml, |_| None).unwrap();
        assert_eq!((plain.data.to_str(), plain.listen.port()), (Some("a"), 1));
        assert_eq!(plain.copies[0].store.kind(), StoreKind::Fjall);
        let over = load(yaml, |name| (name == "KENH_DATA").then(|| "b".into())).unwrap();
        assert_eq!(over.data.to_str(), Some("b"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load("data: a\nlissten: 127.0.0.1:1\n", |_| None).unwrap_err().to_string();
        assert!(error.contains("lissten") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_secret_is_named_by_reference_only() {
        let yaml = "kafka:\n  bootstrap: a:1\n  settings:\n    sasl.password: ";
        let error = load(&format!("{yaml}hunter2\n"), |_| None).unwrap_err().to_string();
        assert!(error.contains("sasl.password") && !error.contains("hunter2"), "{error}");
        let get = |name: &str| (name == "PASSWORD").then(|| "hunter2".into());
        let config = load(&format!("{yaml}env:PASSWORD\n"), get).unwrap();
        assert_eq!(config.kafka.as_ref().unwrap().settings["sasl.password"], "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(load(&format!("{yaml}env:MISSING\n"), get).is_err());
    }

    #[test]
    fn a_registry_has_an_address_and_a_token_by_reference() {
        let get = |name: &str| (name == "TOKEN").then(|| "hunter2".into());
        let config = load("registry: http://a:1\nregistry_token: env:TOKEN\n", get).unwrap();
        let registry = config.registry.clone().unwrap();
        assert_eq!((registry.url.as_str(), registry.token.as_deref()), ("http://a:1", Some("hunter2")));
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = load("registry: http://a:1\nregistry_token: hunter2\n", get).unwrap_err().to_string();
        assert!(error.contains("registry_token") && !error.contains("hunter2"), "{error}");
        let over = load("registry: http://a:1\n", |name| (name == "KENH_REGISTRY").then(|| "http://b:2".into()));
        assert_eq!(over.unwrap().registry.unwrap().url, "http://b:2");
        assert_eq!(load("", |_| None).unwrap().registry, None);
    }

    #[test]
    fn postgres_has_a_url_without_a_password_and_the_password_by_reference() {
        let yaml = "copies:\n  - agency: H29\n    store: postgres\n";
        let missing = load(yaml, |_| None).unwrap_err().to_string();
        assert!(missing.contains("postgres.url") && missing.contains("KENH_POSTGRES"), "{missing}");
        let url = "postgresql://kenh@127.0.0.1:5432/kenh";
        let get = |name: &str| match name {
            "KENH_POSTGRES" => Some(url.to_owned()),
            "KENH_POSTGRES_PASSWORD" => Some("env:SECRET".to_owned()),
            "SECRET" => Some("hunter2".to_owned()),
            _ => None,
        };
        let config = load(yaml, get).unwrap();
        assert!(matches!(&config.copies[0].store, Store::Postgres(to) if to.url == url));
        assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:?}").contains("127.0.0.1:5432"));
        for (wrong, why) in [
            (format!("  url: {url}\n  password: hunter2\n"), "postgres.password: a secret is named by reference only"),
            (format!("  url: {url}\n  password: env:MISSING\n"), "postgres.password: the variable MISSING is not set"),
            ("  url: postgresql://kenh:hunter2@127.0.0.1/kenh\n".into(), "postgres: the URL of PostgreSQL holds"),
            (
                "  url: postgresql://kenh@db.example/hunter2?sslmode=disable\n".into(),
                "postgres: PostgreSQL is on another machine",
            ),
            (
                "  url: postgresql://kenh@db.example/k\n  authorities: nowhere.pem\n".into(),
                "nowhere.pem: cannot be read",
            ),
            (format!("  url: {url}\n  passwort: hunter2\n"), "passwort"),
        ] {
            let error = load(&format!("{yaml}postgres:\n{wrong}"), |_| None).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        let literal = |name: &str| get(name).map(|v| if v == "env:SECRET" { "hunter2".into() } else { v });
        let error = load(yaml, literal).unwrap_err().to_string();
        assert!(error.contains("by reference only") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn nothing_listens_beyond_loopback() {
        assert!(matches!(load("listen: 0.0.0.0:8490\n", |_| None), Err(ConfigError::NotLoopback(_))));
        let get = |name: &str| (name == "KENH_LISTEN").then(|| "10.0.0.1:1".into());
        assert!(matches!(load("", get), Err(ConfigError::NotLoopback(_))));
        assert!(matches!(load("listen: \"[::]:8490\"\n", |_| None), Err(ConfigError::NotLoopback(_))));
    }

    #[test]
    fn nothing_is_served_with_a_part_of_tls() {
        let tls = ["certificate: c.pem", "key: k.pem", "authorities: a.pem"];
        for listener in ["agencies", "operators"] {
            for left_out in 0..tls.len() {
                let some =
                    tls.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, line)| format!("  {line}\n"));
                let yaml = format!("http:\n  {listener}: 0.0.0.0:8491\n{}", some.collect::<String>());
                let error = load(&yaml, |_| None).unwrap_err().to_string();
                let missing = tls[left_out].split(':').next().unwrap();
                assert!(error.contains(&format!("http.{missing} is missing")), "{error}");
            }
            let whole: String = tls.iter().map(|line| format!("  {line}\n")).collect();
            let config = load(&format!("http:\n  {listener}: 0.0.0.0:8491\n{whole}"), |_| None).unwrap().http.unwrap();
            assert_eq!(
                (config.agencies.is_some(), config.operators.is_some()),
                match listener {
                    "agencies" => (true, false),
                    _ => (false, true),
                }
            );
            assert!(load(&format!("http:\n{whole}"), |_| None).is_err(), "files for nobody");
        }
    }

    #[test]
    fn every_key_is_documented() {
        let docs = include_str!("../docs/configuration.md");
        for (key, variable, default, meaning) in KEYS {
            for text in [key, variable, default, meaning] {
                assert!(docs.contains(text), "docs/configuration.md lacks {text:?} of key {key}");
            }
        }
    }
}
