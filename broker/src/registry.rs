//! The client of a schema registry: of ours, or of any other that speaks Confluent's REST API.
//!
//! It asks for schemas by id and for the latest of a subject, and registers what was released under the id that it has
//! already (another's import mode; releasing is no matter of a registry). It keeps nothing (a schema's text never changes
//! under its id: who asks often keeps it). A token travels over TLS, or stays on this machine. It blocks: call it from a
//! thread of its own, never from an async task.
//!
//! Source: Confluent's documentation, "Schema Registry API Reference".

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kenh_domain::host;
use kenh_domain::wire::SchemaId;
use schema_registry_converter::blocking::schema_registry::{
    SrSettings, get_schema_by_id, get_schema_by_subject, perform_sr_call,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredSchema, SchemaType, SrCall, SubjectNameStrategy,
};

/// The user name beside a token; the registry looks at the token alone.
const USER: &str = "kenh";
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest subject: a topic's name, which Kafka bounds to 249 bytes, and a suffix.
const MAX_SUBJECT_BYTES: usize = 256;
/// Confluent's error code for an id that is given to a subject which takes none: it is not in import mode.
const OPERATION_NOT_PERMITTED: u32 = 42_205;

/// A client of one registry. Cheap to clone.
#[derive(Clone)]
pub struct RegistryClient {
    settings: SrSettings,
    url: String,
}

/// A schema as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: SchemaId,
    /// Its version in the subject, where the registry tells it.
    pub version: Option<u32>,
    /// Its JSON text.
    pub schema: String,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A schema by its id.
    Schema(SchemaId),
    /// The latest schema of a subject.
    Latest(String),
    /// To take a schema under its id as a version of a subject.
    Register(SchemaId, String),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(id) => write!(f, "schema {id}"),
            Self::Latest(subject) => write!(f, "the latest schema of subject {subject}"),
            Self::Register(id, subject) => write!(f, "schema {id} as a version of subject {subject}"),
        }
    }
}

/// Why a registry gave no schema.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address cannot be used. It is not shown: somebody may have put a password into it.
    #[error("the address of the registry cannot be used: {0}")]
    Address(&'static str),
    /// The file of authorities cannot be used.
    #[error("the registry's authorities cannot be read from {}", file.display())]
    Authorities {
        /// Which file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No subject is called so.
    #[error("{0:?} is not the name of a subject")]
    Subject(String),
    /// The registry does not have it.
    #[error("the registry has no such thing: {asked} (error code {code})")]
    Missing {
        /// What was asked for.
        asked: Asked,
        /// The registry's error code: 40401 subject, 40402 version, 40403 schema.
        code: u32,
    },
    /// The registry does not take the token.
    #[error("the registry refuses access to {asked}; is the token right?")]
    Denied {
        /// What was asked for.
        asked: Asked,
    },
    /// It is not an Avro schema.
    #[error("{asked} is not an Avro schema")]
    NotAvro {
        /// What was asked for.
        asked: Asked,
    },
    /// It gives ids itself: the subject is not in import mode.
    #[error("the registry does not take {asked}: the subject is not in import mode")]
    NotImporting {
        /// What was asked for.
        asked: Asked,
    },
    /// No answer, or one that says to come back later.
    #[error("the registry cannot be reached for {asked}")]
    Unreachable {
        /// What was asked for.
        asked: Asked,
        /// What failed.
        #[source]
        source: SRCError,
    },
    /// An answer that is none.
    #[error("the registry failed on {asked}")]
    Failed {
        /// What was asked for.
        asked: Asked,
        /// What it said.
        #[source]
        source: SRCError,
    },
}

impl RegistryError {
    /// Whether the same question may find an answer later, with nothing changed here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("url", &self.url).finish_non_exhaustive()
    }
}

