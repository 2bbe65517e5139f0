//! The schema registry, as Confluent's REST API asks for it, over a control set; for Apicurio's Java serdes also the part
//! of Apicurio's own API that they need (`apicurio`). No transport here: a method, a path, a query and a body go in; a
//! status and JSON come out.
//!
//! Source: Confluent's documentation, "Schema Registry API Reference", for paths, bodies and error codes. What differs,
//! and why: schemas come into force through contracts and grants, so that every call that would change something is
//! refused with a reason (403 for a new schema, with the way to propose one; 409 for one that cannot follow those before
//! it; 405 for deletions and settings). A POST of
//! a schema that is released already answers its id, as Confluent's clients expect when they produce.

mod answer;
mod apicurio;
pub mod subjects;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kenh_domain::control::ControlSet;
use kenh_domain::schema::Schema;
use kenh_domain::wire::SchemaId;
use serde_json::{Value, json};

use crate::compatibility;
pub use answer::Answer;
use answer::{Cause, Refusal, flag, query};
use subjects::Subject;

/// The registry of one control set.
pub struct Registry<'a> {
    set: &'a ControlSet,
    subjects: BTreeMap<String, Subject>,
}

impl<'a> Registry<'a> {
    /// Over everything in a control set.
    #[must_use]
    pub fn new(set: &'a ControlSet) -> Self {
        Self { set, subjects: subjects::all(set) }
    }

    /// Shows only the subjects for which `visible` holds, and the schemas they name: to everyone else the others do not
    /// exist.
    #[must_use]
    pub fn visible(mut self, visible: &dyn Fn(&str) -> bool) -> Self {
        self.subjects.retain(|name, _| visible(name));
        self
    }

    /// Answers one request. `path` is the path as sent (percent-encoded), `query` what stood after `?`.
    #[must_use]
    pub fn handle(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(answer::percent_decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["apis", "registry", "v3", parts @ ..] => {
                Answer::apicurio(apicurio::route(self, method, parts, query, body))
            }
            parts => Answer::confluent(self.route(method, parts, query, body)),
        }
    }

    fn route(&self, method: &str, parts: &[&str], raw_query: &str, body: &[u8]) -> Result<Value, Refusal> {
        let deleted = flag(raw_query, "deleted");
        match (method, parts) {
            ("GET", []) => Ok(json!({})),
            ("GET", ["contexts"]) => Ok(json!(["."])),
            ("GET", ["subjects"]) => Ok(self.list(&query(raw_query, "subjectPrefix").unwrap_or_default(), deleted)),
            ("GET", ["subjects", s, "versions"]) => {
                Ok(self.subject(s)?.versions.iter().map(|(version, _)| *version).collect())
            }
            ("GET", ["subjects", s, "versions", v]) => self.version(s, v),
            ("GET", ["subjects", s, "versions", v, "schema"]) => self.raw(self.find(s, v)?.1),
            ("GET", ["subjects", s, "versions", v, "referencedby"]) => self.find(s, v).map(|_| json!([])),
            ("POST", ["subjects", s]) => self.look_up(s, body),
            ("POST", ["subjects", s, "versions"]) => {
                self.register(s, &answer::schema(body)?).map(|(_, id)| json!({ "id": id }))
            }
            ("POST", ["compatibility", "subjects", s, "versions"]) => self.compatible(s, None, raw_query, body),
            ("POST", ["compatibility", "subjects", s, "versions", v]) => self.compatible(s, Some(v), raw_query, body),
            ("GET", ["schemas"]) => self.every(deleted),
            ("GET", ["schemas", "types"]) => Ok(json!(["AVRO"])),
            ("GET", ["schemas", "ids", id]) => Ok(json!({ "schema": self.text(self.id(id)?)? })),
            ("GET", ["schemas", "ids", id, "schema"]) => self.raw(self.id(id)?),
            ("GET", ["schemas", "ids", id, "versions"]) => {
                self.uses(id, |subject, version| json!({ "subject": subject, "version": version }))
            }
            ("GET", ["schemas", "ids", id, "subjects"]) => self.uses(id, |subject, _| json!(subject)),
            ("GET", ["config"]) => Ok(json!({ "compatibilityLevel": compatibility::LEVEL })),
            ("GET", ["config", s]) => self.subject(s).map(|_| json!({ "compatibilityLevel": compatibility::LEVEL })),
            ("GET", ["mode"]) => Ok(json!({ "mode": "READONLY" })),
            ("GET", ["mode", s]) => self.subject(s).map(|_| json!({ "mode": "READONLY" })),
            ("GET" | "POST", _) => Err(Refusal::new(404, 404, "the registry has no such call")),
            ("DELETE", ["subjects", ..]) => {
                let why = "a released schema is never taken back: records written in it stay on the bus (invariant 5)";
                Err(Refusal::new(405, 405, why))
            }
            ("PUT" | "DELETE", ["config" | "mode", ..]) => {
                let why = "compatibility is BACKWARD_TRANSITIVE for every subject and schemas come through `kenh apply`; \
                           neither is set here";
                Err(Refusal::new(405, 405, why))
            }
            _ => Err(Refusal::new(405, 405, "the registry has no such call")),
        }
    }

