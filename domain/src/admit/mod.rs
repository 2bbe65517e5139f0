//! Admission: whether a submitted change enters the bus.
//!
//! Two stages. [`Rules::read`] needs no state: is the change well formed, may this provider send it, does its record
//! follow the contract? [`decide`] compares it with what is known of its record key: who owns it, which version stands.
//! Both are pure; the same input meets the same answer in live routing, in recovery and in an offline check.
//!
//! The first rule broken wins in `read`, in this order: size, wire format, schema id, envelope, provider, Avro body,
//! record key, partition, the provider's rows, field rules (in the order of the schema), code lists and cross-field
//! rules, version, time of update, effective date. A rule that is [relaxed](crate::relaxation) is passed over and kept as a
//! warning; which are, and until when, is asked at the latest marker, as are the clock and the code lists that are datasets
//! ([`AsOf`]).

mod beside;
mod fields;

use std::collections::HashMap;

use crate::codes::CodeLists;
use crate::contract::{Contract, Effective, VersionSource};
use crate::date::{self, DAY_MS, VIET_NAM_MS};
use crate::envelope::{self, EnvelopeError, Event, Submitted};
use crate::filter::{Filter, FilterError};
use crate::frame::Version;
use crate::key::{self, KeyPart};
use crate::limits::{MAX_CLOCK_SKEW_MS, MAX_KEY_BYTES, MAX_RECORD_BYTES, MAX_VIOLATIONS};
use crate::names::Agency;
use crate::relaxation::Relaxed;
use crate::rule::{Rejection, Rule};
use crate::schema::{Path, Schema, SchemaError, Spans, Type, Value};
use crate::secret::Secret;
use crate::topic::Partition;
use crate::wire::{self, SchemaId};
use fields::FieldChecks;
pub use fields::Found;

/// A contract that cannot be enforced.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A schema of it is not one the bus carries.
    #[error("schema version {version} of {dataset}")]
    Schema {
        /// The dataset.
        dataset: String,
        /// The schema version.
        version: u32,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// A path that leads nowhere.
    #[error("{dataset}: there is no field {path} in schema version {version}; {hint}")]
    Path {
        /// The dataset.
        dataset: String,
        /// The path.
        path: String,
        /// The newest schema version.
        version: u32,
        /// Fields that there are.
        hint: String,
    },
    /// A field of the record key that is null sometimes, or of a type that makes no key.
    #[error(
        "{dataset}: field {path} cannot be part of the record key: it must be a text, a whole number or a date, never null"
    )]
    Key {
        /// The dataset.
        dataset: String,
        /// The path.
        path: String,
    },
    /// A rule that means nothing for its field.
    #[error("{dataset}: field {path}: {reason}")]
    Rule {
        /// The dataset.
        dataset: String,
        /// The path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A provider's row filter.
    #[error("{dataset}: the row filter of provider {provider}")]
    Rows {
        /// The dataset.
        dataset: String,
        /// The provider.
        provider: Agency,
        /// Why.
        #[source]
        source: FilterError,
    },
}

/// A contract, compiled for admission.
pub struct Rules {
    contract: Contract,
    schemas: Vec<(SchemaId, Schema)>,
    by_envelope: HashMap<SchemaId, usize>,
    versions: Vec<VersionRules>,
}

/// What is compiled for each schema version.
struct VersionRules {
    key: Vec<Path>,
    fields: FieldChecks,
    rows: Vec<(Agency, Option<Filter>)>,
}

/// What admission takes from the latest marker of the data partition.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    /// Its clock: milliseconds since 1970 (UTC).
    pub clock_ms: i64,
    /// The rules that warn, by the control set that it names and at that clock.
    pub relaxed: &'a Relaxed,
    /// The code lists on the bus that it names.
    pub lists: &'a CodeLists,
}

impl AsOf<'static> {
    /// A clock at which every rule rejects, and no code list is on the bus.
    #[must_use]
    pub const fn strict(clock_ms: i64) -> Self {
        Self { clock_ms, relaxed: Relaxed::NONE, lists: CodeLists::NONE }
    }
}

/// A change that is well formed and follows the contract; whether it enters is for [`decide`] to say.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// What was submitted.
    pub submitted: Submitted<'a>,
    /// The record key.
    pub key: &'a [u8],
    /// The schema of its record; none for CANCEL.
    pub schema: Option<SchemaId>,
    /// Who sent it.
    pub provider: Agency,
    /// Relaxed rules that it breaks, each once: told to its provider if it is admitted.
    pub warnings: Vec<Rule>,
}

impl Candidate<'_> {
    /// The digest by which two submissions of one version are compared: of the record, and whether it is a CANCEL.
    ///
    /// The same record written under another schema version has other bytes, and counts as other content: a provider
    /// that moves to a new schema version raises the record's version.
    #[must_use]
    pub fn content(&self, secret: &Secret) -> u128 {
        content(secret, self.submitted.record)
    }
}

