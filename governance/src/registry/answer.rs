//! What goes into and comes out of the registry: bodies, error codes, percent-encoding.

use kenh_domain::schema::Schema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The media type of Confluent's API.
const CONFLUENT: &str = "application/vnd.schemaregistry.v1+json";

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// JSON; for an error `error_code` and `message`, or what Apicurio's API calls problem details.
    pub body: Value,
}

impl Answer {
    /// What Confluent's API answers.
    pub fn confluent(done: Result<Value, Refusal>) -> Self {
        let (status, body) = match done {
            Ok(body) => (200, body),
            Err(Refusal { status, code, message, .. }) => (status, json!({ "error_code": code, "message": message })),
        };
        Self { status, content_type: CONFLUENT, body }
    }

    /// What Apicurio's API answers: RFC 9457, with the causes of a broken rule.
    pub fn apicurio(done: Result<Value, Refusal>) -> Self {
        let (status, body) = match done {
            Ok(body) => (200, body),
            Err(Refusal { status, message, causes, .. }) => {
                let mut body = json!({ "status": status, "title": message, "detail": message });
                if !causes.is_empty() {
                    let cause = |c: &Cause| json!({ "description": c.description, "context": c.field });
                    body["name"] = "RuleViolationException".into();
                    body["causes"] = causes.iter().map(cause).collect();
                }
                (status, body)
            }
        };
        Self { status, content_type: "application/json", body }
    }
}

/// Why one version cannot be followed.
pub struct Cause {
    /// Dotted path of the field; empty for the record itself.
    pub field: String,
    /// Version, rule and field in words.
    pub description: String,
}

/// A request that is not done.
pub struct Refusal {
    status: u16,
    /// Confluent's.
    code: u32,
    message: String,
    causes: Vec<Cause>,
}

impl Refusal {
    pub fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), causes: Vec::new() }
    }

    /// A schema that cannot follow those before it.
    pub fn incompatible(subject: &str, causes: Vec<Cause>) -> Self {
        let reasons: Vec<&str> = causes.iter().map(|c| c.description.as_str()).collect();
        let message = format!(
            "Schema being registered is incompatible with an earlier schema for subject \"{}\": {}",
            short(subject),
            reasons.join("; ")
        );
        Self { causes, ..Self::new(409, 409, message) }
    }
}

/// A schema as sent: Confluent's body, of which references and other types than Avro are refused.
#[derive(Deserialize)]
struct Sent {
    schema: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Value>,
}

/// The schema in a request's body.
pub fn schema(body: &[u8]) -> Result<Schema, Refusal> {
    let sent: Sent = json_body(body)?;
    if sent.kind.is_some_and(|kind| kind != "AVRO") {
        return Err(invalid("the bus carries Avro; schemaType is AVRO"));
    }
    avro(&sent.schema, &sent.references)
}

/// A body that is JSON of the form that is asked for.
pub fn json_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| Refusal::new(422, 42201, format!("Invalid body: {e}")))
}

/// A schema by its text.
pub fn avro(text: &str, references: &[Value]) -> Result<Schema, Refusal> {
    if !references.is_empty() {
        return Err(invalid("references are not taken; put the named types into the schema"));
    }
    Schema::parse(text).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
        invalid(&format!("{error}{cause}"))
    })
}

pub fn invalid(why: &str) -> Refusal {
    Refusal::new(422, 42201, format!("Invalid schema: {why}"))
}

/// A text of a request, cut to what a message may repeat.
pub fn short(text: &str) -> String {
    text.chars().take(249).collect()
}

/// One value of a query string.
pub fn query(raw: &str, key: &str) -> Option<String> {
    raw.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| percent_decode(v))
}

/// Whether a query says that something is so. Confluent's client for Python says `True`.
pub fn flag(raw: &str, key: &str) -> bool {
    query(raw, key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Percent-decoding (RFC 3986, section 2.1); what is no escape, or no UTF-8 after it, stays or becomes U+FFFD.
pub fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let hex = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                #[expect(clippy::cast_possible_truncation, reason = "two hexadecimal digits are a byte")]
                out.push((high * 16 + low) as u8);
                bytes.nth(1);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
