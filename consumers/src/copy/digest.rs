//! The digest of a copy ([`kenh_domain::digest`]), from one state of its store.

use std::ops::ControlFlow;

use kenh_domain::digest::SetDigest;
use kenh_domain::secret::Secret;

use crate::store::{Snapshot, StoreError};

/// The digest of all rows of a snapshot, under the secret of its card.
///
/// # Errors
/// [`StoreError`]; `Damaged` when the card's secret is none.
pub fn of(snapshot: &dyn Snapshot) -> Result<SetDigest, StoreError> {
    let secret = secret(&snapshot.info().card.digest_secret).ok_or(StoreError::Damaged { what: "a digest secret" })?;
    let mut digest = SetDigest::new(&secret);
    snapshot.scan(None, &mut |key, value| {
        digest.add(key, value);
        ControlFlow::Continue(())
    })?;
    Ok(digest)
}

/// 64 hexadecimal digits.
fn secret(hex: &str) -> Option<Secret> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(Secret::new(bytes))
}
