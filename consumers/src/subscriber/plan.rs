//! What is to become of the generations of a copy: a pure decision over what was told and what is held.

use kenh_domain::notice::{CardState, ViewCard};
use kenh_domain::topic::Edition;

use super::notices::Notices;
use crate::store::{CopyId, Generation};

/// A generation as the decision sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) generation: Generation,
    pub(super) edition: Edition,
    /// Whether readers see it.
    pub(super) published: bool,
    /// Whether it can be brought up to date by reading on: it is of this log and of the card's shape, was not away for too
    /// long, and its positions are still there.
    pub(super) usable: bool,
    /// Whether it has everything before the end that was captured when its filling began.
    pub(super) caught_up: bool,
    /// Whether its view is filled, and it holds it up to the newest place that was told.
    pub(super) complete: bool,
}

/// What is to be done next for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin to fill a generation of this edition.
    Begin(Edition),
    /// Show this generation in place of the one shown.
    Publish(Generation),
    /// Remove this one, which nobody sees and nobody will.
    Discard(Generation),
    /// Remove every row of this edition, and say so.
    Purge(Edition),
}

/// What is to be done for `copy`. `ended` are its ended editions of which a purge is still owed, each with how long ago
/// (milliseconds) that was first seen; `grace_ms` is how long such a one may still be shown while a newer one, which the
/// bus has filled, is being read.
pub(super) fn steps(
    copy: &CopyId,
    notices: &Notices,
    held: &[Held],
    ended: &[(Edition, i64)],
    grace_ms: i64,
) -> Vec<Step> {
    let active = notices.active(copy);
    let mut steps = Vec::new();
    if let Some(card) = active {
        let wanted = held.iter().find(|h| h.edition == card.edition && h.usable);
        let shown = held.iter().find(|h| h.published);
        for other in held.iter().filter(|h| !h.published && wanted.is_none_or(|w| w.generation != h.generation)) {
            steps.push(Step::Discard(other.generation));
        }
        match wanted {
            None => steps.push(Step::Begin(card.edition)),
            // Where nothing is shown, something old of the right rows is better than nothing; where something is, it
            // gives way to what is whole.
            Some(new) if !new.published && new.caught_up && (shown.is_none() || new.complete) => {
                steps.push(Step::Publish(new.generation));
            }
            Some(_) => {}
        }
    }
    for (edition, since_ms) in ended {
        // A newer edition that the bus has filled has taken the place of this one; otherwise the right itself has ended.
        let superseded = active.is_some_and(|card| card.edition > *edition && notices.filled(card));
        let shown = held.iter().any(|h| h.edition == *edition && h.published);
        if !(superseded && shown && *since_ms < grace_ms) {
            steps.push(Step::Purge(*edition));
        }
    }
    steps
}

/// Whether what a generation was begun with still stands: the same rows under the same keys in the same log.
pub(super) fn same_shape(begun_with: &ViewCard, card: &ViewCard) -> bool {
    card.state == CardState::Active
        && begun_with.edition == card.edition
        && begun_with.incarnation == card.incarnation
        && begun_with.partitions == card.partitions
        && begun_with.schema_id == card.schema_id
        && begun_with.schema == card.schema
        && begun_with.pseudonym == card.pseudonym
}
