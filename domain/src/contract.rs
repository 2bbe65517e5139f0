//! A data contract as the bus holds it: checked, resolved, and carried whole by one control event.
//!
//! People write contracts as ODCS YAML beside `.avsc` files; `governance/` reads those and makes this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grant::Grant;
use crate::names::{Agency, Dataset};
use crate::wire::SchemaId;

/// How sensitive a field is (Luật 91/2025, NĐ 356/2025).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pii {
    /// Not personal data.
    #[default]
    None,
    /// Basic personal data.
    Basic,
    /// Sensitive personal data.
    Sensitive,
}

/// Whether a change may speak of the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effective {
    /// A change is in force as soon as it is admitted; a later effective date is rejected.
    #[default]
    AtOnce,
    /// The start date is part of the record key, so that a future record stands beside the present one.
    InKey,
}

/// Where a record's version comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSource {
    /// The provider counts (`PhienBan`).
    #[default]
    Provider,
    /// The position of the change in the source's own log.
    LogPosition,
    /// The source has none: a changed content is the next version.
    Assigned,
}

/// Rules for one field, by its dotted path in the record. All that are given must hold; null passes all but `required`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct FieldRules {
    /// How sensitive it is.
    pub pii: Pii,
    /// Classified: an open dataset has none, and no grant gives one unmasked.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
    /// The data element it is (`personal-id`, `tax-code`, …; see [`crate::element`]), whose validator then applies.
    pub element: Option<String>,
    /// Null and empty text are refused.
    pub required: bool,
    /// A regular expression that the whole text must match.
    pub pattern: Option<String>,
    /// The texts (or numbers, as text) that are allowed.
    pub values: Option<Vec<String>>,
    /// Least number, or least date as `YYYY-MM-DD`.
    pub minimum: Option<String>,
    /// Greatest number, or greatest date as `YYYY-MM-DD`.
    pub maximum: Option<String>,
    /// Most characters (Unicode scalar values) of a text.
    pub max_length: Option<u32>,
    /// A code list of the contract that the value must be in.
    pub code_list: Option<CodeListUse>,
    /// What the field means, for people.
    pub description: Option<String>,
}

/// Use of a code list by a field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CodeListUse {
    /// Name of the list in [`Contract::code_lists`].
    pub list: String,
    /// Dotted path of a second field that names the code together with it: the first day on which a unit holds, since
    /// units bear codes one after the other. In a frozen list its text form stands behind `@` (`00001@2025-07-01`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Dotted path of the day on which the code must be in force, where the list is a dataset; where that is null any
    /// day will do. Not beside `with`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

/// Where the codes of a code list are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CodeList {
    /// In the contract itself: sorted codes, each once. A new code needs a new version of the contract.
    Frozen(Vec<String>),
    /// In the records of a dataset on the bus.
    Dataset(CodeListDataset),
}

impl CodeList {
    /// Its codes, where it is frozen.
    #[must_use]
    pub fn frozen(&self) -> Option<&[String]> {
        match self {
            Self::Frozen(codes) => Some(codes),
            Self::Dataset(_) => None,
        }
    }

    /// The dataset, where it is one.
    #[must_use]
    pub const fn dataset(&self) -> Option<&CodeListDataset> {
        match self {
            Self::Frozen(_) => None,
            Self::Dataset(list) => Some(list),
        }
    }
}

/// A dataset whose records are a code list; see [`crate::codes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CodeListDataset {
    /// The dataset: an open one, of one partition.
    pub dataset: Dataset,
    /// Dotted path of the code: a text or a whole number.
    pub code: String,
    /// Dotted path of the first day on which the code is in force; none: codes have no first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Dotted path of the last day, null while it is open-ended; none: codes have no last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Row filter: which of its records are the list; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
}

/// Who may write to a dataset, and which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The agency.
    pub agency: Agency,
    /// Row filter over the record: it may write only rows for which this is true. None: all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
}

/// One released version of a contract's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaVersion {
    /// 1, 2, …
    pub version: u32,
    /// Id of the record's schema.
    pub id: SchemaId,
    /// The record's schema, as JSON text.
    pub schema: String,
    /// Id of the envelope's schema for this version.
    pub envelope_id: SchemaId,
}