/// [`Candidate::content`] of a record's Avro body (none: a CANCEL), for who has it from the data log.
#[must_use]
pub fn content(secret: &Secret, record: Option<&[u8]>) -> u128 {
    match record {
        None => key::hash128(secret, b"CANCEL"),
        // One bit apart from any hash of bytes as they are, so that no record can look like a CANCEL.
        Some(body) => key::hash128(secret, body) ^ 1,
    }
}

/// What is known of a record key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// The provider of its first admitted change.
    pub owner: &'a Agency,
    /// The highest version admitted.
    pub version: Version,
    /// [`Candidate::content`] of it.
    pub content: u128,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It enters, under this version.
    Admit(Version),
    /// The same version with the same content is there: nothing changes.
    Repeated,
    /// A higher version is there: nothing changes.
    Stale,
    /// A rule refuses it.
    Reject(Rejection),
}

/// Compares a candidate with what is known of its record key. `content` is [`Candidate::content`].
///
/// Ownership comes first: a provider learns nothing of the versions of another's record. Then (epoch, version): higher is
/// admitted, unless it jumps by more than the contract's `max_version_step` within an epoch; equal is repeated or, with
/// other content, a conflict; lower is stale. A CANCEL of an unknown key is admitted: it is state for what comes later.
///
/// Where the contract says that Kênh assigns versions, other content is the next version and the same is repeated; where
/// the version is a log position, steps are not limited.
#[must_use]
pub fn decide(
    rules: &Rules,
    candidate: &Candidate<'_>,
    epoch: u32,
    known: Option<&Known<'_>>,
    content: u128,
) -> Verdict {
    let source = rules.contract.version_source;
    let sent = Version { epoch, version: u64::try_from(candidate.submitted.version).unwrap_or(0) };
    let Some(known) = known else {
        return Verdict::Admit(if source == VersionSource::Assigned { Version { epoch, version: 1 } } else { sent });
    };
    if known.owner != &candidate.provider {
        return Verdict::Reject(Rejection::record(Rule::NotOwner));
    }
    if source == VersionSource::Assigned {
        return if known.content == content {
            Verdict::Repeated
        } else {
            Verdict::Admit(Version { epoch: epoch.max(known.version.epoch), version: known.version.version + 1 })
        };
    }
    match sent.cmp(&known.version) {
        std::cmp::Ordering::Less => Verdict::Stale,
        std::cmp::Ordering::Equal if known.content == content => Verdict::Repeated,
        std::cmp::Ordering::Equal => Verdict::Reject(Rejection::field(Rule::VersionConflict, "PhienBan")),
        std::cmp::Ordering::Greater => {
            let step = sent.version.saturating_sub(known.version.version);
            let limit = rules.contract.max_version_step.filter(|_| source == VersionSource::Provider);
            if sent.epoch == known.version.epoch && limit.is_some_and(|most| step > most) {
                Verdict::Reject(Rejection::field(Rule::VersionJump, "PhienBan"))
            } else {
                Verdict::Admit(sent)
            }
        }
    }
}

impl Rules {
    /// Compiles a contract.
    ///
    /// # Errors
    /// [`RulesError`] names what in the contract cannot be enforced.
    pub fn compile(contract: &Contract) -> Result<Self, RulesError> {
        let dataset = || contract.dataset.to_string();
        let mut schemas = Vec::new();
        let mut by_envelope = HashMap::new();
        for (i, version) in contract.schemas.iter().enumerate() {
            let schema = Schema::parse(&version.schema).map_err(|source| RulesError::Schema {
                dataset: dataset(),
                version: version.version,
                source,
            })?;
            schemas.push((version.id, schema));
            by_envelope.insert(version.envelope_id, i);
        }
        let mut versions = Vec::new();
        for (i, (_, schema)) in schemas.iter().enumerate() {
            let newest = i + 1 == schemas.len();
            let number = contract.schemas[i].version;
            let key =
                contract.key.iter().map(|path| key_path(contract, schema, number, path)).collect::<Result<_, _>>()?;
            let fields = FieldChecks::compile(contract, schema, number, newest)?;
            let rows = contract
                .providers
                .iter()
                .map(|p| {
                    let filter = p.rows.as_deref().map(|text| Filter::compile(text, schema)).transpose();
                    let filter = filter.map_err(|source| RulesError::Rows {
                        dataset: dataset(),
                        provider: p.agency.clone(),
                        source,
                    })?;
                    Ok((p.agency.clone(), filter))
                })
                .collect::<Result<_, _>>()?;
            versions.push(VersionRules { key, fields, rows });
        }
        Ok(Self { contract: contract.clone(), schemas, by_envelope, versions })
    }

