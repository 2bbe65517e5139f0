//! A grant: which rows and fields of a dataset one agency may receive, and on what basis.

use serde::{Deserialize, Serialize};

use crate::names::{Agency, Dataset, GrantId, Principal, View};

/// A grant as its document says, checked for form (that its fields exist is checked when it is compiled, see
/// [`crate::shape`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Grant {
    /// Its id, never used again.
    pub id: GrantId,
    /// Who receives.
    pub recipient: Agency,
    /// Through which of its systems: who may read the view's topic.
    pub systems: Vec<Principal>,
    /// Of which dataset.
    pub dataset: Dataset,
    /// Under which name.
    #[serde(default = "View::main")]
    pub view: View,
    /// For what.
    pub purpose: String,
    /// Articles of law it rests on.
    pub legal_basis: Vec<String>,
    /// The fields, in the order of the view's schema; at least one.
    pub fields: Vec<GrantedField>,
    /// The row filter; none means all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How the record key is written.
    #[serde(default)]
    pub key: KeyForm,
    /// How long it holds from its activation, as an ISO 8601 duration of whole years, months or days (`P12M`), to the
    /// end of the last day.
    pub duration: String,
    /// The template whose bounds it keeps to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Given in an emergency: one signature, at most 72 hours, reviewed afterwards.
    #[serde(default, skip_serializing_if = "is_false")]
    pub emergency: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Grant {
    /// The label under which pseudonyms and hashes are derived for this recipient and purpose: no other recipient's, so
    /// that two of them cannot match theirs. `number` rises when a secret is replaced, which makes a new edition.
    #[must_use]
    pub fn secret_label(&self, number: u32) -> String {
        format!("pseudonym/{}/{}/{number}", self.recipient, self.purpose)
    }
}

/// A field that a grant gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedField {
    /// Dotted path in the record. A path into a nested record becomes a field of its own.
    pub path: String,
    /// Its name in the view; by default the path with `_` for dots.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is done to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

impl GrantedField {
    /// Its name in the view.
    #[must_use]
    pub fn view_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.path.replace('.', "_"))
    }
}

/// What a mask makes of a value. Output types: `Null` keeps the type, made nullable; `Constant` and `Last` are text
/// (nullable where the field is); `Year` is an int (nullable where the field is); `Hash` is text (nullable likewise).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Mask {
    /// Always null.
    Null,
    /// Always this text.
    Constant(String),
    /// The last N characters of a text. Not for a personal ID.
    Last(u32),
    /// The year of a date.
    Year,
    /// Base64url of HMAC-SHA-256 of the text under the recipient's secret, cut to 128 bits.
    Hash,
}

/// How the record key is written in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// As it is; all its fields must then be granted unmasked.
    #[default]
    Clear,
    /// A pseudonym, under a secret per recipient and purpose.
    Pseudonym,
}

/// Why a grant has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndReason {
    /// Its document says `state: ended`.
    Ended,
    /// It was revoked.
    Revoked,
    /// Another edition or grant took its place.
    Superseded,
    /// Its time ran out.
    Expired,
    /// Suspended: the grant stands and gives nothing. Resumed, it goes on in a next edition, which is filled anew.
    Suspended,
    /// An article that it rested on is no longer in force.
    Law,
}
