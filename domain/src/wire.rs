//! The Confluent wire format: byte 0, the schema id as 4 bytes big-endian, the Avro body.
//!
//! Source: Confluent's documentation of Schema Registry, "Wire format".

use serde::{Deserialize, Serialize};
use std::fmt;

/// A schema id, as the registry gives it; unique on one bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes before the Avro body.
pub const HEADER_BYTES: usize = 5;

/// A value that is not in the Confluent wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer than 5 bytes.
    #[error("a value of {0} bytes is too short for the wire format (byte 0, 4-byte schema id, body)")]
    Short(usize),
    /// The first byte is not 0.
    #[error("the first byte is {0}, not 0: the value is not in the Confluent wire format")]
    Magic(u8),
}

/// Splits a value into its schema id and its Avro body.
///
/// # Errors
/// [`WireError`] when the value has no such header.
pub fn split(value: &[u8]) -> Result<(SchemaId, &[u8]), WireError> {
    match value {
        [0, a, b, c, d, body @ ..] => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), body)),
        [magic, _, _, _, _, ..] => Err(WireError::Magic(*magic)),
        _ => Err(WireError::Short(value.len())),
    }
}

/// Appends the header for `id` to `out`; the body follows.
pub fn put_header(id: SchemaId, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_a_foreign_value_is_refused() {
        let mut value = Vec::new();
        put_header(SchemaId(0x0102_0304), &mut value);
        assert_eq!(value, [0, 1, 2, 3, 4]);
        value.push(7);
        assert_eq!(split(&value), Ok((SchemaId(0x0102_0304), &[7u8][..])));
        assert_eq!(split(b"{}"), Err(WireError::Short(2)));
        assert_eq!(split(b"{\"a\":1}"), Err(WireError::Magic(b'{')));
    }
}