    fn list(&self, prefix: &str, ended: bool) -> Value {
        let shown = |(name, s): &(&String, &Subject)| (ended || !s.ended) && name.starts_with(prefix);
        self.subjects.iter().filter(shown).map(|(name, _)| name.clone()).collect()
    }

    fn subject(&self, name: &str) -> Result<&Subject, Refusal> {
        self.subjects.get(name).ok_or_else(|| Refusal::new(404, 40401, format!("Subject '{name}' not found.")))
    }

    /// A version of a subject by its number, `latest` or `-1`.
    fn find(&self, subject: &str, version: &str) -> Result<(u32, SchemaId), Refusal> {
        let found = self.subject(subject)?;
        let version = match version {
            "latest" | "-1" => found.versions.last().map(|(version, _)| *version),
            number => number.parse::<u32>().ok().filter(|n| *n >= 1 && i32::try_from(*n).is_ok()),
        };
        let Some(version) = version else {
            let message = "The specified version is not a valid version id. Allowed values are between [1, 2^31-1] and \
                           the string \"latest\"";
            return Err(Refusal::new(422, 42202, message));
        };
        let found = found.versions.iter().find(|(v, _)| *v == version).copied();
        found.ok_or_else(|| Refusal::new(404, 40402, format!("Version {version} not found.")))
    }

    fn version(&self, subject: &str, version: &str) -> Result<Value, Refusal> {
        let (version, id) = self.find(subject, version)?;
        Ok(json!({ "subject": subject, "version": version, "id": id, "schema": self.text(id)? }))
    }

    /// A schema id that some visible subject names.
    fn id(&self, text: &str) -> Result<SchemaId, Refusal> {
        let named = |id: &SchemaId| self.subjects.values().any(|s| s.versions.iter().any(|(_, i)| i == id));
        let id = text.parse().map(SchemaId).ok().filter(named);
        id.ok_or_else(|| Refusal::new(404, 40403, format!("Schema {} not found", answer::short(text))))
    }

    fn text(&self, id: SchemaId) -> Result<&str, Refusal> {
        let found = self.set.schemas.get(&id);
        let missing = || Refusal::new(500, 50001, format!("schema {id} is named and not in the control log"));
        found.map(|document| document.schema.as_str()).ok_or_else(missing)
    }

    fn raw(&self, id: SchemaId) -> Result<Value, Refusal> {
        let broken = |_| Refusal::new(500, 50001, format!("schema {id} in the control log is not JSON"));
        serde_json::from_str(self.text(id)?).map_err(broken)
    }

