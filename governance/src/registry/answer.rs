//! What goes into and comes out of the registry: bodies, error codes, percent-encoding.

use kenh_domain::schema::Schema;
use serde::Deserialize;
use serde_json::{Value, json};

/// The media type of every answer.
pub const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON; for an error `error_code` and `message`.
    pub body: Value,
}

/// A request that is not done.
pub struct Refusal {
    status: u16,
    code: u32,
    message: String,
}

impl Refusal {
    pub fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = json!({ "error_code": refusal.code, "message": refusal.message });
        Self { status: refusal.status, body }
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
    let invalid = |message: String| Refusal::new(422, 42201, format!("Invalid schema: {message}"));
    let sent: Sent =
        serde_json::from_slice(body).map_err(|e| Refusal::new(422, 42201, format!("Invalid body: {e}")))?;
    if sent.kind.is_some_and(|kind| kind != "AVRO") {
        return Err(invalid("the bus carries Avro; schemaType is AVRO".into()));
    }
    if !sent.references.is_empty() {
        return Err(invalid("references are not taken; put the named types into the schema".into()));
    }
    Schema::parse(&sent.schema).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
        invalid(format!("{error}{cause}"))
    })
}

/// A text of a request, cut to what a message may repeat.
pub fn short(text: &str) -> String {
    text.chars().take(249).collect()
}

/// One value of a query string.
pub fn query(raw: &str, key: &str) -> Option<String> {
    raw.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| percent_decode(v))
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
