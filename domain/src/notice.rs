//! What an agency is told in `notice.<agency>`: view cards and positions of what it receives, contract cards of what it
//! provides. JSON, keyed as [`card_key`], [`positions_key`] and [`contract_key`] say, so that the topic can be compacted.

use serde::{Deserialize, Serialize};

use crate::contract::{Contract, Terms};
use crate::frame::Sequence;
use crate::log::{Incarnation, Position};
use crate::names::{Agency, Dataset, GrantId, View};
use crate::relaxation::RelaxedRule;
use crate::topic::{Edition, Partition, Topic};
use crate::wire::SchemaId;

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

/// Where an edition of a view stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardState {
    /// Records are written to it. It is complete where the positions say `filled`.
    Active,
    /// Nothing will be written to it any more; the agency has no right to hold it.
    Ended,
}

/// Everything a subscriber needs to keep a copy of a view.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewCard {
    /// Format number.
    pub format: u32,
    /// Whose view.
    pub agency: Agency,
    /// Of which dataset.
    pub dataset: Dataset,
    /// Which view of it.
    pub view: View,
    /// Which edition; a higher one replaces a lower one of the same view once it is filled.
    pub edition: Edition,
    /// Where it stands.
    pub state: CardState,
    /// The grant it rests on.
    pub grant: GrantId,
    /// Partitions of the view's topic.
    pub partitions: u32,
    /// The fields of the record key by their names in the view, in key order; empty when the key is a pseudonym or its
    /// fields are not granted.
    pub key_fields: Vec<String>,
    /// Whether the record key is a pseudonym.
    pub pseudonym: bool,
    /// The id of the view's schema.
    pub schema_id: SchemaId,
    /// The view's schema, as JSON text.
    pub schema: String,
    /// Column comments: (field of the view, text).
    pub comments: Vec<(String, String)>,
    /// Which log the positions speak of.
    pub incarnation: Incarnation,
    /// The secret of the view's digest, in hexadecimal (32 bytes).
    pub digest_secret: String,
}

// It holds the digest secret (invariant 7).
impl std::fmt::Debug for ViewCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewCard")
            .field("topic", &format_args!("{}", self.topic()))
            .field("state", &self.state)
            .field("grant", &self.grant)
            .field("schema_id", &self.schema_id)
            .finish_non_exhaustive()
    }
}

impl ViewCard {
    /// The view's topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        Topic::View(self.agency.clone(), self.dataset.clone(), self.view.clone(), self.edition)
    }
}

/// How far one partition of a view has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    /// Format number.
    pub format: u32,
    /// The dataset.
    pub dataset: Dataset,
    /// The view.
    pub view: View,
    /// The edition.
    pub edition: Edition,
    /// The partition of the view's topic.
    pub partition: Partition,
    /// The sequence in the data log up to which the view is complete.
    pub sequence: Sequence,
    /// The end of the view's partition when it was complete up to `sequence`: whoever has applied everything before it
    /// holds the view as of `sequence` and `clock_ms`.
    pub end: Position,
    /// The clock of the marker that this speaks of: milliseconds since 1970 (UTC).
    pub clock_ms: i64,
    /// Whether everything that was current at the grant's start has been written.
    pub filled: bool,
}

/// Everything that a provider needs to check and submit changes of a dataset. It is there for as long as the agency
/// provides the dataset; then the topic has a tombstone in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractCard {
    /// Format number.
    pub format: u32,
    /// Whose card.
    pub agency: Agency,
    /// The contract in force, as far as it concerns this provider.
    pub contract: Contract,
    /// Rules that warn for some hours where they would reject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxed: Vec<RelaxedRule>,
}

/// Why a notice is no contract card.
#[derive(Debug, thiserror::Error)]
pub enum ContractCardError {
    /// Written by a newer release.
    #[error("the contract card has format {0}; this release reads up to {FORMAT}: use a newer kenh")]
    Format(u32),
    /// Not JSON of this format.
    #[error("the contract card is not readable")]
    Unreadable(#[source] serde_json::Error),
}

impl ContractCard {
    /// What `agency` is told of a contract, with no rule relaxed; none where it does not provide the dataset.
    ///
    /// It holds what admission looks at: schemas with their ids, key, rules, code lists, the agency's own row filter. It
    /// does not hold which rows other providers may write, nor the terms, which name persons.
    #[must_use]
    pub fn of(contract: &Contract, agency: &Agency) -> Option<Self> {
        let own = contract.provider(agency)?.clone();
        let contract = Contract { providers: vec![own], terms: Terms::default(), ..contract.clone() };
        Some(Self { format: FORMAT, agency: agency.clone(), contract, relaxed: Vec::new() })
    }

