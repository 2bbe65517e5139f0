//! From a grant to a shape: every check that a grant must pass, then a plan for every released schema.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::plan::{Plan, step};
use super::{Inner, Shape, ShapeError, mask, terms, view};
use crate::contract::Contract;
use crate::filter::Filter;
use crate::grant::{Grant, GrantedField, KeyForm, Mask};
use crate::schema::versions::{self, Source};
use crate::schema::{Path, Schema, Type};
use crate::secret::Secret;
use crate::wire::SchemaId;

/// The data element of a personal ID (see [`FieldRules`](crate::contract::FieldRules)).
const PERSONAL_ID: &str = "personal-id";

impl Shape {
    /// Compiles `grant` for every released version of its dataset's schema.
    ///
    /// - `schemas`: id and schema of each released version, oldest first, as in `contract.schemas`;
    /// - `secret`: the node's master secret, from which the secret of `secret_label` is derived for pseudonyms and
    ///   hashes. Without it a grant that needs one is checked and has a schema and a digest, but authorises nothing.
    /// - `fixed`: the view's schema as it was registered at activation; none: it is made from the newest version, as
    ///   activation does. See [this module](super).
    ///
    /// # Errors
    /// [`ShapeError`] names the grant, the field, and what to do.
    pub fn compile(
        contract: &Contract,
        schemas: &[(SchemaId, Schema)],
        grant: &Grant,
        secret: Option<&Secret>,
        secret_label: &str,
        fixed: Option<&str>,
    ) -> Result<Self, ShapeError> {
        let compiler = Compiler { contract, schemas, grant };
        let newest = compiler.newest()?;
        let paths = compiler.fields(newest, fixed.is_some())?;
        compiler.masks(&paths)?;
        let filters = compiler.filters(newest)?;
        let key_fields = compiler.key()?;
        let types = compiler.view(&paths, fixed)?;

        let keyed = terms::keyed(grant);
        let secret = if keyed { secret.map(|master| master.derive(secret_label)) } else { None };
        let mut plans = Vec::with_capacity(schemas.len());
        for (i, (id, schema)) in schemas.iter().enumerate() {
            let filter = filters.get(i).map(|(_, filter)| filter.clone());
            plans.push((*id, compiler.plan(*id, schema, filter, &types, secret.as_ref())?));
        }
        let names: Vec<String> = grant.fields.iter().map(GrantedField::view_name).collect();
        let view_schema = view::render(names.iter().map(String::as_str).zip(&types));
        let terms = terms::digest(grant, secret_label).map_err(|source| compiler.filter_error(source))?;
        let digest = Sha256::new().chain_update(terms).chain_update(view_schema.as_bytes()).finalize().into();
        let index = plans.last().and_then(|(_, plan)| plan.filter()?.index());
        Ok(Self(Arc::new(Inner {
            dataset: grant.dataset.clone(),
            terms,
            digest,
            view_schema,
            key: grant.key,
            key_fields,
            index,
            plans,
            keyed,
            secret,
        })))
    }
}

struct Compiler<'a> {
    contract: &'a Contract,
    schemas: &'a [(SchemaId, Schema)],
    grant: &'a Grant,
}

