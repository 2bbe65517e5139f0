//! The small running values of a group, which ride in the metadata of every commit: JSON with short names, since all of
//! it fits into [`MAX_METADATA_BYTES`]. Format 1.
//!
//! ```text
//! {"f":1,                                     format
//!  "l":["<dataset>",<partition>,<marker sequence>,<cursor>],   the open lane, if any
//!  "s":[<view>, …],                           views whose output is stopped
//!  "n":["<dataset>/<provider>", …],           names and
//!  "u":["<submission>", …],                   submissions that the tallies speak of by number
//!  "t":[[n,u,partition,admitted,repeated,stale,rejected,up to], …],   tallies, longest untouched first
//!  "w":[[<tally>,"<rule>",<count>], …]}       relaxed rules that the admitted of a tally broke, if any
//! ```

use std::collections::BTreeSet;

use kenh_domain::control::ViewNo;
use kenh_domain::frame::Sequence;
use kenh_domain::limits::MAX_METADATA_BYTES;
use kenh_domain::log::Position;
use kenh_domain::names::Dataset;
use kenh_domain::receipt::{Counts, Warnings};
use kenh_domain::topic::Partition;
use serde::{Deserialize, Serialize};

use crate::tally::{InputId, Tallies, Tally};

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

/// Room that is kept for an open lane beside the tallies, which stay while one is filled.
const LANE_BYTES: usize = 160;

/// How far the one open lane has come. Nothing is written behind a lane's marker in its data partition before it is
/// done, so one is all there can be: the group stops and fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneCursor {
    /// The dataset.
    pub dataset: Dataset,
    /// The data partition.
    pub partition: Partition,
    /// Sequence of the marker at which its views came into force.
    pub marker: Sequence,
    /// Everything before this position of the data partition was considered.
    pub cursor: Position,
}

/// Everything that rides beside the committed positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The open lane.
    pub lane: Option<LaneCursor>,
    /// Views whose output is stopped for good: their topic was missing or would not take a record. State goes on
    /// counting them as written, so starting again would leave a gap; a new edition is the way back.
    pub stopped: BTreeSet<ViewNo>,
    /// What is counted and not answered.
    pub tallies: Tallies,
}

