//! The terms of a grant that decide bytes, as one digest over their syntax.
//!
//! What they mean depends on schemas too; the terms do not, so that they can be compared without compiling.

use sha2::{Digest, Sha256};

use crate::filter::{self, FilterError};
use crate::grant::{Grant, KeyForm, Mask};

/// Whether it makes pseudonyms or hashes.
pub(super) fn keyed(grant: &Grant) -> bool {
    grant.key == KeyForm::Pseudonym || grant.fields.iter().any(|f| f.mask == Some(Mask::Hash))
}

/// The digest: SHA-256 over the JSON of dataset, fields with names and masks, normalised filter, key form, and the
/// secret's label where one is used. Recipient, purpose, law and times are not in it.
pub(crate) fn digest(grant: &Grant, secret_label: &str) -> Result<[u8; 32], FilterError> {
    let fields: Vec<_> = grant.fields.iter().map(|f| (&f.path, f.view_name(), &f.mask)).collect();
    let filter = grant.filter.as_deref().map(filter::normalise).transpose()?;
    let label = keyed(grant).then_some(secret_label);
    let terms = serde_json::json!(["kenh.shape.1", grant.dataset, fields, filter, grant.key, label]);
    Ok(Sha256::digest(terms.to_string().as_bytes()).into())
}
