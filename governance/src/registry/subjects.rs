//! Subjects: which names the registry knows, and which versions each has. All of it follows from the control set.
//!
//! | subject | versions |
//! |---|---|
//! | `<dataset>-value` | the record schemas of the contract |
//! | `in.<dataset>.<provider>-value` | the envelope schemas of the contract; the same ids for every provider |
//! | `<view topic>-value` | the one schema of that edition of the view |
//! | `kenh.SubmissionEnd` | the end of a submission |

use std::collections::{BTreeMap, BTreeSet};

use kenh_domain::control::ControlSet;
use kenh_domain::envelope::SUBMISSION_END_ID;
use kenh_domain::names::{Agency, Dataset, Principal};
use kenh_domain::topic::Topic;
use kenh_domain::wire::SchemaId;

use crate::layout;

/// The subject of the end of a submission.
pub const SUBMISSION_END: &str = "kenh.SubmissionEnd";

/// The subject of a dataset's record schema.
#[must_use]
pub fn of_dataset(dataset: &Dataset) -> String {
    format!("{dataset}-value")
}

/// The subject of what a provider submits to a dataset.
#[must_use]
pub fn of_input(dataset: &Dataset, provider: &Agency) -> String {
    of_topic(&Topic::In(dataset.clone(), provider.clone()))
}

/// The subject of a topic's values (Confluent's `TopicNameStrategy`).
#[must_use]
pub fn of_topic(topic: &Topic) -> String {
    format!("{topic}-value")
}

/// One subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its versions, from 1: number and schema id.
    pub versions: Vec<(u32, SchemaId)>,
    /// Whether it belongs to a view that has ended; what Confluent calls deleted softly.
    pub ended: bool,
}

/// The subjects that concern a system: those of the topics that it may read or write, and of each dataset that its agency
/// provides the record schema, with the end of a submission. So the registry tells nobody more than the log does.
#[must_use]
pub fn of_system(set: &ControlSet, system: &Principal, now_ms: i64) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (topic, place) in layout::places(set, now_ms) {
        if place.access.iter().all(|access| access.principal != *system) {
            continue;
        }
        if let Topic::In(dataset, _) = &topic {
            out.extend([of_dataset(dataset), SUBMISSION_END.to_owned()]);
        }
        out.insert(of_topic(&topic));
    }
    out
}

/// Every subject by name.
#[must_use]
pub fn all(set: &ControlSet) -> BTreeMap<String, Subject> {
    let mut out = BTreeMap::new();
    let mut add = |name, versions, ended| out.insert(name, Subject { versions, ended });
    if set.schemas.contains_key(&SUBMISSION_END_ID) {
        add(SUBMISSION_END.to_owned(), vec![(1, SUBMISSION_END_ID)], false);
    }
    for contract in set.contracts.values() {
        let records = contract.schemas.iter().map(|s| (s.version, s.id)).collect();
        add(of_dataset(&contract.dataset), records, false);
        for provider in &contract.providers {
            let envelopes = contract.schemas.iter().map(|s| (s.version, s.envelope_id)).collect();
            add(of_input(&contract.dataset, &provider.agency), envelopes, false);
        }
    }
    for view in set.views.values() {
        let versions = vec![(1, view.activation.schema_id)];
        add(of_topic(&view.activation.topic()), versions, view.ended.is_some());
    }
    out
}
