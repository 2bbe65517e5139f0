//! What the subscriber says back: that a copy is held as of a place, and that an edition was purged.
//!
//! A note in the store remembers, per edition, that rows were held and whether their purge was confirmed, so that a crash
//! between the two is made good by the next start; and, per copy, when it was last confirmed.

use std::collections::BTreeMap;

use bytes::Bytes;
use kenh_domain::confirm::{self, Claim, Confirmation};
use kenh_domain::log::{Log, NewRecord, TopicPartition, WriteError};
use kenh_domain::names::Principal;
use kenh_domain::topic::Topic;
use serde::{Deserialize, Serialize};

use super::notices::EditionId;
use crate::store::{CopyId, Reached, StoreError, ViewStore};

/// What the store remembers of an edition that rows were begun to be kept of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditionNote {
    pub(super) state: EditionState,
    /// Rows that were removed by the purge.
    pub(super) rows: u64,
    /// When it was first seen that it has ended.
    pub(super) ended_seen_ms: Option<i64>,
}

/// How far the purge of an edition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EditionState {
    /// Rows are or were held.
    Held,
    /// Its rows are being removed, or are, and the confirmation is not known to be written.
    Purging,
    /// The purge was confirmed.
    Purged,
}

/// When a copy was last confirmed, and as of where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmedNote {
    pub(super) at_ms: i64,
    pub(super) edition: kenh_domain::topic::Edition,
    pub(super) reached: Vec<Option<Reached>>,
}

/// The notes, as read so far.
#[derive(Default)]
pub(super) struct Owed {
    editions: BTreeMap<EditionId, Option<EditionNote>>,
    confirmed: BTreeMap<CopyId, Option<ConfirmedNote>>,
}

fn edition_name((copy, edition): &EditionId) -> String {
    format!("edition/{copy}/{edition}")
}

fn confirmed_name(copy: &CopyId) -> String {
    format!("confirmed/{copy}")
}

fn read<T: serde::de::DeserializeOwned>(store: &dyn ViewStore, name: &str) -> Result<Option<T>, StoreError> {
    let note = store.note(name)?;
    note.map(|n| serde_json::from_slice(&n).map_err(|_| StoreError::Damaged { what: "a note" })).transpose()
}

fn write<T: Serialize>(store: &dyn ViewStore, name: &str, note: &T) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(note);
    let bytes = bytes.map_err(|e| StoreError::Storage { doing: "encode a note", source: e.into() })?;
    store.set_note(name, Some(&bytes))
}

impl Owed {
    /// The note of an edition.
    pub(super) fn edition(
        &mut self,
        store: &dyn ViewStore,
        edition: &EditionId,
    ) -> Result<Option<EditionNote>, StoreError> {
        if let Some(note) = self.editions.get(edition) {
            return Ok(note.clone());
        }
        let note: Option<EditionNote> = read(store, &edition_name(edition))?;
        self.editions.insert(edition.clone(), note.clone());
        Ok(note)
    }

    /// Writes the note of an edition.
    pub(super) fn set_edition(
        &mut self,
        store: &dyn ViewStore,
        edition: &EditionId,
        note: EditionNote,
    ) -> Result<(), StoreError> {
        write(store, &edition_name(edition), &note)?;
        self.editions.insert(edition.clone(), Some(note));
        Ok(())
    }

    /// When a copy was last confirmed.
    pub(super) fn confirmed(
        &mut self,
        store: &dyn ViewStore,
        copy: &CopyId,
    ) -> Result<Option<ConfirmedNote>, StoreError> {
        if let Some(note) = self.confirmed.get(copy) {
            return Ok(note.clone());
        }
        let note: Option<ConfirmedNote> = read(store, &confirmed_name(copy))?;
        self.confirmed.insert(copy.clone(), note.clone());
        Ok(note)
    }

    /// Remembers that a copy was confirmed.
    pub(super) fn set_confirmed(
        &mut self,
        store: &dyn ViewStore,
        copy: &CopyId,
        note: ConfirmedNote,
    ) -> Result<(), StoreError> {
        write(store, &confirmed_name(copy), &note)?;
        self.confirmed.insert(copy.clone(), Some(note));
        Ok(())
    }
}

/// Writes a confirmation, durably.
pub(super) fn send(log: &dyn Log, principal: &Principal, confirmation: &Confirmation) -> Result<(), WriteError> {
    let value = serde_json::to_vec(confirmation).map_err(|e| WriteError::Storage(e.into()))?;
    let record = NewRecord {
        to: TopicPartition::new(Topic::Confirm(confirmation.agency.clone()), 0),
        timestamp_ms: confirmation.at_ms,
        key: Bytes::from(confirmation.key()),
        value: Some(Bytes::from(value)),
    };
    let mut writer = log.writer(principal);
    writer.write(vec![record])?;
    writer.flush()?;
    Ok(())
}

/// A confirmation around a claim.
pub(super) fn of(
    agency: &kenh_domain::names::Agency,
    (copy, edition): &EditionId,
    at_ms: i64,
    claim: Claim,
) -> Confirmation {
    Confirmation {
        format: confirm::FORMAT,
        agency: agency.clone(),
        dataset: copy.dataset.clone(),
        view: copy.view.clone(),
        edition: *edition,
        at_ms,
        claim,
    }
}
