//! The catalogue: which datasets there are, what is in them, who answers for them and how to ask. It tells what any agency
//! may know: contracts, and nothing of who has been granted what.

use kenh_domain::contract::{Contact, Contract, Period, Pii};
use kenh_domain::control::ControlSet;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::schema::Schema;
use serde::Serialize;

/// A dataset on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its name.
    pub dataset: Dataset,
    /// The contract's version.
    pub version: String,
    /// What it is.
    pub description: String,
    /// The group of data it belongs to.
    pub group: Option<String>,
    /// Who answers for it.
    pub owner: Agency,
    /// What that agency is called.
    pub owner_title: String,
    /// Where to ask.
    pub contacts: Vec<Contact>,
    /// Who provides it.
    pub providers: Vec<Agency>,
    /// Articles that the dataset itself rests on.
    pub articles: Vec<String>,
    /// Within what time of a real change its providers send it; none: they promise nothing.
    pub update_within: Option<Period>,
    /// Whether it holds personal data.
    pub personal: bool,
    /// Whether every record is made up.
    pub synthetic: bool,
    /// The fields of the record key.
    pub key: Vec<String>,
    /// Every field.
    pub fields: Vec<OfferedField>,
    /// What to do to receive it.
    pub how_to_ask: String,
}

/// A field on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferedField {
    /// Its dotted path.
    pub path: String,
    /// How sensitive it is.
    pub pii: Pii,
    /// Whether it is classified: no grant gives it unmasked.
    pub secret: bool,
    /// The data element it is.
    pub element: Option<String>,
    /// What it means.
    pub description: Option<String>,
}

/// Every dataset, by name.
#[must_use]
pub fn catalog(set: &ControlSet) -> Vec<Offer> {
    set.contracts.values().map(|contract| offer(set, contract)).collect()
}

fn offer(set: &ControlSet, contract: &Contract) -> Offer {
    let Contract { dataset, owner, terms, .. } = contract;
    let schema = contract.latest().and_then(|version| Schema::parse(&version.schema).ok());
    let field = |path: String| {
        let rules = contract.fields.get(&path);
        OfferedField {
            pii: contract.pii_of(&path),
            secret: rules.is_some_and(|r| r.secret),
            element: rules.and_then(|r| r.element.clone()),
            description: rules.and_then(|r| r.description.clone()),
            path,
        }
    };
    Offer {
        dataset: dataset.clone(),
        version: contract.version.clone(),
        description: contract.description.clone(),
        group: terms.group.clone(),
        owner: owner.clone(),
        owner_title: set.agencies.get(owner).map(|a| a.title.clone()).unwrap_or_default(),
        contacts: terms.contacts.clone(),
        providers: contract.providers.iter().map(|p| p.agency.clone()).collect(),
        articles: terms.articles.clone(),
        update_within: terms.update_within,
        personal: contract.personal(),
        synthetic: contract.synthetic,
        key: contract.key.clone(),
        fields: schema.map(|s| s.paths().into_iter().map(field).collect()).unwrap_or_default(),
        how_to_ask: format!("kenh grant request {dataset} --recipient AGENCY … writes a grant to propose to {owner}"),
    }
}
