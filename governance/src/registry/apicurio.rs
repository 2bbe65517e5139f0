//! The part of Apicurio Registry's core API, version 3, that its Java serdes and its Java client need to register, look up
//! and compare schemas: they speak no other (their server alone offers Confluent's).
//!
//! An artifact of group `default` is a subject. Content id and global id are both the schema id, so that records mean the
//! same whichever of the two a serde was told to use. Owners and times are left out: the registry does not know them.
//!
//! Source: Apicurio Registry's OpenAPI document of 3.1.7; answers were compared with those of 3.3.3.

use kenh_domain::wire::SchemaId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal, flag, query};
use super::{Registry, Schema};

/// A schema that is sent to be registered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateArtifact {
    artifact_id: Option<String>,
    artifact_type: Option<String>,
    first_version: Option<CreateVersion>,
}

#[derive(Deserialize)]
struct CreateVersion {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    content: String,
    #[serde(default)]
    references: Vec<Value>,
}

impl CreateVersion {
    fn schema(&self) -> Result<Schema, Refusal> {
        answer::avro(&self.content.content, &self.content.references)
    }
}

/// Answers what stands behind `/apis/registry/v3`, in parts that are percent-decoded.
pub fn route(
    registry: &Registry<'_>,
    method: &str,
    parts: &[&str],
    raw_query: &str,
    body: &[u8],
) -> Result<Value, Refusal> {
    let one = |s: &str, v: &str| registry.find(s, v.strip_prefix("branch=").unwrap_or(v));
    match (method, parts) {
        ("GET", ["ids", "contentIds" | "globalIds", id]) => registry.raw(registry.id(id)?),
        ("GET", ["ids", "contentIds" | "globalIds", id, "references"]) => registry.id(id).map(|_| json!([])),
        ("GET", ["groups", "default", "artifacts", s, "versions"]) => Ok(results(s, &registry.subject(s)?.versions)),
        ("GET", ["groups", "default", "artifacts", s, "versions", v]) => Ok(metadata(s, one(s, v)?)),
        ("GET", ["groups", "default", "artifacts", s, "versions", v, "content"]) => registry.raw(one(s, v)?.1),
        ("GET", ["groups", "default", "artifacts", s, "versions", v, "references"]) => one(s, v).map(|_| json!([])),
        ("POST", ["search", "versions"]) => search(registry, raw_query, body),
        ("POST", ["groups", "default", "artifacts"]) => create(registry, body),
        ("POST", ["groups", "default", "artifacts", s, "versions"]) => {
            let asked = answer::json_body::<CreateVersion>(body)?.schema()?;
            if flag(raw_query, "dryRun") { check(registry, s, &asked) } else { register(registry, s, &asked) }
        }
        _ => Err(Refusal::new(404, 404, "the registry has no such call of Apicurio's API: see docs/http.md")),
    }
}

fn metadata(subject: &str, (version, id): (u32, SchemaId)) -> Value {
    json!({
        "groupId": "default", "artifactId": subject, "artifactType": "AVRO", "state": "ENABLED",
        "version": version.to_string(), "globalId": id, "contentId": id,
    })
}

fn results(subject: &str, found: &[(u32, SchemaId)]) -> Value {
    let versions: Vec<Value> = found.iter().map(|one| metadata(subject, *one)).collect();
    json!({ "count": versions.len(), "versions": versions })
}

fn register(registry: &Registry<'_>, subject: &str, asked: &Schema) -> Result<Value, Refusal> {
    registry.register(subject, asked).map(|found| metadata(subject, found))
}

fn create(registry: &Registry<'_>, body: &[u8]) -> Result<Value, Refusal> {
    let sent: CreateArtifact = answer::json_body(body)?;
    if sent.artifact_type.is_some_and(|kind| kind != "AVRO") {
        return Err(answer::invalid("the bus carries Avro; artifactType is AVRO"));
    }
    let (Some(subject), Some(first)) = (sent.artifact_id, sent.first_version) else {
        return Err(answer::invalid("artifactId and firstVersion are wanted"));
    };
    let version = register(registry, &subject, &first.schema()?)?;
    let artifact = json!({ "groupId": "default", "artifactId": subject, "artifactType": "AVRO" });
    Ok(json!({ "artifact": artifact, "version": version }))
}

/// What `dryRun` asks: whether the schema could be the next version. One that is released already is what it is; another
/// has no id yet.
fn check(registry: &Registry<'_>, name: &str, asked: &Schema) -> Result<Value, Refusal> {
    let subject = registry.subject(name)?;
    if let Some(known) = registry.same(subject, asked)? {
        return Ok(metadata(name, known));
    }
    let causes = registry.causes(&subject.versions, asked)?;
    if !causes.is_empty() {
        return Err(Refusal::incompatible(name, causes));
    }
    let next = subject.versions.last().map_or(1, |(version, _)| version + 1);
    Ok(json!({ "groupId": "default", "artifactId": name, "artifactType": "AVRO", "version": next.to_string() }))
}

/// The version of a subject that says what the body says; a serde asks so that registers nothing by itself.
fn search(registry: &Registry<'_>, raw_query: &str, body: &[u8]) -> Result<Value, Refusal> {
    let name = query(raw_query, "artifactId").ok_or_else(|| answer::invalid("artifactId is wanted in the query"))?;
    let text = std::str::from_utf8(body).map_err(|_| answer::invalid("it is not UTF-8"))?;
    let asked = answer::avro(text, &[])?;
    let found = match registry.subjects.get(&name) {
        Some(subject) if query(raw_query, "groupId").is_none_or(|group| group == "default") => {
            registry.same(subject, &asked)?
        }
        _ => None,
    };
    Ok(results(&name, found.as_slice()))
}