    /// The contract it was compiled from.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Every released schema version of the record, oldest first.
    #[must_use]
    pub fn schemas(&self) -> &[(SchemaId, Schema)] {
        &self.schemas
    }

    /// The record schema of that id.
    #[must_use]
    pub fn schema(&self, id: SchemaId) -> Option<&Schema> {
        self.version_of(id).map(|i| &self.schemas[i].1)
    }

    fn version_of(&self, id: SchemaId) -> Option<usize> {
        self.schemas.iter().position(|(known, _)| *known == id)
    }

    /// Stage 1: reads what lies in `in.<dataset>.<provider>`, partition `partition`. `scratch` holds the record's field
    /// boundaries afterwards (meaningless for CANCEL).
    ///
    /// # Errors
    /// The first rule that is broken and not relaxed.
    pub fn read<'a>(
        &self,
        provider: &Agency,
        partition: Partition,
        key: &'a [u8],
        value: &'a [u8],
        as_of: AsOf<'_>,
        scratch: &mut Spans,
    ) -> Result<Candidate<'a>, Rejection> {
        if value.len() > MAX_RECORD_BYTES {
            return Err(Rejection::record(Rule::TooLarge));
        }
        let (id, body) = wire::split(value).map_err(|e| Rejection::record(Rule::WireFormat).with(e.to_string()))?;
        let version = *self.by_envelope.get(&id).ok_or_else(|| Rejection::record(Rule::UnknownSchema))?;
        let submitted = envelope::decode(body).map_err(envelope_rejection)?;
        let rows = &self.versions[version].rows;
        let Some((_, rows)) = rows.iter().find(|(agency, _)| agency == provider) else {
            return Err(Rejection::record(Rule::NotProvider));
        };
        let (schema_id, schema) = &self.schemas[version];
        if let Some(record) = submitted.record {
            schema
                .walk(record, scratch)
                .map_err(|e| Rejection::field(Rule::Avro, e.field).with(e.fault.to_string()))?;
            let mut own = Vec::with_capacity(key.len());
            self.key_of(version, record, scratch, &mut own)?;
            if own != key {
                return Err(Rejection::record(Rule::KeyMismatch));
            }
        } else if key.is_empty() || std::str::from_utf8(key).is_err() {
            return Err(Rejection::record(Rule::MissingKey));
        } else if key.len() > MAX_KEY_BYTES {
            return Err(Rejection::record(Rule::KeyTooLong));
        }
        if key::partition(key, self.contract.partitions) != partition {
            return Err(Rejection::record(Rule::WrongPartition));
        }
        let mut found = Found::default();
        if let Some(record) = submitted.record {
            if rows.as_ref().is_some_and(|filter| !filter.matches(record, scratch)) {
                return Err(Rejection::record(Rule::NotItsRows));
            }
            let fields = &self.versions[version].fields;
            fields.check(&self.contract, schema, (record, scratch), (as_of.relaxed, as_of.lists), 1, &mut found);
            if let Some(first) = found.rejections.into_iter().next() {
                return Err(first);
            }
        }
        self.check_envelope(&submitted, as_of.clock_ms)?;
        let schema = submitted.record.map(|_| *schema_id);
        Ok(Candidate { submitted, key, schema, provider: provider.clone(), warnings: found.warnings })
    }

    /// Version, time of update and effective date.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_envelope(&self, submitted: &Submitted<'_>, clock_ms: i64) -> Result<(), Rejection> {
        if submitted.version < 1 && self.contract.version_source != VersionSource::Assigned {
            return Err(Rejection::field(Rule::VersionLow, "PhienBan"));
        }
        if submitted.updated_ms > clock_ms.saturating_add(MAX_CLOCK_SKEW_MS) {
            return Err(Rejection::field(Rule::UpdatedInFuture, "ThoiGianCapNhat"));
        }
        let today = clock_ms.saturating_add(VIET_NAM_MS).div_euclid(DAY_MS);
        let future = submitted.effective_days.is_some_and(|days| i64::from(days) > today);
        if future && self.contract.effective == Effective::AtOnce {
            return Err(Rejection::field(Rule::EffectiveInFuture, "NgayHieuLuc"));
        }
        Ok(())
    }

    /// Every rule that a record alone breaks, at most [`MAX_VIOLATIONS`] of those that refuse it: what an offline check
    /// shows. `lists` are code lists on the bus as somebody has read them, [`CodeLists::NotAsked`] where nobody has.
    /// `scratch` holds its field boundaries afterwards, unless its bytes do not follow the schema.
    #[must_use]
    pub fn check_record(
        &self,
        body: &[u8],
        schema: SchemaId,
        (relaxed, lists): (&Relaxed, &CodeLists),
        scratch: &mut Spans,
    ) -> Found {
        let refused = |rejection| Found { rejections: vec![rejection], warnings: Vec::new() };
        let Some(version) = self.version_of(schema) else {
            return refused(Rejection::record(Rule::UnknownSchema));
        };
        let schema = &self.schemas[version].1;
        if let Err(error) = schema.walk(body, scratch) {
            return refused(Rejection::field(Rule::Avro, error.field).with(error.fault.to_string()));
        }
        let mut found = Found::default();
        let mut key = Vec::new();
        if let Err(rejection) = self.key_of(version, body, scratch, &mut key) {
            found.rejections.push(rejection);
        }
        let fields = &self.versions[version].fields;
        fields.check(&self.contract, schema, (body, scratch), (relaxed, lists), MAX_VIOLATIONS, &mut found);
        found
    }

    /// Whether `provider` may send this record; `scratch` from [`Self::check_record`].
    ///
    /// # Errors
    /// `not-provider` or `not-its-rows`.
    pub fn check_provider(
        &self,
        provider: &Agency,
        schema: SchemaId,
        body: &[u8],
        scratch: &Spans,
    ) -> Result<(), Rejection> {
        let rows =
            self.version_of(schema).and_then(|v| self.versions[v].rows.iter().find(|(agency, _)| agency == provider));
        match rows {
            None => Err(Rejection::record(Rule::NotProvider)),
            Some((_, Some(filter))) if !filter.matches(body, scratch) => Err(Rejection::record(Rule::NotItsRows)),
            Some(_) => Ok(()),
        }
    }

    /// Appends the record key of a walked record to `out`.
    ///
    /// # Errors
    /// `missing-key`, `key-too-long`, or `unknown-schema`.
    pub fn record_key(&self, schema: SchemaId, body: &[u8], spans: &Spans, out: &mut Vec<u8>) -> Result<(), Rejection> {
        let version = self.version_of(schema).ok_or_else(|| Rejection::record(Rule::UnknownSchema))?;
        self.key_of(version, body, spans, out)
    }

    fn key_of(&self, version: usize, body: &[u8], spans: &Spans, out: &mut Vec<u8>) -> Result<(), Rejection> {
        let schema = &self.schemas[version].1;
        let paths = &self.versions[version].key;
        let missing = |path: &Path| Rejection::field(Rule::MissingKey, path.dotted());
        // Dates need a text to be borrowed from.
        let mut dates: smallvec::SmallVec<[String; 2]> = smallvec::SmallVec::new();
        for path in paths {
            if let Value::Date(days) = schema.value(body, spans, path) {
                dates.push(date::text(days));
            }
        }
        let mut dates = dates.iter();
        let mut parts: smallvec::SmallVec<[KeyPart<'_>; 4]> = smallvec::SmallVec::new();
        for path in paths {
            parts.push(match schema.value(body, spans, path) {
                Value::Text(text) if !text.is_empty() => KeyPart::Text(text),
                Value::Int(n) => KeyPart::Int(n),
                Value::Date(_) => KeyPart::Text(dates.next().ok_or_else(|| missing(path))?),
                _ => return Err(missing(path)),
            });
        }
        let before = out.len();
        key::put_record_key(&parts, out);
        if out.len() - before > MAX_KEY_BYTES {
            out.truncate(before);
            return Err(Rejection::record(Rule::KeyTooLong));
        }
        Ok(())
    }
}

