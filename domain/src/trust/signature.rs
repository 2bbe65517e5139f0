//! Signatures: Ed25519 (RFC 8032) over canonical JSON (RFC 8785).
//!
//! Signed is the text `kenh control event v1`, a line feed, and the canonical form of
//! `{"bus":…,"event":…,"expiresMs":…,"nonce":…}`. The event is taken as it stands in the record, field by field, not as
//! this release understands it. Verification is strict: no other encoding of a signature, no weak key.

use std::fmt;

use ed25519_dalek::{Signature as Ed25519, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Who;
use crate::names::Person;

/// What every signed text begins with, so that a key that signs other things, too, never signs an event by accident.
const CONTEXT: &str = "kenh control event v1\n";

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $type:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(pub [u8; $len]);

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || format!("not {} lower-case hexadecimal digits", $len * 2);
                let digit = |c: u8| match c {
                    b'0'..=b'9' => Ok(c - b'0'),
                    b'a'..=b'f' => Ok(c - b'a' + 10),
                    _ => Err(wrong()),
                };
                let text = text.as_bytes();
                if text.len() != $len * 2 {
                    return Err(wrong());
                }
                let mut bytes = [0; $len];
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = digit(pair[0])? << 4 | digit(pair[1])?;
                }
                Ok(Self(bytes))
            }
        }

        impl From<$type> for String {
            fn from(bytes: $type) -> String {
                bytes.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

hex_bytes! {
    /// A public key: 32 bytes, in hexadecimal.
    PublicKey, 32
}
hex_bytes! {
    /// Chosen at random by the signer, so that each signature counts once.
    Nonce, 16
}
hex_bytes! {
    /// A signature as RFC 8032 encodes it: 64 bytes, in hexadecimal.
    SignatureBytes, 64
}

impl PublicKey {
    /// Whether a signature can be checked against it: a point of the curve, and none of the few weak ones, for which
    /// anybody could sign.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

/// A signature of a control event, as the record carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Signature {
    /// Who; none is the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// The key it was made with.
    pub key: PublicKey,
    /// Counts once.
    pub nonce: Nonce,
    /// Until when the event may be appended: milliseconds since 1970 (UTC), exclusive.
    pub expires_ms: i64,
    /// The signature.
    pub signature: SignatureBytes,
}

impl Signature {
    /// Who signed.
    #[must_use]
    pub fn who(&self) -> Who {
        self.person.clone().map_or(Who::Root, Who::Person)
    }

    /// Whether it is a signature of `event` on the bus with this genesis digest. Whether the key is anybody's, and in
    /// force, is another question.
    #[must_use]
    pub fn fits(&self, bus: &[u8; 32], event: &Value) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.key.0) else { return false };
        let signature = Ed25519::from_bytes(&self.signature.0);
        let Some(text) = signed_text(bus, event, self.nonce, self.expires_ms) else { return false };
        key.verify_strict(&text, &signature).is_ok()
    }
}

/// What is signed; none where the event has no canonical form (a number beyond what JSON carries).
#[must_use]
pub fn signed_text(bus: &[u8; 32], event: &Value, nonce: Nonce, expires_ms: i64) -> Option<Vec<u8>> {
    let bus: String = bus.iter().map(|b| format!("{b:02x}")).collect();
    let signed = json!({ "bus": bus, "event": event, "expiresMs": expires_ms, "nonce": nonce.to_string() });
    let mut text = CONTEXT.as_bytes().to_vec();
    text.extend(canonical(&signed)?);
    Some(text)
}

/// The canonical form (RFC 8785).
#[must_use]
pub fn canonical(value: &Value) -> Option<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).ok()
}