    fn parsed(&self, id: SchemaId) -> Result<Schema, Refusal> {
        let broken = |_| Refusal::new(500, 50001, format!("schema {id} in the control log cannot be read"));
        Schema::parse(self.text(id)?).map_err(broken)
    }

    fn uses(&self, id: &str, show: impl Fn(&str, u32) -> Value) -> Result<Value, Refusal> {
        let id = self.id(id)?;
        let mut out = Vec::new();
        for (name, subject) in &self.subjects {
            for (version, _) in subject.versions.iter().filter(|(_, i)| *i == id) {
                out.push(show(name, *version));
            }
        }
        Ok(Value::Array(out))
    }

    fn every(&self, ended: bool) -> Result<Value, Refusal> {
        let mut out = Vec::new();
        for (name, subject) in self.subjects.iter().filter(|(_, s)| ended || !s.ended) {
            for (version, id) in &subject.versions {
                let schema = self.text(*id)?;
                out.push(json!({ "subject": name, "version": version, "id": id, "schema": schema }));
            }
        }
        Ok(Value::Array(out))
    }

    /// The newest version of a subject that is the same to whoever reads and writes as `asked`.
    fn same(&self, subject: &Subject, asked: &Schema) -> Result<Option<(u32, SchemaId)>, Refusal> {
        for (version, id) in subject.versions.iter().rev() {
            if compatibility::alike(&self.parsed(*id)?, asked) {
                return Ok(Some((*version, *id)));
            }
        }
        Ok(None)
    }

    fn look_up(&self, name: &str, body: &[u8]) -> Result<Value, Refusal> {
        let subject = self.subject(name)?;
        let asked = answer::schema(body)?;
        let (version, id) = self.same(subject, &asked)?.ok_or_else(|| Refusal::new(404, 40403, "Schema not found"))?;
        Ok(json!({ "subject": name, "version": version, "id": id, "schema": self.text(id)? }))
    }

    /// Version and id of a schema that is released.
    fn register(&self, name: &str, asked: &Schema) -> Result<(u32, SchemaId), Refusal> {
        if let Some(subject) = self.subjects.get(name) {
            if let Some(known) = self.same(subject, asked)? {
                return Ok(known);
            }
            // What could not be released either way is told so: a proposal of it would be refused.
            let causes = self.causes(&subject.versions, asked)?;
            if !causes.is_empty() {
                return Err(Refusal::incompatible(name, causes));
            }
        }
        Err(Refusal::new(
            403,
            40301,
            format!(
                "this schema is not released under subject '{}', and the registry releases none by itself. To propose \
                 it, put it beside the dataset's contract.yaml as the next vN.avsc, describe its new fields there, raise \
                 the contract's version, and run `kenh schema propose DATASET`; when it is approved, `kenh apply` \
                 releases it.",
                answer::short(name)
            ),
        ))
    }

    /// Why a schema cannot read what was written in these versions.
    fn causes(&self, versions: &[(u32, SchemaId)], asked: &Schema) -> Result<Vec<Cause>, Refusal> {
        let mut out = Vec::new();
        for (version, id) in versions {
            for reason in compatibility::reasons(&self.parsed(*id)?, asked) {
                let description = format!("version {version}: {reason}");
                out.push(Cause { field: reason.field, description });
            }
        }
        Ok(out)
    }

    fn compatible(&self, name: &str, version: Option<&str>, raw_query: &str, body: &[u8]) -> Result<Value, Refusal> {
        let against = match version {
            Some(version) => vec![self.find(name, version)?],
            None => self.subject(name)?.versions.clone(),
        };
        let asked = answer::schema(body)?;
        let causes = self.causes(&against, &asked)?;
        let mut answer = json!({ "is_compatible": causes.is_empty() });
        if flag(raw_query, "verbose") {
            answer["messages"] = causes.into_iter().map(|c| c.description).collect();
        }
        Ok(answer)
    }
}
