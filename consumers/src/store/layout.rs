//! Format 1 of the embedded stores: the keys that everything is kept under.
//!
//! | key | value |
//! |---|---|
//! | `00` | the format number, u32 big-endian |
//! | `01` | the number of the next generation, u64 big-endian |
//! | `02` generation | [`Head`] as JSON: the card, the indexes, whether it is shown |
//! | `03` generation | [`Place`] as JSON: progress and counters |
//! | `04` generation, record key | the row's value as received |
//! | `05` generation, index (u16), length of the atom (u8), atom, record key | nothing |
//! | `06` name | a note |
//!
//! A generation is 8 bytes big-endian, an index its number in the head. Atoms are as [`super::index`] writes them.

use std::sync::Arc;

use kenh_domain::notice::ViewCard;
use serde::{Deserialize, Serialize};

use super::{Counters, Generation, Progress};

pub(super) const FORMAT_KEY: &[u8] = &[0x00];
pub(super) const NEXT_KEY: &[u8] = &[0x01];
const HEAD: u8 = 0x02;
const PLACE: u8 = 0x03;
const ROW: u8 = 0x04;
const ENTRY: u8 = 0x05;
const NOTE: u8 = 0x06;

/// Bytes before the record key of a row.
pub(super) const ROW_PREFIX: usize = 9;

/// What of a generation changes rarely.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) card: Arc<ViewCard>,
    pub(super) indexes: Vec<String>,
    pub(super) state: HeadState,
}

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HeadState {
    /// Begun, not shown yet.
    Filling,
    /// Shown to readers.
    Shown,
    /// Not there any more; its rows are being deleted.
    Discarded,
}

/// What of a generation changes with every batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) progress: Progress,
    pub(super) counters: Counters,
}

fn numbered(kind: u8, generation: Generation) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(kind);
    key.extend_from_slice(&generation.0.to_be_bytes());
    key
}

pub(super) fn head(generation: Generation) -> Vec<u8> {
    numbered(HEAD, generation)
}

pub(super) const ALL_HEADS: std::ops::Range<&[u8]> = &[HEAD]..&[HEAD + 1];

/// The generation of a head's key.
pub(super) fn generation_of(key: &[u8]) -> Option<Generation> {
    let number = key.get(1..9)?.try_into().ok()?;
    (key.len() == 9).then(|| Generation(u64::from_be_bytes(number)))
}

pub(super) fn place(generation: Generation) -> Vec<u8> {
    numbered(PLACE, generation)
}

pub(super) fn row(generation: Generation, key: &[u8]) -> Vec<u8> {
    let mut out = numbered(ROW, generation);
    out.extend_from_slice(key);
    out
}

/// All index entries of a value, with the record keys behind them.
pub(super) fn entries(generation: Generation, index: usize, atom: &[u8]) -> Vec<u8> {
    let mut out = numbered(ENTRY, generation);
    // Indexes are at most a schema's fields and atoms are cut (index.rs), so that neither is shortened here.
    out.extend_from_slice(&u16::try_from(index).unwrap_or(u16::MAX).to_be_bytes());
    out.push(u8::try_from(atom.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(atom);
    out
}

/// The ranges that hold everything of a generation but its head and place.
pub(super) fn contents(generation: Generation) -> [(Vec<u8>, Vec<u8>); 2] {
    [ROW, ENTRY].map(|kind| {
        let start = numbered(kind, generation);
        let end = end_of(&start);
        (start, end)
    })
}

pub(super) fn note(name: &str) -> Vec<u8> {
    let mut out = vec![NOTE];
    out.extend_from_slice(name.as_bytes());
    out
}

/// The first key behind all that start with `prefix`, which does not consist of 0xff alone.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The first key behind `key`.
pub(super) fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_own_and_nothing_of_the_neighbours() {
        let inside = row(Generation(255), &[0xff; 40]);
        let [(start, end), _] = contents(Generation(255));
        assert!(start <= inside && inside < end);
        assert!(row(Generation(256), b"") >= end);
        assert!(row(Generation(254), &[0xff; 40]) < start);
        assert_eq!(end_of(&[4, 0xff, 0xff]), [5]);
    }

    /// Format 1, as it stays.
    #[test]
    fn the_keys_of_format_1_are_these() {
        let generation = Generation(0x0102);
        assert_eq!(head(generation), [2, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(generation_of(&head(generation)), Some(generation));
        assert_eq!(place(generation), [3, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(row(generation, b"k"), [4, 0, 0, 0, 0, 0, 0, 1, 2, b'k']);
        assert_eq!(entries(generation, 3, b"atom"), b"\x05\0\0\0\0\0\0\x01\x02\0\x03\x04atom");
        assert_eq!(note("n"), [6, b'n']);
    }
}
