//! A grant: which rows and fields of a dataset one agency may receive, and on what basis.

use serde::{Deserialize, Serialize};

use crate::law::Day;
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
    /// How long it holds: in its document either a `duration` or the last day, `ends`.
    // Flattened, a document with a duration is written as it was before there were dates: signatures are over its bytes.
    #[serde(flatten)]
    pub duration: Term,
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

/// How long a grant holds, as it is written: in a document one of two keys, never both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Term {
    /// From its activation, as an ISO 8601 duration of whole years, months or days (`P12M`), to the end of the last day.
    /// Not checked for form.
    Duration(String),
    /// To the end of this day, whenever it is activated.
    Ends(Day),
}

impl From<&str> for Term {
    fn from(duration: &str) -> Self {
        Self::Duration(duration.to_owned())
    }
}

impl std::fmt::Display for Term {
    /// `P12M`, or `until 2027-03-31`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Duration(duration) => f.write_str(duration),
            Self::Ends(day) => write!(f, "until {day}"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A document as it stands in logs and under signatures, with `term` in the place of its duration.
    fn document(term: &str) -> String {
        let head =
            r#"{"id":"g","recipient":"B","systems":["b-portal"],"dataset":"thu","view":"main","purpose":"To try","#;
        let rest = r#""legalBasis":["A law"],"fields":[{"path":"Ma"}],"filter":"Tinh == '79'","key":"clear","#;
        format!(r#"{head}{rest}{term}"template":"t","emergency":true}}"#)
    }

    #[test]
    fn a_document_is_written_byte_for_byte_as_it_was_read() {
        for (term, read) in [
            (r#""duration":"P12M","#, Term::from("P12M")),
            // What cannot be read as a duration stands as it was signed; planning and reviews say what is wrong with it.
            (r#""duration":"12 months","#, Term::from("12 months")),
            (r#""ends":"2027-03-31","#, Term::Ends("2027-03-31".parse().unwrap())),
        ] {
            let text = document(term);
            let grant: Grant = serde_json::from_str(&text).unwrap();
            assert_eq!(grant.duration, read);
            assert_eq!(serde_json::to_string(&grant).unwrap(), text);
            let value = serde_json::to_value(&grant).unwrap();
            assert_eq!(serde_json::from_value::<Grant>(value).unwrap(), grant);
        }
    }

    #[test]
    fn a_document_says_once_how_long_and_nothing_that_is_not_known() {
        for term in [
            "",
            r#""duration":"P12M","ends":"2027-03-31","#,
            r#""ends":"2027-03-31","duration":"P12M","#,
            r#""duration":"P12M","duration":"P12M","#,
            r#""ends":"2027-02-31","#,
            r#""ends":"31/03/2027","#,
            r#""ends":null,"#,
            r#""duration":"P12M","ends":null,"#,
            r#""duration":null,"#,
            r#""duration":"P12M","until":"2027-03-31","#,
            r#""duration":{"ends":"2027-03-31"},"#,
        ] {
            assert!(serde_json::from_str::<Grant>(&document(term)).is_err(), "{term} was taken");
        }
    }
}