impl RegistryClient {
    /// A client of the registry at `url` (`https://host:port`, or `http://…`), with `token` as the password of its Basic
    /// authorisation. Over TLS one of `authorities` (a file, PEM; none: those of the machine) must have vouched for the
    /// server's certificate. Nothing is asked yet.
    ///
    /// # Errors
    /// [`RegistryError::Address`], also where a token would travel in clear; [`RegistryError::Authorities`].
    pub fn new(url: &str, token: Option<&str>, authorities: Option<&Path>) -> Result<Self, RegistryError> {
        let url = url.trim_end_matches('/');
        let secure = url.strip_prefix("https://");
        let address = secure.or_else(|| url.strip_prefix("http://"));
        let address = address.ok_or(RegistryError::Address("it begins neither with https:// nor with http://"))?;
        if address.is_empty() || address.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c)) {
            return Err(RegistryError::Address("it is no host and port"));
        }
        if address.contains('@') {
            return Err(RegistryError::Address("it holds a user name; give the token apart"));
        }
        let host = host::of(address.split('/').next().unwrap_or_default());
        if token.is_some() && secure.is_none() && !host::is_loopback(host) {
            return Err(RegistryError::Address("the token would travel in clear; say https://"));
        }
        let mut client = reqwest::blocking::Client::builder();
        if let Some(file) = authorities {
            let unusable = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::Authorities {
                file: file.to_owned(),
                source,
            };
            let pem = std::fs::read(file).map_err(|e| unusable(e.into()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unusable(e.into()))?;
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate".into()));
            }
            client = client.tls_certs_only(certificates);
        }
        let mut builder = SrSettings::new_builder(url.to_string());
        // No proxy that the environment names may see the token.
        builder.set_timeout(TIMEOUT).no_proxy();
        if token.is_some() {
            builder.set_basic_authorization(USER, token);
        }
        let settings =
            builder.build_with(client).map_err(|_| RegistryError::Address("no client can be made for it"))?;
        Ok(Self { settings, url: url.to_string() })
    }

    /// The text of schema `id`.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        let asked = Asked::Schema(id);
        Ok(answer(asked, get_schema_by_id(id.0, &self.settings))?.schema)
    }

    /// The latest schema of `subject` (`<topic>-value` for a topic's values).
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn latest(&self, subject: &str) -> Result<Registered, RegistryError> {
        check(subject)?;
        // Of the library's strategies the one that takes a subject as it is.
        let strategy = SubjectNameStrategy::RecordNameStrategy(subject.to_string());
        answer(Asked::Latest(subject.to_string()), get_schema_by_subject(&self.settings, &strategy))
    }

    /// Asks the registry to take `schema` under `id` as `version` of `subject`, and gives the id that it has there: **it
    /// may be another one**, since not every registry minds the id that it is given. Saying it twice changes nothing.
    ///
    /// # Errors
    /// [`RegistryError`]; [`RegistryError::NotImporting`] when the registry insists on ids of its own.
    pub fn register(&self, subject: &str, version: u32, id: SchemaId, schema: &str) -> Result<SchemaId, RegistryError> {
        check(subject)?;
        let asked = Asked::Register(id, subject.to_string());
        let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO", "id": id.0, "version": version });
        let found = perform_sr_call(&self.settings, SrCall::PostNew(subject, &body.to_string()))
            .map_err(|source| explain(asked.clone(), source))?;
        found.id.map(SchemaId).ok_or_else(|| RegistryError::Failed {
            asked,
            source: SRCError::non_retryable_without_cause("its answer has no id"),
        })
    }
}

fn check(subject: &str) -> Result<(), RegistryError> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "?#%\\".contains(c);
    if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.contains(odd) {
        return Err(RegistryError::Subject(subject.chars().take(MAX_SUBJECT_BYTES).collect()));
    }
    Ok(())
}

fn answer(asked: Asked, answer: Result<RegisteredSchema, SRCError>) -> Result<Registered, RegistryError> {
    let found = answer.map_err(|source| explain(asked.clone(), source))?;
    if found.schema_type != SchemaType::Avro {
        return Err(RegistryError::NotAvro { asked });
    }
    Ok(Registered { id: SchemaId(found.id), version: found.version, schema: found.schema })
}

fn explain(asked: Asked, source: SRCError) -> RegistryError {
    if source.retriable {
        return RegistryError::Unreachable { asked, source };
    }
    let code = std::error::Error::source(&source)
        .and_then(|cause| cause.downcast_ref::<RawError>())
        .map(|raw| raw.error_code)
        .unwrap_or_default();
    if code == OPERATION_NOT_PERMITTED {
        return RegistryError::NotImporting { asked };
    }
    // The library keeps the HTTP status in its text alone; Confluent's codes are a status, or one with two digits more.
    let status = source.error.split("status ").nth(1).and_then(|text| text.get(..3)?.parse().ok());
    match status.unwrap_or(if code >= 1000 { code / 100 } else { code }) {
        401 | 403 => RegistryError::Denied { asked },
        404 => RegistryError::Missing { asked, code },
        429 | 500..=599 => RegistryError::Unreachable { asked, source },
        _ => RegistryError::Failed { asked, source },
    }
}