/// A metadata text that this release cannot go on from.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Written by a newer release.
    #[error("the metadata of the group has format {0}; this release reads {FORMAT}: use a newer kenh")]
    Format(u32),
    /// Not ours.
    #[error("the metadata of the group is not readable")]
    Damaged(#[source] serde_json::Error),
    /// It speaks of a name or submission that it does not list, or a name is not valid.
    #[error("the metadata of the group contradicts itself")]
    Contradiction,
    /// So many views are stopped that their numbers fill the text.
    #[error("{0} stopped views do not fit into the metadata of the group; end their grants or give them new editions")]
    TooManyStopped(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    f: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<(Dataset, Partition, Sequence, Position)>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    s: BTreeSet<ViewNo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    n: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    u: Vec<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    t: Vec<TallyText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    w: Vec<(usize, std::borrow::Cow<'a, str>, u64)>,
}

/// Numbers of name and submission, partition, admitted, repeated, stale, rejected, up to.
type TallyText = (usize, usize, Partition, u64, u64, u64, u64, Position);

#[derive(Deserialize)]
struct FormatOnly {
    f: u32,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { lane: None, stopped: BTreeSet::new(), tallies: Tallies::new(Vec::new(), budget(&BTreeSet::new())) }
    }
}

/// What the stopped views leave to the tallies.
fn budget(stopped: &BTreeSet<ViewNo>) -> usize {
    // Names of the fields and brackets, and the stopped views' numbers with their commas.
    let fixed = 56 + LANE_BYTES + stopped.iter().map(|v| v.0.checked_ilog10().unwrap_or(0) as usize + 2).sum::<usize>();
    MAX_METADATA_BYTES.saturating_sub(fixed)
}

fn number_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Metadata {
    /// Reads the text of the latest commit; empty before the first.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn decode(text: &str) -> Result<Self, MetadataError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let FormatOnly { f } = serde_json::from_str(text).map_err(MetadataError::Damaged)?;
        if f != FORMAT {
            return Err(MetadataError::Format(f));
        }
        let Text { l, s, n, u, t, w, .. } = serde_json::from_str(text).map_err(MetadataError::Damaged)?;
        let mut open = Vec::with_capacity(t.len());
        for (name, submission, partition, admitted, repeated, stale, rejected, up_to) in t {
            let place = n.get(name).and_then(|text| text.split_once('/')).ok_or(MetadataError::Contradiction)?;
            open.push(Tally {
                input: InputId {
                    dataset: place.0.parse().map_err(|_| MetadataError::Contradiction)?,
                    provider: place.1.parse().map_err(|_| MetadataError::Contradiction)?,
                    partition,
                },
                submission: u.get(submission).ok_or(MetadataError::Contradiction)?.to_string(),
                counts: Counts { admitted, repeated, stale, rejected },
                warnings: Warnings::default(),
                up_to,
            });
        }
        for (tally, rule, count) in w {
            let tally: &mut Tally = open.get_mut(tally).ok_or(MetadataError::Contradiction)?;
            tally.warnings.0.insert(rule.into_owned(), count);
        }
        let lane = l.map(|(dataset, partition, marker, cursor)| LaneCursor { dataset, partition, marker, cursor });
        Ok(Self { lane, tallies: Tallies::new(open, budget(&s)), stopped: s })
    }

    /// Stops a view's output. Tallies that no longer fit beside its number are answered.
    pub fn stop(&mut self, view: ViewNo, due: &mut Vec<crate::tally::Answer>) {
        self.stopped.insert(view);
        self.tallies.set_budget(budget(&self.stopped), due);
    }

    /// Forgets that views were stopped that nothing is written to any more.
    pub fn forget_stopped(&mut self, keep: impl Fn(ViewNo) -> bool) {
        self.stopped.retain(|v| keep(*v));
        self.tallies.set_budget(budget(&self.stopped), &mut Vec::new());
    }

    /// The text for the next commit.
    ///
    /// # Errors
    /// [`MetadataError::TooManyStopped`] when it does not fit.
    pub fn encode(&self) -> Result<String, MetadataError> {
        let (mut n, mut u, mut t, mut w) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (tally, Tally { input, submission, counts, warnings, up_to }) in self.tallies.open().iter().enumerate() {
            let name = number_of(&mut n, format!("{}/{}", input.dataset, input.provider));
            let submission = number_of(&mut u, std::borrow::Cow::Borrowed(submission.as_str()));
            let Counts { admitted, repeated, stale, rejected } = *counts;
            w.extend(warnings.0.iter().map(|(rule, count)| (tally, std::borrow::Cow::Borrowed(rule.as_str()), *count)));
            t.push((name, submission, input.partition, admitted, repeated, stale, rejected, *up_to));
        }
        let l = self.lane.as_ref().map(|l| (l.dataset.clone(), l.partition, l.marker, l.cursor));
        let text = serde_json::to_string(&Text { f: FORMAT, l, s: self.stopped.clone(), n, u, t, w })
            .map_err(MetadataError::Damaged)?;
        if text.len() > MAX_METADATA_BYTES {
            return Err(MetadataError::TooManyStopped(self.stopped.len()));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenh_domain::names::Agency;
    use kenh_domain::receipt::Outcome;
    use kenh_domain::rule::Rule;
    use proptest::prelude::*;

    #[test]
    fn format_1_stays_as_it_was_first_written() {
        let text =
            r#"{"f":1,"l":["dan-cu",2,40,77],"s":[3,9],"n":["dan-cu/G01"],"u":["s-1"],"t":[[0,0,2,5,0,1,2,61]]}"#;
        let metadata = Metadata::decode(text).unwrap();
        assert_eq!(metadata.lane.as_ref().map(|l| (l.marker, l.cursor)), Some((Sequence(40), Position(77))));
        assert_eq!(metadata.tallies.open()[0].counts.total(), 8);
        assert_eq!(metadata.encode().unwrap(), text);
        let warned = text.replace("]]}", r#"]],"w":[[0,"code-list",4]]}"#);
        let metadata = Metadata::decode(&warned).unwrap();
        assert_eq!(metadata.tallies.open()[0].warnings.0["code-list"], 4);
        assert_eq!(metadata.encode().unwrap(), warned);
    }

    #[test]
    fn a_newer_format_is_refused_plainly_and_other_text_too() {
        assert!(matches!(Metadata::decode(r#"{"f":2,"x":1}"#), Err(MetadataError::Format(2))));
        assert!(matches!(Metadata::decode("{}"), Err(MetadataError::Damaged(_))));
        assert!(matches!(Metadata::decode(r#"{"f":1,"t":[[0,0,2,5,0,1,2,61]]}"#), Err(MetadataError::Contradiction)));
        assert!(matches!(Metadata::decode(r#"{"f":1,"w":[[0,"values",1]]}"#), Err(MetadataError::Contradiction)));
    }

    proptest! {
        /// Whatever is submitted, the text fits and is read back.
        #[test]
        fn it_always_fits(
            changes in prop::collection::vec(
                (0u32..256, 0usize..20, "[a-z\u{0}-\u{1f}é\"]{1,32}", any::<u64>(), 0usize..40), 0..200,
            ),
            stopped in prop::collection::btree_set(any::<u32>(), 0..40),
            lane: bool,
        ) {
            let mut metadata = Metadata::default();
            let mut due = vec![];
            for view in stopped {
                metadata.stop(ViewNo(view), &mut due);
            }
            for (partition, provider, submission, position, rule) in changes {
                let input = InputId {
                    dataset: Dataset::new(&"d".repeat(48)).unwrap(),
                    provider: Agency::new(&format!("{}{provider}", "p".repeat(46))).unwrap(),
                    partition: Partition(partition),
                };
                let warned: Vec<_> = Rule::ALL.get(rule).filter(|r| r.protects().is_none()).copied().into_iter().collect();
                let outcome = (Outcome::Admitted, &warned[..]);
                metadata.tallies.count(&input, &submission, outcome, Position(position), &mut due);
            }
            metadata.lane = lane.then(|| LaneCursor {
                dataset: Dataset::new(&"d".repeat(48)).unwrap(), partition: Partition(255),
                marker: Sequence(u64::MAX), cursor: Position(u64::MAX),
            });
            let text = metadata.encode().unwrap();
            prop_assert_eq!(Metadata::decode(&text).unwrap(), metadata);
        }
    }
}
