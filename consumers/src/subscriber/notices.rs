//! What an agency was told: the latest card of each edition, and how far each partition of it has come.

use std::collections::BTreeMap;

use kenh_domain::names::Agency;
use kenh_domain::notice::{CardState, FORMAT, Positions, ViewCard};
use kenh_domain::topic::{Edition, Partition};

use crate::store::CopyId;

/// One edition of a copy.
pub(super) type EditionId = (CopyId, Edition);

/// The notices of an agency, the latest of each key.
#[derive(Default)]
pub(super) struct Notices {
    pub(super) cards: BTreeMap<EditionId, ViewCard>,
    positions: BTreeMap<(EditionId, Partition), Positions>,
}

/// What every notice starts with.
#[derive(serde::Deserialize)]
struct Head {
    format: u32,
}

impl Notices {
    /// Takes in a notice. What is not understood is logged and left out: a newer bus may tell more than this release
    /// knows.
    pub(super) fn take(&mut self, agency: &Agency, key: &[u8], value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let format = serde_json::from_slice::<Head>(value).map_or(0, |head| head.format);
        let understood = if format > FORMAT {
            false
        } else if key.starts_with(b"card/") {
            let card = serde_json::from_slice::<ViewCard>(value).ok().filter(|card| &card.agency == agency);
            card.map(|card| self.cards.insert((CopyId::of(&card), card.edition), card)).is_some()
        } else if key.starts_with(b"positions/") {
            let positions = serde_json::from_slice::<Positions>(value).ok();
            positions
                .map(|positions| {
                    let copy = CopyId { dataset: positions.dataset.clone(), view: positions.view.clone() };
                    self.positions.insert(((copy, positions.edition), positions.partition), positions)
                })
                .is_some()
        } else {
            // Another kind of notice, which is for people.
            true
        };
        if !understood {
            tracing::warn!(%agency, format, reads_up_to = FORMAT, "notice not understood");
        }
    }

    /// How far a partition has come.
    pub(super) fn positions(&self, edition: &EditionId, partition: Partition) -> Option<&Positions> {
        // The key is cheap to clone: names are shared.
        self.positions.get(&(edition.clone(), partition))
    }

    /// Whether everything that was current at the start of an edition has been written to all its partitions.
    pub(super) fn filled(&self, card: &ViewCard) -> bool {
        let edition = (CopyId::of(card), card.edition);
        (0..card.partitions).all(|p| self.positions(&edition, Partition(p)).is_some_and(|p| p.filled))
    }

    /// The copies that there are cards of.
    pub(super) fn copies(&self) -> Vec<CopyId> {
        let mut copies: Vec<CopyId> = self.cards.keys().map(|(copy, _)| copy.clone()).collect();
        copies.dedup();
        copies
    }

    /// The newest edition of a copy that is written to.
    pub(super) fn active(&self, copy: &CopyId) -> Option<&ViewCard> {
        self.editions(copy).filter(|card| card.state == CardState::Active).last()
    }

    /// The newest edition of a copy that is filled, where a newer one is written to that is not filled yet.
    pub(super) fn stopgap(&self, copy: &CopyId) -> Option<&ViewCard> {
        let newest = self.active(copy)?;
        let active = |card: &&ViewCard| card.state == CardState::Active && card.edition < newest.edition;
        self.editions(copy).filter(active).filter(|card| self.filled(card)).last().filter(|_| !self.filled(newest))
    }

    /// The cards of a copy, oldest edition first.
    pub(super) fn editions(&self, copy: &CopyId) -> impl Iterator<Item = &ViewCard> {
        self.cards.range((copy.clone(), Edition(0))..=(copy.clone(), Edition(u32::MAX))).map(|(_, card)| card)
    }
}
