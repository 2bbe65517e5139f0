//! What a grant compiles to, and the only way from a record to a recipient.
//!
//! A [`Shape`] is projection, row filter, masks and key form of a grant, bound to every released version of the
//! dataset's schema. It is the unit of compilation: grants whose shapes have equal [digests](Shape::digest) see the same
//! bytes for every record, and are decided and projected once.
//!
//! From record to recipient there is one way: a grant in force at the log's clock gives an [`InForce`], which with a
//! record in the grant's rows gives a [`Permit`], which alone projects. Neither has a public constructor, so that
//! forgetting the check does not compile:
//!
//! ```compile_fail,E0451
//! let permit = kenh_domain::shape::Permit { shape: todo!(), plan: todo!(), body: &[], spans: todo!() };
//! ```
//!
//! ```compile_fail,E0451
//! let in_force = kenh_domain::shape::InForce { terms: [0; 32] };
//! ```
//!
//! # The view's schema
//! A flat record `kenh.view.View` of the granted fields in the grant's order, made from their types alone: no docs,
//! aliases, defaults, properties, nor names of the source's types. Records, enums and fixed inside are named after the
//! field they are in (`NoiOHienTai`, `KeThua_item`). A field under a nullable record is nullable. Masks give: `null` the
//! field's type, made nullable; `constant`, `last` and `hash` text, nullable where the field is; `year` an int, nullable
//! where the field is, and always of a text, which may be no date.
//!
//! It is taken from the newest schema version when the grant is activated, and stands for the life of the shape: later
//! compilations are given it ([`Shape::compile`], `fixed`). It depends on the granted fields only, so that a version
//! with more fields changes neither schema nor digest. A later version of a granted field must then still fit: it may be
//! copied, promoted as Avro does (int to long, float, double; long to float, double; float to double; string to bytes),
//! wrapped in a nullable type; enum symbols and fields of nested records are matched by name, also inside arrays and
//! maps, and fields that the view does not have are left out; a field that the writer does not have takes the default of
//! the first version that had it, or null. Whatever else differs is [`ShapeError::CannotEmit`] and the release is to be
//! refused: another logical type, null where the view has none, a symbol that the view's enum lacks, bytes to string
//! (which may not be text), unions of several types unless branch by branch the same. Aliases are not followed.

mod compile;
mod convert;
mod mask;
mod plan;
mod terms;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use terms::digest as terms_of;

use std::sync::Arc;

use crate::control::ViewEntry;
use crate::filter::{FilterError, IndexKey};
use crate::grant::KeyForm;
use crate::key::put_pseudonym;
use crate::names::{Dataset, GrantId};
use crate::schema::{SchemaError, Spans};
use crate::secret::Secret;
use crate::wire::SchemaId;

use plan::Plan;

/// A compiled grant; see [this module](self). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shape(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dataset: Dataset,
    terms: [u8; 32],
    digest: [u8; 32],
    view_schema: String,
    key: KeyForm,
    key_fields: Vec<String>,
    index: Option<IndexKey>,
    plans: Vec<(SchemaId, Plan)>,
    /// Whether pseudonyms or hashes are made.
    keyed: bool,
    secret: Option<Secret>,
}

/// A grant that cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// Of another dataset.
    #[error("grant {grant} is for dataset {dataset}, the contract for {contract}")]
    Dataset {
        /// The grant.
        grant: GrantId,
        /// Its dataset.
        dataset: Dataset,
        /// The contract's dataset.
        contract: Dataset,
    },
    /// The contract has no schema.
    #[error("grant {grant}: the contract has no released schema")]
    NoSchema {
        /// The grant.
        grant: GrantId,
    },
    /// No fields.
    #[error("grant {grant} names no field; name at least one")]
    NoFields {
        /// The grant.
        grant: GrantId,
    },
    /// A field that the newest schema does not have.
    #[error("grant {grant}: there is no field {field}; {hint}")]
    UnknownField {
        /// The grant.
        grant: GrantId,
        /// The path as given.
        field: String,
        /// The nearest one, or all.
        hint: String,
    },
    /// Two fields of one name.
    #[error("grant {grant}: field {field} would be the second named {name} in the view; give it another name with as")]
    DuplicateName {
        /// The grant.
        grant: GrantId,
        /// The second path.
        field: String,
        /// The name.
        name: String,
    },
    /// A name that Avro does not allow.
    #[error(
        "grant {grant}: field {field} cannot be named {name:?}; letters a-z, A-Z, digits and _ are allowed, no digit first"
    )]
    BadName {
        /// The grant.
        grant: GrantId,
        /// The path.
        field: String,
        /// The name.
        name: String,
    },
    /// The filter does not compile.
    #[error("grant {grant}: the filter does not compile")]
    Filter {
        /// The grant.
        grant: GrantId,
        /// Where and why.
        #[source]
        source: FilterError,
    },
    /// The filter names a field that is not granted: its outcome would tell of it.
    #[error(
        "grant {grant}: the filter names {field}, which is not granted; grant it too, or filter on a granted field"
    )]
    FilterNotGranted {
        /// The grant.
        grant: GrantId,
        /// The field.
        field: String,
    },
    /// The filter names a field that is granted only under a mask: its outcome would tell what the mask hides.
    #[error(
        "grant {grant}: the filter names {field}, which is granted only under a mask; grant it unmasked, or filter on another field"
    )]
    FilterMasked {
        /// The grant.
        grant: GrantId,
        /// The field.
        field: String,
    },
    /// A clear key that gives away a field which is not granted.
    #[error(
        "grant {grant}: the record key holds {field}, which is not granted by itself and unmasked; grant it, or set key: pseudonym"
    )]
    KeyNotGranted {
        /// The grant.
        grant: GrantId,
        /// The field.
        field: String,
    },
    /// A mask on a type that it is not for.
    #[error("grant {grant}: field {field} is {kind}, which mask {mask} is not for; {hint}")]
    Mask {
        /// The grant.
        grant: GrantId,
        /// The field.
        field: String,
        /// Its type.
        kind: &'static str,
        /// The mask.
        mask: &'static str,
        /// What to use.
        hint: &'static str,
    },
    /// `last` on a personal ID: its last digits tell people apart within a district.
    #[error(
        "grant {grant}: field {field} is a personal ID; mask last would give most of it away: use hash, or leave the field out"
    )]
    LastOfPersonalId {
        /// The grant.
        grant: GrantId,
        /// The field.
        field: String,
    },
    /// What a writer of some version wrote does not fit the view.
    #[error(
        "grant {grant}: field {field} as schema {version} has it does not fit the view: {why}; keep its type, or end the grant and activate it anew"
    )]
    CannotEmit {
        /// The grant.
        grant: GrantId,
        /// The writer's schema.
        version: SchemaId,
        /// The field.
        field: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The view's registered schema is not of this grant.
    #[error(
        "grant {grant}: the view's registered schema has other fields than the grant names ({field}); a changed projection needs a new edition"
    )]
    Fixed {
        /// The grant.
        grant: GrantId,
        /// The first field that differs.
        field: String,
    },
    /// The view has no schema that the bus can carry.
    #[error("grant {grant}: the view's schema is not valid")]
    View {
        /// The grant.
        grant: GrantId,
        /// Why.
        #[source]
        source: SchemaError,
    },
}