fn key_path(contract: &Contract, schema: &Schema, version: u32, dotted: &str) -> Result<Path, RulesError> {
    let dataset = contract.dataset.to_string();
    let Some(path) = schema.path(dotted) else {
        return Err(RulesError::Path { dataset, path: dotted.into(), version, hint: fields::names(schema) });
    };
    let keyable = matches!(path.ty(), Type::Text | Type::Uuid | Type::Enum(_) | Type::Int | Type::Long | Type::Date);
    if keyable && !path.nullable() { Ok(path) } else { Err(RulesError::Key { dataset, path: dotted.into() }) }
}

fn envelope_rejection(error: EnvelopeError) -> Rejection {
    match error {
        EnvelopeError::Damaged(field) => Rejection::field(Rule::Envelope, field),
        EnvelopeError::Submission => Rejection::field(Rule::Envelope, "BanTin.Id").with(error.to_string()),
        EnvelopeError::Number => Rejection::field(Rule::Envelope, "BanTin.SoThuTu").with(error.to_string()),
        EnvelopeError::Event => Rejection::field(Rule::EventRecord, "DuLieu"),
    }
}

/// Whether an event carries a record.
#[must_use]
pub fn carries_record(event: Event) -> bool {
    event != Event::Cancel
}

#[cfg(test)]
mod tests;