/// What a contract says to people: who answers for it, what it promises, on which law it stands. Reviews and the
/// catalogue show it; admission and routing do not look at it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Terms {
    /// Persons who speak for the owning agency: their votes in a review are the owner's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Person>,
    /// The data-protection officers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_protection: Vec<Person>,
    /// Where to ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// The group of data it belongs to (`population`, `land`, …), for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Articles of law that the dataset itself rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub articles: Vec<String>,
    /// Within what time of a real change its providers send it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_within: Option<Period>,
    /// How long a recipient may keep a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// What a provider may always receive of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_back: Option<ShareBack>,
    /// Whether a recipient may pass it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onward: Option<Onward>,
}

impl Terms {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A person of the owning agency, as the roster knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Their name in the roster.
    pub id: String,
    /// What they are called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Where to ask about a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What it is called.
    pub channel: String,
    /// Its address (`mailto:`, `tel:`, `https:`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A length of time, as a contract writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// How many; at least 1.
    pub count: u32,
    /// Of what.
    pub unit: PeriodUnit,
}

/// What a [`Period`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodUnit {
    /// 60 minutes.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

/// How long a record is kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long after its legal end.
    pub period: Period,
    /// The article that says so.
    pub article: String,
}

/// The rows of a dataset that an agency may always be given back (NĐ 194/2025, Điều 16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareBack {
    /// Those that it provided itself.
    pub originated: bool,
    /// Dotted path of the field that says in whose territory a record lies; none: territory gives no right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub territory: Option<String>,
}

/// Whether a recipient may pass a dataset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Onward {
    /// To nobody.
    None,
    /// After asking the owner.
    Ask,
    /// To anybody.
    Free,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Contract {
    /// The dataset it is about.
    pub dataset: Dataset,
    /// The contract's own version, as its owner counts.
    pub version: String,
    /// The agency that answers for it.
    pub owner: Agency,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
    /// Partitions of its topics.
    pub partitions: u32,
    /// Dotted paths of the fields of the record key, in order; texts, whole numbers and dates that are never null.
    pub key: Vec<String>,
    /// Who writes.
    pub providers: Vec<Provider>,
    /// Where versions come from.
    #[serde(default)]
    pub version_source: VersionSource,
    /// The most a version may rise in one step; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_version_step: Option<u64>,
    /// Whether a change may speak of the future.
    #[serde(default)]
    pub effective: Effective,
    /// Free of personal data and open: only such datasets may share a view topic.
    #[serde(default)]
    pub open: bool,
    /// Every record of it is made up; shown wherever the data is shown.
    #[serde(default)]
    pub synthetic: bool,
    /// Released versions of the record's schema, oldest first; at least one.
    pub schemas: Vec<SchemaVersion>,
    /// Rules by dotted path.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRules>,
    /// Code lists by name.
    #[serde(default)]
    pub code_lists: BTreeMap<String, CodeList>,
    /// Who answers for it, and what it promises.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub terms: Terms,
}

impl Contract {
    /// The newest released schema version.
    #[must_use]
    pub fn latest(&self) -> Option<&SchemaVersion> {
        self.schemas.last()
    }

    /// The code lists that are datasets on the bus, by name.
    pub fn lists_on_the_bus(&self) -> impl Iterator<Item = (&String, &CodeListDataset)> {
        self.code_lists.iter().filter_map(|(name, list)| Some((name, list.dataset()?)))
    }

    /// Whether `agency` may write to it.
    #[must_use]
    pub fn provider(&self, agency: &Agency) -> Option<&Provider> {
        self.providers.iter().find(|p| &p.agency == agency)
    }

    /// The class of a field: the highest of those given to it, to a record that holds it, or to what it holds.
    #[must_use]
    pub fn pii_of(&self, path: &str) -> Pii {
        let related = |other: &str| {
            let below =
                |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            below(other, path) || below(path, other)
        };
        self.fields.iter().filter(|(other, _)| related(other)).map(|(_, rules)| rules.pii).max().unwrap_or_default()
    }

    /// Whether a grant gives personal data: of the fields that it names, or of the record key, of which a pseudonym is
    /// made.
    #[must_use]
    pub fn gives_personal(&self, grant: &Grant) -> bool {
        let granted = grant.fields.iter().map(|f| &f.path);
        granted.chain(&self.key).any(|path| self.pii_of(path) != Pii::None)
    }

    /// Whether any field is personal data.
    #[must_use]
    pub fn personal(&self) -> bool {
        self.fields.values().any(|f| f.pii != Pii::None)
    }
}
