//! What an agency is told in `notice.<agency>`: view cards and positions. JSON, keyed as [`card_key`] and
//! [`positions_key`] say, so that the topic can be compacted.

use serde::{Deserialize, Serialize};

use crate::frame::Sequence;
use crate::log::{Incarnation, Position};
use crate::names::{Agency, Dataset, GrantId, View};
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

/// Key of a card in the notice topic.
#[must_use]
pub fn card_key(dataset: &Dataset, view: &View, edition: Edition) -> String {
    format!("card/{dataset}/{view}/{edition}")
}

/// Key of a positions notice.
#[must_use]
pub fn positions_key(dataset: &Dataset, view: &View, edition: Edition, partition: Partition) -> String {
    format!("positions/{dataset}/{view}/{edition}/{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