impl<'a> Compiler<'a> {
    fn newest(&self) -> Result<&'a Schema, ShapeError> {
        let grant = self.grant.id.clone();
        if self.grant.dataset != self.contract.dataset {
            let (dataset, contract) = (self.grant.dataset.clone(), self.contract.dataset.clone());
            return Err(ShapeError::Dataset { grant, dataset, contract });
        }
        if self.grant.fields.is_empty() {
            return Err(ShapeError::NoFields { grant });
        }
        self.schemas.last().map(|(_, schema)| schema).ok_or(ShapeError::NoSchema { grant })
    }

    /// Each granted field as the newest schema has it. Where the view's schema is fixed, as the newest that still has
    /// it: a released version may have taken it away since.
    fn fields(&self, newest: &Schema, fixed: bool) -> Result<Vec<Path>, ShapeError> {
        let mut names = HashSet::new();
        let mut paths = Vec::with_capacity(self.grant.fields.len());
        for granted in &self.grant.fields {
            let (grant, field, name) = (self.grant.id.clone(), granted.path.clone(), granted.view_name());
            let before = || self.schemas.iter().rev().find_map(|(_, schema)| schema.path(&field));
            let Some(path) = newest.path(&field).or_else(|| if fixed { before() } else { None }) else {
                let hint = match newest.nearest(&field) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("fields are {}", newest.paths().join(", ")),
                };
                return Err(ShapeError::UnknownField { grant, field, hint });
            };
            let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !letters || name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
                return Err(ShapeError::BadName { grant, field, name });
            }
            if !names.insert(name.clone()) {
                return Err(ShapeError::DuplicateName { grant, field, name });
            }
            paths.push(path);
        }
        Ok(paths)
    }

    fn masks(&self, paths: &[Path]) -> Result<(), ShapeError> {
        for (granted, path) in self.grant.fields.iter().zip(paths) {
            let Some(mask) = &granted.mask else { continue };
            let (grant, field) = (self.grant.id.clone(), granted.path.clone());
            let element = self.contract.fields.get(&field).and_then(|rules| rules.element.as_deref());
            if matches!(mask, Mask::Last(_)) && element == Some(PERSONAL_ID) {
                return Err(ShapeError::LastOfPersonalId { grant, field });
            }
            mask::fits(mask, path.ty()).map_err(|hint| {
                let kind = path.ty().inner().kind();
                ShapeError::Mask { grant, field, kind, mask: mask::name(mask), hint }
            })?;
        }
        Ok(())
    }

    /// The filter for each version; none when there is no filter.
    fn filters(&self, newest: &Schema) -> Result<Vec<(SchemaId, Filter)>, ShapeError> {
        let Some(text) = &self.grant.filter else { return Ok(Vec::new()) };
        let filter = Filter::compile(text, newest).map_err(|source| self.filter_error(source))?;
        for field in filter.paths() {
            let mut granting = self.grant.fields.iter().filter(|granted| holds(&granted.path, &field)).peekable();
            let grant = self.grant.id.clone();
            if granting.peek().is_none() {
                return Err(ShapeError::FilterNotGranted { grant, field });
            }
            if granting.all(|granted| granted.mask.is_some()) {
                return Err(ShapeError::FilterMasked { grant, field });
            }
        }
        Filter::compile_versions(text, self.schemas).map_err(|source| self.filter_error(source))
    }

    fn filter_error(&self, source: crate::filter::FilterError) -> ShapeError {
        ShapeError::Filter { grant: self.grant.id.clone(), source }
    }

    /// A clear key shows its fields; each must be a field of the view, so that a subscriber finds the key in the row.
    fn key(&self) -> Result<Vec<String>, ShapeError> {
        if self.grant.key == KeyForm::Pseudonym {
            return Ok(Vec::new());
        }
        let name = |field: &String| {
            let clear = |granted: &&GrantedField| granted.path == *field && granted.mask.is_none();
            let granted = self.grant.fields.iter().find(clear);
            let missing = || ShapeError::KeyNotGranted { grant: self.grant.id.clone(), field: field.clone() };
            granted.map(GrantedField::view_name).ok_or_else(missing)
        };
        self.contract.key.iter().map(name).collect()
    }

    /// The types of the view's fields.
    fn view(&self, paths: &[Path], fixed: Option<&str>) -> Result<Vec<Type>, ShapeError> {
        let view_error = |source| ShapeError::View { grant: self.grant.id.clone(), source };
        let names: Vec<String> = self.grant.fields.iter().map(GrantedField::view_name).collect();
        let text = match fixed {
            Some(text) => text.to_owned(),
            None => {
                let types: Vec<Type> = self.grant.fields.iter().zip(paths).map(|(g, p)| output(g, p)).collect();
                view::render(names.iter().map(String::as_str).zip(&types))
            }
        };
        // Read back, so that a view is never given a schema which nobody could parse.
        let schema = Schema::parse(&text).map_err(view_error)?;
        let fields = schema.fields();
        let differs = (0..names.len().max(fields.len())).find(|&i| names.get(i) != fields.get(i).map(|f| &f.name));
        if let Some(i) = differs {
            let field = names.get(i).or(fields.get(i).map(|f| &f.name)).cloned().unwrap_or_default();
            return Err(ShapeError::Fixed { grant: self.grant.id.clone(), field });
        }
        Ok(fields.iter().map(|field| field.ty.clone()).collect())
    }

    fn plan(
        &self,
        version: SchemaId,
        writer: &Schema,
        filter: Option<Filter>,
        types: &[Type],
        secret: Option<&Secret>,
    ) -> Result<Plan, ShapeError> {
        let mut steps = Vec::with_capacity(types.len());
        for (granted, ty) in self.grant.fields.iter().zip(types) {
            let cannot = |why| {
                let (grant, field) = (self.grant.id.clone(), granted.path.clone());
                ShapeError::CannotEmit { grant, version, field, why }
            };
            let known: Vec<Path> = self.schemas.iter().filter_map(|(_, schema)| schema.path(&granted.path)).collect();
            let origins: Vec<&Type> = known.iter().map(Path::ty).collect();
            let source: Source = versions::source(self.schemas, writer, &granted.path)
                .ok_or_else(|| cannot("it does not have the field, which has neither default nor null"))?;
            steps.push(step(&source, ty, granted.mask.as_ref(), &origins, secret).map_err(cannot)?);
        }
        Ok(Plan::new(filter, steps))
    }
}

/// The view's type of a granted field, when it is activated.
fn output(granted: &GrantedField, path: &Path) -> Type {
    match &granted.mask {
        Some(mask) => mask::output(mask, path.ty(), path.nullable()),
        None if path.nullable() => view::nullable(path.ty()),
        None => path.ty().clone(),
    }
}

/// Whether a grant of `granted` holds `field`: the same, or a record around it.
fn holds(granted: &str, field: &str) -> bool {
    field.strip_prefix(granted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
