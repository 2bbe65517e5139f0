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
    let shown = held.iter().find(|h| h.published);
    let mut steps = Vec::new();
    if let Some(newest) = active {
        // While nothing is shown and the newest edition is not filled yet, the one before it is worth having.
        let stopgap = notices.stopgap(copy).filter(|_| shown.is_none());
        let usable = |card: &ViewCard| held.iter().find(|h| h.edition == card.edition && h.usable);
        let wanted: Vec<(&ViewCard, Option<&Held>)> =
            [Some(newest), stopgap].into_iter().flatten().map(|card| (card, usable(card))).collect();
        let is_wanted = |h: &Held| wanted.iter().any(|(_, w)| w.is_some_and(|w| w.generation == h.generation));
        steps.extend(held.iter().filter(|h| !h.published && !is_wanted(h)).map(|h| Step::Discard(h.generation)));
        for (card, held) in &wanted {
            match held {
                None => steps.push(Step::Begin(card.edition)),
                // Where nothing is shown, a part of the right rows is better than nothing; where something is, it gives
                // way to what is whole.
                Some(h) if !h.published && h.caught_up => {
                    let only_one = shown.is_none() && (stopgap.is_none() || stopgap == Some(card));
                    if h.complete || only_one {
                        steps.push(Step::Publish(h.generation));
                        break;
                    }
                }
                Some(_) => {}
            }
        }
    }
    for (edition, since_ms) in ended {
        // A newer edition that the bus has filled has taken the place of this one; otherwise the right itself has ended.
        let superseded = active.is_some_and(|card| card.edition > *edition && notices.filled(card));
        let is_shown = shown.is_some_and(|h| h.edition == *edition);
        if !(superseded && is_shown && *since_ms < grace_ms) {
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

#[cfg(test)]
mod tests {
    use kenh_domain::frame::Sequence;
    use kenh_domain::log::{Incarnation, Position};
    use kenh_domain::names::{Agency, Dataset, GrantId, View};
    use kenh_domain::notice::{FORMAT, Positions, card_key, positions_key};
    use kenh_domain::topic::Partition;
    use kenh_domain::wire::SchemaId;

    use super::*;

    fn card(edition: u32, state: CardState) -> ViewCard {
        ViewCard {
            format: FORMAT,
            agency: Agency::new("H29").unwrap(),
            dataset: Dataset::new("dan-cu").unwrap(),
            view: View::main(),
            edition: Edition(edition),
            state,
            grant: GrantId::new("g").unwrap(),
            partitions: 1,
            key_fields: Vec::new(),
            pseudonym: false,
            schema_id: SchemaId(1),
            schema: String::new(),
            comments: Vec::new(),
            incarnation: Incarnation("one".into()),
            digest_secret: String::new(),
        }
    }

    /// `1` active, `1+` active and filled, `1x` ended; held: `1s` shown, `1?` filling, `1c` caught up, `1w` whole, and with
    /// `!` not usable. The generation is the place in the list.
    fn steps_of(told: &str, has: &str, ended_ms: i64) -> String {
        let mut notices = Notices::default();
        let agency = Agency::new("H29").unwrap();
        let copy = CopyId { dataset: Dataset::new("dan-cu").unwrap(), view: View::main() };
        let mut ended = Vec::new();
        for word in told.split_whitespace() {
            let edition: u32 = word[..1].parse().unwrap();
            let over = word.ends_with('x');
            let card = card(edition, if over { CardState::Ended } else { CardState::Active });
            let key = card_key(&card.dataset, &card.view, card.edition);
            notices.take(&agency, key.as_bytes(), Some(&serde_json::to_vec(&card).unwrap()));
            if word.ends_with('+') {
                let positions = Positions {
                    format: FORMAT,
                    dataset: copy.dataset.clone(),
                    view: copy.view.clone(),
                    edition: Edition(edition),
                    partition: Partition(0),
                    sequence: Sequence(1),
                    end: Position(1),
                    clock_ms: 0,
                    filled: true,
                };
                let key = positions_key(&copy.dataset, &copy.view, Edition(edition), Partition(0));
                notices.take(&agency, key.as_bytes(), Some(&serde_json::to_vec(&positions).unwrap()));
            }
            if over && has.contains(&word[..1]) {
                ended.push((Edition(edition), ended_ms));
            }
        }
        let held: Vec<Held> = (1..)
            .zip(has.split_whitespace())
            .map(|(n, word)| Held {
                generation: Generation(n),
                edition: Edition(word[..1].parse().unwrap()),
                published: word.contains('s'),
                usable: !word.contains('!'),
                caught_up: word.contains(['s', 'c', 'w']),
                complete: word.contains('w'),
            })
            .collect();
        let name = |step: &Step| match step {
            Step::Begin(edition) => format!("begin {edition}"),
            Step::Publish(generation) => format!("publish {generation}"),
            Step::Discard(generation) => format!("discard {generation}"),
            Step::Purge(edition) => format!("purge {edition}"),
        };
        steps(&copy, &notices, &held, &ended, 60).iter().map(name).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_told_and_held_decides_what_is_done() {
        for (told, has, ended_ms, expected) in [
            ("", "", 0, ""),
            ("", "1s", 0, ""),
            ("1", "", 0, "begin 1"),
            ("1", "1?", 0, ""),
            // The first fill is shown as soon as it has what was there.
            ("1", "1c", 0, "publish 1"),
            ("1", "1s", 0, ""),
            // A refill of what is shown waits until it is whole.
            ("1+", "1s!", 0, "begin 1"),
            ("1+", "1s! 1?", 0, ""),
            ("1+", "1s! 1c", 0, ""),
            ("1+", "1s! 1w", 0, "publish 2"),
            ("1+", "1s! 1?!", 0, "discard 2, begin 1"),
            // A new edition likewise.
            ("1+ 2", "1s", 0, "begin 2"),
            ("1+ 2", "1s 2c", 0, ""),
            ("1+ 2+", "1s 2w", 0, "publish 2"),
            ("1+ 2 3", "1s 2?", 0, "discard 2, begin 3"),
            // Nothing is shown, and only the older edition is filled: both are wanted.
            ("1+ 2", "", 0, "begin 2, begin 1"),
            ("1+ 2", "2c 1?", 0, ""),
            ("1+ 2", "2c 1c", 0, "publish 2"),
            ("1+ 2+", "", 0, "begin 2"),
            ("1 2", "", 0, "begin 2"),
            // Endings.
            ("1x", "1s", 0, "purge 1"),
            ("1x", "", 0, ""),
            ("1x 2", "1s", 0, "begin 2, purge 1"),
            ("1x 2+", "1s", 0, "begin 2"),
            ("1x 2+", "1s 2c", 59, ""),
            ("1x 2+", "1s 2c", 60, "purge 1"),
            ("1x 2+", "1s 2w", 59, "publish 2"),
            ("1x 2+", "1?! 2w", 0, "discard 1, publish 2, purge 1"),
        ] {
            assert_eq!(steps_of(told, has, ended_ms), expected, "told {told:?}, held {has:?}");
        }
    }
}
