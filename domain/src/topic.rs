//! Topics: one place that knows how they are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{Agency, Dataset, View};

/// The number of a view's topic: raised when the shape changes so that the old rows cannot be read under the new grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edition(pub u32);

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition number within a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic of the bus, by what it is for. Its text form (`view.H29.dan-cu.main.1`) is the name at the broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Topic {
    /// `in.<dataset>.<provider>`: changes as submitted. Written by that provider or the intake, read by the router.
    In(Dataset, Agency),
    /// `data.<dataset>`: changes as admitted, and markers; the log that everything else is a function of.
    Data(Dataset),
    /// `view.<agency>.<dataset>.<view>.<n>`: what one recipient may see.
    View(Agency, Dataset, View, Edition),
    /// `receipt.<provider>`: how many of a submission's changes were admitted, repeated, stale, rejected.
    Receipt(Agency),
    /// `dead-letter.<dataset>.<provider>`: each rejected change with its rule.
    DeadLetter(Dataset, Agency),
    /// `notice.<agency>`: view cards and positions.
    Notice(Agency),
    /// `confirm.<agency>`: what the agency says it holds or has purged.
    Confirm(Agency),
    /// `kenh.control`: control events.
    Control,
    /// `kenh.heads`: how far each data partition has come.
    Heads,
    /// `kenh.ledger`: the transparency log.
    Ledger,
}

/// A text that names no topic of the bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic of the bus")]
pub struct TopicError(pub String);

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(dataset, provider) => write!(f, "in.{dataset}.{provider}"),
            Self::Data(dataset) => write!(f, "data.{dataset}"),
            Self::View(agency, dataset, view, edition) => write!(f, "view.{agency}.{dataset}.{view}.{edition}"),
            Self::Receipt(provider) => write!(f, "receipt.{provider}"),
            Self::DeadLetter(dataset, provider) => write!(f, "dead-letter.{dataset}.{provider}"),
            Self::Notice(agency) => write!(f, "notice.{agency}"),
            Self::Confirm(agency) => write!(f, "confirm.{agency}"),
            Self::Control => f.write_str("kenh.control"),
            Self::Heads => f.write_str("kenh.heads"),
            Self::Ledger => f.write_str("kenh.ledger"),
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        parse(text).ok_or_else(|| TopicError(text.chars().take(249).collect()))
    }
}

fn parse(text: &str) -> Option<Topic> {
    let parts: Vec<&str> = text.split('.').collect();
    Some(match parts.as_slice() {
        ["in", d, p] => Topic::In(d.parse().ok()?, p.parse().ok()?),
        ["data", d] => Topic::Data(d.parse().ok()?),
        ["view", a, d, v, n] => Topic::View(a.parse().ok()?, d.parse().ok()?, v.parse().ok()?, edition(n)?),
        ["receipt", p] => Topic::Receipt(p.parse().ok()?),
        ["dead-letter", d, p] => Topic::DeadLetter(d.parse().ok()?, p.parse().ok()?),
        ["notice", a] => Topic::Notice(a.parse().ok()?),
        ["confirm", a] => Topic::Confirm(a.parse().ok()?),
        ["kenh", "control"] => Topic::Control,
        ["kenh", "heads"] => Topic::Heads,
        ["kenh", "ledger"] => Topic::Ledger,
        _ => return None,
    })
}

fn edition(text: &str) -> Option<Edition> {
    let n: u32 = text.parse().ok()?;
    // One name per topic: "01" would be a second name of edition 1.
    (n > 0 && n.to_string() == text).then_some(Edition(n))
}

impl TryFrom<String> for Topic {
    type Error = TopicError;
    fn try_from(text: String) -> Result<Self, TopicError> {
        text.parse()
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> String {
        topic.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_topic_survives_its_text() {
        for text in [
            "in.dan-cu.G01",
            "data.dan-cu",
            "view.H29.dan-cu.main.12",
            "receipt.G01",
            "dead-letter.dan-cu.G01",
            "notice.H29",
            "confirm.H29",
            "kenh.control",
            "kenh.heads",
            "kenh.ledger",
        ] {
            assert_eq!(text.parse::<Topic>().map(|t| t.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn a_topic_has_one_name_only() {
        for text in ["", "data", "data.a.b", "view.H29.dan-cu.main.0", "view.H29.dan-cu.main.01", "kenh.x", "in.a.9"] {
            assert!(text.parse::<Topic>().is_err(), "{text:?} was taken");
        }
    }
}