    /// Reads the value of a notice.
    ///
    /// # Errors
    /// [`ContractCardError`].
    pub fn read(value: &[u8]) -> Result<Self, ContractCardError> {
        // The number first: a newer format may have any other fields.
        let head: Head = serde_json::from_slice(value).map_err(ContractCardError::Unreadable)?;
        if head.format > FORMAT {
            return Err(ContractCardError::Format(head.format));
        }
        serde_json::from_slice(value).map_err(ContractCardError::Unreadable)
    }
}

/// What every notice starts with.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Key of a view card in the notice topic.
#[must_use]
pub fn card_key(dataset: &Dataset, view: &View, edition: Edition) -> String {
    format!("card/{dataset}/{view}/{edition}")
}

/// Key of a contract card.
#[must_use]
pub fn contract_key(dataset: &Dataset) -> String {
    format!("contract/{dataset}")
}

/// Key of a positions notice.
#[must_use]
pub fn positions_key(dataset: &Dataset, view: &View, edition: Edition, partition: Partition) -> String {
    format!("positions/{dataset}/{view}/{edition}/{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{
        CodeList, CodeListUse, Effective, FieldRules, Person, Pii, Provider, SchemaVersion, VersionSource,
    };
    use crate::rule::Rule;

    #[test]
    fn a_card_shown_for_debugging_keeps_its_secret() {
        let card = ViewCard {
            format: FORMAT,
            agency: Agency::new("H29").unwrap(),
            dataset: Dataset::new("dan-cu").unwrap(),
            view: View::main(),
            edition: Edition(1),
            state: CardState::Active,
            grant: GrantId::new("g").unwrap(),
            partitions: 1,
            key_fields: vec![],
            pseudonym: false,
            schema_id: SchemaId(7),
            schema: "{}".into(),
            comments: vec![],
            incarnation: Incarnation("x".into()),
            digest_secret: "5ec4e7".into(),
        };
        let shown = format!("{card:?}");
        assert!(shown.contains("view.H29.dan-cu.main.1") && !shown.contains("5ec4e7"), "{shown}");
    }

    /// A contract of two providers that says everything a contract can say.
    fn contract() -> Contract {
        let rows = |agency: &str, rows: &str| Provider { agency: agency.parse().unwrap(), rows: Some(rows.into()) };
        let schema = |version, id, schema: &str| SchemaVersion {
            version,
            id: SchemaId(id),
            schema: schema.into(),
            envelope_id: SchemaId(id + 1),
        };
        let place = FieldRules {
            pii: Pii::Basic,
            secret: true,
            element: Some("personal-id".into()),
            required: true,
            pattern: Some("[0-9]+".into()),
            values: Some(vec!["79".into()]),
            minimum: Some("1".into()),
            maximum: Some("99".into()),
            max_length: Some(2),
            code_list: Some(CodeListUse { list: "tinh".into(), with: Some("TuNgay".into()), on: None }),
            description: Some("Mã tỉnh".into()),
        };
        let person = Person { id: "g01.chu-quan".into(), name: "Người chủ quản".into() };
        Contract {
            dataset: Dataset::new("dan-cu").unwrap(),
            version: "1.1.0".into(),
            owner: "G01".parse().unwrap(),
            description: "Dân cư".into(),
            partitions: 2,
            key: vec!["So".into()],
            providers: vec![rows("G01", "Tinh != '79'"), rows("G02", "Tinh == '79'")],
            version_source: VersionSource::LogPosition,
            max_version_step: Some(10),
            effective: Effective::InKey,
            open: false,
            synthetic: true,
            schemas: vec![schema(1, 1, r#"{"type":"record","name":"R"}"#), schema(2, 3, "{}")],
            fields: [("Tinh".to_owned(), place)].into(),
            code_lists: [("tinh".to_owned(), CodeList::Frozen(vec!["79@2025-07-01".to_owned()]))].into(),
            terms: Terms { owners: vec![person.clone()], data_protection: vec![person], ..Terms::default() },
        }
    }

    #[test]
    fn a_provider_is_told_what_concerns_it_and_a_stranger_nothing() {
        let whole = contract();
        let card = ContractCard::of(&whole, &"G02".parse().unwrap()).unwrap();
        assert_eq!(card.contract.providers, whole.providers[1..]);
        let text = serde_json::to_string(&card).unwrap();
        for foreign in ["G01\",\"rows", "!= '79'", "chu-quan", "Người", "terms"] {
            assert!(serde_json::to_string(&whole).unwrap().contains(foreign), "{foreign} proves nothing");
            assert!(!text.contains(foreign), "{foreign} is in {text}");
        }
        // All else is the contract.
        let rest = Contract { providers: whole.providers.clone(), terms: whole.terms.clone(), ..card.contract };
        assert_eq!(rest, whole);
        assert_eq!(ContractCard::of(&whole, &"H29".parse().unwrap()), None);
    }

    /// A card as format 1 has it, byte for byte: what is written now is the same, and is read for ever.
    #[test]
    fn the_contract_card_of_format_1_stays() {
        let kept = include_str!("../fixtures/contract-card-1.json").trim_end();
        let card = ContractCard::of(&contract(), &"G02".parse().unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&card).unwrap(), kept);
        assert_eq!(ContractCard::read(kept.as_bytes()).unwrap(), card);
        assert_eq!(contract_key(&card.contract.dataset), "contract/dan-cu");
    }

    #[test]
    fn a_relaxed_rule_is_in_the_card_without_its_reason() {
        let mut card = ContractCard::of(&contract(), &"G02".parse().unwrap()).unwrap();
        let told = |card: &ContractCard| serde_json::to_value(card).unwrap().get("relaxed").cloned();
        assert_eq!(told(&card), None);
        let field = Some("NoiO.MaXa".to_owned());
        card.relaxed = vec![RelaxedRule { rule: Rule::CodeList, field, ends_ms: 9 }];
        let said = serde_json::json!([{"rule": "code-list", "field": "NoiO.MaXa", "endsMs": 9}]);
        assert_eq!(told(&card), Some(said));
        assert_eq!(ContractCard::read(&serde_json::to_vec(&card).unwrap()).unwrap(), card);
    }

    #[test]
    fn a_card_of_a_newer_release_is_refused_whatever_else_it_holds() {
        let newer = ContractCard::read(br#"{"format":2,"what":"unknown"}"#).unwrap_err();
        assert!(newer.to_string().contains("format 2") && newer.to_string().contains("use a newer kenh"), "{newer}");
        for bad in ["", "{}", r#"{"format":1}"#, r#"{"format":1,"agency":"G01","contract":{},"more":1}"#] {
            assert!(matches!(ContractCard::read(bad.as_bytes()), Err(ContractCardError::Unreadable(_))), "{bad}");
        }
    }
}
