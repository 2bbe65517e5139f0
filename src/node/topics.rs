//! Topics as the log has them, against what was decided: looked at before any role starts.

use kenh_domain::control::ControlSet;
use kenh_domain::log::{AdminError, Log};
use kenh_governance::layout;

/// Why roles do not start on a log.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The log cannot be asked.
    #[error("the topics of the log cannot be listed")]
    Ask(#[from] AdminError),
    /// Somebody made or changed topics past the bus. A record key would lie in another partition than before, so that the
    /// order of its changes would be lost (invariant 4).
    #[error(
        "{}\n  what to do: a topic that holds nothing yet may be deleted with the log's own tool, and `kenh apply` makes it as \
         declared; for one that holds records, make a new dataset",
        .0.join("\n")
    )]
    Partitions(Vec<String>),
}

/// Refuses topics with other partitions than decided as of `now_ms` (milliseconds since 1970, UTC). What is missing is not
/// looked at: the control role makes it.
///
/// # Errors
/// [`TopicsError`].
pub fn check(log: &dyn Log, set: &ControlSet, now_ms: i64) -> Result<(), TopicsError> {
    let there = log.partition_counts()?;
    let other = layout::places(set, now_ms).into_values().filter_map(|place| {
        let (topic, wanted) = (place.spec.topic, place.spec.partitions);
        let is = there.get(&topic).copied().filter(|is| *is != wanted)?;
        Some(AdminError::Partitions { topic, is, wanted }.to_string())
    });
    let other: Vec<_> = other.collect();
    if other.is_empty() { Ok(()) } else { Err(TopicsError::Partitions(other)) }
}
