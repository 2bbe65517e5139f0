//! Secrets: one master per node, everything else derived from it by name.
//!
//! Deriving (HMAC-SHA-256 of a label, RFC 2104) keeps the node's secret state to 32 bytes in one file, which a backup
//! must hold and which nothing on the log reveals.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// 32 secret bytes. Never shown by `Debug`, never serialised by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes 32 bytes from a source of randomness or a key file.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret of that name: HMAC-SHA-256(self, label).
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        Self(self.mac(label.as_bytes()))
    }

    /// HMAC-SHA-256 of `message` under this secret.
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length is valid");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// The bytes, for the one who must hand them on (a view card to its agency) or key another function.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_rfc_4231_test_case_2_padded_to_our_key_length() {
        // A key shorter than the block is zero-padded by HMAC, so "Jefe" padded to 32 bytes is the same key.
        let mut key = [0u8; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = Secret::new(key).mac(b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(mac[28..], [0x64, 0xec, 0x38, 0x43]);
    }

    #[test]
    fn derived_secrets_differ_and_debug_shows_nothing() {
        let master = Secret::new([7; 32]);
        assert_ne!(master.derive("a"), master.derive("b"));
        assert_eq!(format!("{master:?}"), "Secret(…)");
    }
}
