//! What an agency says in `confirm.<agency>`: that it holds a view as of a place in the log, or that it has purged it.
//! JSON, keyed as [`Confirmation::key`] says. It is the agency's claim: *confirmed* and *purged*, never *available*.

use serde::{Deserialize, Serialize};

use crate::frame::Sequence;
use crate::names::{Agency, Dataset, View};
use crate::topic::{Edition, Partition};

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

/// One claim about one edition of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Format number.
    pub format: u32,
    /// Who says so.
    pub agency: Agency,
    /// Of which dataset.
    pub dataset: Dataset,
    /// Which view of it.
    pub view: View,
    /// Which edition.
    pub edition: Edition,
    /// When, by the agency's clock: milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// What is claimed.
    pub claim: Claim,
}

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Claim {
    /// The agency holds exactly the view as of `reached`.
    Holds {
        /// Per partition of the view, the sequence up to which the copy is complete and beyond which it holds nothing.
        reached: Vec<Reached>,
        /// Rows held.
        rows: u64,
        /// The digest of the rows ([`crate::digest`]), in hexadecimal.
        digest: String,
        /// The newest checkpoint of the ledger that the agency has seen, as signed text; none before there is one.
        checkpoint: Option<String>,
    },
    /// The agency has removed every row of the edition.
    Purged {
        /// Rows that were removed now; 0 when a newer edition had taken their place before.
        rows: u64,
    },
}

/// How far a partition of a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// The partition.
    pub partition: Partition,
    /// The sequence in the data log.
    pub sequence: Sequence,
}

impl Confirmation {
    /// Its key in the topic.
    #[must_use]
    pub fn key(&self) -> String {
        let kind = match self.claim {
            Claim::Holds { .. } => "holds",
            Claim::Purged { .. } => "purged",
        };
        format!("{kind}/{}/{}/{}", self.dataset, self.view, self.edition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Format 1, as it stays.
    #[test]
    fn the_json_of_format_1_is_read_for_ever() {
        let head = |claim| Confirmation {
            format: 1,
            agency: Agency::new("H29").unwrap(),
            dataset: Dataset::new("dan-cu").unwrap(),
            view: View::main(),
            edition: Edition(2),
            at_ms: 1_750_000_000_000,
            claim,
        };
        let reached = vec![Reached { partition: Partition(0), sequence: Sequence(7) }];
        let holds = head(Claim::Holds { reached, rows: 3, digest: "00ff".into(), checkpoint: None });
        let text = concat!(
            r#"{"format":1,"agency":"H29","dataset":"dan-cu","view":"main","edition":2,"at_ms":1750000000000,"#,
            r#""claim":{"kind":"holds","reached":[{"partition":0,"sequence":7}],"rows":3,"digest":"00ff","#,
            r#""checkpoint":null}}"#
        );
        assert_eq!(serde_json::to_string(&holds).unwrap(), text);
        assert_eq!(serde_json::from_str::<Confirmation>(text).unwrap(), holds);
        assert_eq!(holds.key(), "holds/dan-cu/main/2");

        let purged = head(Claim::Purged { rows: 9 });
        let text = concat!(
            r#"{"format":1,"agency":"H29","dataset":"dan-cu","view":"main","edition":2,"at_ms":1750000000000,"#,
            r#""claim":{"kind":"purged","rows":9}}"#
        );
        assert_eq!(serde_json::to_string(&purged).unwrap(), text);
        assert_eq!(serde_json::from_str::<Confirmation>(text).unwrap(), purged);
        assert_eq!(purged.key(), "purged/dan-cu/main/2");
    }
}