impl Shape {
    /// The dataset.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.0.dataset
    }

    /// Equal digests, same bytes for every record: SHA-256 over the dataset, the fields with their names and masks, the
    /// normalised filter, the key form, the secret's label where one is used, and the view's schema.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// The JSON text of the view's schema.
    #[must_use]
    pub fn view_schema(&self) -> &str {
        &self.0.view_schema
    }

    /// The names in the view of the record key's fields, in the contract's order; empty when the key is a pseudonym.
    #[must_use]
    pub fn key_fields(&self) -> &[String] {
        &self.0.key_fields
    }

    /// What a predicate index can use of its filter; none when the filter must be asked for every record, or there is
    /// none.
    #[must_use]
    pub fn index(&self) -> Option<IndexKey> {
        self.0.index.clone()
    }

    /// Whether it makes pseudonyms or hashes, and so needs a secret to authorise anything.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.0.keyed
    }

    /// Decides whether the recipient may have this record: the permit is the only way to its projection.
    ///
    /// `body` has been walked with the schema of `writer`, into `spans`. None: not in its rows. None as well, since
    /// nothing leaves by default: `in_force` is of a grant with other terms, `writer` is no version this was compiled
    /// for, or a secret is needed and was not given.
    #[must_use]
    pub fn authorise<'a>(
        &'a self,
        in_force: &InForce,
        writer: SchemaId,
        body: &'a [u8],
        spans: &'a Spans,
    ) -> Option<Permit<'a>> {
        let shape = &*self.0;
        if in_force.terms != shape.terms || (shape.keyed && shape.secret.is_none()) {
            return None;
        }
        let (_, plan) = shape.plans.iter().find(|(id, _)| *id == writer)?;
        plan.matches(body, spans).then_some(Permit { shape, plan, body, spans })
    }

    /// Appends the key under which a record is in the view, without the record at hand (for tombstones): the same as
    /// [`Permit::key`]. Appends nothing when it is a pseudonym and no secret was given.
    pub fn view_key(&self, record_key: &[u8], out: &mut Vec<u8>) {
        self.0.put_key(record_key, out);
    }
}

impl Inner {
    fn put_key(&self, record_key: &[u8], out: &mut Vec<u8>) {
        match (self.key, &self.secret) {
            (KeyForm::Clear, _) => out.extend_from_slice(record_key),
            (KeyForm::Pseudonym, Some(secret)) => put_pseudonym(secret, record_key, out),
            (KeyForm::Pseudonym, None) => {}
        }
    }
}

/// Proof that a grant is in force at a marker's clock. It is proof for every shape of the same terms: fields, masks,
/// filter, key form, and the secret where one is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    terms: [u8; 32],
}

impl InForce {
    /// The proof, when `entry` is in force at `clock_ms` (milliseconds since 1970, UTC; a marker's). Costs a parse of
    /// the filter and a hash: make it once per marker, not per record.
    #[must_use]
    pub fn at(entry: &ViewEntry, clock_ms: i64) -> Option<Self> {
        if !entry.in_force(clock_ms) {
            return None;
        }
        let terms = terms::digest(&entry.activation.grant, &entry.activation.secret_label).ok()?;
        Some(Self { terms })
    }
}

/// Leave to show one record to the recipients of one shape; made by [`Shape::authorise`] alone.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    shape: &'a Inner,
    plan: &'a Plan,
    body: &'a [u8],
    spans: &'a Spans,
}

impl Permit<'_> {
    /// Appends the record's Avro body in the view's schema (no wire header). Allocates nothing but room in `out`.
    pub fn project(&self, out: &mut Vec<u8>) {
        self.plan.project(self.body, self.spans, self.shape.secret.as_ref(), out);
    }

    /// Appends the key of the record in the view: as it is, or its pseudonym.
    pub fn key(&self, record_key: &[u8], out: &mut Vec<u8>) {
        self.shape.put_key(record_key, out);
    }
}
